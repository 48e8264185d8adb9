//! The layers of the networks, and their computation.

use anyhow::{Result, bail};
use tch::{Kind, Tensor};

/// One layer of a network. The tensors are those of [`Network::parameters`](super::Network::parameters): shared, not
/// copied.
#[derive(Debug)]
pub(crate) enum Layer {
    /// Weight `[out, in, height, width]`.
    Conv {
        weight: Tensor,
        bias: Option<Tensor>,
        stride: i64,
        padding: i64,
    },
    /// Running statistics are updated in training (momentum 0.1 in PyTorch's sense), used in evaluation (epsilon 1e-5).
    BatchNorm {
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        batches: Tensor,
    },
    Relu,
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
    /// Half of the values are zeroed in training, the others doubled.
    Dropout,
    /// Weight `[out, in]`.
    Linear {
        weight: Tensor,
        bias: Tensor,
    },
    /// relu(main(x) + shortcut(x)); an empty shortcut is x itself.
    Residual {
        main: Vec<Layer>,
        shortcut: Vec<Layer>,
    },
    /// The input of each inner stack is the concatenation of all outputs before it (Huang et al., 2017).
    Dense(Vec<Vec<Layer>>),
}

/// The mode and precision of a forward pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mode {
    /// Dropout is active.
    pub(crate) dropout: bool,
    /// Batch norm uses the statistics of the batch, and updates the running ones with this momentum.
    pub(crate) batch_statistics: Option<f64>,
    /// Convolutions and matrix products compute in this kind; parameters stay f32.
    pub(crate) kind: Kind,
}

impl Mode {
    /// Evaluation mode.
    pub(crate) fn evaluation(kind: Kind) -> Self {
        Self { dropout: false, batch_statistics: None, kind }
    }

    /// Sets the running statistics of batch norm from one batch.
    pub(crate) fn measuring() -> Self {
        Self { dropout: false, batch_statistics: Some(1.0), kind: Kind::Float }
    }

    /// As PyTorch's `train()`.
    pub(crate) fn training(kind: Kind) -> Self {
        Self { dropout: true, batch_statistics: Some(MOMENTUM), kind }
    }
}

const MOMENTUM: f64 = 0.1;
const EPSILON: f64 = 1e-5;

/// Applies the layers in order.
pub(crate) fn run(layers: &[Layer], input: &Tensor, mode: Mode) -> Result<Tensor> {
    let mut x = input.shallow_clone();
    let mut rest = layers;
    loop {
        (x, rest) = match rest {
            // cuDNN adds the bias in a separate pass and computes its gradient in another; after pooling both are a
            // quarter of the work.
            [conv @ Layer::Conv { bias: Some(bias), .. }, Layer::Relu, pool @ Layer::MaxPool { .. }, rest @ ..]
                if x.device().is_cuda() =>
            {
                (pooled_first(conv, bias, pool, &x, mode)?, rest)
            }
            // The maximum of ReLUs is the ReLU of the maximum: pooling first gives the same values and gradients with a
            // quarter of the work.
            [Layer::Relu, pool @ Layer::MaxPool { .. }, rest @ ..] => {
                (Layer::Relu.run(&pool.run(&x, mode)?, mode)?, rest)
            }
            [layer, rest @ ..] => (layer.run(&x, mode)?, rest),
            [] => return Ok(x),
        };
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
        let Self::Conv { weight, stride, padding, .. } = self else { bail!("{self:?} is no convolution") };
        let (x, weight) = (x.f_to_kind(mode.kind)?, weight.f_to_kind(mode.kind)?);
        let bias = bias.map(|bias| bias.f_to_kind(mode.kind)).transpose()?;
        Ok(x.f_conv2d(&weight, bias.as_ref(), [*stride; 2], [*padding; 2], [1, 1], 1)?)
    }

    fn run(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        Ok(match self {
            Self::Conv { bias, .. } => self.convolved(x, bias.as_ref(), mode)?,
            Self::BatchNorm { weight, bias, mean, variance, batches } => {
                let (mean, variance) = (Some(mean), Some(variance));
                // A single value has no variance: libtorch would set the running variance to NaN without an error.
                let several = x.numel() as i64 > x.size()[1];
                let (own, momentum) =
                    (several && mode.batch_statistics.is_some(), mode.batch_statistics.unwrap_or(MOMENTUM));
                if own {
                    let _guard = tch::no_grad_guard();
                    let _ = batches.shallow_clone().f_add_scalar_(1)?;
                }
                x.f_batch_norm(Some(weight), Some(bias), mean, variance, own, momentum, EPSILON, true)?
            }
            Self::Relu => x.f_relu()?,
            Self::MaxPool { kernel, stride, padding } => {
                x.f_max_pool2d([*kernel; 2], [*stride; 2], [*padding; 2], [1, 1], false)?
            }
            Self::AvgPool => x.f_avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None)?,
            Self::AdaptiveAvgPool { side } => x.f_adaptive_avg_pool2d([*side; 2])?,
            Self::Flatten => x.f_flatten(1, -1)?,
            Self::Dropout => x.f_dropout(0.5, mode.dropout)?,
            Self::Linear { weight, bias } => {
                let (x, weight) = (x.f_to_kind(mode.kind)?, weight.f_to_kind(mode.kind)?);
                x.f_linear(&weight, Some(bias.f_to_kind(mode.kind)?))?
            }
            Self::Residual { main, shortcut } => {
                let added = run(main, x, mode)?.f_add(&run(shortcut, x, mode)?)?;
                added.f_relu()?
            }
            Self::Dense(stacks) => {
                let mut all = vec![x.shallow_clone()];
                for stack in stacks {
                    let more = run(stack, &Tensor::f_cat(&all, 1)?, mode)?;
                    all.push(more);
                }
                Tensor::f_cat(&all, 1)?
            }
        })
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

    /// This path is only used on a GPU; here it is compared with the plain one.
    #[test]
    fn pooling_before_the_bias_gives_the_same_numbers_and_gradients() {
        tch::manual_seed(7);
        let drawn = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let (weight, bias, x) = (drawn(&[5, 3, 3, 3]), drawn(&[5]), drawn(&[2, 3, 9, 8]));
        let conv =
            Layer::Conv { weight: weight.shallow_clone(), bias: Some(bias.shallow_clone()), stride: 1, padding: 1 };
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
