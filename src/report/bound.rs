//! What a run's folder holds, each part only where it belongs to the others.

use crate::assess::Assessment;
use crate::checkpoint::CheckpointInfo;
use crate::evaluation::Evaluation;
use crate::explain::Explanations;
use crate::files::Digest;
use crate::history::History;
use crate::inference::Inference;
use crate::manifest::Manifest;
use crate::predict::{About, Predictions};
use crate::provenance::Provenance;
use crate::split::{Split, Subset};
use crate::table::{Table, escape};
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::path::Path;

/// Something that is there and is not shown, for it belongs to other data, another split or other weights.
#[derive(Debug, Clone, Serialize)]
pub(super) struct LeftOut {
    pub(super) what: String,
    pub(super) why: String,
    /// The command that makes it anew.
    pub(super) repeat: String,
}

/// All that was left out.
pub(super) fn left_out_table(left_out: &[LeftOut]) -> Table {
    let mut table = Table::new("Left out or replaced", &["What", "Why", "To have it"]);
    for of in left_out {
        table.row([of.what.clone(), of.why.clone(), of.repeat.clone()]);
    }
    table.note(
        "Nothing is shown beside what it was not made from: manifest, split and weights are compared by their hashes.",
    )
}

/// Everything of a run that belongs together.
pub(super) struct Run {
    pub(super) name: String,
    pub(super) evaluation: Evaluation,
    pub(super) assessment: Option<Assessment>,
    pub(super) history: Option<History>,
    pub(super) split: Option<Split>,
    /// Where the training began, and where it went on; empty where that was not recorded.
    pub(super) provenance: Vec<Provenance>,
    pub(super) explanations: Vec<Explanations>,
    pub(super) unlabelled: Option<Predictions>,
    pub(super) inference: Option<Inference>,
}

impl Run {
    /// Reads a run; what does not belong to its evaluation goes to `left_out`.
    ///
    /// # Errors
    /// No evaluation, one of other data than `accepted`, or one of other weights than the checkpoint beside it.
    pub(super) fn read(
        workspace: &Workspace,
        accepted: &Manifest,
        name: &str,
        left_out: &mut Vec<LeftOut>,
    ) -> Result<Self> {
        let folder = workspace.run_folder(name);
        let evaluation = Evaluation::read(&folder)?;
        let found = accepted.hash();
        ensure!(
            evaluation.manifest == found,
            "its evaluation is of the manifest {} ({}), the audit's accepted slices are {found} ({})",
            evaluation.manifest,
            evaluation.data,
            accepted.name
        );
        belongs_to_checkpoint(&folder, &evaluation, left_out)?;
        let mut parts = Parts { folder: &folder, evaluation: &evaluation, left_out };
        let explained = [Subset::Validation, Subset::Test, Subset::Prediction];
        let provenance = parts.part("provenance.json", "train", true, |at| Provenance::read(at), |_| Ok(()));
        Ok(Self {
            name: name.to_owned(),
            assessment: parts.part("assessment.json", "evaluate", false, |at| Assessment::read(at), same_weights),
            history: parts.part("history.json", "train", false, |at| History::read(at), same_training),
            provenance: provenance.unwrap_or_default(),
            explanations: explained.into_iter().filter_map(|subset| parts.explanations(subset)).collect(),
            unlabelled: parts.unlabelled(),
            inference: parts.part(
                "inference.json",
                "predict",
                true,
                |at| Inference::read(at),
                |e| same(&e.0.about, e.1),
            ),
            split: split_of(workspace, accepted, &evaluation, left_out),
            evaluation,
        })
    }

    pub(super) fn heading(&self) -> String {
        let leaks = if self.evaluation.leaking { " (LEAKING SPLIT)" } else { "" };
        format!("<h3>{}{leaks}</h3>", escape(&self.name))
    }

    /// Whether it can stand in the comparison of all runs.
    pub(super) fn is_whole(&self) -> bool {
        self.assessment.is_some() && self.history.is_some()
    }
}

