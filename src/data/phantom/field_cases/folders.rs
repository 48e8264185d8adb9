//! Scans whose slices or folders have other names than the slides'.

use super::{CaseDrawing, Grey, SLICES};
use crate::base::errors::Result;

pub(super) fn draw(drawing: &mut CaseDrawing) -> Result<()> {
    foreign_names(drawing)?;
    foreign_folders(drawing)?;
    unread_folders(drawing)
}

impl CaseDrawing {
    /// Slices of a new patient from the feet up, under these names in natural order.
    fn named_scan(&mut self, folder: &str, class: usize, names: &[String]) -> Result<()> {
        let (patient, is_read) = (self.new_patient(), true);
        self.scans += 1;
        self.put(folder, patient, class, names, is_read)
    }

    fn put(&mut self, folder: &str, patient: usize, class: usize, names: &[String], is_read: bool) -> Result<()> {
        let slices: Vec<Grey> = self.slices(patient, class, names.len(), 0);
        for (name, grey) in names.iter().zip(&slices) {
            let (path, bytes) = (format!("{folder}/{name}"), self.jpeg(grey)?);
            match is_read {
                true => self.slice_file(path, patient, bytes),
                false => self.files.push((path, bytes)),
            }
        }
        Ok(())
    }

    /// Pictures that are part of no scan.
    fn unread(&mut self, folder: &str, class: usize, names: &[String]) -> Result<()> {
        let patient = self.new_patient();
        self.put(folder, patient, class, names, false)
    }
}

fn names(named: impl Fn(usize) -> String) -> Vec<String> {
    (0..SLICES).map(named).collect()
}

fn foreign_names(drawing: &mut CaseDrawing) -> Result<()> {
    // With nothing wrong: numbers of one series, of a series among others, from one, with zeros, endings in capitals.
    let healthy: [&dyn Fn(usize) -> String; 4] = [
        &|slice| format!("IM-0001-{:04}.jpg", slice + 1),
        &|slice| format!("NCP_96_1328_{slice:04}.JPEG"),
        &|slice| format!("Covid ({}).JPG", slice + 1),
        &|slice| format!("1-{:03}.jpg", 400 + slice),
    ];
    for named in healthy {
        let folder = drawing.new_folder(0);
        drawing.named_scan(&folder, 0, &names(named))?;
    }
    let folder = drawing.new_folder(0);
    let mixed = ["1-004.jpg", "1-005.jpg", "7.JPG", "8.jpeg", "IM-0001-0001.jpg", "slice_002.jpg"].map(str::to_owned);
    drawing.named_scan(&folder, 0, &mixed)?;
    drawing.note("doubtful-order", &[&folder], "slices named in four ways");
    let folder = drawing.new_folder(1);
    let repeated = ["0.jpg", "1.jpg", "02.jpg", "2.jpeg", "2.jpg", "3.jpg", "4.jpg"].map(str::to_owned);
    drawing.named_scan(&folder, 1, &repeated)?;
    drawing.note("repeated-number", &[&folder], "three slices with the number 2");
    let folder = drawing.new_folder(0);
    drawing.named_scan(&folder, 0, &names(|slice| format!("Normal ({slice}).jpg")))?;
    drawing.note("contradicting-name", &[&folder], "pictures named as of the other class");
    Ok(())
}

/// A scan with what was made of its slices beside them.
pub(super) fn derived_pictures(drawing: &mut CaseDrawing) -> Result<()> {
    let folder = drawing.new_folder(1);
    let bare = || (0..SLICES).map(|slice| format!("{slice}.jpg"));
    let made: Vec<String> = bare().chain(["2_flip.jpg", "3_mask.jpg"].map(str::to_owned)).collect();
    drawing.named_scan(&folder, 1, &made)?;
    for name in &made[SLICES..] {
        drawing.note("derived-picture", &[&format!("{folder}/{name}")], "named as made of another slice");
    }
    drawing.note("doubtful-order", &[&folder], "a slice and what is named as made of it");
    Ok(())
}

fn foreign_folders(drawing: &mut CaseDrawing) -> Result<()> {
    let bare = || names(|slice| format!("{slice}.jpg"));
    // With nothing wrong: other words, and a folder between class and scan.
    drawing.named_scan("validation_site2/Non COVID/0a4e7be0", 3, &bare())?;
    drawing.named_scan("val/covid/site 2/ct_scan_0", 2, &bare())?;
    drawing.named_scan("test_site2/COVID-19/ct_scan_0", 2, &bare())?;
    drawing.note("labelled-test", &["test_site2/COVID-19"], "a test set with classes");
    drawing.named_scan("site 3/COVID patients/ct_scan_0", 0, &bare())?;
    drawing.note("no-part", &["site 3/COVID patients"], "a class in no part");
    Ok(())
}

fn unread_folders(drawing: &mut CaseDrawing) -> Result<()> {
    let bare = || names(|slice| format!("{slice}.jpg"));
    drawing.unread("train/pneumonia/ct_scan_0", 1, &bare())?;
    drawing.note("unknown-folder", &["train/pneumonia"], "a class that is neither covid nor non-covid");
    drawing.unread("images/ct_scan_0", 1, &bare())?;
    drawing.note("unknown-folder", &["images"], "neither a part nor a class");
    let folder = drawing.new_folder(0);
    drawing.named_scan(&folder, 0, &bare())?;
    let inside = format!("{folder}/thumbnails");
    drawing.unread(&inside, 0, &bare())?;
    drawing.note("unknown-folder", &[&inside], "pictures in a folder of a scan");
    drawing.unread("train/non-covid", 1, &names(|slice| format!("Non-Covid ({slice}).jpg")))?;
    drawing.note("loose-pictures", &["train/non-covid"], "pictures in a class's folder");
    let archive = "train/covid/site 4.tar.gz";
    drawing.files.push((archive.to_owned(), vec![0x1F, 0x8B, 8, 0]));
    drawing.note("packed-files", &[archive], "an archive beside scans");
    let table = "train/metadata.xlsx";
    drawing.files.push((table.to_owned(), b"PK\x03\x04".to_vec()));
    drawing.note("unread-table", &[table], "a table of another kind than those that are read");
    Ok(())
}
