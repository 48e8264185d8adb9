//! Scans that look alike, joined to groups.

use super::ScanPair;
use std::collections::{BTreeMap, BTreeSet};

/// Scans joined to groups by the pairs among them.
#[derive(Default)]
pub(super) struct Groups {
    /// Of every scan in a group, one of the same group; the first is its own.
    above: BTreeMap<usize, usize>,
    /// Scans with a pair that puts their label in doubt.
    doubted: BTreeSet<usize>,
    kept: Vec<ScanPair>,
}

impl Groups {
    fn first_of(&self, mut scan: usize) -> usize {
        while let Some(&above) = self.above.get(&scan).filter(|above| **above != scan) {
            scan = above;
        }
        scan
    }

    /// Whether a pair of these two would not be kept.
    pub(super) fn are_settled(&self, scan: usize, other: usize, in_conflict: bool) -> bool {
        self.first_of(scan) == self.first_of(other) && (!in_conflict || self.doubted.contains(&scan))
    }

    /// Whether the two were in different groups.
    fn join(&mut self, pair: &ScanPair) -> bool {
        let (a, b) = (self.first_of(pair.first), self.first_of(pair.second));
        let first = a.min(b);
        // Short ways for the next.
        self.above.extend([a, b, pair.first, pair.second].map(|scan| (scan, first)));
        a != b
    }

    /// Takes the pairs of a scan and keeps those that are needed.
    pub(super) fn take(&mut self, scan: usize, mut found: Vec<ScanPair>) {
        // Those of the other label first, as they join as well.
        found.sort_by_key(|pair| (!pair.in_conflict, pair.first, pair.second));
        for pair in found {
            let is_first_doubt = pair.in_conflict && !self.doubted.contains(&scan);
            if self.join(&pair) | is_first_doubt {
                self.doubted.extend([pair.first, pair.second].into_iter().filter(|_| pair.in_conflict));
                self.kept.push(pair);
            }
        }
    }

    pub(super) fn pairs(self) -> Vec<ScanPair> {
        let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
        self.above.keys().for_each(|&scan| *sizes.entry(self.first_of(scan)).or_default() += 1);
        let group = |pair: &ScanPair| sizes[&self.first_of(pair.first)];
        let mut pairs: Vec<ScanPair> =
            self.kept.iter().map(|pair| ScanPair { group: group(pair), ..pair.clone() }).collect();
        pairs.sort_by_key(|pair| (pair.first, pair.second));
        pairs
    }
}
