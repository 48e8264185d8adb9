//! Reads image files: their header, and their pixels as grey levels.

use anyhow::Result;
use memchr::memmem;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use turbojpeg::{Decompressor, PixelFormat};

/// The longest side that is decoded, in pixels. A CT slice has 512; a header that claims more than this is a defect or
/// an attack on memory.
pub const MAX_SIDE: u32 = 8192;

/// The format of an image file, determined by its first bytes and not by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Baseline JPEG, with rows from top to bottom: what CT exports write.
    Jpeg,
    /// Progressive JPEG, in several scans of increasing detail.
    ProgressiveJpeg,
    /// PNG.
    Png,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::ProgressiveJpeg => "progressive JPEG",
            Self::Png => "PNG",
        })
    }
}

/// Grey or colour, as the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColourMode {
    /// One channel.
    Grey,
    /// Three or four channels.
    Colour,
}

/// The header of an image file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// File format.
    pub format: Format,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Grey or colour.
    pub colour: ColourMode,
}

impl Header {
    /// Reads a JPEG or PNG header; `None` when `bytes` begin as neither or end before the dimensions.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xFF, 0xD8, ..] => Self::parse_jpeg(bytes),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Self::parse_png(bytes),
            _ => None,
        }
    }

    /// Walks the marker segments up to the start of frame (ITU T.81, B.1 and B.2.2).
    fn parse_jpeg(bytes: &[u8]) -> Option<Self> {
        let mut at = 2;
        loop {
            while *bytes.get(at)? != 0xFF {
                at += 1;
            }
            let marker = *bytes.get(at + 1)?;
            match marker {
                0xFF => at += 1,
                0x00 | 0x01 | 0xD0..=0xD8 => at += 2,
                0xD9 | 0xDA => return None,
                // SOF0 to SOF15 without DHT (C4), JPG (C8) and DAC (CC).
                0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => {
                    let frame = bytes.get(at + 4..at + 10)?;
                    let format = if matches!(marker, 0xC2 | 0xC6 | 0xCA | 0xCE) {
                        Format::ProgressiveJpeg
                    } else {
                        Format::Jpeg
                    };
                    return Some(Self {
                        format,
                        height: u32::from(u16::from_be_bytes([frame[1], frame[2]])),
                        width: u32::from(u16::from_be_bytes([frame[3], frame[4]])),
                        colour: if frame[5] == 1 { ColourMode::Grey } else { ColourMode::Colour },
                    });
                }
                _ => {
                    let length = u16::from_be_bytes([*bytes.get(at + 2)?, *bytes.get(at + 3)?]);
                    at += 2 + usize::from(length.max(2));
                }
            }
        }
    }

    /// The IHDR chunk comes first and has a fixed place (PNG specification, 11.2.2).
    fn parse_png(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let colour = if matches!(bytes.get(25)?, 0 | 4) { ColourMode::Grey } else { ColourMode::Colour };
        Some(Self { format: Format::Png, width: number(16)?, height: number(20)?, colour })
    }
}

/// A decoded slice: grey levels 0 to 255, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GreyImage {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `width * height` grey levels.
    pub pixels: Vec<u8>,
}

/// Why a file cannot be decoded; the audit has a check for each reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeError {
    /// Neither JPEG nor PNG; holds a description of the first bytes.
    NotAnImage(String),
    /// The header claims more than [`MAX_SIDE`] pixels on a side.
    Oversized(u32, u32),
    /// The pixels end too early.
    Truncated,
    /// Any other error, with the decoder's message.
    Corrupt(String),
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAnImage(found) => write!(f, "expected a JPEG or PNG file, found {found}"),
            Self::Oversized(w, h) => write!(f, "expected sides of 1 to {MAX_SIDE} pixels, the header claims {w}x{h}"),
            Self::Truncated => write!(f, "expected a whole image, the file ends before its last pixels"),
            Self::Corrupt(reason) => write!(f, "expected a valid image, the decoder says: {reason}"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Decodes a JPEG or PNG to grey levels. Colour becomes luma: a JPEG's own Y channel, or for PNG and RGB
/// (19595 R + 38470 G + 7471 B + 32768) / 65536 as Pillow's `convert("L")`.
///
/// A file whose pixels end early is an error, not an image with a grey lower half.
pub fn decode_grey(bytes: &[u8]) -> Result<GreyImage, DecodeError> {
    let header = Header::parse(bytes).ok_or_else(|| match bytes {
        // A JPEG that ends inside its header is truncated, not another format.
        [0xFF, 0xD8, ..] => DecodeError::Truncated,
        _ => DecodeError::NotAnImage(first_bytes(bytes)),
    })?;
    let (width, height) = (header.width, header.height);
    if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
        return Err(DecodeError::Oversized(width, height));
    }
    let pixels = match header.format {
        Format::Png => decode_png(bytes)?,
        Format::Jpeg | Format::ProgressiveJpeg => decode_jpeg(bytes, (width, height))?,
    };
    if pixels.len() != width as usize * height as usize {
        let found = pixels.len();
        return Err(DecodeError::Corrupt(format!("{found} pixels decoded, the header claims {width}x{height}")));
    }
    Ok(GreyImage { width, height, pixels })
}

