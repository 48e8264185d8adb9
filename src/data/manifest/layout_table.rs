//! How the folders of a data set were read, as a table.

use super::download_parts::whole_download;
use super::label_table::ways_without_layout;
use super::new_scans::is_picture;
use super::slice_order::OrderedBy;
use super::{Manifest, MappedFolder, Scan};
use crate::base::progress::{counted, thousands};
use crate::base::table::Table;
use std::collections::{BTreeMap, BTreeSet};

/// Folders between a class and its scans that are named in the table.
const SHOWN: usize = 3;

impl Manifest {
    /// The folder that says a scan's set and label, and those between it and the scan; none of scanners' files, whose series are
    /// named by our own.
    pub(super) fn way_of<'a>(&'a self, scan: &'a Scan) -> Option<(&'a MappedFolder, Vec<&'a str>)> {
        let (of, between) = self.folders_above(scan)?;
        Some((of, if scan.acquisition.is_none() { between } else { Vec::new() }))
    }

    /// The same for all scans.
    pub(super) fn folders_above<'a>(&'a self, scan: &'a Scan) -> Option<(&'a MappedFolder, Vec<&'a str>)> {
        let below = |of: &MappedFolder| scan.folder.strip_prefix(&of.folder).and_then(|rest| rest.strip_prefix('/'));
        let of = self.layout.iter().filter(|of| below(of).is_some()).max_by_key(|of| of.folder.len())?;
        let mut between: Vec<&str> = below(of)?.split('/').collect();
        between.pop();
        Some((of, between))
    }

    /// For each scan the folder within which patients are told apart, and the folders between it and the scan.
    pub(super) fn ways_to_scans(&self) -> Vec<Option<(String, Vec<String>)>> {
        if self.tables.as_ref().is_some_and(|tables| tables.labels.is_some()) {
            return ways_without_layout(&self.scans);
        }
        let way = |scan| {
            let (of, between) = self.folders_above(scan)?;
            Some((whole_download(&of.folder), between.into_iter().map(str::to_owned).collect()))
        };
        self.scans.iter().map(way).collect()
    }

    /// Whether a folder above a scan, or the beginning of its name, is taken for its patient.
    pub(super) fn is_patient_by_folder(&self, scan: &Scan) -> bool {
        let begins = |whole: &str, of: &str| whole.strip_prefix(of).is_some_and(|rest| rest.starts_with('/'));
        let inside = |patient: &String| {
            // Of pictures of one folder that a table of labels takes apart.
            let is_above =
                scan.folder.rsplit_once('/').is_some_and(|(above, name)| above == patient && is_picture(name));
            let way = self.way_of(scan).map(|(of, _)| &of.folder);
            // With a table of labels no folder says them.
            let is_own = || patient.contains('/') && scan.folder.starts_with(patient) || begins(&scan.folder, patient);
            is_above
                || way.map_or_else(
                    || self.layout.is_empty() && is_own(),
                    |folder| begins(patient, folder) || begins(patient, &whole_download(folder)),
                )
        };
        scan.patient.as_ref().is_some_and(inside)
    }

    /// Whether any is.
    pub(super) fn has_patients_by_folder(&self) -> bool {
        self.scans.iter().any(|scan| self.is_patient_by_folder(scan))
    }

    /// Whether the folders are those of the slides, no more and no less.
    pub fn has_usual_layout(&self) -> bool {
        let is_between = |scan| self.way_of(scan).is_some_and(|(_, between)| !between.is_empty());
        self.layout.iter().all(MappedFolder::is_as_delivered)
            && !self.scans.iter().any(is_between)
            && !self.has_patients_by_folder()
    }

    /// The folders whose names say set and label: which, why, with how many scans and slices, and by what slices are ordered.
    pub fn layout_table(&self) -> Table {
        let columns = ["Folder", "Set", "Label", "Scans", "Slices", "Why"];
        let mut table = Table::new(format!("How the folders of {} are read", self.name), &columns);
        let slices = self.slices_by_scan();
        let mut rows: BTreeMap<&str, (u64, u64, BTreeSet<&str>, bool)> = BTreeMap::new();
        for (scan, slices) in self.scans.iter().zip(&slices) {
            let Some((of, between)) = self.way_of(scan) else { continue };
            let (scans, all, through, by_patient) = rows.entry(&of.folder).or_default();
            *scans += 1;
            *all += slices.iter().filter(|slice| self.slices[**slice].number.is_some()).count() as u64;
            *by_patient |= self.is_patient_by_folder(scan);
            through.extend(between);
        }
        for of in &self.layout {
            let (scans, slices, through, by_patient) = rows.remove(of.folder.as_str()).unwrap_or_default();
            let mut why = of.why.clone();
            if !through.is_empty() {
                let shown: Vec<&str> = through.iter().take(SHOWN).copied().collect();
                let more = if through.len() > SHOWN { ", …" } else { "" };
                let count = counted(through.len() as u64, "folder");
                why.push_str(&format!("; {count} above scans looked through ({}{more})", shown.join(", ")));
            }
            if by_patient {
                why.push_str(if through.is_empty() { "; names of scans say the patient" } else { ", each a patient" });
            }
            let label = of.label.map_or("–".to_owned(), |label| label.to_string());
            table.row([of.folder.clone(), of.set.to_string(), label, thousands(scans), thousands(slices), why]);
        }
        if self.layout.is_empty() {
            table = table
                .note("A table, or nobody, says sets and labels; folders say only val, where the table says no set.");
        }
        table.note(self.order_in_words())
    }

    /// By what the slices of scans are ordered.
    fn order_in_words(&self) -> String {
        let orders = self.orders();
        let by_name = orders.iter().filter(|of| of.by != OrderedBy::Number).count();
        let volumes = |scan: &&Scan| scan.acquisition.as_ref().is_some_and(|of| of.format.is_volume());
        let volumes = self.scans.iter().filter(volumes).count();
        let series = self.scans.iter().filter(|scan| scan.acquisition.is_some()).count() - volumes;
        let parts = [
            (orders.len() - by_name, "by the number in their names"),
            (by_name, "by the natural order of their names (doubtful-order)"),
            (series, "by their positions"),
            (volumes, "as they lie in their volume"),
        ];
        let said = parts.iter().filter(|(count, _)| *count > 0);
        let said: Vec<String> =
            said.map(|(count, how)| format!("{how} in {}", counted(*count as u64, "scan"))).collect();
        format!("Slices are ordered {}.", if said.is_empty() { "in no scan".to_owned() } else { said.join(", ") })
    }
}
