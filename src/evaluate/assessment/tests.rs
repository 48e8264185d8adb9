//! Assessments of small, one-sided and perfect predictions.

use super::*;
use crate::data::manifest::{Label, Scan, Set};
use crate::evaluate::decision_rules::RuleKind;
use crate::evaluate::predict::About;
use crate::stats::metrics::Measure;
use tempfile::TempDir;

/// Scans of two slices with these labels and slice probabilities, as an evaluation of the validation subset finds them.
fn judged(scans: &[(bool, [f32; 2])], patients: impl Fn(usize) -> Option<String>) -> (TempDir, Manifest, Predictions) {
    let folder = tempfile::tempdir().expect("a folder");
    let label = |covid: bool| if covid { Label::Covid } else { Label::NonCovid };
    let scan = |(index, (covid, _)): (usize, &(bool, [f32; 2]))| Scan {
        folder: format!("val/{}/ct_scan_{index}", label(*covid)),
        set: Set::Val,
        label: Some(label(*covid)),
        patient: patients(index),
        source: None,
        acquisition: None,
    };
    let manifest = Manifest {
        name: "drawn".to_owned(),
        root: folder.path().to_owned(),
        scans: scans.iter().enumerate().map(scan).collect(),
        ..Manifest::default()
    };
    let about = About {
        run: "drawn".to_owned(),
        subset: Subset::Validation,
        leaks: Vec::new(),
        weights: Digest::of(b"weights"),
        manifest: manifest.hash(),
        split: Digest::of(b"split"),
    };
    let rows = scans.iter().zip(&manifest.scans).flat_map(|((_, slices), scan)| {
        slices.iter().enumerate().map(|(number, &covid)| SlicePrediction {
            path: format!("{}/{number}.jpg", scan.folder),
            scan: scan.folder.clone(),
            patient: scan.patient.clone(),
            label: scan.label,
            covid,
        })
    });
    let predictions = Predictions::new(about, rows.collect());
    (folder, manifest, predictions)
}

fn assessed(scans: &[(bool, [f32; 2])], patients: impl Fn(usize) -> Option<String>) -> Assessment {
    let (folder, manifest, validation) = judged(scans, patients);
    let rule = ScanRule::choose(&validation, RuleKind::ShareOfSlices).expect("a rule");
    let assessment = Assessment::of(&validation, None, &manifest, &rule).expect("assesses");
    let run = RunFolder::at(folder.path());
    run.write(Artifact::Assessment, &assessment).expect("writes");
    assert_eq!(run.assessment().expect("reads"), assessment);
    assessment
}

/// 24 scans, half of them covid, predicted well but not without errors.
fn good() -> Vec<(bool, [f32; 2])> {
    let wrong = |i: usize| i % 6 == 5;
    let p = |i: usize| if i.is_multiple_of(2) != wrong(i) { 0.7 + 0.01 * i as f32 } else { 0.05 + 0.01 * i as f32 };
    (0..24).map(|i| (i % 2 == 0, [p(i), p(i) - 0.02])).collect()
}

/// The same scans by a network that sees a lesion in few slices: means that order the scans well and are far too low.
fn shy() -> Vec<(bool, [f32; 2])> {
    good()
        .into_iter()
        .map(|(covid, [a, b])| (covid, if a > 0.5 { [0.5, 0.2 + b / 100.0] } else { [a / 4.0, b / 4.0] }))
        .collect()
}

fn alone(_: usize) -> Option<String> {
    None
}

#[test]
fn with_both_labels_nothing_is_left_out_and_scans_are_calibrated_as_scans() {
    let assessment = assessed(&good(), alone);
    assert_eq!((assessment.omitted.len(), assessment.rules.len()), (0, 3));
    let calibrator = assessment.scan_calibrator.as_ref().expect("fitted");
    assert_eq!((calibrator.scans, calibrator.covid, calibrator.patients), (24, 12, 24));
    let of = &assessment.calibration[0];
    assert_eq!((of.slices.before.samples, of.scans.before.samples), (48, 24));
    let shy = assessed(&shy(), alone);
    let scans = &shy.calibration[0].scans;
    let (before, after) = (scans.before.brier, scans.after.as_ref().expect("calibrated").brier);
    assert!(after < 0.8 * before, "{after} and {before}");
    let text = assessment.calibration_table().to_string();
    assert!(text.contains("validation scans") && text.contains("Platt scaling"), "{text}");
    for figure in
        [assessment.reliability_figure(Subset::Validation), assessment.scan_reliability_figure(Subset::Validation)]
    {
        assert!(figure.expect("draws").svg().contains("<svg"));
    }
    assert!(assessment.reliability_figure(Subset::Test).is_err());
    let of = assessment.subset(Subset::Validation).expect("assessed");
    let curves = of.roc.as_ref().expect("both labels");
    for (points, of) in [(&curves.slices, &of.slices), (&curves.scans, &of.scans)] {
        assert_eq!((points.first(), points.last()), (Some(&[0.0, 0.0]), Some(&[1.0, 1.0])));
        let area: f64 = points.windows(2).map(|p| (p[1][0] - p[0][0]) * (p[0][1] + p[1][1]) / 2.0).sum();
        let value = of.get(Measure::RocAuc).value.expect("defined");
        assert!((area - value).abs() < 1e-12, "{area} and {value}");
    }
    let figures = assessment.roc_figures().expect("draws");
    let [figure] = &figures[..] else { panic!("{} figures of one subset", figures.len()) };
    assert!(
        figure.svg().contains("48 slices: area 0.") && figure.svg().contains("24 scans: area 0."),
        "{}",
        figure.svg()
    );
    let text = assessment.table().to_string();
    assert!(text.contains("each scan counts as one") && text.contains("Validation figures are optimistic"), "{text}");
    assert!(!text.contains("WARNING"), "{text}");
}

