//! Downloads over a network that misbehaves: what is asked for, what is left lying, what the error says.

use super::super::download::download;
use super::message;
use super::server::Response::{self, Cut, NoLength, Nothing, Part, Shifted, Status, Whole, WholeCut};
use super::server::Server;
use crate::base::files::Digest;
use crate::base::progress::Progress;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;
use tempfile::TempDir;

const NO_PAUSES: [Duration; 4] = [Duration::ZERO; 4];

/// A file, a server of it, and a folder to download it into.
struct Download {
    contents: Vec<u8>,
    server: Server,
    folder: TempDir,
    lines: Mutex<Vec<Progress>>,
}

impl Download {
    /// Three and a half megabytes, enough to distinguish tries that bring much from those that bring little.
    fn from(answers: &[Response]) -> Self {
        let contents: Vec<u8> = (0..3_500_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let server = Server::start(&contents, answers);
        let folder = tempfile::tempdir().expect("a folder");
        Self { contents, server, folder, lines: Mutex::default() }
    }

    /// The same with something that came earlier.
    fn after(self, partial: &[u8]) -> Self {
        fs::write(self.partial(), partial).expect("writes");
        self
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("a.pth")
    }

    fn partial(&self) -> PathBuf {
        self.folder.path().join("a.pth.partial")
    }

    fn sha256(&self) -> String {
        Digest::of(&self.contents).to_string()
    }

    fn run_with(&self, sha256_prefix: &str) -> crate::base::errors::Result<()> {
        let url = format!("{}/a.pth", self.server.url);
        let progress = |line: &Progress| self.lines.lock().expect("lines").push(line.clone());
        download(&url, &self.target(), sha256_prefix, &NO_PAUSES, &progress).map(drop)
    }

    /// Downloads well; returns which parts were asked for.
    fn parts(&self) -> Vec<String> {
        self.run_with(&self.sha256()[..8]).unwrap_or_else(|error| panic!("{error:#}"));
        assert!(fs::read(self.target()).expect("reads") == self.contents, "the file is not the one served");
        assert!(!self.partial().exists());
        self.asked()
    }

    /// Fails to download; returns the error behind the names of the file.
    fn error(&self) -> String {
        let found = message(self.run_with(&self.sha256()[..8]));
        assert!(!self.target().exists());
        let doing = format!("downloading {}/a.pth to {}: ", self.server.url, self.target().display());
        found.strip_prefix(&doing).unwrap_or_else(|| panic!("{found} should begin with {doing}")).to_owned()
    }

    fn asked(&self) -> Vec<String> {
        let requests = self.server.requests();
        requests.iter().map(|request| request.strip_prefix("/models/a.pth ").expect("a request").to_owned()).collect()
    }
}

#[test]
fn a_file_comes_in_one_piece_and_says_how_far_it_is() {
    let download = Download::from(&[Part]);
    assert_eq!(download.parts(), ["all"]);
    let lines = download.lines.lock().expect("lines");
    let last = lines.last().expect("a line");
    assert_eq!((last.stage.as_str(), last.done, last.total, last.unit), ("download a.pth", 4, 4, "MB"));
    assert!(last.rate > 0.0);
}

#[test]
fn what_came_earlier_is_not_fetched_again() {
    let contents = Download::from(&[Part]).contents;
    let download = Download::from(&[Part]).after(&contents[..2_000_001]);
    assert_eq!(download.parts(), ["bytes=2000001-"]);
    let lines = download.lines.lock().expect("lines");
    assert_eq!(lines.last().map(|line| (line.done, line.total)), Some((4, 4)));
}

#[test]
fn a_cut_connection_is_taken_up_where_it_ended() {
    let download = Download::from(&[Cut(1_000_000), Cut(7), Nothing, Cut(2_000_000), Status(503), Part]);
    let expected = ["all", "bytes=1000000-", "bytes=1000007-", "bytes=1000007-", "bytes=3000007-", "bytes=3000007-"];
    assert_eq!(download.parts(), expected);
}

#[test]
fn tries_that_bring_something_may_be_many() {
    let download = Download::from(&[Cut(400_000)]);
    assert_eq!(download.parts().len(), 9);
}

#[test]
fn a_dead_connection_is_given_up_after_five_tries_and_the_part_is_kept() {
    let download = Download::from(&[Cut(1000), Nothing]);
    let found = download.error();
    assert!(found.starts_with("given up after 5 attempts: "), "{found}");
    assert_eq!(download.asked(), ["all", "bytes=1000-", "bytes=1000-", "bytes=1000-", "bytes=1000-"]);
    assert_eq!(fs::read(download.partial()).expect("reads"), download.contents[..1000]);
    let download = Download::from(&[Cut(1000), Cut(1)]);
    let found = download.error();
    assert!(found.starts_with("given up after 5 attempts: cut after 1.0 KB of 3.5 MB: "), "{found}");
}

#[test]
fn a_server_without_ranges_begins_anew() {
    let contents = Download::from(&[Part]).contents;
    assert_eq!(Download::from(&[Whole]).after(&contents[..100]).parts(), ["bytes=100-"]);
    let download = Download::from(&[WholeCut(3_000_000), WholeCut(3_400_000), Whole]);
    assert_eq!(download.parts(), ["all", "bytes=3000000-", "bytes=3400000-"]);
    // It never comes farther, so it ends: the first try did, then five did not.
    let download = Download::from(&[WholeCut(3_000_000)]);
    assert!(download.error().starts_with("given up after 5 attempts: cut after 3.0 MB of 3.5 MB: "));
    assert_eq!(download.asked().len(), 5);
}

#[test]
fn another_part_than_asked_for_is_not_taken() {
    let contents = Download::from(&[Part]).contents;
    let download = Download::from(&[Shifted(3), Part]).after(&contents[..100]);
    assert_eq!(download.parts(), ["bytes=100-", "all"]);
}

#[test]
fn a_partial_file_that_is_whole_or_too_long_is_recognized() {
    let contents = Download::from(&[Part]).contents;
    assert_eq!(Download::from(&[Part]).after(&contents).parts(), ["bytes=3500000-"]);
    let longer = [contents.as_slice(), b"more"].concat();
    assert_eq!(Download::from(&[Part]).after(&longer).parts(), ["bytes=3500004-", "all"]);
}

#[test]
fn a_wrong_file_is_deleted_and_never_gets_the_name() {
    let download = Download::from(&[Part]);
    let found = message(download.run_with("0123abcd"));
    let expected = format!("should begin with 0123abcd, it is {}", download.sha256());
    assert!(found.contains("deleted what came: ") && found.ends_with(&expected), "{found}");
    assert!(!download.target().exists() && !download.partial().exists());
    // A part of another file: the same.
    let download = Download::from(&[Part]).after(b"something else");
    assert!(download.error().contains("its SHA-256 should begin with"));
    assert!(!download.partial().exists());
    assert_eq!(download.parts().last().map(String::as_str), Some("all"));
}

#[test]
fn what_no_second_try_can_mend_is_tried_once() {
    for (answer, expected) in [
        (Status(404), "the server answered 404 Not Found"),
        (Status(403), "the server answered 403 Forbidden"),
        (NoLength, "the server does not say how long the file is"),
    ] {
        let download = Download::from(&[answer]);
        assert_eq!(download.error(), expected);
        assert_eq!(download.asked(), ["all"]);
    }
    let download = Download::from(&[Status(502)]);
    assert_eq!(download.error(), "given up after 5 attempts: the server answered 502 Bad Gateway");
    assert_eq!(download.asked().len(), 5);
}

#[test]
fn without_a_network_the_error_is_short() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("a.pth");
    let found = message(download("http://127.0.0.1:1/a.pth", &target, "00", &NO_PAUSES, &|_| {}));
    let (_, cause) = found.split_once("a.pth: ").expect("names the file");
    assert_eq!(cause, "given up after 5 attempts: no connection: Connection refused (os error 111)");
    let found = message(download("no address", &target, "00", &NO_PAUSES, &|_| {}));
    assert!(!found.contains("attempt"), "{found}");
}

#[test]
fn two_processes_do_not_write_one_partial_file() {
    let download = Download::from(&[Part]);
    let lock = File::create(download.folder.path().join("a.pth.lock")).expect("creates");
    lock.lock().expect("locks");
    assert!(message(download.run_with("00")).ends_with("a.pth: another process is downloading this file"));
    assert!(download.asked().is_empty());
    drop(lock);
    assert_eq!(download.parts(), ["all"]);
    // The file is there now and is not downloaded again.
    assert_eq!(download.parts(), ["all"]);
}
