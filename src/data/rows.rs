//! A large file of rows, built block by block and memory-mapped when complete. A build that is killed resumes where it
//! stopped.
//!
//! `<folder>/<file>` holds the rows, roughly in order; `<file>.rows` holds the offset and length of each; `index.json`,
//! which is written last, describes what they were made from.

use crate::base::files::{read_json, write_json, write_whole};
use crate::base::parallel::locked;
use anyhow::{Context, Result, ensure};
use memmap2::{Advice, Mmap, MmapOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

mod building;
mod filling;
#[cfg(test)]
mod tests;

pub(crate) use building::Building;
pub(crate) use filling::Filling;

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
    /// Whether the file is complete.
    pub(crate) fn is_built(&self) -> bool {
        self.folder.join("index.json").is_file()
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}{ending}", self.file))
    }

    fn block(&self, number: usize) -> Range<usize> {
        number * BLOCK..((number + 1) * BLOCK).min(self.rows)
    }
}

/// Where a row lies in the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Spot {
    offset: u64,
    length: u32,
}

/// Bytes of a spot in a file: offset and length, little-endian.
const SPOT: usize = 12;

impl Spot {
    fn to_bytes(self) -> [u8; SPOT] {
        let mut bytes = [0; SPOT];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (offset, length) = bytes.split_at_checked(8)?;
        Some(Self {
            offset: u64::from_le_bytes(offset.try_into().ok()?),
            length: u32::from_le_bytes(length.try_into().ok()?),
        })
    }

    fn end(self) -> u64 {
        self.offset.saturating_add(u64::from(self.length))
    }
}

/// The whole file.
#[derive(Debug)]
pub(crate) struct Rows {
    map: Option<Mmap>,
    spots: Vec<Spot>,
    folder: PathBuf,
}

impl Rows {
    /// Maps a file that is whole and that was made with this `index`.
    pub(crate) fn open<I: DeserializeOwned + PartialEq>(place: &Place, index: &I) -> Result<Self> {
        let advice = "delete the folder to have it built again";
        let doing = || format!("opening {}", place.folder.display());
        let found: I = read_json(&place.folder.join("index.json"), "the index of a cache")?;
        ensure!(found == *index, "{}: it was made from something else; {advice}", doing());
        let table = fs::read(place.path(".rows")).with_context(doing)?;
        let spots: Vec<Spot> = table.chunks(SPOT).filter_map(Spot::of_bytes).collect();
        let (rows, length) = (place.rows, table.len());
        ensure!(
            length == rows * SPOT && spots.len() == rows,
            "{}: expected a table of {rows} rows ({} bytes), found {length} bytes; {advice}",
            doing(),
            rows * SPOT
        );
        let file = File::open(place.path("")).with_context(doing)?;
        let (last, length) = (spots.iter().map(|s| s.end()).max(), file.metadata().with_context(doing)?.len());
        let expected = last.unwrap_or(0);
        ensure!(length >= expected, "{}: expected {expected} bytes, found {length}; {advice}", doing());
        // SAFETY: the file is complete, was renamed into place and is never written again by this library; changing
        // it from outside while it is mapped is the one thing that must not be done.
        #[allow(unsafe_code)]
        let map = (length > 0).then(|| unsafe { MmapOptions::new().map(&file) }).transpose().with_context(doing)?;
        if let Some(map) = &map {
            // Otherwise reading a row from disk would also read its neighbours, which are needed at another time.
            map.advise(Advice::Random).ok();
        }
        Ok(Self { map, spots, folder: place.folder.clone() })
    }

    /// The bytes of one row.
    ///
    /// # Errors
    /// A number beyond the last row.
    pub(crate) fn row(&self, row: usize) -> Result<&[u8]> {
        let all = self.map.as_deref().unwrap_or(&[]);
        let found = self.spots.get(row).and_then(|spot| all.get(spot.offset as usize..spot.end() as usize));
        let (folder, rows) = (self.folder.display(), self.spots.len());
        found.with_context(|| format!("slice {row} is not in the cache {folder} of {rows} slices"))
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.spots.iter().map(|spot| u64::from(spot.length)).sum()
    }

    /// Asks the system to read these rows ahead, in the order of the file; neighbouring rows are read in one piece.
    pub(crate) fn read_ahead(&self, rows: &[usize]) {
        // The system may read only the beginning of larger pieces.
        const AT_ONCE: usize = 128 << 10;
        let Some(map) = &self.map else { return };
        for piece in self.pieces(rows) {
            for begin in piece.clone().step_by(AT_ONCE) {
                // Advice only: without it the rows are read when they are needed.
                map.advise_range(Advice::WillNeed, begin, AT_ONCE.min(piece.end - begin)).ok();
            }
        }
    }

    /// Tells the system that these rows may be dropped first when memory is short, since they will not be used again
    /// soon.
    pub(crate) fn release(&self, rows: &[usize]) {
        const PAGE: usize = 4096;
        let Some(map) = &self.map else { return };
        for piece in self.pieces(rows) {
            // Pages that hold no other rows.
            let (begin, end) = (piece.start.next_multiple_of(PAGE), piece.end / PAGE * PAGE);
            if begin < end {
                let pages = &map[begin..end];
                // SAFETY: the range lies within the map, and this advice changes no content.
                #[allow(unsafe_code)]
                unsafe {
                    libc::madvise(pages.as_ptr().cast_mut().cast(), pages.len(), libc::MADV_COLD);
                }
            }
        }
    }

    /// The locations of rows in the order of the file; neighbouring rows are merged into one piece.
    fn pieces(&self, rows: &[usize]) -> Vec<Range<usize>> {
        const GAP: u64 = 64 << 10;
        let mut spots: Vec<Spot> = rows.iter().filter_map(|&row| self.spots.get(row).copied()).collect();
        spots.sort_unstable_by_key(|spot| spot.offset);
        let close = spots.chunk_by(|a, b| b.offset <= a.end() + GAP);
        close.map(|piece| piece[0].offset as usize..piece[piece.len() - 1].end() as usize).collect()
    }
}

/// A file in the making, to which rows are added at the end.
struct Growing {
    file: File,
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
        self.file.write_all_at(bytes, begin)?;
        Ok(begin)
    }
}

/// Renames a complete file into place, with the table of its rows, and writes the index last.
fn name_it(partial: &Path, place: &Place, spots: &[Spot], index: &impl Serialize) -> Result<()> {
    let table: Vec<u8> = spots.iter().flat_map(|spot| spot.to_bytes()).collect();
    write_whole(&place.path(".rows"), &table)?;
    fs::rename(partial, place.path(""))?;
    write_json(&place.folder.join("index.json"), index)
}
