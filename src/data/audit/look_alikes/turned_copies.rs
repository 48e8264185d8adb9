//! Finds mirrored, turned and inverted copies by the frequencies of whole slices, whichever slices of a scan the copy has.
//!
//! `described_parts.rs` compares a few samples of each scan, which show the same heights only where a copy has all slices. Here the
//! queries are a few slices of a scan, too, but they are looked for among all slices of the others.

use super::super::samples::SAMPLES;
use super::same_picture::is_in_order;
use super::symmetry::Symmetry;
use super::{ALIKE, Bands, CROWDED, Candidate, ScanPair};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// So many of a scan's queries must be found in another one, and at least this share.
const AT_LEAST: usize = 4;
const SHARE: f64 = 0.5;

/// A query and what was found: candidates and their correlation.
#[derive(Clone, Copy)]
struct TurnedMatch {
    query: usize,
    found: usize,
    correlation: f32,
}

/// The queries of a scan: evenly spaced slices.
fn queries(of: &Range<usize>) -> Vec<usize> {
    let count = of.len().min(SAMPLES);
    (0..count).map(|at| of.start + (2 * at + 1) * of.len() / (2 * count)).collect()
}

impl Bands<'_> {
    /// Pairs of this scan (a range of candidates) with others that show the same, turned or inverted; but those of which
    /// `is_settled` holds.
    pub(super) fn turned_pairs(&self, of: Range<usize>, is_settled: impl Fn(&Candidate<'_>) -> bool) -> Vec<ScanPair> {
        let queries = queries(&of);
        if queries.len() < AT_LEAST {
            return Vec::new();
        }
        let mut matches: BTreeMap<(u32, usize), Vec<TurnedMatch>> = BTreeMap::new();
        for &query in &queries {
            let mut best: BTreeMap<(u32, usize), TurnedMatch> = BTreeMap::new();
            // In the tones of most slices an inverted one looks like them: only places are exchanged.
            for number in (0..Symmetry::COUNT).step_by(2) {
                self.look_for(query, number, &mut best);
            }
            best.into_iter().for_each(|(key, found)| matches.entry(key).or_default().push(found));
        }
        let is_enough = |found: &[TurnedMatch]| {
            let matched: Vec<(usize, usize)> = found.iter().map(|of| (of.query, of.found)).collect();
            // Neighbours of a short scan's slices are alike, and count once.
            let distinct = found.iter().map(|of| of.found).collect::<BTreeSet<_>>().len();
            distinct >= AT_LEAST && distinct as f64 >= SHARE * queries.len() as f64 && is_in_order(&matched)
        };
        let mut pairs: BTreeMap<u32, ScanPair> = BTreeMap::new();
        for ((other, number), found) in matches {
            if !is_enough(&found) || is_settled(&self.slices[found[0].found]) {
                continue;
            }
            let pair = self.turned_pair(number, &found, queries.len());
            let is_better = |best: &ScanPair| (best.matched, best.correlation) < (pair.matched, pair.correlation);
            if pairs.get(&other).is_none_or(is_better) {
                pairs.insert(other, pair);
            }
        }
        pairs.into_values().collect()
    }

    /// Looks for a slice turned by a symmetry; of each scan and relation the most similar slice stays.
    fn look_for(&self, query: usize, number: usize, best: &mut BTreeMap<(u32, usize), TurnedMatch>) {
        let one = &self.slices[query];
        let turned = Symmetry::number(number).frequencies(&self.in_usual_tones(query));
        let (bits, whitened) = (self.usual.signs_of(&turned), self.usual.whitened(&turned));
        let square = super::dot(&whitened, &whitened);
        for (band, of) in self.bands.iter().enumerate() {
            let of_labels = of.bucket_of_bits(super::key(bits, band, self.width)).chunk_by(|a, b| a.0 == b.0);
            for &(_, found) in of_labels.flat_map(|of_label| &of_label[..of_label.len().min(CROWDED)]) {
                let found = found as usize;
                let other = &self.slices[found];
                let is_inverted = self.tones[query] != self.tones[found];
                // What is neither turned nor inverted was compared before.
                if other.scan == one.scan || (number == 0 && !is_inverted) {
                    continue;
                }
                let length = (self.squares[found] * square).sqrt();
                let product = super::dot(&whitened, &self.whitened(found));
                let correlation = if length > 0.0 { product / length } else { 0.0 };
                let key = (other.scan, number | usize::from(is_inverted));
                if correlation >= ALIKE && best.get(&key).is_none_or(|best| best.correlation < correlation) {
                    best.insert(key, TurnedMatch { query, found, correlation });
                }
            }
        }
    }

    fn turned_pair(&self, number: usize, found: &[TurnedMatch], of: usize) -> ScanPair {
        let scan = |candidate: usize| self.slices[candidate].scan as usize;
        let (one, other) = (scan(found[0].query), scan(found[0].found));
        let best =
            found.iter().fold(found[0], |best, next| if next.correlation > best.correlation { *next } else { best });
        let slice = |candidate: usize| self.slices[candidate].slice as usize;
        let (symmetry, example) = match one < other {
            true => (Symmetry::number(number), (slice(best.query), slice(best.found))),
            false => (Symmetry::number(number).inverse(), (slice(best.found), slice(best.query))),
        };
        ScanPair {
            first: one.min(other),
            second: one.max(other),
            matched: found.len(),
            of,
            correlation: found.iter().map(|of| f64::from(of.correlation)).sum::<f64>() / found.len() as f64,
            example,
            in_conflict: self.slices[found[0].query].in_conflict(&self.slices[found[0].found]),
            group: 2,
            how: symmetry.words().into_iter().collect(),
        }
    }
}
