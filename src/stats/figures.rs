//! Figures of statistics: confusion matrices, ROC curves, reliability diagrams.

mod confusion;
mod reliability;
mod roc;

pub(crate) use confusion::confusion;
pub(crate) use reliability::reliability;
pub(crate) use roc::{Curve, roc};
