//! Leak, confidence intervals, shortcuts, explanations, out-of-distribution hints, and bad input.

use crate::chests;
use crate::support::{self, experiment, fixture, folder, prepared, record, silent, tiny_run};
use covid_ct::{
    Architecture, Artifact, Audit, Comparison, Evaluation, Experiment, Explanations, GalleryKind, InferredScan, Label,
    LeakProbe, Learn, LungsFrom, Manifest, Measure, OutOfDistribution, PhantomConfig, Preprocess, RunConfig, Shortcuts,
    SliceCache, SplitUnit, Subset, Workspace, draw_phantom,
};
use std::fs;
use std::path::Path;

/// Patients without defects, each with enough slices to be recognised.
fn many_slices(folder: &Path) -> Manifest {
    let config = PhantomConfig {
        size: 128,
        train_scans: 20,
        val_scans: 2,
        prediction_scans: 1,
        slices: 16,
        defects: false,
        ..PhantomConfig::default()
    };
    draw_phantom(&folder.join("data"), &config, silent).expect("draws");
    Manifest::scan(folder.join("data"), silent).expect("scans")
}

#[test]
fn shuffled_labels_are_learned_through_a_slice_split_alone() {
    let folder = folder();
    let accepted = many_slices(folder.path());
    let run = RunConfig {
        pretrained: None,
        device: "cpu".into(),
        ..RunConfig::published(Architecture::DenseNet161).by_patient()
    };
    let run = run.small().leak_probe();
    let cache = SliceCache::open_or_build(folder.path(), &accepted, &run.preprocess, silent).expect("caches");
    let repeats = LeakProbe::REPEATS;
    let probe = LeakProbe::run(folder.path(), &cache, &run, repeats, silent).expect("probes");
    assert_eq!((probe.patients, probe.covid, probe.scans), (40, 20, 40));
    let accuracy = |unit| probe.arm(unit, true).and_then(|arm| arm.accuracy()).expect("a figure");
    let (by_slice, by_patient) = (accuracy(SplitUnit::Slice), accuracy(SplitUnit::Patient));
    assert!(by_slice >= 0.9, "by slice {by_slice}: patients' identities should be learned\n{probe}");
    // 8 patients in each of 30 tests: a standard error of about 2 points.
    assert!((by_patient - 0.5).abs() <= 0.05, "by patient {by_patient}: nothing is there to learn\n{probe}");
    let gap = probe.gap(true).expect("both arms");
    let (low, high) = gap.interval.expect("repetitions");
    assert!(low > 0.3 && low < gap.value && gap.value < high, "{gap:?}");
    let text = probe.to_string();
    assert!(text.contains("0.9969") && text.contains("0.8108") && text.contains("18.6 points"), "{text}");
    assert!(probe.gap_figure().expect("draws").svg().contains("no leak") && probe.figure().is_ok());
    // A second call reads the file.
    let again = LeakProbe::run(folder.path(), &cache, &run, repeats, |_| panic!("trained again"));
    assert_eq!(again.expect("reads"), probe);
}

#[test]
fn a_leak_that_cannot_be_measured_is_an_error_that_says_why() {
    let folder = folder();
    let run = RunConfig { learn: Learn::Whole, ..tiny_run("x") };
    let mut few = fixture().audit.accepted();
    few.slices.retain(|slice| slice.scan % 4 == 0);
    let cache = SliceCache::open_or_build(folder.path(), &few, &run.preprocess, silent).expect("caches");
    let message =
        |repeats| format!("{:#}", LeakProbe::run(folder.path(), &cache, &run, repeats, silent).expect_err("few"));
    assert!(message(1).contains("expected 5 patients or more of each label"), "{}", message(1));
    assert!(message(0).contains("expected 1 to 10,000 repetitions, found 0"), "{}", message(0));
}

#[test]
fn a_run_is_assessed_by_patient() {
    let folder = folder();
    let run = tiny_run("fcn");
    let experiment = prepared(folder.path(), &run);
    experiment.train().expect("trains");
    assert!(experiment.assessment().is_err(), "nothing is assessed yet");
    let evaluation = experiment.evaluate().expect("evaluates");
    let assessment = experiment.assessment().expect("was written");
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
    let scaled = &assessment.calibration[0].slices;
    let after = scaled.after.as_ref().expect("two labels");
    assert!(assessment.calibration[0].subset == Subset::Validation && scaled.before.samples == after.samples);
    let beside = experiment.folder().cue_comparison().expect("was written");
    for row in &beside.rows {
        let of = assessment.subset(row.subset).expect("the same subsets");
        assert_eq!((row.scans, row.patients), (of.scans.samples, of.scans.patients));
        assert!(row.cues.value.is_some() && row.network.value.is_some());
    }
    assert!(beside.figure().expect("draws").svg().contains("shallow cues"));
    let shortcuts = Shortcuts::run(folder.path(), experiment.cache()).expect("probes");
    assert!(shortcuts.rows.len() == 9 && shortcuts.manifest == experiment.manifest().hash());
}

