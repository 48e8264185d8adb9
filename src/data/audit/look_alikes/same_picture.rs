//! Whether two samples, and then two scans, show the same, by registration.

use super::described_parts::Sampled;
use super::registration::{ALL_STEPS, Fit, Placement, Prepared, correlation_at, has_other_levels, registered};
use super::symmetry::Symmetry;

/// From this correlation of registered slices on, they may be one picture. Measured on 1,968 real slices: those of different
/// patients reach 0.87, altered copies mostly 0.94 or more.
const ONE_PICTURE: f32 = 0.85;
/// And from this one of their details. Measured: real slices of different patients reach 0.70, altered copies mostly 0.86 or more; of
/// drawn slices with nothing but outlines and a few vessels some reach 0.85.
const SAME_DETAILS: f32 = 0.83;
/// The share of the shorter scan's samples that must be in the other: more than of slices with similar frequencies, since
/// sixteen symmetries and any crop leave more to chance.
const SHARE: f64 = 0.6;
/// From this correlation on, a pair of samples is worth a registration.
const WORTHWHILE: f32 = 0.6;
/// A share of the width or height above this is no crop, but the precision of a registration.
const UNCROPPED: f32 = 0.97;
/// A copy is enlarged alike across and down, but for the precision of a registration. Chests of different patients often fit
/// where one is stretched.
const STRETCHED_BY: f32 = 1.06;
/// From this number of matched slices on they must be in the same order in both scans, or in the reverse order, for most of
/// their pairs.
const ORDERED: usize = 4;

/// How `second` lies in `first`, near `start`, if they are one picture; looked for by these steps.
pub(super) fn one_picture(first: &Prepared, second: &Prepared, start: Placement, steps: &[f32]) -> Option<Fit> {
    registered(second, first, start, steps).filter(|fit| fit.correlation >= ONE_PICTURE && fit.detail >= SAME_DETAILS)
}

/// What two scans have in common.
pub(super) struct Agreement {
    /// Samples of the shorter scan that are in the other, and its number of samples.
    pub(super) matched: usize,
    pub(super) of: usize,
    /// Mean correlation of these.
    pub(super) correlation: f64,
    /// The two most similar slices: of the first scan, of the second.
    pub(super) example: (usize, usize),
    /// What the second is, in words.
    pub(super) how: Vec<String>,
}

/// Compares all samples of two scans, the first's turned by `symmetry`, each with those of the other at the same
/// placement; `None` where too few are the same pictures.
pub(super) fn agreement(
    first: &[Sampled],
    second: &[Sampled],
    symmetry: Symmetry,
    placement: Placement,
) -> Option<Agreement> {
    let firsts: Vec<Prepared> = first.iter().map(|of| Prepared::of(of.small.clone()).turned(symmetry)).collect();
    let seconds: Vec<Prepared> = second.iter().map(|of| Prepared::of(of.small.clone())).collect();
    let swapped = firsts.len() > seconds.len();
    let (shorter, longer) = if swapped { (&seconds, &firsts) } else { (&firsts, &seconds) };
    let in_order = |a: usize, b: usize| if swapped { (b, a) } else { (a, b) };
    let best = |a: usize| {
        let similar = |b: usize| {
            let (first, second) = in_order(a, b);
            Some((correlation_at(&seconds[second], &firsts[first], placement)?, first, second))
        };
        let (_, first, second) = (0..longer.len())
            .filter_map(similar)
            .max_by(|x, y| x.0.total_cmp(&y.0))
            .filter(|(correlation, ..)| *correlation >= WORTHWHILE)?;
        Some((one_picture(&firsts[first], &seconds[second], placement, &ALL_STEPS)?, first, second))
    };
    let found: Vec<(Fit, usize, usize)> = (0..shorter.len()).filter_map(best).collect();
    let matched: Vec<(usize, usize)> = found.iter().map(|(_, first, second)| (*first, *second)).collect();
    if (found.len() as f64) < SHARE * shorter.len() as f64 || !is_in_order(&matched) {
        return None;
    }
    let (fit, a, b) = found.iter().max_by(|x, y| x.0.correlation.total_cmp(&y.0.correlation))?;
    if !is_enlarged_alike(fit.placement, symmetry.size(first[*a].size), second[*b].size) {
        return None;
    }
    let mut how: Vec<String> = symmetry.words().into_iter().collect();
    how.extend(cropped(fit.placement));
    if has_other_levels(&seconds[*b], &firsts[*a], fit.placement) {
        how.push("seen through another window or contrast".to_owned());
    }
    let sum: f64 = found.iter().map(|(fit, ..)| f64::from(fit.correlation)).sum();
    Some(Agreement {
        matched: found.len(),
        of: shorter.len(),
        correlation: sum / found.len() as f64,
        example: (first[*a].slice, second[*b].slice),
        how,
    })
}

/// Whether matched slices, of the one scan and of the other, follow each other alike in both, or backwards, for most of their pairs;
/// of few slices nothing is said.
pub(super) fn is_in_order(found: &[(usize, usize)]) -> bool {
    let pairs = || found.iter().enumerate().flat_map(|(at, one)| found[at + 1..].iter().map(move |other| (one, other)));
    let sign = |a: usize, b: usize| i64::from(a < b) - i64::from(a > b);
    let agreeing: i64 = pairs().map(|(one, other)| sign(one.0, other.0) * sign(one.1, other.1)).sum();
    found.len() < ORDERED || 2 * agreeing.unsigned_abs() as usize >= pairs().count()
}

/// Whether a pixel of the second is as wide as high in the first, or the second shows all of it, brought to another size.
fn is_enlarged_alike(placement: Placement, first: (u32, u32), second: (u32, u32)) -> bool {
    let [width, height] = placement.scale();
    let is_whole = |share: f32| (UNCROPPED..=1.0 / UNCROPPED).contains(&share);
    let pixel = |share: f32, first: u32, second: u32| share * first as f32 / second.max(1) as f32;
    let stretched = pixel(width, first.0, second.0) / pixel(height, first.1, second.1).max(f32::MIN_POSITIVE);
    (is_whole(width) && is_whole(height)) || (1.0 / STRETCHED_BY..=STRETCHED_BY).contains(&stretched)
}

/// How much of the first the second shows, where it is not all.
fn cropped(placement: Placement) -> Option<String> {
    let [width, height] = placement.scale();
    let percent = |share: f32| (100.0 * share).round();
    if width.min(height) < UNCROPPED && width.max(height) < 1.0 / UNCROPPED {
        Some(format!(
            "cropped to {} % of the width and {} % of the height",
            percent(width.min(1.0)),
            percent(height.min(1.0))
        ))
    } else if width.max(height) > 1.0 / UNCROPPED {
        let (width, height) = (percent(1.0 / width).min(100.0), percent(1.0 / height).min(100.0));
        Some(format!("uncropped (the first shows {width} % of its width and {height} % of its height)"))
    } else {
        None
    }
}
