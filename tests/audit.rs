//! Every planted defect is found, as often as it was planted and nowhere else.

use crate::support::{fixture, folder, record, run, silent};
use covid_ct::{Audit, Check, Expectation, Label, Manifest, Severity};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

#[test]
fn each_planted_defect_is_found_once_where_it_was_planted() {
    let fixture = fixture();
    let mut planted: BTreeMap<&str, usize> = BTreeMap::new();
    for defect in &fixture.phantom.defects {
        *planted.entry(&defect.check).or_default() += 1;
        let check = Check::ALL.iter().find(|check| check.name() == defect.check).expect("a known check");
        let found: Vec<_> = fixture.audit.findings().iter().filter(|f| f.check == *check).collect();
        let here = found.iter().any(|finding| {
            let told = [Some(&finding.path), finding.with.as_ref()];
            match check {
                // Planted as the missing file, found as a gap in its scan.
                Check::MissingSlice => defect.paths[0].starts_with(&finding.path),
                _ => defect.paths.iter().all(|path| told.contains(&Some(path))),
            }
        });
        assert!(here, "{} planted at {:?}, found {found:#?}", defect.check, defect.paths);
    }
    assert_eq!(planted.len(), 18, "one defect of every kind: {planted:?}");
    for check in Check::ALL {
        let expected = planted.get(check.name()).copied().unwrap_or(0);
        assert_eq!(fixture.audit.count(*check), expected, "{check}: {}", fixture.audit.details(*check));
    }
}

#[test]
fn the_readme_counts_the_checks() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("reads");
    assert!(readme.contains(&format!(" {} checks,", Check::ALL.len())), "there are {} checks", Check::ALL.len());
}

#[test]
fn a_phantom_without_defects_is_clean() {
    let folder = folder();
    let config = covid_ct::PhantomConfig { defects: false, ..crate::support::small_phantom() };
    covid_ct::draw_phantom(folder.path(), &config, silent).expect("draws");
    let audit = Audit::run(&Manifest::scan(folder.path(), silent).expect("scans"), silent).expect("audits");
    assert!(audit.findings().is_empty(), "{:#?}", audit.findings());
    assert_eq!(audit.accepted().slices.len(), audit.manifest().slices.len());
}

#[test]
fn what_is_accepted_leaves_out_exactly_what_must_not_be_trained_on() {
    let fixture = fixture();
    let accepted: BTreeSet<String> = {
        let manifest = fixture.audit.accepted();
        manifest.slices.iter().map(|slice| manifest.path(slice)).collect()
    };
    let excluded = fixture.audit.excluded();
    for slice in &fixture.manifest.slices {
        let path = fixture.manifest.path(slice);
        assert_ne!(accepted.contains(&path), excluded.contains_key(&path), "{path} is neither in nor out");
    }
    assert!(excluded.values().all(|finding| finding.check.severity() == Severity::Exclude));
    let conflict = fixture.phantom.defects.iter().find(|d| d.check == "conflicting-label").expect("planted");
    for scan in &conflict.paths {
        assert!(!accepted.iter().any(|path| path.starts_with(&format!("{scan}/"))), "{scan} has a doubtful label");
    }
    let pair = fixture.phantom.defects.iter().find(|d| d.check == "same-patient").expect("planted");
    let told = &fixture.audit.accepted().same_patient;
    assert!(told.contains(&(pair.paths[0].clone(), pair.paths[1].clone())), "{told:?}");
    // A picture in two scans keeps these together, though the copy itself is left out.
    let copy = fixture.phantom.defects.iter().find(|d| d.check == "exact-duplicate").expect("planted");
    let mut scans = [0, 1].map(|at| copy.paths[at].rsplit_once('/').expect("a folder").0.to_owned());
    scans.sort();
    assert!(told.contains(&scans.clone().into()), "{told:?}");
    assert_eq!(told.len(), 3, "each pair once: {told:?}");
}

