//! The commands leakage, shortcuts and report.

use super::RunArgs;
use super::bar::TerminalProgress;
use anyhow::Result;
use covid_ct::{
    Architecture, Comparison, LeakProbe, Published, Report, RunConfig, Shortcuts, Weights, Workspace, say, visible,
};
use std::path::Path;

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
    let preprocess = RunConfig::published(Architecture::Fcn).small().preprocess;
    say(Shortcuts::measure(workspace, &preprocess, TerminalProgress::new().progress())?);
    Ok(())
}

pub fn report(workspace: &Workspace, runs: &[String], published: Option<&Path>, out: Option<&Path>) -> Result<()> {
    let runs = match runs {
        [] => workspace.evaluated_runs()?,
        names => names.iter().map(|name| workspace.run(name)).collect(),
    };
    let published = published.map(Published::read).transpose()?;
    // The report names runs that cannot be compared, and the reason.
    if let Ok(comparison) = Comparison::of(&runs) {
        say(format_args!("{comparison}\n"));
    }
    let report = Report::new(workspace, &runs, published.as_ref())?;
    say(visible(report.write(out.unwrap_or(workspace.home()))?));
    Ok(())
}
