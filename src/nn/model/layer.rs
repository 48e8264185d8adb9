//! The layers of the networks, and their computation.

use super::batch_shares::{layer_side_by_side, one, run_each_share, run_side_by_side};
use crate::base::errors::{Result, bail};
use crate::nn::batch_share::BatchShare;
use crate::nn::rank_sums::{batch_norm, dropout};
use tch::{Kind, Tensor};

/// One layer of a network. The tensors are those of [`Network::parameters`](super::Network::parameters): shared, not
/// copied.
#[derive(Debug)]
pub(crate) enum Layer {
    /// Weight `[out, in / groups, height, width]`.
    Conv {
        weight: Tensor,
        bias: Option<Tensor>,
        stride: i64,
        padding: Padding,
        groups: i64,
    },
    /// Running statistics are updated in training and used in evaluation.
    BatchNorm {
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        batches: Tensor,
        numbers: NormNumbers,
    },
    Relu,
    /// The ReLU cut off at 6.
    Relu6,
    MaxPool {
        kernel: i64,
        stride: i64,
        padding: i64,
    },
    /// 2×2, stride 2.
    AvgPool,
    /// The mean over areas that leave `side` × `side` values, whatever the input's size.
    AdaptiveAvgPool {
        side: i64,
    },
    Flatten,
    /// This share of the values is zeroed in training; the others are divided by the rest.
    Dropout {
        rate: f64,
    },
    /// Weight `[out, in]`.
    Linear {
        weight: Tensor,
        bias: Tensor,
    },
    /// main(x) + shortcut(x), where an empty shortcut is x itself, and a ReLU of the sum where it is `rectified`.
    Residual {
        main: Vec<Layer>,
        shortcut: Vec<Layer>,
        rectified: bool,
    },
    /// The input of each inner stack is the concatenation of all outputs before it (Huang et al., 2017).
    Dense(Vec<Vec<Layer>>),
}

/// The zeros around the input of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Padding {
    /// As many on each side.
    Each(i64),
    /// TensorFlow's `SAME`: as many as leave ⌈size / stride⌉ values. Of an odd number the right and the lower side get
    /// the one more, so that it depends on the size of the input.
    Same,
}

impl Padding {
    /// Zeros before and after an axis of `size` values.
    pub(super) fn around(self, size: i64, kernel: i64, stride: i64) -> (i64, i64) {
        match self {
            Self::Each(zeros) => (zeros, zeros),
            Self::Same => {
                let values = (size + stride - 1) / stride;
                let all = ((values - 1) * stride + kernel - size).max(0);
                (all / 2, all - all / 2)
            }
        }
    }
}

/// The constants of a batch norm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct NormNumbers {
    /// Added to the variance.
    pub(crate) epsilon: f64,
    /// The share of a new batch in the running statistics, 0 to 1: PyTorch's momentum, TensorFlow's is 1 minus it.
    pub(crate) momentum: f64,
}

impl NormNumbers {
    /// PyTorch's defaults.
    pub(crate) const PYTORCH: Self = Self { epsilon: 1e-5, momentum: 0.1 };
}

/// The statistics that batch norm uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NormStatistics {
    /// The running ones, which stay as they are.
    Running,
    /// Those of the batch, which move the running ones.
    Batch,
    /// Those of the batch, which become the running ones.
    Measured,
}

/// The mode and precision of a forward pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mode {
    /// Dropout is active.
    pub(crate) dropout: bool,
    /// What batch norm uses.
    pub(crate) statistics: NormStatistics,
    /// Convolutions and matrix products compute in this kind; parameters stay f32.
    pub(crate) kind: Kind,
    /// The input is this process's share of a batch; batch norm and dropout are those of the whole batch.
    pub(crate) share: Option<BatchShare>,
}

impl Mode {
    /// Evaluation mode.
    pub(crate) fn evaluation(kind: Kind) -> Self {
        Self { dropout: false, statistics: NormStatistics::Running, kind, share: None }
    }

    /// Sets the running statistics of batch norm from one batch.
    pub(crate) fn measuring() -> Self {
        Self { dropout: false, statistics: NormStatistics::Measured, kind: Kind::Float, share: None }
    }

    /// As PyTorch's `train()`.
    pub(crate) fn training(kind: Kind) -> Self {
        Self { dropout: true, statistics: NormStatistics::Batch, kind, share: None }
    }
}

/// Applies the layers in order.
pub(crate) fn run(layers: &[Layer], input: &Tensor, mode: Mode) -> Result<Tensor> {
    match mode.share {
        Some(share) => run_each_share(layers, input, &share.rows_of_each(), mode),
        None => one(run_side_by_side(&[layers], vec![input.shallow_clone()], mode)?),
    }
}

/// How many of the first layers are computed together, by [`run_together`].
pub(super) fn together(layers: &[Layer], x: &Tensor) -> usize {
    match layers {
        // cuDNN adds the bias in a separate pass and computes its gradient in another; after pooling both are a
        // quarter of the work.
        [Layer::Conv { bias: Some(_), .. }, Layer::Relu, Layer::MaxPool { .. }, ..] if x.device().is_cuda() => 3,
        // The maximum of ReLUs is the ReLU of the maximum: pooling first gives the same values and gradients with a
        // quarter of the work.
        [Layer::Relu, Layer::MaxPool { .. }, ..] => 2,
        _ => 1,
    }
}

