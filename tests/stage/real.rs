//! Whole data sets: zipped by part as the slides uploaded them, staged, and compared with the folder they were made of.

use super::*;
use crate::support::{fixture, silent};
use crate::zips::{Entry, stored};
use covid_ct::{Audit, Manifest};
use std::collections::BTreeMap;

/// Every file below a folder, and every folder (with a `/` behind its name).
fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(at) = folders.pop() {
        for item in fs::read_dir(&at).expect("lists").map(|item| item.expect("an entry")) {
            let name = item.path().strip_prefix(root).expect("below").display().to_string();
            if item.file_type().expect("has a type").is_dir() {
                folders.push(item.path());
                found.insert(format!("{name}/"), Vec::new());
            } else {
                found.insert(name, fs::read(item.path()).expect("reads"));
            }
        }
    }
    found
}

/// The slides' three archives of a data set; JPEG files as zip programs have them, stored and deflated in turns.
fn upload(gcs: &Gcs, files: &BTreeMap<String, Vec<u8>>) {
    for (part, object) in [("train", "train.zip"), ("val", "val.zip"), ("prediction", "dati_palmucci_pred.zip")] {
        let below = files.iter().filter(|(name, _)| name.starts_with(&format!("{part}/")));
        let entries = below.zip(0..).map(|((name, bytes), number)| {
            if number % 2 == 0 || name.ends_with('/') { stored(name, bytes) } else { entry(name, bytes) }
        });
        gcs.put(object, &zip(&entries.collect::<Vec<Entry>>(), false));
    }
}

/// Stages a data set's archives and compares every byte and the audit.
fn comes_out_the_same(root: &Path) {
    let (gcs, target) = (Gcs::start(), folder());
    let mut files = tree(root);
    files.retain(|name, _| ["train/", "val/", "prediction/"].iter().any(|part| name.starts_with(part)));
    upload(&gcs, &files);
    let staged = stage(&gcs.wire.url(), target.path(), &["gs://ct", "--stream"]).expect("stages");
    assert_eq!(staged.matches("CRC-32 of each file compared").count(), 3, "{staged}");
    let mut came = tree(target.path());
    came.retain(|name, _| !name.starts_with(".covid-ct-stage"));
    assert_eq!(came.keys().collect::<Vec<_>>(), files.keys().collect::<Vec<_>>());
    let differing: Vec<_> = files.iter().filter(|(name, bytes)| came[*name] != **bytes).map(|(name, _)| name).collect();
    assert!(differing.is_empty(), "{differing:?}");
    // What is known of patients lies beside the archives.
    let patients = root.join("patients.csv");
    if patients.is_file() {
        fs::copy(&patients, target.path().join("patients.csv")).expect("copies");
    }
    let [before, after] = [root, target.path()].map(|root| {
        let manifest = Manifest::scan(root, silent).expect("scans");
        let audit = Audit::run(&manifest, silent).expect("audits");
        let mut findings: BTreeMap<&str, usize> = BTreeMap::new();
        audit.findings().iter().for_each(|finding| *findings.entry(finding.check.name()).or_default() += 1);
        (audit.manifest().slices.len(), audit.accepted().slices.len(), findings)
    });
    assert_eq!(before, after);
    assert!(before.0 > 100 && !staged.contains(" were there"));
}

#[test]
fn a_phantoms_archives_come_out_as_the_folder_they_were_made_of() {
    comes_out_the_same(&fixture().root);
}

#[test]
fn real_slices_archives_come_out_as_the_folder_they_were_made_of() {
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/ct");
    if real.is_dir() {
        comes_out_the_same(&real);
    } else {
        println!("NOT EXERCISED: there are no real slices here ({} is missing)", real.display());
    }
}
