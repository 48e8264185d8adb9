//! An audit after an audit, as a user runs it: what is read, what is said, and that the files are those of a full audit.

use crate::dicom_writer::{Dicom, nifti};
use crate::support::{folder, grow_old, program, run_well, silent, small_phantom};
use crate::zips::{Entry, entry, zip};
use covid_ct::staging::{StageOptions, audit_archives, audit_archives_again};
use covid_ct::{Audit, EarlierAudit, PhantomConfig, draw_phantom};
use std::fs;
use std::path::Path;

/// What later steps read of an audit.
fn results(home: &Path) -> Vec<Vec<u8>> {
    let folder = home.join("data_manifest/data");
    ["audit.json", "manifest.json", "manifest.parquet"]
        .iter()
        .map(|name| fs::read(folder.join(name)).unwrap())
        .collect()
}

fn last_lines(said: &str) -> Vec<&str> {
    let lines: Vec<&str> = said.lines().filter(|line| line.contains(" slices read") || line.contains("anew")).collect();
    lines.into_iter().rev().take(1).collect()
}

#[test]
fn a_second_audit_reads_nothing_and_writes_the_same() {
    let (home, data) = (folder(), folder());
    let root = data.path().join("data");
    draw_phantom(&root, &PhantomConfig { size: 64, ..small_phantom() }, silent).expect("draws");
    // A whole JPEG but for the marker of its end.
    let cut = root.join("train/covid/ct_scan_1/0.jpg");
    let bytes = fs::read(&cut).expect("reads");
    fs::write(&cut, &bytes[..bytes.len() - 2]).expect("writes");
    grow_old();
    let whole = folder();
    let audit = |home: &Path, options: &[&str]| run_well(home, &root, &[&["audit"], options].concat());
    let first = audit(home.path(), &[]);
    let slices = Audit::in_one_pass(&root, None, silent).expect("audits").0.manifest().slices.len();
    assert_eq!(last_lines(&first), [format!("{slices} slices read.")]);
    let before = results(home.path());
    let nothing =
        format!("Nothing audited anew: {slices} slices taken from the earlier audit, of which no file has changed.");
    for options in [&[][..], &["--verify"]] {
        let said = audit(home.path(), options);
        assert_eq!(last_lines(&said), [nothing.as_str()], "{options:?}");
        assert!(results(home.path()) == before, "{options:?}");
    }
    // Other settings: all are read, and the result is that of an audit that knows nothing.
    let accepting = |home: &Path| {
        let output =
            program(home, &root).env("COVID_CT_NO_END_MARKER", "accept").arg("audit").output().expect("starts");
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    assert_eq!(last_lines(&accepting(home.path())), [format!("{slices} slices read.")]);
    accepting(whole.path());
    assert!(results(home.path()) == results(whole.path()) && results(home.path()) != before);
    assert_eq!(last_lines(&accepting(home.path())), [nothing.as_str()]);
    assert!(results(home.path()) == results(whole.path()));
}

#[test]
fn series_and_volumes_are_known_again() {
    let data = folder();
    let (root, kept) = (data.path().join("clinic"), data.path().join("kept"));
    for name in ["one", "two"] {
        for at in 0..4_i32 {
            let level = 10 * at - 100 * name.len() as i32;
            let slice = Dicom::slice(name, 2.5 * f64::from(at), 16).showing((0..256).map(move |v| v - 800 + level));
            slice.write(root.join(format!("train/covid/P1/{name}{at}")));
        }
    }
    let voxels = |first: i16| nifti([16, 16, 3], &(0..768).map(|v| first + v).collect::<Vec<_>>());
    fs::create_dir_all(root.join("val/covid")).expect("a folder");
    fs::write(root.join("val/covid/case.nii"), voxels(-1000)).expect("writes");
    grow_old();
    let earlier = EarlierAudit::beside(&kept);
    let audited = || {
        let again = Audit::incremental(&root, &earlier, None, silent).expect("audits");
        assert_eq!(again.audit, Audit::in_one_pass(&root, None, silent).expect("audits").0);
        again.read()
    };
    assert_eq!((audited(), audited()), (11, 0));
    fs::write(root.join("val/covid/case.nii"), voxels(-900)).expect("writes");
    grow_old();
    assert_eq!((audited(), audited()), (3, 0));
    let turned = Dicom::slice("one", 10.0, 16).showing((0..256).map(|v| v - 700));
    turned.write(root.join("train/covid/P1/one4"));
    grow_old();
    assert_eq!((audited(), audited()), (5, 0));
}

#[test]
fn archives_are_known_again() {
    let (home, source) = (folder(), folder());
    let root = home.path().join("data");
    draw_phantom(&root, &PhantomConfig { size: 64, ..small_phantom() }, silent).expect("draws");
    let entries = |parts: &[&str]| -> Vec<Entry> {
        let manifest = covid_ct::Manifest::scan(&root, silent).expect("scans");
        let paths = manifest.slices.iter().map(|slice| manifest.path(slice));
        let paths = paths.filter(|path| parts.iter().any(|part| path.starts_with(part)));
        paths.map(|path| entry(&path, &fs::read(root.join(&path)).expect("reads"))).collect()
    };
    let archive = |name: &str, entries: &[Entry]| fs::write(source.path().join(name), zip(entries, false)).unwrap();
    archive("covid.zip", &entries(&["train/covid/"]));
    archive("rest.zip", &entries(&["train/non-covid/", "val/"]));
    let url = format!("file://{}", source.path().display());
    let (earlier, options) = (EarlierAudit::beside(home.path().join("kept")), StageOptions::default());
    let audited = |earlier: &EarlierAudit| {
        let again = audit_archives_again(&url, &root, earlier, None, &options, silent).expect("audits");
        assert_eq!(again.audit, audit_archives(&url, &root, None, &options, silent).expect("audits").0);
        (again.read(), again.taken)
    };
    let (all, _) = audited(&earlier);
    assert_eq!(audited(&earlier), (0, all));
    assert_eq!(audited(&earlier.clone().verified()), (all, 0));
    // One archive is another: what is in it is read.
    let mut more = entries(&["train/non-covid/", "val/"]);
    let unchanged = all - more.len();
    more.push(entry("val/covid/ct_scan_90/0.jpg", &fs::read(root.join("val/covid/ct_scan_1/0.jpg")).expect("reads")));
    archive("rest.zip", &more);
    assert_eq!(audited(&earlier), (more.len(), unchanged));
    assert_eq!(audited(&earlier), (0, all + 1));
}
