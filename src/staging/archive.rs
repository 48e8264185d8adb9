//! Zip archives, unpacked from anything that can be read by ranges, and hostile until proven otherwise.
//!
//! Before the first byte is written the whole central directory is checked: names, kinds, methods, sizes, overlaps.
//! Then the entries are unpacked in the order in which they lie in the archive, by several threads, each reading ahead
//! no more than one part. An entry is written beside its place and renamed when size and CRC-32 are right, so what has
//! its name is whole. Files are not synced one by one: on a slow disk that takes minutes for every ten thousand.
//! Staging syncs the disk now and then for all of them; what came after the last time, a run that goes on reads again.

use super::directory::Directory;
use super::entry::{Found, Worker};
use super::folder::{Folder, parent_and_leaf, size_of};
use crate::progress::{Meter, Progress, human_bytes, thousands};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::num::NonZero;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many bytes are unpacked between two syncs of the disk.
const SYNC_EVERY: u64 = 1_000_000_000;

/// Anything that can be read by ranges: a file, bytes in memory, an object in a bucket.
pub trait Source: Sync {
    /// Length in bytes.
    fn size(&self) -> u64;

    /// Fills `into` with the bytes from `offset` on.
    ///
    /// # Errors
    /// Fewer bytes than asked for, or none at all.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()>;

    /// How many bytes to ask for at once.
    fn part(&self) -> usize {
        1 << 20
    }
}

impl Source for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let start = usize::try_from(offset).ok();
        let bytes = start.and_then(|start| self.get(start..start.checked_add(into.len())?));
        let wanted = into.len();
        into.copy_from_slice(bytes.with_context(|| format!("there are no {wanted} bytes at {offset}"))?);
        Ok(())
    }
}

/// A file on this machine.
#[derive(Debug)]
pub struct LocalFile {
    file: File,
    size: u64,
}

impl LocalFile {
    /// Opens a file to be read by ranges.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let doing = || format!("opening {}", path.as_ref().display());
        let file = File::open(path.as_ref()).with_context(doing)?;
        let size = file.metadata().with_context(doing)?.len();
        Ok(Self { file, size })
    }
}

impl Source for LocalFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let wanted = into.len();
        self.file.read_exact_at(into, offset).with_context(|| format!("reading {wanted} bytes at {offset}"))
    }
}

/// What an archive may ask for; beyond it, it is refused before anything is written.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchiveLimits {
    /// An entry of a megabyte or more may have this many times its compressed bytes.
    pub ratio: u64,
    /// Bytes of all entries, unpacked. The disk's free space counts as well.
    pub bytes: u64,
    /// Entries, folders included; each costs 32 bytes of memory.
    pub entries: u64,
}

impl Default for ArchiveLimits {
    /// Ratio 200, 400 GB, 5 million entries: ten times COV19-CT-DB, and far from what a bomb wants.
    fn default() -> Self {
        Self { ratio: 200, bytes: 400_000_000_000, entries: 5_000_000 }
    }
}

/// What unpacking did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unpacked {
    /// Files written by this run.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were there already, right in size and CRC-32.
    pub kept: u64,
}

impl fmt::Display for Unpacked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files unpacked ({})", thousands(self.files), human_bytes(self.bytes))?;
        if self.kept > 0 {
            write!(f, ", {} were there", thousands(self.kept))?;
        }
        Ok(())
    }
}

/// How an archive is unpacked.
pub(super) struct Unpacking<'a> {
    /// Entries, in the archive's order, that were on the disk at the last sync: only their size is looked at.
    pub(super) trusted: usize,
    pub(super) threads: usize,
    /// If given, the disk is synced now and then, and this is called with the number of entries that need not be looked
    /// at again.
    pub(super) synced: Option<&'a (dyn Fn(usize) -> Result<()> + Sync)>,
    pub(super) progress: &'a (dyn Fn(&Progress) + Sync),
}

