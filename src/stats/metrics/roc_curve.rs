//! Measures of a score over all thresholds.

use crate::base::errors::{Result, bail, ensure};

/// Receiver operating characteristic: true and false positive rate at each threshold.
///
/// Entry `i` of each vector belongs to the rule "positive when score ≥ `thresholds[i]`". As
/// `sklearn.metrics.roc_curve(drop_intermediate=False)`: the first threshold is +∞, where nothing is
/// positive (rates 0, 0), then follows each different score, descending, down to rates (1, 1). Samples
/// of one score share one point.
///
/// ```
/// use covid_ct::RocCurve;
///
/// let is_covid = [true, true, false, false];
/// let covid_probability = [0.8, 0.35, 0.4, 0.1];
/// let curve = RocCurve::new(&is_covid, &covid_probability)?;
/// assert_eq!(curve.thresholds, [f64::INFINITY, 0.8, 0.4, 0.35, 0.1]);
/// assert_eq!(curve.true_positive_rate, [0.0, 0.5, 0.5, 1.0, 1.0]);
/// assert_eq!(curve.auc(), 0.75);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RocCurve {
    /// Scores, descending; the first is +∞.
    pub thresholds: Vec<f64>,
    /// 1 - specificity at each threshold, from 0 to 1.
    pub false_positive_rate: Vec<f64>,
    /// Sensitivity at each threshold, from 0 to 1.
    pub true_positive_rate: Vec<f64>,
}

impl RocCurve {
    /// The curve of `score`, where a high one (the probability of class 0, "covid") speaks for positive.
    ///
    /// # Errors
    /// When the lists differ in length, a score is not finite, or the samples are not of both classes.
    pub fn new(is_positive: &[bool], score: &[f64]) -> Result<Self> {
        let steps = steps(is_positive, score)?;
        let (positives, negatives) = match steps.last() {
            Some(all) if all.true_positives > 0.0 && all.false_positives > 0.0 => {
                (all.true_positives, all.false_positives)
            }
            Some(all) => bail!(
                "ROC curve: expected samples of both classes, found {} positive and {} negative ones",
                all.true_positives,
                all.false_positives
            ),
            None => bail!("ROC curve: expected samples of both classes, found none at all"),
        };
        let start = RocStep { threshold: f64::INFINITY, true_positives: 0.0, false_positives: 0.0 };
        let points = || std::iter::once(&start).chain(&steps);
        Ok(Self {
            thresholds: points().map(|step| step.threshold).collect(),
            false_positive_rate: points().map(|step| step.false_positives / negatives).collect(),
            true_positive_rate: points().map(|step| step.true_positives / positives).collect(),
        })
    }

    /// The area under the curve by the trapezoidal rule, in 0..=1 (`roc_auc_score`): the chance that a
    /// positive sample scores above a negative one, where equal scores count half.
    pub fn auc(&self) -> f64 {
        let widths = self.false_positive_rate.windows(2).map(|x| x[1] - x[0]);
        let heights = self.true_positive_rate.windows(2).map(|y| (y[0] + y[1]) / 2.0);
        widths.zip(heights).map(|(width, height)| width * height).sum()
    }

    /// The curve for drawing: `[1 - specificity, sensitivity]` from (0, 0) to (1, 1), without points that lie less than
    /// `apart` (0 to 1, in each direction) beyond the one before.
    pub(crate) fn thinned(&self, apart: f64) -> Vec<[f64; 2]> {
        let mut kept: Vec<[f64; 2]> = Vec::new();
        for (&x, &y) in self.false_positive_rate.iter().zip(&self.true_positive_rate) {
            if kept
                .last()
                .is_none_or(|&[before, below]| x - before >= apart || y - below >= apart || (x, y) == (1.0, 1.0))
            {
                kept.push([x, y]);
            }
        }
        kept
    }
}

