//! What is known of published weights.

use super::super::catalogue::{ExpectedInput, PublishedWeights};
use super::super::{Weights, WeightsFile, notice_of};
use super::message;
use crate::base::files::Digest;
use crate::nn::model::Architecture;

fn file(name: &str, hash_begins: &str) -> WeightsFile {
    let sha256 = Digest::parse(&format!("{hash_begins:0<64}")).expect("digits");
    WeightsFile { name: name.to_owned(), sha256 }
}

#[test]
fn a_file_is_known_by_its_hash() {
    let lite = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db";
    let notice = notice_of(&file("my-copy.pth", lite)).expect("known");
    assert!(notice.licence.starts_with("Apache-2.0") && notice.source.contains("efficientnet-lite0"));
    assert_eq!(notice_of(&file("efficientnet-lite0-57934424.pth", &lite[..63])), None);
    // Of torchvision's files only eight digits are known, so the name has to be right as well.
    let notice = notice_of(&file("vgg19-dcbb9e9d.pth", "dcbb9e9d")).expect("known");
    assert!(notice.source.contains("torchvision") && notice.training_data.contains("ImageNet"));
    assert_eq!(notice_of(&file("mine.pth", "dcbb9e9d")), None);
    assert_eq!(notice_of(&file("vgg19-dcbb9e9d.pth", "dcbb9e9e")), None);
}

#[test]
fn settings_say_what_input_they_expect() {
    let of = |architecture, source| {
        (Weights::normalisation_of(architecture, source), Weights::window_of(architecture, source))
    };
    assert_eq!(of(Architecture::ResNet152, "ct"), ((0.0, 1.0), Some((-1000.0, 200.0))));
    for source in ["imagenet", "imagenet-v2", "mine.pth"] {
        assert_eq!(of(Architecture::ResNet152, source), ((0.5, 0.5), None), "{source}");
    }
    for key in ["efficientnet_lite0", "efficientnet_lite2"] {
        let ExpectedInput { normalisation: (mean, std), window } =
            PublishedWeights::find(key, "imagenet").expect("known").input;
        let normalised = |grey: f64| (grey / 255.0 - mean) / std;
        assert!(normalised(127.0).abs() < 1e-12 && (normalised(255.0) - 1.0).abs() < 1e-12 && window.is_none());
    }
}

#[test]
fn a_setting_of_another_network_is_an_error_that_lists_its_own() {
    let find = |architecture, source| message(Weights::find(architecture, source, |_| {}));
    for (architecture, source, said) in [
        (Architecture::Vgg19, "ct", "there is no \"ct\" for VGG19; expected imagenet or the path of a file"),
        (
            Architecture::ResNet152,
            "imagenet-v3",
            "there is no \"imagenet-v3\" for ResNet-152; expected imagenet, imagenet-v2, ct or the path of a file",
        ),
        (Architecture::Fcn, "imagenet", "there is no \"imagenet\" for FCN; expected the path of a file"),
        (Architecture::DenseNet161, "a.pth", "expected imagenet or the path of a file, found no file \"a.pth\""),
    ] {
        assert_eq!(find(architecture, source), format!("pretrained: {said}"));
    }
}

#[test]
fn a_file_of_ones_own_has_no_notice() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mine.pth");
    std::fs::write(&path, "mine").expect("writes");
    let weights = Weights::find(Architecture::Vgg19, &path.display().to_string(), |_| {}).expect("finds");
    assert_eq!((weights.notice(), weights.normalisation(), weights.window()), (None, (0.5, 0.5), None));
    assert!(weights.to_string().contains("not known"), "{weights}");
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mine.safetensors");
    let values = tch::Tensor::from_slice(&[1.0_f32, f32::NAN, 3.0, f32::NEG_INFINITY]);
    tch::Tensor::write_safetensors(&[("features.0.weight", &values)], &path).expect("writes");
    let weights = Weights::find(Architecture::Vgg19, path.to_str().expect("UTF-8"), |_| {}).expect("finds");
    let expected = format!(
        "reading the weights {}: expected finite numbers, found NaN at features.0.weight[1]; values of features.0.weight \
         that are not finite: 2 of 4",
        path.display()
    );
    assert_eq!(message(weights.read()), expected);
}
