//! Batch norm as the scale and the shift of each channel, with which it is folded into convolutions.

use super::layer::{Layer, NormNumbers};
use crate::base::errors::{Result, bail, ensure};
use tch::{Kind, Tensor};

/// Further away than any activation; a mean over four values of this size is still finite.
const FAR: f32 = 1e12;

/// Batch norm with running statistics: scale · x + shift, each `[C]` f64.
pub(super) struct ScaleAndShift {
    pub(super) scale: Tensor,
    pub(super) shift: Tensor,
}

impl ScaleAndShift {
    pub(super) fn of(norm: &Layer) -> Result<Self> {
        let Layer::BatchNorm { weight, bias, mean, variance, numbers: NormNumbers { epsilon, .. }, .. } = norm else {
            bail!("{norm:?} is no batch norm");
        };
        let [weight, bias, mean, variance] = [weight, bias, mean, variance].map(|of| of.f_to_kind(Kind::Double));
        let scale = weight?.f_mul(&variance?.f_add_scalar(*epsilon)?.f_rsqrt()?)?;
        let shift = bias?.f_sub(&mean?.f_mul(&scale)?)?;
        // The comparisons of a ReLU and of bounds would make numbers of what is none.
        for (what, of) in [("scale", &scale), ("shift", &shift)] {
            let is_finite = of.f_isfinite()?.f_all()?.f_int64_value(&[])? == 1;
            ensure!(is_finite, "batch norm's {what} is no finite number: expected a variance above -{epsilon}");
        }
        Ok(Self { scale, shift })
    }

    /// Bounds `[1, C, 1, 1]` f32, and a scale and a shift with which relu(scale · x + shift) is theirs of x within the bounds;
    /// the upper bound is `None` where it cuts nothing off.
    pub(super) fn cut_off(&self) -> Result<(Tensor, Option<Tensor>, Self)> {
        let (scales, shifts) = (Vec::<f64>::try_from(&self.scale)?, Vec::<f64>::try_from(&self.shift)?);
        let (mut low, mut high) = (vec![f32::NEG_INFINITY; scales.len()], vec![f32::INFINITY; scales.len()]);
        let (mut scale, mut shift) = (scales.clone(), shifts.clone());
        for (channel, (s, t)) in scales.into_iter().zip(shifts).enumerate() {
            let bound = (-t / s) as f32;
            if bound.is_nan() || bound.abs() > FAR {
                // A channel that batch norm makes a constant.
                (scale[channel], shift[channel], low[channel]) = (0.0, t.max(0.0), 0.0);
                high[channel] = 0.0;
            } else if s > 0.0 {
                low[channel] = bound;
            } else {
                high[channel] = bound;
            }
        }
        let bounds = |of: &[f32]| -> Result<Tensor> { Ok(Tensor::f_from_slice(of)?.f_view([1_i64, -1, 1, 1])?) };
        let high = high.iter().any(|high| *high < f32::INFINITY).then(|| bounds(&high)).transpose()?;
        Ok((bounds(&low)?, high, Self { scale: Tensor::f_from_slice(&scale)?, shift: Tensor::f_from_slice(&shift)? }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn batch_norm_and_relu_are_values_cut_off_scaled_and_shifted() {
        let of = |values: &[f32]| Tensor::from_slice(values);
        // Positive, negative, no scale with a positive and a negative shift, one that is nearly none.
        let scales = [2.0, -0.5, 0.0, 0.0, 1e-42];
        let norm = |scales: &[f32]| Layer::BatchNorm {
            weight: of(scales),
            bias: of(&[0.5, 1.5, 0.75, -0.75, 3.0]),
            mean: of(&[0.25, -1.0, 3.0, 3.0, 1.0]),
            variance: of(&[4.0, 0.25, 1.0, 1.0, 1.0]),
            batches: Tensor::zeros([], (Kind::Int64, Device::Cpu)),
            numbers: NormNumbers::PYTORCH,
        };
        let x = Tensor::arange(2 * 5 * 9, (Kind::Float, Device::Cpu)).reshape([2, 5, 3, 3]) * 0.7 - 30.0;
        let x = x.remainder(4.0) - 2.0;
        let expected = norm(&scales).run(&x, super::super::Mode::evaluation(Kind::Float)).expect("runs").relu();
        let (low, high, outside) = ScaleAndShift::of(&norm(&scales)).expect("a norm").cut_off().expect("bounds");
        let cut = x.clamp_tensor(Some(&low), high.as_ref()).to_kind(Kind::Double);
        let found = cut * outside.scale.view([1, -1, 1, 1]) + outside.shift.view([1, -1, 1, 1]);
        assert!((found - &expected).abs().max().double_value(&[]) < 1e-6);
        for channel in [0, 1] {
            let map = expected.select(1, channel);
            assert!(map.min().double_value(&[]) == 0.0 && map.max().double_value(&[]) > 0.5, "cut and not cut");
        }
        // Nothing is cut off above where every scale is positive.
        assert!(ScaleAndShift::of(&norm(&[1.0; 5])).expect("a norm").cut_off().expect("bounds").1.is_none());
    }
}
