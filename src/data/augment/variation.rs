//! What is drawn for one slice in one epoch.

use crate::data::augment::Augmentation;
use crate::data::augment::tone::Tone;
use crate::data::augment::warp::Affine;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a draw depends on, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Draw {
    /// Of the run.
    pub(crate) seed: u64,
    /// From 0.
    pub(crate) epoch: u64,
    /// Index in the cache.
    pub(crate) slice: u64,
}

impl Draw {
    fn random(self) -> ChaCha8Rng {
        let mut key = [0; 32];
        let numbers = [self.seed, self.epoch, self.slice, u64::from_le_bytes(*b"augments")];
        key.chunks_exact_mut(8).zip(numbers).for_each(|(part, number)| part.copy_from_slice(&number.to_le_bytes()));
        ChaCha8Rng::from_seed(key)
    }
}

/// The change of one slice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Variation {
    pub(super) affine: Affine,
    pub(super) tone: Tone,
    /// The noise's key.
    pub(super) noise: u64,
    pub(super) erased: Option<Rectangle>,
}

impl Variation {
    /// Every number is drawn, whether it is used or not, so that one setting does not change what another draws.
    pub(super) fn drawn(of: &Augmentation, side: usize, draw: Draw) -> Self {
        let mut random = draw.random();
        let mut share = || random.gen_range(0.0..1.0_f64);
        let flip = share() < of.flip;
        let mut within = |most: f64| most * (2.0 * share() - 1.0);
        let angle = within(of.rotate);
        let shift = (within(of.shift * side as f64), within(of.shift * side as f64));
        let affine = Affine { flip, angle, shift, scale: 1.0 + within(of.scale) };
        let (brightness, contrast) = (within(of.brightness), 1.0 + within(of.contrast));
        let tone = Tone { brightness, contrast, gamma: within((1.0 + of.gamma).ln()).exp() };
        let is_erased = share() < of.erase;
        let rectangle = Rectangle::drawn(side, [share(), share(), share(), share()]);
        Self { affine, tone, noise: random.r#gen(), erased: is_erased.then_some(rectangle) }
    }
}

/// Rows and columns that are erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rectangle {
    pub(super) left: usize,
    pub(super) top: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Rectangle {
    /// Shares of the picture.
    pub(super) const AREA: (f64, f64) = (0.02, 0.2);
    /// Height divided by width.
    pub(super) const ASPECT: (f64, f64) = (0.3, 3.3);

    /// As torchvision's `RandomErasing.get_params`, from four numbers between 0 and 1. Sides stay below 0.82 of the picture's,
    /// so that every draw fits.
    fn drawn(side: usize, [area, aspect, left, top]: [f64; 4]) -> Self {
        let area = (Self::AREA.0 + area * (Self::AREA.1 - Self::AREA.0)) * (side * side) as f64;
        let (low, high) = (Self::ASPECT.0.ln(), Self::ASPECT.1.ln());
        let aspect = (low + aspect * (high - low)).exp();
        let whole = |length: f64| (length.sqrt().round() as usize).clamp(1, side);
        let (height, width) = (whole(area * aspect), whole(area / aspect));
        let place = |share: f64, length: usize| (share * (side - length + 1) as f64) as usize;
        Self { left: place(left, width), top: place(top, height), width, height }
    }

    /// Fills it with the picture's mean.
    pub(super) fn fill(&self, pixels: &mut [u8], side: usize) {
        let sum: u64 = pixels.iter().map(|pixel| u64::from(*pixel)).sum();
        let mean = (sum as f64 / pixels.len().max(1) as f64).round() as u8;
        for row in pixels.chunks_exact_mut(side).skip(self.top).take(self.height) {
            row[self.left..self.left + self.width].fill(mean);
        }
    }
}
