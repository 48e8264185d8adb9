//! Lists the scans and files of a data set in a fixed order.

use super::label_table::{LabelTable, Sets};
use super::listing::{FolderListing, ListedSlice};
use super::new_scans::{anywhere_below, below, is_picture};
use super::{Label, Manifest, Rejected, Scan, Set};
use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::natural::numeric_key;
use crate::base::progress::Progress;
use crate::base::regular_file::Lies;
use crate::data::opened::SLICE_AT_MOST;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Lists a data set's folder, scanners' files grouped into series.
pub(super) fn walk(root: &Path, progress: &(dyn Fn(&Progress) + Sync)) -> Result<FolderListing> {
    // A series lies within one set and class.
    let group = |path: &str| match path.split('/').collect::<Vec<_>>()[..] {
        [set, ..] if set == Set::Prediction.folder() => Some(set.to_owned()),
        [set, class, ..] if Label::NAMES.contains(&class) => Some(format!("{set}/{class}")),
        _ => None,
    };
    if let Some(table) = LabelTable::in_root(root, Sets::Read)? {
        return table.apply(anywhere_below(root, progress)?);
    }
    folders(root)?.with_scanner_files(root, group, progress)
}

/// Lists scan folders and the files in them.
pub(super) fn folders(root: &Path) -> Result<FolderListing> {
    ensure!(
        root.is_dir(),
        "scanning a data set: {} is no folder; expected one with train/, val/ or prediction/ in it",
        root.display()
    );
    let mut listing = FolderListing::default();
    let groups = groups(root, &mut listing)?;
    if groups.is_empty() {
        let found = FolderEntries::of(root, "")?.folders;
        bail!(
            "scanning a data set: {} has none of train/covid, train/non-covid, val/covid, val/non-covid, prediction; found the folders {found:?}",
            root.display()
        );
    }
    for group in groups {
        let found = FolderEntries::of(root, &group)?;
        listing.strays.extend(found.files.into_iter().map(|file| format!("{group}/{file}")));
        listing.scans.extend(found.folders.into_iter().map(|folder| Scan::new(format!("{group}/{folder}"))));
        listing.rejected.extend(found.others);
    }
    let found = listing.scans.par_iter().map(|scan| FolderEntries::of(root, &scan.folder));
    for (index, found) in found.collect::<Result<Vec<_>>>()?.into_iter().enumerate() {
        let scan = &listing.scans[index].folder;
        listing.strays.extend(found.folders.into_iter().map(|folder| format!("{scan}/{folder}/")));
        listing.files.extend(found.files.into_iter().map(|name| ListedSlice::picture(index, name)));
        listing.rejected.extend(found.others);
        listing.large.extend(found.large);
    }
    listing.strays.sort();
    Ok(listing)
}

/// The folders of classes, and the one to predict.
///
/// # Errors
/// Something else in the place of one of them: a whole part would be missed.
fn groups(root: &Path, listing: &mut FolderListing) -> Result<Vec<String>> {
    let mut groups = Vec::new();
    for set in Set::ALL {
        match Lies::at(&root.join(set.folder())) {
            Lies::Folder(_) => {}
            Lies::Nothing => continue,
            Lies::File(_) => return Err(no_folder(root, set.folder(), "a file")),
            Lies::Neither(what) => return Err(no_folder(root, set.folder(), &what)),
        }
        if set == Set::Prediction {
            groups.push(set.folder().to_owned());
            continue;
        }
        let found = FolderEntries::of(root, set.folder())?;
        let class = |path: &str| Label::NAMES.iter().any(|label| path == format!("{set}/{label}"));
        if let Some(other) = found.others.iter().find(|other| class(&other.path)) {
            return Err(no_folder(root, &other.path, &other.detail));
        }
        listing.rejected.extend(found.others);
        listing.strays.extend(found.files.into_iter().map(|file| format!("{set}/{file}")));
        check_classes(&found.folders, &root.join(set.folder()).display())?;
        for class in found.folders {
            match Label::NAMES.contains(&class.as_str()) {
                true => groups.push(format!("{set}/{class}")),
                false => listing.strays.push(format!("{set}/{class}/")),
            }
        }
    }
    Ok(groups)
}

fn no_folder(root: &Path, name: &str, what: &str) -> crate::base::errors::Error {
    crate::base::errors::anyhow!("scanning a data set: {} should be a folder, found {what}", root.join(name).display())
}

