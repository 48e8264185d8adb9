//! Gated attention compared with PyTorch, which `reference_scan_pooling.py` runs once.

use crate::support::python;
use covid_ct::tch::{Kind, Tensor};
use covid_ct::{Pooling, ScanNetwork};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

const TOLERANCE: f64 = 2e-5;

fn ask(questions: &Value) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference_scan_pooling.py");
    let asked = Command::new(python()).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut asked = asked.expect("Python starts");
    let mut stdin = asked.stdin.take().expect("a pipe");
    stdin.write_all(&serde_json::to_vec(questions).expect("JSON")).expect("writes");
    drop(stdin);
    let output = asked.wait_with_output().expect("ends");
    assert!(output.status.success(), "{script}: {}", output.status);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Numbers in the shape, as lists for Python.
fn nested(tensor: &Tensor) -> Value {
    match tensor.dim() {
        1 => json!(Vec::<f64>::try_from(tensor.to_kind(Kind::Double)).expect("numbers")),
        _ => (0..tensor.size()[0]).map(|row| nested(&tensor.get(row))).collect(),
    }
}

/// A network with random tensors, and scans of unequal lengths.
struct Case {
    tensors: BTreeMap<String, Tensor>,
    scans: Vec<Tensor>,
}

impl Case {
    fn drawn(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut draw = |shape: &[i64], low: f32, high: f32| {
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.gen_range(low..high)).collect();
            Tensor::from_slice(&values).reshape(shape)
        };
        let (features, projected, hidden, gates) = (7, 5, 4, 3);
        let (reduces, hides) = (seed.is_multiple_of(2), !seed.is_multiple_of(3));
        let width = if reduces { projected } else { features };
        let last = if hides { hidden } else { width };
        let mut tensors = vec![
            ("features.mean", draw(&[features], -1.0, 1.0)),
            ("features.deviation", draw(&[features], 0.5, 2.0)),
            ("attention.tanh", draw(&[gates, last], -1.0, 1.0)),
            ("attention.sigmoid", draw(&[gates, last], -1.0, 1.0)),
            ("attention.weight", draw(&[gates], -3.0, 3.0)),
            ("classifier.weight", draw(&[last], -1.0, 1.0)),
            ("classifier.bias", draw(&[1], -1.0, 1.0)),
        ];
        if reduces {
            tensors.push(("features.projection", draw(&[features, projected], -1.0, 1.0)));
        }
        if hides {
            tensors.extend([
                ("hidden.weight", draw(&[hidden, width], -1.0, 1.0)),
                ("hidden.bias", draw(&[hidden], -1.0, 1.0)),
            ]);
        }
        let scans = [3, 1, 9].map(|slices| draw(&[slices, features], -2.0, 2.0)).into();
        Self { tensors: tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect(), scans }
    }

    fn question(&self) -> Value {
        let of = |name: &str| self.tensors.get(name).map(nested);
        json!({
            "mean": of("features.mean"),
            "deviation": of("features.deviation"),
            "projection": of("features.projection"),
            "hidden": of("hidden.weight").zip(of("hidden.bias")).map(|(weight, bias)| [weight, bias]),
            "v": of("attention.tanh"),
            "u": of("attention.sigmoid"),
            "w": of("attention.weight"),
            "classifier": of("classifier.weight"),
            "bias": of("classifier.bias").map(|bias| bias[0].clone()),
            "scans": self.scans.iter().map(nested).collect::<Vec<_>>(),
        })
    }

    /// Compares one by one, and padded in one batch.
    fn check(self, answer: &Value) {
        let tensors = self.tensors.into_iter().collect();
        let network = ScanNetwork::from_tensors(Pooling::Attention, tensors).expect("a network");
        let longest = self.scans.iter().map(|scan| scan.size()[0]).max().expect("scans");
        let pad = |tensor: &Tensor| tensor.constant_pad_nd([0, 0, 0, longest - tensor.size()[0]]);
        let features = Tensor::stack(&self.scans.iter().map(pad).collect::<Vec<_>>(), 0);
        let lengths = Tensor::from_slice(&self.scans.iter().map(|scan| scan.size()[0]).collect::<Vec<_>>());
        let mask =
            Tensor::arange(longest, (Kind::Int64, features.device())).unsqueeze(0).lt_tensor(&lengths.unsqueeze(1));
        let together = network.forward(&features, &mask).expect("judges");
        for (index, scan) in self.scans.iter().enumerate() {
            let (logit, weights) = network.judge(scan).expect("judges");
            let expected: Vec<f64> = serde_json::from_value(answer["weights"][index].clone()).expect("numbers");
            let close = |found: f64, expected: f64| {
                assert!((found - expected).abs() < TOLERANCE, "{found}, PyTorch {expected}")
            };
            let row = index as i64;
            let expected_logit = answer["logits"][index].as_f64().expect("a number");
            close(logit, expected_logit);
            close(together.logits.double_value(&[row]), expected_logit);
            assert_eq!(weights.len(), expected.len());
            for (slice, (found, expected)) in weights.iter().zip(expected).enumerate() {
                close(f64::from(*found), expected);
                close(together.weights.double_value(&[row, slice as i64]), expected);
            }
        }
    }
}

#[test]
fn gated_attention_agrees_with_pytorch() {
    let cases: Vec<Case> = (0..12).map(Case::drawn).collect();
    let answers = ask(&cases.iter().map(Case::question).collect());
    assert_eq!(answers.as_array().map(Vec::len), Some(cases.len()));
    cases.into_iter().enumerate().for_each(|(index, case)| case.check(&answers[index]));
}
