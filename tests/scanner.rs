//! DICOM series and volumes: found, put in order, windowed, trained on, judged; nothing that is written names a patient.

use crate::dicom_writer::{Dicom, SECRETS, nifti};
use crate::support::{folder, run_well, silent};
use covid_ct::polars::prelude::{ParquetReader, SerReader};
use covid_ct::{
    Audit, Check, Label, Manifest, PhantomConfig, Preprocess, RunFolder, Set, SliceCache, Subset, Window, Workspace,
    decode_grey, draw_phantom,
};
use std::fs;
use std::path::{Path, PathBuf};

/// A slice in Hounsfield units: air, tissue around, and within it lungs of their own brightness.
fn disk(side: u16, level: i32) -> impl Iterator<Item = i32> {
    let middle = i32::from(side) / 2;
    (0..i32::from(side) * i32::from(side)).map(move |at| {
        let (x, y) = (at % i32::from(side) - middle, at / i32::from(side) - middle);
        let from_middle = 12 * (x * x + y * y) / (middle * middle);
        if from_middle >= 10 {
            -1000
        } else if from_middle >= 4 {
            40 + 8 * y
        } else {
            level + 8 * x
        }
    })
}

/// A series of slices from the feet up, whose InstanceNumber and names run down, as scanners write them.
fn series(name: &str, count: usize) -> impl Iterator<Item = Dicom> {
    (0..count).map(move |at| {
        let slice = Dicom::slice(name, 2.5 * at as f64, 32).showing(disk(32, 40 * at as i32 - 700));
        Dicom { number: count - at, ..slice }
    })
}

fn scanned(root: &Path) -> Manifest {
    Manifest::scan(root, silent).expect("scans")
}

fn slices_of<'a>(manifest: &'a Manifest, folder: &str) -> Vec<&'a str> {
    let of = manifest.slices.iter().filter(|slice| manifest.scan_of(slice).folder == folder);
    of.map(|slice| slice.at.as_deref().unwrap_or(&slice.file)).collect()
}

#[test]
fn a_series_is_a_scan_wherever_its_files_lie_in_the_order_of_its_positions() {
    let home = folder();
    let root = home.path().join("clinic");
    for slice in series("one", 4) {
        slice.write(root.join(format!("train/covid/P1/IM{:03}", slice.number)));
    }
    for (name, study) in [("two", "9.9"), ("three", "9.9")] {
        for (at, slice) in series(name, 3).enumerate() {
            let slice = Dicom { study: study.to_owned(), patient: "QX4711-same".to_owned(), ..slice };
            let shown = slice.stored.iter().map(|value| i32::from(*value) - 1000 - name.len() as i32 * 9);
            let slice = slice.clone().showing(shown);
            slice.write(root.join(format!("train/non-covid/P2/disk{at}/{name}.dcm")));
        }
    }
    let bytes = nifti([16, 16, 3], &(0..768).map(|v| v as i16 - 1000).collect::<Vec<_>>());
    fs::create_dir_all(root.join("val/covid")).expect("a folder");
    fs::write(root.join("val/covid/case.nii"), bytes).expect("writes");
    fs::create_dir_all(root.join("val/non-covid/ct_scan_1")).expect("a folder");

    let manifest = scanned(&root);
    let folders: Vec<&str> = manifest.scans.iter().map(|scan| scan.folder.as_str()).collect();
    let expected = [
        "train/covid/P1",
        "train/non-covid/P2/series-1",
        "train/non-covid/P2/series-2",
        "val/covid/case.nii",
        "val/non-covid/ct_scan_1",
    ];
    assert_eq!(folders, expected);
    assert_eq!(slices_of(&manifest, "train/covid/P1"), ["IM004", "IM003", "IM002", "IM001"]);
    let two: Vec<String> = (0..3).map(|at| format!("train/non-covid/P2/disk{at}/three.dcm")).collect();
    assert_eq!(slices_of(&manifest, "train/non-covid/P2/series-1"), two);
    assert_eq!(slices_of(&manifest, "val/covid/case.nii"), ["val/covid/case.nii"; 3]);
    let acquisition = manifest.scans[0].acquisition.as_ref().expect("a series");
    assert_eq!((acquisition.slice_distance, acquisition.thickness), (Some(2.5), Some(2.5)));
    assert_eq!((acquisition.size, acquisition.kernel.as_deref()), ((32, 32), Some("B70f")));
    // By study and PatientID two series are one patient's.
    assert_eq!(manifest.patients(), [vec![0], vec![1, 2], vec![3], vec![4]]);
    assert_eq!(manifest.scans[1].patient, manifest.scans[2].patient);
    let table = manifest.acquisitions(10).to_string();
    assert!(table.contains("B70f") && table.contains("LAS") && table.contains("1 scan of pictures"), "{table}");

    // On disk and back.
    manifest.write(home.path().join("list")).expect("writes");
    assert_eq!(Manifest::read(home.path().join("list")).expect("reads"), manifest);
    let frame = manifest.to_frame().expect("a frame");
    let formats = frame.column("format").expect("a column").str().expect("text").iter().flatten().collect::<Vec<_>>();
    assert_eq!((&formats[..10], &formats[10..]), (&["dicom"; 10][..], &["nifti"; 3][..]));

    // What the network sees is what the window shows, the patient's right on the left and anterior up.
    let audit = Audit::run(&manifest, silent).expect("audits");
    let preprocess = Preprocess { size: 16, ..Preprocess::default() };
    let cache = SliceCache::open_or_build(home.path(), &audit.accepted(), &preprocess, silent).expect("caches");
    let last = cache.manifest().slices.len() - 1;
    let level = |hu: f64| ((hu + 600.5) / 1499.0 + 0.5) * 255.0;
    let (pixels, corner) = (cache.pixels(last).expect("pixels"), (768 - 16 - 1000) as f64);
    // The file's rows run to the anterior, so its last row is on top; its columns run to the left already.
    assert_eq!((pixels[0], pixels[1]), (level(corner).round() as u8, level(corner + 1.0).round() as u8));
    let again = Audit::in_one_pass(&root, Some((home.path().join("other").as_path(), &preprocess)), silent);
    let (in_one, other) = again.expect("one pass");
    assert_eq!(in_one, audit);
    let other = other.expect("a cache");
    (0..=last).for_each(|slice| assert_eq!(other.pixels(slice).expect("pixels"), cache.pixels(slice).expect("pixels")));
}

