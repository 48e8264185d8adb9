//! Features that are read row by row, and passes over them.

use crate::base::errors::Result;
use multiversion::multiversion;
use rayon::prelude::*;
use std::ops::Range;

/// Rows that are summed before their sum is added to the others. Fixed, so that the bits of a sum do not depend on the
/// number of threads.
const CHUNK: usize = 64;
/// Rows that are read together; few enough that the processor's cache holds them.
const TOGETHER: usize = 16;
/// Chunks whose sums are in memory at once.
const CHUNKS: usize = 64;
/// Partial sums of a dot product: as many as two registers of 512 bits hold, on all machines, so that the
/// bits are the same.
const LANES: usize = 16;

/// Rows of features `[N, F]` f32 that need not be in memory.
pub(crate) trait FeatureRows: Sync {
    /// N.
    fn count(&self) -> usize;

    /// F.
    fn width(&self) -> usize;

    /// Writes the F features of each of these rows, one after the other.
    fn read(&self, rows: Range<usize>, into: &mut [f32]) -> Result<()>;

    /// A row in messages.
    fn named(&self, row: usize) -> String {
        format!("row {row}")
    }
}

/// One pass: `of_row` is given each row's number and features and adds to a sum of `length` numbers, and returns a value
/// for the row. Returns the values, and the sum over all rows.
pub(super) fn pass(
    features: &dyn FeatureRows,
    length: usize,
    of_row: impl Fn(usize, &[f32], &mut [f64]) -> Result<f64> + Sync,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let rows = features.count();
    let chunk = |rows: Range<usize>| -> Result<(Vec<f64>, Vec<f64>)> {
        let (width, mut sum, mut values) = (features.width(), vec![0.0; length], Vec::with_capacity(rows.len()));
        let mut read = vec![0.0; width * TOGETHER];
        for begin in rows.clone().step_by(TOGETHER) {
            let together = begin..(begin + TOGETHER).min(rows.end);
            let read = &mut read[..width * together.len()];
            features.read(together.clone(), read)?;
            for (number, row) in together.zip(read.chunks_exact(width.max(1))) {
                values.push(of_row(number, row, &mut sum)?);
            }
        }
        Ok((values, sum))
    };
    let (mut values, mut sum) = (Vec::with_capacity(rows), vec![0.0; length]);
    let begins: Vec<usize> = (0..rows).step_by(CHUNK).collect();
    for begins in begins.chunks(CHUNKS) {
        let done: Vec<_> = begins.par_iter().map(|&begin| chunk(begin..(begin + CHUNK).min(rows))).collect();
        for of_chunk in done {
            let (more, part) = of_chunk?;
            values.extend(more);
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
    }
    Ok((values, sum))
}

/// x · u, summed in f64.
#[multiversion(targets("x86_64+avx2", "x86_64+avx512f"))]
pub(super) fn dot(x: &[f32], u: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    let (wide_x, wide_u) = (x.chunks_exact(LANES), u.chunks_exact(LANES));
    let rest: f64 = wide_x.remainder().iter().zip(wide_u.remainder()).map(|(x, u)| f64::from(*x) * u).sum();
    for (x, u) in wide_x.zip(wide_u) {
        for lane in 0..LANES {
            lanes[lane] += f64::from(x[lane]) * u[lane];
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// Adds `factor · x` to `sum`.
#[multiversion(targets("x86_64+avx2", "x86_64+avx512f"))]
pub(super) fn add(sum: &mut [f64], factor: f64, x: &[f32]) {
    for (sum, x) in sum.iter_mut().zip(x) {
        *sum += factor * f64::from(*x);
    }
}
