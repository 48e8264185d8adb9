//! torchvision's files: where they lie, how they are checked, what their tensors are called.

use super::super::official::{
    DENSENET161, Official, RESNET18, RESNET50_V1, RESNET50_V2, RESNET152_V1, RESNET152_V2, VGG19, checkpoint_folder_of,
    modern_key, official_file_in,
};
use super::server::{Response, Server};
use super::{message, reference_json};
use std::fs;
use std::path::{Path, PathBuf};

/// A small file in the place of a large one; its SHA-256 begins with `ba7816bf`.
const FILE: Official = Official { file: "abc-ba7816bf.pth", sha256_prefix: "ba7816bf" };

fn fetch(folder: &Path, url: &str) -> crate::base::errors::Result<PathBuf> {
    official_file_in(folder, &FILE, url, &[], &|_| {}).map(|(path, _)| path)
}

#[test]
fn a_file_is_downloaded_once() {
    let server = Server::start(b"abc", &[Response::Part]);
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().join("hub/checkpoints");
    for _ in 0..2 {
        let path = fetch(&folder, &format!("{}/", server.url)).expect("fetches");
        assert_eq!(
            (path.as_path(), fs::read(&path).expect("reads")),
            (folder.join(FILE.file).as_path(), b"abc".to_vec())
        );
    }
    assert_eq!(server.requests(), ["/models/abc-ba7816bf.pth all"]);
}

#[test]
fn a_damaged_file_is_named_and_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(FILE.file);
    fs::write(&path, "abd").expect("writes");
    let found = message(fetch(folder.path(), "http://127.0.0.1:1"));
    let expected =
        format!("delete it to have it downloaded again: {} is not the file that was expected", path.display());
    assert!(found.starts_with(&expected), "{found}");
    assert_eq!(fs::read(path).expect("reads"), b"abd");
}

#[test]
fn without_a_network_the_error_says_what_to_put_where() {
    let folder = tempfile::tempdir().expect("a folder");
    let found = message(fetch(folder.path(), "http://127.0.0.1:1/models"));
    let (url, folder) = ("http://127.0.0.1:1/models/abc-ba7816bf.pth", folder.path().display());
    let expected = format!(
        "abc-ba7816bf.pth is needed; where this machine cannot fetch {url}, put that file into {folder} by hand: \
         downloading {url} to {folder}/abc-ba7816bf.pth: given up after 1 attempt: no connection: Connection refused \
         (os error 111)"
    );
    assert_eq!(found, expected);
}

#[test]
fn names_of_files_have_their_hashes() {
    for file in [VGG19, RESNET152_V1, RESNET152_V2, DENSENET161, RESNET18, RESNET50_V1, RESNET50_V2] {
        assert!(file.file.ends_with(&format!("-{}.pth", file.sha256_prefix)));
    }
}

#[test]
fn the_folder_is_that_of_torch_hub() {
    let folders = reference_json("folders.json");
    let cases = folders.as_array().expect("rows");
    assert_eq!(cases.len(), 20);
    for case in cases {
        let variable = |at: usize| case[at].as_str().map(Into::into);
        let found = checkpoint_folder_of(variable(0), variable(1), Some("/home/someone".into()));
        assert_eq!(found.to_str(), case[2].as_str(), "{case}");
    }
}

#[test]
fn old_names_are_renamed_as_torchvision_does() {
    let names = reference_json("names.json");
    let cases = names.as_object().expect("names");
    let renamed = cases.iter().filter(|(key, name)| name.as_str() != Some(key)).count();
    assert_eq!((cases.len(), renamed), (416, 48));
    for (key, expected) in cases {
        assert_eq!(Some(modern_key(key).as_str()), expected.as_str(), "{key}");
    }
    assert_eq!(
        modern_key("features.denseblock1.denselayer1.norm.1.weight"),
        "features.denseblock1.denselayer1.norm1.weight"
    );
}
