//! Builds layers and the list of a network's parameters, from given tensors or from a seed.

use super::layer::{Layer, NormNumbers, Padding};
use crate::base::errors::{Context, Result, ensure};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// The initialisation of a layer's weights in PyTorch and torchvision.
#[derive(Debug, Clone, Copy)]
pub(super) enum Init {
    /// Uniform within ±1/√(inputs of a unit), the bias too: PyTorch's default for convolutions and linear layers.
    Uniform,
    /// Normal with standard deviation √(2 / (outputs of a unit × area)) (He et al., 2015, fan out); bias 0.
    FanOut,
    /// Normal with standard deviation √(2 / (inputs of a unit × area)); bias 0.
    FanIn,
    /// Normal with this standard deviation; bias 0.
    Normal(f32),
}

/// Collects parameters and buffers while a network is built from its first layer to its last.
pub(super) struct Builder {
    given: BTreeMap<String, Tensor>,
    /// Draws tensors that are not given; `None` when all must be given.
    rng: Option<ChaCha8Rng>,
    device: Device,
    pub(super) parameters: Vec<(String, Tensor)>,
    pub(super) buffers: Vec<(String, Tensor)>,
    /// Where earlier stages end, whose maps a head may see: the number of layers so far, and their channels.
    pub(super) stage_ends: Vec<(usize, i64)>,
}

impl Builder {
    /// All tensors are drawn; the same seed gives the same numbers on every machine and device.
    pub(super) fn drawing(seed: u64, device: Device) -> Self {
        let rng = Some(ChaCha8Rng::seed_from_u64(seed));
        Self {
            given: BTreeMap::new(),
            rng,
            device,
            parameters: Vec::new(),
            buffers: Vec::new(),
            stage_ends: Vec::new(),
        }
    }

    /// All tensors are given by name.
    pub(super) fn taking(given: BTreeMap<String, Tensor>, device: Device) -> Self {
        Self { given, rng: None, device, parameters: Vec::new(), buffers: Vec::new(), stage_ends: Vec::new() }
    }

    /// From here on, tensors that are not given are drawn: the head of a pretrained network.
    pub(super) fn draw_missing(&mut self, seed: u64) {
        self.rng = Some(ChaCha8Rng::seed_from_u64(seed));
    }

    /// The first given name that does not belong to the network.
    pub(super) fn left_over(&self) -> Option<&str> {
        self.given.keys().next().map(String::as_str)
    }

    pub(super) fn conv(
        &mut self,
        name: &str,
        shape: [i64; 4],
        (stride, padding): (i64, i64),
        init: Init,
        has_bias: bool,
    ) -> Result<Layer> {
        let weight = self.parameter(&format!("{name}.weight"), &shape, init, &shape)?;
        let bias = has_bias.then(|| self.bias(name, init, &shape)).transpose()?;
        Ok(Layer::Conv { weight, bias, stride, padding: Padding::Each(padding), groups: 1 })
    }

    /// A convolution without bias under TensorFlow's `SAME` padding; each channel by itself where `shape` has one input.
    /// Drawn as in TensorFlow's EfficientNet, where a channel by itself has one output.
    pub(super) fn same_conv(&mut self, name: &str, shape: [i64; 4], stride: i64) -> Result<Layer> {
        let (init, groups) = if shape[1] == 1 { (Init::FanIn, shape[0]) } else { (Init::FanOut, 1) };
        let weight = self.parameter(&format!("{name}.weight"), &shape, init, &shape)?;
        Ok(Layer::Conv { weight, bias: None, stride, padding: Padding::Same, groups })
    }

    pub(super) fn linear(&mut self, name: &str, shape: [i64; 2], init: Init) -> Result<Layer> {
        let weight = self.parameter(&format!("{name}.weight"), &shape, init, &shape)?;
        Ok(Layer::Linear { weight, bias: self.bias(name, init, &shape)? })
    }

    pub(super) fn batch_norm(&mut self, name: &str, channels: i64) -> Result<Layer> {
        self.batch_norm_with(name, channels, NormNumbers::PYTORCH)
    }

