//! Builds rows block by block, with a journal from which a killed build resumes.

use super::{BLOCK, Growing, Place, Spot, name_it};
use crate::base::files::{lock, write_whole};
use crate::base::parallel::locked;
use anyhow::{Result, ensure};
use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;

/// Rows that are built block by block; finished blocks survive a kill.
pub(crate) struct Building {
    place: Place,
    rows: Growing,
    /// The journal, and the location of each finished row.
    done: Mutex<(File, Vec<Option<Spot>>)>,
    _lock: File,
}

impl Building {
    /// Begins, or resumes an earlier build; `None` where the file is already complete. The journal has the number,
    /// place and checksum of each block that was written; blocks whose checksum still fits are kept.
    ///
    /// # Errors
    /// Another process that builds the same file.
    pub(crate) fn begin(place: &Place) -> Result<Option<Self>> {
        if place.is_built() {
            return Ok(None);
        }
        fs::create_dir_all(&place.folder)?;
        let _lock = lock(&place.folder.join("lock"), "another process is building it; wait for that one")?;
        // Another process may have completed it meanwhile.
        if place.is_built() {
            return Ok(None);
        }
        let partial = place.path(".partial");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&partial)?;
        let journal = place.folder.join("journal");
        let entries: Vec<Entry> =
            Entry::read_all(&journal, place).into_iter().filter(|entry| entry.fits(&file).unwrap_or(false)).collect();
        // Drops an incomplete last entry, so that new entries follow complete ones.
        let kept: Vec<u8> = entries.iter().flat_map(|entry| entry.to_bytes()).collect();
        write_whole(&journal, &kept)?;
        let mut spots = vec![None; place.rows];
        let mut end = 0;
        for entry in &entries {
            for (row, spot) in place.block(entry.block).zip(entry.spots()) {
                spots[row] = Some(spot);
                end = end.max(spot.end());
            }
        }
        let journal = OpenOptions::new().append(true).open(&journal)?;
        let rows = Growing { file, end: Mutex::new(end) };
        Ok(Some(Self { place: place.clone(), rows, done: Mutex::new((journal, spots)), _lock }))
    }

    /// The number of rows that are already built.
    pub(crate) fn already(&self) -> usize {
        locked(&self.done).1.iter().flatten().count()
    }

    /// The blocks still to be made, as ranges of rows.
    pub(crate) fn missing(&self) -> Vec<Range<usize>> {
        let done = locked(&self.done);
        let blocks = (0..self.place.rows.div_ceil(BLOCK)).map(|number| self.place.block(number));
        blocks.filter(|block| done.1[block.start].is_none()).collect()
    }

    /// Writes one of the [`missing`](Self::missing) blocks: its rows one after the other, and how long each is.
    pub(crate) fn put(&self, rows: &Range<usize>, bytes: &[u8], lengths: &[u32]) -> Result<()> {
        let expected: u64 = lengths.iter().map(|length| u64::from(*length)).sum();
        ensure!(
            lengths.len() == rows.len() && bytes.len() as u64 == expected,
            "expected {expected} bytes for rows {rows:?}, found {} for {} rows",
            bytes.len(),
            lengths.len()
        );
        let offset = self.rows.add(bytes)?;
        // Not flushed to disk here: rows that are lost when the machine stops no longer match their checksum.
        let entry =
            Entry { block: rows.start / BLOCK, offset, checksum: crc32fast::hash(bytes), lengths: lengths.to_vec() };
        let mut done = locked(&self.done);
        done.0.write_all(&entry.to_bytes())?;
        for (row, spot) in rows.clone().zip(entry.spots()) {
            done.1[row] = Some(spot);
        }
        Ok(())
    }

    /// Renames the complete file into place.
    pub(crate) fn finish(self, index: &impl Serialize) -> Result<()> {
        let (_, spots) = self.done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        let whole: Vec<Spot> = spots.iter().flatten().copied().collect();
        let (made, rows) = (whole.len(), self.place.rows);
        ensure!(made == rows, "expected {rows} rows, {made} were made");
        self.rows.file.sync_all()?;
        name_it(&self.place.path(".partial"), &self.place, &whole, index)?;
        fs::remove_file(self.place.folder.join("journal"))?;
        Ok(())
    }
}

/// A finished block in the journal.
struct Entry {
    block: usize,
    offset: u64,
    checksum: u32,
    lengths: Vec<u32>,
}

impl Entry {
    /// Block, offset, checksum of the rows, lengths, and a checksum of all that; little-endian.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = (self.block as u64).to_le_bytes().to_vec();
        bytes.extend(self.offset.to_le_bytes());
        bytes.extend(self.checksum.to_le_bytes());
        bytes.extend(self.lengths.iter().flat_map(|length| length.to_le_bytes()));
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// The entries of a journal up to the first incomplete one.
    fn read_all(journal: &Path, place: &Place) -> Vec<Self> {
        let bytes = fs::read(journal).unwrap_or_default();
        let (mut rest, mut entries) = (bytes.as_slice(), Vec::new());
        while let Some((entry, tail)) = Self::read(rest, place) {
            entries.push(entry);
            rest = tail;
        }
        entries
    }

    fn read<'a>(bytes: &'a [u8], place: &Place) -> Option<(Self, &'a [u8])> {
        let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let block = usize::try_from(number(0)?).ok().filter(|block| *block < place.rows.div_ceil(BLOCK))?;
        let end = 20 + 4 * place.block(block).len();
        let lengths = (20..end).step_by(4).map(word).collect::<Option<Vec<u32>>>()?;
        let whole = word(end)? == crc32fast::hash(&bytes[..end]);
        whole.then_some((Self { block, offset: number(8)?, checksum: word(16)?, lengths }, &bytes[end + 4..]))
    }

    fn spots(&self) -> impl Iterator<Item = Spot> {
        self.lengths.iter().scan(self.offset, |next, &length| {
            let spot = Spot { offset: *next, length };
            *next = spot.end();
            Some(spot)
        })
    }

    /// Whether the rows still match their checksum.
    fn fits(&self, rows: &File) -> Result<bool> {
        let mut bytes = vec![0; self.lengths.iter().map(|length| *length as usize).sum()];
        rows.read_exact_at(&mut bytes, self.offset)?;
        Ok(crc32fast::hash(&bytes) == self.checksum)
    }
}