/// Two or three layers.
pub(super) fn run_together(layers: &[Layer], x: &Tensor, mode: Mode) -> Result<Tensor> {
    match layers {
        [conv @ Layer::Conv { bias: Some(bias), .. }, Layer::Relu, pool] => pooled_first(conv, bias, pool, x, mode),
        [Layer::Relu, pool] => Layer::Relu.run(&pool.run(x, mode)?, mode),
        _ => bail!("{} layers are not computed together", layers.len()),
    }
}

/// Convolution, ReLU and pooling in the cheapest order: adding a channel's bias commutes with the maximum.
fn pooled_first(conv: &Layer, bias: &Tensor, pool: &Layer, x: &Tensor, mode: Mode) -> Result<Tensor> {
    let pooled = pool.run(&conv.convolved(x, None, mode)?, mode)?;
    let bias = bias.f_to_kind(mode.kind)?.f_view([1, -1, 1, 1])?;
    Ok(pooled.f_add(&bias)?.f_relu()?)
}

impl Layer {
    /// The convolution of `x` with the layer's weight, plus this bias.
    fn convolved(&self, x: &Tensor, bias: Option<&Tensor>, mode: Mode) -> Result<Tensor> {
        let Self::Conv { weight, stride, padding, groups, .. } = self else { bail!("{self:?} is no convolution") };
        let (mut x, weight) = (x.f_to_kind(mode.kind)?, weight.f_to_kind(mode.kind)?);
        let bias = bias.map(|bias| bias.f_to_kind(mode.kind)).transpose()?;
        let (_, _, height, width) = x.size4()?;
        let (_, _, high, wide) = weight.size4()?;
        let (top, bottom) = padding.around(height, high, *stride);
        let (left, right) = padding.around(width, wide, *stride);
        let mut zeros = [top, left];
        if (top, left) != (bottom, right) {
            x = x.f_constant_pad_nd([left, right, top, bottom])?;
            zeros = [0, 0];
        }
        Ok(x.f_conv2d(&weight, bias.as_ref(), [*stride; 2], zeros, [1, 1], *groups)?)
    }

    /// Computes a whole batch, or one share of it.
    pub(super) fn run(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        one(layer_side_by_side(&[self], std::slice::from_ref(x), mode)?)
    }

    /// Computes a layer without batch norm, dropout or layers in it: its shares have nothing to do with each other.
    pub(super) fn plain(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        Ok(match self {
            Self::Conv { bias, .. } => self.convolved(x, bias.as_ref(), mode)?,
            Self::Relu => x.f_relu()?,
            Self::Relu6 => x.f_relu6()?,
            Self::MaxPool { kernel, stride, padding } => {
                x.f_max_pool2d([*kernel; 2], [*stride; 2], [*padding; 2], [1, 1], false)?
            }
            Self::AvgPool => x.f_avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None)?,
            Self::AdaptiveAvgPool { side } => x.f_adaptive_avg_pool2d([*side; 2])?,
            Self::Flatten => x.f_flatten(1, -1)?,
            Self::Linear { weight, bias } => {
                let (x, weight) = (x.f_to_kind(mode.kind)?, weight.f_to_kind(mode.kind)?);
                x.f_linear(&weight, Some(bias.f_to_kind(mode.kind)?))?
            }
            Self::BatchNorm { .. } | Self::Dropout { .. } | Self::Residual { .. } | Self::Dense(_) => {
                bail!("{self:?} is no plain layer")
            }
        })
    }

    /// The batch norm of all shares of a batch that this process has, or of the whole batch as the only one.
    pub(super) fn batch_normed(&self, xs: &[Tensor], mode: Mode) -> Result<Vec<Tensor>> {
        let Self::BatchNorm { weight, bias, mean, variance, batches, numbers } = self else {
            bail!("{self:?} is no batch norm")
        };
        let [x, ..] = xs else { return Ok(Vec::new()) };
        let share = mode.share.filter(|_| mode.statistics == NormStatistics::Batch);
        // A single value has no variance: libtorch would set the running variance to NaN without an error.
        let places: i64 = x.size()[2..].iter().product();
        let places = places * share.map_or(x.size()[0], |share| share.of as i64);
        let own = places > 1 && mode.statistics != NormStatistics::Running;
        let momentum = if mode.statistics == NormStatistics::Measured { 1.0 } else { numbers.momentum };
        if own {
            let _guard = tch::no_grad_guard();
            let _ = batches.shallow_clone().f_add_scalar_(1)?;
        }
        if let Some(share) = share.filter(|_| own) {
            return batch_norm(xs, [weight, bias], [mean, variance], (momentum, numbers.epsilon), (places, share));
        }
        let (mean, variance, epsilon) = (Some(mean), Some(variance), numbers.epsilon);
        let normed =
            |x: &Tensor| Ok(x.f_batch_norm(Some(weight), Some(bias), mean, variance, own, momentum, epsilon, true)?);
        xs.iter().map(normed).collect()
    }
}

