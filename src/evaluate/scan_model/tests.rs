//! A scan model of a small run on a phantom.

use super::*;
use crate::data::manifest::Manifest;
use crate::data::phantom::{PhantomConfig, draw_phantom};
use crate::data::split::{Split, SplitConfig};
use crate::nn::model::Architecture;
use crate::nn::scan_pooling::Pooling;
use crate::stats::metrics::Measure;
use crate::train::config::RunConfig;
use std::fs;
use std::path::Path;

/// An experiment on scans of two sources, its network not trained yet.
fn experiment(home: &Path) -> Experiment {
    let config = PhantomConfig { train_scans: 16, val_scans: 12, prediction_scans: 2, ..PhantomConfig::tiny() };
    draw_phantom(&home.join("data"), &config, |_| ()).expect("draws");
    let mut manifest = Manifest::scan(home.join("data"), |_| ()).expect("scans");
    let sources = ["here", "there"];
    (0..).zip(&mut manifest.scans).for_each(|(index, scan)| scan.source = Some(sources[index % 2].to_owned()));
    let run = RunConfig { device: "cpu".into(), epochs: 2, ..RunConfig::of(Architecture::Fcn).small() };
    let split = SplitConfig { test_fraction: 0.3, ..run.split.clone() };
    let mut run = RunConfig { split, ..run };
    run.preprocess.size = 32;
    opened(home, &manifest, &run)
}

fn opened(home: &Path, manifest: &Manifest, run: &RunConfig) -> Experiment {
    let split = Split::new(manifest, &run.split).expect("splits");
    let cache = SliceCache::open_or_build(home.join("cache"), manifest, &run.preprocess, |_| ()).expect("caches");
    Experiment::of_parts(RunFolder::at(home.join(&run.name)), split, cache, run.clone()).expect("belongs together")
}

fn quick() -> ScanTraining {
    let candidates = [Pooling::Attention, Pooling::Mean].map(|pooling| ScanCandidate { pooling, weight_decay: 0.1 });
    ScanTraining {
        hidden: 8,
        gates: 8,
        components: 16,
        steps: 60,
        candidates: candidates.to_vec(),
        ..ScanTraining::default()
    }
}

#[test]
fn a_scan_model_is_fitted_once_read_again_and_fitted_anew_for_other_settings() {
    let home = tempfile::tempdir().expect("a folder");
    let experiment = experiment(home.path());
    let error = format!("{:#}", experiment.scan_model().expect_err("not trained"));
    assert!(error.contains("expected a trained run, found no best.safetensors"), "{error}");
    experiment.train().expect("trains");

    let model = experiment.scan_model_by(&quick()).expect("fits");
    let results = model.results();
    let subsets: Vec<Subset> = results.subsets.iter().map(|of| of.subset).collect();
    assert_eq!(subsets, [Subset::Validation, Subset::Test]);
    for of in &results.subsets {
        let scans = [Label::Covid, Label::NonCovid].map(|label| experiment.split().count(of.subset, Some(label)).1);
        assert_eq!(of.all.model.samples, scans[0] + scans[1]);
        assert_eq!(of.sources.iter().map(|of| of.0.as_str()).collect::<Vec<_>>(), ["here", "there"]);
        let counted: usize = of.sources.iter().map(|of| of.1.model.samples).sum();
        assert_eq!((counted, of.all.vote.samples), (of.all.model.samples, of.all.model.samples));
        let difference = of.all.difference.get(Measure::RocAuc);
        let value = |performance: &Performance| performance.get(Measure::RocAuc).value;
        assert_eq!((difference.a, difference.b), (value(&of.all.vote), value(&of.all.model)));
    }
    let validation = results.subsets[0].all.model.get(Measure::BalancedAccuracy).value.expect("both labels");
    assert!((validation - results.balanced_accuracy).abs() < 1e-12, "the threshold is the one that was chosen");
    let unlabelled: Vec<&ModelledScan> = results.scans.iter().filter(|of| of.label.is_none()).collect();
    assert_eq!(unlabelled.len(), 2);
    assert!(unlabelled.iter().all(|of| of.subset == Subset::Prediction));

    // Read, not fitted: the file's time stays, the numbers are the same.
    let path = experiment.folder().path_of(Artifact::ScanModelWeights);
    let written = || fs::metadata(&path).and_then(|file| file.modified()).expect("a file");
    let before = written();
    let again = experiment.scan_model_by(&quick()).expect("reads");
    assert_eq!((again.results(), written()), (results, before));
    // Fitted again from nothing: the same bits.
    let bytes = fs::read(&path).expect("reads");
    fs::remove_file(experiment.folder().path_of(Artifact::ScanModel)).expect("removes");
    let fresh = experiment.scan_model_by(&quick()).expect("fits");
    assert_eq!((fresh.results(), fs::read(&path).expect("reads")), (results, bytes.clone()));
    // Evaluated: the vote is taken from the run's predictions, and is the same.
    experiment.evaluate().expect("evaluates");
    fs::remove_file(experiment.folder().path_of(Artifact::ScanModel)).expect("removes");
    assert_eq!(experiment.scan_model_by(&quick()).expect("fits").results(), results);
    let other = ScanTraining { seed: 2, ..quick() };
    assert_ne!(experiment.scan_model_by(&other).expect("fits").results().tensors, results.tensors);
    // Tensors of another model do not belong to the figures.
    fs::write(&path, &bytes).expect("writes");
    let error = format!("{:#}", experiment.folder().scan_model().expect_err("another file"));
    assert!(error.contains("delete both to have it fitted again"), "{error}");
    drop(again);
    shows_itself(&experiment, &model);
    judges_new_scans(&experiment, &model);
    refuses_one_label(home.path(), &experiment);
}

