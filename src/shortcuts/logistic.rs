//! Logistic regression with a penalty on the weights, by Newton's method.

use anyhow::{Result, ensure};

/// Steps until the weights stand still, at the most; a dozen is usual.
const STEPS: usize = 100;
/// The weights stand still when no one moves by more.
const TOLERANCE: f64 = 1e-9;

/// A fitted model: weights of the features, the last one that of the constant.
pub(super) struct Logistic {
    weights: Vec<f64>,
}

impl Logistic {
    /// Minimises the sum of the log losses plus `penalty` / 2 × Σ w², where the constant is free (Hastie, Tibshirani and
    /// Friedman, The Elements of Statistical Learning, 2nd ed., 4.4.1 and 4.4.4).
    ///
    /// # Errors
    /// When the steps do not come to rest, which a positive penalty and samples of both classes rule out.
    pub(super) fn fit(samples: &[Vec<f64>], labels: &[bool], penalty: f64) -> Result<Self> {
        let size = samples.first().map_or(0, Vec::len) + 1;
        let mut model = Self { weights: vec![0.0; size] };
        let mut loss = model.loss(samples, labels, penalty);
        for _ in 0..STEPS {
            let step = model.newton_step(samples, labels, penalty);
            // Far from the goal a whole step may overshoot; half of it, again and again, does not.
            let mut share = 1.0;
            let (next, next_loss) = loop {
                let weights = model.weights.iter().zip(&step).map(|(w, s)| w - share * s).collect();
                let next = Self { weights };
                let next_loss = next.loss(samples, labels, penalty);
                if next_loss <= loss || share < 1e-6 {
                    break (next, next_loss);
                }
                share /= 2.0;
            };
            (model, loss) = (next, next_loss);
            if step.iter().all(|s| (share * s).abs() <= TOLERANCE) {
                return Ok(model);
            }
        }
        // Rounding may keep the last digits moving; the loss decides.
        let step = model.newton_step(samples, labels, penalty);
        let moves = step.iter().fold(0.0_f64, |most, s| most.max(s.abs()));
        ensure!(
            moves < 1e-4,
            "logistic regression: expected rest within {STEPS} steps, the weights still move by {moves}"
        );
        Ok(model)
    }

    /// The probability of true, 0 to 1.
    pub(super) fn probability(&self, features: &[f64]) -> f64 {
        1.0 / (1.0 + (-self.logit(features)).exp())
    }

    fn logit(&self, features: &[f64]) -> f64 {
        let constant = self.weights.last().copied().unwrap_or(0.0);
        constant + features.iter().zip(&self.weights).map(|(x, w)| x * w).sum::<f64>()
    }

    fn loss(&self, samples: &[Vec<f64>], labels: &[bool], penalty: f64) -> f64 {
        let one = |(features, label): (&Vec<f64>, &bool)| {
            let z = if *label { -self.logit(features) } else { self.logit(features) };
            // ln(1 + e^z) without overflow.
            z.max(0.0) + (-z.abs()).exp().ln_1p()
        };
        let (_, free) = self.weights.split_last().unwrap_or((&0.0, &[]));
        samples.iter().zip(labels).map(one).sum::<f64>() + penalty / 2.0 * free.iter().map(|w| w * w).sum::<f64>()
    }

    /// Hessian⁻¹ × gradient.
    fn newton_step(&self, samples: &[Vec<f64>], labels: &[bool], penalty: f64) -> Vec<f64> {
        let size = self.weights.len();
        let mut hessian = vec![vec![0.0; size]; size];
        let mut gradient = vec![0.0; size];
        for i in 0..size - 1 {
            hessian[i][i] = penalty;
            gradient[i] = penalty * self.weights[i];
        }
        for (features, label) in samples.iter().zip(labels) {
            let p = self.probability(features);
            let (error, spread) = (p - f64::from(u8::from(*label)), (p * (1.0 - p)).max(1e-12));
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

/// Solves A x = b for a symmetric positive definite A, of which the lower half is read (Cholesky).
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let size = b.len();
    for i in 0..size {
        for j in 0..=i {
            let rest = a[i][j] - (0..j).map(|k| a[i][k] * a[j][k]).sum::<f64>();
            a[i][j] = if i == j { rest.max(f64::MIN_POSITIVE).sqrt() } else { rest / a[j][j] };
        }
        b[i] = (b[i] - (0..i).map(|k| a[i][k] * b[k]).sum::<f64>()) / a[i][i];
    }
    for i in (0..size).rev() {
        b[i] = (b[i] - (i + 1..size).map(|k| a[k][i] * b[k]).sum::<f64>()) / a[i][i];
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_equations_are_solved() {
        let x = solve(vec![vec![4.0, 0.0], vec![2.0, 3.0]], vec![8.0, 7.0]);
        assert!((x[0] - 1.25).abs() < 1e-12 && (x[1] - 1.5).abs() < 1e-12, "{x:?}");
    }

    #[test]
    fn the_gradient_is_zero_at_the_end() {
        let samples: Vec<Vec<f64>> = (0..40).map(|i| vec![f64::from(i) / 10.0, f64::from(i % 7)]).collect();
        let labels: Vec<bool> = (0..40).map(|i| i > 17 || i % 5 == 0).collect();
        let model = Logistic::fit(&samples, &labels, 1.0).expect("rests");
        let slope = |j: usize| -> f64 {
            let error = |(x, y): (&Vec<f64>, &bool)| {
                (model.probability(x) - f64::from(u8::from(*y))) * x.get(j).copied().unwrap_or(1.0)
            };
            samples.iter().zip(&labels).map(error).sum()
        };
        assert!((slope(0) + model.weights[0]).abs() < 1e-6 && (slope(1) + model.weights[1]).abs() < 1e-6);
        assert!(slope(2).abs() < 1e-6);
    }

    #[test]
    fn without_features_the_share_comes_out() {
        let model = Logistic::fit(&vec![vec![]; 4], &[true, false, false, false], 1.0).expect("rests");
        assert!((model.probability(&[]) - 0.25).abs() < 1e-9);
    }

    #[test]
    fn separable_samples_come_to_rest() {
        let samples: Vec<Vec<f64>> = (0..20).map(|i| vec![f64::from(i) - 9.5; 3]).collect();
        let labels: Vec<bool> = (0..20).map(|i| i >= 10).collect();
        let model = Logistic::fit(&samples, &labels, 1e-3).expect("rests");
        assert!(model.probability(&[9.5; 3]) > 0.99);
    }
}
