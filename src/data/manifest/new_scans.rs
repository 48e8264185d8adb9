//! Scans outside of a data set: any picture, folder of pictures, or folder of such folders.

use super::listing::{FolderListing, ListedSlice};
use super::{Manifest, Rejected, Scan, Set};
use crate::base::errors::{Context, Result, bail};
use crate::base::natural::numeric_key;
use crate::base::progress::Progress;
use crate::base::regular_file::{FolderId, Lies};
use crate::data::opened::SLICE_AT_MOST;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// How many folders below the given one scans are looked for.
const DEEPEST: usize = 6;

/// The pictures of one folder, in natural order: `2.jpg` before `10.jpg`.
struct Found {
    /// Under the root, with `/`.
    folder: String,
    pictures: Vec<String>,
}

impl Manifest {
    /// Lists scans that are not part of a data set: `path` is a picture, a DICOM file, a volume, or a folder with scans in it
    /// or in folders at most six deep. The pictures of one folder are one scan, numbered from 0 in natural order; they are
    /// known by their ending, scanners' files by their contents. A scan's folder is named from the last part of `path` on.
    /// Other files are listed as [`strays`](Self::strays).
    ///
    /// # Errors
    /// Nothing at `path`, or no scan below it.
    pub fn of_new_scans(path: impl AsRef<Path>, progress: impl Fn(&Progress) + Sync) -> Result<Self> {
        Self::new_scans_in(path.as_ref(), &progress)
    }

    fn new_scans_in(path: &Path, progress: &(dyn Fn(&Progress) + Sync)) -> Result<Self> {
        let doing = || format!("listing the scans in {}", path.display());
        let path = resolved(path).with_context(doing)?;
        let (folder, only) = match Lies::at(&path) {
            Lies::Folder(_) => (Some(path.clone()), None),
            Lies::File(_) => (path.parent().map(Path::to_owned), Some(last_part(&path)?)),
            Lies::Neither(what) => bail!("{}: expected a file or a folder, found {what}", doing()),
            Lies::Nothing => bail!("{}: there is nothing", doing()),
        };
        let folder = folder.filter(|folder| folder.parent().is_some());
        let folder = folder.with_context(|| format!("{}: expected a folder below /", doing()))?;
        let root = folder.parent().map_or(PathBuf::new(), Path::to_owned);
        let mut walk = PictureWalk::default();
        match only {
            Some(file) if is_picture(&file) => {
                walk.found.push(Found { folder: last_part(&folder)?, pictures: vec![file] });
            }
            Some(file) => walk.strays.push(format!("{}/{file}", last_part(&folder)?)),
            None => walk.collect(&root, last_part(&folder)?, &mut Vec::new()).with_context(doing)?,
        }
        let mut listing = listed(&root, walk, progress).with_context(doing)?;
        let files = std::mem::take(&mut listing.files);
        if files.is_empty() {
            let rejected = listing.rejected.iter().map(|of| format!("{} ({})", of.path, of.detail));
            let others: Vec<String> = rejected.chain(listing.strays.iter().cloned()).take(5).collect();
            bail!(
                "{}: expected JPEG, PNG, TIFF, DICOM, NIfTI, NRRD or MetaImage files of a CT scan, found none; other files: {}",
                doing(),
                or_none(&others.join(", "))
            );
        }
        let mut manifest = Self::listed(&root, listing)?;
        manifest.name = last_part(&path)?;
        manifest.read_slices(files, "reading", progress, |_, _, _, _| Ok(()))?;
        Ok(manifest)
    }
}

impl Found {
    fn slices(self, scan: usize) -> Vec<ListedSlice> {
        let pictures = self.pictures.into_iter().zip(0..);
        let in_root = self.folder.is_empty();
        let slice = |(file, number): (String, u32)| {
            let at = in_root.then(|| file.as_str().into());
            ListedSlice { number: Some(number), at, ..ListedSlice::picture(scan, file) }
        };
        pictures.map(slice).collect()
    }
}

