//! Statistics of decisions and probabilities: counts and scores, confidence intervals, tests, calibration; a linear head
//! solved to convergence, and weights of samples. Knows truths, scores and features, not scans.

pub(crate) mod calibration;
pub(crate) mod figures;
pub(crate) mod logistic_head;
pub(crate) mod median;
pub(crate) mod metrics;
pub(crate) mod sample_weights;
