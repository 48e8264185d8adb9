//! Frequencies of pictures relative to those of the data set, since all chests have nearly the same.

use super::super::pixel_measures::{DESCRIPTOR, Descriptor};

/// One bit for each frequency: whether it exceeds the median.
pub(super) fn signature(whitened: &[f32; DESCRIPTOR]) -> u128 {
    whitened.iter().fold(0, |bits, value| bits << 1 | u128::from(*value > 0.0))
}

/// Median and standard deviation of each frequency over the data set, with which slices are compared.
pub(super) struct Usual {
    median: [f32; DESCRIPTOR],
    /// 1 / standard deviation around the median; 0 for a frequency that never varies.
    scale: [f32; DESCRIPTOR],
}

impl Usual {
    /// Descriptors hold bytes, so one pass that counts each value gives median and variance.
    pub(super) fn of<'a>(descriptors: impl ExactSizeIterator<Item = &'a Descriptor>) -> Self {
        let count = descriptors.len();
        let mut usual = Self { median: [0.0; DESCRIPTOR], scale: [0.0; DESCRIPTOR] };
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
            let median = levels[counts.iter().take_while(below).count()];
            let each = counts.iter().zip(&levels);
            let squares: f64 = each.map(|(count, level)| f64::from(*count) * f64::from(level - median).powi(2)).sum();
            let variance = squares / count as f64;
            usual.median[k] = median;
            usual.scale[k] = if variance > 1e-12 { 1.0 / variance.sqrt() as f32 } else { 0.0 };
        }
        usual
    }

    /// Each frequency minus its median, divided by its spread.
    pub(super) fn whitened(&self, frequencies: &[f32; DESCRIPTOR]) -> [f32; DESCRIPTOR] {
        std::array::from_fn(|k| (frequencies[k] - self.median[k]) * self.scale[k])
    }
}

fn index(root: i8) -> usize {
    (i16::from(root) - i16::from(i8::MIN)) as usize
}

pub(super) fn dot(a: &[f32; DESCRIPTOR], b: &[f32; DESCRIPTOR]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
