//! A run that crops to the lungs, stretches grey levels and leaves slices without lungs out, from training to judging.

use crate::chests;
use crate::support::{experiment, folder, tiny_run};
use covid_ct::{Crop, Experiment, LungsFrom, Manifest, OutOfDistribution, RunConfig, Stretch, Subset, WithoutLungs};
use image::ImageEncoder;
use std::fs;
use std::path::Path;

/// Chests of four slices a scan, of which the last becomes an abdomen; one scan of abdomens only.
fn trunks(root: &Path) -> Manifest {
    let chests = chests::data(root);
    for slice in &chests.slices {
        let scan = &chests.scan_of(slice).folder;
        if slice.file == "3.jpg" || scan == "prediction/ct_scan_1" {
            let number = slice.scan * 4 + slice.file.as_bytes()[0] as usize;
            // Organs differ from scan to scan: two levels alone would be a mask, and equal organs one patient's.
            let waves = [0.9, 1.7, 2.3].map(|step: f64| (step * number as f64).sin());
            let level = |at: usize| {
                let [x, y] = [at % 256, at / 256].map(|of| (of as f64 + 0.5) / 256.0 - 0.5);
                let inside = (x / 0.46).powi(2) + (y / 0.36).powi(2) <= 1.0;
                let organs = (20.0 * x + 9.0 * waves[0]).sin() * (24.0 * y + 9.0 * waves[1]).sin() + waves[2] * x;
                if inside { (160.0 + 35.0 * organs) as u8 } else { 10 }
            };
            let pixels: Vec<u8> = (0..256 * 256).map(level).collect();
            let mut file = fs::File::create(root.join(chests.path(slice))).expect("creates");
            let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, 95);
            encoder.write_image(&pixels, 256, 256, image::ExtendedColorType::L8).expect("encodes");
        }
    }
    Manifest::scan(root, |_| ()).expect("scans")
}

fn cropped(name: &str) -> RunConfig {
    let mut run = RunConfig { epochs: 1, ..tiny_run(name) };
    run.preprocess.size = 64;
    run.preprocess.crop = Crop::LUNGS;
    run.preprocess.stretch = Stretch::LungToTissue;
    run.preprocess.without_lungs = WithoutLungs::LeaveOut;
    run
}

#[test]
fn slices_without_lungs_take_no_part_and_new_scans_are_prepared_alike() {
    let home = folder();
    let manifest = trunks(&home.path().join("data"));
    let experiment = experiment(home.path(), &manifest, &cropped("lungs"));
    let shown = experiment.table().to_string();
    // 46 labelled scans and one unlabelled with an abdomen; of the other unlabelled one all four stay.
    assert!(shown.contains("47 slices without lungs left out"), "{shown}");
    let settings = experiment.settings().table().to_string();
    assert!(settings.contains("square around the lungs") && settings.contains("left out, except"), "{settings}");
    let history = experiment.train().expect("trains");
    let evaluation = experiment.evaluate().expect("evaluates");
    assert_eq!(history.epochs.len(), 1);
    for of in &evaluation.subsets {
        assert_eq!(of.slices.total(), 3 * of.scans.total(), "{}", of.subset);
    }
    let shown = evaluation.table().to_string();
    assert!(shown.contains("Slices without lungs left out: ") && shown.contains("22 validation"), "{shown}");

    let inference = experiment.predict().expect("predicts");
    assert_eq!(inference.scans.iter().map(|scan| scan.slices).collect::<Vec<_>>(), [3, 4], "no scan is lost");
    assert_eq!(inference.scans[0].left_out, [("without-lungs".to_owned(), 1)].into());
    assert!(inference.scans[1].left_out.is_empty() && inference.not_judged.is_empty());
    let explained = experiment.explain(Subset::Validation).expect("explains");
    assert_eq!(explained.slices.len(), 22 * 3);
    for slice in &explained.slices {
        // The lungs have 10 to 24 % of the picture, and of its square around them twice as much.
        assert!(slice.plausible && slice.lungs > 0.25 && slice.lungs_from == LungsFrom::File, "{slice:?}");
    }
    same_elsewhere(&experiment, home.path());
}

/// A scan is judged as it was predicted, and the table says what was left out.
fn same_elsewhere(experiment: &Experiment, home: &Path) {
    let known = experiment.predictions(Subset::Prediction).expect("reads");
    let new = experiment.judge(home.join("data/prediction/ct_scan_0")).expect("judges");
    let covid = |rows: &[covid_ct::SlicePrediction]| rows.iter().map(|row| row.covid).collect::<Vec<f32>>();
    assert_eq!(covid(new.predictions.rows()), covid(&known.rows()[..3]));
    assert!(new.findings().to_string().contains("1 slice without lungs left out"), "{}", new.findings());
    let labelled = experiment.validate(home.join("data/val")).expect("validates").external;
    assert_eq!((labelled.without_lungs, labelled.matrices.slices.total()), (22, 66));
    assert_eq!(labelled.incomplete.len(), 22);
    assert!(labelled.incomplete.iter().all(|of| of.judged == 3 && of.left_out["without-lungs"] == 1));
    assert!(labelled.counts().to_string().contains("22 slices without lungs left out"), "{}", labelled.counts());
    // Grey levels of slices that were prepared otherwise are no measure.
    let mut whole = cropped("whole");
    (whole.preprocess.crop, whole.preprocess.stretch) = (Crop::Whole, Stretch::AsIs);
    whole.preprocess.without_lungs = WithoutLungs::Keep;
    let whole = self::experiment(home, experiment.manifest(), &whole);
    let levels = experiment.folder().grey_levels().expect("reads");
    let error = OutOfDistribution::of(&levels, whole.cache(), &[0]).expect_err("another crop");
    assert!(format!("{error:#}").contains("Whole"), "{error:#}");
    assert!(experiment.classifier().expect("loads").predict(&whole, Subset::Validation).is_err());
}
