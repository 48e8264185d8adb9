//! A training's history, epoch by epoch.

use crate::base::errors::Result;
use crate::base::figure::{Figure, lines};
use crate::base::output::{is_relayed, show_in_place};
use crate::base::parallel::locked;
use crate::base::progress::{human_seconds, rate, seconds_if_any};
use crate::base::table::{Page, Show, Table, percent, shown_as_table};
use crate::data::split::{Subset, listed};
use crate::nn::device::device_name;
use crate::train::checkpoint::CheckpointInfo;
use crate::train::config::RunConfig;
use crate::train::epoch::{EpochRecord, Score, best, has_ended};
use crate::train::recipe::Selection;
use serde::{Deserialize, Serialize};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tch::Device;

/// A finished (or unfinished) training: its settings and its epochs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// All settings.
    pub run: RunConfig,
    /// Subsets whose scans were learned from.
    pub leaks: Vec<Subset>,
    /// The device, for example `CPU, 2 threads`.
    pub device: String,
    /// Seconds that computing the features of a frozen backbone took, once, for all slices; `None` without a frozen
    /// backbone.
    #[serde(default, deserialize_with = "seconds_if_any")]
    pub feature_seconds: Option<f64>,
    /// Finished epochs.
    pub epochs: Vec<EpochRecord>,
}

impl History {
    pub(crate) fn of(info: &CheckpointInfo, device: Device) -> Self {
        let CheckpointInfo { run, leaks, feature_seconds, epochs, .. } = info.clone();
        Self { run, leaks, device: device_name(device), feature_seconds, epochs }
    }

    /// The best epoch by the run's [`Selection`], the earlier of two equal ones; `None` before the first.
    pub fn best(&self) -> Option<&EpochRecord> {
        best(&self.epochs, self.run.recipe.selection)
    }

    /// That the training was interrupted before its end, in words; `None` of a finished one.
    pub fn unfinished(&self) -> Option<String> {
        (!has_ended(&self.epochs, &self.run)).then(|| {
            format!(
                "the training was interrupted after epoch {} of {}: train the run again with the same settings, and it goes on",
                self.epochs.len(),
                self.run.epochs
            )
        })
    }

    fn chosen_by(&self) -> &'static str {
        match self.run.recipe.selection {
            Selection::ScanAuc if self.epochs.iter().all(|e| e.validation_scan_auc.is_some()) => "validation scan AUC",
            _ => "validation accuracy",
        }
    }

    /// Seconds of training: all epochs, and the features of a frozen backbone.
    pub fn seconds(&self) -> f64 {
        self.feature_seconds.unwrap_or(0.0) + self.epochs.iter().map(|e| e.seconds).sum::<f64>()
    }

    /// Training slices of all epochs per second of [`seconds`](Self::seconds); `None` before the first epoch.
    pub fn images_per_second(&self) -> Option<f64> {
        let slices: f64 = self.epochs.iter().map(|e| e.images_per_second * e.seconds).sum();
        (slices > 0.0).then(|| slices / self.seconds())
    }

    /// Accuracy (0 to 1) by epoch.
    pub fn figure(&self) -> Result<Figure> {
        self.curves("Accuracy", ("accuracy (share of slices)", Some((0.0, 1.0))), |score| score.accuracy)
    }

    /// Loss (cross entropy, nats) by epoch, from 0 on.
    pub fn loss_figure(&self) -> Result<Figure> {
        self.loss_figure_to(self.highest_loss())
    }

    /// The same up to `top`, so that runs can be compared.
    pub(crate) fn loss_figure_to(&self, top: f64) -> Result<Figure> {
        self.curves("Loss", ("cross entropy (nats)", Some((0.0, top))), |score| score.loss)
    }

    /// The highest loss of any epoch, at least that of guessing.
    pub(crate) fn highest_loss(&self) -> f64 {
        let scores = self.epochs.iter().flat_map(|of| [Some(of.training), Some(of.validation), of.test]);
        scores.flatten().map(|score| score.loss).filter(|loss| loss.is_finite()).fold(std::f64::consts::LN_2, f64::max)
    }

    /// Accuracy and loss by epoch, side by side.
    pub fn page(&self) -> Result<Page> {
        Ok(Page::new().with_row(&[self.figure()?, self.loss_figure()?]))
    }

    /// Shows the epochs so far in the running cell of a notebook, in the place of those before; once the training is over one
    /// line, since the cell shows the history itself. At most once a second and 200 KB a second: beyond 1 MB a second Jupyter's
    /// server drops what a cell shows, its errors included.
    pub(crate) fn show_while_training(&self) {
        static NEXT: Mutex<Option<Instant>> = Mutex::new(None);
        let is_over = has_ended(&self.epochs, &self.run);
        let mut next = locked(&NEXT);
        if !is_relayed() || !is_over && next.is_some_and(|next| Instant::now() < next) {
            return;
        }
        let said = format!("{} of {} epochs trained", self.epochs.len(), self.run.epochs);
        let whole = || Some(Page::new().with(&self.table()).with(&self.page().ok()?).html());
        let html = if is_over { None } else { whole() }.unwrap_or_else(|| format!("<div>{said}</div>"));
        show_in_place("training", &html, &said);
        *next = Some(Instant::now() + Duration::from_secs_f64((html.len() as f64 / 200e3).max(1.0)));
    }

    fn curves(&self, title: &str, unit: (&str, Option<(f64, f64)>), value: fn(&Score) -> f64) -> Result<Figure> {
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

    /// One row for each epoch.
    pub fn table(&self) -> Table {
        let columns = [
            "Epoch",
            "Training loss",
            "Training accuracy",
            "Validation loss",
            "Validation accuracy",
            "Validation scan AUC",
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
                e.validation_scan_auc.map_or("–".to_owned(), |auc| format!("{auc:.3}")),
                loss(e.test),
                accuracy(e.test),
                human_seconds(e.seconds),
                rate(e.images_per_second),
                percent(Some(e.waited / e.seconds.max(1e-9))),
            ]);
        }
        if let Some(seconds) = self.feature_seconds {
            let once = human_seconds(seconds);
            table =
                table.note(format!("The frozen backbone's features took {once}, once; times are those of the head."));
        }
        if let Some(best) = self.best() {
            table = table.note(format!("Best {}: epoch {}. Device: {}.", self.chosen_by(), best.epoch, self.device));
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
