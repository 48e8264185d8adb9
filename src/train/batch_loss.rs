//! The loss of a batch, and what training adds to it: weights of slices, label smoothing, mixup.

use crate::base::errors::Result;
use crate::nn::batch_share::{BatchShare, sum_in_order};
use crate::nn::rank_sums::summed;
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

    /// The loss to train on: cross entropy with smoothed labels, each slice times its weight; of a mixed batch the share of
    /// the slice's own input for its own label, the rest for that of the slice before it. Of logits `[N, 2]` that are a `share` of
    /// a batch this is their part of its mean. Labels and weights have the rows that the input had before it was mixed.
    pub(crate) fn training(
        logits: &Tensor,
        labels: &Tensor,
        weights: Option<&Tensor>,
        mixing: Option<Mixing>,
        recipe: &Recipe,
        share: Option<BatchShare>,
    ) -> Result<Self> {
        // The mean of a whole batch; of a share each slice's loss, which it adds up below.
        let each = |labels: &Tensor, weights: Option<&Tensor>| -> Result<Tensor> {
            let smoothing = recipe.label_smoothing;
            let reduced = |by| logits.f_cross_entropy_loss::<Tensor>(labels, None, by, -100, smoothing);
            Ok(match (weights, share) {
                (None, None) => reduced(Reduction::Mean)?,
                (None, Some(_)) => reduced(Reduction::None)?,
                (Some(weights), None) => reduced(Reduction::None)?.f_mul(weights)?.f_mean(Kind::Float)?,
                (Some(weights), Some(_)) => reduced(Reduction::None)?.f_mul(weights)?,
            })
        };
        let (loss, labels) = match mixing {
            None => (each(labels, weights)?, labels.shallow_clone()),
            Some(mixing) => {
                let [own, before] = [Mixing::own, Mixing::before].map(|rows| move |of: &Tensor| rows(mixing, of));
                let (labels, others) = (own(labels)?, before(labels)?);
                let loss = each(&labels, weights.map(&own).transpose()?.as_ref())?.f_mul_scalar(mixing.share)?;
                let other = each(&others, weights.map(&before).transpose()?.as_ref())?;
                (loss.f_add(&other.f_mul_scalar(1.0 - mixing.share)?)?, labels)
            }
        };
        let Some(share) = share else { return Self::with(loss, logits, &labels) };
        // Divided before they are added up, as other ranks do it.
        let part = |losses: &Tensor| Ok(losses.f_sum(Kind::Float)?.f_div_scalar(share.of as f64)?);
        let parts = loss.f_split_with_sizes(share.rows_of_each(), 0)?;
        Self::with(sum_in_order(parts.iter().map(part).collect::<Result<_>>()?)?, logits, &labels)
    }

    /// Sums the gradients and the losses of the ranks' shares of a batch, in one all-reduce: those of the whole batch.
    pub(crate) fn summed(self, gradient: &Tensor, share: BatchShare) -> Result<(Tensor, Self)> {
        let correct = self.correct.f_to_kind(Kind::Float)?;
        let [gradient, loss, correct] = summed([gradient, &self.loss, &correct], share)?;
        Ok((gradient, Self { loss, correct: correct.f_to_kind(Kind::Int64)?, slices: share.of }))
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

/// How the slices of a batch are mixed, each with the one before it; before the first is the last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mixing {
    /// The share of each slice's own input, 0 to 1.
    pub(crate) share: f64,
    /// The rows are a rank's share of a batch, and the slice before them comes first.
    pub(crate) is_led: bool,
}

impl Mixing {
    /// The rows to learn from.
    fn own(self, rows: &Tensor) -> Result<Tensor> {
        if !self.is_led {
            return Ok(rows.shallow_clone());
        }
        Ok(rows.f_narrow(0, 1, rows.size()[0] - 1)?)
    }

    /// The row before each of them.
    fn before(self, rows: &Tensor) -> Result<Tensor> {
        if !self.is_led {
            return Ok(rows.f_roll([1_i64].as_slice(), [0_i64].as_slice())?);
        }
        Ok(rows.f_narrow(0, 0, rows.size()[0] - 1)?)
    }

    /// The mixed rows.
    pub(crate) fn mixed(self, rows: &Tensor) -> Result<Tensor> {
        let (own, before) = (self.own(rows)?, self.before(rows)?);
        Ok(own.f_mul_scalar(self.share)?.f_add(&before.f_mul_scalar(1.0 - self.share)?)?)
    }
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
        let of = |weights: Option<&Tensor>, mixed: Option<f64>, recipe: &Recipe| {
            let mixing = mixed.map(|share| Mixing { share, is_led: false });
            value(BatchLoss::training(&logits, &labels, weights, mixing, recipe, None).expect("a loss"))
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
        let rows = Mixing { share: 0.75, is_led: false }.mixed(&logits).expect("mixes");
        let rows = Vec::<f32>::try_from(rows.reshape([-1])).expect("floats");
        assert_eq!(rows, [1.5, 0.0, 0.5, 0.75, 0.0, 0.25]);
    }

    /// The parts of a batch's loss add up to it, also of one without slices; the slice before a share leads it.
    #[test]
    fn shares_of_a_batch_add_up_to_its_loss() {
        tch::manual_seed(5);
        let logits = Tensor::randn([5, 2], (Kind::Float, tch::Device::Cpu));
        let labels = Tensor::from_slice(&[0_i64, 1, 1, 0, 1]);
        let weights = Tensor::from_slice(&[0.5_f32, 2.0, 0.5, 1.0, 1.5]);
        let recipe = Recipe { label_smoothing: 0.1, ..Recipe::default() };
        for (weights, mixed) in [(None, None), (Some(&weights), None), (None, Some(0.7)), (Some(&weights), Some(0.7))] {
            let mixing = |is_led| mixed.map(|share| Mixing { share, is_led });
            let loss = |logits: &Tensor, labels: &Tensor, weights: Option<&Tensor>, share: Option<BatchShare>| {
                let mixing = mixing(share.is_some());
                let loss = BatchLoss::training(logits, labels, weights, mixing, &recipe, share).expect("a loss");
                let correct = i64::try_from(&loss.correct).expect("a number");
                (value(BatchLoss { slices: 1, ..loss }), correct)
            };
            let whole = loss(&logits, &labels, weights, None);
            let (mut sum, mut correct) = (0.0, 0);
            for own in [0..2, 2..3, 3..8] {
                let share = BatchShare::of_shares(5, own, 8, true);
                let (start, rows) = (share.start as i64, share.rows as i64);
                let lead = i64::from(mixed.is_some());
                let places: Vec<i64> = (start - lead..start + rows).map(|at| at.rem_euclid(5)).collect();
                let of = |all: &Tensor| all.index_select(0, &Tensor::from_slice(&places));
                let part = loss(&logits.narrow(0, start, rows), &of(&labels), weights.map(of).as_ref(), Some(share));
                (sum, correct) = (sum + part.0, correct + part.1);
            }
            assert!((sum - whole.0).abs() < 1e-6 && correct == whole.1, "{sum}, {correct}, not {whole:?}");
        }
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
