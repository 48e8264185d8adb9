//! The contents of a run's folder; a part that does not belong to the run's evaluation is left out.

use super::RunLine;
use crate::base::errors::{Result, ensure};
use crate::base::escape::shell_word;
use crate::base::files::Digest;
use crate::base::table::Table;
use crate::data::manifest::Manifest;
use crate::data::split::{Split, Subset};
use crate::evaluate::assessment::{Assessed, Assessment, estimated};
use crate::evaluate::evaluation::Evaluation;
use crate::evaluate::explain::{Explanations, Gallery, GalleryKind};
use crate::evaluate::external::ExternalValidation;
use crate::evaluate::inference::Inference;
use crate::evaluate::predict::{About, Predictions};
use crate::evaluate::scan_model::ScanModel;
use crate::evaluate::shortcuts::CueComparison;
use crate::stats::metrics::Measure;
use crate::train::checkpoint::CheckpointInfo;
use crate::train::config::RunConfig;
use crate::train::history::History;
use crate::train::provenance::Provenance;
use crate::train::run_folder::{Artifact, RunFolder};
use serde::Serialize;

/// A part that is not shown, because it belongs to other data, another split or other weights.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Omission {
    pub(super) what: String,
    pub(super) why: String,
    /// The command that writes it again.
    pub(super) repeat: String,
}

/// One row for each part that was left out.
pub(super) fn left_out_table(left_out: &[Omission]) -> Table {
    let mut table = Table::new("Left out or replaced", &["What", "Why", "To have it"]);
    for of in left_out {
        table.row([of.what.clone(), of.why.clone(), of.repeat.clone()]);
    }
    table.note(
        "Only parts that were made from the same manifest, split and weights, compared by their hashes, are shown together.",
    )
}

/// The parts of a run that belong together.
pub(super) struct Run {
    pub(super) folder: RunFolder,
    pub(super) name: String,
    pub(super) evaluation: Evaluation,
    pub(super) assessment: Option<Assessment>,
    pub(super) cues: Option<CueComparison>,
    pub(super) history: Option<History>,
    pub(super) scan_model: Option<ScanModel>,
    pub(super) split: Option<Split>,
    /// Where the training began, and where it was resumed; empty where that was not recorded.
    pub(super) provenance: Vec<Provenance>,
    pub(super) explanations: Vec<Explanations>,
    pub(super) unlabelled: Option<Predictions>,
    pub(super) inference: Option<Inference>,
    /// On scans from elsewhere.
    pub(super) external: Vec<ExternalValidation>,
}

impl Run {
    /// Reads a run; what does not belong to its evaluation goes to `left_out`.
    ///
    /// # Errors
    /// No evaluation, one of other data than `accepted`, or one of other weights than the checkpoint in the folder.
    pub(super) fn read(folder: &RunFolder, accepted: &Manifest, left_out: &mut Vec<Omission>) -> Result<Self> {
        let evaluation = folder.evaluation()?;
        let found = accepted.hash();
        ensure!(
            evaluation.manifest == found,
            "its evaluation is of the manifest {} ({}), the audit's accepted slices are {found} ({})",
            evaluation.manifest,
            evaluation.data,
            accepted.name
        );
        belongs_to_checkpoint(folder, &evaluation, left_out)?;
        let external = external_of(folder, &evaluation, left_out);
        let mut parts = RunReader { folder, evaluation: &evaluation, left_out };
        let explained = [Subset::Validation, Subset::Test, Subset::Prediction];
        let of_predictions = |of: Compared<'_, Predictions>| same(&of.0.about, of.1);
        let of_inference = |of: Compared<'_, Inference>| same(&of.0.about, of.1);
        let unlabelled = Artifact::PredictionsAbout(Subset::Prediction);
        // Not shown itself: the evaluation holds the settings that count.
        parts.part(Artifact::Config, "train", RunFolder::config, same_settings);
        Ok(Self {
            folder: folder.clone(),
            name: folder.name(),
            assessment: parts.part(Artifact::Assessment, "evaluate", RunFolder::assessment, same_weights),
            cues: parts.part(Artifact::CueComparison, "evaluate", RunFolder::cue_comparison, |of| {
                same_hash("weights", of.0.weights, of.1.weights)
            }),
            history: parts.part(Artifact::History, "train", RunFolder::history, same_training),
            scan_model: parts.part_if_there(Artifact::ScanModel, "scan-model", RunFolder::scan_model, |of| {
                same_hash("weights", of.0.results().weights, of.1.weights)
            }),
            provenance: parts
                .part_if_there(Artifact::Provenance, "train", RunFolder::provenance, |_| Ok(()))
                .unwrap_or_default(),
            explanations: explained.into_iter().filter_map(|subset| parts.explanations(subset)).collect(),
            unlabelled: parts.part_if_there(
                unlabelled,
                "predict",
                |of| of.predictions(Subset::Prediction),
                of_predictions,
            ),
            inference: parts.part_if_there(Artifact::Inference, "predict", RunFolder::inference, of_inference),
            split: split_of(folder, accepted, &evaluation, left_out),
            external,
            evaluation,
        })
    }

