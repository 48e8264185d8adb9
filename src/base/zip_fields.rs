//! Fields of zip archives, all little-endian (APPNOTE.TXT 4.3).

use crate::base::errors::{Context, Result, ensure};

/// Signatures of a record of the central directory, of the end record, and of the zip64 end record with its locator.
const RECORD: u32 = 0x0201_4b50;
pub(crate) const END: u32 = 0x0605_4b50;
pub(crate) const END_64: u32 = 0x0606_4b50;
pub(crate) const LOCATOR_64: u32 = 0x0706_4b50;

/// Bytes of a record of the central directory before the name.
pub(crate) const FIXED: usize = 46;

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    let field = bytes.get(at..at + 2).context("cut off")?;
    Ok(u16::from_le_bytes(field.try_into()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    let field = bytes.get(at..at + 4).context("cut off")?;
    Ok(u32::from_le_bytes(field.try_into()?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    let field = bytes.get(at..at + 8).context("cut off")?;
    Ok(u64::from_le_bytes(field.try_into()?))
}

/// Length of name, extra fields and comment of a record of the central directory.
pub(crate) fn variable_length(header: &[u8]) -> Result<usize> {
    let signature = u32_at(header, 0)?;
    ensure!(signature == RECORD, "expected the signature {RECORD:08x}, found {signature:08x}");
    Ok(usize::from(u16_at(header, 28)?) + usize::from(u16_at(header, 30)?) + usize::from(u16_at(header, 32)?))
}
