//! Decoding of pictures.

use super::*;
use crate::base::progress::human_bytes;
use image::ImageEncoder as _;

fn gradient() -> GreyImage {
    let pixels = (0..64u32 * 48).map(|i| (i % 64 * 4) as u8).collect();
    GreyImage { width: 64, height: 48, pixels }
}

fn jpeg(image: &GreyImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95)
        .write_image(&image.pixels, image.width, image.height, image::ExtendedColorType::L8)
        .expect("encodes");
    bytes
}

#[test]
fn a_jpeg_comes_back() {
    let bytes = jpeg(&gradient());
    let header = Header::parse(&bytes).expect("a header");
    assert_eq!((header.width, header.height, header.colour), (64, 48, ColourMode::Grey));
    assert_eq!(header.format, Format::Jpeg);
    let grey = decode_grey(&bytes).expect("decodes");
    let worst = grey.pixels.iter().zip(gradient().pixels).map(|(a, b)| a.abs_diff(b)).max();
    assert!(worst <= Some(6), "{worst:?}");
}

#[test]
fn every_cut_of_a_jpeg_is_an_error_and_none_panics() {
    let bytes = jpeg(&gradient());
    for cut in 0..bytes.len() - 1 {
        assert!(decode_grey(&bytes[..cut]).is_err(), "cut at {cut} of {}", bytes.len());
    }
    assert_eq!(decode_grey(&bytes[..bytes.len() / 2]), Err(DecodeError::Truncated));
}

#[test]
fn every_flipped_byte_gives_pixels_or_an_error() {
    let bytes = jpeg(&gradient());
    for at in 0..bytes.len() {
        let mut broken = bytes.clone();
        broken[at] ^= 0xFF;
        decode_grey(&broken).ok();
    }
}

