//! How a network is trained, beyond the slides' Adam at a fixed rate.

use crate::base::errors::{Context, Result, ensure};
use crate::data::augment::Augmentation;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// The learning rate over a training.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// The same at every step.
    #[default]
    Constant,
    /// Rises linearly over the first epochs, then falls to 0 along half a cosine (Loshchilov and Hutter, 2017, without
    /// restarts).
    Cosine {
        /// Epochs of warm-up, 0 or more; parts of an epoch count.
        warm_up: f64,
    },
}

impl Schedule {
    /// The factor of the learning rate at a step, counted from 0, of a training of `steps` steps, `epoch_steps` of them in
    /// each epoch. As PyTorch's `LinearLR(start_factor=1/w, total_iters=w-1)` followed after w steps by
    /// `CosineAnnealingLR(steps - w)`.
    pub fn factor(self, step: u64, epoch_steps: u64, steps: u64) -> f64 {
        let Self::Cosine { warm_up } = self else { return 1.0 };
        let warm = ((warm_up * epoch_steps as f64).round() as u64).min(steps.saturating_sub(1));
        if step < warm {
            return (step + 1) as f64 / warm as f64;
        }
        let done = (step - warm) as f64 / (steps - warm).max(1) as f64;
        (1.0 + (PI * done.min(1.0)).cos()) / 2.0
    }
}

/// By what the best epoch is chosen, on the validation set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// The share of slices classified correctly.
    #[default]
    SliceAccuracy,
    /// The ROC AUC of scans by the mean probability of their slices: in each source with both labels, then the mean of
    /// the sources. Where no source has both labels, over all scans; where they all have one label, the accuracy decides.
    ScanAuc,
}

/// How much a training slice counts in the loss.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weighting {
    /// Each slice as much as any other: a patient with many slices counts more.
    #[default]
    Slices,
    /// Each patient once; the labels of a source the same; a source as much as it has patients.
    Balanced,
}

/// How a network is trained. The default is the slides' way: nothing of all this. [`Recipe::sound`] is what the networks
/// of [`RunConfig::of`](crate::RunConfig::of) are trained by.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipe {
    /// The learning rate over the training.
    pub schedule: Schedule,
    /// Decoupled weight decay of every parameter (AdamW: Loshchilov and Hutter, 2019), 0 to 1; times the learning rate.
    pub weight_decay: f64,
    /// How much each slice counts.
    pub weighting: Weighting,
    /// By what the best epoch is chosen.
    pub selection: Selection,
    /// After how many epochs that were not better than the best training ends, 1 or more; `None`: it does not end early.
    pub patience: Option<usize>,
    /// How slices are changed at random before each step, anew in every epoch; not possible over a frozen backbone, whose
    /// features are stored.
    pub augmentation: Augmentation,
    /// Share of the truth that is spread over both labels (Szegedy et al., 2016), 0 to less than 1.
    pub label_smoothing: f64,
    /// Mixup (Zhang et al., 2018): each slice of a batch is mixed with its neighbour by a share from Beta(mixup, mixup),
    /// one for the batch; 0 (none) to 1.
    pub mixup: f64,
    /// The gradient's norm is cut to this, more than 0.
    pub clip_norm: Option<f64>,
    /// Decay of the exponential average of all weights that is scored and kept instead of the last ones, 0 to less than 1;
    /// in the first steps the average follows faster: (1 + steps) / (10 + steps).
    pub averaging: Option<f64>,
    /// Each slice is scored twice, as it is and left-right reversed; its probability is the mean.
    pub flip_at_test: bool,
}

impl Recipe {
    /// For a whole network on few patients.
    pub fn sound() -> Self {
        Self {
            schedule: Schedule::Cosine { warm_up: 1.0 },
            weight_decay: 0.05,
            augmentation: Augmentation::gentle(),
            clip_norm: Some(1.0),
            ..Self::converged()
        }
    }

    /// For a [converged head](crate::Learn::Converged): patients balanced, chosen by the AUC of scans.
    pub fn converged() -> Self {
        Self { weighting: Weighting::Balanced, selection: Selection::ScanAuc, ..Self::default() }
    }

    /// Checks all values.
    ///
    /// # Errors
    /// A value out of its range; the field is named.
    pub(crate) fn check(&self) -> Result<()> {
        if let Schedule::Cosine { warm_up } = self.schedule {
            ensure!(
                warm_up.is_finite() && warm_up >= 0.0,
                "recipe.schedule.cosine.warm_up: expected 0 epochs or more, found {warm_up}"
            );
        }
        let decay = self.weight_decay;
        ensure!((0.0..=1.0).contains(&decay), "recipe.weight_decay: expected 0 to 1, found {decay}");
        self.augmentation.check().context("recipe")?;
        let mixup = self.mixup;
        ensure!((0.0..=1.0).contains(&mixup), "recipe.mixup: expected 0 to 1, found {mixup}");
        let averaging = self.averaging.unwrap_or(0.0);
        for (field, share) in [("label_smoothing", self.label_smoothing), ("averaging", averaging)] {
            ensure!((0.0..1.0).contains(&share), "recipe.{field}: expected 0 or more and less than 1, found {share}");
        }
        let norm = self.clip_norm.unwrap_or(1.0);
        ensure!(norm.is_finite() && norm > 0.0, "recipe.clip_norm: expected more than 0, found {norm}");
        ensure!(self.patience != Some(0), "recipe.patience: expected 1 epoch or more, found 0");
        Ok(())
    }

