//! The leak, measured: one network under a slice-level and a patient-level split, with the true labels and with labels that
//! were dealt out among patients anew.
//!
//! With shuffled labels there is no disease to learn, only who is who. A split by slice still scores high, for the test
//! slices' neighbours were learned; a split by patient falls to chance. The gap is what a slice-level result owes to the leak
//! (Yagis et al. 2021, doi:10.1038/s41598-021-01681-w, did the same with brain MRI: 96 % and 50 %).

use crate::cache::SliceCache;
use crate::config::{Learn, RunConfig, SplitConfig, SplitUnit};
use crate::feed::Feed;
use crate::figure::{Bar, Figure, bars};
use crate::files::{Digest, read_json, write_json};
use crate::manifest::Set;
use crate::model::Network;
use crate::optimizer::Adam;
use crate::progress::{Meter, Progress, thousands};
use crate::split::{Split, Subset};
use crate::table::{Table, percent, shown_as_table};
use anyhow::{Context, Result, ensure};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Scans with fewer slices have no neighbours that could leak.
const LEAST_SLICES: usize = 4;

/// One way to train and test, repeated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakArm {
    /// What the split kept together.
    pub unit: SplitUnit,
    /// Whether the labels were dealt out anew among patients.
    pub shuffled: bool,
    /// Right decisions on test slices, and test slices, of each repetition.
    pub tests: Vec<(u64, u64)>,
    /// Mean accuracy on the slices that were learned from.
    pub training: f64,
}

impl LeakArm {
    /// Right decisions divided by test slices, over all repetitions; 0 to 1.
    pub fn accuracy(&self) -> Option<f64> {
        let (right, all) = self.tests.iter().fold((0, 0), |sum, test| (sum.0 + test.0, sum.1 + test.1));
        (all > 0).then(|| right as f64 / all as f64)
    }

    /// The mean of the repetitions' accuracies ± 1.96 standard errors; `None` with fewer than two.
    pub fn interval(&self) -> Option<(f64, f64)> {
        let each: Vec<f64> = self.tests.iter().map(|(right, all)| *right as f64 / *all as f64).collect();
        let count = each.len() as f64;
        let mean = each.iter().sum::<f64>() / count;
        let variance = each.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let error = 1.96 * (variance / count).sqrt();
        (each.len() > 1).then(|| ((mean - error).max(0.0), (mean + error).min(1.0)))
    }

    fn name(&self) -> (&'static str, &'static str) {
        let unit = if self.unit == SplitUnit::Slice { "by slice (LEAKING)" } else { "by patient" };
        (unit, if self.shuffled { "shuffled among patients" } else { "true" })
    }
}

/// Four ways to train and test one network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakProbe {
    /// Settings of every training; split and seed change from repetition to repetition.
    pub run: RunConfig,
    /// Hash of the manifest.
    pub manifest: Digest,
    /// Patients, scans and slices that took part: those of `train/` whose scan has four slices or more.
    pub patients: usize,
    /// Scans.
    pub scans: usize,
    /// Slices.
    pub slices: usize,
    /// By slice and by patient, with true and with shuffled labels.
    pub arms: Vec<LeakArm>,
}

impl RunConfig {
    /// A run for the leak probe: `self` with 30 epochs and a test set of a fifth, trained to the end whatever the
    /// validation set says.
    pub fn leak_probe(self) -> Self {
        let split = SplitConfig { test_fraction: 0.2, stratified: true, ..self.split };
        let learning_rate = if self.learn == Learn::Whole { self.learning_rate } else { 3e-3 };
        Self { name: format!("{}-leak", self.name), split, epochs: 30, learning_rate, ..self }
    }
}

impl LeakProbe {
    /// Trains `4 × repeats` times as `run` says (see [`RunConfig::leak_probe`]) and writes `leak.json` into `folder`. A
    /// probe of the same data, settings and repetitions that lies there is read instead.
    ///
    /// Of a frozen network only the head learns, over features that are computed once: seconds for each training.
    ///
    /// # Errors
    /// Fewer than 10 patients with scans of four slices or more in `train/`, or settings that cannot work.
    pub fn run(
        folder: impl AsRef<Path>,
        cache: &SliceCache,
        run: &RunConfig,
        repeats: usize,
        progress: impl Fn(&Progress) + Sync,
    ) -> Result<Self> {
        let path = folder.as_ref().join("leak.json");
        run.check()?;
        if let Ok(found) = Self::read(folder.as_ref())
            && found.manifest == cache.manifest_hash()
            && found.run.decisive() == run.decisive()
            && found.arms.iter().all(|arm| arm.tests.len() == repeats)
        {
            return Ok(found);
        }
        let probe = Probing::begin(cache, run, &progress).context("measuring the leak")?;
        let ways = [SplitUnit::Slice, SplitUnit::Patient].map(|unit| [false, true].map(|shuffled| (unit, shuffled)));
        let meter = Meter::new("leak probe", "trainings", 4 * repeats, 0, &progress);
        let mut arms = Vec::new();
        for (unit, shuffled) in ways.into_iter().flatten() {
            let (mut tests, mut training) = (Vec::new(), 0.0);
            for repeat in 0..repeats {
                let (test, train) = probe.once(unit, shuffled, repeat as u64).context("measuring the leak")?;
                tests.push(test);
                training += train / repeats as f64;
                meter.add(1);
            }
            arms.push(LeakArm { unit, shuffled, tests, training });
        }
        meter.finish();
        let (patients, scans, slices) = probe.counts();
        let found = Self { run: run.clone(), manifest: cache.manifest_hash(), patients, scans, slices, arms };
        write_json(&path, &found)?;
        Ok(found)
    }