#[test]
fn what_is_no_slice_of_a_scan_is_a_finding_and_never_part_of_one() {
    let home = folder();
    let root = home.path().join("clinic");
    let scan = root.join("train/covid/P1");
    for (at, slice) in series("one", 8).enumerate().filter(|(at, _)| *at != 3) {
        slice.write(scan.join(format!("{at}.dcm")));
    }
    let other = |change: &dyn Fn(&mut Dicom), name: &str| {
        let mut file = Dicom::slice("other", 0.0, 32).showing(disk(32, 0));
        change(&mut file);
        file.write(scan.join(name));
    };
    other(&|of| of.image_type = "ORIGINAL\\PRIMARY\\LOCALIZER".to_owned(), "scout");
    other(&|of| of.sop_class = "1.2.840.10008.5.1.4.1.1.7".to_owned(), "capture");
    other(&|of| (of.modality, of.sop_class) = ("PT".to_owned(), "1.2.840.10008.5.1.4.1.1.128".to_owned()), "pet");
    other(&|of| (of.modality, of.sop_class) = ("MR".to_owned(), "1.2.840.10008.5.1.4.1.1.4".to_owned()), "mr");
    other(&|of| (of.modality, of.sop_class) = ("SEG".to_owned(), "1.2.840.10008.5.1.4.1.1.66.4".to_owned()), "seg");
    let report = |of: &mut Dicom| {
        (of.modality, of.sop_class) = ("SR".to_owned(), "1.2.840.10008.5.1.4.1.1.88.67".to_owned());
        of.stored.clear();
    };
    other(&report, "dose");
    other(&|of| (of.orientation, of.series) = ([1.0, 0.0, 0.0, 0.0, 0.0, -1.0], "1.2.3.4.5".to_owned()), "coronal");
    for slice in series("one", 8).skip(5).take(1) {
        slice.write(scan.join("again.dcm"));
    }
    // Harmless damage: an end that is missing, a syntax that nobody reads, more pixels than a slice has.
    let whole = Dicom::slice("cut", 0.0, 32).bytes();
    fs::write(scan.join("cut.dcm"), &whole[..whole.len() - 600]).expect("writes");
    other(&|of| of.syntax = "1.2.3.4.5.6.7".to_owned(), "private.dcm");
    other(&|of| (of.side, of.series) = (60_000, "1.2.3.4.6".to_owned()), "huge.dcm");
    let mask: Vec<i16> = (0..16 * 16 * 3).map(|at| i16::from(at % 7 == 0)).collect();
    fs::write(scan.join("levels.nii"), nifti([16, 16, 3], &mask)).expect("writes");
    fs::write(scan.join("lung_mask.nii"), nifti([16, 16, 3], &mask)).expect("writes");
    fs::create_dir_all(root.join("train/non-covid")).expect("a folder");
    fs::write(scan.join("LICENSE"), "text").expect("writes");

    let manifest = scanned(&root);
    let audit = Audit::run(&manifest, silent).expect("audits");
    let found = |check: Check| -> Vec<(&str, &str)> {
        audit
            .findings()
            .iter()
            .filter(|of| of.check == check)
            .map(|of| (name_of(&of.path), of.detail.as_str()))
            .collect()
    };
    let names = |check| found(check).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(Check::NotCt), ["capture", "dose", "levels.nii", "lung_mask.nii", "mr", "pet", "scout", "seg"]);
    for (word, name) in [
        ("localizer", "scout"),
        ("PT", "pet"),
        ("MR", "mr"),
        ("or a mask", "levels.nii"),
        ("named as a mask", "lung_mask.nii"),
    ] {
        let detail = found(Check::NotCt).into_iter().find(|of| of.0 == name).expect(name).1;
        assert!(detail.contains(word), "{name}: {detail}");
    }
    assert_eq!(names(Check::NotAxial), ["coronal"]);
    assert_eq!(names(Check::RepeatedSlice).len(), 1);
    let [(_, gap)] = found(Check::MissingSlice)[..] else { panic!("one gap, found {:?}", found(Check::MissingSlice)) };
    assert!(gap.contains("1 missing by position: 1 after slice 2"), "{gap}");
    assert_eq!(names(Check::Truncated), ["cut.dcm"]);
    let unsupported = found(Check::Unsupported);
    assert!(
        unsupported.iter().any(|(name, detail)| *name == "private.dcm" && detail.contains("1.2.3.4.5.6.7")),
        "{unsupported:?}"
    );
    assert_eq!(names(Check::OversizedHeader), ["huge.dcm"]);
    let named = "its files hold the patient's name and birth date: remove it before you pass data on";
    let of_dicom = manifest.scans.iter().filter(|scan| !scan.folder.ends_with(".nii")).count();
    assert_eq!(found(Check::NamedPatient).iter().map(|(_, detail)| *detail).collect::<Vec<_>>(), vec![named; of_dicom]);
    assert_eq!((names(Check::StrayFile), names(Check::JunkFile).len()), (vec!["LICENSE"], 0));
    let accepted = audit.accepted();
    assert_eq!(accepted.slices.len(), 7, "{:?}", audit.findings());
    assert!(accepted.slices.iter().all(|slice| {
        accepted.scan_of(slice).acquisition.as_ref().is_some_and(|of| {
            of.series == manifest.scans[accepted.slices[0].scan].acquisition.as_ref().and_then(|of| of.series.clone())
        })
    }));
    assert!(audit.to_string().contains("not-ct"));
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A phantom as DICOM: the same pictures, through the lung window, with every scan a patient of its own.
fn clinic(home: &Path) -> PathBuf {
    let (drawn, root) = (home.join("drawn"), home.join("clinic"));
    let config = PhantomConfig {
        train_scans: 6,
        val_scans: 4,
        prediction_scans: 2,
        slices: 5,
        size: 64,
        defects: false,
        ..PhantomConfig::default()
    };
    draw_phantom(&drawn, &config, silent).expect("draws");
    let manifest = scanned(&drawn);
    for slice in &manifest.slices {
        let scan = manifest.scan_of(slice);
        let image = decode_grey(&fs::read(manifest.place_of(slice)).expect("reads")).expect("decodes");
        let values = image.pixels.iter().map(|level| (f64::from(*level) / 255.0 * 1499.0 - 1350.0).round() as i32);
        let number = slice.number.expect("a number");
        let file = Dicom::slice(&scan.folder, f64::from(number), 64).showing(values);
        file.write(root.join(&scan.folder).join(format!("{}.dcm", 1000 - number)));
    }
    root
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("lists").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn dicom_is_trained_on_judged_and_validated_and_nothing_that_is_written_names_a_patient() {
    let home = folder();
    let (root, work) = (clinic(home.path()), home.path().join("work"));
    // What goes wrong is told without saying whose it is.
    let odd = Dicom::slice("odd", 0.0, 64).showing(disk(64, 0));
    let scan = sorted(&root.join("train/covid"))[0].clone();
    Dicom { modality: "MR".to_owned(), ..odd.clone() }.write(scan.join("mr.dcm"));
    Dicom { syntax: "1.2.840.10008.1.2.4.55".to_owned(), series: "1.2.3.4.99".to_owned(), ..odd.clone() }
        .write(scan.join("syntax.dcm"));
    fs::write(scan.join("cut.dcm"), &odd.bytes()[..900]).expect("writes");
    fs::write(scan.join("short.dcm"), &odd.bytes()[..4000]).expect("writes");
    let step = |arguments: &[&str]| run_well(&work, &root, arguments);
    let mut said = step(&["audit"]);
    said += &step(&["train", "--network", "compact", "--small", "--size", "32", "--epochs", "2", "--device", "cpu"]);
    said += &step(&["evaluate", "--name", "compact"]);
    said += &step(&["predict", "--name", "compact"]);
    said += &step(&["explain", "--name", "compact", "--subset", "validation"]);
    // The same scans from elsewhere, in other folders and as an archive, give the same probabilities.
    let elsewhere = home.path().join("later");
    fs::create_dir_all(&elsewhere).expect("a folder");
    let known = root.join("prediction");
    for (number, scan) in sorted(&known).into_iter().enumerate() {
        fs::rename(scan, elsewhere.join(format!("visit {number}"))).expect("moves");
    }
    said += &step(&["predict", path(&elsewhere), "--name", "compact"]);
    let run = RunFolder::at(work.join("runs/clinic/compact"));
    let inference = run.inference().expect("reads");
    let new = run.judge(&elsewhere, silent).expect("judges");
    let probabilities =
        |of: &covid_ct::Inference| of.scans.iter().map(|scan| format!("{:.6}", scan.mean)).collect::<Vec<_>>();
    assert_eq!(probabilities(&new.inference), probabilities(&inference));
    let archive = home.path().join("two visits.zip");
    zipped(&elsewhere, &archive);
    let of_archive = run.judge(&archive, silent).expect("judges an archive");
    assert_eq!(probabilities(&of_archive.inference), probabilities(&inference));
    assert_eq!(of_archive.inference.scans[1].scan, "two visits/visit 1");
    said += &step(&["predict", path(&archive), "--name", "compact"]);
    // External validation by folders' names: the labelled scans of the validation set, moved elsewhere.
    let external = home.path().join("other hospital");
    fs::rename(root.join("val"), &external).expect("moves");
    said += &step(&["validate", path(&external), "--name", "compact"]);
    let (found, _) = run.external_validations(run.evaluation().expect("reads").weights).expect("reads");
    let evaluation = run.evaluation().expect("reads");
    let validation = evaluation.subset(Subset::Validation).expect("validation");
    let [found] = &found[..] else { panic!("one external validation, found {}", found.len()) };
    // They are the run's own.
    assert_eq!(found.own_scans, Some(found.matrices.scans.total() as usize));
    assert!(found.title().contains("LEAK") && said.contains("so that this is no external validation"), "{said}");
    assert_eq!((&found.matrices.slices, &found.matrices.scans), (&validation.slices, &validation.scans));
    fs::rename(&external, root.join("val")).expect("moves");
    sorted(&elsewhere).into_iter().for_each(|scan| {
        let number: usize = name_of(path(&scan)).trim_start_matches("visit ").parse().expect("a number");
        let folder = inference.scans[number].scan.clone();
        fs::create_dir_all(&known).expect("a folder");
        fs::rename(scan, root.join(folder)).expect("moves");
    });
    said += &step(&["report"]);
    let report = fs::read_to_string(work.join("report.html")).expect("reads");
    assert!(report.contains("External validation") && report.contains("lung (centre -600, width 1500 HU)"));
    let written = files(&work);
    assert!(written.iter().filter(|file| file.extension().is_some_and(|of| of == "parquet")).count() > 5);
    for file in written {
        let mut bytes = fs::read(&file).expect("reads");
        if file.extension().is_some_and(|ending| ending == "parquet") {
            // Compressed, so that its texts are not in its bytes.
            let table = fs::File::open(&file).expect("opens");
            let frame = ParquetReader::new(table).finish().expect("a frame");
            let texts = frame.columns().iter().filter_map(|column| column.str().ok());
            bytes.extend(texts.flat_map(|texts| texts.iter().flatten().collect::<Vec<_>>().join("\n").into_bytes()));
        }
        for secret in SECRETS {
            assert!(memchr::memmem::find(&bytes, secret.as_bytes()).is_none(), "{secret} is in {}", file.display());
        }
    }
    assert!(SECRETS.iter().all(|secret| !said.contains(secret)), "{said}");
}

/// An archive that holds the folder.
fn zipped(folder: &Path, archive: &Path) {
    let mut writer = zip::ZipWriter::new(fs::File::create(archive).expect("creates"));
    let above = folder.parent().expect("a folder");
    for file in files(folder) {
        let name = path(file.strip_prefix(above).expect("below"));
        writer.start_file(name, zip::write::FileOptions::default()).expect("begins");
        std::io::Write::write_all(&mut writer, &fs::read(&file).expect("reads")).expect("writes");
    }
    writer.finish().expect("finishes");
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).expect("lists").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    entries
}

