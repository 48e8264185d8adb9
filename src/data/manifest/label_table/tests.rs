//! Tables of labels in the forms that people keep them in.

use super::*;
use crate::data::manifest::Manifest;
use crate::data::manifest::root_tables::RootTables;

fn table(text: &str) -> LabelTable {
    LabelTable::parsed("labels.csv".to_owned(), text.as_bytes(), Sets::Read).expect("a table")
}

fn error(text: &str) -> String {
    format!("{:#}", LabelTable::parsed("labels.csv".to_owned(), text.as_bytes(), Sets::Read).expect_err("no table"))
}

/// Pictures in these folders, `0.jpg` and on.
fn folders(folders: &[(&str, usize)]) -> FolderListing {
    let scans = folders.iter().map(|(folder, _)| Scan::new((*folder).to_owned())).collect();
    let picture = |scan| move |number| ListedSlice::picture(scan, format!("{number}.jpg"));
    let files = folders.iter().enumerate().flat_map(|(scan, (_, count))| (0..*count).map(picture(scan))).collect();
    FolderListing { scans, files, ..FolderListing::default() }
}

type Said<'a> = (&'a str, Set, Option<Label>, Option<&'a str>);

fn said(listing: &FolderListing) -> Vec<Said<'_>> {
    listing.scans.iter().map(|of| (of.folder.as_str(), of.set, of.label, of.patient.as_deref())).collect()
}

#[test]
fn a_table_gives_sets_labels_and_patients_in_any_of_its_forms() {
    let forms = [
        "path,label,set,patient\na/1,covid,train,P1\na/2,non-covid,val,P2\n",
        "\u{feff}Path;Diagnosis;Split;Patient ID\r\na/1/0.jpg;Positive;training;P1\r\na\\2;negative;validation;P2\r\n",
        "scan\tlabel\tset\tsubject\n1\t1\tTrain\tP1\n2\t0\tvalid\tP2\n",
        "file,label (positive: pneumonia),set,patient\n./a/1,Pneumonia,,P1\na/2/,clear,val,P2\n",
    ];
    for form in forms {
        let listing = table(form).apply(folders(&[("a/1", 2), ("a/2", 3), ("a/3", 1)])).expect(form);
        let expected = [
            ("a/1", Set::Train, Some(Label::Covid), Some("P1")),
            ("a/2", Set::Val, Some(Label::NonCovid), Some("P2")),
            ("a/3", Set::Prediction, None, None),
        ];
        assert_eq!(said(&listing), expected, "{form}");
        assert_eq!(listing.files.len(), 6);
    }
}

#[test]
fn paths_that_begin_elsewhere_and_names_without_endings_are_found_where_there_is_one() {
    let labelled = |text: &str, listing: FolderListing| -> Vec<(String, Option<Label>)> {
        let listing = table(text).apply(listing).expect(text);
        let scans = listing.scans.iter().filter(|scan| scan.label.is_some());
        scans.map(|scan| (scan.folder.clone(), scan.label)).collect()
    };
    let (covid, non) = (Some(Label::Covid), Some(Label::NonCovid));
    let scans = || folders(&[("ct/a/1", 2), ("ct/b/2", 3)]);
    let expected = [("ct/a/1".to_owned(), covid), ("ct/b/2".to_owned(), non)];
    for text in
        ["path,label\n/home/x/ct/a/1,1\n/home/x/ct/b/2,0\n", "path,label\na/1,1\nb/2,0\n", "folder,label\n1,1\n2,0\n"]
    {
        assert_eq!(labelled(text, scans()), expected, "{text}");
    }
    let volumes = || {
        let names = ["s/CT-0/study_1.nii.gz", "s/CT-1/study_2.nii"];
        let scans = names.map(|name| Scan::new(name.to_owned())).to_vec();
        FolderListing { scans, ..FolderListing::default() }
    };
    for text in ["scan,label\nstudy_1,0\nstudy_2,1\n", "file,label\nstudy_1.nii.gz,0\nstudy_2.nii,1\n"] {
        let found = labelled(text, volumes());
        assert_eq!(found, [("s/CT-1/study_2.nii".to_owned(), covid), ("s/CT-0/study_1.nii.gz".to_owned(), non)]);
    }
    // Pictures of many patients in one folder, by their names alone; the column `scan` names none of them.
    let names = folders(&[("images", 3)]);
    let found = labelled("image_name,label\n0,covid\n2.jpg,normal\n", names);
    assert_eq!(found, [("images/0.jpg".to_owned(), covid), ("images/2.jpg".to_owned(), non)]);
    assert!(table("scan,label\n0,covid\n2,normal\n").apply(folders(&[("images", 3)])).is_err());
    // Of two scans none is guessed; where one row has the path as it is, so have all.
    let twice = || folders(&[("a/1", 1), ("b/1", 1), ("b/2", 1)]);
    assert_eq!(labelled("path,label\n1,1\n2,0\n", twice()), [("b/2".to_owned(), non)]);
    assert_eq!(labelled("path,label\na/1,1\n2,0\n", twice()), [("a/1".to_owned(), covid)]);
}

