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
    let explained = step(&["explain"]);
    assert!(explained.contains("heat outside the lungs") && explained.contains(".svg"), "{explained}");
    let shortcuts = step(&["shortcuts"]);
    assert!(shortcuts.contains("size of the files"), "{shortcuts}");
    let leak = [
        "leakage",
        "--network",
        "fcn",
        "--small",
        "--size",
        "32",
        "--epochs",
        "2",
        "--device",
        "cpu",
        "--repeats",
        "1",
    ];
    assert!(step(&leak).contains("shuffled among patients"));
    let evaluation = Evaluation::read(home.join("runs/phantom/fcn")).expect("reads");
    let test = evaluation.subset(Subset::Test).expect("a test subset");
    assert!(!evaluation.leaking && test.scans.total() > 0);
    assert!(Evaluation::read(home.join("runs/phantom/fcn-published")).expect("reads").leaking);
    let csv = fs::read_to_string(home.join("runs/phantom/fcn/predictions-prediction.csv")).expect("reads");
    let unlabelled =
        fixture().audit.accepted().slices.iter().filter(|s| fixture().manifest.scans[s.scan].label.is_none()).count();
    assert_eq!(csv.lines().count(), 1 + unlabelled);
    let published = concat!(env!("CARGO_MANIFEST_DIR"), "/data_manifest/published-results.json");
    step(&["report", "--published", published]);
    let html = fs::read_to_string(home.join("report.html")).expect("reads");
    for said in [
        "LEAKING SPLIT",
        "Proof of no overlap",
        "81.1 %",
        "Research only",
        "data:image/svg+xml",
        "id=\"leakage\"",
        "id=\"shortcuts\"",
        "id=\"explanations\"",
        "id=\"calibration\"",
        "95 % intervals",
        "CLAIM",
        "TRIPOD+AI",
        "McNemar",
    ] {
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
    for list in ["CLAIM", "TRIPOD+AI"] {
        let count = &json["checklists"];
        let count = count.as_object().expect("lists").iter().find(|(name, _)| name.starts_with(list)).expect(list).1;
        assert!(count["answered"].as_u64().expect("a count") > 3, "{list}: {count}");
    }
}
