//! All metrics compared with scikit-learn, which `reference_metrics.py` runs once.

use crate::ask_python::ask;
use covid_ct::{ClassificationReport, ConfusionMatrix, Predicted, RocCurve, Scores, Truth, average_precision};

use anyhow::{Context, Result, ensure};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

const TOLERANCE: f64 = 1e-9;
const COVID: [&str; 2] = ["covid", "non-covid"];

#[test]
fn every_figure_is_scikit_learns() -> Result<()> {
    let cases: Vec<Case> = fixed_cases().into_iter().chain((0..50).map(random_case)).collect();
    let answers = ask_scikit_learn(&cases)?;
    ensure!(answers.len() == cases.len(), "{} answers to {} cases", answers.len(), cases.len());
    for (case, answer) in cases.iter().zip(&answers) {
        case.check(answer).with_context(|| format!("case {case:?}"))?;
    }
    let texts = answers.iter().filter(|answer| all_defined(answer)).count();
    let curves = answers.iter().filter(|answer| !answer["roc"].is_null()).count();
    ensure!(texts >= 20 && curves >= 20, "only {texts} texts and {curves} ROC curves were compared");
    Ok(())
}

#[derive(Debug)]
struct Case {
    classes: Vec<&'static str>,
    truth: Vec<usize>,
    predicted: Vec<usize>,
    scores: Vec<f64>,
}

