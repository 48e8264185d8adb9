use super::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

#[path = "../../../tests/ask_python.rs"]
mod ask_python;

/// Features in memory.
struct Dense {
    width: usize,
    values: Vec<f32>,
}

impl FeatureRows for Dense {
    fn count(&self) -> usize {
        self.values.len() / self.width
    }

    fn width(&self) -> usize {
        self.width
    }

    fn read(&self, rows: std::ops::Range<usize>, into: &mut [f32]) -> Result<()> {
        into.copy_from_slice(&self.values[rows.start * self.width..rows.end * self.width]);
        Ok(())
    }
}

/// Correlated features of different scales, none below 0 as after a ReLU, with labels that overlap; one is constant.
fn drawn(rows: usize, width: usize, noise: f64) -> (Dense, Vec<bool>, Vec<f64>) {
    let mut random = ChaCha8Rng::seed_from_u64((rows * width) as u64);
    let mut normal = || (0..6).map(|_| random.gen_range(-1.0..1.0_f64)).sum::<f64>() / 1.4;
    const HIDDEN: usize = 8;
    let loads: Vec<f64> = (0..width * HIDDEN).map(|_| normal()).collect();
    let (mut values, mut covid, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..rows {
        let hidden: Vec<f64> = (0..HIDDEN).map(|_| normal()).collect();
        for feature in 0..width {
            let common: f64 = hidden.iter().zip(&loads[feature * HIDDEN..]).map(|(h, load)| h * load).sum();
            let scale = 0.01 + 3.0 * (feature % 7) as f64;
            let value = (common + 0.5 * normal() + 1.0).max(0.0) * scale + (feature % 3) as f64;
            values.push(if feature == 3 { 2.3 } else { value as f32 });
        }
        covid.push(hidden[1] - hidden[2] + noise * normal() > 0.3);
        weights.push(0.2 + (row % 5) as f64);
    }
    (Dense { width, values }, covid, weights)
}

const EXACT: Stop = Stop { gap: 1e-13, passes: 100_000 };

#[test]
fn heads_are_scikit_learns() -> Result<()> {
    let cases = [drawn(60, 90, 1.0), drawn(400, 12, 1.0), drawn(150, 150, 0.1)];
    let penalties = [10.0, 0.1, 1e-3, 1e-5];
    let question = |(features, covid, weights): &(Dense, Vec<bool>, Vec<f64>)| {
        let rows: Vec<&[f32]> = features.values.chunks(features.width).collect();
        json!({"features": rows, "covid": covid, "weights": weights, "penalties": penalties})
    };
    let answers = ask_python::ask("reference_logistic_head.py", &cases.iter().map(question).collect())?;
    for ((features, covid, weights), answer) in cases.iter().zip(answers.as_array().context("a list")?) {
        let fit = HeadFit::new(features, covid, weights)?;
        near("mean", &fit.scale.mean, &answer["mean"], 1e-9)?;
        near("standard deviation", &fit.scale.std, &answer["std"], 1e-9)?;
        assert_eq!(fit.scale.std[3], 1.0);
        let mut start = None;
        for (&penalty, expected) in penalties.iter().zip(answer["heads"].as_array().context("a list")?) {
            let found = fit.solve(penalty, start.as_ref(), EXACT)?;
            let what = format!("{} × {}, {penalty:e}", features.count(), features.width);
            assert!(found.converged && found.steps > 0, "{what}: {found:?}");
            let standardised: Vec<f64> = found.head.weight.iter().zip(&fit.scale.std).map(|(w, std)| w * std).collect();
            near(&what, &standardised, &expected["weight"], 1e-4)?;
            near(&what, &[found.head.bias], &json!([expected["bias"]]), 1e-4)?;
            let theirs = expected["objective"].as_f64().context("an objective")?;
            assert!(found.objective <= theirs + 1e-8, "{what}: {} and {theirs}", found.objective);
            assert!(found.objective >= theirs - 1e-8, "{what}: {} is not the objective {theirs}", found.objective);
            start = Some(found.head);
        }
    }
    Ok(())
}

#[test]
fn a_warm_start_ends_where_a_cold_one_does_in_fewer_passes() -> Result<()> {
    let (features, covid, weights) = drawn(120, 40, 0.5);
    let fit = HeadFit::new(&features, &covid, &weights)?;
    let before = fit.solve(penalty_at(8), None, EXACT)?;
    let (warm, cold) = (fit.solve(penalty_at(9), Some(&before.head), EXACT)?, fit.solve(penalty_at(9), None, EXACT)?);
    assert!((warm.objective - cold.objective).abs() < 1e-12 && warm.passes < cold.passes, "{warm:?}\n{cold:?}");
    let again = fit.solve(penalty_at(9), Some(&warm.head), EXACT)?;
    assert!(again.passes <= 2 && again.converged, "{again:?}");
    let short = fit.solve(penalty_at(9), None, Stop { passes: 3, ..EXACT })?;
    assert!(!short.converged && short.passes <= 4 && short.gap > EXACT.gap, "{short:?}");
    Ok(())
}

#[test]
fn separated_classes_converge_with_a_weak_penalty() -> Result<()> {
    let features = Dense { width: 2, values: vec![0.0, 5.0, 1.0, 5.0, 10.0, 5.0, 11.0, 5.0] };
    let fit = HeadFit::new(&features, &[false, false, true, true], &[1.0; 4])?;
    let found = fit.solve(1e-8, None, EXACT)?;
    assert!(found.converged && found.objective < 1e-5, "{found:?}");
    // The constant feature has no weight, and the classes lie on both sides of their middle.
    assert!(found.head.weight[1].abs() < 1e-12 && found.head.log_odds(&[5.5, 5.0]).abs() < 1e-3, "{found:?}");
    Ok(())
}

#[test]
fn the_number_of_threads_changes_no_bit() -> Result<()> {
    let (features, covid, weights) = drawn(700, 33, 1.0);
    let with = |threads: usize| -> Result<Solution> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        pool.install(|| HeadFit::new(&features, &covid, &weights)?.solve(1e-3, None, Stop::default()))
    };
    let (one, four) = (with(1)?, with(4)?);
    assert_eq!(one, four);
    assert!(one.converged && one.gap < 1e-8);
    Ok(())
}

