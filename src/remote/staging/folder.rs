//! A folder outside of which nothing is written: names are checked, and every folder on the way is opened without
//! following links, so that neither a hostile name nor an existing link redirects a write.

use crate::base::errors::{Context, Result, bail, ensure};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Prefix of our own names: state, and unfinished files.
pub(super) const RESERVED: &str = ".covid-ct-";

/// The longest name, in bytes; buckets allow no longer one.
const NAME_AT_MOST: usize = 1024;
/// The most folders above a file.
const DEEPEST: usize = 32;

/// The reason why `name` (`/` between folders) must not be unpacked or staged, if any.
pub(super) fn fault_in_name(name: &str) -> Option<&'static str> {
    let folder_or_file = name.strip_suffix('/').unwrap_or(name);
    let drive = matches!(name.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    if name.is_empty() {
        Some("it has no name")
    } else if name.len() > NAME_AT_MOST {
        Some("its name has more than 1,024 bytes")
    } else if folder_or_file.matches('/').count() > DEEPEST {
        Some("it lies deeper than 32 folders")
    } else if name.contains('\\') {
        Some("its name has a backslash")
    } else if name.starts_with('/') || drive {
        Some("its name is absolute; only names inside the target folder are unpacked")
    } else if name.chars().any(char::is_control) {
        Some("its name has control characters")
    } else if folder_or_file.split('/').any(|part| part == "..") {
        Some("its name leads out of the target folder (`..`)")
    } else if folder_or_file.split('/').any(|part| matches!(part, "" | ".")) {
        Some("its name has an empty part or `.`")
    } else if folder_or_file.split('/').any(|part| part.starts_with(RESERVED)) {
        Some("its name begins with .covid-ct-, which is reserved for unfinished files")
    } else {
        None
    }
}

/// `a/b/c` as `("a/b", "c")`; the first is empty for names without a folder.
pub(super) fn parent_and_leaf(name: &str) -> (&str, &str) {
    name.rsplit_once('/').unwrap_or(("", name))
}

/// The folder that things are unpacked or staged into.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    root: OwnedFd,
}

const OPEN_FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Folder {
    /// Opens the folder, made if missing. Links on the way *to* it are followed.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let doing = || format!("opening the folder {}", path.display());
        std::fs::create_dir_all(path).with_context(doing)?;
        let root = rustix::fs::open(path, OPEN_FOLDER.difference(OFlags::NOFOLLOW), Mode::empty());
        Ok(Self { path: path.to_owned(), root: root.with_context(doing)? })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a folder inside, made if missing; `name` has passed [`fault_in_name`] or is empty.
    pub(super) fn enter(&self, name: &str) -> Result<OwnedFd> {
        let mut here = rustix::fs::openat(&self.root, ".", OPEN_FOLDER, Mode::empty())?;
        let mut walked = self.path.clone();
        for part in name.split('/').filter(|part| !part.is_empty()) {
            walked.push(part);
            let doing = || format!("opening the folder {}", walked.display());
            here = match rustix::fs::openat(&here, part, OPEN_FOLDER, Mode::empty()) {
                Err(Errno::NOENT) => {
                    match rustix::fs::mkdirat(&here, part, Mode::from_raw_mode(0o777)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(error).with_context(doing),
                    }
                    rustix::fs::openat(&here, part, OPEN_FOLDER, Mode::empty()).with_context(doing)?
                }
                Err(Errno::LOOP | Errno::NOTDIR) => {
                    bail!("{} should be a folder; it is {}", walked.display(), kind(&here, part)?)
                }
                other => other.with_context(doing)?,
            };
        }
        Ok(here)
    }

    /// The folder `name` inside, if it exists.
    pub(super) fn find(&self, name: &str) -> Option<OwnedFd> {
        let mut here = rustix::fs::openat(&self.root, ".", OPEN_FOLDER, Mode::empty()).ok()?;
        for part in name.split('/').filter(|part| !part.is_empty()) {
            here = rustix::fs::openat(&here, part, OPEN_FOLDER, Mode::empty()).ok()?;
        }
        Some(here)
    }

    /// Bytes that may still be written to this disk.
    pub(super) fn free_bytes(&self) -> Result<u64> {
        let disk = rustix::fs::fstatvfs(&self.root)
            .with_context(|| format!("asking for the free space of {}", self.path.display()))?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Waits until everything written so far is on the disk.
    pub(super) fn sync(&self) -> Result<()> {
        rustix::fs::syncfs(&self.root).with_context(|| format!("writing {} to its disk", self.path.display()))
    }
}

fn kind(folder: &OwnedFd, name: &str) -> Result<&'static str> {
    let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => "a link, and nothing is written through links",
        FileType::RegularFile => "a file",
        FileType::Directory => "a folder",
        _ => "neither file nor folder",
    })
}

/// What is known of a file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Glance {
    pub(super) size: u64,
    /// Time of last change, in nanoseconds since 1970.
    pub(super) modified: u128,
}

/// Size and time of a regular file; `None` if nothing is there.
///
/// # Errors
/// A link or a folder in its place.
pub(super) fn glance(folder: &OwnedFd, name: &str) -> Result<Option<Glance>> {
    let stat = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(None),
        other => other?,
    };
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    ensure!(is_file, "a file should be here; it is {}", kind(folder, name)?);
    let modified = stat.st_mtime.max(0) as u128 * 1_000_000_000 + stat.st_mtime_nsec as u128;
    Ok(Some(Glance { size: stat.st_size as u64, modified }))
}

/// Removes the unfinished files that a killed run left in a folder.
pub(super) fn sweep(folder: &OwnedFd) -> Result<()> {
    for item in rustix::fs::Dir::read_from(folder)? {
        let item = item?;
        let name = item.file_name().to_string_lossy();
        let number = name.strip_prefix(RESERVED).unwrap_or_default();
        if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
            rustix::fs::unlinkat(folder, item.file_name(), AtFlags::empty())?;
        }
    }
    Ok(())
}

/// Passes an existing file to `digest`, piece by piece.
pub(super) fn read_through(folder: &OwnedFd, name: &str, mut digest: impl FnMut(&[u8])) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(folder, name, flags, Mode::empty())?);
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            count => digest(buffer.get(..count).unwrap_or_default()),
        }
    }
}

/// A new, empty file; one that a killed run left under this name is replaced.
pub(super) fn create(folder: &OwnedFd, name: &str) -> Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o666));
    let file = match open() {
        Err(Errno::EXIST) => {
            rustix::fs::unlinkat(folder, name, AtFlags::empty())?;
            open()
        }
        other => other,
    };
    Ok(file?.into())
}

/// Gives a finished file its final name.
pub(super) fn rename(folder: &OwnedFd, from: &str, to: &str) -> Result<()> {
    Ok(rustix::fs::renameat(folder, from, folder, to)?)
}

/// Removes an unfinished file, if there is one.
pub(super) fn discard(folder: &OwnedFd, name: &str) {
    // Called after another error; a file left behind is replaced by the next run.
    let _ = rustix::fs::unlinkat(folder, name, AtFlags::empty());
}

/// Opens an existing file for reading and writing.
pub(super) fn reopen(folder: &OwnedFd, name: &str) -> Result<Option<File>> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => Ok(None),
        other => Ok(Some(other.with_context(|| format!("opening {name}"))?.into())),
    }
}
