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

use super::super::pixel_measures::{Descriptor, SIDE as PATCH, descriptor};
use super::super::samples::Small;
use super::super::thumbnail::Thumbnail;
use super::coarse_fit::{CoarseContrast, coarse_placement};
use super::groups::Groups;
use super::landmarks::landmarks;
use super::registration::{FINE, Placement, Prepared};
use super::same_picture::{agreement, one_picture};
use super::sign_tables::SignTables;
use super::symmetry::{SlicePart, Symmetry};
use super::whitening::{Usual, dot};
use super::{ScanPair, are_in_conflict};
use crate::data::manifest::Label;
use multiversion::multiversion;
use rayon::prelude::*;
use std::collections::BTreeMap;
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
const SIMILAR: f32 = 0.8;
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

/// The most similar descriptors of two scans.
pub(super) struct Hit {
    scan: usize,
    /// The scan that was found.
    other: usize,
    correlation: f32,
    /// The sample looked for, and which part of it.
    sample: usize,
    part: SlicePart,
    entry: usize,
    /// Turns the sample to that of the entry.
    symmetry: Symmetry,
}

impl Hit {
    /// Of two scans that found each other the more similar parts.
    pub(super) fn keep_one_of_each_pair(hits: &mut [Vec<Self>]) {
        let pair = Self::pair;
        let mut best: BTreeMap<(usize, usize), (f32, usize)> = BTreeMap::new();
        for hit in hits.iter().flatten() {
            let best = best.entry(pair(hit)).or_insert((hit.correlation, hit.scan));
            if hit.correlation > best.0 {
                *best = (hit.correlation, hit.scan);
            }
        }
        hits.iter_mut().for_each(|hits| hits.retain(|hit| best[&pair(hit)].1 == hit.scan));
    }

    /// The two scans in order.
    pub(super) fn pair(&self) -> (usize, usize) {
        (self.scan.min(self.other), self.scan.max(self.other))
    }
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
    coarse: Vec<CoarseContrast>,
    usual: Usual,
    /// Sum of the squared whitened frequencies of each entry.
    squares: Vec<f32>,
    tables: SignTables,
    /// The same of whole slices alone: what a part of another that was cropped is compared with.
    wholes: SignTables,
}

impl<'a> DescribedParts<'a> {
    pub(super) fn of(samples: &'a [Sampled]) -> Self {
        let of_sample = |sample: &Sampled| {
            let prepared = Prepared::of(sample.small.clone());
            let described = |part| (part, described(prepared.contrast(), part));
            let parts: Vec<_> = landmarks(&sample.small).into_iter().map(described).collect();
            (parts, (CROPS.map(|crop| described(crop).1), CoarseContrast::of(prepared.contrast())))
        };
        let (parts, (cropped, coarse)): (Vec<Vec<_>>, (Vec<_>, Vec<_>)) = samples.par_iter().map(of_sample).unzip();
        let (mut entries, mut descriptors, mut of_sample) = (Vec::new(), Vec::new(), Vec::new());
        for (sample, parts) in (0..).zip(parts) {
            of_sample.push(entries.len()..entries.len() + parts.len());
            entries.extend(parts.iter().map(|(part, _)| DescribedPart { sample, part: *part }));
            descriptors.extend(parts.into_iter().map(|(_, descriptor)| descriptor));
        }
        let usual = Usual::of(descriptors.iter().copied());
        let of_entry = |of: &Descriptor| {
            let whitened = usual.whitened(&of.values());
            (usual.signs(of), dot(&whitened, &whitened))
        };
        let (signs, squares): (Vec<u128>, Vec<f32>) = descriptors.par_iter().map(of_entry).unzip();
        let label =
            |entry: &DescribedPart| samples[entry.sample as usize].label.map_or(0, |label| 1 + label.index() as u8);
        let labels: Vec<u8> = entries.iter().map(label).collect();
        // The first part of a sample is the whole.
        let wholes = of_sample.iter().map(|of: &Range<usize>| of.start as u32).collect();
        let wholes = SignTables::of(signs.clone(), labels.clone(), wholes);
        let tables = SignTables::of(signs, labels, (0..entries.len() as u32).collect());
        let mut of_scan = BTreeMap::new();
        let mut start = 0;
        for scan in samples.chunk_by(|a, b| a.scan == b.scan) {
            of_scan.insert(scan[0].scan, start..start + scan.len());
            start += scan.len();
        }
        Self { samples, of_scan, entries, descriptors, of_sample, cropped, coarse, usual, squares, tables, wholes }
    }

    pub(super) fn scans(&self) -> Vec<usize> {
        self.of_scan.keys().copied().collect()
    }