    /// What is said of it while its part of the report is folded.
    pub(super) fn line(&self) -> RunLine {
        let of = &self.evaluation;
        let split = if self.leaks() {
            "LEAKING SPLIT: its test figures do not hold for new patients"
        } else {
            "split by patient"
        };
        let tested = self.assessed(Subset::Test).filter(|_| !self.leaks());
        let area = tested.map(|of| format!(", test scan AUC {}", estimated(of.scans.get(Measure::RocAuc))));
        let line = format!("{}, {split}{}", of.run.architecture, area.unwrap_or_default());
        RunLine { name: self.name.clone(), line, leaking: self.leaks() }
    }

    /// How it does on a subset, with intervals, if that was assessed.
    pub(super) fn assessed(&self, subset: Subset) -> Option<&Assessed> {
        self.assessment.as_ref()?.subset(subset)
    }

    /// Whether any of its figures is of patients that were learned from.
    pub(super) fn leaks(&self) -> bool {
        self.evaluation.leaking || !self.evaluation.leaks.is_empty()
    }

    /// One scan that was called right and one that was called wrong, of the test set.
    pub(super) fn examples(&self) -> impl Iterator<Item = &Gallery> {
        let of_test = self.explanations.iter().filter(|of| of.about.subset == Subset::Test);
        of_test.flat_map(|of| &of.galleries).filter(|of| of.kind == GalleryKind::Examples)
    }

    /// Whether it can take part in the comparison of all runs.
    pub(super) fn is_whole(&self) -> bool {
        self.assessment.is_some() && self.history.is_some()
    }
}

/// The external validations of the evaluated weights.
fn external_of(folder: &RunFolder, evaluation: &Evaluation, left_out: &mut Vec<Omission>) -> Vec<ExternalValidation> {
    let mut omit = |what: String, why: String| {
        let repeat = format!("covid-ct validate PATH --name {}", shell_word(folder.name()));
        left_out.push(Omission { what, why, repeat });
    };
    match folder.external_validations(evaluation.weights) {
        Ok((present, others)) => {
            for data in others {
                omit(format!("{}'s external validation on {data}", folder.name()), "it is of other weights".to_owned());
            }
            present
        }
        Err(error) => {
            omit(format!("{}'s external validations", folder.name()), format!("{error:#}"));
            Vec::new()
        }
    }
}

/// A part and the evaluation it has to belong to.
type Compared<'a, T> = (&'a T, &'a Evaluation);

/// Reads the parts of a run's folder.
struct RunReader<'a> {
    folder: &'a RunFolder,
    evaluation: &'a Evaluation,
    left_out: &'a mut Vec<Omission>,
}