/// Refuses a folder with a misnamed class: a whole class would be missed.
pub(super) fn check_classes(classes: &[String], folder: &dyn std::fmt::Display) -> Result<()> {
    let known = |class: &String| Label::NAMES.contains(&class.as_str());
    ensure!(
        classes.iter().all(known) || Label::NAMES.iter().all(|name| classes.iter().any(|class| class == name)),
        "scanning a data set: {folder} should hold the folders covid and non-covid; found {classes:?}"
    );
    Ok(())
}

/// What a folder holds.
#[derive(Default)]
struct FolderEntries {
    /// Names, in numeric order.
    folders: Vec<String>,
    files: Vec<String>,
    /// What is neither; the audit reports it, it is no reason to stop.
    others: Vec<Rejected>,
    /// Paths under the root and lengths of files that are too long for a picture.
    large: Vec<(String, u64)>,
}

impl FolderEntries {
    /// Of a folder under the root, which is empty for the root itself.
    fn of(root: &Path, folder: &str) -> Result<Self> {
        let path = root.join(folder);
        let listing = || format!("listing {}", path.display());
        let mut found = Self::default();
        for entry in fs::read_dir(&path).with_context(listing)? {
            let entry = entry.with_context(listing)?;
            let name = entry.file_name().into_string().map_err(|name| {
                crate::base::errors::anyhow!("{}: expected file names in UTF-8, found {name:?}", listing())
            })?;
            // Links are followed, so a data set put together from links works.
            match Lies::at(&entry.path()) {
                Lies::Folder(_) => found.folders.push(name),
                Lies::File(length) => {
                    found.large.extend((length > SLICE_AT_MOST).then(|| (below(folder, &name), length)));
                    found.files.push(name);
                }
                Lies::Neither(what) => found.others.push(Rejected::no_file(below(folder, &name), &what)),
                // Removed meanwhile.
                Lies::Nothing => {}
            }
        }
        // `01.jpg` and `1.jpg` are the same number, so names decide their order.
        found.folders.sort_by_cached_key(|name| (numeric_key(name), name.clone()));
        found.files.sort_by_cached_key(|name| (numeric_key(name), name.clone()));
        Ok(found)
    }
}

/// 42 for `42.jpg`, `42.jpeg`, `42.png`, `42.tif` or `42.tiff` in any case of letters; `None` for all else, `._42.jpg` included.
pub(super) fn slice_number(file: &str) -> Option<u32> {
    let (stem, _) = file.rsplit_once('.')?;
    (is_picture(file) && stem.bytes().all(|b| b.is_ascii_digit())).then(|| stem.parse().ok())?
}

/// The gaps in each scan's slice numbers, as (first, last) missing number, by scan index.
pub(crate) fn missing_numbers(manifest: &Manifest) -> BTreeMap<usize, Vec<(u32, u32)>> {
    let mut missing = BTreeMap::new();
    for (scan, slices) in manifest.slices_by_scan().into_iter().enumerate() {
        let mut numbers: Vec<u32> = slices.iter().filter_map(|&i| manifest.slices[i].number).collect();
        numbers.sort_unstable();
        // Kept as ranges: one file named 4000000000.jpg must not make four thousand million entries.
        let gaps: Vec<(u32, u32)> =
            numbers.windows(2).filter(|w| w[1] - w[0] > 1).map(|w| (w[0] + 1, w[1] - 1)).collect();
        if !gaps.is_empty() {
            missing.insert(scan, gaps);
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::super::Slice;
    use super::*;

    #[test]
    fn numbers_as_large_as_they_come_have_gaps_too() {
        let slice = |file: &str| Slice::of_bytes(0, file.to_owned(), b"");
        let files = ["4294967290.jpg", "4294967295.jpg", "4294967295.png"].map(slice);
        let manifest = Manifest::of_folders("large", vec!["train/covid/ct_scan_0".to_owned()], files.to_vec());
        assert_eq!(missing_numbers(&manifest)[&0], [(4_294_967_291, 4_294_967_294)]);
    }

    #[test]
    fn only_numbered_images_are_slices() {
        assert_eq!(slice_number("42.jpg"), Some(42));
        assert_eq!(slice_number("007.JPEG"), Some(7));
        for junk in ["._9.jpg", "9.txt", "a9.jpg", ".jpg", "jpg", "99999999999.jpg"] {
            assert_eq!(slice_number(junk), None, "{junk}");
        }
    }
}