    /// Scans with parts like those of this one, other than those of its group; the most similar ones.
    pub(super) fn hits(&self, scan: usize, groups: &Groups) -> Vec<Hit> {
        let mut hits: BTreeMap<usize, Hit> = BTreeMap::new();
        self.of_scan[&scan].clone().for_each(|sample| self.look_up(sample, &mut hits));
        let mut hits: Vec<Hit> = hits
            .into_values()
            .filter(|hit| !groups.are_settled(scan, hit.other, self.in_conflict(scan, hit.other)))
            .collect();
        hits.sort_by(|a, b| b.correlation.total_cmp(&a.correlation).then(a.other.cmp(&b.other)));
        let mut left = [COMPARED; 2];
        hits.retain(|hit| {
            let left = &mut left[usize::from(self.in_conflict(scan, hit.other))];
            let is_compared = *left > 0;
            *left = left.saturating_sub(1);
            is_compared
        });
        hits
    }

    fn label(&self, scan: usize) -> Option<Label> {
        self.samples[self.of_scan[&scan].start].label
    }

    fn in_conflict(&self, scan: usize, other: usize) -> bool {
        are_in_conflict(self.label(scan), self.label(other))
    }

    /// Looks for parts like those of a sample; of each other scan the most similar one stays.
    fn look_up(&self, sample: usize, hits: &mut BTreeMap<usize, Hit>) {
        let parts = self.of_sample[sample].clone().map(|entry| (self.entries[entry].part, &self.descriptors[entry]));
        let scan = self.samples[sample].scan;
        let crops = CROPS.into_iter().zip(&self.cropped[sample]);
        let of_crops = crops.map(|(part, descriptor)| (part, descriptor, &self.wholes));
        let mut found = Vec::new();
        for (part, descriptor, tables) in parts.map(|(part, of)| (part, of, &self.tables)).chain(of_crops) {
            let all_signs = Symmetry::all_signs(descriptor, |of| self.usual.signs(of));
            for (symmetry, signs) in (0..).map(Symmetry::number).zip(all_signs) {
                tables.like(signs, DIFFERING_SIGNS, &mut found);
                if found.is_empty() {
                    continue;
                }
                let whitened = self.usual.whitened(&symmetry.frequencies(&descriptor.values()));
                let square = dot(&whitened, &whitened);
                for entry in found.iter().map(|entry| *entry as usize) {
                    let other = self.samples[self.entries[entry].sample as usize].scan;
                    if other == scan {
                        continue;
                    }
                    let length = (self.squares[entry] * square).sqrt();
                    let product = dot(&whitened, &self.usual.whitened(&self.descriptors[entry].values()));
                    let correlation = if length > 0.0 { product / length } else { 0.0 };
                    let is_best = || hits.get(&other).is_none_or(|best| best.correlation < correlation);
                    if correlation >= SIMILAR && is_best() {
                        hits.insert(other, Hit { scan, other, correlation, sample, part, entry, symmetry });
                    }
                }
            }
        }
    }

    /// The pairs of those hits of one scan that registration confirms.
    pub(super) fn verified(&self, hits: &[Hit]) -> Vec<ScanPair> {
        let mut prepared = BTreeMap::new();
        hits.iter().filter_map(|hit| self.confirmed(hit, &mut prepared)).collect()
    }

    /// The pair, if registration confirms the hit; `prepared`: the scan's own samples, once they were needed.
    fn confirmed(&self, hit: &Hit, prepared: &mut BTreeMap<usize, Prepared>) -> Option<ScanPair> {
        let &Hit { scan, other, .. } = hit;
        let DescribedPart { sample: found, part } = self.entries[hit.entry];
        // The sample of the earlier scan is turned to that of the later one.
        let (symmetry, [one, two], [of_one, of_two]) = if scan < other {
            (hit.symmetry, [hit.sample, found as usize], [hit.part, part])
        } else {
            (hit.symmetry.inverse(), [found as usize, hit.sample], [part, hit.part])
        };
        let start = Placement::of(of_two, symmetry.part(of_one));
        let [first, second] = [(one, symmetry), (two, Symmetry::ORIGINAL)].map(|(of, by)| self.coarse[of].turned(by));
        let near = coarse_placement(&second, &first, start)?;
        let of = |sample: usize| Prepared::of(self.samples[sample].small.clone());
        let (own, found) = (&*prepared.entry(hit.sample).or_insert_with(|| of(hit.sample)), of(found as usize));
        let [first, second] = if scan < other { [own, &found] } else { [&found, own] };
        let fit = one_picture(&first.turned(symmetry), second, near, &FINE)?;
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
#[multiversion(targets("x86_64+avx2"))]
fn described(contrast: &[f32], part: SlicePart) -> Descriptor {
    let SlicePart([left, top, right, bottom]) = part;
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
    let mut patch = [[0.0; PATCH]; PATCH];
    for (patch, (y, down)) in patch.iter_mut().zip(rows) {
        let (upper, lower) = (&contrast[y * SIDE..][..SIDE], &contrast[(y + 1) * SIDE..][..SIDE]);
        let mut line = [0.0; SIDE];
        line.iter_mut()
            .zip(upper.iter().zip(lower))
            .for_each(|(at, (upper, lower))| *at = upper + down * (lower - upper));
        for (value, (x, across)) in patch.iter_mut().zip(columns) {
            *value = line[x] + across * (line[x + 1] - line[x]);
        }
    }
    descriptor(&patch)
}