#[test]
fn a_png_keeps_its_pixels_and_its_cuts_are_errors() {
    let image = gradient();
    let mut png = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut png);
    encoder.write_image(&image.pixels, 64, 48, image::ExtendedColorType::L8).expect("encodes");
    assert_eq!(decode_grey(&png).expect("decodes"), image);
    assert_eq!(Header::parse(&png).map(|h| h.format), Some(Format::Png));
    for cut in 0..png.len() - 16 {
        assert!(decode_grey(&png[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn a_huge_claim_is_refused_before_memory_is_taken() {
    let mut bytes = jpeg(&gradient());
    let sof = bytes.windows(2).position(|p| p == [0xFF, 0xC0]).expect("SOF0");
    bytes[sof + 5..sof + 9].copy_from_slice(&[0xFD, 0xE8, 0xFD, 0xE8]);
    assert_eq!(decode_grey(&bytes), Err(DecodeError::Oversized(65_000, 65_000)));
}

#[test]
fn text_is_not_an_image() {
    let error = decode_grey(b"hello").expect_err("no image").to_string();
    assert_eq!(
        error,
        "expected a JPEG, PNG, TIFF, DICOM, NIfTI, NRRD or MetaImage file, found 5 bytes beginning \"hello\""
    );
    assert!(matches!(decode_grey(b""), Err(DecodeError::NotAnImage(_))));
}

/// A kept decompressor that is not reset after an error refuses good pictures.
#[test]
fn good_pictures_are_read_after_bad_ones() {
    let bytes = jpeg(&gradient());
    let good = decode_grey(&bytes).expect("decodes");
    for at in 2..bytes.len() {
        let mut broken = bytes.clone();
        broken[at] ^= 0x3C;
        decode_grey(&broken).ok();
        assert_eq!(decode_grey(&bytes).as_ref(), Ok(&good), "after a flip at {at}");
    }
}

/// Where the marker segments of a file end, but for those that data follows.
fn ends_of_segments(jpeg: &[u8]) -> Vec<usize> {
    let segments = segments::Segments::of(jpeg).filter(|segment| !segment.ends_header());
    let end =
        |segment: segments::Segment<'_>| segment.body.as_ptr() as usize + segment.body.len() - jpeg.as_ptr() as usize;
    std::iter::once(2).chain(segments.map(end)).collect()
}

fn inserted(bytes: &[u8], at: usize, extraneous: &[u8]) -> Vec<u8> {
    [&bytes[..at], extraneous, &bytes[at..]].concat()
}

/// The gradient through libjpeg-turbo.
fn turbo_jpeg(set: impl Fn(&mut turbojpeg::Compressor)) -> Vec<u8> {
    let image = gradient();
    let (width, height, format) = (64, 48, turbojpeg::PixelFormat::GRAY);
    let mut compressor = turbojpeg::Compressor::new().expect("libjpeg-turbo");
    compressor.set_subsamp(turbojpeg::Subsamp::Gray).expect("sets");
    compressor.set_quality(95).expect("sets");
    set(&mut compressor);
    let image = turbojpeg::Image { pixels: image.pixels.as_slice(), width, pitch: width, height, format };
    compressor.compress_to_vec(image).expect("encodes")
}

fn progressive() -> Vec<u8> {
    turbo_jpeg(|compressor| compressor.set_progressive(true).expect("sets"))
}

fn colour_jpeg() -> Vec<u8> {
    let rgb: Vec<u8> = gradient().pixels.iter().flat_map(|&grey| [grey, 255 - grey, grey / 2]).collect();
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new(&mut bytes)
        .write_image(&rgb, 64, 48, image::ExtendedColorType::Rgb8)
        .expect("encodes");
    bytes
}

/// Nothing of the picture is lost: its pixels are those of the clean file, not those of an untouched buffer.
#[test]
fn bytes_between_segments_change_no_pixel() {
    for clean in [jpeg(&gradient()), colour_jpeg(), progressive()] {
        let wanted = decode_grey(&clean).expect("decodes");
        assert!(wanted.pixels.iter().any(|pixel| *pixel > 100));
        let ends = ends_of_segments(&clean);
        assert!(ends.len() >= 5, "{ends:?}");
        for at in ends {
            for extraneous in [&[0][..], &[0x12, 0x34, 0x56], &[0xFF], &[7, 0xFF, 0, 9]] {
                let file = inserted(&clean, at, extraneous);
                assert_eq!(decode_grey(&file).as_ref(), Ok(&wanted), "{extraneous:?} at {at}");
            }
        }
    }
}

fn corrupt(file: &[u8]) -> String {
    match decode_grey(file) {
        Err(DecodeError::Corrupt(reason)) => reason,
        other => panic!("expected a corrupt file, found {other:?}"),
    }
}

/// The data of the first rows alone begins as that of the whole picture does: cut there, these rows are good.
#[test]
fn damage_inside_of_the_data_tells_the_rows_before_it() {
    let (image, whole) = (gradient(), jpeg(&gradient()));
    let top = GreyImage { height: 24, pixels: image.pixels[..64 * 24].to_vec(), ..image };
    let data = |file: &[u8]| segments::after_header(file).expect("a scan").len() - 2;
    let cut = whole.len() - 2 - data(&whole) + data(&jpeg(&top));
    let broken = [&whole[..cut], &[0xFF, 0xD9]].concat();
    let reason = "Corrupt JPEG data: premature end of data segment; rows 0 to 23 of 48 look good (50 %)";
    assert_eq!(corrupt(&broken), reason);
    // A harmless warning before it hides nothing.
    assert_eq!(corrupt(&inserted(&broken, 2, &[1, 2])), reason);
    let early = [&whole[..whole.len() - data(&whole) - 1], &[0xFF, 0xD9]].concat();
    let reason = "Corrupt JPEG data: premature end of data segment; it comes before the first of 48 rows";
    assert_eq!(corrupt(&early), reason);
    let halfway = progressive();
    let start = halfway.len() - segments::after_header(&halfway).expect("a scan").len();
    let reason = corrupt(&[&halfway[..start + 10], &halfway[start + 14..]].concat());
    assert!(reason.starts_with("Corrupt JPEG data: ") && reason.ends_with("; it comes before the first of 48 rows"));
}

/// Most damage shows in the picture long before the decoder runs out of data.
#[test]
fn a_change_in_the_data_is_found_by_the_break_in_the_picture() {
    // A disc, of 256 x 256 pixels.
    let level = |i: i32| {
        if (i % 256 - 120).pow(2) + (i / 256 - 130).pow(2) < 10_000 { 60 + i % 256 / 4 + i / 2048 } else { 20 }
    };
    let pixels = (0..256 * 256).map(|i| level(i) as u8).collect();
    let whole = jpeg(&GreyImage { width: 256, height: 256, pixels });
    let clean = decode_grey(&whole).expect("decodes");
    assert_eq!(damage::rows_that_look_good(&clean.pixels, 256), 256);
    let start = whole.len() - segments::after_header(&whole).expect("a scan").len();
    let (mut near, mut count) = (0, 0);
    for at in (start..whole.len() - 2).step_by(whole.len() / 100) {
        let changed = [&whole[..at], &[whole[at] ^ 0x44], &whole[at + 1..]].concat();
        let frame = start_of_frame(&changed).expect("a frame");
        // Where the library warns, and what it decodes without stopping, by the wrapper.
        if libjpeg::decode(&changed, frame, 9).is_ok() {
            continue;
        }
        let mut spoiled = vec![0; 256 * 256];
        let image = turbojpeg::Image {
            pixels: spoiled.as_mut_slice(),
            width: 256,
            pitch: 256,
            height: 256,
            format: turbojpeg::PixelFormat::GRAY,
        };
        turbojpeg::Decompressor::new().expect("libjpeg-turbo").decompress(&changed, image).ok();
        let wrong = spoiled.iter().zip(&clean.pixels).position(|(spoiled, clean)| spoiled.abs_diff(*clean) > 8);
        let first = wrong.map_or(256, |pixel| pixel / 256);
        let good = match corrupt(&changed).split_once("; rows 0 to ") {
            Some((_, rest)) => 1 + rest.split(' ').next().expect("a number").parse::<usize>().expect("a number"),
            None => 0,
        };
        count += 1;
        near += usize::from(good.abs_diff(first) <= 24);
    }
    assert!(count > 20 && 10 * near >= 8 * count, "{near} of {count}");
}

/// All rows were decoded, from data that does not fit them: the kind of warning is the harmless one, its place is not.
#[test]
fn bytes_left_over_after_the_last_row_are_damage() {
    let whole = jpeg(&gradient());
    let at = whole.len() - 2;
    let reason =
        " extraneous bytes before marker 0xd9; it comes after the last of 48 rows, and none shows where they are wrong";
    // The decoder reads a few bytes ahead, so that these are not counted.
    let left_over = inserted(&whole, at, &[1; 20]);
    assert!(corrupt(&left_over).ends_with(reason), "{}", corrupt(&left_over));
    assert!(corrupt(&inserted(&left_over, 2, &[1, 2, 3])).ends_with(reason));
    // A byte changed in the data, after which the decoder takes too little of it.
    let noise = |i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8;
    let whole = jpeg(&GreyImage { pixels: (0..64 * 48).map(noise).collect(), ..gradient() });
    let data = whole.len() - segments::after_header(&whole).expect("a scan").len()..whole.len() - 2;
    let changed = data.map(|at| [&whole[..at], &[whole[at] ^ 0x20], &whole[at + 1..]].concat());
    let is_left_over = |file: &Vec<u8>| matches!(decode_grey(file), Err(DecodeError::Corrupt(why)) if why.contains(" extraneous bytes"));
    let count = changed.filter(is_left_over).count();
    assert!(count > 1000, "{count} of {}", whole.len());
}

#[test]
fn a_jpeg_of_too_many_scans_is_refused() {
    let file = progressive();
    let limited =
        |scans| decode_picture(&file, PictureSettings::default(), DecodeLimits { scans, ..DecodeLimits::USUAL });
    assert_eq!(limited(6), Ok(Pixels::Grey(decode_grey(&file).expect("decodes"))));
    let reason = "a JPEG of 6 scans, 5 are the most that are read: save it as PNG, for example by `convert in.jpg out.png` \
                  (ImageMagick)";
    assert_eq!(limited(5), Err(DecodeError::Unsupported(reason.to_owned())));
}

#[test]
fn a_picture_beyond_the_memory_is_refused() {
    let (png, jpeg) = (png(&gradient().pixels, image::ExtendedColorType::L8), jpeg(&gradient()));
    let limited = |file: &[u8], memory| {
        decode_picture(file, PictureSettings::default(), DecodeLimits { memory, ..DecodeLimits::USUAL })
    };
    for (file, memory) in [(png, 8 * 64 * 48), (jpeg, 2 * 64 * 48)] {
        assert!(limited(&file, memory).is_ok());
        let (found, most) = (human_bytes(memory), human_bytes(memory - 1));
        let reason =
            format!("decoding 64x48 pixels takes up to {found} of memory, {most} are the most: save it smaller");
        assert_eq!(limited(&file, memory - 1), Err(DecodeError::Unsupported(reason)));
    }
}

fn png(values: &[u8], colour: image::ExtendedColorType) -> Vec<u8> {
    let mut png = Vec::new();
    image::codecs::png::PngEncoder::new(&mut png).write_image(values, 64, 48, colour).expect("encodes");
    png
}

#[test]
fn channels_become_luma_and_alpha_is_ignored() {
    let grey = gradient();
    let rgb = |i: usize| [grey.pixels[i], (i % 251) as u8, (i / 16) as u8];
    let luma = |[r, g, b]: [u8; 3]| ((19595 * r as u32 + 38470 * g as u32 + 7471 * b as u32 + 32768) / 65536) as u8;
    let wanted: Vec<u8> = (0..64 * 48).map(|i| luma(rgb(i))).collect();
    let opaque: Vec<u8> = (0..64 * 48).flat_map(rgb).collect();
    let alpha: Vec<u8> = (0..64 * 48).flat_map(|i| [rgb(i).as_slice(), &[i as u8]].concat()).collect();
    for (values, colour) in [(opaque, image::ExtendedColorType::Rgb8), (alpha, image::ExtendedColorType::Rgba8)] {
        assert_eq!(decode_grey(&png(&values, colour)).expect("decodes").pixels, wanted, "{colour:?}");
    }
    let alpha: Vec<u8> = grey.pixels.iter().flat_map(|&level| [level, 255 - level]).collect();
    assert_eq!(decode_grey(&png(&alpha, image::ExtendedColorType::La8)).expect("decodes").pixels, grey.pixels);
}

/// A profile or a text of any size is passed over.
#[test]
fn chunks_besides_the_pixels_are_not_read() {
    let png = png(&gradient().pixels, image::ExtendedColorType::L8);
    let chunk = |name: &[u8; 4], contents: &[u8]| {
        let crc = crc32fast::hash(&[name, contents].concat());
        [&(contents.len() as u32).to_be_bytes(), name.as_slice(), contents, &crc.to_be_bytes()].concat()
    };
    let text = [b"Comment\0".as_slice(), &vec![b'a'; 3 << 20]].concat();
    for extra in [chunk(b"tEXt", &text), chunk(b"iCCP", b"profile\0\0no zlib"), chunk(b"tRNS", &[0, 7])] {
        // After IHDR.
        assert_eq!(decode_grey(&inserted(&png, 33, &extra)).as_ref(), Ok(&gradient()));
    }
    let cut = inserted(&png, 33, &chunk(b"tEXt", &text)[..40]);
    assert!(decode_grey(&cut).is_err());
}

/// By its header: of 8192 x 8192 pixels the values would take 537 MB.
#[test]
fn a_colour_picture_of_16_bits_is_refused_before_its_pixels_are_read() {
    let mut claim = png(&vec![0; 64 * 48 * 8], image::ExtendedColorType::Rgba16);
    claim[16..24].copy_from_slice(&[0, 0, 0x20, 0, 0, 0, 0x20, 0]);
    let crc = crc32fast::hash(&claim[12..29]);
    claim[29..33].copy_from_slice(&crc.to_be_bytes());
    let reason =
        "a colour picture with more than 8 bits a channel is no CT slice: expected 8 bits, or one grey channel of 16";
    assert_eq!(decode_grey(&claim), Err(DecodeError::Unsupported(reason.to_owned())));
}

mod jpegs;
