//! Out-of-distribution detection by grey levels: a hint which unlabelled scans differ from the training scans, not a
//! test.

use crate::base::errors::{Context, Result, ensure};
use crate::base::files::Digest;
use crate::data::cache::{SliceCache, spread};
use crate::data::preprocess::Preprocess;
use crate::data::split::Subset;
use crate::train::experiment::Experiment;
use crate::train::run_folder::{Artifact, RunFolder};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Slices of a scan whose grey levels are read, at even distances.
const PER_SCAN: usize = 16;
/// Number of features of a scan: mean, standard deviation, share of black, 95th percentile, mean difference of
/// neighbours.
const FIGURES: usize = 5;

/// A scan with at most this conformal p-value is called out-of-distribution; of in-distribution scans five in a hundred
/// are.
const OUTLYING: f64 = 0.05;
/// The fewest training scans: with fewer the smallest possible p-value is above [`OUTLYING`].
const LEAST: usize = 19;

/// The grey levels of a run's training scans: what new scans are compared with, so that the training data is not needed to
/// judge them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GreyLevels {
    /// Hash of the split that says which scans are training scans.
    pub split: Digest,
    /// How the slices were prepared.
    pub preprocess: Preprocess,
    /// The fewest slices of a scan: means over fewer vary more, so that scans with fewer get no hint.
    pub fewest_slices: usize,
    /// Mean, standard deviation, 255 × the share of black, 95th percentile and mean difference of neighbouring pixels of
    /// each scan, means over its slices; without the scans' names.
    pub scans: Vec<[f64; FIGURES]>,
}

impl GreyLevels {
    /// Those of the training scans of an experiment.
    ///
    /// # Errors
    /// A slice that cannot be read from the cache.
    pub(crate) fn of_training(experiment: &Experiment) -> Result<Self> {
        let slices = experiment.slices(Subset::Train)?;
        let by_scan = slices_by_scan(experiment.cache(), &slices);
        let scans = of_scans(experiment.cache(), &by_scan).context("reading the grey levels of the training scans")?;
        Ok(Self {
            split: experiment.split().hash(),
            preprocess: experiment.settings().preprocess.clone(),
            fewest_slices: by_scan.values().map(Vec::len).min().unwrap_or(0),
            scans: scans.into_values().collect(),
        })
    }
}

impl RunFolder {
    /// The grey levels of the training scans.
    pub fn grey_levels(&self) -> Result<GreyLevels> {
        self.read(Artifact::GreyLevels)
    }
}

/// A hint for each scan of a subset whether its grey levels are out-of-distribution, compared with the training scans.
#[derive(Debug, Clone, PartialEq)]
pub struct OutOfDistribution {
    /// Number of training scans that the others are compared with.
    pub training: usize,
    /// Conformal p-value of each scan, by its folder, more than 0 to 1: the share of scans, the training scans and the
    /// scan itself, that are as far from the training scans or farther. Empty where there is no hint.
    pub share: BTreeMap<String, f64>,
    /// Why there is no hint; `None` where there is one.
    pub why_not: Option<String>,
}

