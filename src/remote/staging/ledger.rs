//! The state of staging in the folder `.covid-ct-stage` of its target: finished files, and the lock of the running
//! process.

use super::bucket::Object;
use super::fetch::FetchedObject;
use super::folder::Glance;
use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::files::{Digest, read_json, write_json};
use crate::base::parallel::locked;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Makes the folder `state`, and keeps other processes out for as long as the file it returns is open.
pub(super) fn lock(state: &Path) -> Result<File> {
    fs::create_dir_all(state).with_context(|| format!("making the folder {}", state.display()))?;
    ensure!(!state.symlink_metadata()?.is_symlink(), "{} is a link", state.display());
    let path = state.join("lock");
    let lock = File::create(&path).with_context(|| format!("opening {}", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => bail!("another process is staging to this folder"),
        Err(TryLockError::Error(error)) => {
            let told = format!("locking {}: the file system of this folder grants no locks", path.display());
            Err(error).context(told)
        }
    }
}

/// A file that a run finished: it is recognised by size and time, without being read.
#[derive(Serialize, Deserialize)]
pub(super) struct Finished {
    name: String,
    tag: String,
    size: u64,
    modified: u128,
}

impl Finished {
    /// Whether the file is unchanged since it was finished.
    pub(super) fn is(&self, found: Glance) -> bool {
        self.size == found.size && self.modified == found.modified
    }

    /// Whether it was made from this content of the object.
    pub(super) fn came_from(&self, object: &Object) -> bool {
        self.tag == object.tag && self.size == object.size
    }
}

/// The files that runs finished, one per line.
pub(super) struct Ledger {
    path: PathBuf,
    known: BTreeMap<String, Finished>,
    file: Mutex<Option<File>>,
}

impl Ledger {
    pub(super) fn read(state: &Path) -> Result<Self> {
        let path = state.join("finished.jsonl");
        let doing = || format!("reading {}", path.display());
        let text = if path.is_file() { fs::read_to_string(&path).with_context(doing)? } else { String::new() };
        // A line that a kill cut off is ignored; its file is checked again.
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Finished>(line).ok());
        let known = lines.map(|finished| (finished.name.clone(), finished)).collect();
        Ok(Self { path, known, file: Mutex::new(None) })
    }

    pub(super) fn get(&self, name: &str) -> Option<&Finished> {
        self.known.get(name)
    }

    /// Records that a file is finished, and then gives it its name: so every file that staging wrote is in the ledger.
    pub(super) fn finish(&self, object: &Object, fetched: FetchedObject) -> Result<()> {
        let doing = || format!("finishing {}", object.key);
        let Object { name, tag, size, .. } = object.clone();
        let modified = fetched.modified().with_context(doing)?;
        // Begins with a line break, so that an incomplete line before it does no harm.
        let line = format!("\n{}\n", serde_json::to_string(&Finished { name, tag, size, modified })?);
        let mut file = locked(&self.file);
        if file.is_none() {
            *file = Some(OpenOptions::new().create(true).append(true).open(&self.path).with_context(doing)?);
        }
        file.as_mut().map_or(Ok(()), |file| file.write_all(line.as_bytes())).with_context(doing)?;
        fetched.finish().with_context(doing)
    }
}

/// How far an archive was unpacked at the last sync of the disk.
#[derive(Serialize, Deserialize)]
pub(super) struct JournalPosition {
    key: String,
    tag: String,
    size: u64,
    entries: usize,
}

impl JournalPosition {
    /// The file for one archive.
    pub(super) fn file(state: &Path, object: &Object) -> PathBuf {
        state.join(format!("{}.json", Digest::of(object.key.as_bytes()).short()))
    }

    /// Entries of this version of the archive that are on the disk.
    pub(super) fn read(file: &Path, object: &Object) -> Result<usize> {
        let before: Option<Self> = file.is_file().then(|| read_json(file, "the state of an archive")).transpose()?;
        let same = before.filter(|b| b.key == object.key && b.tag == object.tag && b.size == object.size);
        Ok(same.map_or(0, |position| position.entries))
    }

    pub(super) fn write(file: &Path, object: &Object, entries: usize) -> Result<()> {
        let Object { key, tag, size, .. } = object.clone();
        write_json(file, &Self { key, tag, size, entries })
    }
}