/// Chests with a planted square, and an FCN that detects only the square: trained, rewritten and evaluated under
/// `folder/x`.
fn planted(folder: &Path) -> (Experiment, Evaluation) {
    let manifest = chests::data(&folder.join("data"));
    let mut run = RunConfig { epochs: 1, ..tiny_run("x") };
    run.preprocess.size = 128;
    let experiment = experiment(folder, &manifest, &run);
    experiment.train().expect("trains");
    let checkpoint = experiment.folder().path_of(Artifact::BestCheckpoint);
    chests::see_white_alone(&checkpoint);
    record(&checkpoint);
    let evaluation = experiment.evaluate().expect("evaluates");
    (experiment, evaluation)
}

/// The mean share of heat outside the lungs of scans with and without covid, and what the lungs were found in.
fn outside(explanations: &Explanations) -> ([f64; 2], Vec<LungsFrom>) {
    let mean = |label: Label| {
        let of_label = explanations.slices.iter().filter(|of| of.label == Some(label));
        let shares: Vec<f64> = of_label.filter_map(|of| of.outside).collect();
        assert!(shares.len() >= 4, "{label}: lungs and heat in {} slices", shares.len());
        shares.iter().sum::<f64>() / shares.len() as f64
    };
    let mut from: Vec<LungsFrom> = explanations.slices.iter().map(|of| of.lungs_from).collect();
    from.dedup();
    ([mean(Label::Covid), mean(Label::NonCovid)], from)
}

#[test]
fn planted_heat_and_a_planted_stranger_are_found() {
    let folder = folder();
    let (experiment, evaluation) = planted(folder.path());
    let (at, manifest) = (experiment.folder(), experiment.manifest());
    let explain = || experiment.explain(Subset::Validation).expect("explains");
    let explanations = explain();
    assert_eq!(at.explanations(Subset::Validation).expect("reads"), explanations);
    // The heat is on the square: next to the body for covid, in the lung for the others.
    let ([covid, other], from) = outside(&explanations);
    assert!(covid > 0.95 && other < 0.35, "outside the lungs: covid {covid}, non-covid {other}");
    assert_eq!(from, [LungsFrom::File]);
    let first = &explanations.by_scan()[0];
    assert!(first.1 == Some(Label::Covid) && first.3 > Some(0.9), "{first:?}");
    let kinds: Vec<GalleryKind> = explanations.galleries.iter().map(|gallery| gallery.kind).collect();
    let all = [GalleryKind::ConfidentRight, GalleryKind::ConfidentWrong, GalleryKind::OutsideLungs];
    assert_eq!(kinds, [&all[..], &[GalleryKind::DoubtfulMasks, GalleryKind::Examples]].concat());
    // It calls everything covid: only the others are wrong, and their slices are found although few are explained.
    assert!(!explanations.galleries[1].figure.svg().contains("val/covid"), "a right slice among the wrong ones");
    assert!(explanations.sanity.contains("rank correlation") || explanations.sanity.contains("undefined"));

    let inference = experiment.predict().expect("predicts");
    assert_eq!(at.inference().expect("reads"), inference);
    let [known, strange] = &inference.scans[..] else { panic!("{inference}") };
    assert_eq!((known.unusual, strange.unusual), (Some(false), Some(true)), "{inference}");
    assert!(strange.share.is_some_and(|share| share <= 0.05), "{strange:?}");
    // Covid has the larger squares: a scan with one has a high probability of scans, not only of slices.
    let interval = known.interval.expect("22 patients");
    let probability = known.probability.expect("calibrated");
    assert!(probability > 0.8 && interval.low <= probability && probability <= interval.high, "{known:?}");
    assert!(inference.to_string().contains("calibrated on 22 validation scans of 22 patients"), "{inference}");
    let shown = inference.patient("ct_scan_1").expect("one scan of that name").to_string();
    assert!(shown.contains("unusual grey levels") && shown.contains("prediction/ct_scan_1"), "{shown}");
    // From elsewhere it is judged as in the data set, hint included.
    for scan in &inference.scans {
        let new = experiment.judge(manifest.root.join(&scan.scan)).expect("judges").inference.scans.remove(0);
        assert_eq!(InferredScan { scan: scan.scan.clone(), ..new }, *scan);
    }
    let heat = experiment.heat_by_scan().expect("draws");
    assert_eq!(heat.svg().matches("<image").count(), 2);
    let (classifier, predictions) =
        (experiment.classifier().expect("loads"), experiment.predictions(Subset::Prediction).expect("reads"));
    let heat = classifier.scan_heat(experiment.cache(), &predictions, "prediction/ct_scan_0", 3).expect("draws");
    assert_eq!(heat.svg().matches("<image").count(), 3);

    // A name that two scans have is ambiguous.
    let validation = at.predictions(Subset::Validation).expect("reads");
    let both = format!("{:#}", validation.scan_sheet(manifest, "ct_scan_3", 2).expect_err("two scans"));
    assert!(both.contains("val/covid/ct_scan_3, val/non-covid/ct_scan_3"), "{both}");
    assert!(validation.scan_sheet(manifest, "val/covid/ct_scan_3", 2).is_ok());
    let scans = validation.by_scan(&evaluation.rule);
    assert!(scans.patient("ct_scan_3").is_err() && scans.patient("val/covid/ct_scan_3").is_ok());
    assert!(scans.patient("ct_scan_99").is_err());

    // A file that has changed since its prediction is not shown with it.
    let shown = validation.rows()[0].path.clone();
    let file = folder.path().join("data").join(&shown);
    fs::write(&file, [fs::read(&file).expect("reads"), vec![0]].concat()).expect("writes");
    let error = format!("{:#}", validation.slice_figure(manifest, &shown).expect_err("a changed file"));
    assert!(error.contains("has changed since it was audited") && error.contains(&shown), "{error}");

    // Without the files cached slices are used; the lungs are the same.
    fs::rename(folder.path().join("data"), folder.path().join("gone")).expect("renames");
    let ([again, _], from) = outside(&explain());
    assert!(from == [LungsFrom::Cache] && (again - covid).abs() < 0.05, "{from:?}: {again} and {covid}");
}

