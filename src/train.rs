//! Training: settings, the loop, checkpoints, the history, and the folder that a run is kept in.

pub(crate) mod batch_loss;
pub(crate) mod batch_source;
pub(crate) mod checkpoint;
pub(crate) mod config;
pub(crate) mod converged_head;
pub(crate) mod doctor;
pub(crate) mod epoch;
pub(crate) mod event;
pub(crate) mod experiment;
pub(crate) mod features;
pub(crate) mod history;
pub(crate) mod initial;
pub(crate) mod optimization;
pub(crate) mod position;
pub(crate) mod provenance;
mod rank_clock;
pub(crate) mod recipe;
pub(crate) mod run_folder;
pub(crate) mod scans;
pub(crate) mod training;
mod training_log;
