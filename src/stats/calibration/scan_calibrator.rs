//! Calibration of the mean probability of a scan.

use super::logistic::line_through;
use super::{CalibrationLine, logit, sigmoid};
use crate::base::errors::{Context, Result, bail, ensure};
use crate::stats::metrics::{BOUNDS, Interval, ScoredSample, draw, percentile};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The share of the draws, in percent, in which the line must be defined for an interval.
const DEFINED_PERCENT: usize = 95;

/// Platt scaling of scans (Platt 1999, *Probabilistic Outputs for Support Vector Machines*): the log odds of covid are
/// a straight line over the logit of the mean covid probability of a scan's slices, fitted on validation scans. The
/// [`Temperature`](super::Temperature) for slices does not calibrate scans: the mean of calibrated slice probabilities
/// is not a calibrated probability of the scan.
///
/// Labels are softened as in Platt's paper, so that the fit also exists for classes without overlap. The confidence
/// interval of a probability comes from refitting the line to bootstrap draws of validation patients with all their
/// scans: it measures how well these patients determine the line, not how good the network is.
///
/// ```
/// use covid_ct::{ScoredSample, ScanCalibrator};
///
/// // Means from 0.41 to 0.60: covid from 0.5 on in four cases of five.
/// let scan = |i: u32| ScoredSample {
///     covid: (i >= 10) != (i % 5 == 0),
///     score: 0.41 + f64::from(i) / 100.0,
///     decision: i >= 10,
///     patient: i,
/// };
/// let calibrator = ScanCalibrator::fit(&(0..20).map(scan).collect::<Vec<_>>(), 200, 1)?;
/// assert!(calibrator.apply(0.6) > 0.6 && calibrator.apply(0.41) < 0.41);
/// let interval = calibrator.interval(0.6).expect("enough patients");
/// assert!(interval.low < calibrator.apply(0.6) && calibrator.apply(0.6) < interval.high);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScanCalibrator {
    /// Slope, and intercept, over the logit of the mean probability.
    pub line: CalibrationLine,
    /// Scans it was fitted on.
    pub scans: usize,
    /// The number of these scans that are covid; probabilities hold for this prevalence.
    pub covid: usize,
    /// Their patients.
    pub patients: usize,
    /// How many times patients were drawn.
    pub draws: u32,
    /// The seed of the draws.
    pub seed: u64,
    /// The lines of the draws in which the fit exists.
    drawn: Vec<CalibrationLine>,
}

impl ScanCalibrator {
    /// The minimum number of scans of each label for a fit: 20 scans, ten for each of the two parameters of the line.
    pub const LEAST: usize = 10;

    /// Fits to validation scans, whose score is the mean covid probability of their slices.
    ///
    /// # Errors
    /// Fewer than ten scans of a label, a score not in 0..=1, scores that are all the same, and scores that do not rise with
    /// the share of covid.
    pub fn fit(scans: &[ScoredSample], draws: u32, seed: u64) -> Result<Self> {
        let covid = scans.iter().filter(|scan| scan.covid).count();
        let other = scans.len() - covid;
        let least = Self::LEAST;
        ensure!(
            covid.min(other) >= least,
            "at least {least} validation scans of each label are needed; there are {covid} covid and {other} non-covid"
        );
        if let Some((index, scan)) = scans.iter().enumerate().find(|(_, scan)| !(0.0..=1.0).contains(&scan.score)) {
            bail!(
                "fitting a calibrator of scans: expected mean probabilities in 0..=1, found {} at scan {index}",
                scan.score
            );
        }
        let same = || format!("the mean probability is the same, {}, in every validation scan", scans[0].score);
        let line = fitted(scans.iter().map(|scan| (scan, 1))).with_context(same)?;
        ensure!(
            line.slope > 0.0,
            "covid is not more frequent where the mean probability is higher: over {} validation scans the slope is \
             {:.3}",
            scans.len(),
            line.slope
        );
        let mut of_patients: BTreeMap<u32, Vec<&ScoredSample>> = BTreeMap::new();
        scans.iter().for_each(|scan| of_patients.entry(scan.patient).or_default().push(scan));
        let of_patients: Vec<Vec<&ScoredSample>> = of_patients.into_values().collect();
        let refit = |times: &[u32]| {
            let patients = of_patients.iter().zip(times);
            fitted(patients.flat_map(|(of, &times)| of.iter().map(move |scan| (*scan, times))))
        };
        let patients = of_patients.len();
        let drawn = draw(patients, draws, seed, refit).into_iter().flatten().collect();
        Ok(Self { line, scans: scans.len(), covid, patients, draws, seed, drawn })
    }

    /// The probability that a scan of this mean covid probability is covid, 0 to 1.
    pub fn apply(&self, mean: f64) -> f64 {
        on(&self.line, mean)
    }

    /// The 95 % interval of [`apply`](Self::apply): percentiles over the draws of patients. `None` with one patient, and
    /// where fewer than 95 % of the draws have a line.
    pub fn interval(&self, mean: f64) -> Option<Interval> {
        let mut values: Vec<f64> = self.drawn.iter().map(|line| on(line, mean)).collect();
        values.sort_by(f64::total_cmp);
        let enough = self.patients > 1 && 100 * values.len() >= DEFINED_PERCENT * self.draws as usize;
        let [low, high] = BOUNDS.map(|share| percentile(&values, share));
        low.zip(high).filter(|_| enough).map(|(low, high)| Interval { low, high })
    }
}