fn case<const N: usize>(classes: &[&'static str], truth: [usize; N], predicted: [usize; N], scores: [f64; N]) -> Case {
    Case { classes: classes.to_vec(), truth: truth.to_vec(), predicted: predicted.to_vec(), scores: scores.to_vec() }
}

fn fixed_cases() -> Vec<Case> {
    let long = ["COVID-19 – bestätigt und beatmet", "ohne"];
    vec![
        case(&COVID, [0, 0, 0, 1, 1], [0, 0, 1, 1, 1], [0.9, 0.8, 0.4, 0.4, 0.1]),
        // perfect, all wrong, one sample
        case(&COVID, [0, 0, 1, 1], [0, 0, 1, 1], [0.9, 0.8, 0.2, 0.1]),
        case(&COVID, [0, 0, 1, 1], [1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9]),
        case(&COVID, [0], [0], [0.7]),
        case(&COVID, [1], [0], [0.7]),
        // one true class, one predicted class, uninformative scores
        case(&COVID, [0, 0, 0], [0, 1, 0], [0.9, 0.2, 0.6]),
        case(&COVID, [0, 1, 1], [1, 1, 1], [0.5, 0.5, 0.5]),
        // 1/8 and 3/8 lie half-way between two decimals
        case(
            &COVID,
            [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1],
            [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
            [0.9, 0.1, 0.2, 0.3, 0.1, 0.2, 0.3, 0.1, 0.2, 0.3, 0.1, 0.9, 0.9, 0.8, 0.7, 0.6],
        ),
        // a class that is only predicted, one that is only true, one that does not occur
        case(&["a", "b", "c"], [0, 0, 1, 1], [0, 2, 1, 1], [0.5, 0.5, 0.4, 0.3]),
        case(&["a", "b", "c"], [0, 2, 1, 1], [0, 0, 1, 1], [0.5, 0.5, 0.4, 0.3]),
        case(&["a", "b", "c", "d"], [0, 2, 2, 0], [0, 2, 0, 0], [0.25, 0.5, -3.0, 7.0]),
        case(&long, [0, 0, 1, 1], [0, 1, 1, 1], [1.0, 0.0, 0.0, 1.0]),
    ]
}

/// 2 to 4 classes, 1 to 500 samples; often with a class missing, often with few different scores.
fn random_case(seed: u64) -> Case {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let classes = ["covid", "non-covid", "pneumonia", "other"][..random.gen_range(2..=4)].to_vec();
    let samples = random.gen_range(1..=500);
    let (true_classes, predicted_classes) = (subset(&mut random, classes.len()), subset(&mut random, classes.len()));
    let skill = random.gen_range(0.0..1.0);
    let levels = [3.0, 10.0, 1e6][random.gen_range(0..3)];
    let mut case = Case { classes, truth: vec![], predicted: vec![], scores: vec![] };
    for _ in 0..samples {
        let truth = true_classes[random.gen_range(0..true_classes.len())];
        let knows = predicted_classes.contains(&truth) && random.gen_bool(skill);
        let guess = predicted_classes[random.gen_range(0..predicted_classes.len())];
        let evidence = if truth == 0 { skill } else { 0.0 };
        let score: f64 = (random.gen_range(0.0..1.0) + evidence) / 2.0;
        case.truth.push(truth);
        case.predicted.push(if knows { truth } else { guess });
        case.scores.push((score * levels).round() / levels);
    }
    case
}

/// All classes, or three times in ten a random, never empty part of them.
fn subset(random: &mut ChaCha8Rng, classes: usize) -> Vec<usize> {
    let all: Vec<usize> = (0..classes).collect();
    if random.gen_bool(0.7) {
        return all;
    }
    let always = random.gen_range(0..classes);
    all.into_iter().filter(|&class| class == always || random.gen_bool(0.5)).collect()
}

fn ask_scikit_learn(cases: &[Case]) -> Result<Vec<Value>> {
    let questions: Vec<Value> = (cases.iter())
        .map(|case| {
            json!({
                "classes": case.classes,
                "truth": case.truth,
                "predicted": case.predicted,
                "scores": case.scores,
            })
        })
        .collect();
    Ok(serde_json::from_value(ask("reference_metrics.py", &json!(questions))?)?)
}

impl Case {
    fn check(&self, answer: &Value) -> Result<()> {
        let matrix = ConfusionMatrix::from_labels(&self.classes, &self.truth, &self.predicted)?;
        ensure!(json!(matrix.rows()) == answer["confusion_matrix"], "{matrix}");
        ensure!(serde_json::from_value::<ConfusionMatrix>(json!(matrix))? == matrix, "JSON of {matrix}");
        close("accuracy", matrix.accuracy(), &answer["accuracy"])?;
        // Where a class has no samples scikit-learn averages the others; ours is undefined.
        let all_there = (0..self.classes.len()).all(|class| self.truth.contains(&class));
        match all_there {
            true => close("balanced accuracy", matrix.balanced_accuracy(), &answer["balanced_accuracy"])?,
            false => ensure!(matrix.balanced_accuracy().is_none(), "a class is missing: {matrix}"),
        }
        close("macro F1", matrix.macro_f1(), &answer["macro"]["f1"])?;
        match matrix.matthews() {
            None => ensure!(
                same(&self.truth) || same(&self.predicted),
                "Matthews' coefficient is undefined, expected {}",
                answer["matthews"]
            ),
            defined => close("Matthews' coefficient", defined, &answer["matthews"])?,
        }
        check_binary(&matrix, answer)?;
        check_report(&matrix.report(), answer)?;
        self.check_ranking(answer)
    }

    fn check_ranking(&self, answer: &Value) -> Result<()> {
        let is_positive: Vec<bool> = self.truth.iter().map(|&class| class == 0).collect();
        let precision = average_precision(&is_positive, &self.scores).ok();
        close("average precision", precision, &answer["average_precision"])?;
        let Ok(curve) = RocCurve::new(&is_positive, &self.scores) else {
            ensure!(answer["roc"].is_null(), "no ROC curve, expected {}", answer["roc"]);
            return Ok(());
        };
        let roc = &answer["roc"];
        close("ROC AUC", Some(curve.auc()), &roc["auc"])?;
        ensure!(roc["thresholds"][0] == "inf" && curve.thresholds[0] == f64::INFINITY);
        for (name, found, first) in [
            ("thresholds", &curve.thresholds, 1),
            ("false_positive_rate", &curve.false_positive_rate, 0),
            ("true_positive_rate", &curve.true_positive_rate, 0),
        ] {
            let expected = roc[name].as_array().with_context(|| format!("no {name}"))?;
            ensure!(found.len() == expected.len(), "{name}: {found:?}, expected {expected:?}");
            for (found, expected) in found.iter().zip(expected).skip(first) {
                close(name, Some(*found), expected)?;
            }
        }
        Ok(())
    }
}

fn check_binary(matrix: &ConfusionMatrix, answer: &Value) -> Result<()> {
    let per_class = |score: &str, class: usize| match matrix.classes().len() {
        2 => answer["per_class"][score][class].clone(),
        _ => Value::Null,
    };
    close("sensitivity", matrix.sensitivity(), &per_class("recall", 0))?;
    close("specificity", matrix.specificity(), &per_class("recall", 1))?;
    close("PPV", matrix.ppv(), &per_class("precision", 0))?;
    close("NPV", matrix.npv(), &per_class("precision", 1))
}

fn check_report(report: &ClassificationReport, answer: &Value) -> Result<()> {
    close("accuracy", report.accuracy, &answer["accuracy"])?;
    let expected = &answer["per_class"];
    for (index, line) in report.classes.iter().enumerate() {
        let support = Some(line.support as f64);
        close(&format!("support of {}", line.class), support, &expected["support"][index])?;
        for (score, found) in named(&line.scores) {
            close(&format!("{score} of {}", line.class), found, &expected[score][index])?;
        }
    }
    // scikit-learn leaves an undefined class out of an average; ours is then undefined itself.
    let macro_weight = |class: usize| !expected["f1"][class].is_null();
    let weighted_weight = |class: usize| report.classes[class].support > 0;
    let averages: [(_, _, &dyn Fn(usize) -> bool); 2] =
        [("macro", &report.macro_avg, &macro_weight), ("weighted", &report.weighted_avg, &weighted_weight)];
    for (average, scores, counts) in averages {
        for (score, found) in named(scores) {
            let undefined = |class: usize| counts(class) && expected[score][class].is_null();
            let expected = match (0..report.classes.len()).any(undefined) {
                true => &Value::Null,
                false => &answer[average][score],
            };
            close(&format!("{average} average of {score}"), found, expected)?;
        }
    }
    check_text(report, answer)
}

fn check_text(report: &ClassificationReport, answer: &Value) -> Result<()> {
    ensure!(report.to_string() == report.display_with_digits(2));
    // Without one right decision scikit-learn 1.9 prints supports as "2.0".
    let comparable = all_defined(answer) && report.accuracy > Some(0.0);
    let line_lengths = |text: &str| text.lines().map(|line| line.chars().count()).collect::<Vec<_>>();
    for digits in [2, 4, 15] {
        let expected = answer["reports"][digits.to_string()].as_str().context("no report text")?;
        let found = report.display_with_digits(digits);
        let agrees = match comparable {
            true => found == expected,
            // Then only the columns' right edges are.
            false => digits > 7 || line_lengths(&found) == line_lengths(expected),
        };
        ensure!(agrees, "{digits} digits:\n{found}expected:\n{expected}");
    }
    Ok(())
}

fn named(scores: &Scores) -> [(&'static str, Option<f64>); 3] {
    [("precision", scores.precision), ("recall", scores.recall), ("f1", scores.f1)]
}

/// Whether each class has samples and was predicted.
fn all_defined(answer: &Value) -> bool {
    ["precision", "recall", "f1"]
        .iter()
        .all(|&score| answer["per_class"][score].as_array().is_some_and(|values| values.iter().all(Value::is_number)))
}

fn same(labels: &[usize]) -> bool {
    labels.windows(2).all(|pair| pair[0] == pair[1])
}

/// Equal up to the tolerance, or both undefined.
fn close(what: &str, found: Option<f64>, expected: &Value) -> Result<()> {
    let agrees = match (found, expected.as_f64()) {
        (Some(found), Some(expected)) => (found - expected).abs() <= TOLERANCE,
        (found, _) => found.is_none() && expected.is_null(),
    };
    ensure!(agrees, "{what}: found {found:?}, scikit-learn says {expected}");
    Ok(())
}

#[test]
fn truth_and_prediction_are_not_swapped() -> Result<()> {
    let mut matrix = ConfusionMatrix::new(&COVID);
    matrix.record(Truth(0), Predicted(1))?;
    assert_eq!(matrix.rows(), [[0, 1], [0, 0]]);
    assert_eq!(matrix.count(Truth(0), Predicted(1)), 1);
    assert_eq!(
        matrix.to_string(),
        "           predicted\n\
         truth      covid  non-covid\n\
         covid          0          1\n\
         non-covid      0          0\n"
    );
    Ok(())
}
