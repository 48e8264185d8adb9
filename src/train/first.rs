//! What a training begins with.

use crate::config::{Learn, RunConfig};
use crate::model::Network;
use crate::phantom::reference_slices;
use crate::progress::Progress;
use crate::weights::{Weights, WeightsFile};
use anyhow::{Context, Result};
use tch::{Device, Kind, Tensor};

/// Slices that random weights measure their batch norm on.
const DRAWN: usize = 64;

/// The network before its first step: from pretrained weights under a fresh head, or from the seed alone. A frozen backbone
/// of random weights measures its batch norm on slices that are drawn: so its features depend on nobody's data, and all
/// runs of a cache share them, however it is split.
pub(crate) fn first_network(
    run: &RunConfig,
    device: Device,
    progress: &(dyn Fn(&Progress) + Sync),
) -> Result<(Network, Option<WeightsFile>)> {
    let Some(source) = &run.pretrained else {
        let network = Network::new(run.architecture, run.seed, device)?;
        if run.learn != Learn::Whole {
            let size = i64::from(run.preprocess.size);
            let drawn = reference_slices(DRAWN, run.preprocess.size)?.concat();
            let grey = Tensor::f_from_data_size(&drawn, &[DRAWN as i64, 1, size, size], Kind::Uint8)?;
            network.measure_statistics(&run.preprocess.normalised(&grey.f_to_device(device)?)?)?;
        }
        return Ok((network, None));
    };
    let weights = Weights::find(run.architecture, source, progress)?;
    let network = Network::pretrained(run.architecture, weights.read()?, run.seed, device)
        .with_context(|| format!("reading the weights {}", weights.path().display()))?;
    Ok((network, Some(weights.file())))
}
