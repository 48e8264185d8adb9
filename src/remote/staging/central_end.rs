//! Where a zip archive's central directory lies, by the record at the archive's end.

use super::archive::ArchiveLimits;
use super::source::ByteSource;
use crate::base::errors::{Context, Result, ensure};
use crate::base::file_kind::{FileKind, FileUse};
use crate::base::progress::{human_bytes, thousands};
use crate::base::zip_fields::{END, END_64, FIXED, LOCATOR_64, u16_at, u32_at, u64_at};

/// What a record may have: a name of 1,024 bytes, extra fields, a comment.
const RECORD_AT_MOST: u64 = 4096;

/// Where numbers begin again at 0 that their fields cannot hold: macOS' Archive Utility writes no zip64 records, but the rest of
/// the division, for counts and for places in the archive (github.com/thejoshwolfe/yauzl/issues/69,
/// github.com/zlib-ng/minizip-ng/issues/184).
#[derive(Debug, Clone, Copy)]
pub(super) struct Wraps {
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

impl Wraps {
    /// Of 16 and of 32 bits.
    pub(super) const ARCHIVE_UTILITY: Self = Self { entries: 1 << 16, bytes: 1 << 32 };
}

const PARTS: &str = "it is one of several parts; expected one file: join them, by `zip -s 0 PARTS.zip --out whole.zip`";

/// Where the directory lies, from the archive's end.
pub(super) struct End {
    pub(super) start: u64,
    pub(super) size: u64,
    pub(super) entries: u64,
    /// Where the numbers may have begun again at 0; `None` for an end that holds them whole.
    pub(super) wraps: Option<Wraps>,
}

impl End {
    pub(super) fn find(source: &dyn ByteSource, wraps: Wraps) -> Result<Self> {
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
        let at = at.with_context(|| no_zip(source))?;
        let end_at = length - tail_length + at as u64;
        let field = |offset| u16_at(&tail, at + offset).map(u64::from);
        let (disks, entries) = ([field(4)?, field(6)?], [field(8)?, field(10)?]);
        let (size, start) = (u64::from(u32_at(&tail, at + 12)?), u64::from(u32_at(&tail, at + 16)?));
        let is_wide = entries[1] == 0xffff || size == 0xffff_ffff || start == 0xffff_ffff;
        if is_wide && at >= 20 && u32_at(&tail, at - 20)? == LOCATOR_64 {
            return Self::find_64(source, u64_at(&tail, at - 12)?, end_at - 20);
        }
        Self { start, size, entries: entries[1], wraps: Some(wraps) }.checked(disks, entries[0], end_at)
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
        Self { start: u64_at(&record, 48)?, size: u64_at(&record, 40)?, entries: entries[1], wraps: None }
            .checked(disks, entries[0], at)
    }

    /// Refuses a directory that would fill memory or disk before its first entry is read.
    pub(super) fn check(&self, limits: &ArchiveLimits) -> Result<()> {
        let Self { size, entries, .. } = *self;
        let (found, most) = (thousands(entries), thousands(limits.entries));
        ensure!(entries <= limits.entries, "expected {most} entries at most, found {found}");
        let least = entries.saturating_mul(FIXED as u64);
        ensure!(size >= least, "its directory of {entries} entries should have {least} bytes at least; it has {size}");
        // There may be more entries than the end says.
        let around = self.wraps.map_or(1, |wraps| wraps.entries);
        let possible = match self.wraps {
            Some(_) => entries + (size / FIXED as u64 - entries) / around * around,
            None => entries,
        };
        let most = possible.saturating_mul(RECORD_AT_MOST).min(limits.directory);
        ensure!(
            size <= most,
            "its directory of {entries} entries should have {} at most; it has {}",
            human_bytes(most),
            human_bytes(size)
        );
        Ok(())
    }

    fn checked(mut self, disks: [u64; 2], entries_here: u64, end_at: u64) -> Result<Self> {
        ensure!(disks == [0, 0] && entries_here == self.entries, "{PARTS}");
        let end = self.start.checked_add(self.size);
        if let (Some(missing), Some(wraps)) = (end.and_then(|end| end_at.checked_sub(end)), self.wraps)
            && missing % wraps.bytes == 0
        {
            self.start += missing;
            return Ok(self);
        }
        ensure!(
            end == Some(end_at),
            "its directory should end at byte {end_at}; it begins at {} and has {} bytes",
            self.start,
            self.size
        );
        Ok(self)
    }
}

/// Why there is no end.
fn no_zip(source: &dyn ByteSource) -> String {
    let mut first = vec![0; source.size().min(512) as usize];
    let kind = source.read_at(0, &mut first).ok().and_then(|()| FileKind::of(&first));
    match kind.filter(|kind| kind.is == FileUse::Archive && !first.starts_with(b"PK")) {
        Some(kind) => format!("it is no zip archive but {}", kind.told("FILE")),
        None => "no end record found: it is cut off, or not a zip archive".to_owned(),
    }
}