#[test]
fn a_dark_slice_is_neither_trained_on_nor_predicted_and_counted() {
    let folder = folder();
    let bright = fixture().root.join("train/covid/ct_scan_3/0.jpg");
    let dark = &fixture().phantom.defects.iter().find(|d| d.check == "nearly-black").expect("planted").paths[0];
    for scan in ["train/covid/ct_scan_0", "train/non-covid/ct_scan_0", "prediction/ct_scan_0"] {
        fs::create_dir_all(folder.path().join(scan)).expect("folder");
        fs::copy(&bright, folder.path().join(scan).join("0.jpg")).expect("copies");
        fs::copy(fixture().root.join(dark), folder.path().join(scan).join("1.jpg")).expect("copies");
    }
    let audit = Audit::run(&Manifest::scan(folder.path(), silent).expect("scans"), silent).expect("audits");
    assert_eq!(audit.count(Check::NearlyBlack), 3);
    let (excluded, accepted) = (audit.excluded(), audit.accepted());
    for scan in ["train/covid/ct_scan_0", "train/non-covid/ct_scan_0", "prediction/ct_scan_0"] {
        assert_eq!(excluded[&format!("{scan}/1.jpg")].check, Check::NearlyBlack);
        assert_eq!(accepted.left_out[scan]["nearly-black"], 1);
    }
    // Of the same picture three times the unlabelled one stays.
    assert_eq!(accepted.left_out["prediction/ct_scan_0"], [("nearly-black".to_owned(), 1)].into());
    assert_eq!(accepted.slices.len() + excluded.len(), audit.manifest().slices.len());
    assert!(audit.manifest().left_out.is_empty());
}

