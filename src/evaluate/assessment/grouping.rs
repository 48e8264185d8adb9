//! Groups predictions by scan, patient and source.

use super::{Assessed, RocCurves, RuleResult, SEED};
use crate::base::errors::{Context, Result};
use crate::data::manifest::{Label, Manifest};
use crate::evaluate::decision_rules::{Rule, RuleKind};
use crate::evaluate::predict::{Predictions, SlicePrediction};
use crate::stats::metrics::{DRAWS, Estimate, Measure, Performance, RocCurve, ScoredSample};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Patient and source of each scan folder.
pub(super) struct Grouping<'a> {
    patients: HashMap<&'a str, u32>,
    named: HashSet<&'a str>,
    sources: HashMap<&'a str, &'a str>,
}

impl<'a> Grouping<'a> {
    pub(super) fn new(manifest: &'a Manifest) -> Self {
        let of_scans = manifest.patient_of_scans();
        let scans = || manifest.scans.iter().zip(&of_scans);
        Self {
            patients: scans().map(|(scan, patient)| (scan.folder.as_str(), *patient)).collect(),
            named: scans().filter(|(scan, _)| scan.patient.is_some()).map(|(scan, _)| scan.folder.as_str()).collect(),
            sources: scans().filter_map(|(scan, _)| Some((scan.folder.as_str(), scan.source.as_deref()?))).collect(),
        }
    }

    fn patient(&self, scan: &str) -> Result<u32> {
        self.patients.get(scan).copied().with_context(|| format!("{scan} is no scan of the manifest"))
    }

    /// The slices of each scan, in the order of the scans' names.
    fn scans<'p>(&self, predictions: &'p Predictions) -> BTreeMap<&'p str, Vec<&'p SlicePrediction>> {
        let mut scans: BTreeMap<&str, Vec<&SlicePrediction>> = BTreeMap::new();
        for row in predictions.rows() {
            scans.entry(&row.scan).or_default().push(row);
        }
        scans
    }

    fn scored_scans(&self, predictions: &Predictions, rule: Rule) -> Result<Vec<(String, ScoredSample)>> {
        let sample = |(scan, slices): (&str, Vec<&SlicePrediction>)| {
            let probabilities: Vec<f64> = slices.iter().map(|row| f64::from(row.covid)).collect();
            let (score, decision) = (rule.score(&probabilities), rule.decide(&probabilities));
            let covid = slices.first().with_context(|| format!("{scan} has no slices"))?.is_covid()?;
            Ok((scan.to_owned(), ScoredSample { covid, score, decision, patient: self.patient(scan)? }))
        };
        self.scans(predictions).into_iter().map(sample).collect()
    }

    /// Scores and decisions of scans by a rule, in the order of their names.
    pub(super) fn scored(&self, predictions: &Predictions, rule: Rule) -> Result<Vec<ScoredSample>> {
        Ok(self.scored_scans(predictions, rule)?.into_iter().map(|(_, scored)| scored).collect())
    }

    pub(super) fn assessed(&self, predictions: &Predictions, rule: Rule) -> Result<Assessed> {
        self.assessed_as(predictions, self.scored_scans(predictions, rule)?)
    }

    /// The same with scans that were scored and decided elsewhere.
    fn assessed_as(&self, predictions: &Predictions, scans: Vec<(String, ScoredSample)>) -> Result<Assessed> {
        let slice = |row: &SlicePrediction| {
            let (covid, score) = (row.is_covid()?, f64::from(row.covid));
            let decision = row.decision() == Label::Covid;
            Ok(ScoredSample { covid, score, decision, patient: self.patient(&row.scan)? })
        };
        let slices = predictions.rows().iter().map(slice).collect::<Result<Vec<_>>>()?;
        let mut by_source: BTreeMap<&str, Vec<ScoredSample>> = BTreeMap::new();
        for (scan, scored) in &scans {
            if let Some(source) = self.sources.get(scan.as_str()) {
                by_source.entry(source).or_default().push(*scored);
            }
        }
        let sources = if by_source.len() > 1 { by_source } else { BTreeMap::new() };
        let of_source = |(source, scored): (&str, Vec<ScoredSample>)| {
            Ok((source.to_owned(), Performance::with_score_intervals(&scored)?))
        };
        let named = scans.iter().filter(|(scan, _)| self.named.contains(scan.as_str())).count();
        let scans: Vec<ScoredSample> = scans.into_iter().map(|(_, scored)| scored).collect();
        Ok(Assessed {
            subset: predictions.about.subset,
            slices: Performance::of(&slices, DRAWS, SEED)?,
            scans: Performance::with_score_intervals(&scans)?,
            sources: sources.into_iter().map(of_source).collect::<Result<_>>()?,
            named,
            roc: roc(&slices).zip(roc(&scans)).map(|(slices, scans)| RocCurves { slices, scans }),
        })
    }

    /// The best rule of each kind, chosen on the validation scans.
    pub(super) fn rules(&self, validation: &Predictions, test: Option<&Predictions>) -> Result<Vec<RuleResult>> {
        let scans = validation.labelled_scans()?;
        let mut results = Vec::new();
        for kind in RuleKind::ALL {
            let choice = Rule::choose(kind, &scans)?;
            let on_test = |test| -> Result<Estimate> {
                let scans = self.scored(test, choice.rule)?;
                Ok(*Performance::with_score_intervals(&scans)?.get(Measure::BalancedAccuracy))
            };
            let test = test.map(on_test).transpose()?;
            results.push(RuleResult { rule: choice.rule, validation: choice.balanced_accuracy, test });
        }
        Ok(results)
    }
}

/// A ROC curve without points that a figure cannot resolve; `None` if all samples have the same label.
fn roc(scored: &[ScoredSample]) -> Option<Vec<[f64; 2]>> {
    const RESOLUTION: f64 = 1.0 / 500.0;
    let (covid, scores): (Vec<bool>, Vec<f64>) = scored.iter().map(|of| (of.covid, of.score)).unzip();
    Some(RocCurve::new(&covid, &scores).ok()?.thinned(RESOLUTION))
}

/// Scores and decisions of scans by a rule, with the scans' folders, in the order of these.
pub(crate) fn scored_scans(
    predictions: &Predictions,
    manifest: &Manifest,
    rule: Rule,
) -> Result<Vec<(String, ScoredSample)>> {
    Grouping::new(manifest).scored_scans(predictions, rule)
}

/// A subset's figures with confidence intervals, its scans scored and decided as in `scans`.
pub(crate) fn assessed_scans(
    predictions: &Predictions,
    manifest: &Manifest,
    scans: Vec<(String, ScoredSample)>,
) -> Result<Assessed> {
    Grouping::new(manifest).assessed_as(predictions, scans)
}
