//! What someone at a terminal is told.

use crate::support::{fixture, folder, run, run_well};
use std::process::Output;

fn complaint(output: &Output) -> String {
    assert!(!output.status.success(), "it should have failed: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn help_teaches_the_order_of_the_stages() {
    let folder = folder();
    let help = run_well(folder.path(), &fixture().root, &["--help"]);
    for word in
        ["phantom", "audit", "split", "cache", "train", "evaluate", "predict", "report", "doctor", "COVID_CT_DATA"]
    {
        assert!(help.contains(word), "{word} is missing in\n{help}");
    }
    for stage in ["phantom", "audit", "split", "cache", "train", "evaluate", "predict", "report", "doctor"] {
        assert!(run_well(folder.path(), &fixture().root, &[stage, "--help"]).contains("Usage: covid-ct"));
    }
}

#[test]
fn a_stage_without_the_one_before_says_which_to_run() {
    let folder = folder();
    let told = |arguments: &[&str]| complaint(&run(folder.path(), &fixture().root, arguments));
    assert!(told(&["split"]).contains("run `covid-ct audit` first"));
    assert!(told(&["evaluate"]).contains("run `covid-ct train --name fcn` first"));
    assert!(told(&["report"]).contains("run `covid-ct audit` first"));
    assert!(told(&["audit", "--details", "nonsense"]).contains("black-slice"));
    assert!(told(&["train", "--device", "cuda:7"]).contains("cuda:7"));
    assert!(told(&["train", "--learning-rate", "0"]).contains("learning_rate: expected more than 0, found 0"));
}

#[test]
fn a_data_folder_that_is_not_there_is_named() {
    let folder = folder();
    let error = complaint(&run(folder.path(), &folder.path().join("nowhere"), &["audit"]));
    assert!(error.contains("nowhere") && error.contains("no such folder"), "{error}");
}

#[test]
fn the_phantom_is_drawn_once_and_nothing_is_overwritten() {
    let folder = folder();
    let root = folder.path().join("p");
    let draw = |more: &[&str]| {
        let path = root.display().to_string();
        let arguments = [
            "phantom",
            &path,
            "--size",
            "64",
            "--train-scans",
            "3",
            "--val-scans",
            "3",
            "--prediction-scans",
            "1",
            "--slices",
            "4",
        ];
        run(folder.path(), &fixture().root, &[&arguments[..], more].concat())
    };
    assert!(draw(&[]).status.success() && draw(&[]).status.success());
    assert!(complaint(&draw(&["--seed", "2"])).contains("another configuration"));
}

#[test]
fn doctor_looks_and_tells() {
    let folder = folder();
    let output = run(folder.path(), &fixture().root, &["doctor"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for what in ["libtorch", "2.11.0", "CUDA", "Notebook kernel", "Disk free", "Memory available", "Data set"] {
        assert!(text.contains(what), "{what} is missing in\n{text}");
    }
    assert!(matches!(output.status.code(), Some(0 | 3)));
}
