//! The slides' cloud workflow as numbered steps with the commands that do them today.

use super::cloud_config::CloudConfig;
use super::command::Command;
use super::costs::Costs;
use super::setup::render_script;
use super::steps;
use crate::base::errors::{Context, Result};
use crate::base::escape::shell_word;
use crate::base::table::{Table, shown_as_table};
use std::fmt::Write;
use std::path::Path;

/// What a step does to the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It only reads.
    Reads,
    /// It creates or changes something that costs nothing by itself.
    Free,
    /// It costs money from then on; the text says how much.
    Costs(String),
    /// It ends a cost.
    Saves(String),
    /// It permanently deletes the thing of this name.
    Destroys(String),
}

/// One step of the workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its name on the command line.
    pub name: &'static str,
    /// The slides' heading, and the number of the instruction where they number them.
    pub slide: &'static str,
    /// What it does.
    pub what: String,
    /// What it does to the account.
    pub effect: Effect,
    /// The commands, in order.
    pub commands: Vec<Command>,
    /// Whether commands come in pairs, of which both must print the same.
    pub in_pairs: bool,
    /// The step that must succeed before the question about this one is asked.
    pub first: Option<&'static str>,
    /// The command that shows that nothing is left to do.
    pub done: Option<Command>,
    /// A file that is written first: path and content.
    pub writes: Option<(String, String)>,
    /// Why it cannot be run with these settings.
    pub missing: Option<String>,
}

impl Step {
    /// What it costs, in words.
    pub fn costs(&self) -> String {
        match &self.effect {
            Effect::Reads => "nothing: it reads".to_owned(),
            Effect::Free => "nothing by itself".to_owned(),
            Effect::Costs(how_much) => how_much.clone(),
            Effect::Saves(what) => what.clone(),
            Effect::Destroys(name) => format!("DELETES {name} for good"),
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::new(format!("Step {}", self.name), &["What", "How"]);
        table.row(["Slide", self.slide]);
        table.row(["Does", &self.what]);
        table.row(["Costs", &self.costs()]);
        for command in &self.commands {
            table.row(["Command", &command.to_string()]);
        }
        if let Some(first) = self.first {
            table.row(["Before", &format!("{first} must succeed; it is run automatically")]);
        }
        if self.in_pairs {
            table.row(["Succeeds", "when both commands of each pair print the same"]);
        }
        if let Some(done) = &self.done {
            table.row(["Done already?", &done.to_string()]);
        }
        if let Some(missing) = &self.missing {
            table.row(["Missing", missing]);
        }
        table
    }
}

/// The whole workflow, in the slides' order. Making a plan calls nothing and needs no gcloud.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    config: CloudConfig,
    steps: Vec<Step>,
}

impl Plan {
    /// The steps for these settings.
    ///
    /// # Errors
    /// A setting cannot work.
    pub fn new(config: &CloudConfig) -> Result<Self> {
        config.check().context("planning the workflow on Google Cloud")?;
        Ok(Self { config: config.clone(), steps: steps::all(config) })
    }

    /// The settings it was made from.
    pub fn config(&self) -> &CloudConfig {
        &self.config
    }

    /// The steps, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// One step.
    ///
    /// # Errors
    /// There is no step of this name.
    pub fn step(&self, name: &str) -> Result<Step> {
        let names = || self.steps.iter().map(|step| step.name).collect::<Vec<_>>().join(", ");
        let found = self.steps.iter().find(|step| step.name == name);
        found.cloned().with_context(|| format!("choosing a step: expected one of {}, found {name:?}", names()))
    }

    /// What it costs by the hour and the month.
    ///
    /// # Errors
    /// There is no price for the region or the machine.
    pub fn costs(&self) -> Result<Costs> {
        Costs::new(&self.config)
    }

    /// The script that sets the instance up.
    ///
    /// # Errors
    /// No repository is named.
    pub fn script(&self) -> Result<String> {
        render_script(&self.config)
    }

    /// Every command, with its step above it, to be pasted into a shell. Commands that cost money, delete something, or
    /// need a setting that is missing are commented out, so the text can be pasted as a whole. `settings` is the plan's
    /// file.
    pub fn commands(&self, settings: Option<&Path>) -> String {
        let mut text =
            "# Lines that cost money or delete something begin with \"#! \": remove it from the one you want to run.\n\n"
                .to_owned();
        let config = settings.map_or(String::new(), |path| format!(" --config {}", shell_word(path)));
        for (number, step) in self.steps.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# {}. {} ({}): {}", number + 1, step.name, step.costs(), step.what);
            if let Some(missing) = &step.missing {
                let _ = writeln!(text, "# Not set: {missing}");
            }
            let harmless = step.missing.is_none() && !matches!(step.effect, Effect::Costs(_) | Effect::Destroys(_));
            let live = if harmless { "" } else { "#! " };
            if let Some((path, _)) = &step.writes {
                let folder = Path::new(path).parent().unwrap_or(Path::new(".")).display().to_string();
                let (folder, path) = (shell_word(&folder), shell_word(path));
                let _ = writeln!(text, "{live}mkdir -p {folder}\n{live}covid-ct cloud{config} script > {path}");
            }
            for command in &step.commands {
                // A name may hold line breaks: every line of the command becomes a comment.
                let _ = writeln!(text, "{live}{}", command.to_string().replace('\n', &format!("\n{live}")));
            }
            text.push('\n');
        }
        text
    }

    fn table(&self) -> Table {
        let title = format!("From nothing to a notebook on Google Cloud, project {}", self.config.project);
        let mut table = Table::new(title, &["Step", "Slide", "What", "Costs", "Command"]);
        for (number, step) in self.steps.iter().enumerate() {
            let mut lines: Vec<String> = step.commands.iter().map(brief).collect();
            lines.sort();
            lines.dedup();
            let missing = step.missing.as_ref().map(|missing| format!(" Missing: {missing}")).unwrap_or_default();
            table.row([
                format!("{}. {}", number + 1, step.name),
                step.slide.to_owned(),
                format!("{}{missing}", step.what),
                step.costs(),
                lines.join("; "),
            ]);
        }
        table.note("Whole commands: plan.step(\"instance\")?, or `covid-ct cloud plan --commands`.").note(
            "An instance costs money until it is stopped, its disks until they are deleted: steps stop, delete, delete-bucket.",
        )
    }
}

shown_as_table!(Plan, Step);

/// The words of a command without its flags.
fn brief(command: &Command) -> String {
    let words: Vec<&str> = command.argv.iter().map(String::as_str).take_while(|arg| !arg.starts_with('-')).collect();
    let more = if words.len() < command.argv.len() { " …" } else { "" };
    format!("{}{more}", words.join(" "))
}
