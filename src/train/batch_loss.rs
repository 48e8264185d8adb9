//! The loss of a batch, and what training adds to it: weights of slices, label smoothing, mixup.

use crate::base::errors::Result;
use crate::train::epoch::Sums;
use crate::train::recipe::Recipe;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Reduction, Tensor};

/// Mean loss and number of correct decisions of a batch, on the device.
pub(crate) struct BatchLoss {
    pub(crate) loss: Tensor,
    correct: Tensor,
    slices: usize,
}

impl BatchLoss {
    /// The mean cross entropy of logits `[N, 2]` for class indices `[N]`.
    pub(crate) fn plain(logits: &Tensor, labels: &Tensor) -> Result<Self> {
        let loss = logits.f_cross_entropy_loss::<Tensor>(labels, None, Reduction::Mean, -100, 0.0)?;
        Self::with(loss, logits, labels)
    }

    /// The loss to train on: cross entropy with smoothed labels, each slice times its weight `[N]`; of a mixed batch the
    /// share `mixed` for the slice's own label, the rest for that of the slice before it.
    pub(crate) fn training(
        logits: &Tensor,
        labels: &Tensor,
        weights: Option<&Tensor>,
        mixed: Option<f64>,
        recipe: &Recipe,
    ) -> Result<Self> {
        let each = |labels: &Tensor, weights: Option<&Tensor>| -> Result<Tensor> {
            let smoothing = recipe.label_smoothing;
            let Some(weights) = weights else {
                return Ok(logits.f_cross_entropy_loss::<Tensor>(labels, None, Reduction::Mean, -100, smoothing)?);
            };
            let each = logits.f_cross_entropy_loss::<Tensor>(labels, None, Reduction::None, -100, smoothing)?;
            Ok(each.f_mul(weights)?.f_mean(Kind::Float)?)
        };
        let loss = match mixed {
            None => each(labels, weights)?,
            Some(share) => {
                let other = weights.map(before).transpose()?;
                let own = each(labels, weights)?.f_mul_scalar(share)?;
                own.f_add(&each(&before(labels)?, other.as_ref())?.f_mul_scalar(1.0 - share)?)?
            }
        };
        Self::with(loss, logits, labels)
    }

    fn with(loss: Tensor, logits: &Tensor, labels: &Tensor) -> Result<Self> {
        let correct = logits.f_argmax(1, false)?.f_eq_tensor(labels)?.f_sum(Kind::Int64)?;
        Ok(Self { loss, correct, slices: labels.size1()? as usize })
    }

    /// The batch's sums; waits for the device.
    pub(crate) fn sums(&self) -> Result<Sums> {
        let (loss, correct) = (f64::try_from(&self.loss)?, i64::try_from(&self.correct)?);
        Ok(Sums::of_batch(loss, correct as u64, self.slices))
    }
}

/// Each row's predecessor in the batch; the first row's is the last one.
fn before(rows: &Tensor) -> Result<Tensor> {
    Ok(rows.f_roll([1_i64].as_slice(), [0_i64].as_slice())?)
}

/// Rows of a batch mixed with their predecessors: `share` of each row.
pub(crate) fn mixed_rows(rows: &Tensor, share: f64) -> Result<Tensor> {
    Ok(rows.f_mul_scalar(share)?.f_add(&before(rows)?.f_mul_scalar(1.0 - share)?)?)
}

/// The share from Beta(alpha, alpha), 0 to 1, of one step of a run: the same after a resume. Jöhnk's method (1964), which
/// suits 0 < alpha <= 1.
pub(crate) fn mixed_share(alpha: f64, seed: u64, epoch: u64, step: u64) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Streams of the sampler are numbered by epoch alone.
    rng.set_stream((1 << 63) | (epoch << 32) | step);
    loop {
        let [x, y] = [(); 2].map(|()| rng.r#gen::<f64>().powf(1.0 / alpha));
        if x + y <= 1.0 && x + y > 0.0 {
            return x / (x + y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(loss: BatchLoss) -> f64 {
        loss.sums().expect("sums").batch_loss
    }

    #[test]
    fn losses_by_hand() {
        let logits = Tensor::from_slice(&[2.0_f32, 0.0, 0.0, 1.0, 0.0, 0.0]).reshape([3, 2]);
        let labels = Tensor::from_slice(&[0_i64, 0, 1]);
        let softplus = |z: f64| z.exp().ln_1p();
        let each = [softplus(-2.0), softplus(1.0), softplus(0.0)];
        let plain = Recipe::default();
        let of = |weights: Option<&Tensor>, mixed, recipe: &Recipe| {
            value(BatchLoss::training(&logits, &labels, weights, mixed, recipe).expect("a loss"))
        };
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
        let mean = each.iter().sum::<f64>() / 3.0;
        near(value(BatchLoss::plain(&logits, &labels).expect("a loss")), mean);
        near(of(None, None, &plain), mean);
        let weights = Tensor::from_slice(&[0.5_f32, 2.0, 0.5]);
        near(of(Some(&weights), None, &plain), (0.5 * each[0] + 2.0 * each[1] + 0.5 * each[2]) / 3.0);
        // With a smoothing of 0.2 a tenth of the truth is the other label, which costs the logit's difference more.
        let smooth = Recipe { label_smoothing: 0.2, ..plain.clone() };
        near(of(None, None, &smooth), mean + 0.1 * (2.0 - 1.0 + 0.0) / 3.0);
        // The label before: 1, 0, 0 for the slices in turn.
        let other = (softplus(2.0) + softplus(1.0) + softplus(0.0)) / 3.0;
        near(of(None, Some(0.75), &plain), 0.75 * mean + 0.25 * other);
        let rows = mixed_rows(&logits, 0.75).expect("mixes");
        let rows = Vec::<f32>::try_from(rows.reshape([-1])).expect("floats");
        assert_eq!(rows, [1.5, 0.0, 0.5, 0.75, 0.0, 0.25]);
    }

    #[test]
    fn shares_follow_the_beta_distribution_and_repeat() {
        let draw = |alpha| (0..4_000).map(|step| mixed_share(alpha, 3, 1, step)).collect::<Vec<f64>>();
        for alpha in [0.2, 0.5, 1.0] {
            let shares = draw(alpha);
            assert_eq!(shares, draw(alpha));
            let mean = shares.iter().sum::<f64>() / 4_000.0;
            let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / 4_000.0;
            let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            assert!((mean - 0.5).abs() < 0.03 && (variance - expected).abs() < 0.01, "{alpha}: {mean}, {variance}");
        }
        assert_ne!(mixed_share(0.5, 3, 1, 0), mixed_share(0.5, 3, 2, 0));
    }
}
