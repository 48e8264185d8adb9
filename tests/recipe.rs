//! What a recipe adds to a training: the optimizer compared with PyTorch's, and what it changes.

use crate::support::{folder, prepared, run_python, tiny_run};
use covid_ct::tch::{Device, Kind, Tensor};
use covid_ct::{Adam, Recipe, RunConfig, Schedule, Selection, Subset, Weighting, clip, gradient};
use serde_json::{Value, json};

const WARM: usize = 4;
const STEPS: usize = 20;

#[test]
fn adamw_schedule_and_clipping_are_pytorchs() {
    let (start, target) = ([2.0_f32, -3.0, 0.5, 7.0], [1.0_f32, 1.0, -1.0, 0.0]);
    let (rate, decay, limit) = (0.05, 0.1, 20.0_f32);
    let question = json!({
        "start": start, "target": target, "rate": rate, "decay": decay, "limit": limit, "warm": WARM, "steps": STEPS,
    });
    let answer: Value =
        serde_json::from_str(&run_python("reference_recipe.py", &[&question.to_string()])).expect("JSON");
    let parameters = [("weights".to_owned(), Tensor::from_slice(&start).set_requires_grad(true))];
    let mut adam = Adam::new(&parameters, rate).expect("an optimizer");
    adam.set_weight_decay(decay);
    let schedule = Schedule::Cosine { warm_up: 1.0 };
    let mut cut = 0;
    for step in 0..STEPS {
        let rate = rate * schedule.factor(step as u64, WARM as u64, STEPS as u64);
        let expected = answer["rates"][step].as_f64().expect("a rate");
        assert!((rate - expected).abs() < 1e-12, "step {step}: {rate}, PyTorch has {expected}");
        let loss = (&parameters[0].1 - Tensor::from_slice(&target)).pow_tensor_scalar(4).sum(Kind::Float);
        let gradient = gradient(&loss, &parameters).expect("a gradient");
        cut += usize::from(gradient.norm().double_value(&[]) > f64::from(limit));
        clip(&gradient, &Tensor::from(limit)).expect("cuts");
        adam.set_learning_rate(rate);
        adam.step(gradient).expect("steps");
        for (place, found) in Vec::<f32>::try_from(parameters[0].1.detach()).expect("floats").iter().enumerate() {
            let expected = answer["weights"][step][place].as_f64().expect("a weight");
            assert!((f64::from(*found) - expected).abs() < 1e-5, "step {step}: {found}, PyTorch has {expected}");
        }
    }
    assert!(cut > 0, "no gradient was long enough to be cut");
}

#[test]
fn a_slice_and_its_reverse_are_averaged_at_test_and_balanced_weights_change_a_training() {
    let folder = folder();
    let flipped = Recipe { flip_at_test: true, selection: Selection::ScanAuc, ..Recipe::default() };
    let run = RunConfig { recipe: flipped, epochs: 1, ..tiny_run("flipped") };
    let experiment = prepared(folder.path(), &run);
    let history = experiment.train().expect("trains");
    assert!(history.epochs[0].validation_scan_auc.is_some_and(|auc| (0.0..=1.0).contains(&auc)), "{history}");
    let classifier = experiment.folder().classifier().expect("loads");
    let predictions = classifier.predict(&experiment, Subset::Validation).expect("predicts");
    let slices = experiment.split().slices(Subset::Validation);
    let images = experiment.cache().batch(&slices, Device::Cpu).expect("slices");
    let covid =
        |images: &Tensor| classifier.network().forward(images).expect("runs").softmax(1, Kind::Float).select(1, 0);
    let mean = (covid(&images) + covid(&images.flip([3]))) / 2.0;
    let found: Vec<f32> = predictions.rows().iter().map(|row| row.covid).collect();
    assert!((Tensor::from_slice(&found) - mean).abs().max().double_value(&[]) < 1e-5);
    assert!((Tensor::from_slice(&found) - covid(&images)).abs().max().double_value(&[]) > 1e-6, "nothing was averaged");

    let loss = |name: &str, weighting| {
        let recipe = Recipe { weighting, ..Recipe::default() };
        let run = RunConfig { recipe, epochs: 1, ..tiny_run(name) };
        prepared(folder.path(), &run).train().expect("trains").epochs[0].training.loss
    };
    assert_ne!(loss("plain", Weighting::Slices), loss("balanced", Weighting::Balanced));
}
