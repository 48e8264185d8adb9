//! A training that is killed ends as one that was not.

use crate::support::{fixture, folder, prepared, program, run_well, split_of, tiny_run};
use covid_ct::{
    Architecture, Classifier, EpochRecord, History, Predictions, RunConfig, SplitConfig, SplitUnit, Subset, TrainEvent,
    train,
};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Everything of a history that is not a stopwatch.
fn numbers(history: &History) -> Vec<EpochRecord> {
    let timeless = |e: &EpochRecord| EpochRecord { seconds: 0.0, images_per_second: 0.0, ..e.clone() };
    history.epochs.iter().map(timeless).collect()
}

/// The tensors of a checkpoint: what follows its JSON header, which holds seconds.
fn tensors(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).expect("reads");
    let header = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
    bytes[8 + header..].to_vec()
}

/// Trains once in peace, and once killed again and again; both must end with the same bits.
fn ends_alike(name: &str, options: &[&str], epochs: usize, first: Duration) {
    let data = &fixture().root;
    let (whole, killed) = (folder(), folder());
    let always = ["train", "--small", "--size", "32", "--device", "cpu", "--name", name];
    let epoch_count = epochs.to_string();
    let options: Vec<&str> = always.iter().chain(options).copied().chain(["--epochs", &epoch_count]).collect();
    for home in [&whole, &killed] {
        fixture().audit.write(home.path().join("data_manifest/phantom")).expect("writes");
        run_well(home.path(), data, &["cache", "--small", "--size", "32"]);
    }
    run_well(whole.path(), data, &options);
    let run = killed.path().join("runs/phantom").join(name);
    let (begun, mut kills) = (Instant::now(), 0);
    while !run.join("history.json").is_file() || History::read(&run).expect("reads").epochs.len() < epochs {
        assert!(begun.elapsed() < Duration::from_secs(300), "no end after {kills} kills");
        let mut child = program(killed.path(), data).args(&options).spawn().expect("starts");
        // Longer each time, so that every attempt gets somewhere and the last one to the end.
        std::thread::sleep(first + first / 5 * kills);
        child.kill().expect("kills");
        child.wait().expect("ends");
        kills += 1;
    }
    run_well(killed.path(), data, &options);
    assert!(kills >= 2, "it was killed {kills} times only");
    let other = whole.path().join("runs/phantom").join(name);
    for file in ["last.safetensors", "best.safetensors"] {
        assert!(tensors(&run.join(file)) == tensors(&other.join(file)), "{file} differs after {kills} kills");
    }
    let histories = [&run, &other].map(|folder| numbers(&History::read(folder).expect("reads")));
    assert_eq!(histories[0], histories[1]);
}

#[test]
fn killed_again_and_again_it_ends_with_the_same_bits() {
    ends_alike("fcn", &["--checkpoint-minutes", "0"], 3, Duration::from_millis(700));
}

#[test]
fn a_killed_head_ends_with_the_same_bits_dropout_included() {
    // Its checkpoint is 1.4 GB: one after every batch is not needed to be killed between two.
    let options = ["--network", "vgg19", "--published", "--pretrained", "none", "--checkpoint-minutes", "0.02"];
    ends_alike("vgg19-published", &options, 3, Duration::from_millis(2500));
}

#[test]
fn a_finished_run_returns_at_once_and_more_settings_need_another_name() {
    let folder = folder();
    let run = tiny_run("again");
    let (_, split, cache) = prepared(folder.path(), &run);
    let events = Mutex::new(Vec::new());
    let note = |event: &TrainEvent| events.lock().expect("a lock").push(event.to_string());
    let first = train(folder.path(), &cache, &split, &run, note).expect("trains");
    assert_eq!(first.epochs.len(), 2);
    let lines = events.lock().expect("a lock").join("\n");
    assert!(lines.contains("Epoch 1: Training Loss=") && lines.contains("Validation Accuracy="), "{lines}");
    let again = train(folder.path(), &cache, &split, &run, |_| ()).expect("returns");
    assert_eq!(numbers(&again), numbers(&first));
    let other = RunConfig { learning_rate: 0.1, ..run.clone() };
    let error = format!("{:#}", train(folder.path(), &cache, &split, &other, |_| ()).expect_err("other settings"));
    assert!(error.contains("learning_rate = 0.0005, this one has 0.1"), "{error}");
}

