//! Scans with planted cues.

use super::*;
use rand::Rng;

/// Two scans each of `count` patients, half of them covid, with uninformative cues.
fn scans(count: u32, seed: u64) -> Vec<CueRow> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let scan = |i: u32| {
        let mut noise = |from: f64, to: f64| from + (to - from) * rng.r#gen::<f64>();
        let (bytes, side, mean) = (noise(2e4, 9e4), noise(300.0, 700.0).round(), noise(60.0, 130.0));
        let (black, border, slices) = (noise(0.1, 0.5), noise(0.0, 80.0), noise(1.0, 40.0).round());
        let cues = Cues { bytes, width: side, height: side, colour: i.is_multiple_of(3), mean, black, border, slices };
        CueRow { cues, covid: (i / 2).is_multiple_of(2), patient: i / 2 }
    };
    (0..2 * count).map(scan).collect()
}

fn row<'a>(probe: &'a Probe, name: &str) -> &'a ProbeRow {
    probe.rows.iter().find(|row| row.name == name).expect("a row of this name")
}

fn area(row: &ProbeRow) -> f64 {
    row.auc.value.expect("scans of both classes")
}

#[test]
fn a_planted_shortcut_is_found() {
    let mut rows = scans(100, 1);
    rows.iter_mut().filter(|row| row.covid).for_each(|row| row.cues.bytes -= 5e4);
    let probe = Probe::run(&rows, 5, 7).expect("runs");
    for name in ["all", "bytes"] {
        let row = row(&probe, name);
        let (auc, interval) = (area(row), row.auc.interval.expect("an interval"));
        assert!(auc > 0.9 && interval.low > 0.85 && interval.low <= auc && auc <= interval.high, "{row:?}");
    }
    assert!(area(row(&probe, "mean")) < 0.62);
    assert_eq!(probe.rows.len(), 1 + Cues::NAMES.len());
}

#[test]
fn a_cue_whose_middle_values_predict_covid_is_found_by_its_quintiles() {
    let mut rows = scans(150, 2);
    for (i, row) in rows.iter_mut().enumerate() {
        let side = if i % 4 < 2 { 30.0 } else { -30.0 };
        row.cues.mean = if row.covid { 95.0 } else { 95.0 + side * if i % 8 < 4 { 1.0 } else { -1.0 } };
        row.cues.mean += (i % 5) as f64;
    }
    let probe = Probe::run(&rows, 5, 7).expect("runs");
    assert!(area(row(&probe, "all")) > 0.9 && area(row(&probe, "mean")) < 0.6, "{:?}", probe.rows);
}

#[test]
fn uninformative_cues_give_one_half() {
    for seed in 0..4 {
        let probe = Probe::run(&scans(200, 10 + seed), 5, seed).expect("runs");
        assert!((area(row(&probe, "all")) - 0.5).abs() < 0.1, "{:?}", probe.rows);
    }
}

#[test]
fn the_area_equals_the_one_counted_by_hand() {
    let row = |covid, bytes, patient| {
        let cues =
            Cues { bytes, width: 1.0, height: 1.0, colour: false, mean: 1.0, black: 0.0, border: 0.0, slices: 1.0 };
        CueRow { cues, covid, patient }
    };
    // Covid 8, 4; other 4, 1: of four pairs three are won and one is a draw. Turned over for the other direction.
    for sign in [1.0, -1.0] {
        let rows = [row(true, 8.0, 0), row(true, 4.0, 1), row(false, 4.0, 2), row(false, 1.0, 3)];
        let rows = rows.map(|r| CueRow { cues: Cues { bytes: sign * r.cues.bytes, ..r.cues }, ..r });
        let area = alone(&rows, |row| row.cues.bytes).expect("an area");
        assert_eq!(area.value, Some(3.5 / 4.0));
        // A cue of one value only ties every pair; 0 has no sign.
        assert_eq!(alone(&rows, |row| sign * 0.0 * row.cues.width).expect("an area").value, Some(0.5));
    }
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let rows = scans(60, 3);
    let run = |seed| Probe::run(&rows, 4, seed).expect("runs");
    let bits = |probe: &Probe| probe.covid_probability.iter().map(|p| p.to_bits()).collect::<Vec<_>>();
    let (a, b, c) = (run(5), run(5), run(6));
    assert_eq!((&a, bits(&a)), (&b, bits(&b)));
    assert_ne!(bits(&a), bits(&c));
}

#[test]
fn patients_stay_together_and_folds_are_even() {
    let rows = scans(50, 4);
    let fold_of = patient_folds(&rows, &patients(&rows), 5, &mut ChaCha8Rng::seed_from_u64(1));
    for fold in 0..5 {
        let of_fold = || (0..rows.len()).filter(|&i| fold_of[i] == fold);
        assert_eq!((of_fold().count(), of_fold().filter(|&i| rows[i].covid).count()), (20, 10));
        assert!(of_fold().all(|i| fold_of[i ^ 1] == fold));
    }
}

#[test]
fn errors_name_what_was_expected_and_found() {
    let message = |rows: &[CueRow], folds| Probe::run(rows, folds, 1).map_or_else(|e| e.to_string(), |_| "runs".into());
    let mut rows = scans(4, 5);
    assert_eq!(
        message(&rows, 5),
        "shortcut probe: expected 2 folds or more and a patient for each, found 5 folds and 4 patients"
    );
    assert_eq!(message(&rows, 4), "runs");
    assert!(message(&rows, 1).contains("found 1 folds"));
    assert_eq!(
        message(&rows[..2], 2),
        "shortcut probe: expected scans of both classes, found 2 covid and 0 non-covid ones"
    );
    assert!(message(&rows[..4], 2).contains("take fewer folds"));
    assert!(message(&[], 2).contains("found 0 covid and 0 non-covid"));
    rows[3].cues.border = f64::NAN;
    assert_eq!(message(&rows, 2), "shortcut probe: expected finite cues, found border = NaN in row 3 (patient 1)");
}
