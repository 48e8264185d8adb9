//! Archives audited and cached as they are.

use super::*;
use crate::support::{fixture, folder, run, run_well};
use covid_ct::staging::{StageOptions, audit_archives};
use covid_ct::{Audit, Preprocess};

/// The fixture's files in two archives, as a data base comes, with a folder that holds nothing.
fn archives(at: &Path) {
    let root = &fixture().root;
    let files = tree(root);
    let pack = |file: &str, keep: &dyn Fn(&str) -> bool| {
        let mut entries: Vec<Entry> =
            files.iter().filter(|(name, _)| keep(name)).map(|(name, bytes)| entry(name, bytes)).collect();
        // No order can be relied on.
        entries.reverse();
        let empty = fixture()
            .manifest
            .scans
            .iter()
            .filter(|scan| fs::read_dir(root.join(&scan.folder)).unwrap().next().is_none());
        entries.extend(empty.filter(|scan| keep(&scan.folder)).map(|scan| stored(&format!("{}/", scan.folder), b"")));
        fs::write(at.join(file), zip(&entries, false)).expect("writes");
    };
    pack("train.zip", &|name| name.starts_with("train/"));
    pack("rest.zip", &|name| !name.starts_with("train/"));
}

#[test]
fn archives_give_the_audit_and_the_cache_that_their_files_give() {
    let (home, caches) = (folder(), folder());
    archives(home.path());
    let preprocess = Preprocess { size: 48, ..Preprocess::default() };
    let url = format!("file://{}", home.path().display());
    let options = StageOptions { part_bytes: 1 << 16, ..StageOptions::default() };
    let before = tree(home.path());
    let cache = Some((caches.path(), &preprocess));
    let (audit, cache) = audit_archives(&url, home.path(), cache, &options, silent).expect("one pass");
    assert_eq!(tree(home.path()), before, "something was unpacked");
    let cache = cache.expect("a cache");
    assert_eq!(audit.findings(), fixture().audit.findings());
    assert_eq!(audit.manifest().slices, fixture().manifest.slices);
    assert_eq!(
        (&audit.manifest().scans, &audit.manifest().strays),
        (&fixture().manifest.scans, &fixture().manifest.strays)
    );
    let files = Audit::in_one_pass(&fixture().root, Some((folder().path(), &preprocess)), silent).expect("one pass");
    let (from_files, from_archives) = (files.1.expect("a cache"), cache);
    assert_eq!(from_archives.manifest_hash(), from_files.manifest_hash());
    for slice in 0..from_files.manifest().slices.len() {
        assert_eq!(from_archives.pixels(slice).expect("a row"), from_files.pixels(slice).expect("a row"), "{slice}");
    }
}

#[test]
fn the_command_line_audits_archives_and_says_what_is_wrong_with_them() {
    let (home, data) = (folder(), folder());
    archives(data.path());
    let url = format!("file://{}", data.path().display());
    let told = run_well(home.path(), data.path(), &["audit", "--cache", "--archives", &url]);
    assert!(told.contains("same-patient"), "{told}");
    let split = run_well(home.path(), data.path(), &["split"]);
    assert!(split.contains("train"), "{split}");
    let cached = run_well(home.path(), data.path(), &["cache"]);
    assert!(cached.contains("Packed without loss"), "{cached}");
    // One byte of a slice: the archive's own CRC-32 tells.
    let file = data.path().join("train.zip");
    let mut bytes = fs::read(&file).expect("is there");
    bytes[5_000] ^= 1;
    fs::write(&file, &bytes).expect("writes");
    let refused = run(home.path(), data.path(), &["audit", "--archives", &url]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("train.zip") && said.contains("entry \"train/"), "{said}");
    let none = folder();
    fs::write(none.path().join("notes.txt"), "none").expect("writes");
    let url = format!("file://{}", none.path().display());
    let refused = run(home.path(), data.path(), &["audit", "--archives", &url]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("there is no zip archive"), "{said}");
}

#[test]
fn patients_are_read_from_beside_and_from_within_and_loose_slices_are_refused() {
    let (home, data, source) = (folder(), folder(), folder());
    let slice = fs::read(fixture().root.join("train/covid/ct_scan_3/0.jpg")).expect("reads");
    let names = ["train/covid/ct_scan_1/0.jpg", "train/non-covid/ct_scan_1/0.jpg"];
    let mut entries: Vec<Entry> = names.iter().map(|name| entry(name, &slice)).collect();
    // It was not asked for, and would not fit.
    entries.push(stored("readme.bin", &vec![0; (64 << 20) + 1]));
    let url = format!("file://{}", source.path().display());
    let archive = |entries: &[Entry]| fs::write(source.path().join("all.zip"), zip(entries, false)).expect("writes");
    let audited = || audit_archives(&url, data.path(), None, &StageOptions::default(), silent);
    let patients = |audit: &Audit| audit.manifest().scans.iter().map(|s| s.patient.clone()).collect::<Vec<_>>();
    archive(&entries);
    assert_eq!(patients(&audited().expect("audits").0), [None, None]);
    fs::write(source.path().join("patients.csv"), format!("path,patient\n{},a\n", names[0])).expect("writes");
    assert_eq!(patients(&audited().expect("audits").0), [Some("a".to_owned()), None]);
    entries.push(entry("patients.csv", format!("path,patient\n{},b\n", names[1]).as_bytes()));
    archive(&entries);
    assert_eq!(patients(&audited().expect("audits").0), [Some("a".to_owned()), Some("b".to_owned())]);
    entries.pop();
    entries.push(entry("patients.csv", b"path,patient\nelsewhere/1.jpg,b\n"));
    archive(&entries);
    let error = format!("{:#}", audited().expect_err("nothing matches"));
    assert!(error.contains("reading patients from patients.csv in all.zip"), "{error}");
    fs::create_dir_all(source.path().join("val/covid/ct_scan_9")).expect("folder");
    fs::write(source.path().join("val/covid/ct_scan_9/0.jpg"), &slice).expect("writes");
    let error = format!("{:#}", audited().expect_err("loose slices"));
    assert!(error.contains("val/covid/ct_scan_9/0.jpg is not in an archive"), "{error}");
    let nowhere = data.path().join("nowhere");
    let error = audit_archives(&url, &nowhere, None, &StageOptions::default(), silent).expect_err("no folder");
    assert!(format!("{error:#}").contains("nowhere is no folder"), "{error:#}");
    let mut unnamed = crate::support::program(home.path(), data.path());
    let output = unnamed.env_remove("COVID_CT_DATA").args(["audit", "--archives", &url]).output().expect("starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("name the data set's folder too"), "{said}");
}
