//! Which scans belong to one patient.

use super::label_table::{as_written, columns_shown, normalised};
use super::pseudonym::{Pseudonyms, is_placeholder};
use super::root_tables::{cut, delimited};
use super::{Manifest, Rejected, Rejection, Scan};
use crate::base::errors::{Context, Result, anyhow, bail, ensure};
use crate::base::progress::{counted, thousands};
use std::collections::{BTreeMap, BTreeSet, HashMap};

impl Scan {
    /// What is known of its patient: the name in a table, the keyed hash, or the study's.
    pub(crate) fn patient_in_words(&self) -> Option<String> {
        let study = || self.acquisition.as_ref()?.study.as_ref().map(|study| format!("study {study}"));
        self.patient.clone().or_else(study)
    }

    /// The keyed hash of DICOM's PatientID.
    pub(super) fn pseudonym(&self) -> Option<&String> {
        self.acquisition.as_ref()?.patient.as_ref()
    }
}

/// Whether a table's name of a scan's patient is the number in its DICOM files, or the pseudonym of it.
fn is_pseudonym_of(pseudonyms: Option<&Pseudonyms>, scan: &Scan, patient: &str) -> bool {
    let hidden = pseudonyms.map(|pseudonyms| pseudonyms.of("patient", patient));
    scan.pseudonym().is_some_and(|pseudonym| pseudonym == patient || Some(pseudonym) == hidden.as_ref())
}

/// Replaces names in a table that are PatientIDs of any DICOM file here by their pseudonyms, also for scans of other
/// formats, so that those are one patient's.
pub(super) fn hide_numbers(scans: &mut [Scan]) -> Result<()> {
    let known: BTreeSet<String> = scans.iter().filter_map(|scan| scan.pseudonym().cloned()).collect();
    if known.is_empty() {
        return Ok(());
    }
    let pseudonyms = Pseudonyms::open()?;
    for patient in scans.iter_mut().filter_map(|scan| scan.patient.as_mut()) {
        let hidden = pseudonyms.of("patient", patient);
        if known.contains(&hidden) {
            *patient = hidden;
        }
    }
    Ok(())
}

/// How many rows without a scan are listed by themselves: a table may be one of many more scans.
const MOST_ROWS: usize = 1000;

/// Of the line and path of rows; the last says how many are not listed.
fn rows_without_a_scan(rows: Vec<(u64, String)>, at_most: usize) -> Vec<Rejected> {
    let rejected = |line: String, detail: String| Rejected {
        path: format!("{PATIENTS}, {line}"),
        reason: Rejection::UnmatchedRow,
        detail,
    };
    let (count, last) = (rows.len(), rows.last().map_or(0, |(line, _)| *line));
    let mut found: Vec<Rejected> = rows
        .into_iter()
        .take(at_most)
        .map(|(line, path)| rejected(format!("line {line}"), format!("there is no scan {path}")))
        .collect();
    if count > at_most {
        let detail = format!("{} more rows name no scan here", thousands((count - at_most) as u64));
        found.push(rejected(format!("up to line {last}"), detail));
    }
    found
}

/// The name of the table of patients.
pub(crate) const PATIENTS: &str = "patients.csv";

impl Manifest {
    /// Scans grouped into patients, in order of their first scan: by `patients.csv`, by DICOM's PatientID and
    /// StudyInstanceUID, and by the pairs that an audit found. A scan about which nothing is known counts as a separate
    /// patient.
    pub fn patients(&self) -> Vec<Vec<usize>> {
        let mut parent: Vec<usize> = (0..self.scans.len()).collect();
        fn root(parent: &mut [usize], mut scan: usize) -> usize {
            while parent[scan] != scan {
                parent[scan] = parent[parent[scan]];
                scan = parent[scan];
            }
            scan
        }
        let mut join = |a: usize, b: usize| {
            let (a, b) = (root(&mut parent, a), root(&mut parent, b));
            parent[a.max(b)] = a.min(b);
        };
        let mut first_of: BTreeMap<(bool, &str), usize> = BTreeMap::new();
        for (index, scan) in self.scans.iter().enumerate() {
            // A table may name some of a patient's scans only, so that what DICOM says counts besides.
            let study = scan.acquisition.as_ref().and_then(|of| of.study.as_deref());
            let names = [scan.patient.as_deref(), scan.pseudonym().map(String::as_str)];
            let named =
                names.map(|name| name.map(|name| (true, name))).into_iter().chain([study.map(|study| (false, study))]);
            named.flatten().for_each(|name| join(*first_of.entry(name).or_insert(index), index));
        }
        let by_folder: BTreeMap<&str, usize> =
            self.scans.iter().enumerate().map(|(index, scan)| (scan.folder.as_str(), index)).collect();
        for (a, b) in &self.same_patient {
            if let (Some(&a), Some(&b)) = (by_folder.get(a.as_str()), by_folder.get(b.as_str())) {
                join(a, b);
            }
        }
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for scan in 0..parent.len() {
            groups.entry(root(&mut parent, scan)).or_default().push(scan);
        }
        groups.into_values().collect()
    }

