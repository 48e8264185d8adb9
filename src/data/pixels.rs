//! Slices as they are decoded: grey levels, or Hounsfield units (HU).

use crate::base::errors::{Context, Error, Result, bail};
use crate::data::window::Window;
use multiversion::multiversion;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

mod stored_range;

pub use stored_range::StoredRange;

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

/// What the values of 16-bit pictures (PNG, TIFF) mean; the files do not say. Written `hu`, `hu+1024`, `hu+32768` or
/// `grey`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SixteenBit {
    /// Hounsfield units; negative ones as two's complement.
    #[serde(rename = "hu")]
    Hounsfield,
    /// HU + 1024: air is 24.
    #[serde(rename = "hu+1024")]
    Plus1024,
    /// HU + 32768.
    #[serde(rename = "hu+32768")]
    Plus32768,
    /// Grey levels that went through a window before: 0 black, 65535 white.
    #[serde(rename = "grey")]
    Grey,
}

impl SixteenBit {
    /// All, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Hounsfield, Self::Plus1024, Self::Plus32768, Self::Grey];

    /// As it is written.
    pub fn name(self) -> &'static str {
        ["hu", "hu+1024", "hu+32768", "grey"][self as usize]
    }

    /// What the environment variable `COVID_CT_SIXTEEN_BIT` says of a data set that is listed.
    ///
    /// # Errors
    /// Another value than the four.
    pub(crate) fn from_environment() -> Result<Option<Self>> {
        let said = std::env::var("COVID_CT_SIXTEEN_BIT").unwrap_or_default();
        (!said.is_empty()).then(|| said.parse().context("reading COVID_CT_SIXTEEN_BIT")).transpose()
    }

    /// The slice of these stored values.
    pub(crate) fn picture(self, width: u32, height: u32, stored: &[u16]) -> Pixels {
        let shifted = |offset: f32| stored.iter().map(|value| f32::from(*value) - offset).collect();
        let values = match self {
            Self::Grey => {
                let pixels = stored.iter().map(|value| ((u32::from(*value) * 255 + 32767) / 65535) as u8).collect();
                return Pixels::Grey(GreyImage { width, height, pixels });
            }
            Self::Hounsfield => stored.iter().map(|value| f32::from(value.cast_signed())).collect(),
            Self::Plus1024 => shifted(1024.0),
            Self::Plus32768 => shifted(32768.0),
        };
        Pixels::Hounsfield(Hounsfield { width, height, values, padding: None, own_window: None })
    }
}

/// Whether the environment variable `COVID_CT_NO_END_MARKER` says of a data set that is listed that JPEGs are used which are
/// whole but for the marker of their end.
///
/// # Errors
/// Another value than `accept` and `refuse`.
pub(crate) fn accepts_no_end_marker() -> Result<bool> {
    accepts_no_end(&std::env::var("COVID_CT_NO_END_MARKER").unwrap_or_default())
}

fn accepts_no_end(said: &str) -> Result<bool> {
    match said.trim().to_ascii_lowercase().as_str() {
        "accept" => Ok(true),
        "" | "refuse" => Ok(false),
        _ => bail!("reading COVID_CT_NO_END_MARKER: expected accept or refuse, found {said:?}"),
    }
}

impl FromStr for SixteenBit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(text.trim()));
        known
            .with_context(|| format!("expected what 16-bit values mean: hu, hu+1024, hu+32768 or grey; found {text:?}"))
    }
}

/// A slice as decoded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Pixels {
    /// Grey levels that went through a window when the file was exported.
    Grey(GreyImage),
    Hounsfield(Hounsfield),
}

impl Pixels {
    /// The lowest and the highest of the values in Hounsfield units, without padding.
    pub(crate) fn range(&self) -> Option<(f32, f32)> {
        let Self::Hounsfield(slice) = self else { return None };
        Some(range_of(&slice.values, slice.padding.unwrap_or((f32::NAN, f32::NAN))))
    }

    /// The grey levels through a window.
    pub(crate) fn into_grey(self, window: Window) -> GreyImage {
        match self {
            Self::Grey(image) => image,
            Self::Hounsfield(slice) => slice.through(window),
        }
    }
}