#[test]
fn one_window_holds_for_all_and_another_is_another_cache() {
    let home = folder();
    let root = home.path().join("clinic");
    for (name, window) in [("lung first", ["-600\\50", "1500\\350"]), ("mediastinum first", ["50\\-600", "350\\1500"])]
    {
        let slice = Dicom::slice(name, 0.0, 32).showing(disk(32, -400));
        let window = Some(window.map(str::to_owned));
        Dicom { window, ..slice }.write(root.join(format!("prediction/{name}/1.dcm")));
    }
    let manifest = scanned(&root);
    let cached = |window: Window| {
        let preprocess = Preprocess { size: 32, window, ..Preprocess::default() };
        let cache =
            SliceCache::open_or_build(home.path().join("cache"), &manifest, &preprocess, silent).expect("caches");
        ([0, 1].map(|slice| cache.pixels(slice).expect("pixels")), cache.folder().to_owned())
    };
    let ([lung, same], one) = cached(Window::LUNG);
    assert_eq!(lung, same, "one rule for both, whatever the files name");
    let ([own, other], two) = cached(Window::File);
    assert!(own == lung && other != lung, "each file's own");
    let ([bright, _], three) = cached("-600/300".parse().expect("a window"));
    assert!(bright != lung && one != two && two != three);
    // 32 × 32 pixels are not resized, so that each is what the formula gives for −400 + x at the middle.
    assert_eq!(lung[32 * 16 + 16], (((-400.0_f64 + 600.5) / 1499.0 + 0.5) * 255.0).round() as u8);
}

