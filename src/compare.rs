//! Runs beside each other, and beside what the slides published.

use crate::evaluation::Evaluation;
use crate::figure::{Figure, lines};
use crate::files::read_json;
use crate::history::History;
use crate::progress::{human_duration, thousands};
use crate::split::Subset;
use crate::table::{Table, percent, shown_as_table};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

/// The slides' results: `data_manifest/published-results.json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Where the figures come from.
    pub source: String,
    /// Whether their test set is a slice-level split.
    pub leaking_split: bool,
    /// What that means.
    pub note: String,
    /// The networks.
    pub models: Vec<PublishedModel>,
}

/// One network of the slides.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedModel {
    /// Its name there.
    pub model: String,
    /// Its name here.
    pub key: String,
    /// The epoch with the highest validation accuracy.
    pub best_epoch: usize,
    epochs: Vec<PublishedEpoch>,
    /// Classification reports by subset, as printed; for reading, not for computing.
    #[allow(dead_code)]
    reports: serde_json::Value,
    comparison: PublishedAccuracy,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct PublishedEpoch {
    epoch: usize,
    training_loss: f64,
    training_accuracy: f64,
    validation_loss: f64,
    validation_accuracy: f64,
    test_loss: f64,
    test_accuracy: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishedAccuracy {
    train_accuracy: f64,
    validation_accuracy: f64,
    test_accuracy: f64,
}

impl Published {
    /// The slides' results, as they ship with the library.
    pub fn slides() -> Result<Self> {
        let text = include_str!("../data_manifest/published-results.json");
        serde_json::from_str(text).context("reading the published results that ship with the library")
    }

    /// Reads the published results.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        read_json(path.as_ref(), "published results")
    }
}

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
    /// Seconds of learning, all epochs.
    pub seconds: Option<f64>,
    /// Test minus validation accuracy: what the leak adds, and the difference between the hospitals.
    pub gap: Option<f64>,
}

/// The slides' comparison of architectures, over runs and published results.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    rows: Vec<ComparisonRow>,
    histories: Vec<History>,
    notes: Vec<String>,
}

impl Comparison {
    /// Compares the evaluated runs of these names.
    pub fn of(runs: impl AsRef<Path>, names: &[&str]) -> Result<Self> {
        ensure!(!names.is_empty(), "comparing runs: expected the name of at least one");
        let mut comparison = Self { rows: Vec::new(), histories: Vec::new(), notes: Vec::new() };
        for name in names {
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
                seconds: Some(history.epochs.iter().map(|e| e.seconds).sum()),
                gap: accuracy[2].zip(accuracy[1]).map(|(test, validation)| test - validation),
            });
            comparison.histories.push(history);
        }
        Ok(comparison)
    }

    /// Adds the slides' figures below.
    pub fn with_published(mut self, published: &Published) -> Self {
        for model in &published.models {
            let PublishedAccuracy { train_accuracy, validation_accuracy, test_accuracy } = model.comparison;
            self.rows.push(ComparisonRow {
                model: format!("{} (slides)", model.model),
                split: if published.leaking_split { "slice (leaks)" } else { "unknown" }.to_owned(),
                epoch: model.best_epoch,
                accuracy: [Some(train_accuracy), Some(validation_accuracy), Some(test_accuracy)],
                validation_by_scan: None,
                parameters: None,
                seconds: None,
                gap: Some(test_accuracy - validation_accuracy),
            });
        }
        self.notes.push(format!("Published figures: {}. {}", published.source, published.note));
        self
    }

    /// The rows.
    pub fn rows(&self) -> &[ComparisonRow] {
        &self.rows
    }

    /// Validation accuracy by epoch, one line a run.
    pub fn figure(&self) -> Result<Figure> {
        let curve = |h: &History| h.epochs.iter().map(|e| (e.epoch as f64, e.validation.accuracy)).collect();
        let series: Vec<(String, Vec<(f64, f64)>)> =
            self.histories.iter().map(|h| (h.run.name.clone(), curve(h))).collect();
        lines(
            "Validation accuracy",
            "epoch",
            "accuracy (share of slices)",
            &series,
            "Validation scans are never in training.",
        )
    }

    /// The slides' table (Model, Epoch, Train, Val and Test accuracy), with the split and what the leak adds.
    pub fn table(&self) -> Table {
        let columns = [
            "Model",
            "Split",
            "Epoch",
            "Train Accuracy",
            "Val Accuracy",
            "Test Accuracy",
            "Test − Val",
            "Val by scan (balanced)",
            "Parameters",
            "Time",
        ];
        let mut table = Table::new("Comparison between architectures", &columns);
        for row in &self.rows {
            table.row([
                row.model.clone(),
                row.split.clone(),
                row.epoch.to_string(),
                percent(row.accuracy[0]),
                percent(row.accuracy[1]),
                percent(row.accuracy[2]),
                row.gap.map_or("–".to_owned(), |gap| format!("{:+.1} points", 100.0 * gap)),
                percent(row.validation_by_scan),
                row.parameters.map_or("–".to_owned(), thousands),
                row.seconds.map_or("–".to_owned(), |s| human_duration(Duration::from_secs_f64(s))),
            ]);
        }
        let note = "Under a slice split the test set holds slices of scans that were learned from: its accuracy says \
                    what is remembered. Under a patient split it says what a new patient can expect.";
        self.notes.iter().fold(table.note(note), |table, note| table.note(note.clone()))
    }
}

shown_as_table!(Comparison);
