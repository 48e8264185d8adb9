//! All statistics compared with scikit-learn, SciPy and NumPy, which `reference_stats.py` runs once.

use crate::ask_python::ask;
use covid_ct::{Calibration, Interval, Measure, Paired, Performance, ScoredSample, Temperature, logit};

use anyhow::{Context, Result, ensure};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

const TOLERANCE: f64 = 1e-9;
const DRAWS: u32 = 4_000;

#[test]
fn every_figure_agrees() -> Result<()> {
    let performance: Vec<Case> = (0..80).map(random_case).collect();
    let calibration: Vec<Probabilities> = fixed_probabilities().into_iter().chain((0..60).map(random_odds)).collect();
    let tables = mcnemar_tables();
    let (a, b) = two_models();
    let answers = ask(
        "reference_stats.py",
        &json!({
            "performance": performance.iter().map(Case::question).collect::<Vec<_>>(),
            "mcnemar": tables,
            "calibration": calibration.iter().map(Probabilities::question).collect::<Vec<_>>(),
            "bootstrap": bootstrap_question(&a, &b),
        }),
    )?;

    let mut defined = 0;
    for (index, case) in performance.iter().enumerate() {
        defined += case.check(&answers["performance"][index]).with_context(|| format!("case {case:?}"))?;
    }
    ensure!(defined > 1_500, "only {defined} values of measures were compared");
    for (index, &[only_a, only_b]) in tables.iter().enumerate() {
        close(&format!("McNemar of {only_a}, {only_b}"), Some(mcnemar(only_a, only_b)?), &answers["mcnemar"][index])?;
    }
    let mut lines = 0;
    for (index, case) in calibration.iter().enumerate() {
        lines += case.check(&answers["calibration"][index]).with_context(|| format!("case {case:?}"))?;
    }
    ensure!(lines >= 50, "only {lines} lines were compared");
    check_bootstrap(&a, &b, &answers["bootstrap"])
}

#[derive(Debug)]
struct Case {
    samples: Vec<ScoredSample>,
    weight: Vec<u32>,
}

/// 1 to 400 samples, often of one class, often with few different scores.
fn random_case(seed: u64) -> Case {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let covid_share = [0.0, 0.1, 0.5, 0.5, 0.5, 1.0][random.gen_range(0..6)];
    let levels = [1.0, 3.0, 10.0, 1e6][random.gen_range(0..4)];
    let skill = random.gen_range(0.0..1.0);
    let count = [1, 2, 3, 5, 30, 400][random.gen_range(0..6)];
    let samples: Vec<ScoredSample> = (0..count)
        .map(|_| {
            let covid = random.gen_bool(covid_share);
            let evidence = if covid { skill } else { 0.0 };
            let score = ((random.gen_range(0.0..1.0_f64) + evidence) / 2.0 * levels).round() / levels;
            let decision = if random.gen_bool(0.8) { score >= 0.5 } else { random.gen_bool(0.5) };
            ScoredSample { covid, score, decision, patient: random.gen_range(0..10) }
        })
        .collect();
    let weight = samples.iter().map(|_| random.gen_range(0..4)).collect();
    Case { samples, weight }
}

impl Case {
    fn question(&self) -> Value {
        json!({
            "covid": self.samples.iter().map(|s| s.covid).collect::<Vec<_>>(),
            "score": self.samples.iter().map(|s| s.score).collect::<Vec<_>>(),
            "decision": self.samples.iter().map(|s| s.decision).collect::<Vec<_>>(),
            "weight": self.weight,
        })
    }

    /// How many defined values agree.
    fn check(&self, answer: &Value) -> Result<usize> {
        let mut defined = compare(&self.samples, &answer["plain"])?;
        let repeated: Vec<ScoredSample> =
            self.samples.iter().zip(&self.weight).flat_map(|(s, &times)| (0..times).map(|_| *s)).collect();
        if repeated.is_empty() {
            ensure!(answer["repeated"].is_null() && Performance::of(&repeated, 0, 0).is_err());
        } else {
            defined += compare(&repeated, &answer["repeated"]).context("repeated")?;
            defined += compare(&repeated, &answer["weighted"]).context("weighted")?;
        }
        Ok(defined)
    }
}

fn compare(samples: &[ScoredSample], expected: &Value) -> Result<usize> {
    let performance = Performance::of(samples, 0, 0)?;
    let mut defined = 0;
    for (measure, expected) in Measure::ALL.iter().zip(expected.as_array().context("no values")?) {
        let value = performance.get(*measure).value;
        close(measure.name(), value, expected)?;
        defined += usize::from(value.is_some());
    }
    Ok(defined)
}

