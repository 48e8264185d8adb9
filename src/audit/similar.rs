//! The same patient under two scan ids: pairs of scans whose slices look alike.
//!
//! Every chest looks like every other to a plain perceptual hash. So each frequency is held against its median over
//! the whole data set: a bit says whether this slice has more of it than most. Bits so made are even and nearly
//! independent, and bands of 16 of them make an index whose buckets stay small; candidates from any band are then
//! compared by the correlation of their descriptors. Slices of one scan are alike by nature and never compared.

use super::measure::DESCRIPTOR;
use std::collections::{BTreeMap, BTreeSet, HashSet};

const BAND: usize = 16;
/// A bucket that holds more than this says nothing; the other bands still serve its slices.
const CROWDED: usize = 1024;
/// Slices correlated at least so are taken for pictures of one patient at one height. Measured: the closest slices of
/// two different patients reach 0.927 on the phantom and 0.927 among 1,968 real slices of 717 patients; re-encoded,
/// shifted and noisy copies on the phantom 0.99, other reconstructions of one real examination mostly 0.94 to 0.999.
const ALIKE: f32 = 0.93;
/// Two scans are taken for one patient when at least this share of the shorter one has its twin in the other.
const SHARE: f64 = 0.4;

/// Two scans that look like one patient.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ScanPair {
    pub(super) first: usize,
    pub(super) second: usize,
    /// Slices of the shorter scan that have a twin in the other, and how many it has.
    pub(super) matched: usize,
    pub(super) of: usize,
    /// Mean correlation of the matched slices, -1 to 1.
    pub(super) correlation: f64,
    /// The most alike slices (indices).
    pub(super) example: (usize, usize),
}

/// One slice to compare: its index, its scan and its descriptor.
pub(super) struct Candidate<'a> {
    pub(super) slice: usize,
    pub(super) scan: usize,
    pub(super) descriptor: &'a [f32; DESCRIPTOR],
}

/// Two slices (positions among the candidates) and their correlation.
type SliceMatch = (usize, usize, f32);

/// Finds pairs of scans that look like one patient, in order.
pub(super) fn pairs_of_scans(slices: &[Candidate<'_>]) -> Vec<ScanPair> {
    let whitened = whiten(slices);
    let mut lengths: BTreeMap<usize, usize> = BTreeMap::new();
    for slice in slices {
        *lengths.entry(slice.scan).or_default() += 1;
    }
    let mut matches: BTreeMap<(usize, usize), Vec<SliceMatch>> = BTreeMap::new();
    for (a, b) in index_candidates(slices, &whitened) {
        let correlation = correlation(&whitened[a], &whitened[b]);
        if correlation >= ALIKE {
            let (a, b) = if slices[a].scan < slices[b].scan { (a, b) } else { (b, a) };
            matches.entry((slices[a].scan, slices[b].scan)).or_default().push((a, b, correlation));
        }
    }
    matches.into_iter().filter_map(|(scans, found)| summed_up(scans, &found, &lengths, slices)).collect()
}

fn summed_up(
    (first, second): (usize, usize),
    found: &[SliceMatch],
    lengths: &BTreeMap<usize, usize>,
    slices: &[Candidate<'_>],
) -> Option<ScanPair> {
    let distinct = |side: fn(&SliceMatch) -> usize| found.iter().map(side).collect::<BTreeSet<_>>().len();
    let matched = distinct(|m| m.0).min(distinct(|m| m.1));
    let of = lengths[&first].min(lengths[&second]);
    let best = found.iter().max_by(|x, y| x.2.total_cmp(&y.2))?;
    (matched as f64 >= SHARE * of as f64).then(|| ScanPair {
        first,
        second,
        matched,
        of,
        correlation: found.iter().map(|m| f64::from(m.2)).sum::<f64>() / found.len() as f64,
        example: (slices[best.0].slice, slices[best.1].slice),
    })
}

/// Each frequency minus its median, divided by its spread over the data set.
fn whiten(slices: &[Candidate<'_>]) -> Vec<[f32; DESCRIPTOR]> {
    let mut whitened: Vec<[f32; DESCRIPTOR]> = slices.iter().map(|s| *s.descriptor).collect();
    if whitened.is_empty() {
        return whitened;
    }
    let mut column = vec![0.0_f32; whitened.len()];
    for k in 0..DESCRIPTOR {
        column.iter_mut().zip(&whitened).for_each(|(c, w)| *c = w[k]);
        let middle = column.len() / 2;
        let median = *column.select_nth_unstable_by(middle, f32::total_cmp).1;
        let variance = column.iter().map(|c| f64::from(c - median).powi(2)).sum::<f64>() / column.len() as f64;
        let scale = if variance > 1e-12 { 1.0 / variance.sqrt() as f32 } else { 0.0 };
        whitened.iter_mut().for_each(|w| w[k] = (w[k] - median) * scale);
    }
    whitened
}

/// Pairs of slices of different scans that share the bits of at least one band.
fn index_candidates(slices: &[Candidate<'_>], whitened: &[[f32; DESCRIPTOR]]) -> Vec<(usize, usize)> {
    let mut candidates = HashSet::new();
    for band in 0..DESCRIPTOR / BAND {
        let key = |w: &[f32; DESCRIPTOR]| {
            w[band * BAND..(band + 1) * BAND].iter().fold(0_u32, |bits, v| bits << 1 | u32::from(*v > 0.0))
        };
        let mut order: Vec<(u32, usize)> = whitened.iter().map(key).zip(0..).collect();
        order.sort_unstable();
        for bucket in order.chunk_by(|a, b| a.0 == b.0).filter(|bucket| bucket.len() <= CROWDED) {
            for (i, &(_, a)) in bucket.iter().enumerate() {
                let others = bucket[i + 1..].iter().map(|&(_, b)| b);
                candidates.extend(others.filter(|&b| slices[a].scan != slices[b].scan).map(|b| (a, b)));
            }
        }
    }
    let mut candidates: Vec<_> = candidates.into_iter().collect();
    candidates.sort_unstable();
    candidates
}

fn correlation(a: &[f32; DESCRIPTOR], b: &[f32; DESCRIPTOR]) -> f32 {
    let dot = |x: &[f32; DESCRIPTOR], y: &[f32; DESCRIPTOR]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 { dot(a, b) / lengths } else { 0.0 }
}
