//! Audits after an audit: bit for bit those that read everything, and how much each reads.

use super::*;
use crate::data::phantom::{PhantomConfig, draw_phantom};
use crate::data::preprocess::{Crop, Stretch};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// A data set with defects, and the folder in which what audits see is kept.
struct Home {
    folder: TempDir,
    root: PathBuf,
}

impl Home {
    fn drawn() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("data");
        let few = PhantomConfig { train_scans: 4, val_scans: 3, prediction_scans: 1, ..PhantomConfig::default() };
        let config = PhantomConfig { size: 64, slices: 4, ..few };
        draw_phantom(&root, &config, |_| ()).expect("draws");
        Self { folder, root }
    }

    fn earlier(&self) -> EarlierAudit {
        EarlierAudit::beside(self.folder.path().join("kept"))
    }

    fn record(&self) -> PathBuf {
        self.folder.path().join("kept/inspected.bin")
    }

    /// As long after the last change that times tell it.
    fn audited_by(&self, earlier: &EarlierAudit, cache: WantedCache<'_>) -> Incremental {
        let later = SystemTime::now() + Duration::from_secs(10);
        let incremental = Audit::one_pass(&self.root, Some(earlier), cache, later, &|_| ()).expect("audits");
        let (whole, _) = Audit::in_one_pass(&self.root, None, |_| ()).expect("audits");
        assert_eq!(incremental.audit, whole);
        let bytes = |audit: &Audit, name: &str| {
            let at = self.folder.path().join(name);
            audit.write(&at).expect("writes");
            ["audit.json", "manifest.json", "manifest.parquet"].map(|file| fs::read(at.join(file)).expect("reads"))
        };
        assert!(bytes(&incremental.audit, "one") == bytes(&whole, "other"), "the files differ");
        incremental
    }

    fn audited(&self) -> Incremental {
        self.audited_by(&self.earlier(), None)
    }

    /// Audits; only the slices of this scan are read.
    fn reads_only(&self, scan: &str) {
        let again = self.audited();
        let manifest = again.audit.manifest();
        let of_scan = manifest.slices.iter().filter(|slice| manifest.scan_of(slice).folder == scan).count();
        assert!(of_scan > 0);
        assert_eq!((again.read(), again.notes), (of_scan, Vec::<String>::new()), "{scan}");
        assert_eq!(self.audited().read(), 0, "what was read is kept");
    }

    fn scan(&self, folder: &str) -> PathBuf {
        self.root.join(folder)
    }
}

#[test]
fn an_audit_after_an_audit_reads_the_scans_that_changed() {
    let home = Home::drawn();
    let first = home.audited();
    let slices = first.audit.manifest().slices.len();
    assert_eq!((first.taken, first.read_and_taken()), (0, format!("{slices} slices read.")));
    assert!(first.audit.findings().len() > 5, "the defects are seen");
    let written = fs::metadata(home.record()).expect("is there").modified().expect("a time");
    let second = home.audited();
    let said =
        format!("Nothing audited anew: {slices} slices taken from the earlier audit, of which no file has changed.");
    assert_eq!((second.read(), second.read_and_taken()), (0, said));
    assert_eq!(fs::metadata(home.record()).expect("is there").modified().expect("a time"), written, "is left alone");
    let scan = "train/covid/ct_scan_1";
    // Changed, with the same size.
    let path = home.scan(scan).join("0.jpg");
    let mut bytes = fs::read(&path).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4].fill(0);
    fs::write(&path, &bytes).expect("writes");
    home.reads_only(scan);
    // Nothing but a time.
    fs::File::options().write(true).open(&path).expect("opens").set_modified(SystemTime::UNIX_EPOCH).expect("sets");
    home.reads_only(scan);
    // A file goes, another comes.
    fs::remove_file(&path).expect("removes");
    home.reads_only(scan);
    fs::write(home.scan(scan).join("9.jpg"), "no picture").expect("writes");
    home.reads_only(scan);
    // A scan comes: the same patient with another label.
    let other = home.scan("val/non-covid/ct_scan_90");
    fs::create_dir(&other).expect("a folder");
    for file in fs::read_dir(home.scan("train/covid/ct_scan_2")).expect("lists").flatten() {
        fs::copy(file.path(), other.join(file.file_name())).expect("copies");
    }
    home.reads_only("val/non-covid/ct_scan_90");
    // A scan is renamed, and becomes one of another class: nothing is read, and the findings name it as it is now.
    fs::rename(&other, home.scan("val/covid/ct_scan_91")).expect("renames");
    let renamed = home.audited();
    assert_eq!(renamed.read(), 0);
    let twins = renamed.audit.findings().iter().filter_map(|of| of.with.as_deref());
    assert!(twins.filter(|with| with.starts_with("val/covid/ct_scan_91")).count() > 0);
    let size = fs::metadata(home.record()).expect("is there").len();
    fs::remove_dir_all(home.scan("val/covid/ct_scan_91")).expect("removes");
    assert_eq!((home.audited().read(), home.audited().read()), (0, 0));
    assert!(fs::metadata(home.record()).expect("is there").len() < size, "what is gone is not kept");
    // A table changes what is said of scans, and no slice.
    fs::write(home.root.join("patients.csv"), "path,patient\ntrain/covid/ct_scan_0,a\n").expect("writes");
    assert_eq!((home.audited().read(), home.audited().read()), (0, 0));
}

