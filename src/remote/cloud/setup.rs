//! The script with which a new instance sets itself up, and the state of the set-up as a notebook shows it.

use super::cloud_config::CloudConfig;
use crate::base::errors::{Context, Result};
use crate::base::escape::shell_word;
use crate::base::table::{Table, shown_as_table};
use std::fs;
use std::path::{Path, PathBuf};

/// Path of the rendered script, on this machine and in the bucket.
pub(super) const SCRIPT_FILE: &str = "cloud/post-startup.sh";
/// Where the script writes its state.
pub(super) const STATUS_FILE: &str = "/home/jupyter/covid-ct-setup.status";
/// Where the script writes its log.
pub(super) const LOG_FILE: &str = "/home/jupyter/covid-ct-setup.log";
/// How many of the log's last lines are shown.
const LAST_LINES: usize = 12;

/// Fills the template `scripts/cloud/post-startup.sh`; values become single shell words.
pub(super) fn render_script(config: &CloudConfig) -> Result<String> {
    let template = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/cloud/post-startup.sh"));
    let repository = config.repository.as_deref().context("repository; an address the instance can clone this from")?;
    Ok(template.replace("@REPOSITORY@", &shell_word(repository)))
}

/// The stage that the set-up of an instance has reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetupStage {
    /// There is no status: not a Workbench instance of this plan, or its script has not begun.
    Unknown,
    /// Running this step.
    Running(String),
    /// Finished.
    Ok,
    /// Failed at this step.
    Failed(String),
}

/// What the set-up's status file and log say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupState {
    /// The stage it has reached.
    pub stage: SetupStage,
    /// Problems that did not end the set-up: an old driver, a clone with changes.
    pub notes: Vec<String>,
    /// Path of the log.
    pub log_file: PathBuf,
    /// The last lines of the log.
    pub log: Vec<String>,
}

impl SetupState {
    /// Reads `covid-ct-setup.status` and `covid-ct-setup.log` in `folder`, on an instance `/home/jupyter`.
    ///
    /// # Errors
    /// The status exists but cannot be read, or holds something that the script never writes.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self> {
        let status = folder.as_ref().join("covid-ct-setup.status");
        let log_file = folder.as_ref().join("covid-ct-setup.log");
        if !status.exists() {
            return Ok(Self { stage: SetupStage::Unknown, notes: Vec::new(), log_file, log: Vec::new() });
        }
        let text = fs::read_to_string(&status)
            .with_context(|| format!("reading the state of the set-up from {}", status.display()))?;
        let (first, notes) = text.split_once('\n').unwrap_or((&text, ""));
        let stage = match first.split_once(": ") {
            None if first == "ok" => SetupStage::Ok,
            Some(("running", step)) => SetupStage::Running(step.to_owned()),
            Some(("failed", step)) => SetupStage::Failed(step.to_owned()),
            _ => crate::base::errors::bail!(
                "reading the state of the set-up from {}: expected ok, running: STEP or failed: STEP, found {first:?}",
                status.display()
            ),
        };
        let log = fs::read(&log_file).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.iter().skip(lines.len().saturating_sub(LAST_LINES));
        let notes = notes.lines().map(str::to_owned).collect();
        Ok(Self { stage, notes, log_file, log: last.map(|line| (*line).to_owned()).collect() })
    }

    /// Whether the set-up is finished.
    pub fn is_ok(&self) -> bool {
        self.stage == SetupStage::Ok
    }

    fn table(&self) -> Table {
        let mut table = Table::new("The instance's set-up", &["What", "State"]);
        let stage = match &self.stage {
            SetupStage::Unknown => {
                "no status here: this is no instance of the plan (a laptop, say), or its set-up has not begun"
                    .to_owned()
            }
            SetupStage::Running(step) => format!("running: {step}"),
            SetupStage::Ok => "ok".to_owned(),
            SetupStage::Failed(step) => {
                format!(
                    "failed at {step}: fix the error shown in the log, then stop and start the instance; finished steps are \
                     not repeated"
                )
            }
        };
        table.row(["Set-up", &stage]);
        for note in &self.notes {
            table.row(["Note", note]);
        }
        if self.stage == SetupStage::Unknown {
            return table;
        }
        table.row(["Log", &self.log_file.display().to_string()]);
        // After a successful set-up the notes are enough.
        for line in self.log.iter().filter(|_| !self.is_ok()) {
            table.row(["", line]);
        }
        table
    }
}

