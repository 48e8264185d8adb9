//! A table of labels to be filled in.

use crate::base::errors::{Context, Result, ensure};
use crate::base::escape::csv_text;
use crate::base::files::write_whole;
use crate::base::progress::Progress;
use crate::data::manifest::folder_word::FolderWord;
use crate::data::manifest::layout::{FolderPlace, lies_in_class, words_on_the_way};
use crate::data::manifest::listing::FolderListing;
use crate::data::manifest::new_scans::anywhere_below;
use crate::data::manifest::patient_folders::are_patients;
use crate::data::manifest::patient_in_name::patient_before;
use crate::data::manifest::walk::walk;
use crate::data::manifest::{Manifest, Scan, stem};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

impl Manifest {
    /// Writes a table of the scans below `folder`, of any layout, with columns for label and set, filled in where names of folders
    /// say them, an empty one for source, and `patient`, filled in where DICOM files, or folders in classes, tell which scans are one
    /// patient's. Pictures that lie in the folder of a class itself have a row, and are a scan, each; those of a folder with
    /// many scans, told apart by the beginning of the pictures' names, have a row each with their scan, and with the patient where names
    /// say one (`NCP_96_1328_0005.png`: class, patient, scan). What lies in folders of masks,
    /// or such as are not to be used, has none. Returns the number of rows.
    ///
    /// # Errors
    /// No scan there, or a table that is there already: it may hold somebody's work.
    pub fn write_label_table(
        folder: impl AsRef<Path>,
        to: impl AsRef<Path>,
        progress: impl Fn(&Progress) + Sync,
    ) -> Result<usize> {
        let (folder, to) = (folder.as_ref(), to.as_ref());
        let doing = || format!("writing a table of labels {}", to.display());
        ensure!(!to.exists(), "{}: it exists already, and is not replaced", doing());
        ensure!(folder.is_dir(), "{}: {} is no folder", doing(), folder.display());
        let listing = anywhere_below(folder, &progress)?;
        ensure!(!listing.scans.is_empty(), "{}: there is no scan in {}", doing(), folder.display());
        let rows = template(&listing, &patients_by_folder(folder));
        ensure!(
            !rows.is_empty(),
            "{}: in {} are no scans but in folders named as of masks, or as not to be used",
            doing(),
            folder.display()
        );
        let has_pictures = rows.iter().any(|row| !row[5].is_empty());
        let columns = if has_pictures { 6 } else { 5 };
        let mut table = csv::Writer::from_writer(Vec::new());
        table.write_record(&["path", "label", "set", "source", "patient", "scan"][..columns])?;
        for row in &rows {
            table.write_record(&row[..columns])?;
        }
        let bytes = table.into_inner().map_err(|error| error.into_error()).with_context(doing)?;
        write_whole(to, &bytes).with_context(doing)?;
        Ok(rows.len())
    }
}

/// The patient of each scan of which an audit without a table would know one, by the scan's folder.
fn patients_by_folder(folder: &Path) -> HashMap<String, String> {
    // What is wrong there the audit says.
    let audited = walk(folder, &|_| {}).and_then(|listing| Manifest::listed(folder, listing));
    let named = audited.map(|mut manifest| {
        manifest.name_patients_by_folder();
        let patient = |scan: Scan| Some((scan.folder, scan.patient?));
        manifest.scans.into_iter().filter_map(patient).collect()
    });
    named.unwrap_or_default()
}

