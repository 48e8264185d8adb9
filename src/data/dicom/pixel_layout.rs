//! How stored values lie in the pixel data, and what they mean in Hounsfield units.

use super::dataset::Dataset;
use crate::data::decode::{DecodeError, MAX_SIDE};
use dicom_core::Tag;
use dicom_dictionary_std::tags;

/// The module Image Pixel (PS3.3, C.7.6.3) of a greyscale image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PixelLayout {
    /// Columns, 1 to `MAX_SIDE`.
    pub(super) width: u32,
    /// Rows, 1 to `MAX_SIDE`.
    pub(super) height: u32,
    /// Bits that a value takes: 8, 16 or 32.
    pub(super) allocated: u32,
    pub(super) bits: Bits,
}

/// Which bits of a stored value count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bits {
    /// Number of bits, 1 to 32.
    pub(super) stored: u32,
    /// The highest of them, `stored - 1` to 31.
    pub(super) high: u32,
    /// Whether the highest one is a sign.
    pub(super) signed: bool,
}

impl Bits {
    /// The smallest and the largest value.
    pub(super) fn range(self) -> (f64, f64) {
        let span = f64::from(self.stored).exp2();
        if self.signed { (-span / 2.0, span / 2.0 - 1.0) } else { (0.0, span - 1.0) }
    }
}

impl PixelLayout {
    /// Reads and checks the module.
    ///
    /// # Errors
    ///
    /// `Oversized` for absurd sides, `Unsupported` for colour and other depths, `Corrupt` for elements that are missing
    /// or contradict each other.
    pub(super) fn new(dataset: &Dataset) -> Result<Self, DecodeError> {
        let word = |tag| dataset.word(tag, 0).map(u32::from);
        let needed = |tag, name| word(tag).ok_or_else(|| missing(name));
        let (height, width) = (needed(tags::ROWS, "Rows")?, needed(tags::COLUMNS, "Columns")?);
        if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
            return Err(DecodeError::Oversized(width, height));
        }
        let samples = word(tags::SAMPLES_PER_PIXEL).unwrap_or(1);
        // The text of the element is repeated only where it is one of the standard's terms.
        let photometric =
            dataset.text(tags::PHOTOMETRIC_INTERPRETATION).ok_or_else(|| missing("Photometric Interpretation"))?;
        if samples != 1 || !matches!(photometric.as_str(), "MONOCHROME1" | "MONOCHROME2") {
            return Err(DecodeError::Unsupported(format!(
                "a DICOM image with {samples} samples per pixel in {}; only MONOCHROME1 and MONOCHROME2 with one are read",
                PHOTOMETRIC.iter().find(|&&term| term == photometric).unwrap_or(&"another photometric interpretation")
            )));
        }
        let allocated = needed(tags::BITS_ALLOCATED, "Bits Allocated")?;
        if !matches!(allocated, 8 | 16 | 32) {
            return Err(DecodeError::Unsupported(format!("{allocated} bits per pixel; only 8, 16 and 32 are read")));
        }
        let stored = word(tags::BITS_STORED).unwrap_or(allocated);
        let high = word(tags::HIGH_BIT).unwrap_or(stored.saturating_sub(1));
        let signed = needed(tags::PIXEL_REPRESENTATION, "Pixel Representation")?;
        if !(1..=allocated).contains(&stored) || !(stored - 1..allocated).contains(&high) || signed > 1 {
            return Err(DecodeError::Corrupt(format!(
                "expected Bits Stored and High Bit within {allocated} bits and a Pixel Representation of 0 or 1, found {stored}, {high} and {signed}"
            )));
        }
        Ok(Self { width, height, allocated, bits: Bits { stored, high, signed: signed == 1 } })
    }

    /// Pixels of a frame; at most `MAX_SIDE` squared.
    pub(super) fn pixels(&self) -> usize {
        self.width as usize * self.height as usize
    }

    /// Bytes that a value takes.
    pub(super) fn value_bytes(&self) -> usize {
        self.allocated as usize / 8
    }

    /// Bytes of an uncompressed frame.
    pub(super) fn frame_bytes(&self) -> usize {
        self.pixels() * self.value_bytes()
    }
}

