//! `covid-ct demo`: what the notebooks compute, without them.

use super::bar::TerminalProgress;
use anyhow::{Context, Result};
use covid_ct::{
    Ablation, Architecture, Experiment, LeakProbe, Preprocess, Published, Report, RunConfig, Shortcuts, Subset,
    Weights, WeightsLookup, Workspace, say, visible,
};
use std::time::{Duration, Instant};

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
    let steps = Steps { begun: Instant::now() };
    let published = Published::slides()?;
    let report = || Report::new(workspace, &workspace.evaluated_runs()?, Some(&published));

    steps.say(0, "the audit");
    say(format_args!("{}", workspace.run_audit(progress())?));
    // Unfolded: there is nothing else yet.
    let first = report()?.full().write(workspace.home())?;
    say(format_args!("\nA first page is there, the audit with its contact sheets: {}", visible(first)));

    steps.say(1, "the leak and shortcuts");
    let probing = RunConfig::published(Architecture::DenseNet161).by_patient();
    let probing = probing.with_weights(&weights_of(Architecture::DenseNet161)).fitting_this_machine().leak_probe();
    LeakProbe::measure(workspace, &probing, LeakProbe::REPEATS, progress())?;
    Shortcuts::measure(workspace, &probing.preprocess, progress())?;

    steps.say(2, "the FCN, and the slides'");
    let fcn = trained(workspace, RunConfig::of(Architecture::Fcn).fitting_this_machine())?;
    fcn.scan_model()?;
    fcn.explain(Subset::Test)?;
    trained(workspace, RunConfig::published(Architecture::Fcn).fitting_this_machine())?;
    for (number, network) in (3..).zip(PRETRAINED) {
        steps.say(number, &format!("{network}, and the slides'"));
        for config in pair(network) {
            trained(workspace, config)?;
        }
    }
    steps.say(7, "what each part of the recipe gives");
    let complete = recipe();
    Ablation::run(workspace, &complete, &complete.without_each_part(), TerminalProgress::new().show())?;
    if workspace.dataset_folder().join("prediction").is_dir() {
        fcn.predict()?;
        fcn.heat_by_scan()?;
        fcn.explain(Subset::Prediction)?;
    }
    let page = report()?.write(workspace.home())?;
    say(format_args!("\ndemo: done after {}: {}", minutes(steps.begun.elapsed()), visible(page)));
    Ok(())
}

/// Shares of the time that each step takes, the audit first: measured on two cores, November 2026.
const SHARES: [f64; PRETRAINED.len() + 4] = [0.012, 0.052, 0.278, 0.159, 0.078, 0.028, 0.027, 0.366];

/// Less says nothing of the machine.
const ENOUGH: Duration = Duration::from_secs(15);

/// The steps of the demo.
struct Steps {
    begun: Instant,
}

impl Steps {
    /// Names the step that begins, counted from 0, and how long it and all after it will take, going by those before it.
    fn say(&self, number: usize, what: &str) {
        let of = SHARES.len();
        let left = time_left(number, self.begun.elapsed())
            .map_or(String::new(), |left| format!(", about {} left in all", minutes(left)));
        say(format_args!("\ndemo, step {} of {of}{left}: {what}", number + 1));
    }
}

fn minutes(of: Duration) -> String {
    match of.as_secs() {
        seconds @ ..60 => format!("{seconds} s"),
        seconds => format!("{} min", (seconds as f64 / 60.0).round()),
    }
}

/// What the steps from this one on will take, if those before it took so long; `None` where too little was done to say, or where it
/// was done before.
fn time_left(number: usize, taken: Duration) -> Option<Duration> {
    let done: f64 = SHARES[..number].iter().sum();
    (done >= 0.05 && taken >= ENOUGH).then(|| taken.mul_f64((1.0 - done) / done))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_from_what_was_taken() {
        assert!((SHARES.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert_eq!((time_left(1, Duration::from_secs(60)), time_left(3, Duration::from_secs(1))), (None, None));
        // A third of the time was taken.
        let left = time_left(3, Duration::from_secs(342)).expect("some").as_secs();
        assert_eq!(left, 658);
        assert_eq!([59, 60, 100].map(|seconds| minutes(Duration::from_secs(seconds))), ["59 s", "1 min", "2 min"]);
    }
}
