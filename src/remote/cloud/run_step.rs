//! Runs one step: recognises what is done already, asks, and logs every command.

use super::call::call;
use super::command::{Command, CommandOutput};
use super::steps_plan::{Effect, Plan, Step};
use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::files::write_text;
use serde::Serialize;
use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The log of every executed command.
const LOG_FILE: &str = "cloud-log.jsonl";

/// How a step is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOptions {
    /// Do not ask.
    pub yes: bool,
    /// The name of what a destroying step deletes, given a second time.
    pub name_again: Option<String>,
    /// Where commands run: relative paths of the settings start here, and the log is written here.
    pub folder: PathBuf,
    /// The program called for `gcloud`.
    pub gcloud: PathBuf,
}

impl Default for RunOptions {
    /// Asks; runs in the current folder, with the `gcloud` in `PATH`.
    fn default() -> Self {
        Self { yes: false, name_again: None, folder: ".".into(), gcloud: "gcloud".into() }
    }
}

/// What is asked before a step that changes something.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Name of the step.
    pub step: &'static str,
    /// What it does.
    pub what: String,
    /// What it costs.
    pub costs: String,
    /// The commands, quoted for a shell.
    pub commands: Vec<String>,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}\nCosts: {}", self.step, self.what, self.costs)?;
        self.commands.iter().try_for_each(|command| writeln!(f, "  {command}"))?;
        write!(f, "Do it?")
    }
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was left to do.
    AlreadyDone,
    /// The answer was no.
    Declined,
    /// Every command did what was expected.
    Done,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AlreadyDone => "nothing to do: it is done already",
            Self::Declined => "not done",
            Self::Done => "done",
        })
    }
}

/// One line of the log. It holds neither what commands print nor any environment variable.
#[derive(Serialize)]
struct StepRecord<'a> {
    /// Seconds since 1970, UTC.
    time: u64,
    step: &'a str,
    argv: &'a [String],
    exit_code: Option<i32>,
    seconds: f64,
}

/// Runs one step of the plan. What gcloud prints goes to `log`, line by line; every call of gcloud is added to
/// `cloud-log.jsonl`. `ask` is not called for steps that only read. If a step requires another one first, that is run
/// too.
///
/// # Errors
/// There is no such step, settings are missing for it, a destroying step is not confirmed (`yes` and the name again),
/// the thing to be made exists but differs, gcloud is missing or fails, or its answer is not as expected.
pub fn run_step(
    plan: &Plan,
    name: &str,
    options: &RunOptions,
    ask: impl Fn(&Question) -> bool,
    mut log: impl FnMut(&str),
) -> Result<Outcome> {
    let step = plan.step(name)?;
    if let Some(missing) = &step.missing {
        bail!("step {name}: not set: {missing}");
    }
    confirm_destruction(&step, options)?;
    if let Some(done) = &step.done {
        log(&format!("$ {done}"));
        let answer = logged_call(&step, done, options, &mut |_| ())?;
        match done.expects.judge(&answer, &options.folder) {
            Ok(()) => return Ok(Outcome::AlreadyDone),
            Err(reason) => {
                ensure!(
                    !done.expects.is_another(&answer, &options.folder),
                    "step {name}: it exists already and differs: {reason}; choose another name in the settings, or correct \
                     the existing one"
                );
                log(&format!("not done yet: {reason}"));
            }
        }
    }
    if let Some(first) = step.first {
        execute(&plan.step(first)?, options, &mut log).with_context(|| format!("before step {name}"))?;
    }
    if step.effect != Effect::Reads && !options.yes && !ask(&question(&step)) {
        return Ok(Outcome::Declined);
    }
    if let Some((path, text)) = &step.writes {
        write_text(&options.folder.join(path), text)?;
    }
    execute(&step, options, &mut log)?;
    Ok(Outcome::Done)
}

/// Runs a step's commands.
fn execute(step: &Step, options: &RunOptions, log: &mut dyn FnMut(&str)) -> Result<()> {
    let mut answers = Vec::new();
    for command in &step.commands {
        log(&format!("$ {command}"));
        let answer = logged_call(step, command, options, log)?;
        let judged = command.expects.judge(&answer, &options.folder);
        judged.map_err(|reason| crate::base::errors::anyhow!("step {}, `{command}`: {reason}", step.name))?;
        answers.push(answer);
    }
    compare_pairs(step, &answers)
}

fn question(step: &Step) -> Question {
    Question {
        step: step.name,
        what: step.what.clone(),
        costs: step.costs(),
        commands: step.commands.iter().map(Command::to_string).collect(),
    }
}

fn confirm_destruction(step: &Step, options: &RunOptions) -> Result<()> {
    let Effect::Destroys(thing) = &step.effect else { return Ok(()) };
    let again = options.name_again.as_deref();
    ensure!(
        options.yes && again == Some(thing),
        "step {}: it deletes {thing} for good; expected --yes and --name-again {thing}, found {} and {}",
        step.name,
        if options.yes { "--yes" } else { "no --yes" },
        again.map_or("no --name-again".to_owned(), |name| format!("--name-again {name}"))
    );
    Ok(())
}

fn compare_pairs(step: &Step, answers: &[CommandOutput]) -> Result<()> {
    if !step.in_pairs {
        return Ok(());
    }
    for (commands, pair) in step.commands.chunks(2).zip(answers.chunks(2)) {
        if let ([first, second], [here, there]) = (commands, pair) {
            let (here, there) = (here.out.trim(), there.out.trim());
            ensure!(
                here == there,
                "step {}: expected the same from both, found {here:?} from `{first}` and {there:?} from `{second}`: \
                 delete the object and upload again",
                step.name
            );
        }
    }
    Ok(())
}

fn logged_call(
    step: &Step,
    command: &Command,
    options: &RunOptions,
    log: &mut dyn FnMut(&str),
) -> Result<CommandOutput> {
    let begun = Instant::now();
    let answer = call(command, &options.gcloud, &options.folder, log)
        .with_context(|| format!("step {}, `{command}`", step.name))?;
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let seconds = (begun.elapsed().as_secs_f64() * 10.0).round() / 10.0;
    let record = StepRecord { time, step: step.name, argv: &command.argv, exit_code: answer.code, seconds };
    let path = options.folder.join(LOG_FILE);
    let written = (|| {
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        let mut line = serde_json::to_string(&record)?;
        line.push('\n');
        file.write_all(line.as_bytes())?;
        crate::base::errors::Ok(())
    })();
    written.with_context(|| format!("adding a line to {}", path.display()))?;
    Ok(answer)
}