shown_as_table!(SetupState);

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn config(repository: &str) -> CloudConfig {
        CloudConfig { repository: Some(repository.to_owned()), ..CloudConfig::default() }
    }

    #[test]
    fn hostile_values_stay_one_word_in_the_script() {
        let mark = std::env::temp_dir().join("covid-ct-must-not-exist");
        for repository in ["/a b/it's", "/$(touch /tmp/covid-ct-must-not-exist)", "/`id`\"; rm -rf x", "https://h/\\"] {
            let script = render_script(&config(repository)).expect("renders");
            let line = script.lines().find(|line| line.starts_with("repository=")).expect("the line");
            let check = format!("{line}\nprintf %s \"$repository\"");
            let output = Command::new("bash").args(["-c", &check]).output().expect("bash");
            assert_eq!(String::from_utf8_lossy(&output.stdout), repository);
            assert!(!mark.exists());
            assert!(!script.contains("@REPOSITORY@"));
        }
        let missing = render_script(&CloudConfig::default()).expect_err("no repository").to_string();
        assert!(missing.starts_with("repository"), "{missing}");
    }

    #[test]
    fn the_script_is_bash() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("post-startup.sh");
        fs::write(&path, render_script(&config("https://example.org/covid-ct.git")).expect("renders")).expect("writes");
        let parsed = Command::new("bash").arg("-n").arg(&path).status().expect("bash");
        assert!(parsed.success());
    }

    /// The script's own function, with a stand-in for everything that it calls.
    fn checked_driver(nvidia_smi: &str) -> String {
        let script = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/cloud/post-startup.sh"));
        let begin = script.find("check_driver() {").expect("the function");
        let function = script[begin..].split_inclusive("\n}\n").next().expect("its end");
        let around = format!(
            "set -euo pipefail; driver_wanted=580; log=/log; has_gpu() {{ true; }}; sleep() {{ :; }}; note() {{ echo \"note: $1\"; }}\n\
             nvidia-smi() {{ {nvidia_smi}; }}\n{function}check_driver"
        );
        let output = Command::new("bash").args(["-c", &around]).output().expect("bash");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    #[test]
    fn a_driver_that_does_not_answer_is_noted() {
        assert_eq!(checked_driver("echo 580.82.07"), "NVIDIA driver 580.82.07");
        let old = checked_driver("echo 550.90.07; echo 550.90.07");
        assert!(old.starts_with("note: NVIDIA driver 550.90.07 is older than 580"), "{old}");
        let failing =
            "echo \"NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\"; return 9";
        let none = checked_driver(failing);
        assert!(none.starts_with("note: a GPU, but no NVIDIA driver that answers"), "{none}");
        assert_eq!(checked_driver("echo No devices were found"), none);
    }

    #[test]
    fn the_state_is_read_from_what_the_script_writes() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(SetupState::read(folder.path()).expect("reads").stage, SetupStage::Unknown);
        let status = |text: &str| {
            fs::write(folder.path().join("covid-ct-setup.status"), text).expect("writes");
            SetupState::read(folder.path())
        };
        assert!(status("ok\nnote: driver 550 is older than 580\n").expect("reads").is_ok());
        assert_eq!(status("running: rust\n").expect("reads").stage, SetupStage::Running("rust".into()));
        let log: String = (0..20).map(|line| format!("line {line}\n")).collect();
        fs::write(folder.path().join("covid-ct-setup.log"), log).expect("writes");
        let failed = status("failed: setup\n").expect("reads");
        assert_eq!(failed.stage, SetupStage::Failed("setup".into()));
        assert_eq!(failed.log.first().map(String::as_str), Some("line 8"));
        let shown = failed.to_string();
        assert!(
            ["failed at setup", "covid-ct-setup.log", "line 19"].iter().all(|text| shown.contains(text)),
            "{shown}"
        );
        assert!(format!("{:#}", status("perhaps").expect_err("unknown")).contains("\"perhaps\""));
    }
}
