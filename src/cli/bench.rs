//! `covid-ct bench`: one piece of work, measured once, as a line of JSON. `make bench` runs these and the same work in
//! Python in turns, and writes the table.

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use covid_ct::tch::{self, Device};
use covid_ct::{
    Architecture, Audit, Augmentation, Check, Manifest, Precision, Preprocess, Recognition, Scale, SliceCache, Storage,
    Window, Workspace, say,
};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Instant;

mod audit_again;
mod network_work;
mod resources;

use audit_again::audit_again;
use network_work::{heads, step, training};
use resources::{Watch, disk_megabytes, peak_megabytes, resident_megabytes};

/// What to measure.
#[derive(Args)]
pub struct BenchArgs {
    /// The piece of work
    pub what: Work,
    /// The data set [default: that of --data]
    pub data: Option<PathBuf>,
    /// Network of `heads` and `train`
    #[arg(long, default_value = "densenet161")]
    pub network: Architecture,
    /// Slices in a batch
    #[arg(long, default_value_t = 32, value_parser = super::count_within(1..=4096))]
    pub batch: usize,
    /// Shares of a batch that are added up in a fixed order (`train`)
    #[arg(long, default_value_t = 1, value_parser = super::count_within(1..=4096))]
    pub shares: usize,
    /// Optimiser steps; batches of `augment`
    #[arg(long, default_value_t = 3, value_parser = super::count_within(1..=1_000_000))]
    pub steps: usize,
    /// Precision of `step`, `heads` and `train`: f32, f16 or bf16
    #[arg(long, default_value = "f32", value_parser = super::precision)]
    pub precision: Precision,
    /// Where `step`, `heads` and `train` compute: cpu or cuda:N
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Slices of `scale`; `epoch` stops after so many
    #[arg(long, default_value_t = 411_189, value_parser = super::count_within(1..=100_000_000))]
    pub slices: usize,
    /// Draws the scans of `recognition`
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Let `read` write out three equal channels, instead of one that three share
    #[arg(long)]
    pub three_channels: bool,
    /// Let `epoch` shuffle over the whole cache, without prefetch, as most loaders do
    #[arg(long)]
    pub any_order: bool,
    /// How the cache keeps slices: packed or raw
    #[arg(long, default_value = "packed", value_parser = super::storage)]
    pub storage: Storage,
    /// Zip archives that `audit-and-cache` reads instead of the files: file:///folder or a bucket
    #[arg(long, value_name = "URL")]
    pub archives: Option<String>,
    /// Write the cache's grey levels here, slice by slice
    #[arg(long, value_name = "FILE")]
    pub bytes: Option<PathBuf>,
    /// Write the accepted files here, one a line
    #[arg(long, value_name = "FILE")]
    pub list: Option<PathBuf>,
}

impl BenchArgs {
    /// Whether several processes can do it together.
    pub fn is_divided(&self) -> bool {
        matches!(self.what, Work::Train)
    }
}

/// The pieces of work.
#[derive(Clone, Copy, ValueEnum, Debug)]
pub enum Work {
    /// List, decode, check, find duplicates
    Audit,
    /// The same, again, and again with one scan more: what is read and how long each takes
    AuditAgain,
    /// Decode and resize to 224×224
    Cache,
    /// Both in one pass over the files
    AuditAndCache,
    /// One epoch of shuffled batches from the cache, as normalised tensors
    Read,
    /// One epoch of the audited data set's cache by the training's sampler, with prefetch; begins at once, so that it
    /// can be run with little memory and from a slow disk
    Epoch,
    /// Batches of slices at 224×224, changed at random as for training
    Augment,
    /// Optimiser steps of the FCN
    Step,
    /// Five epochs of a head over a frozen network
    Heads,
    /// Two epochs of a whole network, from the cache; the second is measured
    Train,
    /// Values in Hounsfield units of every slice below the folder, written to --bytes as 32-bit floats, and the grey levels
    /// through the lung window, to the same name with .grey
    Values,
    /// Duplicate search, split and tables of a data set of --slices slices that is not there
    Scale,
    /// Copies of 30 scans, drawn by --seed, in each of the ways in which the same patient comes again: how many are found
    Recognition,
}

