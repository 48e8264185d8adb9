//! Folds: who is dealt into which part.

use super::*;
use crate::data::manifest::{Scan, Slice};

/// Patients that a test deals: the label, the source, and the sets of the scans of each.
struct Dealt<'a> {
    label: Label,
    source: Option<&'a str>,
    scans: &'a [Set],
}

/// A manifest of these patients, two slices a scan, and one unlabelled scan. Patients with two scans or more are named.
fn manifest_of(patients: &[Dealt<'_>]) -> Manifest {
    let mut scans = Vec::new();
    for (number, patient) in patients.iter().enumerate() {
        for set in patient.scans {
            scans.push(Scan {
                folder: format!("{set}/{}/ct_scan_{}", patient.label, scans.len()),
                set: *set,
                label: Some(patient.label),
                patient: (patient.scans.len() > 1).then(|| format!("patient {number}")),
                source: patient.source.map(str::to_owned),
                acquisition: None,
            });
        }
    }
    let folder = "prediction/ct_scan_0".to_owned();
    scans.push(Scan { folder, set: Set::Prediction, label: None, patient: None, source: None, acquisition: None });
    let slices = (0..2 * scans.len()).map(|index| Slice {
        scan: index / 2,
        file: format!("{}.jpg", index % 2),
        at: None,
        frame: None,
        number: Some(index as u32 % 2),
        bytes: 1,
        header: None,
        sha256: Digest([0; 32]),
    });
    Manifest { name: "made up".into(), root: "nowhere".into(), slices: slices.collect(), scans, ..Manifest::default() }
}

/// 17 covid and 12 other patients of three sources and of none, some of them with scans in train and val.
fn hospital() -> Manifest {
    let sets: [&[Set]; 4] = [&[Set::Train], &[Set::Val], &[Set::Train, Set::Val], &[Set::Train, Set::Train, Set::Val]];
    let patient = |index: usize| Dealt {
        label: if index < 17 { Label::Covid } else { Label::NonCovid },
        source: [Some("a"), Some("b"), Some("b"), None][index % 4],
        scans: sets[index % 5 % 4],
    };
    manifest_of(&(0..29).map(patient).collect::<Vec<_>>())
}

fn fold_of(number: usize, of: usize, seed: u64) -> SplitConfig {
    SplitConfig { seed, fold: Some(Fold { number, of }), ..SplitConfig::default() }
}

fn split(manifest: &Manifest, config: &SplitConfig) -> Split {
    Split::new(manifest, config).expect("splits")
}

/// The scans of a subset.
fn scans(split: &Split, manifest: &Manifest, subset: Subset) -> BTreeSet<usize> {
    split.slices(subset).into_iter().map(|slice| manifest.slices[slice].scan).collect()
}

#[test]
fn every_patient_is_tested_once_and_stands_in_one_subset() {
    let manifest = hospital();
    for (seed, of) in (0..12).flat_map(|seed| [3, 4, 5, 12].map(|of| (seed, of))) {
        let splits: Vec<Split> = (0..of).map(|number| split(&manifest, &fold_of(number, of, seed))).collect();
        for patient in manifest.patients() {
            let labelled = patient.iter().any(|&scan| manifest.scans[scan].label.is_some());
            let is_in = |split: &Split, subset| {
                let of_subset = scans(split, &manifest, subset);
                let inside = patient.iter().filter(|scan| of_subset.contains(scan)).count();
                assert!(inside == 0 || inside == patient.len(), "seed {seed}: a patient is torn apart");
                inside > 0
            };
            let tested = splits.iter().filter(|split| is_in(split, Subset::Test)).count();
            let validated = splits.iter().filter(|split| is_in(split, Subset::Validation)).count();
            let trained = splits.iter().filter(|split| is_in(split, Subset::Train)).count();
            let expected = if labelled { (1, 1, of - 2) } else { (0, 0, 0) };
            assert_eq!((tested, validated, trained), expected, "seed {seed}, {of} parts");
        }
        for (number, split) in splits.iter().enumerate() {
            assert!(split.overlaps().is_empty() && !split.is_leaking() && split.left_out().is_empty());
            // The part that validates here is the test set of the next fold: the parts do not depend on the number.
            let next = &splits[(number + 1) % of];
            assert_eq!(split.slices(Subset::Validation), next.slices(Subset::Test), "seed {seed}, {of} parts");
            assert_eq!(split.slices(Subset::Prediction).len(), 2);
        }
    }
    let hash = |seed, number| split(&manifest, &fold_of(number, 5, seed)).hash();
    assert_eq!(hash(1, 2), hash(1, 2));
    assert!(hash(1, 2) != hash(2, 2) && hash(1, 2) != hash(1, 3));
}

#[test]
fn parts_are_alike_within_one_patient() {
    let manifest = hospital();
    let of_scan = manifest.patient_of_scans();
    for (seed, of) in (0..12).flat_map(|seed| [3, 5, 7].map(|of| (seed, of))) {
        let parts: Vec<BTreeSet<usize>> = (0..of)
            .map(|number| scans(&split(&manifest, &fold_of(number, of, seed)), &manifest, Subset::Test))
            .collect();
        let alike = |chosen: &dyn Fn(&Scan) -> bool, what: &str| {
            let patients = parts.iter().map(|part| {
                let chosen = part.iter().filter(|&&scan| chosen(&manifest.scans[scan]));
                chosen.map(|&scan| of_scan[scan]).collect::<BTreeSet<u32>>().len()
            });
            let patients: Vec<usize> = patients.collect();
            let (least, most) = (patients.iter().min().expect("parts"), patients.iter().max().expect("parts"));
            assert!(most - least <= 1, "seed {seed}, {what}: {patients:?}");
        };
        alike(&|_| true, "all");
        for label in Label::ALL {
            alike(&|scan| scan.label == Some(label), "label");
            for source in [Some("a"), Some("b"), None] {
                alike(&|scan| scan.label == Some(label) && scan.source.as_deref() == source, "label and source");
            }
        }
    }
}

#[test]
fn scans_that_an_audit_found_alike_stay_together() {
    let mut manifest = hospital();
    let train = manifest.scans.iter().position(|scan| scan.set == Set::Train && scan.patient.is_none());
    let val = manifest.scans.iter().position(|scan| scan.set == Set::Val && scan.patient.is_none());
    let pair = [train.expect("a scan"), val.expect("a scan")];
    assert!(pair.iter().all(|&scan| manifest.scans[scan].label == Some(Label::Covid)));
    let apart = |manifest: &Manifest| {
        let together = (0..10).flat_map(|seed| (0..5).map(move |number| (seed, number))).filter(|&(seed, number)| {
            let split = split(manifest, &fold_of(number, 5, seed));
            let test = scans(&split, manifest, Subset::Test);
            assert!(split.overlaps().is_empty());
            test.contains(&pair[0]) != test.contains(&pair[1])
        });
        together.count()
    };
    assert!(apart(&manifest) > 0, "unlinked, the two fall into different parts for some seed");
    manifest.same_patient = vec![(manifest.scans[pair[0]].folder.clone(), manifest.scans[pair[1]].folder.clone())];
    assert_eq!(apart(&manifest), 0);
}

#[test]
fn a_fold_is_read_back_and_a_split_without_one_is_written_as_before() {
    let (manifest, folder) = (hospital(), tempfile::tempdir().expect("a folder"));
    let path = folder.path().join("split.json");
    let fold = split(&manifest, &fold_of(1, 5, 3));
    fold.write(&path, &manifest).expect("writes");
    assert_eq!(Split::read(&path, &manifest).expect("reads"), fold);
    assert!(fold.table().to_string().contains("by patient, fold 2 of 5"), "{fold}");
    let json = serde_json::to_string(&SplitConfig::default()).expect("JSON");
    assert!(!json.contains("fold"), "{json}");
    assert_eq!(serde_json::from_str::<SplitConfig>(&json).expect("reads"), SplitConfig::default());
}

#[test]
fn an_unlabelled_training_scan_is_left_out_of_every_part() {
    let mut manifest = hospital();
    manifest.scans[0].label = None;
    let split = split(&manifest, &fold_of(0, 4, 1));
    let reason = "it has no label".to_owned();
    assert_eq!(split.left_out(), [ExcludedScan { folder: manifest.scans[0].folder.clone(), reason }]);
    assert!(Subset::ALL.iter().all(|&subset| !scans(&split, &manifest, subset).contains(&0)));
}

#[test]
fn what_cannot_work_is_said() {
    let manifest = hospital();
    let message = |config: &SplitConfig| format!("{:#}", Split::new(&manifest, config).expect_err("cannot work"));
    assert_eq!(message(&fold_of(0, 2, 1)), "split.fold.of (--folds): expected 3 to 20 parts, found 2");
    assert_eq!(message(&fold_of(5, 5, 1)), "split.fold.number: expected 0 to 4, found 5");
    let by_slice = SplitConfig { unit: SplitUnit::Slice, ..fold_of(0, 5, 1) };
    assert!(message(&by_slice).contains("split.unit must be \"patient\""));
    let found = message(&fold_of(0, 13, 1));
    assert!(found.contains("at least 13 non-covid patients") && found.contains("found 12"), "{found}");
}
