//! Downloads that came in several archives, each unpacked into a folder of its own, so that a scan's slices lie in two of them.

use super::{Manifest, Rejected, Rejection};
use crate::base::progress::counted;
use std::collections::BTreeMap;

impl Manifest {
    /// Scans of the same place in several parts of one download are one patient's; each part is pointed out. Those whose patient
    /// is known by other folders have one name in all parts: see [`whole_download`].
    pub(super) fn join_parts_of_downloads(&mut self) {
        let mut by_place: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, scan) in self.scans.iter().enumerate() {
            if part_of(&scan.folder).is_some() {
                by_place.entry(whole_download(&scan.folder)).or_default().push(index);
            }
        }
        let mut parts: BTreeMap<(String, String), (u64, String)> = BTreeMap::new();
        for scans in by_place.into_values().filter(|scans| scans.len() > 1) {
            let name = self.scans[scans[0]].folder.clone();
            for scan in scans {
                let scan = &mut self.scans[scan];
                if scan.folder != name {
                    let part = |folder: &str| part_of(folder).unwrap_or_default().to_owned();
                    let key = (part(&scan.folder), part(&name));
                    parts.entry(key).or_insert_with(|| (0, name.clone())).0 += 1;
                }
                scan.patient.get_or_insert_with(|| name.clone());
            }
        }
        self.rejected.extend(parts.into_iter().map(|((path, other), (count, name))| Rejected {
            path,
            reason: Rejection::PatientsAlike,
            detail: format!(
                "{} in {other}, too ({name} first): one download in several archives. Unpack all of them into one folder; until \
                 then, each counts as several scans of one patient",
                match count {
                    1 => "1 scan has slices".to_owned(),
                    count => format!("{} have slices", counted(count, "scan")),
                }
            ),
        }));
    }
}

/// The folder of a path that is a part of a download, from the root on.
fn part_of(path: &str) -> Option<&str> {
    let mut end = 0;
    for name in path.split('/') {
        end += name.len();
        if download_of(name).is_some() {
            return path.get(..end);
        }
        end += 1;
    }
    None
}

/// The path as it would be if the download had come in one piece.
pub(super) fn whole_download(path: &str) -> String {
    let whole: Vec<&str> = path.split('/').map(|name| download_of(name).unwrap_or(name)).collect();
    whole.join("/")
}

/// The download of which a folder is a part: Google Drive names its archives `NAME-20260401T123456Z-001.zip`, or `-1-001.zip`.
fn download_of(folder: &str) -> Option<&str> {
    let (download, part) = folder.split_at(folder.rfind('Z')? + 1);
    let time = download.strip_suffix('Z')?.rsplit_once('-')?.1;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_time = |(day, hour): (&str, &str)| (day.len(), hour.len()) == (8, 6) && is_number(day) && is_number(hour);
    let is_part = part.strip_prefix('-').is_some_and(|numbers| numbers.split('-').all(is_number));
    (is_part && time.split_once('T').is_some_and(is_time)).then_some(download)
}

#[cfg(test)]
mod tests {
    use super::super::archive_listing::listing_of;
    use super::*;

    #[test]
    fn one_scan_in_two_parts_of_a_download_is_one_patient() {
        let part = |number: u32| format!("drive-download-20260401T123456Z-1-00{number}");
        let names = [
            format!("{}/data/train/covid/ct_scan_0/0.jpg", part(1)),
            format!("{}/data/train/covid/ct_scan_0/1.jpg", part(2)),
            format!("{}/data/train/covid/ct_scan_1/0.jpg", part(2)),
            "later-20260501T123456Z-001/data/train/covid/ct_scan_1/0.jpg".to_owned(),
        ];
        let (listing, _) = listing_of(&names).expect("lists");
        let root = tempfile::tempdir().expect("a folder");
        let mut manifest = Manifest::listed(root.path(), listing).expect("a manifest");
        manifest.join_parts_of_downloads();
        assert_eq!(manifest.patients().len(), 3, "{:?}", manifest.scans);
        let said: Vec<String> = manifest.rejected.iter().map(|of| format!("{}: {}", of.path, of.detail)).collect();
        assert!(
            matches!(&said[..], [one] if one.starts_with(&format!("{}: 1 scan has slices in {}, too", part(2), part(1)))),
            "{said:?}"
        );
    }

    #[test]
    fn patients_by_folders_are_one_in_all_parts() {
        let part = |number: u32| format!("down/x-20260401T123456Z-00{number}/train/covid/patient_1");
        let names = [(1, "s1"), (1, "s2"), (2, "s2"), (2, "s3")].map(|(of, scan)| format!("{}/{scan}/0.jpg", part(of)));
        let (listing, _) = listing_of(&names).expect("lists");
        let root = tempfile::tempdir().expect("a folder");
        let mut manifest = Manifest::listed(root.path(), listing).expect("a manifest");
        manifest.name_patients_by_folder();
        assert_eq!(manifest.patients().len(), 1, "{:?}", manifest.scans);
        assert!(manifest.has_patients_by_folder());
    }

    #[test]
    fn other_names_are_no_parts() {
        assert_eq!(download_of("dataset-20260401T123456Z-001"), Some("dataset-20260401T123456Z"));
        for name in ["train-001", "Z-001", "x-20260401T123456Z", "x-20260401T123456Z-a", "x-2026T12Z-001", "CT-1", ""] {
            assert_eq!(download_of(name), None, "{name}");
        }
    }
}