/// Does the work once and prints what it took.
pub fn run(args: &BenchArgs, workspace: &Workspace) -> Result<()> {
    let dataset = workspace.dataset_folder();
    let data = args.data.as_deref().unwrap_or(&dataset);
    let (items, (seconds, cpu), more) = match args.what {
        Work::Audit => audit(data)?,
        Work::AuditAgain => audit_again(data)?,
        Work::Cache => cache(data, args)?,
        Work::AuditAndCache => audit_and_cache(data, args.archives.as_deref())?,
        Work::Read => read(data, args)?,
        Work::Epoch => epoch(workspace, args)?,
        Work::Augment => augment(args)?,
        Work::Step => step(args)?,
        Work::Heads => heads(data, args)?,
        Work::Train => training(data, args)?,
        Work::Values => values(data, args.bytes.as_deref())?,
        Work::Scale => scale(args.slices)?,
        Work::Recognition => recognition(data, args.seed)?,
    };
    let what = args.what.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned());
    let mut line = json!({
        "what": what, "items": items, "seconds": seconds, "cpu_seconds": cpu, "peak_mb": peak_megabytes(),
        "threads": tch::get_num_threads(),
    });
    if let (Some(line), serde_json::Value::Object(more)) = (line.as_object_mut(), more) {
        line.extend(more);
    }
    say(line);
    Ok(())
}

type Measured = (usize, (f64, f64), serde_json::Value);

fn flags(audit: &Audit) -> serde_json::Value {
    let unreadable = [Check::EmptyFile, Check::NotAnImage, Check::OversizedHeader, Check::Truncated, Check::Corrupt];
    json!({
        "black": audit.count(Check::BlackSlice),
        "junk": audit.count(Check::JunkFile),
        "unreadable": unreadable.iter().map(|check| audit.count(*check)).sum::<usize>(),
    })
}

