//! The contents of a data set: scans, slices, labels, file sizes and hashes.

use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::files::Digest;
use crate::base::progress::Progress;
use crate::data::decode::Header;
use crate::data::opened::Contents;
use crate::data::pixels::{SixteenBit, accepts_no_end_marker};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod acquisition;
mod archive_listing;
mod arrangement;
mod counts_table;
mod degree_folders;
mod download_parts;
mod file_beginning;
mod folder_tree;
mod folder_word;
mod from_series;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzed_names;
mod label;
mod label_in_name;
mod label_table;
mod labelled_scans;
mod layout;
mod layout_table;
mod listing;
mod manifest_file;
mod new_scans;
pub(crate) mod parquet;
mod patient_folders;
mod patient_in_name;
mod patients;
mod pseudonym;
mod reading;
mod root_tables;
mod scanner_files;
mod selected;
mod slice_order;
mod walk;
mod zip_end;
mod zipped;

pub use acquisition::{Acquisition, Irregular, IrregularKind, Rejected, Rejection};
pub(crate) use archive_listing::listing_of;
pub(crate) use folder_word::{part_said, says_class, says_other_part};
pub use label::{Label, Set};
pub(crate) use label_table::LABELS;
pub use layout::MappedFolder;
use listing::FolderListing;
pub(crate) use listing::ListedSlice;
pub(crate) use patients::PATIENTS;
pub use root_tables::RootTables;
pub(crate) use slice_order::{NamedOrder, OrderedBy, stem};
pub(crate) use walk::missing_numbers;
use walk::walk;
pub(crate) use zipped::unzipped;

/// One CT series: a folder `ct_scan_N`, a DICOM series or a volume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scan {
    /// Its path under the root, for example `train/covid/ct_scan_3`; unique. A volume among others has its file's path, a
    /// DICOM series among others `<folder>/series-<number>`.
    pub folder: String,
    /// The part of the data base.
    pub set: Set,
    /// `None` in the prediction set.
    pub label: Option<Label>,
    /// The patient, if `patients.csv` names one, or else a keyed hash of DICOM's PatientID.
    pub patient: Option<String>,
    /// Hospital, scanner or collection, where `patients.csv` has a column `source` or `scanner`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What the scanner's files say of it; `None` for pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acquisition: Option<Acquisition>,
}

impl Scan {
    /// The last part of the folder: `ct_scan_3`.
    pub fn id(&self) -> &str {
        self.folder.rsplit('/').next().unwrap_or(&self.folder)
    }

    /// Whether set and label are those that the folder's name says.
    fn is_as_delivered(&self) -> bool {
        let delivered = Self::new(self.folder.clone());
        (self.set, self.label) == (delivered.set, delivered.label)
    }

    fn new(folder: String) -> Self {
        let set = Set::ALL.into_iter().find(|set| folder.starts_with(&format!("{}/", set.folder())));
        let label = Label::ALL.into_iter().find(|label| folder.split('/').nth(1) == Some(Label::NAMES[label.index()]));
        let set = set.unwrap_or(Set::Prediction);
        Self {
            folder,
            set,
            label: label.filter(|_| set != Set::Prediction),
            patient: None,
            source: None,
            acquisition: None,
        }
    }
}

/// One slice of a scan: a picture, a DICOM file, or a frame of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Index of its scan in [`Manifest::scans`].
    pub scan: usize,
    /// File name, for example `42.jpg`; the number of the frame in a file of many slices.
    pub file: String,
    /// The file's path under the root, where it is not the scan's folder and the file name.
    pub at: Option<Arc<str>>,
    /// Which slice of a file that holds many.
    pub frame: Option<u32>,
    /// Of the pictures of a scan the number in their names that changes, or else the place in natural order; in a series or
    /// volume the place from the feet up; `None` for a file that is not named as a picture.
    pub number: Option<u32>,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// The header in the file's first bytes; `None` when they are not those of an image.
    pub header: Option<Header>,
    /// Hash of the whole file.
    pub sha256: Digest,
}

