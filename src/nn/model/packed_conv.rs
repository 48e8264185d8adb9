//! A convolution whose weight lies as oneDNN's kernels read it, and which rectifies or adds while it writes its result.
//! libtorch has this for its compiler; tch does not expose it, so that a small TorchScript program calls it.

use super::layer::Padding;
use crate::base::errors::{Context, Result, bail};
use crate::nn::script;
use std::sync::OnceLock;
use tch::{CModule, IValue, Kind, Tensor};

const CODE: &str = "\
class Convolutions(Module):
  __parameters__ = []
  __buffers__ = []
  def packed(self: __torch__.Convolutions,
    weight: Tensor,
    padding: List[int],
    stride: List[int],
    groups: int,
    input: List[int]) -> Tensor:
    return ops.mkldnn._reorder_convolution_weight(weight, padding, stride, [1, 1], groups, input)
  def convolved(self: __torch__.Convolutions,
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    padding: List[int],
    stride: List[int],
    groups: int,
    end: str) -> Tensor:
    return ops.mkldnn._convolution_pointwise(input, weight, bias, padding, stride, [1, 1], groups, end, \
annotate(List[Optional[number]], []), \"\")
  def added(self: __torch__.Convolutions,
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    padding: List[int],
    stride: List[int],
    groups: int,
    end: Optional[str],
    other: Tensor) -> Tensor:
    return ops.mkldnn._convolution_pointwise_(other, input, weight, bias, padding, stride, [1, 1], groups, \"add\", 1., \
end, annotate(List[Optional[number]], []), None)
";

/// What is done to the result of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    Nothing,
    Relu,
    Relu6,
}

/// A convolution in f32 on a CPU.
#[derive(Debug)]
pub(super) struct PackedConv {
    /// In a layout of oneDNN's, which no other operator reads.
    weight: Tensor,
    bias: Tensor,
    stride: i64,
    padding: Padding,
    groups: i64,
    /// Height and width.
    kernel: (i64, i64),
}

impl PackedConv {
    /// Packs `weight` `[out, in / groups, height, width]` for inputs like `input`; others are convolved, too, if more
    /// slowly.
    pub(super) fn new(
        weight: &Tensor,
        bias: &Tensor,
        (stride, padding, groups): (i64, Padding, i64),
        input: &Tensor,
    ) -> Result<Self> {
        let (_, channels, high, wide) = weight.size4()?;
        // Said explicitly, since the layouts of a kernel 1×1 cannot be told apart by its values' order.
        let strides = [channels * high * wide, 1, channels * wide, channels];
        let weight = weight.f_to_kind(Kind::Float)?;
        let laid = Tensor::f_empty_strided(weight.size(), strides, (Kind::Float, weight.device()))?;
        laid.shallow_clone().f_copy_(&weight)?;
        let bias = bias.f_to_kind(Kind::Float)?;
        let mut conv = Self { weight: laid, bias, stride, padding, groups, kernel: (high, wide) };
        let (input, zeros) = conv.padded(input)?;
        let packed = [
            IValue::Tensor(conv.weight.shallow_clone()),
            IValue::IntList(zeros),
            IValue::IntList(vec![stride; 2]),
            IValue::Int(groups),
            IValue::IntList(input.size()),
        ];
        conv.weight = tensor(program()?.method_is("packed", &packed).context("packing a weight for oneDNN")?)?;
        Ok(conv)
    }

    /// The same tensors.
    pub(super) fn shared(&self) -> Self {
        Self { weight: self.weight.shallow_clone(), bias: self.bias.shallow_clone(), ..*self }
    }

    /// The convolution of `x` `[N, C, H, W]`, channels last.
    pub(super) fn run(&self, x: &Tensor, behind: Behind) -> Result<Tensor> {
        let end = if behind == Behind::Nothing { "none" } else { "relu" };
        let mut arguments = self.arguments(x)?;
        arguments.push(IValue::String(end.to_owned()));
        let mut y = tensor(program()?.method_is("convolved", &arguments)?)?;
        if behind == Behind::Relu6 {
            y = y.f_clamp_max_(6.0)?;
        }
        Ok(y)
    }

    /// The convolution of `x` plus `other`, into whose memory the sum is written; `rectified` by a ReLU.
    pub(super) fn added(&self, x: &Tensor, other: Tensor, rectified: bool) -> Result<Tensor> {
        let mut arguments = self.arguments(x)?;
        arguments.push(if rectified { IValue::String("relu".to_owned()) } else { IValue::None });
        arguments.push(IValue::Tensor(other));
        tensor(program()?.method_is("added", &arguments)?)
    }

    fn arguments(&self, x: &Tensor) -> Result<Vec<IValue>> {
        let (x, zeros) = self.padded(x)?;
        Ok(vec![
            IValue::Tensor(x),
            IValue::Tensor(self.weight.shallow_clone()),
            IValue::Tensor(self.bias.shallow_clone()),
            IValue::IntList(zeros),
            IValue::IntList(vec![self.stride; 2]),
            IValue::Int(self.groups),
        ])
    }

    /// The input, and the zeros that are to be added above and below, and on the left and the right; where these differ
    /// the zeros are in the input already.
    fn padded(&self, x: &Tensor) -> Result<(Tensor, Vec<i64>)> {
        let (_, _, height, width) = x.size4()?;
        let (top, bottom) = self.padding.around(height, self.kernel.0, self.stride);
        let (left, right) = self.padding.around(width, self.kernel.1, self.stride);
        if (top, left) == (bottom, right) {
            return Ok((x.shallow_clone(), vec![top, left]));
        }
        Ok((x.f_constant_pad_nd([left, right, top, bottom])?, vec![0, 0]))
    }
}

fn tensor(value: IValue) -> Result<Tensor> {
    match value {
        IValue::Tensor(tensor) => Ok(tensor),
        other => bail!("expected a tensor of libtorch's convolution, found {other:?}"),
    }
}

/// The program, loaded once.
fn program() -> Result<&'static CModule> {
    static PROGRAM: OnceLock<CModule> = OnceLock::new();
    if let Some(program) = PROGRAM.get() {
        return Ok(program);
    }
    let loaded = script::loaded("Convolutions", CODE)?;
    Ok(PROGRAM.get_or_init(|| loaded))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    /// Values that need no shared generator.
    fn drawn(shape: &[i64], by: f64) -> Tensor {
        let count: i64 = shape.iter().product();
        (Tensor::arange(count, (Kind::Float, Device::Cpu)) * by).sin().reshape(shape)
    }

    fn differ(found: &Tensor, expected: &Tensor) -> f64 {
        assert_eq!(found.size(), expected.size());
        (found - expected).abs().max().double_value(&[])
    }

    #[test]
    fn packed_convolutions_are_libtorchs() {
        let _guard = tch::no_grad_guard();
        // Channels in and out, groups, kernel, stride.
        for (inputs, outputs, groups, side, stride) in
            [(5, 8, 1, 3, 1), (1, 6, 1, 7, 2), (12, 9, 1, 1, 1), (16, 16, 16, 3, 2)]
        {
            let (weight, bias) = (drawn(&[outputs, inputs / groups, side, side], 0.7), drawn(&[outputs], 1.3));
            let x = drawn(&[3, inputs, 10, 9], 0.37).contiguous_channels_last();
            let padding = side / 2;
            let conv = PackedConv::new(&weight, &bias, (stride, Padding::Each(padding), groups), &x.narrow(0, 0, 1));
            let conv = conv.expect("packs");
            let plain = x.conv2d(&weight, Some(&bias), [stride; 2], [padding; 2], [1, 1], groups);
            let expected =
                [(Behind::Nothing, plain.copy()), (Behind::Relu, plain.relu()), (Behind::Relu6, plain.relu6())];
            for (behind, expected) in expected {
                let found = conv.shared().run(&x, behind).expect("convolves");
                assert!(differ(&found, &expected) < 1e-5, "{inputs} {side} {behind:?}");
            }
            for (rectified, expected) in [(false, &plain + 0.5), (true, (&plain + 0.5).relu())] {
                let other = Tensor::full_like(&plain, 0.5);
                let found = conv.added(&x, other.shallow_clone(), rectified).expect("adds");
                assert!(differ(&found, &expected) < 1e-5, "{inputs} {side} {rectified}");
                assert!(differ(&other, &found) == 0.0, "the sum is in the memory of the other");
            }
        }
    }

    trait ChannelsLast {
        fn contiguous_channels_last(&self) -> Tensor;
    }

    impl ChannelsLast for Tensor {
        fn contiguous_channels_last(&self) -> Tensor {
            self.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
        }
    }

    #[test]
    fn zeros_of_tensorflows_padding_depend_on_the_input() {
        let _guard = tch::no_grad_guard();
        let (weight, bias) = (drawn(&[4, 3, 3, 3], 0.7), drawn(&[4], 1.3));
        let conv = PackedConv::new(&weight, &bias, (2, Padding::Same, 1), &drawn(&[1, 3, 8, 8], 1.0)).expect("packs");
        for (height, width) in [(8, 8), (7, 8), (8, 7), (7, 7)] {
            let x = drawn(&[2, 3, height, width], 0.37);
            let found = conv.run(&x, Behind::Nothing).expect("convolves");
            let (top, left) = (height % 2, width % 2);
            let padded = x.constant_pad_nd([left, 1, top, 1]);
            let expected = padded.conv2d(&weight, Some(&bias), [2, 2], [0, 0], [1, 1], 1);
            assert!(differ(&found, &expected) < 1e-5, "{height} {width}");
        }
    }
}
