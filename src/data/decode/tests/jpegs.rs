//! JPEGs without their end, and of kinds that are not read.

use super::*;

fn unsupported(file: &[u8]) -> String {
    match decode_grey(file) {
        Err(DecodeError::Unsupported(reason)) => reason,
        other => panic!("expected an unsupported file, found {other:?}"),
    }
}

fn accepting(file: &[u8]) -> Result<Pixels, DecodeError> {
    let said = PictureSettings { accepts_no_end: true, ..PictureSettings::default() };
    decode_picture(file, said, DecodeLimits::USUAL)
}

/// The gradient with the channels of colour in scans of their own.
fn scan_by_scan() -> Vec<u8> {
    let rgb: Vec<u8> = gradient().pixels.iter().flat_map(|&grey| [grey, 255 - grey, grey / 2]).collect();
    let image = turbojpeg::Image {
        pixels: rgb.as_slice(),
        width: 64,
        pitch: 192,
        height: 48,
        format: turbojpeg::PixelFormat::RGB,
    };
    let mut compressor = turbojpeg::Compressor::new().expect("libjpeg-turbo");
    compressor.set_subsamp(turbojpeg::Subsamp::None).expect("sets");
    compressor.set_progressive(true).expect("sets");
    compressor.compress_to_vec(image).expect("encodes")
}

#[test]
fn a_jpeg_that_lacks_its_end_alone_is_told_from_one_that_lacks_rows() {
    for whole in [jpeg(&gradient()), colour_jpeg(), progressive(), scan_by_scan(), turbo_jpeg(|_| ())] {
        let wanted = Pixels::Grey(decode_grey(&whole).expect("decodes"));
        for lost in [1, 2] {
            let file = &whole[..whole.len() - lost];
            assert_eq!(decode_grey(file), Err(DecodeError::NoEndMarker));
            assert_eq!(accepting(file).as_ref(), Ok(&wanted));
        }
        assert_eq!(accepting(&whole).as_ref(), Ok(&wanted));
        // The last byte of the data may hold nothing but what fills it up.
        for lost in 4..whole.len() - 2 {
            let file = &whole[..whole.len() - lost];
            assert_eq!(accepting(file), Err(DecodeError::Truncated), "{lost} bytes of {}", whole.len());
            assert_eq!(decode_grey(file), Err(DecodeError::Truncated), "{lost} bytes of {}", whole.len());
        }
    }
    let said = "all of the picture is there, only the two bytes FF D9 that mark a JPEG's end are missing: to use such files, \
                set COVID_CT_NO_END_MARKER=accept and run the audit again";
    assert_eq!(DecodeError::NoEndMarker.to_string(), said);
}

/// Without the last scans such a file decodes without a warning, to a picture that is less sharp.
#[test]
fn a_progressive_jpeg_that_ends_between_two_scans_is_cut() {
    for file in [progressive(), scan_by_scan()] {
        let scans = file.windows(2).enumerate().filter(|(_, two)| *two == [0xFF, 0xDA]).map(|(at, _)| at);
        let scans: Vec<usize> = scans.collect();
        assert!(scans.len() >= 6 && segments::has_all_scans(&file));
        for end in &scans[1..] {
            let cut = &file[..*end];
            assert_eq!((accepting(cut), segments::has_all_scans(cut)), (Err(DecodeError::Truncated), false));
        }
    }
}

/// Damage within the data stays damage, accepted or not.
#[test]
fn damage_is_no_missing_end() {
    let noise = |i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8;
    let whole = jpeg(&GreyImage { pixels: (0..64 * 48).map(noise).collect(), ..gradient() });
    let start = whole.len() - segments::after_header(&whole).expect("a scan").len();
    let middle = usize::midpoint(start, whole.len());
    let without = [&whole[..middle], &whole[middle + 40..whole.len() - 2]].concat();
    assert_eq!(accepting(&without), Err(DecodeError::Truncated));
}

