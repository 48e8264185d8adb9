//! Where the rows of a file lie, with their checksums and marks, and the index that names what they were made from.

use crate::base::errors::{Context, Result, ensure};
use crate::base::files::Digest;
use crate::base::regular_file::read_regular;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Version of the files. The first had no checksums, and an index without a version.
pub(super) const FORMAT: u32 = 2;

/// The index of a file of rows.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RowIndex<I> {
    pub(super) format: u32,
    /// Hash of the table's file.
    pub(super) table: Digest,
    pub(super) made_from: I,
}

impl<I> RowIndex<I> {
    /// Its keys, none of which the first version's index had.
    pub(super) const KEYS: [&str; 3] = ["format", "table", "made_from"];

    pub(super) fn of(table: &[u8], made_from: I) -> Self {
        Self { format: FORMAT, table: Digest::of(table), made_from }
    }
}

/// Where a row lies in the file, its CRC-32C and its mark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) checksum: u32,
    pub(super) mark: u8,
}

/// Bytes of a row's length, checksum and mark in a file.
pub(super) const MEASURES: usize = 9;
/// Bytes of a spot in a file: its offset before these.
pub(super) const SPOT: usize = 8 + MEASURES;

impl Spot {
    /// Of a row that is written at `offset`.
    pub(super) fn of(bytes: &[u8], mark: u8, offset: u64) -> Self {
        Self { offset, length: bytes.len() as u32, checksum: crc32c::crc32c(bytes), mark }
    }

    /// Length, checksum and mark, little-endian.
    pub(super) fn measures(self) -> [u8; MEASURES] {
        let ([a, b, c, d], [e, f, g, h]) = (self.length.to_le_bytes(), self.checksum.to_le_bytes());
        [a, b, c, d, e, f, g, h, self.mark]
    }

    /// The reverse.
    pub(super) fn measured(offset: u64, [a, b, c, d, e, f, g, h, mark]: [u8; MEASURES]) -> Self {
        Self { offset, length: u32::from_le_bytes([a, b, c, d]), checksum: u32::from_le_bytes([e, f, g, h]), mark }
    }

    pub(super) fn end(self) -> u64 {
        self.offset.saturating_add(u64::from(self.length))
    }
}

/// Where every row lies.
#[derive(Debug)]
pub(super) struct RowTable {
    spots: Vec<Spot>,
}

impl RowTable {
    pub(super) fn of(spots: Vec<Spot>) -> Self {
        Self { spots }
    }

    /// Reads the table of so many rows, with this hash.
    pub(super) fn read(path: &Path, rows: usize, expected: Digest) -> Result<Self> {
        let bytes = read_regular(path, (rows * SPOT) as u64).with_context(|| format!("reading {}", path.display()))?;
        let found = Digest::of(&bytes);
        ensure!(found == expected, "{} should have the SHA-256 {expected}, it has {found}", path.display());
        let length = bytes.len();
        ensure!(
            length == rows * SPOT,
            "{} should have {} bytes for {rows} rows, it has {length}",
            path.display(),
            rows * SPOT
        );
        let spot = |bytes: &[u8]| {
            let (offset, measures) = bytes.split_first_chunk()?;
            Some(Spot::measured(u64::from_le_bytes(*offset), measures.try_into().ok()?))
        };
        Ok(Self { spots: bytes.chunks_exact(SPOT).filter_map(spot).collect() })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let bytes = |spot: &Spot| spot.offset.to_le_bytes().into_iter().chain(spot.measures());
        self.spots.iter().flat_map(bytes).collect()
    }

    pub(super) fn rows(&self) -> usize {
        self.spots.len()
    }

    pub(super) fn spot(&self, row: usize) -> Option<Spot> {
        self.spots.get(row).copied()
    }

    /// Bytes of all rows.
    pub(super) fn bytes(&self) -> u64 {
        self.spots.iter().map(|spot| u64::from(spot.length)).sum()
    }

    /// Where the last row in the file ends.
    pub(super) fn end(&self) -> u64 {
        self.spots.iter().map(|spot| spot.end()).max().unwrap_or(0)
    }
}
