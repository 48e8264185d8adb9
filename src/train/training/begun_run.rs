//! A run that was begun before: its lock, its last checkpoint, its history.

use crate::base::errors::Result;
use crate::base::files::lock;
use crate::train::checkpoint::{Checkpoint, CheckpointInfo, must_continue};
use crate::train::config::RunConfig;
use crate::train::experiment::Experiment;
use crate::train::history::History;
use crate::train::run_folder::{Artifact, RunFolder};
use crate::train::training_log::write_history;
use std::fs::{self, File};

/// The folder of a run, made if it is not there, locked for the process that trains it.
pub(super) fn locked(folder: &RunFolder) -> Result<File> {
    fs::create_dir_all(folder.path())?;
    lock(&folder.path_of(Artifact::Lock), "another process is training this run")
}

/// The history of a finished run, written again if the run was killed between its last checkpoint and its history.
pub(super) fn finished(folder: &RunFolder, info: &CheckpointInfo, run: &RunConfig) -> Result<History> {
    match folder.history() {
        Ok(history) if history.epochs == info.epochs => Ok(history),
        _ => write_history(folder, info, run.device()?),
    }
}

/// The checkpoint to resume from. It is compared with the experiment again, because another process may have trained
/// since the experiment was opened.
pub(super) fn begun(experiment: &Experiment) -> Result<Option<Checkpoint>> {
    let folder = experiment.folder();
    let read = || Checkpoint::read(&folder.checked(Artifact::LastCheckpoint)?);
    let found = folder.has(Artifact::LastCheckpoint).then(read).transpose()?;
    if let Some(found) = &found {
        must_continue(&found.info, &experiment.before_training(), folder.path())?;
    }
    Ok(found)
}
