//! Cross-validations of a tiny phantom.

use super::*;
use crate::data::manifest::Label;
use crate::evaluate::decision_rules::Rule;
use crate::evaluate::several_runs::tests::{tiny, workspace};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Cross-validates in three folds, and notes the lines that the runs report.
fn validate(work: &Workspace) -> (CrossValidation, String) {
    let lines = Arc::new(Mutex::new(String::new()));
    let noted = lines.clone();
    let note = move |event: &RunEvent| noted.lock().expect("a lock").push_str(&format!("{event}\n"));
    let found = CrossValidation::run(work, &tiny(), 3, note).expect("cross-validates");
    let lines = lines.lock().expect("a lock").clone();
    (found, lines)
}

/// Without hashes of checkpoints, which hold the seconds that training took.
fn numbers(of: &CrossValidation) -> CrossValidation {
    let mut of = of.clone();
    of.about.weights = Digest([0; 32]);
    of.folds.iter_mut().for_each(|fold| fold.weights = Digest([0; 32]));
    of
}

fn out_of_fold_rows(work: &Workspace) -> Vec<SlicePrediction> {
    work.run("fcn-folds").predictions(Subset::Test).expect("reads").rows().to_vec()
}

#[test]
fn every_labelled_scan_is_judged_once_and_an_interruption_changes_nothing() {
    let (whole, killed) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let work = workspace(whole.path());
    let (found, _) = validate(&work);
    holds_every_labelled_scan(&found, &work);
    shows_itself(&found);
    assert_eq!(work.run("fcn-folds").cross_validation().expect("reads"), found);

    let interrupted = workspace(killed.path());
    let stops = |event: &RunEvent| assert!(!event.to_string().contains("fcn-fold3of3"), "killed");
    let run = || CrossValidation::run(&interrupted, &tiny(), 3, stops);
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err(), "it was to be killed before the third fold");
    assert!(interrupted.run("fcn-fold2of3").has(Artifact::Evaluation));
    assert!(!interrupted.run("fcn-fold3of3").path().exists());
    let before = evaluated_at(&interrupted, "fcn-fold1of3");
    let (again, lines) = validate(&interrupted);
    assert_eq!(evaluated_at(&interrupted, "fcn-fold1of3"), before, "a finished fold is not evaluated again");
    assert_eq!(lines.matches("finished before, after 1 epochs").count(), 2, "{lines}");
    assert_eq!(numbers(&again), numbers(&found));
    assert_eq!(out_of_fold_rows(&interrupted), out_of_fold_rows(&work));
}

fn evaluated_at(work: &Workspace, run: &str) -> std::time::SystemTime {
    let evaluation = work.run(run).path_of(Artifact::Evaluation);
    std::fs::metadata(evaluation).and_then(|file| file.modified()).expect("an evaluation")
}

fn holds_every_labelled_scan(found: &CrossValidation, work: &Workspace) {
    let manifest = work.audit().expect("an audit").accepted();
    let labelled = || manifest.scans.iter().filter(|scan| scan.label.is_some());
    let mut folders: Vec<&str> = labelled().map(|scan| scan.folder.as_str()).collect();
    folders.sort_unstable();
    let judged: Vec<&str> = found.scans().iter().map(|scan| scan.scan.as_str()).collect();
    assert_eq!(judged, folders);
    assert_eq!((found.total.scans.samples, found.total.scans.patients), (folders.len(), folders.len()));
    let rows = out_of_fold_rows(work);
    let paths = manifest.slices.iter().filter(|slice| manifest.scan_of(slice).label.is_some());
    assert!(rows.iter().map(|row| row.path.clone()).eq(paths.map(|slice| manifest.path(slice))));
    // Each scan as the run of its fold says.
    for fold in &found.folds {
        let predictions = work.run(&fold.run).predictions(Subset::Test).expect("reads");
        assert_eq!(predictions.about.weights, fold.weights);
        assert!(predictions.rows().iter().all(|row| rows.contains(row)));
        for scan in &fold.scans {
            let slices: Vec<f64> =
                rows.iter().filter(|row| row.scan == scan.scan).map(|row| f64::from(row.covid)).collect();
            assert_eq!(scan.mean_covid, Rule::MeanProbability(0.5).score(&slices));
            assert_eq!(scan.decision == Label::Covid, fold.rule.rule.decide(&slices));
        }
    }
    let right = found.scans().iter().filter(|scan| Some(scan.decision) == scan.label).count();
    let accuracy = found.total.scans.get(Measure::Accuracy).value;
    assert_eq!(accuracy, Some(right as f64 / folders.len() as f64));
}