/// Terms of the standard for images that are not read.
const PHOTOMETRIC: [&str; 8] =
    ["MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"];

fn missing(name: &str) -> DecodeError {
    DecodeError::Corrupt(format!("expected the element {name}, found none"))
}

/// The way from stored values to Hounsfield units (PS3.3, C.11.1).
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rescale {
    /// value × slope + intercept.
    Linear { slope: f64, intercept: f64 },
    /// Table of the values from `first` on; those below and above take the first and the last entry.
    Table { first: i32, entries: Vec<f32> },
}

impl Rescale {
    /// The transformation of a frame; 1 and 0 where the file has none.
    pub(super) fn new(dataset: &Dataset, frame: u32, signed: bool) -> Result<Self, DecodeError> {
        if let Some(table) = dataset.items(tags::MODALITY_LUT_SEQUENCE).first() {
            return Self::table(table, signed);
        }
        let group = dataset.group(frame, tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE);
        let number = |tag: Tag, default, name| match dataset.bytes(tag).map(|_| dataset).or(group) {
            // A number that cannot be read must not silently become water or air.
            Some(found) if found.text(tag).is_some() => found
                .number(tag)
                .ok_or_else(|| DecodeError::Corrupt(format!("expected a number in {name}, found other text"))),
            _ => Ok(default),
        };
        let slope = number(tags::RESCALE_SLOPE, 1.0, "Rescale Slope")?;
        Ok(Self::Linear { slope, intercept: number(tags::RESCALE_INTERCEPT, 0.0, "Rescale Intercept")? })
    }

    fn table(item: &Dataset, signed: bool) -> Result<Self, DecodeError> {
        let wrong = || DecodeError::Corrupt("expected a whole Modality LUT, found a shorter one".to_owned());
        let descriptor = |index| item.word(tags::LUT_DESCRIPTOR, index).ok_or_else(wrong);
        let (length, first) = (descriptor(0)?, descriptor(1)?);
        // 65536 entries do not fit into the element and are written as 0.
        let length = if length == 0 { 1 << 16 } else { usize::from(length) };
        let data = item.bytes(tags::LUT_DATA).ok_or_else(wrong)?;
        let entries: Vec<f32> = if data.len() >= 2 * length {
            data.as_chunks::<2>().0[..length].iter().map(|&entry| u16::from_le_bytes(entry).into()).collect()
        } else {
            data.get(..length).ok_or_else(wrong)?.iter().map(|&entry| entry.into()).collect()
        };
        let first = if signed { i32::from(first as i16) } else { i32::from(first) };
        Ok(Self::Table { first, entries })
    }

    /// Hounsfield units of one stored value.
    pub(super) fn apply(&self, value: f64) -> f32 {
        match self {
            Self::Linear { slope, intercept } => (value * slope + intercept) as f32,
            Self::Table { first, entries } => {
                let index = (value - f64::from(*first)).clamp(0.0, entries.len() as f64 - 1.0);
                entries[index as usize]
            }
        }
    }
}

/// Stored values that mark padding (Pixel Padding Value and Range Limit), in Hounsfield units, the smaller one first.
pub(super) fn padding(dataset: &Dataset, bits: Bits, rescale: &Rescale) -> Option<(f32, f32)> {
    let unit = |tag| {
        let raw = dataset.word(tag, 0)?;
        Some(rescale.apply(if bits.signed { f64::from(raw as i16) } else { f64::from(raw) }))
    };
    let value = unit(tags::PIXEL_PADDING_VALUE)?;
    let limit = unit(tags::PIXEL_PADDING_RANGE_LIMIT).unwrap_or(value);
    Some((value.min(limit), value.max(limit)))
}