    /// The note on what the table counts as a patient.
    pub(super) fn who_is_a_patient(&self) -> String {
        let is_named = |scans: &Vec<usize>| scans.iter().any(|&scan| self.scans[scan].patient_in_words().is_some());
        let (patients, others): (Vec<_>, Vec<_>) = self.patients().into_iter().partition(is_named);
        if patients.is_empty() {
            return "Each scan counts as one patient: neither a table nor DICOM files name patients.".to_owned();
        }
        let unnamed = others.iter().flatten().filter(|scan| self.scans[**scan].label.is_some()).count() as u64;
        let rest = match unnamed {
            0 => String::new(),
            1 => " 1 labelled scan names none, and counts as a patient.".to_owned(),
            _ => format!(" {} labelled scans name none; each counts as a separate patient.", thousands(unnamed)),
        };
        let hashed = self.scans.iter().any(|scan| scan.acquisition.as_ref().is_some_and(|of| of.study.is_some()));
        let from = match hashed {
            true => "DICOM (PatientID and study, kept as keyed hashes) or a table names",
            false if self.has_patients_by_folder() => "Folders of scans, or a table, name",
            false => "The table of patients names",
        };
        format!("{from} {}.{rest}", counted(patients.len() as u64, "patient"))
    }

    /// What is known of every scan's patient, as text that does not depend on the key of pseudonyms: a pseudonym is replaced
    /// by the number of the first scan that has it.
    pub(super) fn patients_for_hash(&self) -> Vec<String> {
        let mut first_of: HashMap<(bool, &str), usize> = HashMap::new();
        let known: BTreeSet<&String> = self.scans.iter().filter_map(Scan::pseudonym).collect();
        let mut first = |is_patient, pseudonym, index| *first_of.entry((is_patient, pseudonym)).or_insert(index);
        let scans = self.scans.iter().enumerate();
        scans
            .map(|(index, scan)| {
                let named = scan.patient.as_ref().filter(|patient| !known.contains(patient));
                let mut text = named.cloned().unwrap_or_default();
                for pseudonym in scan.patient.iter().filter(|patient| known.contains(patient)).chain(scan.pseudonym()) {
                    text.push_str(&format!("\tpatient #{}", first(true, pseudonym, index)));
                }
                if let Some(study) = scan.acquisition.as_ref().and_then(|of| of.study.as_deref()) {
                    text.push_str(&format!("\tstudy #{}", first(false, study, index)));
                }
                text
            })
            .collect()
    }

    /// For every scan the number of its patient in [`patients`](Self::patients).
    pub fn patient_of_scans(&self) -> Vec<u32> {
        let mut of_scan = vec![0; self.scans.len()];
        for (patient, scans) in (0..).zip(self.patients()) {
            scans.into_iter().for_each(|scan| of_scan[scan] = patient);
        }
        of_scan
    }

