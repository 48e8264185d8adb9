//! Commands on the data set and the machine: phantom, cache, doctor.

use super::bar::TerminalProgress;
use super::{PhantomArgs, RunArgs};
use anyhow::Result;
use clap::Args;
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

/// Options of `covid-ct pages`.
#[derive(Args)]
pub struct PagesArgs {
    /// Folders of scans, such as train/covid/ct_scan_3 [default: those with findings, the worst first]
    pub scans: Vec<String>,
    /// No more than so many of those with findings
    #[arg(long, value_name = "NUMBER", default_value_t = 100, conflicts_with = "scans")]
    pub at_most: usize,
}

/// Writes pages about scans of the audited data set.
pub fn pages(workspace: &Workspace, args: &PagesArgs) -> Result<()> {
    let audit = workspace.audit()?;
    let found = if args.scans.is_empty() { audit.scans_with_findings() } else { args.scans.clone() };
    let scans = if args.scans.is_empty() { &found[..found.len().min(args.at_most)] } else { &found[..] };
    let folder = workspace.manifest_folder().join("pages");
    let index = audit.write_pages(scans, folder, TerminalProgress::new().progress())?;
    let others = found.len() - scans.len();
    let more = match others {
        0 => String::new(),
        1 => "; 1 more scan has findings: `--at-most N` shows more".to_owned(),
        _ => format!("; {others} more scans have findings: `--at-most N` shows more"),
    };
    let pages = if scans.len() == 1 { "page" } else { "pages" };
    say(format_args!("{} {pages}, from {}{more}", scans.len(), visible(&index)));
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
    let rows = Manifest::write_label_table(dir, &out, TerminalProgress::new().progress())?;
    say(format_args!(
        "{rows} {} in {}: fill in the columns label (covid or non-covid; empty where unknown), set (train or val), patient and \
         source. Where a row is a picture, its scan is the beginning of its name (NCP_96_1328 of NCP_96_1328_0005.png), or else \
         the picture alone. Give pictures that belong together the same `scan` and `patient`, or the split will leak.",
        if rows == 1 { "row" } else { "rows" },
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
