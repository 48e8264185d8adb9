//! Comparison of runs with each other and with the slides' results.

use crate::base::errors::{Result, ensure};
use crate::base::figure::{Figure, lines};
use crate::base::progress::{human_seconds, thousands};
use crate::base::table::{Page, Table, percent, shown_by};
use crate::data::split::SplitUnit;
use crate::data::split::Subset;
use crate::evaluate::assessment::{Assessment, INTERVALS, estimated};
use crate::evaluate::evaluation::Evaluation;
use crate::evaluate::published::Published;
use crate::stats::figures::confusion;
use crate::stats::metrics::Measure;
use crate::train::history::History;
use crate::train::run_folder::RunFolder;
use serde::Serialize;

/// One row of the comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparisonRow {
    /// Name of the model or run.
    pub model: String,
    /// `patient`, `slice (leaks)`, or `patient (leaks)` where patients are shared all the same.
    pub split: String,
    /// The chosen epoch.
    pub epoch: usize,
    /// Of the validation and of the test scans.
    pub scans: [ScanFigures; 2],
    /// Accuracy over the slices of train, validation and test, 0 to 1.
    pub accuracy: [Option<f64>; 3],
    /// Parameters of the network, frozen ones too.
    pub parameters: Option<u64>,
    /// `imagenet`, a file, or `random`.
    pub weights: String,
    /// Seconds of training: all epochs, and the features of a frozen backbone.
    pub seconds: Option<f64>,
    /// Training slices of all epochs per second of `seconds`.
    pub images_per_second: Option<f64>,
    /// Test minus validation accuracy, -1 to 1: the effect of a leak, and the difference between the hospitals.
    pub gap: Option<f64>,
}

/// A subset's figures by scan, 0 to 1; `None` where undefined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct ScanFigures {
    /// Area under the ROC curve.
    pub auc: Option<f64>,
    /// Balanced accuracy.
    pub balanced_accuracy: Option<f64>,
    /// Macro-averaged F1.
    pub macro_f1: Option<f64>,
}

impl ScanFigures {
    fn of(assessment: &Assessment, subset: Subset) -> Self {
        let found = assessment.subsets.iter().find(|of| of.subset == subset);
        let value = |measure| found.and_then(|of| of.scans.get(measure).value);
        Self {
            auc: value(Measure::RocAuc),
            balanced_accuracy: value(Measure::BalancedAccuracy),
            macro_f1: value(Measure::MacroF1),
        }
    }