/// A part and the evaluation it has to belong to.
type Beside<'a, T> = (&'a T, &'a Evaluation);

/// A run's folder while it is read.
struct Parts<'a> {
    folder: &'a Path,
    evaluation: &'a Evaluation,
    left_out: &'a mut Vec<LeftOut>,
}

impl Parts<'_> {
    /// Reads a part and holds it against the evaluation; one that is missing and may be is no matter.
    fn part<T>(
        &mut self,
        file: &str,
        stage: &str,
        may_miss: bool,
        read: impl Fn(&Path) -> Result<T>,
        check: impl Fn(Beside<'_, T>) -> Result<()>,
    ) -> Option<T> {
        if may_miss && !self.folder.join(file).is_file() {
            return None;
        }
        let found = read(self.folder).and_then(|part| check((&part, self.evaluation)).map(|()| part));
        let name = &self.evaluation.run.name;
        match found {
            Ok(part) => Some(part),
            Err(error) => {
                let (what, why) = (format!("{file} of {name}"), format!("{error:#}"));
                self.left_out.push(LeftOut { what, why, repeat: format!("covid-ct {stage} --name {name}") });
                None
            }
        }
    }

    fn explanations(&mut self, subset: Subset) -> Option<Explanations> {
        let (file, stage) = (format!("explanations-{subset}.json"), format!("explain --subset {subset}"));
        self.part(&file, &stage, true, |at| Explanations::read(at, subset), |of| same(&of.0.about, of.1))
    }

    fn unlabelled(&mut self) -> Option<Predictions> {
        let (subset, file) = (Subset::Prediction, format!("predictions-{}.json", Subset::Prediction));
        self.part(&file, "predict", true, |at| Predictions::read(at, subset), |of| same(&of.0.about, of.1))
    }
}

fn same_weights((assessment, evaluation): Beside<'_, Assessment>) -> Result<()> {
    let (found, expected) = (assessment.weights, evaluation.weights);
    ensure!(found == expected, "it is of the weights {found}, the evaluation of {expected}");
    Ok(())
}

fn same_training((history, evaluation): Beside<'_, History>) -> Result<()> {
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

/// Holds the evaluation against the checkpoint beside it.
fn belongs_to_checkpoint(folder: &Path, evaluation: &Evaluation, left_out: &mut Vec<LeftOut>) -> Result<()> {
    let path = folder.join("best.safetensors");
    if !path.is_file() {
        left_out.push(LeftOut {
            what: format!("best.safetensors of {}", evaluation.run.name),
            why: format!("it is not there: that it hashes to {} cannot be checked", evaluation.weights),
            repeat: format!("covid-ct train --config {}", folder.join("config.json").display()),
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

/// The split that the run was trained with: the one on file where it is that one, else drawn again from the settings.
fn split_of(
    workspace: &Workspace,
    accepted: &Manifest,
    evaluation: &Evaluation,
    left_out: &mut Vec<LeftOut>,
) -> Option<Split> {
    let file = workspace.split_file(evaluation.run.split.unit);
    let found = Split::read(&file, accepted).context("it cannot be used");
    let why = match found {
        Ok(split) if split.hash() == evaluation.split => return Some(split),
        Ok(split) => {
            let (there, trained) = (split.hash(), evaluation.split);
            format!("it holds the split {there}, the run was trained with {trained}")
        }
        Err(error) => format!("{error:#}"),
    };
    let again = Split::new(accepted, &evaluation.run.split).ok().filter(|split| split.hash() == evaluation.split);
    let instead = match again {
        Some(_) => "the run's own split was drawn again from its settings, and is shown",
        None => "no proof of the run's split is shown",
    };
    let name = &evaluation.run.name;
    let config = workspace.run_folder(name).join("config.json");
    left_out.push(LeftOut {
        what: format!("{} for {name}", file.display()),
        why: format!("{why}; {instead}"),
        repeat: format!("covid-ct split --config {}", config.display()),
    });
    again
}
