//! All measures of one model with confidence intervals over patients.

use super::bootstrap::{Clusters, Interval, LEVEL, draw, intervals};
use super::measure::{MEASURES, Measure, OfMeasure, in_order};
use crate::base::errors::Result;
use serde::{Deserialize, Serialize};

/// One judged sample: a slice or a scan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredSample {
    /// The truth.
    pub covid: bool,
    /// The score for covid, 0 to 1: a probability, or a share of slices.
    pub score: f64,
    /// Whether it was classified as covid.
    pub decision: bool,
    /// The patient. Samples of one patient are not independent, so patients are drawn, not samples.
    pub patient: u32,
}

/// One measure of one model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// What was measured.
    pub measure: Measure,
    /// Over all samples; `None` where it is undefined.
    pub value: Option<f64>,
    /// The 95 % confidence interval; see [`Performance`] and [`Performance::with_score_intervals`].
    pub interval: Option<Interval>,
    /// In how many draws it was defined.
    pub defined: u32,
    /// Whether the interval is Clopper and Pearson's, because every draw gave the same value.
    pub exact: bool,
}

impl OfMeasure for Estimate {
    fn measure(&self) -> Measure {
        self.measure
    }
}

/// Every measure of one model, with percentile intervals of a bootstrap over patients.
///
/// Each draw takes as many patients as there are, with replacement, and with each patient all its samples (cluster
/// bootstrap; Davison & Hinkley 1997, *Bootstrap Methods and their Application*, section 3.8). The interval runs from
/// the 2.5th to the 97.5th percentile of the draws that define the measure (`numpy.quantile`'s linear method). It is
/// `None` when there is one patient only, when fewer than 95 % of the draws define the measure, and without draws.
///
/// When every draw gives the same value, as in samples without errors, the bootstrap cannot estimate the error rate. A
/// proportion then has Clopper and Pearson's exact interval with patients as its trials ([`Estimate::exact`]), and
/// other measures have none.
///
/// The model is treated as fixed: the interval measures the uncertainty due to the choice of test patients, not the
/// variation between trainings.
///
/// ```
/// use covid_ct::{ScoredSample, Measure, Performance};
///
/// let sample = |covid, score, patient| ScoredSample { covid, score, decision: score >= 0.5, patient };
/// let samples = [sample(true, 0.9, 0), sample(true, 0.4, 1), sample(false, 0.6, 2), sample(false, 0.1, 3)];
/// let performance = Performance::of(&samples, 2_000, 1)?;
/// assert_eq!(performance.get(Measure::Sensitivity).value, Some(0.5));
/// assert_eq!(performance.get(Measure::RocAuc).value, Some(0.75));
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Performance {
    /// How many samples were judged.
    pub samples: usize,
    /// Of how many patients.
    pub patients: usize,
    /// How many times patients were drawn; 0 for [`with_score_intervals`](Self::with_score_intervals).
    pub draws: u32,
    /// The seed of the draws.
    pub seed: u64,
    /// The confidence level, 0.95.
    pub level: f64,
    #[serde(deserialize_with = "in_order")]
    estimates: [Estimate; MEASURES],
}

impl Performance {
    /// Measures, and draws patients `draws` times; the same `seed` gives the same result on any number of threads.
    ///
    /// # Errors
    /// Without samples, or when a score is not in 0..=1; the message names the sample.
    pub fn of(samples: &[ScoredSample], draws: u32, seed: u64) -> Result<Self> {
        let clusters = Clusters::new(samples)?;
        let patients = clusters.patients();
        let values = clusters.values(&vec![1; patients]);
        let drawn = intervals(&draw(patients, draws, seed, |times| clusters.values(times)), patients);
        let estimates = Measure::ALL.map(|measure| {
            let (interval, defined) = drawn[measure as usize];
            let alike = interval.is_some_and(|interval| interval.low == interval.high);
            let interval = if alike { clusters.exact(measure) } else { interval };
            let exact = alike && interval.is_some();
            Estimate { measure, value: values[measure as usize], interval, defined, exact }
        });
        Ok(Self { samples: samples.len(), patients, draws, seed, level: LEVEL, estimates })
    }

