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

/// The place of a slice among those of its scan: which of [`SAMPLES`] equal parts of the scan it lies in, and how far from its
/// middle. Read backwards, a scan has the same places in reverse, so that two scans of the same slices have the same samples,
/// however they are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SamplePlace {
    part: usize,
    /// From the part's middle, in sixteenths of a slice.
    distance: usize,
    /// Of two slices at one distance that nearer to the scan's end.
    inner: usize,
}

impl SamplePlace {
    /// Of slice `rank` of so many.
    pub(super) fn of(rank: usize, slices: usize) -> Self {
        let (slices, middle) = (slices.max(1), 16 * rank + 8);
        let is_first_half = middle <= 8 * slices;
        let from_end = if is_first_half { middle } else { (16 * slices).saturating_sub(middle) };
        let part = (from_end / (2 * slices)).min(SAMPLES / 2 - 1);
        let distance = from_end.abs_diff((2 * part + 1) * slices);
        Self { part: if is_first_half { part } else { SAMPLES - 1 - part }, distance, inner: from_end }
    }

    pub(super) fn part(self) -> usize {
        self.part
    }

    /// Of each slice, by its scan and whether it has a number: what is no slice takes no place.
    pub(super) fn of_all(slices: impl Iterator<Item = (usize, bool)> + Clone) -> Vec<Self> {
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        slices.clone().for_each(|(scan, is_slice)| *counts.entry(scan).or_default() += usize::from(is_slice));
        let mut ranks: BTreeMap<usize, usize> = BTreeMap::new();
        slices
            .map(|(scan, is_slice)| {
                let rank = ranks.entry(scan).or_default();
                let place = Self::of(*rank, counts[&scan]);
                *rank += usize::from(is_slice);
                place
            })
            .collect()
    }
}

/// The samples of one scan: for each part that nearest to its middle, with the slice's place in the manifest.
type OfScan = BTreeMap<usize, (SamplePlace, usize, Small)>;

/// The samples of all scans, collected by many threads. Which ones are kept does not depend on the order in which they come.
#[derive(Default)]
pub(super) struct ScanSamples(Mutex<BTreeMap<usize, OfScan>>);

impl ScanSamples {
    /// Takes the reduced slice number `index` of the manifest, if it shows something.
    pub(super) fn offer(&self, index: usize, place: SamplePlace, slice: &Slice, look: &mut Inspection) {
        let (Some(_), Some(thumbnail)) = (slice.number, look.thumbnail.take()) else { return };
        if look.shows_something() {
            self.keep(slice.scan, place, index, &thumbnail);
        }
    }

    fn keep(&self, scan: usize, place: SamplePlace, index: usize, thumbnail: &Thumbnail) {
        let is_kept =
            |kept: &OfScan| kept.get(&place.part).is_none_or(|(best, other, _)| (place, index) < (*best, *other));
        if !locked(&self.0).get(&scan).is_none_or(is_kept) {
            return;
        }
        let small = Small::of(thumbnail);
        let mut scans = locked(&self.0);
        let kept = scans.entry(scan).or_default();
        if is_kept(kept) {
            kept.insert(place.part, (place, index, small));
        }
    }

    /// Those of one scan as they stand, each with its slice's place in the manifest.
    pub(super) fn of_scan(&self, scan: usize) -> Vec<(usize, Small)> {
        let kept = |of: &OfScan| of.values().map(|(_, slice, small)| (*slice, small.clone())).collect();
        locked(&self.0).get(&scan).map(kept).unwrap_or_default()
    }

    /// Adds one that was kept of an earlier audit: part for part, as they are of a scan that is not read again.
    pub(super) fn restore(&self, index: usize, slice: &Slice, small: Small) {
        let mut scans = locked(&self.0);
        let kept = scans.entry(slice.scan).or_default();
        let part = kept.len();
        kept.insert(part, (SamplePlace { part, distance: 0, inner: 0 }, index, small));
    }

    /// Scan and slice of each sample, sorted.
    pub(super) fn sorted(self) -> Vec<(usize, usize, Small)> {
        let scans = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let of_scan =
            |(scan, kept): (usize, OfScan)| kept.into_values().map(move |(_, slice, small)| (scan, slice, small));
        let mut all: Vec<_> = scans.into_iter().flat_map(of_scan).collect();
        all.sort_by_key(|(scan, slice, _)| (*scan, *slice));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slices that are kept of so many, offered in this order.
    fn kept(slices: usize, order: impl Iterator<Item = usize>) -> Vec<usize> {
        let samples = ScanSamples::default();
        let blank = Thumbnail([[1.0; SIDE]; SIDE]);
        order.for_each(|rank| samples.keep(3, SamplePlace::of(rank, slices), rank, &blank));
        samples.sorted().into_iter().map(|(_, slice, _)| slice).collect()
    }

    #[test]
    fn samples_are_evenly_spaced_in_whatever_order_they_come() {
        assert_eq!(kept(64, 0..64), [3, 11, 19, 27, 36, 44, 52, 60]);
        assert_eq!(kept(64, (0..64).rev()), kept(64, 0..64));
        assert_eq!(kept(2, 0..2), [0, 1]);
        // The next best where one shows nothing.
        assert_eq!(kept(64, (0..64).filter(|rank| *rank != 11)), [3, 12, 19, 27, 36, 44, 52, 60]);
    }

    #[test]
    fn a_scan_that_is_read_backwards_has_the_same_samples() {
        for slices in 1..200 {
            let forth = kept(slices, 0..slices);
            let back: Vec<usize> = forth.iter().rev().map(|slice| slices - 1 - slice).collect();
            // The slice in the very middle of an odd number lies in one half only.
            let is_same =
                forth == back || slices % 2 == 1 && forth.iter().filter(|slice| !back.contains(slice)).count() <= 1;
            assert!(is_same, "{slices}: {forth:?}, {back:?}");
            assert!(forth.len() == slices.min(SAMPLES), "{slices}: {forth:?}");
        }
    }

    #[test]
    fn what_is_no_slice_takes_no_place() {
        let with_companions = [(0, false), (0, true), (0, false), (0, true), (1, true)];
        let places = SamplePlace::of_all(with_companions.into_iter());
        let expected = [(0, 2), (1, 2), (0, 1)].map(|(rank, of)| SamplePlace::of(rank, of));
        assert_eq!([places[1], places[3], places[4]], expected);
    }
}
