//! `covid-ct cloud`: the plan for Google Cloud, and one step of it at a time.

use anyhow::{Result, ensure};
use clap::{Args, Subcommand};
use covid_ct::cloud::{CloudConfig, Outcome, Plan, Question, RunOptions, run_step};
use covid_ct::{say, visible};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Options of `covid-ct cloud`.
#[derive(Args)]
pub struct CloudArgs {
    /// Settings as JSON [default: cloud.json if it exists, else the slides' machine]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(subcommand)]
    pub command: CloudCommand,
}

/// Subcommands of `covid-ct cloud`.
#[derive(Subcommand)]
pub enum CloudCommand {
    /// Show every step; calls nothing
    Plan {
        /// Every command in full, to be pasted into a shell; commands that cost money or delete are commented out
        #[arg(long)]
        commands: bool,
        /// One step in full
        step: Option<String>,
    },
    /// Show what it costs by the hour and the month
    Cost,
    /// Write the settings to a file, to be edited
    Settings {
        /// File to write
        #[arg(default_value = "cloud.json")]
        file: PathBuf,
    },
    /// Print the script with which the instance sets itself up
    Script,
    /// Run one step: asks first, and skips what is done already
    ///
    /// Every command is added to cloud-log.jsonl. If the answer is no, the exit code is 1.
    Run {
        /// Name of the step
        step: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// For steps that delete: the name of the instance or bucket, again
        #[arg(long, value_name = "NAME")]
        name_again: Option<String>,
    },
}

/// Runs the subcommand; the log of commands goes to `home`.
pub fn cloud(args: &CloudArgs, home: &Path) -> Result<()> {
    let usual = home.join("cloud.json");
    let settings = args.config.clone().or_else(|| usual.exists().then_some(usual));
    let config = settings.as_ref().map_or_else(|| Ok(CloudConfig::default()), CloudConfig::read)?;
    let plan = Plan::new(&config)?;
    match &args.command {
        CloudCommand::Plan { commands: true, .. } => say(plan.commands(settings.as_deref()).trim_end()),
        CloudCommand::Plan { step: Some(step), .. } => say(plan.step(step)?),
        CloudCommand::Plan { .. } => say(plan),
        CloudCommand::Cost => say(plan.costs()?),
        CloudCommand::Settings { file } => {
            ensure!(!file.exists(), "writing settings: {} is there already", visible(file));
            config.write(file)?;
            say(visible(file));
        }
        CloudCommand::Script => say(plan.script()?.trim_end()),
        CloudCommand::Run { step, yes, name_again } => {
            let options = RunOptions {
                yes: *yes,
                name_again: name_again.clone(),
                folder: home.to_owned(),
                ..RunOptions::default()
            };
            let outcome = run_step(&plan, step, &options, ask, |line| say(line))?;
            ensure!(outcome != Outcome::Declined, "step {step}: not done, the answer was not yes");
            say(format_args!("{step}: {outcome}"));
        }
    }
    Ok(())
}

/// Asks on the terminal; anything but y or yes is no.
fn ask(question: &Question) -> bool {
    let (mut output, mut answer) = (std::io::stdout().lock(), String::new());
    let asked = write!(output, "{question} [y/N] ").and_then(|()| output.flush());
    // What nobody could read, nobody answers.
    let read = asked.and_then(|()| std::io::stdin().read_line(&mut answer));
    read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}
