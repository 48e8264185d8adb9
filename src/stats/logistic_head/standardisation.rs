//! Mean and standard deviation of features, and the change between raw and standardised units.

use super::LogisticHead;
use super::feature_rows::{FeatureRows, add, pass};
use crate::base::errors::{Result, bail};

/// Weighted mean and standard deviation of each feature, with the weights of the samples, as scikit-learn's
/// `StandardScaler` computes them. A constant feature has the standard deviation 1, and its standardised value is 0.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Standardisation {
    pub(crate) mean: Vec<f64>,
    pub(crate) std: Vec<f64>,
}

impl Standardisation {
    /// In two passes. `share` sums up to 1.
    ///
    /// # Errors
    /// A feature that is not finite.
    pub(super) fn of(features: &dyn FeatureRows, share: &[f64]) -> Result<Self> {
        let width = features.width();
        let (_, mean) = pass(features, width, |row, x, sum| {
            if let Some(feature) = x.iter().position(|value| !value.is_finite()) {
                bail!("expected numbers, feature {feature} of {} is {}", features.named(row), x[feature]);
            }
            add(sum, share[row], x);
            Ok(0.0)
        })?;
        let (_, variance) = pass(features, width, |row, x, sum| {
            for ((sum, x), mean) in sum.iter_mut().zip(x).zip(&mean) {
                *sum += share[row] * (f64::from(*x) - mean).powi(2);
            }
            Ok(0.0)
        })?;
        let rows = features.count() as f64;
        let spread = |(variance, mean): (f64, &f64)| {
            // What rounding can leave of the variance of a constant: scikit-learn's `_is_constant_feature`.
            let rounding = rows * f64::EPSILON * variance + (rows * mean * f64::EPSILON).powi(2);
            if variance <= rounding { 1.0 } else { variance.sqrt() }
        };
        let std = variance.into_iter().zip(&mean).map(spread).collect();
        Ok(Self { mean, std })
    }

    /// A direction in standardised units, the bias last, in raw units.
    pub(super) fn raw(&self, at: &[f64]) -> LogisticHead {
        let weight: Vec<f64> = at.iter().zip(&self.std).map(|(w, std)| w / std).collect();
        let bias = at.last().copied().unwrap_or(0.0) - self.at_mean(&weight);
        LogisticHead { weight, bias }
    }

    /// The inverse of [`raw`](Self::raw).
    pub(super) fn standardised(&self, head: &LogisticHead) -> Vec<f64> {
        let weights = head.weight.iter().zip(&self.std).map(|(w, std)| w * std);
        weights.chain([head.bias + self.at_mean(&head.weight)]).collect()
    }

    /// `Σ rᵢ (xᵢ - μ)/σ` and `Σ rᵢ`, from `Σ rᵢ xᵢ` and `Σ rᵢ`.
    pub(super) fn of_sum(&self, raw: &[f64], factors: f64) -> Vec<f64> {
        let scaled = raw.iter().zip(&self.mean).zip(&self.std).map(|((x, mean), std)| (x - factors * mean) / std);
        scaled.chain([factors]).collect()
    }

    fn at_mean(&self, weight: &[f64]) -> f64 {
        weight.iter().zip(&self.mean).map(|(w, mean)| w * mean).sum()
    }
}
