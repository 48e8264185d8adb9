//! Whole scans that are wrong: judged by all their slices together, since one slice alone says too little.
//!
//! All thresholds were measured on 1,968 real slices of 717 patients and on three real series, and on copies of them that
//! were turned, mirrored, inverted, reformatted, shuffled and so on: `docs/data.md` has the counts. What a
//! scanner's files say of order and orientation is not doubted: of those only the pictures are judged, slices against their
//! neighbours, and whether a volume is turned, for its matrix is not the scanner's.

mod likeness;
mod neighbours;
mod several_scans;
#[cfg(test)]
mod tests;

use self::neighbours::{foreign_slices, order, take_back_of_alike, turned_slices};
use self::several_scans::several_scans;
use super::pixel_measures::Picture;
use super::slice_shape::SliceShape;
use super::{Check, Finding, Inspection, Severity};
use crate::base::progress::counted_of;
use crate::data::manifest::{IrregularKind, Manifest, Scan, Slice};
use crate::stats::median::upper_median;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashSet};

/// Slices that a scan is judged by, at the least.
const FEWEST: usize = 4;
/// Slices with lungs that the orientation is judged by, at the least.
const FEWEST_WITH_LUNGS: usize = 3;
/// Neighbours whose tissue differs by this many grey levels were exported with two windows. Within one window, real
/// neighbours differ by 5 at most, the phantom's by 26.
const OTHER_WINDOW: u8 = 30;
/// The same in a narrow window, in which lungs are black, and fat and contrast agent far apart.
const OTHER_NARROW_WINDOW: u8 = 64;
/// A copy differs in this share of its grain at most, and in an eighth of what neighbours of its scan differ in: 0.01 on average where
/// it was encoded with quality 75, while slices that overlap, made smaller, differ in a sixth.
const COPY: f32 = 0.04;
/// Logarithm of a change of scale that no neighbours of one field of view show: 0.09 at most in eight slices of a scan.
const OTHER_SCALE: f32 = 0.12;

/// A slice that shows something and is not left out.
struct SeenSlice<'a> {
    slice: &'a Slice,
    picture: &'a Picture,
    shape: &'a SliceShape,
    /// Within borders, where everything is smaller.
    is_framed: bool,
    /// Borders were found, also where most slices have them.
    has_borders: bool,
}

type Verdict = Option<(Check, String)>;

/// What is said of the slices of a scan that is not axial, each by itself.
const NOT_AXIAL_EACH: [Check; 3] = [Check::LocalizerPicture, Check::Borders, Check::SeveralSlices];

/// The findings on whole scans. What was said of each slice of a scan that is not axial is taken back; of one that is turned by
/// 90°, whose rows are alike, that slices are localizers.
pub(super) fn wrong_scans(manifest: &Manifest, looked: &mut [Inspection]) -> Vec<Finding> {
    let by_scan = manifest.slices_by_scan();
    take_back_of_alike(&by_scan, looked);
    let found = judged(manifest, by_scan, looked);
    let of = |check: Check| -> HashSet<&str> {
        found.iter().filter(|of| of.check == check).map(|of| of.path.as_str()).collect()
    };
    let (not_axial, turned) = (of(Check::NotAxial), of(Check::Turned));
    for (look, slice) in looked.iter_mut().zip(&manifest.slices) {
        let scan = manifest.scan_of(slice).folder.as_str();
        if not_axial.contains(scan) {
            look.findings.retain(|of| !NOT_AXIAL_EACH.contains(&of.check));
        } else if turned.contains(scan) {
            look.findings.retain(|of| of.check != Check::LocalizerPicture);
        }
    }
    found
}

