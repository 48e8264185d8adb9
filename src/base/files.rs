//! Reading and writing whole files so that a kill at any moment leaves either the old file or the new one.

use crate::base::errors::{Context, Result, ensure};
use crate::base::escape::visible_json;
use crate::base::regular_file::{JSON_AT_MOST, open_regular, read_regular};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
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
    let (file, is_held) = tried(path)?;
    ensure!(is_held, "{taken}");
    Ok(file)
}

/// The same, but waits for a process that holds it; `waiting` is called before.
///
/// # Errors
/// A file system without locks.
pub(crate) fn lock_or_wait(path: &Path, waiting: impl FnOnce()) -> Result<fs::File> {
    let (file, is_held) = tried(path)?;
    if !is_held {
        waiting();
        file.lock().with_context(|| format!("locking {}", path.display()))?;
    }
    Ok(file)
}

/// The file, and whether it could be locked.
fn tried(path: &Path) -> Result<(fs::File, bool)> {
    let locking = || format!("locking {}", path.display());
    let file = fs::File::create(path).with_context(locking)?;
    match file.try_lock() {
        Ok(()) => Ok((file, true)),
        Err(fs::TryLockError::WouldBlock) => Ok((file, false)),
        Err(fs::TryLockError::Error(error)) => Err(error).with_context(locking),
    }
}

const PARTIAL: &str = ".partial-";

/// Begins a file that is renamed when it is whole, next to where it will be. Its writer holds a lock on it, by which what
/// killed writers left is told from what others still write; the former is removed here.
pub(crate) fn begin_partial(folder: &Path) -> Result<NamedTempFile> {
    prepare(folder)?;
    partial_in(folder)
}

fn prepare(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("creating folder {}", folder.display()))?;
    sweep(folder);
    Ok(())
}

fn partial_in(folder: &Path) -> Result<NamedTempFile> {
    loop {
        // As readable to others as any new file; temporary files are private by default.
        let permissions = fs::Permissions::from_mode(0o666);
        let mut partial = tempfile::Builder::new();
        partial.prefix(PARTIAL).permissions(permissions);
        let partial = partial.tempfile_in(folder)?;
        // Without locks nothing is swept either.
        partial.as_file().lock().ok();
        // Another process may have swept it before it was locked.
        if partial.as_file().metadata()?.nlink() > 0 {
            return Ok(partial);
        }
    }
}

/// Removes what killed writers left in a folder. Files that cannot be looked at or removed only take space.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_partial = entry.file_name().to_string_lossy().starts_with(PARTIAL);
        // Opening a pipe would wait for its writer.
        if !is_partial || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let Ok(file) = fs::File::open(entry.path()) else { continue };
        // Removed under the lock: whoever began it in this moment sees that it is gone.
        if file.try_lock().is_ok() {
            fs::remove_file(entry.path()).ok();
        }
    }
}

/// Writes to a sibling and renames: readers never see half a file.
pub(crate) fn write_atomic(path: &Path, write: impl FnOnce(&mut fs::File) -> Result<()>) -> Result<()> {
    atomically(path, |file, _| write(file), |_| Ok(()))
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
    atomically(path, |_, sibling| write(sibling), seal)
}

fn atomically(
    path: &Path,
    write: impl FnOnce(&mut fs::File, &Path) -> Result<()>,
    seal: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = (|| {
        // The sibling of another writer, who renames it: a second one would only lose the lock of the first.
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PARTIAL)) {
            let mut file = fs::OpenOptions::new().write(true).truncate(true).open(path)?;
            write(&mut file, path)?;
            return Ok(file.sync_all()?);
        }
        let mut partial = begin_partial(folder)?;
        let sibling = partial.path().to_owned();
        write(partial.as_file_mut(), &sibling)?;
        partial.as_file().sync_all()?;
        seal(&sibling)?;
        partial.persist(path)?;
        crate::base::errors::Ok(())
    })();
    written.with_context(|| format!("writing {}", path.display()))
}

/// Writes bytes atomically.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic(path, |file| Ok(file.write_all(bytes)?))
}

/// Writes text atomically.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<()> {
    write_whole(path, text.as_bytes())
}

/// Writes texts by their names into a folder, each atomically. They can be made again: none is waited for until it is on the
/// disk, and after a failure of power one may be empty.
pub(crate) fn write_remakable<'a>(folder: &Path, texts: impl IntoIterator<Item = (String, &'a str)>) -> Result<()> {
    prepare(folder)?;
    for (name, text) in texts {
        let path = folder.join(name);
        let write = || {
            let mut partial = partial_in(folder)?;
            partial.as_file_mut().write_all(text.as_bytes())?;
            partial.persist(&path)?;
            crate::base::errors::Ok(())
        };
        write().with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// Writes `value` as indented JSON in which everything can be seen, atomically.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value).with_context(|| format!("writing {}", path.display()))?;
    text.push('\n');
    write_text(path, &visible_json(text))
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
    fn what_killed_writers_left_is_swept_and_what_is_being_written_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let names = || {
            let entries = fs::read_dir(folder.path()).expect("lists").flatten();
            let mut names: Vec<String> =
                entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            names
        };
        let of_a_killed = folder.path().join(".partial-abc123.json");
        fs::write(&of_a_killed, "{").expect("writes");
        // Not ours, or no file.
        fs::create_dir(folder.path().join(".partial-folder")).expect("creates");
        fs::write(folder.path().join("partial-notes.txt"), "mine").expect("writes");
        let mut living = begin_partial(folder.path()).expect("begins");
        let its_name = living.path().file_name().expect("a name").to_string_lossy().into_owned();
        assert!(!of_a_killed.exists());
        write_text(&folder.path().join("b.txt"), "other").expect("writes");
        let mut expected = [its_name.as_str(), ".partial-folder", "b.txt", "partial-notes.txt"].map(str::to_owned);
        expected.sort();
        assert_eq!(names(), expected);
        living.write_all(b"whole").expect("writes");
        living.persist(folder.path().join("a.txt")).expect("renames");
        assert_eq!(fs::read_to_string(folder.path().join("a.txt")).expect("reads"), "whole");
        assert_eq!(names(), [".partial-folder", "a.txt", "b.txt", "partial-notes.txt"]);
    }

    #[test]
    fn writers_that_begin_at_once_never_lose_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let folder = folder.path();
                scope.spawn(move || {
                    for number in 0..50 {
                        write_text(&folder.join(format!("{writer}-{number}")), "whole").expect("writes");
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), 200);
    }

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
