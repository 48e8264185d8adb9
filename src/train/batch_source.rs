//! Batches for a run's network: slices, or the stored features of its frozen backbone.

use crate::base::errors::{Context, Result};
use crate::base::files::Digest;
use crate::base::interrupt::go_on;
use crate::base::progress::Progress;
use crate::base::ranks::ranks;
use crate::data::augment::Augmentation;
use crate::data::cache::SliceCache;
use crate::data::manifest::Label;
use crate::data::prefetch::{Batch, prefetch};
use crate::nn::batch_share::BatchShare;
use crate::nn::learn::Learn;
use crate::nn::model::{Mode, Network};
use crate::nn::transfer::{pinned, sent};
use crate::train::batch_loss::{BatchLoss, Mixing};
use crate::train::config::RunConfig;
use crate::train::epoch::Sums;
use crate::train::features::FeatureCache;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use tch::{Device, Kind, Tensor};

/// The source of a network's input, and the modes it computes in, by a run's settings.
#[derive(Debug)]
pub(crate) struct BatchSource<'a> {
    cache: &'a SliceCache,
    features: Option<FeatureCache>,
    /// Index of the first layer that is computed for each batch.
    from: usize,
    training: Mode,
    evaluation: Mode,
    /// Slices are scored as they are and reversed.
    flips: bool,
    device: Device,
}

/// The score of a batch as ranks send it, floating-point numbers by their bits.
#[derive(Serialize, Deserialize)]
struct BatchScore {
    /// Covid probability of each slice.
    covid: Vec<u32>,
    /// Mean loss.
    loss: u64,
    correct: u64,
}

impl BatchScore {
    fn of(covid: &[f32], sums: &Sums) -> Self {
        let covid = covid.iter().map(|value| value.to_bits()).collect();
        Self { covid, loss: sums.batch_loss.to_bits(), correct: sums.correct }
    }
}

/// The slices that this rank reads of a batch that is divided into `shares`: its part, with the slice before it where batches are
/// mixed.
pub(crate) fn read_by_rank(batch: &[usize], shares: usize, mixed: bool) -> Cow<'_, [usize]> {
    let Some(BatchShare { start, rows, of, .. }) = BatchShare::of_batch(batch.len(), shares) else {
        return batch.into();
    };
    let own = &batch[start..start + rows];
    if !mixed {
        return own.into();
    }
    [&[batch[(start + of - 1) % of]], own].concat().into()
}

/// How the slices of an epoch are changed at random.
pub(crate) struct Changed<'a> {
    pub(crate) augmentation: &'a Augmentation,
    pub(crate) seed: u64,
    /// Counted from 0.
    pub(crate) epoch: usize,
}

impl<'a> BatchSource<'a> {
    /// With a frozen backbone, whose hash is `backbone`, its features are computed here, unless they are stored
    /// already.
    pub(crate) fn new(
        cache: &'a SliceCache,
        network: &Network,
        backbone: Option<Digest>,
        run: &RunConfig,
        device: Device,
        progress: &(dyn Fn(&Progress) + Sync),
    ) -> Result<Self> {
        let kind = run.precision.kind();
        let evaluation = Mode::evaluation(kind);
        let training = match run.learn {
            Learn::Whole => Mode::training(kind),
            Learn::Head | Learn::Converged => evaluation,
            Learn::HeadWithDropout => Mode { dropout: true, ..evaluation },
        };
        let flips = run.recipe.flip_at_test;
        let Some(backbone) = backbone else {
            return Ok(Self { cache, features: None, from: 0, training, evaluation, flips, device });
        };
        let from = network.kept_until(run.learn);
        let features = FeatureCache::open_or_build(cache, network, backbone, run, from, device, progress)?;
        Ok(Self { cache, features: Some(features), from, training, evaluation, flips, device })
    }

    /// Seconds that computing the features of a frozen backbone took; `None` where the whole network is trained.
    pub(crate) fn feature_seconds(&self) -> Option<f64> {
        self.features.as_ref().map(FeatureCache::seconds)
    }

    /// The stored features of a frozen backbone; `None` where the whole network is trained.
    pub(crate) fn features(&self) -> Option<&FeatureCache> {
        self.features.as_ref()
    }

    /// The network's input for these slices, in main memory; pinned where it is copied to a GPU. `changed`: as this epoch's
    /// training sees them.
    fn input(&self, slices: &[usize], changed: Option<&Changed<'_>>) -> Result<Tensor> {
        let input = match (&self.features, changed) {
            (Some(features), _) => features.of(slices)?,
            (None, Some(by)) => self.cache.augmented_grey(slices, by.augmentation, (by.seed, by.epoch))?,
            (None, None) => self.cache.grey(slices)?,
        };
        pinned(input, self.device)
    }

    /// Logits `[N, 2]` f32 of slices, in training mode (`learning`) or in evaluation mode.
    pub(crate) fn logits(&self, network: &Network, slices: &[usize], learning: bool) -> Result<Tensor> {
        self.logits_of(network, &self.input(slices, None)?, learning)
    }