/// For comparisons with other readers: one entry for each slice, and one for each file that is no slice.
fn values(data: &Path, bytes: Option<&Path>) -> Result<Measured> {
    let watch = Watch::start();
    let manifest = Manifest::of_new_scans(data, |_| ())?;
    let (mut all, mut grey, mut slices) = (Vec::new(), Vec::new(), Vec::new());
    for slice in &manifest.slices {
        let path = manifest.place_of(slice);
        match manifest.hounsfield(slice) {
            Ok((width, height, values)) => {
                slices.push(json!({ "path": path, "frame": slice.frame, "width": width, "height": height }));
                all.extend(values.iter().flat_map(|value| value.to_le_bytes()));
                grey.extend(manifest.grey(slice, Window::LUNG)?.pixels);
            }
            Err(error) => slices.push(json!({ "path": path, "frame": slice.frame, "error": format!("{error:#}") })),
        }
    }
    if let Some(file) = bytes {
        std::fs::write(file, &all).with_context(|| format!("writing {}", file.display()))?;
        let file = file.with_extension("grey");
        std::fs::write(&file, &grey).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok((slices.len(), watch.stop(), json!({ "slices": slices, "rejected": manifest.rejected })))
}

fn scale(slices: usize) -> Result<Measured> {
    let (watch, before) = (Watch::start(), resident_megabytes());
    let grown = || peak_megabytes().zip(before).map(|(peak, before)| peak.saturating_sub(before));
    let scale = Scale::measure(slices, grown)?;
    let taken = watch.stop();
    Ok((slices, taken, json!({ "grown_mb": grown(), "pairs": scale.pairs, "stages": scale.stages })))
}

fn recognition(data: &Path, seed: u64) -> Result<Measured> {
    let watch = Watch::start();
    let manifest = Manifest::scan(data, |_| ())?;
    let found = Recognition::measure(&manifest, 30, seed, |_| ())?;
    say(&found);
    let more = json!({ "pairs_of_one_patient": found.before[0], "doubtful": found.doubtful, "rows": found.rows });
    Ok((manifest.slices.len(), watch.stop(), more))
}

fn audit(data: &Path) -> Result<Measured> {
    let watch = Watch::start();
    let (audit, _) = Audit::in_one_pass(data, None, |_| ())?;
    Ok((audit.manifest().slices.len(), watch.stop(), flags(&audit)))
}

/// Audit and cache in one pass over the files, or over the archives at `--archives`.
fn audit_and_cache(data: &Path, archives: Option<&str>) -> Result<Measured> {
    let folder = tempfile::tempdir()?;
    let (watch, preprocess) = (Watch::start(), Preprocess::default());
    let (audit, cache) = one_pass(data, archives, folder.path(), &preprocess)?;
    let taken = watch.stop();
    let mut more = flags(&audit);
    more["digest"] = json!(covid_ct::Digest::of(&grey_levels(&cache)?).to_string());
    Ok((audit.manifest().slices.len(), taken, more))
}

fn one_pass(
    data: &Path,
    archives: Option<&str>,
    caches: &Path,
    preprocess: &Preprocess,
) -> Result<(Audit, SliceCache)> {
    let cache = Some((caches, preprocess));
    let (audit, cache) = match archives {
        None => Audit::in_one_pass(data, cache, |_| ())?,
        Some(url) => covid_ct::staging::audit_archives(url, data, cache, &Default::default(), |_| ())?,
    };
    Ok((audit, cache.context("a cache was asked for")?))
}

/// The grey levels of all slices, one after the other.
fn grey_levels(cache: &SliceCache) -> Result<Vec<u8>> {
    let rows = (0..cache.manifest().slices.len()).map(|slice| cache.pixels(slice));
    Ok(rows.collect::<Result<Vec<_>>>()?.concat())
}

fn cache(data: &Path, args: &BenchArgs) -> Result<Measured> {
    let accepted = Audit::in_one_pass(data, None, |_| ())?.0.accepted();
    if let Some(list) = &args.list {
        let lines: Vec<String> = accepted.slices.iter().map(|slice| accepted.path(slice)).collect();
        std::fs::write(list, lines.join("\n")).with_context(|| format!("writing {}", list.display()))?;
    }
    let folder = tempfile::tempdir()?;
    let watch = Watch::start();
    let cache = SliceCache::open_or_build(folder.path(), &accepted, &Preprocess::default(), |_| ())?;
    let taken = watch.stop();
    let bytes = grey_levels(&cache)?;
    if let Some(file) = &args.bytes {
        std::fs::write(file, &bytes).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok((accepted.slices.len(), taken, json!({ "digest": covid_ct::Digest::of(&bytes).to_string() })))
}

fn read(data: &Path, args: &BenchArgs) -> Result<Measured> {
    use rand::{SeedableRng, seq::SliceRandom};
    let folder = tempfile::tempdir()?;
    let preprocess = Preprocess { storage: args.storage, ..Preprocess::default() };
    let (_, cache) = one_pass(data, None, folder.path(), &preprocess)?;
    let mut order: Vec<usize> = (0..cache.manifest().slices.len()).collect();
    order.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(1));
    let watch = Watch::start();
    let mut seen = 0.0;
    cache.each_batch(&order, args.batch, Device::Cpu, |_, images| {
        // Three copied channels, as the Python program makes them, or one channel that the three share.
        let images = if args.three_channels { &images.contiguous() } else { images };
        seen += images.double_value(&[0, 0, 100, 100]);
        Ok(())
    })?;
    Ok((order.len(), watch.stop(), json!({ "sum": seen })))
}

/// One epoch over the cache that `covid-ct audit --cache` has written.
fn epoch(workspace: &Workspace, args: &BenchArgs) -> Result<Measured> {
    use rand::{SeedableRng, seq::SliceRandom};
    let accepted = workspace.audit()?.accepted();
    let preprocess = Preprocess { storage: args.storage, ..Preprocess::default() };
    let cache = SliceCache::open_or_build(workspace.cache_folder(), &accepted, &preprocess, |_| ())?;
    let mut order: Vec<usize> = (0..accepted.slices.len()).collect();
    match args.any_order {
        true => order.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(1)),
        false => order = cache.shuffled(&order, 1),
    }
    order.truncate(args.slices);
    let (watch, before) = (Watch::start(), disk_megabytes());
    let (mut seen, mut waited) = (0, 0.0);
    match args.any_order {
        true => {
            for batch in order.chunks(args.batch) {
                let begun = Instant::now();
                seen += cache.batch(batch, Device::Cpu)?.size()[0] as usize;
                waited += begun.elapsed().as_secs_f64();
            }
        }
        false => {
            waited = cache.each_batch(&order, args.batch, Device::Cpu, |batch, _| {
                seen += batch.len();
                Ok(())
            })?;
        }
    }
    let read = disk_megabytes().zip(before).map(|(after, before)| after - before);
    let more = json!({ "read_mb": read, "waited": waited });
    Ok((seen, watch.stop(), more))
}

/// Random grey levels: the time does not depend on them.
fn augment(args: &BenchArgs) -> Result<Measured> {
    use rand::{RngCore, SeedableRng};
    let (side, slices) = (224, (0..args.batch).collect::<Vec<usize>>());
    let mut pixels = vec![0; args.batch * side * side];
    rand_chacha::ChaCha8Rng::seed_from_u64(1).fill_bytes(&mut pixels);
    let once = |epoch: usize| -> Result<u8> {
        let mut batch = pixels.clone();
        Augmentation::gentle().apply_to_batch(&mut batch, side, &slices, (1, epoch))?;
        Ok(batch.first().copied().unwrap_or(0))
    };
    // The table of noise is made at the first use.
    once(0)?;
    let watch = Watch::start();
    let seen = (1..=args.steps).map(|epoch| once(epoch).map(u64::from)).sum::<Result<u64>>()?;
    Ok((args.steps * args.batch, watch.stop(), json!({ "sum": seen })))
}
