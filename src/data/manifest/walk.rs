//! Lists the scans and files of a data set in a fixed order.

use super::{Label, Manifest, Scan, Set};
use anyhow::{Context, Result, bail, ensure};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The scans and files of a data set, in their final order.
pub(crate) struct FolderListing {
    pub(crate) scans: Vec<Scan>,
    /// Files, each with the index of its scan.
    pub(crate) files: Vec<(usize, String)>,
    /// Files and folders (ending in /) outside the layout.
    pub(crate) strays: Vec<String>,
}

/// Lists a data set's folder.
pub(super) fn walk(root: &Path) -> Result<FolderListing> {
    ensure!(
        root.is_dir(),
        "scanning a data set: {} is no folder; expected one with train/, val/ or prediction/ in it",
        root.display()
    );
    let mut scans = Vec::new();
    let mut strays = Vec::new();
    let mut groups = Vec::new();
    for set in Set::ALL.iter().filter(|set| root.join(set.folder()).is_dir()) {
        match set {
            Set::Prediction => groups.push(set.folder().to_owned()),
            _ => {
                let (classes, loose) = entries(&root.join(set.folder()))?;
                strays.extend(loose.into_iter().map(|file| format!("{set}/{file}")));
                check_classes(&classes, &root.join(set.folder()).display())?;
                for class in classes {
                    match Label::NAMES.contains(&class.as_str()) {
                        true => groups.push(format!("{set}/{class}")),
                        false => strays.push(format!("{set}/{class}/")),
                    }
                }
            }
        }
    }
    if groups.is_empty() {
        let (found, _) = entries(root)?;
        bail!(
            "scanning a data set: {} has none of train/covid, train/non-covid, val/covid, val/non-covid, prediction; found the folders {found:?}",
            root.display()
        );
    }
    for group in groups {
        let (folders, loose) = entries(&root.join(&group))?;
        strays.extend(loose.into_iter().map(|file| format!("{group}/{file}")));
        scans.extend(folders.into_iter().map(|folder| Scan::new(format!("{group}/{folder}"))));
    }
    let listed = scans.par_iter().map(|scan| entries(&root.join(&scan.folder))).collect::<Result<Vec<_>>>()?;
    let mut files = Vec::new();
    for (index, (folders, names)) in listed.into_iter().enumerate() {
        strays.extend(folders.into_iter().map(|f| format!("{}/{f}/", scans[index].folder)));
        files.extend(names.into_iter().map(|name| (index, name)));
    }
    strays.sort();
    Ok(FolderListing { scans, files, strays })
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

/// The names of the folders and of the files in a folder, each in numeric order.
fn entries(folder: &Path) -> Result<(Vec<String>, Vec<String>)> {
    let listing = || format!("listing {}", folder.display());
    let (mut folders, mut files) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).with_context(listing)? {
        let entry = entry.with_context(listing)?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|name| anyhow::anyhow!("{}: expected file names in UTF-8, found {name:?}", listing()))?;
        // `metadata` follows links, so a data set put together from links works. A broken link counts as an empty file,
        // which the audit reports; it is no reason to stop.
        match fs::metadata(entry.path()).is_ok_and(|found| found.is_dir()) {
            true => folders.push(name),
            false => files.push(name),
        }
    }
    // `01.jpg` and `1.jpg` are the same number, so names decide their order.
    folders.sort_by_cached_key(|name| (numeric_key(name), name.clone()));
    files.sort_by_cached_key(|name| (numeric_key(name), name.clone()));
    Ok((folders, files))
}

/// The bytes of a file; empty for a broken link.
pub(crate) fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && path.is_symlink() => Ok(Vec::new()),
        other => other,
    }
}

/// A name as runs of digits and of other letters.
pub(super) type NumericKey = Vec<(u64, String)>;

/// Orders `2.jpg` before `10.jpg`: runs of digits compare as numbers.
pub(super) fn numeric_key(name: &str) -> NumericKey {
    let mut key = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let text = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (text, tail) = tail.split_at(text);
        // Text before the first digit sorts by itself: a missing number counts as the largest.
        key.push((number.parse().unwrap_or(u64::MAX), text.to_owned()));
        rest = tail;
    }
    key
}

/// 42 for `42.jpg`, `42.jpeg` or `42.png` in any case of letters; `None` for all else, `._42.jpg` included.
pub(super) fn slice_number(file: &str) -> Option<u32> {
    let (stem, ending) = file.rsplit_once('.')?;
    let image = ["jpg", "jpeg", "png"].iter().any(|known| ending.eq_ignore_ascii_case(known));
    (image && stem.bytes().all(|b| b.is_ascii_digit())).then(|| stem.parse().ok())?
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
    fn names_sort_as_numbers() {
        let mut names = ["10.jpg", "2.jpg", "ct_scan_10", "ct_scan_9", "0.jpg", "._9.jpg"];
        names.sort_by_cached_key(|name| numeric_key(name));
        assert_eq!(names, ["0.jpg", "2.jpg", "10.jpg", "._9.jpg", "ct_scan_9", "ct_scan_10"]);
    }

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
