//! The head solved to convergence over the stored features of a frozen backbone, one strength of regularisation after
//! the other, from strong to weak: each strength is an epoch of the training.

use crate::base::errors::{Context, Result, ensure};
use crate::data::manifest::{Label, Manifest};
use crate::data::split::Subset;
use crate::nn::model::Network;
use crate::stats::logistic_head::{FeatureRows, HeadFit, LogisticHead, Solution, Stop, penalty_at};
use crate::train::batch_source::BatchSource;
use crate::train::epoch::SolvedHead;
use crate::train::experiment::Experiment;
use crate::train::features::FeatureCache;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;
use tch::{Kind, Tensor};

#[cfg(test)]
mod tests;

/// Solves the head of `network` for the strength of this epoch, counted from 0, and puts it in place. `of_all`
/// says how much each slice of the manifest counts (see [`slice_weights`](crate::train::scans::slice_weights)); features are
/// standardised with their mean and standard deviation under these weights.
///
/// It starts from the head of the epoch before, which `network` holds in f32 as a checkpoint does: a resumed training
/// solves the same.
///
/// # Errors
/// A network without stored features, training slices of one label, a feature that is not finite, or no convergence.
pub(crate) fn solve_head(
    experiment: &Experiment,
    source: &BatchSource<'_>,
    network: &Network,
    of_all: Option<&[f32]>,
    epoch: usize,
) -> Result<Solution> {
    let manifest = experiment.manifest();
    let slices = experiment.slices(Subset::Train)?;
    let cache = source.features().context("solving a head needs the stored features of a frozen backbone")?;
    let covid = slices.iter().map(|&slice| {
        let scan = manifest.scan_of(&manifest.slices[slice]);
        Ok(scan.label.with_context(|| format!("{} has no label", scan.folder))? == Label::Covid)
    });
    let covid: Vec<bool> = covid.collect::<Result<_>>()?;
    let weights = match of_all {
        Some(of_all) => slices.iter().map(|&slice| f64::from(of_all[slice])).collect(),
        None => vec![1.0; slices.len()],
    };
    cache.rows().read_ahead(&slices);
    let features = TrainingFeatures::of(cache, &slices, manifest, KEPT)?;
    let fit = HeadFit::new(&features, &covid, &weights)?;
    let start = (epoch > 0).then(|| head_of(network)).transpose()?;
    let solution = fit.solve(penalty_at(epoch), start.as_ref(), Stop::default())?;
    ensure!(
        solution.converged,
        "the head did not converge with the penalty {:e}: its loss may be {:.1e} of itself above the minimum after {} \
         passes over the features; the last checkpoint from before is kept. Try fewer epochs, which end at a stronger \
         penalty",
        solution.penalty,
        solution.gap,
        solution.passes
    );
    let [weight, bias] = head_tensors(&solution.head)?;
    let names = network.head().iter().map(|(name, _)| name.clone());
    network.set_head(&names.zip([weight, bias]).collect::<BTreeMap<_, _>>())?;
    Ok(solution)
}

/// What the history says of a solved head.
pub(crate) fn solved(solution: &Solution) -> SolvedHead {
    let Solution { penalty, objective, gap, passes, .. } = *solution;
    SolvedHead { penalty, objective, gap, passes }
}

/// A head's weight `[2, F]` and bias `[2]`, f32: the logit of covid is half the log odds and that of non-covid minus
/// half, so that the softmax gives the same probability.
pub(crate) fn head_tensors(head: &LogisticHead) -> Result<[Tensor; 2]> {
    let half = |values: &[f64]| -> Result<Tensor> {
        let half: Vec<f64> = values.iter().map(|value| value / 2.0).collect();
        let half = Tensor::f_from_slice(&half)?.f_to_kind(Kind::Float)?;
        Ok(Tensor::f_stack(&[&half, &half.f_neg()?], 0)?)
    };
    Ok([half(&head.weight)?, half(&[head.bias])?.f_reshape([2])?])
}

/// The log odds of a network's head: its logit of covid minus that of non-covid.
fn head_of(network: &Network) -> Result<LogisticHead> {
    let odds = |tensor: &Tensor| -> Result<Vec<f64>> {
        let logits = tensor.f_detach()?.f_to_kind(Kind::Double)?.f_to_device(tch::Device::Cpu)?;
        let [covid, other] = Label::ALL.map(|label| label.index() as i64);
        let odds = logits.f_select(0, covid)?.f_sub(&logits.f_select(0, other)?)?;
        Ok(Vec::try_from(odds.f_reshape([-1])?)?)
    };
    let [(_, weight), (_, bias)] = network.head() else {
        crate::base::errors::bail!("expected a head of weight and bias")
    };
    Ok(LogisticHead { weight: odds(weight)?, bias: odds(bias)?.first().copied().unwrap_or(0.0) })
}

/// Features that are kept in memory, in bytes: a solution takes a hundred passes over them and more.
const KEPT: usize = 1 << 30;

/// The stored features of the training slices.
struct TrainingFeatures<'a> {
    cache: &'a FeatureCache,
    slices: &'a [usize],
    manifest: &'a Manifest,
    /// Those of the first slices; the others are read in every pass.
    kept: Vec<f32>,
}

impl<'a> TrainingFeatures<'a> {
    /// Reads as many as `most` bytes hold.
    fn of(cache: &'a FeatureCache, slices: &'a [usize], manifest: &'a Manifest, most: usize) -> Result<Self> {
        const TOGETHER: usize = 256;
        let width = cache.width().max(1);
        let rows = slices.len().min(most / (width * size_of::<f32>()));
        let mut kept = vec![0.0; rows * width];
        let together = kept.par_chunks_mut(width * TOGETHER).zip(slices[..rows].par_chunks(TOGETHER));
        together.try_for_each(|(into, slices)| cache.read(slices, into))?;
        Ok(Self { cache, slices, manifest, kept })
    }
}

impl FeatureRows for TrainingFeatures<'_> {
    fn count(&self) -> usize {
        self.slices.len()
    }

    fn width(&self) -> usize {
        self.cache.width()
    }

    fn read(&self, rows: Range<usize>, into: &mut [f32]) -> Result<()> {
        let width = self.width();
        let kept = self.kept.get(rows.start * width..).unwrap_or_default();
        let length = kept.len().min(into.len());
        let (of_kept, of_cache) = into.split_at_mut(length);
        of_kept.copy_from_slice(&kept[..length]);
        self.cache.read(&self.slices[rows.start + length / width.max(1)..rows.end], of_cache)
    }

    fn named(&self, row: usize) -> String {
        self.manifest.path(&self.manifest.slices[self.slices[row]])
    }
}
