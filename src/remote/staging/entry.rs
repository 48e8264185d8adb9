//! Reads and inflates one entry of an archive, and compares it with its record in the directory.

use super::central_record::Record;
use super::directory::LOCAL_HEADER;
use super::source::ByteSource;
use crate::base::errors::{Context, Result, anyhow, ensure};
use crate::base::zip_fields::{u16_at, u32_at};
use flate2::{Decompress, FlushDecompress, Status};

/// Size of the output buffer: most slices fit as a whole.
const OUT: usize = 1 << 18;

/// What a thread keeps from entry to entry.
pub(super) struct EntryReader<'a> {
    window: ReadWindow<'a>,
    inflate: Decompress,
    out: Vec<u8>,
}

/// Counts and hashes what it passes on.
struct Checked<'a> {
    sink: &'a mut dyn FnMut(&[u8]) -> Result<()>,
    size: u64,
    hash: crc32fast::Hasher,
}

impl Checked<'_> {
    fn pass(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        (self.sink)(bytes)
    }
}

impl<'a> EntryReader<'a> {
    pub(super) fn new(source: &'a dyn ByteSource) -> Self {
        let window = ReadWindow { source, start: 0, bytes: Vec::new(), end: 0 };
        Self { window, inflate: Decompress::new(false), out: vec![0; OUT] }
    }

    /// From now on nothing beyond `end` is requested.
    pub(super) fn begin(&mut self, end: u64) {
        self.window.end = end;
    }

    /// Passes an entry's content on, piece by piece; its bytes end before `room`. Size and CRC-32 are checked after the
    /// last piece.
    pub(super) fn read(&mut self, record: &Record, room: u64, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let data = self.window.data_of(record, room)?;
        let mut checked = Checked { sink, size: 0, hash: crc32fast::Hasher::new() };
        if record.deflated {
            self.inflate(record, data, &mut checked)?
        } else {
            self.store(record, data, &mut checked)?
        }
        ensure!(checked.size == record.size, "expected {} bytes, found {}", record.size, checked.size);
        let crc32 = checked.hash.finalize();
        ensure!(crc32 == record.crc32, "expected the CRC-32 {:08x}, found {crc32:08x}", record.crc32);
        Ok(())
    }

    fn store(&mut self, record: &Record, data: u64, output: &mut Checked) -> Result<()> {
        let mut done = 0;
        while done < record.size {
            let piece = self.window.some(data + done, record.size - done)?;
            output.pass(piece)?;
            done += piece.len() as u64;
        }
        Ok(())
    }

    fn inflate(&mut self, record: &Record, data: u64, output: &mut Checked) -> Result<()> {
        self.inflate.reset(false);
        let mut filled = 0;
        loop {
            let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
            let input = self.window.some(data + read, record.compressed - read)?;
            let space = self.out.get_mut(filled..).unwrap_or_default();
            let status = self.inflate.decompress(input, space, FlushDecompress::None);
            let status = status.map_err(|error| anyhow!("after {written} bytes: {error}"))?;
            let fresh = self.inflate.total_out() - written;
            filled += fresh as usize;
            ensure!(
                self.inflate.total_out() <= record.size,
                "it unpacks to more than the {} bytes that the directory states",
                record.size
            );
            let is_end = status == Status::StreamEnd;
            if is_end || filled == self.out.len() {
                output.pass(self.out.get(..filled).unwrap_or_default())?;
                filled = 0;
            }
            if is_end {
                let used = self.inflate.total_in();
                ensure!(used == record.compressed, "expected {} compressed bytes, found {used}", record.compressed);
                return Ok(());
            }
            ensure!(fresh > 0 || self.inflate.total_in() > read, "its compressed data end in the middle");
        }
    }
}

/// The part of the archive that a thread has in memory.
struct ReadWindow<'a> {
    source: &'a dyn ByteSource,
    start: u64,
    bytes: Vec<u8>,
    end: u64,
}

impl ReadWindow<'_> {
    /// Where the entry's data begin, after a local header that says the same as the directory.
    fn data_of(&mut self, record: &Record, room: u64) -> Result<u64> {
        let doing = "reading its local header";
        let header = self.exactly(record.offset, LOCAL_HEADER as usize).context(doing)?;
        let signature = u32_at(header, 0)?;
        ensure!(signature == 0x0403_4b50, "{doing}: expected the signature 04034b50, found {signature:08x}");
        let (flags, method) = (u16_at(header, 6)?, u16_at(header, 8)?);
        let (name_length, extra_length) = (u16_at(header, 26)?, u16_at(header, 28)?);
        ensure!(flags & 0x2041 == 0, "{doing}: it is encrypted");
        ensure!(method == if record.deflated { 8 } else { 0 }, "{doing}: it has another method, {method}");
        let name = self.exactly(record.offset + LOCAL_HEADER, usize::from(name_length)).context(doing)?;
        ensure!(name == record.stored_name, "{doing}: it has another name, {}", name.escape_ascii());
        let data = record.offset + LOCAL_HEADER + u64::from(name_length) + u64::from(extra_length);
        ensure!(data + record.compressed <= room, "its {} bytes reach into what comes after it", record.compressed);
        Ok(data)
    }

    /// Exactly `length` bytes, a small number.
    fn exactly(&mut self, offset: u64, length: usize) -> Result<&[u8]> {
        if self.at(offset).len() < length {
            self.fill(offset, length as u64)?;
        }
        self.at(offset).get(..length).with_context(|| format!("there are no {length} bytes at {offset}"))
    }

    /// Up to `most` bytes, and one at least unless `most` is 0.
    fn some(&mut self, offset: u64, most: u64) -> Result<&[u8]> {
        if most > 0 && self.at(offset).is_empty() {
            self.fill(offset, most)?;
        }
        let there = self.at(offset);
        Ok(there.get(..most.min(there.len() as u64) as usize).unwrap_or_default())
    }

    /// The bytes of the window from `offset` on.
    fn at(&self, offset: u64) -> &[u8] {
        let skip = offset.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| self.bytes.get(skip..)).unwrap_or_default()
    }

    /// Reads `wanted` bytes or, if that is more, up to the end of the current entries; at most one part.
    fn fill(&mut self, offset: u64, wanted: u64) -> Result<()> {
        let ahead = self.end.saturating_sub(offset);
        let length = wanted.max(ahead).min(self.source.part() as u64);
        let length = length.min(self.source.size().saturating_sub(offset)) as usize;
        // While the window is filled, no offset matches its content.
        self.start = u64::MAX;
        self.bytes.resize(length, 0);
        self.source.read_at(offset, &mut self.bytes)?;
        self.start = offset;
        Ok(())
    }
}
