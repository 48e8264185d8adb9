//! Networks that the user defines, as modules of tch, under names of their own.

use super::layer::Mode;
use super::network::{CLASSES, Network, channels_last};
use super::{Architecture, NormStatistics};
use crate::base::errors::{Context, Result, ensure};
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use tch::nn::{Path, VarStore};
use tch::{Device, Kind, Tensor};

#[cfg(test)]
mod tests;

/// A network of the user's: two steps from images to logits. Define it on tch's modules, [register](register_network) it,
/// and train it as any other.
///
/// Maps lie in memory channels last, which is faster: flatten them with `flatten` or `reshape`, as `view` and `flat_view`
/// fail on them. What is random in training (dropout) must come from libtorch's generator, so that a resumed run
/// draws the same.
pub trait SliceNetwork: Send {
    /// Features `[N, F]` of images `[N, 3, H, W]`, f32, normalised as the run's settings say. In training (`train`) dropout
    /// is active, and batch norm uses the batch.
    fn features(&self, images: &Tensor, train: bool) -> Tensor;

    /// Logits `[N, 2]` (covid, non-covid) of features `[N, F]`.
    fn logits(&self, features: &Tensor, train: bool) -> Tensor;
}

type Build = dyn Fn(&Path) -> Box<dyn SliceNetwork> + Send + Sync;

static REGISTERED: Mutex<BTreeMap<&'static str, Arc<Build>>> = Mutex::new(BTreeMap::new());

/// Makes a network of the user's known under a name, for as long as the process runs: the returned architecture is used as
/// any other, and settings and checkpoints call it `custom:NAME`. `build` makes it with its variables under the given
/// path: those that are trainable are its parameters, all of them f32 and part of the loss; the others, as batch norm's
/// running statistics, its buffers. A name that is registered again stands for the new network from then on, as when a
/// notebook's cell is run twice. All parameters are trained: there is no frozen backbone, and there are no heat maps.
///
/// Initial values must come from libtorch's generator, as those of `tch::nn` do: it is set to the run's seed before.
///
/// # Errors
/// A name that is empty or has other characters than ASCII letters, digits, `-` and `_`.
pub fn register_network(
    name: &str,
    build: impl Fn(&Path) -> Box<dyn SliceNetwork> + Send + Sync + 'static,
) -> Result<Architecture> {
    let architecture = Architecture::custom(name)?;
    if let Architecture::Custom(name) = architecture {
        REGISTERED.lock().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::new(build));
    }
    Ok(architecture)
}

impl Architecture {
    /// What a key begins with that names a network of the user's.
    pub(super) const CUSTOM: &str = "custom:";

    /// The user's network of this name, registered or not.
    pub(super) fn custom(name: &str) -> Result<Self> {
        let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        ensure!(
            !name.is_empty() && is_plain,
            "naming a network: expected letters, digits, '-' and '_', found {name:?}"
        );
        Ok(Self::Custom(interned(name)))
    }
}

/// The same text, kept for as long as the process runs: each once.
pub(super) fn interned(text: &str) -> &'static str {
    static TEXTS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    match texts.get(text) {
        Some(known) => known,
        None => {
            let kept: &'static str = Box::leak(text.into());
            texts.insert(kept);
            kept
        }
    }
}

/// A network of the user's at work.
pub(super) struct CustomModule {
    name: &'static str,
    module: Box<dyn SliceNetwork>,
}

impl fmt::Debug for CustomModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomModule({:?})", self.name)
    }
}

impl CustomModule {
    pub(super) fn features(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        ensure!(
            mode.kind == Kind::Float,
            "the custom network {} computes in f32, precision asks for {:?}",
            self.name,
            mode.kind
        );
        let images = channels_last(images, mode.kind)?;
        let features = self.called("features", || self.module.features(&images, trains(mode)))?;
        let (found, count) = (features.size(), images.size()[0]);
        ensure!(
            found.len() == 2 && found[0] == count,
            "the custom network {}: expected features [{count}, F], found {found:?}",
            self.name
        );
        Ok(features)
    }

