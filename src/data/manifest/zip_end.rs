//! Zip archives of macOS' Archive Utility with more entries than their end record can count.

use crate::base::errors::{Context, Result, bail};
use crate::base::zip_fields::{END, END_64, FIXED, LOCATOR_64, u16_at, u32_at, variable_length};
use std::io::{self, BufReader, Read, Seek, SeekFrom};

/// Bytes of the end record, and of the longest comment after it.
const END_SIZE: u64 = 22;
const COMMENT: u64 = 65_535;
/// How many entries the end record can count; its writer begins at 0 again, and so do places from 4 GiB on.
pub(super) const COUNTED: u64 = 1 << 16;
const PLACES: u64 = 1 << 32;

/// A file, followed by bytes that it lacks.
pub(super) struct Followed<R> {
    file: R,
    length: u64,
    added: Vec<u8>,
    at: u64,
}

impl<R: Read + Seek> Followed<R> {
    /// A zip archive with an end that counts all of its entries: where there are more than `counted`, the zip64 end that its
    /// writer left out follows (APPNOTE.TXT 4.3.14 to 4.3.16).
    ///
    /// # Errors
    /// An archive of more than 4 GiB whose places begin again at 0.
    pub(super) fn zip(mut file: R, counted: u64) -> Result<Self> {
        let length = file.seek(SeekFrom::End(0))?;
        let tail_length = length.min(END_SIZE + COMMENT);
        let mut tail = vec![0; tail_length as usize];
        file.seek(SeekFrom::Start(length - tail_length))?;
        file.read_exact(&mut tail)?;
        let found = tail.windows(END_SIZE as usize).rposition(|end| end.starts_with(&END.to_le_bytes()));
        let mut added = Vec::new();
        if let Some(at) = found {
            let end = &tail[at..];
            let (entries, size, start) =
                (u64::from(u16_at(end, 10)?), u64::from(u32_at(end, 12)?), u64::from(u32_at(end, 16)?));
            let end_at = length - tail_length + at as u64;
            let Some(true_start) = end_at.checked_sub(size) else {
                return Ok(Self { file, length, added, at: 0 });
            };
            // A zip64 end, where there is one, counts.
            let is_narrow = entries < 0xffff && size < 0xffff_ffff && start < 0xffff_ffff;
            if is_narrow && true_start > start && (true_start - start).is_multiple_of(PLACES) {
                bail!(
                    "more than 4 GiB, written by macOS' Archive Utility without the records that such an archive needs: unpack \
                     it by `ditto -x -k` (macOS) or `7z x`"
                );
            }
            if is_narrow && true_start == start && size / FIXED as u64 >= counted {
                let all = records(&mut file, start, end_at)?;
                if all > entries && (all - entries).is_multiple_of(counted) {
                    added = wide_end(all, size, start, length);
                }
            }
        }
        Ok(Self { file, length, added, at: 0 })
    }
}

/// Counts the records from `start` to `end`; 0 where there is something else.
fn records(file: &mut (impl Read + Seek), start: u64, end: u64) -> Result<u64> {
    file.seek(SeekFrom::Start(start))?;
    let mut records = BufReader::with_capacity(1 << 16, file);
    let (mut at, mut count, mut fixed) = (start, 0, [0; FIXED]);
    while at < end {
        records.read_exact(&mut fixed).context("counting the entries")?;
        // Something else than a record.
        let Ok(rest) = variable_length(&fixed) else { return Ok(0) };
        records.seek_relative(rest as i64).context("counting the entries")?;
        (at, count) = (at + (FIXED + rest) as u64, count + 1);
    }
    Ok(count)
}

/// The zip64 end record and its locator, to stand at byte `at`, and an end record that names them.
fn wide_end(entries: u64, size: u64, start: u64, at: u64) -> Vec<u8> {
    let mut end = Vec::new();
    let mut put = |value: u64, width: usize| end.extend(&value.to_le_bytes()[..width]);
    for (value, width) in
        [(u64::from(END_64), 4), (44, 8), (45, 2), (45, 2), (0, 8), (entries, 8), (entries, 8), (size, 8)]
    {
        put(value, width);
    }
    for (value, width) in [(start, 8), (u64::from(LOCATOR_64), 4), (0, 4), (at, 8), (1, 4)] {
        put(value, width);
    }
    for (value, width) in [(u64::from(END), 4), (0, 4), (0xffff, 2), (0xffff, 2), (size, 4), (start, 4), (0, 2)] {
        put(value, width);
    }
    end
}

impl<R: Read + Seek> Read for Followed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = if self.at < self.length {
            let most = into.len().min((self.length - self.at).min(usize::MAX as u64) as usize);
            self.file.seek(SeekFrom::Start(self.at))?;
            self.file.read(&mut into[..most])?
        } else {
            let from = (self.at - self.length).min(self.added.len() as u64) as usize;
            (&self.added[from..]).read(into)?
        };
        self.at += read as u64;
        Ok(read)
    }
}

impl<R: Read + Seek> Seek for Followed<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let whole = self.length + self.added.len() as u64;
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(by) => whole.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = place.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a place before the file"))?;
        Ok(self.at)
    }
}
