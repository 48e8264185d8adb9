//! The exponential average of a network's weights.

use crate::base::errors::{Context, Result, ensure};
use crate::nn::learn::Learn;
use crate::nn::model::Network;
use std::collections::BTreeMap;
use tch::{Kind, Tensor};

/// The prefix of its tensors in a checkpoint.
pub(crate) const PREFIX: &str = "average.";

/// The exponential average of the weights of a network, and of its running statistics (Polyak averaging with decay, as
/// timm's `ModelEmaV2`): after each step `average = decay * average + (1 - decay) * weights`.
#[derive(Debug)]
pub(crate) struct WeightAverage {
    decay: f64,
    /// What is averaged: a frozen backbone does not change.
    learn: Learn,
    /// By name, in the order of parameters and buffers that are not counts.
    named: Vec<(String, Tensor)>,
}

impl WeightAverage {
    /// Begins with the weights as they are.
    pub(crate) fn new(network: &Network, learn: Learn, decay: f64) -> Result<Self> {
        let copied = averaged(network, learn).map(|(name, tensor)| Ok((name.clone(), tensor.f_detach_copy()?)));
        Ok(Self { decay, learn, named: copied.collect::<Result<_>>()? })
    }

    /// Restores what [`state`](Self::state) returned.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub(crate) fn restore(
        network: &Network,
        learn: Learn,
        decay: f64,
        state: &mut BTreeMap<String, Tensor>,
    ) -> Result<Self> {
        let take = |(name, tensor): &(String, Tensor)| {
            let key = format!("{PREFIX}{name}");
            let average = state.remove(&key).with_context(|| format!("the averaged {key} is missing"))?;
            let (found, expected) = (average.size(), tensor.size());
            ensure!(found == expected, "the averaged {key} is {found:?}, its weight {expected:?}");
            Ok((name.clone(), average.f_to_device(tensor.device())?))
        };
        Ok(Self { decay, learn, named: averaged(network, learn).map(take).collect::<Result<_>>()? })
    }

    /// Takes in the weights after step number `steps`, counted from 1.
    pub(crate) fn update(&mut self, network: &Network, steps: u64) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let decay = self.decay.min((1.0 + steps as f64) / (10.0 + steps as f64));
        for ((_, average), (_, tensor)) in self.named.iter_mut().zip(averaged(network, self.learn)) {
            let _ = average.f_lerp_(tensor, 1.0 - decay)?;
        }
        Ok(())
    }

    /// Calls `work` while the network has the averaged weights.
    pub(crate) fn used<T>(&self, network: &Network, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let _guard = tch::no_grad_guard();
        let own: Vec<Tensor> =
            averaged(network, self.learn).map(|(_, tensor)| tensor.f_detach_copy()).collect::<Result<_, _>>()?;
        let put = |from: &mut dyn Iterator<Item = &Tensor>| -> Result<()> {
            averaged(network, self.learn).zip(from).try_for_each(|((_, tensor), from)| {
                tensor.shallow_clone().f_copy_(from)?;
                Ok(())
            })
        };
        put(&mut self.named.iter().map(|(_, average)| average))?;
        let result = work();
        put(&mut own.iter())?;
        result
    }

    /// The averages by name, `average.<name>`.
    pub(crate) fn state(&self) -> Vec<(String, Tensor)> {
        self.named.iter().map(|(name, tensor)| (format!("{PREFIX}{name}"), tensor.shallow_clone())).collect()
    }
}

/// The parameters that are trained and, of a whole network, its running statistics; counts of batches are not averaged.
fn averaged(network: &Network, learn: Learn) -> impl Iterator<Item = &(String, Tensor)> {
    let buffers = if learn == Learn::Whole { network.buffers() } else { &[] };
    network.learning(learn).iter().chain(buffers).filter(|(_, tensor)| tensor.kind() == Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::model::Architecture;
    use tch::Device;

    #[test]
    fn averages_by_hand_and_the_weights_come_back() {
        let network = Network::new(Architecture::Fcn, 1, Device::Cpu).expect("a network");
        let bias = || network.head()[1].1.detach_copy();
        let first = bias();
        let mut average = WeightAverage::new(&network, Learn::Whole, 0.9).expect("begins");
        let add = || drop(tch::no_grad(|| network.head()[1].1.shallow_clone().f_add_scalar_(1.0)).expect("adds"));
        add();
        // In the first step the decay is 2 / 11.
        average.update(&network, 1).expect("updates");
        let expected = &first + 9.0 / 11.0;
        let seen = average.used(&network, || Ok(bias())).expect("used");
        assert!((seen - &expected).abs().max().double_value(&[]) < 1e-6);
        assert!(bias().equal(&(&first + 1.0)), "the weights are back");
        add();
        average.update(&network, 1_000).expect("updates");
        let expected = expected * 0.9 + (&first + 2.0) * 0.1;
        let mut state: BTreeMap<String, Tensor> = average.state().into_iter().collect();
        let restored = WeightAverage::restore(&network, Learn::Whole, 0.9, &mut state).expect("restores");
        let seen = restored.used(&network, || Ok(bias())).expect("used");
        assert!((seen - expected).abs().max().double_value(&[]) < 1e-6);
        let error =
            WeightAverage::restore(&network, Learn::Whole, 0.9, &mut state).expect_err("nothing is left").to_string();
        assert!(error.starts_with("the averaged average.conv1.weight is missing"), "{error}");
    }
}