fn shows_itself(experiment: &Experiment, model: &ScanModel) {
    let text = model.to_string();
    for words in ["scan model", "slice vote", "model − vote", "ROC AUC", "there", "gated attention"] {
        assert!(text.contains(words), "{words} in\n{text}");
    }
    let page = model.page().expect("a page").to_string();
    assert!(page.contains("does 80 % mean 80 %?") && page.contains("[figure] test scans"), "{page}");
    let scan = &model.results().scans[0];
    let figure = model.curve(experiment, &scan.scan).expect("a curve");
    assert!(figure.caption().contains(&scan.decision.to_string()), "{}", figure.caption());
    assert!(figure.svg().contains("1 = even share") && figure.svg().contains("covid probability"));
    let error = format!("{:#}", model.curve(experiment, "nobody").expect_err("no such scan"));
    assert!(error.contains("found none of that name"), "{error}");
}

fn judges_new_scans(experiment: &Experiment, model: &ScanModel) {
    let classifier = experiment.classifier().expect("loads");
    let judged = model.judge(&classifier, experiment.cache(), |_| ()).expect("judges");
    assert_eq!(judged.len(), experiment.manifest().scans.len());
    for of in &model.results().scans {
        let (_, verdict) = judged.iter().find(|(scan, _)| *scan == of.scan).expect("every scan");
        let found = (verdict.score, verdict.probability, verdict.interval, verdict.decision, verdict.weights.len());
        assert_eq!(found, (of.score, of.probability, of.interval, of.decision, of.slices));
    }
    let wrong = Tensor::zeros([3, 7], (Kind::Float, tch::Device::Cpu));
    let error = format!("{:#}", model.of_new(&wrong).expect_err("other features"));
    assert!(error.contains("expected slices [N, 512], found [3, 7]"), "{error}");
}

fn refuses_one_label(home: &Path, experiment: &Experiment) {
    let of_validation = experiment.slices(Subset::Validation).expect("slices");
    let (mut manifest, run) = (experiment.manifest().clone(), experiment.settings().clone());
    for slice in of_validation {
        let scan = manifest.slices[slice].scan;
        manifest.scans[scan].label = Some(Label::Covid);
    }
    let scans = |subset| scan_slices::scans_of(&manifest, &experiment.slices(subset).expect("slices"));
    let fit = |training, validation| {
        let features =
            |_: &[usize]| crate::base::errors::bail!("no features are read for scans that cannot be learned from");
        let fitted = scan_fit::fit(training, validation, &features, &quick(), &|_| ());
        fitted.map_or_else(|error| format!("{error:#}"), |_| "fits".to_owned())
    };
    let (training, validation) = (scans(Subset::Train), scans(Subset::Validation));
    assert!(fit(&training, &validation).contains("expected validation scans of both labels"));
    assert!(fit(&training, &[]).contains("expected validation scans of both labels, found 0 covid and 0"));
    assert!(fit(&validation, &training).contains("expected training scans of both labels"));
    let unlabelled = scans(Subset::Prediction);
    assert!(fit(&unlabelled, &training).contains("has no label to learn from"));
    // An experiment that was never trained has nothing to read either.
    let other = opened(home, experiment.manifest(), &RunConfig { name: "other".into(), ..run });
    assert!(other.folder().scan_model().is_err());
}
