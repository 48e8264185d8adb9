//! Files belong to the run and to the audit that wrote them; none that was changed, or comes from elsewhere, is taken for one.

use crate::support::{fixture, folder, silent, tiny_run};
use covid_ct::{Artifact, Audit, Digest, Experiment, Report, RunConfig, RunFolder, Subset, Workspace};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The fixture's audit in a workspace under `home`.
fn workspace(home: &Path) -> Workspace {
    let work = Workspace::at(Some(home.to_owned()), Some(fixture().root.clone())).expect("opens");
    fixture().audit.write(work.manifest_folder()).expect("writes");
    work
}

fn evaluated(work: &Workspace, name: &str, seed: u64) -> Experiment {
    let run = RunConfig { seed, epochs: 1, ..tiny_run(name) };
    let experiment = Experiment::open_in(work, run, |_| ()).expect("opens");
    experiment.train().expect("trains");
    experiment.evaluate().expect("evaluates");
    experiment.predict().expect("predicts");
    experiment.explain(Subset::Validation).expect("explains");
    experiment
}

/// Name and hash of every file in a folder.
fn contents(folder: &Path) -> BTreeMap<String, Digest> {
    let files = fs::read_dir(folder).expect("lists").map(|entry| entry.expect("an entry").path());
    let files = files.filter(|path| path.is_file());
    files.map(|path| (path.file_name().expect("a name").to_string_lossy().into(), hash(&path))).collect()
}

fn hash(path: &Path) -> Digest {
    Digest::of(&fs::read(path).expect("reads"))
}

/// What reads each file of a run; all must fail while the file is not the one that was written.
type Reader = fn(&RunFolder) -> anyhow::Result<()>;

fn readers() -> Vec<(Artifact, Reader)> {
    vec![
        (Artifact::ScanRule, |of| of.scan_rule().map(drop)),
        (Artifact::History, |of| of.history().map(drop)),
        (Artifact::Evaluation, |of| of.evaluation().map(drop)),
        (Artifact::Assessment, |of| of.assessment().map(drop)),
        (Artifact::CueComparison, |of| of.cue_comparison().map(drop)),
        (Artifact::Inference, |of| of.inference().map(drop)),
        (Artifact::Explanations(Subset::Validation), |of| of.explanations(Subset::Validation).map(drop)),
        (Artifact::Predictions(Subset::Test), |of| of.predictions(Subset::Test).map(drop)),
        (Artifact::PredictionsAbout(Subset::Test), |of| of.predictions(Subset::Test).map(drop)),
        (Artifact::BestCheckpoint, |of| of.classifier().map(drop)),
    ]
}

#[test]
fn a_run_takes_no_file_of_another_run_nor_one_that_was_changed() {
    let home = folder();
    let work = workspace(home.path());
    let (own, other) = (evaluated(&work, "own", 1), evaluated(&work, "other", 2));
    let (own, other) = (own.folder(), other.folder());
    let before = contents(own.path());
    let refused = |artifact: Artifact, read: Reader, put: &dyn Fn(&Path)| {
        let path = own.path_of(artifact);
        let kept = fs::read(&path).expect("reads");
        read(own).expect("the run's own");
        put(&path);
        if hash(&path) == Digest::of(&kept) {
            // The other run chose the same rule, for example.
            return false;
        }
        let error = format!("{:#}", read(own).expect_err("not the run's own"));
        let (found, expected) = (hash(&path), Digest::of(&kept));
        let says = format!("{} was changed or comes from elsewhere: it hashes to {found}", path.display());
        let is_said = error.contains(&says) && error.ends_with(&format!("SHA256SUMS says {expected}"));
        // A checkpoint has a checksum of its own, which is compared first.
        let is_damaged = artifact == Artifact::BestCheckpoint && error.contains("is damaged: the CRC-32C should be");
        assert!(is_said || is_damaged, "{error}");
        fs::write(&path, kept).expect("writes");
        read(own).expect("the run's own again");
        true
    };
    let mut foreign = 0;
    for (artifact, read) in readers() {
        foreign += usize::from(refused(artifact, read, &|path| {
            fs::copy(other.path_of(artifact), path).expect("copies");
        }));
        let changed = refused(artifact, read, &|path| {
            let mut bytes = fs::read(path).expect("reads");
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(path, bytes).expect("writes");
        });
        assert!(changed, "{artifact:?}");
    }
    assert!(foreign >= 8, "{foreign} files of the other run differ");
    let test = |of: &RunFolder| of.predictions(Subset::Test).map(drop);
    let swapped = refused(Artifact::Predictions(Subset::Test), test, &|path| {
        fs::copy(own.path_of(Artifact::Predictions(Subset::Validation)), path).expect("copies");
    });
    assert!(swapped);
    assert_eq!(contents(own.path()), before);
}

