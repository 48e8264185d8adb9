//! How far a run's figures can be trusted: intervals over patients, scan rules beside each other, calibration, sources.

use crate::calibration::{Calibration, Temperature, logit};
use crate::files::{Digest, read_json, write_json};
use crate::manifest::{Label, Manifest};
use crate::metrics::{Estimate, Judged, Measure, Performance};
use crate::predict::{Predictions, SlicePrediction};
use crate::rules::{Rule, RuleKind};
use crate::scan::ScanRule;
use crate::split::Subset;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

mod tables;

pub(crate) use tables::estimated;

/// Draws of the bootstrap, and its seed.
const DRAWS: u32 = 2_000;
const SEED: u64 = 1;
/// Bars of a reliability diagram.
const BINS: usize = 10;

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

/// Probabilities of a subset's slices against the truth, as the network gives them and after temperature scaling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibrated {
    /// Validation or test.
    pub subset: Subset,
    /// As the network gives them.
    pub before: Calibration,
    /// Scaled with the temperature that was fitted on the validation slices.
    pub after: Calibration,
}

/// What a doubting reader asks about a run's figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assessment {
    /// Name of the run.
    pub run: String,
    /// Hash of the weights.
    pub weights: Digest,
    /// Whether the split leaks.
    pub leaking: bool,
    /// Validation and test, where they have slices.
    pub subsets: Vec<Assessed>,
    /// Scan rules beside each other.
    pub rules: Vec<RuleResult>,
    /// Fitted on the validation slices; goes with the checkpoint. `None` where validation holds one label only.
    pub temperature: Option<Temperature>,
    /// Validation and test.
    pub calibration: Vec<Calibrated>,
}

impl Assessment {
    /// Assesses the predictions that `covid-ct evaluate` has written into a run's folder, and writes `assessment.json`
    /// there. `manifest` tells who is one patient: patients are drawn for the intervals, never slices.
    ///
    /// # Errors
    /// No predictions of the validation set, or some of other slices than the manifest's.
    pub fn of(run_folder: impl AsRef<Path>, manifest: &Manifest, rule: &ScanRule) -> Result<Self> {
        let folder = run_folder.as_ref();
        let doing = || format!("assessing the run in {}", folder.display());
        let validation = Predictions::read(folder, Subset::Validation)?;
        let test = folder.join(format!("predictions-{}.json", Subset::Test)).is_file();
        let test = test.then(|| Predictions::read(folder, Subset::Test)).transpose()?;
        let about = &validation.about;
        let whose = Whose::new(manifest);
        let temperature = fitted(&validation).with_context(doing)?;
        let (mut subsets, mut calibration) = (Vec::new(), Vec::new());
        for predictions in std::iter::once(&validation).chain(&test) {
            ensure!(
                predictions.about.manifest == manifest.hash(),
                "{}: its predictions are of the manifest {}, expected {}",
                doing(),
                predictions.about.manifest,
                manifest.hash()
            );
            subsets.push(whose.assessed(predictions, rule.rule).with_context(doing)?);
            if let Some(temperature) = &temperature {
                calibration.push(calibrated(predictions, temperature).with_context(doing)?);
            }
        }
        let rules = whose.rules(&validation, test.as_ref()).with_context(doing)?;
        let (run, weights, leaking) = (about.run.clone(), about.weights, about.leaking);
        let assessment = Self { run, weights, leaking, subsets, rules, temperature, calibration };
        write_json(&folder.join("assessment.json"), &assessment)?;
        Ok(assessment)
    }

    /// Reads what [`of`](Self::of) wrote.
    pub fn read(run_folder: impl AsRef<Path>) -> Result<Self> {
        let path = run_folder.as_ref().join("assessment.json");
        read_json(&path, "an assessment (written by `covid-ct evaluate`)")
    }

    /// The figures of a subset.
    pub fn subset(&self, subset: Subset) -> Option<&Assessed> {
        self.subsets.iter().find(|of| of.subset == subset)
    }
}

/// Slices of one label only fit no temperature.
fn fitted(validation: &Predictions) -> Result<Option<Temperature>> {
    let (truth, probabilities) = truths(validation)?;
    if truth.iter().all(|&covid| covid == truth[0]) {
        return Ok(None);
    }
    let logits: Vec<f64> = probabilities.iter().map(|&p| logit(p)).collect();
    Temperature::fit(&truth, &logits).map(Some)
}

fn calibrated(predictions: &Predictions, temperature: &Temperature) -> Result<Calibrated> {
    let (truth, before) = truths(predictions)?;
    let after: Vec<f64> = before.iter().map(|&p| temperature.apply(p)).collect();
    Ok(Calibrated {
        subset: predictions.about.subset,
        before: Calibration::of(&truth, &before, BINS)?,
        after: Calibration::of(&truth, &after, BINS)?,
    })
}