    pub(super) fn logits(&self, features: &Tensor, mode: Mode) -> Result<Tensor> {
        let logits = self.called("logits", || self.module.logits(features, trains(mode)))?;
        let (found, expected) = (logits.size(), [features.size()[0], CLASSES]);
        ensure!(found == expected, "the custom network {}: expected logits {expected:?}, found {found:?}", self.name);
        Ok(logits)
    }

    /// What the user's code returns; most functions of tch panic where libtorch refuses.
    fn called(&self, step: &str, call: impl FnOnce() -> Tensor) -> Result<Tensor> {
        caught(call).with_context(|| format!("computing the {step} of the custom network {}", self.name))
    }
}

fn trains(mode: Mode) -> bool {
    mode.statistics == NormStatistics::Batch
}

/// The panic of foreign code as an error.
fn caught<T>(call: impl FnOnce() -> T) -> Result<T> {
    let text = |panic: Box<dyn Any + Send>| match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(text), _) => text.clone(),
        (_, Some(text)) => (*text).to_owned(),
        _ => "it panicked".to_owned(),
    };
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| crate::base::errors::anyhow!("{}", text(panic)))
}

/// New parameters, the same on every device.
pub(super) fn drawn(name: &'static str, seed: u64, device: Device) -> Result<Network> {
    let network = built(name, Some(seed), Device::Cpu)?;
    if device == Device::Cpu {
        return Ok(network);
    }
    taken(name, network.tensors().into_iter().collect(), device)
}

/// Parameters and buffers by name.
pub(super) fn taken(name: &'static str, mut named: BTreeMap<String, Tensor>, device: Device) -> Result<Network> {
    let doing =
        || format!("taking the parameters of the custom network {name} as the cell that was run last defines it");
    let network = built(name, None, device)?;
    for (name, tensor) in network.parameters().iter().chain(network.buffers()) {
        let given = named.remove(name).with_context(|| format!("{name} is missing")).with_context(doing)?;
        let (expected, found) = (tensor.size(), given.size());
        ensure!(expected == found, "{}: {name} should be {expected:?}, it is {found:?}", doing());
        let _guard = tch::no_grad_guard();
        tensor.shallow_clone().f_copy_(&given).with_context(doing)?;
    }
    if let Some(name) = named.keys().next() {
        crate::base::errors::bail!("{}: {name} is no part of it", doing());
    }
    Ok(network)
}

/// The network that is registered under the name, its values drawn by its own code; from a seed where one is given.
fn built(name: &'static str, seed: Option<u64>, device: Device) -> Result<Network> {
    let build = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
    let build = build.with_context(|| {
        format!(
            "the custom network {name} is not known here: run the cell that defines it (register_network), then this \
             again"
        )
    })?;
    let store = VarStore::new(device);
    if let Some(seed) = seed {
        tch::manual_seed(seed as i64);
    }
    let module = caught(|| build(&store.root())).with_context(|| format!("building the custom network {name}"))?;
    let (parameters, buffers) = variables(&store).with_context(|| format!("building the custom network {name}"))?;
    Ok(Network::of_module(Architecture::Custom(name), CustomModule { name, module }, parameters, buffers))
}

type Named = Vec<(String, Tensor)>;

/// The trainable variables in the order in which they were made, and the others by name.
fn variables(store: &VarStore) -> Result<(Named, Named)> {
    let made = store.trainable_variables();
    let place = |tensor: &Tensor| made.iter().position(|other| other.data_ptr() == tensor.data_ptr());
    let mut all: Named = store.variables().into_iter().collect();
    all.sort_by_cached_key(|(name, tensor)| (place(tensor), name.clone()));
    let (parameters, buffers): (Named, Named) = all.into_iter().partition(|(_, tensor)| tensor.requires_grad());
    ensure!(!parameters.is_empty(), "expected trainable variables under the given path, found none");
    for (name, tensor) in parameters.iter().chain(&buffers) {
        let (kind, is_buffer) = (tensor.kind(), !tensor.requires_grad());
        ensure!(
            !name.starts_with("adam.") && !name.starts_with("average."),
            "{name}: expected a name that does not begin with adam. or average., as the optimizer's do in a checkpoint"
        );
        ensure!(
            kind == Kind::Float || (is_buffer && kind == Kind::Int64),
            "{name}: expected f32, or i64 where it is not trained, found {kind:?}"
        );
    }
    Ok((parameters, buffers))
}
