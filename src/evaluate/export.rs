//! A trained network for other programs.

use crate::base::files::{Digest, write_atomic_at, write_json, write_text};
use crate::evaluate::predict::Classifier;
use crate::nn::model::Network;
use crate::train::checkpoint::write_tensors;
use anyhow::{Context, Result, bail};
use card::Card;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tch::{CModule, Device, Kind, Tensor};

mod card;

impl Classifier {
    /// Writes the network to `path`, and a model card to `<path>.json` and, for people, `<path>.md`: how to use it, what it was
    /// trained on and how well it did, as far as the run's folder says and belongs to this checkpoint. A name that ends in `.safetensors` gives the
    /// state dict with torchvision's names (`load_state_dict(strict=True)` takes it into a network with two classes);
    /// `.pt` gives TorchScript, which PyTorch runs without any code of ours or torchvision's.
    ///
    /// # Errors
    /// Another ending, or a folder that cannot be written to.
    pub fn export(&self, path: impl AsRef<Path>) -> Result<PathBuf> {
        let path = path.as_ref();
        let doing = || format!("exporting {} to {}", self.path().display(), path.display());
        let card = Card::of(self, path);
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("safetensors") => {
                let card = serde_json::to_string(&card).with_context(doing)?;
                // One key alone: safetensors writes several in an order that changes from run to run, and the file's hash
                // with it.
                let metadata = HashMap::from([("covid-ct-card".to_owned(), card)]);
                write_tensors(path, &self.network().tensors(), metadata).with_context(doing)?;
            }
            Some("pt") => self.trace(path).with_context(doing)?,
            _ => bail!("{}: expected a name that ends in .safetensors or .pt (TorchScript)", doing()),
        }
        let card = card.beside(Digest::of_file(path)?);
        let beside = |ending: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        write_text(&beside(".md"), &card.markdown().with_context(doing)?)?;
        write_json(&beside(".json"), &card)?;
        Ok(beside(".json"))
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
        write_atomic_at(path, |partial| Ok(module.save(partial)?))
    }
}
