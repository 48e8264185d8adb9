//! What may be written and what must not be: one path in two archives, other people's files, limits, space.

use super::*;
use crate::zips::stored;

/// The target's names, without what staging keeps for itself.
fn names(target: &Path) -> Vec<String> {
    let names =
        fs::read_dir(target).expect("lists").map(|e| e.expect("entry").file_name().into_string().expect("UTF-8"));
    let mut names: Vec<_> = names.filter(|name| name != ".covid-ct-stage").collect();
    names.sort();
    names
}

/// The error, and that it came before the first byte was written.
fn refused(gcs: &Gcs, arguments: &[&str]) -> String {
    let target = folder();
    let arguments = [&["gs://ct", "--stream"], arguments].concat();
    let error = stage(&gcs.wire.url(), target.path(), &arguments).expect_err("must be refused");
    assert_eq!(names(target.path()), Vec::<String>::new(), "something was written");
    error
}

#[test]
fn one_path_in_two_archives_is_an_error_that_names_both() {
    let gcs = Gcs::start();
    gcs.put("a.zip", &zip(&[entry("train/1.jpg", b"one"), entry("train/x.jpg", b"of a")], false));
    gcs.put("b.zip", &zip(&[entry("train/2.jpg", b"two"), entry("train/x.jpg", b"of b")], false));
    assert_eq!(
        refused(&gcs, &[]),
        "covid-ct: staging gs://ct to TARGET: \"train/x.jpg\": it is a file of the archive a.zip and a file of the \
         archive b.zip; stage one of them to another folder"
    );
    gcs.put("b.zip", &zip(&[entry("train/1.jpg/y", b"below a file")], false));
    let error = refused(&gcs, &[]);
    assert!(
        error.contains("\"train/1.jpg\": it is a file of the archive a.zip and a folder of the archive b.zip"),
        "{error}"
    );
    // The same folder in both is no conflict.
    gcs.put("b.zip", &zip(&[stored("train/", b""), entry("train/2.jpg", b"two")], false));
    let target = folder();
    stage(&gcs.wire.url(), target.path(), &["gs://ct", "--stream"]).expect("stages");
    assert_eq!(names(&target.path().join("train")), ["1.jpg", "2.jpg", "x.jpg"]);
}

#[test]
fn an_object_and_an_entry_of_one_path_are_an_error() {
    let gcs = Gcs::start();
    gcs.put("data.zip", &zip(&[entry("notes.txt", b"of the archive")], false));
    gcs.put("notes.txt", b"of the bucket");
    let error = refused(&gcs, &[]);
    assert!(error.contains("\"notes.txt\": it is a file of the bucket and a file of the archive data.zip"), "{error}");
}

#[test]
fn a_file_of_other_origin_stays() {
    let (gcs, target) = (Gcs::start(), folder());
    gcs.put("data.zip", &zip(&[entry("a/1.txt", b"first"), entry("a/2.txt", b"second")], false));
    fs::create_dir_all(target.path().join("a")).expect("makes");
    fs::write(target.path().join("a/2.txt"), b"mine").expect("writes");
    let error = stage(&gcs.wire.url(), target.path(), &["gs://ct", "--stream"]).expect_err("must be refused");
    let begin = "covid-ct: staging gs://ct to TARGET: unpacking data.zip into TARGET: entry \"a/2.txt\": ";
    assert!(error.starts_with(begin) && error.ends_with("this archive did not write; move it away"), "{error}");
    assert_eq!(names(&target.path().join("a")), ["2.txt"]);
    assert_eq!(fs::read(target.path().join("a/2.txt")).expect("is there"), b"mine");
}

