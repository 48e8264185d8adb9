//! The scans of a subset, their slices, and the features of these.

use crate::base::errors::{Context, Result};
use crate::base::progress::Progress;
use crate::data::cache::SliceCache;
use crate::data::manifest::{Label, Manifest};
use crate::data::split::Subset;
use crate::evaluate::predict::{Classifier, Predictions};
use crate::train::experiment::Experiment;
use crate::train::features::FeatureCache;
use crate::train::run_folder::Artifact;
use std::collections::{BTreeMap, BTreeSet};

/// A scan, as far as a subset has slices of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ScanSlices {
    pub(super) folder: String,
    pub(super) label: Option<Label>,
    /// Number of its source; scans without one share a number.
    pub(super) source: u32,
    /// Numbers of its slices, in the manifest's order, which is that along the scan.
    pub(super) slices: Vec<usize>,
}

impl ScanSlices {
    /// Whether the label is covid.
    ///
    /// # Errors
    /// No label.
    pub(super) fn is_covid(&self) -> Result<bool> {
        let label = self.label.with_context(|| format!("{} has no label to learn from", self.folder))?;
        Ok(label == Label::Covid)
    }
}

/// The scans of these slices, in the order of their names.
pub(super) fn scans_of(manifest: &Manifest, slices: &[usize]) -> Vec<ScanSlices> {
    let names: BTreeSet<&str> = manifest.scans.iter().filter_map(|scan| scan.source.as_deref()).collect();
    let number = |source: Option<&str>| source.map_or(0, |name| 1 + names.range(..name).count() as u32);
    let mut scans: BTreeMap<&str, ScanSlices> = BTreeMap::new();
    for &slice in slices {
        let scan = manifest.scan_of(&manifest.slices[slice]);
        let new = || ScanSlices {
            folder: scan.folder.clone(),
            label: scan.label,
            source: number(scan.source.as_deref()),
            slices: Vec::new(),
        };
        scans.entry(&scan.folder).or_insert_with(new).slices.push(slice);
    }
    scans.into_values().collect()
}

/// The scans of a subset, in the order of their names, with the slices that take part.
pub(super) fn scans_in(experiment: &Experiment, subset: Subset) -> Result<Vec<ScanSlices>> {
    Ok(scans_of(experiment.manifest(), &experiment.slices(subset)?))
}

/// The features of every slice of a cache by a trained network: the output of the last layer before its head. Those of a
/// frozen backbone are the stored ones that its head was trained on (a VGG19's head that is not solved begins at its first dropout); those of a wholly
/// trained network are computed and stored next to the slices, bound to the hash of the weights.
pub(super) fn features_of(
    classifier: &Classifier,
    cache: &SliceCache,
    progress: &(dyn Fn(&Progress) + Sync),
) -> Result<FeatureCache> {
    let (network, info) = (classifier.network(), classifier.info());
    let (hash, until) = match info.backbone {
        Some(backbone) => (backbone, network.kept_until(info.run.learn)),
        None => (classifier.weights(), network.until_head()),
    };
    FeatureCache::open_or_build(cache, network, hash, &info.run, until, classifier.device(), progress)
}

/// The predictions of a subset's slices: those in the run's folder, if they are of these weights and this split, or else new
/// ones, which are not written.
pub(super) fn slice_predictions(
    experiment: &Experiment,
    classifier: &Classifier,
    subset: Subset,
) -> Result<Predictions> {
    if experiment.folder().has(Artifact::PredictionsAbout(subset)) {
        let stored = experiment.predictions(subset)?;
        let (about, split) = (&stored.about, experiment.split());
        if (about.weights, about.split, about.manifest) == (classifier.weights(), split.hash(), split.manifest_hash()) {
            return Ok(stored);
        }
    }
    classifier.predict(experiment, subset)
}
