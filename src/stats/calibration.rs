//! Calibration of probabilities: measured by [`Calibration`], and improved by [`Temperature`] for slices and
//! [`ScanCalibrator`] for scans.

use crate::base::errors::{Result, bail, ensure};
use crate::stats::metrics::{Interval, wilson};
use serde::{Deserialize, Serialize};

mod logistic;
mod scan_calibrator;
mod temperature;

pub(crate) use logistic::Logistic;
pub use scan_calibrator::ScanCalibrator;
pub use temperature::Temperature;

/// How close to 0 and 1 a probability may come before its logit is taken.
const CLIP: f64 = 1e-7;

/// `ln(p / (1 - p))` of a probability 0 to 1, clipped to 1e-7 ..= 1 - 1e-7, so within ±16.12. Without clipping, a wrong
/// prediction of exactly 1 would have an infinite loss.
pub fn logit(probability: f64) -> f64 {
    let probability = probability.clamp(CLIP, 1.0 - CLIP);
    (probability / (1.0 - probability)).ln()
}

/// `1 / (1 + exp(-logit))`, without overflow.
pub(super) fn sigmoid(logit: f64) -> f64 {
    let small = (-logit.abs()).exp();
    if logit >= 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) }
}

/// One bar of a reliability diagram: the samples whose probability lies in `low < p <= high` (in the first also 0).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReliabilityBin {
    /// Lower edge.
    pub low: f64,
    /// Upper edge.
    pub high: f64,
    /// How many samples lie in it.
    pub count: u64,
    /// Their mean probability of covid; `None` without samples.
    pub predicted: Option<f64>,
    /// The share of them that is covid; `None` without samples.
    pub observed: Option<f64>,
    /// Wilson's 95 % interval of that share (Wilson 1927), which takes samples as independent: too narrow for slices.
    pub interval: Option<Interval>,
}

/// The calibration line in log odds: `logit P(covid) = intercept + slope · logit p` (Cox 1958). Perfect calibration has
/// slope 1 and intercept 0; a slope below 1 means that probabilities are too extreme.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationLine {
    /// Factor of the predicted log odds.
    pub slope: f64,
    /// Constant added to them.
    pub intercept: f64,
}

/// How well predicted probabilities of covid agree with observed frequencies.
///
/// ```
/// use covid_ct::Calibration;
///
/// let calibration = Calibration::of(&[true, true, false, false], &[0.9, 0.9, 0.9, 0.1], 10)?;
/// assert!((calibration.brier - 0.21).abs() < 1e-12);
/// assert_eq!(calibration.bins[8].observed, Some(2.0 / 3.0));
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// How many samples.
    pub samples: usize,
    /// The share of them that is covid.
    pub covid: f64,
    /// The reliability diagram: bins of equal width, from 0 to 1 (`calibration_curve`, which leaves empty ones out).
    pub bins: Vec<ReliabilityBin>,
    /// Expected calibration error, in 0..=1: the mean of `|observed - predicted|` over the bins, weighted by their
    /// counts (Naeini 2015; Guo 2017). It depends on the number of bins.
    pub expected_error: f64,
    /// Maximum calibration error, in 0..=1: the largest `|observed - predicted|` of any bin that has samples.
    pub maximum_error: f64,
    /// Brier score, in 0..=1: the mean of `(p - truth)²` (`brier_score_loss`; Brier 1950).
    pub brier: f64,
    /// Slope and intercept, from logistic regression of the truth on [`logit`]. `None` where the likelihood has no
    /// single finite maximum: samples of one class only, equal probabilities throughout, or classes that a threshold
    /// separates without error, except for ties at the threshold.
    pub line: Option<CalibrationLine>,
    /// Calibration in the large: the intercept when the slope is fixed at 1, above 0 where covid is more frequent than
    /// predicted. `None` for samples of one class only.
    pub in_the_large: Option<f64>,
}