fn mcnemar_tables() -> Vec<[usize; 2]> {
    let small = (0..=12).flat_map(|a| (0..=12).map(move |b| [a, b]));
    let large = [[0, 40], [17, 3], [60, 90], [481, 519], [1_200, 1_000], [20_300, 20_000], [30_000, 11_000]];
    small.chain(large).collect()
}

fn mcnemar(only_a: usize, only_b: usize) -> Result<f64> {
    let sample = |decision| ScoredSample { covid: true, score: 0.5, decision, patient: 0 };
    let mut a = vec![sample(true); only_a + 1];
    let mut b = vec![sample(false); only_a];
    b.push(sample(true));
    a.extend(vec![sample(false); only_b]);
    b.extend(vec![sample(true); only_b]);
    let mcnemar = Paired::of(&a, &b, 0, 0)?.mcnemar;
    ensure!((mcnemar.both, mcnemar.only_a, mcnemar.only_b) == (1, only_a as u64, only_b as u64), "{mcnemar:?}");
    Ok(mcnemar.p)
}

#[derive(Debug)]
struct Probabilities {
    covid: Vec<bool>,
    probability: Vec<f64>,
    bins: usize,
}

fn fixed_probabilities() -> Vec<Probabilities> {
    let case = |covid: &[bool], probability: &[f64], bins| Probabilities {
        covid: covid.to_vec(),
        probability: probability.to_vec(),
        bins,
    };
    let tenths: Vec<f64> = (0..=20).map(|i| f64::from(i) / 20.0).collect();
    let every_third: Vec<bool> = (0..=20).map(|i| i % 3 == 0 || i > 17).collect();
    vec![
        case(&every_third, &tenths, 10),
        case(&every_third, &tenths, 7),
        case(&every_third, &tenths, 1),
        case(&every_third[..13], &(0..=12).map(|i| f64::from(i) / 12.0).collect::<Vec<_>>(), 12),
        // One sample, one class, one probability, certain and wrong, all right, all wrong.
        case(&[true], &[0.3], 10),
        case(&[false; 3], &[0.3, 0.0, 0.9], 10),
        case(&[true; 3], &[1.0, 1.0, 0.9], 10),
        case(&[true, false, false], &[0.3; 3], 10),
        case(&[true, false, false], &[0.5; 3], 10),
        case(&[true, false, true, false], &[1.0, 0.0, 0.0, 1.0], 10),
        case(&[true, true, false, false], &[0.9, 0.8, 0.2, 0.1], 5),
        case(&[true, true, false, false], &[0.1, 0.2, 0.8, 0.9], 5),
    ]
}

/// Log odds bent by a slope and an offset, rounded to ties or to certainty.
fn random_odds(seed: u64) -> Probabilities {
    let mut random = ChaCha8Rng::seed_from_u64(1_000 + seed);
    let count = [20, 60, 300, 3_000][random.gen_range(0..4)];
    let (slope, offset) = (random.gen_range(-0.3..3.0_f64), random.gen_range(-2.0..2.0_f64));
    let levels = [10.0, 100.0, 1e9][random.gen_range(0..3)];
    let (covid, probability) = (0..count)
        .map(|_| {
            let odds = random.gen_range(-3.0..3.0_f64);
            let covid = random.gen_bool(1.0 / (1.0 + (-odds).exp()));
            let said: f64 = 1.0 / (1.0 + (-(slope * odds + offset)).exp());
            (covid, (said * levels).round() / levels)
        })
        .unzip();
    Probabilities { covid, probability, bins: [10, 10, 15, 3][random.gen_range(0..4)] }
}

impl Probabilities {
    fn question(&self) -> Value {
        json!({"covid": self.covid, "probability": self.probability, "bins": self.bins})
    }

    /// 1 where there was a line to compare, 0 otherwise.
    fn check(&self, answer: &Value) -> Result<usize> {
        let calibration = Calibration::of(&self.covid, &self.probability, self.bins)?;
        let full: Vec<_> = calibration.bins.iter().filter(|bin| bin.count > 0).collect();
        ensure!(
            calibration.bins.len() == self.bins && json!(full.len()) == answer["count"].as_array().map_or(0, Vec::len)
        );
        for (index, bin) in full.iter().enumerate() {
            close("count", Some(bin.count as f64), &answer["count"][index])?;
            close("predicted", bin.predicted, &answer["predicted"][index])?;
            close("observed", bin.observed, &answer["observed"][index])?;
            close("low", bin.interval.map(|i| i.low), &answer["intervals"][index][0])?;
            close("high", bin.interval.map(|i| i.high), &answer["intervals"][index][1])?;
        }
        close("ECE", Some(calibration.expected_error), &answer["expected_error"])?;
        close("MCE", Some(calibration.maximum_error), &answer["maximum_error"])?;
        close("Brier score", Some(calibration.brier), &answer["brier"])?;
        close("in the large", calibration.in_the_large, &answer["in_the_large"])?;
        self.check_temperature(&answer["temperature"])?;
        let Some(line) = calibration.line else {
            ensure!(answer["line"].is_null(), "no line, expected {}", answer["line"]);
            return Ok(0);
        };
        ensure!(
            answer["line"]["last_step"].as_f64().is_some_and(|step| step < 1e-11),
            "SciPy did not converge: {}",
            answer["line"]
        );
        close("slope", Some(line.slope), &answer["line"]["slope"])?;
        close("intercept", Some(line.intercept), &answer["line"]["intercept"])?;
        Ok(1)
    }

