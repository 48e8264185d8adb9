//! Turns stored values into Hounsfield units in the view of radiologists.

use super::pixel_layout::{Bits, PixelLayout, Rescale};
use crate::data::pixels::Turn;
use std::borrow::Cow;

/// Stored values of a frame, row by row.
pub(super) enum Samples<'a> {
    /// As they lie in the file: numbers of 8, 16 or 32 bits.
    Bytes { bytes: Cow<'a, [u8]>, value_bytes: usize, big: bool },
    /// As decoders give them.
    Words(Vec<u16>),
}

/// Rows that are turned at a time, so that both sides of a transposition stay in the cache.
const BAND: usize = 16;
/// Whole numbers up to this are exact in `f32`.
const EXACT: f64 = 16_777_216.0;

/// Rescales and turns the samples of a frame; those after its last pixel are ignored.
///
/// `None` if there are fewer samples than pixels.
pub(super) fn hounsfield(
    samples: &Samples<'_>,
    layout: &PixelLayout,
    rescale: &Rescale,
    turn: Turn,
) -> Option<Vec<f32>> {
    let pixels = layout.pixels();
    let plan =
        TurnPlan { width: layout.width as usize, height: layout.height as usize, bits: layout.bits, rescale, turn };
    Some(match samples {
        Samples::Words(words) => plan.rescaled(words.get(..pixels)?, |word| word.into()),
        Samples::Bytes { bytes, value_bytes: 1, .. } => plan.rescaled(bytes.get(..pixels)?, |byte| byte.into()),
        Samples::Bytes { bytes, value_bytes: 2, big } => {
            let words = bytes.as_chunks::<2>().0.get(..pixels)?;
            match big {
                false => plan.rescaled(words, |word| u16::from_le_bytes(word).into()),
                true => plan.rescaled(words, |word| u16::from_be_bytes(word).into()),
            }
        }
        Samples::Bytes { bytes, big, .. } => {
            let longs = bytes.as_chunks::<4>().0.get(..pixels)?;
            match big {
                false => plan.rescaled(longs, u32::from_le_bytes),
                true => plan.rescaled(longs, u32::from_be_bytes),
            }
        }
    })
}

struct TurnPlan<'a> {
    width: usize,
    height: usize,
    bits: Bits,
    rescale: &'a Rescale,
    turn: Turn,
}

impl TurnPlan<'_> {
    /// Chooses the loop: each of them has no branch inside, so that it vectorises.
    fn rescaled<T: Copy>(&self, samples: &[T], raw: impl Fn(T) -> u32) -> Vec<f32> {
        let Bits { stored, high, signed } = self.bits;
        let (left, right) = (31 - high, 32 - stored);
        match signed {
            true => self.scaled(samples, |sample| ((raw(sample) << left) as i32) >> right),
            false => self.scaled(samples, |sample| ((raw(sample) << left) >> right) as i32),
        }
    }

    fn scaled<T: Copy>(&self, samples: &[T], value: impl Fn(T) -> i32) -> Vec<f32> {
        match self.rescale {
            Rescale::Table { first, entries } => self.turned(samples, |sample| {
                let index = value(sample).saturating_sub(*first).max(0) as usize;
                entries[index.min(entries.len() - 1)]
            }),
            &Rescale::Linear { slope, intercept } if self.exact(slope, intercept) => {
                let (slope, intercept) = (slope as f32, intercept as f32);
                self.turned(samples, |sample| value(sample) as f32 * slope + intercept)
            }
            // 32 unsigned bits wrapped around.
            &Rescale::Linear { slope, intercept } if self.bits.stored == 32 && !self.bits.signed => {
                self.turned(samples, |sample| (f64::from(value(sample) as u32) * slope + intercept) as f32)
            }
            &Rescale::Linear { slope, intercept } => {
                self.turned(samples, |sample| (f64::from(value(sample)) * slope + intercept) as f32)
            }
        }
    }

    /// Whether single precision gives the same as double precision: with whole numbers that are small enough.
    fn exact(&self, slope: f64, intercept: f64) -> bool {
        let (low, high) = self.bits.range();
        let largest = low.abs().max(high) * slope.abs().max(1.0) + intercept.abs();
        slope.fract() == 0.0 && intercept.fract() == 0.0 && largest < EXACT
    }

    fn turned<T: Copy>(&self, samples: &[T], unit: impl Fn(T) -> f32) -> Vec<f32> {
        let Self { width, height, turn, .. } = *self;
        let mut units = vec![0.0; width * height];
        if turn.transpose {
            let mut band = vec![0.0; BAND * width];
            for (index, rows) in samples.chunks(BAND * width).enumerate() {
                for (unit_, &sample) in band.iter_mut().zip(rows) {
                    *unit_ = unit(sample);
                }
                self.transpose(&band[..rows.len()], index * BAND, &mut units);
            }
        } else {
            for (row, samples) in samples.chunks_exact(width).enumerate() {
                let row = if turn.flip_y { height - 1 - row } else { row };
                let units = &mut units[row * width..][..width];
                for (unit_, &sample) in units.iter_mut().zip(samples) {
                    *unit_ = unit(sample);
                }
                if turn.flip_x {
                    units.reverse();
                }
            }
        }
        units
    }

    /// Writes a band of stored rows, `first` being the topmost, as columns.
    fn transpose(&self, band: &[f32], first: usize, units: &mut [f32]) {
        let Self { width, height, turn, .. } = *self;
        let rows = band.len() / width;
        for column in 0..width {
            let row = if turn.flip_y { width - 1 - column } else { column };
            let start = if turn.flip_x { height - first - rows } else { first };
            let units = &mut units[row * height + start..][..rows];
            for (at, unit) in units.iter_mut().enumerate() {
                let from = if turn.flip_x { rows - 1 - at } else { at };
                *unit = band[from * width + column];
            }
        }
    }
}
