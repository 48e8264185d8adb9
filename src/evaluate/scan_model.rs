//! The scan model: a scan judged by the features of all its slices, pooled by gated attention or more simply. It is trained on
//! scans, where a run's network is trained on slices that have the label of their scan, many of which show no trace of it.

use crate::base::errors::{Context, Result, ensure};
use crate::base::files::Digest;
use crate::base::progress::Progress;
use crate::data::cache::SliceCache;
use crate::data::manifest::Label;
use crate::data::split::Subset;
use crate::evaluate::assessment::Recalibrated;
use crate::evaluate::predict::Classifier;
use crate::evaluate::scan_decisions::ScanRule;
use crate::nn::scan_pooling::{ScanCandidate, ScanNetwork, ScanTraining};
use crate::nn::tensor_file::write_tensors;
use crate::stats::calibration::ScanCalibrator;
use crate::stats::metrics::{Interval, Paired, Performance};
use crate::train::experiment::Experiment;
use crate::train::run_folder::{Artifact, RunFolder};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use tch::{Kind, Tensor};

mod scan_fit;
mod scan_model_tables;
mod scan_results;
mod scan_slices;
#[cfg(test)]
mod tests;

use scan_slices::{features_of, scans_in, scans_of};

/// A candidate after its training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScanCandidateResult {
    /// The candidate.
    pub candidate: ScanCandidate,
    /// Area under the ROC curve of the validation scans in its best epoch, 0 to 1: the mean over the sources with both labels,
    /// if there are any.
    pub auc: f64,
    /// Cross entropy there, in nats, both labels weighted equally.
    pub loss: f64,
    /// That epoch, counted from 1.
    pub epoch: usize,
    /// How many epochs were trained.
    pub epochs: usize,
}

/// What a scan model says of one scan.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanVerdict {
    /// The score, 0 to 1: the sigmoid of the network's logit; not calibrated.
    pub score: f64,
    /// The calibrated probability of covid, 0 to 1; `None` if no calibrator could be fitted.
    pub probability: Option<f64>,
    /// Its 95 % interval: bootstrap over the validation patients that the calibrator was fitted on.
    pub interval: Option<Interval>,
    /// The decision, by the threshold chosen on the validation scans.
    pub decision: Label,
    /// The weight of each slice, 0 to 1, in the order of the slices; they sum to 1.
    pub weights: Vec<f32>,
}

/// A scan of the data set, judged by a scan model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelledScan {
    /// Validation, test or prediction.
    pub subset: Subset,
    /// Scan folder.
    pub scan: String,
    /// The label, where known.
    pub label: Option<Label>,
    /// Number of slices.
    pub slices: usize,
    /// As in [`ScanVerdict::score`].
    pub score: f64,
    /// As in [`ScanVerdict::probability`].
    pub probability: Option<f64>,
    /// As in [`ScanVerdict::interval`].
    pub interval: Option<Interval>,
    /// As in [`ScanVerdict::decision`].
    pub decision: Label,
}

/// Scan model and slice vote on the same scans.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelAndVote {
    /// The scan model.
    pub model: Performance,
    /// The run's slice vote: the share of slices called covid.
    pub vote: Performance,
    /// Their difference: b is the scan model, a the vote.
    pub difference: Paired,
}

/// The figures of a subset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelledSubset {
    /// Validation or test.
    pub subset: Subset,
    /// All scans.
    pub all: ModelAndVote,
    /// By source, if there are two or more.
    pub sources: Vec<(String, ModelAndVote)>,
    /// The scan model's scores, before and after its calibrator.
    pub calibration: Recalibrated,
}

