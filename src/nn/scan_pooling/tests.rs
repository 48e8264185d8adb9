//! Pooling by hand, with padding, and learned.

use super::scan_set::StoredScan;
use super::*;
use crate::nn::single_threads::side_by_side;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn named(tensors: &[(&str, &[i64], &[f32])]) -> BTreeMap<String, Tensor> {
    let tensor = |shape: &[i64], values: &[f32]| Tensor::from_slice(values).reshape(shape);
    tensors.iter().map(|(name, shape, values)| ((*name).to_owned(), tensor(shape, values))).collect()
}

/// Two features, no reduction and no hidden layer: the classifier sees the features.
fn plain(pooling: Pooling) -> ScanNetwork {
    let mut tensors = named(&[
        ("features.mean", &[2], &[0.0, 0.0]),
        ("features.deviation", &[2], &[1.0, 1.0]),
        ("classifier.weight", &[2], &[2.0, -1.0]),
        ("classifier.bias", &[1], &[0.5]),
    ]);
    if pooling == Pooling::Attention {
        tensors.extend(named(&[
            ("attention.tanh", &[1, 2], &[1.0, 0.0]),
            ("attention.sigmoid", &[1, 2], &[0.0, 1.0]),
            ("attention.weight", &[1], &[3.0]),
        ]));
    }
    ScanNetwork::from_tensors(pooling, tensors).expect("a network")
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.reshape([-1])).expect("floats")
}

fn close(found: &[f32], expected: &[f32], within: f32) {
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= within), "{found:?}, expected {expected:?}");
}

#[test]
fn gated_attention_by_hand() {
    let slices = [[1.0_f64, 0.0], [0.0, 2.0], [-1.0, 1.0]];
    let features = Tensor::from_slice2(&slices).to_kind(Kind::Float);
    let (logit, weights) = plain(Pooling::Attention).judge(&features).expect("judges");
    // Equation 9: exp(w tanh(x0) sigmoid(x1)), normalised.
    let score = |[a, b]: [f64; 2]| (3.0 * a.tanh() / (1.0 + (-b).exp())).exp();
    let sum: f64 = slices.iter().map(|slice| score(*slice)).sum();
    let expected: Vec<f64> = slices.iter().map(|slice| score(*slice) / sum).collect();
    let pooled = |feature: usize| slices.iter().zip(&expected).map(|(slice, a)| a * slice[feature]).sum::<f64>();
    assert!((logit - (2.0 * pooled(0) - pooled(1) + 0.5)).abs() < 1e-6, "{logit}");
    close(&weights, &expected.iter().map(|a| *a as f32).collect::<Vec<_>>(), 1e-6);
}

#[test]
fn simpler_poolings_by_hand() {
    // The slices' logits are 2.5, -1.5, -2.5 and 1.5.
    let features = Tensor::from_slice(&[1.0_f32, 0.0, 0.0, 2.0, -1.0, 1.0, 1.0, 1.0]).reshape([4, 2]);
    for (pooling, logit, weights) in [
        (Pooling::Mean, 0.0, [0.25; 4]),
        (Pooling::Max, 2.5, [1.0, 0.0, 0.0, 0.0]),
        (Pooling::TopK(2), 2.0, [0.5, 0.0, 0.0, 0.5]),
        (Pooling::TopK(9), 0.0, [0.25; 4]),
    ] {
        let (found, each) = plain(pooling).judge(&features).expect("judges");
        assert!((found - logit).abs() < 1e-6, "{pooling}: {found}, expected {logit}");
        close(&each, &weights, 1e-7);
    }
}

const POOLINGS: [Pooling; 4] = [Pooling::Attention, Pooling::Mean, Pooling::Max, Pooling::TopK(3)];

