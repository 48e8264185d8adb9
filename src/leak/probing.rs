//! One training of the probe.

use super::deal::{Dealt, Eligible, balanced};
use crate::cache::SliceCache;
use crate::config::{Learn, RunConfig, SplitUnit};
use crate::feed::Feed;
use crate::manifest::Label;
use crate::model::Network;
use crate::optimizer::{Adam, gradient};
use crate::progress::Progress;
use anyhow::{Context, Result, ensure};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use tch::{Device, Reduction, Tensor};

/// What all trainings share.
pub(super) struct Probing<'a> {
    run: &'a RunConfig,
    device: Device,
    network: Network,
    feed: Feed<'a>,
    progress: &'a (dyn Fn(&Progress) + Sync),
    pub(super) eligible: Eligible,
}

impl<'a> Probing<'a> {
    pub(super) fn begin(
        cache: &'a SliceCache,
        run: &'a RunConfig,
        progress: &'a (dyn Fn(&Progress) + Sync),
    ) -> Result<Self> {
        let eligible = Eligible::of(cache.manifest(), run.seed)?;
        let device = run.device()?;
        let (network, _) = crate::train::first_network(run, device, progress)?;
        let frozen = run.learn != Learn::Whole;
        if frozen && run.pretrained.is_none() {
            let first: Vec<usize> = eligible.slices.iter().copied().take(64).collect();
            network.measure_statistics(&cache.batch(&first, device)?)?;
        }
        let backbone = frozen.then(|| network.backbone_hash()).transpose()?;
        let feed = Feed::new(cache, &network, backbone, run, device, progress)?;
        Ok(Self { run, device, network, feed, progress, eligible })
    }

    /// One training: balanced accuracy on the test slices, and on those that were learned from.
    pub(super) fn once(&self, unit: SplitUnit, shuffled: bool, repeat: u64) -> Result<(f64, f64)> {
        let dealt = self.eligible.dealt(unit, shuffled, self.run.split.test_fraction, self.run.seed, repeat);
        let seed = self.run.seed.wrapping_add(repeat);
        let fresh = match self.run.learn {
            Learn::Whole => {
                let run = RunConfig { seed, ..self.run.clone() };
                Some(crate::train::first_network(&run, self.device, self.progress)?.0)
            }
            Learn::Head | Learn::HeadWithDropout => {
                self.network.set_head(&fresh_head(&self.network, seed)?)?;
                self.network.freeze_backbone()?;
                None
            }
        };
        let network = fresh.as_ref().unwrap_or(&self.network);
        self.learn(network, &dealt, seed)?;
        Ok((self.score(network, &dealt, &dealt.test)?, self.score(network, &dealt, &dealt.training)?))
    }

    fn learn(&self, network: &Network, dealt: &Dealt, seed: u64) -> Result<()> {
        let learning = network.learning(self.run.learn);
        let mut adam = Adam::new(learning, self.run.learning_rate)?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut order = dealt.training.clone();
        for epoch in 0..self.run.epochs {
            order.shuffle(&mut rng);
            for (number, batch) in order.chunks(self.run.batch_size).enumerate() {
                tch::manual_seed(((seed << 40) ^ ((epoch as u64) << 24) ^ number as u64) as i64);
                let logits = self.feed.logits(network, &self.slices(batch), true)?;
                let loss = logits.f_cross_entropy_loss::<Tensor>(
                    &self.labels(dealt, batch)?,
                    None,
                    Reduction::Mean,
                    -100,
                    0.0,
                )?;
                let value = f64::try_from(&loss)?;
                ensure!(
                    value.is_finite(),
                    "the loss became {value} in epoch {}: lower the learning rate ({:e} now)",
                    epoch + 1,
                    self.run.learning_rate
                );
                adam.step(gradient(&loss, learning)?)?;
            }
        }
        Ok(())
    }

    fn score(&self, network: &Network, dealt: &Dealt, places: &[usize]) -> Result<f64> {
        // The labels that the feed knows are the true ones, so its own sums say nothing here.
        let (covid, _) = self.feed.score(network, &self.slices(places), 256, &|_| ())?;
        let bad = covid.iter().find(|p| !p.is_finite());
        ensure!(
            bad.is_none(),
            "a probability became {bad:?}: lower the learning rate ({:e} now)",
            self.run.learning_rate
        );
        let decided: Vec<bool> = covid.iter().map(|&p| p >= 0.5).collect();
        let truth: Vec<bool> = places.iter().map(|&place| self.is_covid(dealt, place)).collect();
        balanced(&truth, &decided).context("expected slices of both labels to score")
    }

    fn slices(&self, places: &[usize]) -> Vec<usize> {
        places.iter().map(|&place| self.eligible.slices[place]).collect()
    }

    fn is_covid(&self, dealt: &Dealt, place: usize) -> bool {
        dealt.covid[self.eligible.patients[place]]
    }

    fn labels(&self, dealt: &Dealt, places: &[usize]) -> Result<Tensor> {
        let index = |&place: &usize| {
            let label = if self.is_covid(dealt, place) { Label::Covid } else { Label::NonCovid };
            label.index() as i64
        };
        let labels: Vec<i64> = places.iter().map(index).collect();
        Ok(Tensor::f_from_slice(&labels)?.f_to_device(self.device)?)
    }
}

/// A head as a new network of this kind has it.
fn fresh_head(network: &Network, seed: u64) -> Result<BTreeMap<String, Tensor>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let inputs = network.head()[0].1.size()[1] as f32;
    let bound = 1.0 / inputs.sqrt();
    let drawn = network.head().iter().map(|(name, tensor)| {
        let values: Vec<f32> = (0..tensor.numel()).map(|_| rng.gen_range(-bound..bound)).collect();
        Ok((name.clone(), Tensor::f_from_slice(&values)?.f_reshape(tensor.size())?))
    });
    drawn.collect()
}