    /// Logits `[N, 2]` f32 of a prefetched [`input`](Self::input).
    pub(crate) fn logits_of(&self, network: &Network, input: &Tensor, learning: bool) -> Result<Tensor> {
        let mode = if learning { self.training } else { self.evaluation };
        self.forward(network, &self.ready(input)?, mode)
    }

    /// Logits to learn from; `share`: which part of a batch the input is.
    pub(crate) fn training_logits(
        &self,
        network: &Network,
        input: &Tensor,
        mixing: Option<Mixing>,
        share: Option<BatchShare>,
    ) -> Result<Tensor> {
        let ready = self.ready(input)?;
        let ready = mixing.map(|mixing| mixing.mixed(&ready)).transpose()?.unwrap_or(ready);
        self.forward(network, &ready, Mode { share, ..self.training })
    }

    /// Logits of input that is ready; with [`flip_at_test`](crate::Recipe::flip_at_test) logarithms of the mean probabilities of
    /// slices and their reverse.
    fn scored_logits(&self, network: &Network, input: &Tensor) -> Result<Tensor> {
        let ready = self.ready(input)?;
        let logits = self.forward(network, &ready, self.evaluation)?;
        if !self.flips || self.features.is_some() {
            return Ok(logits);
        }
        let reversed = self.forward(network, &ready.f_flip([3_i64])?, self.evaluation)?;
        let both = logits.f_log_softmax(1, Kind::Float)?.f_logaddexp(&reversed.f_log_softmax(1, Kind::Float)?)?;
        Ok(both.f_sub_scalar(std::f64::consts::LN_2)?)
    }

    /// Prefetched input on the device: normalised slices, or features in f32.
    fn ready(&self, input: &Tensor) -> Result<Tensor> {
        let input = sent(input, self.device)?;
        match &self.features {
            None => self.cache.preprocess().normalised(&input),
            Some(_) => Ok(input.f_to_kind(Kind::Float)?),
        }
    }

    fn forward(&self, network: &Network, ready: &Tensor, mode: Mode) -> Result<Tensor> {
        match &self.features {
            None => network.forward_in(ready, mode),
            Some(_) => network.rest(self.from, ready, mode),
        }
    }

