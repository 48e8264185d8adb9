use super::super::vocabulary::*;
use super::super::{RefusedFile, build_series};
use super::*;
use crate::data::pixels::Turn;

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Paths, kinds and details of rejected files.
fn told(rejected: &[RefusedFile]) -> Vec<(&str, Refusal, &str)> {
    rejected.iter().map(|file| (file.path.as_str(), file.kind, file.detail.as_str())).collect()
}

#[test]
fn one_uid_is_parted_into_its_stacks() {
    let changes: [fn(&mut DicomHeader); 5] = [
        |h| h.kernel = text("B70f"),
        |h| h.rows = Some(256),
        |h| h.pixel_spacing = Some([0.702, 0.702]),
        |h| h.orientation = Some([-1.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
        |h| h.orientation = None,
    ];
    for change in changes {
        let files = scan("a", [0.0, 0.0, 5.0, 5.0]).but(1, change).but(3, change);
        assert_eq!(orders(&build_series(files)), [["a/1.dcm", "a/3.dcm"], ["a/2.dcm", "a/4.dcm"]]);
    }
}

#[test]
fn rounding_does_not_part_a_stack() {
    let mut sign = 1.0;
    let files = scan("a", [0.0, 5.0, 10.0, 15.0]).each(|h| {
        sign = -sign;
        h.orientation = Some([1.0, sign * 4e-4, 0.0, 0.0, 1.0, sign * 4e-4]);
        h.pixel_spacing = Some([0.7 + sign * 1e-4, 0.7]);
        h.kernel = text("B40f ");
    });
    assert_eq!(only_series(files).slices.len(), 4);
}

#[test]
fn two_acquisitions_in_one_place_are_two_stacks() {
    let files = scan("a", [0.0, 5.0, 10.0, 0.0, 5.0]);
    let acquired = files.each(|h| h.acquisition_number = h.instance_number.map(|number| (number - 1) / 3));
    let built = build_series(acquired);
    assert_eq!(orders(&built), [vec!["a/1.dcm", "a/2.dcm", "a/3.dcm"], vec!["a/4.dcm", "a/5.dcm"]]);
    assert_eq!(built.rejected, []);
}

#[test]
fn acquisitions_that_share_no_place_are_one_stack() {
    let files = scan("a", [0.0, 5.0, 10.0]).each(|h| h.acquisition_number = h.instance_number);
    assert_eq!(only_series(files).slices.len(), 3);
}

#[test]
fn one_repeated_slice_does_not_scatter_a_scan_of_many_acquisitions() {
    let files = scan("a", [0.0, 5.0, 10.0, 10.0, 15.0]).each(|h| h.acquisition_number = h.instance_number);
    let built = build_series(files);
    assert_eq!(orders(&built), [["a/1.dcm", "a/2.dcm", "a/3.dcm", "a/5.dcm"]]);
    let detail =
        "expected one slice in each place, found this one where a/3.dcm lies (10.00 mm along the slice normal)";
    assert_eq!(told(&built.rejected), [("a/4.dcm", Refusal::RepeatedSlice, detail)]);
}

#[test]
fn acquisitions_that_leave_repeats_do_not_part() {
    let files = scan("a", [0.0, 0.0, 5.0, 5.0]).each(|h| h.acquisition_number = h.instance_number.map(|n| n / 3));
    let built = build_series(files);
    assert_eq!(orders(&built), [["a/1.dcm", "a/3.dcm"]]);
    assert_eq!(built.rejected.len(), 2);
}

#[test]
fn of_repeated_slices_the_first_by_number_then_by_name_stays() {
    let numbered = scan("a", [0.0, 5.0, 5.004, 4.996]).but(1, |h| h.instance_number = Some(9));
    let built = build_series(numbered);
    assert_eq!(orders(&built), [["a/1.dcm", "a/3.dcm"]]);
    assert!(built.rejected.iter().all(|file| file.detail.contains("where a/3.dcm lies")), "{:?}", built.rejected);
    let unnumbered = scan("a", [0.0, 5.0, 5.0]).each(|h| h.instance_number = None);
    assert_eq!(orders(&build_series(unnumbered)), [["a/1.dcm", "a/2.dcm"]]);
}

#[test]
fn a_copied_file_is_told_from_another_slice_in_its_place() {
    let files = [scan("a", [0.0, 5.0]), scan("a", [0.0]).moved_to("b")].concat();
    let built = build_series(files);
    let detail = "expected each image once, found this one again: a copy of a/1.dcm";
    assert_eq!(told(&built.rejected), [("b/1.dcm", Refusal::RepeatedSlice, detail)]);
}

#[test]
fn copies_do_not_hide_that_a_series_has_two_acquisitions() {
    let files = scan("a", [0.0, 5.0, 0.0, 5.0]).each(|h| h.acquisition_number = h.instance_number.map(|n| (n - 1) / 2));
    let built = build_series([files.clone(), files[..1].to_vec().moved_to("b")].concat());
    assert_eq!(orders(&built), [["a/1.dcm", "a/2.dcm"], ["a/3.dcm", "a/4.dcm"]]);
    assert_eq!(built.rejected.len(), 1);
}

#[test]
fn one_instance_uid_for_all_files_makes_no_copies() {
    let files = scan("a", [0.0, 5.0, 10.0]).each(|h| h.instance = text("same"));
    let unnumbered = files.clone().each(|h| h.instance_number = None);
    let unplaced = files.each(|h| h.positions.clear());
    assert!([unnumbered, unplaced].into_iter().all(|files| only_series(files).slices.len() == 3));
}

#[test]
fn without_positions_instance_numbers_decide_then_names() {
    let unplaced = |h: &mut DicomHeader| h.positions.clear();
    let numbered = scan("a", [0.0; 4]).each(unplaced).but(0, |h| h.instance_number = Some(3));
    let built = build_series(numbered);
    assert_eq!(orders(&built), [["a/2.dcm", "a/1.dcm", "a/3.dcm", "a/4.dcm"]]);
    assert!(built.series[0].geometry.doubtful_order && built.series[0].slices.iter().all(|slice| slice.z.is_none()));
    let named = scan_of("a", [0.0; 10]).each(unplaced).each(|h| h.instance_number = None);
    let built = build_series(named);
    assert_eq!(orders(&built)[0][8..], ["a/9.dcm", "a/10.dcm"]);
}

#[test]
fn some_without_position_are_rejected() {
    let files = scan("a", [0.0, 5.0, 10.0]).but(0, |h| h.positions.clear()).but(1, |h| h.positions[0][2] = f64::NAN);
    let built = build_series(files);
    let detail = "expected Image Position (Patient), found none; 1 of the 3 slices of its series have one";
    assert_eq!(told(&built.rejected), ["a/1.dcm", "a/2.dcm"].map(|path| (path, Refusal::NoPosition, detail)));
    assert_eq!(orders(&built), [["a/3.dcm"]]);
}

#[test]
fn reformats_of_a_series_are_rejected_one_by_one() {
    let coronal = |h: &mut DicomHeader| h.orientation = Some([1.0, 0.0, 0.0, 0.0, 0.0, -1.0]);
    let built = build_series(scan("a", [0.0, 5.0, 10.0]).but(1, coronal).but(2, coronal));
    assert_eq!(orders(&built), [["a/1.dcm"]]);
    assert_eq!(built.rejected.iter().map(|file| file.kind).collect::<Vec<_>>(), [Refusal::NotAxial; 2]);
}

#[test]
fn tilted_slices_are_ordered_along_their_normal() {
    // Shifted along the slice plane by more than their distance, so that z alone runs the other way.
    let (sin, cos) = 30_f64.to_radians().sin_cos();
    let place = |along: f64, down: f64| [0.0, down * cos + along * sin, along * cos - down * sin];
    let mut at = [place(0.0, 0.0), place(5.0, 20.0), place(10.0, 40.0)].into_iter();
    let files = scan("a", [0.0; 3]).each(|h| {
        h.orientation = Some([1.0, 0.0, 0.0, 0.0, cos, -sin]);
        h.positions = at.next().into_iter().collect();
    });
    let series = only_series(files);
    assert_eq!(
        series.slices.iter().map(|slice| slice.path.as_str()).collect::<Vec<_>>(),
        ["a/1.dcm", "a/2.dcm", "a/3.dcm"]
    );
    assert!(series.slices.iter().zip([0.0, 5.0, 10.0]).all(|(slice, z)| (slice.z.unwrap() - z).abs() < 1e-12));
    assert_eq!(series.slices[0].turn, Turn::default());
    assert_eq!(series.geometry.slice_distance, Some(5.0));
}
