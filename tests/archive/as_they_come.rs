//! Archives as other systems write them: read where that is safe, named with what to do where it is not.

use super::*;
use crate::support::{fixture, folder};
use covid_ct::staging::{StageOptions, audit_archives, stage};

fn url(at: &Path) -> String {
    format!("file://{}", at.display())
}

/// How a name is written.
type Spelling<'a> = &'a dyn Fn(&str) -> Vec<u8>;

/// The fixture's files under changed names.
fn renamed(name: impl Fn(&str) -> Vec<u8>) -> Vec<u8> {
    let with_name = |(of, bytes): (&String, &Vec<u8>)| {
        let name = name(of);
        Entry { name: name.clone(), local_name: name, ..entry(of, bytes) }
    };
    let files = tree(&fixture().root);
    let mut entries: Vec<Entry> = files.iter().map(with_name).collect();
    let empty = fixture().manifest.scans.iter().map(|scan| &scan.folder);
    let empty = empty.filter(|folder| !files.keys().any(|file| file.starts_with(&format!("{folder}/"))));
    entries.extend(empty.map(|folder| {
        let name = name(&format!("{folder}/"));
        Entry { name: name.clone(), local_name: name, ..stored("", b"") }
    }));
    zip(&entries, false)
}

#[test]
fn names_of_other_systems_give_the_audit_that_the_files_give() {
    let finder = |name: &str| format!("COV19 – CT/{name}").into_bytes();
    let spellings: [(&str, Spelling, &str); 5] = [
        ("backslashes", &|name| name.replace('/', "\\").into_bytes(), ""),
        ("dot", &|name| format!("./{name}").into_bytes(), ""),
        ("a folder around all", &finder, "COV19 – CT/"),
        ("two folders around all", &|name| format!("data\\COV19\\{name}").into_bytes(), "data/COV19/"),
        ("Latin-1 around all", &|name| [b"Gr\xF6\xDFe/", name.as_bytes()].concat(), "Gr%F6%DFe/"),
    ];
    for (what, name, left_away) in spellings {
        let home = folder();
        fs::write(home.path().join("all.zip"), renamed(name)).expect("writes");
        let options = StageOptions { stream: true, ..StageOptions::default() };
        let (audit, _) = audit_archives(&url(home.path()), home.path(), None, &options, silent).expect("audits");
        assert_eq!(audit.findings(), fixture().audit.findings(), "{what}");
        assert_eq!(audit.manifest().slices, fixture().manifest.slices, "{what}");
        assert_eq!(audit.manifest().scans, fixture().manifest.scans, "{what}");
        let target = folder();
        let staged = stage(&url(home.path()), target.path(), &options, silent).expect("stages");
        let staged_as = staged.objects[0].left_away.clone().unwrap_or_default();
        assert_eq!(staged_as, left_away, "{what}");
        let mut files = tree(target.path());
        files.retain(|name, _| !name.starts_with(".covid-ct-"));
        assert!(files == tree(&fixture().root), "{what}: {:?}", files.keys().take(3).collect::<Vec<_>>());
        let said = staged.to_string();
        let expected = match left_away {
            "" => "compared".to_owned(),
            top => format!("compared; without the folder {top} around all"),
        };
        assert!(said.contains(&expected), "{what}: {said}");
    }
}

/// Each name that is not UTF-8 stays another, and ends nothing.
#[test]
fn names_that_are_not_utf_8_are_escaped_and_stay_apart() {
    let file = |name: &[u8], content: &[u8]| {
        let name = [b"scan/", name].concat();
        Entry { name: name.clone(), local_name: name, ..entry("x", content) }
    };
    let entries = [file(b"\xE4.jpg", b"1"), file(b"\xF6.jpg", b"2"), file(b"%\xF6.jpg", b"3"), file(b"\x81.jpg", b"4")];
    let home = folder();
    let unpacked = unpack(&zip(&entries, false), home.path()).expect("unpacks");
    assert_eq!(unpacked, Unpacked { files: 4, bytes: 4, kept: 0 });
    let found: Vec<(String, Vec<u8>)> = tree(home.path()).into_iter().collect();
    let expected = [("%25%F6", b"3"), ("%81", b"4"), ("%E4", b"1"), ("%F6", b"2")];
    assert_eq!(found, expected.map(|(name, content)| (format!("scan/{name}.jpg"), content.to_vec())));
    // Under its own name beside the escaped one: refused, not overwritten.
    let twice = refused(&[entries[0].clone(), entry("scan/%E4.jpg", b"5")]);
    assert_eq!(twice, "reading the archive a.zip: entry \"scan/%E4.jpg\": it occurs twice");
}

#[test]
fn other_archives_are_named_with_the_tool_that_unpacks_them() {
    let bytes = |head: &[u8]| [head, &[0; 100]].concat();
    for (head, told) in [
        (b"Rar!\x1A\x07\x01\0".as_slice(), "a RAR archive: unpack it first, by `unrar x FILE` or `7z x FILE`"),
        (b"7z\xBC\xAF\x27\x1C", "a 7z archive: unpack it first, by `7z x FILE`"),
        (b"\x28\xB5\x2F\xFD", "Zstandard data: unpack it first, by `tar xf FILE`"),
    ] {
        let error = refused_bytes(&bytes(head));
        assert_eq!(error, format!("reading the archive a.zip: it is no zip archive but {told}"));
    }
    let home = folder();
    let place = url(home.path());
    let audited = || {
        let error =
            audit_archives(&place, home.path(), None, &StageOptions::default(), silent).expect_err("is refused");
        format!("{error:#}")
    };
    fs::write(home.path().join("train.rar"), bytes(b"Rar!\x1A\x07\0")).expect("writes");
    let rar = "train.rar is a RAR archive: unpack it first, by `unrar x train.rar` or `7z x train.rar`";
    assert_eq!(audited(), format!("auditing the archives {place}: {rar}"));
    // Beside one that is read, it would be missed.
    fs::write(home.path().join("val.zip"), zip(&[entry("val/covid/ct_scan_0/0.jpg", b"no picture")], false))
        .expect("writes");
    assert_eq!(audited(), format!("auditing the archives {place}: {rar}"));
    let target = folder();
    let options = StageOptions { stream: true, ..StageOptions::default() };
    let staged = stage(&place, target.path(), &options, silent).expect("stages").to_string();
    assert!(
        staged.contains("fetched; a RAR archive: unpack it first, by `unrar x train.rar` or `7z x train.rar`"),
        "{staged}"
    );
    fs::remove_file(home.path().join("train.rar")).expect("removes");
    fs::remove_file(home.path().join("val.zip")).expect("removes");
    let nested = [entry("COV19/train.zip", b"PK"), entry("COV19/val.7z", b"7z")];
    fs::write(home.path().join("all.zip"), zip(&nested, false)).expect("writes");
    let packed = "the archives hold 2 archives, COV19/train.zip the first, which are not opened: unpack what is in the archives and \
                  audit the folder";
    assert_eq!(audited(), format!("auditing the archives {place}: {packed}"));
}
