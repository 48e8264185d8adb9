//! Draws the subsets.

use super::{ExcludedScan, Fold, SplitConfig, Subset};
use crate::base::errors::{Result, ensure};
use crate::data::manifest::{Label, Manifest, Set};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};

/// By slice, as in the slides: every slice of `train/` is drawn independently.
pub(super) fn by_slice(manifest: &Manifest, config: &SplitConfig, rng: &mut ChaCha8Rng) -> Vec<Option<Subset>> {
    let mut subsets = delivered(manifest);
    let has_validation = subsets.contains(&Some(Subset::Validation));
    let mut pool: Vec<usize> = (0..subsets.len()).filter(|&i| subsets[i] == Some(Subset::Train)).collect();
    let all = pool.len();
    pool.shuffle(rng);
    let mut strata: BTreeMap<Option<Label>, Vec<usize>> = BTreeMap::new();
    for slice in pool {
        let label = config.stratified.then(|| manifest.scan_of(&manifest.slices[slice]).label).flatten();
        strata.entry(label).or_default().push(slice);
    }
    for pool in strata.into_values() {
        let share = |fraction: f64| ceil_share(fraction, pool.len());
        let test = share(config.test_fraction);
        let validation = if has_validation { 0 } else { share(config.validation_fraction) };
        for (position, slice) in pool.iter().enumerate().take((test + validation).min(all)) {
            subsets[*slice] = Some(if position < test { Subset::Test } else { Subset::Validation });
        }
    }
    subsets
}

/// ceil(fraction × count), with 0.1 × 30 counted as 3 and not as 4 for a rounding error.
fn ceil_share(fraction: f64, count: usize) -> usize {
    (fraction * count as f64 - 1e-9).ceil().max(0.0) as usize
}

/// The subset that each slice was delivered for.
pub(super) fn delivered(manifest: &Manifest) -> Vec<Option<Subset>> {
    let subset = |set| match set {
        Set::Train => Subset::Train,
        Set::Val => Subset::Validation,
        Set::Prediction => Subset::Prediction,
    };
    manifest.slices.iter().map(|slice| Some(subset(manifest.scan_of(slice).set))).collect()
}

/// Whole patients: scans joined by `patients.csv` or by the audit's pairs.
pub(super) fn by_patient(
    manifest: &Manifest,
    config: &SplitConfig,
    rng: &mut ChaCha8Rng,
) -> Result<(Vec<Option<Subset>>, Vec<ExcludedScan>)> {
    let filled: BTreeSet<usize> = manifest.slices.iter().map(|s| s.scan).collect();
    let mut of_scan: Vec<Option<Subset>> = vec![None; manifest.scans.len()];
    let mut left_out = Vec::new();
    let mut strata: BTreeMap<BTreeSet<Label>, Vec<Vec<usize>>> = BTreeMap::new();
    for unit in manifest.patients() {
        let unit: Vec<usize> = unit.into_iter().filter(|scan| filled.contains(scan)).collect();
        let of_set = |set: Set| unit.iter().copied().filter(move |&s| manifest.scans[s].set == set);
        of_set(Set::Prediction).for_each(|scan| of_scan[scan] = Some(Subset::Prediction));
        of_set(Set::Val).for_each(|scan| of_scan[scan] = Some(Subset::Validation));
        let twin = of_set(Set::Val).next();
        let training: Vec<usize> = of_set(Set::Train).collect();
        match twin {
            Some(twin) => left_out.extend(training.iter().map(|&scan| ExcludedScan {
                folder: manifest.scans[scan].folder.clone(),
                reason: format!("the same patient as {} in the validation set", manifest.scans[twin].folder),
            })),
            None if training.is_empty() => {}
            None => {
                let labels = training.iter().filter_map(|&s| manifest.scans[s].label);
                let stratum = if config.stratified { labels.collect() } else { BTreeSet::new() };
                strata.entry(stratum).or_default().push(training);
            }
        }
    }
    let has_validation = of_scan.contains(&Some(Subset::Validation));
    for mut pool in strata.into_values() {
        pool.shuffle(rng);
        let spare = pool.len().saturating_sub(1);
        let test = ceil_share(config.test_fraction, pool.len()).min(spare);
        let validation = if has_validation { 0 } else { ceil_share(config.validation_fraction, pool.len()) };
        for (position, unit) in pool.into_iter().enumerate() {
            let subset = match position {
                p if p < test => Subset::Test,
                p if p < (test + validation).min(spare) => Subset::Validation,
                _ => Subset::Train,
            };
            unit.into_iter().for_each(|scan| of_scan[scan] = Some(subset));
        }
    }
    Ok((manifest.slices.iter().map(|slice| of_scan[slice.scan]).collect(), left_out))
}

