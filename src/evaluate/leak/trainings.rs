//! One training of the probe.

use super::label_permutation::{Participants, Repetition, balanced};
use crate::base::progress::Progress;
use crate::data::cache::SliceCache;
use crate::data::manifest::Label;
use crate::data::split::SplitUnit;
use crate::nn::learn::Learn;
use crate::nn::model::Network;
use crate::nn::optimizer::{Adam, gradient};
use crate::train::batch_source::BatchSource;
use crate::train::config::RunConfig;
use anyhow::{Context, Result, ensure};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use tch::{Device, Reduction, Tensor};

/// One network to train in many ways.
pub(super) struct Trainings<'a> {
    network: Network,
    pub(super) shared: Shared<'a>,
}

/// What all trainings share, on whatever thread.
pub(super) struct Shared<'a> {
    run: &'a RunConfig,
    device: Device,
    source: BatchSource<'a>,
    progress: &'a (dyn Fn(&Progress) + Sync),
    pub(super) eligible: Participants,
}

impl<'a> Trainings<'a> {
    pub(super) fn begin(
        cache: &'a SliceCache,
        run: &'a RunConfig,
        progress: &'a (dyn Fn(&Progress) + Sync),
    ) -> Result<Self> {
        let eligible = Participants::of(cache.manifest(), run.seed)?;
        let device = run.device()?;
        let (network, _) = crate::train::initial::initial_network(run, device, progress)?;
        let backbone = (run.learn != Learn::Whole).then(|| network.backbone_hash()).transpose()?;
        let source = BatchSource::new(cache, &network, backbone, run, device, progress)?;
        Ok(Self { network, shared: Shared { run, device, source, progress, eligible } })
    }

