//! Audits of folders in which not everything is a file.

mod foreign_slices;
mod whole_data_set;

use super::{Audit, Check};
use crate::base::table::Show as _;
use crate::data::manifest::Manifest;
use crate::data::opened::SLICE_AT_MOST;
use crate::data::phantom::{PhantomConfig, draw_phantom};
use rustix::fs::{CWD, Mode, mkfifoat};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

/// Fails where `work` waits for ever.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (to, from) = channel();
    std::thread::spawn(move || to.send(work()));
    from.recv_timeout(Duration::from_secs(120)).expect("it did not end")
}

fn pipe(path: &Path) {
    mkfifoat(CWD, path, Mode::from_raw_mode(0o600)).expect("a pipe");
}

fn found(audit: &Audit, check: Check) -> Vec<(&str, &str)> {
    let of_check = audit.findings().iter().filter(|finding| finding.check == check);
    of_check.map(|finding| (finding.path.as_str(), finding.detail.as_str())).collect()
}

#[test]
fn what_is_no_file_is_a_finding_and_the_audit_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("data");
    draw_phantom(&root, &PhantomConfig::tiny(), |_| ()).expect("draws");
    let whole = Audit::in_one_pass(&root, None, |_| ()).expect("audits").0;
    assert_eq!(whole.findings(), []);
    let scan = root.join("train/covid/ct_scan_0");
    pipe(&scan.join("90.jpg"));
    drop(UnixListener::bind(scan.join("91.jpg")).expect("a socket"));
    symlink("92.jpg", scan.join("92.jpg")).expect("links");
    symlink("nowhere.jpg", scan.join("93.jpg")).expect("links");
    symlink("/dev/zero", scan.join("94.jpg")).expect("links");
    fs::create_dir(scan.join("95.jpg")).expect("a folder");
    File::create(scan.join("96.jpg")).and_then(|file| file.set_len(SLICE_AT_MOST + 1)).expect("a sparse file");
    fs::create_dir(scan.join("more")).expect("a folder");
    pipe(&scan.join("more/IM0001"));
    symlink("..", scan.join("more/up")).expect("links");
    symlink("ct_scan_90", root.join("train/covid/ct_scan_90")).expect("links");
    pipe(&root.join("val/non-covid/ct_scan_90"));
    pipe(&root.join("val/labels"));
    let audit = in_time(move || Audit::in_one_pass(&root, None, |_| ())).expect("audits").0;
    let circle = "a link that leads back to itself";
    let expected = [
        ("train/covid/ct_scan_0/90.jpg", "a named pipe"),
        ("train/covid/ct_scan_0/91.jpg", "a socket"),
        ("train/covid/ct_scan_0/92.jpg", circle),
        ("train/covid/ct_scan_0/93.jpg", "a link to nothing"),
        ("train/covid/ct_scan_0/94.jpg", "a device"),
        ("train/covid/ct_scan_0/more/IM0001", "a named pipe"),
        ("train/covid/ct_scan_0/more/up", "a link to a folder in which it lies"),
        ("train/covid/ct_scan_90", circle),
        ("val/labels", "a named pipe"),
        ("val/non-covid/ct_scan_90", "a named pipe"),
    ];
    assert_eq!(found(&audit, Check::NotAFile), expected);
    let long = "256.0 MB, at most 256.0 MB are read";
    assert_eq!(found(&audit, Check::TooLarge), [("train/covid/ct_scan_0/96.jpg", long)]);
    let strays = ["train/covid/ct_scan_0/95.jpg/", "train/covid/ct_scan_0/more/"];
    assert_eq!(found(&audit, Check::StrayFile), strays.map(|path| (path, "stray")));
    assert_eq!(audit.findings().len(), 13, "{}", audit.table());
    assert_eq!((audit.accepted().slices, audit.left_out()), (whole.accepted().slices, 11));
}

#[test]
fn a_part_of_the_layout_that_is_no_folder_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    fs::create_dir_all(root.join("train/covid/ct_scan_0")).expect("folders");
    fs::create_dir_all(root.join("train/non-covid/ct_scan_0")).expect("folders");
    let error = || format!("{:#}", Manifest::scan(root, |_| ()).expect_err("a part is missing"));
    let said = |name: &str, what: &str| {
        format!("scanning a data set: {} should be a folder, found {what}", root.join(name).display())
    };
    symlink("elsewhere", root.join("val")).expect("links");
    assert_eq!(error(), said("val", "a link to nothing"));
    fs::remove_file(root.join("val")).expect("removes");
    fs::write(root.join("prediction"), "").expect("writes");
    assert_eq!(error(), said("prediction", "a file"));
    fs::remove_file(root.join("prediction")).expect("removes");
    fs::remove_dir_all(root.join("train/non-covid")).expect("removes");
    symlink("non-covid", root.join("train/non-covid")).expect("links");
    assert_eq!(error(), said("train/non-covid", "a link that leads back to itself"));
}

