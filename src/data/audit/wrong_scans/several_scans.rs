//! Two scans one after the other in one folder, by the area of the lungs along it.

use super::{SeenSlice, Verdict};
use crate::data::audit::Check;
use crate::stats::median::upper_median;

/// The share of a picture that the lungs of each scan cover, at the most that they do, and at the least here.
const LARGE: f32 = 0.05;
/// Between the two it falls below this share of the smaller one's: in 13 whole scans of one patient it never does between slices
/// with lungs.
const VALLEY: f32 = 0.25;
/// The lungs of one cover this share of the other's, at the least: bowels with air below the lungs cover less.
const ALIKE: f32 = 0.4;
/// Slices of each that show more than half of it.
const FEWEST: usize = 4;

/// The lungs grow and shrink twice.
pub(super) fn several_scans(seen: &[SeenSlice<'_>]) -> Verdict {
    let areas: Vec<f32> = seen.iter().map(|of| of.shape.lungs * of.shape.body).collect();
    let (at, [before, between, after]) = valley(&areas)?;
    let [before, between, after] = [before, between, after].map(|area| 100.0 * area);
    let detail = format!(
        "the lungs grow and shrink twice, to {before:.0} and {after:.0} % of the picture with {between:.1} % between: a second scan \
         begins near {}",
        seen[at].slice.file
    );
    Some((Check::SeveralScans, detail))
}

/// The slice between two scans, and the lungs' area at the most before it, in it, and at the most behind it.
fn valley(areas: &[f32]) -> Option<(usize, [f32; 3])> {
    // One slice in which they are not found is no end of a scan.
    let smooth: Vec<f32> = (0..areas.len())
        .filter_map(|at| upper_median(areas[at.saturating_sub(1)..areas.len().min(at + 2)].to_vec(), f32::total_cmp))
        .collect();
    let (before, mut behind) = (largest_before(smooth.iter()), largest_before(smooth.iter().rev()));
    behind.reverse();
    let depth = |at: usize| smooth[at] / before[at].min(behind[at]);
    let at = (0..smooth.len()).filter(|at| depth(*at) <= VALLEY).min_by(|a, b| depth(*a).total_cmp(&depth(*b)))?;
    let shown = |of: &[f32], most: f32| of.iter().filter(|area| **area > most / 2.0).count();
    let (first, second) = (before[at], behind[at]);
    let are_alike = first.min(second) >= LARGE.max(ALIKE * first.max(second));
    let are_shown = shown(&smooth[..at], first) >= FEWEST && shown(&smooth[at + 1..], second) >= FEWEST;
    (are_alike && are_shown).then_some((at, [first, smooth[at], second]))
}

/// For each area the largest of those that come before it.
fn largest_before<'a>(areas: impl Iterator<Item = &'a f32>) -> Vec<f32> {
    areas.scan(0.0_f32, |most, area| Some(std::mem::replace(most, most.max(*area)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Areas in percent of the picture.
    fn found(areas: &[u8]) -> Option<usize> {
        valley(&areas.iter().map(|area| f32::from(*area) / 100.0).collect::<Vec<_>>()).map(|(at, _)| at)
    }

    #[test]
    fn lungs_that_grow_and_shrink_twice_are_two_scans() {
        let one = [0, 8, 17, 23, 25, 23, 22, 15, 14, 9, 4, 0];
        assert_eq!(found(&one), None);
        let two = [one, one].concat();
        assert!(found(&two).is_some_and(|at| (10..14).contains(&at)), "{:?}", found(&two));
        // Only the middles of the lungs, which begin again at once.
        assert_eq!(found(&[one.as_slice()[1..11].to_vec(), one[3..11].to_vec()].concat()), None);
        // A slice in which they are not found, bowels with air, a scan that ends at once, nothing.
        assert_eq!(found(&[1, 12, 18, 0, 37, 41, 48, 53, 55, 50, 34, 10, 8]), None);
        assert_eq!(found(&[0, 8, 17, 23, 25, 23, 22, 15, 4, 0, 0, 3, 6, 8, 8, 6, 3]), None);
        assert_eq!(found(&[0, 8, 17, 23, 25, 23, 22, 15, 4, 0, 0, 20]), None);
        assert_eq!([found(&[]), found(&[0; 9])], [None, None]);
    }
}