#[test]
fn one_label_and_few_scans_go_through_the_whole_chain_and_say_so() {
    let folder = folder();
    let mut manifest = chests::data(&folder.path().join("data"));
    let folders: Vec<String> = manifest.scans.iter().map(|scan| scan.folder.clone()).collect();
    let few = |folder: &str| ["_0", "_1", "_2", "_3"].iter().any(|end| folder.ends_with(end));
    manifest.slices.retain(|slice| !folders[slice.scan].starts_with("val/non-covid") && few(&folders[slice.scan]));
    manifest.scans.iter_mut().filter(|scan| scan.folder.starts_with("val/")).for_each(|scan| {
        scan.patient = Some("one".to_owned());
    });
    let run = RunConfig { epochs: 1, ..tiny_run("x") };
    let experiment = experiment(folder.path(), &manifest, &run);
    experiment.train().expect("trains");
    let evaluation = experiment.evaluate().expect("evaluates");
    assert!(evaluation.rule.chosen.contains("4 covid and 0 non-covid validation scans"), "{}", evaluation.rule.chosen);
    let assessment = experiment.assessment().expect("was written");
    assert!(assessment.omitted.len() == 3 && assessment.rules.is_empty(), "{:?}", assessment.omitted);
    let validation = assessment.subset(Subset::Validation).expect("validation");
    assert!(validation.scans.patients == 1 && validation.scans.get(Measure::Specificity).value.is_none());
    let beside = experiment.folder().cue_comparison().expect("was written");
    assert!(beside.left_out.join(" ").contains("validation subset has 4 covid and 0 non-covid"), "{beside}");

    let inference = experiment.predict().expect("predicts");
    let text = inference.to_string();
    assert!(text.contains("not calibrated: at least 10 validation scans of each label"), "{text}");
    assert!(text.contains("no out-of-distribution hint: 6 training scans"), "{text}");
    assert!(inference.scans.iter().all(|scan| scan.probability.is_none() && scan.unusual.is_none()), "{text}");
    let training = experiment.folder().grey_levels().expect("was written");
    let slices = experiment.split().slices(Subset::Prediction);
    let hints = OutOfDistribution::of(&training, experiment.cache(), &slices).expect("no error");
    assert!(hints.share.is_empty() && hints.hint("prediction/ct_scan_0") == "–");
    let explanations = experiment.explain(Subset::Validation).expect("explains");
    assert!(explanations.slices.iter().all(|of| of.label == Some(Label::Covid)));

    // Nothing to predict is an error with advice.
    let mut empty = manifest.clone();
    empty.slices.retain(|slice| !folders[slice.scan].starts_with("prediction"));
    let empty = support::experiment(&folder.path().join("empty"), &empty, &run);
    let classifier = experiment.classifier().expect("loads");
    let error = classifier.predict(&empty, Subset::Prediction).expect_err("nothing to predict");
    assert!(format!("{error:#}").contains("put scans under prediction/"), "{error:#}");
}

#[test]
fn one_pass_gives_the_audit_and_the_cache_of_two() {
    let folder = folder();
    let preprocess = Preprocess { size: 48, ..Preprocess::default() };
    let (audit, cache) =
        Audit::in_one_pass(&fixture().root, Some((folder.path(), &preprocess)), silent).expect("one pass");
    let cache = cache.expect("a cache");
    assert_eq!(audit, fixture().audit);
    let two =
        SliceCache::open_or_build(folder.path().join("two"), &audit.accepted(), &preprocess, silent).expect("builds");
    assert!(audit.accepted().slices.len() < audit.manifest().slices.len(), "files were left out");
    for slice in 0..two.manifest().slices.len() {
        assert_eq!(cache.pixels(slice).expect("a row"), two.pixels(slice).expect("a row"), "slice {slice}");
    }
    assert!(cache.pixels(two.manifest().slices.len()).is_err());
    // A second call uses the result of the single pass.
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
    assert_eq!(work.evaluated_runs().expect("lists"), []);
    let error = Comparison::of(&[]).expect_err("nothing to compare");
    assert!(error.to_string().starts_with("comparing runs: none is evaluated"), "{error}");
}
