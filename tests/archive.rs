//! Archives: good ones come out whole, hostile ones write nothing outside, and every refusal says what it found where.

use crate::zips::{Entry, deflated, entry, noise, stored, zip};
use covid_ct::Progress;
use covid_ct::staging::{Archive, ArchiveLimits, LocalFile, Unpacked};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

mod as_they_come;
mod audited;
mod bombs;
mod keeping;

fn silent(_: &Progress) {}

fn unpack(bytes: &[u8], target: &Path) -> anyhow::Result<Unpacked> {
    unpack_within(bytes, target, &ArchiveLimits::default())
}

fn unpack_within(bytes: &[u8], target: &Path, limits: &ArchiveLimits) -> anyhow::Result<Unpacked> {
    Archive::open("a.zip", &bytes.to_vec(), limits)?.unpack(target, silent)
}

/// Every file below a folder with its bytes; links are not followed.
fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for item in fs::read_dir(&at).expect("reads") {
            let item = item.expect("reads");
            if item.file_type().expect("has a type").is_dir() {
                folders.push(item.path());
            } else {
                let name = item.path().strip_prefix(folder).expect("below").display().to_string();
                found.insert(name, fs::read(item.path()).unwrap_or_default());
            }
        }
    }
    found
}

/// The whole error, and that nothing was left anywhere.
fn refused(entries: &[Entry]) -> String {
    refused_bytes(&zip(entries, false))
}

fn refused_bytes(bytes: &[u8]) -> String {
    let home = tempfile::tempdir().expect("a folder");
    let target = home.path().join("in");
    let error = unpack(bytes, &target).expect_err("must be refused");
    assert_eq!(tree(home.path()), BTreeMap::new(), "something was written");
    format!("{error:#}").replace(&target.display().to_string(), "TARGET")
}

fn good() -> Vec<Entry> {
    vec![
        stored("train/", b""),
        entry("train/covid/ct_scan_0/0.jpg", &noise(150_000, 1)),
        stored("train/covid/ct_scan_0/1.jpg", &noise(90_000, 2)),
        entry("train/covid/ct_scan_0/empty.txt", b""),
        entry("Read me – ä.txt", b"Text, text, text, text."),
        entry("read me – ä.txt", b"Only the case differs."),
        entry("big.bin", &noise(5_000_000, 3)),
    ]
}

#[test]
fn good_archives_come_out_whole_with_and_without_zip64() {
    for (end_64, wide) in [(false, false), (true, false), (true, true)] {
        let mut entries = good();
        entries.iter_mut().for_each(|entry| entry.wide = wide);
        let home = tempfile::tempdir().expect("a folder");
        let unpacked = unpack(&zip(&entries, end_64), home.path()).expect("unpacks");
        assert_eq!(unpacked, Unpacked { files: 6, bytes: 5_240_045, kept: 0 });
        let files = tree(home.path());
        assert_eq!(files.len(), 6);
        assert!(files["big.bin"] == noise(5_000_000, 3));
        assert!(files["train/covid/ct_scan_0/1.jpg"] == noise(90_000, 2));
        assert_eq!(files["read me – ä.txt"], b"Only the case differs.");
    }
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let cases = [
        ("../evil", "its name leads out of the target folder (`..`)"),
        ("a/../../evil", "its name leads out of the target folder (`..`)"),
        ("a/..", "its name leads out of the target folder (`..`)"),
        ("/etc/evil", "its name is absolute; only names inside the target folder are unpacked"),
        ("C:/evil", "its name is absolute; only names inside the target folder are unpacked"),
        ("a//b", "its name has an empty part or `.`"),
        ("a/.covid-ct-1", "its name begins with .covid-ct-, which is reserved for unfinished files"),
        ("", "it has no name"),
    ];
    for (name, fault) in cases {
        let error = refused(&[entry("good", b"good"), entry(name, b"evil")]);
        assert_eq!(error, format!("reading the archive a.zip: entry {name:?}: {fault}"));
    }
    // Backslashes are separators.
    for (name, shown) in [("..\\evil", "../evil"), ("a\\..\\..\\evil", "a/../../evil"), ("./../evil", "../evil")] {
        let error = refused(&[entry(name, b"evil")]);
        let fault = "its name leads out of the target folder (`..`)";
        assert_eq!(error, format!("reading the archive a.zip: entry {shown:?}: {fault}"));
    }
    let absolute = refused(&[entry(".//a", b"evil")]);
    let fault = "its name is absolute; only names inside the target folder are unpacked";
    assert_eq!(absolute, format!("reading the archive a.zip: entry \"/a\": {fault}"));
    let drive = refused(&[entry("C:\\evil", b"evil")]);
    assert_eq!(drive, format!("reading the archive a.zip: entry \"C:/evil\": {fault}"));
    let control = refused(&[entry("a\0b", b"evil")]);
    assert_eq!(control, "reading the archive a.zip: entry \"a\\0b\": its name has control characters");
}

