//! Rows that are written in any order, of which a selection is kept.

use super::row_table::Spot;
use super::{CachedRow, Growing, Place, name_it};
use crate::base::errors::{Context, Result};
use crate::base::files::{begin_partial, lock_or_wait};
use crate::base::parallel::locked;
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tempfile::TempPath;

/// Rows that are written one by one during another task; which of them are kept is decided at the end. Nothing is kept
/// when the process is killed.
pub(crate) struct Filling {
    folder: PathBuf,
    rows: Growing,
    spots: Mutex<Vec<Spot>>,
    /// Removes the file where it was not finished.
    partial: TempPath,
}

impl Filling {
    pub(crate) fn begin(folder: &Path) -> Result<Self> {
        let (file, partial) = begin_partial(folder)?.into_parts();
        let rows = Growing { file, path: partial.to_path_buf(), end: Mutex::new(0) };
        Ok(Self { folder: folder.to_owned(), rows, spots: Mutex::default(), partial })
    }

    /// The parent folder of the finished file's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn put(&self, number: usize, row: &CachedRow) -> Result<()> {
        let spot = Spot::of(&row.bytes, row.mark, self.rows.add(&row.bytes)?);
        let mut spots = locked(&self.spots);
        if spots.len() <= number {
            spots.resize(number + 1, Spot::default());
        }
        spots[number] = spot;
        Ok(())
    }

    /// Finishes the file with the rows `kept`, in this order. If another process builds the same file, waits for it and
    /// uses its file.
    pub(crate) fn finish(self, place: &Place, kept: &[usize], made_from: &impl Serialize) -> Result<()> {
        let spots = self.spots.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        let spot = |&row: &usize| spots.get(row).copied().with_context(|| format!("row {row} was never filled"));
        let spots = kept.iter().map(spot).collect::<Result<Vec<Spot>>>()?;
        self.rows.sync()?;
        fs::create_dir_all(&place.folder)?;
        let _lock = lock_or_wait(&place.folder.join("lock"), || ())?;
        if place.is_built() {
            return Ok(());
        }
        name_it(&self.partial, place, spots, made_from)
    }
}
