//! Networks with their parameters.

use super::build::{Builder, Init};
use super::custom::{self, CustomModule};
use super::describe::{LiteScale, ResidualBlock};
use super::layer::{Layer, Mode};
use super::{Architecture, describe};
use crate::base::errors::{Context, Result, ensure};
use crate::base::files::Digest;
use crate::base::progress::thousands;
use crate::base::table::{Table, shown_as_table};
use crate::nn::learn::{Learn, Precision};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// The number of classes: covid and non-covid.
pub(super) const CLASSES: i64 = 2;

/// A network: layers, trainable parameters and the running statistics of batch norm, all f32.
#[derive(Debug)]
pub struct Network {
    pub(super) architecture: Architecture,
    pub(super) layers: Vec<Layer>,
    /// Where the head begins in `layers`.
    pub(super) head: usize,
    /// Number of layers of the architecture before these: 0, except for a separate head.
    pub(super) before: usize,
    /// Where earlier stages end that the head sees: layers before, and channels. Empty for all but such heads.
    pub(super) stages: Vec<(usize, i64)>,
    parameters: Vec<(String, Tensor)>,
    buffers: Vec<(String, Tensor)>,
    classes: i64,
    /// A network of the user's has this in the place of layers.
    pub(super) custom: Option<CustomModule>,
}

impl Network {
    /// New parameters with the initialisation of PyTorch and torchvision. The same seed gives the same parameters on
    /// every machine and device.
    /// Those of a network of the user's are drawn by its own code.
    ///
    /// # Errors
    /// A network of the user's that is not registered, or whose code fails.
    pub fn new(architecture: Architecture, seed: u64, device: Device) -> Result<Self> {
        if let Architecture::Custom(name) = architecture {
            return custom::drawn(name, seed, device);
        }
        Self::drawn(architecture, false, seed, device)
    }

    /// The same with a head that also sees earlier `stages`.
    pub(crate) fn drawn(architecture: Architecture, stages: bool, seed: u64, device: Device) -> Result<Self> {
        if architecture.is_custom() {
            return Self::new(architecture, seed, device);
        }
        let mut builder = Builder::drawing(seed, device);
        let layers = backbone(architecture, &mut builder)?;
        Self::with_head(architecture, builder, layers, CLASSES, stages)
    }

    /// A network with parameters and running statistics by name, as in a checkpoint or a torchvision file. The number
    /// of classes, and whether the head sees earlier stages, follow from the head.
    ///
    /// # Errors
    /// A missing or unknown name, or a wrong shape; both shapes are named. A network of the user's that is not registered.
    pub fn from_tensors(architecture: Architecture, named: BTreeMap<String, Tensor>, device: Device) -> Result<Self> {
        if let Architecture::Custom(name) = architecture {
            return custom::taken(name, named, device);
        }
        let head = format!("{}.weight", architecture.head());
        let classes = named.get(&head).and_then(|weight| weight.size().first().copied()).unwrap_or(CLASSES);
        let width = named.get(&head).and_then(|weight| weight.size().get(1).copied());
        let stages = architecture.has_stages() && width != architecture.head_inputs();
        let mut builder = Builder::taking(named, device);
        let built = backbone(architecture, &mut builder);
        built
            .and_then(|layers| Self::with_head(architecture, builder, layers, classes, stages))
            .with_context(|| format!("taking the parameters of {architecture}"))
    }

    /// A pretrained backbone with a new head of two classes; a given head is ignored.
    ///
    /// # Errors
    /// As in [`from_tensors`](Self::from_tensors).
    pub fn pretrained(
        architecture: Architecture,
        named: BTreeMap<String, Tensor>,
        seed: u64,
        device: Device,
    ) -> Result<Self> {
        Self::pretrained_with(architecture, named, false, seed, device)
    }

    /// The same with a head that also sees earlier `stages`.
    pub(crate) fn pretrained_with(
        architecture: Architecture,
        mut named: BTreeMap<String, Tensor>,
        stages: bool,
        seed: u64,
        device: Device,
    ) -> Result<Self> {
        ensure!(architecture.has_backbone(), "{architecture} has no pretrained backbone");
        for end in ["weight", "bias"] {
            named.remove(&format!("{}.{end}", architecture.head()));
        }
        let mut builder = Builder::taking(named, device);
        let doing = || format!("taking the backbone of {architecture}");
        let layers = backbone(architecture, &mut builder).with_context(doing)?;
        builder.draw_missing(seed);
        Self::with_head(architecture, builder, layers, CLASSES, stages).with_context(doing)
    }

