//! What a run reports while it works.

use crate::base::progress::{Progress, human_duration, rate};
use crate::train::epoch::EpochRecord;
use std::fmt;
use std::time::Duration;

/// What a run reports while it works. `Display` gives a line for a notebook.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEvent {
    /// It goes on from a checkpoint: finished epochs, and finished batches of the next.
    Resumed(usize, usize),
    /// There is nothing left to do: it was finished before, after so many epochs.
    Finished(usize),
    /// How far it is.
    Working(Progress),
    /// An epoch is finished and scored; the time that the epochs left will take, scoring included.
    Epoch(EpochRecord, Duration),
}

impl RunEvent {
    /// Prints the line: what an experiment does with its events unless it is told otherwise.
    #[allow(clippy::print_stdout, reason = "the one place that prints; callers choose it by name")]
    pub fn print(&self) {
        println!("{self}");
    }
}

impl fmt::Display for RunEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resumed(epochs, 0) => write!(f, "resumed after epoch {epochs}"),
            Self::Resumed(epochs, batches) => write!(f, "resumed in epoch {} after {batches} batches", epochs + 1),
            Self::Finished(epochs) => {
                write!(f, "finished before, after {epochs} epochs; what it left is shown. Another name trains anew")
            }
            Self::Working(progress) => progress.fmt(f),
            Self::Epoch(record, left) => {
                write!(f, "{record} ({} images/s, {} left)", rate(record.images_per_second), human_duration(*left))
            }
        }
    }
}
