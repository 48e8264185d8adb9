//! The plan against gcloud's own flags, and steps against a stand-in for gcloud that plays an account.

use super::*;
use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tempfile::TempDir;

mod safety;

/// Which flags each command takes. Source: `data/cli/gcloud_completions.py` of the Google Cloud CLI 528.0.0
/// (2025-06-20), whose parser took every command of the plan; `workbench instances create` also on
/// docs.cloud.google.com/sdk/gcloud/reference/workbench/instances/create. Only the flags in use are listed.
const FLAGS: [(&str, &[&str]); 27] = [
    ("auth list", &["--filter"]),
    ("billing projects describe", &[]),
    ("billing projects link", &["--billing-account"]),
    ("compute images describe-from-family", &[]),
    ("compute project-info describe", &[]),
    ("compute regions describe", &[]),
    ("compute ssh", &["--zone", "--command"]),
    ("projects create", &["--name"]),
    ("projects describe", &[]),
    ("services enable", &[]),
    ("services list", &["--enabled"]),
    ("storage buckets create", &["--location", "--uniform-bucket-level-access", "--public-access-prevention"]),
    ("storage buckets describe", &[]),
    ("storage buckets list", &["--filter"]),
    ("storage cp", &[]),
    ("storage hash", &["--skip-md5"]),
    ("storage objects describe", &[]),
    ("storage rm", &["--recursive"]),
    ("version", &[]),
    (
        "workbench instances create",
        &[
            "--location",
            "--machine-type",
            "--accelerator-type",
            "--accelerator-core-count",
            "--install-gpu-driver",
            "--vm-image-project",
            "--vm-image-family",
            "--boot-disk-size",
            "--boot-disk-type",
            "--data-disk-size",
            "--data-disk-type",
            "--metadata",
        ],
    ),
    ("workbench instances delete", &["--location"]),
    ("workbench instances describe", &["--location"]),
    ("workbench instances start", &["--location"]),
    ("workbench instances stop", &["--location"]),
    // Not in use; here so that a typing error above cannot make a prefix of them pass.
    ("storage buckets delete", &[]),
    ("workbench instances list", &[]),
    ("compute machine-types describe", &[]),
];
/// Flags of every command.
const WIDE: [&str; 3] = ["--project", "--format", "--flatten"];

const NAMES: [&str; 19] = [
    "check-tools",
    "project",
    "billing",
    "apis",
    "check-quota",
    "bucket",
    "upload-training",
    "upload-validation",
    "upload-prediction",
    "verify-uploads",
    "setup-script",
    "instance",
    "jupyterlab",
    "check-driver",
    "check-setup",
    "stop",
    "start",
    "delete",
    "delete-bucket",
];

/// Complete settings.
fn settings() -> CloudConfig {
    CloudConfig {
        billing_account: Some("012345-6789AB-CDEF01".into()),
        repository: Some("https://example.org/covid-ct.git".into()),
        ..CloudConfig::default()
    }
}

/// A folder with archives in it and a stand-in for gcloud.
struct Account {
    folder: TempDir,
    plan: Plan,
}