    /// The same of scans, of which there may be few, with score intervals instead of draws: of a dozen patients the draws
    /// are too much alike, and without a single error all are the same.
    ///
    /// - Proportions: Wilson's score interval (Wilson 1927; Newcombe 1998, Stat. Med. 17:857).
    /// - Balanced accuracy, macro F1 and Matthews' coefficient: Newcombe's square-and-add of the intervals of sensitivity
    ///   and specificity (1998, Stat. Med. 17:873, method 10; of the latter two to first order), at the shares of labels found.
    /// - ROC AUC: Newcombe's score interval (2006, Stat. Med. 25:559, method 5).
    /// - PR AUC: Wilson's, as of a proportion of the covid scans (after Boyd, Eng and Page 2013).
    ///
    /// The trials are scans of different patients; several of one patient count as fewer: `(Σ n)² / Σ n²` (Kish 1965). No
    /// interval with one patient only, and of a measure of both labels where there is one.
    ///
    /// ```
    /// use covid_ct::{ScoredSample, Measure, Performance};
    ///
    /// let scans: Vec<_> = (0..12)
    ///     .map(|patient| ScoredSample { covid: patient < 6, score: 0.5, decision: patient < 6, patient })
    ///     .collect();
    /// let sensitivity = *Performance::with_score_intervals(&scans)?.get(Measure::Sensitivity);
    /// let interval = sensitivity.interval.unwrap();
    /// assert_eq!(sensitivity.value, Some(1.0)); // 6 of 6
    /// assert!((interval.low - 0.610).abs() < 0.001 && interval.high == 1.0);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn with_score_intervals(samples: &[ScoredSample]) -> Result<Self> {
        let clusters = Clusters::new(samples)?;
        let patients = clusters.patients();
        let values = clusters.values(&vec![1; patients]);
        let estimates = Measure::ALL.map(|measure| {
            let value = values[measure as usize];
            let interval = value.filter(|_| patients > 1).and_then(|value| clusters.score_interval(measure, value));
            Estimate { measure, value, interval, defined: 0, exact: false }
        });
        Ok(Self { samples: samples.len(), patients, draws: 0, seed: 0, level: LEVEL, estimates })
    }

    /// One measure.
    pub fn get(&self, measure: Measure) -> &Estimate {
        &self.estimates[measure as usize]
    }

    /// All measures, in the order of [`Measure::ALL`].
    pub fn estimates(&self) -> &[Estimate] {
        &self.estimates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(covid: bool, score: f64, patient: u32) -> ScoredSample {
        ScoredSample { covid, score, decision: score >= 0.5, patient }
    }

    fn four() -> Vec<ScoredSample> {
        vec![sample(true, 0.9, 4), sample(true, 0.4, 9), sample(false, 0.4, 2), sample(false, 0.1, 4)]
    }

    #[test]
    fn hand_computed() -> Result<()> {
        let performance = Performance::of(&four(), 0, 0)?;
        assert_eq!((performance.samples, performance.patients, performance.level), (4, 3, 0.95));
        let value = |measure| performance.get(measure).value;
        assert_eq!((value(Measure::Accuracy), value(Measure::Ppv)), (Some(0.75), Some(1.0)));
        // 3 pairs of 4 in order, one tied
        assert_eq!(value(Measure::RocAuc), Some(0.875));
        // R 0 -> 1/2 at P 1, then 1/2 -> 1 at P 2/3
        assert_eq!(value(Measure::PrAuc), Some((1.0 + 2.0 / 3.0) / 2.0));
        assert!(performance.estimates().iter().all(|e| e.interval.is_none() && e.defined == 0));
        Ok(())
    }

    #[test]
    fn draws_depend_on_the_seed_alone() -> Result<()> {
        let samples: Vec<ScoredSample> =
            (0..200_u32).map(|i| sample(i % 3 == 0, f64::from(i * 37 % 101) / 101.0, i / 7)).collect();
        let first = Performance::of(&samples, 500, 1)?;
        let reversed: Vec<ScoredSample> = samples.iter().rev().copied().collect();
        assert_eq!(Performance::of(&reversed, 500, 1)?, first);
        let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        assert_eq!(one_thread.install(|| Performance::of(&samples, 500, 1))?, first);
        let three_threads = rayon::ThreadPoolBuilder::new().num_threads(3).build()?;
        assert_eq!(three_threads.install(|| Performance::of(&samples, 500, 1))?, first);
        assert_ne!(Performance::of(&samples, 500, 2)?.estimates, first.estimates);
        assert!(first.estimates().iter().all(|e| e.defined == 500 && e.interval.is_some_and(|i| i.low < i.high)));
        Ok(())
    }

    #[test]
    fn patients_are_drawn_with_all_their_samples() -> Result<()> {
        // 40 slices a patient, each patient all right or all wrong: as uncertain as 10 samples, not as 400.
        let slices: Vec<ScoredSample> =
            (0..400).map(|i| sample(i % 2 == 0, f64::from(u8::from((i % 2 == 0) != (i / 40 < 4))), i / 40)).collect();
        let interval = Performance::of(&slices, 2_000, 1)?.get(Measure::Accuracy).interval.unwrap();
        // Binomial(10, 0.6): P(X <= 2) = 0.012, P(X <= 3) = 0.055; P(X <= 8) = 0.954, P(X <= 9) = 0.994
        assert_eq!((interval.low, interval.high), (0.3, 0.9));
        Ok(())
    }

    #[test]
    fn one_patient_or_one_class_leave_intervals_out() -> Result<()> {
        let one: Vec<ScoredSample> = four().into_iter().map(|s| ScoredSample { patient: 3, ..s }).collect();
        let performance = Performance::of(&one, 100, 0)?;
        assert!(performance.estimates().iter().all(|e| e.interval.is_none() && e.value.is_some() && e.defined == 100));

        let covid: Vec<ScoredSample> = four().into_iter().map(|s| ScoredSample { covid: true, ..s }).collect();
        let performance = Performance::of(&covid, 100, 0)?;
        for estimate in performance.estimates() {
            let needs_both = [Measure::Specificity, Measure::BalancedAccuracy, Measure::Matthews, Measure::RocAuc];
            assert_eq!(estimate.value.is_none(), needs_both.contains(&estimate.measure), "{estimate:?}");
        }
        assert_eq!(performance.get(Measure::PrAuc).interval, None, "all draws alike, and no proportion");
        Ok(())
    }

    #[test]
    fn without_an_error_the_interval_is_exact_and_counts_patients() -> Result<()> {
        // 8 patients of each label, 10 slices each, all right: 0.025 to the power of 1/16, and of 1/8.
        let slices: Vec<ScoredSample> =
            (0..160_u32).map(|i| sample(i % 20 < 10, if i % 20 < 10 { 0.9 } else { 0.1 }, i / 10)).collect();
        let performance = Performance::of(&slices, 500, 1)?;
        let low = |measure| {
            let estimate = performance.get(measure);
            assert!(estimate.exact && estimate.value == Some(1.0), "{estimate:?}");
            estimate.interval.map(|interval| interval.low).unwrap()
        };
        assert!((low(Measure::Accuracy) - 0.025_f64.powf(1.0 / 16.0)).abs() < 1e-12);
        for measure in [Measure::Sensitivity, Measure::Specificity, Measure::BalancedAccuracy, Measure::Npv] {
            assert!((low(measure) - 0.025_f64.powf(1.0 / 8.0)).abs() < 1e-12, "{measure:?}");
        }
        assert_eq!(performance.get(Measure::RocAuc).interval, None);
        Ok(())
    }

    #[test]
    fn intervals_of_scans_have_a_width_without_errors_and_shrink_with_patients() -> Result<()> {
        let scans = |patients: u32, of_one: u32| -> Vec<ScoredSample> {
            (0..patients * of_one)
                .map(|i| sample(i % 2 == 0, f64::from(1 - i % 2), i / of_one / 2 * 2 + i % 2))
                .collect()
        };
        let low = |of: &Performance, measure| of.get(measure).interval.map(|of| (1000.0 * of.low).round()).unwrap();
        // Six of six and six of six: statsmodels, scipy; see score_interval.rs. Three scans of each patient show no more.
        for of_one in [1, 3] {
            let of = Performance::with_score_intervals(&scans(12, of_one))?;
            assert_eq!((of.samples as u32, of.patients, of.draws), (12 * of_one, 12, 0));
            let measures = [Measure::Sensitivity, Measure::BalancedAccuracy, Measure::RocAuc, Measure::Accuracy];
            assert_eq!(measures.map(|measure| low(&of, measure)), [610.0, 724.0, 689.0, 758.0]);
            assert!(
                of.estimates().iter().all(|of| of.value == Some(1.0) && of.interval.is_some_and(|of| of.high == 1.0))
            );
        }
        assert_eq!(low(&Performance::with_score_intervals(&scans(120, 1))?, Measure::Sensitivity), 940.0);
        let one_label: Vec<ScoredSample> = scans(12, 1).into_iter().filter(|of| of.covid).collect();
        let of = Performance::with_score_intervals(&one_label)?;
        assert!(of.get(Measure::Sensitivity).interval.is_some());
        assert_eq!((of.get(Measure::RocAuc).interval, of.get(Measure::MacroF1).interval), (None, None));
        let one_patient = Performance::with_score_intervals(&one_label[..1])?;
        assert!(one_patient.estimates().iter().all(|of| of.interval.is_none()));
        Ok(())
    }

    #[test]
    fn errors_name_the_sample() {
        let message = |samples: &[ScoredSample]| Performance::of(samples, 1, 0).map_err(|error| error.to_string());
        assert_eq!(message(&[]), Err("measuring performance: expected at least one sample, found none".into()));
        let found = |score: f64| message(&[sample(true, 0.5, 0), sample(true, score, 0)]);
        for (score, shown) in [(f64::NAN, "NaN"), (1.5, "1.5"), (-0.1, "-0.1"), (f64::INFINITY, "inf")] {
            let expected = format!("measuring performance: expected scores in 0..=1, found {shown} at sample 1");
            assert_eq!(found(score), Err(expected));
        }
        assert!(found(-0.0).is_ok() && found(1.0).is_ok());
    }

    #[test]
    fn json_keeps_everything_and_refuses_another_order() -> Result<()> {
        let performance = Performance::of(&four(), 100, 7)?;
        let json = serde_json::to_string(&performance)?;
        assert_eq!(serde_json::from_str::<Performance>(&json)?, performance);
        let swapped = json.replace("\"accuracy\"", "\"npv\"");
        let error = serde_json::from_str::<Performance>(&swapped).map_err(|error| error.to_string());
        assert!(error.is_err_and(|error| error.contains("expected Accuracy, found Npv")));
        Ok(())
    }
}
