//! Whether one reduced slice may lie in another at about a placement: asked of halved pictures before they are registered,
//! since most slices with similar frequencies do not.

use super::common_part::{HALF, HalfContrast, halved_correlation};
use super::registration::{COARSE, Placement, searched};
use super::symmetry::Symmetry;

/// Steps of a byte in one of local contrast.
const STEPS: f32 = 32.0;
/// From this correlation on a search for the placement is worthwhile, and from this one of what was found a registration.
/// Measured: cropped copies of real slices begin at 0.69 or more, and reach 0.84; half of the other pairs that come so far
/// begin below 0.65, and nine of ten reach less than 0.79.
const WORTHWHILE: f32 = 0.5;
const PROMISING: f32 = 0.76;

/// The local contrast of a slice in 32×32 fields, a byte each.
pub(super) struct CoarseContrast(Box<[i8; HALF * HALF]>);

impl CoarseContrast {
    /// Of the contrast of 64×64 fields.
    pub(super) fn of(contrast: &[f32]) -> Self {
        let mut halved = Box::new([0; HALF * HALF]);
        for (to, two) in halved.chunks_exact_mut(HALF).zip(contrast.chunks_exact(4 * HALF)) {
            let (upper, lower) = two.split_at(2 * HALF);
            let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
            let mean = |([a, b], [c, d]): (&[f32; 2], &[f32; 2])| (a + b + c + d) * (STEPS / 4.0);
            to.iter_mut().zip(pairs).for_each(|(to, pair)| *to = mean(pair) as i8);
        }
        Self(halved)
    }

    /// As it looks after a symmetry.
    pub(super) fn turned(&self, symmetry: Symmetry) -> HalfContrast {
        let factor = symmetry.sign() / STEPS;
        let mut turned = [[0.0; HALF]; HALF];
        for (y, row) in turned.iter_mut().enumerate() {
            // Places of a row are evenly apart in the original.
            let [first, second] = [0, 1].map(|x| symmetry.origin::<HALF>(y * HALF + x));
            let step = second.wrapping_sub(first);
            let mut from = first;
            for value in row {
                *value = factor * f32::from(self.0[from % (HALF * HALF)]);
                from = from.wrapping_add(step);
            }
        }
        turned
    }
}

/// About where `one` lies in `other`, near `start`; `None` where it does not.
pub(super) fn coarse_placement(one: &HalfContrast, other: &HalfContrast, start: Placement) -> Option<Placement> {
    let correlation = |placement: Placement| halved_correlation(one, other, placement.borders());
    let (placement, correlation) = searched(start, WORTHWHILE, &COARSE, correlation)?;
    (correlation >= PROMISING).then_some(placement)
}