impl RunReader<'_> {
    /// Reads a part and compares it with the evaluation. `None` where it cannot be read or does not belong to the
    /// evaluation; the reason is added to `left_out`.
    fn part<T>(
        &mut self,
        artifact: Artifact,
        stage: &str,
        read: impl Fn(&RunFolder) -> Result<T>,
        check: impl Fn(Compared<'_, T>) -> Result<()>,
    ) -> Option<T> {
        let part = read(self.folder).and_then(|part| check((&part, self.evaluation)).map(|()| part));
        if let Err(error) = &part {
            self.leave_out(artifact, stage, error);
        }
        part.ok()
    }

    fn leave_out(&mut self, artifact: Artifact, stage: &str, error: &crate::base::errors::Error) {
        let name = self.folder.name();
        self.left_out.push(Omission {
            what: format!("{} of {name}", artifact.file_name()),
            why: format!("{error:#}"),
            repeat: format!("covid-ct {stage} --name {name}"),
        });
    }

    /// Like [`part`](Self::part), for a part that a run need not have.
    fn part_if_there<T>(
        &mut self,
        artifact: Artifact,
        stage: &str,
        read: impl Fn(&RunFolder) -> Result<T>,
        check: impl Fn(Compared<'_, T>) -> Result<()>,
    ) -> Option<T> {
        self.folder.has(artifact).then(|| self.part(artifact, stage, read, check)).flatten()
    }

    fn explanations(&mut self, subset: Subset) -> Option<Explanations> {
        let stage = format!("explain --subset {subset}");
        let of = |of: Compared<'_, Explanations>| same(&of.0.about, of.1);
        self.part_if_there(Artifact::Explanations(subset), &stage, |folder| folder.explanations(subset), of)
    }
}

fn same_weights((assessment, evaluation): Compared<'_, Assessment>) -> Result<()> {
    same_hash("weights", assessment.weights, evaluation.weights)
}

fn same_hash(noun: &str, found: Digest, expected: Digest) -> Result<()> {
    ensure!(found == expected, "it is of the {noun} {found}, the evaluation of {expected}");
    Ok(())
}

fn same_settings((run, evaluation): Compared<'_, RunConfig>) -> Result<()> {
    ensure!(run.decisive() == evaluation.run.decisive(), "its settings are not those of the evaluated checkpoint");
    Ok(())
}

fn same_training((history, evaluation): Compared<'_, History>) -> Result<()> {
    ensure!(
        history.run.decisive() == evaluation.run.decisive(),
        "it is of a training with other settings than those of the evaluated checkpoint"
    );
    let (found, expected) = (history.best().map_or(0, |best| best.epoch), evaluation.best_epoch);
    ensure!(found == expected, "its best epoch is {found}, the evaluated checkpoint is that of epoch {expected}");
    Ok(())
}

fn same(about: &About, evaluation: &Evaluation) -> Result<()> {
    for (noun, found, expected) in [
        ("weights", about.weights, evaluation.weights),
        ("manifest", about.manifest, evaluation.manifest),
        ("split", about.split, evaluation.split),
    ] {
        ensure!(found == expected, "it comes from the {noun} {found}, the evaluation from {expected}");
    }
    Ok(())
}

/// Compares the evaluation with the checkpoint in the folder.
fn belongs_to_checkpoint(folder: &RunFolder, evaluation: &Evaluation, left_out: &mut Vec<Omission>) -> Result<()> {
    let path = folder.path_of(Artifact::BestCheckpoint);
    if !path.is_file() {
        left_out.push(Omission {
            what: format!("{} of {}", Artifact::BestCheckpoint.file_name(), folder.name()),
            why: format!("it is not there: that it hashes to {} cannot be checked", evaluation.weights),
            repeat: format!("covid-ct train --config {}", shell_word(folder.path_of(Artifact::Config))),
        });
        return Ok(());
    }
    let info = CheckpointInfo::read(&path)?;
    for (noun, found, expected) in [
        ("weights", Digest::of_file(&path)?, evaluation.weights),
        ("manifest", info.manifest, evaluation.manifest),
        ("split", info.split, evaluation.split),
    ] {
        ensure!(found == expected, "the {noun} of {} are {found}, evaluation.json is of {expected}", path.display());
    }
    Ok(())
}

/// The proof of the split that the run was trained with, from the run's own folder.
fn split_of(
    folder: &RunFolder,
    accepted: &Manifest,
    evaluation: &Evaluation,
    left_out: &mut Vec<Omission>,
) -> Option<Split> {
    let why = match folder.split(accepted) {
        Ok(split) if split.hash() == evaluation.split => return Some(split),
        Ok(split) => {
            let (there, trained) = (split.hash(), evaluation.split);
            format!("it holds the split {there}, the run was trained with {trained}")
        }
        Err(error) => format!("{error:#}"),
    };
    let file = Artifact::Split.file_name();
    let train = format!("covid-ct train --config {}", shell_word(folder.path_of(Artifact::Config)));
    let repeat = if folder.has(Artifact::Split) { format!("delete the file, then {train}") } else { train };
    left_out.push(Omission {
        what: format!("{file} of {}", folder.name()),
        why: format!("{why}; no proof of the run's split is shown"),
        repeat,
    });
    None
}
