//! Inspects one file for the audit.

use super::pixel_measures::{Levels, Picture, PixelMeasure};
use super::{Check, Finding};
use crate::data::decode::{ColourMode, DecodeError, Format, GreyImage, decode_grey};
use crate::data::manifest::{Manifest, Slice, read_file};
use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// Up to this level a pixel counts as black: JPEG noise around zero stays below it.
pub(super) const BLACK: u8 = 8;
/// Nearly black: 99 % of the pixels are at this level or darker. In real data the two groups are clearly separated:
/// slices exported with a wrong window (some of MosMed's) end at 44 to 59, all others reach 148 or more.
const DARK: u8 = 64;
/// Low contrast: the 1st and the 99th percentile closer than this.
const NARROW: u8 = 24;

/// The result of inspecting one file.
pub(crate) struct Inspection {
    pub(super) findings: Vec<Finding>,
    /// `None` when the file cannot be decoded.
    pub(super) picture: Option<Picture>,
}

impl Inspection {
    /// Reads and inspects a slice's file.
    pub(super) fn at(manifest: &Manifest, slice: &Slice, levels: &Levels) -> Result<Self> {
        let path = manifest.path(slice);
        let file = manifest.root.join(&path);
        let doing = || format!("auditing slice {}", file.display());
        // Junk files are recognised by their name.
        let mut bytes = Vec::new();
        if slice.number.is_some() {
            bytes = read_file(&file).with_context(doing)?;
            slice.must_be(&bytes).with_context(doing)?;
        }
        Self::of(path, slice, &bytes, levels).map(|(look, _)| look).with_context(doing)
    }

    /// Inspects the bytes of a slice and returns its pixels.
    pub(super) fn of(path: String, slice: &Slice, bytes: &[u8], levels: &Levels) -> Result<(Self, Option<GreyImage>)> {
        let mut look = Self { findings: Vec::new(), picture: None };
        let mut found = |check, detail: String| {
            look.findings.push(Finding { check, path: path.clone(), detail, with: None });
        };
        if slice.number.is_none() {
            found(Check::JunkFile, format!("{} bytes", slice.bytes));
            return Ok((look, None));
        }
        match decode_grey(bytes) {
            Err(_) if bytes.is_empty() => found(Check::EmptyFile, "0 bytes".to_owned()),
            Err(error) => {
                let check = match error {
                    DecodeError::NotAnImage(_) => Check::NotAnImage,
                    DecodeError::Oversized(..) => Check::OversizedHeader,
                    DecodeError::Truncated => Check::Truncated,
                    DecodeError::Corrupt(_) => Check::Corrupt,
                };
                found(check, error.to_string());
            }
            Ok(image) => {
                let measure = PixelMeasure::of(&image, levels);
                if let Some((check, detail)) = brightness_finding(&measure) {
                    found(check, detail);
                }
                look.picture = Some(measure.picture);
                return Ok((look, Some(image)));
            }
        }
        Ok((look, None))
    }

    /// Adds the findings that compare the header of a readable slice with the others.
    pub(super) fn compare(&mut self, manifest: &Manifest, slice: &Slice, usual: Option<(u32, u32)>) {
        if self.picture.is_some() {
            let finding = |(check, detail)| Finding { check, path: manifest.path(slice), detail, with: None };
            self.findings.extend(header_findings(slice, usual).into_iter().map(finding));
        }
    }

    /// Black images are all alike, so they are not counted as duplicates.
    pub(super) fn shows_something(&self) -> bool {
        !self.findings.iter().any(|f| matches!(f.check, Check::BlackSlice | Check::NearlyBlack | Check::LowContrast))
    }
}

fn brightness_finding(measure: &PixelMeasure) -> Option<(Check, String)> {
    let (low, high) = measure.spread;
    let levels = || format!("grey levels {} to {}, mean {:.1}", measure.min, measure.max, measure.mean);
    if measure.max <= BLACK {
        Some((Check::BlackSlice, levels()))
    } else if high <= DARK {
        Some((Check::NearlyBlack, levels()))
    } else if high - low < NARROW {
        Some((Check::LowContrast, format!("98 % of the pixels between {low} and {high}")))
    } else {
        None
    }
}

fn header_findings(slice: &Slice, usual: Option<(u32, u32)>) -> Vec<(Check, String)> {
    let Some(header) = slice.header else { return Vec::new() };
    let mut found = Vec::new();
    let png_name = slice.file.to_ascii_lowercase().ends_with(".png");
    if (header.format == Format::Png) != png_name {
        found.push((Check::WrongFormat, format!("holds {:?} data", header.format)));
    }
    if header.format == Format::ProgressiveJpeg {
        found.push((Check::ProgressiveJpeg, "progressive".to_owned()));
    }
    if header.colour == ColourMode::Colour {
        found.push((Check::Colour, "three channels".to_owned()));
    }
    if let Some((width, height)) = usual.filter(|usual| *usual != (header.width, header.height)) {
        found.push((Check::OddSize, format!("{}x{}, usual is {width}x{height}", header.width, header.height)));
    }
    found
}

/// The most common width and height, the larger one of two equally common.
pub(super) fn usual_size(manifest: &Manifest) -> Option<(u32, u32)> {
    let mut counts: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for header in manifest.slices.iter().filter_map(|s| s.header) {
        *counts.entry((header.width, header.height)).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(size, n)| (*n, *size)).map(|(size, _)| size)
}
