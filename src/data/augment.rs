//! Data augmentation: slices changed at random, anew in every epoch, before a network is trained on them.
//!
//! In this order: flip, rotation, shift and scale in one bilinear warp (`warp.rs`); brightness, contrast, gamma and noise in
//! one pass (`tone.rs`); an erased rectangle. What a slice gets depends only on the run's seed, the epoch and the slice:
//! not on its batch, not on threads, and not on whether the training was resumed.

use crate::base::errors::{Result, ensure};
use crate::data::augment::gaussian::Gaussian;
use crate::data::augment::tone::Tone;
use crate::data::augment::variation::{Draw, Variation};
use crate::data::augment::warp::{Affine, LONGEST_SIDE};
use crate::data::pixels::GreyImage;
use serde::{Deserialize, Serialize};

mod augmented;
mod gaussian;
#[cfg(test)]
mod tests;
mod tone;
mod variation;
mod warp;

/// How slices are changed at random while a network is trained. A field of 0 changes nothing, and a field that is missing in
/// a file is 0.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Probability of a left-right flip, 0 to 1.
    pub flip: f64,
    /// Largest rotation in degrees, 0 to 180; the angle is uniform between its negative and it.
    pub rotate: f64,
    /// Largest shift as a share of the side, 0 to 0.5; across and down are uniform between its negative and it.
    pub shift: f64,
    /// Largest relative change of the size, 0 to 0.5; the factor is uniform in 1 ± scale.
    pub scale: f64,
    /// Largest change of the grey levels as a share of their range, 0 to 1; uniform between its negative and it.
    pub brightness: f64,
    /// Largest relative change of the contrast, 0 to 1: the differences to the slice's mean are multiplied with a factor
    /// uniform in 1 ± contrast.
    pub contrast: f64,
    /// Gamma correction, 0 to 4: the exponent of the grey level (0 to 1) lies between 1 / (1 + gamma) and 1 + gamma, its
    /// logarithm is uniform.
    pub gamma: f64,
    /// Standard deviation of Gaussian noise as a share of the grey range, 0 to 0.5.
    pub noise: f64,
    /// Probability, 0 to 1, that one rectangle is filled with the slice's mean: 2 to 20 % of the picture, height to width 0.3
    /// to 3.3 with a uniform logarithm. Zhong et al.: Random erasing data augmentation, AAAI 2020.
    pub erase: f64,
}

impl Augmentation {
    /// A cautious choice for chest CT. Patients lie a little turned, off the centre and in fields of view that differ by a
    /// tenth: rotation up to 10°, shift up to 6 %, scale up to 10 %. Windows and reconstruction kernels differ between
    /// scanners: brightness 10 %, contrast 15 %, gamma 15 %, and noise with a standard deviation of 2 %, about 30 HU
    /// of a lung window 1500 wide. Half of the slices are mirrored, since the disease may be in either lung. Nothing is
    /// erased: a small lesion may be all that makes a slice positive.
    pub fn gentle() -> Self {
        Self {
            flip: 0.5,
            rotate: 10.0,
            shift: 0.06,
            scale: 0.1,
            brightness: 0.1,
            contrast: 0.15,
            gamma: 0.15,
            noise: 0.02,
            erase: 0.0,
        }
    }

    /// Whether nothing is changed.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Checks all fields.
    ///
    /// # Errors
    /// A value out of its range; the message names the field, the expected and the found value.
    pub fn check(&self) -> Result<()> {
        for (field, value, most) in [
            ("flip", self.flip, 1.0),
            ("rotate", self.rotate, 180.0),
            ("shift", self.shift, 0.5),
            ("scale", self.scale, 0.5),
            ("brightness", self.brightness, 1.0),
            ("contrast", self.contrast, 1.0),
            ("gamma", self.gamma, 4.0),
            ("noise", self.noise, 0.5),
            ("erase", self.erase, 1.0),
        ] {
            ensure!((0.0..=most).contains(&value), "augmentation.{field}: expected 0 to {most}, found {value}");
        }
        Ok(())
    }

    /// One line of words for a table of settings, such as `flip 50 %, rotate ±10°`; `none` where nothing is changed.
    pub fn described(&self) -> String {
        let percent = |share: f64| format!("{} %", rounded(100.0 * share));
        let parts = [
            (self.flip, format!("flip {}", percent(self.flip))),
            (self.rotate, format!("rotate ±{}°", rounded(self.rotate))),
            (self.shift, format!("shift ±{}", percent(self.shift))),
            (self.scale, format!("scale ±{}", percent(self.scale))),
            (self.brightness, format!("brightness ±{}", percent(self.brightness))),
            (self.contrast, format!("contrast ±{}", percent(self.contrast))),
            (self.gamma, format!("gamma 1/{0} to {0}", rounded(1.0 + self.gamma))),
            (self.noise, format!("noise {}", percent(self.noise))),
            (self.erase, format!("erase {}", percent(self.erase))),
        ];
        let parts: Vec<String> = parts.into_iter().filter(|(value, _)| *value != 0.0).map(|(_, words)| words).collect();
        if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
    }

