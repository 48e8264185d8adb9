//! What a data set's folder holds: scans and the places of their slices, before any slice is read.

use super::folder_tree::is_hidden;
use super::layout::MappedFolder;
use super::slice_order::{SliceOrder, number_alone};
use super::{Rejected, Rejection, Scan, Set};
use crate::base::file_kind::FileKind;
use crate::base::files::Digest;
use crate::base::natural::{NumericKey, numeric_key};
use crate::base::progress::human_bytes;
use crate::data::decode::Header;
use crate::data::opened::SLICE_AT_MOST;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The scans and slices of a data set, in their final order.
#[derive(Default)]
pub(crate) struct FolderListing {
    pub(crate) scans: Vec<Scan>,
    pub(crate) files: Vec<ListedSlice>,
    /// Files and folders (ending in /) outside the layout.
    pub(crate) strays: Vec<String>,
    /// Files below stray folders.
    pub(super) inside: BTreeMap<String, Vec<String>>,
    /// Scanners' files that are no slices, and what is no file.
    pub(crate) rejected: Vec<Rejected>,
    /// Paths and lengths of files that are too long for a picture.
    pub(crate) large: BTreeMap<String, u64>,
    /// Of the table of labels.
    pub(crate) labels: Option<Digest>,
    /// The folders of one set and label.
    pub(super) mapped: Vec<MappedFolder>,
}

impl Rejected {
    /// What is no file.
    pub(super) fn no_file(path: String, what: &str) -> Self {
        Self { path, reason: Rejection::NotAFile, detail: what.to_owned() }
    }

    /// An archive by its name; `None` for other files, and for one beside the folder of its name that holds one of these scans: it
    /// was unpacked.
    pub(crate) fn archive(path: &str, scans: &BTreeSet<&str>) -> Option<Self> {
        if path.split('/').any(is_hidden) {
            return None;
        }
        let name = path.rsplit('/').next().unwrap_or(path);
        let kind = FileKind::packed_named(name)?;
        if FileKind::is_unfinished(name) {
            return Some(Self { path: path.to_owned(), reason: Rejection::Archive, detail: kind.told(name) });
        }
        let folder = &path[..path.len() - name.len() + name.find('.')?];
        let is_below = |scan: &&str| scan[folder.len()..].is_empty() || scan[folder.len()..].starts_with('/');
        if scans.range(folder..).take_while(|scan| scan.starts_with(folder)).any(is_below) {
            return None;
        }
        let told = kind.told(name);
        let detail = format!("{told}, or read zip archives in place by `covid-ct audit --archives FOLDER`");
        Some(Self { path: path.to_owned(), reason: Rejection::Archive, detail })
    }

    /// A file of more bytes than are read.
    pub(super) fn too_large(path: String, length: u64, at_most: u64) -> Self {
        let detail = format!("{}, at most {} are read", human_bytes(length), human_bytes(at_most));
        Self { path, reason: Rejection::TooLarge, detail }
    }
}

/// Where a slice lies.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ListedSlice {
    /// Index of its scan.
    pub(crate) scan: usize,
    /// The slice's name in its scan, without `/`.
    pub(crate) file: String,
    /// The file's path under the root, where it is not the scan's folder and `file`.
    pub(crate) at: Option<Arc<str>>,
    /// Which slice of a file that holds many.
    pub(crate) frame: Option<u32>,
    pub(crate) number: Option<u32>,
    /// Of a scanner's file; that of a picture is read with it.
    pub(crate) header: Option<Header>,
}

impl ListedSlice {
    /// A file in a scan's folder.
    pub(crate) fn picture(scan: usize, file: String) -> Self {
        Self { scan, number: number_alone(&file), file, at: None, frame: None, header: None }
    }