/// A network with a hidden layer, as its training begins.
fn drawn(pooling: Pooling, seed: u64) -> ScanNetwork {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let sample = random_features(&mut random, 50, 6);
    let reduction = FeatureReduction::fit(&sample, 4, &mut random).expect("fits");
    let settings = ScanTraining { hidden: 5, gates: 3, ..ScanTraining::default() };
    let layers = PoolingLayers::drawn(pooling, reduction.width(), &settings, &mut random).expect("layers");
    ScanNetwork::new(pooling, reduction, layers)
}

fn random_features(random: &mut ChaCha8Rng, slices: i64, width: i64) -> Tensor {
    let values: Vec<f32> = (0..slices * width).map(|_| random.gen_range(-2.0..2.0)).collect();
    Tensor::from_slice(&values).reshape([slices, width])
}

#[test]
fn padding_and_the_order_of_slices_change_nothing() {
    for pooling in POOLINGS {
        let (network, mut random) = (drawn(pooling, 3), ChaCha8Rng::seed_from_u64(4));
        let lengths = [2, 7, 5];
        let scans: Vec<Tensor> = lengths.iter().map(|&length| random_features(&mut random, length, 6)).collect();
        // What stands in the padding does not count.
        let (features, mask) = (
            random_features(&mut random, 27, 6).reshape([3, 9, 6]),
            Tensor::zeros([3, 9], (Kind::Bool, tch::Device::Cpu)),
        );
        for (row, (scan, &length)) in (0..).zip(scans.iter().zip(&lengths)) {
            features.get(row).narrow(0, 0, length).copy_(scan);
            let _ = mask.get(row).narrow(0, 0, length).fill_(1);
        }
        let together = network.forward(&features, &mask).expect("judges");
        assert_eq!(together.weights.size(), [3, 9]);
        for (row, (scan, &length)) in (0..).zip(scans.iter().zip(&lengths)) {
            let (logit, weights) = network.judge(scan).expect("judges");
            close(&[together.logits.double_value(&[row]) as f32], &[logit as f32], 1e-6);
            let mut padded = weights.clone();
            padded.resize(9, 0.0);
            close(&floats(&together.weights.get(row)), &padded, 1e-6);
            assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            let (turned, reversed) = network.judge(&scan.flip([0])).expect("judges");
            close(&[turned as f32], &[logit as f32], 1e-6);
            close(&reversed.into_iter().rev().collect::<Vec<_>>(), &weights, 1e-6);
            assert_eq!(length as usize, weights.len());
        }
    }
}

#[test]
fn tensors_come_back_and_others_are_refused() {
    for pooling in POOLINGS {
        let network = drawn(pooling, 5);
        let tensors = || network.tensors().into_iter().collect::<BTreeMap<_, _>>();
        let features = random_features(&mut ChaCha8Rng::seed_from_u64(6), 8, 6);
        let back = ScanNetwork::from_tensors(pooling, tensors()).expect("a network");
        assert_eq!(back.judge(&features).expect("judges"), network.judge(&features).expect("judges"));
        let message = |tensors| format!("{:#}", ScanNetwork::from_tensors(pooling, tensors).expect_err("is refused"));
        let mut missing = tensors();
        missing.remove("classifier.bias");
        assert!(message(missing).ends_with("classifier.bias is missing"));
        let mut wrong = tensors();
        wrong.insert("classifier.weight".into(), Tensor::from_slice(&[1.0_f32]));
        assert!(message(wrong).contains("classifier.weight: expected [5] in f32, found [1]"));
        let mut more = tensors();
        more.insert("another".into(), Tensor::from_slice(&[1.0_f32]));
        assert!(message(more).ends_with("another is no part of it"));
    }
    let network = drawn(Pooling::Mean, 5);
    let error = |found: Result<(f64, Vec<f32>)>| format!("{:#}", found.expect_err("is refused"));
    let of = |shape: [i64; 2], value: f64| network.judge(&Tensor::full(shape, value, (Kind::Float, tch::Device::Cpu)));
    assert!(error(of([3, 5], 1.0)).contains("expected slices [N, 6], found [3, 5]"));
    assert!(error(of([0, 6], 1.0)).contains("expected slices, found none"));
    assert!(error(of([3, 6], f64::NAN)).contains("expected finite features"));
    let none = Tensor::zeros([1, 2], (Kind::Bool, tch::Device::Cpu));
    let empty = network.forward(&Tensor::zeros([1, 2, 6], (Kind::Float, tch::Device::Cpu)), &none);
    assert!(empty.expect_err("is refused").to_string().contains("found none in one"));
}

