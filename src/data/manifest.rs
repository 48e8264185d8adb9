//! The contents of a data set: scans, slices, labels, file sizes and hashes.

use crate::base::files::Digest;
use crate::base::parallel::in_parallel;
use crate::base::progress::{Meter, Progress, human_bytes, thousands};
use crate::base::table::Table;
use crate::data::decode::Header;
use anyhow::{Context, Result, ensure};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

mod archive_listing;
mod label;
mod manifest_file;
mod new_scans;
pub(crate) mod parquet;
mod patients;
mod walk;

pub(crate) use archive_listing::listing_of;
pub use label::{Label, Set};
pub(crate) use patients::PATIENTS;
pub(crate) use walk::missing_numbers;
pub(crate) use walk::read_file;
use walk::{FolderListing, slice_number, walk};

/// One CT series: a folder `ct_scan_N`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scan {
    /// Its path under the root, for example `train/covid/ct_scan_3`; unique.
    pub folder: String,
    /// The part of the data base.
    pub set: Set,
    /// `None` in the prediction set.
    pub label: Option<Label>,
    /// The patient, if `patients.csv` names one.
    pub patient: Option<String>,
    /// Hospital, scanner or collection, where `patients.csv` has a column `source` or `scanner`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl Scan {
    /// The last part of the folder: `ct_scan_3`.
    pub fn id(&self) -> &str {
        self.folder.rsplit('/').next().unwrap_or(&self.folder)
    }

    fn new(folder: String) -> Self {
        let set = Set::ALL.into_iter().find(|set| folder.starts_with(&format!("{}/", set.folder())));
        let label = Label::ALL.into_iter().find(|label| folder.split('/').nth(1) == Some(Label::NAMES[label.index()]));
        let set = set.unwrap_or(Set::Prediction);
        Self { folder, set, label: label.filter(|_| set != Set::Prediction), patient: None, source: None }
    }
}

/// One file of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Index of its scan in [`Manifest::scans`].
    pub scan: usize,
    /// File name, for example `42.jpg`.
    pub file: String,
    /// 42 for `42.jpg`; `None` when the name is not a slice number with an image's ending.
    pub number: Option<u32>,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// The header in the file's first bytes; `None` when they are not those of an image.
    pub header: Option<Header>,
    /// Hash of the whole file.
    pub sha256: Digest,
}

impl Slice {
    /// The record of a file with this content.
    pub(crate) fn of_bytes(scan: usize, file: String, bytes: &[u8]) -> Self {
        let (header, sha256) = (Header::parse(bytes), Digest::of(bytes));
        Self { scan, number: slice_number(&file), file, bytes: bytes.len() as u64, header, sha256 }
    }

    /// # Errors
    /// The file has changed since it was listed.
    pub(crate) fn must_be(&self, bytes: &[u8]) -> Result<()> {
        let found = Digest::of(bytes);
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
#[derive(Debug, Clone, PartialEq)]
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
}

impl Manifest {
    /// Reads every file under `root` once: sizes, headers and SHA-256, in parallel, in the COV19-CT-DB layout
    /// `train/{covid,non-covid}/ct_scan_N/M.jpg`, `val/…`, `prediction/ct_scan_N/M.jpg`.
    ///
    /// # Errors
    /// No such folder, none of the three parts in it, an unreadable file, or a `patients.csv` that is not
    /// `path,patient,…` or gives one scan two patients. Broken images are no errors: the audit lists them.
    pub fn scan(root: impl AsRef<Path>, progress: impl Fn(&Progress) + Sync) -> Result<Self> {
        Self::scan_in(root.as_ref(), &progress)
    }

    fn scan_in(root: &Path, progress: &(dyn Fn(&Progress) + Sync)) -> Result<Self> {
        Ok(Self::scan_with(root, "manifest", progress, |_, _, _, _| Ok(()))?.0)
    }

    /// Also calls `look` for every file with its number, its path under the root, its record and its bytes.
    pub(crate) fn scan_with<T: Send>(
        root: impl AsRef<Path>,
        stage: &str,
        progress: &(dyn Fn(&Progress) + Sync),
        look: impl Fn(usize, String, &Slice, &[u8]) -> Result<T> + Sync,
    ) -> Result<(Self, Vec<T>)> {
        let root = root.as_ref();
        let FolderListing { scans, files, strays } = walk(root)?;
        let mut manifest = Self::listed(root, scans, strays)?;
        // Checked before hours of reading: a table of patients that does not fit is an error.
        if let Some((from, bytes)) = Self::patients_in(root)? {
            manifest.read_patients(&from, &bytes)?;
        }
        let scans = &manifest.scans;
        let meter = Meter::new(stage, "files", files.len(), 0, progress);
        let (slices, seen) = in_parallel(files.into_par_iter().enumerate(), |(index, (scan, file))| {
            let under_root = format!("{}/{file}", scans[scan].folder);
            let path = root.join(&under_root);
            let doing = || format!("reading slice {}", path.display());
            let bytes = read_file(&path).with_context(doing)?;
            let slice = Slice::of_bytes(scan, file, &bytes);
            let seen = look(index, under_root, &slice, &bytes).with_context(doing)?;
            meter.add(1);
            Ok((slice, seen))
        })?;
        meter.finish();
        manifest.slices = slices;
        Ok((manifest, seen))
    }

    /// A manifest of the listed scans under `root`, before any slice is read.
    pub(crate) fn listed(root: &Path, scans: Vec<Scan>, strays: Vec<String>) -> Result<Self> {
        let place = root.canonicalize().with_context(|| format!("finding the folder {}", root.display()))?;
        let name = place.file_name().map_or("dataset".into(), |n| n.to_string_lossy().into_owned());
        Ok(Self { name, root: root.to_owned(), scans, slices: Vec::new(), same_patient: Vec::new(), strays })
    }

