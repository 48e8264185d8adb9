//! Convolutions 3×3 with fewer multiplications: F(4×4, 3×3) of Lavin and Gray (2016), after Winograd.
//!
//! A tile of 6×6 values and the kernel are transformed to 36 values each, whose products, summed over channels, give 4×4
//! results: 36 multiplications in the place of 144. The transforms are linear, so that all of it is products of matrices.
//! Rounding is two to three times that of the plain sum.

use super::packed_conv::Behind;
use crate::base::errors::Result;
use tch::{Kind, Tensor};

/// Results on the side of a tile.
const OUT: i64 = 4;
/// Values on the side of a tile.
const IN: i64 = 6;
/// With fewer channels the transforms cost more than the products save.
const FEWEST_CHANNELS: i64 = 128;
/// Larger maps do not stay in a core's caches from one product to the next.
const LARGEST_SIDE: i64 = 56;

/// The transforms of input, kernel and output, row by row (Lavin and Gray's Bᵀ, G and Aᵀ).
const INPUT: [f64; 36] = [
    4.0, 0.0, -5.0, 0.0, 1.0, 0.0, 0.0, -4.0, -4.0, 1.0, 1.0, 0.0, 0.0, 4.0, -4.0, -1.0, 1.0, 0.0, 0.0, -2.0, -1.0,
    2.0, 1.0, 0.0, 0.0, 2.0, -1.0, -2.0, 1.0, 0.0, 0.0, 4.0, 0.0, -5.0, 0.0, 1.0,
];
const KERNEL: [f64; 18] = [
    1.0 / 4.0,
    0.0,
    0.0,
    -1.0 / 6.0,
    -1.0 / 6.0,
    -1.0 / 6.0,
    -1.0 / 6.0,
    1.0 / 6.0,
    -1.0 / 6.0,
    1.0 / 24.0,
    1.0 / 12.0,
    1.0 / 6.0,
    1.0 / 24.0,
    -1.0 / 12.0,
    1.0 / 6.0,
    0.0,
    0.0,
    1.0,
];
const OUTPUT: [f64; 24] = [
    1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, -1.0, 2.0, -2.0, 0.0, 0.0, 1.0, 1.0, 4.0, 4.0, 0.0, 0.0, 1.0, -1.0, 8.0,
    -8.0, 1.0,
];

/// A convolution 3×3 of stride 1 with a zero on each side, in f32 on a CPU.
#[derive(Debug)]
pub(super) struct WinogradConv {
    /// `[36, in, out]`.
    weight: Tensor,
    bias: Tensor,
    /// `[36, 36]`: of a tile's values, row by row.
    into: Tensor,
    /// `[16, 36]`.
    back: Tensor,
}

impl WinogradConv {
    /// Whether it is faster than the plain sum, for a kernel `[out, in, height, width]` that is moved by 1, and an input.
    pub(super) fn serves(kernel: &[i64], input: &Tensor) -> bool {
        let small = |side: &i64| *side <= LARGEST_SIDE;
        matches!(kernel, [out, inputs, 3, 3] if *out.min(inputs) >= FEWEST_CHANNELS)
            && input.size()[2..].iter().all(small)
    }

    /// `weight` `[out, in, 3, 3]` and `bias` `[out]` in f64.
    pub(super) fn new(weight: &Tensor, bias: &Tensor) -> Result<Self> {
        let square = |values: &[f64], rows: i64| -> Result<Tensor> {
            let one = Tensor::f_from_slice(values)?.f_view([rows, -1])?;
            Ok(one.f_kron(&one)?)
        };
        let (out, inputs, _, _) = weight.size4()?;
        // [36, 9] of the kernel's values, row by row.
        let weight = square(&KERNEL, IN)?.f_matmul(&weight.f_reshape([out * inputs, 9])?.f_transpose(0, 1)?)?;
        let weight =
            weight.f_view([IN * IN, out, inputs])?.f_transpose(1, 2)?.f_to_kind(Kind::Float)?.f_contiguous()?;
        let [into, back] = [square(&INPUT, IN)?, square(&OUTPUT, OUT)?].map(|of| of.f_to_kind(Kind::Float));
        Ok(Self { weight, bias: bias.f_to_kind(Kind::Float)?, into: into?, back: back? })
    }

