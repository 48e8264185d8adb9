//! The layers applied to a batch of which one process computes several shares, each as a rank of its own would compute it.
//!
//! Every share has a copy of the layers whose parameters are aliases of the network's, two by two: autograd adds up the
//! gradients of a pair, of two pairs, and so on. Ranks add up [in the same order](crate::base::ranks::Ranks::all_reduce_in_order), so
//! that their number does not change a bit of the sum.

use super::layer::{Layer, Mode, dropped, run_together, together};
use crate::base::errors::{Result, bail};
use tch::Tensor;

/// Applies the layers to the shares of `input` `[N, …]`, of so many rows each.
pub(super) fn run_each_share(layers: &[Layer], input: &Tensor, rows: &[i64], mode: Mode) -> Result<Tensor> {
    if rows.len() == 1 {
        return one(run_side_by_side(&[layers], vec![input.shallow_clone()], mode)?);
    }
    let copies = copies(layers, rows.len())?;
    let copies: Vec<&[Layer]> = copies.iter().map(Vec::as_slice).collect();
    let shares = run_side_by_side(&copies, input.f_split_with_sizes(rows, 0)?, mode)?;
    Ok(Tensor::f_cat(&shares, 0)?)
}

/// The only tensor.
pub(super) fn one(tensors: Vec<Tensor>) -> Result<Tensor> {
    match <[Tensor; 1]>::try_from(tensors) {
        Ok([only]) => Ok(only),
        Err(all) => bail!("expected one share of a batch, found {}", all.len()),
    }
}

/// Copies of the layers for a number of shares that is a power of two; see the module's documentation.
fn copies(layers: &[Layer], count: usize) -> Result<Vec<Vec<Layer>>> {
    if count == 1 {
        return Ok(vec![copied(layers, &|parameter| Ok(parameter.shallow_clone()))?]);
    }
    // Both are functions of the tensor: autograd has two gradients to add up, whose order does not matter.
    let mut all = Vec::new();
    for _ in 0..2 {
        all.extend(copies(&copied(layers, &|parameter| Ok(parameter.f_view_as(parameter)?))?, count / 2)?);
    }
    Ok(all)
}

fn copied(layers: &[Layer], parameter: &dyn Fn(&Tensor) -> Result<Tensor>) -> Result<Vec<Layer>> {
    layers.iter().map(|layer| layer.copied(parameter)).collect()
}

impl Layer {
    /// The layers in it: main and shortcut, or one of the stacks; none where it has no such.
    fn inner(&self, number: usize) -> &[Self] {
        match (self, number) {
            (Self::Residual { main, .. }, 0) => main,
            (Self::Residual { shortcut, .. }, 1) => shortcut,
            (Self::Dense(stacks), _) => stacks.get(number).map_or(&[], Vec::as_slice),
            _ => &[],
        }
    }

    /// The same layer with `parameter` of each parameter; it shares the running statistics.
    pub(super) fn copied(&self, parameter: &dyn Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        Ok(match self {
            Self::Conv { weight, bias, stride, padding, groups } => Self::Conv {
                weight: parameter(weight)?,
                bias: bias.as_ref().map(parameter).transpose()?,
                stride: *stride,
                padding: *padding,
                groups: *groups,
            },
            Self::BatchNorm { weight, bias, mean, variance, batches, numbers } => Self::BatchNorm {
                weight: parameter(weight)?,
                bias: parameter(bias)?,
                mean: mean.shallow_clone(),
                variance: variance.shallow_clone(),
                batches: batches.shallow_clone(),
                numbers: *numbers,
            },
            Self::Linear { weight, bias } => Self::Linear { weight: parameter(weight)?, bias: parameter(bias)? },
            Self::Relu => Self::Relu,
            Self::Relu6 => Self::Relu6,
            Self::MaxPool { kernel, stride, padding } => {
                Self::MaxPool { kernel: *kernel, stride: *stride, padding: *padding }
            }
            Self::AvgPool => Self::AvgPool,
            Self::AdaptiveAvgPool { side } => Self::AdaptiveAvgPool { side: *side },
            Self::Flatten => Self::Flatten,
            Self::Dropout { rate } => Self::Dropout { rate: *rate },
            Self::Residual { main, shortcut, rectified } => Self::Residual {
                main: copied(main, parameter)?,
                shortcut: copied(shortcut, parameter)?,
                rectified: *rectified,
            },
            Self::Dense(stacks) => {
                Self::Dense(stacks.iter().map(|stack| copied(stack, parameter)).collect::<Result<_>>()?)
            }
        })
    }
}

/// Applies each share's layers to it, all shares one layer at a time: batch norm needs them together.
pub(super) fn run_side_by_side(layers: &[&[Layer]], shares: Vec<Tensor>, mode: Mode) -> Result<Vec<Tensor>> {
    let Some(first) = layers.first() else { return Ok(shares) };
    let (mut xs, mut at) = (shares, 0);
    while at < first.len() {
        let count = xs.first().map_or(1, |x| together(&first[at..], x));
        xs = if count > 1 {
            let each = layers.iter().zip(&xs).map(|(layers, x)| run_together(&layers[at..at + count], x, mode));
            each.collect::<Result<_>>()?
        } else {
            let layer: Vec<&Layer> = layers.iter().map(|layers| &layers[at]).collect();
            layer_side_by_side(&layer, &xs, mode)?
        };
        at += count;
    }
    Ok(xs)
}

/// One layer, of which every share has its copy.
pub(super) fn layer_side_by_side(layer: &[&Layer], xs: &[Tensor], mode: Mode) -> Result<Vec<Tensor>> {
    match layer {
        [first @ Layer::BatchNorm { .. }, ..] => first.batch_normed(xs, mode),
        [Layer::Dropout { rate }, ..] => dropped(xs, *rate, mode),
        [Layer::Residual { rectified, .. }, ..] => {
            let of = |which: usize| -> Result<Vec<Tensor>> {
                let stacks: Vec<&[Layer]> = layer.iter().map(|layer| layer.inner(which)).collect();
                run_side_by_side(&stacks, xs.iter().map(Tensor::shallow_clone).collect(), mode)
            };
            let (main, shortcut) = (of(0)?, of(1)?);
            let sum = |(main, shortcut): (Tensor, Tensor)| -> Result<Tensor> {
                let sum = main.f_add(&shortcut)?;
                Ok(if *rectified { sum.f_relu()? } else { sum })
            };
            main.into_iter().zip(shortcut).map(sum).collect()
        }
        [Layer::Dense(stacks), ..] => {
            let mut all: Vec<Vec<Tensor>> = xs.iter().map(|x| vec![x.shallow_clone()]).collect();
            let joined = |all: &[Vec<Tensor>]| -> Result<Vec<Tensor>> {
                all.iter().map(|of_share| Ok(Tensor::f_cat(of_share, 1)?)).collect()
            };
            for number in 0..stacks.len() {
                let stacks: Vec<&[Layer]> = layer.iter().map(|layer| layer.inner(number)).collect();
                let more = run_side_by_side(&stacks, joined(&all)?, mode)?;
                all.iter_mut().zip(more).for_each(|(of_share, more)| of_share.push(more));
            }
            joined(&all)
        }
        _ => layer.iter().zip(xs).map(|(layer, x)| layer.plain(x, mode)).collect(),
    }
}
