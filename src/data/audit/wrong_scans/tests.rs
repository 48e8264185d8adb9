//! Schematic chests that are turned, cut, inverted and exported in other ways, and the real slices where they are there.

use super::super::pixel_measures::{Levels, PixelMeasure};
use super::*;
use crate::data::audit::Audit;
use crate::data::decode::{ColourMode, Format, Header};
use crate::data::pixels::GreyImage;
use std::io::Write;
use std::path::Path;

const SIDE: usize = 128;

/// What of a schematic chest is asked for: the grey level at x and y, from 0 to 1, of slice `z`.
type Drawn<'a> = &'a dyn Fn(f32, f32, f32) -> f32;

fn inside(x: f32, y: f32, [cx, cy, rx, ry]: [f32; 4]) -> bool {
    ((x - cx) / rx).powi(2) + ((y - cy) / ry).powi(2) < 1.0
}

/// An axial chest: a body wider than high, two lungs side by side that grow towards the base, a spine behind and the
/// heart to the patient's left.
fn chest(x: f32, y: f32, z: f32) -> f32 {
    let size = 0.7 + 0.3 * z;
    let lung = |side: f32| inside(x, y, [0.5 + side * (0.18 - 0.2 * (y - 0.5)), 0.5, 0.15 * size, 0.2 * size]);
    let heart = z > 0.3 && inside(x, y, [0.57, 0.42, 0.13, 0.12]);
    let spine = inside(x, y, [0.5, 0.68, 0.08, 0.08]);
    match () {
        () if !inside(x, y, [0.5, 0.5, 0.44, 0.32]) => 0.0,
        () if !heart && !spine && (lung(-1.0) || lung(1.0)) => 40.0,
        () => 170.0,
    }
}

