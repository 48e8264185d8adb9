//! The leak, measured by a permutation test: one network under a slice-level and a patient-level split, with the true
//! labels and with labels permuted among patients.
//!
//! With permuted labels there is no disease to learn, only patients' identities. Under a split by slice the network
//! still scores high, because it was trained on neighbours of the test slices; under a split by patient it falls to
//! chance. The gap is what a slice-level result owes to the leak (Yagis et al. 2021, doi:10.1038/s41598-021-01681-w,
//! did the same with brain MRI: 96 % and 50 %).
//!
//! Chance is exactly 50 %: the slices that take part are fixed before labels are permuted, every test set is stratified
//! by the permuted labels, and it is scored by balanced accuracy, the mean recall of the two labels.

use crate::base::checksums::Sha256Sums;
use crate::base::errors::{Context, Result, ensure};
use crate::base::files::Digest;
use crate::base::progress::{Meter, Progress, thousands};
use crate::data::cache::SliceCache;
use crate::data::split::{SplitConfig, SplitUnit};
use crate::data::workspace::Workspace;
use crate::nn::learn::Learn;
use crate::train::config::RunConfig;
use crate::train::initial::initial_network;
use crate::train::recipe::Recipe;
use serde::{Deserialize, Serialize};
use std::path::Path;

mod interval;
mod label_permutation;
mod results;
mod trainings;

use interval::{mean, of_mean};
use trainings::Trainings;

const FILE: &str = "leakage.json";

/// One split with one kind of labels, trained and tested repeatedly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakArm {
    /// The unit that the split keeps together.
    pub unit: SplitUnit,
    /// Whether the labels were permuted among patients.
    pub shuffled: bool,
    /// Balanced accuracy over the test slices of each repetition, 0 to 1.
    pub tests: Vec<f64>,
    /// Mean balanced accuracy on the training slices, 0 to 1.
    pub training: f64,
}

impl LeakArm {
    /// Mean balanced accuracy over the repetitions, 0 to 1; `None` without repetitions.
    pub fn accuracy(&self) -> Option<f64> {
        mean(&self.tests)
    }
}

/// Balanced accuracy of the split by slice minus that of the split by patient.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakGap {
    /// Whether the labels were permuted among patients.
    pub shuffled: bool,
    /// Mean difference of balanced accuracy, -1 to 1, paired by repetition: both splits have the same labels.
    pub value: f64,
    /// Its 95 % confidence interval; `None` with fewer than two repetitions.
    pub interval: Option<(f64, f64)>,
}

/// The leak probe: two splits, each with true and with permuted labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakProbe {
    /// Settings of every training; labels and test set change from repetition to repetition.
    pub run: RunConfig,
    /// Hash of the manifest.
    pub manifest: Digest,
    /// Hash of the frozen backbone; `None` where the whole network is trained.
    #[serde(default)]
    pub backbone: Option<Digest>,
    /// Patients that took part: with one label and scans of four slices or more in `train/`, 60 of each label at most.
    pub patients: usize,
    /// Of these, covid.
    pub covid: usize,
    /// Their scans of four slices or more.
    pub scans: usize,
    /// Their slices, 24 of a scan at most, the same for all arms.
    pub slices: usize,
    /// By slice and by patient, with true and with permuted labels.
    pub arms: Vec<LeakArm>,
}

impl RunConfig {
    /// A run for the leak probe: `self` with a stratified test set of a fifth, trained for all epochs without a
    /// validation set. A head over frozen features is trained for 60 epochs at 1e-2 in batches of 64: until it overfits
    /// its training slices, which the probe needs.
    pub fn leak_probe(self) -> Self {
        let split = SplitConfig { test_fraction: 0.2, stratified: true, fold: None, ..self.split };
        let (learning_rate, batch_size, epochs) = match self.learn {
            Learn::Whole => (self.learning_rate, self.batch_size, 30),
            Learn::Head | Learn::HeadWithDropout | Learn::Converged => (1e-2, 64, 60),
        };
        // The probe has a training loop of its own, which is the slides'.
        let (name, recipe) = (format!("{}-leak", self.name), Recipe::default());
        let learn = if self.learn == Learn::Converged { Learn::Head } else { self.learn };
        Self { name, learn, split, epochs, learning_rate, batch_size, recipe, ..self }
    }
}

impl LeakProbe {
    /// Default number of repetitions: with 40 patients the mean of the permuted labels by patient is then within about
    /// four points of chance, in minutes on two cores where a head is trained over frozen features.
    pub const REPEATS: usize = 30;

    /// The most repetitions: far more than narrow an interval.
    pub const MOST_REPEATS: usize = 10_000;

    /// Measures the leak on the audited data set of a workspace: see [`run`](Self::run).
    ///
    /// # Errors
    /// No audit yet, and those of [`run`](Self::run).
    pub fn measure(
        workspace: &Workspace,
        run: &RunConfig,
        repeats: usize,
        progress: impl Fn(&Progress) + Sync,
    ) -> Result<Self> {
        let accepted = workspace.audit()?.accepted();
        let cache = SliceCache::open_or_build(workspace.cache_folder(), &accepted, &run.preprocess, &progress)?;
        Self::run(workspace.manifest_folder(), &cache, run, repeats, progress)
    }