fn judged(manifest: &Manifest, by_scan: Vec<Vec<usize>>, looked: &[Inspection]) -> Vec<Finding> {
    let scans: Vec<_> = manifest.scans.iter().zip(by_scan).collect();
    let judged = scans.into_par_iter().flat_map_iter(|(scan, slices)| {
        // Each slice of a scan that is not axial looks like a localizer, or framed, or like two pictures; one among axial
        // slices is none of them.
        let looks_so = |index: &usize| looked[*index].findings.iter().any(|of| NOT_AXIAL_EACH.contains(&of.check));
        let is_of_views = 2 * slices.iter().filter(|index| looks_so(index)).count() >= slices.len();
        let seen = |index: &usize| {
            let look = &looked[*index];
            let is_out = look.findings.iter().any(|of| {
                of.check.severity() == Severity::Exclude && !(is_of_views && NOT_AXIAL_EACH.contains(&of.check))
            });
            // Where most slices are, all are as small.
            let has_borders = look.findings.iter().any(|of| of.check == Check::Borders);
            let is_framed = !is_of_views && has_borders;
            let (picture, shape) = look.picture.as_ref().zip(look.shape.as_ref()).filter(|_| !is_out)?;
            Some(SeenSlice { slice: &manifest.slices[*index], picture, shape, is_framed, has_borders })
        };
        let is_measured = slices.iter().any(|index| looked[*index].range.is_some());
        let seen: Vec<SeenSlice<'_>> = slices.iter().filter_map(seen).collect();
        // What does not fit says nothing of the others.
        let (of_turned, is_turned) = turned_slices(&seen);
        let seen = without(seen, &is_turned);
        let (of_foreign, is_foreign) = foreign_slices(&seen);
        let seen = without(seen, &is_foreign);
        let mut found = match is_measured {
            false => all_of(&seen),
            true => Some(contents(&seen))
                .filter(|found| !found.is_empty())
                .unwrap_or_else(|| of_volume(scan, &seen).into_iter().collect()),
        };
        found.extend(of_turned.into_iter().chain(of_foreign));
        found.into_iter().map(|(check, detail)| Finding { check, path: scan.folder.clone(), detail, with: None })
    });
    judged.collect()
}

fn without<'a>(seen: Vec<SeenSlice<'a>>, out: &[bool]) -> Vec<SeenSlice<'a>> {
    seen.into_iter().zip(out).filter(|(_, is_out)| !**is_out).map(|(of, _)| of).collect()
}

