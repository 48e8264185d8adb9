//! What is there stays or is put right, depending on whose it is; and reading without writing.

use super::*;
use std::sync::Mutex;

/// As a disk or a power cut does it: other bytes, the same time of last change.
fn spoil(file: &Path, bytes: &[u8]) {
    let modified = fs::metadata(file).and_then(|data| data.modified()).expect("is there");
    fs::write(file, bytes).expect("writes");
    fs::File::options().write(true).open(file).and_then(|file| file.set_modified(modified)).expect("marks");
}

#[test]
fn a_second_run_keeps_what_is_right_and_replaces_what_is_damaged() {
    let home = tempfile::tempdir().expect("a folder");
    let archive = zip(&good(), false);
    unpack(&archive, home.path()).expect("unpacks");
    let before = tree(home.path());
    fs::write(home.path().join(".covid-ct-3"), b"left by a killed run").expect("writes");
    spoil(&home.path().join("train/covid/ct_scan_0/1.jpg"), &noise(90_000, 9));
    spoil(&home.path().join("big.bin"), b"short");
    let again = unpack(&archive, home.path()).expect("unpacks");
    assert_eq!(again, Unpacked { files: 2, bytes: 5_090_000, kept: 4 });
    assert_eq!(tree(home.path()), before);
    assert_eq!(again.to_string(), "2 files unpacked (5.1 MB), 4 were there");
}

#[test]
fn a_file_of_other_origin_is_never_replaced() {
    let archive = zip(&[entry("a/one.txt", b"one"), entry("a/two.txt", b"two")], false);
    for (bytes, is_first) in [("longer than two", true), ("oh!", false)] {
        let home = tempfile::tempdir().expect("a folder");
        let theirs = home.path().join("a/two.txt");
        fs::create_dir_all(home.path().join("a")).expect("makes");
        fs::write(&theirs, bytes).expect("writes");
        let error = format!("{:#}", unpack(&archive, home.path()).expect_err("must be refused"));
        let found = format!("found a file of {} with {:08x}", bytes.len(), crc32fast::hash(bytes.as_bytes()));
        assert!(
            error.contains("entry \"a/two.txt\": expected nothing, or 3 bytes") && error.contains(&found),
            "{error}"
        );
        assert!(error.ends_with("that this archive did not write; move it away"), "{error}");
        assert_eq!(fs::read_to_string(&theirs).expect("is there"), bytes);
        // Another size is seen before anything is written.
        assert!(!is_first || !home.path().join("a/one.txt").exists());
    }
    // Ours, and then changed by hand.
    let home = tempfile::tempdir().expect("a folder");
    unpack(&archive, home.path()).expect("unpacks");
    fs::write(home.path().join("a/two.txt"), b"notes").expect("writes");
    unpack(&archive, home.path()).expect_err("must be refused");
    assert_eq!(fs::read(home.path().join("a/two.txt")).expect("is there"), b"notes");
    // Ours, of an earlier archive under this name; another archive must not touch it.
    let home = tempfile::tempdir().expect("a folder");
    unpack(&archive, home.path()).expect("unpacks");
    let newer = zip(&[entry("a/one.txt", b"one"), entry("a/two.txt", b"second edition")], false);
    let other = Archive::open("b.zip", &newer, &ArchiveLimits::default()).expect("opens");
    other.unpack(home.path(), silent).expect_err("must be refused");
    assert_eq!(unpack(&newer, home.path()).expect("unpacks"), Unpacked { files: 1, bytes: 14, kept: 1 });
    assert_eq!(fs::read(home.path().join("a/two.txt")).expect("is there"), b"second edition");
}

#[test]
fn files_can_be_read_without_being_written() {
    let archive = zip(&good(), false);
    let archive = Archive::open("a.zip", &archive, &ArchiveLimits::default()).expect("opens");
    let names = archive.names().expect("lists");
    assert_eq!((names[1].as_str(), names.len()), ("train/covid/ct_scan_0/0.jpg", 7));
    for threads in [1, 3] {
        let seen = Mutex::new(BTreeMap::new());
        let visit = |number: usize, name: &str, bytes: &[u8]| {
            assert_eq!(name, names[number]);
            seen.lock().expect("a map").insert(name.to_owned(), crc32fast::hash(bytes));
            Ok(())
        };
        archive.each_entry(threads, |_| true, visit, silent).expect("reads");
        let expected = good().into_iter().skip(1).map(|e| (String::from_utf8(e.name).expect("UTF-8"), e.crc32));
        assert_eq!(seen.into_inner().expect("a map"), expected.collect());
    }
    let stop = |_: usize, name: &str, _: &[u8]| if name == "big.bin" { Err(anyhow::anyhow!("enough")) } else { Ok(()) };
    let stopped = archive.each_entry(2, |_| true, stop, silent).expect_err("must stop");
    assert_eq!(format!("{stopped:#}"), "reading the archive a.zip: entry \"big.bin\": enough");
    let wrong = zip(&[Entry { crc32: 1, ..entry("b", b"text") }], false);
    let wrong = Archive::open("a.zip", &wrong, &ArchiveLimits::default()).expect("opens");
    let error =
        wrong.each_entry(1, |_| true, |_, _, _| panic!("was given wrong bytes"), silent).expect_err("must be refused");
    assert!(format!("{error:#}").contains("entry \"b\": expected the CRC-32 00000001"), "{error:#}");
    let large = zip(&[stored("a", b""), entry("large", &noise((64 << 20) + 1, 1))], false);
    let large = Archive::open("a.zip", &large, &ArchiveLimits::default()).expect("opens");
    let error = large.each_entry(1, |_| true, |_, _, _| Ok(()), silent).expect_err("must be refused");
    assert!(format!("{error:#}").contains("entry \"large\": expected 67108864 bytes at most"), "{error:#}");
    large.each_entry(1, |entry| entry == 0, |_, _, _| Ok(()), silent).expect("passes over what is not wanted");
}
