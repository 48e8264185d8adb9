//! Statistics of a slice's pixels, computed in one pass.

use super::picture_kinds::{PictureKinds, PictureView};
use super::slice_shape::SliceShape;
use super::thumbnail::Thumbnail;
use crate::data::pixels::GreyImage;
use multiversion::multiversion;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Side of the picture that the descriptor is made from, and number of its frequencies used per axis.
pub(super) const SIDE: usize = 32;
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

    /// Those that were counted before.
    pub(super) fn of(counts: [u64; 256]) -> Self {
        Self(counts.map(AtomicU64::new))
    }

    /// As they stand.
    pub(super) fn counts(&self) -> [u64; 256] {
        std::array::from_fn(|level| self.0[level].load(Ordering::Relaxed))
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

    /// The value that a byte encodes.
    pub(super) fn level(byte: i8) -> f32 {
        let root = f32::from(byte) / 127.0;
        root * root.abs()
    }

    /// That of the picture in which dark and bright are exchanged.
    pub(super) fn inverted(mut self) -> Self {
        self.0.iter_mut().for_each(|byte| *byte = byte.wrapping_neg());
        self
    }

    /// Euclidean distance, 0 to 2.
    pub(super) fn distance(&self, other: &Self) -> f32 {
        distance(&self.values(), &other.values())
    }

    pub(super) fn values(&self) -> [f32; DESCRIPTOR] {
        let mut values = [0.0; DESCRIPTOR];
        values.iter_mut().zip(self.0).for_each(|(value, byte)| *value = Self::level(byte));
        values
    }
}

/// Euclidean distance of two descriptors' values.
pub(super) fn distance(a: &[f32; DESCRIPTOR], b: &[f32; DESCRIPTOR]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
}

/// Identifies the image of a slice; kept for every slice of a data set.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    /// XXH3 of dimensions and pixels: equal images have equal hashes, whatever their file format. A non-cryptographic
    /// hash is enough, since duplicates are not forged; 128 bits suffice for millions of images.
    pub(super) pixels: [u8; 16],
    pub(super) descriptor: Descriptor,
}

/// Statistics of the grey levels of a slice, 0 to 255, and its image.
#[derive(Debug, Clone)]
pub(super) struct PixelMeasure {
    pub(super) min: u8,
    pub(super) max: u8,
    pub(super) mean: f64,
    /// 1st and 99th percentile.
    pub(super) spread: (u8, u8),
    pub(super) picture: Picture,
    /// `None` for a slice without contrast.
    pub(super) shape: Option<SliceShape>,
    pub(super) thumbnail: Box<Thumbnail>,
    pub(super) kinds: PictureKinds,
}

impl PixelMeasure {
    /// Measures a slice and adds its pixels to `levels`.
    pub(super) fn of(image: &GreyImage, levels: &Levels) -> Self {
        let histogram = histogram(&image.pixels);
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
        let thumbnail = Box::new(Thumbnail::of(image));
        let kinds = PictureKinds::of(&PictureView { image, histogram: &histogram, thumbnail: &thumbnail });
        let dimensions = u64::from(image.width) << 32 | u64::from(image.height);
        Self {
            min: level(f64::MIN_POSITIVE),
            max: level(1.0),
            mean: sum as f64 / count,
            spread: (level(0.01), level(0.99)),
            picture: Picture {
                pixels: xxh3_128_with_seed(&image.pixels, dimensions).to_le_bytes(),
                descriptor: descriptor(&thumbnail.halved()),
            },
            shape: SliceShape::of(image, &thumbnail),
            thumbnail,
            kinds,
        }
    }
}

