//! The measures of a binary classifier, and their values from counts.

use serde::de::{Deserialize, Deserializer, Error};
use serde::{Deserialize as Read, Serialize};

/// How many measures there are.
pub(super) const MEASURES: usize = Measure::ALL.len();

/// One value for each measure, in the order of [`Measure::ALL`].
pub(super) type Values = [Option<f64>; MEASURES];

/// What is measured of a binary classifier; covid is the positive class.
///
/// Each is a ratio, and `None` where it is 0/0. Measures of both classes are `None` when the samples are of one class
/// only, balanced accuracy among them (scikit-learn then takes the one recall there is): a draw of patients without one
/// class would otherwise count as a balanced accuracy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Read)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// `(TP + TN) / all`, in 0..=1.
    Accuracy,
    /// `TP / (TP + FN)`, in 0..=1.
    Sensitivity,
    /// `TN / (TN + FP)`, in 0..=1.
    Specificity,
    /// Positive predictive value, `TP / (TP + FP)`, in 0..=1.
    Ppv,
    /// Negative predictive value, `TN / (TN + FN)`, in 0..=1.
    Npv,
    /// `(sensitivity + specificity) / 2`, in 0..=1.
    BalancedAccuracy,
    /// The mean F1 of the classes that occur in truth or decisions, in 0..=1 (`f1_score(average="macro")`).
    MacroF1,
    /// Matthews' correlation coefficient, in -1..=1; `None` when truth or decisions are all the same.
    Matthews,
    /// Area under the receiver operating characteristic, in 0..=1 (`roc_auc_score`).
    RocAuc,
    /// Average precision, in 0..=1 (`average_precision_score`); `None` without covid samples.
    PrAuc,
}

impl Measure {
    /// All measures, in the order of tables.
    pub const ALL: [Self; 10] = [
        Self::Accuracy,
        Self::Sensitivity,
        Self::Specificity,
        Self::Ppv,
        Self::Npv,
        Self::BalancedAccuracy,
        Self::MacroF1,
        Self::Matthews,
        Self::RocAuc,
        Self::PrAuc,
    ];

    /// The name, for headings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "Accuracy",
            Self::Sensitivity => "Sensitivity",
            Self::Specificity => "Specificity",
            Self::Ppv => "PPV",
            Self::Npv => "NPV",
            Self::BalancedAccuracy => "Balanced accuracy",
            Self::MacroF1 => "Macro F1",
            Self::Matthews => "Matthews' coefficient",
            Self::RocAuc => "ROC AUC",
            Self::PrAuc => "PR AUC (average precision)",
        }
    }

    /// Its meaning in one sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Accuracy => "The share of all decisions that are right.",
            Self::Sensitivity => "The share of covid that is found.",
            Self::Specificity => "The share of non-covid that is left alone.",
            Self::Ppv => "The share of covid decisions that are right, at the share of covid in these samples.",
            Self::Npv => "The share of non-covid decisions that are right, at the share of covid in these samples.",
            Self::BalancedAccuracy => "The mean of sensitivity and specificity: 50 % for a guess, whatever the shares.",
            Self::MacroF1 => "The mean over both classes of F1, the harmonic mean of precision and recall.",
            Self::Matthews => "The correlation of decisions with the truth: 1 all right, 0 a guess, -1 all wrong.",
            Self::RocAuc => {
                "The chance that a covid sample scores above a non-covid one, where equal scores count half."
            }
            Self::PrAuc => "The mean precision over the covid samples found as the threshold falls.",
        }
    }
}

/// Counts of decisions against the truth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) true_positives: u64,
    pub(super) false_negatives: u64,
    pub(super) false_positives: u64,
    pub(super) true_negatives: u64,
}

impl Tally {
    pub(super) fn record(&mut self, covid: bool, decision: bool) {
        match (covid, decision) {
            (true, true) => self.true_positives += 1,
            (true, false) => self.false_negatives += 1,
            (false, true) => self.false_positives += 1,
            (false, false) => self.true_negatives += 1,
        }
    }

    /// Adds `other`, `times` times over.
    pub(super) fn add(&mut self, other: Self, times: u64) {
        self.true_positives += times * other.true_positives;
        self.false_negatives += times * other.false_negatives;
        self.false_positives += times * other.false_positives;
        self.true_negatives += times * other.true_negatives;
    }

    /// The number of samples.
    pub(super) fn all(&self) -> u64 {
        self.true_positives + self.false_negatives + self.false_positives + self.true_negatives
    }

