//! Decoding of pictures.

use super::*;
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
