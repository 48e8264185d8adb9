use super::super::vocabulary::*;
use super::*;

fn geometry(files: Files) -> SeriesGeometry {
    only_series(files).geometry
}

fn along<const N: usize>(heights: [f64; N]) -> SeriesGeometry {
    geometry(scan("a", heights))
}

#[test]
fn an_ordinary_scan_has_its_values_and_no_findings() {
    let change = |h: &mut crate::data::dicom::DicomHeader| {
        h.manufacturer = Some("SIEMENS ".to_owned());
        h.model = Some(String::new());
        h.windows = vec![(-600.0, 1500.0), (40.0, 400.0)];
        h.pixel_spacing = Some([0.7, 0.6]);
        h.columns = Some(500);
        h.tilt = Some(12.0);
    };
    let expected = SeriesGeometry {
        rows: 512,
        columns: 500,
        pixel_spacing: Some([0.7, 0.6]),
        slice_distance: Some(2.5),
        thickness: Some(5.0),
        orientation: "axial".to_owned(),
        kernel: Some("B40f".to_owned()),
        manufacturer: Some("SIEMENS".to_owned()),
        window: Some((-600.0, 1500.0)),
        ..SeriesGeometry::default()
    };
    let found = geometry(scan("a", [-2.5, 0.0, 2.5, 5.0]).each(change));
    assert_eq!(found, expected);
    let written = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<SeriesGeometry>(&written).unwrap(), found);
    assert_eq!(serde_json::from_str::<SeriesGeometry>("{}").unwrap(), SeriesGeometry::default());
}

#[test]
fn jitter_of_positions_is_no_finding() {
    let places = (0..200).map(|n| f64::from(n) * 0.625 + [0.0, 0.01, -0.01][n as usize % 3]);
    let mut sign = 1.0;
    let found = geometry(scan_of("a", places).each(|h| {
        sign = -sign;
        h.positions[0][0] += sign * 0.01;
    }));
    assert_eq!((found.gaps, found.uneven, found.shear, found.tilt), (vec![], None, None, None));
    assert!((found.slice_distance.unwrap() - 0.625).abs() < 0.011);
}

#[test]
fn missing_slices_are_counted_where_they_are() {
    let found = along([0.0, 2.5, 7.5, 10.0, 12.5, 22.6, 25.0]);
    assert_eq!(found.gaps, [Gap { after: 1, missing: 1 }, Gap { after: 4, missing: 3 }]);
    assert_eq!((found.slice_distance, found.uneven), (Some(2.5), None));
    assert_eq!(along([0.0, 2.5, 7.5]).gaps, [Gap { after: 1, missing: 1 }]);
    // Two gaps side by side are still gaps.
    assert_eq!(along([0.0, 1.0, 2.0, 4.0, 6.0, 7.0]).gaps, [2, 3].map(|after| Gap { after, missing: 1 }));
}

#[test]
fn other_distances_are_uneven() {
    let found = along([0.0, 2.5, 5.0, 8.0, 10.5]);
    assert_eq!((found.uneven, found.gaps), (Some((2.5, 3.0)), vec![]));
    let narrow = along([0.0, 2.5, 4.0, 6.5, 11.5, 14.0]);
    assert_eq!((narrow.uneven, narrow.gaps), (Some((1.5, 2.5)), vec![Gap { after: 3, missing: 1 }]));
    assert_eq!(along([0.0, 2.5, 5.0, 7.7, 10.2]).uneven, None, "8 % is within the tolerance");
}

#[test]
fn a_change_of_spacing_is_no_row_of_gaps() {
    let found = along([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 15.0, 20.0]);
    assert_eq!((found.slice_distance, found.uneven, found.gaps), (Some(1.0), Some((1.0, 5.0)), vec![]));
}

#[test]
fn one_slice_has_no_distance() {
    let found = along([7.0]);
    assert_eq!((found.slice_distance, found.shear, found.doubtful_order), (None, None, false));
}

#[test]
fn a_tilted_gantry_is_seen_in_orientation_and_positions() {
    let (sin, cos) = 15_f64.to_radians().sin_cos();
    let tilted = |h: &mut crate::data::dicom::DicomHeader| h.orientation = Some([1.0, 0.0, 0.0, 0.0, cos, -sin]);
    // The table moves along z, though slices lean.
    let found = geometry(scan("a", [0.0, 5.0, 10.0]).each(tilted));
    assert_eq!((found.tilt, found.shear), (Some(15.0), Some(15.0)));
    assert!((found.slice_distance.unwrap() - 5.0 * cos).abs() < 1e-6);
    // A volume that is turned as a whole.
    let turned = geometry(scan("a", [0.0, 5.0, 10.0]).each(tilted).each(|h| {
        let along = h.positions[0][2];
        h.positions[0] = [0.0, along * sin, along * cos];
    }));
    assert_eq!((turned.tilt, turned.shear, turned.slice_distance), (Some(15.0), None, Some(5.0)));
    // Orientation without tilt, positions that lean.
    let leaning = geometry(scan("a", [0.0, 5.0, 10.0]).each(|h| h.positions[0][1] -= 0.2 * h.positions[0][2]));
    assert_eq!((leaning.tilt, leaning.shear), (None, Some(tidy(0.2_f64.atan().to_degrees()))));
}

#[test]
fn half_a_degree_and_one_jump_are_no_tilt() {
    let slight = 0.4_f64.to_radians();
    let found = geometry(scan("a", [0.0, 5.0, 10.0]).each(|h| {
        h.orientation = Some([1.0, 0.0, 0.0, 0.0, slight.cos(), -slight.sin()]);
    }));
    assert_eq!((found.tilt, found.shear), (None, None));
    let jumped = geometry(scan("a", [0.0, 5.0, 10.0, 15.0]).but(3, |h| h.positions[0][0] += 8.0));
    assert_eq!(jumped.shear, None);
}

#[test]
fn the_tilt_attribute_counts_only_without_orientation() {
    let attribute = |h: &mut crate::data::dicom::DicomHeader| (h.tilt, h.orientation) = (Some(-12.0), None);
    let found = geometry(scan("a", [0.0, 5.0]).each(attribute));
    assert_eq!((found.tilt, found.orientation.as_str()), (Some(12.0), "unknown"));
    assert_eq!(
        found.notes,
        [
            "the tilt is that of Gantry/Detector Tilt",
            "no Image Orientation (Patient): slices are shown as stored, sides are unknown"
        ]
    );
}

#[test]
fn a_window_counts_only_if_all_slices_have_it() {
    let windowed = scan("a", [0.0, 5.0]).each(|h| h.windows = vec![(-600.0, 1500.0)]);
    assert_eq!(geometry(windowed.clone()).window, Some((-600.0, 1500.0)));
    assert_eq!(geometry(windowed.clone().but(1, |h| h.windows[0].0 = 40.0)).window, None);
    assert_eq!(geometry(windowed.clone().but(0, |h| h.windows.clear())).window, None);
    assert_eq!(geometry(windowed.but(1, |h| h.windows.clear())).window, None);
}

#[test]
fn thickness_that_differs_is_noted() {
    let found = geometry(scan("a", [0.0, 5.0, 10.0]).but(2, |h| h.thickness = Some(1.25)));
    assert_eq!(found.thickness, Some(5.0));
    assert_eq!(found.notes, ["Slice Thickness differs within the series: 1.25 to 5 mm"]);
    assert_eq!(geometry(scan("a", [0.0]).each(|h| h.thickness = Some(0.0))).thickness, None);
}