#[test]
fn the_reduction_finds_the_leading_components_and_a_constant_feature_is_nothing() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    // Forty features that are mixtures of three, with a little noise, and a constant one.
    let mixed = random_features(&mut random, 400, 3).matmul(&random_features(&mut random, 3, 40));
    let noisy = mixed + random_features(&mut random, 400, 40) * 0.05;
    let constant = Tensor::full([400, 1], 0.1, (Kind::Float, tch::Device::Cpu));
    let slices = Tensor::cat(&[noisy, constant], 1) * 30.0 + 5.0;
    let reduction = FeatureReduction::fit(&slices, 3, &mut random).expect("fits");
    assert_eq!((reduction.features(), reduction.width()), (41, 3));
    let reduced = reduction.apply(&slices).expect("reduces");
    let standard = FeatureReduction::fit(&slices, 41, &mut random).expect("fits").apply(&slices).expect("applies");
    assert_eq!(floats(&standard.select(1, 40).abs().max()), [0.0]);
    // Uncorrelated, in descending order, and with the eigenvalues of the exact decomposition.
    let covariance = (reduced.tr().matmul(&reduced) / 400.0).to_kind(Kind::Double);
    let exact =
        (standard.tr().matmul(&standard) / 400.0).to_kind(Kind::Double).linalg_eigh("L").0.narrow(0, 38, 3).flip([0]);
    let exact = &exact / exact.mean(Kind::Double);
    let off = f64::try_from((covariance - exact.diag(0)).abs().max()).expect("a number");
    assert!(off < 1e-4, "{off}");
}

/// Scans of 60 to 140 slices of noise; in a covid scan two slices carry a signal.
fn sparse(scans: usize, seed: u64) -> ScanSet {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut set = ScanSet { width: 12, ..ScanSet::default() };
    for scan in 0..scans {
        let slices = random.gen_range(60..140_usize);
        let mut values: Vec<f32> = (0..slices * set.width).map(|_| random.gen_range(-1.7..1.7)).collect();
        if scan % 2 == 0 {
            for _ in 0..2 {
                let slice = random.gen_range(0..slices as u32) as usize;
                values[slice * set.width..][..3].iter_mut().for_each(|value| *value += 2.5);
            }
        }
        set.add(&values, scan % 2 == 0, 0);
    }
    set
}

fn settings() -> ScanTraining {
    ScanTraining { hidden: 16, gates: 16, epochs: 30, ..ScanTraining::default() }
}

/// The AUC of fresh scans after a training on others.
fn test_auc(pooling: Pooling) -> f64 {
    let (training, validation, test) = (sparse(160, 1), sparse(80, 2), sparse(200, 3));
    let candidate = ScanCandidate { pooling, weight_decay: 0.01 };
    let trained = train(&training, &validation, candidate, &settings()).expect("trains");
    let logit = |scan: &StoredScan| trained.layers.judge(pooling, &test.tensor(scan).expect("features"));
    let logits: Vec<f64> = test.scans.iter().map(|scan| logit(scan).expect("judges").0).collect();
    let covid: Vec<bool> = test.scans.iter().map(|scan| scan.covid).collect();
    crate::stats::metrics::RocCurve::new(&covid, &logits).expect("both labels").auc()
}