    fn cells(&self) -> [String; 3] {
        let auc = self.auc.map_or("–".to_owned(), |auc| format!("{auc:.3}"));
        [auc, percent(self.balanced_accuracy), percent(self.macro_f1)]
    }
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
    /// Compares evaluated runs.
    ///
    /// # Errors
    /// A run that was not evaluated, or runs on different data: both manifests are named.
    pub fn of(runs: &[RunFolder]) -> Result<Self> {
        ensure!(!runs.is_empty(), "comparing runs: none is evaluated; run `covid-ct train` and `covid-ct evaluate`");
        let (rows, histories, evaluations) = (Vec::new(), Vec::new(), Vec::new());
        let mut comparison = Self { rows, histories, evaluations, assessments: Vec::new(), notes: Vec::new() };
        for folder in runs {
            let (name, evaluation, history) = (folder.name(), folder.evaluation()?, folder.history()?);
            same_data(comparison.evaluations.first(), &evaluation)?;
            let assessment = folder.assessment()?;
            ensure!(
                assessment.weights == evaluation.weights,
                "comparing the run {name}: its assessment is of the weights {}, its evaluation of {}: run `covid-ct \
                 evaluate --name {name}` again",
                assessment.weights,
                evaluation.weights
            );
            let accuracy =
                [Subset::Train, Subset::Validation, Subset::Test].map(|subset| evaluation.slice_accuracy(subset));
            comparison.rows.push(ComparisonRow {
                model: format!("{} ({name})", evaluation.run.architecture),
                split: split_of(&evaluation),
                epoch: evaluation.best_epoch,
                scans: [Subset::Validation, Subset::Test].map(|subset| ScanFigures::of(&assessment, subset)),
                accuracy,
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
            comparison.assessments.push(assessment);
        }
        Ok(comparison)
    }

    /// Adds the slides' results as further rows.
    pub fn with_published(mut self, published: &Published) -> Self {
        for model in &published.models {
            self.rows.push(ComparisonRow {
                model: format!("{} (slides)", model.model),
                split: if published.leaking_split { "slice (leaks)" } else { "unknown" }.to_owned(),
                epoch: model.best_epoch,
                scans: [ScanFigures::default(); 2],
                accuracy: model.accuracy().map(Some),
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

    /// Validation accuracy by epoch, one line for each run; one figure for sound and one for leaking splits.
    pub fn figures(&self) -> Result<Vec<Figure>> {
        let curve = |h: &History| h.epochs.iter().map(|e| (e.epoch as f64, e.validation.accuracy)).collect();
        let of = |leaking: bool| -> Vec<(&Evaluation, &History)> {
            let runs = self.evaluations.iter().zip(&self.histories);
            runs.filter(|(evaluation, _)| evaluation.leaking == leaking).collect()
        };
        [("sound split", of(false)), ("leaking split", of(true))]
            .into_iter()
            .filter(|(_, runs)| !runs.is_empty())
            .map(|(how, runs)| {
                let name = |of: &Evaluation| format!("{}{}", of.run.name, of.leak_mark(Subset::Validation));
                let series: Vec<_> = runs.iter().map(|(of, history)| (name(of), curve(history))).collect();
                let (title, unit) = (format!("Validation accuracy, {how}"), "accuracy (share of slices)");
                lines(&title, "epoch", (unit, Some((0.0, 1.0))), &series, &validation_in_words(&runs))
            })
            .collect()
    }

    /// The confusion matrices of all runs side by side, over the slices of a subset.
    pub fn confusion_matrices(&self, subset: Subset) -> Result<Page> {
        let figure = |of: &Evaluation| {
            let title = format!("{}: {subset} slices{}", of.run.name, of.leak_mark(subset));
            confusion(&title, &of.subset(subset)?.slices)
        };
        Ok(Page::new().with_row(&self.evaluations.iter().map(figure).collect::<Result<Vec<_>>>()?))
    }

    /// Balanced accuracy and ROC AUC of every run with their 95 % confidence intervals over patients, before the value.
    pub fn intervals(&self) -> Table {
        let columns = [
            "Run",
            "Split",
            "Scans of",
            "ROC AUC by scan",
            "Balanced accuracy by scan",
            "Macro F1 by scan",
            "Balanced accuracy by slice",
        ];
        let mut table = Table::new("Uncertainty of the figures: 95 % confidence intervals, and values", &columns);
        for (run, evaluation) in self.assessments.iter().zip(&self.evaluations) {
            for of in &run.subsets {
                table.row([
                    run.run.clone(),
                    split_of(evaluation),
                    format!("{}{}", of.subset, evaluation.leak_mark(of.subset)),
                    estimated(of.scans.get(Measure::RocAuc)),
                    estimated(of.scans.get(Measure::BalancedAccuracy)),
                    estimated(of.scans.get(Measure::MacroF1)),
                    estimated(of.slices.get(Measure::BalancedAccuracy)),
                ]);
            }
        }
        table.note(format!(
            "Intervals: {INTERVALS}. Epoch and scan threshold are chosen on the validation set, so its figures are \
             optimistic; the test figures are not. If two intervals overlap widely, these scans do not show which run \
             is better."
        ))
    }

    /// Figures of the scans, then the slides' table (Model, Epoch, Train, Val and Test accuracy of slices), with the split, and
    /// test minus validation accuracy.
    pub fn table(&self) -> Table {
        let columns = [
            "Model",
            "Split",
            "Epoch",
            "Test scan AUC",
            "balanced",
            "macro F1",
            "Val scan AUC",
            "balanced",
            "macro F1",
            "Train Accuracy",
            "Val Accuracy",
            "Test Accuracy",
            "Test − Val (points)",
        ];
        let mut table = Table::new("Comparison between architectures", &columns);
        for row in &self.rows {
            let first = [row.model.clone(), row.split.clone(), row.epoch.to_string()];
            let [validation, test] = row.scans.map(|of| of.cells());
            let slices = [
                percent(row.accuracy[0]),
                percent(row.accuracy[1]),
                percent(row.accuracy[2]),
                row.gap.map_or("–".to_owned(), |gap| format!("{:+.1}", 100.0 * gap)),
            ];
            table.row(first.into_iter().chain(test).chain(validation).chain(slices));
        }
        let note = "AUC, balanced accuracy and macro F1 are of scans, the accuracies of slices. Under a slice split the test set has slices of training scans: its accuracy rewards memorising \
                    them. Under a patient split it estimates the accuracy on new patients.";
        self.notes.iter().fold(table.note(note), |table, note| table.note(note.clone()))
    }

    /// What each training began with and took.
    pub fn trainings(&self) -> Table {
        let columns = ["Model", "Initial weights", "Parameters", "Time", "Images/s"];
        let mut table = Table::new("Trainings", &columns);
        for row in self.rows.iter().filter(|row| row.seconds.is_some()) {
            table.row([
                row.model.clone(),
                row.weights.clone(),
                row.parameters.map_or("–".to_owned(), thousands),
                row.seconds.map_or("–".to_owned(), human_seconds),
                row.images_per_second.map_or("–".to_owned(), |rate| thousands(rate.round() as u64)),
            ]);
        }
        table
    }

    fn page(&self) -> Page {
        Page::new().with(&self.table()).with(&self.trainings())
    }
}

shown_by!(page, Comparison);

/// `patient`, `slice (leaks)` or `patient (leaks)`.
fn split_of(evaluation: &Evaluation) -> String {
    let unit = match evaluation.run.split.unit {
        SplitUnit::Patient => "patient",
        SplitUnit::Slice => "slice",
    };
    format!("{unit}{}", if evaluation.leaking { " (leaks)" } else { "" })
}

/// Checks that two evaluations are of the same data.
fn same_data(first: Option<&Evaluation>, other: &Evaluation) -> Result<()> {
    let Some(first) = first else { return Ok(()) };
    ensure!(
        first.manifest == other.manifest,
        "comparing runs: {} was evaluated on the manifest {} ({}), {} on {} ({}): compare runs on the same data, or \
         run `covid-ct train` and `covid-ct evaluate` for one of them on the other's",
        first.run.name,
        first.manifest,
        first.data,
        other.run.name,
        other.manifest,
        other.data
    );
    Ok(())
}

/// Whether the splits share validation scans or patients with training, in words.
fn validation_in_words(runs: &[(&Evaluation, &History)]) -> String {
    let leaks = |of: &Evaluation| of.leaks.contains(&Subset::Validation);
    let leaking: Vec<&str> = runs.iter().filter(|of| leaks(of.0)).map(|of| of.0.run.name.as_str()).collect();
    match leaking.len() {
        0 => "No scan or known patient of the validation set is in training.".to_owned(),
        _ => format!("LEAKING: validation shares scans or patients with training in {}.", leaking.join(", ")),
    }
}