#[test]
fn links_and_devices_are_refused() {
    let link = Entry { attributes: 0o120_777 << 16, ..stored("link", b"/etc") };
    let found = "reading the archive a.zip: reading the record of entry 1 of 2: entry \"link\": ";
    assert_eq!(refused(&[link, entry("link/passwd", b"evil")]), format!("{found}it is a link; links are not unpacked"));
    let pipe = Entry { attributes: 0o010_644 << 16, ..stored("link", b"") };
    assert_eq!(refused(&[pipe, entry("a", b"")]), format!("{found}expected a file or a folder, found Unix mode 10000"));
}

#[test]
fn links_in_the_target_are_not_followed() {
    for (link, name) in [("a", "a/b.txt"), ("a.txt", "a.txt"), ("a.txt", "a.txt/b")] {
        let home = tempfile::tempdir().expect("a folder");
        let (target, outside) = (home.path().join("in"), home.path().join("out"));
        fs::create_dir_all(&target).expect("makes");
        fs::create_dir_all(&outside).expect("makes");
        symlink(&outside, target.join(link)).expect("links");
        let error = unpack(&zip(&[entry(name, b"evil")], false), &target).expect_err("must be refused");
        let error = format!("{error:#}").replace(&target.display().to_string(), "T");
        assert_eq!(tree(&outside), BTreeMap::new());
        assert!(error.starts_with(&format!("unpacking a.zip into T: entry {name:?}: ")), "{error}");
        assert!(error.ends_with("it is a link, and nothing is written through links"), "{error}");
    }
}

#[test]
fn one_path_has_one_entry() {
    let twice = refused(&[entry("a/b", b"1"), entry("c", b""), entry("a/b", b"2")]);
    assert_eq!(twice, "reading the archive a.zip: entry \"a/b\": it occurs twice");
    let both = refused(&[entry("a/b", b"1"), stored("a/b/", b"")]);
    assert_eq!(both, "reading the archive a.zip: entry \"a/b\": it is both a file and a folder");
    let above = refused(&[entry("a/b/c/d", b"1"), entry("a/b", b"2")]);
    assert_eq!(above, "reading the archive a.zip: entry \"a/b/c/d\": its folder \"a/b\" is a file of the same archive");
    let full = Entry { name: b"a/".to_vec(), ..stored("a/", b"text") };
    assert_eq!(refused(&[full]), "reading the archive a.zip: entry \"a/\": it is a folder, and yet has 4 bytes");
}

#[test]
fn what_cannot_be_read_is_refused() {
    let begin = "reading the archive a.zip: reading the record of entry 1 of 1: entry \"a\": ";
    let unpack = "unpack the archive first, by `7z x`, and audit the folder";
    let encrypted = Entry { flags: 1, ..entry("a", b"1") };
    assert_eq!(refused(&[encrypted]), format!("{begin}it is encrypted: {unpack}"));
    let aes = Entry { method: 99, ..entry("a", b"1") };
    assert_eq!(refused(&[aes]), format!("{begin}it is encrypted: {unpack}"));
    let lzma = Entry { method: 14, ..entry("a", b"1") };
    assert_eq!(refused(&[lzma]), format!("{begin}expected stored (0) or deflated (8) data, found method 14: {unpack}"));
    let narrow = Entry { size: 0xffff_ffff, ..entry("a", b"1") };
    assert_eq!(refused(&[narrow]), format!("{begin}its sizes need a zip64 field, and there is none"));
    let not_stored = Entry { size: 5, ..stored("a", b"1") };
    assert_eq!(
        refused(&[not_stored]),
        "reading the archive a.zip: entry \"a\": it is stored, so 1 bytes cannot become 5"
    );
}

#[test]
fn entries_that_share_bytes_are_refused() {
    let first = entry("a", &noise(1000, 1));
    let second = Entry { offset: Some(5), ..entry("b", &noise(1000, 2)) };
    let error = refused(&[first, second]);
    assert!(error.ends_with("bytes reach into entry \"b\""), "{error}");
    let same = Entry { offset: Some(0), ..entry("b", &noise(1000, 1)) };
    let error = refused(&[entry("a", &noise(1000, 1)), same]);
    assert!(error.contains("bytes reach into entry"), "{error}");
    // Hidden until the local header is read: its extra field pushes the data into the next entry.
    let mut bytes = zip(&[stored("a", b"1"), stored("b", b"2")], false);
    bytes[28] = 40;
    assert_eq!(
        refused_bytes(&bytes),
        "unpacking a.zip into TARGET: entry \"a\": its 1 bytes reach into what comes after it"
    );
}