    /// Trains so many times: each time the balanced accuracy on the test slices, and on those that were learned from. `done`
    /// is told of each.
    ///
    /// On a CPU heads that are a single layer learn side by side, each on one thread: their work is too small for two.
    pub(super) fn all(
        &self,
        (unit, shuffled): (SplitUnit, bool),
        repeats: usize,
        done: &(dyn Fn() + Sync),
    ) -> Result<Vec<(f64, f64)>> {
        let (shared, threads) = (&self.shared, tch::get_num_threads());
        let once = |network: &Network, repeat: usize| {
            let scores = shared.once(network, unit, shuffled, repeat as u64);
            done();
            scores
        };
        let is_small = shared.run.learn == Learn::Head && shared.device == Device::Cpu;
        let (mut heads, next) = (Vec::new(), AtomicUsize::new(0));
        while is_small && heads.len() < repeats.min(threads.max(1) as usize) {
            let Some(head) = self.network.head_alone()? else { break };
            heads.push(head);
        }
        if heads.is_empty() {
            return (0..repeats).map(|repeat| once(&self.network, repeat)).collect();
        }
        let work = |head: Network| {
            tch::set_num_threads(1);
            let mut scores = Vec::new();
            loop {
                let repeat = next.fetch_add(1, Ordering::Relaxed);
                if repeat >= repeats {
                    return scores;
                }
                let found = once(&head, repeat);
                if found.is_err() {
                    next.store(repeats, Ordering::Relaxed);
                }
                scores.push((repeat, found));
            }
        };
        let mut scores: Vec<_> = std::thread::scope(|scope| {
            let working: Vec<_> = heads.into_iter().map(|head| scope.spawn(|| work(head))).collect();
            let joined = working.into_iter().map(|thread| thread.join());
            joined.flat_map(|scores| scores.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        tch::set_num_threads(threads);
        scores.sort_by_key(|(repeat, _)| *repeat);
        scores.into_iter().map(|(_, scores)| scores).collect()
    }
}

impl Shared<'_> {
    fn once(&self, network: &Network, unit: SplitUnit, shuffled: bool, repeat: u64) -> Result<(f64, f64)> {
        let repetition = self.eligible.repetition(unit, shuffled, self.run.split.test_fraction, self.run.seed, repeat);
        let seed = self.run.seed.wrapping_add(repeat);
        let fresh = match self.run.learn {
            Learn::Whole => {
                let run = RunConfig { seed, ..self.run.clone() };
                Some(crate::train::initial::initial_network(&run, self.device, self.progress)?.0)
            }
            Learn::Head | Learn::HeadWithDropout => {
                network.set_head(&fresh_head(network, seed)?)?;
                network.freeze_backbone()?;
                None
            }
        };
        let network = fresh.as_ref().unwrap_or(network);
        self.learn(network, &repetition, seed)?;
        Ok((
            self.score(network, &repetition, &repetition.test)?,
            self.score(network, &repetition, &repetition.training)?,
        ))
    }

    fn learn(&self, network: &Network, repetition: &Repetition, seed: u64) -> Result<()> {
        let learning = network.learning(self.run.learn);
        let mut adam = Adam::new(learning, self.run.learning_rate)?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut order = repetition.training.clone();
        for epoch in 0..self.run.epochs {
            order.shuffle(&mut rng);
            for (number, batch) in order.chunks(self.run.batch_size).enumerate() {
                tch::manual_seed(((seed << 40) ^ ((epoch as u64) << 24) ^ number as u64) as i64);
                let logits = self.source.logits(network, &self.slices(batch), true)?;
                let loss = logits.f_cross_entropy_loss::<Tensor>(
                    &self.labels(repetition, batch)?,
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

    fn score(&self, network: &Network, repetition: &Repetition, places: &[usize]) -> Result<f64> {
        // The labels that the source knows are the true ones, so its own sums say nothing here.
        let (covid, _) = self.source.score(network, &self.slices(places), 256, &|_| ())?;
        let bad = covid.iter().find(|p| !p.is_finite());
        ensure!(
            bad.is_none(),
            "a probability became {bad:?}: lower the learning rate ({:e} now)",
            self.run.learning_rate
        );
        let decided: Vec<bool> = covid.iter().map(|&p| p >= 0.5).collect();
        let truth: Vec<bool> = places.iter().map(|&place| self.is_covid(repetition, place)).collect();
        balanced(&truth, &decided).context("expected slices of both labels to score")
    }

    fn slices(&self, places: &[usize]) -> Vec<usize> {
        places.iter().map(|&place| self.eligible.slices[place]).collect()
    }

    fn is_covid(&self, repetition: &Repetition, place: usize) -> bool {
        repetition.covid[self.eligible.patients[place]]
    }

    fn labels(&self, repetition: &Repetition, places: &[usize]) -> Result<Tensor> {
        let index = |&place: &usize| {
            let label = if self.is_covid(repetition, place) { Label::Covid } else { Label::NonCovid };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::manifest::Manifest;
    use crate::data::phantom::{PhantomConfig, draw_phantom};
    use crate::data::split::Split;
    use crate::data::split::SplitConfig;
    use crate::nn::model::Architecture;
    use crate::train::experiment::Experiment;
    use crate::train::run_folder::RunFolder;

    /// In a process of its own: how many threads libtorch uses is every test's.
    #[test]
    fn heads_side_by_side_score_as_one_after_the_other_and_trainings_share_features() {
        let name = "evaluate::leak::trainings::tests::heads_side_by_side_score_as_one_after_the_other_and_trainings_share_features";
        if crate::base::parallel::passes_alone(name) {
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let config = PhantomConfig {
            size: 64,
            train_scans: 6,
            val_scans: 2,
            prediction_scans: 1,
            slices: 4,
            defects: false,
            ..PhantomConfig::default()
        };
        draw_phantom(&folder.path().join("data"), &config, |_| ()).expect("draws");
        let manifest = Manifest::scan(folder.path().join("data"), |_| ()).expect("scans");
        let run = RunConfig { pretrained: None, device: "cpu".into(), ..RunConfig::of(Architecture::DenseNet161) };
        let run = RunConfig { epochs: 3, ..run.small().leak_probe() };
        let cache = SliceCache::open_or_build(folder.path().join("cache"), &manifest, &run.preprocess, |_| ());
        let cache = cache.expect("caches");
        tch::set_num_threads(3);
        let trainings = Trainings::begin(&cache, &run, &|_| ()).expect("begins");
        let told = AtomicUsize::new(0);
        let tell = || _ = told.fetch_add(1, Ordering::Relaxed);
        let together = trainings.all((SplitUnit::Slice, true), 7, &tell).expect("trains");
        assert_eq!((told.into_inner(), tch::get_num_threads()), (7, 3));
        tch::set_num_threads(1);
        let alone = |repeat| trainings.shared.once(&trainings.network, SplitUnit::Slice, true, repeat).expect("trains");
        assert_eq!(together, (0..7).map(alone).collect::<Vec<_>>());
        assert!(together.iter().any(|scores| *scores != together[0]), "every repetition has its own draw");
        // Random weights depend on no data: another split computes nothing anew. (With as many threads: sums round.)
        tch::set_num_threads(3);
        let split = SplitConfig { unit: SplitUnit::Slice, ..SplitConfig::default() };
        let run = RunConfig { name: "leaking".into(), epochs: 1, split: split.clone(), ..run };
        let split = Split::new(&manifest, &split).expect("splits");
        let path = cache.folder().to_owned();
        let experiment = Experiment::of_parts(RunFolder::at(folder.path().join("leaking")), split, cache, run);
        experiment.expect("belongs together").train().expect("trains");
        let names = std::fs::read_dir(path).expect("reads").map(|item| item.expect("reads").file_name());
        assert_eq!(names.filter(|name| name.to_string_lossy().starts_with("features-")).count(), 1);
    }
}
