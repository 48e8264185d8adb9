//! A large file of rows, made block by block, memory-mapped when it is whole. A build that is killed goes on where it
//! stopped.
//!
//! `<folder>/<file>` holds the rows, about in their order; `<file>.rows` says where each begins and ends, and
//! `index.json`, which is written last, what they were made from.

use crate::files::{read_json, write_json, write_whole};
use crate::parallel::locked;
use anyhow::{Context, Result, bail, ensure};
use memmap2::{Advice, Mmap, MmapOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

#[cfg(test)]
mod tests;

/// Rows in a block: what is written and journalled together.
pub(crate) const BLOCK: usize = 128;

/// Where the rows lie: `<folder>/<file>`, with `index.json` beside it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) file: &'static str,
    pub(crate) rows: usize,
}

impl Place {
    /// Whether the file is whole.
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
            // Otherwise a row that is not in memory yet has its neighbours read too, which are wanted another time.
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

    /// Has the system read these rows, in the order of the file and ahead of time; what lies close together is read in
    /// one piece.
    pub(crate) fn read_ahead(&self, rows: &[usize]) {
        // Of more than this a system may read the beginning only.
        const AT_ONCE: usize = 128 << 10;
        let Some(map) = &self.map else { return };
        for piece in self.pieces(rows) {
            for begin in piece.clone().step_by(AT_ONCE) {
                // Advice only: without it the rows are read when they are needed.
                map.advise_range(Advice::WillNeed, begin, AT_ONCE.min(piece.end - begin)).ok();
            }
        }
    }

    /// Where memory is short, these rows are the first it can do without: they were used, and will not be again soon.
    /// Nothing happens where there is enough.
    pub(crate) fn spare(&self, rows: &[usize]) {
        const PAGE: usize = 4096;
        let Some(map) = &self.map else { return };
        for piece in self.pieces(rows) {
            // Pages that they have for themselves.
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

    /// Where rows lie, in the order of the file; those that lie close together as one piece.
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

/// Gives a file that is complete its name, with the table of its rows, and the index last.
fn name_it(partial: &Path, place: &Place, spots: &[Spot], index: &impl Serialize) -> Result<()> {
    let table: Vec<u8> = spots.iter().flat_map(|spot| spot.to_bytes()).collect();
    write_whole(&place.path(".rows"), &table)?;
    fs::rename(partial, place.path(""))?;
    write_json(&place.folder.join("index.json"), index)
}

/// Rows that are made block by block, and kept when the build is killed.
pub(crate) struct Building {
    place: Place,
    rows: Growing,
    /// The journal, and where each finished row lies.
    done: Mutex<(File, Vec<Option<Spot>>)>,
    _lock: File,
}

impl Building {
    /// Begins, or goes on where an earlier build stopped. The journal has the number, place and checksum of each block
    /// that was written; blocks whose checksum still fits are kept.
    ///
    /// # Errors
    /// Another process that builds the same file.
    pub(crate) fn begin(place: &Place) -> Result<Self> {
        fs::create_dir_all(&place.folder)?;
        let lock = File::create(place.folder.join("lock"))?;
        if lock.try_lock().is_err() {
            bail!("another process is building it; wait for that one");
        }
        let partial = place.path(".partial");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&partial)?;
        let journal = place.folder.join("journal");
        let entries: Vec<Entry> =
            Entry::read_all(&journal, place).into_iter().filter(|entry| entry.fits(&file).unwrap_or(false)).collect();
        // Without an entry that was cut in the middle: what is added after it could not be told apart.
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
        Ok(Self { place: place.clone(), rows, done: Mutex::new((journal, spots)), _lock: lock })
    }

    /// Rows that are there already.
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
        // Nobody waits for the disk here: rows that a machine took along when it stopped no longer fit their checksum.
        let entry =
            Entry { block: rows.start / BLOCK, offset, checksum: crc32fast::hash(bytes), lengths: lengths.to_vec() };
        let mut done = locked(&self.done);
        done.0.write_all(&entry.to_bytes())?;
        for (row, spot) in rows.clone().zip(entry.spots()) {
            done.1[row] = Some(spot);
        }
        Ok(())
    }

    /// Names the file what it is called when whole.
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

    /// The entries of a journal up to the first that is not whole.
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

    /// Whether the rows are still what they were.
    fn fits(&self, rows: &File) -> Result<bool> {
        let mut bytes = vec![0; self.lengths.iter().map(|length| *length as usize).sum()];
        rows.read_exact_at(&mut bytes, self.offset)?;
        Ok(crc32fast::hash(&bytes) == self.checksum)
    }
}

/// How the folders begin that files are filled in; the number of the process follows.
const MAKING: &str = "making-";

/// Removes what processes that are gone left unfinished.
fn clear_away(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(MAKING).and_then(|rest| rest.split_once('-')).map(|(process, _)| process);
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            // What cannot be removed costs room and nothing else.
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// Rows that come one by one while something else is done; which of them stay is known at the end. Nothing is kept when it
/// is killed.
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

    /// The folder that the finished file's own lies in.
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

    /// Leaves the rows `kept`, in this order, as a whole file.
    pub(crate) fn finish(self, place: &Place, kept: &[usize], index: &impl Serialize) -> Result<()> {
        let spots = self.spots.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        let spot = |&row: &usize| spots.get(row).copied().with_context(|| format!("row {row} was never filled"));
        let spots = kept.iter().map(spot).collect::<Result<Vec<Spot>>>()?;
        self.rows.file.sync_all()?;
        fs::create_dir_all(&place.folder)?;
        name_it(&self.making.path().join("rows"), place, &spots, index)
    }
}
