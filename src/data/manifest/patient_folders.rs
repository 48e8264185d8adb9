//! Patients by the names of folders: one above several scans, or the beginning of scans' own names.

use super::download_parts::whole_download;
use super::patient_in_name::{WORDS_FOR_SCANS, is_class_and_number, patient_before};
use super::{Manifest, Rejected, Rejection, Set};
use crate::base::progress::{counted, thousands};
use std::collections::{BTreeMap, BTreeSet};

/// Words by which a folder of scans says that it is one patient's.
const PATIENT: [&str; 8] = ["patient", "pat", "pid", "subject", "subj", "sub", "case", "person"];
/// Words by which a folder is that of many patients, although a number follows.
const MANY: [&str; 34] = [
    "site",
    "hospital",
    "hosp",
    "centre",
    "center",
    "clinic",
    "ward",
    "batch",
    "source",
    "scanner",
    "device",
    "machine",
    "vendor",
    "part",
    "set",
    "subset",
    "dataset",
    "volume",
    "chunk",
    "fold",
    "group",
    "cohort",
    "collection",
    "folder",
    "phase",
    "grade",
    "stage",
    "severity",
    "level",
    "class",
    "week",
    "day",
    "month",
    "year",
];
/// Scans that patients have at most, in the mean: folders with more are of something else.
const MOST_SCANS: usize = 8;

impl Manifest {
    /// Scans that neither a table nor their files give to a patient, by their folders: the one in which several lie together,
    /// where it is named as a patient's, or by a number with few scans each, or where all scans of its class lie in folders of
    /// folders, as patient, study and series do; or by the beginning of their own names (`P001_scan2`).
    pub(crate) fn name_patients_by_folder(&mut self) {
        let mut ways = self.ways_to_scans();
        ways.iter_mut().zip(&self.scans).filter(|(_, scan)| scan.patient.is_some()).for_each(|(way, _)| *way = None);
        let mut by_class: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, way) in ways.iter().enumerate() {
            if let Some((class, _)) = way {
                by_class.entry(class).or_default().push(index);
            }
        }
        let way = |scan: usize| ways[scan].as_ref().map_or(&[][..], |(_, between)| between.as_slice());
        // A patient's scans may lie in several parts.
        let mut above: BTreeMap<Option<usize>, Vec<&str>> = BTreeMap::new();
        let mut begun: BTreeMap<Option<usize>, Vec<&str>> = BTreeMap::new();
        let label = |scan: usize| self.scans[scan].label.map(|label| label.index());
        for scan in by_class.values().flatten().copied() {
            match way(scan) {
                [folder] => above.entry(label(scan)).or_default().push(folder),
                _ => begun.entry(label(scan)).or_default().extend(patient_before(self.scans[scan].id())),
            }
        }
        let are_patients = |of: BTreeMap<Option<usize>, Vec<&str>>, least: usize| -> BTreeSet<Option<usize>> {
            let scans = |of: Option<usize>| (0..self.scans.len()).filter(|scan| label(*scan) == of).count();
            let are = |(of, names): &(Option<usize>, Vec<&str>)| are_patients(names, least, scans(*of) > names.len());
            of.into_iter().filter(are).map(|(label, _)| label).collect()
        };
        let (above, begun) = (are_patients(above, 1), are_patients(begun, 2));
        let mut named: Vec<(usize, String)> = Vec::new();
        for (class, scans) in &by_class {
            // Patient, study and series: the first folders are those of patients where their names may be.
            let first: Vec<&str> =
                scans.iter().filter(|scan| way(**scan).len() > 1).map(|scan| way(*scan)[0].as_str()).collect();
            let is_deep = first.len() == scans.len() && are_of_few(&first);
            let patient = |scan: usize| -> Option<String> {
                let folders = way(scan);
                // Each class may number its patients anew.
                let of_folder =
                    |last: usize| format!("{class}/{}", folders[..=last].join("/")).trim_start_matches('/').to_owned();
                let own = || {
                    let (above, _) = self.scans[scan].folder.rsplit_once('/')?;
                    Some(format!("{above}/{}", patient_before(self.scans[scan].id())?))
                };
                match folders.iter().rposition(|folder| is_named_as_patient(folder)) {
                    _ if is_deep => Some(of_folder(0)),
                    Some(said) => Some(of_folder(said)),
                    None if folders.len() == 1 && above.contains(&label(scan)) => Some(of_folder(0)),
                    None if begun.contains(&label(scan)) => own(),
                    None => None,
                }
            };
            named.extend(scans.iter().filter_map(|scan| Some((*scan, patient(*scan)?))));
        }
        for (scan, patient) in named {
            self.scans[scan].patient = Some(patient);
        }
        self.join_parts_of_downloads();
        self.report_patients_named_alike();
    }

    /// Says of two parts of one class that patients by folder are named alike in both: they may be the same, or numbered anew.
    fn report_patients_named_alike(&mut self) {
        let mut of_part: BTreeMap<(Option<usize>, Set, &str), BTreeSet<&str>> = BTreeMap::new();
        for scan in self.scans.iter().filter(|scan| self.is_patient_by_folder(scan)) {
            let patient = scan.patient.as_deref().unwrap_or_default();
            let Some(folder) = self.way_of(scan).map(|(of, _)| of.folder.as_str()) else { continue };
            let name = patient.get(whole_download(folder).len() + 1..).unwrap_or_default();
            of_part.entry((scan.label.map(|label| label.index()), scan.set, folder)).or_default().insert(name);
        }
        let parts: Vec<_> = of_part.into_iter().collect();
        let mut found = Vec::new();
        for (number, ((label, set, folder), names)) in parts.iter().enumerate() {
            let in_other_parts = |of: &&((Option<usize>, Set, &str), _)| of.0.0 == *label && of.0.1 != *set;
            for ((.., other), there) in parts[..number].iter().filter(in_other_parts) {
                let shared: Vec<&&str> = names.intersection(there).collect();
                let Some(first) = shared.first() else { continue };
                let detail = format!(
                    "{} of {} are named as in {other} ({first} first): where they are the same, say so in a patients.csv",
                    thousands(shared.len() as u64),
                    counted(names.len() as u64, "patient")
                );
                found.push(Rejected { path: (*folder).to_owned(), reason: Rejection::PatientsAlike, detail });
            }
        }
        self.rejected.extend(found);
    }
}