impl Slice {
    /// The record of a listed slice, whose file has this content.
    pub(crate) fn of(listed: ListedSlice, contents: &Contents<'_>) -> Self {
        let ListedSlice { scan, file, at, frame, number, header } = listed;
        let header = header.or_else(|| contents.picture_header());
        Self { scan, file, at, frame, number, bytes: contents.len(), header, sha256: contents.sha256() }
    }

    #[cfg(test)]
    /// The record of a picture's file.
    pub(crate) fn of_bytes(scan: usize, file: String, bytes: &[u8]) -> Self {
        Self::of(ListedSlice::picture(scan, file), &Contents::Bytes(bytes.into()))
    }

    /// # Errors
    /// The file has changed since it was listed.
    pub(crate) fn must_be(&self, contents: &Contents<'_>) -> Result<()> {
        let found = contents.sha256();
        ensure!(
            found == self.sha256,
            "it has changed since it was audited (SHA-256 {} then, {} now): run `covid-ct audit` again",
            self.sha256.short(),
            found.short()
        );
        Ok(())
    }
}

/// Every scan and slice under a root folder, in a fixed order: set, label, scan number, slice number.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Manifest {
    /// The root's folder name, also used for folders under `data_manifest/` and `runs/`.
    pub name: String,
    /// The folder of the files.
    pub root: PathBuf,
    /// Scans; empty folders too.
    pub scans: Vec<Scan>,
    /// Files of all scans.
    pub slices: Vec<Slice>,
    /// Pairs of scans (folders) that an audit found to look like one patient or to share a picture; a split keeps them
    /// together.
    pub same_patient: Vec<(String, String)>,
    /// Files that lie in no scan folder.
    pub strays: Vec<String>,
    /// The folders whose names say set and label; empty with a `labels.csv`, and for scans outside of a data set.
    pub layout: Vec<MappedFolder>,
    /// Scanners' files that are no slices of a CT scan, folders that are not understood and others, with the reason.
    pub rejected: Vec<Rejected>,
    /// What the values of 16-bit pictures mean, if that was said.
    pub sixteen_bit: Option<SixteenBit>,
    /// Whether JPEGs are used that are whole but for the marker of their end (`COVID_CT_NO_END_MARKER=accept`).
    pub accepts_no_end: bool,
    /// The tables in the root as they were read; `None` for scans outside of a data set.
    pub tables: Option<RootTables>,
    /// Of [`Audit::accepted`](crate::Audit::accepted) the slices that it is without: their number by scan folder and check. Not
    /// part of the hash, nor of the files.
    pub left_out: BTreeMap<String, BTreeMap<String, usize>>,
}

impl Manifest {
    /// Reads every file under `root` once: sizes, headers and SHA-256, in parallel, in the COV19-CT-DB layout
    /// `train/{covid,non-covid}/ct_scan_N/M.jpg`, `val/…`, `prediction/ct_scan_N/M.jpg`, or one whose folders say the same
    /// in other words ([`layout_table`](Self::layout_table)). In the place of `ct_scan_N` there
    /// may be DICOM files and volumes (NIfTI, NRRD, MetaImage), in folders or not: a series is a scan wherever its files
    /// lie, its slices in order from the feet up.
    ///
    /// # Errors
    /// No such folder, no slice in it, an unreadable file, or a `patients.csv` that is not
    /// `path,patient,…` or gives one scan two patients. Broken images are no errors: the audit lists them.
    pub fn scan(root: impl AsRef<Path>, progress: impl Fn(&Progress) + Sync) -> Result<Self> {
        Self::scan_in(root.as_ref(), &progress)
    }

    fn scan_in(root: &Path, progress: &(dyn Fn(&Progress) + Sync)) -> Result<Self> {
        Ok(Self::scan_with(root, "manifest", progress, |_, _, _, _| Ok(()))?.0)
    }