impl OutOfDistribution {
    /// The Mahalanobis distance (1936) of five features (mean, standard deviation, share of black, 95th percentile and
    /// mean difference of neighbouring pixels) of each scan of `slices` from the training scans.
    ///
    /// The distance of a training scan is computed from the other training scans (leave-one-out), because a scan that
    /// is part of the mean lies nearer to it than an equal new scan. The share is
    /// `(1 + training scans as far or farther) / (1 + training scans)` (conformal p-values, Vovk, Gammerman and Shafer
    /// 2005).
    ///
    /// # Errors
    /// A slice that is not in the cache, or a cache of another size, crop or stretch than the training scans'. Fewer than 19
    /// training scans are no error: see [`why_not`](Self::why_not).
    pub fn of(training: &GreyLevels, cache: &SliceCache, slices: &[usize]) -> Result<Self> {
        let doing = "comparing grey levels with the training scans";
        let known = &training.scans;
        let count = known.len();
        ensure!(
            training.preprocess.size == cache.preprocess().size,
            "{doing}: they were read at {} pixels, the cache holds {}",
            training.preprocess.size,
            cache.preprocess().size
        );
        let frame = |of: &Preprocess| (of.crop, of.stretch);
        ensure!(
            frame(&training.preprocess) == frame(cache.preprocess()),
            "{doing}: they were read with {:?}, the cache was made with {:?}",
            frame(&training.preprocess),
            frame(cache.preprocess())
        );
        if count < LEAST {
            let why = format!("{count} training scans, {LEAST} or more are needed to find one in twenty");
            return Ok(Self { training: count, share: BTreeMap::new(), why_not: Some(why) });
        }
        let mut far = (0..count).map(|one| left_one_out(known, one)).collect::<Result<Vec<f64>>>().context(doing)?;
        far.sort_by(f64::total_cmp);
        let middle = Middle::of(known.iter()).context(doing)?;
        let share = |of: &[f64; FIGURES]| {
            let nearer = far.partition_point(|known| *known < middle.distance(of));
            (1 + count - nearer) as f64 / (1 + count) as f64
        };
        let by_scan = slices_by_scan(cache, slices);
        let of_new = of_scans(cache, &by_scan).context(doing)?;
        let is_long = |scan: &str| by_scan.get(scan).is_some_and(|of| of.len() >= training.fewest_slices);
        let of_new = of_new.iter().filter(|(scan, _)| is_long(scan));
        let share = of_new.map(|(scan, of)| (scan.clone(), share(of))).collect();
        Ok(Self { training: count, share, why_not: None })
    }

    /// Whether the scan is out-of-distribution, that is, its share is at most 0.05; `None` where there is no hint.
    pub fn is_unusual(&self, scan: &str) -> Option<bool> {
        self.share.get(scan).map(|share| *share <= OUTLYING)
    }

    /// The hint as a short text; `–` where there is none.
    pub fn hint(&self, scan: &str) -> &'static str {
        match self.is_unusual(scan) {
            Some(true) => "unusual grey levels",
            Some(false) => "as in training",
            None => "–",
        }
    }
}

fn left_one_out(known: &[[f64; FIGURES]], one: usize) -> Result<f64> {
    let others = known.iter().enumerate().filter(|(index, _)| *index != one).map(|(_, of)| of);
    Ok(Middle::of(others)?.distance(&known[one]))
}

/// The mean of scans' features, and the inverse of their covariance matrix.
struct Middle {
    mean: [f64; FIGURES],
    inverse: [[f64; FIGURES]; FIGURES],
}

impl Middle {
    fn of<'a>(scans: impl Iterator<Item = &'a [f64; FIGURES]> + Clone) -> Result<Self> {
        let count = scans.clone().count() as f64;
        let mean: [f64; FIGURES] = std::array::from_fn(|k| scans.clone().map(|of| of[k]).sum::<f64>() / count);
        let mut covariance = [[0.0; FIGURES]; FIGURES];
        for (i, row) in covariance.iter_mut().enumerate() {
            for (j, value) in row.iter_mut().enumerate() {
                let products = scans.clone().map(|of| (of[i] - mean[i]) * (of[j] - mean[j]));
                *value = products.sum::<f64>() / (count - 1.0);
            }
            // Regularisation: a feature that is constant over the training scans would make any distance infinite.
            row[i] += 1e-6 + 1e-3 * row[i];
        }
        Ok(Self { mean, inverse: inverse(covariance)? })
    }

    /// The squared Mahalanobis distance.
    fn distance(&self, of: &[f64; FIGURES]) -> f64 {
        let off: [f64; FIGURES] = std::array::from_fn(|k| of[k] - self.mean[k]);
        let all = (0..FIGURES).flat_map(|i| (0..FIGURES).map(move |j| (i, j)));
        all.map(|(i, j)| off[i] * self.inverse[i][j] * off[j]).sum()
    }
}

