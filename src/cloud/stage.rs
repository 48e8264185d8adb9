//! Staging from a notebook: the command line does it, for the notebooks' kernel is built without object stores.

use super::config::CloudConfig;
use crate::progress::Progress;
use crate::table::{Table, shown_as_table};
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

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
        let folder = self.folder.display();
        let mut table = Table::new(format!("{} in {folder}", self.url), &["Name", "Size", "Now"]);
        for row in &self.rows {
            table.row(row.clone());
        }
        if self.rehearsed {
            table = table.note(
                "A rehearsal: the phantom's archives in a bucket emulated on this machine. COVID_CT_BUCKET=gs://NAME \
                 names a real one.",
            );
        }
        table
            .note(
                "What was unpacked now was held against the CRC-32 that its archive states. What an earlier run had \
                 synced to the disk was known by size and time of last change, and not read again.",
            )
            .note(format!("01_dataset begins here: COVID_CT_DATA={folder} make lab"))
    }
}

shown_as_table!(Fetched);

/// Brings the archives' slices from the bucket that `COVID_CT_BUCKET` names (`gs://NAME/path`) to `data/<bucket>` in the
/// workspace with `covid-ct stage --stream`; without one, the phantom from a bucket emulated on this machine, to
/// `data/from-bucket`. What is there already is kept, so it may be called again and after a kill. `progress` gets the
/// lines that the program prints.
///
/// # Errors
/// The command line is not built, no emulator among the Python packages, or what staging itself complains about.
pub fn stage(workspace: &Workspace, config: &CloudConfig, progress: impl FnMut(&str)) -> Result<Fetched> {
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
    let out = listen(&mut command, progress).with_context(doing)?;
    let rows = serde_json::from_slice(&out).with_context(doing)?;
    Ok(Fetched { url, rehearsed: rehearsal.is_some(), folder, rows })
}

/// Runs one of our own programs: lines of standard error go to `progress`, standard output is returned.
///
/// Both streams are read at once: a program that has filled one of them waits until somebody reads it.
fn listen(command: &mut Command, mut progress: impl FnMut(&str)) -> Result<Vec<u8>> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (out, errors) = (child.stdout.take(), child.stderr.take());
    let out = thread::spawn(move || {
        let mut bytes = Vec::new();
        out.map_or(Ok(0), |mut out| out.read_to_end(&mut bytes)).map(|_| bytes)
    });
    let mut complaint = Complaint::default();
    for line in BufReader::new(errors.context("its standard error is closed")?).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        complaint.hear(&line);
        progress(&line);
    }
    let status = child.wait()?;
    let out = out.join().unwrap_or_else(|_| Err(std::io::Error::other("the thread that read its output panicked")))?;
    if !status.success() {
        bail!(complaint.of(status));
    }
    Ok(out)
}

/// The program's last error, which may have several lines, among lines of progress.
#[derive(Default)]
struct Complaint(Vec<String>);

impl Complaint {
    fn hear(&mut self, line: &str) {
        if line.starts_with("covid-ct: ") || line.starts_with("error: ") {
            self.0.clear();
            self.0.push(line.to_owned());
        } else if !self.0.is_empty() {
            self.0.push(line.to_owned());
        }
    }

    fn of(&self, status: ExitStatus) -> String {
        let said = self.0.join("\n").trim_end().to_owned();
        match (status.signal(), said.is_empty()) {
            (Some(signal), _) => format!("it was killed by signal {signal} (9: by somebody, or for want of memory)"),
            (None, true) => format!("it ended with {status} and said nothing"),
            (None, false) => said,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(script: &str) -> Result<Vec<u8>> {
        listen(Command::new("sh").args(["-c", script]), |_| ())
    }

    #[test]
    fn both_streams_are_read_however_much_comes() {
        let out = heard("head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero");
        assert_eq!(out.expect("does not hang").len(), 600_000);
    }

    #[test]
    fn the_error_is_the_programs_own_and_whole() {
        let error = heard("echo 'stage: 3/9 MB' >&2; echo 'covid-ct: no\nbecause' >&2; exit 1").expect_err("fails");
        assert_eq!(error.to_string(), "covid-ct: no\nbecause");
        let error = heard("echo 'stage: 3/9 MB' >&2; exit 4").expect_err("fails");
        assert_eq!(error.to_string(), "it ended with exit status: 4 and said nothing");
        let error = heard("echo 'stage: 3/9 MB' >&2; kill -9 $$").expect_err("is killed");
        assert!(error.to_string().starts_with("it was killed by signal 9"), "{error}");
    }
}
