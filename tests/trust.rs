//! What a doubting reader asks: the leak, intervals, where the network looks, and bad input.

use crate::support::{fixture, folder, prepared, silent, tiny_run};
use covid_ct::{
    Architecture, Assessment, Audit, Evaluation, Explanations, Inference, LeakProbe, Learn, Manifest, Measure,
    PhantomConfig, Preprocess, RunConfig, Shortcuts, SliceCache, SplitUnit, Subset, Typical, Workspace, draw_phantom,
    train,
};
use std::fs;

#[test]
fn shuffled_labels_are_learned_through_a_slice_split_alone() {
    let folder = folder();
    let config = PhantomConfig {
        size: 128,
        train_scans: 12,
        val_scans: 2,
        prediction_scans: 1,
        slices: 20,
        defects: false,
        ..PhantomConfig::default()
    };
    draw_phantom(&folder.path().join("data"), &config, silent).expect("draws");
    let accepted = Manifest::scan(folder.path().join("data"), silent).expect("scans");
    let run = RunConfig { pretrained: None, device: "cpu".into(), ..RunConfig::of(Architecture::DenseNet161) };
    let run = run.small().leak_probe();
    let cache = SliceCache::open_or_build(folder.path(), &accepted, &run.preprocess, silent).expect("caches");
    let probe = LeakProbe::run(folder.path(), &cache, &run, 3, silent).expect("probes");
    let accuracy = |unit, shuffled| probe.arm(unit, shuffled).and_then(|arm| arm.accuracy()).expect("a figure");
    let (by_slice, by_patient) = (accuracy(SplitUnit::Slice, true), accuracy(SplitUnit::Patient, true));
    assert!(by_slice >= 0.75, "by slice {by_slice}: who is who should be learned\n{probe}");
    assert!(by_slice - by_patient >= 0.2, "by patient {by_patient}: nothing is there to learn\n{probe}");
    // The same again comes from the file.
    let begun = std::time::Instant::now();
    assert_eq!(LeakProbe::run(folder.path(), &cache, &run, 3, |_| panic!("trained again")).expect("reads"), probe);
    assert!(begun.elapsed().as_secs() < 5);
    let few = RunConfig { learn: Learn::Whole, ..tiny_run("x") };
    let mut lonely = accepted.clone();
    lonely.slices.retain(|slice| slice.scan % 4 == 0);
    let cache = SliceCache::open_or_build(folder.path(), &lonely, &few.preprocess, silent).expect("caches");
    let error = LeakProbe::run(folder.path(), &cache, &few, 1, silent).expect_err("too few patients");
    assert!(format!("{error:#}").contains("expected 10 patients or more"), "{error:#}");
}

#[test]
fn a_run_is_assessed_explained_and_used_with_care() {
    let folder = folder();
    let run = tiny_run("fcn");
    let (accepted, split, cache) = prepared(folder.path(), &run);
    train(folder.path(), &cache, &split, &run, |_| ()).expect("trains");
    let at = folder.path().join("fcn");
    assert!(Assessment::read(&at).is_err(), "nothing is assessed yet");
    let evaluation = Evaluation::run(&at, &cache, &split, silent).expect("evaluates");
    let assessment = Assessment::read(&at).expect("was written");
    for of in &assessment.subsets {
        let matrices = evaluation.subset(of.subset).expect("the same subsets");
        for (performance, matrix) in [(&of.slices, &matrices.slices), (&of.scans, &matrices.scans)] {
            assert_eq!(performance.samples as u64, matrix.total());
            assert_eq!(performance.get(Measure::Accuracy).value, matrix.accuracy());
            assert_eq!(performance.get(Measure::Sensitivity).value, matrix.sensitivity());
            let accuracy = performance.get(Measure::Accuracy);
            let interval = accuracy.interval.expect("patients were drawn");
            assert!(
                interval.low <= matrix.accuracy().expect("samples")
                    && matrix.accuracy().expect("samples") <= interval.high
            );
        }
        // Slices of a patient stay together, so there are no more patients than scans.
        assert!(of.scans.patients <= of.scans.samples && of.slices.patients == of.scans.patients);
    }
    assert_eq!(assessment.rules.len(), 3);
    let temperature = assessment.temperature.as_ref().expect("two labels");
    assert!(temperature.after <= temperature.before);
    let scaled = &assessment.calibration[0];
    assert!(scaled.subset == Subset::Validation && scaled.before.samples == scaled.after.samples);

    let explanations = Explanations::run(&at, &cache, &split, Subset::Test, silent).expect("explains");
    assert_eq!(Explanations::read(&at, Subset::Test).expect("reads"), explanations);
    assert!(!explanations.slices.is_empty() && !explanations.galleries.is_empty());
    assert!(explanations.slices.iter().filter_map(|of| of.outside).all(|share| (0.0..=1.0).contains(&share)));
    assert!(explanations.random_weights.is_none_or(|r| (-1.0..=1.0).contains(&r)));

    let classifier = covid_ct::Classifier::load(at.join("best.safetensors")).expect("loads");
    let predictions = classifier.predict(&cache, &split, Subset::Prediction, silent).expect("predicts");
    let inference = Inference::of(&at, &cache, &split, &predictions).expect("sums up");
    assert_eq!(Inference::read(&at).expect("reads"), inference);
    for scan in &inference.scans {
        let interval = scan.interval.expect("several slices");
        assert!(interval.low <= scan.probability && scan.probability <= interval.high, "{scan:?}");
    }
    let typical = Typical::of(&cache, &split, Subset::Train).expect("compares");
    assert!(typical.farther.values().all(|share| (0.0..=1.0).contains(share)));

    let shortcuts = Shortcuts::run(folder.path(), &cache).expect("probes");
    assert!(shortcuts.rows.len() == 9 && shortcuts.manifest == accepted.hash());
}

#[test]
fn one_pass_gives_the_audit_and_the_cache_of_two() {
    let folder = folder();
    let preprocess = Preprocess { size: 48, ..Preprocess::default() };
    let (audit, cache) = Audit::run_and_cache(&fixture().root, folder.path(), &preprocess, silent).expect("one pass");
    assert_eq!(audit, fixture().audit);
    let two =
        SliceCache::open_or_build(folder.path().join("two"), &audit.accepted(), &preprocess, silent).expect("builds");
    assert!(audit.accepted().slices.len() < audit.manifest().slices.len(), "files were left out");
    for slice in 0..two.manifest().slices.len() {
        assert_eq!(cache.pixels(slice).expect("a row"), two.pixels(slice).expect("a row"), "slice {slice}");
    }
    assert!(cache.pixels(two.manifest().slices.len()).is_err());
    // What one pass has made, the other call finds.
    let found = SliceCache::open_or_build(folder.path(), &audit.accepted(), &preprocess, |_| panic!("built again"));
    assert_eq!(found.expect("opens").pixels(7).expect("a row"), two.pixels(7).expect("a row"));
    assert!(
        fs::read_dir(folder.path())
            .expect("lists")
            .flatten()
            .all(|e| !e.file_name().to_string_lossy().starts_with("making"))
    );
}

#[test]
fn a_workspace_without_runs_has_nothing_to_report() {
    let folder = folder();
    let work = Workspace::at(Some(folder.path().to_owned()), None).expect("opens");
    assert!(work.evaluated_runs().is_err());
}
