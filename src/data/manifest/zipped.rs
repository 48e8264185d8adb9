//! Scans in a zip archive.

use super::labelled_scans::label_named;
use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::regular_file::open_regular;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use zip::ZipArchive;

/// Most files in an archive.
const MOST_FILES: usize = 200_000;

/// An unpacked archive; its folder is removed when this is dropped.
pub(crate) struct Unzipped {
    /// The folder of the scans, named as the archive: the one in which there is more than another folder.
    pub(crate) scans: PathBuf,
    _folder: TempDir,
}

/// Unpacks an archive; `None` where `path` is no `.zip` file. Beside a name that leads out of the folder, nothing is
/// refused: what is no slice becomes a finding.
///
/// # Errors
/// A damaged or encrypted archive, too many files, more bytes than are free on the disk, a file longer than the archive
/// says.
pub(crate) fn unzipped(path: &Path) -> Result<Option<Unzipped>> {
    let is_zip = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("zip"));
    if !is_zip || !path.is_file() {
        return Ok(None);
    }
    let doing = || format!("unpacking {}", path.display());
    let folder = tempfile::tempdir().with_context(doing)?;
    let target = folder.path().join("in/unpacked");
    unzip(path, &target).with_context(doing)?;
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
            [only] if only.path().is_dir() && label_named(&only.file_name().to_string_lossy()).is_none() => {
                folder = only.path();
            }
            _ => return Ok(folder),
        }
    }
}

fn unzip(path: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut archive = ZipArchive::new(BufReader::new(open_regular(path)?))?;
    let count = archive.len();
    ensure!(count <= MOST_FILES, "expected at most {MOST_FILES} files, found {count}");
    let disk = rustix::fs::statvfs(folder)?;
    let mut free = disk.f_bavail.saturating_mul(disk.f_frsize);
    for index in 0..count {
        let mut entry = archive.by_index(index)?;
        let name = entry.enclosed_name().map(Path::to_owned);
        let Some(name) = name else { bail!("{:?} would lie outside of the folder", entry.name()) };
        let target = folder.join(&name);
        if entry.is_dir() {
            fs::create_dir_all(&target)?;
            continue;
        }
        let (shown, size) = (name.display(), entry.size());
        ensure!(size <= free, "{shown}: {size} bytes are more than is free on the disk");
        fs::create_dir_all(target.parent().unwrap_or(folder))?;
        let mut file = File::create_new(&target).with_context(|| format!("writing {shown}"))?;
        // One byte more than is claimed, to see that there is more.
        let written =
            io::copy(&mut entry.by_ref().take(size + 1), &mut file).with_context(|| format!("writing {shown}"))?;
        ensure!(written == size, "{shown}: expected {size} bytes, found {written} or more");
        free -= written;
    }
    Ok(())
}
