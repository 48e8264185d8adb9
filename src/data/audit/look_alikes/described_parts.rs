//! Finds copies that were mirrored, turned by right angles, inverted, cropped, rescaled, or given another window or contrast.
//!
//! A few evenly spaced slices of each scan, reduced to 64×64, take part. In each the whole slice and its large dark and
//! bright parts ([`landmarks`]) are described by the low frequencies of their local contrast, which a window, a contrast
//! curve or a reconstruction kernel hardly changes; the part's size does not matter, since it is brought to one. Hash
//! tables over some of the frequencies' signs find similar descriptors, which are looked up in all sixteen
//! [symmetries](Symmetry), and also as if the slice had been cropped. Whether two slices really are one picture is
//! then decided by registration ([`one_picture`]), which different patients do not pass.
//!
//! Slices of a scan, parts of a slice, slices looked at in a bucket, and scans compared with a scan are limited, so that
//! the work grows linearly with the number of scans.

use super::super::pixel_measures::{DESCRIPTOR, Descriptor, SIDE as PATCH, descriptor};
use super::super::samples::Small;
use super::super::thumbnail::Thumbnail;
use super::ScanPair;
use super::groups::Groups;
use super::landmarks::landmarks;
use super::registration::{Placement, Prepared};
use super::same_picture::{agreement, one_picture};
use super::sign_tables::SignTables;
use super::symmetry::{SlicePart, Symmetry};
use super::whitening::{Usual, dot, signature};
use crate::data::manifest::Label;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

const SIDE: usize = Thumbnail::SIDE;
/// Parts of a slice that a cropped copy may show; landmarks find others.
const CROPS: [SlicePart; 8] = [
    crop([0.04; 4]),
    crop([0.08; 4]),
    crop([0.12; 4]),
    crop([0.16; 4]),
    crop([0.02, 0.02, 0.11, 0.11]),
    crop([0.02, 0.11, 0.11, 0.02]),
    crop([0.11, 0.02, 0.02, 0.11]),
    crop([0.11, 0.11, 0.02, 0.02]),
];

/// Without these shares at the left, top, right and bottom.
const fn crop([left, top, right, bottom]: [f32; 4]) -> SlicePart {
    let side = SIDE as f32;
    SlicePart([left * side, top * side, (1.0 - right) * side, (1.0 - bottom) * side])
}

/// Descriptors of which more signs than this differ, of 96, are not compared: at a correlation of 0.85, 17 do on average.
const DIFFERING_SIGNS: u32 = 27;
/// From this correlation of descriptors on, slices are registered.
const SIMILAR: f32 = 0.75;
/// Scans that a scan is registered with: of its label or none, and of the other one.
const COMPARED: usize = 8;
/// A sample of a scan.
pub(crate) struct Sampled {
    pub(crate) slice: usize,
    pub(crate) scan: usize,
    pub(crate) label: Option<Label>,
    /// Width and height of the slice in pixels.
    pub(crate) size: (u32, u32),
    pub(crate) small: Small,
}

/// A part of a sample.
struct DescribedPart {
    sample: u32,
    part: SlicePart,
}

/// A part of a sample as it would look in a symmetry.
struct Query {
    sample: usize,
    part: SlicePart,
    symmetry: Symmetry,
    whitened: [f32; DESCRIPTOR],
    signs: u128,
}

/// The most similar descriptors of two scans.
struct Hit {
    correlation: f32,
    /// The sample looked for, and which part of it.
    sample: usize,
    part: SlicePart,
    entry: usize,
    /// Turns the sample to that of the entry.
    symmetry: Symmetry,
}

/// The parts of all samples, by their descriptors.
pub(super) struct DescribedParts<'a> {
    samples: &'a [Sampled],
    of_scan: BTreeMap<usize, Range<usize>>,
    entries: Vec<DescribedPart>,
    descriptors: Vec<Descriptor>,
    /// The entries of each sample.
    of_sample: Vec<Range<usize>>,
    /// Of each sample the descriptors of [`CROPS`], which are looked up but not found.
    cropped: Vec<[Descriptor; CROPS.len()]>,
    usual: Usual,
    signs: Vec<u128>,
    tables: SignTables,
}

