//! Grey levels relative to those around them, which another window, contrast or brightness hardly changes.

use multiversion::multiversion;

/// Grey levels of variation below which an area counts as even.
const EVEN: f32 = 4.0;

/// Each value minus the mean around it, divided by the standard deviation around it, row by row. The surroundings are
/// weighted by a Gaussian of `spread` fields.
pub(super) fn local_contrast(values: &[f32], width: usize, spread: f32) -> Vec<f32> {
    let kernel = kernel(spread);
    let means = blurred(values, width, &kernel);
    let mut differences: Vec<f32> = values.iter().zip(&means).map(|(value, mean)| value - mean).collect();
    let squares: Vec<f32> = differences.iter().map(|difference| difference * difference).collect();
    let variances = blurred(&squares, width, &kernel);
    differences.iter_mut().zip(variances).for_each(|(value, square)| *value /= square.max(0.0).sqrt() + EVEN);
    differences
}

fn kernel(spread: f32) -> Vec<f32> {
    let reach = (2.0 * spread).ceil() as i32;
    let weights: Vec<f32> = (-reach..=reach).map(|at| (-((at * at) as f32) / (2.0 * spread * spread)).exp()).collect();
    let sum: f32 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// Gaussian blur; beyond the border the picture is mirrored.
#[multiversion(targets("x86_64+avx2"))]
fn blurred(values: &[f32], width: usize, kernel: &[f32]) -> Vec<f32> {
    let (reach, width) = (kernel.len() / 2, width.max(1));
    let height = values.len() / width;
    let mut wide = vec![0.0; width + 2 * reach];
    // With the rows beyond the border.
    let mut across = vec![0.0; (height + 2 * reach) * width];
    for (row, from) in across[reach * width..].chunks_exact_mut(width).zip(values.chunks_exact(width)) {
        wide[reach..reach + width].copy_from_slice(from);
        for at in 0..reach {
            wide[at] = from[mirrored(at as isize - reach as isize, width)];
            wide[reach + width + at] = from[mirrored((width + at) as isize, width)];
        }
        weighted(row, kernel, &wide, 1);
    }
    for beyond in (0..reach).chain(reach + height..height + 2 * reach) {
        let from = reach + mirrored(beyond as isize - reach as isize, height);
        across.copy_within(from * width..(from + 1) * width, beyond * width);
    }
    let mut blurred = vec![0.0; values.len()];
    for (y, row) in blurred.chunks_exact_mut(width).enumerate() {
        weighted(row, kernel, &across[y * width..], width);
    }
    blurred
}

/// The sums of some rows, each by its weight, which begin `apart` values after each other; a few columns at a time, whose
/// sums stay in registers.
#[inline(always)]
fn weighted(sums: &mut [f32], weights: &[f32], rows: &[f32], apart: usize) {
    const COLUMNS: usize = 32;
    let (whole, rest) = sums.as_chunks_mut::<COLUMNS>();
    let done = whole.len() * COLUMNS;
    for (sums, first) in whole.iter_mut().zip((0..).step_by(COLUMNS)) {
        let mut some = [0.0; COLUMNS];
        for (at, weight) in weights.iter().enumerate() {
            let values = &rows[first + at * apart..][..COLUMNS];
            for column in 0..COLUMNS {
                some[column] += weight * values[column];
            }
        }
        *sums = some;
    }
    for (at, weight) in weights.iter().enumerate() {
        let values = &rows[done + at * apart..];
        rest.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
    }
}

/// A row or column of the picture in place of one that may lie beyond its border.
fn mirrored(at: isize, length: usize) -> usize {
    let length = length as isize;
    let at = if at < 0 { -1 - at } else { at };
    let at = if at >= length { 2 * length - 1 - at } else { at };
    at.clamp(0, length - 1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transposed(values: &[f32], width: usize) -> Vec<f32> {
        let height = values.len() / width;
        (0..values.len()).map(|at| values[at % height * width + at / height]).collect()
    }

    fn waves(level: impl Fn(f32) -> f32) -> Vec<f32> {
        (0..48 * 30).map(|at| level(((at % 48) as f32 / 3.0).sin() * ((at / 48) as f32 / 4.0).cos())).collect()
    }

    #[test]
    fn another_contrast_or_brightness_changes_little() {
        let [one, other] = [(90.0, 60.0), (150.0, 40.0)]
            .map(|(mean, spread)| local_contrast(&waves(|wave| mean + spread * wave), 48, 4.0));
        assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 0.25));
        assert!(one.iter().any(|value| *value > 1.0) && one.iter().any(|value| *value < -1.0));
        assert!(local_contrast(&[70.0; 25], 5, 4.0).iter().all(|value| value.abs() < 1e-4));
    }

    #[test]
    fn rows_and_columns_are_treated_alike() {
        let values = waves(|wave| 100.0 + 50.0 * wave);
        let down = local_contrast(&transposed(&values, 48), 30, 4.0);
        let across = transposed(&local_contrast(&values, 48, 4.0), 48);
        assert!(down.iter().zip(&across).all(|(a, b)| (a - b).abs() < 1e-3));
    }
}
