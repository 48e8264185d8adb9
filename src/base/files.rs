//! Reading and writing whole files so that a kill at any moment leaves either the old file or the new one.

use crate::base::regular_file::{JSON_AT_MOST, open_regular, read_regular};
use anyhow::{Context, Result, bail};
use memmap2::Mmap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::NamedTempFile;

/// A SHA-256 digest; shown as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// One digest that stands for several, in their order.
    pub(crate) fn joint(digests: impl Iterator<Item = Self>) -> Self {
        Self::of(&digests.flat_map(|digest| digest.0).collect::<Vec<u8>>())
    }

    /// The digest of a file, read in pieces.
    pub(crate) fn of_file(path: &Path) -> Result<Self> {
        let doing = || format!("computing the SHA-256 of {}", path.display());
        let (mut file, mut hash) = (open_regular(path).with_context(doing)?, Sha256::new());
        io::copy(&mut file, &mut hash).with_context(doing)?;
        Ok(Self(hash.finalize().into()))
    }

    /// Reads 64 hexadecimal digits; `None` for anything else.
    pub fn parse(hex: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if hex.len() != 64 || !hex.is_ascii() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// The first 12 hexadecimal digits: enough to distinguish two by eye.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Written in one piece: a manifest's hash shows hundreds of thousands.
        let digits =
            |byte: &u8| [byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]));
        f.write_str(&self.0.iter().flat_map(digits).collect::<String>())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.short())
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("expected 64 hexadecimal digits, found {text:?}")))
    }
}

/// Makes and locks `path` until the file is dropped, however the process ends.
///
/// # Errors
/// `taken`, where another process holds it; a file system without locks.
pub(crate) fn lock(path: &Path, taken: &str) -> Result<fs::File> {
    let locking = || format!("locking {}", path.display());
    let file = fs::File::create(path).with_context(locking)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => bail!("{taken}"),
        Err(fs::TryLockError::Error(error)) => Err(error).with_context(locking),
    }
}

/// Makes and locks `path` as [`lock`] does, once no other process holds it.
pub(crate) fn lock_waiting(path: &Path) -> Result<fs::File> {
    let locking = || format!("locking {}", path.display());
    let file = fs::File::create(path).with_context(locking)?;
    file.lock().with_context(locking)?;
    Ok(file)
}

const PARTIAL: &str = ".partial-";

/// Removes what killed writers left in a folder; no process may be writing there.
pub(crate) fn sweep(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PARTIAL)) {
        // Files that cannot be removed only take space.
        fs::remove_file(entry.path()).ok();
    }
}

/// Writes to a sibling and renames: readers never see half a file.
pub(crate) fn write_atomic(path: &Path, write: impl FnOnce(&mut fs::File) -> Result<()>) -> Result<()> {
    atomically(path, |partial| write(partial.as_file_mut()), |_| Ok(()))
}

/// The same for what writes to a path: `write` is given that of the sibling.
pub(crate) fn write_atomic_at(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    write_atomic_sealed(path, write, |_| Ok(()))
}

/// The same; before the complete sibling is renamed, its path is given to `seal`, whose failure leaves the former file.
pub(crate) fn write_atomic_sealed(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<()>,
    seal: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    atomically(path, |partial| write(partial.path()), seal)
}

fn atomically(
    path: &Path,
    write: impl FnOnce(&mut NamedTempFile) -> Result<()>,
    seal: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("creating folder {}", folder.display()))?;
    let written = (|| {
        // As readable to others as any new file; temporary files are private by default.
        let permissions = fs::Permissions::from_mode(0o666);
        // libtorch names the folder inside a TorchScript file after the file's name without its ending.
        let ending = path.extension().map_or(OsString::new(), |ending| [OsStr::new("."), ending].into_iter().collect());
        let mut partial = tempfile::Builder::new();
        partial.prefix(PARTIAL).suffix(&ending).permissions(permissions);
        let mut partial = partial.tempfile_in(folder)?;
        write(&mut partial)?;
        partial.as_file().sync_all()?;
        seal(partial.path())?;
        partial.persist(path)?;
        anyhow::Ok(())
    })();
    written.with_context(|| format!("writing {}", path.display()))
}

/// A file as bytes that are read when they are used.
pub(crate) fn mapped(path: &Path) -> Result<Mmap> {
    let file = open_regular(path)?;
    // SAFETY: checkpoints and files of weights are renamed into place whole and not written again; a file must not be
    // changed from outside while it is mapped.
    #[allow(unsafe_code)]
    Ok(unsafe { Mmap::map(&file) }?)
}

/// Writes bytes atomically.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic(path, |file| Ok(file.write_all(bytes)?))
}

/// Writes text atomically.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<()> {
    write_whole(path, text.as_bytes())
}

/// Writes `value` as indented JSON, atomically.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value).with_context(|| format!("writing {}", path.display()))?;
    text.push('\n');
    write_text(path, &text)
}

/// Reads JSON; the error names the file, what it should hold, and where in it the fault lies.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path, what: &str) -> Result<T> {
    let bytes = read_regular(path, JSON_AT_MOST).with_context(|| format!("reading {what} from {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is not {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_joint_digest_depends_on_every_digest_and_their_order() {
        let [a, b] = [b"a", b"b"].map(|bytes| Digest::of(bytes));
        let joint = |digests: &[Digest]| Digest::joint(digests.iter().copied());
        assert_eq!(joint(&[a, b]), Digest::of(&[a.0, b.0].concat()));
        assert!(joint(&[a, b]) != joint(&[b, a]) && joint(&[a, b]) != joint(&[a]) && joint(&[a]) != a);
    }

    #[test]
    fn digests_are_read_back() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
        assert_eq!(Digest::parse("ba78"), None);
        assert_eq!(Digest::parse(&"zz".repeat(32)), None);
    }
}
