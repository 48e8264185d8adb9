//! Gradients, and an Adam whose state can be saved. Written here because tch does not expose the moments of libtorch's
//! Adam, so that no checkpoint could hold them.
//!
//! All trained parameters are stored in one vector, and so are the gradient and Adam's moments: a step is one pass over
//! them. Parameter by parameter, ResNet-152's 467 parameters needed 4,000 kernel launches, and the GPU had to wait for
//! most of them.

use crate::base::errors::{Context, Result, ensure};
use crate::nn::script;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::{Device, IValue, Kind, Tensor};

/// The gradient of `loss` with respect to these parameters, concatenated: `[P]`, f32. Weights of convolutions `[out,
/// in, H, W]` come with `in` innermost, as [`Adam`] keeps them.
///
/// # Errors
/// A parameter that the loss does not depend on.
pub fn gradient(loss: &Tensor, parameters: &[(String, Tensor)]) -> Result<Tensor> {
    let inputs: Vec<&Tensor> = parameters.iter().map(|(_, parameter)| parameter).collect();
    let each = Tensor::f_run_backward(&[loss], &inputs, false, false).context("differentiating the loss")?;
    joined(&each)
}

/// Cuts a gradient whose norm is more than `limit` `[]` to that norm (as `torch.nn.utils.clip_grad_norm_`), in place, without
/// waiting for the device. A gradient that is not finite stays so.
pub fn clip(gradient: &Tensor, limit: &Tensor) -> Result<()> {
    let factor = limit.f_div(&gradient.f_norm()?.f_add_scalar(1e-6)?)?.f_clamp_max(1.0)?;
    let _ = gradient.shallow_clone().f_mul_(&factor)?;
    Ok(())
}

/// Tensors concatenated into a vector; weights of convolutions `[out, in, H, W]` with `in` innermost, as kernels read
/// them (in 16 bits on a GPU each would otherwise be transposed three times in every step).
fn joined(tensors: &[Tensor]) -> Result<Tensor> {
    let flat = |tensor: &Tensor| -> Result<Tensor> {
        let turned = if tensor.dim() == 4 { tensor.f_permute([0, 2, 3, 1])? } else { tensor.shallow_clone() };
        Ok(turned.f_reshape([-1])?)
    };
    Ok(Tensor::f_cat(&tensors.iter().map(flat).collect::<Result<Vec<_>>>()?, 0)?)
}

/// The parts of a vector that belong to these parameters, in their shapes; nothing is copied.
fn parts(vector: &Tensor, parameters: &[(String, Tensor)]) -> Result<Vec<Tensor>> {
    let sizes: Vec<i64> = parameters.iter().map(|(_, parameter)| parameter.numel() as i64).collect();
    let split = vector.f_split_with_sizes(&sizes, 0)?;
    let shaped = |(part, (_, parameter)): (&Tensor, &(String, Tensor))| -> Result<Tensor> {
        Ok(match *parameter.size() {
            [out, inputs, h, w] => part.f_view([out, h, w, inputs])?.f_permute([0, 3, 1, 2])?,
            _ => part.f_view_as(parameter)?,
        })
    };
    split.iter().zip(parameters).map(shaped).collect()
}

/// Moves the values of these parameters into one vector, of which they become views. Every parameter begins at a
/// multiple of 64 bytes in the slides' four networks (only the last has an odd size), which suits vectorised kernels.
fn gathered(parameters: &[(String, Tensor)]) -> Result<Tensor> {
    let own: Vec<Tensor> = parameters.iter().map(|(_, parameter)| parameter.f_detach()).collect::<Result<_, _>>()?;
    let vector = joined(&own)?;
    for ((_, parameter), part) in parameters.iter().zip(parts(&vector, parameters)?) {
        parameter.shallow_clone().f_set_data(&part)?;
    }
    Ok(vector)
}