#[test]
fn kinds_of_jpeg_that_are_not_read_are_named() {
    let (width, height, format) = (64, 48, turbojpeg::PixelFormat::CMYK);
    let inks = vec![90; 4 * 64 * 48];
    let image = turbojpeg::Image { pixels: inks.as_slice(), width, pitch: 4 * width, height, format };
    let ycck = turbojpeg::compress(image, 90, turbojpeg::Subsamp::None).expect("encodes").to_vec();
    let way_out = "with four channels for printing: convert it, for example by `convert in.jpg -colorspace Gray out.png` \
                   (ImageMagick)";
    assert_eq!(unsupported(&ycck), format!("a YCCK JPEG, {way_out}"));
    let mut cmyk = ycck.clone();
    let adobe = cmyk.windows(5).position(|bytes| bytes == b"Adobe").expect("Adobe's segment");
    cmyk[adobe + 11] = 0;
    assert_eq!(unsupported(&cmyk), format!("a CMYK JPEG, {way_out}"));
    let mut twelve = jpeg(&gradient());
    let frame = twelve.windows(2).position(|two| two == [0xFF, 0xC0]).expect("SOF0");
    twelve[frame + 4] = 12;
    let reason =
        "a JPEG of 12 bits a value, 8 are read: convert it, for example by `ffmpeg -i in.jpg out.png` (FFmpeg)";
    assert_eq!(unsupported(&twelve), reason);
    // Coded by arithmetic, it is read: the same pixels, in other bytes.
    let arithmetic = turbo_jpeg(|compressor| compressor.set_arithmetic(true).expect("sets"));
    let huffman = turbo_jpeg(|_| ());
    assert!(arithmetic.len() < huffman.len());
    assert_eq!(decode_grey(&arithmetic), Ok(decode_grey(&huffman).expect("decodes")));
}

/// A header alone, whose start of frame has this marker.
fn header_of(marker: u8) -> Vec<u8> {
    let mut file = jpeg(&gradient());
    let frame = file.windows(2).position(|two| two == [0xFF, 0xC0]).expect("SOF0");
    file[frame + 1] = marker;
    file
}

#[test]
fn jpeg_ls_and_kinds_that_hardly_anything_reads_are_named() {
    let ls = "a JPEG-LS file: convert it, for example by `ffmpeg -i in.jpg out.png` (FFmpeg)";
    assert_eq!(unsupported(&header_of(0xF7)), ls);
    let way_out = "which hardly any program reads: ask whoever exported it for PNG, or for another JPEG";
    assert_eq!(unsupported(&header_of(0xC5)), format!("a hierarchical JPEG (frame FF C5), {way_out}"));
    assert_eq!(unsupported(&header_of(0xCF)), format!("a hierarchical JPEG (frame FF CF), {way_out}"));
    let lossless = format!("a lossless JPEG with arithmetic coding (frame FF CB), {way_out}");
    assert_eq!(unsupported(&header_of(0xCB)), lossless);
}

/// A lossless JPEG of 8 bits is read; of more it is named.
#[test]
fn lossless_jpegs_are_read_or_named() {
    let lossless = turbo_jpeg(|compressor| compressor.set_lossless(true).expect("sets"));
    assert!(start_of_frame(&lossless).is_some_and(|frame| frame.is_lossless()));
    assert_eq!(decode_grey(&lossless), Ok(gradient()));
    let without = &lossless[..lossless.len() - 2];
    assert_eq!(accepting(without), Ok(Pixels::Grey(gradient())));
    let mut sixteen = lossless.clone();
    let frame = sixteen.windows(2).position(|two| two == [0xFF, 0xC3]).expect("SOF3");
    sixteen[frame + 4] = 16;
    let reason = "a lossless JPEG of 16 bits a value, 8 are read: convert it, for example by `djpeg in.jpg | pnmtopng > \
                  out.png` (libjpeg-turbo 3 and Netpbm)";
    assert_eq!(unsupported(&sixteen), reason);
}

/// The command that is named makes a file that is read, with the same pixels.
#[test]
fn a_height_that_is_left_open_is_named_with_the_way_to_fill_it_in() {
    let whole = jpeg(&gradient());
    let frame = whole.windows(2).position(|two| two == [0xFF, 0xC0]).expect("SOF0");
    let place = frame + 5;
    let dnl = [0xFF, 0xDC, 0, 4, 0, 48];
    let mut open = inserted(&whole, whole.len() - 2, &dnl);
    open[place..place + 2].fill(0);
    let reason = format!(
        "a JPEG whose header leaves its height to a DNL segment after the data, where it is 48: write it into a copy, by `cp \
         in.jpg out.jpg; printf '\\x00\\x30' | dd of=out.jpg bs=1 seek={place} conv=notrunc`"
    );
    assert_eq!(unsupported(&open), reason);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("in.jpg"), &open).expect("writes");
    let command = reason.split('`').nth(1).expect("a command");
    let ran =
        std::process::Command::new("bash").args(["-c", command]).current_dir(folder.path()).output().expect("runs");
    assert!(ran.status.success(), "{ran:?}");
    let filled = std::fs::read(folder.path().join("out.jpg")).expect("reads");
    assert_eq!(decode_grey(&filled), decode_grey(&whole));
    let mut never = whole.clone();
    never[place..place + 2].fill(0);
    let reason = "the header says a height of 0, and no DNL segment says another";
    assert_eq!(decode_grey(&never), Err(DecodeError::Corrupt(reason.to_owned())));
}
