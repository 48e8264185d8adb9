//! Export of a trained network for other programs.

use crate::base::errors::{Context, Result, anyhow, bail};
use crate::base::escape::visible_json;
use crate::base::files::{Digest, write_atomic, write_json, write_text};
use crate::evaluate::predict::Classifier;
use crate::nn::model::Network;
use crate::nn::tensor_file::write_tensors;
use card::Card;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::thread;
use tch::{CModule, Device, Kind, Tensor};

mod card;

impl Classifier {
    /// Writes the network to `path`, and a model card to `<path>.json` and `<path>.md`: how to use the network, what it
    /// was trained on, and its results, as far as the run's folder has them for this checkpoint. Returns the path of
    /// the JSON.
    ///
    /// A path that ends in `.safetensors` gives the state dict with torchvision's names, which
    /// `load_state_dict(strict=True)` accepts for a network with two classes; `.pt` gives TorchScript, which PyTorch
    /// runs without further code.
    ///
    /// # Errors
    /// Another ending, or a folder that cannot be written to.
    pub fn export(&self, path: impl AsRef<Path>) -> Result<PathBuf> {
        let path = path.as_ref();
        let doing = || format!("exporting {} to {}", self.path().display(), path.display());
        let card = Card::of(self, path);
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("safetensors") => {
                let card = visible_json(serde_json::to_string(&card).with_context(doing)?);
                // A single key: safetensors writes several in an order that changes from run to run, and with it the
                // file's hash.
                let metadata = HashMap::from([("covid-ct-card".to_owned(), card)]);
                write_tensors(path, &self.network().tensors(), metadata).with_context(doing)?;
            }
            Some("pt") => self.trace(path).with_context(doing)?,
            _ => bail!("{}: expected a name that ends in .safetensors or .pt (TorchScript)", doing()),
        }
        let card = card.with_hash(Digest::of_file(path)?);
        let card_path = |ending: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        write_text(&card_path(".md"), &card.markdown().with_context(doing)?)?;
        write_json(&card_path(".json"), &card)?;
        Ok(card_path(".json"))
    }

    /// Writes TorchScript by tracing the network on a batch of images; it accepts batches of any size.
    fn trace(&self, path: &Path) -> Result<()> {
        // A network that is traced on a GPU cannot be loaded without one.
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
        write_atomic(path, |file| through_pipe(&module, file))
    }
}

/// Writes a module through a pipe, in which no write fails: after one that did libtorch ends the process. What cannot be written
/// to the file is then an error of ours.
fn through_pipe(module: &CModule, file: &mut File) -> Result<()> {
    let (mut reader, writer) = io::pipe()?;
    thread::scope(|scope| {
        let copying = scope.spawn(move || {
            let copied = io::copy(&mut reader, file);
            // What comes after a write that failed is read, too: libtorch waits until all is.
            let rest = io::copy(&mut reader, &mut io::sink());
            copied.and(rest)
        });
        let saved = module.save(format!("/proc/self/fd/{}", writer.as_raw_fd()));
        drop(writer);
        let copied = copying.join().map_err(|_| anyhow!("the thread that writes it has ended"))?;
        saved?;
        copied?;
        Ok(())
    })
}