/// The figures of a scan model, and what it was fitted on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScanModelResults {
    /// Version of the library that fitted it.
    pub version: String,
    /// Name of the run.
    pub run: String,
    /// Hash of the network's weights, whose features it judges.
    pub weights: Digest,
    /// Hash of the manifest.
    pub manifest: Digest,
    /// Hash of the split.
    pub split: Digest,
    /// Subsets whose scans were learned from.
    pub leaks: Vec<Subset>,
    /// Hash of the file with its tensors.
    pub tensors: Digest,
    /// How it was trained.
    pub training: ScanTraining,
    /// All candidates.
    pub candidates: Vec<ScanCandidateResult>,
    /// Index of the chosen one.
    pub chosen: usize,
    /// The score from which a scan is called covid, chosen on the validation scans by balanced accuracy.
    pub threshold: f64,
    /// The balanced accuracy there, 0 to 1; optimistic.
    pub balanced_accuracy: f64,
    /// Number of validation scans.
    pub validation_scans: usize,
    /// Calibrator, fitted on the validation scans.
    pub calibrator: Option<ScanCalibrator>,
    /// Why there is no calibrator.
    pub not_calibrated: Option<String>,
    /// The rule of the slice vote.
    pub vote: ScanRule,
    /// Validation, and test if it has scans.
    pub subsets: Vec<ModelledSubset>,
    /// Validation, test and prediction scans.
    pub scans: Vec<ModelledScan>,
}

/// A scan model: its network and its figures.
///
/// It inherits what the run's network learned: features of a wholly trained network fit the training scans better than any
/// new ones, which makes its training scans look easier than they are. The validation scans choose epoch, candidate,
/// threshold and calibration: their figures are optimistic, those of the test scans are not.
#[derive(Debug)]
pub struct ScanModel {
    results: ScanModelResults,
    network: ScanNetwork,
}

impl Experiment {
    /// The scan model of this trained run, with the default [`ScanTraining`]. It is fitted at the first call, and written into the
    /// run's folder; later calls read it, as long as weights, split and settings are the same.
    ///
    /// # Errors
    /// A run that was not trained, or was trained on another split; training or validation scans of one label only.
    pub fn scan_model(&self) -> Result<ScanModel> {
        self.scan_model_by(&ScanTraining::default())
    }

    /// The same with these settings.
    ///
    /// # Errors
    /// Those of [`scan_model`](Self::scan_model), and settings that cannot work.
    pub fn scan_model_by(&self, training: &ScanTraining) -> Result<ScanModel> {
        let folder = self.folder();
        let doing = || format!("fitting a scan model to the run in {}", folder.path().display());
        ensure!(
            folder.has(Artifact::BestCheckpoint),
            "{}: expected a trained run, found no {}: run `covid-ct train` first",
            doing(),
            Artifact::BestCheckpoint.file_name()
        );
        let classifier = self.classifier()?;
        let (trained, split) = (classifier.info().split, self.split().hash());
        ensure!(
            trained == split,
            "{}: the network was trained with the split {}, this one is {}",
            doing(),
            trained.short(),
            split.short()
        );
        if folder.has(Artifact::ScanModel) && folder.has(Artifact::ScanModelWeights) {
            let found: ScanModelResults = folder.read(Artifact::ScanModel)?;
            let made_from = (found.weights, found.split, found.manifest, &found.training);
            if made_from == (classifier.weights(), split, self.split().manifest_hash(), training) {
                return ScanModel::read(folder);
            }
        }
        ScanModel::fit(self, &classifier, training).with_context(doing)
    }
}

impl RunFolder {
    /// The scan model, as [`Experiment::scan_model`] wrote it.
    ///
    /// # Errors
    /// None yet, or a damaged one.
    pub fn scan_model(&self) -> Result<ScanModel> {
        ScanModel::read(self)
    }
}

impl ScanModel {
    fn read(folder: &RunFolder) -> Result<Self> {
        let results: ScanModelResults = folder.read(Artifact::ScanModel)?;
        let path = folder.path_of(Artifact::ScanModelWeights);
        let doing = || format!("reading the scan model {}", path.display());
        let found = Digest::of_file(&path).with_context(doing)?;
        ensure!(
            found == results.tensors,
            "{}: its figures are of the file {}, this one is {found}: delete both to have it fitted again",
            doing(),
            results.tensors
        );
        let named = Tensor::read_safetensors(&path).with_context(doing)?;
        let network = ScanNetwork::from_tensors(results.chosen()?.pooling, named.into_iter().collect());
        Ok(Self { network: network.with_context(doing)?, results })
    }

