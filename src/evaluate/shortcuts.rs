//! How well shallow cues, which need no lung, predict the label.
//!
//! Where covid and non-covid slices come from different hospitals, exports or crops, cues such as the size of a file
//! predict the label, and a network may learn them instead of the disease ("shortcuts", Geirhos et al., "Shortcut
//! Learning in Deep Neural Networks", Nature Machine Intelligence 2, 2020; for chest radiographs of COVID-19 DeGrave,
//! Janizek and Lee, "AI for Radiographic COVID-19 Detection Selects Shortcuts over Signal", Nature Machine Intelligence
//! 3, 2021). The probe measures their ROC AUC: near 0.5 they predict nothing; near that of a network is a warning.

mod cue_comparison;
mod cues;

pub use cue_comparison::{CueComparison, CueComparisonRow};
pub use cues::Shortcuts;

use crate::base::errors::{Context, Result, bail, ensure};
use crate::stats::calibration::Logistic;
use crate::stats::metrics::{Estimate, Measure, Performance, ScoredSample};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bins of equally many scans that a cue is cut into, so that middle values can predict a class.
const BINS: usize = 5;
/// Strength of the penalty on the weights, Σ w² / 2 × this, against the sum of the scans' losses: that of
/// scikit-learn's default, C = 1.
const PENALTY: f64 = 1.0;

/// Shallow cues of one scan: means over its slices.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cues {
    /// Size of the file in bytes.
    pub bytes: f64,
    /// Width in pixels.
    pub width: f64,
    /// Height in pixels.
    pub height: f64,
    /// True when most slices are stored in colour.
    pub colour: bool,
    /// Mean grey level, 0 to 255.
    pub mean: f64,
    /// Share of pixels of level 0 to 8, which a JPEG makes of black; 0 to 1.
    pub black: f64,
    /// Mean grey level of the outer 5 % of the picture on each side, 0 to 255.
    pub border: f64,
    /// Number of slices in the scan.
    pub slices: f64,
}

impl Cues {
    /// The cues' names, in the order of [`Self::values`].
    pub const NAMES: [&str; 8] = ["bytes", "width", "height", "colour", "mean", "black", "border", "slices"];

    /// The cues as numbers; colour is 1, grey 0.
    pub fn values(&self) -> [f64; 8] {
        let colour = f64::from(u8::from(self.colour));
        [self.bytes, self.width, self.height, colour, self.mean, self.black, self.border, self.slices]
    }
}

/// One scan of the probe.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CueRow {
    /// Its cues.
    pub cues: Cues,
    /// Its label.
    pub covid: bool,
    /// Its patient: scans of one patient are in the same fold.
    pub patient: u32,
}

/// How well one cue, or all together, predict the label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeRow {
    /// `"all"`, or one of [`Cues::NAMES`].
    pub name: String,
    /// Area under the ROC curve over scans, 0 to 1 and for a single cue from 0.5 on, with its interval over patients.
    pub auc: Estimate,
}

/// How well the shallow cues predict the label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// All cues together, then each alone.
    ///
    /// *All together* is out of fold: a logistic regression, with each cue and its quintiles as features, is fitted to
    /// the other folds' patients. *Alone* fits nothing but the direction: the AUC of the cue's own value, or 1 minus it
    /// when that is greater, the same direction in every draw. It is therefore a little too high for an uninformative
    /// cue, and it misses a cue whose middle values predict a class.
    pub rows: Vec<ProbeRow>,
    /// Out-of-fold probability of covid for each scan, in the order given, 0 to 1.
    pub covid_probability: Vec<f64>,
}

impl Probe {
    /// Runs the probe with `folds` folds. Equal rows and an equal `seed` give the same bits.
    ///
    /// # Errors
    /// When a cue is not finite (the row is named), all scans are of one class, there are fewer than 2 folds or fewer
    /// patients than folds, or some fold leaves scans of one class only to learn from.
    pub fn run(rows: &[CueRow], folds: usize, seed: u64) -> Result<Self> {
        check(rows, folds)?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let patients = patients(rows);
        let fold_of = patient_folds(rows, &patients, folds, &mut rng);
        let mut covid_probability = vec![0.0; rows.len()];
        for fold in 0..folds {
            let training: Vec<CueRow> = (0..rows.len()).filter(|&i| fold_of[i] != fold).map(|i| rows[i]).collect();
            ensure!(
                training.iter().any(|row| row.covid) && training.iter().any(|row| !row.covid),
                "shortcut probe: without fold {} of {folds} there are scans of one class only; take fewer folds",
                fold + 1
            );
            let classifier = CueClassifier::fit(&training)?;
            for i in (0..rows.len()).filter(|&i| fold_of[i] == fold) {
                covid_probability[i] = classifier.probability(&rows[i].cues);
            }
        }
        let mut probe_rows = vec![ProbeRow { name: "all".to_owned(), auc: auc(rows, &covid_probability)? }];
        for (cue, name) in Cues::NAMES.into_iter().enumerate() {
            probe_rows.push(ProbeRow { name: name.to_owned(), auc: alone(rows, |row| row.cues.values()[cue])? });
        }
        Ok(Self { rows: probe_rows, covid_probability })
    }
}