#[test]
fn one_label_leaves_out_rule_temperature_and_calibrator_and_says_why() {
    let covid: Vec<_> = good().into_iter().filter(|scan| scan.0).collect();
    let assessment = assessed(&covid, alone);
    assert!(assessment.rules.is_empty() && assessment.temperature.is_none() && assessment.scan_calibrator.is_none());
    let reasons = assessment.omitted.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for part in ["12 of covid among 12", "24 covid and 0 non-covid", "there are 12 covid and 0 non-covid"] {
        assert!(reasons.contains(part), "{part:?} is missing in {reasons}");
    }
    let of = &assessment.calibration[0];
    assert!(of.slices.after.is_none() && of.scans.after.is_none() && of.slices.before.line.is_none());
    assert!(assessment.roc_figures().expect("nothing to draw").is_empty());
    let text = assessment.table().to_string();
    assert!(text.contains("No temperature: valid") && text.contains("WARNING: 12 validation patients"), "{text}");
    let rule = ScanRule::choose(&judged(&covid, alone).2, RuleKind::ShareOfSlices).expect("a rule");
    assert!(rule.rule == Rule::ShareOfSlices(0.5) && rule.chosen.contains("on 12 covid and 0 non-covid"), "{rule:?}");
}

#[test]
fn one_patient_has_values_and_no_intervals() {
    let assessment = assessed(&good(), |_| Some("one".to_owned()));
    let scans = &assessment.subsets[0].scans;
    assert_eq!((scans.patients, assessment.subsets[0].named), (1, 24));
    assert!(scans.estimates().iter().all(|estimate| estimate.value.is_some() && estimate.interval.is_none()));
    assert_eq!(assessment.scan_calibrator.as_ref().expect("fitted").interval(0.5), None);
    assert!(assessment.table().to_string().contains("WARNING: 1 validation patients"));
}

#[test]
fn constant_probabilities_fit_no_calibrator_and_no_error_has_an_exact_interval() {
    let constant: Vec<_> = good().into_iter().map(|scan| (scan.0, [0.7; 2])).collect();
    let assessment = assessed(&constant, alone);
    assert!(assessment.scan_calibrator.is_none() && assessment.temperature.is_some());
    let [omitted] = &assessment.omitted[..] else { panic!("{:?}", assessment.omitted) };
    assert!(omitted.part == Part::ScanCalibrator && omitted.why.contains("in every validation scan"), "{omitted}");
    assert_eq!(assessment.rules.len(), 3, "a rule is chosen all the same: it calls all covid, or none");
    let perfect: Vec<_> = (0..24).map(|i| (i % 2 == 0, if i % 2 == 0 { [0.9; 2] } else { [0.1; 2] })).collect();
    let text = assessed(&perfect, alone).table().to_string();
    // Of slices 0.025 to the power of 1/12 (Clopper and Pearson), of scans 12 / (12 + 1.96²) (Wilson).
    assert!(text.contains("73.5 to 100.0 % (100.0; no error)") && text.contains("75.8 to 100.0 % (100.0)"), "{text}");
    assert!(!text.contains("100.0 to 100.0"), "{text}");
}

#[test]
fn probabilities_that_are_none_are_errors_that_name_the_file_and_the_row() {
    let mut scans = good();
    scans[3].1[1] = f32::NAN;
    let (folder, _, validation) = judged(&scans, alone);
    let run = RunFolder::at(folder.path());
    validation.write(&run).expect("writes");
    let error = format!("{:#}", run.predictions(Subset::Validation).expect_err("NaN"));
    assert!(error.contains("predictions-validation.parquet"), "{error}");
    assert!(error.contains("row 7: expected a probability 0 to 1, found NaN"), "{error}");
}

