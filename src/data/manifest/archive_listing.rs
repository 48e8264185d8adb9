//! The listing of a data set made from names alone, for archives that are not unpacked yet.

use super::listing::{FolderListing, ListedSlice};
use super::walk::check_classes;
use super::{Label, Scan, Set};
use crate::base::errors::{Result, bail};
use crate::base::natural::{NumericKey, numeric_key};
use std::collections::{BTreeMap, BTreeSet};

/// Set, label, number and path of a scan folder: sorts as the folders are listed.
type ScanKey = (Set, usize, NumericKey, String);

/// Order, name and place in the list of names of a file.
type FileKey = (NumericKey, String, usize);

/// Lists these files and folders (ending in `/`) as if they lay in one folder, and gives for each name the number of
/// its file in the listing; `None` for folders, strays, and all that is no part of the layout.
///
/// # Errors
/// None of the layout's folders, or a misnamed class.
pub(crate) fn listing_of(names: &[String]) -> Result<(FolderListing, Vec<Option<usize>>)> {
    let mut found = ListingBuilder::default();
    for (place, name) in names.iter().enumerate() {
        found.add(name, place);
    }
    for (set, classes) in &found.classes {
        check_classes(&classes.iter().cloned().collect::<Vec<_>>(), &format!("{set}/"))?;
    }
    if !found.any_group {
        bail!(
            "listing a data set: there is none of train/covid, train/non-covid, val/covid, val/non-covid, prediction; \
             found {:?}",
            first_folders(names)
        );
    }
    Ok(found.into_listing(names.len()))
}

/// What to name in an error: archives may hold millions of names, so only the first are read.
fn first_folders(names: &[String]) -> Vec<&str> {
    let folders: BTreeSet<&str> = names.iter().filter_map(|name| name.split('/').next()).take(1000).collect();
    folders.into_iter().take(8).collect()
}

/// The names read so far, by their place in the layout.
#[derive(Default)]
struct ListingBuilder {
    scans: BTreeMap<ScanKey, Vec<FileKey>>,
    strays: BTreeSet<String>,
    /// Every class folder of train and val, misnamed ones too.
    classes: BTreeMap<Set, BTreeSet<String>>,
    /// Whether there is a folder of a class, or the one to predict.
    any_group: bool,
}

impl ListingBuilder {
    fn add(&mut self, name: &str, place: usize) {
        let parts: Vec<&str> = name.split('/').collect();
        let Some(set) = Set::ALL.into_iter().find(|set| set.folder() == parts[0]) else { return };
        let folder = set.folder();
        match (set, &parts[1..]) {
            (Set::Prediction, rest) => self.add_to_group(set, 0, folder, rest, place),
            (_, [] | [""]) => {}
            (_, [file]) => self.add_stray(format!("{folder}/{file}")),
            (_, [class, rest @ ..]) => self.add_to_class(set, class, rest, place),
        }
    }

    fn add_stray(&mut self, path: String) {
        self.strays.insert(path);
    }

    fn add_to_class(&mut self, set: Set, class: &str, rest: &[&str], place: usize) {
        self.classes.entry(set).or_default().insert(class.to_owned());
        let group = format!("{}/{class}", set.folder());
        match Label::NAMES.iter().position(|known| *known == class) {
            Some(label) => self.add_to_group(set, label, &group, rest, place),
            None => self.add_stray(format!("{group}/")),
        }
    }

    fn add_to_group(&mut self, set: Set, label: usize, group: &str, rest: &[&str], place: usize) {
        self.any_group = true;
        match rest {
            [] | ["", ..] => {}
            [file] => self.add_stray(format!("{group}/{file}")),
            [scan, inside @ ..] => {
                let key = (set, label, numeric_key(scan), format!("{group}/{scan}"));
                self.add_to_scan(key, inside, place);
            }
        }
    }

    fn add_to_scan(&mut self, scan: ScanKey, inside: &[&str], place: usize) {
        if let [below, _, ..] = inside {
            self.add_stray(format!("{}/{below}/", scan.3));
        }
        // A folder without files is a scan too.
        let files = self.scans.entry(scan).or_default();
        if let [file] = inside
            && !file.is_empty()
        {
            files.push((numeric_key(file), (*file).to_owned(), place));
        }
    }

    fn into_listing(self, names: usize) -> (FolderListing, Vec<Option<usize>>) {
        let mut numbers = vec![None; names];
        let mut listing = FolderListing { strays: self.strays.into_iter().collect(), ..FolderListing::default() };
        for ((.., folder), mut files) in self.scans {
            files.sort();
            for (_, file, place) in files {
                numbers[place] = Some(listing.files.len());
                listing.files.push(ListedSlice::picture(listing.scans.len(), file));
            }
            listing.scans.push(Scan::new(folder));
        }
        (listing, numbers)
    }
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
        let files: Vec<(usize, &str)> = listing.files.iter().map(|of| (of.scan, of.file.as_str())).collect();
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
        let walked = super::super::walk::folders(folder.path()).expect("walks");
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