/// `patient_12`, `case7`, `sub-S03068`: a word for a patient and a number, or a name with a number in it.
pub(super) fn is_named_as_patient(name: &str) -> bool {
    let name = &without_brackets(name);
    let is_word = |word: &str| PATIENT.iter().any(|known| word.eq_ignore_ascii_case(known));
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).count();
    let word = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let is_named =
        |(word, of): (&str, &str)| is_word(word) && digits(of) > 0 && of.chars().all(|c| c.is_ascii_alphanumeric());
    word.len() < name.len() && is_word(word.trim_end_matches(['_', '-', ' ']))
        || name.split_once(['_', '-', ' ']).is_some_and(is_named)
}

/// `Patient (1)` as `Patient 1`: systems number copies and names that are typed alike so.
fn without_brackets(name: &str) -> String {
    name.replace(['(', ')', '[', ']'], "")
}

/// Whether the first of several folders, given once for each scan, may be patients': all have a number that may be a patient's,
/// or they are many of few scans each. `mosmed/png` and `radiopaedia/png` are sources.
fn are_of_few(names: &[&str]) -> bool {
    const MANY_FOLDERS: usize = 8;
    let different: BTreeSet<&str> = names.iter().copied().collect();
    let are_many = different.len() >= MANY_FOLDERS && names.len() <= MOST_SCANS * different.len();
    different.iter().all(|name| may_be_a_patients(name)) || are_many && !different.iter().any(|name| is_of_many(name))
}

/// Whether a name may be a patient's: a number alone that is no date, one after a letter or two or a word for patients, or one of
/// three digits or more after any words but those of sites, batches, visits, degrees of severity and the like.
fn may_be_a_patients(name: &str) -> bool {
    let name = &without_brackets(name);
    let number: String = name.chars().rev().take_while(char::is_ascii_alphanumeric).collect();
    let digits =
        number.trim_start_matches(|c: char| c.is_ascii_alphabetic()).chars().take_while(char::is_ascii_digit).count();
    let letters = name.chars().take_while(|c| c.is_alphabetic()).count();
    // `CT-2` and `t1` are no patients.
    let is_short =
        letters <= 2 && name.chars().skip(letters).all(|c| c.is_ascii_alphanumeric() || ['_', '-', ' '].contains(&c));
    digits > 0 && !is_of_many(name) && (is_short || is_named_as_patient(name) || digits > 2)
}

/// Whether a folder's name says that it is of many patients, or of one of a patient's examinations; a date is one, too.
fn is_of_many(name: &str) -> bool {
    let digits: String = name.chars().filter(|c| !['_', '-', ' ', '.'].contains(c)).collect();
    let is_date = [4, 6, 8].contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits.starts_with("19") || digits.starts_with("20"));
    let words = name.split(|c: char| !c.is_alphabetic()).map(str::to_lowercase);
    is_date || words.into_iter().any(|word| MANY.contains(&word.as_str()) || WORDS_FOR_SCANS.contains(&word.as_str()))
}