#[test]
fn wrong_bytes_are_refused_and_what_was_finished_stays() {
    let begin = "unpacking a.zip into TARGET: entry \"b\": ";
    let lie = Entry { crc32: 1, ..entry("b", b"text") };
    let right = crc32fast::hash(b"text");
    assert_eq!(refused(std::slice::from_ref(&lie)), format!("{begin}expected the CRC-32 00000001, found {right:08x}"));
    let short = Entry { size: 10, ..entry("b", b"text") };
    assert_eq!(refused(&[short]), format!("{begin}expected 10 bytes, found 4"));
    let cut = deflated(&noise(1000, 1));
    let half = Entry { compressed: 100, data: cut[..100].to_vec(), ..entry("b", &noise(1000, 1)) };
    assert_eq!(refused(&[half]), format!("{begin}its compressed data end in the middle"));
    let name = Entry { local_name: b"c".to_vec(), ..entry("b", b"text") };
    assert_eq!(refused(&[name]), format!("{begin}reading its local header: it has another name, c"));
    let mut long = entry("b", b"text");
    long.data.extend(b"more");
    long.compressed += 4;
    let size = long.compressed;
    assert_eq!(refused(&[long]), format!("{begin}expected {size} compressed bytes, found {}", size - 4));

    let home = tempfile::tempdir().expect("a folder");
    unpack(&zip(&[entry("a", b"good"), lie], false), home.path()).expect_err("must be refused");
    assert_eq!(tree(home.path()), BTreeMap::from([("a".to_owned(), b"good".to_vec())]));
}

#[test]
fn ends_that_do_not_fit_are_refused() {
    let whole = zip(&good(), false);
    assert_eq!(
        refused_bytes(&whole[..whole.len() - 1]),
        "reading the archive a.zip: no end record found: it is cut off, or not a zip archive"
    );
    assert_eq!(
        refused_bytes(b""),
        "reading the archive a.zip: no end record found: it is cut off, or not a zip archive"
    );
    let before = [b"#!/bin/sh\n".as_slice(), &zip(&[entry("a", b"1")], false)].concat();
    assert_eq!(
        refused_bytes(&before),
        "reading the archive a.zip: its directory should end at byte 91; it begins at 34 and has 47 bytes"
    );
    let mut parts = zip(&[entry("a", b"1")], false);
    let end = parts.len() - 22;
    parts[end + 4] = 1;
    assert_eq!(
        refused_bytes(&parts),
        "reading the archive a.zip: it is one of several parts; expected one file: join them, by `zip -s 0 PARTS.zip --out whole.zip`"
    );
    let mut many = zip(&[entry("a", b"1")], false);
    many[end + 8..end + 12].copy_from_slice(&[200, 0, 200, 0]);
    assert_eq!(
        refused_bytes(&many),
        "reading the archive a.zip: its directory of 200 entries should have 9200 bytes at least; it has 47"
    );
}

#[test]
fn seventy_thousand_entries_need_zip64_and_come_out() {
    let entries: Vec<_> = (0..70_000).map(|i| stored(&format!("{}/{i}", i / 1000), &[i as u8])).collect();
    let home = tempfile::tempdir().expect("a folder");
    let unpacked = unpack(&zip(&entries, false), home.path()).expect("unpacks");
    assert_eq!(unpacked, Unpacked { files: 70_000, bytes: 70_000, kept: 0 });
    assert_eq!(fs::read(home.path().join("69/69999")).expect("reads"), [69_999_u32 as u8]);
}

/// Any cut and any flipped bit: an error or the right bytes, never a panic, never anything outside.
#[test]
fn damage_anywhere_is_an_error_or_harmless() {
    let entries = [entry("a/b.txt", b"some text, some text"), stored("c", b"stored"), entry("d", &noise(300, 5))];
    let home = tempfile::tempdir().expect("a folder");
    for end_64 in [false, true] {
        let whole = zip(&entries, end_64);
        for length in 0..whole.len() {
            unpack(&whole[..length], &home.path().join("cut")).expect_err("is cut off");
        }
        for at in 0..whole.len() {
            for flip in [1, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                let target = home.path().join("flip");
                let result = unpack(&bytes, &target);
                if result.is_ok() {
                    let sizes: Vec<_> = tree(&target).into_values().map(|bytes| crc32fast::hash(&bytes)).collect();
                    assert!(sizes.len() == 3 && entries.iter().all(|e| sizes.contains(&e.crc32)), "byte {at} ^ {flip}");
                }
                fs::remove_dir_all(&target).ok();
            }
        }
    }
    assert!(tree(home.path()).is_empty());
}

#[test]
fn what_zip_writes_comes_out_as_unzip_has_it() {
    let home = tempfile::tempdir().expect("a folder");
    let source = home.path().join("source/scan");
    fs::create_dir_all(&source).expect("makes");
    for i in 0..40 {
        fs::write(source.join(format!("{i}.jpg")), noise(1000 * i, i as u64)).expect("writes");
    }
    // From a pipe: sizes follow the data.
    let made = Command::new("sh")
        .current_dir(home.path())
        .args(["-c", "zip -qr a.zip source; zip -qr - source | cat > b.zip"])
        .status();
    if !made.is_ok_and(|status| status.success()) {
        panic!("the program zip is missing: on Debian or Ubuntu run 'sudo apt-get install zip'");
    }
    for name in ["a.zip", "b.zip"] {
        let target = home.path().join(format!("{name}.out"));
        let file = LocalFile::open(home.path().join(name)).expect("opens");
        let archive = Archive::open(name, &file, &ArchiveLimits::default()).expect("opens");
        assert_eq!(archive.entries(), 42);
        archive.unpack(&target, silent).expect("unpacks");
        assert_eq!(tree(&target.join("source")), tree(&home.path().join("source")));
    }
}