#[test]
fn attention_finds_the_few_slices_that_a_mean_drowns() {
    let found = side_by_side(2, |job| Ok(test_auc([Pooling::Attention, Pooling::Mean][job]))).expect("trains");
    assert!(found[0] > 0.9 && found[0] > found[1] + 0.1, "attention {}, mean {}", found[0], found[1]);
}

#[test]
fn the_seed_decides_and_the_number_of_threads_does_not() {
    let (training, validation) = (sparse(24, 1), sparse(12, 2));
    let trained = |seed: u64| -> Result<Vec<Vec<f32>>> {
        let settings = ScanTraining { seed, steps: 20, epochs: 4, ..settings() };
        let candidate = ScanCandidate { pooling: Pooling::Attention, weight_decay: 0.01 };
        let layers = train(&training, &validation, candidate, &settings)?.layers;
        Ok(layers.parameters().iter().map(|(_, tensor)| floats(tensor)).collect())
    };
    let seeds = [1, 1, 2];
    let together = side_by_side(3, |job| trained(seeds[job])).expect("trains");
    assert_eq!(together[0], together[1]);
    assert_ne!(together[0], together[2]);
    assert_eq!(side_by_side(1, |_| trained(1)).expect("trains")[0], together[0]);
}

#[test]
fn scans_that_cannot_be_learned_from_are_errors() {
    let candidate = ScanCandidate { pooling: Pooling::Mean, weight_decay: 0.0 };
    let message = |training: &ScanSet, validation: &ScanSet, settings: &ScanTraining| {
        let trained = train(training, validation, candidate, settings).map(|_| "trains".to_owned());
        trained.unwrap_or_else(|error| format!("{error:#}"))
    };
    let (both, settings) = (sparse(6, 1), ScanTraining { steps: 1, epochs: 1, ..settings() });
    assert_eq!(message(&both, &both, &settings), "trains");
    let mut one = sparse(6, 1);
    one.scans.retain(|scan| scan.covid);
    assert!(message(&one, &both, &settings).contains("training scans of both labels, found 3 covid and 0 non-covid"));
    assert!(message(&both, &one, &settings).contains("validation scans of both labels, found 3 covid and 0"));
    let none = ScanSet { width: 12, ..ScanSet::default() };
    assert!(message(&both, &none, &settings).contains("validation scans of both labels, found 0 covid and 0"));
    let mut bad = sparse(6, 1);
    bad.values[5] = f32::NAN;
    assert!(message(&bad, &both, &settings).contains("expected finite features of the training scans"));
    let wrong = ScanTraining { dropout: 1.0, ..settings.clone() };
    assert!(message(&both, &both, &wrong).contains("expected dropout in 0..1, found 1"));
}

#[test]
fn scans_are_ranked_within_their_sources() {
    let mut set = ScanSet { width: 1, ..ScanSet::default() };
    // Within source 0 the order is perfect, within source 1 reversed; source 2 has one label.
    for (covid, source) in [(true, 0), (false, 0), (true, 1), (false, 1), (false, 2)] {
        set.add(&[0.0], covid, source);
    }
    let score = super::scan_set::ScanScore::of(&set, &[1.0, 0.0, -2.0, -1.0, 5.0]).expect("a score");
    assert_eq!(score.auc, 0.5);
    // ln(1 + e^-x) of the right label; two covid scans of weight 5/4, three others of weight 5/6.
    let nats = |logit: f64| (-logit).exp().ln_1p();
    let (covid, other) = (nats(1.0) + nats(-2.0), nats(0.0) + nats(1.0) + nats(-5.0));
    assert!((score.loss - (1.25 * covid + 5.0 / 6.0 * other) / 5.0).abs() < 1e-12);
    set.scans.iter_mut().for_each(|scan| scan.source = u32::from(scan.covid));
    let all = super::scan_set::ScanScore::of(&set, &[1.0, 0.0, -2.0, -1.0, 5.0]).expect("a score");
    assert!((all.auc - 2.0 / 6.0).abs() < 1e-12, "{}", all.auc);
}
