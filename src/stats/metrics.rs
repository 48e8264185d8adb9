//! Metrics of decisions: [`ConfusionMatrix`] and [`ClassificationReport`]; of probabilities: [`RocCurve`] and
//! [`average_precision`]; with confidence intervals over patients: [`Performance`] and [`Paired`].
//!
//! Formulas and text layout are scikit-learn's; `tests/metrics.rs` compares every figure with it. One difference: an
//! undefined ratio (0/0) is `None`, shown as –, never 0 or NaN.

use std::fmt;

use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::escape::visible;
use crate::base::table::shown_as_text;
use serde::{Deserialize, Serialize};

mod auc_by_source;
mod bootstrap;
mod classification_report;
mod measure;
mod paired_difference;
mod performance;
mod roc_curve;
mod score_interval;
#[cfg(test)]
mod tests;

pub(crate) use auc_by_source::source_mean_auc;
pub use bootstrap::Interval;
pub(crate) use bootstrap::{BOUNDS, DRAWS, draw, percentile};
pub use classification_report::{ClassScores, ClassificationReport, Scores};
pub use measure::Measure;
pub use paired_difference::{Difference, McNemar, Paired, holm};
pub use performance::{Estimate, Performance, ScoredSample};
pub use roc_curve::{RocCurve, average_precision};
#[cfg(test)]
pub(crate) use score_interval::Z;
pub(crate) use score_interval::wilson;

shown_as_text!(ConfusionMatrix, ClassificationReport);

/// The true class of a sample: a row of a [`ConfusionMatrix`], counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truth(pub usize);

/// The predicted class of a sample: a column of a [`ConfusionMatrix`], counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Predicted(pub usize);

/// Counts of decisions, `C × C` for `C` classes: rows are the truth, columns the predictions, both in
/// the order of [`classes`](Self::classes).
///
/// With two classes the first is the positive one ("covid"), so the matrix reads `[[TP, FN], [FP, TN]]`.
///
/// ```
/// use covid_ct::{ConfusionMatrix, Predicted, Truth};
///
/// let truth = [0, 0, 0, 1, 1];
/// let predicted = [0, 0, 1, 1, 1];
/// let matrix = ConfusionMatrix::from_labels(&["covid", "non-covid"], &truth, &predicted)?;
///
/// assert_eq!(matrix.count(Truth(0), Predicted(1)), 1); // one covid slice was missed
/// assert_eq!(matrix.rows(), [[2, 1], [0, 2]]);
/// assert_eq!(matrix.accuracy(), Some(4.0 / 5.0));
/// assert_eq!(matrix.sensitivity(), Some(2.0 / 3.0));
/// assert_eq!(
///     matrix.to_string(),
///     "           predicted\n\
///      truth      covid  non-covid\n\
///      covid          2          1\n\
///      non-covid      0          2\n"
/// );
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct ConfusionMatrix {
    classes: Vec<String>,
    counts: Vec<Vec<u64>>,
}

/// A matrix as read from a file, before its shape is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    classes: Vec<String>,
    counts: Vec<Vec<u64>>,
}

impl TryFrom<Unchecked> for ConfusionMatrix {
    type Error = crate::base::errors::Error;

    fn try_from(Unchecked { classes, counts }: Unchecked) -> Result<Self> {
        let expected = vec![classes.len(); classes.len()];
        let found: Vec<usize> = counts.iter().map(Vec::len).collect();
        ensure!(
            found == expected,
            "confusion matrix of {} classes: expected rows of lengths {expected:?}, found {found:?}",
            classes.len()
        );
        Ok(Self { classes, counts })
    }
}

impl ConfusionMatrix {
    /// A matrix of zeros.
    pub fn new(classes: &[&str]) -> Self {
        Self {
            classes: classes.iter().map(ToString::to_string).collect(),
            counts: vec![vec![0; classes.len()]; classes.len()],
        }
    }

