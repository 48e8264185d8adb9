//! A network of the user's is trained, resumed, evaluated and used as any other.

use crate::support::{folder, prepared, silent, tiny_run};
use crate::training::tensors;
use covid_ct::tch::nn::{self, Module, ModuleT, Path};
use covid_ct::tch::{CModule, Device, Kind, Tensor, no_grad};
use covid_ct::{
    Architecture, Artifact, Classifier, Learn, Precision, RunConfig, RunEvent, RunFolder, SliceNetwork, Subset,
    register_network,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

struct Narrow {
    conv: nn::Conv2D,
    norm: nn::BatchNorm,
    linear: nn::Linear,
}

/// Begun from fixed values: other tests of this process draw from libtorch's generator at the same time.
fn narrow(path: &Path) -> Box<dyn SliceNetwork> {
    let conv = nn::conv2d(path / "conv", 3, 8, 5, nn::ConvConfig { stride: 2, ..Default::default() });
    let norm = nn::batch_norm2d(path / "norm", 8, Default::default());
    let linear = nn::linear(path / "out", 8, 2, Default::default());
    for tensor in [Some(&conv.ws), conv.bs.as_ref(), norm.ws.as_ref(), Some(&linear.ws)] {
        let Some(tensor) = tensor else { continue };
        let values: Vec<f32> = (0..tensor.numel()).map(|i| 0.3 * (i as f32 * 1.7 + 0.4).sin()).collect();
        no_grad(|| tensor.shallow_clone().copy_(&Tensor::from_slice(&values).reshape(tensor.size())));
    }
    let _ = no_grad(|| linear.bs.as_ref().expect("has a bias").shallow_clone().zero_());
    Box::new(Narrow { conv, norm, linear })
}

impl SliceNetwork for Narrow {
    fn features(&self, images: &Tensor, train: bool) -> Tensor {
        let maps = self.norm.forward_t(&self.conv.forward(images), train).relu();
        maps.max_pool2d([4, 4], [4, 4], [0, 0], [1, 1], false).mean_dim([2_i64, 3].as_slice(), false, Kind::Float)
    }

    fn logits(&self, features: &Tensor, _train: bool) -> Tensor {
        self.linear.forward(features)
    }
}

#[test]
fn a_network_of_the_users_is_trained_resumed_evaluated_and_used_as_any_other() {
    let folder = folder();
    let architecture = register_network("narrow", narrow).expect("registers");
    let preset = RunConfig::of(architecture);
    assert_eq!((preset.name.as_str(), &preset.pretrained, preset.learn), ("narrow", &None, Learn::Whole));
    let tiny = tiny_run("whole");
    let run = RunConfig { architecture, ..tiny };
    assert!(RunConfig { precision: Precision::Bf16, ..run.clone() }.check().is_err(), "it computes in f32");
    assert!(RunConfig { learn: Learn::Head, ..run.clone() }.check().is_err(), "it has no backbone");

    let whole = prepared(folder.path(), &run);
    let history = whole.train().expect("trains");
    assert_eq!(history.epochs.len(), 2);
    assert!(history.epochs[1].training.loss != history.epochs[0].training.loss, "nothing was learned");
    // Ended after the checkpoint of its first epoch, and gone on in what could be another process.
    let other = RunConfig { name: "broken".into(), ..run.clone() };
    let stop = |event: &RunEvent| assert!(!matches!(event, RunEvent::Epoch(..)), "stopped on purpose");
    let broken = prepared(folder.path(), &other).reporting(stop);
    assert!(catch_unwind(AssertUnwindSafe(|| broken.train())).is_err(), "it was stopped");
    register_network("narrow", narrow).expect("registers");
    let broken = prepared(folder.path(), &other);
    assert_eq!(broken.train().expect("goes on").epochs.len(), 2);
    for artifact in [Artifact::LastCheckpoint, Artifact::BestCheckpoint] {
        let [one, two] = [&whole, &broken].map(|of| tensors(&of.folder().path_of(artifact)));
        assert!(one == two, "a resumed training differs from one that was not interrupted");
    }

    let evaluation = whole.evaluate().expect("evaluates");
    assert_eq!(evaluation.parameters, 8 * 3 * 25 + 8 + 16 + 18);
    let classifier = whole.classifier().expect("loads");
    assert_eq!(classifier.network().architecture(), architecture);
    let run = RunFolder::at(whole.folder().path()).config().expect("reads");
    assert_eq!(run.architecture, architecture);
    whole.predict().expect("predicts");
    let heat = whole.heat_by_scan().expect("draws slices without heat");
    let reason = "No heat is drawn: the custom network narrow gives features and logits";
    assert!(heat.caption().starts_with(reason), "{}", heat.caption());
    let scan = whole.manifest().root.join(&whole.manifest().scans[0].folder);
    let judged = whole.folder().judge(&scan, silent).expect("judges");
    assert!(judged.heat.caption().starts_with(reason) && judged.scan_heats[0].caption().starts_with(reason));
    let refused = format!("{:#}", whole.explain(Subset::Test).expect_err("there is no heat to explain by"));
    assert!(refused.contains("the custom network narrow gives features and logits"), "{refused}");
    let exported = folder.path().join("narrow.pt");
    classifier.export(&exported).expect("exports");
    let module = CModule::load(&exported).expect("loads");
    let images = whole.cache().batch(&[0, 1, 2], Device::Cpu).expect("a batch");
    let [traced, ours] =
        [module.forward_ts(&[&images]).expect("runs"), classifier.network().forward(&images).expect("runs")];
    assert!((traced - ours).abs().max().double_value(&[]) < 1e-5);

    // Where its name stands for nothing, or for another network, its checkpoint says so.
    let path = whole.folder().path_of(Artifact::BestCheckpoint);
    register_network("narrow", |path| {
        let linear = nn::linear(path / "out", 8, 2, Default::default());
        Box::new(Narrow {
            conv: nn::conv2d(path / "conv", 3, 8, 3, Default::default()),
            norm: nn::batch_norm2d(path / "norm", 8, Default::default()),
            linear,
        })
    })
    .expect("registers");
    let found = format!("{:#}", Classifier::load(&path).expect_err("another network"));
    assert!(found.contains("conv.weight should be [8, 3, 3, 3], it is [8, 3, 5, 5]"), "{found}");
    register_network("narrow", narrow).expect("registers");
    assert_eq!("custom:narrow".parse::<Architecture>().expect("parses"), architecture);
}
