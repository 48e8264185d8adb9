//! The slides' workflow on Google Cloud: settings, plan, costs, one step at a time, and how far the instance is.

mod call;
mod command;
mod config;
mod costs;
mod look;
mod names;
mod plan;
mod run;
mod setup;
mod stage;
mod steps;
#[cfg(test)]
mod tests;

pub use command::{Command, Expects};
pub use config::{Archives, CloudConfig};
pub use costs::{Costs, Price};
pub use look::Look;
pub use plan::{Effect, Plan, Step};
pub use run::{Outcome, Question, RunOptions, run_step};
pub use setup::{SetupStage, SetupState};
pub use stage::{Fetched, stage};