/// A decoded slice of a scanner's file: values after rescale slope and intercept, row by row, as radiologists see it
/// (patient's right on the left, anterior up).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hounsfield {
    /// Width in pixels.
    pub(crate) width: u32,
    /// Height in pixels.
    pub(crate) height: u32,
    /// `width * height` values.
    pub(crate) values: Vec<f32>,
    /// Values from the first to the second are padding outside of the picture; shown black.
    pub(crate) padding: Option<(f32, f32)>,
    /// The file's own first window: centre and width.
    pub(crate) own_window: Option<(f64, f64)>,
}

impl Hounsfield {
    /// Grey levels by the linear function of DICOM PS3.3, C.11.2.1.2.1: black up to centre − 0.5 − (width − 1) / 2,
    /// white above centre − 0.5 + (width − 1) / 2, rounded in between.
    pub(crate) fn through(&self, window: Window) -> GreyImage {
        let (centre, width) = window.for_file(self.own_window);
        let scale = 255.0 / (width - 1.0);
        // ((x − (c − 0.5)) / (w − 1) + 0.5) · 255, as one multiplication and one addition.
        let mut pixels = vec![0; self.values.len()];
        levels(&self.values, scale as f32, ((0.5 - centre) * scale + 127.5) as f32, &mut pixels);
        // Padding that lies below the window is black already.
        let is_black = |value: f32| f64::from(value) < centre - 0.5 - width / 2.0;
        if let Some((low, high)) = self.padding.filter(|(_, high)| !is_black(*high)) {
            let padded = |value: f32| low <= value && value <= high;
            self.values.iter().zip(&mut pixels).filter(|(value, _)| padded(**value)).for_each(|(_, level)| *level = 0);
        }
        GreyImage { width: self.width, height: self.height, pixels }
    }
}

/// Grey levels `value · scale + offset`, rounded, from 0 to 255. Readers let no NaN through.
#[multiversion(targets("x86_64+avx2", "x86_64+avx2+avx512f+avx512bw"))]
fn levels(values: &[f32], scale: f32, offset: f32, levels: &mut [u8]) {
    // At 2^23 an f32 has no bits left for fractions: adding it rounds, and leaves the level in the lowest byte. A conversion
    // by `as` would be made pixel by pixel.
    const WHOLE: f32 = 8_388_608.0;
    for (level, value) in levels.iter_mut().zip(values) {
        *level = ((value * scale + offset).clamp(0.0, 255.0) + WHOLE).to_bits() as u8;
    }
}

/// The lowest and the highest value outside of the padding.
#[multiversion(targets("x86_64+avx2", "x86_64+avx2+avx512f+avx512bw"))]
fn range_of(values: &[f32], (low, high): (f32, f32)) -> (f32, f32) {
    const LANES: usize = 16;
    let (mut least, mut most) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
    let mut add = |lane: usize, value: f32| {
        let padded = low <= value && value <= high;
        let (small, large) = if padded { (f32::INFINITY, f32::NEG_INFINITY) } else { (value, value) };
        // Without a case for NaN, which compares as false.
        least[lane] = if small < least[lane] { small } else { least[lane] };
        most[lane] = if large > most[lane] { large } else { most[lane] };
    };
    let mut pieces = values.chunks_exact(LANES);
    for piece in &mut pieces {
        (0..LANES).for_each(|lane| add(lane, piece[lane]));
    }
    pieces.remainder().iter().enumerate().for_each(|(lane, value)| add(lane, *value));
    let smaller = |a: f32, b: &f32| if *b < a { *b } else { a };
    let larger = |a: f32, b: &f32| if *b > a { *b } else { a };
    (least.iter().fold(f32::INFINITY, smaller), most.iter().fold(f32::NEG_INFINITY, larger))
}

