use super::vocabulary::*;
use super::*;

#[test]
fn slices_are_ordered_by_position_from_feet_to_head() {
    let series = only_series(scan("a", [10.0, -5.0, 0.0, 5.0]));
    let order: Vec<_> = series.slices.iter().map(|slice| (slice.path.as_str(), slice.z)).collect();
    assert_eq!(
        order,
        [("a/2.dcm", Some(-5.0)), ("a/3.dcm", Some(0.0)), ("a/4.dcm", Some(5.0)), ("a/1.dcm", Some(10.0))]
    );
    assert!(!series.geometry.doubtful_order);
    assert_eq!(series.uid.as_deref(), Some("a"));
    assert_eq!((series.study.as_deref(), series.patient_id.as_deref()), (Some("study"), Some("patient")));
}

#[test]
fn the_order_of_the_files_makes_no_difference() {
    let parts = [
        scan("b", [0.0, 5.0, 0.0, 5.0, 5.0]),
        scan("a", [3.0, 2.0, 1.0]).each(|h| h.positions.clear()),
        scan("c", [0.0, 5.0]).but(1, |h| h.modality = Some("PT".to_owned())),
        scan("d", [0.0, 5.0]).each(|h| h.series = None),
        vec![frames("e", [5.0, 0.0])],
    ];
    let files = parts.concat();
    let built = build_series(files.clone());
    for seed in 1..20 {
        let mut mixed = files.clone();
        mixed.sort_by_key(|(path, _)| {
            path.bytes().fold(seed, |sum: u64, b| (sum ^ u64::from(b)).wrapping_mul(0x9E37_79B9_7F4A_7C15))
        });
        assert_eq!(build_series(mixed), built);
    }
    assert_eq!((built.series.len(), built.rejected.len()), (5, 4));
}

#[test]
fn a_series_is_its_uid_wherever_its_files_lie() {
    let files = scan("a", [0.0, 5.0, 10.0, 15.0]);
    let (low, high) = files.split_at(2);
    let parts = [low.to_vec().moved_to("DISK1/0001"), high.to_vec().moved_to("DISK2/0001")].concat();
    assert_eq!(only_series(parts).slices.len(), 4);
}

#[test]
fn without_uid_a_series_is_its_folder() {
    let nameless = |name: &str| scan(name, [0.0, 5.0]).each(|h| h.series = Some(" ".to_owned()));
    let built = build_series([nameless("x/a"), nameless("x/b")].concat());
    assert_eq!(orders(&built), [["x/a/1.dcm", "x/a/2.dcm"], ["x/b/1.dcm", "x/b/2.dcm"]]);
    assert!(built.series.iter().all(|series| series.uid.is_none()));
}

#[test]
fn patients_are_never_joined_by_a_uid() {
    let other = scan("a", [10.0, 15.0]).each(|h| h.patient_id = Some("other".to_owned())).moved_to("b");
    let built = build_series([scan("a", [0.0, 5.0]), other].concat());
    assert_eq!(built.series.len(), 2);
}

#[test]
fn series_and_rejected_files_come_in_natural_order_of_names() {
    let files = ["10", "9", "1"].map(|name| scan(name, [0.0, 5.0]).but(0, |h| h.has_pixels = false)).concat();
    let built = build_series(files);
    assert_eq!(orders(&built), [["1/2.dcm"], ["9/2.dcm"], ["10/2.dcm"]]);
    let rejected: Vec<_> = built.rejected.iter().map(|file| (file.path.as_str(), file.kind)).collect();
    assert_eq!(rejected, ["1/1.dcm", "9/1.dcm", "10/1.dcm"].map(|path| (path, Refusal::NoPixels)));
}

#[test]
fn all_slices_of_a_series_are_turned_alike() {
    let prone = only_series(scan("a", [0.0, 5.0]).each(|h| h.orientation = Some([-1.0, 0.0, 0.0, 0.0, -1.0, 0.0])));
    let turn = Turn { transpose: false, flip_x: true, flip_y: true };
    assert!(prone.slices.iter().all(|slice| slice.turn == turn));
    // The slice normal still ascends to the head.
    assert_eq!(prone.slices[0].path, "a/1.dcm");
    let unknown = only_series(scan("a", [0.0, 5.0]).each(|h| h.orientation = None));
    assert_eq!(unknown.slices[0].turn, Turn::default());
}