#[test]
fn predictions_of_other_weights_are_not_assessed_together() {
    let (_, manifest, validation) = judged(&good(), alone);
    let assessed = |weights: &[u8]| {
        let about = About { subset: Subset::Test, weights: Digest::of(weights), ..validation.about.clone() };
        let test = Predictions::new(about, validation.rows().to_vec());
        Assessment::of(&validation, Some(&test), &manifest, &ScanRule::majority())
    };
    assert_eq!(assessed(b"weights").expect("assesses").subsets.len(), 2);
    let error = format!("{:#}", assessed(b"other weights").expect_err("two networks"));
    assert!(error.contains(&Digest::of(b"other weights").short()), "{error}");
}

#[test]
fn an_empty_subset_is_an_error_that_names_it() {
    let (_, manifest, none) = judged(&[], alone);
    let error = Assessment::of(&none, None, &manifest, &ScanRule::majority()).expect_err("nothing");
    assert!(format!("{error:#}").contains("found none"), "{error:#}");
}

#[test]
fn sources_are_assessed_separately_and_leaks_marked() {
    let (_, mut manifest, validation) = judged(&good(), alone);
    let source = |index: usize| if index < 6 { "Athens" } else { "Wuhan" };
    manifest.scans.iter_mut().enumerate().for_each(|(index, scan)| scan.source = Some(source(index).to_owned()));
    let assessment = Assessment::of(&validation, None, &manifest, &ScanRule::majority()).expect("assesses");
    let of: Vec<(&str, usize, Option<f64>)> = assessment.subsets[0]
        .sources
        .iter()
        .map(|(source, of)| (source.as_str(), of.samples, of.get(crate::stats::metrics::Measure::Accuracy).value))
        .collect();
    // Wrong are the scans 5, 11, 17 and 23.
    assert_eq!(of, [("Athens", 6, Some(5.0 / 6.0)), ("Wuhan", 18, Some(15.0 / 18.0))]);
    let text = Assessment { leaks: vec![Subset::Validation], ..assessment }.sources_table().to_string();
    assert!(
        text.contains("validation (LEAKING)")
            && text.contains("Athens")
            && text.contains("2 rows have fewer than 20 patients"),
        "{text}"
    );
}

#[test]
fn an_assessment_of_an_earlier_version_is_refused() {
    let mut assessment = assessed(&good(), |_| None);
    assessment.subsets[0].scans.draws = DRAWS;
    let folder = tempfile::tempdir().expect("a folder");
    let run = RunFolder::at(folder.path());
    run.write(Artifact::Assessment, &assessment).expect("writes");
    let error = run.assessment().expect_err("refuses").to_string();
    assert!(error.contains("those of a bootstrap") && error.ends_with("evaluate the run again"), "{error}");
}

/// What a test set of these scans says of the network.
fn said_after(test: &[(bool, [f32; 2])], leaks: &[Subset], label: Option<Label>) -> String {
    let (_folder, manifest, validation) = judged(&good(), alone);
    let rule = ScanRule::choose(&validation, RuleKind::ShareOfSlices).expect("a rule");
    let (_other, _, tested) = judged(test, alone);
    let about = About { subset: Subset::Test, ..tested.about.clone() };
    let rows = tested.rows().iter().filter(|row| label.is_none() || row.label == label).cloned();
    let tested = Predictions::new(about, rows.collect());
    let mut assessment = Assessment::of(&validation, Some(&tested), &manifest, &rule).expect("assesses");
    assessment.leaks = leaks.to_vec();
    assessment.on_new_patients()
}

#[test]
fn a_test_set_says_how_good_a_network_is_on_new_patients_or_warns() {
    let better = said_after(&good(), &[], None);
    assert!(better.starts_with("On 24 test scans of new patients its scan AUC was 0."), "{better}");
    let exchanged: Vec<_> = good().into_iter().map(|(covid, slices)| (covid, slices.map(|p| 1.0 - p))).collect();
    let worse = said_after(&exchanged, &[], None);
    assert!(worse.starts_with("WARNING: ") && worse.contains("worse than chance"), "{worse}");
    let few = said_after(&good()[..2], &[], None);
    assert!(few.starts_with("WARNING: on 2 test scans") && few.contains("not shown to be better than chance"), "{few}");
    assert!(said_after(&good(), &[], Some(Label::Covid)).contains("of one label"));
    assert!(said_after(&good(), &[Subset::Test], None).contains("LEAK"));
    let none = assessed(&good(), alone).on_new_patients();
    assert!(none.starts_with("WARNING: the run has no test set"), "{none}");
}