#[test]
fn a_file_that_was_just_written_is_read_again() {
    let now = SystemTime::now();
    let home = Home::drawn();
    let audit = |now| Audit::one_pass(&home.root, Some(&home.earlier()), None, now, &|_| ()).expect("audits").read();
    let later = SystemTime::now() + Duration::from_secs(10);
    let slices = audit(now);
    assert_eq!(audit(now), slices, "nothing was known again");
    assert_eq!((audit(later), audit(later)), (slices, 0));
    // What is too young is read again, whatever is known of it.
    assert_eq!(audit(now), slices);
}

#[test]
fn what_is_damaged_or_of_another_version_is_read_and_said() {
    let home = Home::drawn();
    let slices = home.audited().read();
    let whole = fs::read(home.record()).expect("reads");
    let at = home.record().display().to_string();
    for damaged in [&whole[..whole.len() / 2], b"", b"no record at all"] {
        fs::write(home.record(), damaged).expect("writes");
        let again = home.audited();
        assert_eq!(again.read(), slices);
        let said = format!("{at} is damaged: all slices are read.\n{slices} slices read.");
        assert!(again.to_string().ends_with(&format!("\n{said}")), "{again}");
        assert!(home.audited().notes.is_empty());
    }
    // One byte: the scan that it belongs to.
    let mut bytes = fs::read(home.record()).expect("reads");
    bytes[3000] ^= 1;
    fs::write(home.record(), bytes).expect("writes");
    let again = home.audited();
    assert!(again.read() > 0 && again.read() < slices, "{again}");
    assert_eq!(again.notes, [format!("{at} is damaged: 1 scan is not known from it.")]);
    assert_eq!(home.audited().read(), 0);
    let other = home.earlier().of_version(1);
    let again = home.audited_by(&other, None);
    assert_eq!(again.notes, [format!("{at} is of another version of this program: all slices are read.")]);
    assert_eq!((again.read(), home.audited_by(&other, None).read()), (slices, 0));
}

#[test]
fn files_that_are_not_what_they_seem_are_found_when_all_are_hashed() {
    let home = Home::drawn();
    home.audited();
    assert_eq!(home.audited_by(&home.earlier().verified(), None).read(), 0);
    // What was seen of two scans of as many slices is exchanged, as if their files had been, with their times.
    home.earlier().exchange_for_test(&home.root);
    let later = SystemTime::now() + Duration::from_secs(10);
    let audit = |earlier: &EarlierAudit| Audit::one_pass(&home.root, Some(earlier), None, later, &|_| ());
    let deceived = audit(&home.earlier()).expect("audits");
    assert_eq!(deceived.read(), 0);
    let again = home.audited_by(&home.earlier().verified(), None);
    assert!(again.read() > 0 && again.taken > 0, "{again}");
    let said = "The files of 2 scans have changed though their sizes and times have not; they are read.";
    assert_eq!(again.notes, [said]);
    assert_eq!(home.audited_by(&home.earlier().verified(), None).read(), 0);
}

