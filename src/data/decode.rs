//! Reads picture files: their header, and their pixels.

use crate::base::errors::Result;
use crate::data::pixels::{GreyImage, Pixels, SixteenBit, StoredRange};
use image::{ColorType, ImageDecoder as _};
use serde::{Deserialize, Serialize};
use std::io::Cursor;

mod coloured;
mod damage;
mod jpeg_kinds;
pub(crate) mod libjpeg;
mod limits;
mod lossless;
pub(crate) mod segments;
mod tiff_pages;

use coloured::{coloured_share_of, coloured_share_of_rgb};
use libjpeg::JpegValues;
pub(crate) use limits::{DecodeLimits, room_for};
use lossless::StoredValues;
use segments::{after_header, start_of_frame};
use tiff_pages::TiffPages;

/// The longest side that is decoded, in pixels. A CT slice has 512; a header that claims more than this is a defect or
/// an attack on memory.
pub const MAX_SIDE: u32 = 8192;

/// The format of a file of slices, determined by its first bytes and not by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Baseline JPEG, with rows from top to bottom: what CT exports write.
    Jpeg,
    /// Progressive JPEG, in several scans of increasing detail.
    ProgressiveJpeg,
    /// PNG.
    Png,
    /// TIFF of one picture.
    Tiff,
    /// DICOM, one slice or several frames.
    Dicom,
    /// NIfTI volume.
    Nifti,
    /// NRRD volume.
    Nrrd,
    /// MetaImage volume.
    MetaImage,
}

impl Format {
    /// All, with the name in files and the name for people.
    const NAMES: [(Self, &'static str, &'static str); 8] = [
        (Self::Jpeg, "jpeg", "JPEG"),
        (Self::ProgressiveJpeg, "progressive-jpeg", "progressive JPEG"),
        (Self::Png, "png", "PNG"),
        (Self::Tiff, "tiff", "TIFF"),
        (Self::Dicom, "dicom", "DICOM"),
        (Self::Nifti, "nifti", "NIfTI"),
        (Self::Nrrd, "nrrd", "NRRD"),
        (Self::MetaImage, "metaimage", "MetaImage"),
    ];

    /// Whether a file of this format holds one picture.
    pub(crate) fn is_picture(self) -> bool {
        matches!(self, Self::Jpeg | Self::ProgressiveJpeg | Self::Png | Self::Tiff)
    }

    /// Whether a file of this format holds slices in an order of its own.
    pub(crate) fn is_volume(self) -> bool {
        matches!(self, Self::Nifti | Self::Nrrd | Self::MetaImage)
    }

    /// The name in files.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES[self as usize].1
    }

    /// The format with this name in files.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|known| known.1 == name).map(|known| known.0)
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(Self::NAMES[*self as usize].2)
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
    /// Reads the header of a JPEG, PNG or TIFF; `None` when `bytes` begin as none of them or end before the dimensions.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xFF, 0xD8, ..] => Self::parse_jpeg(bytes),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Self::parse_png(bytes),
            [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Self::parse_tiff(bytes),
            _ => None,
        }
    }

    /// By the start of frame (ITU T.81, B.2.2).
    fn parse_jpeg(bytes: &[u8]) -> Option<Self> {
        let frame = start_of_frame(bytes)?;
        let format = if frame.is_progressive() { Format::ProgressiveJpeg } else { Format::Jpeg };
        let colour = if frame.components == 1 { ColourMode::Grey } else { ColourMode::Colour };
        Some(Self { format, width: frame.width.into(), height: frame.height.into(), colour })
    }

    /// The IHDR chunk comes first and has a fixed place (PNG specification, 11.2.2).
    fn parse_png(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let colour = if matches!(bytes.get(25)?, 0 | 4) { ColourMode::Grey } else { ColourMode::Colour };
        Some(Self { format: Format::Png, width: number(16)?, height: number(20)?, colour })
    }

    fn parse_tiff(bytes: &[u8]) -> Option<Self> {
        let decoder = image::codecs::tiff::TiffDecoder::new(Cursor::new(bytes)).ok()?;
        let (width, height) = decoder.dimensions();
        let grey = matches!(decoder.color_type(), ColorType::L8 | ColorType::La8 | ColorType::L16 | ColorType::La16);
        let colour = if grey { ColourMode::Grey } else { ColourMode::Colour };
        Some(Self { format: Format::Tiff, width, height, colour })
    }
}

