//! Slices against their neighbours: turned, mirrored or inverted among others, of something else, or out of order.
//!
//! Neighbours are alike; a slice that was turned is alike only when it is turned back. Measured on 7,800 pairs of neighbours of
//! healthy exports: the best of the fifteen other symmetries makes a pair at most 1.4 times as alike, of a slice that was
//! turned, mirrored or inverted, 1.9 times or more (55 of 55, of 11 patients).

use super::likeness::{Disorder, disorder};
use super::{Check, Inspection, SeenSlice, Verdict};
use crate::data::audit::look_alikes::Symmetry;
use crate::data::audit::pixel_measures::{DESCRIPTOR, distance};
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
/// Nearer than this share of that distance, the slice is of another place in the scan.
const ELSEWHERE: f32 = 0.4;
/// A scan whose median step is longer has no neighbours to speak of.
const LOOSE: f32 = 0.4;

/// What a picture seems to be that is no slice; beside slices that it is like, it is one.
const NO_SLICE: [Check; 2] = [Check::SeveralSlices, Check::LocalizerPicture];
/// So near is a slice to its neighbour: in whole scans nearly all steps are shorter, and the phantom's pages and localizers are
/// farther from every slice.
const NEIGHBOUR: f32 = 0.5;

type Frequencies = [f32; DESCRIPTOR];

