//! Runs beside each other, and beside what the slides published.

use crate::assess::{Assessment, estimated};
use crate::evaluation::Evaluation;
use crate::figure::{Figure, confusion, lines};
use crate::history::History;
use crate::metrics::Measure;
use crate::progress::{human_duration, thousands};
use crate::published::Published;
use crate::split::Subset;
use crate::table::{Page, Table, percent, shown_as_table};
use anyhow::{Result, ensure};
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

/// One line of the comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparisonRow {
    /// Name of the model or run.
    pub model: String,
    /// `slice (leaks)` or `patient`.
    pub split: String,
    /// The chosen epoch.
    pub epoch: usize,
    /// Accuracy over the slices of train, validation and test.
    pub accuracy: [Option<f64>; 3],
    /// Balanced accuracy over the validation scans.
    pub validation_by_scan: Option<f64>,
    /// Trainable parameters.
    pub parameters: Option<u64>,
    /// `imagenet`, a file, or `random`.
    pub weights: String,
    /// Seconds of learning: all epochs, and the features of a frozen backbone.
    pub seconds: Option<f64>,
    /// Slices learned from per second, all epochs; the features of a frozen backbone are in the time.
    pub images_per_second: Option<f64>,
    /// Test minus validation accuracy: what the leak adds, and the difference between the hospitals.
    pub gap: Option<f64>,
}

/// The slides' comparison of architectures, over runs and published results.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    rows: Vec<ComparisonRow>,
    histories: Vec<History>,
    evaluations: Vec<Evaluation>,
    assessments: Vec<Assessment>,
    notes: Vec<String>,
}

impl Comparison {
    /// Compares the evaluated runs of these names.
    pub fn of(runs: impl AsRef<Path>, names: &[impl AsRef<str>]) -> Result<Self> {
        ensure!(!names.is_empty(), "comparing runs: expected the name of at least one");
        let (rows, histories, evaluations) = (Vec::new(), Vec::new(), Vec::new());
        let mut comparison = Self { rows, histories, evaluations, assessments: Vec::new(), notes: Vec::new() };
        for name in names.iter().map(AsRef::as_ref) {
            let folder = runs.as_ref().join(name);
            let (evaluation, history) = (Evaluation::read(&folder)?, History::read(&folder)?);
            let accuracy =
                [Subset::Train, Subset::Validation, Subset::Test].map(|subset| evaluation.slice_accuracy(subset));
            let by_scan = evaluation.subset(Subset::Validation).ok().and_then(|s| s.scans.balanced_accuracy());
            comparison.rows.push(ComparisonRow {
                model: format!("{} ({name})", evaluation.run.architecture),
                split: if evaluation.leaking { "slice (leaks)" } else { "patient" }.to_owned(),
                epoch: evaluation.best_epoch,
                accuracy,
                validation_by_scan: by_scan,
                parameters: Some(evaluation.parameters),
                weights: match &evaluation.run.pretrained {
                    Some(source) => source.clone(),
                    None => "random".to_owned(),
                },
                images_per_second: history.images_per_second(),
                seconds: Some(history.seconds()),
                gap: accuracy[2].zip(accuracy[1]).map(|(test, validation)| test - validation),
            });
            comparison.histories.push(history);
            comparison.evaluations.push(evaluation);
            comparison.assessments.push(Assessment::read(&folder)?);
        }
        Ok(comparison)
    }

    /// Adds the slides' figures below.
    pub fn with_published(mut self, published: &Published) -> Self {
        for model in &published.models {
            self.rows.push(ComparisonRow {
                model: format!("{} (slides)", model.model),
                split: if published.leaking_split { "slice (leaks)" } else { "unknown" }.to_owned(),
                epoch: model.best_epoch,
                accuracy: model.accuracy().map(Some),
                validation_by_scan: None,
                parameters: None,
                weights: if model.key == "fcn" { "random" } else { "imagenet" }.to_owned(),
                seconds: None,
                images_per_second: None,
                gap: Some(model.accuracy()[2] - model.accuracy()[1]),
            });
        }
        self.notes.push(format!("Published figures: {}. {}", published.source, published.note));
        self
    }