    /// Reads what [`run`](Self::run) wrote.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self> {
        read_json(&folder.as_ref().join("leak.json"), "a leak probe (written by `covid-ct leakage`)")
    }

    /// The arm with this split and these labels.
    pub fn arm(&self, unit: SplitUnit, shuffled: bool) -> Option<&LeakArm> {
        self.arms.iter().find(|arm| arm.unit == unit && arm.shuffled == shuffled)
    }

    /// One row a way.
    pub fn table(&self) -> Table {
        let columns = ["Split", "Labels", "Test accuracy", "95 % interval", "Correct", "Training accuracy"];
        let mut table = Table::new(format!("The leak, measured with {}", self.run.architecture), &columns);
        for arm in &self.arms {
            let (unit, labels) = arm.name();
            let (right, all) = arm.tests.iter().fold((0, 0), |sum, test| (sum.0 + test.0, sum.1 + test.1));
            let interval = arm
                .interval()
                .map_or("–".to_owned(), |(low, high)| format!("{} to {}", percent(Some(low)), percent(Some(high))));
            table.row([
                unit.to_owned(),
                labels.to_owned(),
                percent(arm.accuracy()),
                interval,
                format!("{}/{}", thousands(right), thousands(all)),
                percent(Some(arm.training)),
            ]);
        }
        let repeats = self.arms.first().map_or(0, |arm| arm.tests.len());
        table
            .note(format!(
                "{} patients, {} scans, {} slices of train/ (scans of {LEAST_SLICES} slices or more); every row the sum of \
                 {repeats} trainings of {} epochs, each with its own draw of a fifth as test set. Interval: over the \
                 trainings.",
                thousands(self.patients as u64),
                thousands(self.scans as u64),
                thousands(self.slices as u64),
                self.run.epochs
            ))
            .note(
                "With shuffled labels there is nothing to learn but who is who: what is above 50 % is the leak. The \
                 slides' test accuracy of 99.7 % beside a validation accuracy of 81.1 % is of that kind.",
            )
    }

    /// The accuracies side by side.
    pub fn figure(&self) -> Result<Figure> {
        let bar = |arm: &LeakArm| {
            let (unit, labels) = arm.name();
            Bar {
                group: format!("split {unit}"),
                series: format!("labels {labels}"),
                value: 100.0 * arm.accuracy().unwrap_or(0.0),
                interval: arm.interval().map(|(low, high)| (100.0 * low, 100.0 * high)),
            }
        };
        bars(
            "What a split lets through",
            "accuracy on test slices (%)",
            (0.0, 100.0),
            Some((50.0, "chance")),
            &self.arms.iter().map(bar).collect::<Vec<_>>(),
            "The same network, the same slices. Labels dealt out anew among patients can be learned only by recognising \
             the patient: a high bar there is the leak itself.",
        )
    }
}

shown_as_table!(LeakProbe);

/// What all trainings share.
struct Probing<'a> {
    cache: &'a SliceCache,
    run: &'a RunConfig,
    network: Network,
    backbone: Option<Digest>,
    eligible: Vec<bool>,
    progress: &'a (dyn Fn(&Progress) + Sync),
}

