//! Checkpoints: weights, optimizer, position and description of a training in one safetensors file.

use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::files::Digest;
use crate::base::progress::seconds_if_any;
use crate::data::split::Subset;
use crate::nn::model::Network;
use crate::nn::tensor_file::{TensorFile, all_finite, checksum, write_tensors};
use crate::nn::weights::WeightsFile;
use crate::train::config::RunConfig;
use crate::train::epoch::EpochRecord;
use crate::train::optimization::Optimization;
use crate::train::position::Position;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use tch::{Device, Tensor};

/// The key of our JSON in the file's metadata.
const KEY: &str = "covid-ct";

/// The description of a checkpoint, stored as JSON in the safetensors header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointInfo {
    /// Version of the library that wrote it.
    pub version: String,
    /// All settings of the run.
    pub run: RunConfig,
    /// Names of the classes, in the order of the logits.
    pub classes: Vec<String>,
    /// Hash of the manifest it was trained on.
    pub manifest: Digest,
    /// Hash of the split.
    pub split: Digest,
    /// Subsets of the split whose scans were learned from.
    pub leaks: Vec<Subset>,
    /// The file of pretrained weights; `None` for random ones.
    pub pretrained: Option<WeightsFile>,
    /// Hash of the frozen backbone; `None` where the whole network is trained.
    pub backbone: Option<Digest>,
    /// Seconds that computing the features of a frozen backbone took, once, for all slices.
    #[serde(default, deserialize_with = "seconds_if_any")]
    pub feature_seconds: Option<f64>,
    /// The position of the training.
    pub position: Position,
    /// The finished epochs.
    pub epochs: Vec<EpochRecord>,
}

/// Writes a whole network with torchvision's names: `best.safetensors`.
pub(crate) fn save_network(path: &Path, info: &CheckpointInfo, network: &Network) -> Result<()> {
    write(path, info, &network.tensors())
}

/// Writes the trained parameters (a frozen backbone is in the file of pretrained weights already) and, to resume from,
/// the state of their optimization.
pub(crate) fn save_progress(
    path: &Path,
    info: &CheckpointInfo,
    network: &Network,
    state: Vec<(String, Tensor)>,
) -> Result<()> {
    let mut tensors = if info.backbone.is_some() {
        network.head().iter().map(|(name, t)| (name.clone(), t.detach())).collect()
    } else {
        network.tensors()
    };
    tensors.extend(state);
    write(path, info, &tensors)
}

/// What the metadata holds: the description, and the checksums by which it and the tensors are known to be whole.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed<I> {
    /// CRC-32C of the description as JSON.
    description_crc32c: u32,
    /// CRC-32C of the tensors, see [`checksum`].
    tensors_crc32c: u32,
    description: I,
}

fn write(path: &Path, info: &CheckpointInfo, tensors: &[(String, Tensor)]) -> Result<()> {
    let writing = || format!("writing the checkpoint {}", path.display());
    let description_crc32c = crc32c::crc32c(serde_json::to_string(info)?.as_bytes());
    let tensors_crc32c = checksum(tensors).with_context(writing)?;
    let sealed = serde_json::to_string(&Sealed { description_crc32c, tensors_crc32c, description: info })?;
    write_tensors(path, tensors, HashMap::from([(KEY.to_owned(), sealed)]))
}

/// The contents of a checkpoint file.
pub(crate) struct Checkpoint {
    pub(crate) info: CheckpointInfo,
    pub(crate) tensors: BTreeMap<String, Tensor>,
}

impl CheckpointInfo {
    /// Reads the description of a checkpoint without its tensors, which can be half a gigabyte.
    ///
    /// # Errors
    /// A file that is no safetensors file, none that this library wrote, or a description that is not as it was written.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let doing = || format!("reading the description of the checkpoint {}", path.display());
        let file = TensorFile::open(path).with_context(doing)?;
        Ok(sealed(&file).with_context(doing)?.description)
    }

    /// # Errors
    /// Settings that cannot work, and counts that no training leaves.
    fn check(&self) -> Result<()> {
        self.run.check_values()?;
        let Position { epoch, batch, adam_steps, sums, .. } = self.position;
        let numbered = self.epochs.iter().map(|record| record.epoch).eq(1..=epoch);
        ensure!(numbered, "position.epoch: expected {}, its finished epochs, found {epoch}", self.epochs.len());
        let most = batch.saturating_mul(self.run.batch_size) as u64;
        ensure!(
            sums.batches == batch as u64 && sums.correct <= sums.seen && sums.seen <= most,
            "position.sums: expected those of {batch} batches of {} slices, found {sums:?}",
            self.run.batch_size
        );
        ensure!((0..=1 << 60).contains(&adam_steps), "position.adam_steps: expected 0 or more, found {adam_steps}");
        Ok(())
    }
}