/// Two scans of one patient would otherwise lie on both sides of a split.
#[test]
fn patients_by_folder_are_joined_where_a_table_names_none() {
    let patients = |rows: &str, scans: &[&str]| -> Vec<Option<String>> {
        let listing = folders(&scans.iter().map(|scan| (*scan, 1)).collect::<Vec<_>>());
        let mut listing = table(rows).apply(listing).expect(rows);
        listing.scans.sort_by(|a, b| a.folder.cmp(&b.folder));
        let labels = listing.labels;
        let root = tempfile::tempdir().expect("a folder");
        let mut manifest = Manifest::listed(root.path(), listing).expect("a manifest");
        manifest.tables = Some(RootTables { labels, ..RootTables::default() });
        manifest.name_patients_by_folder();
        manifest.scans.into_iter().map(|scan| scan.patient).collect()
    };
    let named = |names: &[&str]| names.iter().map(|name| Some((*name).to_owned())).collect::<Vec<_>>();
    let scans = ["data/patient_1/a", "data/patient_1/b", "data/patient_2/c"];
    let rows = "path,label\ndata/patient_1/a,1\ndata/patient_1/b,1\ndata/patient_2/c,0\n";
    assert_eq!(patients(rows, &scans), named(&["data/patient_1", "data/patient_1", "data/patient_2"]));
    // At the root, below classes, and by the beginnings of names.
    let scans = ["patient_1/a", "patient_1/b", "patient_2/c"];
    let rows = "path,label\npatient_1/a,1\npatient_1/b,1\npatient_2/c,0\n";
    assert_eq!(patients(rows, &scans), named(&["patient_1", "patient_1", "patient_2"]));
    let scans = ["x/covid/100/a", "x/covid/100/b", "x/covid/101/a", "x/normal/103/a"];
    let rows = "path,label\nx/covid/100/a,1\nx/covid/100/b,1\nx/covid/101/a,1\nx/normal/103/a,0\n";
    assert_eq!(patients(rows, &scans)[..2], named(&["x/covid/100", "x/covid/100"]));
    let rows = "path,label\nx/P001_scan1,1\nx/P001_scan2,1\nx/P002_scan1,1\nx/P003_scan1,1\n";
    let scans = ["x/P001_scan1", "x/P001_scan2", "x/P002_scan1", "x/P003_scan1"];
    assert_eq!(patients(rows, &scans)[..2], named(&["x/P001", "x/P001"]));
    // What the table says stays, and folders of many patients are none.
    let rows = "path,label,patient\nsite 1/a,1,\nsite 1/b,1,Anna\nsite 2/c,0,\n";
    let found = patients(rows, &["site 1/a", "site 1/b", "site 2/c"]);
    assert_eq!(found, [None, Some("Anna".to_owned()), None]);
}

