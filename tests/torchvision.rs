//! The pretrained networks compared with torchvision's, EfficientNet-Lite0 with one written for it: names, logits,
//! gradients.

use crate::support::{folder, run_python};
use covid_ct::tch::{Device, Kind, Reduction, Tensor, manual_seed, no_grad};
use covid_ct::{Architecture, Network};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

fn read(folder: &Path, name: &str) -> BTreeMap<String, Tensor> {
    Tensor::read_safetensors(folder.join(format!("{name}.safetensors"))).expect("reads").into_iter().collect()
}

/// The largest difference, relative to the largest value.
fn off(ours: &Tensor, theirs: &Tensor) -> f64 {
    let (ours, theirs) = (ours.to_kind(Kind::Double), theirs.to_kind(Kind::Double));
    f64::try_from((ours - &theirs).abs().max() / theirs.abs().max().clamp_min(1e-6)).expect("a number")
}

/// One at a time: each takes gigabytes.
static ALONE: Mutex<()> = Mutex::new(());

/// Answers of torchvision and of ours on the same weights and images, in evaluation, training, and backwards.
fn agrees(architecture: Architecture, classes: i64, parameters: u64) {
    let _alone = ALONE.lock();
    let folder = folder();
    let at = folder.path().to_str().expect("UTF-8");
    run_python("reference_torchvision.py", &[architecture.key(), at, &classes.to_string()]);
    let network = Network::from_tensors(architecture, read(folder.path(), "weights"), Device::Cpu).expect("fits");
    assert_eq!(network.parameter_count(), parameters);
    let (given, answers) = (read(folder.path(), "images"), read(folder.path(), "answers"));
    assert_eq!(f64::try_from(&answers["count"]).expect("a number") as u64, parameters);
    let (images, labels) = (&given["images"], given["labels"].to_kind(Kind::Int64));
    for (images, answer) in [(images, "eval"), (&given["other"], "other")] {
        let logits = no_grad(|| network.forward(images)).expect("logits");
        assert_eq!(logits.size(), answers[answer].size());
        let off = off(&logits, &answers[answer]);
        println!("{architecture}: evaluation of {:?} is {off:.1e} off", images.size());
        assert!(off < 1e-4, "{architecture}: {off} off on {:?}", images.size());
    }
    let maps = network.class_activation(images, &[1, 0, 1, 0]).expect("maps");
    assert_eq!(maps.size(), answers["cam"].size());
    let heat = off(&maps, &answers["cam"]);
    assert!(heat < 1e-4, "{architecture}: Grad-CAM is {heat} off");
    // The same generator draws the same dropout.
    manual_seed(11);
    let logits = network.forward_training(images).expect("logits");
    assert!(off(&logits, &answers["train"]) < 1e-4, "{architecture}: training {}", off(&logits, &answers["train"]));
    logits.cross_entropy_loss::<Tensor>(&labels, None, Reduction::Mean, -100, 0.0).backward();
    let worst = network.parameters().iter().map(|(name, p)| (off(&p.grad(), &answers[&format!("grad.{name}")]), name));
    let worst = worst.max_by(|a, b| a.0.total_cmp(&b.0)).expect("parameters");
    println!("{architecture}: training is {:.1e} off, gradients {:.1e}", off(&logits, &answers["train"]), worst.0);
    assert!(worst.0 < 1e-3, "{architecture}: gradient of {} is {} off", worst.1, worst.0);
    for (name, buffer) in network.buffers() {
        let off = off(buffer, &answers[&format!("after.{name}")]);
        assert!(off < 1e-4, "{architecture}: {name} is {off} off");
    }
}

#[test]
fn vgg19_is_torchvisions() {
    // In a process of its own, for other tests draw from the generator of its dropout.
    const VARIABLE: &str = "COVID_CT_TEST_ALONE";
    if std::env::var_os(VARIABLE).is_none() {
        let _alone = ALONE.lock();
        let program = std::env::current_exe().expect("a path");
        let mut test = Command::new(program);
        let done =
            test.args(["--exact", "torchvision::vgg19_is_torchvisions", "--nocapture"]).env(VARIABLE, "1").output();
        let done = done.expect("starts");
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&done.stderr));
        return;
    }
    agrees(Architecture::Vgg19, 1000, 143_667_240);
}

#[test]
fn resnet152_is_torchvisions() {
    agrees(Architecture::ResNet152, 1000, 60_192_808);
}

#[test]
fn densenet161_is_torchvisions() {
    agrees(Architecture::DenseNet161, 1000, 28_681_000);
}

#[test]
fn resnet18_is_torchvisions() {
    agrees(Architecture::ResNet18, 1000, 11_689_512);
}

#[test]
fn resnet50_is_torchvisions() {
    agrees(Architecture::ResNet50, 1000, 25_557_032);
}

#[test]
fn efficientnet_lite0_is_the_references() {
    agrees(Architecture::EfficientNetLite0, 1000, 4_652_008);
}
