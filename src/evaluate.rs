//! Trained networks judged: predictions, assessment, calibration, heat maps, comparisons, and probes for leaks and
//! shortcuts.

pub(crate) mod assess;
pub(crate) mod compare;
pub(crate) mod evaluation;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod inference;
pub(crate) mod leak;
pub(crate) mod out_of_distribution;
pub(crate) mod paired;
pub(crate) mod predict;
pub(crate) mod published;
pub(crate) mod rules;
pub(crate) mod run;
pub(crate) mod scan;
pub(crate) mod shortcuts;