    /// A manifest of folders and files that need not exist.
    pub(crate) fn of_folders(name: &str, folders: Vec<String>, slices: Vec<Slice>) -> Self {
        let scans = folders.into_iter().map(Scan::new).collect();
        let (root, same_patient, strays) = (PathBuf::from(name), Vec::new(), Vec::new());
        Self { name: name.to_owned(), root, scans, slices, same_patient, strays }
    }

    /// The path of a slice under the root, with `/`.
    pub fn path(&self, slice: &Slice) -> String {
        format!("{}/{}", self.scans[slice.scan].folder, slice.file)
    }

    /// The bytes of a slice's file.
    ///
    /// # Errors
    /// It cannot be read, or has changed since it was listed.
    pub(crate) fn bytes_of(&self, slice: &Slice) -> Result<Vec<u8>> {
        let path = self.root.join(self.path(slice));
        let doing = || format!("reading slice {}", path.display());
        let bytes = fs::read(&path).with_context(doing)?;
        slice.must_be(&bytes).with_context(doing)?;
        Ok(bytes)
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

    /// SHA-256 over every path, label, patient and file hash, and over the pairs found to be one patient: split, cache,
    /// checkpoint and predictions refer to it. It does not depend on the path of the root.
    pub fn hash(&self) -> Digest {
        let mut hash = Sha256::new();
        for slice in &self.slices {
            let scan = self.scan_of(slice);
            let patient = scan.patient.as_deref().unwrap_or("");
            hash.update(format!("{}/{}\t{patient}\t{}\n", scan.folder, slice.file, slice.sha256));
        }
        for (a, b) in &self.same_patient {
            hash.update(format!("{a}\t{b}\n"));
        }
        Digest(hash.finalize().into())
    }

    /// Slice indices of each scan, in order; empty for an empty folder.
    pub fn slices_by_scan(&self) -> Vec<Vec<usize>> {
        let mut by_scan = vec![Vec::new(); self.scans.len()];
        for (index, slice) in self.slices.iter().enumerate() {
            by_scan[slice.scan].push(index);
        }
        by_scan
    }

    /// Counts for one row of the slides' table: scans that hold a numbered slice, and numbered slices.
    pub fn counts(&self, set: Set, label: Option<Label>) -> (usize, usize) {
        let mut slices = vec![0_usize; self.scans.len()];
        for slice in self.slices.iter().filter(|s| s.number.is_some()) {
            slices[slice.scan] += 1;
        }
        let chosen = || self.scans.iter().zip(&slices).filter(|(s, n)| (s.set, s.label) == (set, label) && **n > 0);
        (chosen().count(), chosen().map(|(_, n)| n).sum())
    }

    /// The slides' table: Set, Class, Number of Patients, Number of slices, Average number of slices.
    pub fn table(&self) -> Table {
        let mut table = Table::new(
            format!("The analysis of the dataset: {}", self.name),
            &["Set", "Class", "Number of Patients", "Number of slices", "Average number of slices"],
        );
        let labelled = [Set::Train, Set::Val].into_iter().flat_map(|set| Label::ALL.map(|label| (set, Some(label))));
        for (set, label) in labelled.chain([(Set::Prediction, None)]) {
            let (scans, slices) = self.counts(set, label);
            if scans > 0 {
                let average = format!("{:.0}", slices as f64 / scans as f64);
                let label = label.map_or("–".to_owned(), |l| l.to_string());
                table.row([set.to_string(), label, thousands(scans as u64), thousands(slices as u64), average]);
            }
        }
        let bytes: u64 = self.slices.iter().map(|s| s.bytes).sum();
        table.note(format!(
            "{} files, {}. {} Manifest {}.",
            thousands(self.slices.len() as u64),
            human_bytes(bytes),
            self.who_is_a_patient(),
            self.hash().short()
        ))
    }

    /// The note on what the table counts as a patient.
    fn who_is_a_patient(&self) -> String {
        let patients: BTreeSet<&String> = self.scans.iter().filter_map(|s| s.patient.as_ref()).collect();
        if patients.is_empty() {
            return "Each scan counts as one patient: there is no patients.csv.".to_owned();
        }
        let unnamed = self.scans.iter().filter(|s| s.label.is_some() && s.patient.is_none()).count() as u64;
        let rest = match unnamed {
            0 => String::new(),
            _ => format!(" {} labelled scans are not in it; each counts as a separate patient.", thousands(unnamed)),
        };
        let named = thousands(patients.len() as u64);
        format!("patients.csv names {named} patients; “Number of Patients” counts scans.{rest}")
    }

    /// Every slice as a polars frame: path, set, label, scan, patient, slice, bytes, width, height, format, colour,
    /// sha256.
    pub fn to_frame(&self) -> Result<polars::prelude::DataFrame> {
        parquet::to_frame(self)
    }

    /// The same manifest with only the slices for which `keep` is true.
    pub(crate) fn filtered(&self, keep: &[bool]) -> Self {
        let slices = self.slices.iter().zip(keep).filter(|(_, keep)| **keep).map(|(slice, _)| slice.clone()).collect();
        // Not `..self.clone()`, which would copy all slices to drop them.
        Self {
            name: self.name.clone(),
            root: self.root.clone(),
            scans: self.scans.clone(),
            slices,
            same_patient: self.same_patient.clone(),
            strays: self.strays.clone(),
        }
    }
}

crate::base::table::shown_as_table!(Manifest);