    /// Counts whole lists: `truth[i]` and `predicted[i]` are the classes of sample `i`, counted from 0.
    ///
    /// # Errors
    /// When the lists differ in length, or a class is out of range; the message names both.
    pub fn from_labels(classes: &[&str], truth: &[usize], predicted: &[usize]) -> Result<Self> {
        ensure!(
            truth.len() == predicted.len(),
            "counting decisions: {} true labels but {} predicted ones",
            truth.len(),
            predicted.len()
        );
        let mut matrix = Self::new(classes);
        for (sample, (&truth, &predicted)) in truth.iter().zip(predicted).enumerate() {
            matrix
                .record(Truth(truth), Predicted(predicted))
                .with_context(|| format!("counting the decision on sample {sample}"))?;
        }
        Ok(matrix)
    }

    /// Counts one more decision.
    ///
    /// # Errors
    /// When a class is out of range; the matrix is then unchanged.
    pub fn record(&mut self, truth: Truth, predicted: Predicted) -> Result<()> {
        match self.counts.get_mut(truth.0).and_then(|row| row.get_mut(predicted.0)) {
            Some(count) => *count += 1,
            None => bail!(
                "truth {} and prediction {}: expected both below {}, the number of classes ({})",
                truth.0,
                predicted.0,
                self.classes.len(),
                self.classes.join(", ")
            ),
        }
        Ok(())
    }

    /// The names of the classes, in the order of rows and columns.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// How many samples of class `truth` were taken for class `predicted`; 0 for a class that is not there.
    pub fn count(&self, truth: Truth, predicted: Predicted) -> u64 {
        self.counts.get(truth.0).and_then(|row| row.get(predicted.0)).copied().unwrap_or(0)
    }

    /// The counts, one row for each true class.
    pub fn rows(&self) -> &[Vec<u64>] {
        &self.counts
    }

    /// The number of samples.
    pub fn total(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// The number of right decisions: the diagonal.
    pub fn correct(&self) -> u64 {
        self.class_indices().map(|class| self.hits(class)).sum()
    }

    /// `correct / total`, in 0..=1 (`accuracy_score`); `None` without samples.
    pub fn accuracy(&self) -> Option<f64> {
        ratio(self.correct(), self.total())
    }

    /// The mean recall of the classes, in 0..=1 (`balanced_accuracy_score`); `None` where a class has no samples, as in
    /// [`Measure::BalancedAccuracy`] (scikit-learn then takes the mean of those that have some): the recall of a single
    /// class is not a balanced accuracy.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        let recalls: Option<Vec<f64>> = self.class_indices().map(|class| self.scores(class).recall).collect();
        let recalls = recalls.filter(|of| !of.is_empty())?;
        Some(recalls.iter().sum::<f64>() / recalls.len() as f64)
    }

    /// Matthews' correlation coefficient for any number of classes, in -1..=1 (`matthews_corrcoef`;
    /// Gorodkin 2004, R_K): `(c·s - Σ tₖpₖ) / √((s² - Σ pₖ²)(s² - Σ tₖ²))`, with `c` right decisions
    /// among `s` samples, `tₖ` samples of class `k` and `pₖ` predictions of it.
    ///
    /// `None` when all samples are of one class or all predictions are (scikit-learn says 0).
    pub fn matthews(&self) -> Option<f64> {
        let (correct, total) = (i128::from(self.correct()), i128::from(self.total()));
        let (mut joint, mut of_truth, mut of_predictions) = (correct * total, total.pow(2), total.pow(2));
        for class in self.class_indices() {
            let support = i128::from(self.support(class));
            let predictions = i128::from(self.predictions(class));
            joint -= support * predictions;
            of_truth -= support.pow(2);
            of_predictions -= predictions.pow(2);
        }
        let defined = of_truth > 0 && of_predictions > 0;
        defined.then(|| joint as f64 / (of_truth as f64 * of_predictions as f64).sqrt())
    }