#[test]
fn of_three_labels_the_header_says_which_two_are_meant() {
    let of = |header: &str| {
        let text = format!("path,{header}\n1,NCP\n2,CP\n3,Normal\n4,\n");
        let listing =
            table(&text.replace('|', "\"")).apply(folders(&[("1", 1), ("2", 1), ("3", 1), ("4", 1)])).expect("applies");
        let mut labels: Vec<_> = listing.scans.iter().map(|scan| (scan.folder.clone(), scan.label)).collect();
        labels.sort();
        labels.into_iter().map(|(_, label)| label).collect::<Vec<_>>()
    };
    let (covid, non) = (Some(Label::Covid), Some(Label::NonCovid));
    assert_eq!(of("|label (positive: NCP, negative: Normal)|"), [covid, None, non, None]);
    assert_eq!(of("label (positive: ncp; negative: others)"), [covid, non, non, None]);
    let three = "1,NCP\n2,CP\n3,Normal\n";
    let plain = error(&format!("path,label\n{three}"));
    assert!(
        plain.contains("(positive: NAME, negative: NAME)") && plain.contains("\"cp\", \"ncp\", \"normal\""),
        "{plain}"
    );
    let one = error(&format!("path,label (positive: NCP)\n{three}"));
    assert!(one.contains("expected it and one other") && one.contains("negative: others"), "{one}");
    let wrong = error(&format!("path,\"label (positive: NCP, negative: none)\"\n{three}"));
    assert!(wrong.contains("\"ncp\" is the positive label and \"none\" the negative one; expected both"), "{wrong}");
}

/// Folders whose names a table of ours writes otherwise.
const ODD: [&str; 6] = ["=1+1", "-2/+3", "ct\u{1b}[1m/a", "line\nbreak", " space ", "back\\slash"];

#[test]
fn a_table_of_ours_names_the_scans_that_it_was_written_of() {
    let folder = tempfile::tempdir().expect("a folder");
    for (scan, size) in ODD.iter().chain(&["plain/1", "plain/2"]).zip(64..) {
        let folder = folder.path().join(scan);
        std::fs::create_dir_all(&folder).expect("a folder");
        let picture = crate::data::decode::encode_png(size, &vec![90; (size * size) as usize]).expect("a picture");
        std::fs::write(folder.join("0.png"), picture).expect("writes");
    }
    let path = folder.path().join(LABELS);
    assert_eq!(Manifest::write_label_table(folder.path(), &path, |_| {}).expect("writes"), 8);
    let written = std::fs::read_to_string(&path).expect("reads");
    for row in ["'=1+1,", "'-2/+3,", r"ct\u{1b}[1m/a,", r"line\nbreak,", "plain/1,"] {
        assert!(written.lines().any(|line| line.starts_with(row)), "{row} in\n{written}");
    }
    // Filled in as in a spreadsheet, each second scan covid.
    let labels = ["covid", "non-covid"].into_iter().cycle();
    let rows = written
        .lines()
        .skip(1)
        .zip(labels)
        .map(|(row, label)| row.replacen(",,,,", &format!(",{label},train,=src,@p"), 1));
    let filled: Vec<String> = written.lines().take(1).map(str::to_owned).chain(rows).collect();
    std::fs::write(&path, filled.join("\n")).expect("writes");
    let manifest = Manifest::scan(folder.path(), |_| {}).expect("scans");
    assert_eq!((manifest.scans.len(), manifest.rejected.len()), (8, 0), "{:?}", manifest.rejected);
    for scan in &manifest.scans {
        assert!(scan.label.is_some() && scan.source.as_deref() == Some("=src"), "{scan:?}");
    }
    let found: BTreeSet<&str> = manifest.scans.iter().map(|scan| scan.folder.as_str()).collect();
    assert_eq!(found, ODD.into_iter().chain(["plain/1", "plain/2"]).collect());
    // A table of patients made of it.
    let mut manifest =
        Manifest { scans: manifest.scans.iter().map(|of| Scan::new(of.folder.clone())).collect(), ..manifest };
    let patients = format!(
        "path,patient\n{}",
        filled[1..].iter().map(|row| format!("{},P1\n", row.split(',').next().unwrap())).collect::<String>()
    );
    manifest.read_patients(&"patients.csv", patients.as_bytes()).expect("reads");
    assert!(manifest.scans.iter().all(|scan| scan.patient.as_deref() == Some("P1")), "{:?}", manifest.scans);
}