fn truths(predictions: &Predictions) -> Result<(Vec<bool>, Vec<f64>)> {
    let rows = predictions.rows();
    ensure!(!rows.is_empty(), "expected predictions of the {} subset, found none", predictions.about.subset);
    let truth = rows.iter().map(SlicePrediction::is_covid).collect::<Result<_>>()?;
    Ok((truth, rows.iter().map(|row| f64::from(row.covid)).collect()))
}

/// Whose scans they are.
struct Whose<'a> {
    patients: HashMap<&'a str, u32>,
    sources: HashMap<&'a str, &'a str>,
}

impl<'a> Whose<'a> {
    fn new(manifest: &'a Manifest) -> Self {
        let of_scans = manifest.patient_of_scans();
        let scans = || manifest.scans.iter().zip(&of_scans);
        Self {
            patients: scans().map(|(scan, patient)| (scan.folder.as_str(), *patient)).collect(),
            sources: scans().filter_map(|(scan, _)| Some((scan.folder.as_str(), scan.source.as_deref()?))).collect(),
        }
    }

    fn patient(&self, scan: &str) -> Result<u32> {
        self.patients.get(scan).copied().with_context(|| format!("{scan} is no scan of the manifest"))
    }

    /// Scans with their slices, in the order of their names.
    fn scans<'p>(&self, predictions: &'p Predictions) -> BTreeMap<&'p str, Vec<&'p SlicePrediction>> {
        let mut scans: BTreeMap<&str, Vec<&SlicePrediction>> = BTreeMap::new();
        for row in predictions.rows() {
            scans.entry(&row.scan).or_default().push(row);
        }
        scans
    }

    fn judged_scans(&self, predictions: &Predictions, rule: Rule) -> Result<Vec<(String, Judged)>> {
        let judge = |(scan, slices): (&str, Vec<&SlicePrediction>)| {
            let probabilities: Vec<f64> = slices.iter().map(|row| f64::from(row.covid)).collect();
            let (score, decision) = (rule.score(&probabilities), rule.decide(&probabilities));
            let covid = slices.first().with_context(|| format!("{scan} has no slices"))?.is_covid()?;
            Ok((scan.to_owned(), Judged { covid, score, decision, patient: self.patient(scan)? }))
        };
        self.scans(predictions).into_iter().map(judge).collect()
    }

    fn assessed(&self, predictions: &Predictions, rule: Rule) -> Result<Assessed> {
        let slice = |row: &SlicePrediction| {
            let (covid, score) = (row.is_covid()?, f64::from(row.covid));
            let decision = row.decision() == Label::Covid;
            Ok(Judged { covid, score, decision, patient: self.patient(&row.scan)? })
        };
        let slices = predictions.rows().iter().map(slice).collect::<Result<Vec<_>>>()?;
        let scans = self.judged_scans(predictions, rule)?;
        let mut by_source: BTreeMap<&str, Vec<Judged>> = BTreeMap::new();
        for (scan, judged) in &scans {
            if let Some(source) = self.sources.get(scan.as_str()) {
                by_source.entry(source).or_default().push(*judged);
            }
        }
        let sources = if by_source.len() > 1 { by_source } else { BTreeMap::new() };
        let of_source =
            |(source, judged): (&str, Vec<Judged>)| Ok((source.to_owned(), Performance::of(&judged, DRAWS, SEED)?));
        let scans: Vec<Judged> = scans.into_iter().map(|(_, judged)| judged).collect();
        Ok(Assessed {
            subset: predictions.about.subset,
            slices: Performance::of(&slices, DRAWS, SEED)?,
            scans: Performance::of(&scans, DRAWS, SEED)?,
            sources: sources.into_iter().map(of_source).collect::<Result<_>>()?,
        })
    }

    /// Every kind of rule, its threshold chosen on the validation scans.
    fn rules(&self, validation: &Predictions, test: Option<&Predictions>) -> Result<Vec<RuleResult>> {
        let scans = validation.judged_scans()?;
        let mut results = Vec::new();
        for kind in RuleKind::ALL {
            let choice = Rule::choose(kind, &scans)?;
            let on_test = |test| -> Result<Estimate> {
                let scans: Vec<Judged> = self.judged_scans(test, choice.rule)?.into_iter().map(|s| s.1).collect();
                Ok(*Performance::of(&scans, DRAWS, SEED)?.get(Measure::BalancedAccuracy))
            };
            let test = test.map(on_test).transpose()?;
            results.push(RuleResult { rule: choice.rule, validation: choice.balanced_accuracy, test });
        }
        Ok(results)
    }
}

/// The scans of predictions, judged by a rule, in the order of their names.
pub(crate) fn judged_scans(
    predictions: &Predictions,
    manifest: &Manifest,
    rule: Rule,
) -> Result<Vec<(String, Judged)>> {
    Whose::new(manifest).judged_scans(predictions, rule)
}
