//! No patient is in two subsets, except under the slides' split, which is reported as leaking.

use crate::support::{fixture, folder, split_of};
use covid_ct::{
    Architecture, Digest, Label, Manifest, RunConfig, Scan, Set, Slice, Split, SplitConfig, SplitUnit, Subset,
};
use std::collections::{BTreeMap, BTreeSet};

fn subsets_by<K: Ord>(
    manifest: &Manifest,
    split: &Split,
    key: impl Fn(usize) -> Option<K>,
) -> BTreeMap<K, BTreeSet<Subset>> {
    let mut subsets: BTreeMap<K, BTreeSet<Subset>> = BTreeMap::new();
    for subset in [Subset::Train, Subset::Validation, Subset::Test] {
        for slice in split.slices(subset) {
            if let Some(key) = key(manifest.slices[slice].scan) {
                subsets.entry(key).or_default().insert(subset);
            }
        }
    }
    subsets
}

#[test]
fn by_patient_nothing_is_shared() {
    let manifest = fixture().audit.accepted();
    for seed in 0..20 {
        let split = split_of(&manifest, SplitConfig { seed, test_fraction: 0.3, ..SplitConfig::default() });
        assert!(split.overlaps().is_empty() && !split.is_leaking() && split.warning().is_none());
        let scans = subsets_by(&manifest, &split, Some);
        assert!(scans.values().all(|subsets| subsets.len() == 1));
        for label in Label::ALL {
            assert!(split.count(Subset::Test, Some(label)).1 > 0, "stratified: {label} is in the test set");
        }
    }
}

#[test]
fn a_training_scan_whose_twin_validates_is_left_out() {
    let fixture = fixture();
    let manifest = fixture.audit.accepted();
    let split = split_of(&manifest, SplitConfig::default());
    let pair = fixture.phantom.defects.iter().find(|d| d.check == "same-patient").expect("planted");
    let left_out: Vec<&str> = split.left_out().iter().map(|l| l.folder.as_str()).collect();
    assert_eq!(left_out, [pair.paths[0].as_str()]);
    assert!(split.left_out()[0].reason.contains(&pair.paths[1]));
}

#[test]
fn scans_of_one_patient_stay_together() {
    let mut manifest = fixture().audit.accepted();
    let train: Vec<usize> = (0..manifest.scans.len()).filter(|&i| manifest.scans[i].set == Set::Train).collect();
    for (position, scan) in train.iter().enumerate() {
        manifest.scans[*scan].patient = Some(format!("patient {}", position % 7));
    }
    for seed in 0..20 {
        let split = split_of(&manifest, SplitConfig { seed, test_fraction: 0.4, ..SplitConfig::default() });
        let patients = subsets_by(&manifest, &split, |scan| manifest.scans[scan].patient.clone());
        assert!(patients.values().all(|subsets| subsets.len() == 1), "seed {seed}: {patients:?}");
        assert!(split.overlaps().is_empty());
    }
}

#[test]
fn by_slice_is_the_slides_split_and_says_that_it_leaks() {
    let manifest = fixture().audit.accepted();
    let train = manifest.slices.iter().filter(|s| manifest.scan_of(s).set == Set::Train).count();
    let split = split_of(&manifest, RunConfig::published(Architecture::Fcn).split);
    assert_eq!(split.slices(Subset::Test).len(), train.div_ceil(10), "10 % of train, rounded up");
    assert_eq!(split.slices(Subset::Train).len(), train - train.div_ceil(10));
    assert!(split.is_leaking());
    assert!(split.to_string().contains("LEAKING SPLIT"), "{split}");
    let shared = subsets_by(&manifest, &split, Some).values().filter(|subsets| subsets.len() > 1).count();
    let listed = split.overlaps().iter().filter(|o| o.kind == "scan").count();
    assert_eq!(shared, listed, "every shared scan is listed");
    assert!(shared > 0);
}

