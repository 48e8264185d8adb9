use super::*;
use crate::nn::learn::Learn;
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// The networks that are small enough for a unit test.
const SMALL: [Architecture; 5] = [
    Architecture::Compact,
    Architecture::EfficientNetLite0,
    Architecture::EfficientNetLite2,
    Architecture::ResNet18,
    Architecture::ResNet50,
];

fn network(architecture: Architecture) -> Network {
    Network::new(architecture, 3, Device::Cpu).expect("a network")
}

/// The same picture for everybody: the generator of libtorch is shared with other tests.
fn images(height: i64, width: i64) -> Tensor {
    let values = (0..2 * 3 * height * width).map(|i| (i as f32 * 0.37).sin() * (i as f32 * 0.011).cos());
    Tensor::from_slice(&values.collect::<Vec<f32>>()).reshape([2, 3, height, width])
}

#[test]
fn numbers_of_parameters_are_the_published_ones() {
    let counts = [291_922, 3_373_570, 4_813_634, 11_177_538, 23_512_130];
    for (architecture, count) in SMALL.into_iter().zip(counts) {
        let network = network(architecture);
        assert_eq!(network.parameter_count(), count, "{architecture}");
        let head = network.head();
        assert_eq!(head[0].0, format!("{}.weight", architecture.head()));
        assert_eq!(network.learning(Learn::Head).len(), 2);
        // A head of 1,000 classes, as in the published files.
        let mut named: BTreeMap<String, Tensor> = network.tensors().into_iter().collect();
        let inputs = head[0].1.size()[1];
        for (name, shape) in [("weight", vec![1000, inputs]), ("bias", vec![1000])] {
            named.insert(format!("{}.{name}", architecture.head()), Tensor::zeros(shape, (Kind::Float, Device::Cpu)));
        }
        let whole = Network::from_tensors(architecture, named, Device::Cpu).expect("fits").parameter_count();
        assert_eq!(whole, count + 998 * (inputs as u64 + 1), "{architecture}");
        if architecture == Architecture::EfficientNetLite0 {
            assert_eq!(whole, 4_652_008);
        }
    }
}

#[test]
fn every_size_gives_logits_and_heat_and_tensors_come_back() {
    for architecture in SMALL {
        let network = network(architecture);
        let smallest = i64::from(architecture.smallest_size());
        // The running statistics of a new network are those of no data.
        network.measure_statistics(&images(64, 64)).expect("measures");
        for (height, width) in [(smallest, smallest), (33, 47), (65, 40)] {
            let images = images(height, width);
            let logits = tch::no_grad(|| network.forward(&images)).expect("logits");
            assert_eq!((logits.size(), logits.kind()), (vec![2, 2], Kind::Float));
            assert!(logits.isfinite().all().int64_value(&[]) == 1, "{architecture}");
            let maps = network.class_activation(&images, &[0, 1]).expect("maps");
            let stride = if architecture == Architecture::Compact { 16 } else { 32 };
            assert_eq!(maps.size(), [2, (height + stride - 1) / stride, (width + stride - 1) / stride]);
            assert!(maps.min().double_value(&[]) >= 0.0);
        }
        let heat = network.class_activation(&images(64, 64), &[0, 1]).expect("maps").sum(Kind::Float);
        let other = network.class_activation(&images(64, 64), &[1, 0]).expect("maps").sum(Kind::Float);
        assert!(heat.double_value(&[]) + other.double_value(&[]) > 0.0, "{architecture}: no heat for any class");
        let named = network.tensors().into_iter().collect();
        let back = Network::from_tensors(architecture, named, Device::Cpu).expect("comes back");
        let images = images(48, 48);
        assert_eq!(back.forward(&images).expect("logits"), network.forward(&images).expect("logits"));
        assert_eq!(back.backbone_hash().expect("hashes"), network.backbone_hash().expect("hashes"));
    }
}

/// As [`FeatureCache`](crate::train::features::FeatureCache) and the leak probe use them.
#[test]
fn stored_features_and_a_head_by_itself_give_the_same_logits() {
    for architecture in SMALL {
        let network = network(architecture);
        let (images, mode) = (images(64, 64), Mode::evaluation(Kind::Float));
        network.measure_statistics(&images).expect("measures");
        let until = network.frozen_until();
        let features = network.features(&images, until, Kind::Float).expect("features");
        assert_eq!(features.size(), [2, network.width_at(until).expect("a width") as i64]);
        let whole = network.forward(&images).expect("logits");
        assert_eq!(network.rest(until, &features, mode).expect("logits"), whole);
        let head = network.head_alone().expect("copies").expect("has a linear head");
        assert_eq!(head.rest(until, &features, mode).expect("logits"), whole);
        let changed = Tensor::zeros_like(&network.head()[1].1) + 1.0;
        tch::no_grad(|| network.head()[1].1.shallow_clone().copy_(&changed));
        assert_eq!(head.rest(until, &features, mode).expect("logits"), whole, "the copy is its own");
    }
}

#[test]
fn names_are_read_as_they_are_written() {
    for architecture in Architecture::ALL {
        let text = serde_json::to_string(&architecture).expect("writes");
        assert_eq!(text, format!("{:?}", architecture.key()));
        assert_eq!(serde_json::from_str::<Architecture>(&text).expect("reads"), architecture);
    }
    assert_eq!(Architecture::ALL[..4], Architecture::SLIDES);
    let error = "resnet34".parse::<Architecture>().expect_err("unknown").to_string();
    assert!(error.contains("compact, efficientnet_lite0") && error.ends_with("found \"resnet34\""), "{error}");
}

/// A head that sees earlier stages: its features are their means and those of the last maps, a checkpoint brings it back, and the
/// class activation of the last maps is that of a head with its last columns.
#[test]
fn a_head_sees_the_means_of_earlier_stages() {
    tch::manual_seed(3);
    let images = Tensor::randn([2, 3, 64, 64], (Kind::Float, Device::Cpu));
    for (architecture, more) in [(Architecture::EfficientNetLite0, 744), (Architecture::ResNet18, 128 + 256)] {
        let network = Network::drawn(architecture, true, 5, Device::Cpu).expect("a network");
        let last = architecture.head_inputs().expect("a linear head");
        assert_eq!(network.head()[0].1.size(), [2, more + last], "{architecture}");
        let features = network.features(&images, network.until_head(), Kind::Float).expect("features");
        let logits = network.forward(&images).expect("logits");
        let by_hand = features.linear(&network.head()[0].1, Some(&network.head()[1].1));
        assert!((&logits - by_hand).abs().max().double_value(&[]) < 1e-4, "{architecture}");
        let named = || -> BTreeMap<String, Tensor> { network.tensors().into_iter().collect() };
        let restored = Network::from_tensors(architecture, named(), Device::Cpu).expect("restores");
        assert!(restored.forward(&images).expect("logits").equal(&logits), "{architecture}");
        // The plain network with the head's last columns.
        let mut plain = named();
        let key = network.head()[0].0.clone();
        plain.insert(key, network.head()[0].1.detach().narrow(1, more, last));
        let plain = Network::from_tensors(architecture, plain, Device::Cpu).expect("a plain network");
        let plain_features = plain.features(&images, plain.until_head(), Kind::Float).expect("features");
        assert!((features.narrow(1, more, last) - plain_features).abs().max().double_value(&[]) < 1e-5);
        let [a, b] = [&network, &plain].map(|of| of.class_activation(&images, &[0, 1]).expect("maps"));
        assert!((&a - b).abs().max().double_value(&[]) <= 1e-5 * a.abs().max().double_value(&[]).max(1e-9));
    }
}