/// Adam (Kingma and Ba, 2015) as `torch.optim.Adam(fused=True)` computes it: betas 0.9 and 0.999, epsilon 1e-8. With a
/// [weight decay](Self::set_weight_decay) it is `torch.optim.AdamW`.
#[derive(Debug)]
pub struct Adam {
    learning_rate: f64,
    weight_decay: f64,
    /// The concatenated parameters: `[P]`. Those of the network are views of it.
    parameters: Tensor,
    /// Their first and second moments: `[P]`.
    first: Tensor,
    second: Tensor,
    /// Steps made so far: `[]`, f32 (exact up to 16 million), on the same device as the parameters.
    steps: Tensor,
}

impl Adam {
    /// An optimizer of these parameters, with moments of zero. Their values are moved into one vector; existing handles
    /// of the tensors stay valid.
    pub fn new(parameters: &[(String, Tensor)], learning_rate: f64) -> Result<Self> {
        let vector = gathered(parameters)?;
        Self::with(vector.f_zeros_like()?, vector.f_zeros_like()?, vector, learning_rate, 0)
    }

    fn with(first: Tensor, second: Tensor, parameters: Tensor, learning_rate: f64, steps: i64) -> Result<Self> {
        let steps = number(steps as f64, Kind::Float, parameters.device())?;
        Ok(Self { learning_rate, weight_decay: 0.0, first, second, parameters, steps })
    }

    /// The learning rate of the steps from now on.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        self.learning_rate = learning_rate;
    }

    /// Decoupled weight decay (AdamW: Loshchilov and Hutter, 2019) of the steps from now on: before each, every parameter is
    /// multiplied by 1 - learning rate × `weight_decay`. 0 at first.
    pub fn set_weight_decay(&mut self, weight_decay: f64) {
        self.weight_decay = weight_decay;
    }

    /// One step with this [`gradient`], which is consumed.
    ///
    /// # Errors
    /// A gradient that is not of these parameters.
    pub fn step(&mut self, gradient: Tensor) -> Result<()> {
        script::adam("adam_step", &self.arguments(gradient)?)
    }

    /// The same with the gradient of a [scaled](Scaling::scaled) loss; the step is skipped where it overflowed. The
    /// scale is adapted, without waiting for the device.
    ///
    /// # Errors
    /// As in [`step`](Self::step).
    pub fn step_scaled(&mut self, gradient: Tensor, scaling: &mut Scaling) -> Result<()> {
        let Scaling { scale, good_steps, skipped, overflow } = scaling;
        let more = [scale, good_steps, skipped, overflow].map(|tensor| IValue::Tensor(tensor.shallow_clone()));
        let arguments: Vec<IValue> = self.arguments(gradient)?.into_iter().chain(more).collect();
        script::adam("adam_step_scaled", &arguments)
    }

    /// The arguments of every step.
    fn arguments(&self, gradient: Tensor) -> Result<Vec<IValue>> {
        ensure!(
            gradient.size() == self.first.size(),
            "Adam: expected a gradient of {:?} numbers, found {:?}",
            self.first.size(),
            gradient.size()
        );
        let [parameters, first, second, steps] =
            [&self.parameters, &self.first, &self.second, &self.steps].map(Tensor::shallow_clone);
        let lists = [parameters, gradient, first, second, steps].map(|tensor| IValue::TensorList(vec![tensor]));
        Ok(lists.into_iter().chain([self.learning_rate, self.weight_decay].map(IValue::Double)).collect())
    }

    /// Steps made so far; waits for the device.
    pub fn steps(&self) -> Result<i64> {
        Ok(f64::try_from(&self.steps)? as i64)
    }

    /// The moments by name: `adam.first.<parameter>` and `adam.second.<parameter>`.
    pub fn state(&self, parameters: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>> {
        let mut named = Vec::new();
        for (moment, vector) in [("first", &self.first), ("second", &self.second)] {
            let of = |((name, _), part): (&(String, Tensor), Tensor)| (format!("adam.{moment}.{name}"), part);
            named.extend(parameters.iter().zip(parts(vector, parameters)?).map(of));
        }
        Ok(named)
    }

    /// Restores what [`state`](Self::state) returned.
    ///
    /// # Errors
    /// A moment is missing or has another shape than its parameter.
    pub fn restore(
        parameters: &[(String, Tensor)],
        learning_rate: f64,
        steps: i64,
        state: &mut BTreeMap<String, Tensor>,
    ) -> Result<Self> {
        let mut take = |moment: &str| -> Result<Tensor> {
            let mut each = Vec::new();
            for (name, parameter) in parameters {
                let key = format!("adam.{moment}.{name}");
                let part = state.remove(&key).with_context(|| format!("the optimizer's {key} is missing"))?;
                let (found, expected) = (part.size(), parameter.size());
                ensure!(found == expected, "the optimizer's {key} is {found:?}, its parameter {expected:?}");
                each.push(part.f_to_device(parameter.device())?);
            }
            joined(&each)
        };
        let (first, second) = (take("first")?, take("second")?);
        Self::with(first, second, gathered(parameters)?, learning_rate, steps)
    }
}

