//! Groups CT files into series: which slices make one volume, in what order, and what is wrong with it.
//!
//! Only headers are looked at. Each file passes through [`refuse`], which says why it is no axial CT slice; what is
//! left is grouped by Series Instance UID, parted by [`stack`] into stacks in which no two slices lie in one place, and
//! measured by [`series_geometry`]. Volumes that occur twice are found by [`repeated`].

mod close;
mod orient;
mod refuse;
mod repeated;
mod series_geometry;
mod sop_class;
mod stack;
#[cfg(test)]
mod vocabulary;

pub(crate) use repeated::Repeated;
pub(crate) use series_geometry::SeriesGeometry;

use crate::base::natural::numeric_key;
use crate::data::dicom::DicomHeader;
use crate::data::pixels::Turn;
use orient::SliceAxes;
use stack::{Refusals, Stack, StackSlice};
use std::collections::{HashMap, HashSet};

/// What the files of a data set are.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Built {
    /// In the order of each series' first file by name.
    pub(crate) series: Vec<Series>,
    /// Files that are no slice of any series, by name.
    pub(crate) rejected: Vec<RefusedFile>,
    /// Series that show the same volume.
    pub(crate) repeated: Vec<Repeated>,
}

/// A file that is no slice of a CT scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefusedFile {
    /// Under the data set's root.
    pub(crate) path: String,
    pub(crate) kind: Refusal,
    /// What was expected and found. Holds words that the DICOM standard lists, numbers and paths, never other text of
    /// the file.
    pub(crate) detail: String,
}

/// Why a file is no slice of a CT scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Refusal {
    /// A file without pixels: a report, a plan, a directory, or a slice that lost them.
    NoPixels,
    /// Pictures of another kind of machine, or computed objects such as segmentations.
    NotCt,
    /// Made by a CT scanner but no slice: localizer, secondary capture, dose page, colour picture.
    NotASlice,
    /// A coronal, sagittal or oblique reformat.
    NotAxial,
    /// No position, in a series whose other slices have one.
    NoPosition,
    /// In the same place as another slice of its stack.
    RepeatedSlice,
}

/// One volume.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    /// From feet to head.
    pub(crate) slices: Vec<SlicePosition>,
    pub(crate) geometry: SeriesGeometry,
    pub(crate) study: Option<String>,
    pub(crate) patient_id: Option<String>,
    /// What of its first file names the patient.
    pub(crate) identity: Option<&'static str>,
    /// Series Instance UID. Several series have the same one where it held several stacks.
    pub(crate) uid: Option<String>,
}

/// One slice of a volume.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SlicePosition {
    /// The file, under the data set's root.
    pub(crate) path: String,
    /// From 0; always 0 in an ordinary file.
    pub(crate) frame: u32,
    /// From stored rows and columns to the view of radiologists.
    pub(crate) turn: Turn,
    /// Distance from the patient's origin along the slice normal, mm: the patient's z where the stack is not tilted.
    pub(crate) z: Option<f64>,
}

/// Most frames of a file without frame positions. Here they are counted by the header's word alone, and a damaged one
/// must not be able to claim thousands of millions.
const MOST_FRAMES: u32 = 10_000;

