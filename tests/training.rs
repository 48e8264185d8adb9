//! A training that is killed and resumed gives the same bits as one that is not.

use crate::support::{experiment_of, fixture, folder, prepared, program, record, run_well, silent, split_of, tiny_run};
use covid_ct::{
    Architecture, Artifact, Augmentation, Classifier, EpochRecord, Experiment, History, Label, Recipe, RunConfig,
    RunEvent, RunFolder, Schedule, Selection, Set, SliceCache, SplitConfig, SplitUnit, Subset, Weighting,
};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A history without its measured times.
fn numbers(history: &History) -> Vec<EpochRecord> {
    let timeless = |e: &EpochRecord| EpochRecord { seconds: 0.0, waited: 0.0, images_per_second: 0.0, ..e.clone() };
    history.epochs.iter().map(timeless).collect()
}

/// The tensors of a checkpoint: what follows its JSON header, which holds seconds.
pub fn tensors(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).expect("reads");
    let header = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
    bytes[8 + header..].to_vec()
}

/// Starts a training and kills it some time after it has left a checkpoint; whether it had gone on from an earlier one,
/// or `None` where it came to its end first.
fn killed_after_a_checkpoint(mut training: Command, last: &Path, later: Duration) -> Option<bool> {
    let changed = || fs::metadata(last).and_then(|file| file.modified()).ok();
    let (before, begun) = (changed(), Instant::now());
    let mut child = training.spawn().expect("starts");
    while changed() == before {
        assert!(begun.elapsed() < Duration::from_secs(300), "no checkpoint");
        if child.try_wait().expect("waits").is_some() {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(later);
    child.kill().expect("kills");
    let output = child.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (!output.status.success()).then(|| said.contains("resumed "))
}

/// Trains once without interruption, and once killed again and again; both must end with the same bits.
fn ends_alike(name: &str, options: &[&str]) {
    let data = &fixture().root;
    let (whole, killed) = (folder(), folder());
    let always = ["train", "--small", "--size", "32", "--device", "cpu", "--name", name, "--epochs", "3"];
    let options: Vec<&str> = always.iter().chain(options).copied().collect();
    for home in [&whole, &killed] {
        fixture().audit.write(home.path().join("data_manifest/phantom")).expect("writes");
        run_well(home.path(), data, &["cache", "--small", "--size", "32"]);
    }
    run_well(whole.path(), data, &options);
    let [run, other] = [&killed, &whole].map(|home| home.path().join("runs/phantom").join(name));
    let (mut kills, mut resumed) = (0, 0);
    for attempt in 0..4 {
        let mut training = program(killed.path(), data);
        training.args(&options);
        // Between two checkpoints, while one is written, at the end of an epoch: as it comes.
        let later = Duration::from_millis(attempt * 67);
        let Some(went_on) = killed_after_a_checkpoint(training, &run.join("last.safetensors"), later) else { break };
        kills += 1;
        resumed += u32::from(went_on);
    }
    run_well(killed.path(), data, &options);
    assert!(kills >= 2 && resumed >= 1, "it was killed {kills} times and went on {resumed} times");
    for file in ["last.safetensors", "best.safetensors"] {
        assert!(tensors(&run.join(file)) == tensors(&other.join(file)), "{file} differs after {kills} kills");
    }
    let histories = [&run, &other].map(|folder| numbers(&RunFolder::at(folder).history().expect("reads")));
    assert_eq!(histories[0], histories[1]);
}

#[test]
fn killed_again_and_again_it_ends_with_the_same_bits() {
    ends_alike("compact", &["--network", "compact", "--checkpoint-minutes", "0"]);
}

#[test]
fn a_killed_head_ends_with_the_same_bits_dropout_included() {
    // Its checkpoint is 1.4 GB: one after every batch is not needed to be killed between two.
    let options = ["--network", "vgg19", "--published", "--pretrained", "none", "--checkpoint-minutes", "0.02"];
    ends_alike("vgg19-published", &options);
}

/// Everything that a recipe has, so that a resume has to bring all of it back.
fn everything(name: &str) -> RunConfig {
    let recipe = Recipe {
        schedule: Schedule::Cosine { warm_up: 0.5 },
        weight_decay: 0.05,
        weighting: Weighting::Balanced,
        selection: Selection::ScanAuc,
        patience: Some(3),
        augmentation: Augmentation { erase: 0.5, ..Augmentation::gentle() },
        label_smoothing: 0.1,
        mixup: 0.4,
        clip_norm: Some(1.0),
        averaging: Some(0.9),
        flip_at_test: true,
    };
    RunConfig { recipe, epochs: 3, checkpoint_minutes: 0.0, ..tiny_run(name) }
}

#[test]
fn a_killed_training_by_a_whole_recipe_ends_with_the_same_bits() {
    let folder = folder();
    let settings = folder.path().join("settings.json");
    everything("recipe").write(&settings).expect("writes");
    ends_alike("recipe", &["--config", settings.to_str().expect("UTF-8"), "--checkpoint-minutes", "0"]);
}

#[test]
fn a_finished_run_returns_at_once_and_more_settings_need_another_name() {
    let folder = folder();
    let run = tiny_run("again");
    let events = Arc::new(Mutex::new(Vec::new()));
    let noted = events.clone();
    let note = move |event: &RunEvent| noted.lock().expect("a lock").push(event.to_string());
    let experiment = prepared(folder.path(), &run).reporting(note);
    let first = experiment.train().expect("trains");
    assert_eq!(first.epochs.len(), 2);
    let lines = events.lock().expect("a lock").join("\n");
    assert!(lines.contains("Epoch 1: Training Loss=") && lines.contains("Validation Accuracy="), "{lines}");
    events.lock().expect("a lock").clear();
    let again = experiment.train().expect("returns");
    assert!(events.lock().expect("a lock").iter().any(|line| line.starts_with("finished before, after 2 epochs")));
    assert_eq!(numbers(&again), numbers(&first));
    let other = RunConfig { learning_rate: 0.1, ..run.clone() };
    let (split, manifest) = (experiment.split().clone(), experiment.manifest());
    let error = format!("{:#}", experiment_of(folder.path(), split, manifest, &other).expect_err("other settings"));
    assert!(error.contains("learning_rate = 0.0005, this one has 0.1"), "{error}");
}

#[test]
fn a_network_learns_and_its_checkpoint_judges_alike() {
    let folder = folder();
    let run = RunConfig { epochs: 12, ..tiny_run("learns") };
    let experiment = prepared(folder.path(), &run);
    let history = experiment.train().expect("trains");
    let (first, last) = (&history.epochs[0], history.epochs.last().expect("epochs"));
    assert!(last.training.loss < 0.8 * first.training.loss, "{history}");
    let best = history.best().expect("a best epoch");
    let classifier = experiment.classifier().expect("loads");
    let predictions = classifier.predict(&experiment, Subset::Validation).expect("predicts");
    let matrix = predictions.confusion_matrix().expect("labels");
    assert_eq!(matrix.accuracy(), Some(best.validation.accuracy), "the checkpoint of the best epoch is the best epoch");
    // The labelled scans of another split may show patients that it has learned from.
    let seed = SplitConfig { seed: 77, ..run.split.clone() };
    let other = prepared(folder.path(), &RunConfig { name: "other".into(), split: seed.clone(), ..run.clone() });
    let error = format!("{:#}", classifier.predict(&other, Subset::Test).expect_err("another split"));
    assert!(error.contains("may show patients that it has learned from"), "{error}");
    classifier.predict(&other, Subset::Prediction).expect("unlabelled scans were not learned from");
    experiment.evaluate().expect("evaluates");
    assert_eq!(experiment.predictions(Subset::Validation).expect("reads"), predictions);
    // A run that was trained on a GPU is evaluated without one, and not trained.
    let elsewhere = RunConfig { device: "cuda:7".into(), ..run.clone() };
    let elsewhere = experiment_of(folder.path(), experiment.split().clone(), experiment.manifest(), &elsewhere);
    let elsewhere = elsewhere.expect("its device is not needed");
    assert_eq!(
        elsewhere.evaluate().expect("evaluates").subsets,
        experiment.folder().evaluation().expect("reads").subsets
    );
    assert!(format!("{:#}", elsewhere.train().expect_err("no such device")).contains("cuda:7"));
    // Nothing is shown of an evaluation that a better checkpoint has outdated.
    let evaluation = experiment.folder().path_of(Artifact::Evaluation);
    let stated = format!("\"best_epoch\": {}", best.epoch);
    let text = fs::read_to_string(&evaluation).expect("reads");
    assert!(text.contains(&stated) && experiment.show(Subset::Test).is_ok() && experiment.assessment().is_ok());
    fs::write(&evaluation, text.replace(&stated, "\"best_epoch\": 0")).expect("writes");
    record(&evaluation);
    let error = format!("{:#}", experiment.show(Subset::Test).expect_err("an outdated evaluation"));
    assert!(error.contains("evaluate the run again") && experiment.assessment().is_err(), "{error}");
    // A second seed has its own folder; the split of the first is unchanged, and evaluation reads it.
    assert_eq!(experiment.folder().split(experiment.manifest()).expect("reads"), *experiment.split());
    let error =
        experiment_of(folder.path(), other.split().clone(), other.manifest(), &RunConfig { split: seed, ..run });
    let error = format!("{:#}", error.expect_err("a trained folder keeps its split"));
    assert!(error.contains("Give the new run another name"), "{error}");
}

#[test]
fn the_published_preset_scores_the_test_set_every_epoch_by_batches() {
    let folder = folder();
    let tiny = tiny_run("published");
    let run = RunConfig {
        name: "published".into(),
        device: tiny.device,
        epochs: 1,
        batch_size: 16,
        preprocess: tiny.preprocess,
        ..RunConfig::published(Architecture::Fcn)
    };
    let experiment = prepared(folder.path(), &run);
    let history = experiment.train().expect("trains");
    assert!(history.leaks.contains(&Subset::Test) && history.to_string().contains("LEAKING SPLIT"), "{history}");
    let validation = history.epochs[0].validation.accuracy;
    let classifier = experiment.classifier().expect("loads");
    let rows = classifier.predict(&experiment, Subset::Validation).expect("predicts");
    let right: Vec<bool> = rows.rows().iter().map(|r| Some(r.decision()) == r.label).collect();
    let batches: Vec<f64> =
        right.chunks(16).map(|b| b.iter().filter(|right| **right).count() as f64 / b.len() as f64).collect();
    assert!((validation - batches.iter().sum::<f64>() / batches.len() as f64).abs() < 1e-12);
    assert!(history.epochs[0].test.is_some());
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let folder = folder();
    let run = tiny_run("mixed");
    let experiment = prepared(folder.path(), &run);
    let accepted = experiment.manifest();
    let together = |split, run: &RunConfig| experiment_of(folder.path(), split, accepted, run);
    let mut fewer = accepted.clone();
    fewer.slices.pop();
    let foreign = split_of(&fewer, run.split.clone());
    let error = format!("{:#}", together(foreign, &run).expect_err("another manifest"));
    assert!(error.contains(&accepted.hash().to_string()) && error.contains(&fewer.hash().to_string()), "{error}");
    let by_slice = split_of(accepted, SplitConfig { unit: SplitUnit::Slice, ..run.split.clone() });
    assert!(together(by_slice, &run).is_err(), "a split the run did not ask for");
    let untested = SplitConfig { test_fraction: 0.0, ..run.split.clone() };
    let every = RunConfig { test_every_epoch: true, split: untested.clone(), ..run.clone() };
    let untested = split_of(accepted, untested);
    let error = format!("{:#}", together(untested, &every).expect_err("nothing to test"));
    assert!(error.contains("test_every_epoch"), "{error}");
    let mut larger = run.clone();
    larger.preprocess.size = 64;
    let cache =
        SliceCache::open_or_build(folder.path().join("cache"), accepted, &run.preprocess, silent).expect("opens");
    let folder = RunFolder::at(folder.path().join("mixed"));
    let error = Experiment::of_parts(folder, experiment.split().clone(), cache, larger);
    let error = format!("{:#}", error.expect_err("another size"));
    assert!(error.contains("size: 32") && error.contains("size: 64"), "{error}");
}

#[test]
fn one_label_alone_is_refused_before_it_is_trained_on() {
    let folder = folder();
    let mut manifest = fixture().audit.accepted();
    let (covid, val) = (Some(Label::Covid), Set::Val);
    let scans = manifest.scans.clone();
    manifest.slices.retain(|slice| scans[slice.scan].label == covid || scans[slice.scan].set == val);
    let split = split_of(&manifest, tiny_run("one").split);
    let slices = split.slices(Subset::Train).len();
    let run = tiny_run("one");
    let experiment = experiment_of(folder.path(), split, &manifest, &run).expect("belongs together");
    let error = format!("{:#}", experiment.train().expect_err("one label"));
    let counts = format!("expected train slices of both labels, found {slices} covid and 0 non-covid");
    assert_eq!(error, format!("training in {}: {counts}", folder.path().join("one").display()));
    assert!(slices > 0 && !folder.path().join("one").exists());
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_and_names_the_batch() {
    let folder = folder();
    let run = RunConfig { learning_rate: 1e30, checkpoint_minutes: 0.0, ..tiny_run("explodes") };
    let experiment = prepared(folder.path(), &run);
    let error = format!("{:#}", experiment.train().expect_err("explodes"));
    assert!(error.contains("the loss became") && error.contains(".jpg") && error.contains("learning_rate"), "{error}");
    let again = format!("{:#}", experiment.train().expect_err("explodes again"));
    assert!(again.contains("the loss became"), "the last checkpoint is whole: {again}");
    let last = Classifier::load(folder.path().join("explodes/last.safetensors")).expect_err("no network to use");
    assert!(format!("{last:#}").contains("best.safetensors"), "{last:#}");
}
