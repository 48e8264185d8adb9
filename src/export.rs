//! A trained network for other programs.

use crate::checkpoint::write_tensors;
use crate::config::Preprocess;
use crate::files::{Digest, write_json};
use crate::model::Network;
use crate::predict::Classifier;
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use tch::{CModule, Device, Kind, Tensor};

/// What stands beside an exported network: how to use it, and how far to trust it.
#[derive(Debug, Serialize)]
struct Card<'a> {
    architecture: &'a str,
    /// Input `[N, 3, size, size]`: grey level / 255, minus mean, by std, the same in all three channels.
    preprocess: &'a Preprocess,
    /// The order of the logits.
    classes: &'a [String],
    run: &'a str,
    epoch: usize,
    trained_on_manifest: Digest,
    leaking_split: bool,
    checkpoint: Digest,
    intended_use: &'a str,
}

impl Classifier {
    /// Writes the network to `path`, and how to use it to `<path>.json`. A name that ends in `.safetensors` gives the
    /// state dict with torchvision's names (`load_state_dict(strict=True)` takes it into a network with two classes);
    /// `.pt` gives TorchScript, which PyTorch runs without any code of ours or torchvision's.
    ///
    /// # Errors
    /// Another ending, or a folder that cannot be written to.
    pub fn export(&self, path: impl AsRef<Path>) -> Result<PathBuf> {
        let path = path.as_ref();
        let doing = || format!("exporting {} to {}", self.path().display(), path.display());
        let info = self.info();
        let card = Card {
            architecture: info.run.architecture.key(),
            preprocess: &info.run.preprocess,
            classes: &info.classes,
            run: &info.run.name,
            epoch: info.position.epoch,
            trained_on_manifest: info.manifest,
            leaking_split: info.leaking,
            checkpoint: self.weights(),
            intended_use: "research; not for diagnosis",
        };
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("safetensors") => {
                let card = serde_json::to_string(&card).with_context(doing)?;
                let metadata =
                    HashMap::from([("format".to_owned(), "pt".to_owned()), ("covid-ct-card".to_owned(), card)]);
                write_tensors(path, &self.network().tensors(), metadata).with_context(doing)?;
            }
            Some("pt") => self.trace(path).with_context(doing)?,
            _ => bail!("{}: expected a name that ends in .safetensors or .pt (TorchScript)", doing()),
        }
        let mut beside = path.as_os_str().to_owned();
        beside.push(".json");
        let beside = PathBuf::from(beside);
        write_json(&beside, &card)?;
        Ok(beside)
    }

    /// Records what the network does to one picture; the record holds for any number of pictures of that size.
    fn trace(&self, path: &Path) -> Result<()> {
        // A record made on a GPU could not be loaded without one.
        let tensors = self.network().tensors().into_iter().collect();
        let network = Network::from_tensors(self.network().architecture(), tensors, Device::Cpu)?;
        network.freeze()?;
        let size = i64::from(self.info().run.preprocess.size);
        let example = Tensor::f_zeros([2, 3, size, size], (Kind::Float, Device::Cpu))?;
        let mut failed = None;
        let mut forward = |inputs: &[Tensor]| match network.forward(&inputs[0]) {
            Ok(logits) => vec![logits],
            Err(error) => {
                failed = Some(error);
                vec![inputs[0].shallow_clone()]
            }
        };
        let module = CModule::create_by_tracing("CovidCt", "forward", &[example], &mut forward)?;
        if let Some(error) = failed {
            return Err(error);
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let partial = path.with_extension("pt.partial");
        module.save(&partial)?;
        Ok(fs::rename(&partial, path)?)
    }
}
