//! `covid-ct demo`: what the notebooks compute, without them.

use super::bar::TerminalProgress;
use anyhow::{Context, Result};
use covid_ct::{
    Ablation, Architecture, Experiment, LeakProbe, Preprocess, Published, Report, RunConfig, Shortcuts, Subset,
    Weights, WeightsLookup, Workspace, say, visible,
};
use std::time::Instant;

/// The networks of notebook 04.
const PRETRAINED: [Architecture; 4] =
    [Architecture::Vgg19, Architecture::ResNet152, Architecture::DenseNet161, Architecture::EfficientNetLite0];

fn weights_of(network: Architecture) -> WeightsLookup {
    Weights::imagenet_or_random(network, TerminalProgress::new().progress())
}

/// The two runs of notebook 04: the recommended settings and the slides'.
fn pair(network: Architecture) -> [RunConfig; 2] {
    let weights = weights_of(network);
    [RunConfig::of(network), RunConfig::published(network)].map(|run| run.with_weights(&weights).fitting_this_machine())
}

/// The complete recipe of notebook 05's ablation, small.
fn recipe() -> RunConfig {
    let complete = RunConfig::of(Architecture::Compact).fitting_this_machine();
    let preprocess = Preprocess { size: 64, ..complete.preprocess };
    RunConfig { name: "recipe".into(), epochs: 6, preprocess, ..complete }
}

/// Trained and evaluated; what is whole is not done again.
fn trained(workspace: &Workspace, config: RunConfig) -> Result<Experiment> {
    let name = config.name.clone();
    let run = Experiment::open_in(workspace, config, TerminalProgress::new().show())?;
    run.train_and_evaluate().with_context(|| format!("training and evaluating {name}"))?;
    Ok(run)
}

/// Every audit, probe, training and report of the notebooks, each kept as they keep it: notebooks that are run afterwards show it
/// at once.
pub fn demo(workspace: &Workspace) -> Result<()> {
    let progress = || TerminalProgress::new().progress();
    let begun = Instant::now();
    let step = |what: &str| say(format_args!("\ndemo, {} s: {what}", begun.elapsed().as_secs()));
    let published = Published::slides()?;
    let report = || Report::new(workspace, &workspace.evaluated_runs()?, Some(&published));

    step("the audit");
    say(format_args!("{}", workspace.run_audit(progress())?));
    // Unfolded: there is nothing else yet.
    let first = report()?.full().write(workspace.home())?;
    step(&format!("a first page is there, the audit with its contact sheets: {}", visible(first)));

    step("the leak and shortcuts (1 of 7)");
    let probing = RunConfig::published(Architecture::DenseNet161).by_patient();
    let probing = probing.with_weights(&weights_of(Architecture::DenseNet161)).fitting_this_machine().leak_probe();
    LeakProbe::measure(workspace, &probing, LeakProbe::REPEATS, progress())?;
    Shortcuts::measure(workspace, &probing.preprocess, progress())?;

    step("the FCN, and the slides' (2 of 7)");
    let fcn = trained(workspace, RunConfig::of(Architecture::Fcn).fitting_this_machine())?;
    fcn.scan_model()?;
    fcn.explain(Subset::Test)?;
    trained(workspace, RunConfig::published(Architecture::Fcn).fitting_this_machine())?;
    for (number, network) in (3..).zip(PRETRAINED) {
        step(&format!("{network}, and the slides' ({number} of 7)"));
        for config in pair(network) {
            trained(workspace, config)?;
        }
    }
    step("what each part of the recipe gives (7 of 7)");
    let complete = recipe();
    Ablation::run(workspace, &complete, &complete.without_each_part(), TerminalProgress::new().show())?;
    if workspace.dataset_folder().join("prediction").is_dir() {
        fcn.predict()?;
        fcn.heat_by_scan()?;
        fcn.explain(Subset::Prediction)?;
    }
    step(&format!("done: {}", visible(report()?.write(workspace.home())?)));
    Ok(())
}
