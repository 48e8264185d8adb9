//! Names and tables of any bytes: see `fuzzing`.

use super::label_table::{LABELS, LabelTable, Sets};
use super::{FolderListing, ListedSlice, Manifest, Scan, listing_of};

/// Lists names as if they lay in one folder: every slice belongs to a scan, and every name is listed once.
pub(crate) fn listed(names: &[String]) {
    let Ok((listing, numbers)) = listing_of(names) else { return };
    assert_eq!(numbers.iter().flatten().count(), listing.files.len());
    assert!(listing.files.iter().all(|file| file.scan < listing.scans.len()));
}

fn listing() -> FolderListing {
    let folders = ["train/covid/ct_scan_1", "train/non-covid/ct_scan_2", "val/covid/ct_scan_3", "a/b", "a/c"];
    let scans: Vec<Scan> = folders.iter().map(|folder| Scan::new((*folder).to_owned())).collect();
    let files =
        (0..scans.len()).flat_map(|scan| (0..2).map(move |number| ListedSlice::picture(scan, format!("{number}.jpg"))));
    FolderListing { files: files.collect(), scans, ..FolderListing::default() }
}

/// Reads a table of labels and gives them to scans.
pub(crate) fn labels(bytes: &[u8]) {
    let Ok(folder) = tempfile::tempdir_in("/dev/shm") else { return };
    if std::fs::write(folder.path().join(LABELS), bytes).is_err() {
        return;
    }
    for sets in [Sets::Read, Sets::Ignored] {
        if let Ok(Some(table)) = LabelTable::in_root(folder.path(), sets)
            && let Ok(found) = table.apply(listing())
        {
            assert_eq!(found.files.len(), listing().files.len());
        }
    }
}

/// Reads a table of patients.
pub(crate) fn patients(bytes: &[u8]) {
    let FolderListing { scans, .. } = listing();
    let mut manifest = Manifest { scans, ..Manifest::of_folders("fuzzed", Vec::new(), Vec::new()) };
    if manifest.read_patients(&"patients.csv", bytes).is_ok() {
        assert_eq!(manifest.patient_of_scans().len(), manifest.scans.len());
    }
}