impl Account {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (archive, bytes) in [("train.zip", 32), ("val.zip", 7), ("dati_palmucci_pred.zip", 2)] {
            fs::write(folder.path().join(archive), vec![7; bytes]).expect("an archive");
        }
        let gcloud = folder.path().join("gcloud");
        fs::write(&gcloud, include_str!("tests/gcloud.sh")).expect("the stand-in");
        fs::set_permissions(&gcloud, fs::Permissions::from_mode(0o755)).expect("may be run");
        Self { folder, plan: Plan::new(&settings()).expect("a plan") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn options(&self) -> RunOptions {
        RunOptions {
            yes: true,
            folder: self.folder.path().into(),
            gcloud: self.path("gcloud"),
            ..RunOptions::default()
        }
    }

    fn run(&self, step: &str) -> crate::base::errors::Result<Outcome> {
        run_step(&self.plan, step, &self.options(), |_| panic!("asked in spite of --yes"), |_| ())
    }

    /// The calls of gcloud so far, without those that only read.
    fn changes(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        let changing = [" create ", " link ", " enable ", " cp ", " stop ", " start ", " delete ", " rm "];
        calls.lines().filter(|call| changing.iter().any(|word| call.contains(word))).map(str::to_owned).collect()
    }
}

#[test]
fn steps_are_in_the_slides_order() {
    let plan = Plan::new(&settings()).expect("a plan");
    assert_eq!(plan.steps().iter().map(|step| step.name).collect::<Vec<_>>(), NAMES);
    let error = plan.step("buckets").expect_err("no such step").to_string();
    assert!(error.contains("bucket, upload-training") && error.contains("\"buckets\""), "{error}");
    let table = plan.to_string();
    assert!(table.contains("12. instance") && table.contains("0.64 USD an hour"), "{table}");
}

#[test]
fn only_flags_that_gcloud_has() {
    for step in Plan::new(&settings()).expect("a plan").steps() {
        for command in step.commands.iter().chain(&step.done) {
            let words = command.argv[1..].join(" ");
            let known = FLAGS.iter().find(|(name, _)| words == *name || words.starts_with(&format!("{name} ")));
            let (_, flags) = known.unwrap_or_else(|| panic!("{}: gcloud {words} is not listed", step.name));
            assert_eq!(command.argv[0], "gcloud");
            for flag in command.argv.iter().filter(|arg| arg.starts_with('-')) {
                let name = flag.split('=').next().unwrap_or_default();
                assert!(flags.contains(&name) || WIDE.contains(&name), "{}: {flag} in gcloud {words}", step.name);
            }
        }
    }
}

#[test]
fn the_instance_is_the_slides_machine() {
    let step = Plan::new(&settings()).expect("a plan").step("instance").expect("the step");
    let shown = step.commands[0].to_string();
    for flag in [
        "gcloud workbench instances create covid-ct --location=asia-east1-a --project=mia-covd19-challenge",
        "--machine-type=n1-standard-4 --accelerator-type=NVIDIA_TESLA_T4 --accelerator-core-count=1",
        "--boot-disk-size=100 --boot-disk-type=PD_STANDARD --data-disk-size=100 --data-disk-type=PD_STANDARD",
        "post-startup-script=gs://covid_19_challenge/cloud/post-startup.sh",
        "idle-timeout-seconds=10800",
    ] {
        assert!(shown.contains(flag), "{flag} in {shown}");
    }
}

#[test]
fn the_whole_workflow_and_once_more_changes_nothing() {
    let account = Account::new();
    let upwards = &NAMES[..15];
    for step in upwards {
        assert_eq!(account.run(step).unwrap_or_else(|error| panic!("{error:#}")), Outcome::Done, "{step}");
    }
    let script = fs::read_to_string(account.path("object-post-startup.sh")).expect("the script in the bucket");
    assert!(script.contains("repository=https://example.org/covid-ct.git\n"));
    let changes = account.changes();
    assert_eq!(changes.len(), 9, "{changes:#?}");
    for step in upwards.iter().filter(|step| **step != "setup-script") {
        account.run(step).unwrap_or_else(|error| panic!("{step}: {error:#}"));
    }
    assert_eq!(account.changes(), changes, "a second run found everything done");
    assert_eq!(account.run("stop").expect("stops"), Outcome::Done);
    assert_eq!(account.run("stop").expect("is stopped"), Outcome::AlreadyDone);
    assert_eq!(account.run("start").expect("starts"), Outcome::Done);
}

#[test]
fn changes_are_asked_for_and_looks_are_not() {
    let account = Account::new();
    let options = RunOptions { yes: false, ..account.options() };
    let asked = RefCell::new(Vec::new());
    let no = |question: &Question| {
        asked.borrow_mut().push(question.to_string());
        false
    };
    assert_eq!(run_step(&account.plan, "project", &options, no, |_| ()).expect("a no"), Outcome::Declined);
    assert_eq!(run_step(&account.plan, "check-tools", &options, no, |_| ()).expect("reads"), Outcome::Done);
    assert!(account.changes().is_empty());
    let asked = asked.into_inner();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].contains("gcloud projects create mia-covd19-challenge --name=MIA-COVD19-Challenge"), "{asked:?}");
    let yes = run_step(&account.plan, "project", &options, |_| true, |_| ()).expect("a yes");
    assert_eq!((yes, account.changes().len()), (Outcome::Done, 1));
}

#[test]
fn nothing_is_deleted_without_its_name_said_twice() {
    let account = Account::new();
    fs::write(account.path("instance"), "ACTIVE").expect("an instance");
    fs::write(account.path("bucket"), "").expect("a bucket");
    for (step, name) in [("delete", "covid-ct"), ("delete-bucket", "covid_19_challenge")] {
        let with = |yes: bool, again: Option<&str>| {
            let options = RunOptions { yes, name_again: again.map(str::to_owned), ..account.options() };
            run_step(&account.plan, step, &options, |_| true, |_| ())
        };
        for (yes, again) in [(true, None), (false, Some(name)), (true, Some("other"))] {
            let error = with(yes, again).expect_err("refused").to_string();
            assert!(error.contains(&format!("expected --yes and --name-again {name}")), "{error}");
        }
        assert!(!account.path("calls").exists(), "nothing is called");
        assert_eq!(with(true, Some(name)).expect("deletes"), Outcome::Done);
        assert_eq!(with(true, Some(name)).expect("is gone"), Outcome::AlreadyDone);
        fs::remove_file(account.path("calls")).expect("calls");
    }
}

