//! Uncertainty of a run's figures: confidence intervals over patients, comparison of scan rules, calibration, sources.

use crate::base::errors::{Context, Result, ensure};
use crate::base::files::Digest;
use crate::data::manifest::Manifest;
use crate::data::split::Subset;
use crate::evaluate::decision_rules::Rule;
use crate::evaluate::predict::{Predictions, SlicePrediction};
use crate::evaluate::scan_decisions::ScanRule;
use crate::stats::calibration::{Calibration, ScanCalibrator, Temperature, logit};
use crate::stats::metrics::{DRAWS, Estimate, Performance, ScoredSample};
use crate::train::run_folder::{Artifact, RunFolder};
use serde::{Deserialize, Serialize};
use std::fmt;

mod grouping;
mod tables;
#[cfg(test)]
mod tests;

use grouping::Grouping;
pub(crate) use grouping::{assessed_scans, scored_scans};
pub(crate) use tables::{FEW, INTERVALS, OF_SCANS, counts, estimated, roc_figure, rule_text};

/// Seed of the bootstrap.
pub(crate) const SEED: u64 = 1;
/// Bars of a reliability diagram.
const BINS: usize = 10;
/// Scores a scan by the mean probability of its slices; the threshold is not used.
pub(crate) const MEAN: Rule = Rule::MeanProbability(0.5);

/// A subset's figures with confidence intervals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assessed {
    /// Validation or test.
    pub subset: Subset,
    /// By slice; covid if the probability is 0.5 or more.
    pub slices: Performance,
    /// By scan, with the run's scan rule.
    pub scans: Performance,
    /// By scan for each source in the patient table, if there are two or more.
    pub sources: Vec<(String, Performance)>,
    /// Number of scans whose patient is known; each other scan counts as one patient.
    pub named: usize,
    /// `None` where the subset holds one label only.
    pub roc: Option<RocCurves>,
}

/// ROC curves for drawing: points `[1 - specificity, sensitivity]`, each 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RocCurves {
    /// Slices, ranked by their covid probability.
    pub slices: Vec<[f64; 2]>,
    /// Scans, ranked by the score of the run's scan rule.
    pub scans: Vec<[f64; 2]>,
}

/// One kind of scan rule, chosen on the validation scans.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleResult {
    /// The rule with its threshold.
    pub rule: Rule,
    /// Balanced accuracy on the validation scans, 0 to 1; optimistic, because the rule was chosen on them.
    pub validation: f64,
    /// Balanced accuracy on the test scans; `None` without a test set.
    pub test: Option<Estimate>,
}

/// Calibration of probabilities before and after recalibration on the validation set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recalibrated {
    /// Before recalibration.
    pub before: Calibration,
    /// After recalibration; `None` where nothing could be fitted.
    pub after: Option<Calibration>,
}

/// Calibration of a subset's probabilities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibrated {
    /// Validation or test.
    pub subset: Subset,
    /// By slice: the network's probabilities, and after temperature scaling.
    pub slices: Recalibrated,
    /// By scan: the mean over the slices, and after the [`ScanCalibrator`].
    pub scans: Recalibrated,
}

/// Confidence intervals, scan rules and calibration of an evaluated run.
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
    /// The best rule of each kind; empty if the validation set has a single label.
    pub rules: Vec<RuleResult>,
    /// Temperature scaling of slices, fitted on the validation slices; belongs to the checkpoint. `None` if the
    /// validation set has a single label.
    pub temperature: Option<Temperature>,
    /// Calibrator of scans, fitted on the validation scans; belongs to the checkpoint and is used for unlabelled scans.
    pub scan_calibrator: Option<ScanCalibrator>,
    /// Calibration on validation and test.
    pub calibration: Vec<Calibrated>,
    /// Parts that are left out, and why.
    pub omitted: Vec<Omitted>,
}

/// A part of an [`Assessment`] that is undefined for some validation sets.
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

/// A part that is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Omitted {
    /// The part.
    pub part: Part,
    /// The reason.
    pub why: String,
}

