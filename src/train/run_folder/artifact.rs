//! The files of a run: each name is stated once.

use crate::data::split::Subset;

/// A file in a run's folder; files that are written for each subset have it as a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Artifact {
    /// The run's settings.
    Config,
    /// The split, and the proof that its subsets share no patient.
    Split,
    /// The machines and versions it was trained with.
    Provenance,
    /// Locked by the process that trains.
    Lock,
    /// The checkpoint that a training resumes from: parameters, optimizer, position.
    LastCheckpoint,
    /// The head of the best epoch, while a frozen network trains.
    BestHead,
    /// The network of the best epoch on the validation set, by the run's selection.
    BestCheckpoint,
    /// Loss and accuracy of each epoch.
    History,
    /// The same as CSV.
    HistoryCsv,
    /// The same for TensorBoard.
    EventLog,
    /// The rule by which a scan is called covid.
    ScanRule,
    /// Confusion matrices, the network, hashes.
    Evaluation,
    /// Confidence intervals and calibration.
    Assessment,
    /// The network compared with shallow cues.
    CueComparison,
    /// Predictions of slices, as Parquet.
    Predictions(Subset),
    /// Predictions of slices, as CSV.
    PredictionsCsv(Subset),
    /// Run, weights, manifest and split of the predictions.
    PredictionsAbout(Subset),
    /// Predictions of scans, as CSV.
    Scans(Subset),
    /// Heat maps in figures: heat outside the lungs, sanity check, galleries.
    Explanations(Subset),
    /// A gallery of heat maps, counted from 1.
    Gallery(Subset, usize),
    /// The scan model: its figures, its scans, and what it was fitted on.
    ScanModel,
    /// The tensors of the scan model.
    ScanModelWeights,
    /// The grey levels of the training scans, for the out-of-distribution hint.
    GreyLevels,
    /// Predictions of unlabelled scans, with calibrated probabilities.
    Inference,
    /// One slice of each unlabelled scan with its heat map.
    HeatByScan,
    /// New scans, judged: a page to read.
    JudgedPage,
    /// External validation: figures with intervals and calibration on scans from elsewhere.
    External,
    /// The same as a page to read.
    ExternalPage,
    /// Figures over all folds of a cross-validation.
    CrossValidation,
    /// Several seeds, and their networks averaged.
    SeedAverage,
}

impl Artifact {
    /// The files that do not depend on a subset.
    pub const ONCE: [Self; 24] = [
        Self::Config,
        Self::Split,
        Self::Provenance,
        Self::Lock,
        Self::LastCheckpoint,
        Self::BestHead,
        Self::BestCheckpoint,
        Self::History,
        Self::HistoryCsv,
        Self::EventLog,
        Self::ScanRule,
        Self::Evaluation,
        Self::Assessment,
        Self::CueComparison,
        Self::ScanModel,
        Self::ScanModelWeights,
        Self::GreyLevels,
        Self::Inference,
        Self::HeatByScan,
        Self::JudgedPage,
        Self::External,
        Self::ExternalPage,
        Self::CrossValidation,
        Self::SeedAverage,
    ];

    /// The files of a subset, with its first four galleries.
    pub fn of_subset(subset: Subset) -> [Self; 9] {
        [
            Self::Predictions(subset),
            Self::PredictionsCsv(subset),
            Self::PredictionsAbout(subset),
            Self::Scans(subset),
            Self::Explanations(subset),
            Self::Gallery(subset, 1),
            Self::Gallery(subset, 2),
            Self::Gallery(subset, 3),
            Self::Gallery(subset, 4),
        ]
    }

    /// The file's name in the run's folder.
    pub fn file_name(self) -> String {
        match self {
            Self::Config => "config.json".to_owned(),
            Self::Split => "split.json".to_owned(),
            Self::Provenance => "provenance.json".to_owned(),
            Self::Lock => "lock".to_owned(),
            Self::LastCheckpoint => "last.safetensors".to_owned(),
            Self::BestHead => "best-head.safetensors".to_owned(),
            Self::BestCheckpoint => "best.safetensors".to_owned(),
            Self::History => "history.json".to_owned(),
            Self::HistoryCsv => "history.csv".to_owned(),
            // TensorBoard knows its files by the second part.
            Self::EventLog => "events.out.tfevents.covid-ct".to_owned(),
            Self::ScanRule => "scan-rule.json".to_owned(),
            Self::Evaluation => "evaluation.json".to_owned(),
            Self::Assessment => "assessment.json".to_owned(),
            Self::CueComparison => "shortcuts-comparison.json".to_owned(),
            Self::Predictions(subset) => format!("predictions-{subset}.parquet"),
            Self::PredictionsCsv(subset) => format!("predictions-{subset}.csv"),
            Self::PredictionsAbout(subset) => format!("predictions-{subset}.json"),
            Self::Scans(subset) => format!("scans-{subset}.csv"),
            Self::Explanations(subset) => format!("explanations-{subset}.json"),
            Self::Gallery(subset, number) => format!("heat-{subset}-{number}.svg"),
            Self::ScanModel => "scan-model.json".to_owned(),
            Self::ScanModelWeights => "scan-model.safetensors".to_owned(),
            Self::GreyLevels => "grey-levels.json".to_owned(),
            Self::Inference => "inference.json".to_owned(),
            Self::HeatByScan => "heat-by-scan.svg".to_owned(),
            Self::JudgedPage => "judged.html".to_owned(),
            Self::External => "external.json".to_owned(),
            Self::ExternalPage => "external.html".to_owned(),
            Self::CrossValidation => "cross-validation.json".to_owned(),
            Self::SeedAverage => "seed-average.json".to_owned(),
        }
    }

    /// What the file holds, for messages, and the command that writes it.
    pub(super) fn holds(self) -> (&'static str, &'static str) {
        match self {
            Self::Config => ("a run's settings", "train"),
            Self::Split => ("a split", "train"),
            Self::Provenance => ("the machines of a run", "train"),
            Self::Lock => ("a lock", "train"),
            Self::LastCheckpoint | Self::BestHead | Self::BestCheckpoint => ("a checkpoint", "train"),
            Self::History | Self::HistoryCsv | Self::EventLog => ("a training's history", "train"),
            Self::ScanRule => ("a scan rule", "evaluate"),
            Self::Evaluation => ("an evaluation of this version", "evaluate"),
            Self::Assessment => ("an assessment", "evaluate"),
            Self::CueComparison => ("a comparison of a run with shallow cues", "evaluate"),
            Self::Predictions(_) | Self::PredictionsCsv(_) => ("predictions", "evaluate"),
            Self::PredictionsAbout(_) => ("the origin of predictions", "evaluate"),
            Self::Scans(_) => ("predictions of scans", "evaluate"),
            Self::Explanations(_) | Self::Gallery(..) => ("explanations", "explain"),
            Self::ScanModel | Self::ScanModelWeights => ("a scan model", "scan-model"),
            Self::GreyLevels => ("the grey levels of training scans", "evaluate"),
            Self::Inference | Self::HeatByScan | Self::JudgedPage => ("predictions of unlabelled scans", "predict"),
            Self::External | Self::ExternalPage => ("an external validation", "validate PATH"),
            Self::CrossValidation => ("a cross-validation", "train --folds N"),
            Self::SeedAverage => ("the average of several seeds", "train --seeds N"),
        }
    }
}