#[test]
fn labels_come_from_a_table_of_scans_in_any_folders() {
    let home = folder();
    let root = home.path().join("archive");
    for (name, at) in [("a", "2021/x"), ("b", "2021/y/z"), ("c", "2022")] {
        series(name, 3).enumerate().for_each(|(number, slice)| slice.write(root.join(format!("{at}/{number}.dcm"))));
    }
    let said = run_well(home.path(), &root, &["labels", path(&root)]);
    assert!(said.contains("3 rows in "), "{said}");
    let table = fs::read_to_string(root.join("labels.csv")).expect("reads");
    let filled: Vec<String> = table
        .lines()
        .map(|line| match line {
            line if line.starts_with("2021/x,") => line.replacen(",,,", ",covid,train,Clinic A", 1),
            line if line.starts_with("2021/y/z,") => line.replacen(",,,", ",non-covid,val,Clinic B", 1),
            line => line.to_owned(),
        })
        .collect();
    fs::write(root.join("labels.csv"), filled.join("\r\n")).expect("writes");
    let manifest = scanned(&root);
    let said: Vec<_> =
        manifest.scans.iter().map(|of| (of.folder.as_str(), of.set, of.label, of.source.as_deref())).collect();
    let expected = [
        ("2021/x", Set::Train, Some(Label::Covid), Some("Clinic A")),
        ("2021/y/z", Set::Val, Some(Label::NonCovid), Some("Clinic B")),
        ("2022", Set::Prediction, None, None),
    ];
    assert_eq!(said, expected);
    assert!(manifest.scans.iter().all(|scan| scan.patient.is_some()));
    // A changed label is another data set.
    fs::write(root.join("labels.csv"), filled.join("\n").replace("non-covid", "covid")).expect("writes");
    assert_ne!(scanned(&root).hash(), manifest.hash());
    let again = crate::support::run(home.path(), &root, &["labels", path(&root)]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("exists already"));
    // By PatientID, which the table has and the manifest has not.
    fs::write(root.join("labels.csv"), "PatientID;diagnosis\nQX4711-a;1\nQX4711-b;0\nQX4711-z;0\n").expect("writes");
    let by_patient = scanned(&root);
    assert_eq!(by_patient.scans.iter().filter(|scan| scan.label.is_some()).count(), 2);
    let unmatched = &by_patient.rejected[0];
    assert!(unmatched.path == "labels.csv, line 4" && !unmatched.detail.contains("QX4711"), "{unmatched:?}");
}

