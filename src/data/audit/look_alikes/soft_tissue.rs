//! Slices seen through a lung window as they would be seen through one of soft tissue, in which lungs are black: the two that a
//! scan is most often exported with. Local contrast, by which other windows are recognised, has little in common in these.

use super::super::samples::Small;
use super::described_parts::{Hit, Sampled};
use super::same_picture::is_in_order;
use super::{ScanPair, are_in_conflict};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Soft tissue is brighter than this in both windows, air and lungs are darker (59 and 85 at -600/1500 HU).
const BODY: usize = 100;
/// Grey levels below this are air or lung, also where fat is dark.
const DARK: usize = 24;
/// In a lung window soft tissue is this bright or brighter: 238 at -600/1500 HU, 195 at -600/2000.
const BRIGHT: usize = 190;
/// In a window of soft tissue its level lies between these: 134 at 40/400 HU, 160 at 0/400.
const MIDDLE: Range<usize> = 100..185;
/// A window of soft tissue leaves nothing of lungs: this share of the dark levels is below [`BLACK`].
const ALL_BLACK: f32 = 0.8;
const BLACK: usize = 6;
/// Levels of a lung window that a soft tissue's shows, below and above soft tissue: 200 HU at 5.9 HU a level.
const BELOW: f32 = 34.0;
const ABOVE: f32 = 30.0;
/// From this correlation on, two slices are one. Measured: of 291 real scans in windows of the lungs with 460 in those of soft tissue,
/// all of other patients, no two slices reach 0.85; those of one scan of the same heights 0.89 to 0.98.
const SAME_SLICE: f32 = 0.87;
/// So many samples of the shorter scan must be found in the other one, and at least this share.
const AT_LEAST: usize = 3;
const SHARE: f64 = 0.5;

/// How a scan is seen.
#[derive(Debug, Clone, Copy, PartialEq)]
enum SeenThrough {
    /// With soft tissue at this level.
    Lung(f32),
    SoftTissue,
}

/// Samples as windows of soft tissue show them: those of scans in windows of the lungs, and of scans in the former.
#[derive(Default)]
pub(super) struct SoftTissue {
    samples: Vec<Sampled>,
    /// Of each scan its samples, and whether they come from a window of the lungs.
    of_scan: BTreeMap<usize, (Range<usize>, bool)>,
}

impl SoftTissue {
    /// Empty where there are not both.
    pub(super) fn of(samples: &[Sampled]) -> Self {
        let scans = || samples.chunk_by(|a, b| a.scan == b.scan);
        let windows: Vec<Option<SeenThrough>> = scans().map(seen_through).collect();
        let is_soft = |of: &SeenThrough| *of == SeenThrough::SoftTissue;
        let mut soft = Self::default();
        if !windows.iter().flatten().any(is_soft) || windows.iter().flatten().all(is_soft) {
            return soft;
        }
        for (scan, window) in scans().zip(windows) {
            let Some(window) = window else { continue };
            let begin = soft.samples.len();
            soft.samples.extend(scan.iter().map(|of| Sampled {
                small: match window {
                    SeenThrough::Lung(tissue) => softened(&of.small, tissue),
                    SeenThrough::SoftTissue => of.small.clone(),
                },
                ..*of
            }));
            soft.of_scan.insert(scan[0].scan, (begin..soft.samples.len(), !is_soft(&window)));
        }
        soft
    }

    pub(super) fn samples(&self) -> &[Sampled] {
        &self.samples
    }

    /// Of scans that may be one, those of one window each of which whole slices are the same.
    pub(super) fn verified(&self, hits: &[Hit]) -> Vec<ScanPair> {
        hits.iter().filter_map(|hit| self.pair(hit.pair())).collect()
    }

