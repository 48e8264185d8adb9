//! Regular files under a limit: a pipe would let its reader wait for ever, and a device or a file of holes would fill the
//! memory.

use crate::base::progress::human_bytes;
use rustix::fs::{Mode, OFlags};
use std::fs::{self, File, FileType};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// The longest JSON file that is read, in bytes.
pub(crate) const JSON_AT_MOST: u64 = 1_000_000_000;

/// Device and inode: the same for all paths of one folder.
pub(crate) type FolderId = (u64, u64);

/// What lies at a path, at the end of all links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lies {
    Folder(FolderId),
    /// A regular file, with its length in bytes.
    File(u64),
    /// A pipe, a socket, a device, or a link without an end: what it is, in words.
    Neither(String),
    Nothing,
}

impl Lies {
    /// Opens nothing, so that it neither waits nor acts on a device.
    pub(crate) fn at(path: &Path) -> Self {
        match fs::metadata(path) {
            Ok(about) if about.is_dir() => Self::Folder((about.dev(), about.ino())),
            Ok(about) if about.is_file() => Self::File(about.len()),
            Ok(about) => Self::Neither(kind(about.file_type()).to_owned()),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                Self::Neither("a link that leads back to itself".to_owned())
            }
            Err(error) if error.kind() != ErrorKind::NotFound => Self::Neither(error.to_string()),
            Err(_) if path.is_symlink() => Self::Neither("a link to nothing".to_owned()),
            Err(_) => Self::Nothing,
        }
    }
}

fn kind(of: FileType) -> &'static str {
    match of {
        of if of.is_dir() => "a folder",
        of if of.is_fifo() => "a named pipe",
        of if of.is_socket() => "a socket",
        of if of.is_char_device() || of.is_block_device() => "a device",
        _ => "something else",
    }
}

/// Opens a regular file, links followed.
///
/// # Errors
/// Anything else at the path, which is not opened.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    must_be_regular(&fs::metadata(path)?)?;
    // Does not wait for a writer, should a pipe have taken the file's place meanwhile.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    must_be_regular(&file.metadata()?)?;
    Ok(file)
}

fn must_be_regular(about: &fs::Metadata) -> io::Result<()> {
    if about.is_file() {
        return Ok(());
    }
    Err(io::Error::new(ErrorKind::InvalidInput, format!("expected a regular file, found {}", kind(about.file_type()))))
}

/// The bytes of a regular file of at most `limit` bytes.
///
/// # Errors
/// Anything else at the path, or a longer file, of which nothing is read.
pub(crate) fn read_regular(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open_regular(path)?;
    let length = file.metadata()?.len();
    let too_long = |found: String| {
        let expected = format!("expected a file of at most {}, found {found}", human_bytes(limit));
        Err(io::Error::new(ErrorKind::FileTooLarge, expected))
    };
    if length > limit {
        return too_long(human_bytes(length));
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length as usize)?;
    // It may grow while it is read.
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { too_long("a longer one".to_owned()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    /// A folder with one of everything that is no regular file.
    fn odd_things() -> (tempfile::TempDir, impl Fn(&str) -> PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().to_owned();
        let at = move |name: &str| root.join(name);
        let user = Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), user).expect("a pipe");
        drop(UnixListener::bind(at("socket")).expect("a socket"));
        symlink("nowhere", at("broken")).expect("links");
        symlink("circle", at("circle")).expect("links");
        symlink("/dev/null", at("device")).expect("links");
        symlink("whole", at("link")).expect("links");
        fs::create_dir(at("folder")).expect("a folder");
        fs::write(at("whole"), "five!").expect("writes");
        (folder, at)
    }

    #[test]
    fn everything_that_is_no_file_is_named() {
        let (_folder, at) = odd_things();
        let neither = |what: &str| Lies::Neither(what.to_owned());
        let found = ["pipe", "socket", "broken", "circle", "device"].map(|name| Lies::at(&at(name)));
        let expected =
            ["a named pipe", "a socket", "a link to nothing", "a link that leads back to itself", "a device"]
                .map(neither);
        assert_eq!(found, expected);
        assert!(matches!(Lies::at(&at("folder")), Lies::Folder(_)));
        let rest = ["whole", "link", "missing"].map(|name| Lies::at(&at(name)));
        assert_eq!(rest, [Lies::File(5), Lies::File(5), Lies::Nothing]);
    }

    #[test]
    fn nothing_but_regular_files_under_the_limit_is_read() {
        let (_folder, at) = odd_things();
        let error = |name: &str, limit| read_regular(&at(name), limit).expect_err(name).to_string();
        assert_eq!(error("pipe", 9), "expected a regular file, found a named pipe");
        assert_eq!(error("socket", 9), "expected a regular file, found a socket");
        assert_eq!(error("device", 9), "expected a regular file, found a device");
        assert_eq!(error("folder", 9), "expected a regular file, found a folder");
        assert_eq!(error("whole", 4), "expected a file of at most 4 B, found 5 B");
        assert_eq!(read_regular(&at("link"), 5).expect("reads"), b"five!");
        assert_eq!(read_regular(&at("broken"), 9).expect_err("broken").kind(), ErrorKind::NotFound);
        // All holes: as long as it says, and nothing on the disk.
        File::create(at("sparse")).expect("a file").set_len(2_000_000).expect("grows");
        assert_eq!(error("sparse", 1000), "expected a file of at most 1.0 KB, found 2.0 MB");
    }
}
