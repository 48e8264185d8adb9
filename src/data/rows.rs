//! A large file of rows, built block by block, and read row by row; each row is compared with its checksum as it is read.
//! A build that is killed resumes where it stopped.
//!
//! `<folder>/<file>` holds the rows, roughly in order; `<file>.rows` holds the place, checksum and mark of each;
//! `index.json`, which is written last, describes what they were made from, and holds the SHA-256 of `<file>.rows`.
//!
//! The file is not mapped into memory: a mapped file that is cut, or a disk that fails, would end the program by a signal.

use crate::base::errors::{Context, Result, ensure};
use crate::base::files::{read_json, write_json, write_whole};
use crate::base::parallel::locked;
use crate::base::regular_file::{JSON_AT_MOST, open_regular, read_regular};
use rustix::fs::{Advice, fadvise};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

mod building;
mod filling;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzed_rows;
mod row_table;
#[cfg(test)]
mod tests;

pub(crate) use building::Building;
pub(crate) use filling::Filling;
use row_table::{FORMAT, RowIndex, RowTable, Spot};

/// Rows in a block: what is written and journalled together.
pub(crate) const BLOCK: usize = 128;

/// The location of the rows: `<folder>/<file>`, with `index.json` next to it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) file: &'static str,
    pub(crate) rows: usize,
}

impl Place {
    /// Whether the file is complete, and not one of an earlier version.
    pub(crate) fn is_built(&self) -> bool {
        self.index().is_file() && !self.is_without_checksums()
    }

    /// Whether an earlier version built the file: then it is built again.
    fn is_without_checksums(&self) -> bool {
        let found = read_regular(&self.index(), JSON_AT_MOST).ok().and_then(|json| serde_json::from_slice(&json).ok());
        found.is_some_and(|index: serde_json::Map<_, _>| {
            !RowIndex::<()>::KEYS.iter().any(|key| index.contains_key(*key))
        })
    }

    fn index(&self) -> PathBuf {
        self.folder.join("index.json")
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}{ending}", self.file))
    }

    fn block(&self, number: usize) -> Range<usize> {
        number * BLOCK..((number + 1) * BLOCK).min(self.rows)
    }
}

/// A row to be written: its bytes, and a mark that is known without reading them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CachedRow {
    pub(crate) bytes: Vec<u8>,
    pub(crate) mark: u8,
}

/// When rows are compared with their checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checking {
    /// Whenever they are read.
    Always,
    /// When a process reads them for the first time: for small rows that are read again and again.
    Once,
}

/// The whole file.
#[derive(Debug)]
pub(crate) struct Rows {
    file: File,
    path: PathBuf,
    folder: PathBuf,
    table: RowTable,
    /// Which rows were compared with their checksums; empty where they always are.
    compared: Vec<AtomicBool>,
}

impl Rows {
    /// Opens a file that is whole and that was made with this `index`.
    pub(crate) fn open<I: DeserializeOwned + PartialEq>(place: &Place, index: &I, checking: Checking) -> Result<Self> {
        let doing = || format!("opening {}, which can be deleted to have it built again", place.folder.display());
        let found: RowIndex<I> = read_json(&place.index(), "the index of a cache").with_context(doing)?;
        let format = found.format;
        ensure!(format == FORMAT, "{}: expected the format {FORMAT}, found {format}, of another version", doing());
        ensure!(found.made_from == *index, "{}: it was made from something else", doing());
        let table = RowTable::read(&place.path(".rows"), place.rows, found.table).with_context(doing)?;
        let path = place.path("");
        let file = open_regular(&path).with_context(doing)?;
        let (expected, length) = (table.end(), file.metadata().with_context(doing)?.len());
        ensure!(length >= expected, "{}: expected {expected} bytes in {}, found {length}", doing(), path.display());
        // Otherwise reading a row from disk would also read its neighbours, which are needed at another time.
        fadvise(&file, 0, None, Advice::Random).ok();
        let compared = if checking == Checking::Once { place.rows } else { 0 };
        let compared = (0..compared).map(|_| AtomicBool::new(false)).collect();
        Ok(Self { file, path, folder: place.folder.clone(), table, compared })
    }

    /// Appends the bytes of rows to `bytes`, one row after the other.
    ///
    /// # Errors
    /// A number beyond the last row; bytes that are not those that were written.
    pub(crate) fn read(&self, rows: &[usize], bytes: &mut Vec<u8>) -> Result<()> {
        let mut rest = rows;
        while let Some(&row) = rest.first() {
            let first = self.spot(row)?;
            let mut end = first.end();
            let mut count = 1;
            // Rows side by side are read in one piece.
            while let Some(next) = rest.get(count).and_then(|row| self.table.spot(*row)) {
                if next.offset != end || end - first.offset >= AT_ONCE {
                    break;
                }
                end = next.end();
                count += 1;
            }
            let (piece, later) = rest.split_at(count);
            self.read_piece(piece, first.offset..end, bytes)?;
            rest = later;
        }
        Ok(())
    }