    fn pair(&self, (first, second): (usize, usize)) -> Option<ScanPair> {
        let (of_one, one_from_lung) = self.of_scan.get(&first)?;
        let (of_other, other_from_lung) = self.of_scan.get(&second)?;
        if one_from_lung == other_from_lung {
            return None;
        }
        let (ones, others) = (&self.samples[of_one.clone()], &self.samples[of_other.clone()]);
        let best = |at: usize| {
            let with = others.iter().enumerate().map(|(other, of)| (correlation(&ones[at].small, &of.small), other));
            with.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(correlation, _)| *correlation >= SAME_SLICE)
        };
        let found: Vec<(f32, usize, usize)> =
            (0..ones.len()).filter_map(|at| best(at).map(|(correlation, other)| (correlation, at, other))).collect();
        let distinct = found.iter().map(|of| of.2).collect::<BTreeSet<_>>().len();
        let in_order: Vec<(usize, usize)> = found.iter().map(|of| (of.1, of.2)).collect();
        let of = ones.len().min(others.len());
        if distinct < AT_LEAST || (distinct as f64) < SHARE * of as f64 || !is_in_order(&in_order) {
            return None;
        }
        let most_alike = found.iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
        let (one, other) = (&ones[most_alike.1], &others[most_alike.2]);
        let window = if *one_from_lung { "soft tissue" } else { "the lungs" };
        Some(ScanPair {
            first,
            second,
            matched: distinct,
            of,
            correlation: found.iter().map(|of| f64::from(of.0)).sum::<f64>() / found.len() as f64,
            example: (one.slice, other.slice),
            in_conflict: are_in_conflict(one.label, other.label),
            group: 2,
            how: vec![format!("seen through a window of {window}")],
        })
    }
}

/// Pearson's correlation of all levels; 0 without contrast.
fn correlation(one: &Small, other: &Small) -> f32 {
    let mean = |of: &Small| of.0.iter().map(|level| f64::from(*level)).sum::<f64>() / of.0.len() as f64;
    let (of_one, of_other) = (mean(one), mean(other));
    let (mut product, mut squares) = (0.0, [0.0; 2]);
    for (a, b) in one.0.iter().zip(other.0.iter()) {
        let (a, b) = (f64::from(*a) - of_one, f64::from(*b) - of_other);
        product += a * b;
        squares = [squares[0] + a * a, squares[1] + b * b];
    }
    let length = (squares[0] * squares[1]).sqrt();
    if length > 0.0 { (product / length) as f32 } else { 0.0 }
}

/// `None` where it is neither window for sure.
fn seen_through(scan: &[Sampled]) -> Option<SeenThrough> {
    let mut counts = [0_u32; 256];
    scan.iter().flat_map(|of| of.small.0.iter()).for_each(|level| counts[usize::from(*level)] += 1);
    // Of fields of eight levels, so that noise does not matter.
    let around = |level: usize| counts[level - 4..(level + 4).min(256)].iter().sum::<u32>();
    let tissue = (BODY..=252).max_by_key(|level| (around(*level), *level))?;
    let (black, dark): (u32, u32) = (counts[..BLACK].iter().sum(), counts[..DARK].iter().sum());
    let lungs_are_black = dark > 0 && black as f32 >= ALL_BLACK * dark as f32;
    match tissue {
        tissue if tissue >= BRIGHT => Some(SeenThrough::Lung(tissue as f32)),
        tissue if MIDDLE.contains(&tissue) && lungs_are_black => Some(SeenThrough::SoftTissue),
        _ => None,
    }
}

