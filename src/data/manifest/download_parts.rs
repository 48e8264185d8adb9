//! Downloads that came in several archives, each unpacked into a folder of its own, so that a scan's slices lie in two of them.

use super::{Manifest, Rejected, Rejection};
use crate::base::progress::counted;
use std::collections::BTreeMap;

impl Manifest {
    /// Scans of the same place in several parts of one download are one patient's; each part is pointed out.
    pub(super) fn join_parts_of_downloads(&mut self) {
        let mut by_place: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for (index, scan) in self.scans.iter().enumerate().filter(|(_, scan)| scan.patient.is_none()) {
            if let Some((download, rest)) =
                scan.folder.split_once('/').and_then(|(top, rest)| Some((download_of(top)?, rest)))
            {
                by_place.entry((download, rest)).or_default().push(index);
            }
        }
        let joined: Vec<(usize, usize)> = by_place
            .into_values()
            .flat_map(|scans| {
                scans.iter().map(|scan| (scans[0], *scan)).filter(|_| scans.len() > 1).collect::<Vec<_>>()
            })
            .collect();
        let mut parts: BTreeMap<(String, String), (u64, String)> = BTreeMap::new();
        for (first, scan) in joined {
            let name = self.scans[first].folder.clone();
            if first != scan {
                let top = |folder: &str| folder.split('/').next().unwrap_or_default().to_owned();
                let found =
                    parts.entry((top(&self.scans[scan].folder), top(&name))).or_insert_with(|| (0, name.clone()));
                found.0 += 1;
            }
            self.scans[scan].patient = Some(name);
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

/// The download of which a folder is a part: Google Drive names its archives `NAME-20260401T123456Z-001.zip`, or `-1-001.zip`.
fn download_of(folder: &str) -> Option<&str> {
    let (download, part) = folder.split_at(folder.rfind('Z')? + 1);
    let time = download.strip_suffix('Z')?.rsplit_once('-')?.1;
    let is_number = |text: &str, digits: usize| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_time = time.split_once('T').is_some_and(|(day, hour)| is_number(day, 8) && is_number(hour, 6));
    let is_part =
        part.len() > 1 && part.split('-').skip(1).all(|number| !number.is_empty() && is_number(number, number.len()));
    (is_time && is_part && part.starts_with('-')).then_some(download)
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
    fn other_names_are_no_parts() {
        assert_eq!(download_of("dataset-20260401T123456Z-001"), Some("dataset-20260401T123456Z"));
        for name in ["train-001", "Z-001", "x-20260401T123456Z", "x-20260401T123456Z-a", "x-2026T12Z-001", "CT-1", ""] {
            assert_eq!(download_of(name), None, "{name}");
        }
    }
}