/// Shows the reason.
impl fmt::Display for Omitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl Assessment {
    /// Assesses predictions of the validation set, and of the test set if it has slices. Intervals are over patients,
    /// not slices; which scans belong to one patient is taken from `manifest`.
    ///
    /// # Errors
    /// Predictions of other slices than the manifest's or of different weights, or a value that is not a probability.
    /// Validation scans of a single label are no error: see [`omitted`](Self::omitted).
    pub fn of(
        validation: &Predictions,
        test: Option<&Predictions>,
        manifest: &Manifest,
        rule: &ScanRule,
    ) -> Result<Self> {
        let about = &validation.about;
        let doing = || format!("assessing the run {}", about.run);
        let grouping = Grouping::new(manifest);
        let mut omitted = Vec::new();
        let temperature = or_omitted(temperature(validation), Part::Temperature, &mut omitted);
        let scans = grouping.scored(validation, MEAN).with_context(doing)?;
        let scan_calibrator = or_omitted(ScanCalibrator::fit(&scans, DRAWS, SEED), Part::ScanCalibrator, &mut omitted);
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
                predictions.about.weights == about.weights && predictions.about.split == about.split,
                "{}: its {} predictions are of the weights {}, those of validation of {}",
                doing(),
                predictions.about.subset,
                predictions.about.weights.short(),
                about.weights.short()
            );
            subsets.push(grouping.assessed(predictions, rule.rule).with_context(doing)?);
            let scans = grouping.scored(predictions, MEAN).with_context(doing)?;
            calibration.push(Calibrated {
                subset: predictions.about.subset,
                slices: of_slices(predictions, temperature.as_ref()).with_context(doing)?,
                scans: of_scans(&scans, scan_calibrator.as_ref()).with_context(doing)?,
            });
        }
        let rules = or_omitted(grouping.rules(validation, test), Part::ScanRules, &mut omitted).unwrap_or_default();
        let (run, weights, leaks) = (about.run.clone(), about.weights, about.leaks.clone());
        Ok(Self { run, weights, leaks, subsets, rules, temperature, scan_calibrator, calibration, omitted })
    }

    /// The same for scans from elsewhere, calibrated as this run was on its validation scans.
    ///
    /// # Errors
    /// Predictions of other slices than the manifest's, or by other weights than were assessed.
    pub(crate) fn of_external(&self, predictions: &Predictions, manifest: &Manifest, rule: &ScanRule) -> Result<Self> {
        let about = &predictions.about;
        let doing = || format!("assessing the run {} on scans from elsewhere", about.run);
        ensure!(about.weights == self.weights, "{}: they were predicted by other weights", doing());
        let grouping = Grouping::new(manifest);
        let scans = grouping.scored(predictions, MEAN).with_context(doing)?;
        let calibration = Calibrated {
            subset: about.subset,
            slices: of_slices(predictions, self.temperature.as_ref()).with_context(doing)?,
            scans: of_scans(&scans, self.scan_calibrator.as_ref()).with_context(doing)?,
        };
        Ok(Self {
            run: about.run.clone(),
            leaks: Vec::new(),
            subsets: vec![grouping.assessed(predictions, rule.rule).with_context(doing)?],
            rules: Vec::new(),
            calibration: vec![calibration],
            ..self.clone()
        })
    }

    /// Why a part is left out; `None` if it is not.
    pub fn why_omitted(&self, part: Part) -> Option<&str> {
        self.omitted.iter().find(|of| of.part == part).map(|of| of.why.as_str())
    }

    /// The figures of a subset; `None` if it was not assessed.
    pub fn subset(&self, subset: Subset) -> Option<&Assessed> {
        self.subsets.iter().find(|of| of.subset == subset)
    }
}

impl RunFolder {
    /// Confidence intervals, scan rules, calibration.
    ///
    /// # Errors
    /// It is not there or cannot be read, or an earlier version wrote it, whose intervals of scans were a bootstrap.
    pub fn assessment(&self) -> Result<Assessment> {
        let assessment: Assessment = self.read(Artifact::Assessment)?;
        ensure!(
            assessment.subsets.iter().all(|of| of.scans.draws == 0),
            "{}: expected score intervals of scans, found those of a bootstrap, by an earlier version: evaluate the run \
             again",
            self.path_of(Artifact::Assessment).display()
        );
        Ok(assessment)
    }
}

/// The value; an error is added to `omitted` as the reason why the part is left out.
fn or_omitted<T>(found: Result<T>, part: Part, omitted: &mut Vec<Omitted>) -> Option<T> {
    found.map_err(|error| omitted.push(Omitted { part, why: format!("{error:#}") })).ok()
}

/// Fits a temperature to the validation slices.
///
/// # Errors
/// Slices of a single label.
fn temperature(validation: &Predictions) -> Result<Temperature> {
    let (truth, probabilities) = truths(validation)?;
    let covid = truth.iter().filter(|&&covid| covid).count();
    ensure!(
        covid > 0 && covid < truth.len(),
        "validation slices of both labels are needed; there are {covid} covid and {} non-covid",
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

fn recalibrated(truth: &[bool], before: &[f64], recalibrate: Option<impl Fn(f64) -> f64>) -> Result<Recalibrated> {
    let after = recalibrate.map(|recalibrate| before.iter().map(|&p| recalibrate(p)).collect::<Vec<_>>());
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