/// The scans in folders of any layout, none with a label.
pub(super) fn anywhere_below(root: &Path, progress: &(dyn Fn(&Progress) + Sync)) -> Result<FolderListing> {
    let doing = || format!("listing the scans in {}", root.display());
    let mut walk = PictureWalk::default();
    walk.collect(root, String::new(), &mut Vec::new()).with_context(doing)?;
    listed(root, walk, progress).with_context(doing)
}

fn listed(root: &Path, walk: PictureWalk, progress: &(dyn Fn(&Progress) + Sync)) -> Result<FolderListing> {
    let PictureWalk { found, strays, rejected, large } = walk;
    let scan = |of: &Found| Scan { set: Set::Prediction, label: None, ..Scan::new(of.folder.clone()) };
    let scans = found.iter().map(scan).collect();
    let mut listing = FolderListing { scans, strays, rejected, large, ..FolderListing::default() };
    listing.files = found.into_iter().enumerate().flat_map(|(scan, of)| of.slices(scan)).collect();
    // Pictures in the root itself are a scan whose name is no folder's.
    listing.scans.iter_mut().filter(|scan| scan.folder.is_empty()).for_each(|scan| scan.folder = "(root)".to_owned());
    let mut listing = listing.with_scanner_files(root, |_| Some(String::new()), progress)?;
    for scan in &mut listing.scans {
        (scan.set, scan.label) = (Set::Prediction, None);
    }
    Ok(listing)
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

pub(super) fn is_picture(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    // macOS leaves a companion `._NAME` of every file that it copies.
    !name.starts_with('.')
        && ["jpg", "jpeg", "png", "tif", "tiff"].iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// The path of a name in a folder, which is empty for the root.
pub(super) fn below(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// What was found below a folder.
#[derive(Default)]
struct PictureWalk {
    found: Vec<Found>,
    strays: Vec<String>,
    rejected: Vec<Rejected>,
    /// Paths and lengths of pictures that are too long.
    large: BTreeMap<String, u64>,
}

impl PictureWalk {
    /// Adds the scan of this folder and those of the folders in it. `above`: the folders on the way, from the first on.
    fn collect(&mut self, root: &Path, folder: String, above: &mut Vec<FolderId>) -> Result<()> {
        if above.len() > DEEPEST {
            self.strays.push(format!("{folder}/ (more than {DEEPEST} folders deep)"));
            return Ok(());
        }
        match Lies::at(&root.join(&folder)) {
            Lies::Folder(id) if above.contains(&id) => {
                self.rejected.push(Rejected::no_file(folder, "a link to a folder in which it lies"));
                return Ok(());
            }
            Lies::Folder(id) => above.push(id),
            // Removed meanwhile.
            _ => return Ok(()),
        }
        let (mut pictures, mut folders) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let name = match entry.file_name().into_string() {
                Ok(name) => name,
                Err(name) => {
                    self.strays.push(format!("{folder}/{} (its name is not UTF-8)", name.to_string_lossy()));
                    continue;
                }
            };
            // Follows links, so that a set of scans can be put together from links.
            match Lies::at(&entry.path()) {
                // Thumbnails, version control and the like would be judged as scans.
                Lies::Folder(_) if !name.starts_with('.') => folders.push(name),
                Lies::File(length) if is_picture(&name) => {
                    self.large.extend((length > SLICE_AT_MOST).then(|| (below(&folder, &name), length)));
                    pictures.push(name);
                }
                Lies::Folder(_) | Lies::File(_) => self.strays.push(below(&folder, &name)),
                Lies::Neither(what) => self.rejected.push(Rejected::no_file(below(&folder, &name), &what)),
                Lies::Nothing => {}
            }
        }
        pictures.sort_by_cached_key(|name| (numeric_key(name), name.clone()));
        folders.sort_by_cached_key(|name| (numeric_key(name), name.clone()));
        if !pictures.is_empty() {
            self.found.push(Found { folder: folder.clone(), pictures });
        }
        folders.into_iter().try_for_each(|name| self.collect(root, below(&folder, &name), above))?;
        above.pop();
        Ok(())
    }
}