/// Whether names, given once for each scan, may be those of patients: several, of which some have several scans.
/// `least`: so many letters and digits they have; `has_others`: there are scans beside them that are named otherwise.
pub(super) fn are_patients(names: &[&str], least: usize, has_others: bool) -> bool {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    names.iter().for_each(|name| *counts.entry(name).or_default() += 1);
    // `1` and `2` may be anything; `P0017_scan1` and `P0017_scan2` among others are one.
    let long = |letters: usize| counts.keys().all(|name| name.len() > letters);
    let are_several = match counts.len() {
        1 => has_others && least > 1 && long(3),
        2 => long(2),
        _ => true,
    };
    are_several
        && counts.keys().all(|name| name.len() >= least && (may_be_a_patients(name) || is_class_and_number(name)))
        && counts.values().any(|count| *count > 1)
        && counts.values().sum::<usize>() <= MOST_SCANS * counts.len()
}

#[cfg(test)]
mod tests {
    use super::super::archive_listing::listing_of;
    use super::*;

    /// The patients of scans at these paths.
    fn patients(folders: &[String]) -> (Vec<Option<String>>, Vec<String>) {
        let names: Vec<String> = folders.iter().map(|folder| format!("{folder}/0.jpg")).collect();
        let (listing, _) = listing_of(&names).expect("lists");
        let root = tempfile::tempdir().expect("a folder");
        let mut manifest = Manifest::listed(root.path(), listing).expect("a manifest");
        manifest.name_patients_by_folder();
        let said = manifest.rejected.iter().filter(|of| of.reason == Rejection::PatientsAlike);
        let said = said.map(|of| format!("{}: {}", of.path, of.detail)).collect();
        (manifest.scans.into_iter().map(|scan| scan.patient).collect(), said)
    }

    fn in_class(class: &str, names: &[&str]) -> Vec<String> {
        names.iter().map(|name| format!("{class}/{name}")).collect()
    }

    #[test]
    fn a_numbered_folder_of_few_scans_is_a_patient() {
        let folders = in_class("NCP", &["100/1200", "100/1201", "101/1202", "103/1203"]);
        let (found, _) = patients(&folders);
        assert_eq!(found, ["NCP/100", "NCP/100", "NCP/101", "NCP/103"].map(|name| Some(name.to_owned())));
        // One that lies flat beside them changes nothing.
        let folders = in_class("NCP", &["100/1200", "100/1201", "101/1202", "103/1203", "extra"]);
        let (found, _) = patients(&folders);
        assert_eq!(found.iter().flatten().count(), 4, "{found:?}");
        let lidc = in_class("covid", &["LIDC-IDRI-0001/a", "LIDC-IDRI-0001/b", "LIDC-IDRI-0002/c", "LIDC-IDRI-0003/d"]);
        assert_eq!(patients(&lidc).0.iter().flatten().count(), 4);
        let (found, _) =
            patients(&in_class("covid", &["Lung_Dx-A0002/s1/1", "Lung_Dx-A0002/s2/1", "Lung_Dx-A0003/s1/1"]));
        assert_eq!(found.iter().flatten().count(), 3, "{found:?}");
        let (found, _) = patients(&in_class("covid", &["P1/2020-03-01/s1", "P1/2020-04-01/s2", "P2/2020-03-01/s1"]));
        assert_eq!(found, ["covid/P1", "covid/P1", "covid/P2"].map(|name| Some(name.to_owned())));
        let (found, _) =
            patients(&in_class("covid", &["sub-S1/ses-1/mod-ct", "sub-S1/ses-2/mod-ct", "sub-S2/ses-1/mod-ct"]));
        assert_eq!(found.iter().flatten().collect::<BTreeSet<_>>().len(), 2, "{found:?}");
        let (found, _) =
            patients(&in_class("covid", &["Subject (1)/a", "Subject (1)/b", "Subject (2)/c", "Subject [3]/d"]));
        assert_eq!(found.iter().flatten().collect::<BTreeSet<_>>().len(), 3, "{found:?}");
        // However many series a patient has.
        let many: Vec<String> = (0..60).map(|scan| format!("covid/{}/study1/{scan}", 1_234_500 + scan / 20)).collect();
        assert_eq!(patients(&many).0.iter().flatten().collect::<BTreeSet<_>>().len(), 3);
        for folders in [
            in_class("covid", &["mosmed/all/1", "mosmed/all/2", "mosmed/all/3"]),
            (0..12).map(|scan| format!("covid/{}/png/{scan}", ["mosmed", "radiopaedia"][scan % 2])).collect(),
            (0..40).map(|scan| format!("covid/{}/png/{scan}", ["mosmed", "radiopaedia"][scan % 2])).collect(),
            // One scan each: nothing is joined.
            in_class("covid", &["100/a", "101/b", "102/c"]),
            in_class("covid", &["site 1/a", "site 1/b", "site 2/c", "site 3/d"]),
            in_class("covid", &["fold_1/a", "fold_1/b", "fold_2/c", "fold_3/d"]),
            in_class("covid", &["2020/a", "2020/b", "2021/c", "2022/d"]),
            in_class("covid", &["1/a", "1/b", "2/c", "2/d"]),
            in_class("covid", &["site1/a", "site1/b", "site2/c", "site2/d"]),
            in_class("covid", &["2020-03/a", "2020-03/b", "2020-04/c", "2020-05/d"]),
            in_class("covid", &["new_site_2/a", "new_site_2/b", "UK_site1/c", "01_batch/d"]),
            in_class("covid", &["CT-1/a", "CT-1/b", "CT-2/c", "CT-3/d"]),
            in_class("covid", &["visit1/P001", "visit1/P002", "visit2/P001", "visit3/P001"]),
            in_class("covid", &["site 1/week 2/a", "site 1/week 3/b", "site 2/week 1/c"]),
            in_class("covid", &["scan_1/png", "scan_2/png", "scan_3/png", "scan_4/png"]),
            (0..30).map(|scan| format!("covid/{}/scan{scan}", scan % 3)).collect(),
        ] {
            assert_eq!(patients(&folders).0, vec![None; folders.len()], "{folders:?}");
        }
    }