#[test]
fn parts_and_folders_that_are_not_read_hold_for_volumes_and_series_below_a_class() {
    let home = folder();
    let root = home.path().join("sites");
    let volume: Vec<i16> = (0..16 * 16 * 3).map(|at| if at % 16 < 4 { -1000 } else { (at % 80) as i16 }).collect();
    for place in [
        "covid/site A/train/a.nii",
        "covid/site A/val/b.nii",
        "covid/site A/excluded/c.nii",
        "covid/site A/CT-Seg_20cases/d.nii",
        "covid/P1/ct.nii",
        "covid/P1/lung_masks/lungs.nii",
        "normal/site A/test/e.nii",
        "normal/site A/do not use/f.nii",
    ] {
        fs::create_dir_all(root.join(place).parent().expect("a folder")).expect("folders");
        fs::write(root.join(place), nifti([16, 16, 3], &volume)).expect("writes");
    }
    series("s", 4).enumerate().for_each(|(at, slice)| slice.write(root.join(format!("normal/site A/val/s/{at}.dcm"))));
    series("m", 4).enumerate().for_each(|(at, slice)| slice.write(root.join(format!("normal/site A/seg/m/{at}.dcm"))));
    let manifest = scanned(&root);
    let mut said: Vec<_> = manifest.scans.iter().map(|of| (of.folder.as_str(), of.set, of.label)).collect();
    said.sort_unstable();
    let (covid, non) = (Some(Label::Covid), Some(Label::NonCovid));
    let expected = [
        ("covid/P1", Set::Train, covid),
        ("covid/site A/CT-Seg_20cases", Set::Train, covid),
        ("covid/site A/train/a.nii", Set::Train, covid),
        ("covid/site A/val/b.nii", Set::Val, covid),
        ("normal/site A/test/e.nii", Set::Prediction, None),
        ("normal/site A/val/s", Set::Val, non),
    ];
    assert_eq!(said, expected);
    let audit = Audit::run(&manifest, silent).expect("audits");
    let unread = audit.findings().iter().filter(|of| of.check == Check::UnknownFolder);
    let expected = ["covid/P1/lung_masks", "covid/site A/excluded", "normal/site A/do not use", "normal/site A/seg"];
    assert_eq!(unread.map(|of| of.path.as_str()).collect::<Vec<_>>(), expected);
    // What else is read as train lies in no part.
    let without = audit.findings().iter().filter(|of| of.check == Check::NoPart);
    assert_eq!(without.map(|of| of.path.as_str()).collect::<Vec<_>>(), ["covid"]);
}

