//! Inspects one file for the audit.

use super::file_names::kind_of;
use super::picture_kinds::Quality;
use super::pixel_measures::{Levels, Picture, PixelMeasure};
use super::slice_shape::SliceShape;
use super::thumbnail::Thumbnail;
use super::{Check, Finding, Severity};
use crate::data::decode::{ColourMode, DecodeError, Format};
use crate::data::manifest::{Manifest, Slice};
use crate::data::opened::Contents;
use crate::data::pixels::{GreyImage, Pixels};
use crate::data::window::Window;
use std::collections::BTreeMap;

/// Up to this level a pixel counts as black: JPEG noise around zero stays below it.
pub(super) const BLACK: u8 = 8;
/// Dark: 99 % of the pixels are at this level or darker. In real data the two groups are clearly separated: slices
/// exported with a very wide window (some of MosMed's) end at 44 to 59, all others reach 148 or more. Dark ones with
/// [`NARROW`] levels or more between air and tissue can be stretched; with less they are nearly black.
const DARK: u8 = 64;
/// Soft tissue at this level or darker, beside lungs that are not black, was exported with a very wide window, such as all of -1024
/// to 3071, where it is at 67. In a window of bone it may be as dark, and lungs are black.
const DARK_TISSUE: u8 = 76;
/// Low contrast: the 1st and the 99th percentile closer than this.
const NARROW: u8 = 24;

/// From this share of its fields on, a slice has something coloured on it.
const COLOURED: f32 = 0.001;

/// The result of inspecting one file.
#[derive(Default)]
pub(crate) struct Inspection {
    pub(super) findings: Vec<Finding>,
    /// `None` when the file cannot be decoded.
    pub(super) picture: Option<Picture>,
    /// `None` also for a slice without contrast.
    pub(super) shape: Option<SliceShape>,
    /// The lowest and the highest value, HU, where the file holds such.
    pub(super) range: Option<(f32, f32)>,
    /// The reduced slice, until it was offered to the samples.
    pub(super) thumbnail: Option<Box<Thumbnail>>,
    /// To be compared with other slices; `None` when the file cannot be decoded.
    pub(super) quality: Option<Quality>,
}

impl Inspection {
    /// Inspects a slice by the contents of its file, and returns its pixels; with those in Hounsfield units the grey levels
    /// through the lung window, by which they are inspected whatever a run's window is.
    pub(super) fn of(
        manifest: &Manifest,
        slice: &Slice,
        contents: Contents<'_>,
        levels: &Levels,
    ) -> (Self, Option<(Pixels, Option<GreyImage>)>) {
        let mut look = Self::default();
        let mut found = |check, detail: String| {
            look.findings.push(Finding { check, path: manifest.path(slice), detail, with: None });
        };
        // Of what begins as no picture, what it holds; known before the contents are decoded.
        let foreign = slice.header.is_none().then(|| contents.foreign(&slice.file)).flatten();
        if slice.number.is_none() {
            match foreign {
                // By a name with another ending, or none.
                None if let Some(header) = slice.header.filter(|_| !slice.file.starts_with('.')) => {
                    let (format, ending) = (header.format, ending(header.format));
                    let detail = format!("holds a {format} picture: give it the ending .{ending}, and it is read");
                    found(Check::JunkFile, detail);
                }
                Some(foreign) if foreign.is_pictures => found(Check::NotAnImage, foreign.told),
                Some(foreign) => found(Check::JunkFile, format!("{} bytes; {}", slice.bytes, foreign.told)),
                None => found(Check::JunkFile, format!("{} bytes; {}", slice.bytes, kind_of(&slice.file))),
            }
            return (look, None);
        }
        let lacks_end = contents.lacks_end_marker();
        match contents.borrowed().coloured_pixels(slice.header, manifest.view(slice)) {
            Err(_) if slice.bytes == 0 => found(Check::EmptyFile, "0 bytes".to_owned()),
            Err(error) => {
                let check = match error {
                    DecodeError::NotAnImage(_) => Check::NotAnImage,
                    DecodeError::Oversized(..) => Check::OversizedHeader,
                    DecodeError::Truncated => Check::Truncated,
                    DecodeError::NoEndMarker => Check::NoEndMarker,
                    DecodeError::Corrupt(_) => Check::Corrupt,
                    DecodeError::Unsupported(_) => Check::Unsupported,
                    DecodeError::UnknownValues(_) => Check::UnknownValues,
                };
                found(check, foreign.map_or_else(|| error.to_string(), |foreign| foreign.told));
            }
            Ok((pixels, coloured)) => {
                if lacks_end {
                    found(Check::NoEndAccepted, "used, as COVID_CT_NO_END_MARKER=accept said".to_owned());
                }
                let (measure, lung) = match &pixels {
                    Pixels::Grey(image) => (PixelMeasure::of(image, levels), None),
                    Pixels::Hounsfield(values) => {
                        let image = values.through(Window::LUNG);
                        (PixelMeasure::of(&image, levels), Some(image))
                    }
                };
                if let Some(share) = coloured.filter(|share| *share > COLOURED) {
                    found(Check::Coloured, format!("{:.1} % of the picture is coloured", 100.0 * share));
                }
                for (check, detail) in picture_findings(&measure) {
                    found(check, detail);
                }
                look.quality = Some(measure.kinds.quality);
                look.range = pixels.range();
                (look.picture, look.shape) = (Some(measure.picture), measure.shape);
                look.thumbnail = Some(measure.thumbnail);
                return (look, Some((pixels, lung)));
            }
        }
        (look, None)
    }

