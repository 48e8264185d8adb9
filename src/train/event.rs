//! Events that a run reports.
use crate::base::output::{is_relayed, say};
use crate::base::progress::{Progress, human_duration, rate};
use crate::train::epoch::EpochRecord;
use std::fmt;
use std::time::Duration;

/// An event that a run reports. `Display` gives a line for a notebook.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEvent {
    /// It resumes from a checkpoint: finished epochs, and finished batches of the next.
    Resumed(usize, usize),
    /// It was finished before, after this number of epochs.
    Finished(usize),
    /// Progress of the present stage.
    Working(Progress),
    /// One of several processes computes much longer than the others; which, and how long.
    SlowRank(String),
    /// An epoch is finished and scored; the estimated time of the remaining epochs, scoring included.
    Epoch(EpochRecord, Duration),
}

impl RunEvent {
    /// Prints the line to standard output: the default of an experiment.
    pub fn print(&self) {
        match self {
            Self::Working(progress) => progress.print(),
            // The table of epochs, which grows in its place, has it already.
            Self::Epoch(..) if is_relayed() => {}
            _ => say(self),
        }
    }
}

impl fmt::Display for RunEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resumed(epochs, 0) => write!(f, "resumed after epoch {epochs}"),
            Self::Resumed(epochs, batches) => write!(f, "resumed in epoch {} after {batches} batches", epochs + 1),
            Self::Finished(epochs) => {
                write!(f, "finished before, after {epochs} epochs; use another name for a new training")
            }
            Self::Working(progress) => progress.fmt(f),
            Self::SlowRank(times) => f.write_str(times),
            Self::Epoch(record, left) => {
                write!(
                    f,
                    "{record} ({} images/s, {} left in all)",
                    rate(record.images_per_second),
                    human_duration(*left)
                )
            }
        }
    }
}