/// A tensor of one number, `[]`.
fn number(value: f64, kind: Kind, device: Device) -> Result<Tensor> {
    Ok(Tensor::f_full([0_i64; 0], value, (kind, device))?)
}

/// Dynamic loss scaling (Micikevicius et al., 2018) with the numbers of PyTorch's `GradScaler`: losses are multiplied
/// by `scale` before they are differentiated, so that small gradients survive 16 bits. Gradients that overflow halve it
/// and their step is skipped; 2,000 steps without overflow double it. This is its saved form; [`Scaling`] is used in
/// training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossScale {
    /// The factor of the loss.
    pub scale: f64,
    /// Steps since it last changed.
    pub good_steps: u32,
    /// Steps skipped so far.
    pub skipped: u64,
}

impl Default for LossScale {
    fn default() -> Self {
        Self { scale: 65_536.0, good_steps: 0, skipped: 0 }
    }
}

/// A [`LossScale`] in use: tensors `[]` on the device, so that no step waits for them.
#[derive(Debug)]
pub struct Scaling {
    scale: Tensor,
    good_steps: Tensor,
    skipped: Tensor,
    /// 1 where the last gradient overflowed.
    overflow: Tensor,
}

impl Scaling {
    /// Continues from the saved form.
    pub fn new(from: LossScale, device: Device) -> Result<Self> {
        Ok(Self {
            scale: number(from.scale, Kind::Float, device)?,
            good_steps: number(f64::from(from.good_steps), Kind::Int, device)?,
            skipped: number(from.skipped as f64, Kind::Double, device)?,
            overflow: number(0.0, Kind::Float, device)?,
        })
    }

    /// The loss to differentiate.
    pub fn scaled(&self, loss: &Tensor) -> Result<Tensor> {
        Ok(loss.f_mul(&self.scale)?)
    }

