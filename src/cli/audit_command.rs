//! `covid-ct audit`.

use super::bar::TerminalProgress;
use anyhow::{Context, Result, ensure};
use clap::Args;
use covid_ct::{
    Audit, Check, EarlierAudit, Expectation, Incremental, RunConfig, Workspace, is_alone, say, speaks, visible,
};
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `covid-ct audit`.
#[derive(Args)]
pub struct AuditArgs {
    /// Known counts and defects to compare the data with, such as data_manifest/cov19-ct-db.json
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// List every finding of this check
    #[arg(long, value_name = "CHECK")]
    details: Option<String>,
    /// Hash every file, also those whose size, inode and times are as the last audit of this data set found them
    ///
    /// Without this, scans whose files seem unchanged are not read: what the last audit saw of them is kept beside it, in
    /// inspected.bin.
    #[arg(long)]
    verify: bool,
    /// Cache the accepted slices at 224×224 in the same pass over the files
    #[arg(long)]
    cache: bool,
    /// Read these zip archives as if they were unpacked in the data set's folder: file:///folder, gs://… or s3://…
    ///
    /// Nothing is unpacked; --data names the folder where the files would lie. With --cache, split and the recommended
    /// training at 224×224 do not need the files; other sizes, the slides' preset and figures of single slices do.
    #[arg(long, value_name = "URL")]
    archives: Option<String>,
}

/// Audits the data set, writes the audit, and prints it.
pub fn run(args: &AuditArgs, workspace: &Workspace) -> Result<ExitCode> {
    let expected = args.expect.as_ref().map(Expectation::read).transpose()?;
    let check = args.details.as_ref().map(|name| {
        let known = || Check::ALL.iter().map(|c| c.name()).collect::<Vec<_>>().join(", ");
        let found = Check::ALL.iter().find(|check| check.name() == name);
        found.with_context(|| format!("--details: expected one of {}; found {name:?}", known()))
    });
    let check = check.transpose()?;
    look_in_shares(args, workspace)?;
    if !speaks() {
        return Ok(ExitCode::SUCCESS);
    }
    let audit = pass(args, workspace)?;
    audit.write(workspace.manifest_folder())?;
    let manifest = audit.manifest();
    if !manifest.has_usual_layout() {
        say(format_args!("{}\n", manifest.layout_table()));
    }
    say(format_args!("{manifest}\n\n{audit}"));
    if let Some(check) = check {
        say(format_args!("\n{}", audit.details(*check)));
    }
    let shown = if audit.findings().is_empty() { "" } else { "; `covid-ct pages` shows what was found" };
    say(format_args!("\nWritten to {}{shown}", visible(workspace.manifest_folder())));
    say(
        "Whether the classes differ in how their pictures were acquired or exported is measured by `covid-ct shortcuts`.",
    );
    if let Some(expected) = expected {
        say(format_args!("\n{}", audit.against(&expected)));
        return Ok(if audit.fits(&expected) { ExitCode::SUCCESS } else { ExitCode::from(3) });
    }
    ensure!(
        audit.slices_left() > 0,
        "every slice is left out: there is nothing to train on or to judge. What was found is listed above, and in {}",
        visible(workspace.manifest_folder())
    );
    Ok(ExitCode::SUCCESS)
}

/// What an earlier audit saw.
fn earlier(args: &AuditArgs, workspace: &Workspace) -> EarlierAudit {
    let earlier = EarlierAudit::beside(workspace.manifest_folder());
    if args.verify { earlier.verified() } else { earlier }
}

/// Under mpirun or srun: the look at the slices, each rank at its share; the first then audits what all have seen.
fn look_in_shares(args: &AuditArgs, workspace: &Workspace) -> Result<()> {
    if is_alone() {
        return Ok(());
    }
    ensure!(
        args.archives.is_none() && !args.cache && !args.verify,
        "--archives, --cache and --verify are not divided among processes: audit without them, and then run `covid-ct cache`"
    );
    let root = workspace
        .own_data()
        .context("the phantom is drawn by one process: name a data set, by --data or COVID_CT_DATA")?;
    Audit::look_in_shares(root, &earlier(args, workspace), TerminalProgress::new().progress())
}

/// One pass over files or archives.
fn pass(args: &AuditArgs, workspace: &Workspace) -> Result<Incremental> {
    let earlier = earlier(args, workspace);
    let (caches, preprocess) = (workspace.cache_folder(), RunConfig::default().preprocess);
    let cache = args.cache.then_some((caches.as_path(), &preprocess));
    if let Some(url) = &args.archives {
        let root =
            workspace.own_data().context("--archives: name the data set's folder too, by --data or COVID_CT_DATA")?;
        let options = Default::default();
        let progress = TerminalProgress::new().progress();
        return covid_ct::staging::audit_archives_again(url, root, &earlier, cache, &options, progress);
    }
    let root = workspace.dataset(TerminalProgress::new().progress())?;
    Audit::incremental(root, &earlier, cache, TerminalProgress::new().progress())
}
