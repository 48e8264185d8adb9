//! Frequencies of pictures relative to those of the data set, since all chests have nearly the same.

use super::super::pixel_measures::{DESCRIPTOR, Descriptor};
use multiversion::multiversion;

/// A slice whose correlation with the usual one is lower is taken to be inverted.
const OPPOSITE: f32 = -0.3;

/// Median and standard deviation of each frequency over the data set, with which slices are compared.
pub(super) struct Usual {
    median: [f32; DESCRIPTOR],
    /// The byte that encodes it; the largest one for a frequency that never varies, which none exceeds.
    median_byte: [i8; DESCRIPTOR],
    /// 1 / standard deviation around the median; 0 for a frequency that never varies.
    scale: [f32; DESCRIPTOR],
}

impl Usual {
    /// Descriptors hold bytes, so one pass that counts each value gives median and variance.
    pub(super) fn of(descriptors: impl ExactSizeIterator<Item = Descriptor>) -> Self {
        let count = descriptors.len();
        let mut usual =
            Self { median: [0.0; DESCRIPTOR], median_byte: [i8::MAX; DESCRIPTOR], scale: [0.0; DESCRIPTOR] };
        let mut counts = vec![[0_u32; 256]; DESCRIPTOR];
        for descriptor in descriptors {
            counts.iter_mut().zip(&descriptor.0).for_each(|(counts, &root)| counts[index(root)] += 1);
        }
        let levels: Vec<f32> = (i8::MIN..=i8::MAX).map(Descriptor::level).collect();
        let middle = count / 2;
        for (k, counts) in counts.iter().enumerate().take_while(|_| count > 0) {
            let mut seen = 0;
            let below = |count: &&u32| {
                seen += **count as usize;
                seen <= middle
            };
            let place = counts.iter().take_while(below).count();
            let median = levels[place];
            let each = counts.iter().zip(&levels);
            let squares: f64 = each.map(|(count, level)| f64::from(*count) * f64::from(level - median).powi(2)).sum();
            let variance = squares / count as f64;
            usual.median[k] = median;
            if variance > 1e-12 {
                usual.scale[k] = 1.0 / variance.sqrt() as f32;
                usual.median_byte[k] = (place as i16 + i16::from(i8::MIN)) as i8;
            }
        }
        usual
    }

    /// One bit for each frequency, the highest for the first: whether it exceeds the median. Bytes are in the order of what
    /// they encode.
    pub(super) fn signs(&self, descriptor: &Descriptor) -> u128 {
        let mut exceeds = [0; DESCRIPTOR];
        let pairs = descriptor.0.iter().zip(&self.median_byte);
        exceeds.iter_mut().zip(pairs).for_each(|(exceeds, (byte, median))| *exceeds = u8::from(byte > median));
        // The product moves the lowest bit of each of eight bytes to the highest byte, the first one's to its highest bit.
        let eight = |bits, bytes: &[u8; 8]| {
            bits << 8 | u128::from(u64::from_be_bytes(*bytes).wrapping_mul(0x0102_0408_1020_4080) >> 56)
        };
        exceeds.as_chunks().0.iter().fold(0, eight)
    }

    /// The same of frequencies that are no bytes.
    pub(super) fn signs_of(&self, frequencies: &[f32; DESCRIPTOR]) -> u128 {
        let exceeds = |k: usize| self.scale[k] > 0.0 && frequencies[k] > self.median[k];
        (0..DESCRIPTOR).fold(0, |bits, k| bits << 1 | u128::from(exceeds(k)))
    }

    /// -1 for a slice that is the opposite of the usual one rather than like it, as an inverted one is; 1 for others.
    pub(super) fn tone(&self, descriptor: &Descriptor) -> f32 {
        let values = descriptor.values();
        let lengths = (dot(&values, &values) * dot(&self.median, &self.median)).sqrt();
        if dot(&values, &self.median) < OPPOSITE * lengths { -1.0 } else { 1.0 }
    }

    /// Each frequency minus its median, divided by its spread.
    pub(super) fn whitened(&self, frequencies: &[f32; DESCRIPTOR]) -> [f32; DESCRIPTOR] {
        let mut whitened = *frequencies;
        for (value, (median, scale)) in whitened.iter_mut().zip(self.median.iter().zip(&self.scale)) {
            *value = (*value - median) * scale;
        }
        whitened
    }
}

fn index(root: i8) -> usize {
    (i16::from(root) - i16::from(i8::MIN)) as usize
}

/// The sum of the products, over a few places at a time.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn dot(a: &[f32; DESCRIPTOR], b: &[f32; DESCRIPTOR]) -> f32 {
    let mut sums = [0.0; 8];
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum()
}