impl Calibration {
    /// Compares; `probability[i]` is the probability of covid of sample `i`. 10 bins are usual.
    ///
    /// # Errors
    /// Lists of different lengths, no samples, no bins, or a probability not in 0..=1; the message names the sample.
    pub fn of(is_covid: &[bool], probability: &[f64], bins: usize) -> Result<Self> {
        ensure!(bins > 0, "calibration: expected at least one bin, found none");
        check("calibration", is_covid, probability)?;
        if let Some((index, p)) = probability.iter().enumerate().find(|(_, p)| !(0.0..=1.0).contains(*p)) {
            bail!("calibration: expected probabilities in 0..=1, found {p} at sample {index}");
        }
        let samples = is_covid.len() as f64;
        let bins = reliability(is_covid, probability, bins);
        let gaps = || {
            let with_samples = bins.iter().filter_map(|bin| Some((bin.count as f64, bin.predicted?, bin.observed?)));
            with_samples.map(|(count, predicted, observed)| (count, (observed - predicted).abs()))
        };
        let squares = is_covid.iter().zip(probability).map(|(&covid, p)| (p - truth(covid)).powi(2));
        let logits: Vec<f64> = probability.iter().map(|&p| logit(p)).collect();
        Ok(Self {
            samples: is_covid.len(),
            covid: is_covid.iter().filter(|&&covid| covid).count() as f64 / samples,
            expected_error: gaps().map(|(count, gap)| count * gap).sum::<f64>() / samples,
            maximum_error: gaps().map(|(_, gap)| gap).fold(0.0, f64::max),
            brier: squares.sum::<f64>() / samples,
            line: logistic::line(is_covid, &logits),
            in_the_large: logistic::intercept(is_covid, &logits),
            bins,
        })
    }
}

fn truth(covid: bool) -> f64 {
    f64::from(u8::from(covid))
}

fn check(doing: &str, is_covid: &[bool], values: &[f64]) -> Result<()> {
    let (truths, values) = (is_covid.len(), values.len());
    ensure!(truths == values, "{doing}: {truths} true labels but {values} predictions");
    ensure!(truths > 0, "{doing}: expected at least one sample, found none");
    Ok(())
}

fn reliability(is_covid: &[bool], probability: &[f64], bins: usize) -> Vec<ReliabilityBin> {
    // As numpy.linspace, to the last bit: 5 · (1/6) is below 5/6, which must fall where scikit-learn puts it.
    let edge = |index: usize| if index == bins { 1.0 } else { index as f64 * (1.0 / bins as f64) };
    let inner: Vec<f64> = (1..bins).map(edge).collect();
    let mut sums = vec![(0_u64, 0_u64, 0.0); bins];
    for (&covid, &p) in is_covid.iter().zip(probability) {
        let (count, of_covid, predicted) = &mut sums[inner.partition_point(|&edge| edge < p)];
        *count += 1;
        *of_covid += u64::from(covid);
        *predicted += p;
    }
    let bin = |(index, (count, of_covid, predicted)): (usize, (u64, u64, f64))| {
        let share = |part: f64| (count > 0).then(|| part / count as f64);
        ReliabilityBin {
            low: edge(index),
            high: edge(index + 1),
            count,
            predicted: share(predicted),
            observed: share(of_covid as f64),
            interval: interval_of(of_covid, count),
        }
    };
    sums.into_iter().enumerate().map(bin).collect()
}