#[test]
fn every_call_is_in_the_log() {
    let account = Account::new();
    let lines = RefCell::new(Vec::new());
    let log = |line: &str| lines.borrow_mut().push(line.to_owned());
    run_step(&account.plan, "check-tools", &account.options(), |_| true, log).expect("reads");
    assert!(lines.borrow().contains(&"you are (account)".to_owned()), "{lines:?}");
    account.run("project").expect("creates");
    fs::write(account.path("fail"), "").expect("a file");
    account.run("bucket").expect_err("fails");
    let log = fs::read_to_string(account.path("cloud-log.jsonl")).expect("a log");
    let lines: Vec<serde_json::Value> = log.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let seen: Vec<_> = lines.iter().map(|l| (l["step"].as_str().unwrap_or(""), l["exit_code"].as_i64())).collect();
    let expected = [("check-tools", Some(0)), ("check-tools", Some(0)), ("project", Some(1)), ("project", Some(0))];
    assert_eq!(seen[..4], expected);
    assert_eq!(seen[4..], [("bucket", Some(0)), ("bucket", Some(3))]);
    assert_eq!(lines[3]["argv"][1], "projects");
    assert!(lines.iter().all(|line| line["time"].as_u64() > Some(1_600_000_000) && line["seconds"].is_number()));
    assert!(!log.contains("someone@example.org"), "what gcloud prints is not logged");
}

#[test]
fn failures_are_told_with_gclouds_last_lines() {
    let account = Account::new();
    fs::write(account.path("fail"), "").expect("a file");
    let error = format!("{:#}", account.run("project").expect_err("fails"));
    assert!(error.contains("exit code 3") && error.contains("line 20") && !error.contains("line 8\n"), "{error}");
    assert!(error.contains("step project, `gcloud projects create"), "{error}");

    fs::write(account.path("gpus"), "0.0").expect("a file");
    let error = format!("{:#}", account.run("check-quota").expect_err("no GPU"));
    assert!(error.contains("GPUS_ALL_REGIONS, found a limit of 0"), "{error}");

    let options = RunOptions { gcloud: account.path("no-such-gcloud"), ..account.options() };
    let error = format!("{:#}", run_step(&account.plan, "project", &options, |_| true, |_| ()).expect_err("missing"));
    assert!(error.contains("install the Google Cloud CLI"), "{error}");
}

#[test]
fn checksums_that_differ_are_an_error_and_progress_is_shown() {
    let account = Account::new();
    let lines = RefCell::new(Vec::new());
    let options = account.options();
    let log = |line: &str| lines.borrow_mut().push(line.to_owned());
    run_step(&account.plan, "upload-training", &options, |_| true, log).expect("uploads");
    assert!(lines.borrow().iter().any(|line| line == "Copying 50%"), "{lines:?}");
    account.run("upload-validation").expect("uploads");
    account.run("upload-prediction").expect("uploads");
    account.run("verify-uploads").expect("the same");
    fs::write(account.path("other-crc"), "").expect("a file");
    let error = account.run("verify-uploads").expect_err("differs").to_string();
    assert!(error.contains("AAAAAA==") && error.contains("train.zip"), "{error}");
    // Half an upload has another size and is done again.
    fs::write(account.path("object-train.zip"), "7").expect("half an object");
    assert_eq!(account.run("upload-training").expect("again"), Outcome::Done);
}

#[test]
fn what_is_not_set_is_said_before_anything_is_called() {
    let account = Account::new();
    let plan = Plan::new(&CloudConfig::default()).expect("a plan without account and repository");
    for (step, field) in [("billing", "billing_account"), ("setup-script", "repository"), ("instance", "repository")] {
        let error = run_step(&plan, step, &account.options(), |_| true, |_| ()).expect_err("not set").to_string();
        assert!(error.contains(&format!("not set: {field}")), "{error}");
    }
    assert!(!account.path("calls").exists());
}

#[test]
fn hostile_paths_stay_single_arguments() {
    let account = Account::new();
    let archives = Archives { training: "-a $(touch x)'\".zip".into(), ..settings().archives };
    let plan = Plan::new(&CloudConfig { archives, ..settings() }).expect("a plan");
    fs::write(account.path("-a $(touch x)'\".zip"), "training").expect("an archive");
    let upload = plan.step("upload-training").expect("the step");
    assert_eq!(upload.commands[0].argv[3], "./-a $(touch x)'\".zip");
    assert_eq!(run_step(&plan, "upload-training", &account.options(), |_| true, |_| ()).expect("runs"), Outcome::Done);
    assert!(account.path("object--a $(touch x)'\".zip").exists() && !account.path("x").exists());
}

#[test]
fn a_look_needs_no_gcloud_and_changes_nothing() {
    let account = Account::new();
    let well = account.plan.look("check-tools", account.path("gcloud")).expect("looks");
    assert!(well.is_well() && !well.to_string().contains("someone@example.org"), "{well}");
    let without = account.plan.look("check-tools", "/no/such/gcloud").expect("looks");
    assert!(!without.is_well() && without.to_string().contains("install the Google Cloud CLI"), "{without}");
    account.plan.look("delete", account.path("gcloud")).expect_err("it deletes");
    assert!(account.changes().is_empty() && !account.path("cloud-log.jsonl").exists());
}
