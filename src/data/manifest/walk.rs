//! Lists the scans and files of a data set in a fixed order.

use super::arrangement::Arrangement;
use super::folder_tree::FolderTree;
use super::label_table::{LABELS, LabelTable, Sets};
use super::layout::{EXPECTED, Layout};
use super::listing::FolderListing;
use super::new_scans::anywhere_below;
use super::patients::PATIENTS;
use super::scanner_files::may_be_scanners;
use super::{Label, Manifest, Rejected, Rejection, Set};
use crate::base::errors::{Result, bail, ensure};
use crate::base::progress::Progress;
use crate::base::regular_file::open_regular;
use crate::data::dicom::is_dicom;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

/// What of a data set without slices is shown in its error.
const SHOWN: usize = 5;

/// Lists a data set's folder, scanners' files grouped into series.
pub(super) fn walk(root: &Path, progress: &(dyn Fn(&Progress) + Sync)) -> Result<FolderListing> {
    ensure!(
        root.is_dir(),
        "scanning a data set: {} is no folder; expected one with train/, val/ or prediction/ in it",
        root.display()
    );
    if let Some(table) = LabelTable::in_root(root, Sets::Read)? {
        let mut listing = anywhere_below(root, progress)?;
        listing.strays.retain(|path| ![LABELS, PATIENTS].contains(&path.as_str()));
        let scans: BTreeSet<&str> = listing.scans.iter().map(|scan| scan.folder.as_str()).collect();
        let archives: Vec<Rejected> =
            listing.strays.iter().filter_map(|path| Rejected::archive(path, &scans)).collect();
        listing.strays.retain(|path| archives.iter().all(|of| of.path != *path));
        listing.rejected.extend(archives);
        return table.apply(listing);
    }
    let (listing, layout) = folders(root)?;
    // A series lies within one set and class.
    let mut listing = listing.with_scanner_files(root, |path| layout.group_of(path), progress)?;
    let mut is_changed = false;
    // Every scan, though one was changed before.
    listing.scans.iter_mut().for_each(|scan| is_changed |= layout.set_on(scan));
    if is_changed {
        listing = listing.rearranged(|_| false, Vec::new());
    }
    listing.mapped = layout.mapped;
    Ok(listing)
}

/// Lists scan folders and the files in them.
pub(super) fn folders(root: &Path) -> Result<(FolderListing, Layout)> {
    let tree = FolderTree::below(root, "")?;
    parts_must_be_folders(root, &tree)?;
    let is_scanners = |path: &str| {
        let mut first = Vec::new();
        let file = may_be_scanners(path).then(|| open_regular(&root.join(path)));
        // What cannot be opened is no reason to stop here.
        file.is_some_and(|file| {
            file.is_ok_and(|file| file.take(132).read_to_end(&mut first).is_ok() && is_dicom(&first))
        })
    };
    let files = tree.files.iter().map(String::as_str).collect();
    let arranged = Arrangement::of(files, tree.folders.iter().map(String::as_str), &is_scanners);
    let (mut listing, layout, _) = arranged.into_listing();
    listing.rejected.extend(tree.rejected);
    listing.large.extend(tree.large);
    Ok((listing, layout))
}

/// # Errors
/// Something else in the place of a part or a class of the usual names: a whole part would be missed.
fn parts_must_be_folders(root: &Path, tree: &FolderTree) -> Result<()> {
    let names: Vec<String> = Set::ALL
        .into_iter()
        .flat_map(|set| std::iter::once(set.to_string()).chain(Label::NAMES.map(|label| format!("{set}/{label}"))))
        .collect();
    let files = tree.files.iter().map(|path| (path, "a file"));
    let others = tree.rejected.iter().map(|of| (&of.path, of.detail.as_str()));
    if let Some((name, what)) = files.chain(others).find(|(path, _)| names.contains(path)) {
        bail!("scanning a data set: {} should be a folder, found {what}", root.join(name).display());
    }
    Ok(())
}

