//! A zip archive's central directory: read once, checked in full, and kept as 16 bytes per entry.

use super::archive::ArchiveLimits;
use super::central_end::{End, Wraps};
use super::central_record::{Record, parse};
use super::folder::fault_in_name;
use super::name_conflicts::{Names, check};
use super::source::ByteSource;
use super::top_folder::TopFolder;
use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::progress::{human_bytes, thousands};
use crate::base::zip_fields::{FIXED, variable_length};
use std::fs::File;
use std::io::{BufReader, Read, Seek, Write};
use std::os::unix::fs::FileExt;

/// Bytes of a local header before the name.
pub(super) const LOCAL_HEADER: u64 = 30;

/// The ratio is checked for entries of at least this size: a small file of one colour can shrink to a thousandth.
const RATIO_COUNTS_FROM: u64 = 1 << 20;

/// Where an entry begins in the archive, and where its record begins in the directory.
#[derive(Debug, Clone, Copy)]
struct Slot {
    offset: u64,
    record: u64,
}

/// The checked directory. Millions of names do not fit in memory, so they stay in a nameless temporary file.
#[derive(Debug)]
pub(super) struct Directory {
    spool: File,
    slots: Vec<Slot>,
    /// First byte of the directory in the archive, which no entry reaches.
    start: u64,
    size: u64,
    entries: u64,
    /// Until the records have been counted.
    wraps: Option<Wraps>,
    /// Bytes of all entries, unpacked.
    pub(super) bytes: u64,
    /// The folders around all, which are left away; ends in `/` unless it is empty.
    pub(super) top: String,
}

impl Directory {
    /// Reads and checks the directory.
    pub(super) fn read(source: &dyn ByteSource, limits: &ArchiveLimits) -> Result<Self> {
        Self::read_wrapping(source, limits, Wraps::ARCHIVE_UTILITY)
    }

    /// The same, of an archive whose writer began at 0 again there.
    fn read_wrapping(source: &dyn ByteSource, limits: &ArchiveLimits, wraps: Wraps) -> Result<Self> {
        let end = End::find(source, wraps)?;
        end.check(limits)?;
        let mut spool = tempfile::tempfile().context("opening a temporary file for the archive's directory")?;
        copy(source, end.start, end.size, &mut spool)?;
        let End { start, size, entries, wraps } = end;
        let (slots, top) = (Vec::new(), String::new());
        let mut directory = Self { spool, slots, start, size, entries, wraps, bytes: 0, top };
        directory.slots.try_reserve_exact(entries as usize).context("making room for the archive's directory")?;
        directory.check_records(limits)?;
        let only = Names::Archive { key: "", above: "", directory: &directory };
        check(&[only], limits.entries)?;
        directory.slots.sort_unstable_by_key(|slot| slot.offset);
        directory.check_overlaps()?;
        Ok(directory)
    }

    /// Number of entries, folders included.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The entry at a place in the archive's own order.
    pub(super) fn record(&self, number: usize) -> Result<Record> {
        let slot = self.slots.get(number).with_context(|| format!("there is no entry {number}"))?;
        // The record's own may have begun again at 0.
        Ok(Record { offset: slot.offset, ..self.record_at(slot.record)? })
    }

    /// Where entry `number` begins; for the number after the last, where entries end.
    pub(super) fn offset(&self, number: usize) -> u64 {
        self.slots.get(number).map_or(self.start, |slot| slot.offset)
    }

    /// The entry whose record begins at a byte of the directory.
    pub(super) fn record_at(&self, at: u64) -> Result<Record> {
        // Most records fit: one read.
        let mut bytes = vec![0; (self.size.saturating_sub(at)).min(256) as usize];
        self.spool.read_exact_at(&mut bytes, at)?;
        let (there, length) = (bytes.len(), FIXED + variable_length(&bytes)?);
        if length > there {
            bytes.resize(length, 0);
            self.spool.read_exact_at(bytes.get_mut(there..).unwrap_or_default(), at + there as u64)?;
        }
        self.parsed(&bytes)
    }

    /// The record of these bytes, with its name below the folders around all.
    fn parsed(&self, bytes: &[u8]) -> Result<Record> {
        let mut record = parse(bytes)?;
        if record.name.starts_with(&self.top) {
            record.name.drain(..self.top.len());
        }
        Ok(record)
    }

