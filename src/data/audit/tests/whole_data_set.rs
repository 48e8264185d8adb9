//! What is said of whole scans beside the others, and of the data set.

use super::found;
use crate::base::table::Show as _;
use crate::data::audit::{Audit, Check};
use crate::data::decode::{decode_grey, encode_png};
use crate::data::phantom::{PhantomConfig, draw_phantom};
use std::fs;
use std::path::{Path, PathBuf};

/// A phantom without defects.
fn drawn(folder: &Path) -> PathBuf {
    let root = folder.join("data");
    let config = PhantomConfig { size: 128, slices: 8, defects: false, ..PhantomConfig::tiny() };
    draw_phantom(&root, &config, |_| ()).expect("draws");
    root
}

fn audit(root: &Path) -> Audit {
    Audit::in_one_pass(root, None, |_| ()).expect("audits").0
}

/// Changes the grey levels of every slice of a scan.
fn change(scan: &Path, level: impl Fn(&[u8], usize) -> u8) {
    for entry in fs::read_dir(scan).expect("lists") {
        let path = entry.expect("an entry").path();
        let image = decode_grey(&fs::read(&path).expect("reads")).expect("a picture");
        let pixels: Vec<u8> = (0..image.pixels.len()).map(|at| level(&image.pixels, at)).collect();
        fs::remove_file(&path).expect("removes");
        fs::write(path.with_extension("png"), encode_png(image.width, &pixels).expect("a picture")).expect("writes");
    }
}

#[test]
fn a_scan_that_is_blurred_as_a_whole_and_one_through_a_very_wide_window_are_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = drawn(folder.path());
    let [blurred, wide] = ["train/covid/ct_scan_0", "train/non-covid/ct_scan_1"].map(|scan| root.join(scan));
    // The mean of a row's 17 nearest.
    change(&blurred, |pixels, at| {
        let near = &pixels[at.saturating_sub(8)..pixels.len().min(at + 9)];
        (near.iter().map(|level| u32::from(*level)).sum::<u32>() / near.len() as u32) as u8
    });
    // Of the window from -1350 to 150 HU what one from -1350 to 3700 shows.
    change(&wide, |pixels, at| (f32::from(pixels[at]) * 1500.0 / 5050.0).round() as u8);
    let audit = audit(&root);
    let of_blurred = found(&audit, Check::Blurred);
    assert!(
        matches!(of_blurred[..], [("train/covid/ct_scan_0", said)] if said.starts_with("the whole scan")),
        "{of_blurred:?}"
    );
    let of_wide = found(&audit, Check::WideWindow);
    assert!(of_wide.len() >= 4, "{of_wide:?}");
    assert!(of_wide.iter().all(|(path, _)| path.starts_with("train/non-covid/ct_scan_1/")), "{of_wide:?}");
}

#[test]
fn a_validation_set_of_one_class_is_pointed_out_and_none_at_all_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = drawn(folder.path());
    let said =
        || audit(&root).table().text().lines().find(|line| line.starts_with("The validation set")).map(str::to_owned);
    assert_eq!(said(), None);
    fs::remove_dir_all(root.join("val/covid")).expect("removes");
    assert!(said().is_some_and(|said| said.contains("has no scan of covid,")), "{:?}", said());
    fs::remove_dir_all(root.join("val")).expect("removes");
    assert_eq!(said(), None, "a part of train is taken");
}

#[test]
fn folders_of_classes_around_those_of_parts_are_read_and_no_part_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (drawn, root) = (drawn(folder.path()), folder.path().join("class first"));
    for (from, to) in ["train/covid", "val/covid", "train/non-covid", "val/non-covid"].map(|from| {
        let (part, class) = from.split_once('/').expect("two");
        (drawn.join(from), root.join(class).join(part))
    }) {
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        fs::rename(from, to).expect("moves");
    }
    let audit = audit(&root);
    assert_eq!(audit.findings(), []);
    let table = audit.manifest().layout_table();
    let folders: Vec<&str> = table.rows().iter().map(|row| row[0].as_str()).collect();
    assert_eq!(folders, ["covid/train", "non-covid/train", "covid/val", "non-covid/val"]);
    // A class without a part of its own is still pointed out.
    fs::rename(root.join("covid/val"), root.join("covid/ct_scan_9")).expect("moves");
    assert_eq!(self::audit(&root).count(Check::NoPart), 1);
}
