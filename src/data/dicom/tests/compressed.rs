//! Compressed pixels: 6x4 values, of which number i is 1700 i + 13, or a sixteenth of that in 12 bits. The streams come
//! from libjpeg-turbo, OpenJPEG, OpenJPH and CharLS.

use super::*;

const LOSSLESS_16: &str = "ffd8ffe000104a46494600010100000100010000ffc3000b100004000601011100ffc4001600010101000000000000000000000000000b0e0fffda0008010100010000c0031a91a91a91a91a929f61a91a91a91a91a929f61a91a91a91a91a929f61a91a91a91a91a93fffd9";
const LOSSLESS_12: &str = "ffd8ffe000104a46494600010100000100010000ffc3000b0c0004000601011100ffc40017000101010100000000000000000000000009070a0cffda0008010100060000e7ff00b5daad56ab5e9f93e4fd404fd3ed3ea809fa7c9fa81a7e4f93f5013f4fbfffd9";
const EXTENDED_12: &str = "ffd8ffe000104a46494600010100000100010000ffdb00430001010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101ffc1000b0c0004000601011100ffc4001400010000000000000000000000000000000cffc40023100000010c03000000000000000000000006000105080b0c0d192a3747556169e1ffda0008010100003f0039ab21386e93a71cac1254056150b1aed29aedc2dd7679c17fffd9";
const JPEG_2000: &str = "ff4fff5100290000000000060000000400000000000000000000000600000004000000000000000000010f0101ff52000c00000001000004040001ff5c00044080ff640025000143726561746564206279204f70656e4a5045472076657273696f6e20322e352e34ff90000a0000000000400001ff93cffc30b810dc3ab3b449e9eb4c338143a4748337868a2a873b41cd4dff6c16947c70f36c005a2c73471c1ed68aff51c782fcffd9";
const HIGH_THROUGHPUT: &str = "ff4fff5100294000000000060000000400000000000000000000000600000004000000000000000000010f0101ff500008000200000009ff52000c00020001000104044001ff5c00072088888888ff64001700014f70656e4a50482056657220302e32362e332eff90000a00000000003e0001ff93c0002d20e5ff4cccaa72826cee7842f901080178b600c0002780005600466dd4830b7400ae4fd7c7f5f90039c0775600ffd9";
const JPEG_LS: &str = "ffd8ffe800205350494646000200000100000004000000060a1006010000012c0000012cffe8000800000001ffd8fff7000b100004000601011100fff8000d01ffff0012004301140040ffda0008010100000000419151c5476a2b50da8200003d80a90d466a23508548007d474fba79d3ae9c35183f3dd34e9974c3a5cd44ffd9";

fn hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .as_chunks::<2>()
        .0
        .iter()
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).expect("ASCII"), 16).expect("hex"))
        .collect()
}

fn wanted(bits: u16) -> Vec<f32> {
    (0..24_u16).map(|i| f32::from((1700 * i + 13) >> (16 - bits))).collect()
}

/// A file with fragments; the first is the offset table.
fn file(syntax: &str, bits: u16, frames: u32, fragments: &[&[u8]]) -> Vec<u8> {
    let mut maker = Maker::new(ElementEncoding::EXPLICIT);
    maker.text(tags::MODALITY, b"CS", "CT").text(tags::NUMBER_OF_FRAMES, b"IS", &frames.to_string());
    maker.image((6, 4), [16, bits, bits - 1], false).head(tags::PIXEL_DATA, b"OB", u32::MAX);
    for fragment in fragments {
        maker.raw(element_source::ITEM, b"  ", fragment);
    }
    maker.head(element_source::SEQUENCE_END, b"  ", 0).file(syntax)
}

/// RLE with literal runs only.
fn rle(values: &[f32]) -> Vec<u8> {
    let plane = |shift: u32| -> Vec<u8> {
        let bytes = values.iter().map(|&value| (value as u32 >> shift) as u8);
        std::iter::once(values.len() as u8 - 1).chain(bytes).collect()
    };
    let (high, low) = (plane(8), plane(0));
    let mut frame = vec![0; 64];
    for (at, number) in [2, 64, 64 + high.len() as u32].into_iter().enumerate() {
        frame[4 * at..4 * at + 4].copy_from_slice(&number.to_le_bytes());
    }
    [frame, high, low].concat()
}

#[test]
fn every_compressed_syntax_gives_its_values() {
    for (syntax, bits, stream) in [
        (uids::JPEG_LOSSLESS_SV1, 16, hex(LOSSLESS_16)),
        (uids::JPEG_LOSSLESS, 12, hex(LOSSLESS_12)),
        (uids::JPEG_EXTENDED12_BIT, 12, hex(EXTENDED_12)),
        (uids::JPEG2000_LOSSLESS, 16, hex(JPEG_2000)),
        (uids::HTJ2K_LOSSLESS, 16, hex(HIGH_THROUGHPUT)),
        (uids::JPEGLS_LOSSLESS, 16, hex(JPEG_LS)),
        (uids::RLE_LOSSLESS, 16, rle(&wanted(16))),
    ] {
        let found = decode(file(syntax, bits, 1, &[&[], &stream])).expect(syntax).values;
        let most = if syntax == uids::JPEG_EXTENDED12_BIT { 1.0 } else { 0.0 };
        let worst = found.iter().zip(wanted(bits)).map(|(found, wanted)| (found - wanted).abs()).fold(0.0, f32::max);
        assert!(found.len() == 24 && worst <= most, "{syntax}: {found:?}");
        // The same in several fragments.
        let (one, two) = stream.split_at(stream.len() / 2 / 2 * 2);
        let joined = decode(file(syntax, bits, 1, &[&[], one, two])).expect(syntax).values;
        assert_eq!(found, joined);
        // Cut inside of the stream, with the file itself being whole.
        for cut in [stream.len() / 4, stream.len() / 2, stream.len() - 8] {
            let error = decode(file(syntax, bits, 1, &[&[], &stream[..cut]])).map(|_| ());
            assert!(error.is_err(), "{syntax} cut at {cut}");
        }
        for at in 0..stream.len() {
            let mut broken = stream.clone();
            broken[at] ^= 0xFF;
            decode(file(syntax, bits, 1, &[&[], &broken])).ok();
        }
    }
}

