//! Trained networks judged: predictions, assessment, calibration, heat maps, comparisons, and probes for leaks and
//! shortcuts.

pub(crate) mod ablation;
mod actions;
pub(crate) mod assessment;
pub(crate) mod compare;
pub(crate) mod cross_validation;
pub(crate) mod decision_rules;
pub(crate) mod evaluation;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod external;
pub(crate) mod incomplete;
pub(crate) mod inference;
pub(crate) mod judge;
pub(crate) mod leak;
pub(crate) mod new_patients;
pub(crate) mod out_of_distribution;
pub(crate) mod paired_runs;
pub(crate) mod predict;
pub(crate) mod published;
pub(crate) mod scan_decisions;
pub(crate) mod scan_model;
pub(crate) mod seed_average;
pub(crate) mod several_runs;
pub(crate) mod shortcuts;
