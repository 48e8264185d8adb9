//! The trainings of the leak probe.

use super::label_permutation::{Participants, Repetition, balanced};
use crate::base::errors::{Context, Result, ensure};
use crate::base::files::Digest;
use crate::base::interrupt::go_on;
use crate::base::progress::Progress;
use crate::data::cache::SliceCache;
use crate::data::manifest::Label;
use crate::data::split::SplitUnit;
use crate::nn::learn::Learn;
use crate::nn::model::Network;
use crate::nn::optimizer::{Adam, gradient};
use crate::nn::single_threads::in_threads;
use crate::train::batch_source::BatchSource;
use crate::train::config::RunConfig;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use tch::{Device, Reduction, Tensor};

/// A network that is trained once for each split, labels and repetition.
pub(super) struct Trainings<'a> {
    network: Network,
    pub(super) shared: Shared<'a>,
}

/// Settings and data that all trainings share between threads.
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
        (network, backbone): (Network, Option<Digest>),
        progress: &'a (dyn Fn(&Progress) + Sync),
    ) -> Result<Self> {
        let eligible = Participants::of(cache.manifest(), run.seed)?;
        let device = run.device()?;
        let source = BatchSource::new(cache, &network, backbone, run, device, progress)?;
        Ok(Self { network, shared: Shared { run, device, source, progress, eligible } })
    }

    /// Trains `repeats` times: of each training the balanced accuracy on the test slices and on the training slices, 0
    /// to 1, in the order of the repetitions. `done` is called after each.
    ///
    /// On a CPU heads of a single layer are trained in parallel, each on one thread: their work is too small for two.
    pub(super) fn all(
        &self,
        (unit, shuffled): (SplitUnit, bool),
        repeats: usize,
        done: &(dyn Fn() + Sync),
    ) -> Result<Vec<(f64, f64)>> {
        let shared = &self.shared;
        let once = |network: &Network, repeat: usize| -> Result<(f64, f64)> {
            let scores = shared.once(network, unit, shuffled, repeat as u64)?;
            done();
            Ok(scores)
        };
        let heads = self.heads(repeats)?;
        if heads.is_empty() {
            return (0..repeats).map(|repeat| once(&self.network, repeat)).collect();
        }
        in_threads(heads, repeats, once)
    }

    /// A copy of the head for each thread; empty where the trainings run one after the other.
    fn heads(&self, repeats: usize) -> Result<Vec<Network>> {
        if self.shared.run.learn != Learn::Head || self.shared.device != Device::Cpu {
            return Ok(Vec::new());
        }
        let threads = repeats.min(tch::get_num_threads().max(1) as usize);
        (0..threads).map_while(|_| self.network.head_alone().transpose()).collect()
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
            Learn::Head | Learn::HeadWithDropout | Learn::Converged => {
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
                go_on()?;
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
        // The batch source has the true labels, so its loss and accuracy do not apply to permuted ones.
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

/// Initial weights of a head, drawn as those of a new network.
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
    use crate::train::initial::initial_network;
    use crate::train::run_folder::RunFolder;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// The frozen network that a run begins with, and the hash of its backbone.
    fn random(run: &RunConfig) -> (Network, Option<Digest>) {
        let (network, _) = initial_network(run, Device::Cpu, &|_| ()).expect("a network");
        let backbone = network.backbone_hash().expect("hashes");
        (network, Some(backbone))
    }

    /// In a separate process, as above.
    #[test]
    fn heads_side_by_side_score_as_one_after_the_other_and_trainings_share_features() {
        let name = "evaluate::leak::trainings::tests::heads_side_by_side_score_as_one_after_the_other_and_trainings_share_features";
        if crate::base::parallel::passes_alone(name) {
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let config = PhantomConfig { train_scans: 6, ..PhantomConfig::tiny() };
        draw_phantom(&folder.path().join("data"), &config, |_| ()).expect("draws");
        let manifest = Manifest::scan(folder.path().join("data"), |_| ()).expect("scans");
        let run = RunConfig {
            pretrained: None,
            device: "cpu".into(),
            ..RunConfig::published(Architecture::DenseNet161).by_patient()
        };
        let run = RunConfig { epochs: 20, ..run.small().leak_probe() };
        let cache = SliceCache::open_or_build(folder.path().join("cache"), &manifest, &run.preprocess, |_| ());
        let cache = cache.expect("caches");
        tch::set_num_threads(3);
        let trainings = Trainings::begin(&cache, &run, random(&run), &|_| ()).expect("begins");
        let calls = AtomicUsize::new(0);
        let done = || _ = calls.fetch_add(1, Ordering::Relaxed);
        let together = trainings.all((SplitUnit::Slice, true), 7, &done).expect("trains");
        assert_eq!((calls.into_inner(), tch::get_num_threads()), (7, 3));
        tch::set_num_threads(1);
        let alone = |repeat| trainings.shared.once(&trainings.network, SplitUnit::Slice, true, repeat).expect("trains");
        assert_eq!(together, (0..7).map(alone).collect::<Vec<_>>());
        assert!(together.iter().any(|scores| *scores != together[0]), "every repetition draws its own test set");
        // Random weights depend on no data, so another split reuses the features. (With as many threads: sums round.)
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
