//! Rows that are written in any order, of which a selection is kept.

use super::{Growing, Place, Spot, name_it};
use crate::base::parallel::locked;
use anyhow::{Context, Result};
use serde::Serialize;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Prefix of the folders of unfinished files; the process id follows.
const MAKING: &str = "making-";

/// Removes unfinished files of processes that have ended.
fn clear_away(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(MAKING).and_then(|rest| rest.split_once('-')).map(|(process, _)| process);
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            // Files that cannot be removed only take space.
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// Rows that are written one by one during another task; which of them are kept is decided at the end. Nothing is kept
/// when the process is killed.
pub(crate) struct Filling {
    folder: PathBuf,
    making: tempfile::TempDir,
    rows: Growing,
    spots: Mutex<Vec<Spot>>,
}

impl Filling {
    pub(crate) fn begin(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        clear_away(folder);
        let making = format!("{MAKING}{}-", std::process::id());
        let making = tempfile::Builder::new().prefix(&making).tempdir_in(folder)?;
        let rows = Growing { file: File::create(making.path().join("rows"))?, end: Mutex::new(0) };
        Ok(Self { folder: folder.to_owned(), making, rows, spots: Mutex::default() })
    }

    /// The parent folder of the finished file's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn put(&self, row: usize, bytes: &[u8]) -> Result<()> {
        let spot = Spot { offset: self.rows.add(bytes)?, length: bytes.len() as u32 };
        let mut spots = locked(&self.spots);
        if spots.len() <= row {
            spots.resize(row + 1, Spot::default());
        }
        spots[row] = spot;
        Ok(())
    }

    /// Finishes the file with the rows `kept`, in this order. If another process builds the same file, waits for it and
    /// uses its file.
    pub(crate) fn finish(self, place: &Place, kept: &[usize], index: &impl Serialize) -> Result<()> {
        let spots = self.spots.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        let spot = |&row: &usize| spots.get(row).copied().with_context(|| format!("row {row} was never filled"));
        let spots = kept.iter().map(spot).collect::<Result<Vec<Spot>>>()?;
        self.rows.file.sync_all()?;
        fs::create_dir_all(&place.folder)?;
        let lock = File::create(place.folder.join("lock"))?;
        lock.lock()?;
        if place.is_built() {
            return Ok(());
        }
        name_it(&self.making.path().join("rows"), place, &spots, index)
    }
}
