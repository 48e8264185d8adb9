//! Whether unlabelled scans look like those that were learned from: a hint, not a test.

use crate::cache::{SliceCache, spread};
use crate::split::{Split, Subset};
use anyhow::{Context, Result, ensure};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Slices of a scan that are looked at, at even distances.
const PER_SCAN: usize = 16;
/// Figures of a scan: mean, deviation, share of black, 95th percentile, mean difference of neighbours.
const FIGURES: usize = 5;

/// How far from the training scans each scan of a subset lies, by its grey levels alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Typical {
    /// By scan folder: the share of training scans that lie farther from the training scans' mean, 0 to 1.
    pub farther: BTreeMap<String, f64>,
}

impl Typical {
    /// Mahalanobis distance (1936) of mean, deviation, share of black, 95th percentile and mean difference of neighbouring
    /// pixels from the training scans', ranked among the training scans' own distances.
    ///
    /// # Errors
    /// Fewer than 10 training scans.
    pub fn of(cache: &SliceCache, split: &Split, subset: Subset) -> Result<Self> {
        let doing = || format!("comparing the {subset} scans with the training scans");
        let training: Vec<[f64; FIGURES]> = of_scans(cache, &split.slices(Subset::Train))?.into_values().collect();
        ensure!(training.len() >= 10, "{}: expected 10 training scans or more, found {}", doing(), training.len());
        let count = training.len() as f64;
        let mean: [f64; FIGURES] = std::array::from_fn(|k| training.iter().map(|of| of[k]).sum::<f64>() / count);
        let mut covariance = [[0.0; FIGURES]; FIGURES];
        for (i, row) in covariance.iter_mut().enumerate() {
            for (j, value) in row.iter_mut().enumerate() {
                let products = training.iter().map(|of| (of[i] - mean[i]) * (of[j] - mean[j]));
                *value = products.sum::<f64>() / (count - 1.0);
            }
            // Figures that hardly differ between training scans would make any difference infinite.
            row[i] += 1e-6 + 1e-3 * row[i];
        }
        let inverse = inverse(covariance).with_context(doing)?;
        let distance = |of: &[f64; FIGURES]| -> f64 {
            let off: [f64; FIGURES] = std::array::from_fn(|k| of[k] - mean[k]);
            (0..FIGURES)
                .flat_map(|i| (0..FIGURES).map(move |j| (i, j)))
                .map(|(i, j)| off[i] * inverse[i][j] * off[j])
                .sum()
        };
        let mut known: Vec<f64> = training.iter().map(distance).collect();
        known.sort_by(f64::total_cmp);
        let of_subset = of_scans(cache, &split.slices(subset))?;
        let share = |of: [f64; FIGURES]| {
            let nearer = known.partition_point(|known| *known <= distance(&of));
            1.0 - nearer as f64 / count
        };
        Ok(Self { farther: of_subset.into_iter().map(|(scan, of)| (scan, share(of))).collect() })
    }

    /// What is said of a scan: `unusual` when fewer than 1 % of the training scans lie farther out.
    pub fn hint(&self, scan: &str) -> &'static str {
        match self.farther.get(scan) {
            Some(share) if *share < 0.01 => "unusual grey levels",
            Some(_) => "as in training",
            None => "–",
        }
    }
}

/// The mean figures of each scan's slices.
fn of_scans(cache: &SliceCache, slices: &[usize]) -> Result<BTreeMap<String, [f64; FIGURES]>> {
    let manifest = cache.manifest();
    let mut scans: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for &slice in slices {
        scans.entry(&manifest.scan_of(&manifest.slices[slice]).folder).or_default().push(slice);
    }
    let side = cache.preprocess().size as usize;
    let of_scan = |(scan, of): (&str, Vec<usize>)| {
        let chosen = spread(&of, PER_SCAN);
        let mut sums = [0.0; FIGURES];
        for &slice in &chosen {
            let figures = of_slice(&cache.pixels(slice)?, side);
            (0..FIGURES).for_each(|k| sums[k] += figures[k] / chosen.len() as f64);
        }
        Ok((scan.to_owned(), sums))
    };
    scans.into_par_iter().map(of_scan).collect()
}

fn of_slice(pixels: &[u8], side: usize) -> [f64; FIGURES] {
    let count = pixels.len() as f64;
    let mut histogram = [0_usize; 256];
    pixels.iter().for_each(|&pixel| histogram[usize::from(pixel)] += 1);
    let sum = |of: &dyn Fn(f64) -> f64| -> f64 {
        histogram.iter().enumerate().map(|(level, n)| of(level as f64) * *n as f64).sum::<f64>() / count
    };
    let mean = sum(&|level| level);
    let deviation = sum(&|level| (level - mean).powi(2)).sqrt();
    let mut seen = 0;
    let bright = histogram.iter().position(|n| {
        seen += n;
        seen as f64 >= 0.95 * count
    });
    let steps =
        pixels.chunks_exact(side).flat_map(|row| row.windows(2)).map(|pair| f64::from(pair[0].abs_diff(pair[1])));
    let black = histogram[..8].iter().sum::<usize>() as f64 / count;
    [mean, deviation, 255.0 * black, bright.unwrap_or(255) as f64, steps.sum::<f64>() / count]
}

/// Gauss-Jordan with pivots.
fn inverse(mut matrix: [[f64; FIGURES]; FIGURES]) -> Result<[[f64; FIGURES]; FIGURES]> {
    let mut inverse = [[0.0; FIGURES]; FIGURES];
    (0..FIGURES).for_each(|k| inverse[k][k] = 1.0);
    for column in 0..FIGURES {
        let pivot = (column..FIGURES).max_by(|&a, &b| matrix[a][column].abs().total_cmp(&matrix[b][column].abs()));
        let pivot = pivot.filter(|&row| matrix[row][column].abs() > 0.0).context("the covariance is singular")?;
        matrix.swap(column, pivot);
        inverse.swap(column, pivot);
        let scale = matrix[column][column];
        for k in 0..FIGURES {
            matrix[column][k] /= scale;
            inverse[column][k] /= scale;
        }
        for row in (0..FIGURES).filter(|&row| row != column) {
            let factor = matrix[row][column];
            for k in 0..FIGURES {
                matrix[row][k] -= factor * matrix[column][k];
                inverse[row][k] -= factor * inverse[column][k];
            }
        }
    }
    Ok(inverse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inverse_undoes() {
        let matrix = [
            [4.0, 1.0, 0.5, 0.0, 0.2],
            [1.0, 3.0, 0.1, 0.4, 0.0],
            [0.5, 0.1, 2.0, 0.3, 0.1],
            [0.0, 0.4, 0.3, 5.0, 1.0],
            [0.2, 0.0, 0.1, 1.0, 1.0],
        ];
        let inverse = inverse(matrix).expect("regular");
        for (i, row) in matrix.iter().enumerate() {
            for j in 0..FIGURES {
                let product: f64 = row.iter().zip(&inverse).map(|(a, b)| a * b[j]).sum();
                assert!((product - f64::from(u8::from(i == j))).abs() < 1e-12, "{i} {j}: {product}");
            }
        }
        assert!(super::inverse([[0.0; FIGURES]; FIGURES]).is_err());
    }

    #[test]
    fn figures_of_a_slice_by_hand() {
        // 4×4: half black, half 100; two columns each, so a step of 100 in each row's middle.
        let pixels: Vec<u8> = (0..16).map(|i| if i % 4 < 2 { 0 } else { 100 }).collect();
        assert_eq!(of_slice(&pixels, 4), [50.0, 50.0, 127.5, 100.0, 25.0]);
    }
}