#[test]
fn a_scan_outside_of_a_data_set_is_named_from_its_folder_on() {
    let home = folder();
    let root = home.path().join("clinic");
    for slice in series("one", 3) {
        slice.write(root.join(format!("prediction/P1/{}.dcm", slice.number)));
    }
    let manifest = Manifest::of_new_scans(root.join("prediction/P1"), silent).expect("lists");
    assert_eq!((manifest.name.as_str(), manifest.scans[0].folder.as_str()), ("P1", "P1"));
    assert_eq!(slices_of(&manifest, "P1"), ["3.dcm", "2.dcm", "1.dcm"]);
    let one = Manifest::of_new_scans(root.join("prediction/P1/2.dcm"), silent).expect("lists one file");
    assert_eq!(one.slices.len(), 1);
    let work = Workspace::at(Some(home.path().join("work")), Some(root)).expect("opens");
    let data = work.dataset(silent).expect("is there");
    assert_eq!(scanned(&data).slices.len(), 3);
}

#[test]
fn what_one_patient_is_does_not_depend_on_a_partly_filled_table() {
    let home = folder();
    let root = home.path().join("archive");
    for (at, study) in [("first", "1.9"), ("second", "1.10")] {
        for slice in series(at, 2) {
            let slice = Dicom { patient: "QX4711-same".to_owned(), study: study.to_owned(), ..slice };
            slice.write(root.join(format!("{at}/{}.dcm", slice.number)));
        }
    }
    fs::write(root.join("labels.csv"), "path,label,set,patient\nfirst,1,val,Anna\nsecond,0,train,\n").expect("writes");
    let manifest = scanned(&root);
    assert_eq!(manifest.scans[1].patient.as_deref(), Some("Anna"), "{:?}", manifest.scans);
    assert_eq!(manifest.patients().len(), 1);
    // The number in the files is not shown, though tables give it, also to a volume that has none of its own.
    fs::create_dir(root.join("third")).expect("a folder");
    let values: Vec<i16> = (0..768).map(|value| value - 1000).collect();
    fs::write(root.join("third/case.nii"), nifti([16, 16, 3], &values)).expect("writes");
    fs::write(root.join("third/readme.txt"), "text").expect("writes");
    let own = "path,label,set,patient\nfirst,1,val,QX4711-same\nsecond,0,train,\nthird,0,train,QX4711-same\n";
    fs::write(root.join("labels.csv"), own).expect("writes");
    let manifest = scanned(&root);
    assert_eq!((manifest.scans.len(), manifest.patients().len()), (3, 1), "{:?}", manifest.scans);
    assert!(manifest.to_string().contains("name 1 patient") || manifest.to_string().contains("names 1 patient"));
    assert!(scanned(&root).scans.iter().all(|scan| scan.patient.as_ref().is_some_and(|of| !of.contains("QX4711"))));
    fs::remove_file(root.join("labels.csv")).expect("removes");
    fs::remove_dir_all(root.join("third")).expect("removes");
    fs::create_dir_all(root.join("prediction")).expect("a folder");
    for at in ["first", "second"] {
        fs::rename(root.join(at), root.join("prediction").join(at)).expect("moves");
    }
    fs::write(root.join("patients.csv"), "path,patient\nprediction/first,QX4711-same\n").expect("writes");
    assert!(scanned(&root).scans.iter().all(|scan| scan.patient.as_ref().is_some_and(|of| !of.contains("QX4711"))));
}