/// Builds the series of a data set from its files: paths under its root with their headers, in any order.
///
/// - A file belongs to the series of its Series Instance UID wherever it lies; one without UID to that of its folder. Where
///   every file of a study in a folder, and four or more, has one of its own, they are one series.
///   Multi-frame files are series of their own. Files of two patients or studies are never joined.
/// - A series that holds several stacks is parted: by orientation, matrix, pixel spacing and kernel, and by acquisition
///   if slices lie in the same place otherwise.
/// - Slices are ordered by position alone. Where the whole series has none, by Instance Number, then by name, and
///   [`SeriesGeometry::doubtful_order`] says so. Where only some slices have none, those are rejected: nothing tells their
///   place among the others.
pub(crate) fn build_series(mut files: Vec<(String, DicomHeader)>) -> Built {
    files.sort_by_cached_key(|(path, _)| (numeric_key(path), path.clone()));
    let mut refusals = Refusals::new();
    let mut groups: Vec<Vec<StackSlice>> = Vec::new();
    let mut known: HashMap<Origin, usize> = HashMap::new();
    let scattered = scattered(&files);
    for (file, (path, header)) in files.iter().enumerate() {
        if let Some((kind, detail)) = refuse::refusal(header) {
            refusals.push((file, kind, detail));
            continue;
        }
        let group = *known.entry(Origin::of(file, path, header).joined(path, &scattered)).or_insert(groups.len());
        groups.resize_with(groups.len().max(group + 1), Vec::new);
        groups[group].extend(StackSlice::each(file, path, header));
    }
    groups.iter_mut().for_each(|group| stack::forget_zeros(group));
    let mut stacks: Vec<Stack> = groups.into_iter().flat_map(|group| stack::stacks(group, &mut refusals)).collect();
    stacks.sort_by_key(Stack::first_file);
    refusals.sort();
    let rejected =
        |(file, kind, detail): (usize, Refusal, String)| RefusedFile { path: files[file].0.clone(), kind, detail };
    Built {
        repeated: repeated::repeated(&stacks),
        series: stacks.iter().map(Series::of).collect(),
        rejected: refusals.into_iter().map(rejected).collect(),
    }
}

/// Files of one folder, study and patient from which on a series for each means that software has given each a number of its own.
const SCATTERED: usize = 4;

/// The folders in which every file of a study has a series of its own.
fn scattered(files: &[(String, DicomHeader)]) -> HashSet<Origin<'_>> {
    let mut series: HashMap<Origin, (usize, HashSet<&str>)> = HashMap::new();
    let slices =
        files.iter().enumerate().filter(|(_, (_, header))| header.frames <= 1 && refuse::refusal(header).is_none());
    for (file, (path, header)) in slices {
        // Without a study they may be of several patients.
        let (Some(uid), Some(_)) = (said(&header.series), said(&header.study)) else { continue };
        let (count, uids) = series.entry(Origin::of(file, path, header).of_folder(path)).or_default();
        *count += 1;
        uids.insert(uid);
    }
    let of_one_each = series.into_iter().filter(|(_, (count, uids))| *count >= SCATTERED && uids.len() == *count);
    of_one_each.map(|(origin, _)| origin).collect()
}

/// What the files of one series have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Origin<'a> {
    uid: Option<&'a str>,
    /// Where there is no UID.
    folder: Option<&'a str>,
    /// The file itself where it has several frames.
    file: Option<usize>,
    study: Option<&'a str>,
    patient_id: Option<&'a str>,
}

impl<'a> Origin<'a> {
    fn of(file: usize, path: &'a str, header: &'a DicomHeader) -> Self {
        let uid = said(&header.series);
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        Self {
            uid,
            folder: uid.is_none().then_some(folder),
            file: (header.frames > 1).then_some(file),
            study: said(&header.study),
            patient_id: said(&header.patient_id),
        }
    }

    /// Of all files of the study in this file's folder.
    fn of_folder(self, path: &'a str) -> Self {
        Self { uid: None, folder: Some(path.rsplit_once('/').map_or("", |(folder, _)| folder)), ..self }
    }

    /// The folder's, where its files have a series each.
    fn joined(self, path: &'a str, scattered: &HashSet<Self>) -> Self {
        let of_folder = self.of_folder(path);
        if self.uid.is_some() && self.file.is_none() && scattered.contains(&of_folder) { of_folder } else { self }
    }
}

impl Series {
    fn of(stack: &Stack) -> Self {
        let turn = stack.axes.as_ref().map(SliceAxes::turn).unwrap_or_default();
        let position = |slice: &StackSlice| SlicePosition {
            path: slice.path.to_owned(),
            frame: slice.frame,
            turn,
            z: stack.placed().then_some(slice.height),
        };
        let header = stack.header();
        let owned = |text| said(text).map(str::to_owned);
        Self {
            slices: stack.slices.iter().map(position).collect(),
            geometry: SeriesGeometry::of(stack),
            study: owned(&header.study),
            patient_id: owned(&header.patient_id),
            identity: header.identity,
            uid: owned(&header.series),
        }
    }
}

/// A text attribute without the padding around it; none where it is empty.
fn said(text: &Option<String>) -> Option<&str> {
    text.as_deref()
        .map(|text| text.trim_matches(|c: char| c.is_whitespace() || c == '\0'))
        .filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
