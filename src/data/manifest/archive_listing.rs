//! The listing of a data set made from names alone, for archives that are not unpacked yet.

use super::arrangement::Arrangement;
use super::listing::FolderListing;
use crate::base::errors::Result;

/// Lists these files and folders (ending in `/`) as if they lay in one folder, and gives for each name the number of
/// its file in the listing; `None` for folders, strays, and all that is no part of the layout.
///
/// # Errors
/// Not one slice.
pub(crate) fn listing_of(names: &[String]) -> Result<(FolderListing, Vec<Option<usize>>)> {
    let (listing, numbers) = listed(names);
    listing.must_hold_slices(&"the archives")?;
    Ok((listing, numbers))
}

fn listed(names: &[String]) -> (FolderListing, Vec<Option<usize>>) {
    let (folders, files): (Vec<_>, Vec<_>) = (0..).zip(names).partition(|(_, name)| name.ends_with('/'));
    let paths = files.iter().map(|(_, name)| name.as_str()).collect();
    let arranged = Arrangement::of(paths, folders.iter().map(|(_, name)| name.as_str()), &|_| false);
    let (mut listing, layout, of_files) = arranged.into_listing();
    listing.mapped = layout.mapped;
    let mut numbers: Vec<Option<usize>> = vec![None; names.len()];
    for ((place, _), number) in files.into_iter().zip(of_files) {
        numbers[place] = number;
    }
    (listing, numbers)
}

#[cfg(test)]
mod tests {
    use super::super::{Rejection, layout::EXPECTED};
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
            // The folder between class and scan is looked through.
            [
                "train/covid/ct_scan_9",
                "train/covid/ct_scan_10",
                "train/non-covid/ct_scan_1/deep",
                "prediction/ct_scan_1"
            ]
        );
        let files: Vec<(usize, &str)> = listing.files.iter().map(|of| (of.scan, of.file.as_str())).collect();
        assert_eq!(files, [(1, "1.jpg"), (1, "2.jpg"), (1, "10.jpg"), (2, "1.jpg"), (3, "7.jpg")]);
        assert_eq!(listing.strays, ["train/notes.txt"]);
        let rejected: Vec<(&str, Rejection)> =
            listing.rejected.iter().map(|of| (of.path.as_str(), of.reason)).collect();
        assert_eq!(rejected, [("train/non-covid", Rejection::LoosePictures)]);
        assert_eq!(numbers[..3], [Some(1), Some(2), Some(0)]);
        assert_eq!((numbers[4], numbers[7], numbers[9], numbers[3]), (Some(3), Some(4), None, None));
    }

    #[test]
    fn folders_give_what_their_names_give() {
        let long = ["123456789012345678901234567890", "123456789012345678901234567891"];
        let names = [
            "val/non-covid/ct_scan_1/01.jpg".to_owned(),
            "val/non-covid/ct_scan_1/1.jpg".to_owned(),
            "val/non-covid/ct_scan_01/1.jpg".to_owned(),
            "val/covid/notes.txt".to_owned(),
            "val/covid/loose (1).jpg".to_owned(),
            "val/covid/site/ct_scan_1/IM-1-1.jpg".to_owned(),
            "val/covid/site/ct_scan_1/more/9.jpg".to_owned(),
            "val/covid/site/ct_scan_2/notes.txt".to_owned(),
            "valid/Positive/a/1.JPEG".to_owned(),
            "other/readme/1.png".to_owned(),
            "Test_set/COVID-19/a/7.png".to_owned(),
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
        let (walked, layout) = super::super::walk::folders(folder.path()).expect("walks");
        let (listed, _) = listing_of(&names).expect("lists");
        assert_eq!((&walked.scans, walked.scans.len()), (&listed.scans, 8));
        assert_eq!((walked.files, walked.strays), (listed.files, listed.strays));
        assert_eq!((walked.rejected, layout.mapped), (listed.rejected, listed.mapped));
    }

    #[test]
    fn pictures_of_a_class_beside_its_masks_are_no_scan_and_a_folder_of_tables_says_no_class() {
        let names = [
            "COVID/images/covid_1.png",
            "COVID/images/covid_2.png",
            "COVID/masks/covid_1.png",
            "normal/P1/images/1.png",
            "covid19_neg_subjects/x/1.png",
            "covid19_neg_subjects/derivatives/sars-cov-2/table.tsv",
            "covid19_neg_subjects/participants.tsv",
        ];
        let (listing, _) = listing_of(&names.map(str::to_owned)).expect("lists");
        let scans: Vec<_> = listing.scans.iter().map(|scan| (scan.folder.as_str(), scan.label)).collect();
        let non = Some(super::super::Label::NonCovid);
        assert_eq!(scans, [("covid19_neg_subjects/x", non), ("normal/P1/images", non)]);
        let mut rejected: Vec<_> = listing.rejected.iter().map(|of| (of.path.as_str(), of.reason)).collect();
        let expected = [
            ("COVID/images", Rejection::LoosePictures),
            ("COVID/masks", Rejection::UnknownFolder),
            ("covid19_neg_subjects/participants.tsv", Rejection::Table),
        ];
        rejected.sort_unstable_by_key(|(path, _)| *path);
        assert_eq!(rejected, expected);
    }

    #[test]
    fn what_is_no_data_set_is_refused() {
        let error = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            listing_of(&names).err().expect("refused").to_string()
        };
        let expected = format!(". Expected {EXPECTED}");
        assert_eq!(
            error(&["data/x/1.jpg", "data/y/1.jpg"]),
            format!(
                "there is no slice in the archives. Found data: 2 possible slices in 2 folders (data/x/1.jpg \
                 first), not read: no folder on the way is named as a part or a class{expected}"
            )
        );
        // Slices first, then tables, of which one is named.
        let many = error(&["a/labels.tsv", "a/x/1.jpg", "b/meta.csv", "b/train_split.txt", "b/train.json"]);
        assert!(many.contains("Found a: 1 possible slice in 1 folder"), "{many}");
        assert!(
            many.contains("a/labels.tsv: a table or an array that is not read") && many.contains("(3 more)"),
            "{many}"
        );
        assert_eq!(
            error(&["train/notes.txt"]),
            format!("there is no slice in the archives. Found train/notes.txt{expected}")
        );
        assert_eq!(
            error(&["readme.txt"]),
            format!("there is no slice in the archives. Found neither pictures nor scanners' files{expected}")
        );
    }
}