#[test]
fn what_an_interrupted_audit_saw_is_not_read_again() {
    let home = Home::drawn();
    let later = SystemTime::now() + Duration::from_secs(10);
    let (manifest, files) = Manifest::before_reading(&home.root, &|_| ()).expect("lists");
    let stamp = |at: usize| FileStamp::of_file(&manifest.place_of_listed(&files[at]), later);
    let recall = Recall::of(&home.earlier(), &manifest, &files, stamp).expect("looks");
    let mut pass = Pass::begin(&manifest, &files, Some(recall), None, true, &|_| ()).expect("begins");
    let scans: Vec<usize> = pass.portions(2048).concat().into_iter().take(3).collect();
    let wanted = pass.slices_of(&scans);
    let read =
        manifest.read_listed(&files, &wanted, |index, slice, contents| pass.look(index, &manifest, slice, contents));
    let (slices, looked) = read.expect("reads");
    pass.saw(&scans, slices, looked).expect("keeps");
    assert!(!home.record().exists());
    pass.keep().expect("keeps");
    let again = home.audited();
    assert_eq!(again.taken, wanted.len());
    // An interrupted audit of what has changed keeps what was known.
    let changed = home.scan(&manifest.scans[files[0].scan].folder).join(&files[0].file);
    fs::write(changed, "no picture").expect("writes");
    let stamp = |at: usize| FileStamp::of_file(&manifest.place_of_listed(&files[at]), later);
    let recall = Recall::of(&home.earlier(), &manifest, &files, stamp).expect("looks");
    Pass::begin(&manifest, &files, Some(recall), None, true, &|_| ()).expect("begins").keep().expect("keeps");
    let of_changed = files.iter().filter(|file| file.scan == files[0].scan).count();
    assert_eq!(home.audited().taken, files.len() - of_changed);
}

#[test]
fn a_cache_that_is_not_there_is_built_and_one_that_is_there_is_opened() {
    let home = Home::drawn();
    let preprocess = Preprocess { size: 48, ..Preprocess::default() };
    let caches = home.folder.path().join("caches");
    let rows = |incremental: &Incremental| -> Vec<Vec<u8>> {
        let cache = incremental.cache.as_ref().expect("a cache");
        (0..cache.manifest().slices.len()).map(|slice| cache.pixels(slice).expect("a row")).collect()
    };
    let with_cache = || home.audited_by(&home.earlier(), Some((&caches, &preprocess)));
    let first = with_cache();
    let again = with_cache();
    assert_eq!((first.taken, again.read(), rows(&again) == rows(&first)), (0, 0, true));
    fs::remove_dir_all(&caches).expect("removes");
    let built = with_cache();
    assert_eq!((built.read(), rows(&built) == rows(&first)), (0, true));
    // For a new cache every slice is read.
    fs::write(home.scan("train/covid/ct_scan_1/0.jpg"), "no picture").expect("writes");
    let changed = with_cache();
    assert_eq!((changed.taken, rows(&changed).len()), (0, changed.audit.accepted().slices.len()));
    assert_eq!(home.audited().read(), 0, "what was read is kept");
}

#[test]
fn cropped_slices_of_one_pass_are_those_of_two() {
    let folder = tempfile::tempdir().expect("a folder");
    let (root, one) = (folder.path().join("data"), folder.path().join("one"));
    let config = PhantomConfig { size: 96, train_scans: 4, val_scans: 3, slices: 4, ..PhantomConfig::default() };
    draw_phantom(&root, &config, |_| ()).expect("draws");
    let audit = Audit::run(&Manifest::scan(&root, |_| ()).expect("scans"), |_| ()).expect("audits");
    let (crop, stretch) = (Crop::LUNGS, Stretch::LungToTissue);
    let preprocess = Preprocess { size: 48, crop, stretch, ..Preprocess::default() };
    let accepted = audit.accepted();
    let two = SliceCache::open_or_build(folder.path(), &accepted, &preprocess, |_| ()).expect("builds");
    let (again, cache) = Audit::in_one_pass(&root, Some((&one, &preprocess)), |_| ()).expect("one pass");
    let cache = cache.expect("a cache");
    assert_eq!(again, audit);
    assert!(accepted.slices.len() < audit.manifest().slices.len(), "files were left out");
    let all: Vec<usize> = (0..accepted.slices.len()).collect();
    for slice in &all {
        assert_eq!(cache.pixels(*slice).expect("a row"), two.pixels(*slice).expect("a row"), "slice {slice}");
    }
    assert_eq!(cache.with_lungs(&all).expect("rows"), two.with_lungs(&all).expect("rows"));
}