    fn with_head(
        architecture: Architecture,
        mut builder: Builder,
        mut layers: Vec<Layer>,
        classes: i64,
        stages: bool,
    ) -> Result<Self> {
        let stages = if stages { std::mem::take(&mut builder.stage_ends) } else { Vec::new() };
        let more: i64 = stages.iter().map(|(_, channels)| channels).sum();
        let (head, b) = (layers.len(), &mut builder);
        layers.extend(match architecture.head_inputs().map(|inputs| inputs + more) {
            Some(inputs) => vec![b.linear(architecture.head(), [classes, inputs], Init::Uniform)?],
            None => describe::fcn_head(b, architecture.head(), classes)?,
        });
        if let Some(name) = builder.left_over() {
            crate::base::errors::bail!("{name} is no part of {architecture}");
        }
        let Builder { parameters, buffers, .. } = builder;
        Ok(Self { architecture, layers, head, before: 0, stages, parameters, buffers, classes, custom: None })
    }

    /// A network of the user's with its variables.
    pub(super) fn of_module(
        architecture: Architecture,
        module: CustomModule,
        parameters: Vec<(String, Tensor)>,
        buffers: Vec<(String, Tensor)>,
    ) -> Self {
        let (layers, custom, classes) = (Vec::new(), Some(module), CLASSES);
        let stages = Vec::new();
        Self { architecture, layers, head: 0, before: 0, stages, parameters, buffers, classes, custom }
    }

    /// The architecture.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Trainable parameters by name, in the order of the layers; the head's are the last two.
    pub fn parameters(&self) -> &[(String, Tensor)] {
        &self.parameters
    }

    /// The head's weight and bias; of a network of the user's the last two parameters.
    pub fn head(&self) -> &[(String, Tensor)] {
        &self.parameters[self.parameters.len().saturating_sub(2)..]
    }

    /// A copy of the head as a separate network, for stored features that end before it or before the dropout in front of
    /// it; `None` when they end at an earlier layer, or when the head has more than one layer.
    pub(crate) fn head_alone(&self) -> Result<Option<Self>> {
        let [Layer::Linear { .. }] = &self.layers[self.head..] else { return Ok(None) };
        let before = self.frozen_until();
        let dropout = |layer: &Layer| match layer {
            Layer::Dropout { rate } => Some(Layer::Dropout { rate: *rate }),
            _ => None,
        };
        let Some(mut layers) = self.layers[before..self.head].iter().map(dropout).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let named = self.head().iter().map(|(name, tensor)| Ok((name.clone(), tensor.f_detach_copy()?)));
        let mut builder = Builder::taking(named.collect::<Result<_>>()?, self.head()[0].1.device());
        let shape = [self.classes, self.head()[0].1.size()[1]];
        let head = layers.len();
        layers.push(builder.linear(self.architecture.head(), shape, Init::Uniform)?);
        let (Builder { parameters, buffers, .. }, classes) = (builder, self.classes);
        let (architecture, custom, stages) = (self.architecture, None, Vec::new());
        Ok(Some(Self { architecture, layers, head, before, stages, parameters, buffers, classes, custom }))
    }

    /// Replaces the head by one of the same shape.
    pub(crate) fn set_head(&self, named: &BTreeMap<String, Tensor>) -> Result<()> {
        let _guard = tch::no_grad_guard();
        for (name, tensor) in self.head() {
            let given = named.get(name).with_context(|| format!("{name} is missing"))?;
            ensure!(given.size() == tensor.size(), "{name} should be {:?}, it is {:?}", tensor.size(), given.size());
            tensor.shallow_clone().f_copy_(given)?;
        }
        Ok(())
    }

    /// Freezes all parameters except those of the head.
    pub(crate) fn freeze_backbone(&self) -> Result<()> {
        freeze(&self.parameters[..self.parameters.len().saturating_sub(2)])
    }

    /// Freezes all parameters.
    pub(crate) fn freeze(&self) -> Result<()> {
        freeze(&self.parameters)
    }

    /// Running means, running variances and counts of batches by name.
    pub fn buffers(&self) -> &[(String, Tensor)] {
        &self.buffers
    }