impl<'a> DescribedParts<'a> {
    pub(super) fn of(samples: &'a [Sampled]) -> Self {
        let of_sample = |sample: &Sampled| {
            let prepared = Prepared::of(sample.small.clone());
            let described = |part| (part, described(prepared.contrast(), part));
            let parts: Vec<_> = landmarks(&sample.small).into_iter().map(described).collect();
            (parts, CROPS.map(|crop| described(crop).1))
        };
        let (parts, cropped): (Vec<Vec<_>>, Vec<_>) = samples.par_iter().map(of_sample).unzip();
        let (mut entries, mut descriptors, mut of_sample) = (Vec::new(), Vec::new(), Vec::new());
        for (sample, parts) in (0..).zip(parts) {
            of_sample.push(entries.len()..entries.len() + parts.len());
            entries.extend(parts.iter().map(|(part, _)| DescribedPart { sample, part: *part }));
            descriptors.extend(parts.into_iter().map(|(_, descriptor)| descriptor));
        }
        let usual = Usual::of(descriptors.iter());
        let signs = descriptors.par_iter().map(|of| signature(&usual.whitened(&of.values()))).collect::<Vec<_>>();
        let label =
            |entry: &DescribedPart| samples[entry.sample as usize].label.map_or(0, |label| 1 + label.index() as u8);
        let tables = SignTables::of(&signs, &entries.iter().map(label).collect::<Vec<_>>());
        let mut of_scan = BTreeMap::new();
        let mut start = 0;
        for scan in samples.chunk_by(|a, b| a.scan == b.scan) {
            of_scan.insert(scan[0].scan, start..start + scan.len());
            start += scan.len();
        }
        Self { samples, of_scan, entries, descriptors, of_sample, cropped, usual, signs, tables }
    }

    pub(super) fn scans(&self) -> Vec<usize> {
        self.of_scan.keys().copied().collect()
    }

    /// Pairs of this scan with others that show the same, other than those of its group.
    pub(super) fn pairs(&self, scan: usize, groups: &Groups) -> Vec<ScanPair> {
        let mut hits: BTreeMap<usize, Hit> = BTreeMap::new();
        self.of_scan[&scan].clone().for_each(|sample| self.look_up(sample, &mut hits));
        let mut hits: Vec<(usize, Hit)> = hits
            .into_iter()
            .filter(|(other, _)| !groups.are_settled(scan, *other, self.in_conflict(scan, *other)))
            .collect();
        hits.sort_by(|a, b| b.1.correlation.total_cmp(&a.1.correlation).then(a.0.cmp(&b.0)));
        let own: BTreeMap<usize, Prepared> = hits
            .iter()
            .map(|(_, hit)| hit.sample)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .map(|sample| (sample, Prepared::of(self.samples[sample].small.clone())))
            .collect();
        let mut left = [COMPARED; 2];
        let mut found = Vec::new();
        for (other, hit) in hits {
            let left = &mut left[usize::from(self.in_conflict(scan, other))];
            if *left > 0 {
                *left -= 1;
                found.extend(self.verified(scan, other, &hit, &own[&hit.sample]));
            }
        }
        found
    }

    fn label(&self, scan: usize) -> Option<Label> {
        self.samples[self.of_scan[&scan].start].label
    }

    fn in_conflict(&self, scan: usize, other: usize) -> bool {
        matches!((self.label(scan), self.label(other)), (Some(a), Some(b)) if a != b)
    }

    /// Looks for parts like those of a sample; of each other scan the most similar one stays.
    fn look_up(&self, sample: usize, hits: &mut BTreeMap<usize, Hit>) {
        let parts = self.of_sample[sample].clone().map(|entry| (self.entries[entry].part, &self.descriptors[entry]));
        for (part, descriptor) in parts.chain(CROPS.into_iter().zip(&self.cropped[sample])) {
            let frequencies = descriptor.values();
            for symmetry in (0..Symmetry::COUNT).map(Symmetry::number) {
                let whitened = self.usual.whitened(&symmetry.frequencies(&frequencies));
                let signs = signature(&whitened);
                let query = Query { sample, part, symmetry, whitened, signs };
                self.tables.each_like(signs, |entry| self.compare(entry, &query, hits));
            }
        }
    }

