//! How well the label can be told without looking at the lungs.
//!
//! Where covid and non-covid slices come from different hospitals, exports or crops, cues such as the size of a file give
//! the label away, and a network may learn them instead of the disease ("shortcuts", Geirhos et al., "Shortcut Learning
//! in Deep Neural Networks", Nature Machine Intelligence 2, 2020; for chest radiographs of COVID-19 DeGrave, Janizek and
//! Lee, "AI for Radiographic COVID-19 Detection Selects Shortcuts over Signal", Nature Machine Intelligence 3, 2021). The
//! probe measures how far they lead: an AUC near 0.5 is good news, one near that of a network a warning.

mod found;
mod logistic;

pub use found::Shortcuts;

use anyhow::{Result, bail, ensure};
use logistic::Logistic;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Draws of the bootstrap.
const DRAWS: usize = 1000;
/// Bins of equally many scans that a cue is cut into, so that a middle value may speak for a class.
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

/// One scan as the probe sees it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CueRow {
    /// Its cues.
    pub cues: Cues,
    /// Its label.
    pub covid: bool,
    /// Its patient: scans of one patient stay together.
    pub patient: u32,
}

/// How well one cue, or all together, tell the label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeRow {
    /// `"all"`, or one of [`Cues::NAMES`].
    pub name: String,
    /// Area under the ROC curve over scans, 0 to 1; for a single cue from 0.5 on.
    pub auc: f64,
    /// Lower end of the 95 % interval: 2.5th percentile of 1,000 bootstrap draws of patients.
    pub low: f64,
    /// Upper end: 97.5th percentile.
    pub high: f64,
}

/// What the shallow cues tell about the label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// All cues together, then each alone.
    ///
    /// *All together* is out of fold: a logistic regression, with each cue and its quintiles as features, is fitted to
    /// the other folds' patients. *Alone* fits nothing but the direction: the AUC of the cue's own value, or 1 minus it
    /// when that is greater, the same direction in every draw. It is therefore a little too high for a cue that says
    /// nothing, and it does not see a cue whose middle values speak for a class.
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
        let fold_of = deal(rows, &patients, folds, &mut rng);
        let mut covid_probability = vec![0.0; rows.len()];
        for fold in 0..folds {
            let training: Vec<CueRow> = (0..rows.len()).filter(|&i| fold_of[i] != fold).map(|i| rows[i]).collect();
            ensure!(
                training.iter().any(|row| row.covid) && training.iter().any(|row| !row.covid),
                "shortcut probe: without fold {} of {folds} there are scans of one class only; take fewer folds",
                fold + 1
            );
            let features = Features::of(&training);
            let samples: Vec<Vec<f64>> = training.iter().map(|row| features.values(&row.cues)).collect();
            let labels: Vec<bool> = training.iter().map(|row| row.covid).collect();
            let model = Logistic::fit(&samples, &labels, PENALTY)?;
            for i in (0..rows.len()).filter(|&i| fold_of[i] == fold) {
                covid_probability[i] = model.probability(&features.values(&rows[i].cues));
            }
        }
        let mut scores = vec![("all", covid_probability.clone())];
        for (cue, name) in Cues::NAMES.into_iter().enumerate() {
            scores.push((name, directed(rows, |row| row.cues.values()[cue])));
        }
        let rows = intervals(rows, &patients, &scores, &mut rng);
        Ok(Self { rows, covid_probability })
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

/// Deals whole patients to the folds: those with most scans first, each to the fold that has fewest scans of the
/// patient's commoner class; shuffled before, so that the seed decides between equals.
fn deal(rows: &[CueRow], patients: &[Vec<usize>], folds: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
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
            let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt();
            values.sort_by(f64::total_cmp);
            let mut borders: Vec<f64> = (1..BINS).map(|bin| values[bin * values.len() / BINS]).collect();
            borders.dedup();
            // A cue of one value only has the deviation of a rounding error.
            let is_even = values.first() == values.last();
            (mean, if is_even { f64::INFINITY } else { deviation }, borders)
        };
        Self { cues: (0..Cues::NAMES.len()).map(cue).collect() }
    }

    fn values(&self, cues: &Cues) -> Vec<f64> {
        let mut values = Vec::with_capacity(self.cues.len() * (BINS + 1));
        for ((mean, deviation, borders), value) in self.cues.iter().zip(cues.values()) {
            values.push((value - mean) / deviation);
            let bin = borders.partition_point(|border| *border <= value);
            values.extend((0..BINS).map(|other| f64::from(u8::from(other == bin))));
        }
        values
    }
}

