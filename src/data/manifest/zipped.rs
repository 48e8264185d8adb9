//! Scans in a zip archive.

use super::Label;
use super::zip_end::{COUNTED, Followed};
use crate::base::entry_name::entry_name;
use crate::base::errors::{Context, Error, Result, anyhow, bail, ensure};
use crate::base::file_kind::{FileKind, FileUse};
use crate::base::progress::counted;
use crate::base::regular_file::open_regular;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use zip::ZipArchive;
use zip::result::ZipError;

/// Most files in an archive.
const MOST_FILES: usize = 200_000;

/// An unpacked archive; its folder is removed when this is dropped.
pub(crate) struct Unzipped {
    /// The folder of the scans, named as the archive: the one in which there is more than another folder.
    pub(crate) scans: PathBuf,
    _folder: TempDir,
}

/// Unpacks an archive; `None` where `path` is no archive. Beside a name that leads out of the folder, nothing is
/// refused: what is no slice becomes a finding.
///
/// # Errors
/// A damaged or encrypted archive, one of another kind than zip or that holds nothing but archives, too many files, more bytes
/// than are free on the disk, a file longer than the archive says.
pub(crate) fn unzipped(path: &Path) -> Result<Option<Unzipped>> {
    if !path.is_file() {
        return Ok(None);
    }
    let is_zip = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("zip"));
    if let Some(kind) = other_archive(path, is_zip)? {
        bail!("{} is {}", path.display(), kind.told(&path.display().to_string()));
    }
    if !is_zip {
        return Ok(None);
    }
    let doing = || format!("unpacking {}", path.display());
    let folder = tempfile::tempdir().with_context(doing)?;
    let target = folder.path().join("in/unpacked");
    let file = BufReader::new(open_regular(path).with_context(doing)?);
    unzip(file, &target, COUNTED).with_context(doing)?;
    let scans = folder.path().join("out").join(path.file_stem().unwrap_or("scans".as_ref()));
    fs::create_dir_all(folder.path().join("out")).with_context(doing)?;
    fs::rename(top(target).with_context(doing)?, &scans).with_context(doing)?;
    Ok(Some(Unzipped { scans, _folder: folder }))
}

/// The deepest folder above which there is nothing but one folder, and what macOS adds.
fn top(mut folder: PathBuf) -> Result<PathBuf> {
    loop {
        let entries = fs::read_dir(&folder)?.collect::<io::Result<Vec<_>>>()?;
        let is_own = |entry: &&fs::DirEntry| entry.file_name() != "__MACOSX" && entry.file_name() != ".DS_Store";
        match entries.iter().filter(is_own).collect::<Vec<_>>()[..] {
            // The folder of a class is a label, though it be the only one.
            [only] if only.path().is_dir() && Label::named(&only.file_name().to_string_lossy()).is_none() => {
                folder = only.path();
            }
            _ => return Ok(folder),
        }
    }
}

/// What kind of archive other than zip a file is, by its name or its first bytes.
fn other_archive(path: &Path, is_zip: bool) -> Result<Option<FileKind>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut first = Vec::new();
    let doing = || format!("reading the beginning of {}", path.display());
    open_regular(path).with_context(doing)?.take(512).read_to_end(&mut first).with_context(doing)?;
    // Compressed volumes are read; and a zip archive may hold anything before its first entry.
    let is_read = |kind: &FileKind| !is_zip && (kind.name == "gzip data") || is_zip && first.starts_with(b"PK");
    let by_contents = FileKind::of(&first).filter(|kind| kind.is == FileUse::Archive && !is_read(kind));
    Ok(FileKind::archive_named(&name).or(by_contents))
}

