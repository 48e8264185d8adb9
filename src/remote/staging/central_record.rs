//! One record of a zip archive's central directory.

use crate::base::entry_name::entry_name;
use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::zip_fields::{FIXED, u16_at, u32_at, u64_at};

/// What to do with what is not unpacked here.
const UNPACK: &str = "unpack the archive first, by `7z x`, and audit the folder";

/// What the central directory says of one entry.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    /// With `/` between folders; empty for the folder around all.
    pub(super) name: String,
    /// The name as the archive has it.
    pub(super) stored_name: Vec<u8>,
    pub(super) deflated: bool,
    pub(super) crc32: u32,
    pub(super) compressed: u64,
    pub(super) size: u64,
    pub(super) offset: u64,
}

impl Record {
    pub(super) fn is_folder(&self) -> bool {
        self.name.is_empty() || self.name.ends_with('/')
    }
}

/// Reads a record of which all bytes are there.
pub(super) fn parse(bytes: &[u8]) -> Result<Record> {
    let name_end = FIXED + usize::from(u16_at(bytes, 28)?);
    let stored_name = bytes.get(FIXED..name_end).context("cut off")?.to_vec();
    let name = entry_name(&stored_name);
    let extra = bytes.get(name_end..name_end + usize::from(u16_at(bytes, 30)?)).context("cut off")?;
    let said = || format!("entry {name:?}");
    let (flags, method) = (u16_at(bytes, 8)?, u16_at(bytes, 10)?);
    // Bits 0 and 6: encrypted; 13: parts of the directory are. Method 99: AES.
    ensure!(flags & 0x2041 == 0 && method != 99, "{}: it is encrypted: {UNPACK}", said());
    ensure!(
        matches!(method, 0 | 8),
        "{}: expected stored (0) or deflated (8) data, found method {method}: {UNPACK}",
        said()
    );
    // The upper half is the Unix mode, where there is one.
    let mode = u32_at(bytes, 38)? >> 16 & 0o170_000;
    let kinds = [0, 0o100_000, 0o040_000];
    ensure!(mode != 0o120_000, "{}: it is a link; links are not unpacked", said());
    ensure!(kinds.contains(&mode), "{}: expected a file or a folder, found Unix mode {mode:o}", said());
    let [size, compressed, offset, disk] = sizes(bytes, extra).with_context(said)?;
    ensure!(disk == 0, "{}: it lies on disk {disk} of an archive of several; expected one file", said());
    let (deflated, crc32) = (method == 8, u32_at(bytes, 16)?);
    Ok(Record { name, stored_name, deflated, crc32, compressed, size, offset })
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
