//! Nothing is paid for, lost or taken for ours by mistake.

use super::*;
use std::path::Path;

#[test]
fn a_bucket_that_is_another_is_said_and_not_made() {
    let account = Account::new();
    fs::write(account.path("bucket"), "").expect("a bucket");
    assert_eq!(account.run("bucket").expect("is ours"), Outcome::AlreadyDone);
    fs::write(account.path("other-location"), "US").expect("a file");
    let error = account.run("bucket").expect_err("lies elsewhere").to_string();
    assert!(error.contains("location: expected ASIA-EAST1, found \"US\""), "{error}");
    assert!(account.changes().is_empty());
}

#[test]
fn no_machine_is_rented_before_the_quota_is_seen() {
    let account = Account::new();
    fs::write(account.path("gpus"), "0.0").expect("a file");
    let ask = |_: &Question| panic!("asked to rent what cannot be had");
    let options = RunOptions { yes: false, ..account.options() };
    let error = run_step(&account.plan, "instance", &options, ask, |_| ()).expect_err("no GPU");
    assert!(format!("{error:#}").starts_with("before step instance: step check-quota, "), "{error:#}");
    assert!(account.changes().is_empty());
    fs::remove_file(account.path("gpus")).expect("the file");
    assert_eq!(account.run("instance").expect("rents"), Outcome::Done);
}

#[test]
fn a_set_up_that_failed_is_shown_with_its_log() {
    let account = Account::new();
    fs::write(account.path("setup-status"), "failed: rust\nThe end of the log:\nno network\nok\n").expect("a status");
    let lines = RefCell::new(Vec::new());
    let log = |line: &str| lines.borrow_mut().push(line.to_owned());
    let error = run_step(&account.plan, "check-setup", &account.options(), |_| true, log).expect_err("failed");
    assert!(format!("{error:#}").contains("expected \"ok\", found \"failed: rust\""), "{error:#}");
    assert!(lines.borrow().contains(&"no network".to_owned()), "{lines:?}");
    // It writes a key into the project: it is asked about.
    let options = RunOptions { yes: false, ..account.options() };
    let declined = run_step(&account.plan, "check-driver", &options, |_| false, |_| ()).expect("a no");
    assert_eq!(declined, Outcome::Declined);
}

/// Pasting the whole text into a shell costs nothing and deletes nothing.
#[test]
fn commands_pasted_as_a_whole_do_no_harm() {
    let folder = tempfile::tempdir().expect("a folder");
    for plan in [Plan::new(&settings()).expect("a plan"), Plan::new(&CloudConfig::default()).expect("a plan")] {
        let text = plan.commands(Some(Path::new("my cloud.json")));
        fs::write(folder.path().join("gcloud"), "#!/bin/sh\necho \"$*\" >>\"$(dirname \"$0\")/calls\"\n")
            .expect("a file");
        fs::write(folder.path().join("covid-ct"), "#!/bin/sh\necho \"$*\" >>\"$(dirname \"$0\")/own\"\n")
            .expect("a file");
        for program in ["gcloud", "covid-ct"] {
            let path = folder.path().join(program);
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("may be run");
        }
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap_or_default());
        let shell = std::process::Command::new("sh")
            .args(["-c", &text])
            .current_dir(folder.path())
            .env("PATH", path)
            .status()
            .expect("a shell");
        assert!(shell.success());
        let calls = fs::read_to_string(folder.path().join("calls")).expect("calls");
        for word in [" rm ", " delete ", "instances create", "instances start", "XXXXXX", "cp train.zip"] {
            assert!(!calls.contains(word), "{word} in {calls}");
        }
        assert!(calls.contains("projects create") && text.contains("\n#! gcloud workbench instances delete"), "{text}");
    }
    let own = fs::read_to_string(folder.path().join("own")).expect("its own calls");
    assert_eq!(own, "cloud --config my cloud.json script\n");
}