/// Average precision, in 0..=1: `Σ (Rᵢ - Rᵢ₋₁) Pᵢ` over the different scores, descending, with `Rᵢ` and `Pᵢ` recall and
/// precision of "positive when score ≥ the `i`-th" (`average_precision_score`). A random score gets about the share of
/// positive samples.
///
/// # Errors
/// When the lists differ in length, a score is not finite, or no sample is positive (scikit-learn says 0).
pub fn average_precision(is_positive: &[bool], score: &[f64]) -> Result<f64> {
    let steps = steps(is_positive, score)?;
    let positives = steps.last().map_or(0.0, |all| all.true_positives);
    ensure!(
        positives > 0.0,
        "average precision: expected at least one positive sample, found none among {}",
        score.len()
    );
    let (mut sum, mut found) = (0.0, 0.0);
    for step in steps {
        let precision = step.true_positives / (step.true_positives + step.false_positives);
        sum += (step.true_positives - found) / positives * precision;
        found = step.true_positives;
    }
    Ok(sum)
}

/// Counts of the rule "positive when score ≥ threshold".
struct RocStep {
    threshold: f64,
    true_positives: f64,
    false_positives: f64,
}

/// One step for each different score, descending; the last holds all samples.
fn steps(is_positive: &[bool], score: &[f64]) -> Result<Vec<RocStep>> {
    ensure!(
        is_positive.len() == score.len(),
        "ranking samples: {} true labels but {} scores",
        is_positive.len(),
        score.len()
    );
    if let Some((index, score)) = score.iter().enumerate().find(|(_, score)| !score.is_finite()) {
        bail!("ranking samples: expected finite scores, found {score} at index {index}");
    }
    let mut order: Vec<usize> = (0..score.len()).collect();
    order.sort_by(|&a, &b| score[b].total_cmp(&score[a]));

    let (mut true_positives, mut false_positives) = (0.0, 0.0);
    let mut steps = Vec::new();
    for samples in order.chunk_by(|&a, &b| score[a] == score[b]) {
        let positives = samples.iter().filter(|&&sample| is_positive[sample]).count();
        true_positives += positives as f64;
        false_positives += (samples.len() - positives) as f64;
        steps.push(RocStep { threshold: score[samples[0]], true_positives, false_positives });
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_share_one_point() -> Result<()> {
        let curve = RocCurve::new(&[true, false, true, false], &[0.9, 0.5, 0.5, 0.1])?;
        assert_eq!(curve.thresholds, [f64::INFINITY, 0.9, 0.5, 0.1]);
        assert_eq!(curve.false_positive_rate, [0.0, 0.0, 0.5, 1.0]);
        assert_eq!(curve.true_positive_rate, [0.0, 0.5, 1.0, 1.0]);
        assert_eq!(curve.auc(), 0.875);
        // R 0 -> 1/2 at P 1, then 1/2 -> 1 at P 2/3
        assert_eq!(average_precision(&[true, false, true, false], &[0.9, 0.5, 0.5, 0.1])?, 0.5 + 1.0 / 3.0);
        Ok(())
    }

    #[test]
    fn perfect_reversed_and_constant() -> Result<()> {
        let is_positive = [true, true, false];
        assert_eq!(RocCurve::new(&is_positive, &[0.9, 0.8, 0.1])?.auc(), 1.0);
        assert_eq!(average_precision(&is_positive, &[0.9, 0.8, 0.1])?, 1.0);
        assert_eq!(RocCurve::new(&is_positive, &[0.1, 0.2, 0.9])?.auc(), 0.0);
        assert_eq!(RocCurve::new(&is_positive, &[0.3; 3])?.auc(), 0.5);
        assert_eq!(average_precision(&is_positive, &[0.3; 3])?, 2.0 / 3.0);
        Ok(())
    }

    #[test]
    fn zero_has_no_sign() -> Result<()> {
        assert_eq!(RocCurve::new(&[true, false], &[-0.0, 0.0])?.auc(), 0.5);
        Ok(())
    }

    #[test]
    fn errors_name_what_was_expected_and_found() {
        let message = |is_positive: &[bool], score: &[f64]| {
            RocCurve::new(is_positive, score).map_or_else(|error| error.to_string(), |_| "a curve".into())
        };
        assert_eq!(message(&[true], &[]), "ranking samples: 1 true labels but 0 scores");
        assert_eq!(
            message(&[true, false], &[0.5, f64::NAN]),
            "ranking samples: expected finite scores, found NaN at index 1"
        );
        assert_eq!(
            message(&[true, true], &[0.5, 0.6]),
            "ROC curve: expected samples of both classes, found 2 positive and 0 negative ones"
        );
        assert_eq!(message(&[], &[]), "ROC curve: expected samples of both classes, found none at all");
        assert!(average_precision(&[false], &[0.5]).is_err());
    }
}