    /// The same tensors.
    pub(super) fn shared(&self) -> Self {
        let [weight, bias, into, back] = [&self.weight, &self.bias, &self.into, &self.back].map(Tensor::shallow_clone);
        Self { weight, bias, into, back }
    }

    /// The convolution of `x` `[N, C, H, W]`; channels last.
    pub(super) fn run(&self, x: &Tensor, behind: Behind) -> Result<Tensor> {
        let (n, channels, height, width) = x.size4()?;
        let (high, wide) = ((height + OUT - 1) / OUT, (width + OUT - 1) / OUT);
        let padded = Tensor::f_zeros([n, high * OUT + 2, wide * OUT + 2, channels], (Kind::Float, x.device()))?;
        padded.f_narrow(1, 1, height)?.f_narrow(2, 1, width)?.f_copy_(&x.f_permute([0, 2, 3, 1])?)?;
        // Tiles overlap by two.
        let (image, row, column) =
            ((wide * OUT + 2) * (high * OUT + 2) * channels, (wide * OUT + 2) * channels, channels);
        let strides = [row, column, image, OUT * row, OUT * column, 1];
        let tiles = padded.f_as_strided([IN, IN, n, high, wide, channels], strides, None::<i64>)?;
        let tiles = self.into.f_mm(&tiles.f_reshape([IN * IN, -1])?)?.f_view([IN * IN, n * high * wide, channels])?;
        let products = tiles.f_bmm(&self.weight)?.f_view([IN * IN, -1])?;
        let results = self.back.f_mm(&products)?.f_view([OUT, OUT, n, high, wide, -1])?;
        let results = results.f_permute([2, 3, 0, 4, 1, 5])?.f_reshape([n, high * OUT, wide * OUT, -1])?;
        let mut y = results.f_narrow(1, 0, height)?.f_narrow(2, 0, width)?.f_add(&self.bias)?;
        y = match behind {
            Behind::Nothing => y,
            Behind::Relu => y.f_relu_()?,
            Behind::Relu6 => y.f_clamp_(0.0, 6.0)?,
        };
        Ok(y.f_permute([0, 3, 1, 2])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn winograds_convolutions_are_libtorchs() {
        let _guard = tch::no_grad_guard();
        let drawn = |shape: &[i64], by: f64| {
            let count: i64 = shape.iter().product();
            (Tensor::arange(count, (Kind::Double, Device::Cpu)) * by).sin().reshape(shape)
        };
        let (weight, bias) = (drawn(&[7, 5, 3, 3], 0.7), drawn(&[7], 1.3));
        let conv = WinogradConv::new(&weight, &bias).expect("transforms");
        // Whole tiles, and results beyond the map on one side or both.
        for (height, width) in [(4, 8), (7, 7), (1, 5), (10, 12)] {
            let x = drawn(&[3, 5, height, width], 0.37);
            let plain = x.conv2d(&weight, Some(&bias), [1, 1], [1, 1], [1, 1], 1);
            let channels_last = x.to_kind(Kind::Float).permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
            let expected =
                [(Behind::Nothing, plain.copy()), (Behind::Relu, plain.relu()), (Behind::Relu6, plain.relu6())];
            for (behind, expected) in expected {
                for x in [&channels_last, &channels_last.contiguous()] {
                    let found = conv.shared().run(x, behind).expect("convolves");
                    assert_eq!(found.size(), expected.size());
                    let off = (found.to_kind(Kind::Double) - &expected).abs().max().double_value(&[]);
                    assert!(off < 1e-5, "{height} {width} {behind:?}: {off}");
                }
            }
        }
    }

    #[test]
    fn it_serves_many_channels_in_small_maps() {
        let map = |side| Tensor::zeros([1, 1, side, 14], (Kind::Float, Device::Cpu));
        assert!(WinogradConv::serves(&[128, 256, 3, 3], &map(56)));
        assert!(!WinogradConv::serves(&[128, 256, 3, 3], &map(57)));
        assert!(!WinogradConv::serves(&[48, 192, 3, 3], &map(14)) && !WinogradConv::serves(&[192, 48, 3, 3], &map(14)));
        assert!(
            !WinogradConv::serves(&[256, 256, 1, 1], &map(14)) && !WinogradConv::serves(&[256, 256, 5, 5], &map(14))
        );
    }
}