fn check(rows: &[CueRow], folds: usize) -> Result<()> {
    for (at, row) in rows.iter().enumerate() {
        if let Some((name, value)) = Cues::NAMES.iter().zip(row.cues.values()).find(|(_, value)| !value.is_finite()) {
            bail!("shortcut probe: expected finite cues, found {name} = {value} in row {at} (patient {})", row.patient);
        }
    }
    let covid = rows.iter().filter(|row| row.covid).count();
    ensure!(
        covid > 0 && covid < rows.len(),
        "shortcut probe: expected scans of both classes, found {covid} covid and {} non-covid ones",
        rows.len() - covid
    );
    let patients = patients(rows).len();
    ensure!(
        folds >= 2 && patients >= folds,
        "shortcut probe: expected 2 folds or more and a patient for each, found {folds} folds and {patients} patients"
    );
    Ok(())
}

/// The rows of each patient, in the order of the patients' numbers.
fn patients(rows: &[CueRow]) -> Vec<Vec<usize>> {
    let mut of_patient: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (i, row) in rows.iter().enumerate() {
        of_patient.entry(row.patient).or_default().push(i);
    }
    of_patient.into_values().collect()
}

/// Assigns whole patients to stratified folds: those with most scans first, each to the fold that has fewest scans of
/// the patient's more frequent class; shuffled before, so that the seed decides between equals. The fold of each row.
fn patient_folds(rows: &[CueRow], patients: &[Vec<usize>], folds: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut order: Vec<&Vec<usize>> = patients.iter().collect();
    order.shuffle(rng);
    order.sort_by_key(|patient| std::cmp::Reverse(patient.len()));
    let mut counts = vec![[0_usize; 2]; folds];
    let mut fold_of = vec![0; rows.len()];
    for patient in order {
        let covid = patient.iter().filter(|&&i| rows[i].covid).count();
        let class = usize::from(2 * covid > patient.len());
        let fold = (0..folds).min_by_key(|&f| (counts[f][class], counts[f][0] + counts[f][1])).unwrap_or(0);
        counts[fold][0] += patient.len() - covid;
        counts[fold][1] += covid;
        patient.iter().for_each(|&i| fold_of[i] = fold);
    }
    fold_of
}

/// Turns cues into features: each standardised to mean 0 and standard deviation 1, and an indicator of its quintile.
struct Features {
    /// For each cue its mean, its standard deviation and the borders between its quintiles.
    cues: Vec<(f64, f64, Vec<f64>)>,
}

impl Features {
    fn of(training: &[CueRow]) -> Self {
        let count = training.len() as f64;
        let cue = |at: usize| {
            let mut values: Vec<f64> = training.iter().map(|row| row.cues.values()[at]).collect();
            let mean = values.iter().sum::<f64>() / count;
            let std = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt();
            values.sort_by(f64::total_cmp);
            let mut borders: Vec<f64> = (1..BINS).map(|bin| values[bin * values.len() / BINS]).collect();
            borders.dedup();
            // The standard deviation of a constant cue is a rounding error.
            let is_even = values.first() == values.last();
            (mean, if is_even { f64::INFINITY } else { std }, borders)
        };
        Self { cues: (0..Cues::NAMES.len()).map(cue).collect() }
    }

    fn values(&self, cues: &Cues) -> Vec<f64> {
        let mut values = Vec::with_capacity(self.cues.len() * (BINS + 1));
        for ((mean, std, borders), value) in self.cues.iter().zip(cues.values()) {
            values.push((value - mean) / std);
            let bin = borders.partition_point(|border| *border <= value);
            values.extend((0..BINS).map(|other| f64::from(u8::from(other == bin))));
        }
        values
    }
}

/// A logistic regression over the cues, fitted to scans of both classes.
struct CueClassifier {
    features: Features,
    model: Logistic,
}

impl CueClassifier {
    fn fit(training: &[CueRow]) -> Result<Self> {
        let features = Features::of(training);
        let samples: Vec<Vec<f64>> = training.iter().map(|row| features.values(&row.cues)).collect();
        let labels: Vec<f64> = training.iter().map(|row| f64::from(u8::from(row.covid))).collect();
        let model = Logistic::fit(&samples, &labels, PENALTY);
        let model = model.context("shortcut probe: the logistic regression over the cues does not converge")?;
        Ok(Self { features, model })
    }

    /// The probability of covid, 0 to 1.
    fn probability(&self, cues: &Cues) -> f64 {
        self.model.probability(&self.features.values(cues))
    }
}

/// The area under the ROC curve of a score, 0 to 1, over scans.
fn auc(rows: &[CueRow], score: &[f64]) -> Result<Estimate> {
    let sample = |(row, &score): (&CueRow, &f64)| {
        let (covid, patient) = (row.covid, row.patient);
        ScoredSample { covid, score, decision: score >= 0.5, patient }
    };
    let samples: Vec<ScoredSample> = rows.iter().zip(score).map(sample).collect();
    Ok(*Performance::with_score_intervals(&samples)?.get(Measure::RocAuc))
}

/// The area under the ROC curve of a cue's own value, reversed where low values predict covid. Only the order of values
/// counts.
fn alone(rows: &[CueRow], value: impl Fn(&CueRow) -> f64) -> Result<Estimate> {
    let values: Vec<f64> = rows.iter().map(value).collect();
    let mut order = values.clone();
    order.sort_by(f64::total_cmp);
    order.dedup();
    let share = |value: &f64| order.partition_point(|other| other < value) as f64 / order.len() as f64;
    let score: Vec<f64> = values.iter().map(share).collect();
    let upright = auc(rows, &score)?;
    if upright.value.is_some_and(|area| area >= 0.5) {
        return Ok(upright);
    }
    auc(rows, &score.iter().map(|share| 1.0 - share).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
