//! The networks.

use crate::progress::thousands;
use crate::table::{Table, shown_as_table};
use anyhow::{Result, bail};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use tch::{Device, Kind, Tensor};

/// Which network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// The slides' fully convolutional network: four times convolution 3×3 (padding 1), ReLU and max pooling 2×2, with
    /// 64, 128, 256 and 512 channels, then a convolution 2×2 to two classes and the spatial mean.
    Fcn,
}

impl Architecture {
    /// Shapes of the convolutions' weights `[out, in, height, width]`, by name; each has a bias `[out]`.
    fn convolutions(self) -> [(&'static str, [i64; 4]); 5] {
        match self {
            Self::Fcn => [
                ("conv1", [64, 3, 3, 3]),
                ("conv2", [128, 64, 3, 3]),
                ("conv3", [256, 128, 3, 3]),
                ("conv4", [512, 256, 3, 3]),
                ("classifier", [2, 512, 2, 2]),
            ],
        }
    }

    /// The smallest side in pixels that leaves the last layer something to look at.
    pub fn smallest_size(self) -> u32 {
        match self {
            Self::Fcn => 32,
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fcn => "FCN",
        })
    }
}

/// A network with its parameters, f32.
#[derive(Debug)]
pub struct Network {
    architecture: Architecture,
    parameters: Vec<(String, Tensor)>,
}

impl Network {
    /// Fresh parameters, PyTorch's default for convolutions: uniform within ±1/√(inputs of a unit), weights and
    /// biases. The seed decides them on every machine and device alike.
    pub fn new(architecture: Architecture, seed: u64, device: Device) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut parameters = Vec::new();
        for (name, shape) in architecture.convolutions() {
            let bound = 1.0 / ((shape[1] * shape[2] * shape[3]) as f32).sqrt();
            let mut draw = |shape: &[i64]| -> Result<Tensor> {
                let count = shape.iter().product::<i64>() as usize;
                let values: Vec<f32> = (0..count).map(|_| rng.gen_range(-bound..bound)).collect();
                Ok(Tensor::f_from_slice(&values)?.f_reshape(shape)?.f_to_device(device)?)
            };
            parameters.push((format!("{name}.weight"), draw(&shape)?));
            parameters.push((format!("{name}.bias"), draw(&shape[..1])?));
        }
        Self::learning(architecture, parameters)
    }

    /// Takes parameters by name, as a checkpoint holds them.
    ///
    /// # Errors
    /// A missing or unknown name, or a wrong shape; both shapes are named.
    pub fn from_parameters(
        architecture: Architecture,
        mut named: BTreeMap<String, Tensor>,
        device: Device,
    ) -> Result<Self> {
        let mut parameters = Vec::new();
        for (name, shape) in architecture.convolutions() {
            for (name, expected) in [(format!("{name}.weight"), &shape[..]), (format!("{name}.bias"), &shape[..1])] {
                match named.remove(&name) {
                    None => bail!("parameters of {architecture}: {name} is missing"),
                    Some(tensor) if tensor.size() != expected => {
                        bail!("parameters of {architecture}: {name} should be {expected:?}, it is {:?}", tensor.size())
                    }
                    Some(tensor) => parameters.push((name, tensor.f_to_kind(Kind::Float)?.f_to_device(device)?)),
                }
            }
        }
        if let Some(name) = named.keys().next() {
            bail!("parameters of {architecture}: {name} is no part of it");
        }
        Self::learning(architecture, parameters)
    }

    fn learning(architecture: Architecture, parameters: Vec<(String, Tensor)>) -> Result<Self> {
        let learning = |(name, tensor): (String, Tensor)| Ok((name, tensor.f_detach()?.f_set_requires_grad(true)?));
        Ok(Self { architecture, parameters: parameters.into_iter().map(learning).collect::<Result<_>>()? })
    }

    /// Which network it is.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Parameters by name, in the order of the layers.
    pub fn parameters(&self) -> &[(String, Tensor)] {
        &self.parameters
    }

    /// Number of trainable parameters.
    pub fn parameter_count(&self) -> u64 {
        self.parameters.iter().map(|(_, tensor)| tensor.numel() as u64).sum()
    }

    /// Logits `[N, 2]` (covid, non-covid) of images `[N, 3, H, W]`.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor> {
        match self.architecture {
            Architecture::Fcn => self.fcn(images),
        }
    }

    fn fcn(&self, images: &Tensor) -> Result<Tensor> {
        let (last, blocks) = (self.parameters.len() - 2, &self.parameters[..self.parameters.len() - 2]);
        let mut x = images.shallow_clone();
        for block in blocks.chunks_exact(2) {
            let (weight, bias) = (&block[0].1, &block[1].1);
            // Pooling before ReLU gives the same numbers and gradients on a quarter of the values.
            x = x.f_conv2d(weight, Some(bias), [1, 1], [1, 1], [1, 1], 1)?;
            x = x.f_max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)?.f_relu_()?;
        }
        let (weight, bias) = (&self.parameters[last].1, &self.parameters[last + 1].1);
        let map = x.f_conv2d(weight, Some(bias), [1, 1], [0, 0], [1, 1], 1)?;
        Ok(map.f_mean_dim(&[2_i64, 3][..], false, Kind::Float)?)
    }

    /// One row a layer.
    pub fn table(&self) -> Table {
        let mut table = Table::new(format!("{} architecture", self.architecture), &["Parameter", "Shape", "Count"]);
        for (name, tensor) in &self.parameters {
            let shape: Vec<String> = tensor.size().iter().map(ToString::to_string).collect();
            table.row([name.clone(), shape.join("×"), thousands(tensor.numel() as u64)]);
        }
        table.note(format!("{} parameters, all trained.", thousands(self.parameter_count())))
    }
}

shown_as_table!(Network);