/// Wilson's interval; `None` of nothing.
fn interval_of(part: u64, whole: u64) -> Option<Interval> {
    (whole > 0).then(|| wilson(part as f64 / whole as f64, whole as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::metrics::Z;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}");
    }

    #[test]
    fn hand_computed() -> Result<()> {
        let calibration = Calibration::of(&[true, false, true, false], &[0.8, 0.6, 0.4, 0.4], 2)?;
        let [low, high] = [calibration.bins[0], calibration.bins[1]];
        assert_eq!((low.low, low.high, low.count, low.observed), (0.0, 0.5, 2, Some(0.5)));
        assert_eq!((high.low, high.high, high.count, high.observed), (0.5, 1.0, 2, Some(0.5)));
        close(high.predicted.unwrap(), 0.7);
        close(calibration.expected_error, (2.0 * 0.1 + 2.0 * 0.2) / 4.0);
        close(calibration.maximum_error, 0.2);
        close(calibration.brier, (0.04 + 0.36 + 0.36 + 0.16) / 4.0);
        assert_eq!(calibration.covid, 0.5);
        Ok(())
    }

    #[test]
    fn an_edge_belongs_to_the_lower_bin() -> Result<()> {
        let calibration = Calibration::of(&[true; 5], &[0.0, 0.5, 0.500001, 1.0, 0.25], 4)?;
        assert_eq!(calibration.bins.iter().map(|bin| bin.count).collect::<Vec<_>>(), [2, 1, 1, 1]);
        let empty = Calibration::of(&[true], &[0.9], 3)?.bins[0];
        assert_eq!((empty.predicted, empty.observed, empty.interval), (None, None, None));
        Ok(())
    }

    #[test]
    fn the_line_finds_how_probabilities_were_bent() -> Result<()> {
        // Of 100 samples at each level 10, 30, 50, 70, 90 are covid; the log odds said are twice the true, plus 1.
        let levels = [10, 30, 50, 70, 90].map(|share| (share, sigmoid(2.0 * logit(f64::from(share) / 100.0) + 1.0)));
        let samples = || levels.iter().flat_map(|&(share, p)| (0..100).map(move |i| (i < share, p)));
        let (is_covid, probability): (Vec<bool>, Vec<f64>) = samples().unzip();
        let calibration = Calibration::of(&is_covid, &probability, 10)?;
        let line = calibration.line.unwrap();
        close(line.slope, 0.5);
        close(line.intercept, -0.5);
        assert!(calibration.in_the_large.unwrap() < 0.0);
        Ok(())
    }

    #[test]
    fn no_line_through_one_class_one_probability_or_separated_classes() -> Result<()> {
        let line = |is_covid: &[bool], probability: &[f64]| -> Result<_> {
            let calibration = Calibration::of(is_covid, probability, 10)?;
            Ok((calibration.line.is_some(), calibration.in_the_large.is_some()))
        };
        assert_eq!(line(&[true, true], &[0.2, 0.7])?, (false, false));
        assert_eq!(line(&[false], &[0.2])?, (false, false));
        assert_eq!(line(&[true, false, true], &[0.3; 3])?, (false, true));
        let truth = [true, true, false, false];
        assert_eq!(line(&truth, &[0.9, 0.8, 0.7, 0.1])?, (false, true));
        assert_eq!(line(&truth, &[0.1, 0.2, 0.8, 0.9])?, (false, true), "all wrong is separated as well");
        assert_eq!(line(&truth, &[0.9, 0.5, 0.5, 0.1])?, (false, true), "a tie at the threshold");
        assert_eq!(line(&truth, &[0.9, 0.5, 0.500001, 0.1])?, (true, true), "just not separated");
        assert_eq!(line(&truth, &[1.0, 0.0, 0.0, 1.0])?, (true, true), "0 and 1 are clipped");
        Ok(())
    }

    #[test]
    fn wilson_by_hand() {
        assert_eq!(interval_of(0, 0), None);
        // (0 + z²/2 ± z √(z²/4)) / (1 + z²) of 1 sample: 0 and z² / (1 + z²)
        let none = interval_of(0, 1).unwrap();
        assert_eq!(none.low, 0.0);
        close(none.high, Z * Z / (1.0 + Z * Z));
        let half = interval_of(5, 10).unwrap();
        close(half.low + half.high, 1.0);
        assert_eq!(interval_of(7, 7).unwrap().high, 1.0);
    }

    #[test]
    fn errors_name_what_was_expected_and_found() {
        let message = |is_covid: &[bool], probability: &[f64], bins: usize| {
            Calibration::of(is_covid, probability, bins).map_err(|error| error.to_string()).map(|_| ())
        };
        assert_eq!(message(&[true], &[], 10), Err("calibration: 1 true labels but 0 predictions".into()));
        assert_eq!(message(&[], &[], 10), Err("calibration: expected at least one sample, found none".into()));
        assert_eq!(message(&[true], &[0.5], 0), Err("calibration: expected at least one bin, found none".into()));
        for (p, shown) in [(f64::NAN, "NaN"), (1.25, "1.25"), (-1e-3, "-0.001")] {
            let expected = format!("calibration: expected probabilities in 0..=1, found {shown} at sample 1");
            assert_eq!(message(&[true, false], &[0.5, p], 10), Err(expected));
        }
    }
}
