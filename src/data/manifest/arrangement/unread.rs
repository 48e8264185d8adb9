//! What of a data set's folders is not read, and what is read otherwise than a reader might think.

use super::{Arrangement, ROOT};
use crate::base::natural::numeric_key;
use crate::base::progress::counted;
use crate::data::manifest::label_table::LABELS;
use crate::data::manifest::layout::{MappedFolder, Unclear};
use crate::data::manifest::new_scans::is_picture;
use crate::data::manifest::patients::PATIENTS;
use crate::data::manifest::scanner_files::may_be_scanners;
use crate::data::manifest::{Rejected, Rejection, Set};
use std::collections::{BTreeSet, HashSet};

impl Arrangement<'_> {
    pub(super) fn report_loose(&mut self, path: &str, at: usize) {
        let pictures = self.folders[at].files.iter().map(|file| self.name(*file)).filter(|name| is_picture(name));
        let count = self.pictures_in(at);
        let Some(first) = pictures.min_by_key(|name| (numeric_key(name), *name)) else { return };
        let detail = format!(
            "{} in no scan's folder ({first} first), not read: put those of each scan into a folder of its own, or name them in \
             a labels.csv with the columns path, scan and label, a row for each picture",
            counted(count as u64, "picture")
        );
        self.reject(path.to_owned(), Rejection::LoosePictures, detail);
    }

    /// Forgets mapped folders without a scan of their own around others that are mapped: `covid` around `covid/train`.
    pub(super) fn forget_folders_around_others(&mut self) {
        let mapped: HashSet<&str> = self.layout.mapped.iter().map(|of| of.folder.as_str()).collect();
        // The nearest mapped folder above a path.
        let nearest = |path: &str| -> Option<&str> {
            let mut above = path;
            loop {
                above = &above[..above.rfind('/')?];
                if let Some(folder) = mapped.get(above) {
                    return Some(*folder);
                }
            }
        };
        // A folder with no more than others that are mapped is no scan of the class around them.
        let is_around = |scan: &str| {
            mapped.iter().any(|folder| folder.strip_prefix(scan).is_some_and(|rest| rest.starts_with('/')))
        };
        let may_be_slice = |file: &usize| is_picture(self.name(*file)) || may_be_scanners(self.name(*file));
        let scans =
            self.scans.iter().filter(|(scan, files)| files.iter().any(may_be_slice) || !is_around(&scan.folder));
        let used: HashSet<&str> = scans.filter_map(|(scan, _)| nearest(&scan.folder)).collect();
        let around: HashSet<&str> = mapped.iter().filter_map(|folder| nearest(folder)).collect();
        let loose: HashSet<&str> = self.rejected.iter().map(|of| of.path.as_str()).collect();
        let is_kept = |folder: &str| used.contains(folder) || loose.contains(folder) || !around.contains(folder);
        let kept: Vec<_> = self.layout.mapped.iter().filter(|of| is_kept(&of.folder)).cloned().collect();
        self.layout.mapped = kept;
    }

    /// Says of classes in no part that they are read as train, where others are in train or val: a part may be misspelt. Beside
    /// scans to predict there is nothing else that they could be.
    pub(super) fn report_without_part(&mut self) {
        let says_part = |of: &&MappedFolder| self.layout.says_part(&of.folder);
        let is_other = |of: &&MappedFolder| says_part(of) && of.set != Set::Prediction;
        let Some(other) = self.layout.mapped.iter().find(is_other).map(|of| of.folder.clone()) else { return };
        let without = self.layout.mapped.iter().filter(|of| !says_part(of));
        for folder in without.map(|of| of.folder.clone()).collect::<Vec<_>>() {
            let detail = format!(
                "its scans are read as train, from which the test set is drawn: no folder on the way is named as a part, as in \
                 {other}; expected train, val or test in a name"
            );
            self.reject(folder, Rejection::NoPart, detail);
        }
    }

    /// Says of archives and tables beside scans that they are not read; within a scan that is said of a slice's place.
    pub(super) fn report_files_beside_scans(&mut self) {
        let of_scans: HashSet<usize> = self.scans.iter().flat_map(|(_, files)| files.iter().copied()).collect();
        let scans: BTreeSet<&str> = self.scans.iter().map(|(scan, _)| scan.folder.as_str()).collect();
        let others = || (0..self.files.len()).filter(|file| !of_scans.contains(file)).map(|file| self.files[file]);
        // Whoever has written one of the tables that are read knows of them.
        let has_tables = [PATIENTS, LABELS].iter().any(|table| self.files.contains(table));
        let holds_scans = |path: &&str| {
            let folder = path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
            scans.is_empty() || scans.range(folder.as_str()..).next().is_some_and(|scan| scan.starts_with(&folder))
        };
        let tables = others().filter(|_| !has_tables).filter(holds_scans).filter_map(Rejected::table);
        let found: Vec<Rejected> = others().filter_map(|path| Rejected::archive(path, &scans)).chain(tables).collect();
        let paths: HashSet<&str> = found.iter().map(|of| of.path.as_str()).collect();
        self.strays.retain(|path| !paths.contains(path.as_str()));
        self.rejected.extend(found);
    }

    /// Says of each highest folder of which nothing was understood what lies in it.
    pub(super) fn report_unknown(&mut self, at: usize, way: &mut Vec<usize>) {
        let path = way.iter().map(|folder| self.folders[*folder].name).collect::<Vec<_>>().join("/");
        let is_whole = !way.is_empty() && self.folders[at].understood == 0;
        let (mut unclear, mut rest) = (Vec::new(), vec![at]);
        while let Some(folder) = rest.pop() {
            let of = &self.folders[folder];
            unclear.extend(of.unclear.map(|why| (folder, why)));
            rest.extend(of.folders.values().rev().filter(|_| is_whole));
        }
        // Beside scans masks are no surprise.
        let is_expected = |why: Unclear| matches!(why, Unclear::Masks | Unclear::LeftOut);
        if let Some(&(first, why)) = unclear.iter().find(|(_, why)| !is_expected(*why)).or(unclear.first()) {
            let slices: usize = unclear.iter().map(|(folder, _)| self.folders[*folder].own_slices).sum();
            let example = self.folders[first].files.iter().map(|file| self.files[*file]);
            let example = example.min_by_key(|path| (numeric_key(path), *path)).unwrap_or_default();
            let detail = format!(
                "{} in {} ({example} first), not read: {}",
                counted(slices as u64, "possible slice"),
                counted(unclear.len() as u64, "folder"),
                why.in_words()
            );
            let path = if path.is_empty() { ROOT.to_owned() } else { path };
            self.reject(path, Rejection::UnknownFolder, detail);
        }
        for folder in self.folders[at].folders.clone().into_values().filter(|_| !is_whole) {
            way.push(folder);
            self.report_unknown(folder, way);
            way.pop();
        }
    }
}