    /// The mean F1 of the classes that occur in truth or predictions, in 0..=1
    /// (`f1_score(average="macro")`); `None` without samples.
    pub fn macro_f1(&self) -> Option<f64> {
        self.report().macro_avg.f1
    }

    /// `TP / (TP + FN)`, positive = class 0: the share of covid that is found. `None` without positive
    /// samples, or when there are not exactly two classes.
    pub fn sensitivity(&self) -> Option<f64> {
        self.binary(0)?.recall
    }

    /// `TN / (TN + FP)`, positive = class 0: the share of non-covid that is left alone. `None` without
    /// negative samples, or when there are not exactly two classes.
    pub fn specificity(&self) -> Option<f64> {
        self.binary(1)?.recall
    }

    /// Positive predictive value, `TP / (TP + FP)`, positive = class 0. It holds only for the share of
    /// positives in these samples. `None` without positive predictions, or when there are not exactly
    /// two classes.
    pub fn ppv(&self) -> Option<f64> {
        self.binary(0)?.precision
    }

    /// Negative predictive value, `TN / (TN + FN)`, positive = class 0. It holds only for the share of
    /// positives in these samples. `None` without negative predictions, or when there are not exactly
    /// two classes.
    pub fn npv(&self) -> Option<f64> {
        self.binary(1)?.precision
    }

    /// Precision, recall and F1 of each class, and their averages.
    pub fn report(&self) -> ClassificationReport {
        let classes: Vec<ClassScores> = (self.classes.iter().enumerate())
            .map(|(index, class)| ClassScores {
                class: class.clone(),
                scores: self.scores(index),
                support: self.support(index),
            })
            .collect();
        // F1 is undefined only for a class that occurs neither in truth nor in predictions.
        let occurs = |class: &ClassScores| u64::from(class.scores.f1.is_some());
        ClassificationReport {
            accuracy: self.accuracy(),
            macro_avg: Scores::average(&classes, occurs),
            weighted_avg: Scores::average(&classes, |class| class.support),
            support: self.total(),
            classes,
        }
    }

    fn class_indices(&self) -> std::ops::Range<usize> {
        0..self.classes.len()
    }

    fn hits(&self, class: usize) -> u64 {
        self.count(Truth(class), Predicted(class))
    }

    fn support(&self, class: usize) -> u64 {
        self.class_indices().map(|predicted| self.count(Truth(class), Predicted(predicted))).sum()
    }

    fn predictions(&self, class: usize) -> u64 {
        self.class_indices().map(|truth| self.count(Truth(truth), Predicted(class))).sum()
    }

    fn scores(&self, class: usize) -> Scores {
        let (hits, support, predictions) = (self.hits(class), self.support(class), self.predictions(class));
        Scores {
            precision: ratio(hits, predictions),
            recall: ratio(hits, support),
            f1: ratio(2 * hits, support + predictions),
        }
    }

    fn binary(&self, class: usize) -> Option<Scores> {
        (self.classes.len() == 2).then(|| self.scores(class))
    }
}

/// An aligned text table; its headings say that rows are the truth and columns the predictions.
impl fmt::Display for ConfusionMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = |name: &str| name.chars().count();
        let classes: Vec<String> = self.classes.iter().map(visible).collect();
        let names = classes.iter().map(|name| length(name)).max().unwrap_or(0).max(length("truth"));
        let columns: Vec<usize> = (self.class_indices())
            .map(|predicted| {
                let counts = self.counts.iter().map(|row| row[predicted].to_string().len());
                counts.max().unwrap_or(0).max(length(&classes[predicted]))
            })
            .collect();
        writeln!(f, "{:names$}  predicted", "")?;
        write!(f, "{:names$}", "truth")?;
        for (class, &width) in classes.iter().zip(&columns) {
            write!(f, "  {class:>width$}")?;
        }
        writeln!(f)?;
        for (class, row) in classes.iter().zip(&self.counts) {
            write!(f, "{class:names$}")?;
            for (count, &width) in row.iter().zip(&columns) {
                write!(f, "  {count:>width$}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
