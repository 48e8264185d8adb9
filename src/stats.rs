//! Statistics of decisions and probabilities: counts and scores, confidence intervals, tests, calibration. Knows
//! truths and scores, not scans.

pub(crate) mod calibration;
pub(crate) mod figures;
pub(crate) mod metrics;