    fn check_temperature(&self, answer: &Value) -> Result<()> {
        let logits: Vec<f64> = self.probability.iter().map(|&p| logit(p)).collect();
        let temperature = Temperature::fit(&self.covid, &logits)?;
        close("temperature", Some(temperature.value), &answer["value"])?;
        ensure!(json!(temperature.at_bound) == answer["at_bound"], "{temperature:?}");
        close("loss before", Some(temperature.before), &answer["before"])?;
        close("loss after", Some(temperature.after), &answer["after"])?;
        let least = answer["least"].as_f64().context("no least loss")?;
        ensure!(temperature.after <= least + 1e-12, "{temperature:?}, but SciPy found {least}");
        Ok(())
    }
}

/// 24 patients with 4 slices each, mostly of one label; b is the better model.
fn two_models() -> (Vec<ScoredSample>, Vec<ScoredSample>) {
    let mut random = ChaCha8Rng::seed_from_u64(77);
    let mut judged = |covid: bool, patient: u32, noise: f64| {
        let score = (if covid { 0.65 } else { 0.35 } + noise + random.gen_range(-0.3..0.3_f64)).clamp(0.0, 1.0);
        let score = (score * 20.0).round() / 20.0;
        ScoredSample { covid, score, decision: score >= 0.5, patient }
    };
    let samples = (0..96_u32).map(|i| (i % 8 < 4, i / 4));
    samples
        .map(|(covid, patient)| {
            let noise = f64::from(patient * 7 % 11) / 20.0 - 0.25;
            (judged(covid, patient, noise), judged(covid, patient, noise / 2.0))
        })
        .unzip()
}

fn bootstrap_question(a: &[ScoredSample], b: &[ScoredSample]) -> Value {
    json!({
        "covid": a.iter().map(|s| s.covid).collect::<Vec<_>>(),
        "patient": a.iter().map(|s| s.patient).collect::<Vec<_>>(),
        "score_a": a.iter().map(|s| s.score).collect::<Vec<_>>(),
        "score_b": b.iter().map(|s| s.score).collect::<Vec<_>>(),
        "decision_a": a.iter().map(|s| s.decision).collect::<Vec<_>>(),
        "decision_b": b.iter().map(|s| s.decision).collect::<Vec<_>>(),
        "draws": DRAWS,
    })
}

fn check_bootstrap(a: &[ScoredSample], b: &[ScoredSample], answer: &Value) -> Result<()> {
    let (performance, paired) = (Performance::of(a, DRAWS, 4)?, Paired::of(a, b, DRAWS, 4)?);
    for (index, measure) in Measure::ALL.into_iter().enumerate() {
        let estimate = performance.get(measure);
        within(measure.name(), estimate.interval, &answer["a"][index])?;
        let difference = paired.get(measure);
        within(&format!("difference of {}", measure.name()), difference.interval, &answer["difference"][index])?;
        let of_b = Performance::of(b, 0, 4)?.get(measure).value;
        ensure!((difference.a, difference.b) == (estimate.value, of_b), "{difference:?}");
    }
    Ok(())
}

fn within(what: &str, found: Option<Interval>, bounds: &Value) -> Result<()> {
    let interval = found.with_context(|| format!("no interval of {what}"))?;
    let bounds: Vec<f64> = serde_json::from_value(bounds.clone())?;
    let between = |value: f64, low: f64, high: f64| low - TOLERANCE <= value && value <= high + TOLERANCE;
    ensure!(
        between(interval.low, bounds[0], bounds[1]) && between(interval.high, bounds[2], bounds[3]),
        "{what}: found {interval:?}, NumPy's bounds lie in {bounds:?}"
    );
    ensure!(bounds[1] < bounds[2], "{what}: {bounds:?} says nothing");
    Ok(())
}

/// Equal up to the tolerance, relative above 1, or both undefined.
fn close(what: &str, found: Option<f64>, expected: &Value) -> Result<()> {
    let agrees = match (found, expected.as_f64()) {
        (Some(found), Some(expected)) => (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0),
        (found, _) => found.is_none() && expected.is_null(),
    };
    ensure!(agrees, "{what}: found {found:?}, the reference says {expected}");
    Ok(())
}
