//! What one look at a slice's pixels tells.

use crate::decode::GreyImage;
use anyhow::Result;
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Side of the thumbnail the descriptor is made from, and number of its frequencies used per axis.
const THUMBNAIL: usize = 32;
const FREQUENCIES: usize = 12;
/// Numbers in a descriptor: the lowest frequencies without the mean.
pub(super) const DESCRIPTOR: usize = 96;

/// Pixels at each grey level, of all slices together, counted by many threads.
pub(super) struct Levels([AtomicU64; 256]);

impl Levels {
    pub(super) fn none() -> Self {
        Self([const { AtomicU64::new(0) }; 256])
    }

    fn add(&self, histogram: &[u32; 256]) {
        for (sum, &n) in self.0.iter().zip(histogram).filter(|(_, n)| **n > 0) {
            sum.fetch_add(u64::from(n), Ordering::Relaxed);
        }
    }

    pub(super) fn counts(self) -> Vec<u64> {
        self.0.into_iter().map(AtomicU64::into_inner).collect()
    }
}

/// The lowest frequencies of a slice, without the mean, scaled to length 1: a byte each, since an audit keeps those of
/// every slice at once. A byte holds the root of a number, so that small ones keep their digits; all zero for an even
/// picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Descriptor(pub(super) [i8; DESCRIPTOR]);

impl Descriptor {
    pub(super) fn packed(values: &[f32; DESCRIPTOR]) -> Self {
        Self(values.map(|v| (127.0 * v.abs().sqrt().min(1.0) * v.signum()).round() as i8))
    }

    pub(super) fn value(&self, frequency: usize) -> f32 {
        let root = f32::from(self.0[frequency]) / 127.0;
        root * root.abs()
    }

    #[cfg(test)]
    pub(super) fn values(&self) -> [f32; DESCRIPTOR] {
        std::array::from_fn(|frequency| self.value(frequency))
    }
}

/// What identifies the picture of a slice: kept for every slice of a data set.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    /// The first half of the SHA-256 of dimensions and pixels: equal pictures, however they were stored.
    pub(super) pixels: [u8; 16],
    pub(super) descriptor: Descriptor,
}

/// Grey levels of a slice, 0 to 255, and its picture.
#[derive(Debug, Clone)]
pub(super) struct Measure {
    pub(super) min: u8,
    pub(super) max: u8,
    pub(super) mean: f64,
    /// 1st and 99th percentile.
    pub(super) spread: (u8, u8),
    pub(super) picture: Picture,
}

impl Measure {
    /// Measures a slice and adds its pixels to `levels`.
    pub(super) fn of(image: &GreyImage, levels: &Levels) -> Result<Self> {
        let mut histogram = [0_u32; 256];
        for &pixel in &image.pixels {
            histogram[usize::from(pixel)] += 1;
        }
        levels.add(&histogram);
        let count = image.pixels.len() as f64;
        let sum: u64 = histogram.iter().enumerate().map(|(level, n)| level as u64 * u64::from(*n)).sum();
        let level = |share: f64| {
            let mut seen = 0.0;
            (0..=255_u8)
                .find(|&level| {
                    seen += f64::from(histogram[usize::from(level)]);
                    seen >= share * count
                })
                .unwrap_or(255)
        };
        let mut hasher = Sha256::new();
        hasher.update(image.width.to_le_bytes());
        hasher.update(image.height.to_le_bytes());
        hasher.update(&image.pixels);
        Ok(Self {
            min: level(f64::MIN_POSITIVE),
            max: level(1.0),
            mean: sum as f64 / count,
            spread: (level(0.01), level(0.99)),
            picture: Picture { pixels: half(&hasher.finalize().into()), descriptor: descriptor(image)? },
        })
    }
}

pub(super) fn half(digest: &[u8; 32]) -> [u8; 16] {
    std::array::from_fn(|byte| digest[byte])
}

/// The lowest frequencies of a 32×32 thumbnail (type-II discrete cosine transform, as in pHash), zigzag without the
/// mean, scaled to length 1 so that brightness and contrast do not count.
fn descriptor(image: &GreyImage) -> Result<Descriptor> {
    static COSINES: LazyLock<Vec<f32>> = LazyLock::new(|| {
        let angle = |k: usize, x: usize| std::f32::consts::PI * (2 * x + 1) as f32 * k as f32 / (2 * THUMBNAIL) as f32;
        (0..FREQUENCIES).flat_map(|k| (0..THUMBNAIL).map(move |x| angle(k, x).cos())).collect()
    });
    let thumbnail = crate::resize::resize_grey(image, THUMBNAIL as u32)?;
    let cosine = |k: usize| &COSINES[k * THUMBNAIL..(k + 1) * THUMBNAIL];
    let mut rows = [[0.0_f32; THUMBNAIL]; FREQUENCIES];
    for (y, line) in thumbnail.chunks_exact(THUMBNAIL).enumerate() {
        for (k, row) in rows.iter_mut().enumerate() {
            row[y] = line.iter().zip(cosine(k)).map(|(p, c)| f32::from(*p) * c).sum();
        }
    }
    let coefficient = |u: usize, v: usize| -> f32 { rows[u].iter().zip(cosine(v)).map(|(a, c)| a * c).sum() };
    let mut order: Vec<(usize, usize)> =
        (0..FREQUENCIES).flat_map(|u| (0..FREQUENCIES).map(move |v| (u, v))).skip(1).collect();
    order.sort_by_key(|&(u, v)| (u + v, u));
    let mut values = [0.0_f32; DESCRIPTOR];
    for (value, &(u, v)) in values.iter_mut().zip(&order) {
        *value = coefficient(u, v);
    }
    let length = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    if length > 1.0 {
        values.iter_mut().for_each(|v| *v /= length);
    } else {
        values = [0.0; DESCRIPTOR];
    }
    Ok(Descriptor::packed(&values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(scale: u32) -> GreyImage {
        let pixels = (0..64 * 64_u32).map(|i| (20 + (i % 64) * scale + (i / 64) / 2) as u8).collect();
        GreyImage { width: 64, height: 64, pixels }
    }

    #[test]
    fn levels_are_counted() {
        let image = GreyImage { width: 4, height: 1, pixels: vec![0, 10, 10, 100] };
        let levels = Levels::none();
        let measure = Measure::of(&image, &levels).expect("measures");
        assert_eq!((measure.min, measure.max, measure.mean, measure.spread), (0, 100, 30.0, (0, 100)));
        Measure::of(&image, &levels).expect("measures");
        let counts = levels.counts();
        assert_eq!((counts[0], counts[10], counts[100], counts.iter().sum::<u64>()), (2, 4, 2, 8));
    }

    #[test]
    fn contrast_does_not_change_the_descriptor() {
        let picture = |scale| Measure::of(&ramp(scale), &Levels::none()).expect("measures").picture;
        let (a, b) = (picture(1), picture(3));
        let cosine: f32 = a.descriptor.values().iter().zip(b.descriptor.values()).map(|(x, y)| x * y).sum();
        assert!(cosine > 0.9, "{cosine}");
        assert_ne!(a.pixels, b.pixels);
    }

    #[test]
    fn a_byte_keeps_a_frequency_to_a_hundredth_of_its_root() {
        let values: [f32; DESCRIPTOR] = std::array::from_fn(|i| (i as f32 / 95.0 - 0.5).powi(3));
        for (value, kept) in values.iter().zip(Descriptor::packed(&values).values()) {
            assert!((value - kept).abs() <= 0.008 * value.abs().sqrt() + 2e-5, "{value} was kept as {kept}");
        }
    }
}
