//! The whole path on the command line, from a phantom to a report.

use crate::support::{fixture, folder, run_well};
use covid_ct::{Evaluation, Subset};
use std::fs;

#[test]
fn from_phantom_to_report() {
    let folder = folder();
    let (home, data) = (folder.path(), &fixture().root);
    let step = |arguments: &[&str]| run_well(home, data, arguments);
    let audit = step(&["audit"]);
    assert!(audit.contains("Number of Patients") && audit.contains("black-slice"), "{audit}");
    let small = ["--small", "--size", "32", "--epochs", "3", "--device", "cpu"];
    let with = |first: &str, more: &[&str]| {
        [&[first], &small[..], more].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    for preset in [&[][..], &["--published"][..]] {
        for stage in ["split", "cache", "train"] {
            let arguments = with(stage, preset);
            step(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        }
        let evaluated = step(&[&["evaluate"], preset].concat());
        assert!(evaluated.contains("precision    recall  f1-score   support"), "{evaluated}");
        let predicted = step(&[&["predict"], preset].concat());
        assert!(predicted.contains("Number of patients") && predicted.contains("ct_scan_1"), "{predicted}");
    }
    let evaluation = Evaluation::read(home.join("runs/fcn")).expect("reads");
    let test = evaluation.subset(Subset::Test).expect("a test subset");
    assert!(!evaluation.leaking && test.scans.total() > 0);
    assert!(Evaluation::read(home.join("runs/fcn-published")).expect("reads").leaking);
    let csv = fs::read_to_string(home.join("runs/fcn/predictions-prediction.csv")).expect("reads");
    let unlabelled =
        fixture().audit.accepted().slices.iter().filter(|s| fixture().manifest.scans[s.scan].label.is_none()).count();
    assert_eq!(csv.lines().count(), 1 + unlabelled);
    let published = concat!(env!("CARGO_MANIFEST_DIR"), "/data_manifest/published-results.json");
    step(&["report", "--published", published]);
    let html = fs::read_to_string(home.join("report.html")).expect("reads");
    for said in ["LEAKING SPLIT", "Proof of no overlap", "81.1 %", "Limits and intended use", "data:image/svg+xml"] {
        assert!(html.contains(said), "the report does not say {said:?}");
    }
    let foreign: Vec<&str> =
        html.match_indices("src=\"").map(|(at, _)| &html[at + 5..at + 15]).filter(|s| *s != "data:image").collect();
    assert!(
        foreign.is_empty() && !html.contains("<script") && !html.contains("http://") && !html.contains("https://"),
        "{foreign:?}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(home.join("report.json")).expect("reads")).expect("JSON");
    assert_eq!(json["runs"]["fcn-published"]["leaking"], true);
    assert_eq!(json["data"]["findings"]["black-slice"], 1);
}
