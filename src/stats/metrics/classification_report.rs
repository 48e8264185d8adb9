//! Precision, recall and F1, class by class and on average.

use crate::base::escape::visible;
use std::fmt;

use serde::{Deserialize, Serialize};

/// scikit-learn's `classification_report`: the figures, and through `Display` its text, with two decimals.
///
/// With `TP`, `FP` and `FN` counted for each class against all the others (`precision_recall_fscore_support`):
///
/// | figure | formula | `None` when |
/// |---|---|---|
/// | precision | `TP / (TP + FP)` | the class is never predicted |
/// | recall | `TP / (TP + FN)` | the class has no samples |
/// | F1 | `2 TP / (2 TP + FP + FN)` | neither samples nor predictions |
///
/// That is where scikit-learn gives NaN with `zero_division=numpy.nan`, and 0 and a warning by default. The macro
/// average is the plain mean over the classes that have samples or predictions, the weighted average is weighted by
/// support. An average is `None` when the figure of any class that it includes is undefined: scikit-learn would use 0,
/// or leave the class out with `numpy.nan`, and both bias the average. The weighted recall is therefore the accuracy,
/// and precision has no averages when a class was never predicted. A class that does not occur at all has a line of –
/// here; scikit-learn leaves it out unless `labels` names it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassificationReport {
    /// One entry for each class, in the order of the matrix.
    pub classes: Vec<ClassScores>,
    /// Right decisions / samples.
    pub accuracy: Option<f64>,
    /// The plain mean over the classes.
    pub macro_avg: Scores,
    /// The mean over the classes, weighted by support.
    pub weighted_avg: Scores,
    /// The number of samples.
    pub support: u64,
}

/// One line of a [`ClassificationReport`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// The name of the class.
    pub class: String,
    /// Its figures.
    pub scores: Scores,
    /// The number of samples that truly are of this class.
    pub support: u64,
}

/// Precision, recall and F1, each in 0..=1 or undefined; formulas at [`ClassificationReport`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// The share of the predictions of a class that are right.
    pub precision: Option<f64>,
    /// The share of the samples of a class that are found.
    pub recall: Option<f64>,
    /// The harmonic mean of the two; 0, not undefined, where only one of them is undefined.
    pub f1: Option<f64>,
}

impl Scores {
    pub(super) fn average(classes: &[ClassScores], weight: impl Fn(&ClassScores) -> u64) -> Self {
        let average = |score: &dyn Fn(&Scores) -> Option<f64>| {
            let (mut sum, mut weights) = (0.0, 0);
            for class in classes.iter().filter(|class| weight(class) > 0) {
                sum += score(&class.scores)? * weight(class) as f64;
                weights += weight(class);
            }
            (weights > 0).then(|| sum / weights as f64)
        };
        Self {
            precision: average(&|scores| scores.precision),
            recall: average(&|scores| scores.recall),
            f1: average(&|scores| scores.f1),
        }
    }
}

impl ClassificationReport {
    /// The text of `classification_report(…, digits=digits)`, byte for byte where all figures are
    /// defined; an undefined one is a –. (Without a single right decision scikit-learn 1.9 writes
    /// supports as `2.0`; here they stay whole.)
    pub fn display_with_digits(&self, digits: usize) -> String {
        let classes: Vec<String> = self.classes.iter().map(|line| visible(&line.class)).collect();
        let names = classes.iter().map(|name| name.chars().count());
        let width = names.chain(["weighted avg".len(), digits]).max().unwrap_or(0);
        let show = |score: Option<f64>| score.map_or("–".into(), |score| format!("{score:.digits$}"));
        let line = |name: &str, scores: &Scores, support: u64| {
            let [precision, recall, f1] = [scores.precision, scores.recall, scores.f1].map(show);
            format!("{name:>width$}  {precision:>9} {recall:>9} {f1:>9} {support:>9}\n")
        };
        let mut text = format!("{:width$}  precision    recall  f1-score   support\n\n", "");
        for (name, class) in classes.iter().zip(&self.classes) {
            text += &line(name, &class.scores, class.support);
        }
        let accuracy = show(self.accuracy);
        text += &format!("\n{:>width$}  {:19} {accuracy:>9} {:>9}\n", "accuracy", "", self.support);
        text += &line("macro avg", &self.macro_avg, self.support);
        text += &line("weighted avg", &self.weighted_avg, self.support);
        text
    }
}

impl fmt::Display for ClassificationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.display_with_digits(2))
    }
}

#[cfg(test)]
mod tests {
    use crate::base::errors::Result;

    use super::super::ConfusionMatrix;
    use super::super::tests::matrix;
    use super::*;

    #[test]
    fn a_class_never_predicted_leaves_precision_without_averages() {
        let report = matrix([[0, 4], [0, 6]]).report();
        assert_eq!(report.classes[0].scores, Scores { precision: None, recall: Some(0.0), f1: Some(0.0) });
        assert_eq!((report.macro_avg.precision, report.weighted_avg.precision), (None, None));
        assert_eq!((report.macro_avg.recall, report.macro_avg.f1), (Some(0.5), Some(0.375)));
    }

    #[test]
    fn a_name_of_a_class_stays_on_its_line() {
        let matrix = ConfusionMatrix::new(&["a\n\u{1b}", "b"]);
        for text in [matrix.to_string(), matrix.report().to_string()] {
            assert!(text.contains(r"a\n\u{1b}") && !text.contains('\u{1b}'), "{text}");
        }
        assert_eq!(matrix.to_string().lines().count(), 4);
    }

    #[test]
    fn a_class_that_does_not_occur_is_left_out_of_averages() -> Result<()> {
        let matrix = ConfusionMatrix::from_labels(&["a", "b", "c"], &[0, 1, 1, 1], &[0, 1, 1, 0])?;
        let report = matrix.report();
        assert_eq!(report.classes[2].scores, Scores { precision: None, recall: None, f1: None });
        assert_eq!((report.macro_avg.precision, report.weighted_avg.precision), (Some(0.75), Some(0.875)));
        assert_eq!(matrix.sensitivity(), None);
        Ok(())
    }

    #[test]
    fn one_true_class_leaves_ratios_undefined() {
        let matrix = matrix([[3, 1], [0, 0]]);
        assert_eq!((matrix.sensitivity(), matrix.specificity()), (Some(0.75), None));
        assert_eq!((matrix.ppv(), matrix.npv()), (Some(1.0), Some(0.0)));
        assert_eq!((matrix.balanced_accuracy(), matrix.matthews()), (None, None));
        let report = matrix.report();
        assert_eq!((report.macro_avg.recall, report.weighted_avg.recall), (None, Some(0.75)));
        assert_eq!(
            report.to_string(),
            "              precision    recall  f1-score   support\n\n\
             \x20      covid       1.00      0.75      0.86         4\n\
             \x20  non-covid       0.00         –      0.00         0\n\n\
             \x20   accuracy                           0.75         4\n\
             \x20  macro avg       0.50         –      0.43         4\n\
             weighted avg       1.00      0.75      0.86         4\n"
        );
    }
}