    /// Reads `path,patient` and, where there is one, `source` or `scanner`. A path is a scan's folder or a file in it.
    /// `from` is where `bytes` come from, for messages.
    pub(crate) fn read_patients(&mut self, from: &dyn std::fmt::Display, bytes: &[u8]) -> Result<()> {
        let wrong = || format!("reading patients from {from}");
        let (delimiter, bytes) = delimited(bytes).with_context(wrong)?;
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(bytes);
        let header = reader.headers().with_context(wrong)?.clone();
        let find = |name: &str| header.iter().position(|h| h.trim() == name);
        let column = |name: &str| {
            find(name).with_context(|| {
                let found = columns_shown(&header);
                format!("{}: expected a header with the columns path and patient, found {found}", wrong())
            })
        };
        let (path_column, patient_column) = (column("path")?, column("patient")?);
        let source_column = find("source").or_else(|| find("scanner"));
        let by_folder: HashMap<String, usize> =
            self.scans.iter().enumerate().map(|(i, s)| (s.folder.clone(), i)).collect();
        // As tables of ours have them.
        let mut by_written: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, scan) in self.scans.iter().enumerate() {
            by_written.entry(as_written(&scan.folder)).or_default().push(index);
        }
        let named = |name: &str| match (by_folder.get(name), by_written.get(name).map(Vec::as_slice)) {
            (Some(scan), _) | (None, Some([scan])) => Ok(Some(*scan)),
            (None, Some(_)) => Err(anyhow!("{}: {} may be several scans: rename all but one", wrong(), cut(name))),
            (None, None) => Ok(None),
        };
        let has_pseudonyms = self.scans.iter().any(|scan| scan.pseudonym().is_some());
        let pseudonyms = has_pseudonyms.then(Pseudonyms::open).transpose()?;
        let (mut rows, mut matched, mut unmatched) = (0, 0, Vec::new());
        for row in reader.records() {
            let row = row.with_context(wrong)?;
            let line = row.position().map_or(0, csv::Position::line);
            let file = normalised(row[path_column].trim());
            let (file, patient) = (file.as_str(), row[patient_column].trim());
            let folder = file.rsplit_once('/').map_or(file, |(folder, _)| folder);
            // A patient table may list more slices than were copied here.
            rows += 1;
            let found = match named(file)? {
                None => named(folder)?,
                found => found,
            };
            let Some(scan) = found else {
                unmatched.push((line, cut(file)));
                continue;
            };
            matched += 1;
            let scan = &mut self.scans[scan];
            let known_as = scan.patient.as_ref().filter(|known| Some(*known) != scan.pseudonym());
            match known_as {
                _ if is_placeholder(patient) => {}
                // The number in the DICOM files is not shown, though the table gives it.
                _ if is_pseudonym_of(pseudonyms.as_ref(), scan, patient) => {}
                // Beside DICOM they may be the numbers in its files.
                Some(known) if known != patient => bail!(
                    "{}: {} is given to two patients{}",
                    wrong(),
                    scan.folder,
                    if has_pseudonyms { String::new() } else { format!(", {} and {}", cut(known), cut(patient)) }
                ),
                _ => scan.patient = Some(patient.to_owned()),
            }
            let source = source_column.map(|column| row[column].trim()).filter(|source| !source.is_empty());
            scan.source = source.map(str::to_owned).or(scan.source.take());
        }
        let scan = self.scans.first().map_or("train/covid/ct_scan_1", |scan| &scan.folder);
        let found = unmatched.last().map_or("", |(_, file)| file);
        ensure!(
            rows == 0 || matched > 0,
            "{}: none of its {rows} paths is a scan of this data set; expected paths such as {scan}, found {found}",
            wrong()
        );
        self.rejected.extend(rows_without_a_scan(unmatched, MOST_ROWS));
        hide_numbers(&mut self.scans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_table_of_patients_without_a_scan_are_listed_by_line() {
        let mut manifest = Manifest::of_folders("m", vec!["train/covid/ct_scan_1".to_owned()], Vec::new());
        let rows = b"path,patient\ntrain/covid/ct_scan_7,P7\ntrain/covid/ct_scan_1/0.jpg,P1\nval/covid/x/9.jpg,P9\n";
        manifest.read_patients(&PATIENTS, rows).expect("reads");
        assert_eq!(manifest.scans[0].patient.as_deref(), Some("P1"));
        let found: Vec<(&str, &str)> =
            manifest.rejected.iter().map(|of| (of.path.as_str(), of.detail.as_str())).collect();
        let expected = [
            ("patients.csv, line 2", "there is no scan train/covid/ct_scan_7"),
            ("patients.csv, line 4", "there is no scan val/covid/x/9.jpg"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn placeholders_name_nobody() {
        let scans = ["train/covid/a", "train/covid/b", "train/covid/c"].map(str::to_owned).to_vec();
        let mut manifest = Manifest::of_folders("m", scans, Vec::new());
        let rows = b"path,patient\ntrain/covid/a,unknown\ntrain/covid/b,N/A\ntrain/covid/c,P1\n";
        manifest.read_patients(&PATIENTS, rows).expect("reads");
        let patients: Vec<_> = manifest.scans.iter().map(|scan| scan.patient.as_deref()).collect();
        assert_eq!(patients, [None, None, Some("P1")]);
    }

    #[test]
    fn of_very_many_rows_the_last_are_counted() {
        let rows = (2..=1_235).map(|line| (line, "x".to_owned())).collect();
        let found = rows_without_a_scan(rows, 2);
        let found: Vec<(&str, &str)> = found.iter().map(|of| (of.path.as_str(), of.detail.as_str())).collect();
        let expected = [
            ("patients.csv, line 2", "there is no scan x"),
            ("patients.csv, line 3", "there is no scan x"),
            ("patients.csv, up to line 1235", "1,232 more rows name no scan here"),
        ];
        assert_eq!(found, expected);
    }
}