    /// Adds the findings that compare the header of a readable slice with the others.
    pub(super) fn compare(&mut self, manifest: &Manifest, slice: &Slice, usual: Option<(u32, u32)>) {
        if self.picture.is_some() {
            let finding = |(check, detail)| Finding { check, path: manifest.path(slice), detail, with: None };
            self.findings.extend(header_findings(slice, usual).into_iter().map(finding));
        }
    }

    /// Black images are all alike, and so are pages of text and others that show no slice: they are not counted as
    /// duplicates.
    pub(super) fn shows_something(&self) -> bool {
        !self.findings.iter().any(|f| SHOW_NO_SLICE.contains(&f.check))
    }
}

/// What a slice is instead of one.
const SHOW_NO_SLICE: [Check; 9] = [
    Check::BlackSlice,
    Check::NearlyBlack,
    Check::LowContrast,
    Check::TextPage,
    Check::MaskPicture,
    Check::Noise,
    Check::SeveralSlices,
    Check::LocalizerPicture,
    Check::DerivedPicture,
];

/// What the pixels show: at most one finding for which the slice is left out, the one that says most.
pub(super) fn picture_findings(measure: &PixelMeasure) -> Vec<(Check, String)> {
    let (brightness, kinds) = (brightness_finding(measure), &measure.kinds);
    let has_few_levels = brightness.as_ref().is_some_and(|(check, _)| check.severity() == Severity::Exclude);
    // Pages, masks and noise are told by their levels, the others by what is seen.
    let is_sure = |check: Check| matches!(check, Check::TextPage | Check::MaskPicture | Check::Noise);
    match (&kinds.other, brightness) {
        (Some(other), _) if is_sure(other.0) => vec![other.clone()],
        (_, Some(brightness)) if has_few_levels => vec![brightness],
        (Some(other), _) => vec![other.clone()],
        (None, brightness) => {
            let overexposed = kinds.quality.overexposed().map(|detail| (Check::Overexposed, detail));
            brightness.into_iter().chain(overexposed).chain(kinds.marks.iter().cloned()).collect()
        }
    }
}

pub(super) fn brightness_finding(measure: &PixelMeasure) -> Option<(Check, String)> {
    let (low, high) = measure.spread;
    let levels = || format!("grey levels {} to {}, mean {:.1}", measure.min, measure.max, measure.mean);
    if measure.max <= BLACK {
        Some((Check::BlackSlice, levels()))
    } else if high <= DARK && high - low >= NARROW {
        Some((Check::WideWindow, levels()))
    } else if high <= DARK {
        Some((Check::NearlyBlack, levels()))
    } else if high - low < NARROW {
        Some((Check::LowContrast, format!("98 % of the pixels between {low} and {high}")))
    } else {
        let shape = measure.shape.as_ref()?;
        let (tissue, lung) = shape.tissue.zip(shape.lung_level)?;
        let is_wide = shape.is_chest && tissue <= DARK_TISSUE && lung >= tissue / 8;
        is_wide.then(|| (Check::WideWindow, format!("soft tissue at level {tissue}, lungs at {lung}")))
    }
}

fn header_findings(slice: &Slice, usual: Option<(u32, u32)>) -> Vec<(Check, String)> {
    let Some(header) = slice.header else { return Vec::new() };
    let mut found = Vec::new();
    if let Some(expected) = format_by_name(&slice.file).filter(|expected| !expected.contains(&header.format)) {
        found.push((Check::WrongFormat, format!("named {}, holds {} data", expected[0], header.format)));
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

/// The usual ending of a picture's name.
fn ending(format: Format) -> &'static str {
    match format {
        Format::Png => "png",
        Format::Tiff => "tif",
        _ => "jpg",
    }
}

/// The formats that a picture's ending stands for.
fn format_by_name(file: &str) -> Option<&'static [Format]> {
    let ending = file.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase())?;
    match ending.as_str() {
        "jpg" | "jpeg" => Some(&[Format::Jpeg, Format::ProgressiveJpeg]),
        "png" => Some(&[Format::Png]),
        "tif" | "tiff" => Some(&[Format::Tiff]),
        _ => None,
    }
}

/// The most common width and height, the larger one of two equally common.
pub(super) fn usual_size(manifest: &Manifest) -> Option<(u32, u32)> {
    let mut counts: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for header in manifest.slices.iter().filter_map(|s| s.header) {
        *counts.entry((header.width, header.height)).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(size, n)| (*n, *size)).map(|(size, _)| size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dark_slice_is_left_out_only_where_too_few_levels_are_left() {
        let check = |brightest: u32| {
            let pixels = (0..4096).map(|at| (at * (brightest + 1) / 4096) as u8).collect();
            let measure = PixelMeasure::of(&GreyImage { width: 64, height: 64, pixels }, &Levels::none());
            brightness_finding(&measure).map(|(check, _)| check)
        };
        let found = [5, 20, 23, 30, 60, 100].map(check);
        let [black, near, wide] = [Check::BlackSlice, Check::NearlyBlack, Check::WideWindow].map(Some);
        assert_eq!(found, [black, near, near, wide, wide, None]);
        assert!(
            Check::WideWindow.severity() == Severity::Warning && Check::NearlyBlack.severity() == Severity::Exclude
        );
    }
}