#[test]
fn a_file_of_frames_is_a_series_in_the_order_of_frame_positions() {
    let built = build_series(
        [vec![frames("a/1", [10.0, 0.0, 5.0]), frames("a/2", [0.0, 5.0])], scan("series", [0.0])].concat(),
    );
    let found: Vec<Vec<u32>> =
        built.series.iter().map(|s| s.slices.iter().map(|slice| slice.frame).collect()).collect();
    assert_eq!(found, [vec![1, 2, 0], vec![0, 1], vec![0]]);
    assert_eq!(built.series[0].geometry.slice_distance, Some(5.0));
    assert_eq!(built.rejected, []);
}

#[test]
fn frames_without_positions_stay_in_stored_order() {
    let (path, header) = frames("a", [10.0, 0.0, 5.0]);
    for positions in [vec![], vec![[0.0; 3]], vec![[0.0, 0.0, f64::NAN]; 3]] {
        let series = only_series(vec![(path.clone(), header.clone().with(|h| h.positions = positions))]);
        let found: Vec<_> = series.slices.iter().map(|slice| (slice.frame, slice.z)).collect();
        assert_eq!(found, [(0, None), (1, None), (2, None)]);
        assert!(series.geometry.doubtful_order && series.geometry.slice_distance.is_none());
        assert!(series.geometry.notes[0].starts_with("no frame positions"), "{:?}", series.geometry.notes);
    }
}

#[test]
fn repeated_frames_are_left_out_and_counted() {
    let series = only_series(vec![frames("a", [0.0, 5.0, 0.0, 5.0, 10.0])]);
    assert_eq!(series.slices.iter().map(|slice| slice.frame).collect::<Vec<_>>(), [0, 1, 4]);
    assert_eq!(series.geometry.notes, ["2 frames were left out: they lie where an earlier one does"]);
}

#[test]
fn nothing_builds_nothing() {
    assert_eq!(build_series(Vec::new()), Built::default());
}

/// Extremes of grouping: 300 series of 34 slices, each file a series of its own, and all in one place.
#[test]
fn ten_thousand_files_are_grouped() {
    let ordinary: Files = (0..300).flat_map(|name| scan_of(&name.to_string(), (0..34).map(f64::from))).collect();
    let each_alone: Files = (0..10_000).flat_map(|name| scan_of(&name.to_string(), [f64::from(name)])).collect();
    let copies = scan_of("a", std::iter::repeat_n(0.0, 10_000));
    for (files, series, rejected) in [(ordinary, 300, 0), (each_alone, 10_000, 0), (copies, 1, 9_999)] {
        let built = build_series(files);
        assert_eq!((built.series.len(), built.rejected.len()), (series, rejected));
    }
}

#[test]
fn slices_with_a_series_each_are_one_scan() {
    let scattered = |count: usize| -> Files {
        let mut files = scan_of("P1", (0..count).map(|slice| 5.0 * slice as f64));
        for (number, (_, header)) in files.iter_mut().enumerate() {
            header.series = Some(format!("1.2.{number}"));
        }
        files
    };
    let built = build_series(scattered(5));
    assert_eq!(built.series.iter().map(|series| series.slices.len()).collect::<Vec<_>>(), [5]);
    let notes = &built.series[0].geometry.notes;
    assert_eq!(notes.as_slice(), ["5 series of one file each in one folder and study, read as one scan"]);
    // A few single pictures, and a series beside them, are what they say.
    assert_eq!(build_series(scattered(3)).series.len(), 3);
    let mut files = scattered(5);
    files.iter_mut().for_each(|(_, header)| header.study = None);
    assert_eq!(build_series(files).series.len(), 5);
    let mut files = scattered(5);
    files[1].1.series = files[0].1.series.clone();
    assert_eq!(build_series(files).series.len(), 4);
}

#[test]
fn zeros_in_the_place_of_all_positions_are_none() {
    let at = |place: [f64; 3]| -> Files {
        let mut files = scan("P1", [0.0; 4]);
        files.iter_mut().for_each(|(_, header)| header.positions = vec![place]);
        files
    };
    let built = build_series(at([0.0; 3]));
    assert_eq!((built.series[0].slices.len(), built.rejected.len()), (4, 0));
    let notes = &built.series[0].geometry.notes;
    let said =
        "0, 0, 0 is the Image Position (Patient) of every file: ordered by Instance Number; may run from head to feet";
    assert_eq!(notes.as_slice(), [said]);
    // A scanner waiting for the contrast agent looks at one place.
    let built = build_series(at([-180.0, -180.0, 40.0]));
    assert_eq!((built.series[0].slices.len(), built.rejected.len()), (1, 3));
}
