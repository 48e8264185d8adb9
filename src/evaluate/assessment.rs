//! How far a run's figures can be trusted: intervals over patients, scan rules beside each other, calibration, sources.

use crate::base::files::Digest;
use crate::data::manifest::Manifest;
use crate::data::split::Subset;
use crate::evaluate::decision_rules::Rule;
use crate::evaluate::predict::{Predictions, SlicePrediction};
use crate::evaluate::scan_decisions::ScanRule;
use crate::stats::calibration::{Calibration, ScanCalibrator, Temperature, logit};
use crate::stats::metrics::{Estimate, Performance, ScoredSample};
use crate::train::run_folder::{Artifact, RunFolder};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::fmt;

mod grouping;
mod tables;
#[cfg(test)]
mod tests;

use grouping::Grouping;
pub(crate) use grouping::judged_scans;
pub(crate) use tables::estimated;

/// Draws of the bootstrap, and its seed.
const DRAWS: u32 = 2_000;
const SEED: u64 = 1;
/// Bars of a reliability diagram.
const BINS: usize = 10;
/// What a mean of slice probabilities is, as a rule of scans; its threshold plays no part.
const MEAN: Rule = Rule::MeanProbability(0.5);

/// A subset's figures with intervals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assessed {
    /// Validation or test.
    pub subset: Subset,
    /// Each slice for itself; covid from a probability of 0.5 on.
    pub slices: Performance,
    /// Each scan by the run's scan rule.
    pub scans: Performance,
    /// Scans of each source that the patient table names, where it names two or more.
    pub sources: Vec<(String, Performance)>,
    /// Scans whose patient is named; every other one counts as a patient of its own.
    pub named: usize,
    /// `None` where the subset holds one label only.
    pub roc: Option<RocCurves>,
}

/// Receiver operating characteristics for drawing: points `[1 - specificity, sensitivity]`, each 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RocCurves {
    /// Slices, ranked by their covid probability.
    pub slices: Vec<[f64; 2]>,
    /// Scans, ranked by what the run's scan rule compares with its threshold.
    pub scans: Vec<[f64; 2]>,
}

/// One kind of scan rule, chosen on the validation scans.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleResult {
    /// The rule with its threshold.
    pub rule: Rule,
    /// Balanced accuracy on the validation scans it was chosen on: the best of its kind, so too good.
    pub validation: f64,
    /// Balanced accuracy on the test scans.
    pub test: Option<Estimate>,
}

/// Probabilities against the truth, as they come and as mended on the validation set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recalibrated {
    /// As they come.
    pub before: Calibration,
    /// Mended; `None` where nothing could be fitted.
    pub after: Option<Calibration>,
}

/// A subset's probabilities against the truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibrated {
    /// Validation or test.
    pub subset: Subset,
    /// Of slices: the network's, and temperature-scaled.
    pub slices: Recalibrated,
    /// Of scans: the mean over the slices, and by the [`ScanCalibrator`].
    pub scans: Recalibrated,
}

/// What a doubting reader asks about a run's figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assessment {
    /// Name of the run.
    pub run: String,
    /// Hash of the weights.
    pub weights: Digest,
    /// Subsets whose scans were learned from.
    pub leaks: Vec<Subset>,
    /// Validation and test, where they have slices.
    pub subsets: Vec<Assessed>,
    /// Scan rules beside each other; none where validation holds one label only.
    pub rules: Vec<RuleResult>,
    /// Of slices, fitted on the validation slices; goes with the checkpoint. `None` where validation holds one label only.
    pub temperature: Option<Temperature>,
    /// Of scans, fitted on the validation scans; goes with the checkpoint, and unlabelled scans are judged with it.
    pub scan_calibrator: Option<ScanCalibrator>,
    /// Validation and test.
    pub calibration: Vec<Calibrated>,
    /// What cannot be given, and why.
    pub omitted: Vec<Omitted>,
}

/// A part of an [`Assessment`] that some validation sets leave undefined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The temperature of slices.
    Temperature,
    /// The calibrator of scans.
    ScanCalibrator,
    /// The comparison of scan rules.
    ScanRules,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Temperature => "temperature",
            Self::ScanCalibrator => "calibrator of scans",
            Self::ScanRules => "rules of scans",
        })
    }
}

/// A part that cannot be given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Omitted {
    /// Which.
    pub part: Part,
    /// Why.
    pub why: String,
}

impl fmt::Display for Omitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {}: {}", self.part, self.why)
    }
}

