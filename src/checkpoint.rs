//! A run at one moment, in one safetensors file: weights, optimizer, position and everything it was made from.

use crate::config::RunConfig;
use crate::files::{Digest, write_atomic};
use crate::history::EpochRecord;
use crate::model::Network;
use crate::optimizer::Adam;
use anyhow::{Context, Result, bail, ensure};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// The key of our JSON in the file's metadata.
const KEY: &str = "covid-ct";

/// What a checkpoint says of itself; stands as JSON in the safetensors header.
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
    /// Whether that split leaks.
    pub leaking: bool,
    /// Where the training stands.
    pub position: Position,
    /// The finished epochs.
    pub epochs: Vec<EpochRecord>,
}

/// A place in a training: batches of the current epoch that are done, and their sums.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Finished epochs.
    pub epoch: usize,
    /// Finished batches of the next one.
    pub batch: usize,
    /// Steps of the optimizer.
    pub adam_steps: i64,
    /// Sum of the losses of the batches done.
    pub sums: Sums,
    /// Seconds spent on them.
    pub seconds: f64,
}

/// Running sums over batches.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sums {
    /// Sum over slices of their loss.
    pub loss: f64,
    /// Sum over batches of their mean loss.
    pub batch_loss: f64,
    /// Sum over batches of their accuracy.
    pub batch_accuracy: f64,
    /// Slices classified correctly.
    pub correct: u64,
    /// Slices seen.
    pub seen: u64,
    /// Batches seen.
    pub batches: u64,
}

/// Writes a checkpoint, atomically: a kill leaves the former one.
pub(crate) fn save(path: &Path, info: &CheckpointInfo, network: &Network, adam: Option<&Adam>) -> Result<()> {
    let mut tensors: Vec<(String, Tensor)> =
        network.parameters().iter().map(|(name, tensor)| (name.clone(), tensor.detach())).collect();
    if let Some(adam) = adam {
        tensors.extend(adam.state(network.parameters()));
    }
    let stored = tensors.iter().map(|(name, tensor)| Ok((name.clone(), tensor.size(), bytes(tensor)?)));
    let stored = stored.collect::<Result<Vec<_>>>()?;
    let views = stored.iter().map(|(name, size, bytes)| {
        let shape = size.iter().map(|&side| side as usize).collect();
        Ok((name.as_str(), TensorView::new(Dtype::F32, shape, bytes)?))
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    let metadata = HashMap::from([(KEY.to_owned(), serde_json::to_string(info)?)]);
    let packed = safetensors::serialize(views, &Some(metadata))?;
    write_atomic(path, |file| Ok(file.write_all(&packed)?))
}

fn bytes(tensor: &Tensor) -> Result<Vec<u8>> {
    let tensor = tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
    let mut bytes = vec![0; tensor.numel() * 4];
    tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
    Ok(bytes)
}

/// What a checkpoint file holds.
pub(crate) struct Checkpoint {
    pub(crate) info: CheckpointInfo,
    pub(crate) tensors: BTreeMap<String, Tensor>,
}

impl Checkpoint {
    /// Reads a checkpoint.
    ///
    /// # Errors
    /// A file that is no safetensors file, or none that this library wrote.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let doing = || format!("reading the checkpoint {}", path.display());
        let bytes = std::fs::read(path).with_context(doing)?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| no_safetensors(&e)).with_context(doing)?;
        let json = header.metadata().as_ref().and_then(|m| m.get(KEY)).with_context(|| {
            format!("{}: expected the metadata {KEY:?}, found none: covid-ct did not write this file", doing())
        })?;
        let info: CheckpointInfo =
            serde_json::from_str(json).with_context(|| format!("{}: its description cannot be read", doing()))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|e| no_safetensors(&e)).with_context(doing)?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            ensure!(view.dtype() == Dtype::F32, "{}: {name} should be F32, it is {:?}", doing(), view.dtype());
            let shape: Vec<i64> = view.shape().iter().map(|&side| side as i64).collect();
            tensors.insert(name, Tensor::f_from_data_size(view.data(), &shape, Kind::Float)?);
        }
        Ok(Self { info, tensors })
    }

    /// The network, on `device`; the optimizer's moments are left in the checkpoint.
    pub(crate) fn network(&mut self, device: Device) -> Result<Network> {
        let moments = self.tensors.split_off("adam.");
        let (moments, mut rest): (BTreeMap<_, _>, BTreeMap<_, _>) =
            moments.into_iter().partition(|(name, _)| name.starts_with("adam."));
        rest.append(&mut self.tensors);
        self.tensors = moments;
        Network::from_parameters(self.info.run.architecture, rest, device)
    }

    /// The optimizer as it was.
    pub(crate) fn adam(&mut self, network: &Network) -> Result<Adam> {
        let (rate, steps) = (self.info.run.learning_rate, self.info.position.adam_steps);
        Adam::restore(network.parameters(), rate, steps, &mut self.tensors)
    }
}

fn no_safetensors(error: &safetensors::SafeTensorError) -> anyhow::Error {
    anyhow::anyhow!("expected a safetensors file, found damaged or foreign contents ({error:?})")
}

/// Refuses to continue a run under other settings, data or split; names what differs.
pub(crate) fn must_continue(info: &CheckpointInfo, wanted: &CheckpointInfo, path: &Path) -> Result<()> {
    let what = format!("continuing the run in {}", path.display());
    let advice = "give the new run another name, or delete the folder";
    let (there, here) = (info.run.decisive(), wanted.run.decisive());
    if there != here {
        let (there, here) = (serde_json::to_value(&there)?, serde_json::to_value(&here)?);
        for (key, value) in there.as_object().into_iter().flatten() {
            if here.get(key) != Some(value) {
                let found = here.get(key).map(ToString::to_string).unwrap_or_default();
                bail!("{what}: it has {key} = {value}, this one has {found}; {advice}");
            }
        }
    }
    for (noun, there, here) in [("manifest", info.manifest, wanted.manifest), ("split", info.split, wanted.split)] {
        ensure!(there == here, "{what}: it has the {noun} {there}, this one has {here}; {advice}");
    }
    ensure!(
        info.classes == wanted.classes,
        "{what}: its classes are {:?}, the data has {:?}; {advice}",
        info.classes,
        wanted.classes
    );
    Ok(())
}