#[test]
fn what_cannot_be_fitted_is_named() {
    let (mut features, covid, weights) = drawn(60, 5, 1.0);
    let message = |features: &Dense, covid: &[bool], weights: &[f64]| {
        HeadFit::new(features, covid, weights).map_or_else(|error| format!("{error:#}"), |_| "a fit".into())
    };
    let one_class = message(&features, &[true; 60], &weights);
    assert!(one_class.contains("expected samples of both classes") && one_class.contains("0 non-covid"), "{one_class}");
    let unweighted: Vec<f64> = covid.iter().map(|covid| f64::from(u8::from(*covid))).collect();
    assert!(message(&features, &covid, &unweighted).contains("both classes"));
    assert!(message(&features, &covid, &weights[..9]).contains("each of 60 rows, found 60 and 9"));
    let negative: Vec<f64> = (0..60).map(|row| if row == 7 { -1.0 } else { 1.0 }).collect();
    assert!(message(&features, &covid, &negative).contains("row 7 has -1"));
    let error = |penalty, width| {
        let start = LogisticHead { weight: vec![0.0; width], bias: 0.0 };
        let fit = HeadFit::new(&features, &covid, &weights).expect("a fit");
        fit.solve(penalty, Some(&start), Stop::default()).expect_err("is refused").to_string()
    };
    assert!(error(0.0, 5).contains("expected a penalty above 0"));
    assert!(error(1.0, 4).contains("expected a start of 5 weights, found 4"));
    features.values[41 * 5 + 2] = f32::NAN;
    let no_number = message(&features, &covid, &weights);
    assert!(no_number.contains("feature 2 of row 41 is NaN"), "{no_number}");
}

/// Equal up to this part of the largest expected value.
fn near(what: &str, found: &[f64], expected: &Value, tolerance: f64) -> Result<()> {
    let expected: Vec<f64> = serde_json::from_value(expected.clone())?;
    let largest = expected.iter().fold(1e-300, |most: f64, value| most.max(value.abs()));
    ensure!(found.len() == expected.len(), "{what}: {} values, {} expected", found.len(), expected.len());
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let off = (found - expected).abs() / largest;
        ensure!(off <= tolerance, "{what}: value {index} is {found}, expected {expected}: {off:e} off");
    }
    Ok(())
}
