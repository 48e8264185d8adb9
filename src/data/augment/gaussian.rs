//! Gaussian noise that costs two additions for a pixel.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::f64::consts::PI;
use std::sync::LazyLock;

/// Bits behind the point of a stored number: the sum of two, up to nine standard deviations each, fits 16 bits.
const POINT: u32 = 10;
/// Places in the table at which a block may begin.
const PLACES: usize = 1 << 16;
/// Pixels for which a place is drawn anew.
pub(super) const BLOCK: usize = 256;

/// Normal numbers by the method of Box and Muller, moved and scaled to a mean of 0 and a variance of 1: what chance leaves in
/// the table would otherwise be in every picture.
static NORMAL: LazyLock<Vec<i16>> = LazyLock::new(|| {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let pair = || {
        // Above 0, for the logarithm.
        let (radius, angle) = (1.0 - random.gen_range(0.0..1.0_f64), random.gen_range(0.0..2.0 * PI));
        let radius = (-2.0 * radius.ln()).sqrt();
        [radius * angle.cos(), radius * angle.sin()]
    };
    let drawn: Vec<f64> = std::iter::repeat_with(pair).take((PLACES + BLOCK) / 2).flatten().collect();
    let mean_of = |numbers: &mut dyn Iterator<Item = f64>| numbers.sum::<f64>() / drawn.len() as f64;
    let mean = mean_of(&mut drawn.iter().copied());
    let deviation = mean_of(&mut drawn.iter().map(|number| (number - mean).powi(2))).sqrt();
    let stored = |number: &f64| ((number - mean) / deviation * f64::from(1_u32 << POINT)).round() as i16;
    drawn.iter().map(stored).collect()
});

/// Where the noise of one picture comes from: a block's is the sum of two parts of the table, at places that are drawn for
/// each block, and so has 2³² forms. Two blocks of a picture share a part only by chance, in about one of 100 pairs.
pub(super) struct Gaussian {
    table: &'static [i16],
    state: u64,
}

impl Gaussian {
    pub(super) fn new(key: u64) -> Self {
        Self { table: NORMAL.as_slice(), state: key }
    }

    /// The two summands of the next block: [`BLOCK`] numbers each, in units of 2⁻¹⁰ standard deviations.
    pub(super) fn next_block(&mut self) -> (&'static [i16], &'static [i16]) {
        let number = self.splitmix();
        let part = |place: u64| {
            let begin = (place & (PLACES as u64 - 1)) as usize;
            &self.table[begin..begin + BLOCK]
        };
        (part(number), part(number >> 32))
    }

    /// What a unit of the summands' sum is worth where the noise has the standard deviation `sigma`: two independent
    /// numbers add up to one whose variance is twice theirs.
    pub(super) fn unit(sigma: f64) -> f64 {
        sigma / f64::from(1_u32 << POINT) / 2.0_f64.sqrt()
    }

    /// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    fn splitmix(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
