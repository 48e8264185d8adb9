use super::*;
use crate::nn::model::Architecture;

/// Slices as a cache gives them: one channel, seen three times.
fn images(slices: i64, side: i64) -> Tensor {
    let values = Tensor::arange(slices * side * side, (Kind::Float, Device::Cpu));
    let values = (&values * 0.37).sin() * (values * 0.011).cos();
    values.reshape([slices, 1, side, side]).expand([slices, 3, side, side], false)
}

/// A network whose batch norms change what passes them, in some channels with a negative or no scale.
fn uneven(architecture: Architecture, stages: bool) -> Network {
    let network = Network::drawn(architecture, stages, 3, Device::Cpu).expect("a network");
    let _guard = tch::no_grad_guard();
    network.measure_statistics(&images(4, 64)).expect("measures");
    for (number, (name, tensor)) in network.parameters().iter().enumerate() {
        if tensor.dim() == 1 {
            let channels = tensor.size()[0];
            let wave = (Tensor::arange(channels, (Kind::Float, Device::Cpu)) * 0.9 + number as f64).sin();
            // Of a weight, every seventh channel or so is negative and one is 0; most networks' are that rarely.
            let is_weight = name.ends_with(".weight");
            let values = if is_weight { wave.shallow_clone() * 0.6 + 0.5 } else { wave * 0.2 };
            tensor.shallow_clone().copy_(&values);
            if is_weight {
                let _ = tensor.narrow(0, 1, 1).fill_(0.0);
            }
        }
    }
    network
}

fn relative(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!((found.size(), found.kind()), (expected.size(), Kind::Float));
    f64::try_from((found - expected).norm() / expected.norm()).expect("a number")
}

#[test]
fn every_network_gives_the_same_features() {
    let all = Architecture::ALL.into_iter().map(|architecture| (architecture, false));
    let staged = [Architecture::EfficientNetLite0, Architecture::ResNet18].map(|architecture| (architecture, true));
    for (architecture, stages) in all.chain(staged) {
        let network = uneven(architecture, stages);
        // The large ones take a while.
        let is_large = Architecture::SLIDES.contains(&architecture);
        // Sides of which TensorFlow's padding is uneven, and even.
        for side in [64, 47].into_iter().take(if is_large { 1 } else { 2 }) {
            let images = images(3, side);
            for until in [network.frozen_until(), network.until_head()].into_iter().take(if is_large { 1 } else { 2 }) {
                let expected = tch::no_grad(|| network.features(&images, until, Kind::Float)).expect("features");
                let prepared = PreparedNetwork::new(&network, until, side as u32).expect("prepares");
                let found = prepared.features(&images).expect("features");
                let off = relative(&found, &expected);
                assert!(off < 1e-5, "{architecture} at {side}, {until} layers: off by {off}");
                assert!(expected.std(true).double_value(&[]) > 1e-3, "{architecture}: features are all the same");
                // Batches of another size than the example's, and the tensors of another thread.
                let shared = prepared.shared().expect("shares");
                let one = shared.features(&images.narrow(0, 1, 1)).expect("features");
                assert!(relative(&one, &expected.narrow(0, 1, 1)) < 1e-5, "{architecture}: one slice");
                assert!(found.equal(&prepared.features(&images).expect("features")), "{architecture}: twice");
            }
        }
    }
}

#[test]
fn the_network_is_unchanged_and_later_changes_are_not_seen() {
    let network = uneven(Architecture::ResNet18, false);
    let (images, until) = (images(2, 48), network.until_head());
    let hash = network.backbone_hash().expect("hashes");
    let prepared = PreparedNetwork::new(&network, until, 48).expect("prepares");
    let before = prepared.features(&images).expect("features");
    assert_eq!(network.backbone_hash().expect("hashes"), hash);
    let _ = tch::no_grad(|| network.parameters()[0].1.shallow_clone().fill_(0.0));
    assert!(prepared.features(&images).expect("features").equal(&before));
}

#[test]
fn three_different_channels_are_refused() {
    let network = uneven(Architecture::ResNet18, false);
    let prepared = PreparedNetwork::new(&network, network.until_head(), 48).expect("prepares");
    let error = prepared.features(&images(1, 48).contiguous()).expect_err("refuses").to_string();
    assert_eq!(error, "expected images of one channel that is seen three times");
}

#[test]
fn who_is_served_and_in_which_batches() {
    let network = |of| Network::new(of, 1, Device::Cpu).expect("a network");
    let is_served = |of| PreparedNetwork::serves(&network(of), Kind::Float, Device::Cpu);
    let is_tried = cfg!(target_arch = "x86_64") && tch::utils::has_mkldnn();
    assert_eq!([Architecture::EfficientNetLite0, Architecture::ResNet18].map(is_served), [is_tried, false]);
    let network = network(Architecture::EfficientNetLite0);
    assert!(!PreparedNetwork::serves(&network, Kind::BFloat16, Device::Cpu));
    assert!(!PreparedNetwork::serves(&network, Kind::Float, Device::Cuda(0)));
    assert_eq!([16, 64, 112, 224, 448, 512].map(PreparedNetwork::batch), [32, 32, 16, 4, 1, 1]);
}
