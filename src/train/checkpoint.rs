//! Checkpoints: weights, optimizer, position and description of a training in one safetensors file.

use crate::base::files::{Digest, mapped, write_atomic_at};
use crate::data::split::Subset;
use crate::nn::model::Network;
use crate::nn::transfer::bytes;
use crate::nn::weights::WeightsFile;
use crate::train::config::RunConfig;
use crate::train::epoch::EpochRecord;
use crate::train::optimization::Optimization;
use crate::train::position::Position;
use anyhow::{Context, Result, bail, ensure};
use safetensors::tensor::{Dtype, Metadata, SafeTensors, View};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use tch::{Device, Kind, Tensor};

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
    pub feature_seconds: Option<f64>,
    /// The position of the training.
    pub position: Position,
    /// The finished epochs.
    pub epochs: Vec<EpochRecord>,
}

/// Writes a whole network with torchvision's names: `best.safetensors`.
pub(crate) fn save_network(path: &Path, info: &CheckpointInfo, network: &Network) -> Result<()> {
    write_tensors(path, &network.tensors(), description(info)?)
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
    write_tensors(path, &tensors, description(info)?)
}

fn description(info: &CheckpointInfo) -> Result<HashMap<String, String>> {
    Ok(HashMap::from([(KEY.to_owned(), serde_json::to_string(info)?)]))
}

/// Writes a safetensors file, atomically: if the process is killed, the former file stays.
pub(crate) fn write_tensors(
    path: &Path,
    tensors: &[(String, Tensor)],
    metadata: HashMap<String, String>,
) -> Result<()> {
    let failed = RefCell::new(None);
    let stored = tensors.iter().map(|(name, tensor)| (name.as_str(), Stored::of(tensor, &failed)));
    write_atomic_at(path, |partial| {
        safetensors::serialize_to_file(stored, &Some(metadata), partial)?;
        failed.take().map_or(Ok(()), Err)
    })
}

/// A tensor that is copied when it is written, so that only one tensor of a checkpoint is in memory twice.
struct Stored<'a> {
    tensor: &'a Tensor,
    shape: Vec<usize>,
    /// The first error of a copy, because [`View::data`] cannot return one.
    failed: &'a RefCell<Option<anyhow::Error>>,
}

impl<'a> Stored<'a> {
    fn of(tensor: &'a Tensor, failed: &'a RefCell<Option<anyhow::Error>>) -> Self {
        Self { tensor, shape: tensor.size().iter().map(|&side| side as usize).collect(), failed }
    }
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        if self.tensor.kind() == Kind::Int64 { Dtype::I64 } else { Dtype::F32 }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(bytes(self.tensor).unwrap_or_else(|error| {
            self.failed.borrow_mut().get_or_insert(error);
            vec![0; self.data_len()]
        }))
    }

    fn data_len(&self) -> usize {
        self.tensor.numel() * self.dtype().size()
    }
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
    /// A file that is no safetensors file, or none that this library wrote.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let doing = || format!("reading the description of the checkpoint {}", path.display());
        let file = mapped(path).with_context(doing)?;
        let (_, header) = SafeTensors::read_metadata(&file).map_err(|e| no_safetensors(&e)).with_context(doing)?;
        described(&header).with_context(doing)
    }
}

/// The description in a checkpoint's header.
fn described(header: &Metadata) -> Result<CheckpointInfo> {
    let json = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
    let json =
        json.with_context(|| format!("expected the metadata {KEY:?}, found none: covid-ct did not write this file"))?;
    serde_json::from_str(json)
        .context("its description cannot be read; if another version wrote it, train again under another name")
}

impl Checkpoint {
    /// Reads a checkpoint.
    ///
    /// # Errors
    /// A file that is no safetensors file, or none that this library wrote.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let doing = || format!("reading the checkpoint {}", path.display());
        let bytes = mapped(path).with_context(doing)?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| no_safetensors(&e)).with_context(doing)?;
        let info = described(&header).with_context(doing)?;
        let file = SafeTensors::deserialize(&bytes).map_err(|e| no_safetensors(&e)).with_context(doing)?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            let kind = match view.dtype() {
                Dtype::F32 => Kind::Float,
                Dtype::I64 => Kind::Int64,
                other => bail!("{}: {name} should be F32 or I64, it is {other:?}", doing()),
            };
            let shape: Vec<i64> = view.shape().iter().map(|&side| side as i64).collect();
            tensors.insert(name, Tensor::f_from_data_size(view.data(), &shape, kind)?);
        }
        Ok(Self { info, tensors })
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

fn no_safetensors(error: &safetensors::SafeTensorError) -> anyhow::Error {
    anyhow::anyhow!("expected a safetensors file, found damaged or foreign contents ({error:?})")
}

/// Checks that a training resumes with the same settings, data and split; the error names what differs.
pub(crate) fn must_continue(info: &CheckpointInfo, wanted: &CheckpointInfo, path: &Path) -> Result<()> {
    let advice = "give the new run another name, or delete the folder";
    same_run(info, wanted).with_context(|| format!("continuing the run in {}; {advice}", path.display()))
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
