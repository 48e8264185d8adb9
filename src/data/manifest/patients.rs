//! Which scans belong to one patient.

use super::{Manifest, Scan};
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

impl Scan {
    /// The keyed hash of DICOM's PatientID; a table of patients overrules it.
    fn pseudonym(&self) -> Option<&String> {
        self.acquisition.as_ref()?.patient.as_ref()
    }
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
            let study = scan.acquisition.as_ref().and_then(|of| of.study.as_deref());
            let named = [scan.patient.as_deref().map(|patient| (true, patient)), study.map(|study| (false, study))];
            named.into_iter().flatten().for_each(|name| join(*first_of.entry(name).or_insert(index), index));
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

    /// What is known of every scan's patient, as text that does not depend on the key of pseudonyms: a pseudonym is replaced
    /// by the number of the first scan that has it.
    pub(super) fn patients_for_hash(&self) -> Vec<String> {
        let mut first_of: HashMap<(bool, &str), usize> = HashMap::new();
        let mut first = |is_patient, pseudonym, index| *first_of.entry((is_patient, pseudonym)).or_insert(index);
        let scans = self.scans.iter().enumerate();
        scans
            .map(|(index, scan)| {
                let of = scan.acquisition.as_ref();
                let pseudonym =
                    of.and_then(|of| of.patient.as_deref()).filter(|of| scan.patient.as_deref() == Some(of));
                let patient = match pseudonym {
                    Some(pseudonym) => format!("#{}", first(true, pseudonym, index)),
                    None => scan.patient.clone().unwrap_or_default(),
                };
                let study = of.and_then(|of| of.study.as_deref()).map(|study| first(false, study, index));
                study.map_or(patient.clone(), |study| format!("{patient}\tstudy #{study}"))
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

    /// The table of patients in a data set's root, if there is one: its path, and its bytes.
    pub(crate) fn patients_in(root: &Path) -> Result<Option<(String, Vec<u8>)>> {
        let path = root.join(PATIENTS);
        if !path.is_file() {
            return Ok(None);
        }
        let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(Some((path.display().to_string(), bytes)))
    }

    /// Reads `path,patient` and, where there is one, `source` or `scanner`. A path is a scan's folder or a file in it.
    /// `from` is where `bytes` come from, for messages.
    pub(crate) fn read_patients(&mut self, from: &dyn std::fmt::Display, bytes: &[u8]) -> Result<()> {
        let wrong = || format!("reading patients from {from}");
        let mut reader = csv::Reader::from_reader(bytes);
        let header = reader.headers().with_context(wrong)?.clone();
        let find = |name: &str| header.iter().position(|h| h.trim() == name);
        let column = |name: &str| {
            find(name).with_context(|| {
                format!("{}: expected a header with the columns path and patient, found {header:?}", wrong())
            })
        };
        let (path_column, patient_column) = (column("path")?, column("patient")?);
        let source_column = find("source").or_else(|| find("scanner"));
        let by_folder: HashMap<String, usize> =
            self.scans.iter().enumerate().map(|(i, s)| (s.folder.clone(), i)).collect();
        let (mut rows, mut matched, mut example) = (0, 0, String::new());
        for row in reader.records() {
            let row = row.with_context(wrong)?;
            let (file, patient) = (row[path_column].trim(), row[patient_column].trim());
            let folder = file.rsplit_once('/').map_or(file, |(folder, _)| folder);
            // A patient table may list more slices than were copied here.
            rows += 1;
            let Some(&scan) = by_folder.get(file).or_else(|| by_folder.get(folder)) else {
                example = file.to_owned();
                continue;
            };
            matched += 1;
            let scan = &mut self.scans[scan];
            match &scan.patient {
                _ if patient.is_empty() => {}
                Some(known) if known != patient && Some(known) != scan.pseudonym() => {
                    bail!("{}: {} is given to two patients, {known} and {patient}", wrong(), scan.folder)
                }
                _ => scan.patient = Some(patient.to_owned()),
            }
            let source = source_column.map(|column| row[column].trim()).filter(|source| !source.is_empty());
            scan.source = source.map(str::to_owned).or(scan.source.take());
        }
        let scan = self.scans.first().map_or("train/covid/ct_scan_1", |scan| &scan.folder);
        ensure!(
            rows == 0 || matched > 0,
            "{}: none of its {rows} paths is a scan of this data set; expected paths such as {scan}, found {example}",
            wrong()
        );
        Ok(())
    }
}