#[test]
fn a_network_learns_and_its_checkpoint_judges_alike() {
    let folder = folder();
    let run = RunConfig { epochs: 12, ..tiny_run("learns") };
    let (_, split, cache) = prepared(folder.path(), &run);
    let history = train(folder.path(), &cache, &split, &run, |_| ()).expect("trains");
    let (first, last) = (&history.epochs[0], history.epochs.last().expect("epochs"));
    assert!(last.training.loss < 0.8 * first.training.loss, "{history}");
    let best = history.best().expect("a best epoch");
    let classifier = Classifier::load(folder.path().join("learns/best.safetensors")).expect("loads");
    let predictions = classifier.predict(&cache, &split, Subset::Validation, |_| ()).expect("predicts");
    let matrix = predictions.confusion_matrix().expect("labels");
    assert_eq!(matrix.accuracy(), Some(best.validation.accuracy), "the checkpoint of the best epoch is the best epoch");
    predictions.write(folder.path().join("learns")).expect("writes");
    let read = Predictions::read(folder.path().join("learns"), Subset::Validation).expect("reads");
    assert_eq!(read, predictions);
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
    let (_, split, cache) = prepared(folder.path(), &run);
    let history = train(folder.path(), &cache, &split, &run, |_| ()).expect("trains");
    assert!(history.leaking && history.to_string().contains("LEAKING SPLIT"), "{history}");
    let validation = history.epochs[0].validation.accuracy;
    let classifier = Classifier::load(folder.path().join("published/best.safetensors")).expect("loads");
    let rows = classifier.predict(&cache, &split, Subset::Validation, |_| ()).expect("predicts");
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
    let (accepted, split, cache) = prepared(folder.path(), &run);
    let mut fewer = accepted.clone();
    fewer.slices.pop();
    let foreign = split_of(&fewer, run.split.clone());
    let error = format!("{:#}", train(folder.path(), &cache, &foreign, &run, |_| ()).expect_err("another manifest"));
    assert!(error.contains(&accepted.hash().to_string()) && error.contains(&fewer.hash().to_string()), "{error}");
    let by_slice = split_of(&accepted, SplitConfig { unit: SplitUnit::Slice, ..run.split.clone() });
    assert!(train(folder.path(), &cache, &by_slice, &run, |_| ()).is_err(), "a split the run did not ask for");
    let mut larger = run.clone();
    larger.preprocess.size = 64;
    let error = format!("{:#}", train(folder.path(), &cache, &split, &larger, |_| ()).expect_err("another size"));
    assert!(error.contains("size: 32") && error.contains("size: 64"), "{error}");
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_and_names_the_batch() {
    let folder = folder();
    let run = RunConfig { learning_rate: 1e30, checkpoint_minutes: 0.0, ..tiny_run("explodes") };
    let (_, split, cache) = prepared(folder.path(), &run);
    let error = format!("{:#}", train(folder.path(), &cache, &split, &run, |_| ()).expect_err("explodes"));
    assert!(error.contains("the loss became") && error.contains(".jpg") && error.contains("learning_rate"), "{error}");
    let again = format!("{:#}", train(folder.path(), &cache, &split, &run, |_| ()).expect_err("explodes again"));
    assert!(again.contains("the loss became"), "the last checkpoint is whole: {again}");
    let last = Classifier::load(folder.path().join("explodes/last.safetensors")).expect_err("no network to use");
    assert!(format!("{last:#}").contains("best.safetensors"), "{last:#}");
}
