//! Tables of labels in the forms that people keep them in.

use super::*;

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
fn rows_without_a_scan_are_listed_by_line_and_the_patients_number_is_not() {
    let listing = table("path,label\na/1,covid\nb/9,covid\n").apply(folders(&[("a/1", 1)])).expect("applies");
    let row = &listing.rejected[0];
    assert_eq!((row.path.as_str(), row.detail.as_str()), ("labels.csv, line 3", "there is no scan b/9"));
    let none = table("path,label\nb/9,covid\n").apply(folders(&[("a/1", 1)])).err().expect("no scan").to_string();
    assert!(none.contains("none of its 1 rows names a scan") && none.contains("such as a/1"), "{none}");
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
