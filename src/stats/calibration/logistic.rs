//! Logistic regression by maximum likelihood with Newton's method.

use super::{CalibrationLine, sigmoid, truth};

/// The maximum number of Newton steps; about a dozen are usual.
const STEPS: usize = 200;

/// A fitted model: weights of the features, followed by the intercept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Logistic {
    weights: Vec<f64>,
}

impl Logistic {
    /// Minimises the sum of the log losses plus `penalty` / 2 × Σ w², where the intercept is not penalised (Hastie,
    /// Tibshirani and Friedman, The Elements of Statistical Learning, 2nd ed., 4.4.1 and 4.4.4). `truth[i]` is the
    /// probability that sample `i` should have, 0 to 1: a label, or a softened label.
    ///
    /// `None` when the steps do not converge, which cannot happen with a positive penalty and samples of both classes.
    pub(crate) fn fit(samples: &[Vec<f64>], truth: &[f64], penalty: f64) -> Option<Self> {
        let mut at = Self { weights: vec![0.0; samples.first().map_or(0, Vec::len) + 1] };
        let mut loss = at.loss(samples, truth, penalty);
        let mut before = f64::INFINITY;
        for _ in 0..STEPS {
            let step = at.newton_step(samples, truth, penalty)?;
            let size = largest(&step) / (1.0 + largest(&at.weights));
            // Far from the minimum a full step may overshoot; near it a full step never does, and the loss only changes
            // by rounding.
            let near = size <= 1e-6;
            let mut part = 1.0;
            (at, loss) = loop {
                let weights = at.weights.iter().zip(&step).map(|(w, s)| w - part * s).collect();
                let next = Self { weights };
                let next_loss = next.loss(samples, truth, penalty);
                if near || next_loss <= loss || part < 1e-12 {
                    break (next, next_loss);
                }
                part /= 2.0;
            };
            // Convergence is quadratic down to rounding errors, which are larger where the classes hardly overlap.
            if size <= 1e-13 || (near && size >= before) {
                return Some(at);
            }
            before = size;
        }
        None
    }

    /// The probability of true, 0 to 1.
    pub(crate) fn probability(&self, features: &[f64]) -> f64 {
        sigmoid(self.logit(features))
    }

    /// For a single feature: its weight, and the intercept.
    pub(super) fn as_line(&self) -> CalibrationLine {
        let (constant, rest) = self.weights.split_last().unwrap_or((&0.0, &[]));
        CalibrationLine { slope: rest.first().copied().unwrap_or(0.0), intercept: *constant }
    }

    fn logit(&self, features: &[f64]) -> f64 {
        let constant = self.weights.last().copied().unwrap_or(0.0);
        constant + features.iter().zip(&self.weights).map(|(x, w)| x * w).sum::<f64>()
    }

    fn loss(&self, samples: &[Vec<f64>], truth: &[f64], penalty: f64) -> f64 {
        let one = |(features, share): (&Vec<f64>, &f64)| {
            let z = self.logit(features);
            // ln(1 + e^z) without overflow, minus the term of the truth.
            z.max(0.0) + (-z.abs()).exp().ln_1p() - share * z
        };
        let (_, free) = self.weights.split_last().unwrap_or((&0.0, &[]));
        samples.iter().zip(truth).map(one).sum::<f64>() + penalty / 2.0 * free.iter().map(|w| w * w).sum::<f64>()
    }

    /// Hessian⁻¹ × gradient; `None` where the Hessian has no inverse.
    fn newton_step(&self, samples: &[Vec<f64>], truth: &[f64], penalty: f64) -> Option<Vec<f64>> {
        let size = self.weights.len();
        let mut hessian = vec![vec![0.0; size]; size];
        let mut gradient = vec![0.0; size];
        for i in 0..size - 1 {
            hessian[i][i] = penalty;
            gradient[i] = penalty * self.weights[i];
        }
        for (features, share) in samples.iter().zip(truth) {
            let p = self.probability(features);
            let (error, spread) = (p - share, (p * (1.0 - p)).max(f64::MIN_POSITIVE));
            let value = |i: usize| features.get(i).copied().unwrap_or(1.0);
            for i in 0..size {
                let x = value(i);
                gradient[i] += error * x;
                if x != 0.0 {
                    (0..=i).for_each(|j| hessian[i][j] += spread * x * value(j));
                }
            }
        }
        solve(hessian, gradient)
    }
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, value| value.abs().max(most))
}