/// What is said of slices that are turned against the others of their scan, and which they are.
pub(super) fn turned_slices(seen: &[SeenSlice<'_>]) -> (Verdict, Vec<bool>) {
    let mut is_turned = vec![false; seen.len()];
    if seen.len() < FEWEST {
        return (None, is_turned);
    }
    let mut names = Vec::new();
    for (slice, words) in turned(&frequencies(seen)) {
        is_turned[slice] = true;
        names.push(format!("{} ({words})", seen[slice].slice.file));
    }
    (said_of(Check::TurnedSlices, &names, seen.len()), is_turned)
}

/// What is said of slices of something else among the others of their scan, and which they are.
pub(super) fn foreign_slices(seen: &[SeenSlice<'_>]) -> (Verdict, Vec<bool>) {
    let mut is_foreign = vec![false; seen.len()];
    let mut found = foreign(&frequencies(seen));
    // Other proportions make a slice unlike its neighbours; `odd-size` says them.
    let size = |slice: usize| seen[slice].slice.header.map_or((1, 1), |of| (u64::from(of.width), u64::from(of.height)));
    found.retain(|slice| {
        let [(width, height), (usual_width, usual_height)] = [size(*slice), size(*slice - 1)];
        width * usual_height == height * usual_width
    });
    found.iter().for_each(|slice| is_foreign[*slice] = true);
    let names: Vec<String> = found.iter().map(|slice| seen[*slice].slice.file.clone()).collect();
    (said_of(Check::UnlikeNeighbours, &names, seen.len()), is_foreign)
}

fn frequencies(seen: &[SeenSlice<'_>]) -> Vec<Frequencies> {
    seen.iter().map(|of| of.picture.descriptor.values()).collect()
}

fn said_of(check: Check, names: &[String], of: usize) -> Verdict {
    let more = if names.len() > 4 { ", …" } else { "" };
    let shown = names.iter().take(4).cloned().collect::<Vec<_>>().join(", ");
    (!names.is_empty()).then(|| (check, format!("{} of {of} slices: {shown}{more}", names.len())))
}

/// Takes back that a slice is a page or a localizer where it is like a neighbour that is none: the apex or the base of
/// lungs that were cut out of their surroundings, or a mediastinum between two straight edges. Only where at least a third of
/// the scan's slices are undoubted.
pub(super) fn take_back_of_alike(by_scan: &[Vec<usize>], looked: &mut [Inspection]) {
    for slices in by_scan {
        let is_doubted = |look: &Inspection| look.findings.iter().any(|of| NO_SLICE.contains(&of.check));
        let pictures: Vec<usize> = slices.iter().copied().filter(|slice| looked[*slice].picture.is_some()).collect();
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

/// Slices that are turned against most of the scan, and how.
fn turned(slices: &[Frequencies]) -> Vec<(usize, String)> {
    let frames = frames(slices);
    let count = |frame: &Symmetry| frames.iter().filter(|other| *other == frame).count();
    // The first of equally common ones.
    let Some(usual) = frames.iter().rev().max_by_key(|frame| count(frame)) else { return Vec::new() };
    let how = |(slice, frame): (usize, &Symmetry)| Some((slice, usual.inverse().after(*frame).inverse().words()?));
    frames.iter().enumerate().filter_map(how).collect()
}

/// What brings each slice into the orientation of the first: all that changed between neighbours on the way.
fn frames(slices: &[Frequencies]) -> Vec<Symmetry> {
    let steps: Vec<f32> = slices.windows(2).map(|pair| distance(&pair[0], &pair[1])).collect();
    let usual = upper_median(steps.clone(), f32::total_cmp).unwrap_or(0.0);
    let around = |at: usize| {
        let next = [at.checked_sub(1), Some(at + 1)].into_iter().flatten().filter_map(|at| steps.get(at).copied());
        let second = [at.checked_sub(1), Some(at)].into_iter().flatten();
        let second = second.filter_map(|at| Some(distance(&slices[at], slices.get(at + 2)?)));
        next.chain(second).fold(f32::INFINITY, f32::min)
    };
    let after = |at: usize, how: Symmetry| distance(&slices[at], &how.frequencies(&slices[at + 1]));
    let (mut frames, mut last) = (vec![Symmetry::ORIGINAL], None::<Symmetry>);
    for (at, step) in steps.iter().enumerate() {
        let best = || {
            let symmetries = (1..Symmetry::COUNT).map(Symmetry::number).map(|how| (after(at, how), how));
            let (best, how) = symmetries.min_by(|a, b| a.0.total_cmp(&b.0))?;
            (best <= THEN_ALIKE && *step >= BY_TURNING * best).then_some(how)
        };
        // After a change, less is enough to see it taken back.
        let back = || last.map(Symmetry::inverse).filter(|back| *step >= LONGER * after(at, *back) && *step >= ALIKE);
        let is_long = || *step >= 2.0 * usual || *step >= LONGER * around(at);
        let is_tried = *step >= ALIKE && (last.is_some() || is_long());
        let change = is_tried.then(best).flatten().or_else(back);
        last = match change {
            Some(how) if last.map(Symmetry::inverse) != Some(how) => Some(how),
            Some(_) => None,
            None => last,
        };
        frames.push(frames[at].after(change.unwrap_or(Symmetry::ORIGINAL)));
    }
    frames
}

/// Slices that are far from the mean of their neighbours, which are alike, and no nearer to any other of the scan: that would
/// be out of its place.
fn foreign(slices: &[Frequencies]) -> Vec<usize> {
    let steps = slices.windows(2).map(|pair| distance(&pair[0], &pair[1])).collect();
    if slices.len() < FEWEST || upper_median(steps, f32::total_cmp).is_none_or(|usual| usual > LOOSE) {
        return Vec::new();
    }
    let is_foreign = |(before, three): (usize, &[Frequencies])| {
        let mean: Frequencies = std::array::from_fn(|of| (three[0][of] + three[2][of]) / 2.0);
        let (far, apart) = (distance(&three[1], &mean), distance(&three[0], &three[2]));
        if far < FAR || far < TIMES_AS_FAR * apart {
            return None;
        }
        let others = slices[..before].iter().chain(&slices[before + 3..]);
        let nearest = others.map(|other| distance(&three[1], other)).fold(f32::INFINITY, f32::min);
        (nearest >= ELSEWHERE * far).then_some(before + 1)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A scan that changes little by little, without symmetry.
    fn scan(count: usize) -> Vec<Frequencies> {
        let wave = |at: usize, of: usize| {
            ((of * 37 % 101) as f32 / 50.0 - 1.0 + 0.02 * at as f32 * (of as f32 * 0.7).sin()) / 6.0
        };
        let slice = |at: usize| -> Frequencies { std::array::from_fn(|of| wave(at, of)) };
        (0..count).map(slice).collect()
    }

    fn changed(slices: &mut [Frequencies], changes: &[(usize, usize)]) {
        for (slice, number) in changes {
            slices[*slice] = Symmetry::number(*number).frequencies(&slices[*slice]);
        }
    }

    #[test]
    fn each_turned_slice_is_named_with_how_it_is_turned() {
        assert_eq!(turned(&scan(30)), Vec::new());
        let all: Vec<(usize, usize)> = (20..30).map(|slice| (slice, 6)).collect();
        let every_other: Vec<(usize, usize)> = (1..30).step_by(2).take(12).map(|slice| (slice, 2)).collect();
        for changes in [
            vec![(7, 2)],
            vec![(0, 4)],
            vec![(29, 1)],
            vec![(10, 12), (11, 6)],
            vec![(3, 2), (4, 2), (9, 1), (17, 10)],
            vec![(0, 2), (1, 4), (2, 6)],
            all,
            every_other,
        ] {
            let mut slices = scan(30);
            changed(&mut slices, &changes);
            let words = |number: usize| Symmetry::number(number).words().expect("turned");
            let expected: Vec<(usize, String)> = changes.iter().map(|(slice, how)| (*slice, words(*how))).collect();
            assert_eq!(turned(&slices), expected);
        }
    }

    #[test]
    fn a_slice_of_something_else_is_found_and_one_out_of_its_place_is_not() {
        let other: Frequencies = std::array::from_fn(|of| ((of * 61 % 97) as f32 / 48.0 - 1.0) / 6.0);
        let mut slices = scan(30);
        slices[12] = other;
        assert_eq!(foreign(&slices), [12]);
        let mut slices = scan(60);
        let moved = slices.remove(50);
        slices.insert(5, moved);
        assert_eq!(foreign(&slices), Vec::<usize>::new());
        assert_eq!(foreign(&scan(5)), Vec::<usize>::new());
    }
}
