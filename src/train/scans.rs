//! What training needs to know of scans and patients: how much each slice counts, and how well scans are ranked.

use crate::data::manifest::{Label, Manifest};
use crate::data::split::Subset;
use crate::stats::metrics::RocCurve;
use crate::train::experiment::Experiment;
use crate::train::recipe::Weighting;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};

/// How much each slice of the manifest counts in the loss, 1 in the mean over the training slices; `None`: all the same.
pub(crate) fn slice_weights(experiment: &Experiment) -> Result<Option<Vec<f32>>> {
    let manifest = experiment.manifest();
    let slices = experiment.split().slices(Subset::Train);
    if experiment.settings().recipe.weighting == Weighting::Slices {
        return Ok(None);
    }
    let patient_of = manifest.patient_of_scans();
    let of = |&slice: &usize| {
        let scan = manifest.slices[slice].scan;
        let label = manifest.scans[scan].label.with_context(|| format!("{} has no label", manifest.scans[scan].folder));
        Ok((label? == Label::Covid, patient_of[scan], manifest.scans[scan].source.as_deref()))
    };
    let each = slices.iter().map(of).collect::<Result<Vec<_>>>()?;
    let mut weights = vec![0.0; manifest.slices.len()];
    for (&slice, weight) in slices.iter().zip(balanced_weights(&each)) {
        weights[slice] = weight as f32;
    }
    Ok(Some(weights))
}

/// ROC AUC of scans by the mean covid probability of their slices, as [`Selection::ScanAuc`](crate::Selection::ScanAuc)
/// counts it; `None` where slices have no label or all the same.
pub(crate) fn scan_auc(manifest: &Manifest, slices: &[usize], covid: &[f32]) -> Option<f64> {
    let mut scans: BTreeMap<usize, (f64, usize)> = BTreeMap::new();
    for (&slice, &p) in slices.iter().zip(covid) {
        let (sum, count) = scans.entry(manifest.slices[slice].scan).or_default();
        (*sum, *count) = (*sum + f64::from(p), *count + 1);
    }
    let scored = scans.into_iter().map(|(scan, (sum, count))| {
        let scan = &manifest.scans[scan];
        Some((sum / count as f64, scan.label? == Label::Covid, scan.source.as_deref()))
    });
    source_mean_auc(&scored.collect::<Option<Vec<_>>>()?)
}

/// AUC in each source with both labels, then the mean; over all where no source has both.
fn source_mean_auc(scored: &[(f64, bool, Option<&str>)]) -> Option<f64> {
    let mut sources: BTreeMap<Option<&str>, (Vec<bool>, Vec<f64>)> = BTreeMap::new();
    for &(score, covid, source) in scored {
        let (truth, scores) = sources.entry(source).or_default();
        truth.push(covid);
        scores.push(score);
    }
    let auc = |(truth, scores): &(Vec<bool>, Vec<f64>)| RocCurve::new(truth, scores).ok().map(|curve| curve.auc());
    let each: Vec<f64> = sources.values().filter_map(auc).collect();
    if each.is_empty() {
        let all = scored.iter().map(|&(score, covid, _)| (covid, score)).unzip();
        return auc(&all);
    }
    Some(each.iter().sum::<f64>() / each.len() as f64)
}

/// 1 in the mean: each patient counts once, the labels of a source the same, and all sources the same.
fn balanced_weights(each: &[(bool, u32, Option<&str>)]) -> Vec<f64> {
    let mut slices: BTreeMap<_, usize> = BTreeMap::new();
    let mut patients: BTreeMap<_, BTreeSet<u32>> = BTreeMap::new();
    let mut labels: BTreeMap<_, BTreeSet<bool>> = BTreeMap::new();
    for &(covid, patient, source) in each {
        *slices.entry((source, covid, patient)).or_default() += 1;
        patients.entry((source, covid)).or_default().insert(patient);
        labels.entry(source).or_default().insert(covid);
    }
    let weight = |&(covid, patient, source): &(bool, u32, Option<&str>)| {
        let of = slices[&(source, covid, patient)] * patients[&(source, covid)].len() * labels[&source].len();
        each.len() as f64 / (of * labels.len()) as f64
    };
    each.iter().map(weight).collect()
}
