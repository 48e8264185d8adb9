//! Scans outside of a data set: any picture, folder of pictures, or folder of such folders.

use super::walk::{numeric_key, read_file};
use super::{Manifest, Scan, Set, Slice};
use crate::base::parallel::in_parallel;
use crate::base::progress::{Meter, Progress};
use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

/// How many folders below the given one scans are looked for; also ends a walk along links that lead in a circle.
const DEEPEST: usize = 6;

/// The pictures of one folder, in natural order: `2.jpg` before `10.jpg`.
struct Found {
    /// Under the root, with `/`.
    folder: String,
    pictures: Vec<String>,
}

impl Manifest {
    /// Lists scans that are not part of a data set: `path` is a picture, a folder of pictures (one scan), or a folder that
    /// holds such folders, at most six deep. Pictures are JPEG or PNG files by their ending, numbered from 0 in natural
    /// order; the scan's folder is named from the last part of `path` on. Other files are listed as
    /// [`strays`](Self::strays).
    ///
    /// # Errors
    /// Nothing at `path`, or no picture below it.
    pub fn of_new_scans(path: impl AsRef<Path>, progress: impl Fn(&Progress) + Sync) -> Result<Self> {
        Self::new_scans_in(path.as_ref(), &progress)
    }

    fn new_scans_in(path: &Path, progress: &(dyn Fn(&Progress) + Sync)) -> Result<Self> {
        let listing = || format!("listing the scans in {}", path.display());
        let path = resolved(path).with_context(listing)?;
        let (folder, only) = match path.is_file() {
            true => (path.parent().map(Path::to_owned), Some(last_part(&path)?)),
            false => (Some(path.clone()), None),
        };
        let folder = folder.filter(|folder| folder.parent().is_some());
        let folder = folder.with_context(|| format!("{}: expected a folder below /", listing()))?;
        let root = folder.parent().map_or(PathBuf::new(), Path::to_owned);
        let (mut found, mut strays) = (Vec::new(), Vec::new());
        match only {
            Some(file) => found.push(Found { folder: last_part(&folder)?, pictures: vec![file] }),
            None => collect(&root, last_part(&folder)?, DEEPEST + 1, &mut found, &mut strays).with_context(listing)?,
        }
        if found.is_empty() {
            let others = strays.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
            bail!("{}: expected JPEG or PNG files, found none; other files: {}", listing(), or_none(&others));
        }
        let scan = |of: &Found| Scan { set: Set::Prediction, label: None, ..Scan::new(of.folder.clone()) };
        let mut manifest = Self::listed(&root, found.iter().map(scan).collect(), strays)?;
        manifest.name = last_part(&path)?;
        manifest.slices = slices(&root, found, progress)?;
        Ok(manifest)
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

/// The path without links on the way, but for the last part: a scan keeps the name that it was given by.
fn resolved(path: &Path) -> Result<PathBuf> {
    // An error where nothing is there, whichever part is missing.
    let whole = path.canonicalize()?;
    Ok(match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if parent.as_os_str().is_empty() => Path::new(".").canonicalize()?.join(name),
        (Some(parent), Some(name)) => parent.canonicalize()?.join(name),
        _ => whole,
    })
}

fn last_part(path: &Path) -> Result<String> {
    let name = path.file_name().unwrap_or_default();
    name.to_str().map(str::to_owned).with_context(|| format!("expected a name in UTF-8, found {name:?}"))
}

fn is_picture(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    // macOS leaves a companion `._NAME` of every file that it copies.
    !name.starts_with('.') && ["jpg", "jpeg", "png"].iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// Adds the scan of this folder and those of the folders in it.
fn collect(root: &Path, folder: String, depth: usize, found: &mut Vec<Found>, strays: &mut Vec<String>) -> Result<()> {
    if depth == 0 {
        strays.push(format!("{folder}/ (more than {DEEPEST} folders deep)"));
        return Ok(());
    }
    let (mut pictures, mut folders) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(root.join(&folder))? {
        let entry = entry?;
        let name = match entry.file_name().into_string() {
            Ok(name) => name,
            Err(name) => {
                strays.push(format!("{folder}/{} (its name is not UTF-8)", name.to_string_lossy()));
                continue;
            }
        };
        // Follows links, so that a set of scans can be put together from links.
        match fs::metadata(entry.path()) {
            // Thumbnails, version control and the like would be judged as scans.
            Ok(about) if about.is_dir() && !name.starts_with('.') => folders.push(name),
            Ok(about) if about.is_file() && is_picture(&name) => pictures.push(name),
            _ => strays.push(format!("{folder}/{name}")),
        }
    }
    pictures.sort_by_cached_key(|name| (numeric_key(name), name.clone()));
    folders.sort_by_cached_key(|name| (numeric_key(name), name.clone()));
    if !pictures.is_empty() {
        found.push(Found { folder: folder.clone(), pictures });
    }
    folders.into_iter().try_for_each(|name| collect(root, format!("{folder}/{name}"), depth - 1, found, strays))
}

fn slices(root: &Path, found: Vec<Found>, progress: &(dyn Fn(&Progress) + Sync)) -> Result<Vec<Slice>> {
    let files: Vec<(usize, u32, String, String)> = found
        .into_iter()
        .enumerate()
        .flat_map(|(scan, of)| {
            let folder = of.folder;
            of.pictures.into_iter().zip(0..).map(move |(file, number)| (scan, number, folder.clone(), file))
        })
        .collect();
    let meter = Meter::new("reading", "files", files.len(), 0, progress);
    let (slices, _) = in_parallel(files.into_par_iter(), |(scan, number, folder, file)| {
        let path = root.join(folder).join(&file);
        let bytes = read_file(&path).with_context(|| format!("reading slice {}", path.display()))?;
        meter.add(1);
        Ok((Slice { number: Some(number), ..Slice::of_bytes(scan, file, &bytes) }, ()))
    })?;
    meter.finish();
    Ok(slices)
}
