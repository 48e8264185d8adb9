//! What a file becomes before a network sees it.

use crate::base::errors::{Result, ensure};
use crate::base::files::Digest;
use crate::data::lungs::LungMask;
use crate::data::pixels::{GreyImage, SixteenBit};
use crate::data::window::Window;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

mod crop;
mod stretch;
#[cfg(test)]
mod tests;

pub use crop::Crop;
#[cfg(test)]
use crop::{Area, Square};
pub use stretch::Stretch;

/// How the slice cache stores pixels; the pixel values are the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// Losslessly compressed to about half: for a slow disk or little memory.
    #[default]
    Packed,
    /// Uncompressed: half the work of reading, twice the bytes.
    Raw,
}

/// What becomes of slices in which no lungs are found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WithoutLungs {
    /// They are used like others.
    #[default]
    Keep,
    /// They take no part in training, scoring and prediction, except for those of a scan in which none has lungs. They
    /// stay in the cache.
    LeaveOut,
}

/// What a file becomes before a network sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Side of the square to which slices are resized, in pixels.
    pub size: u32,
    /// Subtracted from the grey level divided by 255.
    pub mean: f64,
    /// Standard deviation by which the difference is divided.
    pub std: f64,
    /// How the cache stores the slices.
    #[serde(default)]
    pub storage: Storage,
    /// From Hounsfield units to grey levels; 8-bit pictures are taken as they are.
    #[serde(default)]
    pub window: Window,
    /// What the values of 16-bit pictures in the data set meant; taken from the manifest when a run is opened, and used for
    /// new scans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sixteen_bit: Option<SixteenBit>,
    /// Whether the data set's JPEGs without the marker of their end were used; taken from the manifest likewise.
    #[serde(default, skip_serializing_if = "is_default")]
    pub accepts_no_end: bool,
    /// The part of the picture that is kept. Files from before it existed have the whole, and keep their keys.
    #[serde(default, skip_serializing_if = "is_default")]
    pub crop: Crop,
    /// How grey levels are made comparable.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stretch: Stretch,
    /// What becomes of slices without lungs; to leave them out, a crop to the lungs or a stretch must look for these.
    #[serde(default, skip_serializing_if = "is_default")]
    pub without_lungs: WithoutLungs,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for Preprocess {
    /// 224×224, mean and standard deviation 0.5: the slides' settings. The result lies between -1 and 1.
    fn default() -> Self {
        Self {
            size: 224,
            mean: 0.5,
            std: 0.5,
            storage: Storage::Packed,
            window: Window::LUNG,
            sixteen_bit: None,
            accepts_no_end: false,
            crop: Crop::Whole,
            stretch: Stretch::AsIs,
            without_lungs: WithoutLungs::Keep,
        }
    }
}

impl Preprocess {
    /// For scans of hospitals that a network has not seen: the box of the lungs, on one scale of grey levels; slices without
    /// lungs are left out.
    pub fn lungs() -> Self {
        Self {
            crop: Crop::LUNG_BOX,
            stretch: Stretch::LungToTissue,
            without_lungs: WithoutLungs::LeaveOut,
            ..Self::default()
        }
    }

    /// Identifies the cached pixels: size, storage, window, crop and stretch, since normalisation and the choice of
    /// slices happen later.
    pub(crate) fn cache_key(&self, manifest: &Digest) -> String {
        let Self { size, storage, window, crop, stretch, .. } = self;
        let mut text = format!("{manifest} luma-u8 bilinear-antialiased {size} {storage:?} window {window}");
        if self.looks_for_lungs() {
            text += &format!(" crop {crop} stretch {stretch}");
        }
        Digest::of(text.as_bytes()).short()
    }

    /// Whether lungs are searched in every slice, and the cache knows where some were found.
    pub(crate) fn looks_for_lungs(&self) -> bool {
        self.crop != Crop::Whole || self.stretch != Stretch::AsIs
    }

    /// Crop, stretch and what becomes of slices without lungs, for people: a name and a value each.
    pub(crate) fn described(&self) -> [(&'static str, String); 3] {
        let without = match (self.without_lungs, self.looks_for_lungs()) {
            (WithoutLungs::LeaveOut, _) => "left out, except for scans in which none are found",
            (WithoutLungs::Keep, true) => "kept",
            (WithoutLungs::Keep, false) => "kept (lungs are not looked for)",
        };
        [
            ("Crop", self.crop.described()),
            ("Grey levels", self.stretch.described().to_owned()),
            ("Slices without lungs", without.to_owned()),
        ]
    }

    /// # Errors
    /// A value that cannot work; the message begins with the field.
    pub(crate) fn check(&self) -> Result<()> {
        let Self { size, mean, std, .. } = self;
        ensure!((16..=1024).contains(size), "preprocess.size (--size): expected 16 to 1024 pixels, found {size}");
        ensure!(std.is_finite() && *std > 0.0, "preprocess.std: expected more than 0, found {std}");
        ensure!(mean.is_finite(), "preprocess.mean: expected a number, found {mean}");
        ensure!(
            self.without_lungs == WithoutLungs::Keep || self.looks_for_lungs(),
            "preprocess.without_lungs: slices can be left out where lungs are looked for; expected a crop to the lungs or \
             a stretch, found crop {} and stretch {}",
            self.crop,
            self.stretch
        );
        self.crop.check()
    }

    /// A picture cropped and stretched, in its own resolution, and whether lungs were found in it; `None` where they are
    /// not looked for. A picture of Hounsfield units went through the window before.
    pub(crate) fn framed(&self, image: GreyImage) -> (GreyImage, Option<bool>) {
        if !self.looks_for_lungs() || image.pixels.is_empty() {
            return (image, self.looks_for_lungs().then_some(false));
        }
        let (small, mask) = LungMask::reduced(&image);
        let lungs = mask.is_plausible().then_some(&mask);
        let mut framed = match self.crop.area(lungs, image.width, image.height) {
            Some(area) => area.of_picture(&image),
            None => image,
        };
        if let Some(levels) = self.stretch.levels(&small, lungs) {
            framed.pixels.iter_mut().for_each(|pixel| *pixel = levels[usize::from(*pixel)]);
        }
        (framed, Some(lungs.is_some()))
    }

    /// The lungs of a picture as they lie in what the network sees of it.
    pub(crate) fn framed_lungs(&self, image: &GreyImage) -> LungMask {
        let mask = LungMask::of(image);
        if self.crop == Crop::Whole || image.pixels.is_empty() {
            return mask;
        }
        let reduced = LungMask::reduced(image).1;
        let lungs = reduced.is_plausible().then_some(&reduced);
        match self.crop.area(lungs, image.width, image.height) {
            Some(area) => area.of_mask(&mask),
            None => mask,
        }
    }
}

impl Preprocess {
    /// The network's input `[N, 3, size, size]` f32 from grey levels `[N, 1, size, size]` u8, on the same device.
    pub(crate) fn normalised(&self, grey: &Tensor) -> Result<Tensor> {
        let (n, _, height, width) = grey.size4()?;
        // In place, since new memory costs more than the arithmetic.
        let mut images = grey.f_to_kind(Kind::Float)?.f_div_scalar_(255.0)?;
        let images = images.f_sub_scalar_(self.mean)?.f_div_scalar_(self.std)?;
        Ok(images.f_expand([n, 3, height, width], false)?)
    }
}
