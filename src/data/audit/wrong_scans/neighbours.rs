//! Slices against their neighbours: turned, mirrored or inverted among others, of something else, out of order.
//!
//! Neighbours are alike; a slice that was turned is alike only when it is turned back. Measured on 7,800 pairs of neighbours of
//! healthy exports: the best of the fifteen other symmetries makes a pair at most 1.4 times as alike, of a slice that was
//! turned, mirrored or inverted, 1.9 times or more (55 of 55, of 11 patients).

use super::likeness::{Disorder, disorder};
use super::{Check, Inspection, SeenSlice, Verdict};
use crate::data::audit::look_alikes::Symmetry;
use crate::data::audit::pixel_measures::DESCRIPTOR;
use crate::data::manifest::Manifest;
use crate::stats::median::upper_median;

/// Slices of a scan, at the least.
const FEWEST: usize = 6;
/// Neighbours that are as alike as this need not be turned to be so.
const ALIKE: f32 = 0.12;
/// How much longer a step is than another around it before symmetries are tried.
const LONGER: f32 = 1.3;
/// How many times as alike a pair becomes by turning one of them back, and how alike.
const BY_TURNING: f32 = 1.8;
const THEN_ALIKE: f32 = 0.45;
/// A slice of something else: so far from the mean of its neighbours, and so many times as far as these are apart. Healthy
/// slices reach 1.2 times; slices of another patient 2.0 times or more (11 of 11).
const FAR: f32 = 0.25;
const TIMES_AS_FAR: f32 = 1.8;
/// A scan whose median step is longer has no neighbours to speak of.
const LOOSE: f32 = 0.4;

/// What a picture seems to be that is no slice; beside slices that it is like, it is one.
const NO_SLICE: [Check; 2] = [Check::SeveralSlices, Check::LocalizerPicture];
/// So near is a slice to its neighbour: in whole scans nearly all steps are shorter, and the phantom's pages and localizers are
/// farther from every slice.
const NEIGHBOUR: f32 = 0.5;

type Frequencies = [f32; DESCRIPTOR];

/// What is said of slices that do not fit between their neighbours, and which they are.
pub(super) fn misfits(seen: &[SeenSlice<'_>]) -> (Vec<(Check, String)>, Vec<bool>) {
    let mut is_misfit = vec![false; seen.len()];
    if seen.len() < FEWEST {
        return (Vec::new(), is_misfit);
    }
    let all: Vec<Frequencies> = seen.iter().map(|of| of.picture.descriptor.values()).collect();
    let turned = turned(&all);
    turned.iter().for_each(|(slice, _)| is_misfit[*slice] = true);
    let rest: Vec<usize> = (0..seen.len()).filter(|slice| !is_misfit[*slice]).collect();
    let foreign = foreign(&rest.iter().map(|slice| &all[*slice]).collect::<Vec<_>>());
    let foreign: Vec<usize> = foreign.into_iter().map(|at| rest[at]).collect();
    foreign.iter().for_each(|slice| is_misfit[*slice] = true);

    let file = |slice: usize| seen[slice].slice.file.as_str();
    let shown = |names: Vec<String>| {
        let more = if names.len() > 4 { ", …" } else { "" };
        format!("{}{more}", names[..names.len().min(4)].join(", "))
    };
    let mut found = Vec::new();
    if !turned.is_empty() {
        let names = turned.iter().map(|(slice, how)| format!("{} ({how})", file(*slice))).collect();
        found.push((Check::TurnedSlices, format!("{} of {} slices: {}", turned.len(), seen.len(), shown(names))));
    }
    if !foreign.is_empty() {
        let names = foreign.iter().map(|slice| file(*slice).to_owned()).collect();
        found.push((Check::UnlikeNeighbours, format!("{} of {} slices: {}", foreign.len(), seen.len(), shown(names))));
    }
    (found, is_misfit)
}

/// Takes back that a slice is a page or a localizer where it is like a neighbour that is none: the apex or the base of
/// lungs that were cut out of their surroundings, or a mediastinum between two straight edges. In scans of which a third of the
/// slices or more are none.
pub(super) fn take_back_of_alike(manifest: &Manifest, looked: &mut [Inspection]) {
    for slices in manifest.slices_by_scan() {
        let is_doubted = |look: &Inspection| look.findings.iter().any(|of| NO_SLICE.contains(&of.check));
        let pictures: Vec<usize> = slices.into_iter().filter(|slice| looked[*slice].picture.is_some()).collect();
        let doubted = pictures.iter().filter(|slice| is_doubted(&looked[**slice])).count();
        if doubted == 0 || 3 * doubted > 2 * pictures.len() {
            continue;
        }
        // From the first slice to the last and back, so that each is compared with neighbours that are sure.
        let pairs = pictures.windows(2).map(|pair| (pair[0], pair[1]));
        let back = pictures.windows(2).rev().map(|pair| (pair[1], pair[0]));
        for (sure, slice) in pairs.chain(back) {
            let [a, b] = [sure, slice].map(|slice| looked[slice].picture.as_ref());
            let is_like = a.zip(b).is_some_and(|(a, b)| a.descriptor.distance(&b.descriptor) <= NEIGHBOUR);
            if is_like && !is_doubted(&looked[sure]) {
                looked[slice].findings.retain(|of| !NO_SLICE.contains(&of.check));
            }
        }
    }
}

fn distance(a: &Frequencies, b: &Frequencies) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
}