/// A cue as a score, turned over where low values speak for covid.
fn directed(rows: &[CueRow], value: impl Fn(&CueRow) -> f64) -> Vec<f64> {
    let values: Vec<f64> = rows.iter().map(value).collect();
    let labels: Vec<bool> = rows.iter().map(|row| row.covid).collect();
    let sign = if auc(&Ranks::of(&values), &labels, &vec![1; rows.len()]) < Some(0.5) { -1.0 } else { 1.0 };
    values.iter().map(|value| sign * value).collect()
}

/// The AUC of each score with its interval; every draw takes as many patients as there are, with replacement, and is the
/// same for all scores. Draws of one class only are drawn again.
fn intervals(
    rows: &[CueRow],
    patients: &[Vec<usize>],
    scores: &[(&str, Vec<f64>)],
    rng: &mut ChaCha8Rng,
) -> Vec<ProbeRow> {
    let labels: Vec<bool> = rows.iter().map(|row| row.covid).collect();
    let ranks: Vec<Ranks> = scores.iter().map(|(_, score)| Ranks::of(score)).collect();
    let mut drawn: Vec<Vec<f64>> = vec![Vec::with_capacity(DRAWS); scores.len()];
    while drawn[0].len() < DRAWS {
        let mut weights = vec![0_u32; rows.len()];
        for _ in patients {
            patients[rng.gen_range(0..patients.len())].iter().for_each(|&i| weights[i] += 1);
        }
        let aucs: Option<Vec<f64>> = ranks.iter().map(|ranks| auc(ranks, &labels, &weights)).collect();
        drawn.iter_mut().zip(aucs.unwrap_or_default()).for_each(|(drawn, auc)| drawn.push(auc));
    }
    let mut result = Vec::with_capacity(scores.len());
    for (((name, _), ranks), mut drawn) in scores.iter().zip(&ranks).zip(drawn) {
        drawn.sort_by(f64::total_cmp);
        let auc = auc(ranks, &labels, &vec![1; rows.len()]).unwrap_or(0.5);
        let (low, high) = (percentile(&drawn, 0.025), percentile(&drawn, 0.975));
        result.push(ProbeRow { name: (*name).to_owned(), auc, low, high });
    }
    result
}

/// Linear interpolation between the ordered values, as `numpy.percentile`.
fn percentile(ordered: &[f64], share: f64) -> f64 {
    let at = share * (ordered.len() - 1) as f64;
    let (low, high) = (ordered[at as usize], ordered[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

/// Samples in the order of their scores, those of equal score together.
struct Ranks(Vec<Vec<usize>>);

impl Ranks {
    fn of(score: &[f64]) -> Self {
        let mut order: Vec<usize> = (0..score.len()).collect();
        order.sort_by(|&a, &b| score[a].total_cmp(&score[b]));
        Self(order.chunk_by(|&a, &b| score[a] == score[b]).map(<[usize]>::to_vec).collect())
    }
}

/// The chance that a covid scan scores above a non-covid one, equal scores counting half, where each scan counts
/// `weights` times (Mann and Whitney, Annals of Mathematical Statistics 18, 1947); `None` without both classes.
fn auc(ranks: &Ranks, is_covid: &[bool], weights: &[u32]) -> Option<f64> {
    let (mut above, mut covid, mut other) = (0.0, 0.0, 0.0);
    for equal in &ranks.0 {
        let sum = |class: bool| -> f64 {
            equal.iter().filter(|&&i| is_covid[i] == class).map(|&i| f64::from(weights[i])).sum()
        };
        let (c, o) = (sum(true), sum(false));
        above += c * (other + o / 2.0);
        covid += c;
        other += o;
    }
    (covid > 0.0 && other > 0.0).then(|| above / (covid * other))
}

#[cfg(test)]
mod tests;
