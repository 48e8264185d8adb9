//! Running a step that only reads, from a notebook.

use super::call::call;
use super::steps_plan::{Effect, Plan};
use crate::base::errors::{Result, ensure};
use crate::base::table::{Table, shown_as_table};
use std::path::Path;

/// The result of each command of a step that only reads. It does not hold what they print: an account's name does not
/// belong in a notebook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    step: &'static str,
    found: Vec<(String, Result<(), String>)>,
}

impl Look {
    /// Whether everything was as expected.
    pub fn is_well(&self) -> bool {
        self.found.iter().all(|(_, verdict)| verdict.is_ok())
    }

    fn table(&self) -> Table {
        let mut table = Table::new(format!("Step {}: what it finds", self.step), &["Command", "Verdict"]);
        for (command, verdict) in &self.found {
            table.row([command.clone(), verdict.as_ref().err().cloned().unwrap_or("well".to_owned())]);
        }
        table
    }
}

shown_as_table!(Look);

impl Plan {
    /// Runs a step that only reads, with `gcloud` as its program. A failing command, a missing gcloud included, is part
    /// of the result and not an error.
    ///
    /// # Errors
    /// There is no such step, or it does more than read.
    pub fn look(&self, name: &str, gcloud: impl AsRef<Path>) -> Result<Look> {
        let step = self.step(name)?;
        ensure!(step.effect == Effect::Reads, "inspecting step {name}: expected one that only reads; use run_step");
        let mut found = Vec::new();
        for command in &step.commands {
            let here = Path::new(".");
            let verdict = match call(command, gcloud.as_ref(), here, &mut |_| ()) {
                Ok(answer) => command.expects.judge(&answer, here),
                Err(error) => Err(format!("{error:#}")),
            };
            found.push((command.to_string(), verdict));
        }
        Ok(Look { step: step.name, found })
    }
}