#[test]
fn a_copied_run_is_a_run_of_its_own() {
    let home = folder();
    let work = workspace(home.path());
    let original = evaluated(&work, "original", 1);
    let copy = work.run("copy");
    fs::create_dir(copy.path()).expect("makes");
    for name in contents(original.folder().path()).into_keys() {
        fs::copy(original.folder().path().join(&name), copy.path().join(&name)).expect("copies");
    }
    let before = contents(original.folder().path());
    fs::remove_file(copy.path_of(Artifact::Inference)).expect("removes");
    let reopened = Experiment::reopen_in(&work, "copy", |_| ()).expect("opens");
    let inference = reopened.predict().expect("predicts");
    assert_eq!(inference.about.run, "copy");
    assert_eq!(copy.predictions(Subset::Prediction).expect("reads").about.run, "copy");
    assert_eq!(contents(original.folder().path()), before, "nothing is written into the original's folder");
    assert_eq!(hash(&copy.path_of(Artifact::BestCheckpoint)), before["best.safetensors"]);
}

#[test]
fn an_audit_whose_findings_were_taken_out_is_refused() {
    let home = folder();
    let work = workspace(home.path());
    let path = work.manifest_folder().join("audit.json");
    let mut audit: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("reads")).expect("JSON");
    let findings = audit["findings"].as_array_mut().expect("a list");
    assert!(findings.len() > 5);
    findings.clear();
    fs::write(&path, serde_json::to_vec_pretty(&audit).expect("JSON")).expect("writes");
    for error in [Audit::read(work.manifest_folder()).expect_err("changed"), work.audit().expect_err("changed")] {
        let error = format!("{error:#}");
        assert!(error.contains("audit.json was changed") && error.contains("covid-ct audit"), "{error}");
    }
    let manifest = fixture().manifest.clone();
    Audit::run(&manifest, silent).expect("audits").write(work.manifest_folder()).expect("writes");
    assert_eq!(work.audit().expect("as written"), fixture().audit);
}

/// Thresholds are probabilities, whoever wrote them.
#[test]
fn a_rule_out_of_range_is_refused() {
    let home = folder();
    let path = home.path().join("scan-rule.json");
    let error = |rule: &str| {
        fs::write(&path, format!("{{\"rule\":{rule},\"chosen\":\"by hand\"}}")).expect("writes");
        let sum = hash(&path);
        fs::write(home.path().join("SHA256SUMS"), format!("{sum}  scan-rule.json\n")).expect("writes");
        RunFolder::at(home.path()).scan_rule().map_err(|error| format!("{error:#}"))
    };
    for share in ["share-of-slices", "mean-probability"] {
        let found = error(&format!("{{\"{share}\":-0.5}}")).expect_err("below 0");
        assert!(found.contains("expected a threshold from 0 to 1, found -0.5"), "{found}");
        assert!(error(&format!("{{\"{share}\":1.5}}")).is_err() && error(&format!("{{\"{share}\":0.5}}")).is_ok());
    }
    let found = error("{\"any-of\":0}").expect_err("none");
    assert!(found.contains("expected one slice or more, found 0"), "{found}");
    assert!(error("{\"any-of\":1}").is_ok());
}

#[test]
fn a_report_lists_every_run_that_it_cannot_show() {
    let home = folder();
    let work = workspace(home.path());
    let (good, damaged) = (evaluated(&work, "good", 1), evaluated(&work, "damaged", 2));
    fs::write(damaged.folder().path_of(Artifact::Config), "{\"name\": ").expect("writes");
    // Damaged parts of a run that is shown.
    fs::write(good.folder().path_of(Artifact::History), "{}").expect("writes");
    Experiment::open_in(&work, tiny_run("unfinished"), |_| ()).expect("opens").train().expect("trains");
    let runs = work.evaluated_runs().expect("lists");
    assert_eq!(runs, [good.folder().clone(), damaged.folder().clone()]);
    let at = Report::new(&work, &runs, None).expect("reports").write(home.path().join("report")).expect("writes");
    let json = fs::read(at.with_file_name("report.json")).expect("reads");
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    let left_out: Vec<String> = json["left_out"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|of| format!("{}: {}", of["what"], of["why"]))
        .collect();
    let has = |what: &str, why: &str| left_out.iter().any(|of| of.contains(what) && of.contains(why));
    assert!(has("config.json of damaged", "is not a run's settings"), "{left_out:?}");
    assert!(has("history.json of good", "was changed or comes from elsewhere"), "{left_out:?}");
    assert!(has("the run unfinished", "it is not evaluated"), "{left_out:?}");
}