    /// What differs from the slides' way, for a table: name and value.
    pub(crate) fn rows(&self, is_converged: bool) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        let weighting = match self.weighting {
            Weighting::Slices => "each slice the same",
            Weighting::Balanced => "each patient once, the labels of a source alike",
        };
        rows.push(("What counts in the loss", weighting.to_owned()));
        let selection = match self.selection {
            Selection::SliceAccuracy => "accuracy of the validation slices",
            Selection::ScanAuc => "ROC AUC of the validation scans, by source and then the mean",
        };
        rows.push(("Best epoch chosen by", selection.to_owned()));
        if is_converged {
            return rows;
        }
        let schedule = match self.schedule {
            Schedule::Constant => "constant".to_owned(),
            Schedule::Cosine { warm_up: 1.0 } => "1 epoch of warm-up, then a cosine to 0".to_owned(),
            Schedule::Cosine { warm_up } => format!("{warm_up} epochs of warm-up, then a cosine to 0"),
        };
        rows.push(("Learning rate", schedule));
        let mut add = |is_used: bool, name, value: String| rows.extend(is_used.then_some((name, value)));
        add(!self.augmentation.is_none(), "Augmentation", self.augmentation.described());
        add(self.weight_decay > 0.0, "Weight decay", self.weight_decay.to_string());
        add(self.label_smoothing > 0.0, "Label smoothing", self.label_smoothing.to_string());
        add(self.mixup > 0.0, "Mixup", format!("Beta({0}, {0})", self.mixup));
        for (name, value) in [("Gradient norm cut to", self.clip_norm), ("Weights averaged, decay", self.averaging)] {
            add(value.is_some(), name, value.unwrap_or(0.0).to_string());
        }
        add(self.flip_at_test, "At test", "mean of the slice and its left-right reverse".to_owned());
        let patience = self.patience.unwrap_or(0);
        add(self.patience.is_some(), "Ends early", format!("after {patience} epochs without a better one"));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_and_falls_by_hand() {
        let cosine = Schedule::Cosine { warm_up: 1.0 };
        let factors: Vec<f64> = (0..12).map(|step| cosine.factor(step, 4, 12)).collect();
        let expected = [0.25, 0.5, 0.75, 1.0, 1.0];
        assert!(factors.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{factors:?}");
        assert!((factors[8] - 0.5).abs() < 1e-15, "half-way of the cosine: {factors:?}");
        assert!(factors[4..].windows(2).all(|pair| pair[1] < pair[0]) && factors[11] > 0.0, "{factors:?}");
        assert_eq!(Schedule::Constant.factor(7, 4, 12), 1.0);
        // A warm-up as long as the training leaves one step after it.
        let warm: Vec<f64> = (0..3).map(|step| Schedule::Cosine { warm_up: 9.0 }.factor(step, 1, 3)).collect();
        assert_eq!(warm, [0.5, 1.0, 1.0]);
    }

    #[test]
    fn bad_values_are_named() {
        let bad = |recipe: Recipe| recipe.check().expect_err("is refused").to_string();
        let plain = Recipe::default;
        assert!(bad(Recipe { weight_decay: -1.0, ..plain() }).starts_with("recipe.weight_decay: expected 0 to 1"));
        assert!(bad(Recipe { weight_decay: f64::NAN, ..plain() }).contains("found NaN"));
        assert!(bad(Recipe { mixup: 2.0, ..plain() }).starts_with("recipe.mixup"));
        assert!(bad(Recipe { label_smoothing: 1.0, ..plain() }).starts_with("recipe.label_smoothing"));
        assert!(bad(Recipe { averaging: Some(1.0), ..plain() }).starts_with("recipe.averaging"));
        assert!(bad(Recipe { clip_norm: Some(0.0), ..plain() }).starts_with("recipe.clip_norm"));
        assert!(bad(Recipe { patience: Some(0), ..plain() }).starts_with("recipe.patience"));
        let schedule = Schedule::Cosine { warm_up: f64::INFINITY };
        assert!(bad(Recipe { schedule, ..plain() }).contains("warm_up"));
        for recipe in [plain(), Recipe::sound(), Recipe::converged()] {
            recipe.check().expect("works");
        }
    }
}