    /// Numbers the pictures of one scan, which are in natural order.
    pub(super) fn number(files: &mut [Self]) {
        let pictures: Vec<&str> =
            files.iter().filter(|file| file.number.is_some()).map(|file| file.file.as_str()).collect();
        let numbers = SliceOrder::of(&pictures).numbers;
        for (file, number) in files.iter_mut().filter(|file| file.number.is_some()).zip(numbers) {
            file.number = Some(number);
        }
    }
}

/// Set, label, and path of a scan: sorts as folders are listed.
pub(super) fn scan_key(scan: &Scan) -> (Set, Option<usize>, Vec<NumericKey>, String) {
    let parts = scan.folder.split('/').map(numeric_key).collect();
    (scan.set, scan.label.map(|label| label.index()), parts, scan.folder.clone())
}

impl FolderListing {
    /// The path of a slice's file under the root.
    pub(super) fn path(&self, file: &ListedSlice) -> String {
        match &file.at {
            Some(at) => at.to_string(),
            None => format!("{}/{}", self.scans[file.scan].folder, file.file),
        }
    }

    /// Takes out the files that are too long for one slice.
    pub(super) fn without_large(mut self) -> Self {
        let (files, large): (Vec<_>, Vec<_>) = std::mem::take(&mut self.files)
            .into_iter()
            .partition(|file| file.frame.is_some() || !self.large.contains_key(&self.path(file)));
        self.files = files;
        for path in large.iter().map(|file| self.path(file)).collect::<Vec<_>>() {
            let length = self.large.get(&path).copied().unwrap_or_default();
            self.rejected.push(Rejected::too_large(path, length, SLICE_AT_MOST));
        }
        self.rejected.sort_by(|a, b| a.path.cmp(&b.path));
        self
    }

    /// Takes out the files and folders that `goes` names by their path under the root, adds scans with their slices, and
    /// puts all in order. A scan whose files all went is dropped.
    pub(super) fn rearranged(self, goes: impl Fn(&str) -> bool, added: Vec<(Scan, Vec<ListedSlice>)>) -> Self {
        let mut slices: Vec<(Vec<ListedSlice>, bool)> = self.scans.iter().map(|_| (Vec::new(), false)).collect();
        let went: Vec<bool> = self.files.iter().map(|file| goes(&self.path(file))).collect();
        for (file, went) in self.files.into_iter().zip(went) {
            let of_scan = &mut slices[file.scan];
            match went {
                true => of_scan.1 = true,
                false => of_scan.0.push(file),
            }
        }
        let mut strays: Vec<String> = self.strays.into_iter().filter(|path| !goes(path)).collect();
        let named: BTreeSet<String> = added.iter().map(|(scan, _)| scan.folder.clone()).collect();
        let holds = |folder: &str| {
            let below = format!("{folder}/");
            named.range(below.clone()..).next().is_some_and(|first| first.starts_with(&below))
        };
        let mut all = added;
        for (scan, (files, went)) in self.scans.into_iter().zip(slices) {
            let has_pictures = files.iter().any(|file| file.number.is_some());
            let is_above = !files.is_empty() && holds(&scan.folder);
            if named.contains(&scan.folder) || (!has_pictures && (went || is_above)) {
                // What lies beside a series is no slice of it.
                strays.extend(files.into_iter().map(|file| format!("{}/{}", scan.folder, file.file)));
            } else if !files.is_empty() || !holds(&scan.folder) {
                // A folder from which nothing was taken is a scan, though it be empty; one of folders of scans is none.
                all.push((scan, files));
            }
        }
        all.sort_by_cached_key(|(scan, _)| scan_key(scan));
        strays.sort();
        let Self { rejected, large, labels, mapped, inside, .. } = self;
        let mut listing = Self { rejected, large, labels, mapped, inside, strays, ..Self::default() };
        for (index, (scan, files)) in all.into_iter().enumerate() {
            listing.scans.push(scan);
            listing.files.extend(files.into_iter().map(|file| ListedSlice { scan: index, ..file }));
        }
        listing
    }
}
