//! Loss and accuracy of an epoch.

use crate::base::progress::seconds;
use crate::train::config::{AccuracyRule, RunConfig};
use crate::train::recipe::Selection;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
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
    /// ROC AUC of the validation scans, 0 to 1, as [`Selection::ScanAuc`] counts it; `None` where all have one label, and in
    /// runs from before it was kept.
    #[serde(default)]
    pub validation_scan_auc: Option<f64>,
    /// On the test set, after the epoch; `None` unless
    /// [`RunConfig::test_every_epoch`](crate::RunConfig::test_every_epoch).
    pub test: Option<Score>,
    /// Seconds of training (without the scoring).
    #[serde(deserialize_with = "seconds")]
    pub seconds: f64,
    /// Of these, seconds that the training waited for its prefetch; a GPU may still have had work meanwhile.
    #[serde(default, deserialize_with = "seconds")]
    pub waited: f64,
    /// Training slices per second.
    pub images_per_second: f64,
    /// The head of this epoch, where it was [solved](crate::Learn::Converged).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub solved: Option<SolvedHead>,
}

/// A head that was solved to convergence, for one strength of regularisation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SolvedHead {
    /// The L2 penalty α of `mean loss + α/2 · ‖weights of standardised features‖²`.
    pub penalty: f64,
    /// What was minimised: loss (nats; patients, labels and sources count alike) and penalty.
    pub objective: f64,
    /// Bound of how far it is above its minimum, as a share of it.
    pub gap: f64,
    /// Passes over the training slices' features.
    pub passes: usize,
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

/// The best epoch on the validation set; of those that rank scans equally well the one with the least loss, and of equal ones
/// the earliest.
pub(crate) fn best(epochs: &[EpochRecord], selection: Selection) -> Option<&EpochRecord> {
    let has_auc = selection == Selection::ScanAuc && epochs.iter().all(|epoch| epoch.validation_scan_auc.is_some());
    let value = |epoch: &EpochRecord| match epoch.validation_scan_auc {
        Some(auc) if has_auc => auc,
        _ => epoch.validation.accuracy,
    };
    let less_loss = |a: &EpochRecord, b: &EpochRecord| match has_auc {
        true => b.validation.loss.total_cmp(&a.validation.loss),
        false => Ordering::Equal,
    };
    epochs.iter().rev().max_by(|a, b| value(a).total_cmp(&value(b)).then_with(|| less_loss(a, b)))
}

/// Whether a training has ended: all epochs are done, or as many as its patience allows after the best one.
pub(crate) fn has_ended(epochs: &[EpochRecord], run: &RunConfig) -> bool {
    let patience = || run.recipe.patience.zip(best(epochs, run.recipe.selection));
    epochs.len() >= run.epochs
        || patience().is_some_and(|(patience, best)| epochs.len() >= best.epoch.saturating_add(patience))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::model::Architecture;
    use crate::train::recipe::Recipe;

    fn epoch(epoch: usize, accuracy: f64) -> EpochRecord {
        let score = Score { loss: 0.5, accuracy };
        EpochRecord {
            epoch,
            training: score,
            validation: score,
            validation_scan_auc: None,
            test: None,
            seconds: 1.0,
            waited: 0.5,
            images_per_second: 1.0,
            solved: None,
        }
    }

    #[test]
    fn the_first_of_equally_good_epochs_is_the_best() {
        let epochs = [epoch(1, 0.7), epoch(2, 0.8), epoch(3, 0.8), epoch(4, 0.75)];
        assert_eq!(best(&epochs, Selection::SliceAccuracy).map(|e| e.epoch), Some(2));
        assert_eq!(best(&[], Selection::SliceAccuracy), None);
    }

    #[test]
    fn scans_choose_where_all_epochs_have_their_auc_and_patience_ends_a_training() {
        let with = |number, accuracy, auc| EpochRecord { validation_scan_auc: auc, ..epoch(number, accuracy) };
        let epochs = [with(1, 0.7, Some(0.9)), with(2, 0.8, Some(0.8)), with(3, 0.6, Some(0.9))];
        let by_scan = |epochs: &[EpochRecord]| best(epochs, Selection::ScanAuc).map(|e| e.epoch);
        assert_eq!((by_scan(&epochs), best(&epochs, Selection::SliceAccuracy).map(|e| e.epoch)), (Some(1), Some(2)));
        assert_eq!(by_scan(&[epochs[0].clone(), with(2, 0.8, None)]), Some(2));
        let mut calibrated = epochs.clone();
        calibrated[2].validation.loss = 0.4;
        assert_eq!(by_scan(&calibrated), Some(3));
        let run = |patience, epochs| RunConfig {
            epochs,
            recipe: Recipe { patience, selection: Selection::ScanAuc, ..Recipe::default() },
            ..RunConfig::published(Architecture::Fcn)
        };
        assert!(!has_ended(&epochs, &run(None, 4)) && has_ended(&epochs, &run(None, 3)));
        assert!(has_ended(&epochs, &run(Some(2), 9)) && !has_ended(&epochs, &run(Some(3), 9)));
        assert!(!has_ended(&[], &run(Some(1), 9)) && !has_ended(&epochs, &run(Some(usize::MAX), 9)));
    }

    #[test]
    fn an_epoch_that_took_no_time_that_there_is_cannot_be_read() {
        let mut json = serde_json::to_value(epoch(1, 0.7)).expect("writes");
        for (field, value) in [("seconds", -1.0), ("waited", 1e300)] {
            let before = std::mem::replace(&mut json[field], value.into());
            let error = serde_json::from_value::<EpochRecord>(json.clone()).expect_err("no time").to_string();
            assert_eq!(error, format!("expected 0 to 1e10 seconds, found {value:e}"));
            json[field] = before;
        }
        assert_eq!(serde_json::from_value::<EpochRecord>(json).expect("reads"), epoch(1, 0.7));
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
