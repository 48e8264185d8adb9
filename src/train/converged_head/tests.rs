use super::*;
use crate::data::cache::SliceCache;
use crate::data::phantom::{PhantomConfig, draw_phantom};
use crate::data::split::{Split, SplitConfig};
use crate::nn::learn::Learn;
use crate::nn::model::Architecture;
use crate::train::config::RunConfig;
use crate::train::event::RunEvent;
use crate::train::history::History;
use crate::train::recipe::Recipe;
use crate::train::run_folder::{Artifact, RunFolder};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use tch::Device;

const EPOCHS: usize = 4;

/// An experiment over a random ResNet-152 in `home/<name>`; all share data, slices and features.
fn experiment(home: &Path, name: &str) -> Experiment {
    let data = home.join("data");
    if !data.exists() {
        let config = PhantomConfig {
            size: 64,
            train_scans: 6,
            val_scans: 4,
            slices: 4,
            defects: false,
            ..PhantomConfig::default()
        };
        draw_phantom(&data, &config, |_| ()).expect("draws");
    }
    let run = RunConfig {
        name: name.into(),
        device: "cpu".into(),
        epochs: EPOCHS,
        pretrained: None,
        recipe: Recipe::converged(),
        ..RunConfig::published(Architecture::ResNet18).by_patient()
    };
    let mut run = RunConfig { learn: Learn::Converged, batch_size: 8, ..run };
    run.preprocess.size = 32;
    let manifest = Manifest::scan(&data, |_| ()).expect("scans");
    let split = Split::new(&manifest, &SplitConfig::default()).expect("splits");
    let cache = SliceCache::open_or_build(home.join("cache"), &manifest, &run.preprocess, |_| ()).expect("caches");
    let experiment = Experiment::of_parts(RunFolder::at(home.join(name)), split, cache, run).expect("belongs together");
    experiment.reporting(|_| ())
}

/// A history without its measured times.
fn timeless(mut history: History) -> History {
    for epoch in &mut history.epochs {
        (epoch.seconds, epoch.images_per_second) = (0.0, 0.0);
    }
    History { run: RunConfig { name: String::new(), ..history.run.clone() }, ..history }
}

#[test]
fn a_training_solves_each_strength_and_a_resumed_one_solves_the_same() {
    let home = tempfile::tempdir().expect("a folder");
    let whole = experiment(home.path(), "whole");
    let history = whole.train().expect("trains");
    assert_eq!(history.epochs.len(), EPOCHS);
    for (place, epoch) in history.epochs.iter().enumerate() {
        let solved = epoch.solved.expect("a solved head");
        assert_eq!(solved.penalty, penalty_at(place));
        assert!(solved.gap <= Stop::default().gap && solved.passes > 1, "{solved:?}");
        assert!(epoch.validation_scan_auc.is_some_and(|auc| (0.0..=1.0).contains(&auc)), "{epoch:?}");
    }
    let losses: Vec<f64> = history.epochs.iter().map(|epoch| epoch.training.loss).collect();
    assert!(losses.windows(2).all(|pair| pair[1] < pair[0]), "weaker penalties should fit better: {losses:?}");
    let best = history.best().expect("a best epoch");
    let aucs = history.epochs.iter().filter_map(|epoch| epoch.validation_scan_auc);
    assert_eq!(best.validation_scan_auc, aucs.max_by(f64::total_cmp));

    let killed = experiment(home.path(), "killed")
        .reporting(|event| assert!(!matches!(event, RunEvent::Epoch(epoch, _) if epoch.epoch == 2), "killed"));
    assert!(catch_unwind(AssertUnwindSafe(|| killed.train())).is_err(), "it was not killed");
    let resumed = experiment(home.path(), "killed").train().expect("resumes");
    assert_eq!(timeless(resumed), timeless(history));
    let tensors = |experiment: &Experiment| {
        let path = experiment.folder().path_of(Artifact::BestHead);
        crate::train::checkpoint::Checkpoint::read(&path).expect("reads").tensors
    };
    let (whole, killed) = (tensors(&whole), tensors(&killed));
    assert!(whole.len() == 2 && whole.iter().all(|(name, tensor)| killed[name].equal(tensor)), "heads differ");
}

#[test]
fn the_softmax_of_the_networks_head_gives_the_probability() {
    let head = LogisticHead { weight: vec![0.5, -2.0, 1.25], bias: 0.75 };
    let [weight, bias] = head_tensors(&head).expect("tensors");
    assert_eq!((weight.size(), bias.size()), (vec![2, 3], vec![2]));
    let x = [1.5_f32, 0.25, -0.5];
    let logits = Tensor::from_slice(&x).reshape([1, 3]).linear(&weight, Some(&bias));
    let covid = logits.softmax(1, Kind::Float).double_value(&[0, Label::Covid.index() as i64]);
    assert!((covid - 1.0 / (1.0 + (-head.log_odds(&x)).exp())).abs() < 1e-6, "{covid}");
    let network = Network::new(Architecture::ResNet18, 1, Device::Cpu).expect("a network");
    let wide = LogisticHead { weight: (0..512).map(|i| f64::from(i) / 64.0).collect(), bias: -0.5 };
    let names = network.head().iter().map(|(name, _)| name.clone());
    network.set_head(&names.zip(head_tensors(&wide).expect("tensors")).collect()).expect("fits");
    assert_eq!(head_of(&network).expect("a head"), wide);
}

#[test]
fn features_are_the_same_whether_all_some_or_none_are_kept_in_memory() {
    let home = tempfile::tempdir().expect("a folder");
    let experiment = experiment(home.path(), "run");
    let network = Network::new(Architecture::ResNet18, 1, Device::Cpu).expect("a network");
    let backbone = network.backbone_hash().expect("hashes");
    let run = experiment.settings();
    let source = BatchSource::new(experiment.cache(), &network, Some(backbone), run, Device::Cpu, &|_| ());
    let source = source.expect("features");
    let cache = source.features().expect("a frozen backbone");
    let slices = experiment.slices(Subset::Train).expect("slices");
    let (rows, width) = (slices.len(), cache.width());
    let read = |most: usize, from: usize, until: usize| {
        let features = TrainingFeatures::of(cache, &slices, experiment.manifest(), most).expect("reads");
        assert_eq!(features.kept.len(), (most / (4 * width)).min(rows) * width);
        let mut values = vec![f32::NAN; (until - from) * width];
        features.read(from..until, &mut values).expect("reads");
        values
    };
    let (all, none) = (read(KEPT, 0, rows), read(0, 0, rows));
    assert!(rows > 8 && all == none && all.iter().any(|value| *value != 0.0));
    // Three rows are kept, and a fourth does not fit.
    let most = 4 * 4 * width - 1;
    for (from, until) in [(0, 2), (0, 3), (1, 6), (3, 5), (7, rows)] {
        assert_eq!(read(most, from, until), all[from * width..until * width], "{from} to {until}");
    }
}