thread_local! {
    /// One per thread, so that its buffers are reused.
    static DECOMPRESSOR: RefCell<Option<Decompressor>> = const { RefCell::new(None) };
}

fn decode_jpeg(bytes: &[u8], (width, height): (u32, u32)) -> Result<Vec<u8>, DecodeError> {
    // Inside the compressed data every FF byte is followed by 00 or a restart marker, so FF D9 is the end of the image
    // and nothing else; decoders fill the missing rows with grey without a warning.
    let start_of_scan = memmem::find(bytes, &[0xFF, 0xDA]).ok_or(DecodeError::Truncated)?;
    if !bytes.ends_with(&[0xFF, 0xD9]) && memmem::find(&bytes[start_of_scan..], &[0xFF, 0xD9]).is_none() {
        return Err(DecodeError::Truncated);
    }
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(Decompressor::new().map_err(decode_error)?),
        };
        let mut pixels = vec![0; width as usize * height as usize];
        let (width, height) = (width as usize, height as usize);
        let grey = PixelFormat::GRAY;
        let image = turbojpeg::Image { pixels: pixels.as_mut_slice(), width, pitch: width, height, format: grey };
        match decompressor.decompress(bytes, image).map_err(decode_error) {
            Ok(()) => Ok(pixels),
            // Bytes between two markers that belong to neither: nothing is lost.
            Err(DecodeError::Corrupt(reason)) if reason.contains("extraneous bytes") => Ok(pixels),
            Err(error) => Err(error),
        }
    })
}

/// Translates libjpeg-turbo's messages. It fills missing rows with grey and only warns; here a warning is an error.
fn decode_error(error: turbojpeg::Error) -> DecodeError {
    match error {
        turbojpeg::Error::TurboJpegError(reason) if reason.to_lowercase().contains("premature end") => {
            DecodeError::Truncated
        }
        turbojpeg::Error::TurboJpegError(reason) => DecodeError::Corrupt(reason),
        other => DecodeError::Corrupt(other.to_string()),
    }
}

fn decode_png(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let image = image::load_from_memory_with_format(bytes, image::ImageFormat::Png).map_err(|error| {
        if error.to_string().contains("unexpected end") {
            DecodeError::Truncated
        } else {
            DecodeError::Corrupt(error.to_string())
        }
    })?;
    Ok(match image {
        image::DynamicImage::ImageLuma8(grey) => grey.into_raw(),
        other => other.to_rgb8().pixels().map(|p| luma(p.0)).collect(),
    })
}

fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((19595 * u32::from(r) + 38470 * u32::from(g) + 7471 * u32::from(b) + 0x8000) >> 16) as u8
}

fn first_bytes(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "an empty file".to_owned();
    }
    let head = &bytes[..bytes.len().min(16)];
    format!("{} bytes beginning {:?}", bytes.len(), String::from_utf8_lossy(head))
}

/// Encodes a square image as PNG for display: one byte per pixel is grey, three are RGB.
pub(crate) fn encode_png(side: u32, pixels: &[u8]) -> Result<Vec<u8>> {
    use image::ImageEncoder as _;
    let grey = pixels.len() == side as usize * side as usize;
    let colour = if grey { image::ExtendedColorType::L8 } else { image::ExtendedColorType::Rgb8 };
    let mut png = Vec::new();
    image::codecs::png::PngEncoder::new(&mut png).write_image(pixels, side, side, colour)?;
    Ok(png)
}

#[cfg(test)]
mod tests {
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
        assert_eq!(error, "expected a JPEG or PNG file, found 5 bytes beginning \"hello\"");
        assert!(matches!(decode_grey(b""), Err(DecodeError::NotAnImage(_))));
    }
}