    /// Parameters and running statistics by name: PyTorch's state dict.
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        self.parameters.iter().chain(&self.buffers).map(|(name, t)| (name.clone(), t.detach())).collect()
    }

    /// The parameters that are trained.
    pub(crate) fn learning(&self, learn: Learn) -> &[(String, Tensor)] {
        if learn == Learn::Whole { &self.parameters } else { self.head() }
    }

    /// Number of trainable parameters.
    pub fn parameter_count(&self) -> u64 {
        self.parameters.iter().map(|(_, tensor)| tensor.numel() as u64).sum()
    }

    /// Logits `[N, 2]` (covid, non-covid) of images `[N, 3, H, W]`, as PyTorch's `eval()` computes them.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor> {
        self.forward_in(images, Mode::evaluation(Kind::Float))
    }

    /// The same as in PyTorch's `train()`: dropout is active, and batch norm uses the statistics of the batch and
    /// updates the running ones.
    pub fn forward_training(&self, images: &Tensor) -> Result<Tensor> {
        self.forward_in(images, Mode::training(Kind::Float))
    }

    /// The same with convolutions and matrix products in this precision; parameters and logits stay f32.
    pub fn forward_training_in(&self, images: &Tensor, precision: Precision) -> Result<Tensor> {
        self.forward_in(images, Mode::training(precision.kind()))
    }

    pub(crate) fn forward_in(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        if let Some(custom) = &self.custom {
            return custom.logits(&custom.features(images, mode)?, mode);
        }
        self.rest(0, &channels_last(images, mode.kind)?, mode)
    }

    /// Sets the running statistics of batch norm from these images: a random backbone has none, and without them its
    /// activations grow from block to block until they are useless.
    pub(crate) fn measure_statistics(&self, images: &Tensor) -> Result<()> {
        ensure!(self.custom.is_none(), "{} has no backbone that could be measured", self.architecture);
        let _guard = tch::no_grad_guard();
        self.forward_in(images, Mode::measuring()).map(drop)
    }

    /// SHA-256 over names, shapes and values of all tensors except the head: it identifies the backbone.
    pub fn backbone_hash(&self) -> Result<Digest> {
        let frozen = &self.parameters[..self.parameters.len().saturating_sub(2)];
        let mut hash = Sha256::new();
        for (name, tensor) in frozen.iter().chain(&self.buffers) {
            hash.update(format!("{name} {:?}\n", tensor.size()));
            hash.update(crate::nn::transfer::bytes(tensor)?);
        }
        Ok(Digest(hash.finalize().into()))
    }

    /// One row for each layer with parameters.
    pub fn table(&self) -> Table {
        let mut table = Table::new(format!("{} architecture", self.architecture), &["Parameter", "Shape", "Count"]);
        const SHOWN: usize = 12;
        let cut = if self.parameters.len() > 2 * SHOWN { SHOWN..self.parameters.len() - SHOWN } else { 0..0 };
        for (index, (name, tensor)) in self.parameters.iter().enumerate() {
            if index == cut.start && !cut.is_empty() {
                table.row([format!("… {} more …", cut.len()), String::new(), String::new()]);
            }
            if !cut.contains(&index) {
                let shape: Vec<String> = tensor.size().iter().map(ToString::to_string).collect();
                table.row([name.clone(), shape.join("×"), thousands(tensor.numel() as u64)]);
            }
        }
        table.note(format!("{} parameters, {} classes.", thousands(self.parameter_count()), self.classes))
    }
}

shown_as_table!(Network);

fn freeze(parameters: &[(String, Tensor)]) -> Result<()> {
    for (_, tensor) in parameters {
        let _ = tensor.f_set_requires_grad(false)?;
    }
    Ok(())
}

fn backbone(architecture: Architecture, builder: &mut Builder) -> Result<Vec<Layer>> {
    match architecture {
        Architecture::Custom(name) => crate::base::errors::bail!("the custom network {name} has no layers known here"),
        Architecture::Fcn => describe::fcn(builder),
        Architecture::Vgg19 => describe::vgg19(builder),
        Architecture::ResNet152 => describe::resnet(builder, ResidualBlock::Bottleneck, [3, 8, 36, 3]),
        Architecture::DenseNet161 => describe::densenet161(builder),
        Architecture::Compact => describe::compact(builder),
        Architecture::EfficientNetLite0 => describe::efficientnet_lite(builder, LiteScale::LITE0),
        Architecture::EfficientNetLite2 => describe::efficientnet_lite(builder, LiteScale::LITE2),
        Architecture::ResNet18 => describe::resnet(builder, ResidualBlock::Basic, [2, 2, 2, 2]),
        Architecture::ResNet50 => describe::resnet(builder, ResidualBlock::Bottleneck, [3, 4, 6, 3]),
    }
}

/// Channels-last memory format where it is faster: on a CPU (1.1 to 1.4 times), and on a GPU in 16 bits.
pub(super) fn channels_last(images: &Tensor, kind: Kind) -> Result<Tensor> {
    ensure!(images.dim() == 4, "expected images [N, 3, H, W], found {:?}", images.size());
    if images.device().is_cuda() && kind == Kind::Float {
        return Ok(images.shallow_clone());
    }
    Ok(images.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?)
}