fn softened(small: &Small, tissue: f32) -> Small {
    let (low, high) = (tissue - BELOW, (tissue + ABOVE).min(255.0));
    let level = |level: u8| (255.0 * ((f32::from(level) - low) / (high - low)).clamp(0.0, 1.0)) as u8;
    Small(Box::new(small.0.map(level)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body of this level with a lung and a brighter bone, before air.
    fn sample(scan: usize, air: u8, lung: u8, tissue: u8, bone: u8) -> Sampled {
        let level = |at: usize| match (at % 64, at / 64) {
            (x, y) if !(8..56).contains(&x) || !(12..52).contains(&y) => air,
            (x, y) if (10..30).contains(&x) && (14..48).contains(&y) => lung,
            (x, y) if (30..34).contains(&x) && (44..50).contains(&y) => bone,
            _ => tissue,
        };
        let small = Small(Box::new(std::array::from_fn(level)));
        Sampled { slice: scan, scan, label: None, size: (512, 512), small }
    }

    #[test]
    fn lung_windows_are_shown_as_those_of_soft_tissue() {
        let (lung, soft) = (sample(0, 59, 85, 238, 255), sample(1, 0, 0, 134, 255));
        let seen = SoftTissue::of(&[lung, soft]);
        assert_eq!(seen.of_scan.values().map(|of| of.1).collect::<Vec<_>>(), [true, false]);
        let [first, second] = seen.samples() else { panic!("two") };
        // Air and lung black, tissue in the middle, bone white, as in the other.
        for at in [0, 20 * 64 + 20, 46 * 64 + 32, 15 * 64 + 40] {
            assert!(
                first.small.0[at].abs_diff(second.small.0[at]) < 50,
                "{at}: {} {}",
                first.small.0[at],
                second.small.0[at]
            );
        }
        assert_eq!(first.small.0[20 * 64 + 20], 0);
        assert!(correlation(&first.small, &second.small) > 0.95);
        // Of one kind alone there is nothing to compare; a wide window is neither.
        assert!(SoftTissue::of(&[sample(0, 59, 85, 238, 255)]).samples().is_empty());
        assert!(SoftTissue::of(&[sample(0, 59, 85, 238, 255), sample(1, 2, 20, 134, 220)]).samples().is_empty());
    }

    #[test]
    fn scans_of_two_windows_are_one_where_most_slices_are() {
        /// Lungs that change along the scan, and from patient to patient.
        fn scan(scan: usize, patient: u8, [air, lung, tissue, bone]: [u8; 4]) -> Vec<Sampled> {
            let of_slice = |slice: u8| {
                let (across, down) = (20.0 + 3.0 * f32::from(patient), 24.0 + 2.0 * f32::from(slice));
                let level = |at: usize| {
                    let (x, y) = ((at % 64) as f32 - 31.5, (at / 64) as f32 - 31.5);
                    let is_in = |dx: f32, dy: f32, wide: f32, high: f32| {
                        ((x - dx) / wide).powi(2) + ((y - dy) / high).powi(2) < 1.0
                    };
                    match () {
                        () if !is_in(0.0, 0.0, across + 8.0, 24.0) => air,
                        () if is_in(-12.0, -4.0, 7.0, down / 2.5) || is_in(13.0, -2.0, across / 4.0, down / 2.2) => {
                            lung
                        }
                        () if is_in(0.0, 14.0 - f32::from(patient * 3), 4.0, 4.0) => bone,
                        () => tissue,
                    }
                };
                let small = Small(Box::new(std::array::from_fn(level)));
                Sampled { slice: 10 * scan + usize::from(slice), scan, label: None, size: (512, 512), small }
            };
            (0..4).map(of_slice).collect()
        }
        const LUNGS: [u8; 4] = [59, 85, 238, 255];
        const TISSUE: [u8; 4] = [0, 0, 134, 255];
        let scans = [scan(0, 0, LUNGS), scan(1, 0, TISSUE), scan(2, 2, TISSUE), scan(3, 2, LUNGS)];
        let samples: Vec<Sampled> = scans.into_iter().flatten().collect();
        let soft = SoftTissue::of(&samples);
        let pair = soft.pair((0, 1)).expect("one patient");
        assert_eq!((pair.matched, pair.of, pair.how), (4, 4, vec!["seen through a window of soft tissue".to_owned()]));
        assert_eq!(soft.pair((2, 3)).expect("one patient").how, ["seen through a window of the lungs"]);
        for other in [(0, 2), (1, 3), (0, 3), (1, 2)] {
            assert_eq!(soft.pair(other), None, "{other:?}");
        }
    }
}