    /// Changes a batch `[N, 1, side, side]` of grey levels in place: `pixels` holds the N squares one after the other, `slices`
    /// their indices in the cache. The same seed, epoch (from 0) and slice give the same levels in every batch and at every
    /// call.
    ///
    /// One thread does it: it is much faster than a training step, whose network uses all processors meanwhile.
    ///
    /// # Errors
    /// A field out of its range, a side of 0 or above 4096 pixels, or another number of pixels than N × side × side.
    pub fn apply_to_batch(
        &self,
        pixels: &mut [u8],
        side: usize,
        slices: &[usize],
        (seed, epoch): (u64, usize),
    ) -> Result<()> {
        self.check()?;
        ensure!(
            (1..=LONGEST_SIDE).contains(&side),
            "augmenting slices: expected sides of 1 to {LONGEST_SIDE} pixels, found {side}"
        );
        let expected = slices.len() * side * side;
        ensure!(
            pixels.len() == expected,
            "augmenting {} slices of {side}x{side} pixels: expected {expected} grey levels, found {}",
            slices.len(),
            pixels.len()
        );
        if !self.is_none() {
            let mut room = Vec::new();
            for (square, &slice) in pixels.chunks_exact_mut(side * side).zip(slices) {
                self.apply(square, side, Draw { seed, epoch: epoch as u64, slice: slice as u64 }, &mut room);
            }
        }
        Ok(())
    }

    /// Changes one square slice in place as drawn for it. `room` is memory that is used again.
    pub(crate) fn apply(&self, pixels: &mut [u8], side: usize, draw: Draw, room: &mut Vec<u32>) {
        let of = Variation::drawn(self, side, draw);
        of.affine.warp(pixels, side, room);
        of.tone.apply(pixels, 255.0 * self.noise, Gaussian::new(of.noise));
        if let Some(rectangle) = of.erased {
            rectangle.fill(pixels, side);
        }
    }

    /// An image that is flipped left to right where `flip` is set, then scaled by `scale` (more than 1 enlarges) and rotated
    /// clockwise by `angle` degrees about its centre, then shifted by `shift` pixels to the right and down. One bilinear
    /// interpolation, black outside: what torchvision's `affine` does, to the rounding of a grey level.
    ///
    /// # Errors
    /// An image whose pixels are not width × height, or with a side of 0 or above 4096 pixels; a scale that is not between
    /// 0.01 and 100; an angle or shift that is not finite.
    pub fn warped(image: &GreyImage, flip: bool, angle: f64, shift: (f64, f64), scale: f64) -> Result<GreyImage> {
        check_image(image, "warping")?;
        ensure!((0.01..=100.0).contains(&scale), "warping an image: expected a scale of 0.01 to 100, found {scale}");
        ensure!(
            [angle, shift.0, shift.1].iter().all(|number| number.is_finite()),
            "warping an image: expected finite numbers, found an angle of {angle} and a shift of {shift:?}"
        );
        let mut warped = image.clone();
        Affine { flip, angle, shift, scale }.warp(&mut warped.pixels, image.width as usize, &mut Vec::new());
        Ok(warped)
    }

    /// An image with `brightness` (a share of the grey range) added, then its differences to the mean multiplied with
    /// `contrast`, then grey levels (0 to 1) to the power `gamma`; cut to black and white after each, rounded at the end.
    /// Contrast and gamma are torchvision's `adjust_contrast` and `adjust_gamma`, which cut off what is rounded here; its
    /// `adjust_brightness` multiplies and so would not brighten air.
    ///
    /// # Errors
    /// An image whose pixels are not width × height, or with a side of 0 or above 4096 pixels; a brightness that is not
    /// between −1 and 1, or a contrast or gamma that is not between 0 and 100.
    pub fn toned(image: &GreyImage, brightness: f64, contrast: f64, gamma: f64) -> Result<GreyImage> {
        check_image(image, "changing the tone of")?;
        let is_sound =
            (-1.0..=1.0).contains(&brightness) && [contrast, gamma].iter().all(|f| (0.0..=100.0).contains(f));
        ensure!(
            is_sound,
            "changing the tone of an image: expected a brightness of -1 to 1, a contrast and a gamma of 0 to 100; found \
             {brightness}, {contrast} and {gamma}"
        );
        let mut toned = image.clone();
        Tone { brightness, contrast, gamma }.apply(&mut toned.pixels, 0.0, Gaussian::new(0));
        Ok(toned)
    }
}

fn check_image(image: &GreyImage, doing: &str) -> Result<()> {
    let (width, height) = (image.width as usize, image.height as usize);
    let sides = 1..=LONGEST_SIDE;
    ensure!(
        sides.contains(&width) && sides.contains(&height) && image.pixels.len() == width * height,
        "{doing} an image of {width}x{height} pixels: expected sides of 1 to {LONGEST_SIDE} and as many grey levels, found {}",
        image.pixels.len()
    );
    Ok(())
}

/// At most two digits behind the point.
fn rounded(number: f64) -> f64 {
    (100.0 * number).round() / 100.0
}
