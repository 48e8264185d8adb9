//! Every file the project reads, cut and changed in many places: an error or, where nothing that matters was hit, a
//! value; never a panic.

use crate::support::{fixture, folder, prepared, record, tiny_run};
use covid_ct::tch::Device;
use covid_ct::{
    Architecture, Artifact, Audit, Classifier, Expectation, Learn, Manifest, Preprocess, Published, RunConfig,
    SliceCache, Subset,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Cuts the file at several places and changes bytes at random; `read` must fail on every cut and panic on nothing.
fn abuse(path: &Path, read: impl Fn() -> anyhow::Result<()>) {
    let whole = fs::read(path).expect("reads");
    read().unwrap_or_else(|error| panic!("{} is whole: {error:#}", path.display()));
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    let attempt = |bytes: &[u8], what: &str| {
        fs::write(path, bytes).expect("writes");
        let sums = path.with_file_name("SHA256SUMS");
        let kept = fs::read_to_string(&sums).unwrap_or_default();
        if kept.contains(&format!("  {name}\n")) {
            let as_it_is = catch_unwind(AssertUnwindSafe(&read)).unwrap_or_else(|_| panic!("{name} {what}: a panic"));
            assert!(bytes == whole || as_it_is.is_err(), "{name} {what}: read, though it is not what was written");
            // Those who read a file are asked too, not only its checksum.
            record(path);
            let read = catch_unwind(AssertUnwindSafe(&read)).unwrap_or_else(|_| panic!("{name} {what}: a panic"));
            fs::write(sums, kept).expect("restores");
            return read;
        }
        catch_unwind(AssertUnwindSafe(&read)).unwrap_or_else(|_| panic!("{name} {what}: a panic"))
    };
    for eighth in 0..8 {
        let cut = whole.len() * eighth / 8;
        let error = attempt(&whole[..cut], &format!("cut at {cut}"));
        let error = format!("{:#}", error.expect_err(&format!("{name} cut at {cut} was read")));
        assert!(error.contains(&name), "the error does not name {name}: {error}");
    }
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for round in 0..60 {
        let mut bytes = whole.clone();
        for _ in 0..=round % 3 {
            // Headers and footers hold the structure; half of the blows go there.
            let at = match rng.gen_range(0..4) {
                0 => rng.gen_range(0..bytes.len().min(64)),
                1 => bytes.len() - 1 - rng.gen_range(0..bytes.len().min(64)),
                _ => rng.gen_range(0..bytes.len()),
            };
            bytes[at] = rng.r#gen();
        }
        attempt(&bytes, &format!("round {round}")).ok();
    }
    fs::remove_file(path).expect("removes");
    let error = format!("{:#}", read().expect_err("a missing file"));
    assert!(error.contains(&name), "the error does not name {name}: {error}");
    fs::write(path, &whole).expect("restores");
}

#[test]
fn damaged_files_are_errors() {
    // Panics are caught; their messages would only confuse.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let result = catch_unwind(damage_everything);
    std::panic::set_hook(hook);
    if let Err(panic) = result {
        let text = panic.downcast_ref::<String>().cloned().or(panic.downcast_ref::<&str>().map(|t| t.to_string()));
        panic!("{}", text.unwrap_or_default());
    }
}

fn damage_everything() {
    let folder = folder();
    let home = folder.path();
    let manifests = home.join("manifest");
    fixture().audit.write(&manifests).expect("writes");
    let run = tiny_run("run");
    let experiment = prepared(home, &run);
    experiment.train().expect("trains");
    experiment.evaluate().expect("evaluates");
    experiment.predict().expect("predicts");
    experiment.explain(Subset::Test).expect("explains");
    let folder = experiment.folder();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("data_manifest");
    let copy = |name: &str| -> PathBuf {
        fs::copy(shipped.join(name), home.join(name)).expect("copies");
        home.join(name)
    };
    abuse(&manifests.join("manifest.parquet"), || Manifest::read(&manifests).map(drop));
    abuse(&manifests.join("manifest.json"), || Manifest::read(&manifests).map(drop));
    abuse(&manifests.join("audit.json"), || Audit::read(&manifests).map(drop));
    let file = |artifact| folder.path_of(artifact);
    let accepted = experiment.manifest();
    abuse(&file(Artifact::Split), || folder.split(accepted).map(drop));
    abuse(&file(Artifact::Config), || folder.config().map(drop));
    abuse(&file(Artifact::Provenance), || folder.provenance().map(drop));
    abuse(&file(Artifact::History), || folder.history().map(drop));
    abuse(&file(Artifact::Evaluation), || folder.evaluation().map(drop));
    abuse(&file(Artifact::Assessment), || folder.assessment().map(drop));
    abuse(&file(Artifact::ScanRule), || folder.scan_rule().map(drop));
    abuse(&file(Artifact::CueComparison), || folder.cue_comparison().map(drop));
    abuse(&file(Artifact::Inference), || folder.inference().map(drop));
    abuse(&file(Artifact::Explanations(Subset::Test)), || folder.explanations(Subset::Test).map(drop));
    abuse(&file(Artifact::Predictions(Subset::Test)), || folder.predictions(Subset::Test).map(drop));
    abuse(&file(Artifact::PredictionsAbout(Subset::Test)), || folder.predictions(Subset::Test).map(drop));
    abuse(&file(Artifact::BestCheckpoint), || folder.classifier().map(drop));
    let path = copy("cov19-ct-db.json");
    abuse(&path, || Expectation::read(&path).map(drop));
    let path = copy("published-results.json");
    abuse(&path, || Published::read(&path).map(drop));
}

/// Flips bits of the file all over it, one at a time. What `read` gives is then an error or what it gave before, never
/// anything else. Returns how many were errors.
fn flipped(path: &Path, bits: usize, read: &dyn Fn() -> anyhow::Result<Vec<f32>>) -> usize {
    let whole = fs::read(path).expect("reads");
    let expected = read().unwrap_or_else(|error| panic!("{} is whole: {error:#}", path.display()));
    let mut errors = 0;
    for number in 0..bits {
        let mut bytes = whole.clone();
        let bit = whole.len() * 8 * (2 * number + 1) / (2 * bits);
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(path, bytes).expect("writes");
        match read() {
            Ok(found) => assert!(found == expected, "bit {bit} of {} changed something in silence", path.display()),
            Err(_) => errors += 1,
        }
    }
    fs::write(path, whole).expect("restores");
    errors
}

#[test]
fn no_flipped_bit_of_slices_features_or_weights_changes_a_prediction() {
    let folder = folder();
    let run = RunConfig {
        name: "head".into(),
        device: "cpu".into(),
        learn: Learn::Head,
        pretrained: None,
        epochs: 1,
        ..RunConfig::published(Architecture::ResNet18).by_patient()
    };
    let run = RunConfig { preprocess: Preprocess { size: 32, ..run.preprocess }, ..run };
    let experiment = prepared(folder.path(), &run);
    experiment.train().expect("trains");
    let (classifier, cache) = (experiment.folder().classifier().expect("loads"), experiment.cache().folder());
    let opened = || {
        let manifest = experiment.manifest();
        SliceCache::open_or_build(folder.path().join("cache"), manifest, &run.preprocess, |_| panic!("built again"))
    };
    let levels = || -> anyhow::Result<Vec<f32>> {
        let cache = opened()?;
        let slices = (0..cache.manifest().slices.len()).map(|slice| cache.pixels(slice));
        Ok(slices.collect::<anyhow::Result<Vec<_>>>()?.concat().into_iter().map(f32::from).collect())
    };
    let scores = |classifier: &Classifier| -> anyhow::Result<Vec<f32>> {
        let rows = classifier.predict(&experiment, Subset::Validation)?;
        Ok(rows.rows().iter().map(|row| row.covid).collect())
    };
    assert_eq!(flipped(&cache.join("slices.bin"), 40, &levels), 40);
    assert_eq!(flipped(&cache.join("slices.bin.rows"), 20, &levels), 20);
    assert!(flipped(&cache.join("index.json"), 40, &levels) > 30);
    let entries = fs::read_dir(cache).expect("lists").map(|entry| entry.expect("an entry").path());
    let features = entries.filter(|path| path.is_dir()).collect::<Vec<_>>();
    let [features] = &features[..] else { panic!("expected one folder of features, found {features:?}") };
    // Not every slice is of the validation set; but most flips that matter are found there.
    assert!(flipped(&features.join("features.bin"), 16, &|| scores(&classifier)) > 0);
    assert_eq!(flipped(&features.join("features.bin.rows"), 8, &|| scores(&classifier)), 8);
    flipped(&features.join("index.json"), 8, &|| scores(&classifier));
    let best = experiment.folder().path_of(Artifact::BestCheckpoint);
    assert_eq!(flipped(&best, 3, &|| scores(&experiment.folder().classifier()?)), 3);
    // Zeroed features: what a hole in a file system leaves.
    let length = fs::metadata(features.join("features.bin")).expect("a length").len();
    fs::write(features.join("features.bin"), vec![0; length as usize]).expect("writes");
    let error = format!("{:#}", scores(&classifier).expect_err("zeros"));
    assert!(error.contains("features.bin is damaged: its CRC-32C should be"), "{error}");
}

#[test]
fn a_cache_that_is_cut_while_it_is_open_is_an_error() {
    let folder = folder();
    let experiment = prepared(folder.path(), &tiny_run("cut"));
    let cache = experiment.cache();
    let all: Vec<usize> = (0..cache.manifest().slices.len()).collect();
    let before: Vec<Vec<u8>> = all.iter().map(|slice| cache.pixels(*slice).expect("a slice")).collect();
    let file = fs::File::options().write(true).open(cache.folder().join("slices.bin")).expect("opens");
    file.set_len(file.metadata().expect("a length").len() - 1).expect("cuts");
    let error = format!("{:#}", cache.batch(&all, Device::Cpu).expect_err("cut"));
    assert!(error.contains("slices.bin; delete the folder ") && error.contains("to have it built anew"), "{error}");
    let left = all.iter().filter(|slice| cache.pixels(**slice).is_ok_and(|pixels| pixels == before[**slice]));
    assert_eq!(left.count(), all.len() - 1, "all but the last in the file");
    drop(experiment);
    let error = format!("{:#}", prepared_again(folder.path()).expect_err("cut"));
    assert!(error.contains("which can be deleted to have it built again"), "{error}");
}

fn prepared_again(home: &Path) -> anyhow::Result<SliceCache> {
    let accepted = fixture().audit.accepted();
    SliceCache::open_or_build(home.join("cache"), &accepted, &tiny_run("cut").preprocess, |_| ())
}
