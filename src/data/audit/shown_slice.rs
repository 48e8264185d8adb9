//! Slices, and other files of a data set, as people look at them.

use crate::base::errors::{Context, Error, Result};
use crate::data::contact_sheet::TilePicture;
use crate::data::decode::{ColourMode, DecodeError, EMPTY, Format, Header, PictureSettings};
use crate::data::lungs::LungMask;
use crate::data::manifest::{Manifest, Slice};
use crate::data::opened::{Contents, FrameView, Loaded, each_slice};
use crate::data::pixels::{GreyImage, Hounsfield, Pixels, SixteenBit, Turn};
use crate::data::resize::fitted;
use crate::data::window::Window;
use image::{DynamicImage, GrayImage};
use rayon::prelude::*;
use std::io::Cursor;

/// What a look at a slice gave, or in a few words why it cannot be seen.
pub(super) type Looked<T> = Result<T, String>;
/// A picture for a tile, and [`ShownSlice::values`].
pub(super) type DrawnSlice = Result<(TilePicture, String)>;

/// A decoded file: its grey levels, its colours where it has any, and the values of a 16-bit picture.
pub(super) struct ShownSlice {
    grey: GreyImage,
    colour: Option<DynamicImage>,
    /// Such as `16 bit, -1024 to 1500 HU`; empty for others.
    pub(super) values: String,
}

impl ShownSlice {
    /// With its proportions, `side` pixels at the longer side. As JPEG, which is a quarter of a PNG: a page has many.
    pub(super) fn picture(&self, side: u32) -> Result<TilePicture> {
        let GreyImage { width, height, pixels } = &self.grey;
        let grey = || GrayImage::from_raw(*width, *height, pixels.clone()).map(DynamicImage::ImageLuma8);
        let image = self.colour.clone().or_else(grey).context("drawing a slice: its pixels are not width × height")?;
        let small = fitted(&image, side)?;
        let mut bytes = Cursor::new(Vec::new());
        let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 88);
        small.write_with_encoder(encoder).context("drawing a slice")?;
        Ok(TilePicture::Encoded("image/jpeg", bytes.into_inner()))
    }

    /// The picture, and what a 16-bit one holds.
    pub(super) fn drawn(self, side: u32) -> DrawnSlice {
        Ok((self.picture(side)?, self.values))
    }

    /// The share of the picture that its lungs cover, 0 to 1.
    pub(super) fn lung_share(&self) -> f64 {
        LungMask::reduced(&self.grey).1.share()
    }

    fn of(contents: Contents<'_>, header: Option<Header>, view: FrameView) -> Result<Self, DecodeError> {
        // One that lacks only the marker of its end is shown, whether it is used or not.
        let view = FrameView { said: PictureSettings { accepts_no_end: true, ..view.said }, ..view };
        let bytes = match &contents {
            Contents::Bytes(bytes) if header.is_none_or(|header| header.format.is_picture()) => Some(bytes.clone()),
            _ => None,
        };
        let is_coloured = header.is_some_and(|header| header.colour == ColourMode::Colour);
        let shown = |pixels: Pixels, meaning: &str| match pixels {
            Pixels::Grey(grey) => Self { grey, colour: None, values: String::new() },
            Pixels::Hounsfield(slice) if bytes.is_some() => Self::of_words(&slice, meaning),
            Pixels::Hounsfield(slice) => {
                Self { grey: slice.through(Window::LUNG), colour: None, values: String::new() }
            }
        };
        match contents.pixels(header, view) {
            Ok(pixels) => {
                let mut seen = shown(pixels, " HU");
                if let Some(bytes) = bytes.as_ref().filter(|_| is_coloured) {
                    seen.colour = image::load_from_memory(bytes).ok();
                }
                Ok(seen)
            }
            // Nobody said what its values mean: they are shown from the lowest to the highest.
            Err(DecodeError::UnknownValues(_)) => {
                let contents = Contents::Bytes(bytes.clone().unwrap_or_default());
                let stored = FrameView {
                    said: PictureSettings { sixteen_bit: Some(SixteenBit::Plus1024), ..view.said },
                    ..view
                };
                let mut pixels = contents.pixels(header, stored)?;
                if let Pixels::Hounsfield(slice) = &mut pixels {
                    slice.values.iter_mut().for_each(|value| *value += 1024.0);
                }
                Ok(shown(pixels, ""))
            }
            Err(error) => Err(error),
        }
    }

    /// A 16-bit picture, its lowest value black and its highest white.
    fn of_words(slice: &Hounsfield, unit: &str) -> Self {
        let values = || slice.values.iter().copied();
        let (low, high) = (values().fold(f32::INFINITY, f32::min), values().fold(f32::NEG_INFINITY, f32::max));
        let scale = 255.0 / (high - low).max(1.0);
        let pixels = values().map(|value| ((value - low) * scale).round() as u8).collect();
        let grey = GreyImage { width: slice.width, height: slice.height, pixels };
        Self { grey, colour: None, values: format!("16 bit, {low} to {high}{unit}") }
    }
}

