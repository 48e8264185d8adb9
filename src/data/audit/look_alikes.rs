//! Finds the same patient under several scan ids: scans with similar slices.
//!
//! A plain perceptual hash gives all chests nearly the same bits. Each frequency is therefore compared with its median
//! over the whole data set: a bit is 1 when the slice exceeds the median. These bits are balanced and nearly
//! independent, and bands of them form an index with small buckets. Bands are 16 bits wide, and wider for large data
//! sets, so that the work grows linearly with the number of slices. Candidates from any band are then compared by the
//! correlation of their descriptors. Slices of the same scan are never compared, since neighbouring slices are always
//! similar.
//!
//! Copies that were mirrored, turned, inverted, cropped or given another window have other frequencies. They are looked for
//! among a few samples of each scan (`described_parts.rs`), and those of whole slices among all slices, with the frequencies
//! turned (`turned_copies.rs`). A scan in a window of the lungs is compared with those in windows of soft tissue as these show it
//! (`soft_tissue.rs`).
//!
//! Of scans that all look alike, each is compared with the first few of them and not with all, and of their pairs only
//! those are given that join a scan to its group, or show that a label is in doubt: time, memory and findings grow
//! linearly however many there are.

use super::pixel_measures::{DESCRIPTOR, Descriptor};
use crate::data::manifest::Label;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

mod coarse_fit;
mod common_part;
mod described_parts;
mod groups;
mod landmarks;
mod local_contrast;
mod registration;
mod same_picture;
mod sign_tables;
mod soft_tissue;
mod symmetry;
#[cfg(test)]
mod tests;
mod turned_copies;
mod whitening;

pub(super) use described_parts::Sampled;
use described_parts::{DescribedParts, Hit};
use groups::Groups;
use soft_tissue::SoftTissue;
pub(super) use symmetry::Symmetry;
use whitening::{Usual, dot};

/// Width of the narrowest bands in bits.
const BAND: usize = 16;
/// Comparisons of one slice in a bucket, for each label.
const CROWDED: usize = 512;
/// A slice looks for no more scans in a bucket, for each label, that show the same.
const ENOUGH: usize = 16;
/// From this correlation on, two slices are taken to show one patient at one height. Measured: the closest slices of
/// two different patients reach 0.927 on the phantom and 0.927 among 1,968 real slices of 717 patients; re-encoded,
/// shifted and noisy copies on the phantom 0.99, other reconstructions of one real examination mostly 0.94 to 0.999.
const ALIKE: f32 = 0.93;
/// Two scans are taken to be one patient when at least this share of the shorter scan has a matching slice in the
/// other.
const SHARE: f64 = 0.4;
/// Scans that are looked up at a time.
const AT_ONCE: usize = 1024;

/// Two scans that look like one patient.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ScanPair {
    pub(super) first: usize,
    pub(super) second: usize,
    /// Slices of the shorter scan that have a match in the other, and its number of slices; where a few of a scan were looked for, of
    /// these.
    pub(super) matched: usize,
    pub(super) of: usize,
    /// Mean correlation of the matched slices, -1 to 1.
    pub(super) correlation: f64,
    /// The pair of slices with the highest correlation (indices).
    pub(super) example: (usize, usize),
    /// Whether one is labelled covid, the other not.
    pub(super) in_conflict: bool,
    /// Scans that look like these two, or like one that does; with them.
    pub(super) group: usize,
    /// What the second one is relative to the first, in words: "mirrored", "cropped to …"; empty where that is not known.
    pub(super) how: Vec<String>,
}

/// One slice to compare: its index, its scan, the scan's label, and its descriptor.
pub(super) struct Candidate<'a> {
    pub(super) slice: u32,
    pub(super) scan: u32,
    pub(super) label: Option<Label>,
    pub(super) descriptor: &'a Descriptor,
}