impl Assessment {
    /// Assesses predictions of the validation set, and of the test set where it has slices. `manifest` tells who is one
    /// patient: patients are drawn for the intervals, never slices.
    ///
    /// # Errors
    /// Predictions of other slices than the manifest's, or a probability that is none. What validation scans of one label
    /// leave undefined is no error: see [`omitted`](Self::omitted).
    pub fn of(
        validation: &Predictions,
        test: Option<&Predictions>,
        manifest: &Manifest,
        rule: &ScanRule,
    ) -> Result<Self> {
        let about = &validation.about;
        let doing = || format!("assessing the run {}", about.run);
        let whose = Grouping::new(manifest);
        let mut omitted = Vec::new();
        let temperature = kept(temperature(validation), Part::Temperature, &mut omitted);
        let scans = whose.judged(validation, MEAN).with_context(doing)?;
        let scan_calibrator = kept(ScanCalibrator::fit(&scans, DRAWS, SEED), Part::ScanCalibrator, &mut omitted);
        let (mut subsets, mut calibration) = (Vec::new(), Vec::new());
        for predictions in std::iter::once(validation).chain(test) {
            ensure!(
                predictions.about.manifest == manifest.hash(),
                "{}: its predictions are of the manifest {}, expected {}",
                doing(),
                predictions.about.manifest,
                manifest.hash()
            );
            ensure!(
                predictions.about.weights == about.weights,
                "{}: its {} predictions are of the weights {}, those of validation of {}",
                doing(),
                predictions.about.subset,
                predictions.about.weights.short(),
                about.weights.short()
            );
            subsets.push(whose.assessed(predictions, rule.rule).with_context(doing)?);
            let scans = whose.judged(predictions, MEAN).with_context(doing)?;
            calibration.push(Calibrated {
                subset: predictions.about.subset,
                slices: of_slices(predictions, temperature.as_ref()).with_context(doing)?,
                scans: of_scans(&scans, scan_calibrator.as_ref()).with_context(doing)?,
            });
        }
        let rules = kept(whose.rules(validation, test), Part::ScanRules, &mut omitted).unwrap_or_default();
        let (run, weights, leaks) = (about.run.clone(), about.weights, about.leaks.clone());
        Ok(Self { run, weights, leaks, subsets, rules, temperature, scan_calibrator, calibration, omitted })
    }

    /// Why a part is absent; `None` where it is there.
    pub fn why_omitted(&self, part: Part) -> Option<&str> {
        self.omitted.iter().find(|of| of.part == part).map(|of| of.why.as_str())
    }

    /// The figures of a subset.
    pub fn subset(&self, subset: Subset) -> Option<&Assessed> {
        self.subsets.iter().find(|of| of.subset == subset)
    }
}

impl RunFolder {
    /// Confidence intervals, scan rules, calibration.
    pub fn assessment(&self) -> Result<Assessment> {
        self.read(Artifact::Assessment)
    }
}

/// What could be had; where it could not, why.
fn kept<T>(found: Result<T>, part: Part, omitted: &mut Vec<Omitted>) -> Option<T> {
    found.map_err(|error| omitted.push(Omitted { part, why: format!("{error:#}") })).ok()
}

/// Slices of one label only fit no temperature.
fn temperature(validation: &Predictions) -> Result<Temperature> {
    let (truth, probabilities) = truths(validation)?;
    let covid = truth.iter().filter(|&&covid| covid).count();
    ensure!(
        covid > 0 && covid < truth.len(),
        "fitting a temperature: expected validation slices of both labels, found {covid} covid and {} non-covid",
        truth.len() - covid
    );
    let logits: Vec<f64> = probabilities.iter().map(|&p| logit(p)).collect();
    Temperature::fit(&truth, &logits)
}

fn of_slices(predictions: &Predictions, temperature: Option<&Temperature>) -> Result<Recalibrated> {
    let (truth, before) = truths(predictions)?;
    recalibrated(&truth, &before, temperature.map(|temperature| move |p| temperature.apply(p)))
}

fn of_scans(scans: &[ScoredSample], calibrator: Option<&ScanCalibrator>) -> Result<Recalibrated> {
    let (truth, before): (Vec<bool>, Vec<f64>) = scans.iter().map(|scan| (scan.covid, scan.score)).unzip();
    recalibrated(&truth, &before, calibrator.map(|calibrator| move |p| calibrator.apply(p)))
}

fn recalibrated(truth: &[bool], before: &[f64], mend: Option<impl Fn(f64) -> f64>) -> Result<Recalibrated> {
    let after = mend.map(|mend| before.iter().map(|&p| mend(p)).collect::<Vec<_>>());
    Ok(Recalibrated {
        before: Calibration::of(truth, before, BINS)?,
        after: after.map(|after| Calibration::of(truth, &after, BINS)).transpose()?,
    })
}

fn truths(predictions: &Predictions) -> Result<(Vec<bool>, Vec<f64>)> {
    let rows = predictions.rows();
    ensure!(!rows.is_empty(), "expected predictions of the {} subset, found none", predictions.about.subset);
    let truth = rows.iter().map(SlicePrediction::is_covid).collect::<Result<_>>()?;
    Ok((truth, rows.iter().map(|row| f64::from(row.covid)).collect()))
}