/// The description in a checkpoint's header, and the checksum that its tensors should have.
fn sealed(file: &TensorFile) -> Result<Sealed<CheckpointInfo>> {
    let json = file.metadata(KEY);
    let json =
        json.with_context(|| format!("expected the metadata {KEY:?}, found none: covid-ct did not write this file"))?;
    let sealed: Sealed<CheckpointInfo> = serde_json::from_str(json)
        .context("its description cannot be read; if another version wrote it, train again under another name")?;
    let found = crc32c::crc32c(serde_json::to_string(&sealed.description)?.as_bytes());
    same_checksum("its description", sealed.description_crc32c, found)?;
    sealed.description.check().context("its description")?;
    Ok(sealed)
}

fn same_checksum(what: &str, expected: u32, found: u32) -> Result<()> {
    ensure!(
        found == expected,
        "{what} is damaged: the CRC-32C should be {expected:08x}, it is {found:08x}; restore the file from a copy, or \
         train again under another name"
    );
    Ok(())
}

impl Checkpoint {
    /// Reads a checkpoint.
    ///
    /// # Errors
    /// A file that is no safetensors file, none that this library wrote, or not as it was written.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let doing = || format!("reading the checkpoint {}", path.display());
        let file = TensorFile::open(path).with_context(doing)?;
        let sealed = sealed(&file).with_context(doing)?;
        let (tensors, found) = file.read().with_context(doing)?;
        same_checksum("one of its tensors", sealed.tensors_crc32c, found).with_context(doing)?;
        Ok(Self { info: sealed.description, tensors })
    }

    /// The network, on `device`.
    ///
    /// # Errors
    /// Tensors that are not a whole network, or a backbone other than the description's.
    pub(crate) fn network(self, device: Device) -> Result<Network> {
        ensure!(
            !self.tensors.keys().any(|name| Optimization::owns(name)),
            "it is a checkpoint to resume a training from; expected a whole network: best.safetensors of the same folder"
        );
        all_finite(&self.tensors)?;
        let network = Network::from_tensors(self.info.run.architecture, self.tensors, device)?;
        if let Some(expected) = self.info.backbone {
            let found = network.backbone_hash()?;
            ensure!(found == expected, "its backbone hashes to {found}, its description says {expected}");
        }
        Ok(network)
    }

    /// Restores the network and its optimization, of `slices` training slices. A frozen backbone is not in the file and comes
    /// from `frozen`.
    pub(crate) fn restore(
        self,
        frozen: Option<Network>,
        slices: usize,
        device: Device,
    ) -> Result<(Network, Optimization)> {
        let is_state = |(name, _): &(String, Tensor)| Optimization::owns(name);
        let (mut state, learned): (BTreeMap<_, _>, BTreeMap<_, _>) = self.tensors.into_iter().partition(is_state);
        let run = &self.info.run;
        let network = match frozen {
            Some(network) => network.set_head(&learned).map(|()| network)?,
            None => Network::from_tensors(run.architecture, learned, device)?,
        };
        let optimization = Optimization::restore(run, &network, slices, &self.info.position, &mut state)?;
        Ok((network, optimization))
    }
}

/// Checks that a training resumes with the same settings, data and split; the error names what differs.
pub(crate) fn must_continue(info: &CheckpointInfo, wanted: &CheckpointInfo, path: &Path) -> Result<()> {
    same_run(info, wanted).with_context(|| {
        format!(
            "a run of this name is in {} and cannot be continued; nothing was changed. Give the new run another name (--name), use \
             that run's settings (--config {}), or delete the folder",
            path.display(),
            path.join("config.json").display()
        )
    })
}

/// Checks that settings, data, split and classes are those of a checkpoint; the error names what differs.
pub(crate) fn same_run(info: &CheckpointInfo, wanted: &CheckpointInfo) -> Result<()> {
    let (there, here) = (info.run.decisive(), wanted.run.decisive());
    if there != here {
        let (there, here) = (serde_json::to_value(&there)?, serde_json::to_value(&here)?);
        for (key, value) in there.as_object().into_iter().flatten() {
            if here.get(key) != Some(value) {
                let found = here.get(key).map(ToString::to_string).unwrap_or_default();
                bail!("it has {key} = {value}, this one has {found}");
            }
        }
    }
    for (noun, there, here) in [("manifest", info.manifest, wanted.manifest), ("split", info.split, wanted.split)] {
        ensure!(there == here, "it has the {noun} {there}, this one has {here}");
    }
    ensure!(info.classes == wanted.classes, "its classes are {:?}, the data has {:?}", info.classes, wanted.classes);
    Ok(())
}

/// Checks that a head is resumed on the backbone that it was trained on.
pub(crate) fn same_backbone(info: &CheckpointInfo, wanted: &CheckpointInfo, path: &Path) -> Result<()> {
    let hash = |backbone: Option<Digest>| backbone.map_or("none".to_owned(), |digest| digest.to_string());
    ensure!(
        info.backbone == wanted.backbone,
        "continuing the run in {}: its head was begun on the backbone {}, the weights hold {}; give the new run \
         another name, or delete the folder",
        path.display(),
        hash(info.backbone),
        hash(wanted.backbone)
    );
    Ok(())
}

#[cfg(test)]
mod tests;
