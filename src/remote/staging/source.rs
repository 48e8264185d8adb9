//! Sources that can be read by ranges: a file, bytes in memory, an object in a bucket.

use crate::base::errors::{Context, Result};
use crate::base::regular_file::open_regular;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Anything that can be read by ranges: a file, bytes in memory, an object in a bucket.
pub trait ByteSource: Sync {
    /// Length in bytes.
    fn size(&self) -> u64;

    /// Fills `into` with the bytes from `offset` on.
    ///
    /// # Errors
    /// Fewer bytes than asked for, or none at all.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()>;

    /// How many bytes to ask for at once.
    fn part(&self) -> usize {
        1 << 20
    }
}

impl ByteSource for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let start = usize::try_from(offset).ok();
        let bytes = start.and_then(|start| self.get(start..start.checked_add(into.len())?));
        let wanted = into.len();
        into.copy_from_slice(bytes.with_context(|| format!("there are no {wanted} bytes at {offset}"))?);
        Ok(())
    }
}

impl ByteSource for Vec<u8> {
    fn size(&self) -> u64 {
        self.as_slice().size()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        self.as_slice().read_at(offset, into)
    }
}

/// A file on this machine.
#[derive(Debug)]
pub struct LocalFile {
    file: File,
    size: u64,
}

impl LocalFile {
    /// Opens a file to be read by ranges.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let doing = || format!("opening {}", path.as_ref().display());
        let file = open_regular(path.as_ref()).with_context(doing)?;
        let size = file.metadata().with_context(doing)?.len();
        Ok(Self { file, size })
    }
}

impl ByteSource for LocalFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let wanted = into.len();
        self.file.read_exact_at(into, offset).with_context(|| format!("reading {wanted} bytes at {offset}"))
    }
}
