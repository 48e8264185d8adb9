//! `covid-ct cloud run …` as a user calls it: the program itself, with a fake gcloud first on the PATH that records its
//! calls. Not tested: gcloud itself, and any account.

use crate::support::{folder, program};
use covid_ct::CloudConfig;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A workspace with complete settings, three archives, and the fake gcloud.
fn account() -> TempDir {
    let home = folder();
    for archive in ["train.zip", "val.zip", "dati_palmucci_pred.zip"] {
        fs::write(home.path().join(archive), archive).expect("an archive");
    }
    let settings = CloudConfig {
        billing_account: Some("012345-6789AB-CDEF01".into()),
        repository: Some("https://example.org/covid-ct.git".into()),
        ..CloudConfig::default()
    };
    settings.write(home.path().join("cloud.json")).expect("settings");
    let gcloud = home.path().join("gcloud");
    fs::write(&gcloud, include_str!("../src/remote/cloud/tests/gcloud.sh")).expect("the stand-in");
    fs::set_permissions(&gcloud, fs::Permissions::from_mode(0o755)).expect("may be run");
    home
}

fn cloud(home: &Path, arguments: &[&str]) -> Command {
    let mut command = program(home, home);
    command.env("PATH", format!("{}:/usr/bin:/bin", home.display())).arg("cloud").args(arguments);
    command
}

/// Exit code and everything printed.
fn told(output: Output) -> (Option<i32>, String) {
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("UTF-8"))
}

fn run(home: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    told(cloud(home, arguments).output().expect("starts"))
}

fn answered(home: &Path, arguments: &[&str], answer: &str) -> (Option<i32>, String) {
    let mut child = cloud(home, arguments).stdin(Stdio::piped()).spawn().expect("starts");
    child.stdin.take().expect("a pipe").write_all(answer.as_bytes()).expect("answers");
    told(child.wait_with_output().expect("ends"))
}

fn calls(home: &Path) -> Vec<String> {
    let calls = fs::read_to_string(home.join("calls")).unwrap_or_default();
    calls.lines().map(str::to_owned).collect()
}

#[test]
fn the_gcloud_of_these_tests_says_that_it_is_none() {
    let home = account();
    let output = Command::new(home.path().join("gcloud")).arg("--version").output().expect("starts");
    assert!(String::from_utf8_lossy(&output.stdout).contains("a stand-in"));
}

#[test]
fn nothing_is_made_without_an_answer() {
    let home = account();
    let looked = ["projects describe mia-covd19-challenge --format=value(lifecycleState)"];
    let (code, text) = run(home.path(), &["run", "project"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("gcloud projects create mia-covd19-challenge") && text.contains("[y/N]"), "{text}");
    assert!(text.contains("covid-ct: step project: not done, the answer was not yes"), "{text}");
    assert_eq!(calls(home.path()), looked);
    for no in ["n\n", "\n", "yes please\n"] {
        assert_eq!(answered(home.path(), &["run", "project"], no).0, Some(1), "{no:?}");
    }
    assert!(calls(home.path()).iter().all(|call| *call == looked[0]), "{:?}", calls(home.path()));
    let (code, text) = answered(home.path(), &["run", "project"], "y\n");
    assert_eq!(code, Some(0), "{text}");
    let create = "projects create mia-covd19-challenge --name=MIA-COVD19-Challenge";
    assert_eq!(calls(home.path()).last().map(String::as_str), Some(create));
    let (code, text) = run(home.path(), &["run", "project"]);
    assert!(code == Some(0) && text.contains("done already"), "{text}");
}

#[test]
fn a_script_gets_from_nothing_to_a_machine_and_back() {
    let home = account();
    let yes = |step: &str, more: &[&str]| {
        let (code, text) = run(home.path(), &[&["run", step, "--yes"], more].concat());
        assert_eq!(code, Some(0), "{step}: {text}");
        assert!(!text.contains("someone@example.org"), "{step} names an account: {text}");
        text
    };
    for step in ["check-tools", "project", "billing", "apis", "bucket", "upload-training", "setup-script", "instance"] {
        yes(step, &[]);
    }
    let made = calls(home.path());
    let create = made.iter().position(|call| call.starts_with("workbench instances create")).expect("rents");
    let quota = made.iter().position(|call| call.starts_with("compute regions describe")).expect("looks");
    assert!(quota < create && made[create].contains("--accelerator-type=NVIDIA_TESLA_T4"), "{made:?}");
    assert!(yes("check-setup", &[]).contains("The end of the log"));
    yes("stop", &[]);
    assert_eq!(run(home.path(), &["run", "delete", "--yes"]).0, Some(1), "its name is missing");
    assert!(!calls(home.path()).iter().any(|call| call.starts_with("workbench instances delete")));
    yes("delete", &["--name-again", "covid-ct"]);
    let log = fs::read_to_string(home.path().join("cloud-log.jsonl")).expect("a log");
    assert_eq!(log.lines().count(), calls(home.path()).len(), "every call is in the log");
}

#[test]
fn failures_end_with_their_exit_code_and_gclouds_words() {
    let home = account();
    fs::write(home.path().join("fail"), "").expect("a file");
    let (code, text) = run(home.path(), &["run", "project", "--yes"]);
    assert!(code == Some(1) && text.contains("exit code 3") && text.contains("line 20"), "{text}");
    let (code, text) = run(home.path(), &["run", "no-such-step"]);
    assert!(code == Some(1) && text.contains("expected one of check-tools, project"), "{text}");
    fs::remove_file(home.path().join("gcloud")).expect("the stand-in");
    let mut without = cloud(home.path(), &["run", "check-tools"]);
    let (code, text) = told(without.env("PATH", home.path()).output().expect("starts"));
    assert!(code == Some(1) && text.contains("install the Google Cloud CLI"), "{text}");
    // The plan needs none, and carries the settings' file along.
    let settings = home.path().join("other.json");
    fs::copy(home.path().join("cloud.json"), &settings).expect("copies");
    let file = settings.display().to_string();
    let (code, text) = run(home.path(), &["plan", "--commands", "--config", &file]);
    assert!(code == Some(0) && text.contains(&format!("covid-ct cloud --config {file} script > ")), "{text}");
}
