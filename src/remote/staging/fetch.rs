//! Fetches one object to one file, part by part: after a kill or a lost network only the parts in progress are
//! repeated.
//!
//! The bytes are written to `<name>.partial`; `<name>.partial.journal` has a line for each finished part with its
//! CRC-32C. A resumed run reads the parts in the journal again and compares them: a power cut may have lost their
//! bytes.

use super::bucket::{Bucket, Object};
use super::folder::{self, Folder, RESERVED, parent_and_leaf};
use crate::base::errors::{Context, Result, anyhow, ensure};
use crate::base::interrupt::go_on;
use crate::base::parallel::locked;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Write};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Suffix of unfinished files.
pub(super) const PARTIAL: &str = ".partial";
/// Suffix of their journals.
pub(super) const JOURNAL: &str = ".partial.journal";
/// The file is synced each time so many bytes have arrived, so that the last sync is short.
const SYNC_EVERY: u64 = 64 << 20;

/// Calls `work` for every item on several threads; after an error no new item is started.
pub(super) fn in_parallel<T: Sync>(threads: usize, items: &[T], work: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let run = || {
        while !failed.load(Ordering::Relaxed)
            && let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed))
        {
            let result = go_on().and_then(|()| work(item));
            if result.is_err() {
                failed.store(true, Ordering::Relaxed);
                return result;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.clamp(1, items.len().max(1))).map(|_| scope.spawn(run)).collect();
        let results = workers.into_iter().map(|w| w.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked"))));
        results.collect::<Vec<_>>().into_iter().collect()
    })
}

/// How objects are fetched.
pub(super) struct Fetching<'a> {
    pub(super) bucket: &'a Bucket,
    pub(super) folder: &'a Folder,
    pub(super) part_bytes: u64,
    pub(super) connections: usize,
    pub(super) patience: Duration,
    /// Called with the number of bytes that arrived.
    pub(super) came: &'a (dyn Fn(u64) + Sync),
    /// Called with the number of bytes of an earlier run that were read again.
    pub(super) reread: &'a (dyn Fn(u64) + Sync),
}

/// First line of a journal: the object that the parts belong to.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct FetchGroups {
    key: String,
    tag: String,
    size: u64,
    part_bytes: u64,
}

/// A finished file that does not have its final name yet.
pub(super) struct FetchedObject {
    parent: OwnedFd,
    leaf: String,
    file: File,
    /// Whether the store states a CRC-32C, so that it was compared.
    pub(super) verified: bool,
}

impl FetchedObject {
    /// Its time of last change, which renaming does not alter.
    pub(super) fn modified(&self) -> Result<u128> {
        let modified = self.file.metadata()?.modified()?;
        Ok(modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos())
    }

    /// Gives the file its name.
    pub(super) fn finish(self) -> Result<()> {
        folder::rename(&self.parent, &format!("{}{PARTIAL}", self.leaf), &self.leaf)?;
        folder::discard(&self.parent, &format!("{}{JOURNAL}", self.leaf));
        Ok(())
    }
}

/// An unfinished file.
struct Parts {
    file: File,
    journal: Mutex<File>,
    unsynced: AtomicU64,
    syncing: Mutex<()>,
    /// CRC-32C of each part that is finished.
    crc32c: Mutex<Vec<Option<u32>>>,
}