/// Looks at scans of `count` slices as an audit does; their findings by scan.
fn judged(scans: &[(usize, Drawn<'_>)]) -> Vec<(String, Check)> {
    let (manifest, mut looked) = looked_at(scans);
    wrong_scans(&manifest, &mut looked).into_iter().map(|found| (found.path, found.check)).collect()
}

fn looked_at(scans: &[(usize, Drawn<'_>)]) -> (Manifest, Vec<Inspection>) {
    let (mut slices, mut looked, mut seed) = (Vec::new(), Vec::new(), 1_u32);
    for (scan, (count, draw)) in scans.iter().enumerate() {
        for number in 0..*count {
            let pixel = |at: usize| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let (x, y) = ((at % SIDE) as f32 / SIDE as f32, (at / SIDE) as f32 / SIDE as f32);
                let level = draw(x, y, number as f32 / (*count - 1) as f32);
                (level + (seed >> 28) as f32).clamp(0.0, 255.0) as u8
            };
            let side = SIDE as u32;
            let image = GreyImage { width: side, height: side, pixels: (0..SIDE * SIDE).map(pixel).collect() };
            let measure = PixelMeasure::of(&image, &Levels::none());
            let header = Header { format: Format::Jpeg, width: side, height: side, colour: ColourMode::Grey };
            slices.push(Slice {
                scan,
                file: format!("{number}.jpg"),
                at: None,
                frame: None,
                number: Some(number as u32),
                bytes: 1,
                header: Some(header),
                sha256: crate::base::files::Digest::of(&[scan as u8, number as u8]),
            });
            looked.push(Inspection { picture: Some(measure.picture), shape: measure.shape, ..Inspection::default() });
        }
    }
    let folders = (0..scans.len()).map(|scan| format!("train/covid/ct_scan_{scan}")).collect();
    (Manifest::of_folders("drawn", folders, slices), looked)
}

fn found(count: usize, draw: Drawn<'_>) -> Vec<Check> {
    judged(&[(count, draw)]).into_iter().map(|(_, check)| check).collect()
}

#[test]
fn a_chest_as_it_should_be_is_nothing_to_find() {
    for count in [3, 4, 8, 30] {
        assert_eq!(found(count, &chest), [], "{count} slices");
        assert_eq!(found(count, &|x, y, z| chest(x, y, 1.0 - z)), [], "{count} slices from the base");
        assert_eq!(found(count, &|x, y, z| 0.4 * chest(x, y, z) + 60.0), [], "{count} slices of little contrast");
    }
}

#[test]
fn a_chest_that_lies_otherwise_is_found_and_how() {
    assert_eq!(found(8, &|x, y, z| chest(x, 1.0 - y, z)), [Check::UpsideDown]);
    assert_eq!(found(8, &|x, y, z| chest(1.0 - x, 1.0 - y, z)), [Check::UpsideDown]);
    assert_eq!(found(8, &|x, y, z| chest(y, 1.0 - x, z)), [Check::Turned]);
    assert_eq!(found(8, &|x, y, z| chest(1.0 - y, x, z)), [Check::Turned]);
    assert_eq!(found(8, &|x, y, z| 255.0 - chest(x, y, z)), [Check::Inverted]);
    assert_eq!(found(2, &|x, y, z| chest(y, x, z)), [], "two slices are too few");
}

#[test]
fn lungs_that_are_symmetrical_are_not_called_mirrored_or_upside_down() {
    let symmetrical = |x: f32, y: f32, z: f32| {
        let lung = |cx: f32| inside(x, y, [cx, 0.5, 0.16, 0.15 + 0.05 * z]);
        let body = inside(x, y, [0.5, 0.5, 0.44, 0.32]);
        if !body {
            0.0
        } else if lung(0.31) || lung(0.69) {
            40.0
        } else {
            170.0
        }
    };
    assert_eq!(found(8, &symmetrical), []);
}

#[test]
fn other_planes_and_other_parts_of_the_body_are_found() {
    let cut = |x: f32, y: f32, z: f32| {
        let lung = |cx: f32| inside(x, y, [cx, 0.45, 0.11, 0.3 - 0.1 * z]);
        let body = (x - 0.5).abs() < 0.22 + 0.1 * y;
        if !body {
            0.0
        } else if lung(0.37) || lung(0.63) {
            40.0
        } else {
            170.0
        }
    };
    assert_eq!(found(8, &cut), [Check::NotAxial]);
    let abdomen = |x: f32, y: f32, z: f32| match () {
        () if !inside(x, y, [0.5, 0.5, 0.4, 0.3]) => 0.0,
        () if inside(x, y, [0.6, 0.4, 0.04, 0.03 + 0.02 * z]) => 20.0,
        () => 150.0 + 40.0 * x,
    };
    assert_eq!(found(8, &abdomen), [Check::NoLungs]);
    assert_eq!(found(3, &abdomen), [], "three slices are too few");
}

#[test]
fn two_exports_in_one_scan_are_found() {
    let zoomed = |x: f32, y: f32, z: f32| {
        let by = if z < 0.5 { 1.0 } else { 0.75 };
        chest(0.5 + (x - 0.5) * by, 0.5 + (y - 0.5) * by, z)
    };
    assert_eq!(found(8, &zoomed), [Check::MixedViews]);
    let gained =
        |x: f32, y: f32, z: f32| chest(x, y, z) * if ((z * 7.0).round() as u32).is_multiple_of(3) { 0.7 } else { 1.2 };
    assert_eq!(found(8, &gained), [Check::UnevenWindow]);
    let one = |x: f32, y: f32, z: f32| chest(x, y, z) * if (z * 7.0).round() == 3.0 { 0.7 } else { 1.2 };
    assert_eq!(found(8, &one), [], "one darker slice is that slice's fault");
}

#[test]
fn slices_that_do_not_fit_between_their_neighbours_are_found() {
    let at = |z: f32| (z * 13.0).round() as u32;
    assert_eq!(
        found(14, &|x, y, z| if at(z) == 5 { chest(y, 1.0 - x, z) } else { chest(x, y, z) }),
        [Check::TurnedSlices]
    );
    assert_eq!(
        found(14, &|x, y, z| if at(z) > 9 { chest(x, 1.0 - y, z) } else { chest(x, y, z) }),
        [Check::TurnedSlices]
    );
    let other = |x: f32, y: f32| if inside(x, y, [0.35, 0.6, 0.3, 0.25]) { 200.0 * x } else { 20.0 };
    let between = |x: f32, y: f32, z: f32| if at(z) == 5 { other(x, y) } else { chest(x, y, z) };
    assert_eq!(found(14, &between), [Check::UnlikeNeighbours]);
    // `odd-size` says it of one that was cropped.
    let (mut manifest, mut looked) = looked_at(&[(14, &between)]);
    if let Some(header) = &mut manifest.slices[5].header {
        header.width = header.width * 25 / 32;
    }
    let checks: Vec<Check> = wrong_scans(&manifest, &mut looked).into_iter().map(|of| of.check).collect();
    assert!(!checks.contains(&Check::UnlikeNeighbours), "{checks:?}");
}

/// The body is cut off above and below where it is largest, and its spine is where that of an axial slice is.
#[test]
fn an_axial_scan_without_its_edges_is_no_reformat() {
    let cropped = |x: f32, y: f32, z: f32| chest(x, if z > 0.7 { 0.3 + 0.4 * y } else { 0.1 + 0.8 * y }, z);
    let (_, looked) = looked_at(&[(10, &cropped)]);
    let cut = looked.iter().filter(|look| look.shape.as_ref().is_some_and(|shape| shape.is_cut)).count();
    assert!(cut >= FEWEST_WITH_LUNGS && 4 * cut >= 10, "{cut} slices are cut off");
    assert!(!found(10, &cropped).contains(&Check::NotAxial));
}

#[test]
fn a_slice_like_its_neighbour_is_no_page_and_a_page_is() {
    let page = |x: f32, y: f32| chest(2.0 * x % 1.0, 2.0 * y % 1.0, 0.5);
    let draw = |x: f32, y: f32, z: f32| if z == 1.0 { page(x, y) } else { chest(x, y, z) };
    let (manifest, mut looked) = looked_at(&[(8, &draw)]);
    let doubt = |slice: usize| {
        let path = manifest.path(&manifest.slices[slice]);
        Finding { check: Check::SeveralSlices, path, detail: String::new(), with: None }
    };
    [0, 1, 7].into_iter().for_each(|slice| looked[slice].findings.push(doubt(slice)));
    take_back_of_alike(&manifest.slices_by_scan(), &mut looked);
    let doubted: Vec<usize> = (0..8).filter(|slice| !looked[*slice].findings.is_empty()).collect();
    assert_eq!(doubted, [7]);
}

/// Each of those named was looked at, and is what the check says.
#[test]
fn real_scans_are_found_only_where_they_are_wrong() {
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/ct");
    if !real.is_dir() {
        let said = writeln!(std::io::stderr(), "{} is not there: no real slices are judged", real.display());
        said.expect("writes");
        return;
    }
    let manifest = Manifest::scan(&real, |_| ()).expect("lists");
    let audit = Audit::run(&manifest, |_| ()).expect("audits");
    let found = |check: Check| -> Vec<&str> {
        audit.findings().iter().filter(|of| of.check == check).map(|of| of.path.as_str()).collect()
    };
    // Three examinations of three slices each, one after the other.
    assert_eq!(found(Check::Unordered), ["train/non-covid/ct_scan_192"]);
    // Four examinations, each at a scale of its own.
    assert_eq!(found(Check::MixedViews), ["train/covid/ct_scan_329"]);
    // Pictures from papers, of several sizes.
    assert_eq!(found(Check::MixedSizes).len(), 50);
    let none = [
        Check::NoLungs,
        Check::NotAxial,
        Check::Inverted,
        Check::Turned,
        Check::UpsideDown,
        Check::Mirrored,
        Check::UnevenWindow,
        Check::GapInScan,
        Check::RepeatedInScan,
    ];
    for check in none {
        assert_eq!(found(check), [""; 0], "{check}");
    }
}
