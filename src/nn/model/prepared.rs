//! A frozen network prepared for a CPU: the same features with less work.
//!
//! - Batch norm behind a convolution is folded into its weight and bias.
//! - Batch norm and ReLU in front of a convolution 1×1 (DenseNet's) are one pass that cuts values off: relu(s·x + t) is
//!   s·max(x, −t/s) + t, or s·min(x, −t/s) + t where s is negative, and the convolution takes the factor and the sum.
//! - Where such a convolution precedes a mean over 2×2, the mean is computed first: both are linear, and a quarter of the
//!   values is left to convolve.
//! - The first convolution sees one channel: a slice's three are the same, so its weights are summed over them.
//! - Weights lie as oneDNN reads them, and a ReLU or the sum with a residual is computed while a result is written.
//! - What a dense block has computed stays in its place in one map, which is not copied for every layer.
//!
//! Folding is done in f64. Features differ from the network's by rounding (below 1e-5 of their length).

use super::Architecture;
use super::layer::{Layer, Mode, Padding};
use super::network::Network;
use super::packed_conv::{Behind, PackedConv};
use super::scale_and_shift::ScaleAndShift;
use crate::base::errors::{Context, Result, bail, ensure};
use tch::{Device, Kind, Tensor};

/// The pixels of one batch: what a core's caches hold of its maps. Smaller slices come in larger batches.
const PIXELS: usize = 4 * 224 * 224;
/// Slices in a batch at most.
const MOST: usize = 32;

/// The layers up to some layer of a network; it keeps the values that the network's convolutions had when it was prepared.
#[derive(Debug)]
pub(crate) struct PreparedNetwork {
    /// The layers up to each earlier stage whose mean joins the features.
    stages: Vec<Vec<PreparedLayer>>,
    /// The layers that follow, up to the place where stages join.
    main: Vec<PreparedLayer>,
    /// The layers behind that place.
    rest: Vec<PreparedLayer>,
}

#[derive(Debug)]
enum PreparedLayer {
    Conv(PackedConv, Behind),
    /// Not below `low`, not above `high`, each `[1, C, 1, 1]`.
    CutOff {
        low: Tensor,
        high: Option<Tensor>,
    },
    /// A layer as the network has it; none with layers inside.
    Plain(Layer),
    /// As [`Layer::Residual`].
    Residual {
        main: Vec<PreparedLayer>,
        shortcut: Vec<PreparedLayer>,
        rectified: bool,
    },
    /// As [`Layer::Dense`], with the number of channels that each stack adds.
    Dense(Vec<(Vec<PreparedLayer>, i64)>),
}

impl PreparedNetwork {
    /// What is in the key of features that are computed this way. To be changed when the computation changes a bit.
    pub(crate) const METHOD: &str = "prepared-2";

    /// Whether features of this network are computed this way: of those that it makes faster in f32 on a CPU, where libtorch has
    /// oneDNN (docs/performance.md: ResNets and VGG19 it does not); on processors other than x86-64 it was not tried.
    pub(crate) fn serves(network: &Network, kind: Kind, device: Device) -> bool {
        use Architecture::{DenseNet161, EfficientNetLite0, EfficientNetLite2};
        let is_tried = cfg!(target_arch = "x86_64") && tch::utils::has_mkldnn();
        let gains = matches!(network.architecture, DenseNet161 | EfficientNetLite0 | EfficientNetLite2);
        is_tried && gains && device == Device::Cpu && kind == Kind::Float
    }

    /// Prepares the layers before `until` for square slices of this side.
    pub(crate) fn new(network: &Network, until: usize, side: u32) -> Result<Self> {
        let _guard = tch::no_grad_guard();
        let (layers, side) = (&network.layers[..until], i64::from(side));
        let mut x = Tensor::f_zeros([1, 1, side, side], (Kind::Float, Device::Cpu))?;
        let mut take = |layers: &[Layer]| -> Result<(Vec<PreparedLayer>, Tensor)> {
            let prepared = Preparation::over(layers, x.shallow_clone())?;
            x = prepared.x.shallow_clone();
            Ok((prepared.steps, prepared.x))
        };
        let doing = || format!("preparing {} for the CPU", network.architecture);
        let Some(joined) = network.joined_at().filter(|joined| until >= *joined) else {
            return Ok(Self { stages: vec![], main: take(layers).with_context(doing)?.0, rest: vec![] });
        };
        let (mut at, mut stages) = (0, Vec::new());
        for &(end, _) in &network.stages {
            stages.push(take(&layers[at..end]).with_context(doing)?.0);
            at = end;
        }
        let main = take(&layers[at..joined]).with_context(doing)?.0;
        // Only what needs no weights: a linear layer would expect the stages' means beside this.
        let rest = Preparation::over(&layers[joined..], x).with_context(doing)?.steps;
        Ok(Self { stages, main, rest })
    }