    fn fit(experiment: &Experiment, classifier: &Classifier, training: &ScanTraining) -> Result<Self> {
        let show = |progress: &Progress| experiment.progress(progress);
        let folder = experiment.folder();
        let cache = features_of(classifier, experiment.cache(), &show)?;
        let features = |slices: &[usize]| {
            cache.rows().read_ahead(slices);
            Ok(cache.of(slices)?.f_to_kind(Kind::Float)?)
        };
        let (learned, judged) = (scans_in(experiment, Subset::Train)?, scans_in(experiment, Subset::Validation)?);
        let fitted = scan_fit::fit(&learned, &judged, &features, training, &show)?;
        let network = fitted.network.tensors();
        folder.write_by(Artifact::ScanModelWeights, |path| write_tensors(path, &network, HashMap::new()))?;
        let tensors = Digest::of_file(&folder.path_of(Artifact::ScanModelWeights))?;
        let results = scan_results::results(experiment, classifier, &features, &fitted, training, tensors)?;
        folder.write(Artifact::ScanModel, &results)?;
        Ok(Self { results, network: fitted.network })
    }

    /// Its figures, and what it was fitted on.
    pub fn results(&self) -> &ScanModelResults {
        &self.results
    }

    /// Its network.
    pub fn network(&self) -> &ScanNetwork {
        &self.network
    }

    /// Judges a scan, also a new one, by the features `[L, F]` (f32) of its slices, in their order: the output of the last
    /// layer before the network's head, as [`judge`](Self::judge) computes them.
    ///
    /// # Errors
    /// Another number of features, no slices, or features that are no finite numbers.
    pub fn of_new(&self, features: &Tensor) -> Result<ScanVerdict> {
        let (logit, weights) = self.network.judge(features)?;
        Ok(self.results.verdict(logit, weights))
    }

    /// Judges every scan of a cache, for example one of new scans, in the order of their names.
    ///
    /// # Errors
    /// A classifier with other weights than it was fitted on, or a cache with other preprocessing.
    pub fn judge(
        &self,
        classifier: &Classifier,
        cache: &SliceCache,
        progress: impl Fn(&Progress) + Sync,
    ) -> Result<Vec<(String, ScanVerdict)>> {
        let doing =
            || format!("judging the scans of {} by the scan model of {}", cache.manifest().name, self.results.run);
        self.check(classifier).with_context(doing)?;
        let expected = &classifier.info().run.preprocess;
        ensure!(
            cache.preprocess() == expected,
            "{}: the network was trained with {expected:?}, the cache was made with {:?}",
            doing(),
            cache.preprocess()
        );
        let features = features_of(classifier, cache, &progress)?;
        let slices = cache.used(&(0..cache.manifest().slices.len()).collect::<Vec<_>>())?;
        let verdict = |scan: scan_slices::ScanSlices| {
            let features = features.of(&scan.slices)?.f_to_kind(Kind::Float)?;
            Ok((scan.folder, self.of_new(&features)?))
        };
        scans_of(cache.manifest(), &slices).into_iter().map(verdict).collect()
    }

    fn check(&self, classifier: &Classifier) -> Result<()> {
        let (fitted, found) = (self.results.weights, classifier.weights());
        ensure!(
            fitted == found,
            "the scan model was fitted to the weights {}, these are {}: fit it again",
            fitted.short(),
            found.short()
        );
        Ok(())
    }
}

impl ScanModelResults {
    /// The chosen candidate.
    fn chosen(&self) -> Result<ScanCandidate> {
        let of = self.candidates.get(self.chosen).map(|of| of.candidate);
        of.with_context(|| format!("candidate {} was chosen among {}", self.chosen, self.candidates.len()))
    }

    fn verdict(&self, logit: f64, weights: Vec<f32>) -> ScanVerdict {
        let score = scan_results::score(logit);
        let calibrator = self.calibrator.as_ref();
        ScanVerdict {
            score,
            probability: calibrator.map(|of| of.apply(score)),
            interval: calibrator.and_then(|of| of.interval(score)),
            decision: if score >= self.threshold { Label::Covid } else { Label::NonCovid },
            weights,
        }
    }
}
