//! The same listing of names alone: what archives hold.

use super::walk::{Listing, NumericKey, check_classes, numeric_key};
use super::{Label, Scan, Set};
use anyhow::{Result, bail};
use std::collections::{BTreeMap, BTreeSet};

/// What would be listed if these files and folders (ending in `/`) lay in one folder, and for each name the number of its
/// file in the listing; `None` for folders, strays, and all that is no part of the layout.
///
/// # Errors
/// None of the layout's folders, or a misnamed class.
pub(crate) fn listing_of(names: &[String]) -> Result<(Listing, Vec<Option<usize>>)> {
    let mut strays = BTreeSet::new();
    // Scan folders in their order: set, label, number. Each with its files: their order, name and place in `names`.
    type Files = Vec<(NumericKey, String, usize)>;
    type Place = (Set, usize, NumericKey, String);
    let mut scans: BTreeMap<Place, Files> = BTreeMap::new();
    let mut groups = 0;
    let mut classes: BTreeMap<Set, BTreeSet<String>> = BTreeMap::new();
    for (place, name) in names.iter().enumerate() {
        let mut parts = name.split('/');
        let first = parts.next().unwrap_or_default();
        let Some(set) = Set::ALL.into_iter().find(|set| set.folder() == first) else { continue };
        let rest: Vec<&str> = parts.collect();
        let (group, class, rest) = match (set, rest.as_slice()) {
            (Set::Prediction, rest) => (first.to_owned(), 0, rest),
            (_, [] | [""]) => continue,
            (_, [file]) => {
                strays.insert(format!("{first}/{file}"));
                continue;
            }
            (_, [class, rest @ ..]) => {
                classes.entry(set).or_default().insert((*class).to_owned());
                match Label::NAMES.iter().position(|known| known == class) {
                    Some(label) => (format!("{first}/{class}"), label, rest),
                    None => {
                        strays.insert(format!("{first}/{class}/"));
                        continue;
                    }
                }
            }
        };
        groups += 1;
        let [scan, inside @ ..] = rest else { continue };
        match (scan, inside) {
            (&"", _) => continue,
            (file, []) => {
                strays.insert(format!("{group}/{file}"));
                continue;
            }
            _ => {}
        }
        let folder = format!("{group}/{scan}");
        let files = scans.entry((set, class, numeric_key(scan), folder.clone())).or_default();
        match inside {
            [""] => {}
            [file] => files.push((numeric_key(file), (*file).to_owned(), place)),
            [below, ..] => {
                strays.insert(format!("{folder}/{below}/"));
            }
            [] => {}
        }
    }
    for (set, classes) in &classes {
        check_classes(&classes.iter().cloned().collect::<Vec<_>>(), &format!("{set}/"))?;
    }
    if groups == 0 {
        let found: BTreeSet<&str> = names.iter().filter_map(|name| name.split('/').next()).take(1000).collect();
        bail!(
            "listing a data set: there is none of train/covid, train/non-covid, val/covid, val/non-covid, prediction; \
             found {:?}",
            found.into_iter().take(8).collect::<Vec<_>>()
        );
    }
    let mut numbers = vec![None; names.len()];
    let mut listing = Listing { scans: Vec::new(), files: Vec::new(), strays: strays.into_iter().collect() };
    for ((.., folder), mut files) in scans {
        files.sort();
        for (_, file, place) in files {
            numbers[place] = Some(listing.files.len());
            listing.files.push((listing.scans.len(), file));
        }
        listing.scans.push(Scan::new(folder));
    }
    Ok((listing, numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_as_folders_are() {
        let names = [
            "train/covid/ct_scan_10/2.jpg",
            "train/covid/ct_scan_10/10.jpg",
            "train/covid/ct_scan_10/1.jpg",
            "train/covid/ct_scan_9/",
            "train/non-covid/ct_scan_1/deep/1.jpg",
            "train/non-covid/loose.jpg",
            "train/notes.txt",
            "prediction/ct_scan_1/7.jpg",
            "prediction/",
            "__MACOSX/train/covid/ct_scan_10/._2.jpg",
            "readme.txt",
        ];
        let (listing, numbers) = listing_of(&names.map(str::to_owned)).expect("lists");
        let folders: Vec<&str> = listing.scans.iter().map(|scan| scan.folder.as_str()).collect();
        assert_eq!(
            folders,
            ["train/covid/ct_scan_9", "train/covid/ct_scan_10", "train/non-covid/ct_scan_1", "prediction/ct_scan_1"]
        );
        let files: Vec<(usize, &str)> = listing.files.iter().map(|(scan, file)| (*scan, file.as_str())).collect();
        assert_eq!(files, [(1, "1.jpg"), (1, "2.jpg"), (1, "10.jpg"), (3, "7.jpg")]);
        assert_eq!(listing.strays, ["train/non-covid/ct_scan_1/deep/", "train/non-covid/loose.jpg", "train/notes.txt"]);
        assert_eq!(numbers[..3], [Some(1), Some(2), Some(0)]);
        assert_eq!((numbers[7], numbers[9], numbers[3]), (Some(3), None, None));
    }

    #[test]
    fn folders_give_what_their_names_give() {
        let long = ["123456789012345678901234567890", "123456789012345678901234567891"];
        let names = [
            "val/non-covid/ct_scan_1/01.jpg".to_owned(),
            "val/non-covid/ct_scan_1/1.jpg".to_owned(),
            "val/non-covid/ct_scan_01/1.jpg".to_owned(),
            "val/covid/notes.txt".to_owned(),
            format!("prediction/{}/1.jpg", long[1]),
            format!("prediction/{}/1.jpg", long[0]),
            format!("prediction/{}/._1.jpg", long[0]),
        ];
        let folder = tempfile::tempdir().expect("a folder");
        for name in &names {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
            std::fs::write(path, "").expect("writes");
        }
        let walked = super::super::walk::walk(folder.path()).expect("walks");
        let (listed, _) = listing_of(&names).expect("lists");
        assert_eq!((&walked.scans, walked.scans.len()), (&listed.scans, 4));
        assert_eq!((walked.files, walked.strays), (listed.files, listed.strays));
    }

    #[test]
    fn what_is_no_data_set_is_refused() {
        let error = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            listing_of(&names).err().expect("refused").to_string()
        };
        assert!(error(&["data/train/covid/ct_scan_1/1.jpg"]).contains("found [\"data\"]"));
        assert!(error(&["train/notes.txt"]).contains("found [\"train\"]"));
        assert!(error(&["train/covid_scans/ct_scan_1/1.jpg", "train/covid/ct_scan_1/1.jpg"]).contains("covid_scans"));
    }
}
