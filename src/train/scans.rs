//! What training needs to know of scans and patients: how much each slice counts, and how well scans are ranked.

use crate::base::errors::{Context, Result};
use crate::data::manifest::{Label, Manifest};
use crate::data::split::Subset;
use crate::stats::metrics::source_mean_auc;
use crate::stats::sample_weights::balanced_weights;
use crate::train::experiment::Experiment;
use crate::train::recipe::Weighting;
use std::collections::BTreeMap;

/// How much each slice of the manifest counts in the loss, 1 in the mean over the training slices; `None`: all the same.
pub(crate) fn slice_weights(experiment: &Experiment) -> Result<Option<Vec<f32>>> {
    let manifest = experiment.manifest();
    let slices = experiment.slices(Subset::Train)?;
    if experiment.settings().recipe.weighting == Weighting::Slices {
        return Ok(None);
    }
    let patient_of = manifest.patient_of_scans();
    let of = |&slice: &usize| {
        let scan = manifest.slices[slice].scan;
        let label = manifest.scans[scan].label.with_context(|| format!("{} has no label", manifest.scans[scan].folder));
        Ok((label? == Label::Covid, (patient_of[scan], manifest.scans[scan].source.as_deref())))
    };
    let (covid, of): (Vec<bool>, Vec<_>) = slices.iter().map(of).collect::<Result<Vec<_>>>()?.into_iter().unzip();
    let (patients, sources): (Vec<u32>, Vec<Option<&str>>) = of.into_iter().unzip();
    let mut weights = vec![0.0; manifest.slices.len()];
    for (&slice, weight) in slices.iter().zip(balanced_weights(&covid, &patients, &sources)?) {
        weights[slice] = weight as f32;
    }
    Ok(Some(weights))
}

/// ROC AUC of scans by the mean covid probability of their slices, as [`Selection::ScanAuc`](crate::Selection::ScanAuc)
/// counts it; `None` where slices have no label or all the same.
///
/// # Errors
/// A probability that is not finite.
pub(crate) fn scan_auc(manifest: &Manifest, slices: &[usize], covid: &[f32]) -> Result<Option<f64>> {
    let mut scans: BTreeMap<usize, (f64, usize)> = BTreeMap::new();
    for (&slice, &p) in slices.iter().zip(covid) {
        let (sum, count) = scans.entry(manifest.slices[slice].scan).or_default();
        (*sum, *count) = (*sum + f64::from(p), *count + 1);
    }
    let scored = scans.into_iter().map(|(scan, (sum, count))| {
        let scan = &manifest.scans[scan];
        Some((sum / count as f64, scan.label? == Label::Covid, scan.source.as_deref()))
    });
    scored.collect::<Option<Vec<_>>>().map_or(Ok(None), |scored| source_mean_auc(&scored))
}
