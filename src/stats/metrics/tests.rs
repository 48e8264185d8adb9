use super::*;

const CLASSES: [&str; 2] = ["covid", "non-covid"];

pub(super) fn matrix(counts: [[u64; 2]; 2]) -> ConfusionMatrix {
    ConfusionMatrix { classes: CLASSES.map(String::from).to_vec(), counts: counts.map(Vec::from).to_vec() }
}

#[test]
fn hand_computed() {
    let matrix = matrix([[6, 2], [1, 3]]);
    assert_eq!((matrix.total(), matrix.correct()), (12, 9));
    assert_eq!(matrix.accuracy(), Some(0.75));
    assert_eq!(matrix.sensitivity(), Some(0.75));
    assert_eq!(matrix.specificity(), Some(0.75));
    assert_eq!(matrix.ppv(), Some(6.0 / 7.0));
    assert_eq!(matrix.npv(), Some(0.6));
    assert_eq!(matrix.balanced_accuracy(), Some(0.75));
    // c·s - Σtp = 108 - (8·7 + 4·5) = 32; s² - Σp² = 144 - 74 = 70; s² - Σt² = 144 - 80 = 64
    assert_eq!(matrix.matthews(), Some(32.0 / (70.0_f64 * 64.0).sqrt()));
    assert_eq!(matrix.macro_f1(), Some((12.0 / 15.0 + 6.0 / 9.0) / 2.0));
}

#[test]
fn perfect_and_all_wrong() {
    let perfect = matrix([[4, 0], [0, 5]]);
    assert_eq!((perfect.accuracy(), perfect.matthews()), (Some(1.0), Some(1.0)));
    let wrong = matrix([[0, 4], [5, 0]]);
    assert_eq!((wrong.accuracy(), wrong.matthews()), (Some(0.0), Some(-1.0)));
    assert_eq!((wrong.macro_f1(), wrong.ppv()), (Some(0.0), Some(0.0)));
}

#[test]
fn without_samples_nothing_is_defined() {
    let empty = ConfusionMatrix::new(&CLASSES);
    let scores = [empty.accuracy(), empty.balanced_accuracy(), empty.matthews(), empty.macro_f1()];
    assert_eq!(scores, [None; 4]);
    let scores = [empty.sensitivity(), empty.specificity(), empty.ppv(), empty.npv()];
    assert_eq!(scores, [None; 4]);
    assert_eq!(empty.report().to_string().matches('–').count(), 13);
    assert_eq!(ConfusionMatrix::new(&[]).report().accuracy, None);
}

#[test]
fn errors_name_what_was_expected_and_found() {
    let message = |truth: &[usize], predicted: &[usize]| {
        ConfusionMatrix::from_labels(&CLASSES, truth, predicted).map_err(|error| format!("{error:#}"))
    };
    assert_eq!(message(&[0, 1], &[0]), Err("counting decisions: 2 true labels but 1 predicted ones".into()));
    assert_eq!(
        message(&[0, 1], &[0, 2]),
        Err("counting the decision on sample 1: truth 1 and prediction 2: expected both below 2, \
             the number of classes (covid, non-covid)"
            .into())
    );
}

#[test]
fn json_keeps_the_matrix_and_refuses_a_bad_shape() -> Result<()> {
    let matrix = matrix([[6, 2], [1, 3]]);
    let json = serde_json::to_string(&matrix)?;
    assert_eq!(json, r#"{"classes":["covid","non-covid"],"counts":[[6,2],[1,3]]}"#);
    assert_eq!(serde_json::from_str::<ConfusionMatrix>(&json)?, matrix);
    let ragged = serde_json::from_str::<ConfusionMatrix>(r#"{"classes":["a"],"counts":[[1,2]]}"#);
    assert!(ragged.is_err_and(|error| { error.to_string().contains("expected rows of lengths [1], found [2]") }));
    Ok(())
}