/// How many pixels have each grey level; an image has fewer than 2^32 ([`MAX_SIDE`](crate::data::decode::MAX_SIDE)
/// squared), so no sum wraps, and a check at every pixel would cost more than counting. Neighbouring pixels are counted
/// in different tables, since repeated additions to one counter would have to wait for each other; of black ones, half of
/// a slice, eight are counted at once.
fn histogram(pixels: &[u8]) -> [u32; 256] {
    const TABLES: usize = 8;
    let mut tables = [[0_u32; 256]; TABLES];
    let (eights, rest) = pixels.as_chunks::<TABLES>();
    let mut black = 0_u32;
    for eight in eights {
        if u64::from_ne_bytes(*eight) == 0 {
            black = black.wrapping_add(TABLES as u32);
            continue;
        }
        for (table, &pixel) in tables.iter_mut().zip(eight) {
            let count = &mut table[usize::from(pixel)];
            *count = count.wrapping_add(1);
        }
    }
    for &pixel in rest {
        tables[0][usize::from(pixel)] += 1;
    }
    tables[0][0] += black;
    std::array::from_fn(|level| tables.iter().map(|table| table[level]).sum())
}

/// The frequencies of a descriptor, across and down, from low to high without the mean; a few more than it has.
pub(super) fn zigzag() -> &'static [(usize, usize)] {
    static ZIGZAG: LazyLock<Vec<(usize, usize)>> = LazyLock::new(|| {
        let all = (0..FREQUENCIES).flat_map(|u| (0..FREQUENCIES).map(move |v| (u, v)));
        let mut order: Vec<(usize, usize)> = all.skip(1).collect();
        order.sort_by_key(|&(u, v)| (u + v, u));
        order
    });
    &ZIGZAG
}

/// The lowest frequencies of a 32×32 thumbnail (type-II discrete cosine transform, as in pHash), zigzag without the
/// mean, scaled to length 1 so that brightness and contrast do not count.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn descriptor(thumbnail: &[[f32; SIDE]; SIDE]) -> Descriptor {
    /// The cosines of each place.
    static COSINES: LazyLock<[[f32; FREQUENCIES]; SIDE]> = LazyLock::new(|| {
        let angle = |k: usize, x: usize| std::f32::consts::PI * (2 * x + 1) as f32 * k as f32 / (2 * SIDE) as f32;
        std::array::from_fn(|x| std::array::from_fn(|k| angle(k, x).cos()))
    });
    let mut coefficients = [[0.0_f32; FREQUENCIES]; FREQUENCIES];
    for (line, down) in thumbnail.iter().zip(COSINES.iter()) {
        let mut row = [0.0_f32; FREQUENCIES];
        for (mean, cosines) in line.iter().zip(COSINES.iter()) {
            row.iter_mut().zip(cosines).for_each(|(sum, cosine)| *sum += mean * cosine);
        }
        for (sums, across) in coefficients.iter_mut().zip(row) {
            sums.iter_mut().zip(down).for_each(|(sum, cosine)| *sum += across * cosine);
        }
    }
    let mut values = [0.0_f32; DESCRIPTOR];
    for (value, &(u, v)) in values.iter_mut().zip(zigzag()) {
        *value = coefficients[u][v];
    }
    let length = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    if length > 1.0 {
        values.iter_mut().for_each(|v| *v /= length);
    } else {
        values = [0.0; DESCRIPTOR];
    }
    Descriptor::packed(&values)
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
        let measure = PixelMeasure::of(&image, &levels);
        assert_eq!((measure.min, measure.max, measure.mean, measure.spread), (0, 100, 30.0, (0, 100)));
        PixelMeasure::of(&image, &levels);
        let counts = levels.counts();
        assert_eq!((counts[0], counts[10], counts[100], counts.iter().sum::<u64>()), (2, 4, 2, 8));
    }

    #[test]
    fn black_or_not_every_pixel_is_counted_once() {
        let pixels: Vec<u8> = (0..1003_u32).map(|i| if i % 100 < 61 { 0 } else { (i * 7 % 251) as u8 }).collect();
        let mut expected = [0; 256];
        pixels.iter().for_each(|&pixel| expected[usize::from(pixel)] += 1);
        assert_eq!(histogram(&pixels), expected);
        assert_eq!(histogram(&[0; 24])[0], 24);
    }

    #[test]
    fn contrast_does_not_change_the_descriptor() {
        let picture = |scale| PixelMeasure::of(&ramp(scale), &Levels::none()).picture;
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
