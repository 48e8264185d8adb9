//! Settings of a split.

use super::Subset;
use crate::base::errors::{Result, ensure};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::RangeInclusive;

/// The unit that is kept together when a test set is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitUnit {
    /// A patient where `patients.csv` or the audit identifies one, otherwise a scan.
    Patient,
    /// Single slices, as in the slides. Leaks.
    Slice,
}

/// One fold of a cross-validation: of equal parts of all labelled patients one is the test set, the next the validation
/// set, and the others the training set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fold {
    /// The part that is the test set, counted from 0; less than `of`.
    pub number: usize,
    /// Number of parts, 3 to 20.
    pub of: usize,
}

impl Fold {
    /// Numbers of parts: a fold needs one each for training, validation and test.
    pub(crate) const PARTS: RangeInclusive<usize> = 3..=20;

    /// The subset that a part, counted from 0, is in this fold.
    pub(super) fn subset(self, part: usize) -> Subset {
        match part {
            part if part == self.number => Subset::Test,
            part if part == (self.number + 1) % self.of => Subset::Validation,
            _ => Subset::Train,
        }
    }
}

/// `fold 1 of 5`, counted from 1.
impl fmt::Display for Fold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fold {} of {}", self.number + 1, self.of)
    }
}

/// How training, validation and test set are drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitConfig {
    /// The unit that is kept together.
    pub unit: SplitUnit,
    /// Share of the training set that becomes the test set, between 0 and 1; counted in units.
    pub test_fraction: f64,
    /// Share of the training set that becomes the validation set, only where the data has no `val/`.
    pub validation_fraction: f64,
    /// Stratify by label.
    pub stratified: bool,
    /// Seed of the draw.
    pub seed: u64,
    /// The fold of a cross-validation, for which the scans under `train/` and `val/` alike are dealt into parts by
    /// patient; the fractions are not used then. `None`: `val/` validates, and the test set is drawn from `train/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<Fold>,
}

impl SplitConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// A value that cannot work; the message names the field, the expected and the found value.
    pub(crate) fn check(&self) -> Result<()> {
        for (field, share) in [("test_fraction", self.test_fraction), ("validation_fraction", self.validation_fraction)]
        {
            ensure!((0.0..1.0).contains(&share), "split.{field}: expected 0 or more and less than 1, found {share}");
        }
        if let Some(Fold { number, of }) = self.fold {
            let (least, most) = (Fold::PARTS.start(), Fold::PARTS.end());
            ensure!(Fold::PARTS.contains(&of), "split.fold.of (--folds): expected {least} to {most} parts, found {of}");
            ensure!(number < of, "split.fold.number: expected 0 to {}, found {number}", of - 1);
            ensure!(
                self.unit == SplitUnit::Patient,
                "split.fold: patients are dealt into parts, so split.unit must be \"patient\"; found \"slice\""
            );
        }
        Ok(())
    }

    /// Where the test set comes from: `10 % of train` or `fold 1 of 5 of all labelled scans`.
    pub(crate) fn test_in_words(&self) -> String {
        match self.fold {
            Some(fold) => format!("{fold} of all labelled scans"),
            None => format!("{} % of train", 100.0 * self.test_fraction),
        }
    }
}

impl Default for SplitConfig {
    /// 10 % of the patients (or scans) of each label.
    fn default() -> Self {
        Self {
            unit: SplitUnit::Patient,
            test_fraction: 0.1,
            validation_fraction: 0.2,
            stratified: true,
            seed: 1,
            fold: None,
        }
    }
}
