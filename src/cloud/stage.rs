//! Staging from a notebook: the command line does it, for the notebooks' kernel is built without object stores.

use super::config::CloudConfig;
use crate::progress::Progress;
use crate::table::{Table, shown_as_table};
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What [`stage`] brought.
#[derive(Debug, Clone, PartialEq)]
pub struct Fetched {
    /// Where from.
    pub url: String,
    /// Whether the bucket was a rehearsal's, on this machine.
    pub rehearsed: bool,
    /// The folder that holds the data set now.
    pub folder: PathBuf,
    rows: Vec<Vec<String>>,
}

impl Fetched {
    fn table(&self) -> Table {
        let mut table = Table::new(format!("{} in {}", self.url, self.folder.display()), &["Name", "Size", "Now"]);
        for row in &self.rows {
            table.row(row.clone());
        }
        if self.rehearsed {
            table = table.note(
                "A rehearsal: the phantom's archives in a bucket emulated on this machine. COVID_CT_BUCKET=gs://NAME \
                 names a real one.",
            );
        }
        table.note("Every byte was held against the checksum that bucket and archive state.")
    }
}

shown_as_table!(Fetched);

/// Brings the archives' slices from the bucket that `COVID_CT_BUCKET` names (`gs://NAME/path`) to `data/<bucket>` in the
/// workspace with `covid-ct stage --stream`; without one, the phantom from a bucket emulated on this machine. What is
/// there already is kept, so it may be called again and after a kill. `progress` gets the lines that the program prints.
///
/// # Errors
/// The command line is not built, no emulator among the Python packages, or what staging itself complains about.
pub fn stage(workspace: &Workspace, config: &CloudConfig, mut progress: impl FnMut(&str)) -> Result<Fetched> {
    let named = std::env::var("COVID_CT_BUCKET").ok().filter(|url| !url.is_empty());
    let url = named.clone().unwrap_or_else(|| format!("gs://{}", config.bucket));
    let bucket = url.trim_start_matches("gs://").trim_end_matches('/').replace('/', "-");
    let folder = workspace.home().join("data").join(if named.is_some() { &bucket } else { "from-bucket" });
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("covid-ct");
    let mut command = Command::new(&program);
    command.args(["stage", "--stream", "--json", &url]).arg(&folder);
    let rehearsal = match named {
        Some(_) => None,
        None => {
            let phantom = Workspace::at(Some(workspace.home().to_owned()), None)?;
            let silent = |_: &Progress| ();
            let rehearsal = Rehearsal::start(&phantom.dataset(silent)?, &config.bucket)?;
            command.env("GOOGLE_BASE_URL", &rehearsal.url).env("GOOGLE_SKIP_SIGNATURE", "true");
            Some(rehearsal)
        }
    };
    let doing = || format!("staging {url} with {}", program.display());
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().with_context(doing)?;
    let mut last = String::new();
    for line in BufReader::new(child.stderr.take().with_context(doing)?).lines() {
        last = line.with_context(doing)?;
        progress(&last);
    }
    let output = child.wait_with_output().with_context(doing)?;
    ensure!(output.status.success(), "{last}");
    let rows = serde_json::from_slice(&output.stdout).with_context(doing)?;
    Ok(Fetched { url, rehearsed: rehearsal.is_some(), folder, rows })
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
        let doing = || format!("starting a bucket to rehearse with ({python} {})", script.display());
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
        // Its end of input is what it waits for.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