#[test]
fn new_scans_may_lie_beside_pipes_and_links_in_circles() {
    let folder = tempfile::tempdir().expect("a folder");
    let (drawn, new) = (folder.path().join("drawn"), folder.path().join("new"));
    draw_phantom(&drawn, &PhantomConfig::tiny(), |_| ()).expect("draws");
    fs::create_dir_all(new.join("a")).expect("a folder");
    fs::copy(drawn.join("prediction/ct_scan_0/0.jpg"), new.join("a/0.jpg")).expect("copies");
    pipe(&new.join("a/1.jpg"));
    symlink("..", new.join("a/b")).expect("links");
    symlink("c", new.join("c")).expect("links");
    File::create(new.join("a/2.jpg")).and_then(|file| file.set_len(SLICE_AT_MOST + 1)).expect("a sparse file");
    let path = new.clone();
    let manifest = in_time(move || Manifest::of_new_scans(path, |_| ())).expect("lists");
    let paths: Vec<String> = manifest.slices.iter().map(|slice| manifest.path(slice)).collect();
    assert_eq!(paths, ["new/a/0.jpg"]);
    let rejected: Vec<_> = manifest.rejected.iter().map(|of| (of.path.as_str(), of.detail.as_str())).collect();
    let expected = [
        ("new/a/1.jpg", "a named pipe"),
        ("new/a/2.jpg", "256.0 MB, at most 256.0 MB are read"),
        ("new/a/b", "a link to a folder in which it lies"),
        ("new/c", "a link that leads back to itself"),
    ];
    assert_eq!(rejected, expected);
    let path = new.join("a/1.jpg");
    let error = in_time(move || Manifest::of_new_scans(path, |_| ())).expect_err("a pipe").to_string();
    assert!(error.ends_with("a/1.jpg: expected a file or a folder, found a named pipe"), "{error}");
}

#[test]
fn one_patient_in_two_parts_or_classes_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("data");
    draw_phantom(&root, &PhantomConfig { defects: false, ..PhantomConfig::tiny() }, |_| ()).expect("draws");
    let audit = || {
        let (audit, _) = Audit::in_one_pass(&root, None, |_| ()).expect("audits");
        audit
    };
    let named = |audit: &Audit, check| {
        let found = audit.findings().iter().filter(|of| of.check == check);
        found.map(|of| (of.path.clone(), of.detail.clone(), of.with.clone())).collect::<Vec<_>>()
    };
    assert_eq!((audit().count(Check::PatientInParts), audit().count(Check::PatientInClasses)), (0, 0));
    // As a spreadsheet writes it where commas are for decimals.
    let table = "path;patient\ntrain/covid/ct_scan_0;A\nval/covid/ct_scan_0;A\ntrain/covid/ct_scan_1;B\ntrain/non-covid/ct_scan_0;B\n";
    std::fs::write(root.join("patients.csv"), table).expect("writes");
    let audit = audit();
    let of = |path: &str, detail: &str, with: &str| {
        vec![(path.to_owned(), format!("scans of one patient: {detail}"), Some(with.to_owned()))]
    };
    assert_eq!(
        named(&audit, Check::PatientInParts),
        of("train/covid/ct_scan_0", "1 train, 1 val", "val/covid/ct_scan_0")
    );
    assert_eq!(
        named(&audit, Check::PatientInClasses),
        of("train/covid/ct_scan_1", "1 covid, 1 non-covid", "train/non-covid/ct_scan_0")
    );
}

#[test]
fn archives_beside_scans_are_named_until_they_are_unpacked() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("data");
    draw_phantom(&root, &PhantomConfig { defects: false, ..PhantomConfig::tiny() }, |_| ()).expect("draws");
    for (name, bytes) in [("val2.tar.gz", ""), ("train.zip", ""), ("train/covid/more.RAR", ""), ("._val.zip", "")] {
        std::fs::write(root.join(name), bytes).expect("writes");
    }
    let (audit, _) = Audit::in_one_pass(&root, None, |_| ()).expect("audits");
    let found = audit.findings().iter().filter(|of| of.check == Check::PackedFiles).map(|of| of.path.as_str());
    // Of train.zip there is the folder.
    assert_eq!(found.collect::<Vec<_>>(), ["train/covid/more.RAR", "val2.tar.gz"]);
    assert!(audit.table().text().contains("Not read, and not counted here: what lies in 2 archives (packed-files)."));
}

#[test]
fn tables_beside_scans_are_named_as_long_as_there_is_none_of_patients() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("data");
    draw_phantom(&root, &PhantomConfig { defects: false, ..PhantomConfig::tiny() }, |_| ()).expect("draws");
    // Neither a text, nor a table in a folder that holds no scan, nor one in a slice's place.
    let scan = "train/covid/ct_scan_0";
    for name in ["metadata.csv", "Patients.csv.txt", "train/labels.XLSX", "notes.txt", "truth/x.csv", "train/._x.csv"] {
        std::fs::write(root.join(name), "patient\n").expect("writes");
    }
    std::fs::write(root.join(scan).join("x.csv"), "").expect("writes");
    let audited = || Audit::in_one_pass(&root, None, |_| ()).expect("audits").0;
    let paths = |audit: &Audit| {
        found(audit, Check::UnreadTable).into_iter().map(|(path, _)| path.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(paths(&audited()), ["Patients.csv.txt", "metadata.csv", "train/labels.XLSX"]);
    std::fs::write(root.join("patients.csv"), format!("path,patient\n{scan},a\n")).expect("writes");
    assert_eq!(paths(&audited()), [""; 0]);
}

#[test]
fn of_equal_pictures_the_one_that_is_named_a_copy_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("data");
    draw_phantom(&root, &PhantomConfig { defects: false, ..PhantomConfig::tiny() }, |_| ()).expect("draws");
    let scan = root.join("train/covid/ct_scan_0");
    std::fs::copy(scan.join("1.jpg"), scan.join("1 copy.jpg")).expect("copies");
    let (audit, _) = Audit::in_one_pass(&root, None, |_| ()).expect("audits");
    let twins = audit.findings().iter().filter(|of| of.check == Check::ExactDuplicate);
    let twins: Vec<_> = twins.map(|of| (of.path.as_str(), of.with.as_deref())).collect();
    assert_eq!(twins, [("train/covid/ct_scan_0/1 copy.jpg", Some("train/covid/ct_scan_0/1.jpg"))]);
}