/// A zip archive whose directory has been read and checked.
pub struct Archive<'a> {
    name: String,
    source: &'a dyn Source,
    directory: Directory,
}

impl<'a> Archive<'a> {
    /// Reads the archive's directory and refuses what must not be unpacked. `name` is for messages.
    ///
    /// # Errors
    /// No zip archive, or one that is cut off, inconsistent, encrypted, compressed in an unknown way, beyond `limits`,
    /// or with names that lead out of the target folder; the error names the entry.
    pub fn open(name: &str, source: &'a dyn Source, limits: &ArchiveLimits) -> Result<Self> {
        let directory = Directory::read(source, limits).with_context(|| format!("reading the archive {name}"))?;
        Ok(Self { name: name.to_owned(), source, directory })
    }

    /// Number of entries, folders included.
    pub fn entries(&self) -> usize {
        self.directory.len()
    }

    /// Bytes of all entries, unpacked.
    pub fn bytes(&self) -> u64 {
        self.directory.bytes
    }

    /// Unpacks everything into `target`, which is made if missing. What is there with the right size and CRC-32 is
    /// kept, so a run that was cut off goes on; a file of the same name that differs is replaced. Nothing is synced:
    /// after a power cut unpack again.
    ///
    /// # Errors
    /// An entry that is not what the directory says, a link in the way, a full disk. Entries finished before stay.
    pub fn unpack(&self, target: impl AsRef<Path>, progress: impl Fn(&Progress) + Sync) -> Result<Unpacked> {
        let threads = std::thread::available_parallelism().map_or(2, NonZero::get);
        let folder = Folder::open(target.as_ref())?;
        self.unpack_into(&folder, &Unpacking { trusted: 0, threads, synced: None, progress: &progress })
    }

    pub(super) fn unpack_into(&self, folder: &Folder, how: &Unpacking) -> Result<Unpacked> {
        let doing = || format!("unpacking {} into {}", self.name, folder.path().display());
        self.check_space(folder).with_context(doing)?;
        let megabytes = self.source.size().div_ceil(1_000_000) as usize;
        let already = self.directory.offset(how.trusted) / 1_000_000;
        let stage = format!("unpack {}", self.name.rsplit('/').next().unwrap_or_default());
        let meter = Meter::new(&stage, "MB", megabytes, already as usize, how.progress);
        let queue = Queue::new(self, folder, how, &meter);
        queue.state().megabytes = already;
        let result = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..how.threads.max(1)).map(|_| scope.spawn(|| queue.work())).collect();
            let results =
                workers.into_iter().map(|w| w.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked"))));
            results.collect::<Vec<_>>().into_iter().collect::<Result<()>>()
        });
        // Also after an error: what is finished shall be there after a power cut.
        let synced = queue.sync();
        result.and(synced).with_context(doing)?;
        meter.finish();
        Ok(queue.state().sum)
    }

    fn check_space(&self, folder: &Folder) -> Result<()> {
        let free = folder.free_bytes()?;
        if self.directory.bytes <= free {
            return Ok(());
        }
        // Only now the slow way: what is there already needs no more room.
        let mut needed = 0;
        for number in 0..self.directory.len() {
            let record = self.directory.record(number)?;
            let (parent, leaf) = parent_and_leaf(&record.name);
            let there = folder.find(parent).and_then(|parent| size_of(&parent, leaf).ok().flatten());
            needed += if there == Some(record.size) { 0 } else { record.size };
        }
        ensure!(
            needed <= free,
            "the disk of {} has {} free; the archive's contents need {}",
            folder.path().display(),
            human_bytes(free),
            human_bytes(needed)
        );
        Ok(())
    }
}

/// Hands out the entries in order, and knows up to where all are finished.
struct Queue<'a> {
    archive: &'a Archive<'a>,
    folder: &'a Folder,
    how: &'a Unpacking<'a>,
    meter: &'a Meter<'a>,
    failed: AtomicBool,
    state: Mutex<State>,
    /// One sync at a time; the others work on.
    syncing: Mutex<()>,
}