    pub(super) fn batch_norm_with(&mut self, name: &str, channels: i64, numbers: NormNumbers) -> Result<Layer> {
        let mut constant = |end: &str, value: f64| {
            let tensor = self.take(&format!("{name}.{end}"), &[channels], |_| {
                Ok(Tensor::f_full([channels], value, (Kind::Float, Device::Cpu))?)
            });
            tensor.map(|tensor| (format!("{name}.{end}"), tensor))
        };
        let (weight, bias) = (constant("weight", 1.0)?, constant("bias", 0.0)?);
        let (mean, variance) = (constant("running_mean", 0.0)?, constant("running_var", 1.0)?);
        let count = format!("{name}.num_batches_tracked");
        // Files from before PyTorch 0.4.1 do not count batches; nothing that is computed here depends on it. It stays
        // in main memory: on a GPU it would need 155 more kernel launches for each batch of ResNet-152.
        let batches = match self.given.remove(&count) {
            Some(batches) => batches.f_to_kind(Kind::Int64)?.f_reshape([0_i64; 0])?.f_to_device(Device::Cpu)?,
            None => Tensor::f_zeros([0_i64; 0], (Kind::Int64, Device::Cpu))?,
        };
        let layer = Layer::BatchNorm {
            weight: learning(&weight.1)?,
            bias: learning(&bias.1)?,
            mean: mean.1.shallow_clone(),
            variance: variance.1.shallow_clone(),
            batches: batches.shallow_clone(),
            numbers,
        };
        if let Layer::BatchNorm { weight: w, bias: b, .. } = &layer {
            self.parameters.extend([(weight.0, w.shallow_clone()), (bias.0, b.shallow_clone())]);
        }
        self.buffers.extend([mean, variance, (count, batches)]);
        Ok(layer)
    }

    fn bias(&mut self, name: &str, init: Init, weight: &[i64]) -> Result<Tensor> {
        self.parameter(&format!("{name}.bias"), &weight[..1], init, weight)
    }

    /// A trainable tensor. `weight` is the shape of the layer's weight, from which the standard deviation follows.
    fn parameter(&mut self, name: &str, shape: &[i64], init: Init, weight: &[i64]) -> Result<Tensor> {
        let is_bias = shape.len() == 1;
        let area: i64 = weight[2..].iter().product();
        let (fan_in, fan_out) = ((weight[1] * area) as f32, (weight[0] * area) as f32);
        let tensor = self.take(name, shape, |rng| {
            let count = shape.iter().product::<i64>() as usize;
            let values = match init {
                Init::Uniform => {
                    let bound = 1.0 / fan_in.sqrt();
                    (0..count).map(|_| rng.gen_range(-bound..bound)).collect()
                }
                _ if is_bias => vec![0.0; count],
                Init::FanOut => normal(rng, count, (2.0 / fan_out).sqrt()),
                Init::FanIn => normal(rng, count, (2.0 / fan_in).sqrt()),
                Init::Normal(standard_deviation) => normal(rng, count, standard_deviation),
            };
            Ok(Tensor::f_from_slice(&values)?.f_reshape(shape)?)
        })?;
        let tensor = learning(&tensor)?;
        self.parameters.push((name.to_owned(), tensor.shallow_clone()));
        Ok(tensor)
    }

    /// The given tensor after a check of its shape, or a drawn one.
    fn take(
        &mut self,
        name: &str,
        shape: &[i64],
        draw: impl FnOnce(&mut ChaCha8Rng) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let tensor = match (self.given.remove(name), &mut self.rng) {
            (Some(tensor), _) => tensor,
            (None, Some(rng)) => draw(rng)?,
            (None, None) => crate::base::errors::bail!("{name} is missing"),
        };
        ensure!(tensor.size() == shape, "{name} should be {shape:?}, it is {:?}", tensor.size());
        tensor
            .f_detach()?
            .f_to_kind(Kind::Float)?
            .f_to_device(self.device)
            .with_context(|| format!("moving {name} to {:?}", self.device))
    }
}

fn learning(tensor: &Tensor) -> Result<Tensor> {
    Ok(tensor.f_set_requires_grad(true)?)
}

/// Normal numbers with mean 0 (Box and Muller, 1958). A VGG19 has 140 million: they are drawn in parallel in blocks,
/// each with a separate random stream, so that the result does not depend on the number of threads.
fn normal(rng: &mut ChaCha8Rng, count: usize, standard_deviation: f32) -> Vec<f32> {
    const BLOCK: usize = 1 << 16;
    let seed = rng.r#gen::<u64>();
    let mut values = vec![0.0; count];
    values.par_chunks_mut(BLOCK).enumerate().for_each(|(block, values)| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(block as u64);
        for pair in values.chunks_mut(2) {
            // 1 - u lies in (0, 1]: its logarithm is finite.
            let (radius, angle) = (1.0 - rng.r#gen::<f32>(), std::f32::consts::TAU * rng.r#gen::<f32>());
            let length = standard_deviation * (-2.0 * radius.ln()).sqrt();
            for (value, unit) in pair.iter_mut().zip([angle.cos(), angle.sin()]) {
                *value = length * unit;
            }
        }
    });
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_are_normal_and_repeat() {
        let draw = || normal(&mut ChaCha8Rng::seed_from_u64(3), 300_001, 2.0);
        let values = draw();
        assert_eq!(values, draw());
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / values.len() as f64;
        let within = values.iter().filter(|v| v.abs() < 2.0).count() as f64 / values.len() as f64;
        assert!(mean.abs() < 0.02 && (variance - 4.0).abs() < 0.05, "mean {mean}, variance {variance}");
        assert!((within - 0.6827).abs() < 0.004, "{within} within one standard deviation");
    }
}