/// A row for each scan, or for each picture of a class's own folder: path, label, set, source, patient, scan.
fn template(listing: &FolderListing, patients: &HashMap<String, String>) -> Vec<[String; 6]> {
    // Numbered, for a keyed hash is another one on another machine.
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let mut numbered = |patient: String| {
        let next = numbers.len() + 1;
        format!("P{}", numbers.entry(patient).or_insert(next))
    };
    let mut rows = Vec::new();
    let words = words_on_the_way(listing.scans.iter().map(|scan| scan.folder.as_str()));
    let mut files = listing.files.chunk_by(|a, b| a.scan == b.scan).peekable();
    for (index, scan) in listing.scans.iter().enumerate() {
        let of_scan = files.next_if(|files| files[0].scan == index).unwrap_or_default();
        if words[index].iter().any(FolderWord::is_closed) {
            continue;
        }
        let place = FolderPlace::of(&words[index]).ok();
        let label = place.and_then(|place| place.label);
        let set = label.and(place).map_or(String::new(), |place| place.set.to_string());
        let label = label.map_or(String::new(), |label| label.to_string());
        let row = |path: &str, patient: Option<String>, scan: &str| {
            [csv_text(path), label.clone(), set.clone(), String::new(), patient.unwrap_or_default(), csv_text(scan)]
        };
        let pictures: Vec<String> =
            of_scan.iter().filter(|file| file.number.is_some()).map(|file| listing.path(file)).collect();
        // The pictures of a scan's own folder may be of two series, and are one patient's.
        let holds_many = lies_in_class(&words[index]) || listing.scans.len() == 1;
        if scan.acquisition.is_none() && holds_many && begin_with_scans(&pictures) {
            let patients = patients_in_names(&pictures);
            let patient = |path: &str| patients.get(before_number(path)).map(|name| format!("{}/{name}", scan.folder));
            rows.extend(pictures.iter().map(|path| row(path, patient(path).map(&mut numbered), before_number(path))));
        } else if lies_in_class(&words[index]) && scan.acquisition.is_none() {
            let mut stems: HashMap<&str, usize> = HashMap::new();
            pictures.iter().for_each(|path| *stems.entry(stem(name_of(path))).or_default() += 1);
            // `7.png` and `7.jpg` are two.
            let scan_of = |path| {
                let name = name_of(path);
                if stems[stem(name)] == 1 { stem(name) } else { name }
            };
            rows.extend(pictures.iter().map(|path| row(path, None, scan_of(path))));
        } else {
            let patient = scan.pseudonym().or(patients.get(&scan.folder));
            rows.push(row(&scan.folder, patient.cloned().map(&mut numbered), ""));
        }
    }
    rows
}

/// Pictures of a scan, at the least, by whose names scans are told apart.
const FEWEST: usize = 3;

/// Whether names of pictures begin with those of several scans: `NCP_96_1328_0005.png`.
fn begin_with_scans(pictures: &[String]) -> bool {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    pictures.iter().for_each(|path| *counts.entry(before_number(path)).or_default() += 1);
    let says_scan = |name: &str| name.contains(|c: char| c.is_ascii_digit());
    // Some scans of fewer pictures among others change nothing.
    let of_many = counts.values().filter(|count| **count >= FEWEST).count();
    of_many > 1 && 4 * of_many >= 3 * counts.len() && counts.keys().all(|name| says_scan(name))
}

/// The patients of scans by whose names those of pictures begin, by the scans' names.
fn patients_in_names(pictures: &[String]) -> HashMap<&str, &str> {
    let scans: BTreeSet<&str> = pictures.iter().map(|path| before_number(path)).collect();
    let named: HashMap<&str, &str> = scans.iter().filter_map(|scan| Some((*scan, patient_before(scan)?))).collect();
    let names: Vec<&str> = named.values().copied().collect();
    if are_patients(&names, 2, scans.len() > names.len()) { named } else { HashMap::new() }
}

/// A picture's name before its last number.
fn before_number(path: &str) -> &str {
    let stem = stem(name_of(path)).trim_end_matches(')');
    stem.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches(['_', '-', ' ', '(', '.'])
}

