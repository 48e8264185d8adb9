//! Temperature scaling of slice probabilities.

use super::logistic::{loss, root};
use super::{check, logit, sigmoid, truth};
use crate::base::errors::{Result, bail};
use serde::{Deserialize, Serialize};

const LOWEST: f64 = 0.05;
const HIGHEST: f64 = 20.0;

/// Temperature scaling (Guo 2017, *On Calibration of Modern Neural Networks*): all logits are divided by one number,
/// chosen for the least negative log likelihood on samples that were not trained on. A value above 1 makes
/// probabilities less extreme. The predicted class does not change.
///
/// ```
/// use covid_ct::{Temperature, logit};
///
/// // Always 90 % sure, but right in 3 of 4 cases only.
/// let logits = [logit(0.9); 4];
/// let temperature = Temperature::fit(&[true, true, true, false], &logits)?;
/// assert!((temperature.value - 2.0).abs() < 1e-9);
/// assert!((temperature.apply(0.9) - 0.75).abs() < 1e-9);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Temperature {
    /// What logits are divided by, 0.05 to 20; 1 when all logits are 0 and every value fits equally well.
    pub value: f64,
    /// Whether the best value lies at a bound or beyond: at 0.05 for samples that are all judged right, at 20 for
    /// logits that are no better than chance.
    pub at_bound: bool,
    /// Mean negative log likelihood (natural logarithm) as predicted.
    pub before: f64,
    /// The same after division; at most `before`.
    pub after: f64,
    /// How many samples it was fitted to.
    pub samples: usize,
}

impl Temperature {
    /// The best temperature, exact to about 1e-14 of itself. `logits[i]` is `ln(p / (1 - p))` of the probability of
    /// covid of sample `i`; from probabilities take [`logit`], which clips.
    ///
    /// # Errors
    /// Lists of different lengths, no samples, or a logit that is not finite; the message names the sample.
    pub fn fit(is_covid: &[bool], logits: &[f64]) -> Result<Self> {
        check("fitting a temperature", is_covid, logits)?;
        if let Some((index, z)) = logits.iter().enumerate().find(|(_, z)| !z.is_finite()) {
            bail!("fitting a temperature: expected finite logits, found {z} at sample {index}");
        }
        let mean_loss = |temperature: f64| {
            let losses = is_covid.iter().zip(logits).map(|(&covid, z)| loss(covid, z / temperature));
            losses.sum::<f64>() / logits.len() as f64
        };
        let (value, at_bound) = best(is_covid, logits);
        Ok(Self { value, at_bound, before: mean_loss(1.0), after: mean_loss(value), samples: logits.len() })
    }

    /// The probability of covid at this temperature, in 0..=1, of one 0 to 1, which [`logit`] clips to 1e-7 ..=
    /// 1 - 1e-7.
    pub fn apply(&self, probability: f64) -> f64 {
        sigmoid(logit(probability) / self.value)
    }
}

/// The best temperature and whether it is a bound. As a function of 1/T the negative log likelihood is convex: its
/// derivative increases, and has at most one root.
fn best(is_covid: &[bool], logits: &[f64]) -> (f64, bool) {
    let derivative = |inverse: f64| {
        is_covid.iter().zip(logits).fold((0.0, 0.0), |(sum, slope), (&covid, &z)| {
            let p = sigmoid(inverse * z);
            (sum + (p - truth(covid)) * z, slope + p * (1.0 - p) * z * z)
        })
    };
    if logits.iter().all(|&z| z == 0.0) {
        (1.0, false)
    } else if derivative(1.0 / LOWEST).0 <= 0.0 {
        (LOWEST, true)
    } else if derivative(1.0 / HIGHEST).0 >= 0.0 {
        (HIGHEST, true)
    } else {
        (1.0 / root(1.0 / HIGHEST, 1.0 / LOWEST, derivative), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_marked() -> Result<()> {
        let fit = |is_covid: &[bool], logits: &[f64]| -> Result<(f64, bool)> {
            let temperature = Temperature::fit(is_covid, logits)?;
            assert!(temperature.after <= temperature.before);
            Ok((temperature.value, temperature.at_bound))
        };
        assert_eq!(fit(&[true, false], &[3.0, -2.0])?, (LOWEST, true), "all right");
        assert_eq!(fit(&[true, false], &[1e6, -1e6])?, (LOWEST, true), "all right, without a slope left");
        assert_eq!(fit(&[true, false], &[-3.0, 2.0])?, (HIGHEST, true), "all wrong");
        assert_eq!(fit(&[true, false], &[0.0, 0.0])?, (1.0, false), "nothing said");
        assert_eq!(fit(&[true, false], &[2.0, 2.0])?, (HIGHEST, true), "no better than chance");
        Ok(())
    }

    #[test]
    fn hand_computed() -> Result<()> {
        // 4 of 5 right at logit 3: the best is 3 / ln 4.
        let temperature = Temperature::fit(&[true, true, true, true, false], &[3.0; 5])?;
        assert!((temperature.value - 3.0 / 4.0_f64.ln()).abs() < 1e-13, "{temperature:?}");
        assert!((temperature.after - (0.8 * 1.25_f64.ln() + 0.2 * 5.0_f64.ln())).abs() < 1e-14);
        assert!((temperature.before - ((-3.0_f64).exp().ln_1p() + 0.6)).abs() < 1e-14);
        assert!(!temperature.at_bound);
        Ok(())
    }

    #[test]
    fn temperature_one_changes_nothing_but_what_is_clipped() {
        let one = Temperature { value: 1.0, at_bound: false, before: 0.0, after: 0.0, samples: 1 };
        for p in [1e-7, 0.1, 0.5, 0.9] {
            assert!((one.apply(p) - p).abs() < 1e-15);
        }
        assert!((one.apply(0.0) - 1e-7).abs() < 1e-15 && (one.apply(1.0) - (1.0 - 1e-7)).abs() < 1e-15);
        let mild = Temperature { value: 20.0, ..one };
        assert!(mild.apply(0.0) < mild.apply(0.4) && mild.apply(0.4) < 0.5 && mild.apply(0.5) == 0.5);
    }

    #[test]
    fn errors_name_the_sample() {
        let message = |logits: &[f64]| Temperature::fit(&[true, false], logits).map_err(|error| error.to_string());
        let expected = "fitting a temperature: expected finite logits, found -inf at sample 1";
        assert_eq!(message(&[1.0, f64::NEG_INFINITY]), Err(expected.into()));
        assert_eq!(message(&[1.0]), Err("fitting a temperature: 2 true labels but 1 predictions".into()));
        assert!(Temperature::fit(&[], &[]).is_err());
    }
}
