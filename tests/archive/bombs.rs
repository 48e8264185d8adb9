//! Archives that ask for more than they show.

use super::*;

#[test]
fn bombs_are_refused() {
    let begin = "reading the archive a.zip: entry \"zeros\": ";
    let zeros = entry("zeros", &vec![0; 3_000_000]);
    let compressed = zeros.compressed;
    assert_eq!(
        refused(std::slice::from_ref(&zeros)),
        format!(
            "{begin}its {compressed} bytes should become 3000000; expected 200 times as many at most, found {}",
            3_000_000 / compressed
        )
    );
    // One that lies about its size is stopped when it has that many bytes.
    let liar = Entry { size: 1000, ..zeros.clone() };
    assert_eq!(
        refused(&[liar]),
        "unpacking a.zip into TARGET: entry \"zeros\": it unpacks to more than the 1000 bytes that the directory states"
    );
    let within = |limits: ArchiveLimits| {
        let home = tempfile::tempdir().expect("a folder");
        let error = unpack_within(&zip(&[entry("a", b"1234"), entry("zeros", b"5678")], false), home.path(), &limits);
        format!("{:#}", error.expect_err("must be refused"))
    };
    assert_eq!(
        within(ArchiveLimits { bytes: 7, ..ArchiveLimits::default() }),
        format!("{begin}with it the archive unpacks to more than 7 B")
    );
    assert_eq!(
        within(ArchiveLimits { entries: 1, ..ArchiveLimits::default() }),
        "reading the archive a.zip: expected 1 entries at most, found 2"
    );
}

#[test]
fn folders_count_and_are_not_endless() {
    let deep = |folders: usize| format!("{}file", "d/".repeat(folders));
    let error = refused(&[entry(&deep(33), b"1")]);
    assert!(error.ends_with("it lies deeper than 32 folders"), "{error}");
    let error = refused(&[entry(&"n".repeat(1025), b"1")]);
    assert!(error.ends_with("its name has more than 1,024 bytes"), "{error}");
    // Ten entries that would make 310 folders.
    let many: Vec<_> = (0..10).map(|i| entry(&format!("{i}/{}", deep(30)), b"1")).collect();
    let home = tempfile::tempdir().expect("a folder");
    let limits = ArchiveLimits { entries: 300, ..ArchiveLimits::default() };
    let error = format!("{:#}", unpack_within(&zip(&many, false), home.path(), &limits).expect_err("must be refused"));
    assert!(error.ends_with("with it and its folders there are more than 300, which is the limit"), "{error}");
    assert!(tree(home.path()).is_empty() && fs::read_dir(home.path()).expect("reads").next().is_none());
    let limits = ArchiveLimits { entries: 320, ..ArchiveLimits::default() };
    unpack_within(&zip(&many, false), home.path(), &limits).expect("is within");
}

#[test]
fn a_directory_that_is_a_bomb_is_not_read() {
    // One entry, and a directory as long as the archive: it would have been copied before it was looked at.
    let mut bytes = zip(&[stored("a", &vec![0; 1_000_000])], false);
    let end = bytes.len() - 22;
    bytes[end + 12..end + 16].copy_from_slice(&(end as u32).to_le_bytes());
    bytes[end + 16..end + 20].copy_from_slice(&0_u32.to_le_bytes());
    assert_eq!(
        refused_bytes(&bytes),
        "reading the archive a.zip: its directory of 1 entries should have 4.1 KB at most; it has 1.0 MB"
    );
    let home = tempfile::tempdir().expect("a folder");
    let limits = ArchiveLimits { directory: 60, ..ArchiveLimits::default() };
    let two = zip(&[entry("a", b"1"), entry("b", b"2")], false);
    let error = format!("{:#}", unpack_within(&two, home.path(), &limits).expect_err("must be refused"));
    assert!(error.ends_with("its directory of 2 entries should have 60 B at most; it has 94 B"), "{error}");
}