/// Unpacks into a folder; `counted_to`: how many entries an end record can count.
fn unzip(file: impl Read + Seek, folder: &Path, counted_to: u64) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut archive = ZipArchive::new(Followed::zip(file, counted_to)?).map_err(told)?;
    let count = archive.len();
    ensure!(count <= MOST_FILES, "expected at most {MOST_FILES} files, found {count}");
    let disk = rustix::fs::statvfs(folder)?;
    let mut free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let (mut packed, mut others) = (Vec::new(), 0);
    for index in 0..count {
        let mut entry = archive.by_index(index).map_err(told)?;
        let name = entry_name(entry.name_raw());
        ensure!(stays_inside(&name), "{name:?} would lie outside of the folder");
        let target = folder.join(&name);
        if name.is_empty() || name.ends_with('/') {
            fs::create_dir_all(&target)?;
            continue;
        }
        let (shown, size) = (&name, entry.size());
        ensure!(size <= free, "{shown}: {size} bytes are more than is free on the disk");
        fs::create_dir_all(target.parent().unwrap_or(folder))?;
        let mut file = File::create_new(&target).with_context(|| format!("writing {shown}"))?;
        // One byte more than is claimed, to see that there is more.
        let written =
            io::copy(&mut entry.by_ref().take(size + 1), &mut file).with_context(|| format!("writing {shown}"))?;
        ensure!(written == size, "{shown}: expected {size} bytes, found {written} or more");
        free -= written;
        let is_archive = name.to_ascii_lowercase().ends_with(".zip") || FileKind::archive_named(&name).is_some();
        match (name.starts_with("__MACOSX/"), is_archive) {
            (true, _) => {}
            (false, true) => packed.push(name),
            (false, false) => others += 1,
        }
    }
    if let (Some(first), 0) = (packed.first(), others) {
        let found = counted(packed.len() as u64, "archive");
        bail!(
            "it holds {found} in turn and nothing else, {first} the first: unpack it and name one of them, or its folder"
        );
    }
    Ok(())
}