/// Solves A x = b for a symmetric positive definite A, of which the lower half is read (Cholesky); `None` for another A.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Option<Vec<f64>> {
    let size = b.len();
    for i in 0..size {
        for j in 0..=i {
            let rest = a[i][j] - (0..j).map(|k| a[i][k] * a[j][k]).sum::<f64>();
            a[i][j] = if i != j { rest / a[j][j] } else { Some(rest).filter(|rest| *rest > 0.0)?.sqrt() };
        }
        b[i] = (b[i] - (0..i).map(|k| a[i][k] * b[k]).sum::<f64>()) / a[i][i];
    }
    for i in (0..size).rev() {
        b[i] = (b[i] - (i + 1..size).map(|k| a[k][i] * b[k]).sum::<f64>()) / a[i][i];
    }
    Some(b)
}

/// Logistic regression of the truth on logits; `None` where the likelihood has no single finite maximum.
pub(super) fn line(is_covid: &[bool], logits: &[f64]) -> Option<CalibrationLine> {
    let extremes = |of: bool| {
        let values = is_covid.iter().zip(logits).filter(|(covid, _)| **covid == of).map(|(_, &z)| z);
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), z| (low.min(z), high.max(z)))
    };
    let ((covid_low, covid_high), (other_low, other_high)) = (extremes(true), extremes(false));
    // The maximum exists exactly when the classes overlap (Albert & Anderson 1984), so this is checked instead of
    // divergence.
    let overlap = covid_low < other_high && other_low < covid_high;
    let truth: Vec<f64> = is_covid.iter().map(|&covid| truth(covid)).collect();
    if overlap { line_through(logits, &truth) } else { None }
}

/// The same for truths between 0 and 1; `None` when all logits are equal.
pub(super) fn line_through(logits: &[f64], truth: &[f64]) -> Option<CalibrationLine> {
    // Standardised, so that the two parameters are nearly independent.
    let count = logits.len() as f64;
    let mean = logits.iter().sum::<f64>() / count;
    let deviation = (logits.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / count).sqrt();
    // Equal logits have a standard deviation of the size of a rounding error.
    if deviation.is_nan() || deviation <= 1e-12 * (1.0 + mean.abs()) {
        return None;
    }
    let scaled: Vec<Vec<f64>> = logits.iter().map(|z| vec![(z - mean) / deviation]).collect();
    let CalibrationLine { slope, intercept } = Logistic::fit(&scaled, truth, 0.0)?.as_line();
    let slope = slope / deviation;
    Some(CalibrationLine { slope, intercept: intercept - slope * mean })
}

/// `-ln P(truth)` of one sample, without overflow.
pub(super) fn loss(covid: bool, logit: f64) -> f64 {
    let against = if covid { -logit } else { logit };
    against.max(0.0) + (-against.abs()).exp().ln_1p()
}

/// The intercept of logistic regression with slope 1; `None` for one class only.
pub(super) fn intercept(is_covid: &[bool], logits: &[f64]) -> Option<f64> {
    let positives = is_covid.iter().filter(|&&covid| covid).count() as f64;
    let negatives = is_covid.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    // If all logits were the lowest, or the highest, the intercept would be the difference to the overall log odds.
    let odds = (positives / negatives).ln();
    let (lowest, highest) =
        logits.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &z| (low.min(z), high.max(z)));
    let excess = |intercept: f64| {
        logits.iter().fold((-positives, 0.0), |(sum, slope), z| {
            let p = sigmoid(intercept + z);
            (sum + p, slope + p * (1.0 - p))
        })
    };
    Some(root(odds - highest, odds - lowest, excess))
}

