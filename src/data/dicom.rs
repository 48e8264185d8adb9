//! Reads DICOM files: headers of scans by the thousand, and the pixels of CT in Hounsfield units.
//!
//! Data elements are read by hand and not into a general object model: only some forty are needed, they must be found
//! without taking memory on a length's word, files that break the standard in harmless places must not be refused, and
//! uncompressed pixels are converted where they lie.

mod codecs;
mod convert;
mod dataset;
mod element_source;
mod fragments;
mod header;
mod identity;
mod markers;
mod names;
mod pixel_layout;
mod rle;
mod start;
#[cfg(test)]
mod tests;
mod values;

pub(crate) use header::DicomHeader;
use names::sop_class_name;
pub(crate) use start::is_dicom;

use crate::data::decode::DecodeError;
use crate::data::pixels::{Hounsfield, Turn};
use codecs::Codec;
use dataset::Dataset;
use element_source::{Element, Source};
use flate2::bufread::DeflateDecoder;
use fragments::Fragments;
use pixel_layout::{PixelLayout, Rescale, padding};
use std::borrow::Cow;
use std::io::Read;
use std::ops::Range;

/// A whole DICOM file in memory, with one image or the frames of one.
pub(crate) struct DicomFile {
    header: DicomHeader,
    dataset: Dataset,
    /// The file; of a deflated one only the inflated pixel data.
    bytes: Vec<u8>,
    pixels: PixelData,
}

/// Where pixels lie in the bytes.
enum PixelData {
    /// The file has none.
    None,
    /// As they are, frame after frame.
    Native(Range<usize>),
    /// In fragments.
    Encapsulated(Fragments),
}

impl DicomFile {
    /// Reads the header and finds the pixels; they are decoded by `frame`.
    ///
    /// # Errors
    ///
    /// `NotAnImage` for another format, `Truncated` where the file ends inside the header, `Corrupt` for one that
    /// contradicts itself.
    pub(crate) fn open(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        let mut source = Source::new(bytes.as_slice());
        let start = start::read_start(&mut source)?;
        if start.deflated {
            let mut inflated = Source::new(DeflateDecoder::new(std::io::BufReader::new(source)));
            let (dataset, pixels) = Dataset::read(&mut inflated, start.encoding)?;
            let header = DicomHeader::new(&start, &dataset, pixels.is_some());
            let bytes = match pixels {
                Some(pixels) => inflated_pixels(inflated, pixels, &dataset, header.frames)?,
                None => Vec::new(),
            };
            let pixels = if header.has_pixels { PixelData::Native(0..bytes.len()) } else { PixelData::None };
            return Ok(Self { header, dataset, bytes, pixels });
        }
        let (dataset, pixels) = Dataset::read(&mut source, start.encoding)?;
        let at = source.position() as usize;
        let header = DicomHeader::new(&start, &dataset, pixels.is_some());
        let pixels = match pixels.map(|element| element.length) {
            None => PixelData::None,
            Some(None) => PixelData::Encapsulated(Fragments::list(&bytes, at)),
            Some(Some(length)) => PixelData::Native(at..at.saturating_add(length as usize).min(bytes.len())),
        };
        Ok(Self { header, dataset, bytes, pixels })
    }

    /// What the file says before its pixels.
    #[cfg(test)]
    pub(crate) fn header(&self) -> &DicomHeader {
        &self.header
    }

    /// Number of frames, at least 1; 1 also for a file without pixels.
    pub(crate) fn frames(&self) -> u32 {
        self.header.frames
    }

    /// Decodes a frame, 0 being the first, to Hounsfield units and turns it.
    ///
    /// # Errors
    ///
    /// `Unsupported` for files without pixels, for colour and for transfer syntaxes that are not decoded, `Oversized`
    /// for absurd sides, `Truncated` where pixels are missing, `Corrupt` for all else.
    pub(crate) fn frame(&self, n: u32, turn: Turn) -> Result<Hounsfield, DecodeError> {
        if matches!(self.pixels, PixelData::None) {
            let class = self.header.sop_class.as_deref().and_then(sop_class_name).unwrap_or("unknown class");
            return Err(DecodeError::Unsupported(format!("a DICOM file ({class}) that holds no pixels")));
        }
        let codec = Codec::new(&self.header.syntax)?;
        let mut layout = PixelLayout::new(&self.dataset)?;
        if n >= self.frames() {
            return Err(DecodeError::Corrupt(format!("expected frames 0 to {}, asked for {n}", self.frames() - 1)));
        }
        let rescale = Rescale::new(&self.dataset, n, layout.bits.signed)?;
        let padding = padding(&self.dataset, layout.bits, &rescale);
        let samples = codec.decode(self.frame_bytes(n, codec, &layout)?, &mut layout, &self.header.syntax)?;
        let values = convert::hounsfield(&samples, &layout, &rescale, turn).ok_or(DecodeError::Truncated)?;
        let (width, height) = match turn.transpose {
            true => (layout.height, layout.width),
            false => (layout.width, layout.height),
        };
        let own_window = self.dataset.frame_windows(n).first().copied();
        Ok(Hounsfield { width, height, values, padding, own_window })
    }

    /// The bytes of a frame as they stand in the file.
    fn frame_bytes(&self, n: u32, codec: Codec, layout: &PixelLayout) -> Result<Cow<'_, [u8]>, DecodeError> {
        match (&self.pixels, codec) {
            (PixelData::Native(range), Codec::Native { .. }) => {
                let length = layout.frame_bytes();
                let start = length.checked_mul(n as usize).and_then(|offset| offset.checked_add(range.start));
                let end = start.and_then(|start| start.checked_add(length)).filter(|&end| end <= range.end);
                let (Some(start), Some(end)) = (start, end) else { return Err(DecodeError::Truncated) };
                Ok(Cow::Borrowed(&self.bytes[start..end]))
            }
            (PixelData::Native(_), _) => Err(DecodeError::Corrupt(format!(
                "expected fragments of compressed pixels in transfer syntax {}, found pixels of a fixed length",
                self.header.syntax
            ))),
            (_, Codec::Native { .. }) => Err(DecodeError::Corrupt(format!(
                "expected plain pixels in transfer syntax {}, found fragments",
                self.header.syntax
            ))),
            (PixelData::Encapsulated(fragments), _) => fragments.frame(&self.bytes, n, self.frames()),
            (PixelData::None, _) => Err(DecodeError::Truncated),
        }
    }
}

/// Inflates the pixel data, no more of it than the header accounts for.
fn inflated_pixels(
    mut inflated: impl Read,
    pixels: Element,
    dataset: &Dataset,
    frames: u32,
) -> Result<Vec<u8>, DecodeError> {
    // What is wrong with the layout is said when a frame is asked for.
    let expected =
        PixelLayout::new(dataset).map_or(0, |layout| (layout.frame_bytes() as u64).saturating_mul(frames.into()));
    let length = u64::from(pixels.length.unwrap_or(0)).min(expected);
    let mut bytes = Vec::new();
    inflated.by_ref().take(length).read_to_end(&mut bytes).map_err(|error| element_source::read_error(&error))?;
    Ok(bytes)
}