/// Slices that are turned against most, and how: a scan changes its orientation between two neighbours, and changes it back.
fn turned(slices: &[Frequencies]) -> Vec<(usize, String)> {
    let steps: Vec<f32> = slices.windows(2).map(|pair| distance(&pair[0], &pair[1])).collect();
    let around = |at: usize| {
        let next = [at.checked_sub(1), Some(at + 1)].into_iter().flatten().filter_map(|at| steps.get(at).copied());
        let second = [at.checked_sub(1), Some(at)].into_iter().flatten();
        let second = second.filter_map(|at| Some(distance(&slices[at], slices.get(at + 2)?)));
        next.chain(second).fold(f32::INFINITY, f32::min)
    };
    let changed = |(at, step): (usize, &f32)| {
        if *step < ALIKE || *step < LONGER * around(at) {
            return None;
        }
        let symmetries = (1..Symmetry::COUNT).map(Symmetry::number);
        let alike = symmetries.map(|how| (distance(&slices[at], &how.frequencies(&slices[at + 1])), how));
        let (best, how) = alike.min_by(|a, b| a.0.total_cmp(&b.0))?;
        (best <= THEN_ALIKE && *step >= BY_TURNING * best).then_some((at + 1, how))
    };
    let changes: Vec<(usize, Symmetry)> = steps.iter().enumerate().filter_map(changed).collect();
    // Every second run of slices is turned, one way or the other.
    let ends = changes.iter().map(|(at, _)| *at).chain([slices.len()]);
    let starts = [0].into_iter().chain(changes.iter().map(|(at, _)| *at));
    let runs: Vec<std::ops::Range<usize>> = starts.zip(ends).map(|(start, end)| start..end).collect();
    let count = |parity: usize| runs.iter().skip(parity).step_by(2).map(|run| run.len()).sum::<usize>();
    let fewer = usize::from(count(1) <= count(0));
    let mut found = Vec::new();
    for (number, run) in runs.into_iter().enumerate().skip(fewer).step_by(2) {
        // From the run before, or of the first one from the run after.
        let how = match number.checked_sub(1) {
            Some(before) => changes[before].1.inverse(),
            None => changes.first().map_or(Symmetry::ORIGINAL, |(_, how)| *how),
        };
        found.extend(how.words().into_iter().flat_map(|words| run.clone().map(move |slice| (slice, words.clone()))));
    }
    found
}

/// Slices that are far from the mean of their neighbours, which are alike.
fn foreign(slices: &[&Frequencies]) -> Vec<usize> {
    let steps = slices.windows(2).map(|pair| distance(pair[0], pair[1])).collect();
    if slices.len() < FEWEST || upper_median(steps, f32::total_cmp).is_none_or(|usual| usual > LOOSE) {
        return Vec::new();
    }
    let is_foreign = |(at, three): (usize, &[&Frequencies])| {
        let mean: Frequencies = std::array::from_fn(|of| (three[0][of] + three[2][of]) / 2.0);
        let (far, apart) = (distance(three[1], &mean), distance(three[0], three[2]));
        (far >= FAR && far >= TIMES_AS_FAR * apart).then_some(at + 1)
    };
    slices.windows(3).enumerate().filter_map(is_foreign).collect()
}

/// Slices in another order than their numbers say, or a gap where the numbers have none.
pub(super) fn order(seen: &[SeenSlice<'_>], has_changed: bool) -> Verdict {
    let descriptors: Vec<_> = seen.iter().map(|of| &of.picture.descriptor).collect();
    let names = |at: usize| (&seen[at].slice.file, &seen[(at + 1).min(seen.len() - 1)].slice.file);
    match disorder(&descriptors)? {
        Disorder::Unordered { steps, of, example } => {
            let (a, b) = names(example);
            let detail = format!(
                "the order is not that of the body: at {steps} of {of} steps other slices are more alike than the two \
                 neighbours, for example {a} and {b}"
            );
            Some((Check::Unordered, detail))
        }
        Disorder::BeginsWithin { last } => {
            let (a, b) = names(last);
            let detail = format!(
                "the numbers begin within the body: first and last slice are neighbours, {a} and {b} are its ends"
            );
            Some((Check::Unordered, detail))
        }
        Disorder::Gap { before, times } => {
            let (a, b) = names(before);
            let numbers = [before, before + 1].map(|at| seen.get(at).and_then(|of| of.slice.number));
            let follows = matches!(numbers, [Some(a), Some(b)] if a + 1 == b);
            (follows && !has_changed).then(|| {
                let detail = format!(
                    "between {a} and {b} slices seem to be missing, or view, order, tones or patient change: they differ \
                     {times:.1} times as much as the slices around"
                );
                (Check::GapInScan, detail)
            })
        }
    }
}
