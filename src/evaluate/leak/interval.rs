//! Mean over repetitions, and its confidence interval.

/// The mean; `None` without values.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The 95 % confidence interval of the mean by Student's t; `None` with fewer than two values. `shared` is 0 for
/// independent values, and the ratio of test to training samples for repeated splits of the same samples (Nadeau and
/// Bengio 2003).
pub(super) fn of_mean(values: &[f64], shared: f64) -> Option<(f64, f64)> {
    let freedom = values.len().checked_sub(1).filter(|&freedom| freedom > 0)?;
    let mean = mean(values)?;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / freedom as f64;
    let error = student(freedom) * (variance * (1.0 / values.len() as f64 + shared)).sqrt();
    Some((mean - error, mean + error))
}

/// The 97.5th percentile of Student's t with `freedom` degrees of freedom, by bisection: for integer degrees the
/// probability is a finite sum (Abramowitz and Stegun 26.7.3 and 26.7.4).
fn student(freedom: usize) -> f64 {
    let (mut low, mut high) = (0.0_f64, 20.0_f64);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if within(middle, freedom) < 0.95 { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// The probability that |T| is below `t`.
fn within(t: f64, freedom: usize) -> f64 {
    let angle = (t / (freedom as f64).sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    let odd = freedom % 2 == 1;
    let mut power = if odd { cosine } else { 1.0 };
    let (mut factor, mut sum) = (1.0, 0.0);
    for k in (if odd { 3 } else { 2 }..=freedom).step_by(2) {
        sum += factor * power;
        factor *= (k - 1) as f64 / k as f64;
        power *= cosine * cosine;
    }
    if odd { (angle + sine * sum) * 2.0 / std::f64::consts::PI } else { sine * sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_tables() {
        // scipy.stats.t.ppf(0.975, [1, 2, 3, 4, 9, 29, 99])
        for (freedom, expected) in [
            (1, 12.706_204_736),
            (2, 4.302_652_730),
            (3, 3.182_446_305),
            (4, 2.776_445_105),
            (9, 2.262_157_163),
            (29, 2.045_229_642),
            (99, 1.984_216_952),
        ] {
            let found = student(freedom);
            assert!((found - expected).abs() < 1e-8, "{freedom}: {found}");
        }
    }

    #[test]
    fn intervals_by_hand() {
        assert_eq!((of_mean(&[], 0.0), of_mean(&[0.5], 0.0), mean(&[])), (None, None, None));
        // Standard deviation √2 / 10, standard error of the mean 0.1.
        let (low, high) = of_mean(&[0.4, 0.6], 0.0).expect("two values");
        assert!((low - (0.5 - 1.270_620_473_6)).abs() < 1e-9 && (low + high - 1.0).abs() < 1e-12);
        // 1/2 + 1/4 instead of 1/2.
        let (wide, _) = of_mean(&[0.4, 0.6], 0.25).expect("two values");
        assert!(((0.5 - wide) / (0.5 - low) - 1.5_f64.sqrt()).abs() < 1e-9);
    }
}