    /// Runs through all records in the directory's order, but for that of the folder around all.
    pub(super) fn each(&self, mut visit: impl FnMut(u64, Record) -> Result<()>) -> Result<u64> {
        let mut spool = &self.spool;
        spool.rewind()?;
        let mut records = BufReader::with_capacity(1 << 18, spool);
        let (mut at, mut bytes) = (0, Vec::new());
        let mut number = 0;
        while number < self.entries || (self.wraps.is_some() && at < self.size) {
            number += 1;
            let doing = || format!("reading the record of entry {number} of {}", self.entries);
            bytes.resize(FIXED, 0);
            records.read_exact(&mut bytes).with_context(doing)?;
            bytes.resize(FIXED + variable_length(&bytes).with_context(doing)?, 0);
            records.read_exact(bytes.get_mut(FIXED..).unwrap_or_default()).with_context(doing)?;
            let record = self.parsed(&bytes).with_context(doing)?;
            let is_around_all = record.name.is_empty() && !record.stored_name.is_empty();
            if !is_around_all {
                visit(at, record)?;
            }
            at += bytes.len() as u64;
        }
        ensure!(at == self.size, "its directory of {} bytes should end after {at}", self.size);
        let around = self.wraps.map_or(1, |wraps| wraps.entries);
        ensure!(
            number == self.entries || (self.wraps.is_some() && (number - self.entries).is_multiple_of(around)),
            "its directory holds {number} entries, its end says {}",
            self.entries
        );
        Ok(number)
    }

    fn check_records(&mut self, limits: &ArchiveLimits) -> Result<()> {
        let (mut slots, mut total) = (std::mem::take(&mut self.slots), 0_u64);
        let (mut top, mut before) = (TopFolder::default(), 0_u64);
        // Entries lie in the order of their records where places begin again at 0.
        let around = self.wraps.map(|wraps| wraps.bytes).filter(|bytes| self.start >= *bytes);
        let entries = self.each(|at, record| {
            let said = || format!("entry {:?}", record.name);
            check_record(&record, limits).with_context(said)?;
            total = total.checked_add(record.size).filter(|total| *total <= limits.bytes).with_context(|| {
                format!("{}: with it the archive unpacks to more than {}", said(), human_bytes(limits.bytes))
            })?;
            let (found, most) = (slots.len() as u64 + 1, limits.entries);
            ensure!(found <= most, "expected {} entries at most, found {} or more", thousands(most), thousands(found));
            let offset = match around {
                Some(bytes) => record.offset + before.saturating_sub(record.offset).div_ceil(bytes) * bytes,
                None => record.offset,
            };
            before = offset;
            slots.push(Slot { offset, record: at });
            top.add(&record.name);
            Ok(())
        })?;
        (self.slots, self.bytes, self.entries, self.wraps) = (slots, total, entries, None);
        self.top = top.left_away();
        Ok(())
    }

    /// Refuses entries that share bytes: with them an archive of kilobytes can unpack to petabytes.
    fn check_overlaps(&self) -> Result<()> {
        for number in 0..self.len() {
            let (record, next) = (self.record(number)?, self.offset(number + 1));
            let least = LOCAL_HEADER + record.stored_name.len() as u64;
            let end = record.offset.checked_add(least).and_then(|start| start.checked_add(record.compressed));
            if end.is_none_or(|end| end > next) {
                let what = match self.record(number + 1) {
                    Ok(other) => format!("entry {:?}", other.name),
                    Err(_) => "the archive's directory".to_owned(),
                };
                bail!("entry {:?}: its {} bytes reach into {what}", record.name, record.compressed);
            }
        }
        Ok(())
    }
}

fn check_record(record: &Record, limits: &ArchiveLimits) -> Result<()> {
    if let Some(fault) = fault_in_name(&record.name) {
        bail!("{fault}");
    }
    let Record { size, compressed, .. } = record;
    ensure!(!record.is_folder() || *size == 0, "it is a folder, and yet has {size} bytes");
    ensure!(record.deflated || size == compressed, "it is stored, so {compressed} bytes cannot become {size}");
    let ratio = size / (*compressed).max(1);
    ensure!(
        *size < RATIO_COUNTS_FROM || ratio <= limits.ratio,
        "its {compressed} bytes should become {size}; expected {} times as many at most, found {ratio}",
        limits.ratio
    );
    Ok(())
}