#[test]
fn slices_stand_in_numeric_order_with_their_labels() {
    let manifest = &fixture().manifest;
    for scan in manifest.slices_by_scan() {
        let numbers: Vec<u32> = scan.iter().filter_map(|&i| manifest.slices[i].number).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
    assert!(manifest.scans.iter().any(|s| s.folder == "train/covid/ct_scan_0" && s.label == Some(Label::Covid)));
    assert!(manifest.scans.iter().all(|s| (s.label.is_none()) == s.folder.starts_with("prediction/")));
    let places: Vec<_> = ["ct_scan_2", "ct_scan_10"]
        .map(|id| manifest.scans.iter().position(|s| s.folder == format!("train/covid/{id}")))
        .to_vec();
    assert!(places[0] < places[1], "ct_scan_2 before ct_scan_10");
}

#[test]
fn an_audit_is_read_back_and_a_changed_file_is_noticed() {
    let folder = folder();
    let audit = &fixture().audit;
    audit.write(folder.path()).expect("writes");
    assert_eq!(&Audit::read(folder.path()).expect("reads"), audit);
    let path = folder.path().join("manifest.json");
    let text = fs::read_to_string(&path).expect("text");
    fs::write(&path, text.replacen("train/covid/ct_scan_1\"", "train/covid/ct_scan_1x\"", 1)).expect("writes");
    let error = format!("{:#}", Audit::read(folder.path()).expect_err("changed by hand"));
    assert!(error.contains("manifest.json was changed or comes from elsewhere"), "{error}");
    record(&path);
    let error = format!("{:#}", Audit::read(folder.path()).expect_err("changed"));
    assert!(error.contains("manifest") && error.contains("train/covid/ct_scan_1"), "{error}");
    let label = r#""folder": "train/covid/ct_scan_1",
      "set": "train",
      "label": "#;
    assert!(text.contains(&format!("{label}\"covid\"")), "{text}");
    let swapped = text.replacen(&format!("{label}\"covid\""), &format!("{label}\"non-covid\""), 1);
    fs::write(&path, swapped).expect("writes");
    record(&path);
    let error = format!("{:#}", Audit::read(folder.path()).expect_err("another label"));
    assert!(error.contains("one of the two files was changed"), "{error}");
    // Another table, whole and readable, but not the one that was written.
    fs::write(&path, text).expect("writes");
    record(&path);
    fixture().audit.accepted().write(folder.path().join("other")).expect("writes");
    fs::copy(folder.path().join("other/manifest.parquet"), folder.path().join("manifest.parquet")).expect("copies");
    let error = format!("{:#}", Audit::read(folder.path()).expect_err("another table"));
    assert!(error.contains("manifest.parquet hashes to"), "{error}");
}

#[test]
fn patients_are_read_and_a_scan_of_two_patients_is_an_error() {
    let folder = folder();
    for (scan, slice) in [("train/covid/ct_scan_0", "0.jpg"), ("train/non-covid/ct_scan_0", "0.jpg")] {
        fs::create_dir_all(folder.path().join(scan)).expect("folder");
        fs::copy(fixture().root.join("train/covid/ct_scan_3/0.jpg"), folder.path().join(scan).join(slice))
            .expect("copies");
    }
    let patients = folder.path().join("patients.csv");
    fs::write(&patients, "path,patient,source\ntrain/covid/ct_scan_0/0.jpg,\"a, b\",x\n").expect("writes");
    let manifest = Manifest::scan(folder.path(), silent).expect("scans");
    assert_eq!(manifest.scans[0].patient.as_deref(), Some("a, b"));
    assert_eq!(manifest.scans[1].patient, None);
    fs::write(&patients, "path,patient\ntrain/covid/ct_scan_0/0.jpg,a\ntrain/covid/ct_scan_0/1.jpg,b\n")
        .expect("writes");
    let error = format!("{:#}", Manifest::scan(folder.path(), silent).expect_err("two patients"));
    assert!(error.contains("patients.csv") && error.contains("two patients, a and b"), "{error}");
    fs::write(&patients, "file,who\nx,y\n").expect("writes");
    let error = format!("{:#}", Manifest::scan(folder.path(), silent).expect_err("no columns"));
    assert!(error.contains("columns path and patient"), "{error}");
    fs::write(&patients, "path,patient\nelsewhere/ct_scan_0/0.jpg,a\n").expect("writes");
    let error = format!("{:#}", Manifest::scan(folder.path(), silent).expect_err("nothing matches"));
    assert!(error.contains("none of its 1 paths") && error.contains("found elsewhere/ct_scan_0/0.jpg"), "{error}");
}

#[test]
fn a_folder_that_is_no_data_set_is_told_so() {
    let folder = folder();
    fs::create_dir(folder.path().join("images")).expect("folder");
    let error = || format!("{:#}", Manifest::scan(folder.path(), silent).expect_err("no data set"));
    let start = format!("there is no slice in {}. Found ", folder.path().display());
    let nothing = error();
    assert!(
        nothing.starts_with(&format!("{start}neither pictures nor scanners' files. Expected train/{{covid,")),
        "{nothing}"
    );
    fs::copy(fixture().root.join("train/covid/ct_scan_3/0.jpg"), folder.path().join("images/7.jpg")).expect("copies");
    let unknown = "images: 1 possible slice in 1 folder (images/7.jpg first), not read: no folder on the way is named \
                   as a part or a class. Expected train/{covid,";
    assert!(error().starts_with(&format!("{start}{unknown}")), "{}", error());
    let nowhere = folder.path().join("nowhere");
    let error = format!("{:#}", Manifest::scan(&nowhere, silent).expect_err("no folder"));
    assert!(error.contains("nowhere is no folder"), "{error}");
}

/// Slices of different scans of the fixture under other names.
fn laid_out(root: &Path, paths: &[&str]) {
    let slices = fixture().manifest.slices.iter().map(|slice| fixture().root.join(fixture().manifest.path(slice)));
    let whole = slices.filter(|path| path.extension().is_some_and(|ending| ending == "jpg"));
    for (path, slice) in paths.iter().zip(whole) {
        fs::create_dir_all(root.join(path).parent().expect("a folder")).expect("folders");
        fs::copy(slice, root.join(path)).expect("copies");
    }
}

#[test]
fn folders_of_other_names_are_read_and_the_rest_is_named() {
    let folder = folder();
    let (root, mut paths) = (folder.path(), Vec::new());
    let scans = [
        "top/Training_1/COVID-19/patient 7/ct_1",
        "top/Training_1/COVID-19/patient 7/ct_2",
        "top/Training_1/normal/a",
        "top/valid/positive/b",
        "top/val/non_covid/c",
        "top/test/d",
    ];
    for scan in scans {
        paths.extend([1, 2].map(|slice| format!("{scan}/IM-0001-{slice:04}.JPEG")));
    }
    paths.extend(["top/Training_1/pneumonia/e/1.jpg", "top/Training_1/normal/x (1).jpg"].map(str::to_owned));
    laid_out(root, &paths.iter().map(String::as_str).collect::<Vec<_>>());
    let manifest = Manifest::scan(root, silent).expect("scans");
    let read: Vec<String> = manifest
        .scans
        .iter()
        .map(|of| format!("{} {} {:?} {:?}", of.folder, of.set, of.label, of.patient.as_deref().unwrap_or("–")))
        .collect();
    let patient = "\"top/Training_1/COVID-19/patient 7\"";
    let expected = [
        format!("{} train Some(Covid) {patient}", scans[0]),
        format!("{} train Some(Covid) {patient}", scans[1]),
        format!("{} train Some(NonCovid) \"–\"", scans[2]),
        format!("{} val Some(Covid) \"–\"", scans[3]),
        format!("{} val Some(NonCovid) \"–\"", scans[4]),
        format!("{} prediction None \"–\"", scans[5]),
    ];
    assert_eq!(read, expected);
    let numbers: Vec<_> = manifest.slices.iter().map(|slice| slice.number).collect();
    assert_eq!(numbers, [Some(1), Some(2)].repeat(6));
    assert!(!manifest.has_usual_layout() && fixture().manifest.has_usual_layout());
    let table = manifest.layout_table().to_string();
    let row = |folder: &str| {
        table.lines().find(|line| line.starts_with(folder)).unwrap_or_else(|| panic!("{table}")).to_owned()
    };
    let said = row("top/Training_1/COVID-19");
    assert!(said.ends_with("1 folder above scans looked through (patient 7), each a patient"), "{said}");
    assert!(row("top/valid/positive").contains("“valid” is the part, “positive” is the class"), "{table}");
    assert!(table.contains("Slices are ordered by the number in their names in 6 scans."), "{table}");
    let found: Vec<(Check, &str)> = manifest_findings(&manifest);
    assert_eq!(
        found,
        [(Check::UnknownFolder, "top/Training_1/pneumonia"), (Check::LoosePictures, "top/Training_1/normal")]
    );
    // Another layout is another data set, and both are read again as they were written.
    let written = crate::support::folder();
    manifest.write(written.path()).expect("writes");
    assert_eq!(Manifest::read(written.path()).expect("reads"), manifest);
}

/// What an audit says of names and folders.
fn manifest_findings(manifest: &Manifest) -> Vec<(Check, &str)> {
    let found = manifest.rejected.iter().map(|of| {
        let check = match of.reason {
            covid_ct::Rejection::UnknownFolder => Check::UnknownFolder,
            covid_ct::Rejection::LoosePictures => Check::LoosePictures,
            other => panic!("{other:?}"),
        };
        (check, of.path.as_str())
    });
    let mut found: Vec<_> = found.collect();
    found.sort();
    found
}

#[test]
fn names_that_are_not_utf_8_are_findings_and_the_audit_goes_on() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    laid_out(folder.path(), &["train/covid/a/1.jpg", "train/covid/b/1.jpg", "val/covid/c/1.jpg"]);
    let odd = |path: &[u8]| folder.path().join(std::ffi::OsStr::from_bytes(path));
    fs::write(odd(b"train/covid/a/2\xe9.jpg"), "").expect("writes");
    fs::rename(odd(b"train/covid/b"), odd(b"train/covid/M\xfcller")).expect("renames");
    let audit = Audit::in_one_pass(folder.path(), None, silent).expect("audits").0;
    let found: Vec<&str> =
        audit.findings().iter().filter(|of| of.check == Check::UnreadableName).map(|of| of.path.as_str()).collect();
    assert_eq!(found, [r"train/covid/M\xfcller", r"train/covid/a/2\xe9.jpg"]);
    assert_eq!((audit.manifest().scans.len(), audit.accepted().slices.len()), (2, 2), "{}", audit.table());
}