impl Candidate<'_> {
    fn in_conflict(&self, other: &Self) -> bool {
        are_in_conflict(self.label, other.label)
    }
}

/// Whether one is labelled covid, the other not.
fn are_in_conflict(one: Option<Label>, other: Option<Label>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one != other)
}

/// Two slices (positions among the candidates, in order) and their correlation; may contain repeats.
type SliceMatch = (u32, u32, f32);

/// Finds scans that look like one patient, as pairs in order: those that join all alike to groups, and one at least for
/// every scan that looks like one of the other label. `slices` and `samples` are sorted by scan.
pub(super) fn pairs_of_scans(slices: &[Candidate<'_>], samples: &[Sampled]) -> Vec<ScanPair> {
    let mut groups = Groups::default();
    let bands = Bands::of(slices);
    bands.join(&mut groups);
    let parts = DescribedParts::of(samples);
    join_described(&parts, &mut groups, DescribedParts::verified);
    bands.join_turned(&mut groups);
    drop(bands);
    let soft = SoftTissue::of(samples);
    join_described(&DescribedParts::of(soft.samples()), &mut groups, |_, hits| soft.verified(hits));
    let mut pairs = groups.pairs();
    pairs.par_iter_mut().filter(|pair| pair.how.is_empty()).for_each(|pair| parts.describe(pair));
    pairs
}

/// Joins scans of which samples have similar parts, where `verified` gives the pair.
fn join_described<'a>(
    parts: &DescribedParts<'a>,
    groups: &mut Groups,
    verified: impl Fn(&DescribedParts<'a>, &[Hit]) -> Vec<ScanPair> + Sync,
) {
    for some in parts.scans().chunks(AT_ONCE) {
        let mut hits: Vec<Vec<Hit>> = some.par_iter().map(|&scan| parts.hits(scan, groups)).collect();
        Hit::keep_one_of_each_pair(&mut hits);
        let found: Vec<Vec<ScanPair>> = hits.par_iter().map(|hits| verified(parts, hits)).collect();
        some.iter().zip(found).for_each(|(&scan, found)| groups.take(scan, found));
    }
}

/// Bits for the label, below those of a band.
const LABEL: u32 = 2;

/// One band: the slices in the order of its bits.
struct Band {
    /// Bits and label as one number, and the candidate; sorted.
    order: Vec<(u32, u32)>,
    /// Where each bucket begins, and the end of the last.
    bounds: Vec<u32>,
    /// The bucket of each candidate.
    bucket_of: Vec<u32>,
}

impl Band {
    fn of(mut order: Vec<(u32, u32)>) -> Self {
        order.sort_unstable();
        let (mut bounds, mut bucket_of) = (vec![0], vec![0; order.len()]);
        for bucket in order.chunk_by(|a, b| a.0 >> LABEL == b.0 >> LABEL) {
            let number = bounds.len() as u32 - 1;
            bucket.iter().for_each(|(_, candidate)| bucket_of[*candidate as usize] = number);
            bounds.push(bounds[number as usize] + bucket.len() as u32);
        }
        Self { order, bounds, bucket_of }
    }

    /// All with these bits.
    fn bucket_of_bits(&self, bits: u32) -> &[(u32, u32)] {
        let start = self.order.partition_point(|(place, _)| place >> LABEL < bits);
        let rest = &self.order[start..];
        &rest[..rest.partition_point(|(place, _)| place >> LABEL == bits)]
    }

    /// All with the same bits as this candidate, itself among them.
    fn bucket(&self, candidate: usize) -> &[(u32, u32)] {
        let number = self.bucket_of[candidate] as usize;
        &self.order[self.bounds[number] as usize..self.bounds[number + 1] as usize]
    }
}

/// The slices by the bits of each band.
struct Bands<'a> {
    slices: &'a [Candidate<'a>],
    /// 1, or -1 for an inverted slice.
    tones: Vec<f32>,
    usual: Usual,
    /// Sum of the squared whitened frequencies of each slice.
    squares: Vec<f32>,
    /// Bits of a band.
    width: usize,
    bands: Vec<Band>,
}