    /// Calls `work` with each batch in turn, and prefetches the input of the next ones meanwhile.
    pub(crate) fn prefetch(
        &self,
        batches: &[&[usize]],
        changed: Option<Changed<'_>>,
        work: impl FnMut(Batch<'_>) -> Result<()>,
    ) -> Result<()> {
        let rows = self.features.as_ref().map_or(self.cache.rows(), FeatureCache::rows);
        prefetch(rows, batches, |batch| self.input(batch, changed.as_ref()), work)
    }

    /// The mean cross entropy of a batch and its number of correct decisions, still on the device: this does not wait
    /// for a GPU.
    pub(crate) fn loss(&self, logits: &Tensor, slices: &[usize]) -> Result<BatchLoss> {
        BatchLoss::plain(logits, &self.labels(slices)?)
    }

    /// Class indices `[N]` of slices, on the device.
    pub(crate) fn labels(&self, slices: &[usize]) -> Result<Tensor> {
        self.cache.labels(slices, self.device)
    }

    /// After how many batches losses are read back from the device: reading waits for a GPU.
    pub(crate) fn batches_between_reads(&self) -> usize {
        if self.device.is_cuda() { 32 } else { 1 }
    }

    /// Covid probabilities (0 to 1) of `slices`, in their order, and, where all of them have a label, the sums over the
    /// batches. `done` is called with the number of slices of each batch.
    pub(crate) fn score(
        &self,
        network: &Network,
        slices: &[usize],
        batch_size: usize,
        done: &dyn Fn(usize),
    ) -> Result<(Vec<f32>, Option<Sums>)> {
        let _guard = tch::no_grad_guard();
        let manifest = self.cache.manifest();
        let labelled = slices.iter().all(|&i| manifest.scan_of(&manifest.slices[i]).label.is_some());
        let mut scored: Vec<BatchScore> = Vec::new();
        let (mut covid, mut losses) = (Vec::new(), Vec::new());
        let mut read_back = |covid: &mut Vec<Tensor>, losses: &mut Vec<BatchLoss>| -> Result<()> {
            let all =
                if covid.is_empty() { return Ok(()) } else { Tensor::f_cat(covid, 0)?.f_to_device(Device::Cpu)? };
            let all = Vec::<f32>::try_from(&all.f_contiguous()?)?;
            let (mut rest, mut losses) = (all.as_slice(), losses.drain(..));
            for of_batch in covid.drain(..) {
                let (own, later) = rest.split_at(of_batch.size1()? as usize);
                let sums = losses.next().map_or(Ok(Sums::default()), |loss| loss.sums())?;
                scored.push(BatchScore::of(own, &sums));
                rest = later;
            }
            Ok(())
        };
        let batches: Vec<&[usize]> = slices.chunks(batch_size).collect();
        let own: Vec<&[usize]> = batches.iter().copied().skip(ranks().rank()).step_by(ranks().count()).collect();
        self.prefetch(&own, None, |Batch { slices, input, .. }| {
            go_on()?;
            let logits = self.scored_logits(network, &input)?;
            covid.push(logits.f_softmax(1, Kind::Float)?.f_select(1, Label::Covid.index() as i64)?);
            if labelled {
                losses.push(self.loss(&logits, slices).context("scoring")?);
            }
            if covid.len() >= self.batches_between_reads() {
                read_back(&mut covid, &mut losses)?;
            }
            done(slices.len());
            Ok(())
        })?;
        read_back(&mut covid, &mut losses)?;
        let (mut probabilities, mut sums) = (Vec::with_capacity(slices.len()), Sums::default());
        for (batch, scored) in batches.iter().zip(ranks().collected(scored, batches.len())?) {
            probabilities.extend(scored.covid.iter().map(|bits| f32::from_bits(*bits)));
            sums.add(&Sums::of_batch(f64::from_bits(scored.loss), scored.correct, batch.len()));
        }
        Ok((probabilities, labelled.then_some(sums)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::manifest::Manifest;
    use crate::data::phantom::{PhantomConfig, draw_phantom};
    use crate::data::preprocess::Preprocess;
    use crate::nn::model::Architecture;
    use crate::nn::optimizer::{Adam, gradient};

    /// The losses of two epochs over the labelled slices.
    fn losses(source: &BatchSource<'_>, network: &Network, run: &RunConfig) -> Vec<f64> {
        network.freeze_backbone().expect("freezes");
        let mut adam = Adam::new(network.head(), run.learning_rate).expect("an optimizer");
        let slices: Vec<usize> = (0..16).map(|i| i * 7 % 16).collect();
        let mut losses = Vec::new();
        for batch in slices.chunks(run.batch_size).cycle().take(4) {
            tch::manual_seed(losses.len() as i64);
            let logits = source.logits(network, batch, true).expect("logits");
            let loss = source.loss(&logits, batch).expect("a loss");
            let sums = loss.sums().expect("sums");
            adam.step(gradient(&loss.loss, network.head()).expect("a gradient")).expect("steps");
            losses.push(sums.batch_loss);
        }
        losses
    }

    #[test]
    fn stored_features_train_as_forwarding_every_epoch_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = PhantomConfig { train_scans: 1, val_scans: 1, slices: 8, ..PhantomConfig::tiny() };
        draw_phantom(&folder.path().join("data"), &config, |_| ()).expect("draws");
        let manifest = Manifest::scan(folder.path().join("data"), |_| ()).expect("scans");
        let preprocess = Preprocess { size: 48, ..Preprocess::default() };
        let cache = SliceCache::open_or_build(folder.path(), &manifest, &preprocess, |_| ()).expect("caches");
        for (architecture, learn) in [
            (Architecture::ResNet152, Learn::Head),
            (Architecture::DenseNet161, Learn::Head),
            (Architecture::Vgg19, Learn::HeadWithDropout),
            (Architecture::Vgg19, Learn::Converged),
        ] {
            let run = RunConfig { learn, batch_size: 8, learning_rate: 1e-2, ..RunConfig::published(architecture) };
            let network = || Network::new(architecture, 5, Device::Cpu).expect("a network");
            let (stored, forwarded) = (network(), network());
            let hash = Some(stored.backbone_hash().expect("hashes"));
            let source = BatchSource::new(&cache, &stored, hash, &run, Device::Cpu, &|_| ()).expect("features");
            assert_eq!(source.from == stored.frozen_until(), learn != Learn::Converged, "{architecture} {learn:?}");
            let images = cache.batch(&[0, 5, 9], Device::Cpu).expect("images");
            let [whole, half] = [Kind::Float, Kind::BFloat16]
                .map(|kind| tch::no_grad(|| stored.features(&images, stored.frozen_until(), kind)).expect("features"));
            let off = f64::try_from((&whole - half).norm() / whole.norm()).expect("a number");
            assert!(off > 0.0 && off < 0.05, "{architecture}: bf16 moves features by {off}");
            let forwarding = BatchSource { features: None, from: 0, cache: &cache, ..source };
            let source = BatchSource::new(&cache, &stored, hash, &run, Device::Cpu, &|_| panic!("computed again"))
                .expect("stored");
            let (stored, forwarded) = (losses(&source, &stored, &run), losses(&forwarding, &forwarded, &run));
            for (stored, forwarded) in stored.iter().zip(&forwarded) {
                let off = (stored - forwarded).abs() / forwarded.max(1.0);
                assert!(off < 1e-5, "{architecture} {learn:?}: {stored} and {forwarded}");
            }
            assert!(stored[3] != stored[0], "nothing was learned");
        }
    }
}
