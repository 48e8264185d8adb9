//! Brightness, contrast and gamma in one lookup table, and noise on top.

use crate::data::augment::gaussian::{BLOCK, Gaussian};
use multiversion::multiversion;

/// Bits behind the point of a grey level in the table.
const POINT: u32 = 8;
/// Bits behind the point of the noise's unit.
const UNIT: u32 = 12;

/// Brightness, then contrast, then gamma; each result is cut to black and white.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tone {
    /// Share of the grey range that is added.
    pub(super) brightness: f64,
    /// Factor about the picture's mean.
    pub(super) contrast: f64,
    /// Exponent of the grey level divided by 255.
    pub(super) gamma: f64,
}

impl Tone {
    pub(super) const SAME: Self = Self { brightness: 0.0, contrast: 1.0, gamma: 1.0 };

    /// The grey level, 0 to 255, that each level of a picture becomes.
    pub(super) fn table(&self, pixels: &[u8]) -> [f64; 256] {
        let brighter = |level: usize| (level as f64 + 255.0 * self.brightness).clamp(0.0, 255.0);
        // Without contrast the mean is not needed.
        let mean = if self.contrast == 1.0 { 0.0 } else { mean_of(pixels, 255.0 * self.brightness) };
        std::array::from_fn(|level| {
            let level = (mean + self.contrast * (brighter(level) - mean)).clamp(0.0, 255.0);
            if self.gamma == 1.0 { level } else { 255.0 * (level / 255.0).powf(self.gamma) }
        })
    }

    /// Changes the grey levels of a picture and adds noise with the standard deviation `sigma`, in grey levels. Levels are
    /// rounded once, at the end.
    pub(super) fn apply(&self, pixels: &mut [u8], sigma: f64, noise: Gaussian) {
        if sigma > 0.0 {
            let scale = f64::from(1_u32 << POINT);
            // Half a level more, so that levels are rounded when the bits behind the point are cut off.
            let table = self.table(pixels).map(|level| ((level + 0.5) * scale).round() as i32);
            let unit = (Gaussian::unit(sigma) * scale * f64::from(1_u32 << UNIT)).round() as i32;
            add_noise(pixels, &table, unit, noise);
        } else if *self != Self::SAME {
            let table = self.table(pixels).map(|level| level.round() as u8);
            pixels.iter_mut().for_each(|pixel| *pixel = table[usize::from(*pixel)]);
        }
    }
}

/// The mean of the grey levels after `added` was added and the sum cut to black and white.
fn mean_of(pixels: &[u8], added: f64) -> f64 {
    // Levels from `low` to `high` are not cut; those above become white, those below black.
    let (low, high) = ((-added).ceil().clamp(0.0, 255.0) as u8, (255.0 - added).floor().clamp(0.0, 255.0) as u8);
    let within = range_of(pixels, low, high);
    let white = pixels.len() as u64 - range_of(pixels, 0, high).count;
    let sum = within.sum as f64 + within.count as f64 * added + 255.0 * white as f64;
    sum / pixels.len().max(1) as f64
}

/// The pixels whose grey levels lie in a range.
struct Within {
    count: u64,
    sum: u64,
}

#[multiversion(targets("x86_64+avx2+avx512f+avx512bw", "x86_64+avx2"))]
fn range_of(pixels: &[u8], low: u8, high: u8) -> Within {
    let mut within = Within { count: 0, sum: 0 };
    // So many levels fit 16 bits, and twice as many fit a vector.
    for block in pixels.chunks(256) {
        let (mut count, mut sum) = (0_u16, 0_u16);
        for pixel in block {
            let is_inside = (low..=high).contains(pixel);
            count = count.wrapping_add(u16::from(is_inside));
            sum = sum.wrapping_add(if is_inside { u16::from(*pixel) } else { 0 });
        }
        within.count += u64::from(count);
        within.sum += u64::from(sum);
    }
    within
}

#[multiversion(targets("x86_64+avx2+avx512f+avx512bw", "x86_64+avx2"))]
fn add_noise(pixels: &mut [u8], table: &[i32; 256], unit: i32, mut noise: Gaussian) {
    for block in pixels.chunks_mut(BLOCK) {
        let (a, b) = noise.next_block();
        // Two numbers below five standard deviations (2^14), times a unit below 2^17 for half the grey range: no overflow, and
        // checks of it would keep the compiler from using vectors.
        for (pixel, (a, b)) in block.iter_mut().zip(a.iter().zip(b)) {
            let noise = i32::from(*a).wrapping_add(i32::from(*b)).wrapping_mul(unit) >> UNIT;
            let level = table[usize::from(*pixel)].wrapping_add(noise) >> POINT;
            *pixel = level.clamp(0, 255) as u8;
        }
    }
}