/// Why a file cannot be decoded; the audit has a check for each reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeError {
    /// None of the formats that are read; holds a description of the first bytes.
    NotAnImage(String),
    /// The header claims more than [`MAX_SIDE`] pixels on a side.
    Oversized(u32, u32),
    /// The pixels end too early.
    Truncated,
    /// A JPEG with all of its picture, but without the marker of its end.
    NoEndMarker,
    /// Any other error, with the decoder's message.
    Corrupt(String),
    /// A valid file of a kind that is not read; says which, and how to convert it.
    Unsupported(String),
    /// A 16-bit picture, and nobody said what its values mean: see [`SixteenBit`].
    UnknownValues(StoredRange),
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAnImage(found) => {
                write!(f, "expected a JPEG, PNG, TIFF, DICOM, NIfTI, NRRD or MetaImage file, found {found}")
            }
            Self::Oversized(w, h) => write!(f, "expected sides of 1 to {MAX_SIDE} pixels, the header claims {w}x{h}"),
            Self::Truncated => write!(f, "expected a whole image, the file ends before its last pixels"),
            Self::NoEndMarker => f.write_str(
                "all of the picture is there, only the two bytes FF D9 that mark a JPEG's end are missing: to use such files, \
                 set COVID_CT_NO_END_MARKER=accept and run the audit again",
            ),
            Self::Corrupt(reason) => write!(f, "expected a valid image, the decoder says: {reason}"),
            Self::Unsupported(what) => f.write_str(what),
            Self::UnknownValues(range) => write!(f, "{range}"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Decodes a JPEG, PNG or TIFF with 8 bits a channel to grey levels. Colour becomes luma: a JPEG's own Y channel, or for
/// PNG, TIFF and RGB (19595 R + 38470 G + 7471 B + 32768) / 65536 as Pillow's `convert("L")`.
///
/// A file whose pixels end early is an error, not an image with a grey lower half.
///
/// # Errors
/// [`DecodeError`]; 16-bit pictures are [`DecodeError::UnknownValues`].
pub fn decode_grey(bytes: &[u8]) -> Result<GreyImage, DecodeError> {
    match decode_picture(bytes, PictureSettings::default(), DecodeLimits::USUAL)? {
        Pixels::Grey(image) => Ok(image),
        Pixels::Hounsfield(_) => Err(DecodeError::Corrupt("Hounsfield units, expected grey levels".to_owned())),
    }
}

/// What was said of a data set's pictures that their files do not say.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct PictureSettings {
    /// What 16-bit values mean.
    pub(crate) sixteen_bit: Option<SixteenBit>,
    /// Whether JPEGs are used that are whole but for the marker of their end.
    pub(crate) accepts_no_end: bool,
}

/// Decodes a JPEG, PNG or TIFF as [`decode_grey`] does, and by what was said of such pictures.
pub(crate) fn decode_picture(bytes: &[u8], said: PictureSettings, limits: DecodeLimits) -> Result<Pixels, DecodeError> {
    Ok(decode(bytes, said, limits, false)?.0)
}

/// The same, with the share of a picture of three channels that is coloured, 0 to 1: such a picture may still be grey.
pub(crate) fn decode_coloured(
    bytes: &[u8],
    said: PictureSettings,
    limits: DecodeLimits,
) -> Result<(Pixels, Option<f32>), DecodeError> {
    decode(bytes, said, limits, true)
}