impl Fetching<'_> {
    /// Fetches an object of one part.
    pub(super) fn small(&self, object: &Object) -> Result<FetchedObject> {
        let doing = || format!("fetching {}", object.key);
        let (parent, leaf) = self.place(object).with_context(doing)?;
        let file = folder::create(&parent, &format!("{leaf}{PARTIAL}")).with_context(doing)?;
        let mut found = 0;
        let whole = self.read(object, 0..object.size, &file, &mut found).with_context(doing)?;
        if let Err(error) = compare(whole, found) {
            folder::discard(&parent, &format!("{leaf}{PARTIAL}"));
            return Err(error).with_context(doing);
        }
        Ok(FetchedObject { parent, leaf, file, verified: whole.is_some() })
    }

    /// Fetches an object of many parts, several at a time, and resumes where an earlier run stopped. `object` comes
    /// from [`Bucket::describe`].
    pub(super) fn large(&self, object: &Object) -> Result<FetchedObject> {
        let doing = || format!("fetching {}", object.key);
        let (parent, leaf) = self.place(object).with_context(doing)?;
        let parts = self.begin(object, &parent, &leaf).with_context(doing)?;
        let crcs = || locked(&parts.crc32c);
        let missing: Vec<usize> = crcs().iter().enumerate().filter(|(_, crc)| crc.is_none()).map(|(n, _)| n).collect();
        let count = crcs().len();
        in_parallel(self.connections, &missing, |&number| {
            let doing = || format!("part {} of {count}", number + 1);
            self.one_part(object, &parts, number).with_context(doing)
        })
        .with_context(doing)?;
        let sizes = (0..count).map(|number| self.part(object, number)).map(|range| range.end - range.start);
        let combine = |whole, (crc, size): (&Option<u32>, u64)| {
            crc32c::crc32c_combine(whole, crc.unwrap_or_default(), size as usize)
        };
        let found = crcs().iter().zip(sizes).fold(0, combine);
        if let Err(error) = compare(object.crc32c, found) {
            folder::discard(&parent, &format!("{leaf}{JOURNAL}"));
            folder::discard(&parent, &format!("{leaf}{PARTIAL}"));
            return Err(error.context("deleted the bytes that arrived")).with_context(doing);
        }
        parts.file.sync_all().with_context(doing)?;
        Ok(FetchedObject { parent, leaf, file: parts.file, verified: object.crc32c.is_some() })
    }

    /// Bytes of an object that an earlier run fetched, according to its journal.
    pub(super) fn already(&self, object: &Object) -> u64 {
        let (parent, leaf) = parent_and_leaf(&object.name);
        let Some(parent) = self.folder.find(parent) else { return 0 };
        let parts = journalled(&parent, leaf, &self.whose(object));
        parts.iter().map(|(number, _)| self.part(object, *number)).map(|range| range.end - range.start).sum()
    }

    fn place(&self, object: &Object) -> Result<(OwnedFd, String)> {
        let (parent, leaf) = parent_and_leaf(&object.name);
        let parent = self.folder.enter(parent)?;
        folder::glance(&parent, leaf)?;
        Ok((parent, leaf.to_owned()))
    }

    fn part(&self, object: &Object, number: usize) -> Range<u64> {
        let start = number as u64 * self.part_bytes;
        start.min(object.size)..start.saturating_add(self.part_bytes).min(object.size)
    }

    fn one_part(&self, object: &Object, parts: &Parts, number: usize) -> Result<()> {
        let (range, mut crc32c) = (self.part(object, number), 0);
        self.read(object, range.clone(), &parts.file, &mut crc32c)?;
        // Bytes first, then the journal: after a kill between the two only this part is fetched again.
        let line = format!("{number} {crc32c:08x}\n");
        let mut journal = locked(&parts.journal);
        journal.write_all(line.as_bytes()).context("adding a line to the journal")?;
        drop(journal);
        let mut crcs = locked(&parts.crc32c);
        if let Some(crc) = crcs.get_mut(number) {
            *crc = Some(crc32c);
        }
        drop(crcs);
        parts.sync_now_and_then(range.end - range.start)
    }

    fn whose(&self, object: &Object) -> FetchGroups {
        let Object { key, tag, size, .. } = object.clone();
        FetchGroups { key, tag, size, part_bytes: self.part_bytes }
    }

    fn read(&self, object: &Object, range: Range<u64>, file: &File, crc32c: &mut u32) -> Result<Option<u32>> {
        if range.is_empty() {
            return Ok(object.crc32c);
        }
        self.bucket.read(object, range, self.patience, &mut |at, piece| {
            *crc32c = crc32c::crc32c_append(*crc32c, piece);
            file.write_all_at(piece, at).with_context(|| format!("writing {} bytes at {at}", piece.len()))?;
            (self.came)(piece.len() as u64);
            Ok(())
        })
    }

    /// Opens the unfinished file; parts that an earlier run left of the same object are read again and compared.
    fn begin(&self, object: &Object, parent: &OwnedFd, leaf: &str) -> Result<Parts> {
        let (partial, whose) = (format!("{leaf}{PARTIAL}"), self.whose(object));
        let count = object.size.div_ceil(self.part_bytes) as usize;
        let crcs = vec![None; count];
        let known = journalled(parent, leaf, &whose);
        let file = match folder::reopen(parent, &partial)? {
            Some(file) if !known.is_empty() => file,
            _ => folder::create(parent, &partial)?,
        };
        file.set_len(object.size)?;
        let crcs = Mutex::new(crcs);
        in_parallel(self.connections, &known, |&(number, crc32c)| {
            let range = self.part(object, number);
            let mut buffer = vec![0; (range.end - range.start) as usize];
            file.read_exact_at(&mut buffer, range.start).with_context(|| format!("reading part {number} again"))?;
            (self.reread)(buffer.len() as u64);
            let mut crcs = locked(&crcs);
            if let Some(crc) = crcs.get_mut(number).filter(|_| crc32c::crc32c(&buffer) == crc32c) {
                *crc = Some(crc32c);
            }
            Ok(())
        })?;
        let journal = new_journal(parent, leaf, &whose, &crcs)?;
        let (journal, unsynced, syncing) = (Mutex::new(journal), AtomicU64::new(0), Mutex::new(()));
        Ok(Parts { file, journal, unsynced, syncing, crc32c: crcs })
    }
}

