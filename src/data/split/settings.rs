//! Settings of a split.

use serde::{Deserialize, Serialize};

/// The unit that is kept together when a test set is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitUnit {
    /// A patient where `patients.csv` or the audit identifies one, otherwise a scan.
    Patient,
    /// Single slices, as in the slides. Leaks.
    Slice,
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
}

impl Default for SplitConfig {
    /// 10 % of the patients (or scans) of each label.
    fn default() -> Self {
        Self { unit: SplitUnit::Patient, test_fraction: 0.1, validation_fraction: 0.2, stratified: true, seed: 1 }
    }
}