/// Dropout of all shares of a batch that this process has, or of the whole batch as the only one.
pub(super) fn dropped(xs: &[Tensor], rate: f64, mode: Mode) -> Result<Vec<Tensor>> {
    match mode.share {
        Some(share) if mode.dropout => dropout(xs, rate, share),
        _ => xs.iter().map(|x| Ok(x.f_dropout(rate, mode.dropout)?)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn a_single_value_leaves_the_running_statistics_of_batch_norm_alone() {
        let of = |value: f64| Tensor::full([2], value, (Kind::Float, Device::Cpu));
        let norm = Layer::BatchNorm {
            weight: of(1.0),
            bias: of(0.0),
            mean: of(0.0),
            variance: of(4.0),
            batches: Tensor::zeros([], (Kind::Int64, Device::Cpu)),
            numbers: NormNumbers::PYTORCH,
        };
        let run = |side: i64| -> Vec<f32> {
            let x = Tensor::arange(2 * side, (Kind::Float, Device::Cpu)).reshape([1, 2, 1, side]);
            let y = norm.run(&x, Mode::training(Kind::Float)).expect("runs");
            Vec::try_from(y.reshape([-1])).expect("floats")
        };
        let Layer::BatchNorm { variance, batches, .. } = &norm else { panic!("made above") };
        assert!((run(1)[1] - 0.5).abs() < 1e-5, "1 - 0 over the root of 4");
        assert_eq!((variance.double_value(&[0]), batches.int64_value(&[])), (4.0, 0));
        run(2);
        assert!((variance.double_value(&[0]) - (0.9 * 4.0 + 0.1 * 0.5)).abs() < 1e-6 && batches.int64_value(&[]) == 1);
    }

    /// The pads of TensorFlow's `SAME` (`tf.nn.convolution`'s notes on padding), worked out by hand.
    #[test]
    fn same_padding_depends_on_the_size_and_is_larger_after_than_before() {
        let same = |size, kernel, stride| Padding::Same.around(size, kernel, stride);
        assert_eq!([same(7, 3, 1), same(8, 5, 1), same(8, 1, 1)], [(1, 1), (2, 2), (0, 0)]);
        assert_eq!([same(224, 3, 2), same(56, 5, 2), same(2, 5, 2)], [(0, 1), (1, 2), (1, 2)]);
        assert_eq!([same(225, 3, 2), same(15, 5, 2), same(1, 5, 2)], [(1, 1), (2, 2), (2, 2)]);
        // The kernel sees its own place, the right and the lower neighbour, and zeros beyond.
        let weight = Tensor::ones([1, 1, 3, 3], (Kind::Float, Device::Cpu));
        let conv = Layer::Conv { weight, bias: None, stride: 2, padding: Padding::Same, groups: 1 };
        let x = Tensor::arange(20, (Kind::Float, Device::Cpu)).reshape([1, 1, 4, 5]);
        let y = conv.run(&x, Mode::evaluation(Kind::Float)).expect("runs");
        assert_eq!(y.size(), [1, 1, 2, 3]);
        // Rows 0 to 2 and 2 to 3 (an even side begins at its edge); columns 0 to 1, 1 to 3, 3 to 4 (an odd one before).
        let expected: Vec<f32> = vec![33.0, 63.0, 51.0, 52.0, 87.0, 64.0];
        assert_eq!(Vec::<f32>::try_from(y.reshape([-1])).expect("floats"), expected);
    }

    /// This path is only used on a GPU; here it is compared with the plain one.
    #[test]
    fn pooling_before_the_bias_gives_the_same_numbers_and_gradients() {
        tch::manual_seed(7);
        let drawn = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let (weight, bias, x) = (drawn(&[5, 3, 3, 3]), drawn(&[5]), drawn(&[2, 3, 9, 8]));
        let conv = Layer::Conv {
            weight: weight.shallow_clone(),
            bias: Some(bias.shallow_clone()),
            stride: 1,
            padding: Padding::Each(1),
            groups: 1,
        };
        let mode = Mode::training(Kind::Float);
        let layers = [conv, Layer::Relu, Layer::MaxPool { kernel: 2, stride: 2, padding: 0 }];
        let plain = run(&layers, &x, mode).expect("runs");
        let first = pooled_first(&layers[0], &bias, &layers[2], &x, mode).expect("runs");
        assert_eq!((first.size(), plain.size()), (vec![2, 5, 4, 4], vec![2, 5, 4, 4]));
        let weights = Tensor::randn([2, 5, 4, 4], (Kind::Float, Device::Cpu));
        let gradients =
            |y: &Tensor| Tensor::run_backward(&[(y * &weights).sum(Kind::Float)], &[&weight, &bias, &x], true, false);
        let both = gradients(&plain).into_iter().zip(gradients(&first)).chain([(plain, first)]);
        for (plain, first) in both {
            assert!(plain.abs().max().double_value(&[]) > 0.1, "nothing to compare");
            assert!((plain - first).abs().max().double_value(&[]) < 1e-4);
        }
    }
}
