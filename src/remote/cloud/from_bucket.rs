//! Staging from a notebook: from the bucket that the user names, or from one emulated on this machine.

use super::cloud_config::CloudConfig;
use crate::base::errors::{Context, Result, ensure};
use crate::base::progress::Progress;
use crate::base::table::{Table, shown_as_table};
use crate::data::workspace::Workspace;
use crate::remote::staging::{self, StageOptions, Staged};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What [`stage`] fetched.
#[derive(Debug, Clone, PartialEq)]
pub struct Fetched {
    /// Source, target folder and objects.
    pub staged: Staged,
    /// Whether the bucket was emulated on this machine.
    pub rehearsed: bool,
}

impl Fetched {
    fn table(&self) -> Table {
        let mut table = self.staged.table();
        if self.rehearsed {
            table = table.note(
                "A rehearsal: the phantom's archives in a bucket emulated on this machine. COVID_CT_BUCKET=gs://NAME \
                 names a real one.",
            );
        }
        table
            .note(
                "Files unpacked now were compared with the CRC-32 that their archive states. Files that an earlier run had \
                 synced to the disk were recognised by size and time of last change, and not read again.",
            )
            .note(format!("01_dataset begins here: COVID_CT_DATA={} make lab", self.staged.folder.display()))
    }
}

shown_as_table!(Fetched);

/// Fetches the archives in the bucket that `COVID_CT_BUCKET` names (`gs://NAME/path`) and unpacks them into
/// `data/<bucket>` in the workspace while they arrive. Without that variable it fetches the phantom from a bucket
/// emulated on this machine, into `data/from-bucket`. Existing files are kept, so it can be called again, also after a
/// kill.
///
/// # Errors
/// No emulator among the Python packages, or what [`staging::stage`] complains about.
pub fn stage(workspace: &Workspace, config: &CloudConfig, progress: impl Fn(&Progress) + Sync) -> Result<Fetched> {
    fetch(workspace, config, &progress)
}

fn fetch(workspace: &Workspace, config: &CloudConfig, progress: &(dyn Fn(&Progress) + Sync)) -> Result<Fetched> {
    let data = workspace.home().join("data");
    let options = StageOptions { stream: true, ..StageOptions::default() };
    if let Some(url) = std::env::var("COVID_CT_BUCKET").ok().filter(|url| !url.is_empty()) {
        let folder = url.trim_start_matches("gs://").trim_end_matches('/').replace('/', "-");
        return Ok(Fetched { staged: staging::stage(&url, data.join(folder), &options, progress)?, rehearsed: false });
    }
    let phantom = Workspace::at(Some(workspace.home().to_owned()), None)?;
    let rehearsal = Rehearsal::start(&phantom.dataset(progress)?, &config.bucket)?;
    let options = StageOptions { emulator: Some(rehearsal.url.clone()), ..options };
    let staged = staging::stage(&format!("gs://{}", config.bucket), data.join("from-bucket"), &options, progress)?;
    Ok(Fetched { staged, rehearsed: true })
}

/// The emulated bucket; gone when dropped.
struct Rehearsal {
    url: String,
    child: Child,
}

impl Rehearsal {
    fn start(data: &Path, bucket: &str) -> Result<Self> {
        let python = std::env::var("COVID_CT_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/rehearsal_bucket.py");
        let mut command = Command::new(&python);
        command.arg(&script).arg(data).arg(bucket).stdin(Stdio::piped()).stdout(Stdio::piped());
        let doing = || format!("starting an emulated bucket ({python} {})", script.display());
        let mut child = command.spawn().with_context(doing)?;
        let mut url = String::new();
        BufReader::new(child.stdout.take().with_context(doing)?).read_line(&mut url).with_context(doing)?;
        let rehearsal = Self { url: url.trim().to_owned(), child };
        ensure!(!rehearsal.url.is_empty(), "{}: it ended; `make setup` installs what it needs", doing());
        Ok(rehearsal)
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        // It serves until its input ends.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
