//! Runs that are trained and evaluated one after the other, to be judged together.

use crate::base::errors::{Context, Result, ensure};
use crate::base::progress::Progress;
use crate::data::split::Subset;
use crate::data::workspace::Workspace;
use crate::evaluate::evaluation::Evaluation;
use crate::evaluate::predict::Predictions;
use crate::stats::metrics::Measure;
use crate::train::config::RunConfig;
use crate::train::event::RunEvent;
use crate::train::experiment::Experiment;
use crate::train::run_folder::{Artifact, RunFolder};
use std::sync::Arc;

/// A run that is trained and evaluated.
pub(crate) struct FinishedRun {
    pub(crate) folder: RunFolder,
    pub(crate) evaluation: Evaluation,
}

impl FinishedRun {
    /// The predictions of a subset, by the weights that were evaluated; `None` where the split gives it no slices.
    pub(crate) fn predictions(&self, subset: Subset) -> Result<Option<Predictions>> {
        if self.evaluation.subset(subset).is_err() {
            return Ok(None);
        }
        let predictions = self.folder.predictions(subset)?;
        ensure!(
            predictions.about.weights == self.evaluation.weights,
            "the {subset} predictions in {} are of the weights {}, the evaluation of {}: run `covid-ct evaluate --name {}` \
             again",
            self.folder.path().display(),
            predictions.about.weights.short(),
            self.evaluation.weights.short(),
            self.folder.name()
        );
        Ok(Some(predictions))
    }
}

/// Trains and evaluates runs in their order. Each is an ordinary run: one that is finished is not repeated, one that was
/// interrupted is resumed. They are marked as parts of `whole`, except for the first where it
/// is a run of one's own.
///
/// # Errors
/// Settings that cannot work, before the first training; those of a run, which is named.
pub(crate) fn finish_all(
    work: &Workspace,
    (whole, begins_with_own): (&str, bool),
    runs: Vec<RunConfig>,
    report: impl Fn(&RunEvent) + Send + Sync + 'static,
) -> Result<Vec<FinishedRun>> {
    runs.iter().try_for_each(RunConfig::check)?;
    let (report, total) = (Arc::new(report), runs.len());
    let finish = |(done, run): (usize, RunConfig)| {
        let (stage, name) = ("finished".to_owned(), run.name.clone());
        let note = format!("next {name}");
        report(&RunEvent::Working(Progress { stage, done, total, unit: "runs", rate: 0.0, note }));
        let forward = report.clone();
        let is_own = begins_with_own && done == 0;
        let part_of = if is_own { run.part_of.clone() } else { Some(whole.to_owned()) };
        let run = RunConfig { part_of, ..run };
        let experiment = Experiment::open_in(work, run, move |event| forward(event))?;
        let evaluation =
            experiment.train_and_evaluate().with_context(|| format!("run {} of {total}, {name}", done + 1))?;
        Ok(FinishedRun { folder: experiment.folder().clone(), evaluation })
    };
    runs.into_iter().enumerate().map(finish).collect()
}

/// The folder for the common results of several runs: `<name>-<what>`.
///
/// # Errors
/// A run of that name, whose files would be overwritten.
pub(crate) fn common_folder(work: &Workspace, name: &str, what: &str) -> Result<RunFolder> {
    let folder = work.run(&format!("{name}-{what}"));
    ensure!(
        !folder.has(Artifact::Config),
        "{} is the folder of a run; it would be that of the common results of {name}: choose another name",
        folder.path().display()
    );
    Ok(folder)
}

/// Mean and standard deviation (of a sample, divided by n - 1); `None` for fewer than two values or an undefined one.
pub(crate) fn mean_and_deviation(values: impl Iterator<Item = Option<f64>>) -> Option<(f64, f64)> {
    let values: Vec<f64> = values.collect::<Option<_>>()?;
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() > 1).then(|| (mean, (squares / (count - 1.0)).sqrt()))
}

/// A measure without an interval: areas with three decimals, ratios in percent.
pub(crate) fn measured(measure: Measure, value: Option<f64>) -> String {
    match (measure, value) {
        (_, None) => "–".to_owned(),
        (Measure::RocAuc | Measure::PrAuc | Measure::Matthews, Some(value)) => format!("{value:.3}"),
        (_, Some(value)) => format!("{:.1} %", 100.0 * value),
    }
}

/// `72.4 % (SD 3.1 %)`.
pub(crate) fn spread(measure: Measure, values: impl Iterator<Item = Option<f64>>) -> String {
    match mean_and_deviation(values) {
        None => "–".to_owned(),
        Some((mean, deviation)) => {
            format!("{} (SD {})", measured(measure, Some(mean)), measured(measure, Some(deviation)))
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::data::audit::Audit;
    use crate::data::manifest::Manifest;
    use crate::data::phantom::{PhantomConfig, draw_phantom};
    use crate::nn::model::Architecture;
    use std::path::Path;

    /// An audited phantom of six covid and six other scans in a workspace under `home`.
    pub(crate) fn workspace(home: &Path) -> Workspace {
        let config = PhantomConfig::tiny();
        let root = home.join("phantom");
        draw_phantom(&root, &config, |_| ()).expect("draws");
        let work = Workspace::at(Some(home.to_owned()), Some(root.clone())).expect("opens");
        let manifest = Manifest::scan(&root, |_| ()).expect("scans");
        Audit::run(&manifest, |_| ()).expect("audits").write(work.manifest_folder()).expect("writes");
        work
    }

    /// Settings for a second.
    pub(crate) fn tiny() -> RunConfig {
        let slides = RunConfig::published(Architecture::Fcn).by_patient().small();
        let mut run = RunConfig { name: "fcn".to_owned(), device: "cpu".to_owned(), epochs: 1, ..slides };
        run.preprocess.size = 32;
        run
    }

    #[test]
    fn spread_by_hand() {
        let (mean, deviation) = mean_and_deviation([2.0, 4.0, 9.0].map(Some).into_iter()).expect("defined");
        // (9 + 1 + 16) / 2
        assert!(mean == 5.0 && (deviation - 13.0_f64.sqrt()).abs() < 1e-15);
        assert_eq!(mean_and_deviation([Some(1.0), None].into_iter()), None);
        assert_eq!(mean_and_deviation([Some(1.0)].into_iter()), None);
        assert_eq!(spread(Measure::RocAuc, [0.8, 0.9].map(Some).into_iter()), "0.850 (SD 0.071)");
        assert_eq!(spread(Measure::MacroF1, [0.8, 0.8].map(Some).into_iter()), "80.0 % (SD 0.0 %)");
    }
}
