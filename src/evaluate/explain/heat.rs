//! Grad-CAM heat maps.

use crate::base::errors::{Context, Result, ensure};
use crate::data::cache::SliceCache;
use crate::data::manifest::Label;
use crate::evaluate::predict::Classifier;
use crate::nn::model::Network;
use tch::Device;

/// A Grad-CAM heat map of a slice for a class.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// Side of the network's input in pixels.
    pub side: usize,
    /// `side × side` values, row by row, 0 to 1: scaled to 1 at the maximum; all 0 if no place increases the class's
    /// logit.
    pub values: Vec<f32>,
}

impl HeatMap {
    /// Spearman's rank correlation with another map, -1 to 1; `None` if one of them is constant or their sizes differ.
    pub fn correlation(&self, other: &Self) -> Option<f64> {
        let (a, b) = (ranks(&self.values), ranks(&other.values));
        let middle = (a.len() as f64 - 1.0) / 2.0;
        let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - middle) * (y - middle)).sum::<f64>();
        let spread = product(&a, &a) * product(&b, &b);
        (spread > 0.0 && a.len() == b.len()).then(|| product(&a, &b) / spread.sqrt())
    }
}

/// Ranks from 0; equal values have their mean rank.
fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let (mut ranks, mut before) = (vec![0.0; values.len()], 0.0);
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let count = equal.len() as f64;
        equal.iter().for_each(|&index| ranks[index] = before + (count - 1.0) / 2.0);
        before += count;
    }
    ranks
}

impl Classifier {
    /// Grad-CAM heat maps of slices, each for the given class; see `docs/explanations.md` for the layers.
    ///
    /// # Errors
    /// A cache with other preprocessing than the network was trained with.
    pub fn heat_maps(&self, cache: &SliceCache, slices: &[(usize, Label)]) -> Result<Vec<HeatMap>> {
        ensure!(
            cache.preprocess() == &self.info().run.preprocess,
            "explaining: the network was trained with {:?}, the cache was made with {:?}",
            self.info().run.preprocess,
            cache.preprocess()
        );
        heat_maps(self.network(), cache, slices, self.device())
    }
}

pub(super) fn heat_maps(
    network: &Network,
    cache: &SliceCache,
    slices: &[(usize, Label)],
    device: Device,
) -> Result<Vec<HeatMap>> {
    let side = cache.preprocess().size as usize;
    let mut maps = Vec::with_capacity(slices.len());
    for batch in slices.chunks(16) {
        let images = cache.batch(&batch.iter().map(|of| of.0).collect::<Vec<_>>(), device)?;
        let classes: Vec<i64> = batch.iter().map(|of| of.1.index() as i64).collect();
        let small = network.class_activation(&images, &classes).context("computing class activation maps")?;
        let size = [side as i64; 2];
        let large = small.f_unsqueeze(1)?.f_upsample_bilinear2d(size, false, None, None)?.f_to_device(Device::Cpu)?;
        let values = Vec::<f32>::try_from(&large.f_contiguous()?.f_reshape([-1])?)?;
        for values in values.chunks_exact(side * side) {
            let most = values.iter().copied().fold(0.0, f32::max);
            let scale = if most > 0.0 { 1.0 / most } else { 0.0 };
            maps.push(HeatMap { side, values: values.iter().map(|value| value * scale).collect() });
        }
    }
    Ok(maps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rank_correlation_is_spearmans() {
        let map = |values: &[f32]| HeatMap { side: 2, values: values.to_vec() };
        let a = map(&[0.0, 0.1, 0.2, 1.0]);
        assert_eq!(a.correlation(&map(&[0.0, 0.5, 0.6, 0.7])), Some(1.0));
        assert_eq!(a.correlation(&map(&[9.0, 3.0, 2.0, 1.0])), Some(-1.0));
        // scipy.stats.spearmanr([0, 0.1, 0.2, 1], [0, 0, 1, 0.5]): ranks 0.5, 0.5, 3, 2.
        let tied = a.correlation(&map(&[0.0, 0.0, 1.0, 0.5])).expect("defined");
        assert!((tied - 0.737_864_787_372_622).abs() < 1e-12, "{tied}");
        assert_eq!(a.correlation(&map(&[0.5; 4])), None);
    }
}