/// Whether a name is that of a place in the folder.
fn stays_inside(name: &str) -> bool {
    let drive = matches!(name.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    !drive && !name.starts_with('/') && !name.contains('\0') && name.split('/').all(|part| part != "..")
}

/// The reader's error, with what to do about archives of kinds that are not read.
fn told(error: ZipError) -> Error {
    match error {
        ZipError::UnsupportedArchive(what) if what == ZipError::PASSWORD_REQUIRED => {
            anyhow!("it is encrypted: unpack it first, by `7z x`, and name the folder")
        }
        ZipError::UnsupportedArchive(what) => anyhow!("{what}: unpack it first, by `7z x`, and name the folder"),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::io::{Cursor, Write};
    use zip::ZipWriter;
    use zip::write::FileOptions;

    /// An archive of these names, each with its name as contents, as the archive has them.
    fn archive(names: &[&[u8]]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        // Written with letters in the place of other bytes, which are put in afterwards.
        for (number, name) in names.iter().enumerate() {
            let stand_in = format!("{}{}", char::from(b'A' + number as u8), "x".repeat(name.len() - 1));
            zip.start_file(stand_in, FileOptions::default()).expect("starts");
            zip.write_all(name).expect("writes");
        }
        let mut bytes = zip.finish().expect("finishes").into_inner();
        for (number, name) in names.iter().enumerate() {
            let stand_in = format!("{}{}", char::from(b'A' + number as u8), "x".repeat(name.len() - 1));
            let headers: Vec<usize> = [30, 46]
                .iter()
                .zip([b"PK\x03\x04", b"PK\x01\x02"])
                .filter_map(|(fixed, mark)| {
                    let fits = |at: &usize| {
                        bytes[*at..].starts_with(mark) && bytes[at + fixed..].starts_with(stand_in.as_bytes())
                    };
                    (0..bytes.len() - fixed).find(fits).map(|at| at + fixed)
                })
                .collect();
            assert_eq!(headers.len(), 2);
            headers.into_iter().for_each(|at| bytes[at..at + name.len()].copy_from_slice(name));
        }
        bytes
    }

    fn files(folder: &Path) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(at) = folders.pop() {
            for entry in fs::read_dir(at).expect("lists") {
                let path = entry.expect("an entry").path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => {
                        found.insert(path.strip_prefix(folder).expect("below").display().to_string());
                    }
                }
            }
        }
        found
    }

    fn unpacked(bytes: Vec<u8>, counted_to: u64) -> Result<BTreeSet<String>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        unzip(Cursor::new(bytes), folder.path(), counted_to).map_err(|error| format!("{error:#}"))?;
        Ok(files(folder.path()))
    }

    fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
        names.map(str::to_owned).into()
    }

    #[test]
    fn names_of_other_systems_are_read_and_none_leads_outside() {
        let bytes = archive(&[b"scan\\1.jpg", b"./scan/2.jpg", b"scan/\xE4.jpg", b"scan/\xF6.jpg", b"caf\xC3\xA9.jpg"]);
        let expected = names(["scan/1.jpg", "scan/2.jpg", "scan/%E4.jpg", "scan/%F6.jpg", "café.jpg"]);
        assert_eq!(unpacked(bytes, COUNTED), Ok(expected));
        for (name, shown) in [
            (b"..\\x".as_slice(), "\"../x\" would lie outside of the folder"),
            (b"a\\..\\..\\x", "\"a/../../x\" would lie outside of the folder"),
            (b"/etc/x", "\"/etc/x\" would lie outside of the folder"),
            (b"C:\\x", "\"C:/x\" would lie outside of the folder"),
        ] {
            assert_eq!(unpacked(archive(&[name]), COUNTED), Err(shown.to_owned()));
        }
    }

    /// The end record of macOS' Archive Utility, of more entries than it can count.
    #[test]
    fn all_entries_are_read_though_the_end_counts_the_rest_of_a_division() {
        let bytes = archive(&[b"a1", b"b2", b"c3", b"d4", b"e5", b"f6", b"g7"]);
        let end = bytes.len() - 22;
        assert_eq!(bytes[end + 10], 7);
        let all = names(["a1", "b2", "c3", "d4", "e5", "f6", "g7"]);
        assert_eq!(unpacked(bytes.clone(), 3).as_ref(), Ok(&all));
        for (said, counted_to) in [(1, 3), (1, 6), (2, 5), (0, 7)] {
            let mut wrapped = bytes.clone();
            wrapped[end + 8..end + 12].copy_from_slice(&[said, 0, said, 0]);
            assert_eq!(unpacked(wrapped, counted_to).as_ref(), Ok(&all), "{said} of 7, to {counted_to}");
        }
        // More than 4 GiB: the directory's place has begun again at 0, too. A hole in the file stands for its contents.
        let folder = tempfile::tempdir().expect("a folder");
        let mut large = File::create_new(folder.path().join("large.zip")).expect("creates");
        let directory = bytes.windows(4).position(|four| four == b"PK\x01\x02").expect("a record");
        large.seek(io::SeekFrom::Start((1 << 32) + directory as u64)).expect("seeks");
        large.write_all(&bytes[directory..]).expect("writes");
        let error = unzip(large, &folder.path().join("out"), COUNTED).expect_err("is refused").to_string();
        let reason = "more than 4 GiB, written by macOS' Archive Utility without the records that such an archive needs: \
                      unpack it by `ditto -x -k` (macOS) or `7z x`";
        assert_eq!(error, reason);
    }

    #[test]
    fn what_is_not_read_is_named_with_what_unpacks_it() {
        let mut encrypted = archive(&[b"a1"]);
        let record = encrypted.windows(4).position(|four| four == b"PK\x01\x02").expect("a record");
        encrypted[record + 8] |= 1;
        let reason = "it is encrypted: unpack it first, by `7z x`, and name the folder";
        assert_eq!(unpacked(encrypted, COUNTED), Err(reason.to_owned()));
        let reason = "it holds 2 archives in turn and nothing else, a.zip the first: unpack it and name one of them, or its \
                      folder";
        assert_eq!(unpacked(archive(&[b"a.zip", b"b.rar", b"__MACOSX/._a.zip"]), COUNTED), Err(reason.to_owned()));
        assert_eq!(unpacked(archive(&[b"a.zip", b"1.jpg"]), COUNTED), Ok(names(["a.zip", "1.jpg"])));
        let folder = tempfile::tempdir().expect("a folder");
        let told = |name: &str, contents: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, contents).expect("writes");
            let error = unzipped(&path).err().map(|error| error.to_string()).unwrap_or_default();
            error.replace(&path.display().to_string(), "FILE")
        };
        let rar = "FILE is a RAR archive: unpack it first, by `unrar x FILE` or `7z x FILE`";
        assert_eq!([told("a.rar", b""), told("a.zip", b"Rar!\x1A\x07\0"), told("a", b"Rar!\x1A\x07\x01\0")], [rar; 3]);
        assert_eq!(told("b.7z", b""), "FILE is a 7z archive: unpack it first, by `7z x FILE`");
        assert_eq!(told("c.tar.gz", b"\x1F\x8B"), "FILE is a tar archive: unpack it first, by `tar xf FILE`");
        // A volume may be compressed.
        assert_eq!([told("d.nii.gz", b"\x1F\x8B"), told("e.jpg", b"\xFF\xD8")], ["", ""]);
    }
}