#[test]
fn the_slides_counts_come_out() {
    // 1,552 scans and 335,671 slices in train, 374 and 75,518 in val; only their names are needed.
    let (mut scans, mut slices) = (Vec::new(), Vec::new());
    for (set, label, count, total) in [
        (Set::Train, Label::Covid, 687, 153_680),
        (Set::Train, Label::NonCovid, 865, 181_991),
        (Set::Val, Label::Covid, 165, 35_002),
        (Set::Val, Label::NonCovid, 209, 40_516),
    ] {
        let first = scans.len();
        for scan in 0..count {
            scans.push(Scan {
                folder: format!("{set}/{label}/ct_scan_{scan}"),
                set,
                label: Some(label),
                patient: None,
                source: None,
                acquisition: None,
            });
        }
        for slice in 0..total {
            let (scan, number) = (first + slice % count, (slice / count) as u32);
            let (file, sha256) = (format!("{number}.jpg"), Digest([0; 32]));
            slices.push(Slice {
                scan,
                file,
                at: None,
                frame: None,
                number: Some(number),
                bytes: 1,
                header: None,
                sha256,
            });
        }
    }
    let manifest =
        Manifest { name: "cov19-ct-db".into(), root: "nowhere".into(), scans, slices, ..Manifest::default() };
    let split = split_of(&manifest, RunConfig::published(Architecture::Fcn).split);
    let counts = [Subset::Train, Subset::Validation, Subset::Test].map(|subset| split.slices(subset).len());
    assert_eq!(counts, [302_103, 75_518, 33_568]);
}

#[test]
fn a_seed_gives_the_same_split_and_another_seed_another() {
    let manifest = fixture().audit.accepted();
    let split = |seed| split_of(&manifest, SplitConfig { seed, ..SplitConfig::default() });
    assert_eq!(split(1).hash(), split(1).hash());
    assert_ne!(split(1).hash(), split(2).hash());
}

#[test]
fn without_a_validation_folder_one_is_drawn() {
    let mut manifest = fixture().audit.accepted();
    manifest.same_patient.clear();
    let keep: Vec<usize> =
        (0..manifest.slices.len()).filter(|&i| manifest.scan_of(&manifest.slices[i]).set == Set::Train).collect();
    manifest.slices = keep.into_iter().map(|i| manifest.slices[i].clone()).collect();
    for unit in [SplitUnit::Patient, SplitUnit::Slice] {
        let split = split_of(&manifest, SplitConfig { unit, ..SplitConfig::default() });
        assert!(!split.slices(Subset::Validation).is_empty(), "{unit:?}");
        // Drawn by slice, the validation set has patients that were learned from, which is reported.
        let leaks = [Subset::Validation, Subset::Test];
        assert_eq!(split.leaking_subsets(), if unit == SplitUnit::Slice { &leaks[..] } else { &[] }, "{unit:?}");
        let folder = folder();
        let file = folder.path().join("split.json");
        split.write(&file, &manifest).expect("writes");
        assert_eq!(Split::read(&file, &manifest).expect("reads"), split, "{unit:?}");
    }
}

#[test]
fn splits_are_read_back_and_belong_to_their_manifest() {
    let folder = folder();
    let manifest = fixture().audit.accepted();
    for unit in [SplitUnit::Patient, SplitUnit::Slice] {
        let path = folder.path().join(format!("{unit:?}.json"));
        let split = split_of(&manifest, SplitConfig { unit, ..SplitConfig::default() });
        split.write(&path, &manifest).expect("writes");
        assert_eq!(Split::read(&path, &manifest).expect("reads"), split);
        let mut other = manifest.clone();
        other.slices.pop();
        let error = format!("{:#}", Split::read(&path, &other).expect_err("another manifest"));
        assert!(error.contains(&manifest.hash().to_string()) && error.contains(&other.hash().to_string()), "{error}");
    }
}