    /// The same tensors, for another thread.
    pub(crate) fn shared(&self) -> Result<Self> {
        let of = |steps: &[PreparedLayer]| all_shared(steps);
        let stages = self.stages.iter().map(|stage| of(stage)).collect::<Result<_>>()?;
        Ok(Self { stages, main: of(&self.main)?, rest: of(&self.rest)? })
    }

    /// Slices in a batch for slices of this side.
    pub(crate) fn batch(side: u32) -> usize {
        (PIXELS / (side as usize).pow(2).max(1)).clamp(1, MOST)
    }

    /// Features `[N, F]` f32 of normalised images `[N, 3, H, W]` whose channels are one, expanded.
    pub(crate) fn features(&self, images: &Tensor) -> Result<Tensor> {
        let _guard = tch::no_grad_guard();
        ensure!(
            images.dim() == 4 && images.stride()[1] == 0,
            "expected images of one channel that is seen three times"
        );
        let (mut x, mut parts) = (images.f_narrow(1, 0, 1)?, Vec::new());
        for stage in &self.stages {
            x = run_all(stage, x)?;
            parts.push(x.f_mean_dim(&[2_i64, 3][..], false, Kind::Float)?);
        }
        x = run_all(&self.main, x)?;
        if !parts.is_empty() {
            parts.push(x);
            x = Tensor::f_cat(&parts, 1)?;
        }
        x = run_all(&self.rest, x)?;
        Ok(if x.dim() == 4 { x.f_mean_dim(&[2_i64, 3][..], false, Kind::Float)? } else { x })
    }
}

/// Layers that are prepared one after the other, with an example from which they know the sizes that they will see.
struct Preparation {
    steps: Vec<PreparedLayer>,
    x: Tensor,
}

impl Preparation {
    fn over(layers: &[Layer], x: Tensor) -> Result<Self> {
        let (mut walk, mut rest) = (Self { steps: Vec::new(), x }, layers);
        loop {
            rest = match rest {
                [norm @ Layer::BatchNorm { .. }, Layer::Relu, conv @ Layer::Conv { .. }, rest @ ..]
                    if is_pointwise(conv) =>
                {
                    let (low, high, outside) = ScaleAndShift::of(norm)?.cut_off()?;
                    walk.push(PreparedLayer::CutOff { low, high })?;
                    match rest {
                        [Layer::AvgPool, rest @ ..] => {
                            walk.push(PreparedLayer::Plain(Layer::AvgPool))?;
                            walk.conv(conv, Some(&outside), rest)?
                        }
                        rest => walk.conv(conv, Some(&outside), rest)?,
                    }
                }
                [conv @ Layer::Conv { .. }, rest @ ..] => walk.conv(conv, None, rest)?,
                [Layer::Residual { main, shortcut, rectified }, rest @ ..] => {
                    let of = |layers: &[Layer]| -> Result<Vec<PreparedLayer>> {
                        Ok(Self::over(layers, walk.x.shallow_clone())?.steps)
                    };
                    let (main, shortcut) = (of(main)?, of(shortcut)?);
                    walk.push(PreparedLayer::Residual { main, shortcut, rectified: *rectified })?;
                    rest
                }
                [Layer::Dense(stacks), rest @ ..] => {
                    walk.dense(stacks)?;
                    rest
                }
                [layer, rest @ ..] => {
                    walk.push(PreparedLayer::Plain(shared(layer)?))?;
                    rest
                }
                [] => return Ok(walk),
            };
        }
    }

    fn push(&mut self, step: PreparedLayer) -> Result<()> {
        self.x = step.run(self.x.shallow_clone())?;
        self.steps.push(step);
        Ok(())
    }

