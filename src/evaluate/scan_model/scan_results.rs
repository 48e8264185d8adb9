//! The figures of a fitted scan model.

use super::scan_fit::FittedScanModel;
use super::scan_slices::{ScanSlices, scans_in, slice_predictions};
use super::{ModelAndVote, ModelledScan, ModelledSubset, ScanModelResults};
use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::files::Digest;
use crate::data::manifest::{Label, Manifest};
use crate::data::split::Subset;
use crate::evaluate::assessment::{Recalibrated, scored_scans};
use crate::evaluate::decision_rules::{LabelledScan, Rule, RuleKind};
use crate::evaluate::predict::Classifier;
use crate::evaluate::scan_decisions::ScanRule;
use crate::nn::scan_pooling::ScanTraining;
use crate::stats::calibration::{Calibration, ScanCalibrator};
use crate::stats::metrics::{DRAWS, Paired, Performance, ScoredSample};
use crate::train::experiment::Experiment;
use std::collections::{BTreeMap, HashMap};
use tch::Tensor;

/// Seed of the bootstrap.
const SEED: u64 = 1;
/// Bars of a reliability diagram.
const BINS: usize = 10;

/// The score of a logit, 0 to 1: the sigmoid.
pub(super) fn score(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// Judges validation, test and prediction scans, and compares with the vote of their slices.
pub(super) fn results(
    experiment: &Experiment,
    classifier: &Classifier,
    features: &dyn Fn(&[usize]) -> Result<Tensor>,
    fitted: &FittedScanModel,
    training: &ScanTraining,
    tensors: Digest,
) -> Result<ScanModelResults> {
    let (manifest, split) = (experiment.manifest(), experiment.split());
    let patients = Patients::of(manifest);
    let judged = |subset: Subset| -> Result<Vec<(ScanSlices, f64)>> {
        let logit = |scan: ScanSlices| Ok((fitted.network.judge(&features(&scan.slices)?)?.0, scan));
        let logits = scans_in(experiment, subset)?.into_iter().map(logit).collect::<Result<Vec<_>>>()?;
        Ok(logits.into_iter().map(|(logit, scan)| (scan, logit)).collect())
    };
    let validation = judged(Subset::Validation)?;
    let labelled =
        |(scan, logit): &(ScanSlices, f64)| Ok(LabelledScan { covid: scan.is_covid()?, slices: vec![score(*logit)] });
    let threshold = validation.iter().map(labelled).collect::<Result<Vec<_>>>()?;
    let choice = Rule::choose(RuleKind::MeanProbability, &threshold)?;
    let Rule::MeanProbability(threshold) = choice.rule else { bail!("expected a threshold, found {:?}", choice.rule) };
    let scored = patients.scored(&validation, threshold)?;
    let (calibrator, not_calibrated) = match ScanCalibrator::fit(&scored, DRAWS, SEED) {
        Ok(calibrator) => (Some(calibrator), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    let vote = ScanRule::choose(
        &slice_predictions(experiment, classifier, Subset::Validation)?,
        ScanRule::kind_of(experiment.settings()),
    )?;
    let mut results = ScanModelResults {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        run: experiment.settings().name.clone(),
        weights: classifier.weights(),
        manifest: split.manifest_hash(),
        split: split.hash(),
        leaks: split.leaking_subsets(),
        tensors,
        training: training.clone(),
        candidates: fitted.candidates.clone(),
        chosen: fitted.chosen,
        threshold,
        balanced_accuracy: choice.balanced_accuracy,
        validation_scans: choice.scans,
        calibrator,
        not_calibrated,
        vote,
        subsets: Vec::new(),
        scans: Vec::new(),
    };
    for subset in [Subset::Validation, Subset::Test, Subset::Prediction] {
        let scans = if subset == Subset::Validation { validation.clone() } else { judged(subset)? };
        if subset != Subset::Prediction && !scans.is_empty() {
            let predictions = slice_predictions(experiment, classifier, subset)?;
            let vote = scored_scans(&predictions, manifest, results.vote.rule)?;
            results.subsets.push(figures(subset, &patients, &scans, &vote, &results)?);
        }
        let rows = scans.into_iter().map(|(scan, logit)| modelled(subset, scan, logit, &results)).collect::<Vec<_>>();
        results.scans.extend(rows);
    }
    Ok(results)
}

fn modelled(subset: Subset, scan: ScanSlices, logit: f64, results: &ScanModelResults) -> ModelledScan {
    let verdict = results.verdict(logit, Vec::new());
    ModelledScan {
        subset,
        scan: scan.folder,
        label: scan.label,
        slices: scan.slices.len(),
        score: verdict.score,
        probability: verdict.probability,
        interval: verdict.interval,
        decision: verdict.decision,
    }
}

/// The figures of a subset, whose scans both lists have in the order of their names.
fn figures(
    subset: Subset,
    patients: &Patients<'_>,
    scans: &[(ScanSlices, f64)],
    vote: &[(String, ScoredSample)],
    results: &ScanModelResults,
) -> Result<ModelledSubset> {
    let same = scans.iter().map(|(scan, _)| &scan.folder).eq(vote.iter().map(|(scan, _)| scan));
    ensure!(
        same,
        "comparing scan model and slice vote on {subset} scans: {} scans have features, {} predictions, or other ones",
        scans.len(),
        vote.len()
    );
    let model = patients.scored(scans, results.threshold)?;
    let vote: Vec<ScoredSample> = vote.iter().map(|(_, scored)| *scored).collect();
    let mut by_source: BTreeMap<&str, (Vec<ScoredSample>, Vec<ScoredSample>)> = BTreeMap::new();
    for ((scan, _), (model, vote)) in scans.iter().zip(model.iter().zip(&vote)) {
        if let Some(source) = patients.source(&scan.folder) {
            let of_source = by_source.entry(source).or_default();
            of_source.0.push(*model);
            of_source.1.push(*vote);
        }
    }
    let sources = if by_source.len() > 1 { by_source } else { BTreeMap::new() };
    let of_source =
        |(source, (model, vote)): (&str, (Vec<_>, Vec<_>))| Ok((source.to_owned(), compared(&model, &vote)?));
    Ok(ModelledSubset {
        subset,
        all: compared(&model, &vote)?,
        sources: sources.into_iter().map(of_source).collect::<Result<_>>()?,
        calibration: recalibrated(&model, results.calibrator.as_ref())?,
    })
}

fn compared(model: &[ScoredSample], vote: &[ScoredSample]) -> Result<ModelAndVote> {
    Ok(ModelAndVote {
        model: Performance::with_score_intervals(model)?,
        vote: Performance::with_score_intervals(vote)?,
        difference: Paired::of(vote, model, DRAWS, SEED)?,
    })
}

fn recalibrated(scans: &[ScoredSample], calibrator: Option<&ScanCalibrator>) -> Result<Recalibrated> {
    let (covid, before): (Vec<bool>, Vec<f64>) = scans.iter().map(|scan| (scan.covid, scan.score)).unzip();
    let after = calibrator.map(|of| before.iter().map(|&score| of.apply(score)).collect::<Vec<_>>());
    Ok(Recalibrated {
        before: Calibration::of(&covid, &before, BINS)?,
        after: after.map(|after| Calibration::of(&covid, &after, BINS)).transpose()?,
    })
}

/// Patient and source of each scan folder.
struct Patients<'a> {
    of: HashMap<&'a str, (u32, Option<&'a str>)>,
}

impl<'a> Patients<'a> {
    fn of(manifest: &'a Manifest) -> Self {
        let patients = manifest.patient_of_scans();
        let scans = manifest.scans.iter().zip(patients);
        Self { of: scans.map(|(scan, patient)| (scan.folder.as_str(), (patient, scan.source.as_deref()))).collect() }
    }

    fn source(&self, scan: &str) -> Option<&'a str> {
        self.of.get(scan)?.1
    }

    fn scored(&self, scans: &[(ScanSlices, f64)], threshold: f64) -> Result<Vec<ScoredSample>> {
        let sample = |(scan, logit): &(ScanSlices, f64)| {
            let (patient, _) =
                self.of.get(scan.folder.as_str()).with_context(|| format!("{} is no scan", scan.folder))?;
            let score = score(*logit);
            let covid = scan.label == Some(Label::Covid);
            ensure!(scan.label.is_some(), "{} has no label to compare with", scan.folder);
            Ok(ScoredSample { covid, score, decision: score >= threshold, patient: *patient })
        };
        scans.iter().map(sample).collect()
    }
}
