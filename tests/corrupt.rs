//! Every file the project reads, cut and changed in many places: an error or, where nothing that matters was hit, a
//! value; never a panic.

use crate::support::{fixture, folder, prepared, record, tiny_run};
use covid_ct::{Artifact, Audit, Expectation, Manifest, Published, Subset};
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
