//! The FCN and Adam compared with PyTorch's.

use crate::support::{folder, run_python};
use covid_ct::tch::{Device, Kind, Reduction, Tensor};
use covid_ct::{Adam, Architecture, Network, gradient};
use std::collections::BTreeMap;

fn fcn() -> Network {
    Network::new(Architecture::Fcn, 3, Device::Cpu).expect("a network")
}

fn worst(a: &Tensor, b: &Tensor) -> f64 {
    let scale = f64::try_from(b.abs().max()).expect("a number").max(1e-6);
    f64::try_from((a - b).abs().max()).expect("a number") / scale
}

#[test]
fn the_fcn_has_the_slides_parameters() {
    assert_eq!(fcn().parameter_count(), 1_555_074);
    assert_eq!(fcn().parameters().len(), 10);
}

#[test]
fn a_seed_decides_the_weights() {
    let weights = |seed| {
        let network = Network::new(Architecture::Fcn, seed, Device::Cpu).expect("a network");
        Vec::<f32>::try_from(network.parameters()[0].1.detach().reshape([-1])).expect("floats")
    };
    assert_eq!(weights(1), weights(1));
    assert_ne!(weights(1), weights(2));
    let bound = 1.0 / 27.0_f32.sqrt();
    assert!(weights(1).iter().all(|w| w.abs() <= bound));
    assert!(weights(1).iter().any(|w| w.abs() > 0.95 * bound), "the whole range is used");
}

#[test]
fn forward_backward_and_adam_agree_with_pytorch() {
    let folder = folder();
    let network = fcn();
    let images = Tensor::from_slice(&(0..4 * 3 * 48 * 48).map(|i| (i as f32 * 0.37).sin()).collect::<Vec<f32>>());
    let images = images.reshape([4, 3, 48, 48]);
    let labels = Tensor::from_slice(&[0_i64, 1, 1, 0]);
    let steps = 4;
    let (given, found) = (folder.path().join("given.safetensors"), folder.path().join("found.safetensors"));
    let mut tensors: Vec<(String, Tensor)> =
        network.parameters().iter().map(|(name, tensor)| (name.clone(), tensor.detach().copy())).collect();
    tensors.push(("images".into(), images.shallow_clone()));
    tensors.push(("labels".into(), labels.to_kind(Kind::Float)));
    tensors.push(("steps".into(), Tensor::from_slice(&[steps as f32])));
    Tensor::write_safetensors(&tensors, &given).expect("writes");
    run_python("reference_fcn.py", &[given.to_str().expect("UTF-8"), found.to_str().expect("UTF-8")]);
    let reference: BTreeMap<String, Tensor> = Tensor::read_safetensors(&found).expect("reads").into_iter().collect();
    assert_eq!(f64::try_from(&reference["count"]).expect("a number"), 1_555_074.0);
    let maps = network.class_activation(&images, &[0, 1, 1, 0]).expect("maps");
    assert_eq!(maps.size(), [4, 6, 6]);
    assert!(worst(&maps, &reference["cam"]) < 1e-5, "Grad-CAM: {}", worst(&maps, &reference["cam"]));
    let mut adam = Adam::new(network.parameters(), 1e-3).expect("an optimizer");
    for step in 0..steps {
        let logits = network.forward(&images).expect("logits");
        let loss = logits.cross_entropy_loss::<Tensor>(&labels, None, Reduction::Mean, -100, 0.0);
        let slope = gradient(&loss, network.parameters()).expect("a gradient");
        if step == 0 {
            assert!(worst(&logits, &reference["logits"]) < 1e-5);
            let sizes: Vec<i64> = network.parameters().iter().map(|(_, parameter)| parameter.numel() as i64).collect();
            for ((name, _), part) in network.parameters().iter().zip(slope.split_with_sizes(&sizes, 0)) {
                let expected = &reference[&format!("grad.{name}")];
                let expected =
                    if expected.dim() == 4 { expected.permute([0, 2, 3, 1]) } else { expected.shallow_clone() };
                let off = worst(&part, &expected.reshape([-1]));
                assert!(off < 1e-4, "gradient of {name}: {off}");
            }
        }
        adam.step(slope).expect("steps");
    }
    for (name, parameter) in network.parameters() {
        let off = worst(&parameter.detach(), &reference[&format!("after.{name}")]);
        assert!(off < 1e-3, "{name} after {steps} steps: {off}");
    }
}

#[test]
fn parameters_that_do_not_fit_are_named() {
    let named = || -> BTreeMap<String, Tensor> {
        fcn().parameters().iter().map(|(name, tensor)| (name.clone(), tensor.detach())).collect()
    };
    let wrong_with = |loaded: anyhow::Result<Network>| format!("{:#}", loaded.expect_err("does not fit"));
    let load = |named| Network::from_tensors(Architecture::Fcn, named, Device::Cpu);
    load(named()).expect("loads");
    let mut missing = named();
    missing.remove("conv2.bias");
    assert!(wrong_with(load(missing)).contains("conv2.bias is missing"));
    let mut extra = named();
    extra.insert("fc.weight".into(), Tensor::zeros([2], (Kind::Float, Device::Cpu)));
    assert!(wrong_with(load(extra)).contains("fc.weight is no part"));
    let mut wrong = named();
    wrong.insert("conv1.bias".into(), Tensor::zeros([3], (Kind::Float, Device::Cpu)));
    assert!(wrong_with(load(wrong)).contains("conv1.bias should be [64], it is [3]"));
}