/// Bytes between two segments are nobody's loss; a frame with damage in its data never counts.
#[test]
fn warnings_of_jpeg_frames_are_told_apart() {
    let frame = |stream: &[u8]| decode(file(uids::JPEG_LOSSLESS_SV1, 16, 1, &[&[], stream]));
    let whole = hex(LOSSLESS_16);
    let between = [&whole[..2], &[1, 2, 3], &whole[2..]].concat();
    assert_eq!(frame(&between).expect("decodes").values, wanted(16));
    let left_over = [&whole[..whole.len() - 2], &[1; 20], &whole[whole.len() - 2..]].concat();
    let reason =
        " extraneous bytes before marker 0xd9; it comes after the last of 4 rows, and none shows where they are wrong";
    let error = frame(&left_over).map(|_| ()).expect_err("left over");
    assert!(matches!(&error, DecodeError::Corrupt(text) if text.ends_with(reason)), "{error}");
}

#[test]
fn a_broken_frame_does_not_spoil_the_next() {
    let (syntax, whole) = (uids::JPEG_LOSSLESS_SV1, hex(LOSSLESS_16));
    for at in 2..whole.len() - 2 {
        let mut broken = whole.clone();
        broken[at] ^= 0xFF;
        decode(file(syntax, 16, 1, &[&[], &broken])).ok();
        assert_eq!(decode(file(syntax, 16, 1, &[&[], &whole])).expect("decodes").values, wanted(16), "after {at}");
    }
}

#[test]
fn frames_are_found_by_number_or_by_the_offset_table() {
    let streams = [rle(&[5.0; 24]), rle(&[6.0; 24])];
    let [one, two] = [&streams[0], &streams[1]].map(|stream| stream.as_slice());
    let (first, rest) = one.split_at(70);
    let table = [0_u32, (one.len() + 16) as u32].map(u32::to_le_bytes).concat();
    for (frames, fragments) in [(2, vec![[].as_slice(), one, two]), (2, vec![&table, first, rest, two])] {
        let opened = DicomFile::open(file(uids::RLE_LOSSLESS, 16, frames, &fragments)).expect("opens");
        for (frame, value) in [(0, 5.0), (1, 6.0)] {
            assert_eq!(opened.frame(frame, Turn::default()).expect("decodes").values, [value; 24]);
        }
    }
    for fragments in
        [vec![[].as_slice(), first, rest, two], vec![&[1, 0, 0, 0, 2, 0, 0, 0], first, rest, two], vec![&[]]]
    {
        assert!(matches!(decode(file(uids::RLE_LOSSLESS, 16, 2, &fragments)), Err(DecodeError::Corrupt(_))));
    }
}

#[test]
fn frames_that_differ_from_the_header_are_corrupt() {
    for (syntax, stream) in
        [(uids::JPEG_LOSSLESS_SV1, LOSSLESS_16), (uids::JPEG2000_LOSSLESS, JPEG_2000), (uids::JPEGLS_LOSSLESS, JPEG_LS)]
    {
        let mut maker = Maker::new(ElementEncoding::EXPLICIT);
        maker.text(tags::MODALITY, b"CS", "CT").image((7, 4), [16, 16, 15], false);
        maker.head(tags::PIXEL_DATA, b"OB", u32::MAX).raw(element_source::ITEM, b"  ", &[]);
        maker.raw(element_source::ITEM, b"  ", &hex(stream)).head(element_source::SEQUENCE_END, b"  ", 0);
        let text = decode(maker.file(syntax)).expect_err("other sides").to_string();
        assert!(text.contains("expected compressed pixels of 7x4 as the header says, found 6x4"), "{text}");
    }
    let fixed = with_pixels(ElementEncoding::EXPLICIT).file(uids::RLE_LOSSLESS);
    assert!(matches!(decode(fixed), Err(DecodeError::Corrupt(text)) if text.contains("fixed length")));
}

#[test]
fn other_syntaxes_are_refused_with_a_way_out() {
    for (syntax, name) in [
        ("1.2.840.10008.1.2.4.55", "1.2.840.10008.1.2.4.55 (JPEG full progression): not decoded; convert"),
        (uids::MPEG2MPML, "(MPEG2 Main Profile / Main Level)"),
        ("1.2.3.4", "1.2.3.4: not decoded"),
    ] {
        let error = decode(file(syntax, 16, 1, &[&[], &[1, 2, 3, 4]]));
        assert!(matches!(&error, Err(DecodeError::Unsupported(text)) if text.contains(name)), "{error:?}");
    }
}