    /// The saved form; waits for the device.
    pub fn loss_scale(&self) -> Result<LossScale> {
        Ok(LossScale {
            scale: f64::try_from(&self.scale)?,
            good_steps: i64::try_from(&self.good_steps)? as u32,
            skipped: f64::try_from(&self.skipped)? as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(name: &str, values: &[f32]) -> (String, Tensor) {
        (name.to_owned(), Tensor::from_slice(values).set_requires_grad(true))
    }

    fn floats(tensor: &Tensor) -> Vec<f32> {
        Vec::try_from(tensor.detach().reshape([-1])).expect("floats")
    }

    #[test]
    fn gradients_lie_one_after_the_other_and_a_parameter_without_one_is_an_error() {
        let parameters = [parameter("a", &[2.0, 3.0]), parameter("b", &[5.0])];
        let loss = parameters[0].1.square().sum(Kind::Float) * &parameters[1].1.sum(Kind::Float);
        assert_eq!(floats(&gradient(&loss, &parameters).expect("a gradient")), [20.0, 30.0, 13.0]);
        let loss = parameters[0].1.sum(Kind::Float);
        assert!(gradient(&loss, &parameters).is_err());
    }

    /// The first step of Adam is the learning rate, whatever the gradient; it goes to the parameter that it belongs to.
    #[test]
    fn a_step_changes_the_parameters_where_they_are_held_and_the_state_comes_back() {
        let parameters = [parameter("a", &[2.0, 3.0]), parameter("b", &[5.0])];
        let held = parameters[1].1.shallow_clone();
        let mut adam = Adam::new(&parameters, 0.5).expect("an optimizer");
        adam.step(Tensor::from_slice(&[4.0_f32, -4.0, 8.0])).expect("steps");
        assert_eq!((floats(&parameters[0].1), floats(&held)), (vec![1.5, 3.5], vec![4.5]));
        let wrong = adam.step(Tensor::from_slice(&[1.0_f32])).expect_err("is refused").to_string();
        assert!(wrong.contains("expected a gradient of [3] numbers, found [1]"), "{wrong}");
        let state = adam.state(&parameters).expect("a state");
        let names: Vec<&str> = state.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["adam.first.a", "adam.first.b", "adam.second.a", "adam.second.b"]);
        let mut state: BTreeMap<String, Tensor> = state.into_iter().collect();
        let back = Adam::restore(&parameters, 0.5, 1, &mut state).expect("restores");
        assert_eq!((floats(&back.first), floats(&back.second)), (floats(&adam.first), floats(&adam.second)));
        let error = Adam::restore(&parameters, 0.5, 1, &mut state).expect_err("nothing is left").to_string();
        assert!(error.contains("adam.first.a is missing"), "{error}");
    }

    #[test]
    fn weight_decay_is_decoupled_and_long_gradients_are_cut() {
        let parameters = [parameter("a", &[2.0, 3.0])];
        let mut adam = Adam::new(&parameters, 0.5).expect("an optimizer");
        adam.set_weight_decay(0.1);
        adam.set_learning_rate(0.25);
        adam.step(Tensor::from_slice(&[4.0_f32, 4.0])).expect("steps");
        let expected = [2.0 * (1.0 - 0.025) - 0.25, 3.0 * (1.0 - 0.025) - 0.25];
        assert!(floats(&parameters[0].1).iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6));
        for (given, norm, cut) in [([3.0_f32, 4.0], 2.5_f32, [1.5, 2.0]), ([0.3, 0.4], 2.5, [0.3, 0.4])] {
            let gradient = Tensor::from_slice(&given);
            clip(&gradient, &Tensor::from(norm)).expect("cuts");
            assert!(floats(&gradient).iter().zip(cut).all(|(a, b)| (a - b).abs() < 1e-5), "{:?}", floats(&gradient));
        }
    }

    #[test]
    fn gradients_are_divided_by_the_scale_and_overflow_skips_a_step() {
        let parameters = [parameter("a", &[2.0, 3.0])];
        let mut adam = Adam::new(&parameters, 0.5).expect("an optimizer");
        let mut scaling = Scaling::new(LossScale::default(), Device::Cpu).expect("a scale");
        let loss = floats(&scaling.scaled(&Tensor::from(2.0_f32)).expect("scales"));
        assert_eq!(loss, [131_072.0]);
        adam.step_scaled(Tensor::from_slice(&[65_536.0_f32, -131_072.0]), &mut scaling).expect("steps");
        let first = |adam: &Adam| floats(&adam.first);
        assert_eq!((floats(&parameters[0].1), first(&adam)), (vec![1.5, 3.5], vec![0.1, -0.2]));
        let written = |scaling: &Scaling| scaling.loss_scale().expect("reads");
        assert_eq!(written(&scaling), LossScale { scale: 65_536.0, good_steps: 1, skipped: 0 });
        for bad in [f32::INFINITY, f32::NAN] {
            adam.step_scaled(Tensor::from_slice(&[1.0, bad]), &mut scaling).expect("skips");
        }
        assert_eq!((floats(&parameters[0].1), first(&adam)), (vec![1.5, 3.5], vec![0.1, -0.2]));
        assert_eq!(adam.steps().expect("reads"), 1);
        assert_eq!(written(&scaling), LossScale { scale: 16_384.0, good_steps: 0, skipped: 2 });
        let nearly = LossScale { good_steps: 1_999, ..written(&scaling) };
        let mut scaling = Scaling::new(nearly, Device::Cpu).expect("goes on");
        adam.step_scaled(Tensor::from_slice(&[1.0_f32, 1.0]), &mut scaling).expect("steps");
        assert_eq!(written(&scaling), LossScale { scale: 32_768.0, good_steps: 0, skipped: 2 });
        assert_eq!(adam.steps().expect("reads"), 2);
    }
}