fn shows_itself(found: &CrossValidation) {
    let table = found.table();
    let first: Vec<&str> = table.rows().iter().map(|row| row[0].as_str()).collect();
    let expected = ["fold 1 of 3", "fold 2 of 3", "fold 3 of 3", "Mean of the folds", "Out of fold"];
    assert_eq!(first, expected);
    assert!(table.rows()[..3].iter().all(|row| row[1] == "4" && row[2] == "4"), "{table}");
    assert!(table.rows()[4][1] == "12" && table.rows()[4][3].contains(" to "), "{table}");
    assert!(found.roc_figure().expect("both labels").title().contains("out of 3 folds"));
}

#[test]
fn what_cannot_work_is_said_before_the_first_training() {
    let folder = tempfile::tempdir().expect("a folder");
    let work = workspace(folder.path());
    let error = |config: &RunConfig, folds| {
        format!("{:#}", CrossValidation::run(&work, config, folds, |_| ()).expect_err("cannot work"))
    };
    assert!(error(&tiny(), 7).contains("at least 7 covid patients, one for each part, found 6"));
    assert!(error(&tiny(), 2).contains("split.fold.of (--folds): expected 3 to 20 parts, found 2"));
    assert!(error(&tiny(), 0).contains("expected 3 to 20"));
    let published = RunConfig { split: RunConfig::published(tiny().architecture).split, ..tiny() };
    assert!(error(&published, 3).contains("split.unit must be \"patient\""));
    let trained = |path: &Path| path.join("runs").exists();
    assert!(!trained(folder.path()), "nothing was trained");
    tiny().write(work.run("fcn-folds").path_of(Artifact::Config)).expect("writes");
    assert!(error(&tiny(), 3).contains("is the folder of a run"));
}

#[test]
fn a_slice_in_two_test_parts_or_in_none_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = workspace(folder.path()).audit().expect("an audit").accepted();
    let predictions = |slices: std::ops::Range<usize>| {
        let about = About {
            run: format!("from {}", slices.start),
            subset: Subset::Test,
            leaks: Vec::new(),
            weights: Digest([slices.start as u8; 32]),
            manifest: manifest.hash(),
            split: Digest([slices.end as u8; 32]),
        };
        let rows = slices.map(|index| {
            let (slice, scan) = (&manifest.slices[index], manifest.scan_of(&manifest.slices[index]));
            let (path, label) = (manifest.path(slice), scan.label);
            SlicePrediction { path, scan: scan.folder.clone(), patient: None, label, covid: index as f32 / 100.0 }
        });
        Predictions::new(about, rows.collect())
    };
    let labelled = manifest.slices.iter().filter(|slice| manifest.scan_of(slice).label.is_some()).count();
    assert!(manifest.slices[..labelled].iter().all(|slice| manifest.scan_of(slice).label.is_some()));
    let join = |folds: &[Predictions]| out_of_fold("folds", folds, &manifest).map_err(|error| format!("{error:#}"));
    let (a, b) = (predictions(0..20), predictions(20..labelled));
    let joined = join(&[b.clone(), a.clone()]).expect("joins");
    assert_eq!(joined.rows(), [a.rows(), b.rows()].concat(), "in the manifest's order");
    assert_eq!(joined.about.weights, Digest::joint([b.about.weights, a.about.weights].into_iter()));
    let path = |index: usize| manifest.path(&manifest.slices[index]);
    assert_eq!(
        join(&[a.clone(), a.clone()]),
        Err(format!("{} is in two test parts, one of them that of from 0", path(0)))
    );
    // A scan whose other slices were tested may lack some; a whole scan may not be missing.
    let error = join(std::slice::from_ref(&a)).expect_err("scans that no fold tested");
    let scan_of = |index: usize| &manifest.scan_of(&manifest.slices[index]).folder;
    let untested: Vec<&String> =
        (20..labelled).map(scan_of).filter(|scan| (0..20).all(|of| scan_of(of) != *scan)).collect();
    let first = untested.iter().min().expect("some scans");
    assert_eq!(error, format!("the scan {first} has a label, but is in no test part"));
    assert!(join(&[predictions(1..20), b.clone()]).is_ok_and(|joined| joined.rows().len() == labelled - 1));
    let unlabelled = predictions(labelled..labelled + 1);
    let error = join(&[a.clone(), b.clone(), unlabelled]).expect_err("unlabelled");
    assert!(error.contains("is no labelled slice"), "{error}");
    let mut validation = b;
    validation.about.subset = Subset::Validation;
    assert_eq!(join(&[a, validation]), Err("from 20: expected test predictions, found validation".to_owned()));
}
