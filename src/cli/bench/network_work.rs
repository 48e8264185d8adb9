//! The pieces of work that need a network: a step, a training, a training of heads.

use super::resources::{Watch, gpu_megabytes};
use super::{BenchArgs, Measured, one_pass};
use anyhow::{Context, Result};
use covid_ct::tch::{self, Device, Kind, Reduction, Tensor};
use covid_ct::{
    Adam, Architecture, Experiment, History, Learn, Network, Preprocess, RunConfig, RunFolder, Split, Subset, gradient,
    seconds_reducing,
};
use serde_json::json;
use std::path::Path;

pub(super) fn step(args: &BenchArgs) -> Result<Measured> {
    let run =
        RunConfig { precision: args.precision, device: args.device.clone(), ..RunConfig::published(Architecture::Fcn) };
    run.check()?;
    let device = run.device()?;
    tch::manual_seed(0);
    let network = Network::new(Architecture::Fcn, 1, device)?;
    let images = Tensor::randn([args.batch as i64, 3, 224, 224], (Kind::Float, device));
    let labels = Tensor::randint(2, [args.batch as i64], (Kind::Int64, device));
    let mut adam = Adam::new(network.parameters(), 1e-4)?;
    let mut once = || -> Result<f64> {
        let logits = network.forward_training_in(&images, args.precision)?;
        let loss = logits.cross_entropy_loss::<Tensor>(&labels, None, Reduction::Mean, -100, 0.0);
        adam.step(gradient(&loss, network.parameters())?)?;
        Ok(f64::try_from(&loss)?)
    };
    once()?;
    let watch = Watch::start();
    let mut loss = 0.0;
    for _ in 0..args.steps {
        loss = once()?;
    }
    Ok((args.steps * args.batch, watch.stop(), json!({ "loss": loss })))
}

/// A training as users run it, checkpoints included: its history, wall-clock and processor seconds, the number of
/// training slices and of all slices.
fn trained(data: &Path, args: &BenchArgs, run: RunConfig) -> Result<(History, (f64, f64), usize, usize)> {
    let folder = tempfile::tempdir()?;
    let (audit, cache) = one_pass(data, None, folder.path(), &Preprocess::default())?;
    let run = RunConfig { precision: args.precision, device: args.device.clone(), ..run };
    let split = Split::new(&audit.accepted(), &run.split)?;
    let watch = Watch::start();
    let experiment = Experiment::of_parts(RunFolder::at(folder.path().join(&run.name)), split, cache, run)?;
    let history = experiment.train()?;
    let slices = (experiment.split().slices(Subset::Train).len(), experiment.manifest().slices.len());
    Ok((history, watch.stop(), slices.0, slices.1))
}

pub(super) fn training(data: &Path, args: &BenchArgs) -> Result<Measured> {
    let run = RunConfig::published(args.network).by_patient();
    let run = RunConfig { learn: Learn::Whole, batch_size: args.batch, shares: args.shares, ..run };
    let run = RunConfig { epochs: 2, pretrained: None, ..run };
    let before = seconds_reducing();
    let (history, (_, cpu), slices, _) = trained(data, args, run)?;
    // Of the steps of all epochs.
    let (reducing, seconds) = (seconds_reducing() - before, history.epochs.iter().map(|of| of.seconds).sum::<f64>());
    let last = history.epochs.last().context("no epoch")?;
    let more = json!({
        "loss": last.training.loss, "stall": last.waited / last.seconds, "device": history.device,
        "gpu_mb": gpu_megabytes(), "images_per_second": last.images_per_second, "all_reduce": reducing / seconds,
    });
    Ok((slices, (last.seconds, cpu), more))
}

pub(super) fn heads(data: &Path, args: &BenchArgs) -> Result<Measured> {
    // Weights from a file, as users have them: for random weights batch norm's statistics would be measured first,
    // which the comparison in Python does not do.
    let folder = tempfile::tempdir()?;
    let weights = folder.path().join("weights.safetensors");
    Tensor::write_safetensors(&Network::new(args.network, 1, Device::Cpu)?.tensors(), &weights)?;
    let pretrained = Some(weights.display().to_string());
    let run = RunConfig { learn: Learn::Head, pretrained, ..RunConfig::published(args.network).by_patient() };
    let (history, taken, _, slices) = trained(data, args, run)?;
    Ok((history.run.epochs * slices, taken, json!({ "feature_seconds": history.feature_seconds })))
}