    /// Rows that lie side by side.
    fn read_piece(&self, rows: &[usize], place: Range<u64>, bytes: &mut Vec<u8>) -> Result<()> {
        let begin = bytes.len();
        bytes.resize(begin + (place.end - place.start) as usize, 0);
        self.file.read_exact_at(&mut bytes[begin..], place.start).with_context(|| {
            format!("reading slice {} from the bytes {place:?} of {}; {}", rows[0], self.path.display(), self.advice())
        })?;
        let mut rest = &bytes[begin..];
        for &row in rows {
            let spot = self.spot(row)?;
            let (own, later) = rest.split_at(spot.length as usize);
            self.compare(row, spot, own)?;
            rest = later;
        }
        Ok(())
    }

    fn compare(&self, row: usize, spot: Spot, bytes: &[u8]) -> Result<()> {
        let compared = self.compared.get(row);
        if compared.is_some_and(|compared| compared.load(Ordering::Relaxed)) {
            return Ok(());
        }
        let (expected, found) = (spot.checksum, crc32c::crc32c(bytes));
        ensure!(
            found == expected,
            "slice {row} in {} is damaged: its CRC-32C should be {expected:08x}, it is {found:08x}; {}",
            self.path.display(),
            self.advice()
        );
        if let Some(compared) = compared {
            compared.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn advice(&self) -> String {
        format!("delete the folder {} and run this again to have it built anew", self.folder.display())
    }

    fn spot(&self, row: usize) -> Result<Spot> {
        let (folder, rows) = (self.folder.display(), self.table.rows());
        self.table.spot(row).with_context(|| format!("slice {row} is not in the cache {folder} of {rows} slices"))
    }

    /// The mark of a row.
    ///
    /// # Errors
    /// A number beyond the last row.
    pub(crate) fn mark(&self, row: usize) -> Result<u8> {
        Ok(self.spot(row)?.mark)
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.table.bytes()
    }

    /// Asks the system to read these rows ahead, in the order of the file; neighbouring rows are read in one piece.
    pub(crate) fn read_ahead(&self, rows: &[usize]) {
        for piece in self.pieces(rows) {
            let mut begin = piece.start;
            // The system may read only the beginning of larger pieces.
            while let Some(length) = NonZeroU64::new(AT_ONCE.min(piece.end - begin)) {
                // Advice only: without it the rows are read when they are needed.
                fadvise(&self.file, begin, Some(length), Advice::WillNeed).ok();
                begin += length.get();
            }
        }
    }

    /// The locations of rows in the order of the file; neighbouring rows are merged into one piece.
    fn pieces(&self, rows: &[usize]) -> Vec<Range<u64>> {
        const GAP: u64 = 64 << 10;
        let mut spots: Vec<Spot> = rows.iter().filter_map(|&row| self.table.spot(row)).collect();
        spots.sort_unstable_by_key(|spot| spot.offset);
        let close = spots.chunk_by(|a, b| b.offset <= a.end() + GAP);
        close.map(|piece| piece[0].offset..piece[piece.len() - 1].end()).collect()
    }
}

/// Bytes that are read in one piece.
const AT_ONCE: u64 = 128 << 10;

/// A file in the making, to which rows are added at the end.
struct Growing {
    file: File,
    path: PathBuf,
    end: Mutex<u64>,
}

impl Growing {
    /// Adds bytes and returns where they begin.
    fn add(&self, bytes: &[u8]) -> Result<u64> {
        let begin = {
            let mut end = locked(&self.end);
            *end += bytes.len() as u64;
            *end - bytes.len() as u64
        };
        self.file.write_all_at(bytes, begin).with_context(|| format!("writing {}", self.path.display()))?;
        Ok(begin)
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_all().with_context(|| format!("writing {}", self.path.display()))
    }
}

/// Renames a complete file into place, with the table of its rows, and writes the index last.
fn name_it(partial: &Path, place: &Place, spots: Vec<Spot>, made_from: &impl Serialize) -> Result<()> {
    let table = RowTable::of(spots).to_bytes();
    write_whole(&place.path(".rows"), &table)?;
    let path = place.path("");
    fs::rename(partial, &path).with_context(|| format!("renaming {} to {}", partial.display(), path.display()))?;
    write_json(&place.index(), &RowIndex::of(&table, made_from))
}
