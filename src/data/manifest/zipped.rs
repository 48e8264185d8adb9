//! Scans in a zip archive.

use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;
use tempfile::TempDir;
use zip::ZipArchive;

/// Most files in an archive.
const MOST_FILES: usize = 200_000;

/// The archive's files in a folder that is removed when this is dropped; `None` where `path` is no `.zip` file. Beside
/// a name that leads out of the folder, nothing is refused: what is no slice becomes a finding.
///
/// # Errors
/// A damaged or encrypted archive, too many files, more bytes than are free on the disk, a file longer than the archive
/// says.
pub(crate) fn unzipped(path: &Path) -> Result<Option<TempDir>> {
    let is_zip = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("zip"));
    if !is_zip || !path.is_file() {
        return Ok(None);
    }
    let doing = || format!("unpacking {}", path.display());
    let folder = tempfile::tempdir().with_context(doing)?;
    unzip(path, folder.path()).with_context(doing)?;
    Ok(Some(folder))
}

fn unzip(path: &Path, folder: &Path) -> Result<()> {
    let mut archive = ZipArchive::new(BufReader::new(File::open(path)?))?;
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