fn copy(source: &dyn ByteSource, start: u64, length: u64, into: &mut File) -> Result<()> {
    let mut buffer = vec![0; source.part().min(length as usize)];
    let mut done = 0;
    while done < length {
        let count = (length - done).min(buffer.len() as u64) as usize;
        let piece = buffer.get_mut(..count).unwrap_or_default();
        source.read_at(start + done, piece).context("reading the archive's directory")?;
        into.write_all(piece).context("writing the archive's directory to a temporary file")?;
        done += count as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::archive::Archive;
    use super::*;
    use crate::base::zip_fields::u32_at;
    use std::collections::BTreeMap;
    use std::io::Cursor;
    use std::sync::Mutex;
    use zip::write::FileOptions;

    const ENTRIES: usize = 7;

    fn content(number: usize) -> Vec<u8> {
        vec![number as u8; 40]
    }

    /// Seven entries of 74 bytes each in the archive, and where the directory begins.
    fn archive() -> (Vec<u8>, usize) {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let stored = FileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for number in 0..ENTRIES {
            zip.start_file(format!("{number}.jp"), stored).expect("starts");
            zip.write_all(&content(number)).expect("writes");
        }
        let bytes = zip.finish().expect("finishes").into_inner();
        let start = bytes.windows(4).position(|four| four == b"PK\x01\x02").expect("a record");
        (bytes, start)
    }

    /// As an archive is written whose counts and places begin again at 0.
    fn wrapped(wraps: Wraps) -> Vec<u8> {
        let (mut bytes, start) = archive();
        let rest = |value: u64| (value % wraps.bytes) as u32;
        let mut at = start;
        for _ in 0..ENTRIES {
            let offset = u64::from(u32_at(&bytes, at + 42).expect("is there"));
            bytes[at + 42..at + 46].copy_from_slice(&rest(offset).to_le_bytes());
            at += FIXED + variable_length(&bytes[at..]).expect("is there");
        }
        let count = (ENTRIES as u64 % wraps.entries) as u16;
        bytes[at + 8..at + 10].copy_from_slice(&count.to_le_bytes());
        bytes[at + 10..at + 12].copy_from_slice(&count.to_le_bytes());
        bytes[at + 16..at + 20].copy_from_slice(&rest(start as u64).to_le_bytes());
        bytes
    }

    fn read(bytes: &Vec<u8>, wraps: Wraps, limits: &ArchiveLimits) -> Result<BTreeMap<String, Vec<u8>>> {
        let directory = Directory::read_wrapping(bytes, limits, wraps)?;
        let archive = Archive { name: "a.zip".to_owned(), source: bytes, directory };
        let found = Mutex::new(BTreeMap::new());
        let visit = |_, name: &str, bytes: &[u8]| {
            found.lock().expect("not poisoned").insert(name.to_owned(), bytes.to_vec());
            Ok(())
        };
        archive.each_entry(2, |_| true, visit, |_| ())?;
        Ok(found.into_inner().expect("not poisoned"))
    }

    #[test]
    fn all_entries_are_read_though_counts_and_places_began_again_at_0() {
        let all: BTreeMap<String, Vec<u8>> = (0..ENTRIES).map(|of| (format!("{of}.jp"), content(of))).collect();
        let limits = ArchiveLimits::default();
        let (honest, start) = archive();
        assert!(start > 500, "{start}");
        for (entries, bytes) in [(3, 100), (7, 80), (6, 300), (1 << 16, 100), (3, 1 << 32)] {
            let wraps = Wraps { entries, bytes };
            assert_eq!(read(&wrapped(wraps), wraps, &limits).expect("reads"), all, "{wraps:?}");
            assert_eq!(read(&honest, wraps, &limits).expect("reads"), all, "{wraps:?}");
        }
    }

    #[test]
    fn a_count_that_began_again_is_within_the_limits_or_refused() {
        let wraps = Wraps { entries: 3, bytes: 1 << 32 };
        let error =
            |bytes: &Vec<u8>, wraps, limits| format!("{:#}", read(bytes, wraps, &limits).expect_err("is refused"));
        let few = ArchiveLimits { entries: 6, ..ArchiveLimits::default() };
        assert_eq!(error(&wrapped(wraps), wraps, few), "expected 6 entries at most, found 7 or more");
        // Another count is no rest of the division.
        let bytes = wrapped(Wraps { entries: 5, bytes: 1 << 32 });
        let reason = "its directory holds 7 entries, its end says 2";
        assert_eq!(error(&bytes, wraps, ArchiveLimits::default()), reason);
        // Nor is a place.
        let mut bytes = archive().0;
        let at = bytes.len() - 22 + 16;
        bytes[at] ^= 4;
        let reason = error(&bytes, Wraps::ARCHIVE_UTILITY, ArchiveLimits::default());
        assert!(reason.starts_with("its directory should end at byte "), "{reason}");
    }
}