/// How stored rows and columns are turned into the view of radiologists: first transposed, then flipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Turn {
    pub(crate) transpose: bool,
    /// Left to right.
    pub(crate) flip_x: bool,
    /// Top to bottom.
    pub(crate) flip_y: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(values: &[f32]) -> Hounsfield {
        let values = values.to_vec();
        Hounsfield { width: values.len() as u32, height: 1, values, padding: None, own_window: None }
    }

    /// The formula of PS3.3 C.11.2.1.2.1, as it is printed there.
    fn by_the_standard(x: f64, c: f64, w: f64) -> u8 {
        if x <= c - 0.5 - (w - 1.0) / 2.0 {
            0
        } else if x > c - 0.5 + (w - 1.0) / 2.0 {
            255
        } else {
            (((x - (c - 0.5)) / (w - 1.0) + 0.5) * 255.0).round() as u8
        }
    }

    #[test]
    fn windows_follow_the_standard() {
        let values: Vec<f32> = (-3000..3000).map(|v| v as f32 / 2.0).collect();
        for (centre, width) in [(-600.0, 1500.0), (40.0, 400.0), (500.0, 2000.0), (0.0, 2.0), (35.5, 80.0)] {
            let grey = slice(&values).through(Window::Fixed { centre, width });
            for (value, level) in values.iter().zip(&grey.pixels) {
                let expected = by_the_standard(f64::from(*value), centre, width);
                assert!(expected.abs_diff(*level) <= 1, "{value} HU through {centre}/{width}: {level}, not {expected}");
            }
        }
        assert_eq!(
            slice(&[-2000.0, -1350.0, -600.0, 149.0, 150.0, f32::NAN]).through(Window::LUNG).pixels,
            [0, 0, 128, 255, 255, 0]
        );
    }

    #[test]
    fn padding_is_black_and_the_files_own_window_is_its_first() {
        let mut picture = slice(&[31744.0, 40.0, -600.0]);
        picture.padding = Some((31744.0, 31744.0));
        picture.own_window = Some((40.0, 400.0));
        assert_eq!(picture.through(Window::LUNG).pixels, [0, 236, 128]);
        assert_eq!(picture.through(Window::File).pixels, [0, 128, 0]);
        picture.own_window = None;
        assert_eq!(picture.through(Window::File), picture.through(Window::LUNG));
    }

    #[test]
    fn the_range_is_that_of_the_values_outside_of_padding() {
        let values: Vec<f32> = (0..37).map(|at| (at * 7 % 37) as f32 - 5.0).chain([f32::NAN, -2000.0]).collect();
        let mut picture = slice(&values);
        assert_eq!(Pixels::Hounsfield(picture.clone()).range(), Some((-2000.0, 31.0)));
        picture.padding = Some((-2048.0, -1999.0));
        assert_eq!(Pixels::Hounsfield(picture).range(), Some((-5.0, 31.0)));
    }

    #[test]
    fn what_is_said_of_missing_end_markers_is_one_of_two_words() {
        let said = |text| accepts_no_end(text).map_err(|error| error.to_string());
        assert_eq!([said(""), said("refuse"), said(" Accept")], [Ok(false), Ok(false), Ok(true)]);
        let error = "reading COVID_CT_NO_END_MARKER: expected accept or refuse, found \"yes\"";
        assert_eq!(said("yes"), Err(error.to_owned()));
    }

    #[test]
    fn sixteen_bits_mean_what_is_said() {
        let stored = [24, 65535, 32768];
        let values = |of: SixteenBit| match of.picture(3, 1, &stored) {
            Pixels::Hounsfield(slice) => slice.values,
            Pixels::Grey(image) => image.pixels.into_iter().map(f32::from).collect(),
        };
        assert_eq!(values(SixteenBit::Hounsfield), [24.0, -1.0, -32768.0]);
        assert_eq!(values(SixteenBit::Plus1024), [-1000.0, 64511.0, 31744.0]);
        assert_eq!(values(SixteenBit::Plus32768), [-32744.0, 32767.0, 0.0]);
        assert_eq!(values(SixteenBit::Grey), [0.0, 255.0, 128.0]);
        assert_eq!("HU+1024".parse::<SixteenBit>().expect("known"), SixteenBit::Plus1024);
    }
}