fn on(line: &CalibrationLine, mean: f64) -> f64 {
    sigmoid(line.intercept + line.slope * logit(mean))
}

/// The line fitted to scans with these weights; `None` for scans of one label or with equal scores.
fn fitted<'a>(scans: impl Iterator<Item = (&'a ScoredSample, u32)>) -> Option<CalibrationLine> {
    let repeated: Vec<&ScoredSample> = scans.flat_map(|(scan, times)| (0..times).map(move |_| scan)).collect();
    let covid = repeated.iter().filter(|scan| scan.covid).count() as f64;
    let other = repeated.len() as f64 - covid;
    if covid == 0.0 || other == 0.0 {
        return None;
    }
    let soft = |scan: &&ScoredSample| if scan.covid { (covid + 1.0) / (covid + 2.0) } else { 1.0 / (other + 2.0) };
    let logits: Vec<f64> = repeated.iter().map(|scan| logit(scan.score)).collect();
    line_through(&logits, &repeated.iter().map(soft).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `counts[k]` scans of covid among 20 at mean probabilities 0.2, 0.4, 0.6, 0.8; one patient each.
    fn scans(counts: [u32; 4]) -> Vec<ScoredSample> {
        let at = |level: u32| (0..20).map(move |i| (level, i));
        let scan = |(level, i): (u32, u32)| {
            let score = 0.2 * f64::from(level + 1);
            ScoredSample { covid: i < counts[level as usize], score, decision: score >= 0.5, patient: 100 * level + i }
        };
        (0..4).flat_map(at).map(scan).collect()
    }

    #[test]
    fn an_overconfident_mean_is_corrected_and_softening_hardly_matters() -> Result<()> {
        // Covid in 40, 45, 55 and 60 of 100: far milder than 20, 40, 60 and 80 %.
        let calibrator = ScanCalibrator::fit(&scans([8, 9, 11, 12]), 500, 1)?;
        assert!((calibrator.apply(0.2) - 0.4).abs() < 0.02 && (calibrator.apply(0.8) - 0.6).abs() < 0.02);
        assert!((calibrator.apply(0.5) - 0.5).abs() < 1e-9, "the scans are even around one half");
        assert_eq!((calibrator.scans, calibrator.covid, calibrator.patients), (80, 40, 80));
        Ok(())
    }

    #[test]
    fn intervals_narrow_with_patients_and_not_with_scans_of_one() -> Result<()> {
        let few = scans([2, 6, 14, 18]);
        let width = |scans: &[ScoredSample]| -> Result<f64> {
            let interval = ScanCalibrator::fit(scans, 1_000, 1)?.interval(0.4).context("an interval")?;
            assert!(interval.low < 0.35 && 0.25 < interval.high, "{interval:?}");
            Ok(interval.high - interval.low)
        };
        let repeated: Vec<ScoredSample> = (0..4).flat_map(|_| few.clone()).collect();
        let others: Vec<ScoredSample> = (0..4)
            .flat_map(|k| few.iter().map(move |s| ScoredSample { patient: 1_000 * k + s.patient, ..*s }))
            .collect();
        let (alone, same, more) = (width(&few)?, width(&repeated)?, width(&others)?);
        // Softened labels count for less where there are more scans; four times the patients halve the width.
        assert!((same / alone - 1.0).abs() < 0.15, "{same} and {alone}");
        assert!((more / alone - 0.5).abs() < 0.15, "{more} and {alone}");
        Ok(())
    }

    #[test]
    fn the_seed_decides_and_one_patient_has_no_interval() -> Result<()> {
        let scans = scans([2, 6, 14, 18]);
        let fit = |seed| ScanCalibrator::fit(&scans, 100, seed);
        assert_eq!(fit(1)?, fit(1)?);
        assert_ne!(fit(1)?.interval(0.3), fit(2)?.interval(0.3));
        let one: Vec<ScoredSample> = scans.iter().map(|scan| ScoredSample { patient: 1, ..*scan }).collect();
        let calibrator = ScanCalibrator::fit(&one, 100, 1)?;
        assert_eq!((calibrator.interval(0.3), calibrator.line), (None, fit(1)?.line));
        Ok(())
    }

    #[test]
    fn scans_that_fit_nothing_are_errors_that_say_why() {
        let message = |scans: &[ScoredSample]| {
            ScanCalibrator::fit(scans, 10, 1).map_or_else(|e| e.to_string(), |_| "fits".into())
        };
        let few = scans([1, 2, 3, 3]);
        assert!(message(&few).contains("there are 9 covid and 71 non-covid"), "{}", message(&few));
        assert!(message(&[]).contains("there are 0 covid and 0 non-covid"));
        let constant: Vec<ScoredSample> =
            scans([5; 4]).iter().map(|scan| ScoredSample { score: 0.7, ..*scan }).collect();
        assert!(message(&constant).contains("the same, 0.7, in every validation scan"), "{}", message(&constant));
        assert!(message(&scans([18, 14, 6, 2])).contains("the slope is -"));
        let mut nan = scans([5; 4]);
        nan[3].score = f64::NAN;
        assert!(message(&nan).ends_with("found NaN at scan 3"), "{}", message(&nan));
        // No overlap: softened labels keep the line finite.
        assert_eq!(message(&scans([0, 0, 20, 20])), "fits");
    }
}
