//! A large file of equally long rows, made block by block, memory-mapped when it is whole. A build that is killed goes on
//! where it stopped.

use crate::files::{read_json, write_json};
use anyhow::{Context, Result, bail, ensure};
use memmap2::{Mmap, MmapOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Rows in a block: what is written and journalled together.
const BLOCK: usize = 128;

/// Where the rows lie: `<folder>/<file>`, with `index.json` beside it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) file: &'static str,
    pub(crate) rows: usize,
    pub(crate) row_bytes: usize,
}

/// The whole file.
#[derive(Debug)]
pub(crate) struct Rows {
    map: Option<Mmap>,
    place: Place,
}

impl Place {
    /// Whether the file is whole.
    pub(crate) fn is_built(&self) -> bool {
        self.folder.join("index.json").is_file()
    }

    fn bytes(&self, rows: usize) -> u64 {
        rows as u64 * self.row_bytes as u64
    }

    fn block(&self, number: usize) -> Range<usize> {
        number * BLOCK..((number + 1) * BLOCK).min(self.rows)
    }
}

impl Rows {
    /// Maps a file that is whole and that was made with this `index`.
    pub(crate) fn open<I: DeserializeOwned + PartialEq>(place: &Place, index: &I) -> Result<Self> {
        let advice = "delete the folder to have it built again";
        let doing = || format!("opening {}", place.folder.display());
        let found: I = read_json(&place.folder.join("index.json"), "the index of a cache")?;
        ensure!(found == *index, "{}: it was made from something else; {advice}", doing());
        let file = File::open(place.folder.join(place.file)).with_context(doing)?;
        let (expected, length) = (place.bytes(place.rows), file.metadata().with_context(doing)?.len());
        ensure!(length == expected, "{}: expected {expected} bytes, found {length}; {advice}", doing());
        // SAFETY: the file is complete, was renamed into place and is never written again by this library; changing
        // it from outside while it is mapped is the one thing that must not be done.
        #[allow(unsafe_code)]
        let map = (length > 0).then(|| unsafe { MmapOptions::new().map(&file) }).transpose().with_context(doing)?;
        Ok(Self { map, place: place.clone() })
    }

    /// The bytes of one row.
    ///
    /// # Errors
    /// A number beyond the last row.
    pub(crate) fn row(&self, row: usize) -> Result<&[u8]> {
        let (all, length) = (self.map.as_deref().unwrap_or(&[]), self.place.row_bytes);
        let found = (row < self.place.rows).then(|| all.get(row * length..(row + 1) * length)).flatten();
        let (folder, rows) = (self.place.folder.display(), self.place.rows);
        found.with_context(|| format!("slice {row} is not in the cache {folder} of {rows} slices"))
    }
}

/// A file in the making.
pub(crate) struct Building {
    place: Place,
    rows: File,
    journal: Mutex<File>,
    done: BTreeSet<usize>,
    _lock: File,
}

impl Building {
    /// Begins, or goes on where an earlier build stopped. The journal has a block's number and checksum once its rows
    /// are on disk; blocks whose checksum still fits are kept.
    ///
    /// # Errors
    /// Another process that builds the same file.
    pub(crate) fn begin(place: &Place) -> Result<Self> {
        fs::create_dir_all(&place.folder)?;
        let lock = File::create(place.folder.join("lock"))?;
        if lock.try_lock().is_err() {
            bail!("another process is building it; wait for that one");
        }
        let partial = place.folder.join(format!("{}.partial", place.file));
        let rows = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&partial)?;
        rows.set_len(place.bytes(place.rows))?;
        let journal = place.folder.join("journal");
        let done = finished(&journal, &rows, place)?;
        let journal = Mutex::new(OpenOptions::new().create(true).append(true).open(&journal)?);
        Ok(Self { place: place.clone(), rows, journal, done, _lock: lock })
    }

    /// Rows that an earlier build left.
    pub(crate) fn already(&self) -> usize {
        self.done.iter().map(|&block| self.place.block(block).len()).sum()
    }

    /// The blocks still to be made, as ranges of rows.
    pub(crate) fn missing(&self) -> Vec<Range<usize>> {
        let blocks = (0..self.place.rows.div_ceil(BLOCK)).filter(|block| !self.done.contains(block));
        blocks.map(|block| self.place.block(block)).collect()
    }

    /// Writes one of the [`missing`](Self::missing) blocks.
    pub(crate) fn put(&self, rows: &Range<usize>, bytes: &[u8]) -> Result<()> {
        let expected = self.place.bytes(rows.len());
        ensure!(bytes.len() as u64 == expected, "expected {expected} bytes for rows {rows:?}, found {}", bytes.len());
        self.rows.write_all_at(bytes, self.place.bytes(rows.start))?;
        // Rows first, journal after: a machine that stops between the two only does the block again.
        self.rows.sync_data()?;
        let mut entry = ((rows.start / BLOCK) as u64).to_le_bytes().to_vec();
        entry.extend(crc32fast::hash(bytes).to_le_bytes());
        self.journal.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).write_all(&entry)?;
        Ok(())
    }

    /// Names the file what it is called when whole.
    pub(crate) fn finish(self, index: &impl Serialize) -> Result<()> {
        let Place { folder, file, .. } = &self.place;
        fs::rename(folder.join(format!("{file}.partial")), folder.join(file))?;
        write_json(&folder.join("index.json"), index)?;
        fs::remove_file(folder.join("journal"))?;
        Ok(())
    }
}

fn finished(journal: &Path, rows: &File, place: &Place) -> Result<BTreeSet<usize>> {
    let mut entries = Vec::new();
    if let Ok(mut file) = File::open(journal) {
        file.read_to_end(&mut entries)?;
    }
    let mut done = BTreeSet::new();
    for entry in entries.chunks_exact(12) {
        let (number, checksum) = entry.split_at(8);
        let number = u64::from_le_bytes(number.try_into()?) as usize;
        if number >= place.rows.div_ceil(BLOCK) {
            continue;
        }
        let block = place.block(number);
        let mut bytes = vec![0; place.bytes(block.len()) as usize];
        rows.read_exact_at(&mut bytes, place.bytes(block.start))?;
        if crc32fast::hash(&bytes).to_le_bytes() == checksum {
            done.insert(number);
        }
    }
    Ok(done)
}