/// What is on the disk for sure is not read again; but a wrong size is seen, and a change made by hand is not undone.
#[test]
fn a_finished_entry_that_is_damaged_is_put_right() {
    let (gcs, target) = (Gcs::start(), folder());
    let go = || stage(&gcs.wire.url(), target.path(), &["gs://ct", "--stream"]);
    gcs.put("data.zip", &zip(&[entry("a/1.txt", b"first"), entry("a/2.txt", b"second")], false));
    assert!(go().expect("stages").contains("2 files unpacked (11 B); CRC-32 of each file compared"));
    let file = target.path().join("a/2.txt");
    let modified = fs::metadata(&file).and_then(|data| data.modified()).expect("is there");
    fs::write(&file, b"").expect("writes");
    fs::File::options().write(true).open(&file).and_then(|file| file.set_modified(modified)).expect("marks");
    fs::write(target.path().join("a/.covid-ct-1"), b"left by a killed run").expect("writes");
    assert!(go().expect("goes on").contains("1 files unpacked (6 B), 1 were there"));
    assert_eq!(fs::read(&file).expect("is there"), b"second");
    assert_eq!(names(&target.path().join("a")), ["1.txt", "2.txt"]);
    fs::write(&file, b"edited").expect("writes");
    go().expect_err("must be refused");
    assert_eq!(fs::read(&file).expect("is there"), b"edited");
}

#[test]
fn limits_are_set_on_the_command_line() {
    let gcs = Gcs::start();
    gcs.put("a.zip", &zip(&[entry("a/zeros", &vec![0; 2_000_000])], false));
    let error = refused(&gcs, &[]);
    assert!(
        error.contains("reading the archive a.zip: entry \"a/zeros\": its ") && error.contains("expected 200 times")
    );
    gcs.put("b.zip", &zip(&[entry("b/text", b"text")], false));
    for (limit, value, told) in [
        ("--max-entries", "3", "there are more than 3, which is the limit"),
        ("--max-unpacked", "2000003", "entry \"b/text\": with it the archive unpacks to more than 3 B"),
        ("--max-directory", "50", "its directory of 1 entries should have 50 B at most"),
    ] {
        let error = refused(&gcs, &["--max-ratio", "5000", limit, value]);
        assert!(error.contains(told), "{limit}: {error}");
    }
    let target = folder();
    stage(&gcs.wire.url(), target.path(), &["gs://ct", "--stream", "--max-ratio", "5000"]).expect("is within");
}

#[test]
fn what_may_be_written_is_asked_before_and_what_is_there_does_not_count() {
    let (gcs, target) = (Gcs::start(), folder());
    let go = |arguments: &[&str]| stage(&gcs.wire.url(), target.path(), arguments);
    gcs.put("a.zip", &archive(0));
    let error = go(&["gs://ct", "--max-disk", "1000000"]).expect_err("must be refused");
    assert!(error.ends_with(" are still to be written; the limit is 1.0 MB"), "{error}");
    // Each alone would fit.
    gcs.put("b.zip", &zip(&[entry("other", &noise(30_000_000, 5))], false));
    assert_eq!(
        refused(&gcs, &["--max-disk", "100000000"]),
        "covid-ct: staging gs://ct to TARGET: 110.0 MB are still to be written; the limit is 100.0 MB"
    );
    go(&["gs://ct/a.zip", "--stream"]).expect("stages");
    go(&["gs://ct", "--stream", "--max-disk", "30000000"]).expect("80 MB of it are there");
    go(&["gs://ct", "--stream", "--max-disk", "0"]).expect("all of it is there");
}

#[test]
fn without_a_checksum_an_identical_file_is_known_all_the_same() {
    let (source, target) = (folder(), folder());
    fs::write(source.path().join("notes.txt"), b"notes").expect("writes");
    fs::write(target.path().join("notes.txt"), b"notes").expect("writes");
    let url = format!("file://{}", source.path().display());
    let staged = stage("http://127.0.0.1:1", target.path(), &[&url]).expect("stages");
    assert!(staged.contains("was there") && !staged.contains("verified"), "{staged}");
    fs::write(target.path().join("notes.txt"), b"mines").expect("writes");
    let error = stage("http://127.0.0.1:1", target.path(), &[&url]).expect_err("must be refused");
    assert!(error.ends_with("found a file of 5 that differs and that staging did not write; move it away"), "{error}");
    let empty = folder();
    let staged = stage("http://127.0.0.1:1", empty.path(), &[&url]).expect("stages");
    assert!(staged.contains("fetched; the store states no CRC-32C"), "{staged}");
}
