//! Zip directories of any bytes: see `fuzzing`.

use super::ArchiveLimits;
use super::directory::Directory;

/// Reads a directory and every record in it.
pub(crate) fn read(bytes: &[u8]) {
    let limits = ArchiveLimits { entries: 1000, directory: 1 << 20, ..ArchiveLimits::default() };
    if let Ok(directory) = Directory::read(&bytes.to_vec(), &limits) {
        for number in 0..directory.len() {
            assert!(directory.record(number).is_ok(), "a record that was read before");
            assert!(directory.offset(number) <= directory.offset(number + 1), "entries in their order");
        }
    }
}
