//! What a run's network is fed: slices, or what its frozen backbone has made of them.

use crate::cache::SliceCache;
use crate::checkpoint::Sums;
use crate::config::{Learn, RunConfig};
use crate::features::FeatureCache;
use crate::files::Digest;
use crate::manifest::Label;
use crate::model::{Mode, Network};
use crate::progress::Progress;
use anyhow::{Context, Result};
use tch::{Device, Kind, Reduction, Tensor};

/// A network's input and how it computes, as a run's settings say.
#[derive(Debug)]
pub(crate) struct Feed<'a> {
    cache: &'a SliceCache,
    features: Option<FeatureCache>,
    /// The first layer that is run for every batch.
    from: usize,
    training: Mode,
    evaluation: Mode,
    device: Device,
}

impl<'a> Feed<'a> {
    /// With a frozen backbone (`backbone` is its hash) its features are computed here, unless they are kept already.
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
            Learn::Head => evaluation,
            Learn::HeadWithDropout => Mode { dropout: true, ..evaluation },
        };
        let Some(backbone) = backbone else {
            return Ok(Self { cache, features: None, from: 0, training, evaluation, device });
        };
        let from = network.frozen_until(training.dropout);
        let features = FeatureCache::open_or_build(cache, network, backbone, run, from, device, progress)?;
        Ok(Self { cache, features: Some(features), from, training, evaluation, device })
    }

    /// Seconds that the features of a frozen backbone took, once.
    pub(crate) fn feature_seconds(&self) -> Option<f64> {
        self.features.as_ref().map(FeatureCache::seconds)
    }

    /// Logits `[N, 2]` f32 of slices, in learning or in use.
    pub(crate) fn logits(&self, network: &Network, slices: &[usize], learning: bool) -> Result<Tensor> {
        let mode = if learning { self.training } else { self.evaluation };
        match &self.features {
            None => network.forward_in(&self.cache.batch(slices, self.device)?, mode),
            Some(features) => network.rest(self.from, &features.batch(slices, self.device)?, mode),
        }
    }

    /// The mean cross entropy of a batch, to learn from, and its sums.
    pub(crate) fn judge(&self, logits: &Tensor, slices: &[usize]) -> Result<(Tensor, Sums)> {
        let labels = self.cache.labels(slices, self.device)?;
        let loss = logits.f_cross_entropy_loss::<Tensor>(&labels, None, Reduction::Mean, -100, 0.0)?;
        let correct = logits.f_argmax(1, false)?.f_eq_tensor(&labels)?.f_sum(Kind::Int64)?;
        let sums = Sums::of_batch(f64::try_from(&loss)?, i64::try_from(&correct)? as u64, slices.len());
        Ok((loss, sums))
    }

    /// Covid probabilities of `slices`, in order, and, where every one has a label, the sums over its batches.
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
        let mut probabilities = Vec::with_capacity(slices.len());
        let mut sums = Sums::default();
        for batch in slices.chunks(batch_size) {
            let logits = self.logits(network, batch, false)?;
            let covid = logits.f_softmax(1, Kind::Float)?.f_select(1, Label::Covid.index() as i64)?;
            probabilities.extend(Vec::<f32>::try_from(&covid.f_to_device(Device::Cpu)?.f_contiguous()?)?);
            if labelled {
                sums.add(&self.judge(&logits, batch).context("scoring")?.1);
            }
            done(batch.len());
        }
        Ok((probabilities, labelled.then_some(sums)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Preprocess;
    use crate::manifest::Manifest;
    use crate::model::Architecture;
    use crate::optimizer::Adam;
    use crate::phantom::{PhantomConfig, draw_phantom};

    /// The losses of three epochs over the labelled slices, as `feed` gives them.
    fn losses(feed: &Feed<'_>, network: &Network, run: &RunConfig) -> Vec<f64> {
        network.freeze_backbone().expect("freezes");
        let mut adam = Adam::new(network.head(), run.learning_rate).expect("an optimizer");
        let slices: Vec<usize> = (0..24).map(|i| i * 7 % 24).collect();
        let mut losses = Vec::new();
        for batch in slices.chunks(run.batch_size).cycle().take(9) {
            tch::manual_seed(losses.len() as i64);
            let logits = feed.logits(network, batch, true).expect("logits");
            let (loss, sums) = feed.judge(&logits, batch).expect("a loss");
            loss.backward();
            adam.step(network.head()).expect("steps");
            losses.push(sums.batch_loss);
        }
        losses
    }

    #[test]
    fn kept_features_train_as_forwarding_every_epoch_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = PhantomConfig {
            size: 64,
            train_scans: 2,
            val_scans: 1,
            prediction_scans: 1,
            slices: 8,
            defects: false,
            ..PhantomConfig::default()
        };
        draw_phantom(&folder.path().join("data"), &config, |_| ()).expect("draws");
        let manifest = Manifest::scan(folder.path().join("data"), |_| ()).expect("scans");
        let preprocess = Preprocess { size: 48, ..Preprocess::default() };
        let cache = SliceCache::open_or_build(folder.path(), &manifest, &preprocess, |_| ()).expect("caches");
        for (architecture, learn) in [
            (Architecture::ResNet152, Learn::Head),
            (Architecture::DenseNet161, Learn::Head),
            (Architecture::Vgg19, Learn::HeadWithDropout),
        ] {
            let run = RunConfig { learn, batch_size: 8, learning_rate: 1e-2, ..RunConfig::of(architecture) };
            let network = || Network::new(architecture, 5, Device::Cpu).expect("a network");
            let (kept, again) = (network(), network());
            let hash = Some(kept.backbone_hash().expect("hashes"));
            let feed = Feed::new(&cache, &kept, hash, &run, Device::Cpu, &|_| ()).expect("features");
            let images = cache.batch(&[0, 5, 9], Device::Cpu).expect("images");
            let [whole, half] = [Kind::Float, Kind::BFloat16]
                .map(|kind| tch::no_grad(|| kept.features(&images, kept.frozen_until(false), kind)).expect("features"));
            let off = f64::try_from((&whole - half).norm() / whole.norm()).expect("a number");
            assert!(off > 0.0 && off < 0.05, "{architecture}: bf16 moves features by {off}");
            let forwarding = Feed { features: None, from: 0, cache: &cache, ..feed };
            let feed = Feed::new(&cache, &kept, hash, &run, Device::Cpu, &|_| panic!("computed again")).expect("kept");
            let (kept, again) = (losses(&feed, &kept, &run), losses(&forwarding, &again, &run));
            for (kept, again) in kept.iter().zip(&again) {
                assert!((kept - again).abs() < 1e-5, "{architecture} {learn:?}: {kept} and {again}");
            }
            assert!(kept[8] != kept[0], "nothing was learned");
        }
    }
}