#[test]
fn a_link_to_nothing_is_a_finding() {
    let folder = folder();
    let scan = folder.path().join("train/covid/ct_scan_0");
    fs::create_dir_all(&scan).expect("folder");
    std::os::unix::fs::symlink("nowhere.jpg", scan.join("0.jpg")).expect("links");
    fs::copy(fixture().root.join("train/covid/ct_scan_3/0.jpg"), scan.join("1.jpg")).expect("copies");
    let (audit, _) = Audit::in_one_pass(folder.path(), None, silent).expect("audits");
    assert_eq!((audit.count(Check::NotAFile), audit.accepted().slices.len()), (1, 1));
}

#[test]
fn the_slides_expectation_is_read_and_differences_are_counted() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("data_manifest/cov19-ct-db.json");
    let expected = Expectation::read(&file).expect("reads");
    let table = fixture().audit.against(&expected);
    assert!(!fixture().audit.fits(&expected), "the phantom is not COV19-CT-DB");
    assert!(table.rows().iter().any(|row| row[0] == "train covid: slices" && row[1] == "153,680"), "{table}");
    let folder = folder();
    let output = run(folder.path(), &fixture().root, &["audit", "--expect", file.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(3), "a difference has its own exit code");
}

#[test]
fn an_expectation_that_is_met_fits() {
    let fixture = fixture();
    let black = fixture.phantom.defects.iter().find(|d| d.check == "black-slice").expect("planted");
    let scan = black.paths[0].split('/').nth(2).expect("a scan");
    let (scans, slices) = fixture.manifest.counts(covid_ct::Set::Val, Some(Label::Covid));
    let folder = folder();
    let path = folder.path().join("expected.json");
    let text = format!(
        r#"{{"dataset":"phantom","source":"drawn","notes":[],
            "counts":[{{"set":"val","label":"covid","scans":{scans},"slices":{slices}}}],
            "known_defects":[{{"check":"black-slice","set":"val","label":"covid","scan":"{scan}","count":1,"files":[]}}]}}"#
    );
    fs::write(&path, text).expect("writes");
    let expected = Expectation::read(&path).expect("reads");
    assert!(fixture.audit.fits(&expected), "{}", fixture.audit.against(&expected));
}
