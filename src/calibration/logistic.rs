//! Maximum likelihood by Newton's method.

use super::{CalibrationLine, sigmoid, truth};

/// Logistic regression of the truth on logits; `None` where the likelihood has no single finite maximum.
pub(super) fn line(is_covid: &[bool], logits: &[f64]) -> Option<CalibrationLine> {
    let extremes = |of: bool| {
        let values = is_covid.iter().zip(logits).filter(|(covid, _)| **covid == of).map(|(_, &z)| z);
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), z| (low.min(z), high.max(z)))
    };
    let ((covid_low, covid_high), (other_low, other_high)) = (extremes(true), extremes(false));
    // The maximum exists just where the classes overlap (Albert & Anderson 1984); so it need not be seen to diverge.
    let overlap = covid_low < other_high && other_low < covid_high;
    if !overlap {
        return None;
    }
    // Around the mean, in standard deviations: the two parameters then hardly depend on each other.
    let count = logits.len() as f64;
    let mean = logits.iter().sum::<f64>() / count;
    let deviation = (logits.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / count).sqrt();
    let scaled: Vec<f64> = logits.iter().map(|z| (z - mean) / deviation).collect();
    let [intercept, slope] = newton(is_covid, &scaled)?;
    let slope = slope / deviation;
    Some(CalibrationLine { slope, intercept: intercept - slope * mean })
}

/// `[intercept, slope]`; `None` when the steps do not come to rest.
fn newton(is_covid: &[bool], x: &[f64]) -> Option<[f64; 2]> {
    const STEPS: usize = 200;
    let mut at = [0.0, 0.0];
    let mut loss = negative_log_likelihood(is_covid, x, at);
    let mut before = f64::INFINITY;
    for _ in 0..STEPS {
        let step = newton_step(is_covid, x, at)?;
        let size = step[0].abs().max(step[1].abs()) / (1.0 + at[0].abs().max(at[1].abs()));
        // Far away a whole step may overshoot; near the maximum it never does, and the loss changes by rounding alone.
        let near = size <= 1e-6;
        let mut part = 1.0;
        (at, loss) = loop {
            let next = [at[0] - part * step[0], at[1] - part * step[1]];
            let next_loss = negative_log_likelihood(is_covid, x, next);
            if near || next_loss <= loss || part < 1e-12 {
                break (next, next_loss);
            }
            part /= 2.0;
        };
        // Each step is about the square of the one before, down to rounding, which is coarser where the classes hardly
        // overlap.
        if size <= 1e-13 || (near && size >= before) {
            return Some(at);
        }
        before = size;
    }
    None
}

/// Gradient over Hessian of the negative log likelihood.
fn newton_step(is_covid: &[bool], x: &[f64], [intercept, slope]: [f64; 2]) -> Option<[f64; 2]> {
    let (mut gradient, mut hessian) = ([0.0; 2], [0.0; 3]);
    for (&covid, x) in is_covid.iter().zip(x) {
        let p = sigmoid(intercept + slope * x);
        let (error, weight) = (p - truth(covid), p * (1.0 - p));
        gradient[0] += error;
        gradient[1] += error * x;
        hessian[0] += weight;
        hessian[1] += weight * x;
        hessian[2] += weight * x * x;
    }
    let determinant = hessian[0] * hessian[2] - hessian[1] * hessian[1];
    (determinant > 0.0).then(|| {
        [
            (gradient[0] * hessian[2] - gradient[1] * hessian[1]) / determinant,
            (gradient[1] * hessian[0] - gradient[0] * hessian[1]) / determinant,
        ]
    })
}

fn negative_log_likelihood(is_covid: &[bool], x: &[f64], [intercept, slope]: [f64; 2]) -> f64 {
    is_covid.iter().zip(x).map(|(&covid, x)| loss(covid, intercept + slope * x)).sum()
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
    const STEPS: usize = 200;
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
        let step = newton_step(&is_covid, &logits, [line.intercept, line.slope]).unwrap();
        assert!(step.iter().all(|step| step.abs() < 1e-9) && line.slope > 5.0, "{line:?} {step:?}");
    }

    #[test]
    fn loss_of_certain_mistakes_is_finite() {
        assert_eq!((loss(true, -1e4), loss(true, 1e4)), (1e4, 0.0));
        assert!((loss(false, 0.0) - std::f64::consts::LN_2).abs() < 1e-15);
    }
}