impl<'a> Bands<'a> {
    fn of(slices: &'a [Candidate<'a>]) -> Self {
        // Two inverted slices of different patients have in common what the others have not. Turned to the others' tones, they
        // have in common what all have; with those others they are compared by `described_parts.rs` and `turned_copies.rs`.
        let of_all = Usual::of(slices.iter().map(|slice| *slice.descriptor));
        let tones: Vec<f32> = slices.par_iter().map(|slice| of_all.tone(slice.descriptor)).collect();
        let turned =
            |at: usize| if tones[at] < 0.0 { slices[at].descriptor.inverted() } else { *slices[at].descriptor };
        let usual = Usual::of((0..slices.len()).map(turned));
        // At most 30, as more slices than that do not fit into any memory.
        let width = BAND.max(slices.len().next_power_of_two().ilog2() as usize).min(30);
        let of_slice = |at: usize| {
            let descriptor = turned(at);
            let whitened = usual.whitened(&descriptor.values());
            (usual.signs(&descriptor), dot(&whitened, &whitened))
        };
        let (signatures, squares): (Vec<u128>, Vec<f32>) = (0..slices.len()).into_par_iter().map(of_slice).unzip();
        let band = |band: usize| {
            let place = |(of, bits): (&Candidate<'_>, &u128)| {
                key(*bits, band, width) << LABEL | of.label.map_or(0, |label| 1 + label.index() as u32)
            };
            Band::of(slices.iter().zip(&signatures).map(place).zip(0..).collect())
        };
        let bands = (0..DESCRIPTOR / width).into_par_iter().map(band).collect();
        Self { slices, tones, usual, squares, width, bands }
    }

    /// The candidates of each scan.
    fn scans(&self) -> Vec<Range<usize>> {
        let mut start = 0;
        let range = |chunk: &[Candidate<'_>]| {
            start += chunk.len();
            start - chunk.len()..start
        };
        self.slices.chunk_by(|a, b| a.scan == b.scan).map(range).collect()
    }

    /// Joins scans whose slices have similar frequencies.
    fn join(&self, groups: &mut Groups) {
        let scans = self.scans();
        let lengths: BTreeMap<u32, usize> = scans.iter().map(|of| (self.slices[of.start].scan, of.len())).collect();
        for some in scans.chunks(AT_ONCE) {
            let found: Vec<Vec<ScanPair>> = some.par_iter().map(|of| self.pairs(of.clone(), &lengths)).collect();
            some.iter().zip(found).for_each(|(of, found)| groups.take(self.slices[of.start].scan as usize, found));
        }
    }

    /// Joins scans of which some slices are turned or inverted ones of the other.
    fn join_turned(&self, groups: &mut Groups) {
        for some in self.scans().chunks(AT_ONCE) {
            let settled = &*groups;
            let pairs = |of: &Range<usize>| {
                let one = &self.slices[of.start];
                let is_settled = |other: &Candidate<'_>| {
                    settled.are_settled(one.scan as usize, other.scan as usize, one.in_conflict(other))
                };
                self.turned_pairs(of.clone(), is_settled)
            };
            let found: Vec<Vec<ScanPair>> = some.par_iter().map(pairs).collect();
            some.iter().zip(found).for_each(|(of, found)| groups.take(self.slices[of.start].scan as usize, found));
        }
    }

    /// The frequencies of a candidate, of an inverted one those before.
    fn in_usual_tones(&self, at: usize) -> [f32; DESCRIPTOR] {
        self.slices[at].descriptor.values().map(|value| self.tones[at] * value)
    }

    /// The same, whitened.
    fn whitened(&self, at: usize) -> [f32; DESCRIPTOR] {
        self.usual.whitened(&self.in_usual_tones(at))
    }

    /// Pairs of this scan (a range of candidates) with earlier ones that look alike, and with any of the other label.
    fn pairs(&self, of: Range<usize>, lengths: &BTreeMap<u32, usize>) -> Vec<ScanPair> {
        let mut matches: BTreeMap<u32, Vec<SliceMatch>> = BTreeMap::new();
        for at in of.clone() {
            let mut whitened = None;
            for mut rest in self.bands.iter().map(|band| band.bucket(at)).filter(|bucket| bucket.len() > 1) {
                let whitened = whitened.get_or_insert_with(|| self.whitened(at));
                while let Some(&(place, _)) = rest.first() {
                    let (of_label, others) = rest.split_at(rest.partition_point(|(other, _)| *other == place));
                    self.compare(at, whitened, of_label, &mut matches);
                    rest = others;
                }
            }
        }
        let scan = self.slices[of.start].scan;
        matches.into_iter().filter_map(|(other, found)| self.summed_up(scan, other, found, lengths)).collect()
    }

    /// Adds the slices of one bucket and label that are similar to this one. A pair that shares several bands is added
    /// several times.
    fn compare(
        &self,
        at: usize,
        whitened: &[f32; DESCRIPTOR],
        bucket: &[(u32, u32)],
        matches: &mut BTreeMap<u32, Vec<SliceMatch>>,
    ) {
        let one = &self.slices[at];
        let (mut alike, mut last, mut compared) = (0, None, 0);
        for (other, candidate) in bucket.iter().map(|(_, other)| (&self.slices[*other as usize], *other)) {
            // Sorted by scan: later ones look for this one in their turn. Scans of different labels look for each other,
            // since every one of them must find one.
            if other.scan >= one.scan && !one.in_conflict(other) {
                break;
            }
            if compared == CROWDED || (alike == ENOUGH && last != Some(other.scan)) {
                break;
            }
            compared += 1;
            if self.tones[at] != self.tones[candidate as usize] {
                continue;
            }
            let length = (self.squares[at] * self.squares[candidate as usize]).sqrt();
            let product = dot(whitened, &self.whitened(candidate as usize));
            let correlation = if length > 0.0 { product / length } else { 0.0 };
            if correlation >= ALIKE {
                alike += usize::from(last != Some(other.scan));
                last = Some(other.scan);
                let (a, b) = ((at as u32).min(candidate), (at as u32).max(candidate));
                matches.entry(other.scan).or_default().push((a, b, correlation));
            }
        }
    }

    fn summed_up(
        &self,
        one: u32,
        other: u32,
        mut found: Vec<SliceMatch>,
        lengths: &BTreeMap<u32, usize>,
    ) -> Option<ScanPair> {
        found.sort_by_key(|m| (m.0, m.1));
        found.dedup_by_key(|m| (m.0, m.1));
        let distinct = |side: fn(&SliceMatch) -> u32| found.iter().map(side).collect::<BTreeSet<_>>().len();
        let matched = distinct(|m| m.0).min(distinct(|m| m.1));
        let of = lengths[&one].min(lengths[&other]);
        let best = found.iter().max_by(|x, y| x.2.total_cmp(&y.2))?;
        let candidate = |candidate: u32| &self.slices[candidate as usize];
        (matched as f64 >= SHARE * of as f64).then(|| ScanPair {
            first: one.min(other) as usize,
            second: one.max(other) as usize,
            matched,
            of,
            correlation: found.iter().map(|m| f64::from(m.2)).sum::<f64>() / found.len() as f64,
            example: (candidate(best.0).slice as usize, candidate(best.1).slice as usize),
            in_conflict: candidate(best.0).in_conflict(candidate(best.1)),
            group: 2,
            how: Vec::new(),
        })
    }
}

fn key(signature: u128, band: usize, width: usize) -> u32 {
    (signature >> (band * width)) as u32 & ((1_u64 << width) - 1) as u32
}