fn decode(
    bytes: &[u8],
    said: PictureSettings,
    limits: DecodeLimits,
    looks_for_colour: bool,
) -> Result<(Pixels, Option<f32>), DecodeError> {
    if let [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] = bytes
        && let Some(why) = TiffPages::of(bytes).and_then(|pages| pages.not_read())
    {
        return Err(DecodeError::Unsupported(why));
    }
    let header = Header::parse(bytes).ok_or_else(|| match bytes {
        // A JPEG that ends inside its header is truncated, not another format.
        [0xFF, 0xD8, ..] | [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => DecodeError::Truncated,
        _ => DecodeError::NotAnImage(first_bytes(bytes)),
    })?;
    let (width, height) = (header.width, header.height);
    if let Some(error) = jpeg_kinds::not_read(bytes) {
        return Err(error);
    }
    if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
        return Err(DecodeError::Oversized(width, height));
    }
    limits.check(header)?;
    let looks_for_colour = looks_for_colour && header.colour == ColourMode::Colour;
    let (pixels, coloured) = match header.format {
        Format::Jpeg | Format::ProgressiveJpeg => decode_jpeg(bytes, said.accepts_no_end, limits, looks_for_colour)?,
        format => {
            let picture = lossless::picture(bytes, format)?;
            let coloured = looks_for_colour.then(|| coloured_share_of(&picture)).flatten();
            match lossless::values(picture)? {
                StoredValues::Bytes(levels) => (levels, coloured),
                StoredValues::Words(values) => {
                    let unknown = || DecodeError::UnknownValues(StoredRange::of(&values));
                    return Ok((said.sixteen_bit.ok_or_else(unknown)?.picture(width, height, &values), coloured));
                }
            }
        }
    };
    if pixels.len() != width as usize * height as usize {
        let found = pixels.len();
        return Err(DecodeError::Corrupt(format!("{found} pixels decoded, the header claims {width}x{height}")));
    }
    Ok((Pixels::Grey(GreyImage { width, height, pixels }), coloured))
}

/// The luma of a JPEG, and where it is looked for the share that is coloured.
fn decode_jpeg(
    bytes: &[u8],
    accepts_no_end: bool,
    limits: DecodeLimits,
    looks_for_colour: bool,
) -> Result<(Vec<u8>, Option<f32>), DecodeError> {
    let frame = start_of_frame(bytes).ok_or(DecodeError::Truncated)?;
    after_header(bytes).ok_or(DecodeError::Truncated)?;
    let luma = |bytes: &[u8]| match libjpeg::decode(bytes, frame, limits.scans)? {
        JpegValues::Bytes(pixels) => Ok(pixels),
        JpegValues::Words(_) => Err(DecodeError::Corrupt(format!("{} bits a value, expected 8", frame.precision))),
    };
    let decoded = |bytes: &[u8]| match looks_for_colour.then(|| libjpeg::decode_planes(bytes, frame, limits.scans)) {
        None => Ok((luma(bytes)?, None)),
        Some(Some((luma, chroma))) => {
            let share = chroma.coloured_share(&luma, frame.width.into());
            Ok((luma, Some(share)))
        }
        Some(None) => Ok((luma(bytes)?, coloured_share_of_rgb(bytes))),
    };
    if segments::has_end(bytes) {
        return decoded(bytes);
    }
    // Decoders fill the missing rows with grey. With the end marked, the library warns wherever a row lacks a bit.
    let whole = Some(segments::with_end(bytes)).filter(|_| segments::has_all_scans(bytes));
    match whole.map(|whole| decoded(&whole)) {
        Some(Ok(picture)) if accepts_no_end => Ok(picture),
        Some(Ok(_)) => Err(DecodeError::NoEndMarker),
        Some(Err(error @ DecodeError::Unsupported(_))) => Err(error),
        _ => Err(DecodeError::Truncated),
    }
}

/// Whether the file is a JPEG of which the end is not marked.
pub(crate) fn is_jpeg_without_end(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xFF, 0xD8]) && !segments::has_end(bytes)
}

/// What [`DecodeError::NotAnImage`] says of a file without a byte.
pub(crate) const EMPTY: &str = "an empty file";

fn first_bytes(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return EMPTY.to_owned();
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
mod tests;
