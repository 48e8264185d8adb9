//! Finds DICOM series and volumes among the files of a data set, wherever they lie.

use super::acquisition::{Acquisition, Rejected, Rejection};
use super::file_beginning::Beginning;
use super::folder_word::is_named_as_mask;
use super::listing::{FolderListing, ListedSlice};
use super::new_scans::below;
use super::pseudonym::{Pseudonyms, is_placeholder};
use super::{Scan, from_series};
use crate::base::errors::{Context, Result};
use crate::base::interrupt::go_on;
use crate::base::natural::numeric_key;
use crate::base::progress::{Meter, Progress};
use crate::data::decode::{ColourMode, Header};
use crate::data::dicom::DicomHeader;
use crate::data::foreign::ends_as_scanners;
use crate::data::opened::{SLICE_AT_MOST, VOLUME_AT_MOST};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

/// Endings of files that are no scanner's, so that they need not be opened.
const OTHERS: [&str; 26] = [
    "jpg", "jpeg", "png", "tif", "tiff", "bmp", "gif", "webp", "csv", "tsv", "txt", "json", "md", "xml", "html", "pdf",
    "zip", "mp4", "avi", "xlsx", "docx", "ini", "db", "py", "npy", "raw",
];

/// Whether a file of this name may be a scanner's.
pub(super) fn may_be_scanners(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    !name.is_empty() && !name.starts_with('.') && !OTHERS.iter().any(|other| ending.eq_ignore_ascii_case(other))
}

/// Whether a file's name says that it is a scanner's.
pub(super) fn is_named_as_scanners(name: &str) -> bool {
    !name.starts_with('.') && ends_as_scanners(name)
}

/// A scan of a scanner's files, before it has a name.
pub(super) struct FoundScan {
    /// Of the files, under the root; more than one only in DICOM.
    pub(super) paths: BTreeSet<String>,
    /// Path and frame of each slice, from the feet up.
    pub(super) slices: Vec<(String, Option<u32>)>,
    pub(super) acquisition: Acquisition,
}

impl FolderListing {
    /// The listing with scanners' files grouped into scans. `group_of` gives the part of a path within which a series may
    /// lie, for example `train/covid`; where it gives none, files stay what they are.
    ///
    /// # Errors
    /// A file that cannot be opened, or no place for the key of pseudonyms.
    pub(super) fn with_scanner_files(
        self,
        root: &Path,
        group_of: impl Fn(&str) -> Option<String>,
        progress: &(dyn Fn(&Progress) + Sync),
    ) -> Result<Self> {
        Ok(self.grouped(root, group_of, progress, [SLICE_AT_MOST, VOLUME_AT_MOST])?.without_large())
    }

    fn grouped(
        mut self,
        root: &Path,
        group_of: impl Fn(&str) -> Option<String>,
        progress: &(dyn Fn(&Progress) + Sync),
        at_most: [u64; 2],
    ) -> Result<Self> {
        let nested = std::mem::take(&mut self.inside);
        let of_scans = self.files.iter().map(|file| self.path(file));
        let loose = self.strays.iter().filter(|path| !path.ends_with('/')).cloned();
        let inside = nested.values().flatten().cloned();
        let candidates: BTreeSet<String> = of_scans
            .chain(loose)
            .chain(inside)
            .filter(|path| may_be_scanners(path) && group_of(path).is_some())
            .collect();
        if candidates.is_empty() {
            return Ok(self);
        }
        let meter = Meter::new("headers", "files", candidates.len(), 0, progress);
        let read = |path: String| {
            let beginning = Beginning::read(&root.join(&path), at_most);
            meter.add(1);
            go_on()?;
            match beginning {
                // Removed meanwhile; an error where it is read.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok((path, Beginning::Other)),
                Err(error) => {
                    Err(error).with_context(|| format!("reading the header of {}", root.join(&path).display()))
                }
                Ok(beginning) => Ok((path, beginning)),
            }
        };
        let read = candidates.into_par_iter().map(read).collect::<Result<Vec<_>>>()?;
        meter.finish();
        let mut sorted = Sorted::default();
        for (path, beginning) in read {
            sorted.take(&group_of(&path).unwrap_or_default(), path, beginning);
        }
        if sorted.taken.is_empty() {
            return Ok(self);
        }
        let found = sorted.scans()?;
        self.replace_folders(&nested, &sorted.taken);
        self.rejected.extend(sorted.rejected);
        let added = named(found, &self, |folder| group_of(&format!("{folder}/")).as_deref() == Some(folder));
        Ok(self.rearranged(|path| sorted.taken.contains(path), added))
    }

    /// Stray folders with scanners' files are replaced by the other files in them.
    fn replace_folders(&mut self, nested: &BTreeMap<String, Vec<String>>, taken: &HashSet<String>) {
        for (folder, files) in nested.iter().filter(|(_, files)| files.iter().any(|file| taken.contains(file))) {
            self.strays.retain(|path| path.strip_suffix('/') != Some(folder));
            self.strays.extend(files.iter().filter(|file| !taken.contains(*file)).cloned());
        }
        self.strays.sort();
    }
}

/// Scanners' files by kind.
#[derive(Default)]
struct Sorted {
    dicom: BTreeMap<String, Vec<(String, DicomHeader)>>,
    volumes: Vec<FoundScan>,
    rejected: Vec<Rejected>,
    /// Every path that is a scanner's file, or the data of one.
    taken: HashSet<String>,
}