#[test]
fn letters_with_accents_are_the_same_however_they_are_put_together() {
    // On the disk as macOS writes it and as Linux does, and in the table the other way round.
    let scans = [("Mu\u{308}ller/1", 1), ("Ren\u{e9}/1", 1)];
    let text = "path,label\nM\u{fc}ller/1,covid\nRene\u{301}/1,non-covid\n";
    let table = table(text);
    let labelled = table.apply(folders(&scans)).expect("applies");
    let labels: BTreeSet<_> = labelled.scans.iter().map(|scan| (scan.folder.as_str(), scan.label)).collect();
    assert_eq!(labels, BTreeSet::from([(scans[0].0, Some(Label::Covid)), (scans[1].0, Some(Label::NonCovid))]));
    let mut manifest = Manifest::of_folders("m", scans.map(|(folder, _)| folder.to_owned()).to_vec(), Vec::new());
    let patients = "path,patient\nM\u{fc}ller/1,P1\nRene\u{301}/1,P2\n";
    manifest.read_patients(&"patients.csv", patients.as_bytes()).expect("reads");
    assert!(
        manifest.scans.iter().map(|scan| scan.patient.as_deref()).eq([Some("P1"), Some("P2")]),
        "{:?}",
        manifest.scans
    );
}

#[test]
fn names_that_are_written_alike_are_not_guessed_between() {
    let listing = || folders(&[("a\n1", 1), (r"a\n1", 1)]);
    let error = format!("{:#}", table("path,label\n\"a\\n1\",covid\n").apply(listing()).err().expect("two"));
    assert!(error.ends_with("line 2: a/n1 may be \"a\\n1\" or \"a\\\\n1\": rename one of them"), "{error}");
    let manifest = Manifest::of_folders("m", vec!["a\n1".to_owned(), r"a\n1".to_owned()], Vec::new());
    let error = { manifest }.read_patients(&"patients.csv", b"path,patient\na\\n1,P1\n").expect_err("two").to_string();
    assert_eq!(error, "reading patients from patients.csv: a/n1 may be several scans: rename all but one");
    let listing = table("path,label\na/n1,covid\n").apply(folders(&[("a/n1", 1), ("a\n1", 1)])).expect("the first");
    assert_eq!(listing.scans.iter().map(|of| of.label).collect::<Vec<_>>(), [Some(Label::Covid), None]);
}

#[test]
fn rows_without_a_scan_are_listed_by_line_and_the_patients_number_is_not() {
    let listing = table("path,label\na/1,covid\nb/9,covid\n").apply(folders(&[("a/1", 1)])).expect("applies");
    let row = &listing.rejected[0];
    assert_eq!((row.path.as_str(), row.detail.as_str()), ("labels.csv, line 3", "there is no scan b/9"));
    let none = table("path,label\nb/9,covid\n").apply(folders(&[("a/1", 1)])).err().expect("no scan").to_string();
    assert!(none.contains("of its 1 row none names a scan here by its path") && none.contains("such as a/1"), "{none}");
}

#[test]
fn pictures_of_several_patients_in_one_folder_are_scans_of_their_own() {
    let rows = "path,label,patient\nall/0.jpg,covid,P1\nall/1.jpg,non-covid,P2\nall/2.jpg,covid,P1\n";
    let listing = table(rows).apply(folders(&[("all", 3)])).expect("applies");
    let expected = [
        ("all/0.jpg", Set::Train, Some(Label::Covid), Some("P1")),
        ("all/2.jpg", Set::Train, Some(Label::Covid), Some("P1")),
        ("all/1.jpg", Set::Train, Some(Label::NonCovid), Some("P2")),
    ];
    assert_eq!(said(&listing), expected);
    assert_eq!(listing.files[2].at.as_deref(), Some("all/1.jpg"));
    let rows = "path,scan,label\nall/0.jpg,s1,covid\nall/1.jpg,s2,non-covid\nall/2.jpg,s1,covid\n";
    let listing = table(rows).apply(folders(&[("all", 3)])).expect("applies");
    let slices: Vec<_> = listing.files.iter().map(|of| (listing.scans[of.scan].folder.as_str(), of.number)).collect();
    assert_eq!(slices, [("all/s1", Some(0)), ("all/s1", Some(1)), ("all/s2", Some(0))]);
}