#[derive(Default)]
struct State {
    next: usize,
    /// All entries before this one are finished.
    finished: usize,
    /// Finished ones beyond: first to next after last.
    ahead: BTreeMap<usize, usize>,
    sum: Unpacked,
    unsynced: u64,
    megabytes: u64,
}

impl<'a> Queue<'a> {
    fn new(archive: &'a Archive<'a>, folder: &'a Folder, how: &'a Unpacking<'a>, meter: &'a Meter<'a>) -> Self {
        let (failed, state, syncing) = (AtomicBool::new(false), Mutex::default(), Mutex::new(()));
        Self { archive, folder, how, meter, failed, state, syncing }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Every change to the state is whole, so a panic elsewhere leaves it usable.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The next entries that together fill one part.
    fn take(&self) -> Option<Range<usize>> {
        let directory = &self.archive.directory;
        let mut state = self.state();
        let first = state.next;
        if first == directory.len() || self.failed.load(Ordering::Relaxed) {
            return None;
        }
        let end = directory.offset(first).saturating_add(self.archive.source.part() as u64);
        let mut next = first + 1;
        while next < directory.len() && directory.offset(next + 1) <= end {
            next += 1;
        }
        state.next = next;
        Some(first..next)
    }

    fn work(&self) -> Result<()> {
        let mut worker = Worker::new(self.archive.source, self.folder);
        while let Some(entries) = self.take() {
            let sum = self.unpack(&mut worker, entries.clone());
            let done = sum.and_then(|sum| self.finish(entries, sum));
            if done.is_err() {
                self.failed.store(true, Ordering::Relaxed);
                return done;
            }
        }
        Ok(())
    }

    fn unpack(&self, worker: &mut Worker, entries: Range<usize>) -> Result<Unpacked> {
        let directory = &self.archive.directory;
        worker.begin(directory.offset(entries.end));
        let mut sum = Unpacked::default();
        for number in entries {
            let record = directory.record(number)?;
            let room = directory.offset(number + 1);
            let found = worker.unpack(number, &record, room, number < self.how.trusted);
            match found.with_context(|| format!("entry {:?}", record.name))? {
                Found::Folder => {}
                Found::There => sum.kept += 1,
                Found::Written => (sum.files, sum.bytes) = (sum.files + 1, sum.bytes + record.size),
            }
        }
        Ok(sum)
    }

    fn finish(&self, entries: Range<usize>, sum: Unpacked) -> Result<()> {
        let mut state = self.state();
        state.ahead.insert(entries.start, entries.end);
        while let Some(end) = {
            let finished = state.finished;
            state.ahead.remove(&finished)
        } {
            state.finished = end;
        }
        let total = &mut state.sum;
        (total.files, total.bytes, total.kept) =
            (total.files + sum.files, total.bytes + sum.bytes, total.kept + sum.kept);
        state.unsynced += sum.bytes;
        let due = state.unsynced >= SYNC_EVERY;
        let megabytes = (self.archive.directory.offset(state.finished) / 1_000_000).max(state.megabytes);
        let fresh = megabytes - state.megabytes;
        state.megabytes = megabytes;
        drop(state);
        self.meter.add(fresh as usize);
        // A thread that comes while another syncs leaves it to that one and the next.
        if due && let Ok(_only) = self.syncing.try_lock() { self.sync() } else { Ok(()) }
    }

    fn sync(&self) -> Result<()> {
        let Some(synced) = self.how.synced else { return Ok(()) };
        let (finished, unsynced) = {
            let mut state = self.state();
            (state.finished, std::mem::take(&mut state.unsynced))
        };
        if unsynced > 0 {
            self.folder.sync()?;
        }
        synced(finished)
    }
}