    /// Trains `4 × repeats` times with the settings `run` (see [`RunConfig::leak_probe`]) and writes `leakage.json`
    /// into `folder`. A probe of the same data, settings and repetitions in that folder is read instead.
    ///
    /// Of a frozen network only the head is trained, over features that are computed once: less than a second for each
    /// training, and on a CPU in parallel, with the same results as one after the other.
    ///
    /// # Errors
    /// No repetitions or more than 10,000, fewer than 5 patients of a label with scans of four slices or more in `train/`, or settings that
    /// cannot work.
    pub fn run(
        folder: impl AsRef<Path>,
        cache: &SliceCache,
        run: &RunConfig,
        repeats: usize,
        progress: impl Fn(&Progress) + Sync,
    ) -> Result<Self> {
        Self::run_in(folder.as_ref(), cache, run, repeats, &progress)
    }

    fn run_in(
        folder: &Path,
        cache: &SliceCache,
        run: &RunConfig,
        repeats: usize,
        progress: &(dyn Fn(&Progress) + Sync),
    ) -> Result<Self> {
        ensure!(
            (1..=Self::MOST_REPEATS).contains(&repeats),
            "measuring the leak: expected 1 to {} repetitions, found {repeats}",
            thousands(Self::MOST_REPEATS as u64)
        );
        run.check().context("measuring the leak")?;
        let stored = Self::read(folder).ok().filter(|found| {
            found.manifest == cache.manifest_hash()
                && found.run.decisive() == run.decisive()
                && found.arms.iter().all(|arm| arm.tests.len() == repeats)
        });
        let network = match (initial_network(run, run.device()?, progress), stored.is_some()) {
            (Ok((network, _)), _) => network,
            // Its weights are gone by now: whether they would be the same cannot be asked.
            (Err(_), true) => return stored.context("measuring the leak"),
            (Err(error), false) => return Err(error).context("measuring the leak"),
        };
        let backbone = (run.learn != Learn::Whole).then(|| network.backbone_hash()).transpose()?;
        if let Some(found) = stored.filter(|found| found.backbone == backbone) {
            return Ok(found);
        }
        let trainings = Trainings::begin(cache, run, (network, backbone), progress).context("measuring the leak")?;
        let meter = Meter::new("leak probe", "trainings", 4 * repeats, 0, progress);
        let mut arms = Vec::new();
        for unit in [SplitUnit::Slice, SplitUnit::Patient] {
            for shuffled in [false, true] {
                let scores =
                    trainings.all((unit, shuffled), repeats, &|| meter.add(1)).context("measuring the leak")?;
                let (tests, training) = scores.into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
                let training = training.iter().sum::<f64>() / repeats as f64;
                arms.push(LeakArm { unit, shuffled, tests, training });
            }
        }
        meter.finish();
        let eligible = &trainings.shared.eligible;
        let found = Self {
            run: run.clone(),
            manifest: cache.manifest_hash(),
            backbone,
            patients: eligible.covid.len(),
            covid: eligible.covid.iter().filter(|&&covid| covid).count(),
            scans: eligible.scans,
            slices: eligible.slices.len(),
            arms,
        };
        Sha256Sums::of(folder).write_json(FILE, &found)?;
        Ok(found)
    }

    /// Reads what [`run`](Self::run) wrote.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self> {
        Sha256Sums::of(folder.as_ref()).read_json(FILE, "a leak probe", "leakage")
    }

    /// The arm with this split and these labels.
    pub fn arm(&self, unit: SplitUnit, shuffled: bool) -> Option<&LeakArm> {
        self.arms.iter().find(|arm| arm.unit == unit && arm.shuffled == shuffled)
    }

    /// The 95 % confidence interval of an arm's mean, 0 to 1, by Student's t over the repetitions; `None` with fewer
    /// than two.
    ///
    /// Labels are permuted anew for each repetition, so those repetitions are independent. With the true labels
    /// repetitions share labels and most slices: their variance is corrected by the ratio of test to training slices
    /// (Nadeau and Bengio 2003, *Inference for the Generalization Error*).
    pub fn interval(&self, unit: SplitUnit, shuffled: bool) -> Option<(f64, f64)> {
        let (low, high) = of_mean(&self.arm(unit, shuffled)?.tests, self.shared(shuffled))?;
        Some((low.max(0.0), high.min(1.0)))
    }

    /// The split by slice minus the split by patient, with true or with permuted labels.
    pub fn gap(&self, shuffled: bool) -> Option<LeakGap> {
        let [slice, patient] = [SplitUnit::Slice, SplitUnit::Patient].map(|unit| self.arm(unit, shuffled));
        let differences: Vec<f64> = slice?.tests.iter().zip(&patient?.tests).map(|(a, b)| a - b).collect();
        let interval = of_mean(&differences, self.shared(shuffled));
        Some(LeakGap { shuffled, value: mean(&differences)?, interval })
    }

    /// The ratio of test to training slices where repetitions share their labels, else 0.
    fn shared(&self, shuffled: bool) -> f64 {
        let test = self.run.split.test_fraction;
        if shuffled { 0.0 } else { test / (1.0 - test) }
    }
}