impl Manifest {
    /// Looks at slices of one scan; of one that cannot be seen the reason, in a few words.
    pub(super) fn look_at<T: Send>(
        &self,
        slices: &[&Slice],
        look: impl Fn(usize, ShownSlice) -> T + Sync + Send,
    ) -> Vec<Looked<T>> {
        let seen = |index: usize, contents: Contents<'_>| -> Result<T> {
            let slice = slices[index];
            slice.must_be(&contents)?;
            Ok(look(index, ShownSlice::of(contents, slice.header, self.view(slice))?))
        };
        let path = |index: usize| self.place_of(slices[index]);
        if slices.iter().any(|slice| slice.frame.is_some()) {
            let volume = |index: usize| self.volume_of(slices[index]);
            let each = |index: usize, contents: Contents<'_>| Ok((seen(index, contents).map_err(reason), ()));
            return match each_slice(slices.len(), path, volume, each) {
                Ok((seen, _)) => seen,
                Err(error) => {
                    let why = reason(error);
                    slices.iter().map(|_| Err(why.clone())).collect()
                }
            };
        }
        let one = |index: usize| {
            let read = Loaded::read(&path(index), None);
            read.and_then(|loaded| seen(index, loaded.into_contents())).map_err(reason)
        };
        (0..slices.len()).into_par_iter().map(one).collect()
    }

    pub(super) fn look_at_one(&self, slice: &Slice) -> Looked<ShownSlice> {
        self.look_at(&[slice], |_, seen| seen).pop().unwrap_or_else(|| Err("no slice".to_owned()))
    }

    /// Looks at a file that is no slice of a scan, such as one outside of all scan folders or a scanner's localizer.
    pub(super) fn look_at_file(&self, path: &str) -> Looked<ShownSlice> {
        let place = self.root.join(path);
        if !place.is_file() {
            return Err(if place.exists() { "no file" } else { "no such file" }.to_owned());
        }
        let look = || -> Result<ShownSlice> {
            let contents = Loaded::read(&place, None)?.into_contents();
            let header = contents.picture_header().or_else(|| dicom_header(&contents));
            let view = FrameView { frame: 0, turn: Turn::default(), said: self.said() };
            Ok(ShownSlice::of(contents, header, view)?)
        };
        look().map_err(reason)
    }
}

/// That of a scanner's file, by its magic (DICOM PS3.10, 7.1); the dimensions are in its pixels' description.
fn dicom_header(contents: &Contents<'_>) -> Option<Header> {
    let Contents::Bytes(bytes) = contents else { return None };
    let header = Header { format: Format::Dicom, width: 0, height: 0, colour: ColourMode::Grey };
    (bytes.get(128..132) == Some(b"DICM")).then_some(header)
}

/// Why a slice cannot be seen.
fn reason(error: Error) -> String {
    match error.downcast_ref::<DecodeError>() {
        Some(DecodeError::NotAnImage(found)) if found == EMPTY => found.clone(),
        Some(DecodeError::NotAnImage(_)) => "not a picture".to_owned(),
        Some(DecodeError::Truncated) => "the file ends early".to_owned(),
        Some(DecodeError::NoEndMarker) => "its end is not marked".to_owned(),
        Some(DecodeError::Oversized(width, height)) => format!("claims {width}x{height} pixels"),
        Some(DecodeError::Corrupt(_)) => "cannot be decoded".to_owned(),
        Some(DecodeError::Unsupported(_)) => "a kind that is not read".to_owned(),
        Some(DecodeError::UnknownValues(_)) => "16 bit".to_owned(),
        None => error.root_cause().to_string(),
    }
}