    #[test]
    fn names_of_scans_may_begin_with_the_patients() {
        let (found, _) = patients(&in_class("train/covid", &["P001_scan1", "P001_scan2", "P002_scan1", "P3c_scan1"]));
        let expected = ["P001", "P001", "P002", "P3c"].map(|name| Some(format!("train/covid/{name}")));
        assert_eq!(found, expected);
        for names in [
            ["ct_scan_0", "ct_scan_1", "ct_scan_2", "ct_scan_3"],
            ["site1_scan1", "site1_scan2", "site2_scan1", "site3_scan1"],
            ["P1_scan1", "P2_scan1", "P3_scan1", "P4_scan1"],
            ["hosp1_scan1", "hosp1_scan2", "hosp2_scan1", "hosp3_scan1"],
            ["lung2020_scan0", "lung2020_scan1", "lung2020_scan2", "lung2020_scan3"],
        ] {
            assert_eq!(patients(&in_class("covid", &names)).0, vec![None; 4], "{names:?}");
        }
        for names in [
            ["NCP_96_1328", "NCP_96_1329", "NCP_97_1330", "NCP_98_1331"],
            ["137covid_patient1_SR_3", "137covid_patient1_SR_4", "137covid_patient2_SR_3", "137covid_patient9_SR_2"],
        ] {
            let (found, _) = patients(&in_class("covid", &names));
            assert!(found[0].is_some() && found[0] == found[1] && found[0] != found[2], "{found:?}");
        }
        // One patient's among those of others.
        let names = ["ct_scan_0", "P0017_scan1", "P0017_scan2", "ct_scan_1"];
        assert_eq!(patients(&in_class("covid", &names)).0.iter().flatten().count(), 2);
    }

    #[test]
    fn patients_named_alike_in_two_parts_are_pointed_out() {
        let names = ["100/1200", "100/1201", "101/1202", "103/1203"];
        let other = ["101/7", "101/8", "200/9", "201/10"];
        let folders = [in_class("train/NCP", &names), in_class("val/NCP", &other)].concat();
        let expected = "val/NCP: 1 of 3 patients are named as in train/NCP (101 first): where they are the same, say so in a \
                        patients.csv";
        assert_eq!(patients(&folders).1, [expected]);
        let folders = [in_class("train/a/NCP", &names), in_class("train/b/NCP", &other)].concat();
        assert_eq!(patients(&folders).1, [""; 0], "one part");
        let in_pictures = ["scan_1/png", "scan_2/png", "scan_3/png"];
        let folders = [in_class("train/covid", &in_pictures), in_class("val/covid", &in_pictures)].concat();
        assert_eq!(patients(&folders).1, [""; 0], "scans in folders of their own");
        let folders = [in_class("train/NCP", &names), in_class("val/normal", &other)].concat();
        assert_eq!(patients(&folders).1, [""; 0]);
        // One scan of each in each part.
        let folders = [
            in_class("train/covid", &["P001_scan1", "P002_scan1"]),
            in_class("val/covid", &["P001_scan2", "P003_scan1"]),
        ];
        let expected = "val/covid: 1 of 2 patients are named as in train/covid (P001 first): where they are the same, say so in a \
                        patients.csv";
        assert_eq!(patients(&folders.concat()).1, [expected]);
    }
}
