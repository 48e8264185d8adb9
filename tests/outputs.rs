//! Where the program's output goes: to readers that have gone, to full disks, beyond limits.

use crate::support::{fixture, folder, program, run, run_well};
use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const TRAIN: [&str; 11] =
    ["train", "--small", "--size", "32", "--device", "cpu", "--network", "compact", "--epochs", "1", "--all-slices"];

/// A workspace with the fixture's audit.
fn audited() -> tempfile::TempDir {
    let home = folder();
    fixture().audit.write(home.path().join("data_manifest/phantom")).expect("writes");
    home
}

/// A pipe whose reader has gone, as with `covid-ct … | head`.
fn unread() -> Stdio {
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The program, which may write no file of more than this many blocks of 512 bytes.
fn limited(blocks: u32, home: &Path, arguments: &[&str]) -> Output {
    let plain = program(home, &fixture().root);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -f {blocks}; exec \"$@\""), "sh"]).arg(plain.get_program()).args(arguments);
    shell.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.stdin(Stdio::null()).output().expect("the shell starts")
}

#[test]
fn a_training_whose_output_nobody_reads_goes_on() {
    let home = audited();
    let status = program(home.path(), &fixture().root).args(TRAIN).stdout(unread()).stderr(unread()).status();
    assert_eq!(status.expect("starts").code(), Some(0));
    assert!(home.path().join("runs/phantom/compact/history.json").is_file());
}

#[test]
fn a_table_that_nobody_reads_ends_quietly() {
    let home = audited();
    for command in ["split", "doctor"] {
        let output = program(home.path(), &fixture().root).arg(command).stdout(unread()).output().expect("starts");
        assert!(matches!((output.status.code(), command), (Some(0), _) | (Some(3), "doctor")), "{}", said(&output));
        assert_eq!(said(&output), "");
    }
}

#[test]
fn a_table_that_a_full_disk_does_not_take_is_an_error() {
    let home = audited();
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux");
    let output = program(home.path(), &fixture().root).arg("split").stdout(full).output().expect("starts");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(said(&output), "covid-ct: writing to standard output: No space left on device (os error 28)\n");
}

#[test]
fn a_file_size_limit_is_an_error_that_names_the_file() {
    let home = audited();
    let output = limited(16, home.path(), &TRAIN);
    let told = said(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("File too large") && told.contains(&home.path().display().to_string()), "{told}");
}

#[test]
fn an_export_that_does_not_fit_is_an_error_and_leaves_nothing() {
    let home = audited();
    run_well(home.path(), &fixture().root, &TRAIN);
    let target = home.path().join("exported/model.pt");
    let export = ["export", "--name", "compact", target.to_str().expect("UTF-8")];
    let output = limited(64, home.path(), &export);
    let told = said(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains(&format!("writing {}: File too large", target.display())), "{told}");
    assert_eq!(std::fs::read_dir(home.path().join("exported")).expect("reads").count(), 0);
    run_well(home.path(), &fixture().root, &export);
    assert!(target.is_file());
}

#[test]
fn counts_beyond_all_reason_are_refused() {
    let home = audited();
    let most = usize::MAX.to_string();
    let drawn = home.path().join("drawn");
    for (arguments, message) in [
        (vec!["train", "--epochs"], "epochs: expected 1 to 1,000,000"),
        (vec!["train", "--batch-size"], "batch_size: expected 1 to 1,000,000"),
        (vec!["train", "--folds"], "split.fold.of (--folds): expected 3 to 20 parts"),
        (vec!["train", "--seeds"], "is not in 2..=100"),
        (vec!["leakage", "--repeats"], "is not in 1..=10000"),
        (vec!["bench", "step", "--batch"], "is not in 1..=4096"),
        (vec!["phantom", drawn.to_str().expect("UTF-8"), "--slices"], "1,000,000 slices in all at most"),
    ] {
        let output = run(home.path(), &fixture().root, &[arguments.as_slice(), &[&most]].concat());
        let told = said(&output);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{arguments:?}: {told}");
        assert!(told.contains(message) && told.contains(&most), "{arguments:?}: {told}");
    }
}