#[test]
fn pictures_in_the_root_and_names_that_collide_are_listed_once() {
    let home = folder();
    let root = home.path().join("flat");
    fs::create_dir(&root).expect("a folder");
    let accepted = crate::support::fixture().audit.accepted();
    for (slice, name) in accepted.slices.iter().step_by(9).zip(["1.jpg", "2.jpg", "3.jpg"]) {
        fs::copy(accepted.place_of(slice), root.join(name)).expect("copies");
    }
    let rows = "path,label,patient\n./1.jpg,covid,P1\n2.jpg,non-covid,P2\n3.jpg,covid,P1\n";
    fs::write(root.join("labels.csv"), rows).expect("writes");
    let manifest = scanned(&root);
    let said: Vec<_> = manifest.scans.iter().map(|of| (of.folder.as_str(), of.label)).collect();
    let covid = Some(Label::Covid);
    assert_eq!(said, [("1.jpg", covid), ("3.jpg", covid), ("2.jpg", Some(Label::NonCovid))]);
    assert_eq!(Audit::run(&manifest, silent).expect("audits").accepted().slices.len(), 3);

    let root = home.path().join("clinic");
    for (name, at) in [("one", "P1"), ("two", "P1"), ("three", "P1/series-1"), ("four", "P1/notes")] {
        series(name, 2).for_each(|slice| slice.write(root.join(format!("prediction/{at}/{name}{}.dcm", slice.number))));
    }
    fs::write(root.join("prediction/P1/readme.txt"), "text").expect("writes");
    let folders: Vec<String> = scanned(&root).scans.into_iter().map(|scan| scan.folder).collect();
    let expected = ["P1/notes", "P1/series-1", "P1/series-2", "P1/series-3"].map(|at| format!("prediction/{at}"));
    assert_eq!(folders, expected);
}