/// The slices of each scan, by its folder.
fn slices_by_scan<'a>(cache: &'a SliceCache, slices: &[usize]) -> BTreeMap<&'a str, Vec<usize>> {
    let manifest = cache.manifest();
    let mut scans: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for &slice in slices {
        scans.entry(&manifest.scan_of(&manifest.slices[slice]).folder).or_default().push(slice);
    }
    scans
}

/// The features of each scan: means over its slices.
fn of_scans(cache: &SliceCache, scans: &BTreeMap<&str, Vec<usize>>) -> Result<BTreeMap<String, [f64; FIGURES]>> {
    let side = cache.preprocess().size as usize;
    let of_scan = |(scan, of): (&&str, &Vec<usize>)| {
        let chosen = spread(of, PER_SCAN);
        let mut sums = [0.0; FIGURES];
        for &slice in &chosen {
            let figures = of_slice(&cache.pixels(slice)?, side);
            (0..FIGURES).for_each(|k| sums[k] += figures[k] / chosen.len() as f64);
        }
        Ok(((*scan).to_owned(), sums))
    };
    scans.par_iter().map(of_scan).collect()
}

fn of_slice(pixels: impl AsRef<[u8]>, side: usize) -> [f64; FIGURES] {
    let pixels = pixels.as_ref();
    let count = pixels.len() as f64;
    let mut histogram = [0_usize; 256];
    pixels.iter().for_each(|&pixel| histogram[usize::from(pixel)] += 1);
    let sum = |of: &dyn Fn(f64) -> f64| -> f64 {
        histogram.iter().enumerate().map(|(level, n)| of(level as f64) * *n as f64).sum::<f64>() / count
    };
    let mean = sum(&|level| level);
    let standard_deviation = sum(&|level| (level - mean).powi(2)).sqrt();
    let mut seen = 0;
    let bright = histogram.iter().position(|n| {
        seen += n;
        seen as f64 >= 0.95 * count
    });
    let steps =
        pixels.chunks_exact(side).flat_map(|row| row.windows(2)).map(|pair| f64::from(pair[0].abs_diff(pair[1])));
    let black = histogram[..8].iter().sum::<usize>() as f64 / count;
    [mean, standard_deviation, 255.0 * black, bright.unwrap_or(255) as f64, steps.sum::<f64>() / count]
}

/// Gauss-Jordan elimination with partial pivoting.
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
    fn a_left_out_scan_lies_farther_than_one_that_is_part_of_the_mean() -> Result<()> {
        use rand::{Rng, SeedableRng};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        let mut drawn = |count: usize| -> Vec<[f64; FIGURES]> {
            let mut normal = || (0..12).map(|_| rng.r#gen::<f64>()).sum::<f64>() - 6.0;
            (0..count).map(|_| std::array::from_fn(|_| normal())).collect()
        };
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        let (known, new) = (drawn(25), drawn(4_000));
        let middle = Middle::of(known.iter())?;
        let inside = mean(known.iter().map(|of| middle.distance(of)).collect());
        let out = mean((0..25).map(|one| left_one_out(&known, one)).collect::<Result<_>>()?);
        let of_new = mean(new.iter().map(|of| middle.distance(of)).collect());
        // Among 25 scans the mean is 5 × 24/25; new ones lie much farther, and those left out about as far.
        assert!((inside - 4.8).abs() < 0.05, "{inside}");
        assert!(of_new > 5.5 && out > 5.5 && (out / of_new - 1.0).abs() < 0.4, "{out} and {of_new}");
        Ok(())
    }

    #[test]
    fn figures_of_a_slice_by_hand() {
        // 4×4: half black, half 100; two columns each, so a step of 100 in each row's middle.
        let pixels: Vec<u8> = (0..16).map(|i| if i % 4 < 2 { 0 } else { 100 }).collect();
        assert_eq!(of_slice(pixels, 4), [50.0, 50.0, 127.5, 100.0, 25.0]);
    }
}
