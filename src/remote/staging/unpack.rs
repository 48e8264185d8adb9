//! Unpacking an archive into a folder.
//!
//! An entry is written under a temporary name and renamed when size and CRC-32 are right, so a file with its final name
//! is complete. Files are not synced one by one: on a slow disk that takes minutes for every ten thousand. Staging
//! syncs the disk from time to time for all of them; a resumed run reads the files written after the last sync again.

use super::archive::Archive;
use super::central_record::Record;
use super::entry::EntryReader;
use super::folder::{self, Folder, parent_and_leaf};
use super::name_conflicts::below;
use super::place::{self, Placed, Placer, There};
use super::queue::Queue;
use crate::base::errors::{Context, Result};
use crate::base::parallel::locked;
use crate::base::progress::{Progress, human_bytes, thousands};
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard};

/// How many bytes are unpacked between two syncs of the disk.
const SYNC_EVERY: u64 = 1_000_000_000;

/// What unpacking did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unpacked {
    /// Files written by this run, each with the CRC-32 that the archive states.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that existed already. They were read and had the CRC-32 that the archive states, except those that an
    /// earlier staging had synced to the disk: these were recognised by size and time of last change.
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
    /// The folder below the target that the archive's names start in.
    pub(super) above: &'a str,
    /// The number of entries, in the archive's order, that were on the disk at the last sync: if size and mark are
    /// right they are not read.
    pub(super) trusted: usize,
    pub(super) threads: usize,
    /// If given, the disk is synced from time to time, and this is called with the number of entries that need not be
    /// read again.
    pub(super) synced: Option<&'a (dyn Fn(usize) -> Result<()> + Sync)>,
    pub(super) progress: &'a (dyn Fn(&Progress) + Sync),
}

impl Archive<'_> {
    /// How many bytes are still to be written, according to the sizes of existing files. Removes unfinished files of a
    /// killed run; writes nothing.
    ///
    /// # Errors
    /// A file of another size in the place of an entry, which this archive did not write.
    pub(super) fn survey(&self, target: &Folder, above: &str) -> Result<u64> {
        let (mut missing, mut swept) = (0, HashSet::new());
        let mut parent: Option<(String, Option<OwnedFd>)> = None;
        self.directory.each(|_, record| {
            let name = below(above, &record.name);
            let (folder, leaf) = parent_and_leaf(&name);
            if parent.as_ref().is_none_or(|(known, _)| known != folder) {
                let found = target.find(folder);
                if let Some(found) = found.as_ref().filter(|_| swept.insert(folder.to_owned())) {
                    folder::sweep(found).with_context(|| format!("clearing the folder {folder:?}"))?;
                }
                parent = Some((folder.to_owned(), found));
            }
            let Some((_, Some(found))) = parent.as_ref().filter(|_| !record.is_folder()) else {
                missing += record.size;
                return Ok(());
            };
            let doing = || format!("unpacking {} into {}: entry {:?}", self.name, target.path().display(), record.name);
            missing += self.still_missing(found, leaf, &record).with_context(doing)?;
            Ok(())
        })?;
        Ok(missing)
    }

    fn still_missing(&self, parent: &OwnedFd, leaf: &str, record: &Record) -> Result<u64> {
        Ok(match folder::glance(parent, leaf)? {
            // Its content is compared when the entry is unpacked.
            Some(found) if found.size == record.size => 0,
            Some(_) if place::look(parent, leaf, record, &self.name, false)? == There::Whole => 0,
            _ => record.size,
        })
    }

    pub(super) fn unpack_into(&self, folder: &Folder, how: &Unpacking) -> Result<Unpacked> {
        let doing = || format!("unpacking {} into {}", self.name, folder.path().display());
        let already = self.directory.offset(how.trusted);
        let meter = self.meter("unpack", already, how.progress);
        let queue = Queue::new(&self.directory, self.source.part() as u64, &meter, already);
        let job = Job { archive: self, folder, how, queue: &queue, sums: Mutex::default(), syncing: Mutex::new(()) };
        let result = queue.each(how.threads, || job.worker(), || job.sync_if_due());
        // Also after an error, so that finished files survive a power cut.
        let synced = job.sync();
        result.and(synced).with_context(doing)?;
        meter.finish();
        Ok(job.sums().all)
    }
}

/// The unpacking of one archive into one folder.
struct Job<'a> {
    archive: &'a Archive<'a>,
    folder: &'a Folder,
    how: &'a Unpacking<'a>,
    queue: &'a Queue<'a>,
    sums: Mutex<Checksums>,
    /// One sync at a time; the other threads continue.
    syncing: Mutex<()>,
}

#[derive(Default)]
struct Checksums {
    all: Unpacked,
    unsynced: u64,
}

impl Job<'_> {
    fn sums(&self) -> MutexGuard<'_, Checksums> {
        locked(&self.sums)
    }

    /// What one thread does with the entries that it is given.
    fn worker(&self) -> impl FnMut(Range<usize>) -> Result<()> {
        let (archive, how) = (self.archive, self.how);
        let mut placer = Placer::new(EntryReader::new(archive.source), self.folder, &archive.name, how.above);
        move |entries| {
            let directory = &archive.directory;
            placer.reader.begin(directory.offset(entries.end));
            let mut sum = Unpacked::default();
            for number in entries {
                let record = directory.record(number)?;
                let room = directory.offset(number + 1);
                let placed = placer.place(number, &record, room, number < how.trusted);
                match placed.with_context(|| format!("entry {:?}", record.name))? {
                    Placed::Folder => {}
                    Placed::There => sum.kept += 1,
                    Placed::Written => (sum.files, sum.bytes) = (sum.files + 1, sum.bytes + record.size),
                }
            }
            self.count(sum);
            Ok(())
        }
    }

    fn count(&self, sum: Unpacked) {
        let Checksums { all, unsynced } = &mut *self.sums();
        (all.files, all.bytes, all.kept) = (all.files + sum.files, all.bytes + sum.bytes, all.kept + sum.kept);
        *unsynced += sum.bytes;
    }

    fn sync_if_due(&self) -> Result<()> {
        let due = self.sums().unsynced >= SYNC_EVERY;
        // While another thread syncs, this one does not wait.
        if due && let Ok(_only) = self.syncing.try_lock() { self.sync() } else { Ok(()) }
    }

    fn sync(&self) -> Result<()> {
        let Some(synced) = self.how.synced else { return Ok(()) };
        let (finished, unsynced) = (self.queue.finished(), std::mem::take(&mut self.sums().unsynced));
        if unsynced > 0 {
            self.folder.sync()?;
        }
        synced(finished)
    }
}