impl<'a> Probing<'a> {
    fn begin(cache: &'a SliceCache, run: &'a RunConfig, progress: &'a (dyn Fn(&Progress) + Sync)) -> Result<Self> {
        let manifest = cache.manifest();
        let by_scan = manifest.slices_by_scan();
        let takes_part = |scan: usize| {
            let of = &manifest.scans[scan];
            of.set == Set::Train && of.label.is_some() && by_scan[scan].len() >= LEAST_SLICES
        };
        let eligible: Vec<bool> = manifest.slices.iter().map(|slice| takes_part(slice.scan)).collect();
        let (network, _) = crate::train::first_network(run, run.device()?, progress)?;
        let frozen = run.learn != Learn::Whole;
        if frozen && run.pretrained.is_none() {
            let first: Vec<usize> = (0..eligible.len()).filter(|&i| eligible[i]).take(64).collect();
            network.measure_statistics(&cache.batch(&first, run.device()?)?)?;
        }
        let backbone = frozen.then(|| network.backbone_hash()).transpose()?;
        let probing = Self { cache, run, network, backbone, eligible, progress };
        let (patients, ..) = probing.counts();
        ensure!(
            patients >= 10,
            "expected 10 patients or more with scans of {LEAST_SLICES} slices in train/, found {patients}"
        );
        Ok(probing)
    }

    /// Patients, scans and slices that take part.
    fn counts(&self) -> (usize, usize, usize) {
        let manifest = self.cache.manifest();
        let patient_of = manifest.patient_of_scans();
        let slices = (0..self.eligible.len()).filter(|&i| self.eligible[i]);
        let scans: std::collections::BTreeSet<usize> = slices.clone().map(|i| manifest.slices[i].scan).collect();
        let patients: std::collections::BTreeSet<u32> = scans.iter().map(|&scan| patient_of[scan]).collect();
        (patients.len(), scans.len(), slices.count())
    }

    /// One training: right decisions on test slices and test slices, and the accuracy in training.
    fn once(&self, unit: SplitUnit, shuffled: bool, repeat: u64) -> Result<((u64, u64), f64)> {
        let seed = self.run.seed + repeat;
        let labels = self.cache.manifest().clone();
        let labels = if shuffled { labels.with_labels_shuffled(seed) } else { labels };
        let split = Split::new(&labels, &SplitConfig { unit, seed, ..self.run.split.clone() })?;
        let of = |subset: Subset| -> Vec<usize> {
            split.slices(subset).into_iter().filter(|&slice| self.eligible[slice]).collect()
        };
        let (training, test) = (of(Subset::Train), of(Subset::Test));
        ensure!(!training.is_empty() && !test.is_empty(), "no slices are left to learn from or to test on");
        let cache = self.cache.relabelled(labels);
        let own = self.backbone.is_none().then(|| self.fresh(seed)).transpose()?;
        let network = own.as_ref().unwrap_or(&self.network);
        if self.backbone.is_some() {
            network.set_head(&fresh_head(network, seed)?)?;
            network.freeze_backbone()?;
        }
        let feed = Feed::new(&cache, network, self.backbone, self.run, self.run.device()?, self.progress)?;
        let learned = self.learn(&feed, network, training, seed)?;
        let (_, sums) = feed.score(network, &test, 256, &|_| ())?;
        let sums = sums.context("scoring needs labels")?;
        Ok(((sums.correct, sums.seen), learned))
    }

    fn fresh(&self, seed: u64) -> Result<Network> {
        let run = RunConfig { seed, ..self.run.clone() };
        Ok(crate::train::first_network(&run, self.run.device()?, self.progress)?.0)
    }

    /// Learns for all epochs; the accuracy of the last one.
    fn learn(&self, feed: &Feed<'_>, network: &Network, mut slices: Vec<usize>, seed: u64) -> Result<f64> {
        let learning = network.learning(self.run.learn);
        let mut adam = Adam::new(learning, self.run.learning_rate)?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut accuracy = 0.0;
        for epoch in 0..self.run.epochs {
            slices.shuffle(&mut rng);
            let mut right = 0;
            for (number, batch) in slices.chunks(self.run.batch_size).enumerate() {
                tch::manual_seed(((seed << 40) ^ ((epoch as u64) << 24) ^ number as u64) as i64);
                let (loss, sums) = feed.judge(&feed.logits(network, batch, true)?, batch)?;
                ensure!(sums.batch_loss.is_finite(), "the loss became {}: lower the learning rate", sums.batch_loss);
                loss.f_backward()?;
                adam.step(learning)?;
                right += sums.correct;
            }
            accuracy = right as f64 / slices.len() as f64;
        }
        Ok(accuracy)
    }
}

/// A head as a new network of this kind has it.
fn fresh_head(network: &Network, seed: u64) -> Result<BTreeMap<String, tch::Tensor>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let inputs = network.head()[0].1.size()[1] as f32;
    let bound = 1.0 / inputs.sqrt();
    let drawn = network.head().iter().map(|(name, tensor)| {
        use rand::Rng;
        let values: Vec<f32> = (0..tensor.numel()).map(|_| rng.gen_range(-bound..bound)).collect();
        Ok((name.clone(), tch::Tensor::f_from_slice(&values)?.f_reshape(tensor.size())?))
    });
    drawn.collect()
}