/// The name of the file at a path.
fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_folders_say_is_filled_in_and_loose_pictures_have_a_row_each() {
        let folder = tempfile::tempdir().expect("a folder");
        for file in [
            "train/COVID-19 (positive)/7.png",
            "train/COVID-19 (positive)/7.jpg",
            "train/COVID-19 (positive)/8.jpg",
            "val/normal/a/1.png",
            "test/b/1.png",
            "COVID images/CP/c/1.png",
            "COVID images/NCP/d/1.png",
        ] {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, "").expect("writes");
        }
        let path = folder.path().join("labels.csv");
        assert_eq!(Manifest::write_label_table(folder.path(), &path, |_| {}).expect("writes"), 7);
        let written = std::fs::read_to_string(&path).expect("reads");
        let expected = [
            "path,label,set,source,patient,scan",
            // Another class beside it: what is around both says nothing.
            "COVID images/CP/c,,,,,",
            "COVID images/NCP/d,covid,train,,,",
            "test/b,,,,,",
            "train/COVID-19 (positive)/7.jpg,covid,train,,,7.jpg",
            "train/COVID-19 (positive)/7.png,covid,train,,,7.png",
            "train/COVID-19 (positive)/8.jpg,covid,train,,,8",
            "val/normal/a,non-covid,val,,,",
        ];
        assert_eq!(written.lines().collect::<Vec<_>>(), expected);
        // As it is, it is read: three scans of one picture each, two more with a label, two without.
        let manifest = Manifest::scan(folder.path(), |_| {}).expect("scans");
        let labelled = manifest.scans.iter().filter(|scan| scan.label.is_some()).count();
        assert_eq!((manifest.scans.len(), labelled, manifest.rejected.len()), (7, 5, 0), "{:?}", manifest.rejected);
    }

    #[test]
    fn patients_by_folder_are_filled_in_and_masks_have_no_row() {
        let folder = tempfile::tempdir().expect("a folder");
        for file in [
            "COVID/Patient (1)/SR_0/1.png",
            "COVID/Patient (1)/SR_1/1.png",
            "COVID/Patient (2)/SR_0/1.png",
            "COVID/Patient (3)/SR_0/1.png",
            "normal/x/1.png",
            "normal/masks/x/1.png",
        ] {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, "").expect("writes");
        }
        let path = folder.path().join("labels.csv");
        Manifest::write_label_table(folder.path(), &path, |_| {}).expect("writes");
        let expected = [
            "path,label,set,source,patient",
            "COVID/Patient (1)/SR_0,covid,train,,P1",
            "COVID/Patient (1)/SR_1,covid,train,,P1",
            "COVID/Patient (2)/SR_0,covid,train,,P2",
            "COVID/Patient (3)/SR_0,covid,train,,P3",
            "normal/x,non-covid,train,,",
        ];
        assert_eq!(std::fs::read_to_string(&path).expect("reads").lines().collect::<Vec<_>>(), expected);
        let manifest = Manifest::scan(folder.path(), |_| {}).expect("scans");
        assert_eq!((manifest.scans.len(), manifest.patients().len()), (5, 4));
        let [unread] = &manifest.rejected[..] else { panic!("{:?}", manifest.rejected) };
        let why = "named as of masks, or as not to be used, and no row of labels.csv names it: not read";
        assert_eq!((unread.path.as_str(), unread.detail.as_str()), ("normal/masks/x", why));
        // A row that names it is believed.
        let named = std::fs::read_to_string(&path).expect("reads") + "normal/masks/x,covid,train,,\n";
        std::fs::write(&path, named).expect("writes");
        assert_eq!(Manifest::scan(folder.path(), |_| {}).expect("scans").scans.len(), 6);
    }

    #[test]
    fn pictures_of_many_scans_in_one_folder_are_told_apart_by_the_beginning_of_their_names() {
        let files = |names: &[&str]| -> Vec<String> { names.iter().map(|name| format!("images/{name}")).collect() };
        let many = ["NCP_96_1_0.png", "NCP_96_1_1.png", "NCP_96_1_2.png", "CP_7-10.png", "CP_7-11.png", "CP_7-12.png"];
        assert!(begin_with_scans(&files(&many)));
        assert_eq!(many.map(before_number)[2..4], ["NCP_96_1", "CP_7"]);
        // With one scan of two pictures among three.
        let three = ["NCP_97_1_0.png", "NCP_97_1_1.png", "NCP_97_1_2.png", "CP_8-1.png", "CP_8-2.png"];
        assert!(begin_with_scans(&files(&[&many[..], &three].concat())));
        // One scan, too few of one of two, names without a scan's number.
        assert!(!begin_with_scans(&files(&many[..3])) && !begin_with_scans(&files(&many[..5])));
        assert!(!begin_with_scans(&files(&["a 1.png", "a 2.png", "a 3.png", "b 1.png", "b 2.png", "b 3.png"])));
        assert_eq!(before_number("x/Covid (12).png"), "Covid");
        let of = |names: &[&str]| {
            let pictures = files(names);
            let mut found: Vec<_> =
                patients_in_names(&pictures).into_iter().map(|(a, b)| format!("{a}: {b}")).collect();
            found.sort();
            found
        };
        assert_eq!(
            of(&["NCP_96_1328_0.png", "NCP_96_1329_0.png", "CP_7_8_0.png", "Normal_1_2_0.png"]),
            ["CP_7_8: CP_7", "NCP_96_1328: NCP_96", "NCP_96_1329: NCP_96", "Normal_1_2: Normal_1"]
        );
        assert!(of(&["NCP_96_1_0.png", "NCP_97_2_0.png", "CP_7_3_0.png"]).is_empty(), "one scan each");
    }
}
