//! Where a training is.

use crate::base::progress::seconds;
use crate::nn::optimizer::LossScale;
use crate::train::epoch::Sums;
use serde::{Deserialize, Serialize};

/// A position in a training: the finished batches of the current epoch, and their sums.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Finished epochs.
    pub epoch: usize,
    /// Finished batches of the next one.
    pub batch: usize,
    /// Steps of the optimizer.
    pub adam_steps: i64,
    /// Sums over the finished batches.
    pub sums: Sums,
    /// Seconds spent on them.
    #[serde(deserialize_with = "seconds")]
    pub seconds: f64,
    /// Of these, seconds that the training waited for its prefetch.
    #[serde(default, deserialize_with = "seconds")]
    pub waited: f64,
    /// The loss scale of f16.
    pub loss_scale: LossScale,
}
