//! New scans are judged by what a run's folder holds, as the scans of the data set are.

use crate::support::{fixture, folder, prepared, run, run_well, silent, tiny_run};
use covid_ct::{Check, Experiment, Inference, InferredScan, RunFolder};
use std::fs;
use std::path::{Path, PathBuf};

/// A run that was trained, evaluated and asked for the prediction set.
fn judged(home: &Path) -> (Experiment, Inference) {
    let experiment = prepared(home, &tiny_run("fcn"));
    experiment.train().expect("trains");
    experiment.evaluate().expect("evaluates");
    let inference = experiment.predict().expect("predicts");
    (experiment, inference)
}

/// Copies the readable slices of a scan under new names, in their order.
fn copied(scan: &InferredScan, into: &Path, name: impl Fn(usize) -> String) {
    let accepted = fixture().audit.accepted();
    let of_scan = accepted.slices.iter().filter(|slice| accepted.scan_of(slice).folder == scan.scan);
    fs::create_dir_all(into).expect("a folder");
    for (number, slice) in of_scan.enumerate() {
        fs::copy(fixture().root.join(accepted.path(slice)), into.join(name(number))).expect("copies");
    }
}

/// All that is said of a scan but its name and the hint, which the number of slices does not touch.
fn said(scan: &InferredScan) -> (usize, usize, String, Option<f64>) {
    (scan.covid_slices, scan.slices, format!("{:.5}", scan.mean), scan.share)
}

#[test]
fn a_scan_is_judged_alike_wherever_it_lies() {
    let home = folder();
    let (experiment, inference) = judged(home.path());
    let elsewhere = home.path().join("later");
    for (number, scan) in inference.scans.iter().enumerate() {
        // As scanners and people name them; 10 comes after 2.
        copied(scan, &elsewhere.join(format!("scan {number}")), |slice| format!("IM-0001-{}.JPG", slice + 5));
    }
    fs::write(elsewhere.join("notes.txt"), "not a picture").expect("writes");
    let new = experiment.judge(&elsewhere).expect("judges");
    assert_eq!(new.inference.scans.len(), inference.scans.len());
    for (new, known) in new.inference.scans.iter().zip(&inference.scans) {
        assert_eq!(said(new), said(known), "{} and {}", new.scan, known.scan);
        assert_eq!((new.decision, new.probability, new.interval), (known.decision, known.probability, known.interval));
    }
    assert_eq!(new.inference.scans[0].scan, "later/scan 0");
    let files: Vec<&str> = new.predictions.rows().iter().map(|row| row.path.as_str()).collect();
    let first: Vec<String> =
        (0..inference.scans[0].slices).map(|slice| format!("later/scan 0/IM-0001-{}.JPG", slice + 5)).collect();
    assert!(first.len() > 5 && files[..first.len()] == first, "{files:?}");
    let stray = new.audit.findings().iter().find(|of| of.path == "later/notes.txt").expect("a finding");
    assert_eq!(stray.check, Check::StrayFile);
    assert!(new.findings().to_string().contains("no: not a picture"), "{}", new.findings());

    // Without the data, the cache and the manifest: of the run its folder alone.
    let run = RunFolder::at(home.path().join("moved"));
    fs::rename(experiment.folder().path(), run.path()).expect("moves");
    fs::remove_dir_all(home.path().join("cache")).expect("removes");
    let one = run.judge(elsewhere.join("scan 0"), silent).expect("judges");
    assert_eq!(said(&one.inference.scans[0]), said(&inference.scans[0]));
    let page_path = one.write(&run).expect("writes");
    let page = fs::read_to_string(&page_path).expect("a page");
    assert!(page.contains("scan 0") && page.contains("not for diagnosis") && page.contains("data:image/svg"), "{page}");
    let own = fs::read_to_string(page_path.with_file_name("scan-1.html")).expect("a page of the scan");
    assert!(page.contains("scan-1.html") && own.contains("where the network looks"), "{own}");
    let name = format!("scan 0-{}", one.audit.manifest().hash().short());
    assert_eq!(run.judged(&name).inference().expect("reads"), one.inference);
    let picture = run.judge(elsewhere.join("scan 0/IM-0001-5.JPG"), silent).expect("judges one picture");
    assert_eq!(picture.predictions.rows().len(), 1);
    assert!(picture.to_string().contains("fewer slices than any training scan"), "{picture}");
    assert_eq!(picture.predictions.rows()[0].covid, one.predictions.rows()[0].covid);
}

#[test]
fn what_cannot_be_judged_is_said() {
    let home = folder();
    let (experiment, inference) = judged(home.path());
    let scan = home.path().join("scan");
    copied(&inference.scans[0], &scan, |slice| format!("{slice}.jpg"));
    let whole = fs::read(scan.join("1.jpg")).expect("reads");
    fs::write(scan.join("1.jpg"), &whole[..whole.len() / 2]).expect("cuts");
    let new = experiment.judge(&scan).expect("judges the others");
    assert_eq!(new.inference.scans[0].slices + 1, inference.scans[0].slices);
    assert_eq!(new.audit.count(Check::Truncated), 1);
    let findings = new.findings().to_string();
    assert!(findings.contains("scan/1.jpg") && findings.contains("no: left out"), "{findings}");

    let message = |path: PathBuf| format!("{:#}", experiment.judge(path).expect_err("nothing to judge"));
    assert!(message(home.path().join("nowhere")).contains("nowhere"));
    let empty = home.path().join("empty");
    fs::create_dir(&empty).expect("a folder");
    fs::write(empty.join("scan.dcm"), "no picture").expect("writes");
    let said = message(empty.clone());
    assert!(
        said.contains("expected JPEG, PNG, TIFF, DICOM, NIfTI, NRRD or MetaImage files")
            && said.contains("empty/scan.dcm"),
        "{said}"
    );
    fs::write(empty.join("1.png"), "text").expect("writes");
    assert!(message(empty).contains("expected slices that can be read, found none among 1 files, first empty/1.png"));
    let fresh = prepared(home.path(), &tiny_run("untrained"));
    assert!(fresh.judge(&scan).is_err(), "a run that was not trained");
}

#[test]
fn the_command_judges_a_folder() {
    let home = folder();
    let (experiment, inference) = judged(home.path());
    let scan = home.path().join("patient seven");
    copied(&inference.scans[0], &scan, |slice| format!("{slice}.jpg"));
    let run_folder = experiment.folder().path().to_str().expect("UTF-8");
    let path = scan.to_str().expect("UTF-8");
    // The data is gone, and named all the same.
    let said = run_well(home.path(), Path::new("/nowhere"), &["predict", path, "--name", run_folder]);
    assert!(said.contains("patient seven") && said.contains("judged.html"), "{said}");
    let output = run(home.path(), &fixture().root, &["predict", path, "--name", "nothing"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("no run \"nothing\""), "{error}");
}
