//! Builds rows block by block, with a journal from which a killed build resumes.

use super::row_table::{MEASURES, Spot};
use super::{BLOCK, Growing, Place, name_it};
use crate::base::errors::{Context, Result, ensure};
use crate::base::files::{lock_or_wait, write_whole};
use crate::base::parallel::locked;
use crate::base::regular_file::read_regular;
use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The longest journal that is read, in bytes; there are about 13 to a row.
const JOURNAL_AT_MOST: u64 = 2_000_000_000;

/// Rows that are built block by block; finished blocks survive a kill.
pub(crate) struct Building {
    place: Place,
    rows: Growing,
    journal: PathBuf,
    /// The journal, and the location of each finished row.
    done: Mutex<(File, Vec<Option<Spot>>)>,
    _lock: File,
}

impl Building {
    /// Begins, or resumes an earlier build; `None` where the file is already complete. The journal has the number and
    /// place of each block that was written, and the checksums of its rows; blocks whose checksums still fit are kept.
    /// If another process builds the same file, waits for it, and resumes its build if it was killed. `say` is told of
    /// that, and of a file of an earlier version, which is removed.
    pub(crate) fn begin(place: &Place, say: impl Fn(&str)) -> Result<Option<Self>> {
        if place.is_built() {
            return Ok(None);
        }
        fs::create_dir_all(&place.folder)?;
        let waiting = || say("another process is building it: waiting for that one to end");
        let _lock = lock_or_wait(&place.folder.join("lock"), waiting)?;
        // Another process may have completed it meanwhile.
        if place.is_built() {
            return Ok(None);
        }
        if place.is_without_checksums() {
            say("built again: the one there is of an earlier version, without checksums");
            for old in [place.index(), place.path(".rows"), place.path("")] {
                remove(&old)?;
            }
        }
        let (partial, journal) = (place.path(".partial"), place.folder.join("journal"));
        let opening = || format!("opening {}", partial.display());
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&partial).with_context(opening)?;
        let entries: Vec<Entry> =
            Entry::read_all(&journal, place).into_iter().filter(|entry| entry.fits(&file).unwrap_or(false)).collect();
        // Drops an incomplete last entry, so that new entries follow complete ones.
        let kept: Vec<u8> = entries.iter().flat_map(|entry| entry.to_bytes()).collect();
        write_whole(&journal, &kept)?;
        let mut spots = vec![None; place.rows];
        let mut end = 0;
        for entry in &entries {
            for (row, spot) in place.block(entry.block).zip(&entry.spots) {
                spots[row] = Some(*spot);
                end = end.max(spot.end());
            }
        }
        let appending = || format!("opening {}", journal.display());
        let done = OpenOptions::new().append(true).open(&journal).with_context(appending)?;
        let rows = Growing { file, path: partial, end: Mutex::new(end) };
        Ok(Some(Self { place: place.clone(), rows, journal, done: Mutex::new((done, spots)), _lock }))
    }

    /// The number of rows that are already built.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn already(&self) -> usize {
        locked(&self.done).1.iter().flatten().count()
    }

    /// The blocks still to be made, as ranges of rows.
    pub(crate) fn missing(&self) -> Vec<Range<usize>> {
        let done = locked(&self.done);
        let blocks = (0..self.place.rows.div_ceil(BLOCK)).map(|number| self.place.block(number));
        blocks.filter(|block| done.1[block.start].is_none()).collect()
    }

    /// Writes one of the [`missing`](Self::missing) blocks.
    pub(crate) fn put<'r>(&self, block: &Range<usize>, rows: impl IntoIterator<Item = (&'r [u8], u8)>) -> Result<()> {
        let (mut bytes, mut spots) = (Vec::new(), Vec::with_capacity(block.len()));
        for (row, mark) in rows {
            spots.push(Spot::of(row, mark, bytes.len() as u64));
            bytes.extend_from_slice(row);
        }
        let (found, expected) = (spots.len(), block.len());
        ensure!(found == expected, "expected {expected} rows for {block:?}, found {found}");
        let offset = self.rows.add(&bytes)?;
        spots.iter_mut().for_each(|spot| spot.offset += offset);
        // Not flushed to disk here: rows that are lost when the machine stops no longer match their checksums.
        let entry = Entry { block: block.start / BLOCK, spots };
        let mut done = locked(&self.done);
        let writing = || format!("writing {}", self.journal.display());
        done.0.write_all(&entry.to_bytes()).with_context(writing)?;
        for (row, spot) in block.clone().zip(entry.spots) {
            done.1[row] = Some(spot);
        }
        Ok(())
    }

    /// Renames the complete file into place.
    pub(crate) fn finish(self, made_from: &impl Serialize) -> Result<()> {
        let (_, spots) = self.done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        let whole: Vec<Spot> = spots.iter().flatten().copied().collect();
        let (made, rows) = (whole.len(), self.place.rows);
        ensure!(made == rows, "expected {rows} rows, {made} were made");
        self.rows.sync()?;
        name_it(&self.rows.path, &self.place, whole, made_from)?;
        remove(&self.journal)
    }
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done.with_context(|| format!("removing {}", path.display())),
    }
}

/// A finished block in the journal: its rows lie side by side.
struct Entry {
    block: usize,
    spots: Vec<Spot>,
}

impl Entry {
    /// Block, offset of its first row, measures of its rows, and a CRC-32C of all that; little-endian.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = (self.block as u64).to_le_bytes().to_vec();
        bytes.extend(self.spots.first().map_or(0, |first| first.offset).to_le_bytes());
        bytes.extend(self.spots.iter().flat_map(|spot| spot.measures()));
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// The entries of a journal up to the first incomplete one.
    fn read_all(journal: &Path, place: &Place) -> Vec<Self> {
        let bytes = read_regular(journal, JOURNAL_AT_MOST).unwrap_or_default();
        let (mut rest, mut entries) = (bytes.as_slice(), Vec::new());
        while let Some((entry, tail)) = Self::read(rest, place) {
            entries.push(entry);
            rest = tail;
        }
        entries
    }

    fn read<'a>(bytes: &'a [u8], place: &Place) -> Option<(Self, &'a [u8])> {
        let (block, rest) = bytes.split_first_chunk()?;
        let block = usize::try_from(u64::from_le_bytes(*block)).ok().filter(|at| *at < place.rows.div_ceil(BLOCK))?;
        let (offset, rest) = rest.split_first_chunk()?;
        let (measures, rest) = rest.split_at_checked(MEASURES * place.block(block).len())?;
        let (checksum, rest) = rest.split_first_chunk()?;
        let own = &bytes[..bytes.len() - rest.len() - checksum.len()];
        if crc32c::crc32c(own) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let measures = measures.chunks_exact(MEASURES).filter_map(|of| of.try_into().ok());
        let spots = measures.scan(u64::from_le_bytes(*offset), |next, measures| {
            let spot = Spot::measured(*next, measures);
            *next = spot.end();
            Some(spot)
        });
        Some((Self { block, spots: spots.collect() }, rest))
    }

    /// Whether the rows still match their checksums.
    fn fits(&self, rows: &File) -> Result<bool> {
        let mut bytes = Vec::new();
        for spot in &self.spots {
            bytes.resize(spot.length as usize, 0);
            rows.read_exact_at(&mut bytes, spot.offset)?;
            if crc32c::crc32c(&bytes) != spot.checksum {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
