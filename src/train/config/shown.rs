//! A run's settings as a table.

use super::{Precision, RunConfig, SplitUnit, device_name};
use crate::base::table::{Table, shown_as_table};
use crate::nn::learn::Learn;

impl RunConfig {
    /// One row for each setting.
    pub fn table(&self) -> Table {
        let mut table = Table::new(format!("Settings of the run {}", self.name), &["Setting", "Value"]);
        let device = match self.device() {
            Ok(device) if self.device == "auto" => format!("auto: {}", device_name(device)),
            Ok(device) => device_name(device),
            Err(error) => error.to_string(),
        };
        let split = match self.split.unit {
            SplitUnit::Patient => "by patient (by scan where the patient is unknown)",
            SplitUnit::Slice => "by slice: LEAKS, slices of one scan lie in train and test",
        };
        let precision = match self.precision {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
            Precision::F16 => "f16 with loss scaling",
        };
        let stratified = if self.split.stratified { "stratified by label" } else { "not stratified" };
        let adam = if self.recipe.weight_decay > 0.0 { "AdamW" } else { "Adam" };
        let [crop, levels, without_lungs] = self.preprocess.described();
        for (setting, value) in [
            ("Network", self.architecture.to_string()),
            ("Weights", self.pretrained.clone().unwrap_or_else(|| format!("random, seed {}", self.seed))),
            ("Learns", self.learn.to_string()),
            (
                "The head sees",
                if self.stages { "the last maps and those of earlier stages" } else { "the last maps" }.to_owned(),
            ),
            ("Device", format!("{device}, {precision}")),
            ("Split", split.to_owned()),
            ("Test set", format!("{}, {stratified}, seed {}", self.split.test_in_words(), self.split.seed)),
            (
                "Test set is scored",
                if self.test_every_epoch { "after every epoch" } else { "once, at the end" }.to_owned(),
            ),
            (
                "Slices",
                format!(
                    "{0}×{0}, mean {1}, standard deviation {2}",
                    self.preprocess.size, self.preprocess.mean, self.preprocess.std
                ),
            ),
            ("Window of DICOM and volumes", self.preprocess.window.described()),
            crop,
            levels,
            without_lungs,
            (
                "Batch",
                match self.shares {
                    1 => self.batch_size.to_string(),
                    shares => format!("{}, in {shares} shares added up in a fixed order", self.batch_size),
                },
            ),
            (
                "Loss and optimizer",
                match self.learn {
                    Learn::Converged => "cross entropy with an L2 penalty, Newton's method".to_owned(),
                    _ => format!("cross entropy, {adam} {:e}", self.learning_rate),
                },
            ),
            ("Epochs", self.epochs.to_string()),
            ("Seed", self.seed.to_string()),
        ] {
            table.row([setting.to_owned(), value]);
        }
        for (setting, value) in self.recipe.rows(self.learn == Learn::Converged) {
            table.row([setting.to_owned(), value]);
        }
        table
    }
}

shown_as_table!(RunConfig);
