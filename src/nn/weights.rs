//! Pretrained weights: finding a file, and reading it without running anything that is in it.
//!
//! The crate `pytorch-reader` 0.22 cannot replace `container`, `pickle` and `torch_file`: it skips unknown calls such
//! as `os.system` and entries that are not tensors instead of refusing the file.

use crate::base::files::Digest;
use crate::base::progress::Progress;
use crate::base::table::{Table, shown_as_table};
use crate::nn::model::Architecture;
use anyhow::{Context, Result, ensure};
use download::PAUSES;
use official::{DENSENET161, Official, RESNET152_V1, RESNET152_V2, VGG19, base_url, official_file};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tch::{Kind, Tensor};
use torch_file::{ElementType, read_torch_file};

mod container;
mod download;
mod official;
mod pickle;
#[cfg(test)]
mod tests;
mod torch_file;

/// A file of weights as a checkpoint names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsFile {
    /// File name.
    pub name: String,
    /// Hash of the file.
    pub sha256: Digest,
}

/// A file with a network's initial weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    architecture: Architecture,
    source: String,
    path: PathBuf,
    sha256: Digest,
}

/// ImageNet weights if they are available, otherwise the reason why not. See [`Weights::imagenet_or_random`].
#[derive(Debug, Clone, PartialEq)]
pub struct WeightsLookup {
    architecture: Architecture,
    found: Result<Weights, String>,
}

impl WeightsLookup {
    /// What to set [`RunConfig::pretrained`](crate::RunConfig::pretrained) to.
    pub fn setting(&self) -> Option<String> {
        self.found.as_ref().ok().map(|weights| weights.source.clone())
    }

    fn table(&self) -> Table {
        match &self.found {
            Ok(weights) => weights.table(),
            Err(reason) => {
                let mut table = Table::new(format!("Weights of {}", self.architecture), &["Source", "Why"]);
                table.row(["random", reason.as_str()]);
                table.note(
                    "RANDOM WEIGHTS: what follows shows that everything works, and says nothing about a network \
                     that has seen ImageNet.",
                )
            }
        }
    }
}

impl Weights {
    /// Finds weights. `imagenet` is torchvision's first file for the network (`IMAGENET1K_V1`), `imagenet-v2` its
    /// second (ResNet-152 only): taken from PyTorch's own cache of downloads (`$TORCH_HOME/hub/checkpoints`), else
    /// downloaded into it, and checked against the hash in its name. Any other value is the path of a file.
    ///
    /// # Errors
    /// A path that is no file; no network (the error says which file to put where); a wrong hash.
    pub fn find(architecture: Architecture, source: &str, progress: impl Fn(&Progress) + Sync) -> Result<Self> {
        Self::find_trying(architecture, source, &PAUSES, &progress)
    }

    /// The ImageNet weights, or random ones if they are not available: for a first run of the notebooks on a machine
    /// without access. The download is tried once, and the reason for a failure is shown.
    pub fn imagenet_or_random(architecture: Architecture, progress: impl Fn(&Progress) + Sync) -> WeightsLookup {
        let found = Self::find_trying(architecture, "imagenet", &[], &progress).map_err(|error| format!("{error:#}"));
        WeightsLookup { architecture, found }
    }

    fn find_trying(
        architecture: Architecture,
        source: &str,
        pauses: &[Duration],
        progress: &(dyn Fn(&Progress) + Sync),
    ) -> Result<Self> {
        let (path, sha256) = match official(architecture, source) {
            Some(file) => official_file(file, &base_url(), pauses, progress)?,
            None => {
                let path = PathBuf::from(source);
                ensure!(
                    !source.starts_with("imagenet"),
                    "pretrained: there is no {source:?} for {architecture}; expected imagenet{}, or the path of a file",
                    if architecture == Architecture::ResNet152 { ", imagenet-v2" } else { "" }
                );
                ensure!(
                    path.is_file(),
                    "pretrained: expected imagenet or the path of a file, found no file {source:?}"
                );
                let sha256 = Digest::of_file(&path)?;
                (path, sha256)
            }
        };
        Ok(Self { architecture, source: source.to_owned(), path, sha256 })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The setting that selects these weights: [`RunConfig::pretrained`](crate::RunConfig::pretrained).
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Name and hash of the file.
    pub fn file(&self) -> WeightsFile {
        let name = self.path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
        WeightsFile { name, sha256: self.sha256 }
    }

    /// The tensors by torchvision's present names, from a `.safetensors` file or one that `torch.save` wrote, in its
    /// zip or its older format. Only tensors are read: a file that would call any other function is refused.
    ///
    /// # Errors
    /// A damaged or foreign file.
    pub fn read(&self) -> Result<BTreeMap<String, Tensor>> {
        let doing = || format!("reading the weights {}", self.path.display());
        let named = match self.path.extension().is_some_and(|ending| ending == "safetensors") {
            true => Tensor::read_safetensors(&self.path).with_context(doing)?,
            false => from_torch(&self.path).with_context(doing)?,
        };
        Ok(named.into_iter().map(|(name, tensor)| (official::modern_key(&name), tensor)).collect())
    }

    fn table(&self) -> Table {
        let mut table = Table::new(format!("Pretrained weights of {}", self.architecture), &["Source", "File", "Hash"]);
        table.row([self.source.clone(), self.path.display().to_string(), self.sha256.short()]);
        table
    }
}

shown_as_table!(Weights, WeightsLookup);

fn official(architecture: Architecture, source: &str) -> Option<&'static Official> {
    match (architecture, source) {
        (Architecture::Vgg19, "imagenet") => Some(&VGG19),
        (Architecture::ResNet152, "imagenet") => Some(&RESNET152_V1),
        (Architecture::ResNet152, "imagenet-v2") => Some(&RESNET152_V2),
        (Architecture::DenseNet161, "imagenet") => Some(&DENSENET161),
        _ => None,
    }
}

fn from_torch(path: &Path) -> Result<Vec<(String, Tensor)>> {
    let tensors = read_torch_file(path)?.into_iter().map(|(name, raw)| {
        let kind = match raw.dtype {
            ElementType::F64 => Kind::Double,
            ElementType::F32 => Kind::Float,
            ElementType::F16 => Kind::Half,
            ElementType::BF16 => Kind::BFloat16,
            ElementType::I64 => Kind::Int64,
            ElementType::I32 => Kind::Int,
            ElementType::I16 => Kind::Int16,
            ElementType::I8 => Kind::Int8,
            ElementType::U8 => Kind::Uint8,
            ElementType::Bool => Kind::Bool,
        };
        let shape: Vec<i64> = raw.shape.iter().map(|&side| side as i64).collect();
        Ok((name, Tensor::f_from_data_size(&raw.data, &shape, kind)?))
    });
    tensors.collect()
}