impl Parts {
    /// Syncs the file; one thread at a time, while the others fetch.
    fn sync_now_and_then(&self, came: u64) -> Result<()> {
        if self.unsynced.fetch_add(came, Ordering::Relaxed) + came < SYNC_EVERY {
            return Ok(());
        }
        let Ok(_only) = self.syncing.try_lock() else { return Ok(()) };
        self.unsynced.store(0, Ordering::Relaxed);
        self.file.sync_data().context("syncing the bytes that arrived to the disk")
    }
}

/// Writes a new journal of the verified parts and renames it over the old one: a kill loses neither.
fn new_journal(parent: &OwnedFd, leaf: &str, whose: &FetchGroups, crcs: &Mutex<Vec<Option<u32>>>) -> Result<File> {
    let mut text = format!("{}\n", serde_json::to_string(whose)?);
    for (number, crc) in locked(crcs).iter().enumerate() {
        if let Some(crc) = crc {
            text.push_str(&format!("{number} {crc:08x}\n"));
        }
    }
    // Large objects are fetched one after another, so one name is enough.
    let sibling = format!("{RESERVED}journal");
    let mut journal = folder::create(parent, &sibling)?;
    journal.write_all(text.as_bytes()).context("writing the journal")?;
    folder::rename(parent, &sibling, &format!("{leaf}{JOURNAL}"))?;
    Ok(journal)
}

/// The parts in a journal, if it belongs to this object; incomplete lines are ignored.
fn journalled(parent: &OwnedFd, leaf: &str, whose: &FetchGroups) -> Vec<(usize, u32)> {
    let mut text = String::new();
    let journal = folder::reopen(parent, &format!("{leaf}{JOURNAL}")).ok().flatten();
    if journal.is_none_or(|mut journal| journal.read_to_string(&mut text).is_err()) {
        return Vec::new();
    }
    let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    if lines.next().and_then(|line| serde_json::from_str::<FetchGroups>(line).ok()).as_ref() != Some(whose) {
        return Vec::new();
    }
    let count = whose.size.div_ceil(whose.part_bytes) as usize;
    let part = |line: &str| {
        let (number, crc32c) = line.split_once(' ')?;
        Some((number.parse().ok()?, u32::from_str_radix(crc32c, 16).ok()?))
    };
    let mut parts: Vec<_> = lines.filter_map(part).filter(|(number, _)| *number < count).collect();
    parts.sort_unstable();
    parts.dedup_by_key(|(number, _)| *number);
    parts
}

fn compare(expected: Option<u32>, found: u32) -> Result<()> {
    let fits = expected.is_none_or(|expected| expected == found);
    ensure!(
        fits,
        "the store states the CRC-32C {:08x}, the bytes that arrived have {found:08x}",
        expected.unwrap_or_default()
    );
    Ok(())
}
