//! One step of a training: gradient, learning rate, AdamW, and the average of the weights.

use crate::base::errors::Result;
use crate::base::ranks::ranks;
use crate::nn::batch_share::BatchShare;
use crate::nn::learn::Precision;
use crate::nn::model::Network;
use crate::nn::optimizer::{Adam, Scaling, clip, gradient};
use crate::nn::transfer::bytes;
use crate::nn::weight_average::{self, WeightAverage};
use crate::train::batch_loss::{BatchLoss, mixed_share};
use crate::train::config::RunConfig;
use crate::train::position::Position;
use std::collections::BTreeMap;
use tch::{Kind, Tensor};

/// What changes a network's weights, and its state.
pub(crate) struct Optimization {
    run: RunConfig,
    adam: Adam,
    scaling: Scaling,
    average: Option<WeightAverage>,
    /// The gradient's longest norm, on the device.
    limit: Option<Tensor>,
    /// Steps in an epoch.
    epoch_steps: u64,
}

impl Optimization {
    /// Before the first step. `slices`: those of an epoch.
    pub(crate) fn new(run: &RunConfig, network: &Network, slices: usize) -> Result<Self> {
        let adam = Adam::new(network.learning(run.learn), run.learning_rate)?;
        let average = run.recipe.averaging.map(|decay| WeightAverage::new(network, run.learn, decay)).transpose()?;
        Self::with(run, network, slices, &Position::default(), adam, average)
    }

    /// Restores it from a checkpoint's [`state`](Self::state) and position.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub(crate) fn restore(
        run: &RunConfig,
        network: &Network,
        slices: usize,
        position: &Position,
        state: &mut BTreeMap<String, Tensor>,
    ) -> Result<Self> {
        let learning = network.learning(run.learn);
        let adam = Adam::restore(learning, run.learning_rate, position.adam_steps, state)?;
        let restored = |decay| WeightAverage::restore(network, run.learn, decay, state);
        let average = run.recipe.averaging.map(restored).transpose()?;
        Self::with(run, network, slices, position, adam, average)
    }

    fn with(
        run: &RunConfig,
        network: &Network,
        slices: usize,
        position: &Position,
        mut adam: Adam,
        average: Option<WeightAverage>,
    ) -> Result<Self> {
        adam.set_weight_decay(run.recipe.weight_decay);
        let device = network.head()[0].1.device();
        let scaling = Scaling::new(position.loss_scale, device)?;
        let epoch_steps = slices.div_ceil(run.batch_size) as u64;
        // Made once: a copy to a GPU in every step would wait for it.
        let full = |norm| Tensor::f_full([0_i64; 0], norm, (Kind::Float, device));
        let limit = run.recipe.clip_norm.map(full).transpose()?;
        Ok(Self { run: run.clone(), adam, scaling, average, limit, epoch_steps })
    }

    /// The share of each slice's own input in a step's batch; `None` without mixup.
    pub(crate) fn mixed(&self, epoch: usize, step: u64) -> Option<f64> {
        let alpha = self.run.recipe.mixup;
        (alpha > 0.0).then(|| mixed_share(alpha, self.run.seed, epoch as u64, step))
    }

    /// The learning rate at a step of an epoch, both counted from 0.
    pub(crate) fn learning_rate(&self, epoch: usize, step: u64) -> f64 {
        let (done, all) = (epoch as u64 * self.epoch_steps + step, self.run.epochs as u64 * self.epoch_steps);
        self.run.learning_rate * self.run.recipe.schedule.factor(done, self.epoch_steps, all)
    }

    /// Changes the weights by the gradient of this loss, and returns it. If it is that of a `share` of a batch, gradient and
    /// loss are summed over the ranks first.
    pub(crate) fn step(
        &mut self,
        network: &Network,
        loss: BatchLoss,
        share: Option<BatchShare>,
        (epoch, step): (usize, u64),
    ) -> Result<BatchLoss> {
        let learning = network.learning(self.run.learn);
        self.adam.set_learning_rate(self.learning_rate(epoch, step));
        let is_scaled = self.run.precision == Precision::F16;
        let to_differentiate = if is_scaled { self.scaling.scaled(&loss.loss)? } else { loss.loss.shallow_clone() };
        let gradient = gradient(&to_differentiate, learning)?;
        let (gradient, loss) = match share {
            Some(share) => loss.summed(&gradient, share)?,
            None => (gradient, loss),
        };
        if let Some(limit) = &self.limit {
            clip(&gradient, &if is_scaled { self.scaling.scaled(limit)? } else { limit.shallow_clone() })?;
        }
        match is_scaled {
            true => self.adam.step_scaled(gradient, &mut self.scaling)?,
            false => self.adam.step(gradient)?,
        }
        let done = epoch as u64 * self.epoch_steps + step + 1;
        self.average.as_mut().map_or(Ok(()), |average| average.update(network, done))?;
        Ok(loss)
    }

    /// # Errors
    /// Ranks whose weights are no longer the same bits.
    pub(crate) fn agree(&self, network: &Network) -> Result<()> {
        if ranks().is_alone() {
            return Ok(());
        }
        let tensors = network.learning(self.run.learn).iter().chain(network.buffers());
        let bytes = tensors.map(|(_, tensor)| Ok(crc32c::crc32c(&bytes(&tensor.f_detach()?)?).to_le_bytes()));
        let each = bytes.collect::<Result<Vec<_>>>()?.concat();
        ranks().agree("the weights (CRC-32C)", &format!("{:08x}", crc32c::crc32c(&each)))
    }

    /// Calls `work` while the network has the weights that are scored and kept: their average, where there is one.
    pub(crate) fn kept<T>(&self, network: &Network, work: impl FnOnce() -> Result<T>) -> Result<T> {
        match &self.average {
            Some(average) => average.used(network, work),
            None => work(),
        }
    }

    /// Copies the number of steps and the loss scale from the device into a position.
    pub(crate) fn note(&self, position: &mut Position) -> Result<()> {
        (position.adam_steps, position.loss_scale) = (self.adam.steps()?, self.scaling.loss_scale()?);
        Ok(())
    }

    /// The tensors to resume from, by name.
    pub(crate) fn state(&self, network: &Network) -> Result<Vec<(String, Tensor)>> {
        let mut named = self.adam.state(network.learning(self.run.learn))?;
        named.extend(self.average.iter().flat_map(WeightAverage::state));
        Ok(named)
    }

    /// Whether a tensor of a checkpoint belongs to [`state`](Self::state), and not to the network.
    pub(crate) fn owns(name: &str) -> bool {
        name.starts_with("adam.") || name.starts_with(weight_average::PREFIX)
    }
}
