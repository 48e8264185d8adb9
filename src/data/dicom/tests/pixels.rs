//! Stored values, their rescaling and turning, and harm to files.

use super::*;
use dicom_core::Tag;

fn rescaled(slope: &str, intercept: &str) -> Maker {
    let mut maker = Maker::new(ElementEncoding::EXPLICIT);
    maker.text(tags::MODALITY, b"CS", "CT").image((4, 1), [16, 12, 11], true);
    maker.text(tags::RESCALE_INTERCEPT, b"UN", intercept).text(tags::RESCALE_SLOPE, b"UN", slope);
    maker
}

#[test]
fn bits_around_the_value_do_not_count() {
    let mut maker = rescaled("1", "0");
    maker.words(tags::PIXEL_DATA, b"OW", &[0xF7FF, 0x0800, 0x5FFF, 0xA001]);
    let found = decode(maker.file(uids::EXPLICIT_VR_LITTLE_ENDIAN)).expect("decodes");
    assert_eq!(found.values, [2047.0, -2048.0, -1.0, 1.0]);
    // 13 bits, which others read without their sign (findings/dcm2niix-signed-13-bits.sh).
    let mut maker = Maker::new(ElementEncoding::EXPLICIT);
    maker.text(tags::MODALITY, b"CS", "CT").image((4, 1), [16, 13, 12], true);
    maker.words(tags::PIXEL_DATA, b"OW", &[0x1C18, 0x1FFF, 0, 40]);
    let found = decode(maker.file(uids::EXPLICIT_VR_LITTLE_ENDIAN)).expect("decodes");
    assert_eq!(found.values, [-1000.0, -1.0, 0.0, 40.0]);
    // The value in the upper bits.
    let mut maker = Maker::new(ElementEncoding::EXPLICIT);
    maker.text(tags::MODALITY, b"CS", "CT").image((4, 1), [16, 12, 15], false);
    maker.words(tags::PIXEL_DATA, b"OW", &[0xFFFF, 0x0010, 0x000F, 0x1234]);
    let found = decode(maker.file(uids::EXPLICIT_VR_LITTLE_ENDIAN)).expect("decodes");
    assert_eq!(found.values, [4095.0, 1.0, 0.0, f32::from(0x123_u16)]);
}

#[test]
fn bytes_and_long_words_are_read() {
    for (bits, signed, pixels, expected) in [
        ([8, 8, 7], false, vec![0, 1, 128, 255], [0.0, 1.0, 128.0, 255.0]),
        ([8, 8, 7], true, vec![0, 1, 128, 255], [0.0, 1.0, -128.0, -1.0]),
        (
            [32, 32, 31],
            false,
            [[0; 4], [1, 0, 0, 0], [0, 0, 0, 128], [255; 4]].concat(),
            [0.0, 1.0, 2_147_483_648.0, 4_294_967_295.0],
        ),
        (
            [32, 32, 31],
            true,
            [[0; 4], [1, 0, 0, 0], [0, 0, 0, 128], [255; 4]].concat(),
            [0.0, 1.0, -2_147_483_648.0, -1.0],
        ),
    ] {
        let mut maker = Maker::new(ElementEncoding::EXPLICIT);
        maker.text(tags::MODALITY, b"CS", "CT").image((4, 1), bits, signed).raw(tags::PIXEL_DATA, b"OW", &pixels);
        let found = decode(maker.file(uids::EXPLICIT_VR_LITTLE_ENDIAN)).expect("decodes");
        assert_eq!(found.values, expected, "{bits:?} {signed}");
    }
}

#[test]
fn rescaling_reads_text_of_unknown_representation_and_refuses_other_text() {
    let pixels = [0, 1, 0xFFFF, 2047];
    for (slope, intercept, expected) in
        [("2", "-1024", [-1024.0, -1022.0, -1026.0, 3070.0]), ("0.1", "0.05", [0.05, 0.15, -0.05, 204.75])]
    {
        let mut maker = rescaled(slope, intercept);
        maker.words(tags::PIXEL_DATA, b"OW", &pixels);
        assert_eq!(decode(maker.file(uids::EXPLICIT_VR_LITTLE_ENDIAN)).expect("decodes").values, expected);
    }
    let mut maker = rescaled("one", "0");
    maker.words(tags::PIXEL_DATA, b"OW", &pixels);
    let error = decode(maker.file(uids::EXPLICIT_VR_LITTLE_ENDIAN)).expect_err("no number");
    assert_eq!(error, DecodeError::Corrupt("expected a number in Rescale Slope, found other text".to_owned()));
}

#[test]
fn padding_is_a_range_in_hounsfield_units() {
    for (limit, expected) in [(None, (-2024.0, -2024.0)), (Some(0xFC17), (-2025.0, -2024.0))] {
        let mut maker = Maker::new(ElementEncoding::EXPLICIT);
        maker.text(tags::MODALITY, b"CS", "CT").image((2, 1), [16, 16, 15], true);
        maker.words(tags::PIXEL_PADDING_VALUE, b"US", &[0xFC18]);
        if let Some(limit) = limit {
            maker.words(tags::PIXEL_PADDING_RANGE_LIMIT, b"US", &[limit]);
        }
        maker.text(tags::RESCALE_INTERCEPT, b"DS", "-1024").words(tags::PIXEL_DATA, b"OW", &[0xFC18, 0]);
        let found = decode(maker.file(uids::EXPLICIT_VR_LITTLE_ENDIAN)).expect("decodes");
        assert_eq!(found.values, [-2024.0, -1024.0]);
        assert_eq!(found.padding, Some(expected));
    }
}

