//! Files written by PyTorch, compared with their contents in PyTorch; then damaged, truncated and foreign files.

use super::super::torch_file::{ElementType, RawTensor, read_torch_file, state_dict};
use super::{message, reference, reference_json};
use std::fs;
use std::path::PathBuf;

/// All files of the reference with what is expected of them.
fn cases() -> Vec<(PathBuf, serde_json::Value)> {
    let files = fs::read_dir(reference()).expect("reads").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "pth")).collect();
    files.sort();
    let expected = |path: &PathBuf| {
        reference_json(path.with_extension("json").file_name().and_then(|name| name.to_str()).expect("a name"))
    };
    files.into_iter().map(|path| (path.clone(), expected(&path))).collect()
}

fn tensors(expected: &serde_json::Value) -> Option<Vec<(String, RawTensor)>> {
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    let tensor = |row: &serde_json::Value| {
        let hex = text(&row[3]);
        let data = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect();
        let shape = row[2].as_array().expect("a shape").iter().map(|side| side.as_u64().expect("a side") as usize);
        (text(&row[0]), RawTensor { dtype: element_type(&text(&row[1])), shape: shape.collect(), data })
    };
    Some(expected.get("tensors")?.as_array().expect("rows").iter().map(tensor).collect())
}

fn element_type(name: &str) -> ElementType {
    use ElementType::*;
    let all = [F64, F32, F16, BF16, I64, I32, I16, I8, U8, Bool];
    all.into_iter().find(|element| format!("{element:?}") == name).expect("a type")
}

#[test]
fn state_dicts_are_read_as_pytorch_wrote_them() {
    let mut read = 0;
    for (path, expected) in cases() {
        match tensors(&expected) {
            Some(tensors) => {
                let found = read_torch_file(&path).unwrap_or_else(|error| panic!("{error:#}"));
                assert_eq!(found, tensors, "{}", path.display());
                read += 1;
            }
            None => {
                let found = message(read_torch_file(&path));
                let expected = expected["error"].as_str().expect("words");
                assert!(found.contains(expected), "{found:?} should have {expected:?}");
                assert!(found.starts_with(&format!("reading the weights in {}: ", path.display())), "{found}");
            }
        }
    }
    assert_eq!(read, 32);
    assert!(!reference().join("executed").exists() && !PathBuf::from("executed").exists());
}

#[test]
fn no_truncated_file_is_read() {
    for (path, _) in cases() {
        let bytes = fs::read(&path).expect("reads");
        for length in 0..bytes.len() {
            assert!(state_dict(&bytes[..length]).is_err(), "{} cut to {length} bytes", path.display());
        }
    }
}

#[test]
fn damage_is_never_a_panic_and_in_a_zip_archive_never_goes_unseen() {
    for (path, expected) in cases() {
        let (whole, tensors) = (fs::read(&path).expect("reads"), tensors(&expected));
        let zip = whole.starts_with(b"PK");
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff, whole[at]] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                if let (Ok(found), true) = (state_dict(&bytes), zip) {
                    assert_eq!(Some(found), tensors, "{} with {flip:#x} at {at}", path.display());
                }
            }
        }
    }
}

#[test]
fn damage_is_named() {
    let mut bytes = fs::read(reference().join("layers-zip-2.pth")).expect("reads");
    let at = bytes.windows(4).position(|window| window == b"PK\x01\x02").expect("a directory") / 2;
    bytes[at] ^= 0xff;
    let found = message(state_dict(&bytes));
    assert!(found.contains("the entry \"layers-zip-2/data/") && found.contains("should have the CRC-32"), "{found}");
    let bytes = fs::read(reference().join("layers-legacy-2.pth")).expect("reads");
    let found = message(state_dict(&bytes[..bytes.len() - 1]));
    assert!(found.contains("the file ends within the storage") && found.contains("it is truncated"), "{found}");
}

