//! The grain of a slice: whether neighbouring patches differ up or down, in 256 places of its middle.
//!
//! Noise is a slice's own, so that a copy has the same grain although it was encoded again, while the next slice has
//! not, even one half a millimetre away. On real scans neighbours agree in 55 to 81 % of the places, slices that
//! overlap by most of their thickness in up to 88 %, copies encoded again as JPEG with quality 90 and 75 in 99 and 98 %.

use crate::data::pixels::GreyImage;

/// Places per axis, and pixels of a patch per axis.
const PLACES: usize = 16;
const PATCH: usize = 4;
/// In a smaller picture the patches show the body and not the noise.
const SMALLEST: usize = 96;
/// Fewer places than this say nothing.
const ENOUGH: u32 = 40;

/// One bit a place: whether the left patch is brighter, and whether the two differ enough to say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Grain {
    brighter: [u64; 4],
    differs: [u64; 4],
}

impl Grain {
    pub(super) fn of(image: &GreyImage) -> Self {
        let (width, height) = (image.width as usize, image.height as usize);
        let mut grain = Self::default();
        if width.min(height) < SMALLEST {
            return grain;
        }
        // The middle 60 % of the picture.
        let place = |length: usize, number: usize| length / 5 + 3 * length * (2 * number + 1) / (5 * 2 * PLACES);
        for at in 0..PLACES * PLACES {
            let x = place(width, at % PLACES).min(width - 2 * PATCH);
            let y = place(height, at / PLACES).min(height - PATCH);
            // Rows are summed up four pixels at once, in two sums of each word; the product adds these up.
            let sum = |x: usize| -> i32 {
                let row = |y: usize| {
                    image.pixels[y * width + x..].first_chunk::<PATCH>().map_or(0, |row| u32::from_le_bytes(*row))
                };
                let pairs = |row: u32| (row & 0xff_00ff).wrapping_add(row >> 8 & 0xff_00ff);
                let all = (y..y + PATCH).fold(0_u32, |sum, y| sum.wrapping_add(pairs(row(y))));
                (all.wrapping_add(all << 16) >> 16).cast_signed()
            };
            let difference = sum(x) - sum(x + PATCH);
            // Half a grey level between the means.
            let (differs, brighter) = (2 * difference.abs() >= (PATCH * PATCH) as i32, difference > 0);
            grain.differs[at / 64] |= u64::from(differs) << (at % 64);
            grain.brighter[at / 64] |= u64::from(brighter) << (at % 64);
        }
        grain
    }

    /// To be kept in a file.
    pub(super) fn words(&self) -> [u64; 8] {
        std::array::from_fn(|at| if at < 4 { self.brighter[at] } else { self.differs[at - 4] })
    }

    pub(super) fn of_words(words: &[u64; 8]) -> Self {
        Self { brighter: std::array::from_fn(|at| words[at]), differs: std::array::from_fn(|at| words[4 + at]) }
    }

    /// The share of places in which two slices agree; `None` where too few show anything in both.
    pub(super) fn agreement(&self, other: &Self) -> Option<f32> {
        let (mut places, mut equal) = (0, 0);
        for at in 0..4 {
            let both = self.differs[at] & other.differs[at];
            places += both.count_ones();
            equal += (both & !(self.brighter[at] ^ other.brighter[at])).count_ones();
        }
        (places >= ENOUGH).then(|| equal as f32 / places as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noisy(noise: u32, gain: u32) -> GreyImage {
        let side = 96_u32;
        let mut state = 12_345 + noise;
        let pixels = (0..side * side).map(|at| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (60 + at / side + gain * (state >> 28)) as u8
        });
        GreyImage { width: side, height: side, pixels: pixels.collect() }
    }

    #[test]
    fn equal_noise_has_an_equal_grain_and_other_noise_another() {
        let grain = Grain::of(&noisy(1, 4));
        assert_eq!(grain.agreement(&grain), Some(1.0));
        let weaker = grain.agreement(&Grain::of(&noisy(1, 3))).expect("many places");
        let other = grain.agreement(&Grain::of(&noisy(2, 4))).expect("many places");
        assert!(weaker > 0.97 && other < 0.65, "{weaker} and {other}");
        let even = Grain::of(&GreyImage { width: 64, height: 64, pixels: vec![90; 64 * 64] });
        assert_eq!(even.agreement(&even), None);
        assert_eq!(Grain::of(&GreyImage { width: 3, height: 2, pixels: vec![0; 6] }), Grain::default());
    }
}
