//! Heat maps are pytorch-grad-cam's, on the layers that docs/explanations.md names and on our exported weights.

use crate::support::{folder, prepared, run_python, tiny_run};
use covid_ct::tch::{Device, Kind, Tensor, no_grad};
use covid_ct::{Architecture, Network};
use std::collections::BTreeMap;
use std::path::Path;

fn images(side: i64) -> Tensor {
    let values: Vec<f32> =
        (0..2 * 3 * side * side).map(|i| (i as f32 * 0.37).sin() * (i as f32 * 0.011).cos()).collect();
    Tensor::from_slice(&values).reshape([2, 3, side, side])
}

/// The largest difference of maps that are scaled as pytorch-grad-cam does it: minus the least value, by the greatest.
fn difference(network: &Network, weights: &Path, folder: &Path, side: i64) -> f64 {
    let at = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    let given = [("images", images(side)), ("classes", Tensor::from_slice(&[1_f32, 0.0]))];
    Tensor::write_safetensors(&given, at("given.safetensors")).expect("writes");
    let weights = weights.to_str().expect("UTF-8");
    let arguments = [network.architecture().key(), weights, &at("given.safetensors"), &at("maps.safetensors")];
    run_python("reference_gradcam.py", &arguments);
    let theirs = Tensor::read_safetensors(at("maps.safetensors")).expect("reads").remove(0).1;
    let ours = network.class_activation(&images(side), &[1, 0]).expect("maps");
    assert_eq!(ours.size(), theirs.size());
    // Both from 0 to exactly 1: the package adds 1e-7 to what it divides by, a thousandth where random weights give maps
    // as faint as that.
    let scaled = |maps: &Tensor| {
        let lifted = maps - maps.amin([1, 2], true);
        // A map without any heat stays as it is.
        &lifted / (lifted.amax([1, 2], true) + 1e-30)
    };
    let (ours, theirs) = (scaled(&ours), scaled(&theirs));
    let hot = f64::try_from(ours.max()).expect("a number");
    assert!(hot > 0.99, "{}: no heat at all", network.architecture());
    f64::try_from((ours - theirs).abs().max()).expect("a number")
}

/// torchvision's networks with random weights, and with running statistics that training has moved.
fn agrees(architecture: Architecture) {
    let folder = folder();
    let network = Network::new(architecture, 4, Device::Cpu).expect("a network");
    if !network.buffers().is_empty() {
        no_grad(|| (0..3).for_each(|_| drop(network.forward_training(&images(96)).expect("logits"))));
    }
    let weights = folder.path().join("weights.safetensors");
    let tensors: BTreeMap<String, Tensor> =
        network.tensors().into_iter().map(|(name, tensor)| (name, tensor.contiguous())).collect();
    Tensor::write_safetensors(&tensors.into_iter().collect::<Vec<_>>(), &weights).expect("writes");
    let off = difference(&network, &weights, folder.path(), 96);
    println!("{architecture}: {off:.1e} from pytorch-grad-cam");
    assert!(off < 1e-4, "{architecture}: {off} off");
}

#[test]
fn vgg19_is_explained_as_pytorch_grad_cam_does() {
    agrees(Architecture::Vgg19);
}

#[test]
fn resnet152_is_explained_as_pytorch_grad_cam_does() {
    agrees(Architecture::ResNet152);
}

#[test]
fn densenet161_is_explained_as_pytorch_grad_cam_does() {
    agrees(Architecture::DenseNet161);
}

#[test]
fn a_trained_and_exported_fcn_is_explained_as_pytorch_grad_cam_does() {
    let folder = folder();
    let run = tiny_run("fcn");
    let experiment = prepared(folder.path(), &run);
    experiment.train().expect("trains");
    let (classifier, cache) = (experiment.classifier().expect("loads"), experiment.cache());
    let weights = folder.path().join("exported.safetensors");
    classifier.export(&weights).expect("exports");
    let off = difference(classifier.network(), &weights, folder.path(), 64);
    assert!(off < 1e-3, "{off} off");
    // What is drawn is the same map, enlarged to the slice.
    let slice = experiment.split().slices(covid_ct::Subset::Test)[0];
    let map = &classifier.heat_maps(cache, &[(slice, covid_ct::Label::Covid)]).expect("maps")[0];
    let small = classifier.network().class_activation(&cache.batch(&[slice], Device::Cpu).expect("a batch"), &[0]);
    let side = map.side as i64;
    let large = small.expect("a map").unsqueeze(1).upsample_bilinear2d([side, side], false, None, None);
    let most = f64::try_from(large.max()).expect("a number").max(1e-30);
    let drawn = Tensor::from_slice(&map.values).reshape([1, 1, side, side]).to_kind(Kind::Float);
    assert!(f64::try_from((large / most - drawn).abs().max()).expect("a number") < 1e-5);
}
