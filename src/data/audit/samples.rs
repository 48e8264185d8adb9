//! Reduced slices that are kept for a while: a bounded number of each scan, evenly spaced.

use super::inspect::Inspection;
use super::thumbnail::Thumbnail;
use crate::base::parallel::locked;
use crate::data::manifest::Slice;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Slices that are kept of each scan. Eight of COV19-CT-DB's 1,975 scans take 62 MiB.
pub(super) const SAMPLES: usize = 8;

const SIDE: usize = Thumbnail::SIDE;

/// A slice reduced to 64×64 grey levels, a byte each, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Small(pub(super) Box<[u8; SIDE * SIDE]>);

impl Small {
    pub(super) fn of(thumbnail: &Thumbnail) -> Self {
        let mut levels = Box::new([0; SIDE * SIDE]);
        let means = thumbnail.0.iter().flatten();
        levels.iter_mut().zip(means).for_each(|(level, mean)| *level = (mean + 0.5) as u8);
        Self(levels)
    }
}

/// The samples of one scan: order, then place in the manifest.
type OfScan = BTreeMap<(u32, usize), Small>;

/// The samples of all scans, collected by many threads. Which ones are kept depends only on the slices' numbers, not on
/// the order in which they come: those whose numbers are multiples of high powers of two, so that two scans of the same
/// slices have the same ones. That takes no knowledge of how many there are.
#[derive(Default)]
pub(super) struct ScanSamples(Mutex<BTreeMap<usize, OfScan>>);

impl ScanSamples {
    /// Takes the reduced slice number `index` of the manifest, if it shows something.
    pub(super) fn offer(&self, index: usize, slice: &Slice, look: &mut Inspection) {
        let (Some(number), Some(thumbnail)) = (slice.number, look.thumbnail.take()) else { return };
        if look.shows_something() {
            self.keep(slice.scan, number, index, &thumbnail);
        }
    }

    fn keep(&self, scan: usize, number: u32, index: usize, thumbnail: &Thumbnail) {
        let key = (number.reverse_bits(), index);
        let is_kept =
            |kept: &OfScan| kept.len() < SAMPLES || kept.last_key_value().is_some_and(|(last, _)| key < *last);
        if !locked(&self.0).get(&scan).is_none_or(is_kept) {
            return;
        }
        let small = Small::of(thumbnail);
        let mut scans = locked(&self.0);
        let kept = scans.entry(scan).or_default();
        if is_kept(kept) {
            kept.insert(key, small);
            if kept.len() > SAMPLES {
                kept.pop_last();
            }
        }
    }

    /// Those of one scan as they stand, each with its slice's place in the manifest.
    pub(super) fn of_scan(&self, scan: usize) -> Vec<(usize, Small)> {
        let kept = |of: &OfScan| of.iter().map(|((_, slice), small)| (*slice, small.clone())).collect();
        locked(&self.0).get(&scan).map(kept).unwrap_or_default()
    }

    /// Adds one that was kept of an earlier audit.
    pub(super) fn restore(&self, index: usize, slice: &Slice, small: Small) {
        let key = (slice.number.unwrap_or_default().reverse_bits(), index);
        locked(&self.0).entry(slice.scan).or_default().insert(key, small);
    }

    /// Scan and slice of each sample, sorted.
    pub(super) fn sorted(self) -> Vec<(usize, usize, Small)> {
        let scans = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let of_scan =
            |(scan, kept): (usize, OfScan)| kept.into_iter().map(move |((_, slice), small)| (scan, slice, small));
        let mut all: Vec<_> = scans.into_iter().flat_map(of_scan).collect();
        all.sort_by_key(|(scan, slice, _)| (*scan, *slice));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(numbers: &[u32]) -> Vec<usize> {
        let samples = ScanSamples::default();
        let blank = Thumbnail([[1.0; SIDE]; SIDE]);
        numbers.iter().for_each(|&number| samples.keep(3, number, number as usize, &blank));
        samples.sorted().into_iter().map(|(_, slice, _)| slice).collect()
    }

    #[test]
    fn samples_are_evenly_spaced_in_whatever_order_they_come() {
        let numbers: Vec<u32> = (0..64).collect();
        let expected = [0, 8, 16, 24, 32, 40, 48, 56];
        assert_eq!(kept(&numbers), expected);
        assert_eq!(kept(&numbers.iter().rev().copied().collect::<Vec<_>>()), expected);
        let odd: Vec<u32> = (0..32).map(|at| 2 * at + 1).collect();
        assert_eq!(kept(&odd), [1, 9, 17, 25, 33, 41, 49, 57]);
        assert_eq!(kept(&[7, 5]), [5, 7]);
    }
}