/// What the patients of a stratum have in common: labels and sources.
type Stratum<'a> = (BTreeSet<Label>, BTreeSet<&'a str>);

/// A fold of a cross-validation: whole patients, dealt into parts. The parts depend on the seed and their number, and not
/// on which of them is the test set.
///
/// Patients of the same labels (and sources, where known) are shuffled and dealt to one part after the other, each
/// stratum from where the one before it ended: of every label, and of all patients together, no part has more than one
/// patient more than another.
pub(super) fn by_fold(
    manifest: &Manifest,
    config: &SplitConfig,
    fold: Fold,
    rng: &mut ChaCha8Rng,
) -> Result<(Vec<Option<Subset>>, Vec<ExcludedScan>)> {
    let filled: BTreeSet<usize> = manifest.slices.iter().map(|s| s.scan).collect();
    let mut of_scan: Vec<Option<Subset>> = vec![None; manifest.scans.len()];
    let mut left_out = Vec::new();
    let mut strata: BTreeMap<Stratum<'_>, Vec<Vec<usize>>> = BTreeMap::new();
    let mut patients: BTreeMap<Label, usize> = Label::ALL.into_iter().map(|label| (label, 0)).collect();
    for unit in manifest.patients() {
        let mut labelled = Vec::new();
        for index in unit.into_iter().filter(|scan| filled.contains(scan)) {
            let scan = &manifest.scans[index];
            match (scan.set, scan.label) {
                (Set::Prediction, _) => of_scan[index] = Some(Subset::Prediction),
                (Set::Train | Set::Val, Some(_)) => labelled.push(index),
                (Set::Train | Set::Val, None) => {
                    left_out.push(ExcludedScan { folder: scan.folder.clone(), reason: "it has no label".to_owned() })
                }
            }
        }
        if labelled.is_empty() {
            continue;
        }
        let scans = || labelled.iter().map(|&scan| &manifest.scans[scan]);
        let labels: BTreeSet<Label> = scans().filter_map(|scan| scan.label).collect();
        labels.iter().for_each(|label| *patients.entry(*label).or_default() += 1);
        let sources = scans().filter_map(|scan| scan.source.as_deref()).collect();
        let stratum = if config.stratified { (labels, sources) } else { Default::default() };
        strata.entry(stratum).or_default().push(labelled);
    }
    enough_for_all(manifest, fold, patients)?;
    let mut part = 0;
    for mut pool in strata.into_values() {
        pool.shuffle(rng);
        for unit in pool {
            unit.into_iter().for_each(|scan| of_scan[scan] = Some(fold.subset(part)));
            part = (part + 1) % fold.of;
        }
    }
    Ok((manifest.slices.iter().map(|slice| of_scan[slice.scan]).collect(), left_out))
}

/// Checks that every part gets a patient of every label.
fn enough_for_all(manifest: &Manifest, fold: Fold, patients: BTreeMap<Label, usize>) -> Result<()> {
    for (label, patients) in patients {
        ensure!(
            patients >= fold.of,
            "splitting {} into {} parts by patient: expected at least {} {label} patients, one for each part, found \
             {patients}; choose fewer parts",
            manifest.name,
            fold.of,
            fold.of
        );
    }
    Ok(())
}
