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
    assert!(message(empty).contains("expected slices that can be used, found none among 1 files, first empty/1.png"));
    let fresh = prepared(home.path(), &tiny_run("untrained"));
    assert!(fresh.judge(&scan).is_err(), "a run that was not trained");
}

/// The files of the fixture's planted defect of a check.
fn planted(check: &str) -> PathBuf {
    let defect = fixture().phantom.defects.iter().find(|of| of.check == check).expect("planted");
    fixture().root.join(&defect.paths[0])
}

#[test]
fn slices_that_are_left_out_are_counted_in_each_scan() {
    let home = folder();
    let (experiment, inference) = judged(home.path());
    assert!(inference.not_judged.is_empty() && inference.scans.iter().all(|scan| scan.left_out.is_empty()));
    let scans = home.path().join("scans");
    copied(&inference.scans[0], &scans.join("partly"), |slice| format!("{slice}.jpg"));
    fs::copy(planted("black-slice"), scans.join("partly/1.jpg")).expect("copies");
    let whole = fs::read(scans.join("partly/2.jpg")).expect("reads");
    fs::write(scans.join("partly/2.jpg"), &whole[..whole.len() / 2]).expect("cuts");
    copied(&inference.scans[1], &scans.join("dark"), |slice| format!("{slice}.jpg"));
    let dark = fs::read_dir(scans.join("dark")).expect("lists").count();
    for slice in 0..dark {
        fs::copy(planted("black-slice"), scans.join(format!("dark/{slice}.jpg"))).expect("copies");
    }
    let new = experiment.judge(&scans).expect("judges");
    let [partly] = &new.inference.scans[..] else { panic!("one scan: {:?}", new.inference.scans) };
    assert_eq!((partly.scan.as_str(), partly.slices), ("scans/partly", inference.scans[0].slices - 2));
    assert_eq!(
        partly.left_out,
        [("black-slice", 1), ("truncated", 1)].map(|(why, count)| (why.to_owned(), count)).into()
    );
    let [lost] = &new.inference.not_judged[..] else { panic!("one scan: {:?}", new.inference.not_judged) };
    assert_eq!((lost.scan.as_str(), lost.judged), ("scans/dark", 0));
    assert_eq!(lost.left_out, [("black-slice".to_owned(), dark)].into());
    // Table, page and JSON.
    let table = new.inference.to_string();
    assert!(table.contains("1 black-slice, 1 truncated") && table.contains("not judged"), "{table}");
    assert!(table.contains("1 scan not judged: none of the slices could be used."), "{table}");
    let patient = new.inference.patient("dark").expect("a table").to_string();
    assert!(patient.contains(&format!("{dark} black-slice")), "{patient}");
    let run = experiment.folder();
    let page = fs::read_to_string(new.write(run).expect("writes")).expect("a page");
    assert!(page.contains("1 black-slice, 1 truncated") && page.contains(&format!("scans/dark ({dark} black-slice)")));
    let name = format!("scans-{}", new.audit.manifest().hash().short());
    assert_eq!(run.judged(&name).inference().expect("reads"), new.inference);
    let alone = format!("{:#}", experiment.judge(scans.join("dark")).expect_err("nothing to judge"));
    assert!(alone.contains("expected slices that can be used, found none among"), "{alone}");
    assert!(alone.contains("first dark/0.jpg: grey levels 0 to"), "{alone}");
}

#[test]
fn the_prediction_set_says_what_was_left_out() {
    let home = folder();
    let mut accepted = fixture().audit.accepted();
    let lost = accepted.scans.iter().position(|scan| scan.folder == "prediction/ct_scan_1").expect("a scan");
    let count = accepted.slices.iter().filter(|slice| slice.scan == lost).count();
    accepted.slices.retain(|slice| slice.scan != lost);
    accepted.left_out.insert("prediction/ct_scan_1".to_owned(), [("corrupt".to_owned(), count)].into());
    accepted.left_out.insert("prediction/ct_scan_0".to_owned(), [("black-slice".to_owned(), 2)].into());
    let experiment = crate::support::experiment(home.path(), &accepted, &tiny_run("fcn"));
    experiment.train().expect("trains");
    experiment.evaluate().expect("evaluates");
    let inference = experiment.predict().expect("predicts");
    let scans: Vec<&str> = inference.scans.iter().map(|scan| scan.scan.as_str()).collect();
    assert_eq!(scans, ["prediction/ct_scan_0", "prediction/ct_scan_2"]);
    assert_eq!(inference.scans[0].left_out, [("black-slice".to_owned(), 2)].into());
    assert!(inference.scans[1].left_out.is_empty());
    let [scan] = &inference.not_judged[..] else { panic!("one scan: {:?}", inference.not_judged) };
    assert_eq!((scan.scan.as_str(), &scan.left_out["corrupt"]), ("prediction/ct_scan_1", &count));
    assert_eq!(experiment.folder().inference().expect("reads"), inference);
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
