//! A zip archive's central directory: read once, checked in full, and kept as 16 bytes per entry.

use super::archive::ArchiveLimits;
use super::folder::fault_in_name;
use super::name_conflicts::{Names, check};
use super::source::ByteSource;
use crate::base::errors::{Context, Result, anyhow, bail, ensure};
use crate::base::progress::{human_bytes, thousands};
use std::fs::File;
use std::io::{BufReader, Read, Seek, Write};
use std::os::unix::fs::FileExt;

const RECORD: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;

/// Bytes of a local header before the name.
pub(super) const LOCAL_HEADER: u64 = 30;

/// Bytes of a record before the name.
const FIXED: usize = 46;
/// What a record may have: a name of 1,024 bytes, extra fields, a comment.
const RECORD_AT_MOST: u64 = 4096;

/// The ratio is checked for entries of at least this size: a small file of one colour can shrink to a thousandth.
const RATIO_COUNTS_FROM: u64 = 1 << 20;

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    let field = bytes.get(at..at + 2).context("cut off")?;
    Ok(u16::from_le_bytes(field.try_into()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    let field = bytes.get(at..at + 4).context("cut off")?;
    Ok(u32::from_le_bytes(field.try_into()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    let field = bytes.get(at..at + 8).context("cut off")?;
    Ok(u64::from_le_bytes(field.try_into()?))
}

/// What the central directory says of one entry.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) deflated: bool,
    pub(super) crc32: u32,
    pub(super) compressed: u64,
    pub(super) size: u64,
    pub(super) offset: u64,
}

impl Record {
    pub(super) fn is_folder(&self) -> bool {
        self.name.ends_with('/')
    }
}

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
    /// Bytes of all entries, unpacked.
    pub(super) bytes: u64,
}

impl Directory {
    /// Reads and checks the directory.
    pub(super) fn read(source: &dyn ByteSource, limits: &ArchiveLimits) -> Result<Self> {
        let end = End::find(source)?;
        end.check(limits)?;
        let mut spool = tempfile::tempfile().context("opening a temporary file for the archive's directory")?;
        copy(source, end.start, end.size, &mut spool)?;
        let End { start, size, entries } = end;
        let mut directory = Self { spool, slots: Vec::new(), start, size, entries, bytes: 0 };
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
        self.record_at(slot.record)
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
        parse(&bytes)
    }

    /// Runs through all records in the directory's order.
    pub(super) fn each(&self, mut visit: impl FnMut(u64, Record) -> Result<()>) -> Result<()> {
        let mut spool = &self.spool;
        spool.rewind()?;
        let mut records = BufReader::with_capacity(1 << 18, spool);
        let (mut at, mut bytes) = (0, Vec::new());
        for number in 0..self.entries {
            let doing = || format!("reading the record of entry {} of {}", number + 1, self.entries);
            bytes.resize(FIXED, 0);
            records.read_exact(&mut bytes).with_context(doing)?;
            bytes.resize(FIXED + variable_length(&bytes).with_context(doing)?, 0);
            records.read_exact(bytes.get_mut(FIXED..).unwrap_or_default()).with_context(doing)?;
            visit(at, parse(&bytes).with_context(doing)?)?;
            at += bytes.len() as u64;
        }
        ensure!(at == self.size, "its directory of {} bytes should end after {at}", self.size);
        Ok(())
    }

    fn check_records(&mut self, limits: &ArchiveLimits) -> Result<()> {
        let (mut slots, mut total) = (std::mem::take(&mut self.slots), 0_u64);
        self.each(|at, record| {
            let said = || format!("entry {:?}", record.name);
            check_record(&record, limits).with_context(said)?;
            total = total.checked_add(record.size).filter(|total| *total <= limits.bytes).with_context(|| {
                format!("{}: with it the archive unpacks to more than {}", said(), human_bytes(limits.bytes))
            })?;
            slots.push(Slot { offset: record.offset, record: at });
            Ok(())
        })?;
        (self.slots, self.bytes) = (slots, total);
        Ok(())
    }

    /// Refuses entries that share bytes: with them an archive of kilobytes can unpack to petabytes.
    fn check_overlaps(&self) -> Result<()> {
        for number in 0..self.len() {
            let (record, next) = (self.record(number)?, self.offset(number + 1));
            let least = LOCAL_HEADER + record.name.len() as u64;
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

/// Length of name, extra fields and comment.
fn variable_length(header: &[u8]) -> Result<usize> {
    let signature = u32_at(header, 0)?;
    ensure!(signature == RECORD, "expected the signature {RECORD:08x}, found {signature:08x}");
    Ok(usize::from(u16_at(header, 28)?) + usize::from(u16_at(header, 30)?) + usize::from(u16_at(header, 32)?))
}

fn parse(bytes: &[u8]) -> Result<Record> {
    let name_end = FIXED + usize::from(u16_at(bytes, 28)?);
    let name = bytes.get(FIXED..name_end).context("cut off")?;
    let name = str::from_utf8(name).map_err(|_| anyhow!("its name {} is not UTF-8", name.escape_ascii()))?;
    let extra = bytes.get(name_end..name_end + usize::from(u16_at(bytes, 30)?)).context("cut off")?;
    let said = || format!("entry {name:?}");
    let (flags, method) = (u16_at(bytes, 8)?, u16_at(bytes, 10)?);
    // Bits 0 and 6: encrypted; 13: parts of the directory are. Method 99: AES.
    ensure!(flags & 0x2041 == 0 && method != 99, "{}: it is encrypted", said());
    ensure!(matches!(method, 0 | 8), "{}: expected stored (0) or deflated (8) data, found method {method}", said());
    // The upper half is the Unix mode, where there is one.
    let mode = u32_at(bytes, 38)? >> 16 & 0o170_000;
    let kinds = [0, 0o100_000, 0o040_000];
    ensure!(mode != 0o120_000, "{}: it is a link; links are not unpacked", said());
    ensure!(kinds.contains(&mode), "{}: expected a file or a folder, found Unix mode {mode:o}", said());
    let [size, compressed, offset, disk] = sizes(bytes, extra).with_context(said)?;
    ensure!(disk == 0, "{}: it lies on disk {disk} of an archive of several; expected one file", said());
    Ok(Record { name: name.to_owned(), deflated: method == 8, crc32: u32_at(bytes, 16)?, compressed, size, offset })
}

/// Size, compressed size, offset and disk; values that do not fit their field are in the zip64 field.
fn sizes(bytes: &[u8], mut extra: &[u8]) -> Result<[u64; 4]> {
    let narrow = [u32_at(bytes, 24)?, u32_at(bytes, 20)?, u32_at(bytes, 42)?].map(u64::from);
    let disk = u64::from(u16_at(bytes, 34)?);
    let mut values = [narrow[0], narrow[1], narrow[2], disk];
    let is_wide = [narrow[0] == 0xffff_ffff, narrow[1] == 0xffff_ffff, narrow[2] == 0xffff_ffff, disk == 0xffff];
    if is_wide == [false; 4] {
        return Ok(values);
    }
    while extra.len() >= 4 {
        let (kind, length) = (u16_at(extra, 0)?, usize::from(u16_at(extra, 2)?));
        let mut field = extra.get(4..4 + length).context("its extra fields are cut off")?;
        if kind == 1 {
            for ((value, wide), width) in values.iter_mut().zip(is_wide).zip([8, 8, 8, 4]).filter(|((_, w), _)| *w) {
                debug_assert!(wide);
                *value = if width == 8 { u64_at(field, 0) } else { u32_at(field, 0).map(u64::from) }
                    .context("its zip64 field is too short")?;
                field = field.get(width..).unwrap_or_default();
            }
            return Ok(values);
        }
        extra = extra.get(4 + length..).unwrap_or_default();
    }
    bail!("its sizes need a zip64 field, and there is none")
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

/// Where the directory lies, from the archive's end.
struct End {
    start: u64,
    size: u64,
    entries: u64,
}

impl End {
    fn find(source: &dyn ByteSource) -> Result<Self> {
        let length = source.size();
        // The end record has 22 bytes and a comment of up to 65,535; the zip64 locator, 20 bytes, precedes it.
        let tail_length = length.min(22 + 65_535 + 20);
        let mut tail = vec![0; tail_length as usize];
        source.read_at(length - tail_length, &mut tail).context("reading the archive's end")?;
        let ends_here = |at: usize| {
            u32_at(&tail, at).is_ok_and(|found| found == END)
                && u16_at(&tail, at + 20).is_ok_and(|comment| at + 22 + usize::from(comment) == tail.len())
        };
        let at = (0..tail.len().saturating_sub(21)).rev().find(|at| ends_here(*at));
        let at = at.context("no end record found: it is cut off, or not a zip archive")?;
        let end_at = length - tail_length + at as u64;
        let field = |offset| u16_at(&tail, at + offset).map(u64::from);
        let (disks, entries) = ([field(4)?, field(6)?], [field(8)?, field(10)?]);
        let (size, start) = (u64::from(u32_at(&tail, at + 12)?), u64::from(u32_at(&tail, at + 16)?));
        let is_wide = entries[1] == 0xffff || size == 0xffff_ffff || start == 0xffff_ffff;
        if is_wide && at >= 20 && u32_at(&tail, at - 20)? == LOCATOR_64 {
            return Self::find_64(source, u64_at(&tail, at - 12)?, end_at - 20);
        }
        Self { start, size, entries: entries[1] }.checked(disks, entries[0], end_at)
    }

    fn find_64(source: &dyn ByteSource, at: u64, locator_at: u64) -> Result<Self> {
        let doing = || format!("reading the zip64 end record at byte {at}");
        ensure!(at.checked_add(56).is_some_and(|end| end <= locator_at), "{}: it is not there", doing());
        let mut record = [0; 56];
        source.read_at(at, &mut record).with_context(doing)?;
        let signature = u32_at(&record, 0)?;
        ensure!(signature == END_64, "{}: expected the signature {END_64:08x}, found {signature:08x}", doing());
        let disks = [u64::from(u32_at(&record, 16)?), u64::from(u32_at(&record, 20)?)];
        let entries = [u64_at(&record, 24)?, u64_at(&record, 32)?];
        Self { start: u64_at(&record, 48)?, size: u64_at(&record, 40)?, entries: entries[1] }
            .checked(disks, entries[0], at)
    }

    /// Refuses a directory that would fill memory or disk before its first entry is read.
    fn check(&self, limits: &ArchiveLimits) -> Result<()> {
        let Self { size, entries, .. } = *self;
        let (found, most) = (thousands(entries), thousands(limits.entries));
        ensure!(entries <= limits.entries, "expected {most} entries at most, found {found}");
        let least = entries.saturating_mul(FIXED as u64);
        ensure!(size >= least, "its directory of {entries} entries should have {least} bytes at least; it has {size}");
        let most = entries.saturating_mul(RECORD_AT_MOST).min(limits.directory);
        ensure!(
            size <= most,
            "its directory of {entries} entries should have {} at most; it has {}",
            human_bytes(most),
            human_bytes(size)
        );
        Ok(())
    }

    fn checked(self, disks: [u64; 2], entries_here: u64, end_at: u64) -> Result<Self> {
        ensure!(disks == [0, 0] && entries_here == self.entries, "it is one of several parts; expected one file");
        let end = self.start.checked_add(self.size);
        ensure!(
            end == Some(end_at),
            "its directory should end at byte {end_at}; it begins at {} and has {} bytes",
            self.start,
            self.size
        );
        Ok(self)
    }
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
