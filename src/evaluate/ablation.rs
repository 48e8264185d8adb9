//! Ablation: the same training with one part of its recipe left out.

use crate::base::errors::{Context, Result, ensure};
use crate::base::progress::human_seconds;
use crate::base::table::{Table, shown_as_table};
use crate::data::split::Subset;
use crate::data::workspace::Workspace;
use crate::evaluate::assessment::estimated;
use crate::evaluate::paired_runs::{PairedRun, PairedRuns};
use crate::evaluate::several_runs::finish_all;
use crate::stats::metrics::{Estimate, Measure};
use crate::train::config::RunConfig;
use crate::train::event::RunEvent;
use crate::train::run_folder::RunFolder;
use serde::Serialize;
use std::collections::BTreeSet;

/// One training of an [`Ablation`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AblationRow {
    /// What was left out, in words; of the first row that nothing was.
    pub left_out: String,
    /// Name of the run.
    pub run: String,
    /// ROC AUC of the validation scans, on which the epoch was chosen: optimistic.
    pub validation: Option<Estimate>,
    /// ROC AUC of the test scans; `None` without a test set.
    pub test: Option<Estimate>,
    /// Balanced accuracy of the test scans.
    pub balanced_accuracy: Option<Estimate>,
    /// Difference in the test scans' ROC AUC from the first row, on the same scans.
    pub difference: Option<Estimate>,
    /// Seconds of training.
    pub seconds: f64,
}

/// The same training with one part of its recipe left out in turn.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ablation {
    rows: Vec<AblationRow>,
}

impl Ablation {
    /// Trains and evaluates the runs, the first of them complete, the others each with what is left out in words. They are
    /// ordinary runs: finished ones are recognised, an interrupted one is resumed.
    ///
    /// # Errors
    /// Two runs of one name, or another split than the first run's.
    pub fn run(
        workspace: &Workspace,
        complete: &RunConfig,
        others: &[(&str, RunConfig)],
        report: impl Fn(&RunEvent) + Send + Sync + 'static,
    ) -> Result<Self> {
        let all = || std::iter::once(("nothing", complete)).chain(others.iter().map(|(what, run)| (*what, run)));
        let names: BTreeSet<&str> = all().map(|(_, run)| run.name.as_str()).collect();
        ensure!(
            names.len() == others.len() + 1,
            "comparing recipes: expected runs of different names, found {names:?}"
        );
        for (what, settings) in all() {
            ensure!(
                settings.split == complete.split,
                "comparing recipes: the run without {what} has another split than {}",
                complete.name
            );
        }
        let finished = finish_all(
            workspace,
            (&format!("{}-ablation", complete.name), true),
            all().map(|(_, run)| run.clone()).collect(),
            report,
        )?;
        let folders: Vec<RunFolder> = finished.into_iter().map(|run| run.folder).collect();
        let doing = || format!("comparing recipes with {}", complete.name);
        let pairs = match others.is_empty() {
            true => Vec::new(),
            false => PairedRuns::of(&folders, &workspace.audit()?.accepted()).with_context(doing)?.pairs,
        };
        let row = |((what, settings), folder): ((&str, &RunConfig), &RunFolder)| {
            let is_this = |pair: &&PairedRun| {
                (pair.run.as_str(), pair.baseline.as_str()) == (&settings.name, &complete.name)
                    && pair.subset == Subset::Test
            };
            AblationRow::of(folder, what, pairs.iter().find(is_this)).with_context(doing)
        };
        Ok(Self { rows: all().zip(&folders).map(row).collect::<Result<_>>()? })
    }

    /// One row for each training, the complete one first.
    pub fn rows(&self) -> &[AblationRow] {
        &self.rows
    }

    fn table(&self) -> Table {
        let columns = [
            "Left out",
            "Run",
            "Test scan AUC",
            "Minus the complete",
            "Test balanced accuracy",
            "Validation scan AUC",
            "Training",
        ];
        let mut table = Table::new("Ablation: what each part brings, by scan, 95 % interval and value", &columns);
        let shown = |estimate: &Option<Estimate>| estimate.as_ref().map_or("–".to_owned(), estimated);
        for row in &self.rows {
            table.row([
                row.left_out.clone(),
                row.run.clone(),
                shown(&row.test),
                shown(&row.difference),
                shown(&row.balanced_accuracy),
                shown(&row.validation),
                human_seconds(row.seconds),
            ]);
        }
        table.note(
            "The same split, patients and seed for all. Below 0: the part that was left out helps. Bootstrap over patients; if the \
             interval of a difference contains 0, the part may help or harm. Validation figures are optimistic: the epoch and \
             the threshold were chosen there.",
        )
    }
}

impl AblationRow {
    fn of(folder: &RunFolder, left_out: &str, pair: Option<&PairedRun>) -> Result<Self> {
        let assessment = folder.assessment()?;
        let of = |subset, measure| {
            let found = assessment.subsets.iter().find(|of| of.subset == subset);
            found.map(|of| *of.scans.get(measure))
        };
        Ok(Self {
            left_out: left_out.to_owned(),
            run: assessment.run.clone(),
            validation: of(Subset::Validation, Measure::RocAuc),
            test: of(Subset::Test, Measure::RocAuc),
            balanced_accuracy: of(Subset::Test, Measure::BalancedAccuracy),
            difference: pair.map(|pair| pair.difference(Measure::RocAuc)),
            seconds: folder.history()?.seconds(),
        })
    }
}

shown_as_table!(Ablation);