impl Sorted {
    fn take(&mut self, group: &str, path: String, beginning: Beginning) {
        match beginning {
            Beginning::Other => return,
            Beginning::Dicom(header) => self.dicom.entry(group.to_owned()).or_default().push((path.clone(), *header)),
            Beginning::Broken(error) => self.rejected.push(Rejected::unreadable(path.clone(), &error)),
            Beginning::TooLarge(found, at_most) => {
                self.rejected.push(Rejected::too_large(path.clone(), found, at_most))
            }
            Beginning::NoData(what) => self.rejected.push(Rejected::no_file(path.clone(), &what)),
            Beginning::Volume(_, _, data) if is_named_as_mask(&path) => {
                let detail = "a volume named as a mask or a segmentation: rename it where it is a scan".to_owned();
                self.rejected.push(Rejected { path: path.clone(), reason: Rejection::NotCt, detail });
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                self.taken.extend(data.map(|data| below(folder, &data)));
            }
            Beginning::Volume(format, header, data) => {
                let slices = (0..header.slices).map(|frame| (path.clone(), Some(frame))).collect();
                let acquisition = Acquisition::of_volume(format, &header);
                self.volumes.push(FoundScan { paths: BTreeSet::from([path.clone()]), slices, acquisition });
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                self.taken.extend(data.map(|data| below(folder, &data)));
            }
        }
        self.taken.insert(path);
    }

    /// The scans, without names.
    fn scans(&mut self) -> Result<Vec<FoundScan>> {
        let mut found = std::mem::take(&mut self.volumes);
        if self.dicom.is_empty() {
            return Ok(found);
        }
        let pseudonyms = Pseudonyms::open()?;
        for files in std::mem::take(&mut self.dicom).into_values() {
            let (series, rejected) = from_series::scans(files, |kind, value| match kind {
                "patient" if is_placeholder(value) => None,
                _ => Some(pseudonyms.of(kind, value)),
            });
            found.extend(series);
            self.rejected.extend(rejected);
        }
        Ok(found)
    }
}

/// Names the scans: that of the folder, where it holds nothing else; the file's, for one of several volumes; and
/// `<folder>/series-<number>` for one of several series.
fn named(
    found: Vec<FoundScan>,
    listing: &FolderListing,
    is_group: impl Fn(&str) -> bool,
) -> Vec<(Scan, Vec<ListedSlice>)> {
    let mut in_folder: BTreeMap<String, usize> = BTreeMap::new();
    let folders: Vec<String> = found.iter().map(|scan| common_folder(&scan.paths)).collect();
    folders.iter().for_each(|folder| *in_folder.entry(folder.clone()).or_default() += 1);
    let pictures: HashSet<&str> = listing
        .files
        .iter()
        .filter(|file| file.number.is_some())
        .map(|file| listing.scans[file.scan].folder.as_str())
        .collect();
    let all: BTreeSet<&str> = folders.iter().map(String::as_str).collect();
    let is_above = |folder: &str| {
        let below = format!("{folder}/");
        all.range(below.as_str()..).next().is_some_and(|first| first.starts_with(&below))
    };
    let mut order: Vec<(FoundScan, String)> = found.into_iter().zip(folders.iter().cloned()).collect();
    order.sort_by_cached_key(|(scan, _)| scan.paths.first().map(|path| (numeric_key(path), path.clone())));
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let taken: HashSet<&str> =
        listing.scans.iter().map(|scan| scan.folder.as_str()).chain(all.iter().copied()).collect();
    let mut name = |scan: &FoundScan, folder: String| {
        let alone = in_folder.get(&folder) == Some(&1) && !pictures.contains(folder.as_str());
        if alone && !folder.is_empty() && !is_group(&folder) && !is_above(&folder) {
            return folder;
        }
        match (scan.acquisition.format.is_volume(), scan.paths.first()) {
            (true, Some(path)) => path.clone(),
            _ => {
                let number = numbers.entry(folder.clone()).or_insert(0);
                loop {
                    *number += 1;
                    let name = below(&folder, &format!("series-{number}"));
                    if !taken.contains(name.as_str()) {
                        return name;
                    }
                }
            }
        }
    };
    let named = order.into_iter().map(|(scan, folder)| {
        let name = name(&scan, folder);
        placed(scan, name)
    });
    named.collect()
}

/// The deepest folder that holds all paths; empty for the root.
fn common_folder(paths: &BTreeSet<String>) -> String {
    let folder = |path: &String| path.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned());
    let (Some(first), Some(last)) = (paths.first().map(folder), paths.last().map(folder)) else { return String::new() };
    // Paths are sorted, so what first and last share all share.
    let shared = first.split('/').zip(last.split('/')).take_while(|(a, b)| a == b).map(|(part, _)| part);
    shared.collect::<Vec<_>>().join("/")
}

fn placed(found: FoundScan, folder: String) -> (Scan, Vec<ListedSlice>) {
    let (width, height) = found.acquisition.size;
    let header = Header { format: found.acquisition.format, width, height, colour: ColourMode::Grey };
    let common = common_folder(&found.paths);
    // Slices of one volume share the text.
    let mut last: Option<Arc<str>> = None;
    let mut shared = |path: String| match &last {
        Some(known) if **known == *path => Arc::clone(known),
        _ => Arc::clone(last.insert(path.into())),
    };
    let slice = |(number, (path, frame)): (u32, (String, Option<u32>))| {
        let inside = path.strip_prefix(&common).unwrap_or(&path).trim_start_matches('/');
        let file = match frame {
            Some(frame) if found.paths.len() == 1 => frame.to_string(),
            Some(frame) => format!("{}~{frame}", inside.replace('/', "~")),
            None => inside.replace('/', "~"),
        };
        let at = (format!("{folder}/{file}") != path).then(|| shared(path));
        ListedSlice { scan: 0, file, at, frame, number: Some(number), header: Some(header) }
    };
    let slices = (0..).zip(found.slices).map(slice).collect();
    (Scan { acquisition: Some(found.acquisition), ..Scan::new(folder) }, slices)
}
