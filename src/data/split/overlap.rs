//! Overlap between subsets.

use super::Subset;
use crate::data::manifest::Manifest;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const SCAN: &str = "scan";
pub(super) const PATIENT: &str = "patient";
pub(super) const PAIR: &str = "same-patient pair";

/// A scan, patient or pair of scans that two subsets share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overlap {
    /// `scan`, `patient` or `same-patient pair`.
    pub kind: String,
    /// The scan folder, the patient, or the two scan folders.
    pub what: String,
    /// The two subsets.
    pub between: (Subset, Subset),
}

/// Everything shared by two of train, validation and test. The prediction set has no labels to leak.
pub(super) fn overlaps(manifest: &Manifest, subsets: &[Option<Subset>]) -> Vec<Overlap> {
    let mut of_scan: BTreeMap<usize, BTreeSet<Subset>> = BTreeMap::new();
    for (slice, subset) in manifest.slices.iter().zip(subsets) {
        if let Some(subset) = subset.filter(|s| *s != Subset::Prediction) {
            of_scan.entry(slice.scan).or_default().insert(subset);
        }
    }
    // Of a patient that DICOM files or a table name; pairs that an audit found are listed as such.
    let known = Manifest { same_patient: Vec::new(), ..manifest.without_slices() };
    let mut of_patient: BTreeMap<String, BTreeSet<Subset>> = BTreeMap::new();
    for scans in known.patients() {
        let Some(name) = scans.iter().find_map(|&scan| manifest.scans[scan].patient_in_words()) else { continue };
        let subsets = scans.iter().filter_map(|scan| of_scan.get(scan)).flatten();
        of_patient.entry(name).or_default().extend(subsets);
    }
    let by_folder: BTreeMap<&str, &BTreeSet<Subset>> =
        of_scan.iter().map(|(scan, subsets)| (manifest.scans[*scan].folder.as_str(), subsets)).collect();
    let mut found = Vec::new();
    let mut add = |kind: &str, what: String, subsets: &BTreeSet<Subset>| {
        let subsets: Vec<Subset> = subsets.iter().copied().collect();
        for (at, &first) in subsets.iter().enumerate() {
            found.extend(subsets[at + 1..].iter().map(|&second| Overlap {
                kind: kind.to_owned(),
                what: what.clone(),
                between: (first, second),
            }));
        }
    };
    for (scan, subsets) in &of_scan {
        add(SCAN, manifest.scans[*scan].folder.clone(), subsets);
    }
    for (patient, subsets) in &of_patient {
        add(PATIENT, patient.clone(), subsets);
    }
    for (a, b) in &manifest.same_patient {
        if let (Some(of_a), Some(of_b)) = (by_folder.get(a.as_str()), by_folder.get(b.as_str()))
            && of_a != of_b
        {
            add(PAIR, format!("{a} and {b}"), &of_a.union(of_b).copied().collect());
        }
    }
    found
}