    /// Also calls `look` for every slice with its number, its path under the root, its record and its contents.
    pub(crate) fn scan_with<T: Send>(
        root: impl AsRef<Path>,
        stage: &str,
        progress: &(dyn Fn(&Progress) + Sync),
        look: impl Fn(usize, &Self, &Slice, Contents<'_>) -> Result<T> + Sync + Send,
    ) -> Result<(Self, Vec<T>)> {
        let (mut manifest, files) = Self::before_reading(root.as_ref(), progress)?;
        let seen = manifest.read_slices(files, stage, progress, look)?;
        Ok((manifest, seen))
    }

    /// All of it but its slices, and where these lie.
    pub(crate) fn before_reading(
        root: &Path,
        progress: &(dyn Fn(&Progress) + Sync),
    ) -> Result<(Self, Vec<ListedSlice>)> {
        let mut listing = walk(root, progress)?;
        let without_slices = listing.must_hold_slices(&root.display());
        let files = std::mem::take(&mut listing.files);
        let mut tables = RootTables { labels: listing.labels.take(), ..RootTables::default() };
        let mut manifest = Self::listed(root, listing)?;
        // Checked before hours of reading: a table of patients that does not fit is an error.
        if let Some((from, bytes)) = Self::patients_in(root)? {
            manifest.read_patients(&from, &bytes)?;
            tables.patients.push(Digest::of(&bytes));
        }
        without_slices?;
        manifest.tables = Some(tables);
        manifest.name_patients_by_folder();
        Ok((manifest, files))
    }

    /// A manifest of the listed scans under `root`, before any slice is read.
    pub(crate) fn listed(root: &Path, listing: FolderListing) -> Result<Self> {
        let FolderListing { mut scans, strays, rejected, mapped: layout, .. } = listing;
        let mut folders = BTreeSet::new();
        if let Some(twice) = scans.iter().find(|scan| !folders.insert(scan.folder.as_str())) {
            bail!("listing {}: two scans would be named {}; rename one of their folders", root.display(), twice.folder);
        }
        for scan in &mut scans {
            scan.patient = scan.patient.take().or_else(|| scan.acquisition.as_ref()?.patient.clone());
        }
        let place = root.canonicalize().with_context(|| format!("finding the folder {}", root.display()))?;
        let name = place.file_name().map_or("dataset".into(), |n| n.to_string_lossy().into_owned());
        let (sixteen_bit, accepts_no_end) = (SixteenBit::from_environment()?, accepts_no_end_marker()?);
        let root = root.to_owned();
        Ok(Self { name, root, scans, strays, layout, rejected, sixteen_bit, accepts_no_end, ..Self::default() })
    }

    /// A manifest of folders and files that need not exist.
    pub(crate) fn of_folders(name: &str, folders: Vec<String>, slices: Vec<Slice>) -> Self {
        let scans = folders.into_iter().map(Scan::new).collect();
        Self { name: name.to_owned(), root: PathBuf::from(name), scans, slices, ..Self::default() }
    }

    /// The path of a slice under the root, with `/`.
    pub fn path(&self, slice: &Slice) -> String {
        format!("{}/{}", self.scans[slice.scan].folder, slice.file)
    }

    /// The slice with this path under the root.
    pub(crate) fn slice_at(&self, path: &str) -> Result<&Slice> {
        let is_it = |slice: &&Slice| {
            let file = path.strip_prefix(&self.scan_of(slice).folder).and_then(|file| file.strip_prefix('/'));
            file == Some(&slice.file)
        };
        self.slices.iter().find(is_it).with_context(|| format!("the manifest {} has no slice {path}", self.name))
    }

    /// The scan a slice belongs to.
    pub fn scan_of(&self, slice: &Slice) -> &Scan {
        &self.scans[slice.scan]
    }

    /// Slice indices of each scan, in order; empty for an empty folder.
    pub fn slices_by_scan(&self) -> Vec<Vec<usize>> {
        let mut by_scan = vec![Vec::new(); self.scans.len()];
        for (index, slice) in self.slices.iter().enumerate() {
            by_scan[slice.scan].push(index);
        }
        by_scan
    }

    /// Every slice as a polars frame: path, set, label, scan, patient, slice, bytes, width, height, format, colour, at
    /// and frame (where the slice is not the file `path`), sha256.
    pub fn to_frame(&self) -> Result<polars::prelude::DataFrame> {
        parquet::to_frame(self)
    }
}

crate::base::table::shown_as_table!(Manifest);