    /// All values; the two of a ranking are given.
    pub(super) fn values(self, roc_auc: Option<f64>, average_precision: Option<f64>) -> Values {
        let Self { true_positives, false_negatives, false_positives, true_negatives } = self;
        let right = true_positives + true_negatives;
        let sensitivity = ratio(true_positives, true_positives + false_negatives);
        let specificity = ratio(true_negatives, true_negatives + false_positives);
        Measure::ALL.map(|measure| match measure {
            Measure::Accuracy => ratio(right, right + false_positives + false_negatives),
            Measure::Sensitivity => sensitivity,
            Measure::Specificity => specificity,
            Measure::Ppv => ratio(true_positives, true_positives + false_positives),
            Measure::Npv => ratio(true_negatives, true_negatives + false_negatives),
            Measure::BalancedAccuracy => Some((sensitivity? + specificity?) / 2.0),
            Measure::MacroF1 => self.macro_f1(),
            Measure::Matthews => self.matthews(),
            Measure::RocAuc => roc_auc,
            Measure::PrAuc => average_precision,
        })
    }

    fn macro_f1(self) -> Option<f64> {
        let wrong = self.false_negatives + self.false_positives;
        let f1 = |hits: u64| ratio(2 * hits, 2 * hits + wrong);
        match (f1(self.true_positives), f1(self.true_negatives)) {
            (Some(covid), Some(non_covid)) => Some((covid + non_covid) / 2.0),
            (only, None) | (None, only) => only,
        }
    }

    fn matthews(self) -> Option<f64> {
        let [tp, fn_, fp, tn] =
            [self.true_positives, self.false_negatives, self.false_positives, self.true_negatives].map(i128::from);
        let of_truth = (tp + fn_) * (tn + fp);
        let of_decisions = (tp + fp) * (tn + fn_);
        let defined = of_truth > 0 && of_decisions > 0;
        defined.then(|| (tp * tn - fp * fn_) as f64 / ((of_truth as f64).sqrt() * (of_decisions as f64).sqrt()))
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// A value that belongs to one measure.
pub(super) trait OfMeasure {
    fn measure(&self) -> Measure;
}

/// Reads one entry for each measure, in the order of [`Measure::ALL`], so that a lookup cannot fail later.
pub(super) fn in_order<'de, D, T>(deserializer: D) -> Result<[T; MEASURES], D::Error>
where
    D: Deserializer<'de>,
    T: OfMeasure + Read<'de>,
{
    let entries = <[T; MEASURES]>::deserialize(deserializer)?;
    match entries.iter().zip(Measure::ALL).find(|(entry, expected)| entry.measure() != *expected) {
        Some((entry, expected)) => {
            Err(D::Error::custom(format!("measures: expected {expected:?}, found {:?}", entry.measure())))
        }
        None => Ok(entries),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_computed() {
        let tally = Tally { true_positives: 6, false_negatives: 2, false_positives: 1, true_negatives: 3 };
        let macro_f1 = (12.0 / 15.0 + 6.0 / 9.0) / 2.0;
        // 6·3 - 1·2 = 16; (8·4)(7·5) = 32·35
        let matthews = 16.0 / (32.0_f64.sqrt() * 35.0_f64.sqrt());
        let ratios = [0.75, 0.75, 0.75, 6.0 / 7.0, 0.6, 0.75, macro_f1, matthews, 0.1, 0.2];
        assert_eq!(tally.values(Some(0.1), Some(0.2)), ratios.map(Some));
    }

    #[test]
    fn one_class_leaves_the_measures_of_both_undefined() {
        let tally = Tally { true_positives: 3, false_negatives: 1, ..Tally::default() };
        let f1 = Some((6.0 / 7.0 + 0.0) / 2.0);
        let values = [Some(0.75), Some(0.75), None, Some(1.0), Some(0.0), None, f1, None, None, None];
        assert_eq!(tally.values(None, None), values);
        let all_right = Tally { true_negatives: 4, ..Tally::default() };
        let one = Some(1.0);
        assert_eq!(all_right.values(None, None), [one, None, one, None, one, None, one, None, None, None]);
        assert_eq!(Tally::default().values(None, None), [None; MEASURES]);
    }

    #[test]
    fn every_measure_has_its_place_its_name_and_one_sentence() -> crate::base::errors::Result<()> {
        for (index, measure) in Measure::ALL.into_iter().enumerate() {
            assert_eq!(measure as usize, index);
            assert!(measure.meaning().ends_with('.') && measure.meaning().matches(". ").count() == 0);
            assert_eq!(Measure::ALL.iter().filter(|other| other.name() == measure.name()).count(), 1);
        }
        assert_eq!(serde_json::to_string(&[Measure::MacroF1, Measure::RocAuc])?, r#"["macro-f1","roc-auc"]"#);
        Ok(())
    }
}