    /// A convolution with what lies around it; returns the layers that are left.
    fn conv<'l>(&mut self, conv: &Layer, front: Option<&ScaleAndShift>, mut rest: &'l [Layer]) -> Result<&'l [Layer]> {
        let Layer::Conv { weight, bias, stride, padding, groups } = conv else { bail!("{conv:?} is no convolution") };
        let mut weight = weight.f_to_kind(Kind::Double)?;
        let mut sum = match bias {
            Some(bias) => bias.f_to_kind(Kind::Double)?,
            None => Tensor::f_zeros([weight.size()[0]], (Kind::Double, Device::Cpu))?,
        };
        if self.x.size()[1] == 1 && weight.size()[1] > 1 && self.steps.is_empty() {
            weight = weight.f_sum_dim_intlist(&[1_i64][..], true, Kind::Double)?;
        }
        if let Some(ScaleAndShift { scale, shift }) = front {
            sum = sum.f_add(&weight.f_flatten(1, -1)?.f_mv(shift)?)?;
            weight = weight.f_mul(&scale.f_view([1, -1, 1, 1])?)?;
        }
        if let [norm @ Layer::BatchNorm { .. }, behind @ ..] = rest {
            let ScaleAndShift { scale, shift } = ScaleAndShift::of(norm)?;
            sum = sum.f_mul(&scale)?.f_add(&shift)?;
            weight = weight.f_mul(&scale.f_view([-1, 1, 1, 1])?)?;
            rest = behind;
        }
        let behind = match rest.first() {
            Some(Layer::Relu) => Behind::Relu,
            Some(Layer::Relu6) => Behind::Relu6,
            _ => Behind::Nothing,
        };
        if behind != Behind::Nothing {
            rest = &rest[1..];
        }
        let packed = PackedConv::new(&weight, &sum, (*stride, *padding, *groups), &self.x)?;
        self.push(PreparedLayer::Conv(packed, behind))?;
        Ok(rest)
    }

    fn dense(&mut self, stacks: &[Vec<Layer>]) -> Result<()> {
        let (mut steps, mut x) = (Vec::new(), self.x.shallow_clone());
        for stack in stacks {
            let inner = Self::over(stack, x.shallow_clone())?;
            let grown = inner.x.size()[1];
            x = Tensor::f_cat(&[x, inner.x], 1)?;
            steps.push((inner.steps, grown));
        }
        self.push(PreparedLayer::Dense(steps))
    }
}

/// Whether a convolution computes every pixel from the one in its place.
fn is_pointwise(conv: &Layer) -> bool {
    matches!(conv, Layer::Conv { weight, stride: 1, padding: Padding::Each(0), groups: 1, .. } if weight.size()[2..] == [1, 1])
}

impl PreparedLayer {
    /// Takes `x`, as a residual writes into its memory.
    fn run(&self, x: Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Conv(conv, behind) => conv.run(&x, *behind)?,
            Self::CutOff { low, high: None } => x.f_maximum(low)?,
            Self::CutOff { low, high } => x.f_clamp_tensor(Some(low), high.as_ref())?,
            Self::Plain(layer) => layer.run(&x, Mode::evaluation(Kind::Float))?,
            Self::Residual { main, shortcut, rectified } => match main.split_last() {
                Some((Self::Conv(last, Behind::Nothing), main)) => {
                    let inner = run_all(main, x.shallow_clone())?;
                    last.added(&inner, run_all(shortcut, x)?, *rectified)?
                }
                _ => {
                    let added = run_all(main, x.shallow_clone())?.f_add(&run_all(shortcut, x)?)?;
                    if *rectified { added.f_relu()? } else { added }
                }
            },
            Self::Dense(stacks) => {
                let (n, begun, height, width) = x.size4()?;
                let (mut channels, all) = (begun, begun + stacks.iter().map(|(_, grown)| grown).sum::<i64>());
                let place = Tensor::f_empty([n, height, width, all], (Kind::Float, Device::Cpu))?;
                let place = place.f_permute([0, 3, 1, 2])?;
                place.f_narrow(1, 0, channels)?.f_copy_(&x)?;
                for (stack, grown) in stacks {
                    let more = run_all(stack, place.f_narrow(1, 0, channels)?)?;
                    place.f_narrow(1, channels, *grown)?.f_copy_(&more)?;
                    channels += grown;
                }
                place
            }
        })
    }

    fn shared(&self) -> Result<Self> {
        Ok(match self {
            Self::Conv(conv, behind) => Self::Conv(conv.shared(), *behind),
            Self::CutOff { low, high } => {
                Self::CutOff { low: low.shallow_clone(), high: high.as_ref().map(Tensor::shallow_clone) }
            }
            Self::Plain(layer) => Self::Plain(shared(layer)?),
            Self::Residual { main, shortcut, rectified } => {
                Self::Residual { main: all_shared(main)?, shortcut: all_shared(shortcut)?, rectified: *rectified }
            }
            Self::Dense(stacks) => {
                let of = |(stack, grown): &(Vec<Self>, i64)| Ok((all_shared(stack)?, *grown));
                Self::Dense(stacks.iter().map(of).collect::<Result<_>>()?)
            }
        })
    }
}

fn run_all(steps: &[PreparedLayer], x: Tensor) -> Result<Tensor> {
    steps.iter().try_fold(x, |x, step| step.run(x))
}

fn all_shared(steps: &[PreparedLayer]) -> Result<Vec<PreparedLayer>> {
    steps.iter().map(PreparedLayer::shared).collect()
}

/// The same layer, sharing its tensors.
fn shared(layer: &Layer) -> Result<Layer> {
    if let Layer::Conv { .. } | Layer::Residual { .. } | Layer::Dense(_) = layer {
        bail!("{layer:?} is no plain layer")
    }
    layer.copied(&|parameter| Ok(parameter.f_detach()?))
}

#[cfg(test)]
mod tests;
