//! Scans outside of a data set: any picture, folder of pictures, or folder of such folders.

use super::folder_tree::{FolderTree, is_hidden};
use super::listing::{FolderListing, ListedSlice};
use super::slice_order::sort_by_name;
use super::{Manifest, Rejected, Scan, Set};
use crate::base::errors::{Context, Result, bail};
use crate::base::natural::numeric_key;
use crate::base::progress::Progress;
use crate::base::regular_file::Lies;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The pictures of one folder, in natural order: `2.jpg` before `10.jpg`.
struct Found {
    /// Under the root, with `/`.
    folder: String,
    pictures: Vec<String>,
}

impl Manifest {
    /// Lists scans that are not part of a data set: `path` is a picture, a DICOM file, a volume, or a folder with scans in it
    /// or in folders at most twelve deep. The pictures of one folder are one scan, in natural order; they are known by their
    /// ending, scanners' files by their contents. A scan's folder is named from the last part of `path` on.
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
            None => walk = PictureWalk::below(&root, &last_part(&folder)?).with_context(doing)?,
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
        let in_root = self.folder.is_empty();
        let slice = |file: String| {
            let at = in_root.then(|| file.as_str().into());
            ListedSlice { at, ..ListedSlice::picture(scan, file) }
        };
        let mut slices: Vec<ListedSlice> = self.pictures.into_iter().map(slice).collect();
        ListedSlice::number(&mut slices);
        slices
    }
}

/// The scans in folders of any layout, none with a label.
pub(super) fn anywhere_below(root: &Path, progress: &(dyn Fn(&Progress) + Sync)) -> Result<FolderListing> {
    let doing = || format!("listing the scans in {}", root.display());
    let walk = PictureWalk::below(root, "").with_context(doing)?;
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
    /// Of `folder` under the root and the folders in it, in natural order.
    fn below(root: &Path, folder: &str) -> Result<Self> {
        let tree = FolderTree::below(root, folder)?;
        let split = |path: &'_ str| {
            path.rsplit_once('/').map_or((String::new(), path.to_owned()), |(a, b)| (a.into(), b.into()))
        };
        let is_own = |folder: &&String| is_hidden(folder.rsplit('/').next().unwrap_or_default());
        let mut walk = Self { rejected: tree.rejected, large: tree.large.into_iter().collect(), ..Self::default() };
        walk.strays.extend(tree.folders.iter().filter(is_own).cloned());
        let mut pictures: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for path in tree.files {
            let (folder, name) = split(&path);
            match is_picture(&name) {
                true => pictures.entry(folder).or_default().push(name),
                false => walk.strays.push(path),
            }
        }
        for (folder, mut pictures) in pictures {
            sort_by_name(&mut pictures, |name| name);
            walk.found.push(Found { folder, pictures });
        }
        walk.found.sort_by_cached_key(|of| {
            let parts: Vec<_> = of.folder.split('/').map(|part| (numeric_key(part), part.to_owned())).collect();
            (!of.folder.is_empty(), parts)
        });
        walk.strays.sort();
        Ok(walk)
    }
}
