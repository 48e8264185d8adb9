//! Loss and accuracy of an epoch.

use crate::train::config::AccuracyRule;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Running sums over batches.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sums {
    /// Sum over slices of their loss.
    pub loss: f64,
    /// Sum over batches of their mean loss.
    pub batch_loss: f64,
    /// Sum over batches of their accuracy.
    pub batch_accuracy: f64,
    /// Slices classified correctly.
    pub correct: u64,
    /// Slices seen.
    pub seen: u64,
    /// Batches seen.
    pub batches: u64,
}

impl Sums {
    /// The sums of one batch.
    pub(crate) fn of_batch(mean_loss: f64, correct: u64, slices: usize) -> Self {
        Self {
            loss: mean_loss * slices as f64,
            batch_loss: mean_loss,
            batch_accuracy: correct as f64 / slices as f64,
            correct,
            seen: slices as u64,
            batches: 1,
        }
    }

    /// Adds the sums of other batches.
    pub(crate) fn add(&mut self, more: &Self) {
        self.loss += more.loss;
        self.batch_loss += more.batch_loss;
        self.batch_accuracy += more.batch_accuracy;
        self.correct += more.correct;
        self.seen += more.seen;
        self.batches += more.batches;
    }
}

/// Mean loss (cross entropy, nats) and accuracy (0 to 1) over a subset.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// Mean cross entropy.
    pub loss: f64,
    /// Share of slices classified correctly.
    pub accuracy: f64,
}

impl Score {
    pub(crate) fn of(sums: &Sums, rule: AccuracyRule) -> Self {
        match rule {
            AccuracyRule::Exact => {
                Self { loss: sums.loss / sums.seen as f64, accuracy: sums.correct as f64 / sums.seen as f64 }
            }
            AccuracyRule::MeanOfBatches => {
                let batches = sums.batches as f64;
                Self { loss: sums.batch_loss / batches, accuracy: sums.batch_accuracy / batches }
            }
        }
    }
}

/// One finished epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochRecord {
    /// Counted from 1.
    pub epoch: usize,
    /// On the training set, accumulated during the epoch: each batch is scored before its step.
    pub training: Score,
    /// On the validation set, after the epoch.
    pub validation: Score,
    /// On the test set, after the epoch; `None` unless
    /// [`RunConfig::test_every_epoch`](crate::RunConfig::test_every_epoch).
    pub test: Option<Score>,
    /// Seconds of training (without the scoring).
    pub seconds: f64,
    /// Of these, seconds that the training waited for its prefetch; a GPU may still have had work meanwhile.
    #[serde(default)]
    pub waited: f64,
    /// Training slices per second.
    pub images_per_second: f64,
}

impl fmt::Display for EpochRecord {
    /// One line in the format of the slides.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, training, validation, .. } = self;
        write!(
            f,
            "Epoch {epoch}: Training Loss={:.4}, Training Accuracy={:.4}, Validation Loss={:.4}, Validation Accuracy={:.4}",
            training.loss, training.accuracy, validation.loss, validation.accuracy
        )?;
        match &self.test {
            Some(test) => write!(f, ", Test Loss={:.4}, Test Accuracy={:.4}", test.loss, test.accuracy),
            None => Ok(()),
        }
    }
}

/// The epoch with the highest validation accuracy; of equal ones the earliest.
pub(crate) fn best(epochs: &[EpochRecord]) -> Option<&EpochRecord> {
    epochs.iter().rev().max_by(|a, b| a.validation.accuracy.total_cmp(&b.validation.accuracy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(epoch: usize, accuracy: f64) -> EpochRecord {
        let score = Score { loss: 0.5, accuracy };
        EpochRecord {
            epoch,
            training: score,
            validation: score,
            test: None,
            seconds: 1.0,
            waited: 0.5,
            images_per_second: 1.0,
        }
    }

    #[test]
    fn the_first_of_equally_good_epochs_is_the_best() {
        let epochs = [epoch(1, 0.7), epoch(2, 0.8), epoch(3, 0.8), epoch(4, 0.75)];
        assert_eq!(best(&epochs).map(|e| e.epoch), Some(2));
        assert_eq!(best(&[]), None);
    }

    #[test]
    fn the_line_is_the_slides_line() {
        let test = Some(Score { loss: 0.0846, accuracy: 0.9691 });
        let record = EpochRecord {
            training: Score { loss: 0.1219, accuracy: 0.9495 },
            validation: Score { loss: 1.0336, accuracy: 0.8058 },
            test,
            ..epoch(1, 0.0)
        };
        assert_eq!(
            record.to_string(),
            "Epoch 1: Training Loss=0.1219, Training Accuracy=0.9495, Validation Loss=1.0336, Validation \
             Accuracy=0.8058, Test Loss=0.0846, Test Accuracy=0.9691"
        );
    }

    #[test]
    fn accuracies_are_counted_by_both_rules() {
        // Batches of 4 and 1: 3 of 4 and 0 of 1 correct.
        let sums = Sums { loss: 2.0, batch_loss: 1.2, batch_accuracy: 0.75, correct: 3, seen: 5, batches: 2 };
        assert_eq!(Score::of(&sums, AccuracyRule::Exact), Score { loss: 0.4, accuracy: 0.6 });
        assert_eq!(Score::of(&sums, AccuracyRule::MeanOfBatches), Score { loss: 0.6, accuracy: 0.375 });
    }
}