    fn compare(&self, entry: usize, query: &Query, hits: &mut BTreeMap<usize, Hit>) {
        if (self.signs[entry] ^ query.signs).count_ones() > DIFFERING_SIGNS {
            return;
        }
        let other = self.samples[self.entries[entry].sample as usize].scan;
        if other == self.samples[query.sample].scan {
            return;
        }
        let whitened = self.usual.whitened(&self.descriptors[entry].values());
        let length = (dot(&whitened, &whitened) * dot(&query.whitened, &query.whitened)).sqrt();
        let correlation = if length > 0.0 { dot(&whitened, &query.whitened) / length } else { 0.0 };
        if correlation >= SIMILAR && hits.get(&other).is_none_or(|best| best.correlation < correlation) {
            let &Query { sample, part, symmetry, .. } = query;
            hits.insert(other, Hit { correlation, sample, part, entry, symmetry });
        }
    }

    /// The pair, if registration confirms the hit.
    fn verified(&self, scan: usize, other: usize, hit: &Hit, own: &Prepared) -> Option<ScanPair> {
        let DescribedPart { sample, part } = self.entries[hit.entry];
        let found = Prepared::of(self.samples[sample as usize].small.clone());
        let (symmetry, fit) = if scan < other {
            let start = Placement::of(part, hit.symmetry.part(hit.part));
            (hit.symmetry, one_picture(&own.turned(hit.symmetry), &found, start)?)
        } else {
            let symmetry = hit.symmetry.inverse();
            let start = Placement::of(hit.part, symmetry.part(part));
            (symmetry, one_picture(&found.turned(symmetry), own, start)?)
        };
        let (first, second) = (scan.min(other), scan.max(other));
        let agreement = agreement(self.samples_of(first), self.samples_of(second), symmetry, fit.placement)?;
        Some(ScanPair {
            first,
            second,
            matched: agreement.matched,
            of: agreement.of,
            correlation: agreement.correlation,
            example: agreement.example,
            in_conflict: self.in_conflict(scan, other),
            group: 2,
            how: agreement.how,
        })
    }

    /// Says of a pair with similar frequencies whether the second has another window or contrast, or is slightly cropped.
    pub(super) fn describe(&self, pair: &mut ScanPair) {
        if self.of_scan.contains_key(&pair.first) && self.of_scan.contains_key(&pair.second) {
            let (first, second) = (self.samples_of(pair.first), self.samples_of(pair.second));
            let found = agreement(first, second, Symmetry::ORIGINAL, Placement::WHOLE);
            pair.how = found.map(|agreement| agreement.how).unwrap_or_default();
        }
    }

    fn samples_of(&self, scan: usize) -> &[Sampled] {
        &self.samples[self.of_scan[&scan].clone()]
    }
}

/// The low frequencies of a part's local contrast, brought to one size.
fn described(contrast: &[f32], SlicePart([left, top, right, bottom]): SlicePart) -> Descriptor {
    let line = |begin: f32, end: f32| {
        std::array::from_fn(|at| {
            let position = begin + (end - begin) * (at as f32 + 0.5) / PATCH as f32 - 0.5;
            let position = position.clamp(0.0, (SIDE - 1) as f32);
            let first = (position as usize).min(SIDE - 2);
            (first, position - first as f32)
        })
    };
    let columns: [(usize, f32); PATCH] = line(left, right);
    let rows: [(usize, f32); PATCH] = line(top, bottom);
    let patch = rows.map(|(y, down)| {
        let (upper, lower) = (&contrast[y * SIDE..][..SIDE], &contrast[(y + 1) * SIDE..][..SIDE]);
        columns.map(|(x, across)| {
            let (above, below) =
                (upper[x] + across * (upper[x + 1] - upper[x]), lower[x] + across * (lower[x + 1] - lower[x]));
            above + down * (below - above)
        })
    });
    descriptor(&patch)
}
