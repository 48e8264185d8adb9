//! The commands leakage, shortcuts and report.

use super::RunArgs;
use super::bar::TerminalProgress;
use anyhow::Result;
use clap::Args;
use covid_ct::{
    Architecture, Comparison, LeakProbe, Published, Report, RunConfig, Shortcuts, Weights, Workspace, say, visible,
};
use std::path::PathBuf;

pub fn leakage(workspace: &Workspace, args: &RunArgs, repeats: usize) -> Result<()> {
    let run = args.set_on(probed(args)?.leak_probe())?;
    let probe = LeakProbe::measure(workspace, &run, repeats, TerminalProgress::new().progress())?;
    let folder = workspace.manifest_folder();
    probe.figure()?.save(folder.join("leakage.svg"))?;
    probe.gap_figure()?.save(folder.join("leakage-gap.svg"))?;
    say(format_args!("\n{probe}\n\nFigure: {}", visible(folder.join("leakage.svg"))));
    Ok(())
}

/// The run of the given options, by default a head over frozen features: it is trained in seconds, and DenseNet-161's
/// features retain most of their input.
fn probed(args: &RunArgs) -> Result<RunConfig> {
    if args.network.is_some() || args.config.is_some() || args.published {
        return args.config();
    }
    let weights = Weights::imagenet_or_random(Architecture::DenseNet161, TerminalProgress::new().progress());
    let preset = RunConfig::published(Architecture::DenseNet161).by_patient().with_weights(&weights);
    let preset = if args.fine_tune { preset.fine_tune() } else { preset };
    Ok(if args.small { preset.small() } else { preset })
}

pub fn shortcuts(workspace: &Workspace) -> Result<()> {
    let preprocess = RunConfig::published(Architecture::DenseNet161).fitting_this_machine().preprocess;
    say(Shortcuts::measure(workspace, &preprocess, TerminalProgress::new().progress())?);
    Ok(())
}

/// What `report` writes.
#[derive(Clone, Copy, Default, clap::ValueEnum)]
pub enum ReportFormat {
    /// report.html, report.json and figures/
    #[default]
    Html,
    /// report.md
    Md,
}

#[derive(Args)]
pub struct ReportArgs {
    /// Names of the runs [default: every evaluated run]
    pub runs: Vec<String>,
    /// Published results to compare with
    #[arg(long, value_name = "FILE")]
    pub published: Option<PathBuf>,
    /// Where to write [default: the workspace]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Open every part, to print or search all of it
    #[arg(long)]
    pub full: bool,
    /// The page, or a summary for a paper: its first pages and the checklists
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}

pub fn report(workspace: &Workspace, args: &ReportArgs) -> Result<()> {
    let runs = match args.runs.as_slice() {
        [] => workspace.evaluated_runs()?,
        names => names.iter().map(|name| workspace.run(name)).collect(),
    };
    let published = args.published.as_ref().map(Published::read).transpose()?;
    let report = Report::new(workspace, &runs, published.as_ref())?;
    // The report names runs that cannot be compared, and the reason.
    match Comparison::of(&runs) {
        Ok(comparison) => say(format_args!("{comparison}\n")),
        Err(_) if runs.is_empty() => say("No run is evaluated yet: the report shows the data and its audit alone.\n"),
        Err(_) => {}
    }
    let report = if args.full { report.full() } else { report };
    let folder = args.out.as_deref().unwrap_or(workspace.home());
    say(visible(match args.format {
        ReportFormat::Html => report.write(folder)?,
        ReportFormat::Md => report.write_summary(folder)?,
    }));
    Ok(())
}
