//! Predictions of slices by a trained network.

use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::files::Digest;
use crate::base::progress::{Meter, Progress, thousands};
use crate::base::ranks::ranks;
use crate::base::table::{Table, shown_as_table};
use crate::data::cache::SliceCache;
use crate::data::split::{Split, Subset};
use crate::nn::device::device_name;
use crate::nn::model::Network;
use crate::train::batch_source::BatchSource;
use crate::train::checkpoint::{Checkpoint, CheckpointInfo};
use crate::train::experiment::Experiment;
use crate::train::run_folder::{Artifact, RunFolder};
use std::path::{Path, PathBuf};
use tch::Device;

mod averaged;
mod predictions;

pub use predictions::{About, Predictions, SlicePrediction};
pub(crate) use predictions::{decided, named};

/// A trained network, loaded for prediction.
#[derive(Debug)]
pub struct Classifier {
    network: Network,
    info: CheckpointInfo,
    weights: Digest,
    device: Device,
    path: PathBuf,
}

impl Classifier {
    /// Loads a checkpoint such as `runs/<data set>/<run>/best.safetensors` onto the device its run asks for.
    ///
    /// # Errors
    /// A damaged or foreign file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_in(path.as_ref())
    }

    fn load_in(path: &Path) -> Result<Self> {
        let checkpoint = Checkpoint::read(path)?;
        let device = match checkpoint.info.run.device() {
            Ok(device) => device,
            // A network trained on a GPU can predict on a CPU.
            Err(_) => Device::Cpu,
        };
        let info = checkpoint.info.clone();
        let loading = || format!("loading the checkpoint {}", path.display());
        let network = checkpoint.network(device).with_context(loading)?;
        network.freeze().with_context(loading)?;
        let weights = Digest::of_file(path).with_context(loading)?;
        Ok(Self { network, info, weights, device, path: path.to_owned() })
    }

    /// The checkpoint's description.
    pub fn info(&self) -> &CheckpointInfo {
        &self.info
    }

    /// The checkpoint's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Hash of that file.
    pub fn weights(&self) -> Digest {
        self.weights
    }

    /// The device it computes on.
    pub(crate) fn device(&self) -> Device {
        self.device
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Predicts the slices of a subset.
    ///
    /// # Errors
    /// An experiment with other preprocessing than the checkpoint was trained with, an empty subset; a labelled subset
    /// of another split than it was trained on, which may hold patients that it has learned from.
    pub fn predict(&self, experiment: &Experiment, subset: Subset) -> Result<Predictions> {
        let doing = || format!("predicting the {subset} subset with {}", self.path.display());
        self.check_experiment(experiment, subset).with_context(doing)?;
        let slices = experiment.slices(subset).with_context(doing)?;
        let show = |progress: &Progress| experiment.progress(progress);
        let rows = self.slices(experiment.cache(), &slices, subset.name(), &show).with_context(doing)?;
        Ok(Predictions::new(self.about(subset, experiment.split()), rows))
    }

    /// Predicts the slices of a cache of scans that are not part of the run's data set; those without lungs are left out
    /// where the run leaves them out.
    pub(crate) fn predict_new(
        &self,
        cache: &SliceCache,
        subset: Subset,
        show: &(dyn Fn(&Progress) + Sync),
    ) -> Result<Predictions> {
        let all: Vec<usize> = (0..cache.manifest().slices.len()).collect();
        let rows = self.slices(cache, &cache.used(&all)?, "judging", show)?;
        let about = About {
            run: self.info.run.name.clone(),
            subset,
            leaks: Vec::new(),
            weights: self.weights,
            manifest: cache.manifest_hash(),
            split: self.info.split,
        };
        Ok(Predictions::new(about, rows))
    }

    fn slices(
        &self,
        cache: &SliceCache,
        slices: &[usize],
        stage: &str,
        show: &(dyn Fn(&Progress) + Sync),
    ) -> Result<Vec<SlicePrediction>> {
        let run = &self.info.run;
        let source = BatchSource::new(cache, &self.network, self.info.backbone, run, self.device, show)?;
        let meter = Meter::new(stage, "slices", slices.len(), 0, show);
        let (probabilities, _) = source.score(&self.network, slices, run.batch_size, &|n| meter.add(n))?;
        meter.finish();
        let manifest = cache.manifest();
        let rows = slices.iter().zip(probabilities).map(|(&index, covid)| {
            let slice = &manifest.slices[index];
            let scan = manifest.scan_of(slice);
            SlicePrediction {
                path: manifest.path(slice),
                scan: scan.folder.clone(),
                patient: scan.patient.clone(),
                label: scan.label,
                covid,
            }
        });
        let rows: Vec<SlicePrediction> = rows.collect();
        if let Some(bad) = rows.iter().find(|row| !row.covid.is_finite()) {
            bail!("the probability of {} is {}, no number", bad.path, bad.covid);
        }
        Ok(rows)
    }

    fn check_experiment(&self, experiment: &Experiment, subset: Subset) -> Result<()> {
        let (cache, split) = (experiment.cache(), experiment.split());
        ensure!(
            cache.preprocess() == &self.info.run.preprocess,
            "it was trained with {:?}, the cache was made with {:?}",
            self.info.run.preprocess,
            cache.preprocess()
        );
        ensure!(
            subset == Subset::Prediction || split.hash() == self.info.split,
            "it was trained on the split {} of the manifest {}; the labelled scans of another one, {} of {}, may show \
             patients that it has learned from. Predict the split it was trained on, or put the scans under \
             prediction/",
            self.info.split.short(),
            self.info.manifest.short(),
            split.hash().short(),
            split.manifest_hash().short()
        );
        ensure!(
            !split.slices(subset).is_empty(),
            "expected slices in the {subset} subset, found none among {}: {}",
            thousands(cache.manifest().slices.len() as u64),
            match subset {
                Subset::Prediction => "put scans under prediction/ and run `covid-ct audit` again",
                _ => "put scans under train/ or val/, or change the run's split, and run `covid-ct audit` again",
            }
        );
        Ok(())
    }

    fn about(&self, subset: Subset, split: &Split) -> About {
        About {
            run: self.info.run.name.clone(),
            subset,
            leaks: split.leaking_subsets(),
            weights: self.weights,
            manifest: split.manifest_hash(),
            split: split.hash(),
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::new(format!("Classifier {}", self.path.display()), &["Property", "Value"]);
        table.row(["Network", &self.info.run.architecture.to_string()]);
        table.row(["Parameters", &thousands(self.network.parameter_count())]);
        table.row(["After epoch", &self.info.position.epoch.to_string()]);
        table.row(["Device", &device_name(self.device)]);
        table.row(["Classes", &self.info.classes.join(", ")]);
        table.row(["Weights", &self.weights.short()]);
        table.row(["Trained on manifest", &self.info.manifest.short()]);
        match !self.info.leaks.is_empty() {
            true => table.note("Trained on a LEAKING split: its test figures do not hold for new patients."),
            false => table,
        }
    }
}

impl RunFolder {
    /// [`classifier`](Self::classifier) for what all ranks compute together: every one calls it.
    ///
    /// # Errors
    /// Ranks that have other weights.
    pub(crate) fn classifier_of_all_ranks(&self) -> Result<Classifier> {
        let classifier = self.classifier()?;
        ranks().agree("the trained weights (SHA-256)", &classifier.weights.to_string())?;
        Ok(classifier)
    }

    /// The network of the best epoch on the validation set, by the run's selection.
    pub fn classifier(&self) -> Result<Classifier> {
        let mut classifier = Classifier::load(self.path_of(Artifact::BestCheckpoint))?;
        self.check(Artifact::BestCheckpoint, classifier.weights)?;
        // A copied folder is a run of its own.
        classifier.info.run.name = self.name();
        Ok(classifier)
    }
}

shown_as_table!(Classifier);