#[test]
fn archives_that_claim_much_are_not_believed() {
    let mut bytes = fs::read(reference().join("layers-zip-2.pth")).expect("reads");
    let record = bytes.windows(4).position(|window| window == b"PK\x06\x06").expect("a Zip64 record");
    bytes[record + 32..record + 40].copy_from_slice(&(1_u64 << 11).to_le_bytes());
    assert!(message(state_dict(&bytes)).contains("it claims more entries than it has room for"));
    bytes[record] = 0;
    assert!(message(state_dict(&bytes)).contains("its Zip64 record is not there"));
}

#[test]
fn foreign_files_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("weights.pth");
    let of = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("writes");
        let found = message(read_torch_file(&path));
        found.strip_prefix(&format!("reading the weights in {}: ", path.display())).expect("names the file").to_owned()
    };
    assert_eq!(of(b""), "expected a file of torch.save, found an empty file");
    assert_eq!(
        of(b"\n<!DOCTYPE html><html>"),
        "expected a file of torch.save, found a web page, such as a server's error message saved under the file's name"
    );
    assert_eq!(of(b"\x89HDF\r\n"), r#"expected a file of torch.save, found a file that begins with "\x89HDF\r\n""#);
    let big = [b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.M\xe9\x03.".as_slice(), b"}X\x0d\0\0\0little_endian\x89s."];
    assert_eq!(of(&big.concat()), "expected little-endian data, found big-endian or unknown");
    let later = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.M\xea\x03.";
    assert_eq!(of(later), "expected version 1001 of torch.save's older format, found Some(1002)");
    assert!(of(b"PK\x03\x04").contains("the file does not end as a zip archive ends: it is truncated"));
    let empty = [b"PK\x05\x06".as_slice(), &[0; 18]].concat();
    assert_eq!(of(&empty), "expected a zip archive of torch.save, found one without data.pkl");
    assert!(message(read_torch_file(folder.path())).ends_with("expected a regular file, found a folder"));
    assert!(message(read_torch_file(&folder.path().join("none"))).contains("No such file"));
}

/// What very old versions wrote: names of Python 2, no `_v2`, parameters completed by a state, views of storages.
#[test]
fn files_of_old_versions_are_read() {
    let start = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.M\xe9\x03.}U\x0dlittle_endian\x88s.".as_slice();
    let view = |storage_view: &str, first: usize| {
        let storage = format!("(S'storage'\nctorch\nFloatStorage\nS'7'\nS'cpu'\nI6\n{storage_view}tQ");
        format!("{storage}I{first}\n(I2\nI2\nt(I2\nI1\nt")
    };
    let tensor = |view: String| format!("ctorch._utils\n_rebuild_tensor\n({view}tR");
    let parameter = "ctorch.nn.parameter\nParameter\n";
    let object = format!(
        "ccollections\nOrderedDict\n((l(S'a'\n{}la(S'b'\n{}la(S'c'\n{}la(S'd'\n{}latR.",
        tensor(view("N", 0)),
        format_args!("{parameter})R({}NNI00\nI00\ntb", tensor(view("(S'8'\nI1\nI5\nt", 1))),
        format_args!("{parameter})R({}tb", view("N", 1)),
        format_args!("{parameter}({}I01\ntR", tensor(view("N", 2))),
    );
    let numbers =
        |range: std::ops::Range<u8>| range.flat_map(|number| f32::from(number).to_le_bytes()).collect::<Vec<_>>();
    let bytes = [start, object.as_bytes(), b"(S'7'\nl.", &6_i64.to_le_bytes(), &numbers(0..6)].concat();
    let found = state_dict(&bytes).unwrap_or_else(|error| panic!("{error:#}"));
    let tensor = |first: u8| RawTensor { dtype: ElementType::F32, shape: vec![2, 2], data: numbers(first..first + 4) };
    let expected = [("a", tensor(0)), ("b", tensor(2)), ("c", tensor(1)), ("d", tensor(2))];
    assert_eq!(found, expected.map(|(name, tensor)| (name.to_owned(), tensor)));
}
