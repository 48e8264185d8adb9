//! What a training did, epoch by epoch.

use crate::checkpoint::{CheckpointInfo, Sums};
use crate::config::{AccuracyRule, RunConfig, device_name};
use crate::figure::{Figure, lines};
use crate::files::read_json;
use crate::progress::{human_duration, rate};
use crate::split::{Subset, listed};
use crate::table::{Table, percent, shown_as_table};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use std::time::Duration;
use tch::Device;

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
    /// Gathered while learning, each batch before its step.
    pub training: Score,
    /// After the epoch.
    pub validation: Score,
    /// After the epoch, where the run asks for it.
    pub test: Option<Score>,
    /// Seconds of learning (without the scoring).
    pub seconds: f64,
    /// Of these, seconds that the training waited for slices; a GPU may still have had work meanwhile.
    #[serde(default)]
    pub waited: f64,
    /// Slices learned from per second.
    pub images_per_second: f64,
}

impl fmt::Display for EpochRecord {
    /// The slides' line.
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

/// A finished (or unfinished) training: its settings and its epochs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// All settings.
    pub run: RunConfig,
    /// Subsets whose scans were learned from.
    pub leaks: Vec<Subset>,
    /// What it ran on, for example `CPU, 2 threads`.
    pub device: String,
    /// Seconds that computing the features of a frozen backbone took, once, for all slices.
    pub feature_seconds: Option<f64>,
    /// Finished epochs.
    pub epochs: Vec<EpochRecord>,
}

impl History {
    pub(crate) fn of(info: &CheckpointInfo, device: Device) -> Self {
        let CheckpointInfo { run, leaks, feature_seconds, epochs, .. } = info.clone();
        Self { run, leaks, device: device_name(device), feature_seconds, epochs }
    }

    /// Reads `history.json` of a run's folder.
    pub fn read(run_folder: impl AsRef<Path>) -> Result<Self> {
        read_json(&run_folder.as_ref().join("history.json"), "a training's history (written by `covid-ct train`)")
    }

    /// The epoch with the highest validation accuracy, the earlier of two equal ones; `None` before the first.
    pub fn best(&self) -> Option<&EpochRecord> {
        best(&self.epochs)
    }

    /// Seconds of learning: all epochs, and the features of a frozen backbone.
    pub fn seconds(&self) -> f64 {
        self.feature_seconds.unwrap_or(0.0) + self.epochs.iter().map(|e| e.seconds).sum::<f64>()
    }

    /// Slices learned from in all epochs, by [`seconds`](Self::seconds); `None` before the first epoch.
    pub fn images_per_second(&self) -> Option<f64> {
        let slices: f64 = self.epochs.iter().map(|e| e.images_per_second * e.seconds).sum();
        (slices > 0.0).then(|| slices / self.seconds())
    }

    /// Accuracy by epoch.
    pub fn figure(&self) -> Result<Figure> {
        self.curves("Accuracy", "accuracy (share of slices)", |score| score.accuracy)
    }

    /// Loss by epoch.
    pub fn loss_figure(&self) -> Result<Figure> {
        self.curves("Loss", "cross entropy (nats)", |score| score.loss)
    }

    fn curves(&self, title: &str, unit: &str, value: fn(&Score) -> f64) -> Result<Figure> {
        let of = |pick: &dyn Fn(&EpochRecord) -> Option<Score>| -> Vec<(f64, f64)> {
            self.epochs.iter().filter_map(|e| Some((e.epoch as f64, value(&pick(e)?)))).collect()
        };
        let named = |subset: Subset| format!("{subset}{}", subset.leak_mark(&self.leaks));
        let mut series = vec![
            ("training".to_owned(), of(&|e| Some(e.training))),
            (named(Subset::Validation), of(&|e| Some(e.validation))),
        ];
        if self.run.test_every_epoch {
            series.push((named(Subset::Test), of(&|e| e.test)));
        }
        let chosen = self.best().map_or(String::new(), |best| format!(" Chosen: epoch {}.", best.epoch));
        let leak = match self.leaks.is_empty() {
            true => String::new(),
            false => format!(" The split leaks: {} slices come from scans in training.", listed(&self.leaks)),
        };
        let caption = format!("Run {}, {}.{chosen}{leak}", self.run.name, self.device);
        lines(&format!("{title} of {}", self.run.name), "epoch", unit, &series, &caption)
    }

    /// One row an epoch.
    pub fn table(&self) -> Table {
        let columns = [
            "Epoch",
            "Training loss",
            "Training accuracy",
            "Validation loss",
            "Validation accuracy",
            "Test loss",
            "Test accuracy",
            "Time",
            "Images/s",
            "Waited for slices",
        ];
        let mut table = Table::new(format!("Training of {} ({})", self.run.name, self.run.architecture), &columns);
        for e in &self.epochs {
            let loss = |score: Option<Score>| score.map_or("–".to_owned(), |s| format!("{:.4}", s.loss));
            let accuracy = |score: Option<Score>| percent(score.map(|s| s.accuracy));
            table.row([
                e.epoch.to_string(),
                loss(Some(e.training)),
                accuracy(Some(e.training)),
                loss(Some(e.validation)),
                accuracy(Some(e.validation)),
                loss(e.test),
                accuracy(e.test),
                human_duration(Duration::from_secs_f64(e.seconds)),
                rate(e.images_per_second),
                percent(Some(e.waited / e.seconds.max(1e-9))),
            ]);
        }
        if let Some(seconds) = self.feature_seconds {
            let once = human_duration(Duration::from_secs_f64(seconds));
            table =
                table.note(format!("The frozen backbone's features took {once}, once; times are those of the head."));
        }
        if let Some(best) = self.best() {
            table = table.note(format!("Best by validation accuracy: epoch {}. Device: {}.", best.epoch, self.device));
        }
        if !self.leaks.is_empty() {
            let leaks = listed(&self.leaks);
            table = table.note(format!(
                "LEAKING SPLIT: the {leaks} figures come in part from scans or patients that the network has learned from."
            ));
        }
        table
    }
}

shown_as_table!(History);

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