#[test]
fn a_modality_table_maps_and_clamps() {
    let mut maker = Maker::new(ElementEncoding::EXPLICIT);
    maker.text(tags::MODALITY, b"CS", "CT").image((4, 1), [16, 16, 15], true);
    maker.sequence(tags::MODALITY_LUT_SEQUENCE, |item| {
        item.words(tags::LUT_DESCRIPTOR, b"SS", &[3, 0xFFFE, 16]).words(tags::LUT_DATA, b"US", &[10, 20, 65_000]);
    });
    maker.words(tags::PIXEL_DATA, b"OW", &[0x8000, 0xFFFF, 0, 0x7FFF]);
    let found = decode(maker.file(uids::EXPLICIT_VR_LITTLE_ENDIAN)).expect("decodes");
    assert_eq!(found.values, [10.0, 20.0, 65_000.0, 65_000.0]);
}

#[test]
fn slices_turn_first_over_and_then_flip() {
    // Larger than a band, and no multiple of one.
    let (width, height) = (37_usize, 53_usize);
    let mut maker = Maker::new(ElementEncoding::EXPLICIT);
    maker.text(tags::MODALITY, b"CS", "CT").image((width as u16, height as u16), [16, 16, 15], false);
    maker.words(tags::PIXEL_DATA, b"OW", &(0..(width * height) as u16).collect::<Vec<_>>());
    let file = DicomFile::open(maker.file(uids::EXPLICIT_VR_LITTLE_ENDIAN)).expect("opens");
    for code in 0..8 {
        let turn = Turn { transpose: code & 1 != 0, flip_x: code & 2 != 0, flip_y: code & 4 != 0 };
        let found = file.frame(0, turn).expect("decodes");
        let (w, h) = if turn.transpose { (height, width) } else { (width, height) };
        assert_eq!((found.width as usize, found.height as usize), (w, h));
        for (at, &value) in found.values.iter().enumerate() {
            let (x, y) = (at % w, at / w);
            let (x, y) = (if turn.flip_x { w - 1 - x } else { x }, if turn.flip_y { h - 1 - y } else { y });
            let (column, row) = if turn.transpose { (y, x) } else { (x, y) };
            assert_eq!(value, (row * width + column) as f32, "{turn:?} {at}");
        }
    }
}

/// For closures that change a file.
fn done(_: &mut Maker) {}

#[test]
fn images_of_other_kinds_are_refused_by_name() {
    let file = |change: &dyn Fn(&mut Maker)| {
        let mut maker = with_pixels(ElementEncoding::EXPLICIT);
        maker.bytes.truncate(maker.bytes.len() - 60);
        change(&mut maker);
        decode(maker.words(tags::PIXEL_DATA, b"OW", &[0; 24]).file(uids::EXPLICIT_VR_LITTLE_ENDIAN)).map(|_| ())
    };
    assert_eq!(file(&|_| {}), Ok(()));
    let rgb = file(&|maker| done(maker.text(tags::PHOTOMETRIC_INTERPRETATION, b"CS", "RGB")));
    assert!(matches!(&rgb, Err(DecodeError::Unsupported(text)) if text.contains("RGB")), "{rgb:?}");
    let bit = file(&|maker| done(maker.words(tags::BITS_ALLOCATED, b"US", &[1])));
    assert!(matches!(&bit, Err(DecodeError::Unsupported(text)) if text.contains("1 bits")), "{bit:?}");
    assert_eq!(file(&|maker| done(maker.words(tags::ROWS, b"US", &[60_000]))), Err(DecodeError::Oversized(6, 60_000)));
    assert_eq!(file(&|maker| done(maker.words(tags::ROWS, b"US", &[8000]))), Err(DecodeError::Truncated));
    let bits = file(&|maker| done(maker.words(tags::BITS_STORED, b"US", &[17])));
    assert!(matches!(bits, Err(DecodeError::Corrupt(_))));
}

#[test]
fn long_claims_take_no_memory() {
    for tag in [tags::PATIENT_ID, Tag(0x0009, 0x0010), tags::ROWS] {
        let mut maker = Maker::new(ElementEncoding::IMPLICIT);
        maker.text(tags::MODALITY, b"CS", "CT").head(tag, b"  ", 0xFFFF_FFF0);
        assert_eq!(DicomHeader::read(maker.file("").as_slice()), Err(DecodeError::Truncated));
    }
    // Sequences without end, one inside of the other.
    let mut maker = Maker::new(ElementEncoding::IMPLICIT);
    maker.text(tags::MODALITY, b"CS", "CT");
    for _ in 0..10_000 {
        maker.head(tags::PIXEL_MEASURES_SEQUENCE, b"  ", u32::MAX).head(element_source::ITEM, b"  ", u32::MAX);
    }
    assert!(matches!(DicomHeader::read(maker.file("").as_slice()), Err(DecodeError::Corrupt(_))));
}

#[test]
fn every_cut_is_an_error_and_no_flip_panics() {
    let bytes = with_pixels(ElementEncoding::EXPLICIT).file(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    for cut in 0..bytes.len() {
        assert!(decode(bytes[..cut].to_vec()).is_err(), "cut at {cut} of {}", bytes.len());
    }
    assert_eq!(decode(bytes[..bytes.len() - 1].to_vec()), Err(DecodeError::Truncated));
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xFF] {
            let mut broken = bytes.clone();
            broken[at] ^= flip;
            decode(broken).ok();
        }
    }
}
