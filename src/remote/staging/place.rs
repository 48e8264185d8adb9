//! The place of an entry's file: what is there already, and whether this archive wrote it.
//!
//! A file that this archive wrote carries a mark: the fraction of a second of its time of last change is computed from
//! the archive's key and the entry's name, size and CRC-32. Changing the file changes its time. So, without a list of
//! millions of files, a damaged or outdated file of this archive is distinguished from any other, which is never
//! replaced. On a file system without fractions of seconds no file has the mark: each is read, and none is replaced.

use super::central_record::Record;
use super::entry::EntryReader;
use super::folder::{self, Folder, Glance, RESERVED, parent_and_leaf};
use super::name_conflicts::below;
use crate::base::errors::{Context, Result, ensure};
use std::fs::FileTimes;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is in the place of an entry's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    Nothing,
    /// The entry's file.
    Whole,
    /// One that this archive, or an earlier one under the same key, wrote: to be replaced.
    Ours,
}

/// What became of an entry.
pub(super) enum Placed {
    Folder,
    There,
    Written,
}

/// The fraction of a second that marks a file of this archive, in nanoseconds.
fn mark(key: &str, name: &str, size: u64, crc32: u32) -> u32 {
    let mut hash = crc32fast::Hasher::new();
    for part in [key.as_bytes(), &[0], name.as_bytes(), &size.to_le_bytes(), &crc32.to_le_bytes()] {
        hash.update(part);
    }
    hash.finalize() % 1_000_000_000
}

fn has(glance: Glance, mark: u32) -> bool {
    glance.modified % 1_000_000_000 == u128::from(mark)
}

/// Checks the file in an entry's place. It is read unless it was on the disk at an earlier sync (`trusted`) and still
/// has its size and mark.
///
/// # Errors
/// A file with other bytes that this archive did not write.
pub(super) fn look(parent: &OwnedFd, leaf: &str, record: &Record, key: &str, trusted: bool) -> Result<There> {
    let Some(found) = folder::glance(parent, leaf)? else { return Ok(There::Nothing) };
    let Record { name, size, crc32, .. } = record;
    let marked = has(found, mark(key, name, *size, *crc32));
    if marked && trusted && found.size == *size {
        return Ok(There::Whole);
    }
    let mut hash = crc32fast::Hasher::new();
    folder::read_through(parent, leaf, |piece| hash.update(piece)).context("reading the file that is there")?;
    let found_crc32 = hash.finalize();
    if found.size == *size && found_crc32 == *crc32 {
        return Ok(There::Whole);
    }
    // Or the mark of an earlier version of the archive, which fits the file's content.
    let ours = marked || has(found, mark(key, name, found.size, found_crc32));
    ensure!(
        ours,
        "expected nothing, or {size} bytes with CRC-32 {crc32:08x}; found a file of {} with {found_crc32:08x} that this \
         archive did not write; move it away",
        found.size
    );
    Ok(There::Ours)
}

/// Puts entries into a folder.
pub(super) struct Placer<'a> {
    pub(super) reader: EntryReader<'a>,
    target: &'a Folder,
    /// The archive's key.
    key: &'a str,
    /// The archive's folder below the target.
    above: &'a str,
    /// The folder of the last entry; the next one is usually in the same.
    parent: Option<(String, OwnedFd)>,
}

impl<'a> Placer<'a> {
    pub(super) fn new(reader: EntryReader<'a>, target: &'a Folder, key: &'a str, above: &'a str) -> Self {
        Self { reader, target, key, above, parent: None }
    }

    /// Unpacks entry `number`, whose bytes end before `room`, unless it is there.
    pub(super) fn place(&mut self, number: usize, record: &Record, room: u64, trusted: bool) -> Result<Placed> {
        let name = below(self.above, &record.name);
        if record.is_folder() {
            self.target.enter(name.trim_end_matches('/'))?;
            return Ok(Placed::Folder);
        }
        let (above, leaf) = parent_and_leaf(&name);
        let parent = match self.parent.take() {
            Some((name, parent)) if name == above => parent,
            _ => self.target.enter(above)?,
        };
        let placed = match look(&parent, leaf, record, self.key, trusted)? {
            There::Whole => Placed::There,
            There::Nothing | There::Ours => {
                // Named by its number, so that no two threads use the same name.
                let partial = format!("{RESERVED}{number}");
                if let Err(error) = self.write(record, room, &parent, &partial) {
                    folder::discard(&parent, &partial);
                    return Err(error);
                }
                folder::rename(&parent, &partial, leaf).context("giving the finished file its name")?;
                Placed::Written
            }
        };
        self.parent = Some((above.to_owned(), parent));
        Ok(placed)
    }

    fn write(&mut self, record: &Record, room: u64, parent: &OwnedFd, partial: &str) -> Result<()> {
        // Opened only when there is something to write.
        let mut file = None;
        let create = || folder::create(parent, partial).context("creating the file");
        self.reader.read(record, room, &mut |bytes| {
            if file.is_none() {
                file = Some(create()?);
            }
            file.as_mut().map_or(Ok(()), |file| file.write_all(bytes)).context("writing the file")
        })?;
        let file = file.map_or_else(create, Ok)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let marked = Duration::new(now, mark(self.key, &record.name, record.size, record.crc32));
        file.set_times(FileTimes::new().set_modified(UNIX_EPOCH + marked)).context("marking the file")
    }
}