/// Whether a volume lies as slices do: its matrix is what a program wrote, and may be that of another array.
fn of_volume(scan: &Scan, seen: &[SeenSlice<'_>]) -> Verdict {
    let volume = scan.acquisition.as_ref().filter(|of| of.format.is_volume())?;
    if volume.irregular.iter().any(|irregular| irregular.kind == IrregularKind::NoGeometry) {
        return not_axial(seen).or_else(|| turned(seen));
    }
    let (check, detail) = turned(seen)?;
    Some((check, format!("{detail}; the file's matrix says otherwise, and may be wrong or of another array")))
}

/// What the pictures show, whoever ordered and turned them.
fn contents(seen: &[SeenSlice<'_>]) -> Vec<(Check, String)> {
    inverted(seen).or_else(|| no_lungs(seen)).into_iter().collect()
}

fn all_of(seen: &[SeenSlice<'_>]) -> Vec<(Check, String)> {
    let mut found = contents(seen);
    let is_readable = found.is_empty();
    found.extend(mixed_sizes(seen));
    found.extend(repeated(seen));
    let (mut views, mut window) = (None, None);
    if is_readable {
        found.extend(not_axial(seen).or_else(|| turned(seen)));
        (views, window) = (mixed_views(seen), uneven_window(seen));
    }
    let has_changed = views.is_some() || window.is_some();
    // Slices without lungs may all be alike.
    let is_ordered_by_likeness = found.iter().all(|(check, _)| *check != Check::NoLungs);
    found.extend(views.into_iter().chain(window));
    if is_ordered_by_likeness {
        let disorder = order(seen, has_changed);
        // One that begins in the middle ends there, too.
        let is_ordered = disorder.as_ref().is_none_or(|(check, _)| *check != Check::Unordered);
        found.extend(disorder.into_iter().chain(is_ordered.then(|| several_scans(seen)).flatten()));
    }
    found
}

/// Most slices that show lungs show them bright, in a dark body in bright air; a white margin is no air.
fn inverted(seen: &[SeenSlice<'_>]) -> Verdict {
    let (inverted, plain) = (
        seen.iter().filter(|of| of.shape.is_inverted_chest && !of.has_borders),
        seen.iter().filter(|of| of.shape.is_chest),
    );
    let (inverted, plain) = (inverted.count(), plain.count());
    (inverted >= 2 && inverted > 2 * plain && 4 * inverted >= seen.len()).then(|| {
        let detail = format!(
            "grey levels inverted: {inverted} of {} slices show bright lungs in a dark body in bright air; invert them",
            seen.len()
        );
        (Check::Inverted, detail)
    })
}

/// Bodies without anything that could be lungs.
fn no_lungs(seen: &[SeenSlice<'_>]) -> Verdict {
    let bodies: Vec<_> = seen.iter().filter(|of| of.shape.body >= 0.1).collect();
    let with_lungs = bodies.iter().filter(|of| of.shape.may_show_lungs()).count();
    let is_enough = bodies.len() >= FEWEST && 4 * bodies.len() >= 3 * seen.len();
    (is_enough && 20 * with_lungs <= bodies.len()).then(|| {
        let most = bodies.iter().map(|of| of.shape.lungs.max(of.shape.dark_inside)).fold(0.0, f32::max);
        let detail = format!(
            "no lungs in {} of {} slices (at most {:.1} % of a body is as dark as they are): another part of the body?",
            bodies.len() - with_lungs,
            bodies.len(),
            100.0 * most
        );
        (Check::NoLungs, detail)
    })
}

/// The body is cut off straight above and below, with air beside it.
fn not_axial(seen: &[SeenSlice<'_>]) -> Verdict {
    let cut = seen.iter().filter(|of| of.shape.is_cut).count();
    // An axial scan turned by 90° may be cut off at both sides of the body; its lungs lie one above the other.
    let is_turned =
        mean(seen, |of| of.lying).is_some_and(|lying| lying <= -0.7 || lying <= -0.5 && 5 * cut < 3 * seen.len());
    // One that was exported without its upper and lower edge is cut off where the body is widest, and has its spine below. Of 34
    // reformats of 17 patients none has such scores and so few slices cut.
    let is_axial = 2 * cut < seen.len()
        && mean(seen, |of| of.lying).is_some_and(|lying| lying >= 0.5)
        && mean(seen, |of| of.upright).is_some_and(|upright| upright >= 0.15);
    (seen.len() >= FEWEST && cut >= FEWEST_WITH_LUNGS && 4 * cut >= seen.len() && !is_turned && !is_axial).then(|| {
        let detail = format!(
            "coronal or sagittal: in {cut} of {} slices the body is cut off straight above and below, with air beside it",
            seen.len()
        );
        (Check::NotAxial, detail)
    })
}

/// The mean of a score over the slices that have it.
fn mean(seen: &[SeenSlice<'_>], score: impl Fn(&super::orientation::Orientation) -> f32) -> Option<f32> {
    let scores: Vec<f32> = seen.iter().filter_map(|of| of.shape.orientation.as_ref()).map(score).collect();
    (scores.len() >= FEWEST_WITH_LUNGS).then(|| scores.iter().sum::<f32>() / scores.len() as f32)
}

/// Turned by 90°, upside down, or mirrored: the first that is clear.
fn turned(seen: &[SeenSlice<'_>]) -> Verdict {
    let (lying, upright) = (mean(seen, |of| of.lying)?, mean(seen, |of| of.upright)?);
    let (sides, front_left) = (mean(seen, |of| of.sides)?, mean(seen, |of| of.front_left)?);
    if lying <= -0.35 {
        let front = match front_left {
            ..-0.2 => "; the patient's front is at the picture's right",
            0.2.. => "; the patient's front is at the picture's left",
            _ => "",
        };
        let detail =
            format!("turned by 90°: the lungs lie one above the other (score {lying:.2}, upright is 1){front}");
        return Some((Check::Turned, detail));
    }
    if upright <= -0.25 {
        let how = match sides {
            ..-0.2 => "turned by 180°",
            0.2.. => "flipped top to bottom",
            _ => "flipped or turned by 180°",
        };
        let detail =
            format!("{how}: the spine is above the lungs (score {upright:.2}, upright is 1); or the patient lay prone");
        return Some((Check::UpsideDown, detail));
    }
    let clear = seen.iter().filter_map(|of| of.shape.orientation).filter(|of| of.sides <= -1.0).count();
    (sides <= -0.45 || sides <= -0.3 && clear >= 2).then(|| {
        let detail =
            format!("mirrored: the heart lies at the picture's left (score {sides:.2}, usual is 1); or situs inversus");
        (Check::Mirrored, detail)
    })
}

/// Two slices or more without the scan's usual width and height; of a single one `odd-size` says it.
fn mixed_sizes(seen: &[SeenSlice<'_>]) -> Verdict {
    let mut sizes: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for header in seen.iter().filter_map(|of| of.slice.header) {
        *sizes.entry((header.width, header.height)).or_default() += 1;
    }
    let mut sizes: Vec<_> = sizes.into_iter().collect();
    sizes.sort_by_key(|(size, count)| (std::cmp::Reverse(*count), *size));
    let others: usize = sizes.iter().skip(1).map(|(_, count)| count).sum();
    (others >= 2).then(|| {
        let shown: Vec<String> =
            sizes.iter().take(4).map(|((width, height), count)| format!("{count} of {width}x{height}")).collect();
        let more = if sizes.len() > 4 { ", …" } else { "" };
        (Check::MixedSizes, format!("{} sizes: {}{more}", sizes.len(), shown.join(", ")))
    })
}

/// Body and lungs all change their size by one factor from a slice to the next.
fn mixed_views(seen: &[SeenSlice<'_>]) -> Verdict {
    let seen: Vec<&SeenSlice<'_>> = seen.iter().filter(|of| !of.is_framed).collect();
    let sizes = |of: &SeenSlice<'_>| -> Option<[f32; 4]> {
        let shape = of.shape;
        let [width, height] = shape.lung_extent.map(f32::from);
        let areas = [shape.lungs * shape.body, shape.body];
        (shape.lungs >= 0.08).then(|| [width.ln(), height.ln(), areas[0].ln() / 2.0, areas[1].ln() / 2.0])
    };
    let change = |pair: &[&SeenSlice<'_>]| -> f32 {
        let Some((a, b)) = sizes(pair[0]).zip(sizes(pair[1])) else { return 0.0 };
        let changes: [f32; 4] = std::array::from_fn(|of| b[of] - a[of]);
        let (least, most) = changes.iter().fold((f32::MAX, f32::MIN), |(a, b), of| (a.min(*of), b.max(*of)));
        if least > 0.0 { least } else { most.min(0.0) }
    };
    let largest = seen.windows(2).max_by(|a, b| change(a).abs().total_cmp(&change(b).abs()))?;
    (seen.len() >= FEWEST && change(largest).abs() >= OTHER_SCALE).then(|| {
        let detail = format!(
            "two fields of view: from {} to {} body and lungs become {:.2} times as large",
            largest[0].slice.file,
            largest[1].slice.file,
            change(largest).exp()
        );
        (Check::MixedViews, detail)
    })
}

/// The level of tissue jumps between neighbours, and more than one slice has another level than most.
fn uneven_window(seen: &[SeenSlice<'_>]) -> Verdict {
    let tissue: Vec<(&SeenSlice<'_>, u8)> = seen.iter().filter_map(|of| Some((of, of.shape.tissue?))).collect();
    let middle = |levels: Vec<u8>| upper_median(levels, u8::cmp);
    let lungs = seen.iter().filter(|of| of.shape.lungs >= 0.1).filter_map(|of| of.shape.lung_level).collect();
    let is_wide = middle(lungs).is_some_and(|level| level > super::inspect::BLACK);
    let limit = if is_wide { OTHER_WINDOW } else { OTHER_NARROW_WINDOW };
    let usual = middle(tissue.iter().map(|(_, level)| *level).collect())?;
    let others = tissue.iter().filter(|(_, level)| level.abs_diff(usual) >= limit).count();
    let jump = |pair: &[(&SeenSlice<'_>, u8)]| pair[0].1.abs_diff(pair[1].1);
    let largest = tissue.windows(2).max_by_key(|pair| jump(pair))?;
    (seen.len() >= FEWEST && jump(largest) >= limit && others >= 2).then(|| {
        let [(a, from), (b, to)] = [largest[0], largest[1]];
        let detail = format!(
            "a window or brightness chosen slice by slice: tissue at level {from} in {} and {to} in {}; {others} of {} \
             slices are {limit} levels or more from {usual}",
            a.slice.file,
            b.slice.file,
            tissue.len()
        );
        (Check::UnevenWindow, detail)
    })
}

/// Slices with the same noise as another of the scan; those with the same pixels are exact duplicates.
fn repeated(seen: &[SeenSlice<'_>]) -> Verdict {
    let differ =
        |a: &SeenSlice<'_>, b: &SeenSlice<'_>| a.shape.grain.agreement(&b.shape.grain).map(|equal| 1.0 - equal);
    let neighbours = seen.windows(2).filter_map(|pair| differ(&pair[0], &pair[1])).collect();
    let most = COPY.min(upper_median(neighbours, f32::total_cmp).map_or(COPY, |usual| usual / 8.0));
    let is_copy = |a: &SeenSlice<'_>, b: &SeenSlice<'_>| {
        a.picture.pixels != b.picture.pixels
            && differ(a, b).is_some_and(|share| share <= most)
            && a.picture.descriptor.distance(&b.picture.descriptor) < 0.15
    };
    let original =
        |(at, of): (usize, &SeenSlice<'_>)| seen[..at].iter().position(|other| is_copy(other, of)).zip(Some(at));
    let copies: Vec<(usize, usize)> = seen.iter().enumerate().filter_map(original).collect();
    let (first, copy) = *copies.first()?;
    let detail = format!(
        "{} of another, encoded again, down to the noise: for example {} and {}",
        counted_of(copies.len() as u64, seen.len() as u64, "slice", ["is a copy", "are copies"]),
        seen[first].slice.file,
        seen[copy].slice.file
    );
    Some((Check::RepeatedInScan, detail))
}
