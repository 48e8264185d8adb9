//! Zip archives, read from anything that can be read by ranges; none is trusted.
//!
//! The whole central directory is checked before the first byte is written: its own size, names, kinds, methods, sizes,
//! overlaps. Then several threads read the entries in the archive's order, each prefetching at most one part.

use super::directory::Directory;
use super::entry::EntryReader;
use super::folder::Folder;
use super::queue::Queue;
use super::source::ByteSource;
use super::unpack::{Unpacked, Unpacking};
use crate::base::errors::{Context, Result, ensure};
use crate::base::progress::{Meter, Progress, human_bytes};
use std::num::NonZero;
use std::ops::Range;
use std::path::Path;

/// The largest entry that [`Archive::each_entry`] takes into memory.
const IN_MEMORY: u64 = 64 << 20;

/// Limits on archives; one that exceeds them is refused before anything is written. Staging counts all archives of one
/// run together.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchiveLimits {
    /// Maximum ratio of size to compressed size, for entries of a megabyte or more.
    pub ratio: u64,
    /// Bytes of all entries, unpacked. The disk's free space counts as well.
    pub bytes: u64,
    /// Entries, and the folders that their names imply; each costs about 50 bytes of memory.
    pub entries: u64,
    /// Bytes of an archive's directory, which is kept in a temporary file.
    pub directory: u64,
}

impl Default for ArchiveLimits {
    /// Ratio 200, 400 GB, 3 million entries, directories of 512 MB: at least seven times COV19-CT-DB, and far below a
    /// zip bomb.
    fn default() -> Self {
        Self { ratio: 200, bytes: 400_000_000_000, entries: 3_000_000, directory: 512_000_000 }
    }
}

/// A zip archive whose directory has been read and checked.
pub struct Archive<'a> {
    pub(super) name: String,
    pub(super) source: &'a dyn ByteSource,
    pub(super) directory: Directory,
}

impl<'a> Archive<'a> {
    /// Reads the archive's directory and refuses what must not be unpacked. `name` is used in messages, and to
    /// distinguish the files that this archive wrote from others.
    ///
    /// # Errors
    /// No zip archive, or one that is cut off, inconsistent, encrypted, compressed in an unknown way, beyond `limits`,
    /// or with names that lead out of the target folder; the error names the entry.
    pub fn open(name: &str, source: &'a dyn ByteSource, limits: &ArchiveLimits) -> Result<Self> {
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

    /// Unpacks everything into `target`, which is made if missing. Existing files with the right size and CRC-32 are
    /// kept, so an interrupted run is resumed; a damaged file that this archive wrote is replaced. Nothing is synced:
    /// after a power cut unpack again.
    ///
    /// # Errors
    /// An entry that differs from what the directory says, a file that this archive did not write or a link in its
    /// place, a full disk. Entries finished before stay.
    pub fn unpack(&self, target: impl AsRef<Path>, progress: impl Fn(&Progress) + Sync) -> Result<Unpacked> {
        let threads = std::thread::available_parallelism().map_or(2, NonZero::get);
        let folder = Folder::open(target.as_ref())?;
        let how = Unpacking { above: "", trusted: 0, threads, synced: None, progress: &progress };
        let (missing, free) = (self.survey(&folder, "")?, folder.free_bytes()?);
        ensure!(
            missing <= free,
            "unpacking {}: the disk of {} has {} free; what is missing of the archive's contents needs {}",
            self.name,
            folder.path().display(),
            human_bytes(free),
            human_bytes(missing)
        );
        self.unpack_into(&folder, &how)
    }

    /// Names of all [`entries`](Self::entries), in the archive's order; those of folders end in `/`.
    ///
    /// # Errors
    /// The archive's directory, kept in a temporary file, can no longer be read.
    pub fn names(&self) -> Result<Vec<String>> {
        (0..self.directory.len()).map(|number| Ok(self.directory.record(number)?.name)).collect()
    }

    /// What the directory says of an entry's contents: CRC-32, size, compressed size, and where they begin.
    pub(super) fn contents_of(&self, entry: usize) -> Result<[u64; 4]> {
        let record = self.directory.record(entry)?;
        Ok([record.crc32.into(), record.size, record.compressed, record.offset])
    }

    /// Passes every file's content to `visit`, with its number among the [`names`](Self::names) and its name; nothing
    /// is written. Files whose number is not `wanted` are skipped. Several threads do so at once, each in the archive's
    /// order. Size and CRC-32 are verified before `visit` is called.
    ///
    /// # Errors
    /// An entry that differs from what the directory says or has more than 64 MiB, or an error of `visit`; each names
    /// the entry.
    pub fn each_entry(
        &self,
        threads: usize,
        wanted: impl Fn(usize) -> bool + Sync,
        visit: impl Fn(usize, &str, &[u8]) -> Result<()> + Sync,
        progress: impl Fn(&Progress) + Sync,
    ) -> Result<()> {
        let doing = || format!("reading the archive {}", self.name);
        let meter = self.meter("read", 0, &progress);
        Queue::new(&self.directory, self.source.part() as u64, &meter, 0)
            .each(
                threads,
                || {
                    let (mut reader, mut bytes, visit, wanted) =
                        (EntryReader::new(self.source), Vec::new(), &visit, &wanted);
                    move |entries: Range<usize>| {
                        reader.begin(self.directory.offset(entries.end));
                        for entry in entries.filter(|entry| wanted(*entry)) {
                            if let Some(name) = self.read_file(&mut reader, entry, &mut bytes)? {
                                visit(entry, &name, &bytes).with_context(|| format!("entry {name:?}"))?;
                            }
                        }
                        Ok(())
                    }
                },
                || Ok(()),
            )
            .with_context(doing)?;
        meter.finish();
        Ok(())
    }

    /// Reads a file's content into `bytes` and returns its name; `None` for a folder.
    fn read_file(&self, reader: &mut EntryReader, entry: usize, bytes: &mut Vec<u8>) -> Result<Option<String>> {
        let record = self.directory.record(entry)?;
        if record.is_folder() {
            return Ok(None);
        }
        let said = || format!("entry {:?}", record.name);
        bytes.clear();
        ensure!(
            record.size <= IN_MEMORY,
            "{}: expected {IN_MEMORY} bytes at most, to be taken into memory; it has {}",
            said(),
            record.size
        );
        let room = self.directory.offset(entry + 1);
        let mut take = |piece: &[u8]| {
            bytes.extend_from_slice(piece);
            Ok(())
        };
        reader.read(&record, room, &mut take).with_context(said)?;
        Ok(Some(record.name))
    }

    /// Counts the archive's megabytes.
    pub(super) fn meter<'m>(&self, doing: &str, already: u64, show: &'m (dyn Fn(&Progress) + Sync)) -> Meter<'m> {
        let file = self.name.rsplit('/').next().unwrap_or_default();
        let stage = match self.directory.top.as_str() {
            "" => format!("{doing} {file}"),
            top => format!("{doing} {file} without its folder {top}"),
        };
        let megabytes = |bytes: u64| (bytes / 1_000_000) as usize;
        Meter::new(&stage, "MB", megabytes(self.source.size() + 999_999), megabytes(already), show)
    }
}