/// Where an increasing function, given with its slope, is 0 between `low` and `high`: Newton's method, halving the
/// bracket where it would leave it.
pub(super) fn root(mut low: f64, mut high: f64, function: impl Fn(f64) -> (f64, f64)) -> f64 {
    let mut at = (low + high) / 2.0;
    for _ in 0..STEPS {
        let (value, slope) = function(at);
        if value == 0.0 {
            return at;
        }
        if value < 0.0 {
            low = at
        } else {
            high = at
        }
        let newton = at - value / slope;
        let next = if low < newton && newton < high { newton } else { (low + high) / 2.0 };
        if (next - at).abs() <= 1e-14 * at.abs() || next == low || next == high {
            return next;
        }
        at = next;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_found_where_newton_alone_would_leave() {
        // atan has Newton's steps diverge from beyond 1.39.
        let found = root(-5.0, 40.0, |x: f64| (x.atan(), 1.0 / (1.0 + x * x)));
        assert!(found.abs() < 1e-12, "{found}");
        let found = root(0.05, 20.0, |x: f64| (x.powi(3) - 2.0, 3.0 * x * x));
        assert!((found - 2.0_f64.cbrt()).abs() < 1e-14, "{found}");
        let flat = root(0.0, 1.0, |x: f64| (if x < 0.3 { -1.0 } else { 1.0 }, 0.0));
        assert!((flat - 0.3).abs() < 1e-12, "{flat}");
    }

    #[test]
    fn in_the_large_of_one_probability_is_the_difference_of_log_odds() {
        let found = intercept(&[true, true, true, false], &[0.5; 4]).unwrap();
        assert!((found - (3.0_f64.ln() - 0.5)).abs() < 1e-14, "{found}");
    }

    #[test]
    fn a_line_between_classes_that_hardly_overlap() {
        let mut logits: Vec<f64> = (0..200).map(|i| f64::from(i - 100) / 10.0).collect();
        let is_covid: Vec<bool> = logits.iter().map(|&z| z >= 0.0).collect();
        assert_eq!(line(&is_covid, &logits), None);
        logits.swap(99, 100);
        let line = line(&is_covid, &logits).unwrap();
        // The gradient is 0 there, which is all there is to a maximum.
        let samples: Vec<Vec<f64>> = logits.iter().map(|&z| vec![z]).collect();
        let labels: Vec<f64> = is_covid.iter().map(|&covid| truth(covid)).collect();
        let at = Logistic { weights: vec![line.slope, line.intercept] };
        let step = at.newton_step(&samples, &labels, 0.0).unwrap();
        assert!(step.iter().all(|step| step.abs() < 1e-9) && line.slope > 5.0, "{line:?} {step:?}");
    }

    #[test]
    fn loss_of_certain_mistakes_is_finite() {
        assert_eq!((loss(true, -1e4), loss(true, 1e4)), (1e4, 0.0));
        assert!((loss(false, 0.0) - std::f64::consts::LN_2).abs() < 1e-15);
    }

    #[test]
    fn the_equations_are_solved_where_they_can_be() {
        let x = solve(vec![vec![4.0, 0.0], vec![2.0, 3.0]], vec![8.0, 7.0]).unwrap();
        assert!((x[0] - 1.25).abs() < 1e-12 && (x[1] - 1.5).abs() < 1e-12, "{x:?}");
        assert_eq!(solve(vec![vec![1.0, 0.0], vec![1.0, 1.0]], vec![1.0, 1.0]), None);
    }

    #[test]
    fn with_a_penalty_the_gradient_is_zero_at_the_end() {
        let samples: Vec<Vec<f64>> = (0..40).map(|i| vec![f64::from(i) / 10.0, f64::from(i % 7)]).collect();
        let labels: Vec<f64> = (0..40).map(|i| truth(i > 17 || i % 5 == 0)).collect();
        let model = Logistic::fit(&samples, &labels, 1.0).unwrap();
        let slope = |j: usize| -> f64 {
            let error = |(x, y): (&Vec<f64>, &f64)| (model.probability(x) - y) * x.get(j).copied().unwrap_or(1.0);
            samples.iter().zip(&labels).map(error).sum()
        };
        assert!((slope(0) + model.weights[0]).abs() < 1e-9 && (slope(1) + model.weights[1]).abs() < 1e-9);
        assert!(slope(2).abs() < 1e-9);
    }

    #[test]
    fn without_features_the_share_comes_out() {
        let model = Logistic::fit(&vec![vec![]; 4], &[1.0, 0.0, 0.0, 0.0], 1.0).unwrap();
        assert!((model.probability(&[]) - 0.25).abs() < 1e-9);
    }

    #[test]
    fn separable_samples_come_to_rest_under_a_penalty() {
        let samples: Vec<Vec<f64>> = (0..20).map(|i| vec![f64::from(i) - 9.5; 3]).collect();
        let labels: Vec<f64> = (0..20).map(|i| truth(i >= 10)).collect();
        let model = Logistic::fit(&samples, &labels, 1e-3).unwrap();
        assert!(model.probability(&[9.5; 3]) > 0.99);
    }
}