#[test]
fn pictures_of_one_folder_among_many_are_one_patients_though_rows_divide_them() {
    let rows = "path,label,set\na/0.jpg,covid,train\na/1.jpg,covid,val\nb/0.jpg,covid,train\nc/1.jpg,covid,train\n";
    let divided =
        |folders_of: &[(&str, usize)]| said_of_first(&table(rows).apply(folders(folders_of)).expect("applies"));
    // Scans are sorted by set.
    let expected = [
        ("a/0.jpg".to_owned(), Set::Train, Some("a".to_owned())),
        ("a/1.jpg".to_owned(), Set::Val, Some("a".to_owned())),
    ];
    assert_eq!(divided(&[("a", 2), ("b", 2), ("c", 2)]), expected);
    // One or two folders may hold many patients.
    assert_eq!(divided(&[("a", 2), ("b", 2)]), expected.map(|(path, set, _)| (path, set, None)));
    // Most folders have both labels: each holds many patients.
    let mixed = "path,label\na/0.jpg,covid\na/1.jpg,non-covid\nb/0.jpg,covid\nb/1.jpg,non-covid\nc/0.jpg,covid\n";
    let listing = table(mixed).apply(folders(&[("a", 2), ("b", 2), ("c", 2)])).expect("applies");
    assert!(listing.scans.iter().all(|scan| scan.patient.is_none()), "{:?}", listing.scans);
    let own = "path,label,set\ncovid/0.jpg,covid,train\ncovid/1.jpg,covid,val\n";
    let listing = table(own).apply(folders(&[("a", 1), ("b", 1), ("c", 1), ("covid", 2)])).expect("applies");
    assert!(listing.scans.iter().all(|scan| scan.patient.is_none()), "a class's own folder: {:?}", listing.scans);
}

/// Path, set and patient of the scans whose paths begin with an a.
fn said_of_first(listing: &FolderListing) -> [(String, Set, Option<String>); 2] {
    let of_a = listing.scans.iter().filter(|scan| scan.folder.starts_with('a'));
    let said: Vec<_> = of_a.map(|scan| (scan.folder.clone(), scan.set, scan.patient.clone())).collect();
    said.try_into().expect("two")
}

#[test]
fn sets_are_read_from_any_column_that_says_nothing_else_or_from_folders() {
    let sets = |text: &str, of: [(&str, usize); 2]| -> Vec<Set> {
        table(text).apply(folders(&of)).expect(text).scans.iter().map(|scan| scan.set).collect()
    };
    let expected = vec![Set::Train, Set::Val];
    assert_eq!(sets("path,label,fold\na/1,covid,train\na/2,covid,Validation\n", [("a/1", 1), ("a/2", 1)]), expected);
    assert_eq!(sets("path,label\ntrain/1,covid\nval/2,covid\n", [("train/1", 1), ("val/2", 1)]), expected);
    assert_eq!(sets("path,label,set\nval/1,covid,train\nval/2,covid,\n", [("val/1", 1), ("val/2", 1)]), expected);
    let two = error("path,label,fold,phase\na/1,covid,train,train\na/2,covid,val,train\n");
    assert!(two.contains("the columns 3 and 4 both say train, val and the like"), "{two}");
    let test = error("path,label,usage\na/1,covid,train\na/2,covid,test\n");
    assert!(test.contains("line 3: the set \"test\": the test set is drawn from train"), "{test}");
}

#[test]
fn a_word_that_is_no_label_is_asked_about_and_a_name_is_not_shown() {
    let said = error("scan,label\n1,covid\n2,maybe\n");
    assert!(said.contains("one is \"covid\", the other is not understood: \"maybe\". Where it is a mistake"), "{said}");
    let said = error("scan,label\n1,covid\n2,anna meier\n");
    assert!(!said.contains("meier"), "{said}");
    assert!(said.contains("not understood: 1 long or of several words (not shown: they may be names)"), "{said}");
    let said = error("scan,label\n1,1\n2,2\n");
    assert!(said.contains("cannot tell which of the labels \"1\", \"2\" is the positive one"), "{said}");
}

#[test]
fn what_is_wrong_in_a_table_is_said_with_the_line() {
    assert!(error("path\na/1\n").contains("expected a column label"));
    assert!(error("label\ncovid\n").contains("a column that names the scans"));
    assert!(error("path,label\n").contains("found none under the header"));
    assert!(error("path,label\na,red\nb,blue\n").contains("name the column `label (positive: NAME)`"));
    assert!(error("path,label\na,red\nb,blue\nc,green\n").contains("expected two labels"));
    assert!(error("path,label,set\na,covid,test\n").contains("line 2: the set \"test\""));
    let twice = table("path,label\na/1,covid\na/1/0.jpg,non-covid\n").apply(folders(&[("a/1", 1)]));
    let twice = format!("{:#}", twice.err().expect("two labels"));
    assert!(twice.contains("a/1: lines 2 and 3 give it two labels"), "{twice}");
}
