//! Commands on the data set and the machine: phantom, cache, doctor.

use super::bar::TerminalProgress;
use super::{PhantomArgs, RunArgs};
use anyhow::Result;
use covid_ct::{Doctor, Manifest, PhantomConfig, SliceCache, Workspace, draw_phantom, say, visible};
use std::path::Path;

pub fn phantom(args: &PhantomArgs) -> Result<()> {
    let config = PhantomConfig {
        seed: args.seed,
        size: args.size,
        train_scans: args.train_scans,
        val_scans: args.val_scans,
        prediction_scans: args.prediction_scans,
        slices: args.slices,
        quality: args.quality,
        defects: !args.no_defects,
        field_cases: args.field_cases,
    };
    let phantom = draw_phantom(&args.dir, &config, TerminalProgress::new().progress())?;
    say(format_args!(
        "{} scans, {} slices and {} planted defects in {}; the defects are listed in phantom.json.",
        phantom.scans,
        phantom.slices,
        phantom.defects.len(),
        visible(&args.dir)
    ));
    Ok(())
}

pub fn cache(workspace: &Workspace, args: &RunArgs) -> Result<()> {
    let accepted = workspace.audit()?.accepted();
    let preprocess = args.config()?.preprocess;
    say(SliceCache::open_or_build(
        workspace.cache_folder(),
        &accepted,
        &preprocess,
        TerminalProgress::new().progress(),
    )?);
    Ok(())
}

/// Writes a table of the scans in a folder for somebody to fill in.
pub fn labels(dir: &Path, out: Option<&Path>) -> Result<()> {
    let out = out.map_or_else(|| dir.join("labels.csv"), Path::to_owned);
    let scans = Manifest::write_label_table(dir, &out, TerminalProgress::new().progress())?;
    say(format_args!(
        "{scans} scans in {}: fill in the columns label (covid or non-covid; empty where unknown), set (train or val) and source.",
        visible(&out)
    ));
    Ok(())
}

/// Prints the checks of this machine; true if nothing is wrong.
pub fn doctor(workspace: &Workspace) -> bool {
    let doctor = Doctor::examine(workspace);
    say(&doctor);
    doctor.is_well()
}