impl FolderListing {
    /// # Errors
    /// Not one slice: what was found, and what is expected.
    pub(crate) fn must_hold_slices(&self, of: &dyn std::fmt::Display) -> Result<()> {
        if self.files.iter().any(|file| file.number.is_some()) {
            return Ok(());
        }
        let said = |reason: Rejection| matches!(reason, Rejection::UnknownFolder | Rejection::LoosePictures);
        let folders = self.rejected.iter().filter(|of| said(of.reason)).map(|of| {
            // How it should be is said once, below.
            let end = if of.reason == Rejection::LoosePictures { ": put those" } else { "; expected " };
            let detail = of.detail.split(end).next().unwrap_or_default();
            format!("{}: {detail}", of.path)
        });
        let (tables, others): (Vec<_>, Vec<_>) =
            self.rejected.iter().filter(|of| !said(of.reason)).partition(|of| of.reason == Rejection::Table);
        let others = others.into_iter().map(|of| format!("{}: {}", of.path, of.detail));
        let more = |tables: usize| if tables > 1 { format!(" ({} more)", tables - 1) } else { String::new() };
        let table = tables.first().map(|of| format!("{}: {}{}", of.path, of.detail, more(tables.len())));
        let scans = self.scans.iter().enumerate().map(|(index, scan)| {
            let first = self.files.iter().find(|file| file.scan == index);
            let holds = first.map_or(String::new(), |file| format!(" ({} in it)", file.file));
            format!("{}: a scan without a slice{holds}", scan.folder)
        });
        // What slices there are comes first, then what may say of which class they are.
        let all: Vec<String> =
            folders.chain(scans).chain(others).chain(table).chain(self.strays.iter().cloned()).collect();
        let mut shown: Vec<String> = all.iter().take(SHOWN).cloned().collect();
        shown.extend((all.len() > SHOWN).then(|| format!("{} more", all.len() - SHOWN)));
        let found = if shown.is_empty() { "neither pictures nor scanners' files".to_owned() } else { shown.join("; ") };
        bail!("there is no slice in {of}. Found {found}. Expected {EXPECTED}");
    }
}

/// The gaps in each scan's slice numbers, as (first, last) missing number, by scan index.
pub(crate) fn missing_numbers(manifest: &Manifest) -> BTreeMap<usize, Vec<(u32, u32)>> {
    let mut missing = BTreeMap::new();
    for (scan, slices) in manifest.slices_by_scan().into_iter().enumerate() {
        let mut numbers: Vec<u32> = slices.iter().filter_map(|&i| manifest.slices[i].number).collect();
        numbers.sort_unstable();
        let gaps = in_steps(&numbers).unwrap_or_else(|| {
            // Kept as ranges: one file named 4000000000.jpg must not make four thousand million entries.
            numbers.windows(2).filter(|w| w[1] - w[0] > 1).map(|w| (w[0] + 1, w[1] - 1)).collect()
        });
        if !gaps.is_empty() {
            missing.insert(scan, gaps);
        }
    }
    missing
}

/// Slices from which a step of their numbers is seen.
const STEPPED: usize = 8;
/// Missing numbers that are listed of a scan whose numbers have a step.
const LISTED: u32 = 64;

/// What is missing in sorted numbers that follow each other in steps, such as 0, 5, 10 or 100, 200, 300, each by itself; `None`
/// where they do not.
fn in_steps(numbers: &[u32]) -> Option<Vec<(u32, u32)>> {
    let divisor = |a: u32, b: u32| {
        let (mut a, mut b) = (a, b);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let (first, last) = (*numbers.first()?, *numbers.last()?);
    let step = numbers.iter().fold(0, |step, number| divisor(step, number - first));
    let usual = numbers.windows(2).filter(|pair| pair[1] - pair[0] == step).count();
    let is_stepped = step > 1 && numbers.len() >= STEPPED && 2 * usual >= numbers.len() - 1;
    let count = (last - first).checked_div(step)?;
    if !is_stepped || count + 1 > numbers.len() as u32 + LISTED {
        return None;
    }
    let there: BTreeSet<u32> = numbers.iter().copied().collect();
    let missing = (0..=count).map(|at| first + at * step).filter(|number| !there.contains(number));
    Some(missing.map(|number| (number, number)).collect())
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
    fn in_steps_only_what_is_no_multiple_is_missing() {
        assert_eq!(in_steps(&[100, 200, 300, 500, 600, 700, 800, 900]), Some(vec![(400, 400)]));
        assert_eq!(in_steps(&[3, 8, 13, 18, 23, 28, 33, 38]), Some(Vec::new()));
        let far = [0, 2, 4, 6, 8, 10, 12, 8_000];
        for numbers in [&[][..], &[7], &[7; 9], &[0, 2, 4, 6], &[0, 1, 2, 3, 4, 5, 6, 9], &far] {
            assert_eq!(in_steps(numbers), None, "{numbers:?}");
        }
    }
}
