//! Staging from a bucket, with the program itself, against a real fake-gcs-server on loopback.
//!
//! Not exercised here, because the tests need no account and no network: real Google Cloud Storage, its credentials
//! (gcloud's, a service account's, a VM's) and its TLS; Amazon S3; a disk that is really full; a power cut.

use crate::gcs::{Gcs, Wire};
use crate::zips::{entry, noise, zip};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

mod conflicts;
mod real;

const MB: u64 = 1_000_000;

fn program(url: &str, home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_covid-ct"));
    for name in ["GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "CLOUDSDK_CONFIG", "SERVICE_ACCOUNT"] {
        command.env_remove(name);
    }
    command.env("GOOGLE_BASE_URL", url).env("GOOGLE_SKIP_SIGNATURE", "true").env("HOME", home);
    command.arg("stage").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What it printed, or its error.
fn stage(url: &str, target: &Path, arguments: &[&str]) -> Result<String, String> {
    let target = target.display().to_string();
    let arguments = [arguments, &[target.as_str()]].concat();
    let output = program(url, Path::new("/nonexistent"), &arguments).output().expect("starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8").replace(&target, "TARGET");
    if output.status.success() {
        return Ok(text(output.stdout));
    }
    let error = text(output.stderr);
    Err(error.lines().last().unwrap_or_default().to_owned())
}

/// Starts staging over a slow wire, waits until `bytes` have come, and kills it without warning.
fn kill_after(bytes: u64, wire: &Wire, target: &Path, arguments: &[&str]) {
    wire.slow_down(4 * MB);
    let (before, begun) = (wire.came(), Instant::now());
    let target = target.display().to_string();
    let mut child =
        program(&wire.url(), Path::new("/nonexistent"), &[arguments, &[&target]].concat()).spawn().expect("starts");
    while wire.came() - before < bytes {
        assert!(begun.elapsed() < Duration::from_secs(60) && child.try_wait().expect("runs").is_none());
        std::thread::sleep(Duration::from_millis(20));
    }
    // On Unix this is SIGKILL, as the notebook kernel's interrupt is.
    child.kill().and_then(|()| child.wait()).expect("dies");
    wire.slow_down(0);
}

/// Numbers of the parts of 8 MiB of large.bin that a run left finished.
fn finished_parts(target: &Path) -> Vec<usize> {
    let journal = fs::read_to_string(target.join("large.bin.partial.journal")).expect("is there");
    let number = |line: &str| line.split(' ').next().expect("a number").parse().expect("a number");
    journal.lines().skip(1).map(number).collect()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// 80 slices of 1 MB.
fn archive(seed: u64) -> Vec<u8> {
    let entries =
        (0..80).map(|i| entry(&format!("train/covid/ct_scan_{}/{i}.jpg", i / 10), &noise(1_000_000, seed + i)));
    zip(&entries.collect::<Vec<_>>(), false)
}

fn assert_unpacked(target: &Path, seed: u64) {
    for i in 0..80 {
        let file = target.join(format!("train/covid/ct_scan_{}/{i}.jpg", i / 10));
        assert!(fs::read(&file).expect("is there") == noise(1_000_000, seed + i), "{}", file.display());
    }
}

#[test]
fn a_listing_has_name_size_type_and_time() {
    let gcs = Gcs::start();
    gcs.put("v1/train.zip", &noise(1_500_000, 1));
    gcs.put("v1/notes/Read me.txt", b"hello");
    gcs.put("v10/other.zip", b"other");
    let listed = |url: &str| {
        let output = program(&gcs.wire.url(), Path::new("/nonexistent"), &[url, "--list"]).output().expect("starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let below = listed("gs://ct/v1");
    let lines: Vec<Vec<&str>> =
        below.lines().map(|line| line.split("  ").map(str::trim).filter(|c| !c.is_empty()).collect()).collect();
    assert_eq!(lines[1], ["Name", "Size", "Type", "Created"]);
    assert_eq!(lines[3][..3], ["notes/Read me.txt", "5 B", "application/zip"]);
    assert_eq!(lines[4][..3], ["train.zip", "1.5 MB", "application/zip"]);
    assert_eq!(lines[4][3].len(), "2026-01-01 00:00".len());
    assert_eq!(lines[5], ["2 objects, 1.5 MB; times are UTC."]);
    assert!(listed("gs://ct/v1/train.zip").contains("\ntrain.zip  1.5 MB"), "one object");
    let error = stage(&gcs.wire.url(), folder().path(), &["gs://ct/v2"]).expect_err("nothing is there");
    assert_eq!(
        error,
        "covid-ct: listing gs://ct/v2: there is nothing (asked without credentials, as GOOGLE_SKIP_SIGNATURE asks)"
    );
}

#[test]
fn objects_come_whole_and_only_once() {
    let (gcs, target) = (Gcs::start(), folder());
    let wire = gcs.wire.clone();
    let large = noise(20_000_000, 1);
    gcs.put("large.bin", &large);
    gcs.put("a/b/small.bin", b"small");
    gcs.put("a/empty.bin", b"");
    let staged = stage(&wire.url(), target.path(), &["gs://ct"]).expect("stages");
    assert!(staged.matches("fetched, CRC-32C verified").count() >= 2, "{staged}");
    assert!(fs::read(target.path().join("large.bin")).expect("is there") == large);
    assert_eq!(fs::read(target.path().join("a/b/small.bin")).expect("is there"), b"small");
    assert_eq!(fs::read(target.path().join("a/empty.bin")).expect("is there"), b"");
    let before = wire.came();
    let again = stage(&wire.url(), target.path(), &["gs://ct"]).expect("stages");
    assert_eq!(again.matches("was there").count(), 3, "{again}");
    assert!(wire.came() - before < 10_000, "asked for what was there");

    // New content under the old name is fetched; a file that another program changed is not replaced.
    gcs.put("a/b/small.bin", b"newer");
    stage(&wire.url(), target.path(), &["gs://ct"]).expect("stages");
    assert_eq!(fs::read(target.path().join("a/b/small.bin")).expect("is there"), b"newer");
    fs::write(target.path().join("a/b/small.bin"), b"mine!").expect("writes");
    let error = stage(&wire.url(), target.path(), &["gs://ct"]).expect_err("must be refused");
    let crc32c = crc32c::crc32c(b"newer");
    assert_eq!(
        error,
        format!(
            "covid-ct: staging gs://ct to TARGET: checking TARGET/a/b/small.bin: expected the object's 5 bytes with \
             CRC-32C {crc32c:08x}, found a file of 5 that differs and that staging did not write; move it away"
        )
    );
    assert_eq!(fs::read(target.path().join("a/b/small.bin")).expect("is there"), b"mine!");
}

#[test]
fn after_a_kill_only_missing_parts_come_and_spoilt_ones() {
    let (gcs, target) = (Gcs::start(), folder());
    let wire = gcs.wire.clone();
    let large = noise(80_000_000, 1);
    gcs.put("large.bin", &large);
    kill_after(50 * MB, &wire, target.path(), &["gs://ct"]);
    let (partial, journal) = (target.path().join("large.bin.partial"), target.path().join("large.bin.partial.journal"));
    let parts = finished_parts(target.path());
    assert!(parts.len() >= 2, "{parts:?}");
    // The disk spoils a byte of a finished part.
    let mut bytes = fs::read(&partial).expect("is there");
    bytes[parts[0] << 23] ^= 1;
    fs::write(&partial, bytes).expect("writes");
    let before = wire.came();
    stage(&wire.url(), target.path(), &["gs://ct"]).expect("goes on");
    assert!(fs::read(target.path().join("large.bin")).expect("is there") == large);
    let (came, kept) = (wire.came() - before, (parts.len() as u64 - 1) << 23);
    assert!(came < 80 * MB - kept + 100_000, "{came} bytes came, though {kept} were there");
    assert!(!partial.exists() && !journal.exists());
}

#[test]
fn a_server_that_dies_and_comes_back_is_waited_for() {
    let (mut gcs, target) = (Gcs::start(), folder());
    let wire = gcs.wire.clone();
    let large = noise(40_000_000, 1);
    gcs.put("large.bin", &large);
    wire.slow_down(4 * MB);
    let url = wire.url();
    let to = target.path().to_owned();
    let staging = std::thread::spawn(move || stage(&url, &to, &["gs://ct"]));
    while wire.came() < 15 * MB {
        assert!(!staging.is_finished(), "{:?}", staging.join());
        std::thread::sleep(Duration::from_millis(20));
    }
    gcs.kill();
    std::thread::sleep(Duration::from_secs(3));
    wire.slow_down(0);
    gcs.revive();
    staging.join().expect("ends").expect("stages");
    assert!(fs::read(target.path().join("large.bin")).expect("is there") == large);
    // It went on at the byte: what had come, though the parts were not finished, did not come again.
    assert!(wire.came() < 44 * MB, "{} bytes came of 40 million", wire.came());
}

#[test]
fn a_server_that_stays_away_is_an_error_that_names_object_and_part() {
    let (mut gcs, target) = (Gcs::start(), folder());
    let wire = gcs.wire.clone();
    let large = noise(40_000_000, 1);
    gcs.put("large.bin", &large);
    wire.slow_down(4 * MB);
    let url = wire.url();
    let to = target.path().to_owned();
    let staging = std::thread::spawn(move || stage(&url, &to, &["gs://ct", "--patience", "2"]));
    while wire.came() < 15 * MB {
        assert!(!staging.is_finished(), "{:?}", staging.join());
        std::thread::sleep(Duration::from_millis(20));
    }
    gcs.kill();
    let error = staging.join().expect("ends").expect_err("fails");
    assert!(error.starts_with("covid-ct: staging gs://ct to TARGET: fetching large.bin: part "), "{error}");
    assert!(error.contains(" of 5: reading bytes ") && error.contains("without a byte: "), "{error}");
    gcs.revive();
    wire.slow_down(0);
    let (before, kept) = (wire.came(), (finished_parts(target.path()).len() as u64) << 23);
    stage(&wire.url(), target.path(), &["gs://ct"]).expect("goes on");
    assert!(fs::read(target.path().join("large.bin")).expect("is there") == large);
    assert!(wire.came() - before < 40 * MB - kept + 100_000, "finished parts came again");
}

#[test]
fn a_refusal_is_not_waited_for() {
    let (mut gcs, target) = (Gcs::start(), folder());
    let wire = gcs.wire.clone();
    gcs.put("large.bin", &noise(40_000_000, 1));
    wire.slow_down(4 * MB);
    let (url, to) = (wire.url(), target.path().to_owned());
    let staging = std::thread::spawn(move || stage(&url, &to, &["gs://ct", "--patience", "600"]));
    while wire.came() < 10 * MB {
        assert!(!staging.is_finished(), "{:?}", staging.join());
        std::thread::sleep(Duration::from_millis(20));
    }
    wire.refuse();
    gcs.kill();
    let begun = Instant::now();
    let error = staging.join().expect("ends").expect_err("fails");
    assert!(error.contains("fetching large.bin: part ") && error.contains("400"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(30), "waited {:?}", begun.elapsed());
}

#[test]
fn spoilt_bytes_are_found_and_never_get_the_name() {
    let (gcs, target) = (Gcs::start(), folder());
    let wire = gcs.wire.clone();
    let contents = [("small.bin", noise(3_000_000, 1)), ("large.bin", noise(20_000_000, 2))];
    for (name, content) in &contents {
        gcs.put(name, content);
        wire.spoil_after(2 * MB);
        let url = format!("gs://ct/{name}");
        let error = stage(&wire.url(), target.path(), &[&url]).expect_err("must be refused");
        let stated =
            format!("the store states the CRC-32C {:08x}, the bytes that arrived have ", crc32c::crc32c(content));
        assert!(error.contains(&format!("fetching {name}: ")) && error.contains(&stated), "{error}");
        assert!(!target.path().join(name).exists() && !target.path().join(format!("{name}.partial")).exists());
        stage(&wire.url(), target.path(), &[&url]).expect("stages");
        assert!(fs::read(target.path().join(name)).expect("is there") == *content);
    }
}

#[test]
fn archives_are_unpacked_while_they_arrive_and_after_a_kill_go_on_at_the_entry() {
    let (gcs, target) = (Gcs::start(), folder());
    let wire = gcs.wire.clone();
    let archive = archive(0);
    gcs.put("data/train.zip", &archive);
    gcs.put("data/notes.txt", b"notes");
    kill_after(45 * MB, &wire, target.path(), &["gs://ct/data", "--stream"]);
    let before = wire.came();
    let staged = stage(&wire.url(), target.path(), &["gs://ct/data", "--stream"]).expect("goes on");
    assert_unpacked(target.path(), 0);
    assert_eq!(fs::read(target.path().join("notes.txt")).expect("is there"), b"notes");
    assert!(!target.path().join("train.zip").exists(), "the archive itself lies on the disk");
    assert!(staged.contains(" were there"), "{staged}");
    let came = wire.came() - before;
    assert!(came < archive.len() as u64 - 8 * MB, "{came} of {} bytes came again", archive.len());
    let before = wire.came();
    stage(&wire.url(), target.path(), &["gs://ct/data", "--stream"]).expect("stages");
    assert!(wire.came() - before < 100_000, "asked for what was there");
}

#[test]
fn spoilt_and_hostile_archives_are_refused_by_entry() {
    let (gcs, target) = (Gcs::start(), folder());
    let wire = gcs.wire.clone();
    gcs.put("train.zip", &archive(0));
    wire.spoil_after(5 * MB);
    let error = stage(&wire.url(), target.path(), &["gs://ct", "--stream"]).expect_err("must be refused");
    let begin = "covid-ct: staging gs://ct to TARGET: unpacking train.zip into TARGET: entry \"train/covid/ct_scan_";
    assert!(error.starts_with(begin), "{error}");
    stage(&wire.url(), target.path(), &["gs://ct", "--stream"]).expect("stages");
    assert_unpacked(target.path(), 0);

    gcs.put("train.zip", &zip(&[entry("../evil", b"evil")], false));
    let inside = target.path().join("in");
    let error = stage(&wire.url(), &inside, &["gs://ct", "--stream"]).expect_err("must be refused");
    assert_eq!(
        error,
        "covid-ct: staging gs://ct to TARGET: reading the archive train.zip: entry \"../evil\": its name leads out of \
         the target folder (`..`)"
    );
    assert!(!target.path().join("evil").exists());
}

#[test]
fn a_folder_on_this_machine_is_a_store_too() {
    let (source, target) = (folder(), folder());
    fs::create_dir_all(source.path().join("a")).expect("makes");
    fs::write(source.path().join("a/train.zip"), archive(7)).expect("writes");
    let url = format!("file://{}", source.path().display());
    stage("http://127.0.0.1:1", target.path(), &[&url]).expect("stages");
    assert!(fs::read(target.path().join("a/train.zip")).expect("is there") == archive(7));
    let one = source.path().join("a/train.zip").display().to_string();
    stage("http://127.0.0.1:1", target.path(), &[&one, "--stream"]).expect("stages");
    assert_unpacked(target.path(), 7);
}
