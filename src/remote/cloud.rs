//! The slides' workflow on Google Cloud: settings, plan, costs, running one step at a time, and the instance's state.

mod call;
mod cloud_config;
mod command;
mod costs;
mod from_bucket;
mod naming_rules;
mod reading_steps;
mod run_step;
mod setup;
mod steps;
mod steps_plan;
#[cfg(test)]
mod tests;

pub use cloud_config::{Archives, CloudConfig};
pub use command::{Command, Expects};
pub use costs::{Costs, Price};
pub use from_bucket::{Fetched, stage};
pub use reading_steps::Look;
pub use run_step::{Outcome, Question, RunOptions, run_step};
pub use setup::{SetupStage, SetupState};
pub use steps_plan::{Effect, Plan, Step};
