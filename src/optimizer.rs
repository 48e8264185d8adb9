//! Adam whose state can be written down: libtorch's own keeps its moments where no checkpoint reaches them.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::Tensor;

/// Adam (Kingma and Ba, 2015) as `torch.optim.Adam` computes it: betas 0.9 and 0.999, epsilon 1e-8, no weight decay.
#[derive(Debug)]
pub struct Adam {
    learning_rate: f64,
    step: i64,
    /// First and second moment of each parameter, in the network's order.
    moments: Vec<(Tensor, Tensor)>,
}

const BETAS: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;

impl Adam {
    /// Moments of zero for these parameters.
    pub fn new(parameters: &[(String, Tensor)], learning_rate: f64) -> Result<Self> {
        let zeros = |(_, tensor): &(String, Tensor)| -> Result<(Tensor, Tensor)> {
            let tensor = tensor.f_detach()?;
            Ok((tensor.f_zeros_like()?, tensor.f_zeros_like()?))
        };
        Ok(Self { learning_rate, step: 0, moments: parameters.iter().map(zeros).collect::<Result<_>>()? })
    }

    /// One step along the gradients that `backward` left; clears them.
    pub fn step(&mut self, parameters: &[(String, Tensor)]) -> Result<()> {
        let _guard = tch::no_grad_guard();
        self.step += 1;
        let correction = |beta: f64| 1.0 - beta.powi(self.step as i32);
        let step_size = self.learning_rate / correction(BETAS.0);
        let root_correction = correction(BETAS.1).sqrt();
        for ((name, parameter), (first, second)) in parameters.iter().zip(&mut self.moments) {
            let mut gradient = parameter.grad();
            if !gradient.defined() {
                continue;
            }
            let doing = || format!("updating {name}");
            let _ = first.f_lerp_(&gradient, 1.0 - BETAS.0).with_context(doing)?;
            let square = gradient.f_square()?;
            let _ = second.f_lerp_(&square, 1.0 - BETAS.1).with_context(doing)?;
            let scale = second.f_sqrt()?.f_div_scalar(root_correction)?.f_add_scalar(EPSILON)?;
            let change = first.f_div(&scale)?.f_mul_scalar(step_size)?;
            let _ = parameter.shallow_clone().f_sub_(&change).with_context(doing)?;
            let _ = gradient.f_zero_()?;
        }
        Ok(())
    }

    /// Steps made so far.
    pub fn steps(&self) -> i64 {
        self.step
    }

    /// The moments by name: `adam.first.<parameter>` and `adam.second.<parameter>`.
    pub fn state(&self, parameters: &[(String, Tensor)]) -> Vec<(String, Tensor)> {
        let named = parameters.iter().zip(&self.moments).flat_map(|((name, _), (first, second))| {
            [
                (format!("adam.first.{name}"), first.shallow_clone()),
                (format!("adam.second.{name}"), second.shallow_clone()),
            ]
        });
        named.collect()
    }

    /// Takes back what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// A moment is missing or has another shape than its parameter.
    pub fn restore(
        parameters: &[(String, Tensor)],
        learning_rate: f64,
        step: i64,
        state: &mut BTreeMap<String, Tensor>,
    ) -> Result<Self> {
        let mut moments = Vec::new();
        for (name, parameter) in parameters {
            let mut take = |key: String| -> Result<Tensor> {
                let moment = state.remove(&key).with_context(|| format!("the optimizer's {key} is missing"))?;
                anyhow::ensure!(
                    moment.size() == parameter.size(),
                    "the optimizer's {key} is {:?}, its parameter {:?}",
                    moment.size(),
                    parameter.size()
                );
                Ok(moment.f_to_device(parameter.device())?)
            };
            moments.push((take(format!("adam.first.{name}"))?, take(format!("adam.second.{name}"))?));
        }
        Ok(Self { learning_rate, step, moments })
    }
}

/// Dynamic loss scaling (Micikevicius et al., 2018) with the numbers of PyTorch's `GradScaler`: losses are multiplied by
/// `scale` before they are differentiated, so that small gradients survive 16 bits. Gradients that overflow halve it and
/// their step is skipped; 2,000 good steps double it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossScale {
    /// What losses are multiplied by.
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

impl LossScale {
    /// Divides the gradients by the scale; whether they can be used. If not, they are cleared and the scale is halved.
    pub fn unscale(&mut self, parameters: &[(String, Tensor)]) -> Result<bool> {
        let _guard = tch::no_grad_guard();
        let mut finite: Option<Tensor> = None;
        let gradients: Vec<Tensor> = parameters.iter().map(|(_, p)| p.grad()).filter(Tensor::defined).collect();
        for gradient in &gradients {
            let usable = gradient.shallow_clone().f_mul_scalar_(1.0 / self.scale)?.f_isfinite()?.f_all()?;
            finite = Some(match finite {
                Some(before) => before.f_logical_and(&usable)?,
                None => usable,
            });
        }
        let finite = finite.is_none_or(|finite| finite.int64_value(&[]) != 0);
        if finite {
            self.good_steps += 1;
            if self.good_steps == 2_000 {
                (self.scale, self.good_steps) = (2.0 * self.scale, 0);
            }
        } else {
            for gradient in gradients {
                let _ = gradient.shallow_clone().f_zero_()?;
            }
            (self.scale, self.good_steps, self.skipped) = (0.5 * self.scale, 0, self.skipped + 1);
        }
        Ok(finite)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// A parameter whose gradient is `gradient`.
    fn with_gradient(gradient: &[f32]) -> Vec<(String, Tensor)> {
        let parameter = Tensor::zeros([gradient.len() as i64], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        (&parameter * Tensor::from_slice(gradient)).sum(Kind::Float).backward();
        vec![("p".to_owned(), parameter)]
    }

    #[test]
    fn gradients_are_divided_by_the_scale_and_overflow_skips_a_step() {
        let mut scale = LossScale::default();
        let parameters = with_gradient(&[65_536.0, 131_072.0]);
        assert!(scale.unscale(&parameters).expect("works"));
        assert_eq!(Vec::<f32>::try_from(parameters[0].1.grad()).expect("floats"), [1.0, 2.0]);
        assert_eq!(scale, LossScale { scale: 65_536.0, good_steps: 1, skipped: 0 });
        for bad in [f32::INFINITY, f32::NAN] {
            let parameters = with_gradient(&[1.0, bad]);
            assert!(!scale.unscale(&parameters).expect("works"));
            assert_eq!(Vec::<f32>::try_from(parameters[0].1.grad()).expect("floats"), [0.0, 0.0]);
        }
        assert_eq!(scale, LossScale { scale: 16_384.0, good_steps: 0, skipped: 2 });
        scale.good_steps = 1_999;
        assert!(scale.unscale(&with_gradient(&[1.0])).expect("works"));
        assert_eq!(scale, LossScale { scale: 32_768.0, good_steps: 0, skipped: 2 });
    }
}