    /// The rows.
    pub fn rows(&self) -> &[ComparisonRow] {
        &self.rows
    }

    /// Validation accuracy by epoch, one line a run; runs split by patient and by slice in figures of their own.
    pub fn figures(&self) -> Result<Vec<Figure>> {
        let curve = |h: &History| h.epochs.iter().map(|e| (e.epoch as f64, e.validation.accuracy)).collect();
        let of = |leaking: bool| -> Vec<(String, Vec<(f64, f64)>)> {
            let runs = self.histories.iter().filter(|h| h.leaking == leaking);
            runs.map(|h| (h.run.name.clone(), curve(h))).collect()
        };
        [("trained by patient", of(false)), ("trained on a slice split", of(true))]
            .into_iter()
            .filter(|(_, series)| !series.is_empty())
            .map(|(how, series)| {
                let (title, unit) = (format!("Validation accuracy, {how}"), "accuracy (share of slices)");
                lines(&title, "epoch", unit, &series, "Validation scans are never in training.")
            })
            .collect()
    }

    /// The confusion matrices of all runs side by side, over the slices of a subset.
    pub fn confusion_matrices(&self, subset: Subset) -> Result<Page> {
        let figure = |of: &Evaluation| {
            let title = format!("{}: {subset} slices{}", of.run.name, subset.leak_mark(of.leaking));
            confusion(&title, &of.subset(subset)?.slices)
        };
        Ok(Page::new().with_row(&self.evaluations.iter().map(figure).collect::<Result<Vec<_>>>()?))
    }

    /// Balanced accuracy and ROC AUC of every run with their 95 % intervals over patients, the interval first.
    pub fn intervals(&self) -> Table {
        let columns =
            ["Run", "Split", "Scans of", "Balanced accuracy by slice", "Balanced accuracy by scan", "ROC AUC by scan"];
        let mut table = Table::new("How sure the figures are: 95 % intervals, and values", &columns);
        for run in &self.assessments {
            for of in &run.subsets {
                table.row([
                    run.run.clone(),
                    if run.leaking { "slice (leaks)" } else { "patient" }.to_owned(),
                    format!("{}{}", of.subset, of.subset.leak_mark(run.leaking)),
                    estimated(of.slices.get(Measure::BalancedAccuracy)),
                    estimated(of.scans.get(Measure::BalancedAccuracy)),
                    estimated(of.scans.get(Measure::RocAuc)),
                ]);
            }
        }
        table.note(
            "Bootstrap over patients. Where two intervals overlap widely, these scans do not tell the runs apart.",
        )
    }

    /// The slides' table (Model, Epoch, Train, Val and Test accuracy), with the split and what the leak adds.
    pub fn table(&self) -> Table {
        let columns = [
            "Model",
            "Weights",
            "Split",
            "Epoch",
            "Train Accuracy",
            "Val Accuracy",
            "Test Accuracy",
            "Test − Val (points)",
            "Val by scan (balanced)",
            "Parameters",
            "Time",
            "Images/s",
        ];
        let mut table = Table::new("Comparison between architectures", &columns);
        for row in &self.rows {
            table.row([
                row.model.clone(),
                row.weights.clone(),
                row.split.clone(),
                row.epoch.to_string(),
                percent(row.accuracy[0]),
                percent(row.accuracy[1]),
                percent(row.accuracy[2]),
                row.gap.map_or("–".to_owned(), |gap| format!("{:+.1}", 100.0 * gap)),
                percent(row.validation_by_scan),
                row.parameters.map_or("–".to_owned(), thousands),
                row.seconds.map_or("–".to_owned(), |s| human_duration(Duration::from_secs_f64(s))),
                row.images_per_second.map_or("–".to_owned(), |rate| thousands(rate.round() as u64)),
            ]);
        }
        let note = "Under a slice split the test set holds slices of scans that were learned from: its accuracy says \
                    what is remembered. Under a patient split it says what a new patient can expect.";
        self.notes.iter().fold(table.note(note), |table, note| table.note(note.clone()))
    }
}

shown_as_table!(Comparison);
