//! The slides' published results: every epoch, every classification report, and the comparison, as printed.

use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::files::read_json;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The slides' results: `data_manifest/published-results.json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The source of the figures.
    pub source: String,
    /// Whether the test set is a slice-level split.
    pub leaking_split: bool,
    /// Consequences of the split, in words.
    pub note: String,
    /// Reports with an inconsistent figure, which is kept as printed.
    pub misprints: Vec<Misprint>,
    /// The networks.
    pub models: Vec<PublishedModel>,
}

/// A report of the slides with a figure that contradicts the others.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Misprint {
    /// [`PublishedModel::key`].
    pub model: String,
    /// `train`, `validation` or `test`.
    pub subset: String,
    /// What is wrong with it.
    pub what: String,
}

/// One network of the slides.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedModel {
    /// Its name there.
    pub model: String,
    /// Its name here: [`Architecture::key`](crate::Architecture::key).
    pub key: String,
    /// The epoch with the highest validation accuracy.
    pub best_epoch: usize,
    /// The log.
    pub epochs: Vec<PublishedEpoch>,
    reports: BTreeMap<String, PublishedReport>,
    comparison: PublishedAccuracy,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct PublishedEpoch {
    pub epoch: usize,
    pub training_loss: f64,
    pub training_accuracy: f64,
    pub validation_loss: f64,
    pub validation_accuracy: f64,
    pub test_loss: f64,
    pub test_accuracy: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishedAccuracy {
    train_accuracy: f64,
    validation_accuracy: f64,
    test_accuracy: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct PublishedReport {
    covid: PublishedClass,
    non_covid: PublishedClass,
    accuracy: f64,
    #[serde(rename = "macro_avg")]
    macro_average: PublishedAverage,
    #[serde(rename = "weighted_avg")]
    weighted_average: PublishedAverage,
    support: u64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishedClass {
    precision: f64,
    recall: f64,
    f1: f64,
    support: u64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishedAverage {
    precision: f64,
    recall: f64,
    f1: f64,
}

impl Published {
    /// The slides' results, which are part of the library.
    pub fn slides() -> Result<Self> {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/data_manifest/published-results.json"));
        let published: Self = serde_json::from_str(text).context("reading the published results of the library")?;
        published.check()?;
        Ok(published)
    }

    /// Reads published results and checks that they are consistent.
    ///
    /// # Errors
    /// Inconsistent figures: supports that do not add up, averages and accuracies that do not follow from the classes
    /// (except for `misprints`), a best epoch other than that with the highest validation accuracy, or a comparison
    /// with figures of another epoch.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let published: Self = read_json(path, "published results")?;
        published.check().with_context(|| format!("reading {}", path.display()))?;
        Ok(published)
    }

    fn check(&self) -> Result<()> {
        for model in &self.models {
            model.check_log().with_context(|| format!("the log of {}", model.model))?;
            for (subset, report) in &model.reports {
                let checked = report.check().with_context(|| format!("the {subset} report of {}", model.model));
                let known = self.misprints.iter().any(|m| m.model == model.key && &m.subset == subset);
                match (checked, known) {
                    (Err(_), true) | (Ok(()), false) => {}
                    (Ok(()), true) => bail!("the {subset} report of {} is called a misprint and fits", model.model),
                    (Err(error), false) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

impl PublishedModel {
    /// Accuracy over the slices of train, validation and test, 0 to 1, in the slides' comparison.
    pub fn accuracy(&self) -> [f64; 3] {
        let PublishedAccuracy { train_accuracy, validation_accuracy, test_accuracy } = self.comparison;
        [train_accuracy, validation_accuracy, test_accuracy]
    }

    fn check_log(&self) -> Result<()> {
        let best = self.epochs.iter().rev().max_by(|a, b| a.validation_accuracy.total_cmp(&b.validation_accuracy));
        let best = best.context("there are no epochs")?;
        ensure!(best.epoch == self.best_epoch, "epoch {} is the best, not {}", best.epoch, self.best_epoch);
        let of_best = [best.training_accuracy, best.validation_accuracy, best.test_accuracy];
        for (name, log, compared) in [
            ("training", of_best[0], self.accuracy()[0]),
            ("validation", of_best[1], self.accuracy()[1]),
            ("test", of_best[2], self.accuracy()[2]),
        ] {
            ensure!((log - compared).abs() <= 0.5e-4 + 1e-9, "{name} accuracy is {log} there, {compared} compared");
        }
        Ok(())
    }
}

/// The largest rounding error of a figure with two digits.
const ROUNDED: f64 = 0.005 + 1e-9;

impl PublishedReport {
    fn check(&self) -> Result<()> {
        let (covid, other) = (&self.covid, &self.non_covid);
        let sum = covid.support + other.support;
        ensure!(sum == self.support, "supports add up to {sum}, not to {}", self.support);
        let share = covid.support as f64 / sum as f64;
        for (name, of, plain, weighted) in [
            (
                "precision",
                [covid.precision, other.precision],
                self.macro_average.precision,
                self.weighted_average.precision,
            ),
            ("recall", [covid.recall, other.recall], self.macro_average.recall, self.weighted_average.recall),
            ("f1", [covid.f1, other.f1], self.macro_average.f1, self.weighted_average.f1),
        ] {
            // Both the average and what it is made from are rounded.
            let average = (of[0] + of[1]) / 2.0;
            ensure!(
                (plain - average).abs() <= 2.0 * ROUNDED,
                "the macro average of {name} is {plain}, not {average:.3}"
            );
            let average = share * of[0] + (1.0 - share) * of[1];
            ensure!(
                (weighted - average).abs() <= 2.0 * ROUNDED,
                "the weighted average of {name} is {weighted}, not {average:.3}"
            );
        }
        for class in [covid, other] {
            let f1 = 2.0 * class.precision * class.recall / (class.precision + class.recall);
            ensure!((class.f1 - f1).abs() <= 2.0 * ROUNDED, "an f1 of {} does not follow: {f1:.3}", class.f1);
        }
        let accuracy = share * covid.recall + (1.0 - share) * other.recall;
        ensure!(
            (self.accuracy - accuracy).abs() <= 2.0 * ROUNDED,
            "the accuracy is {}, not {accuracy:.3}",
            self.accuracy
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slides_figures_are_consistent_and_a_slip_is_found() {
        let published = Published::slides().expect("consistent");
        assert_eq!(published.models.len(), 4);
        assert!(
            published.leaking_split && published.models.iter().all(|m| m.epochs.len() == 5 && m.reports.len() == 3)
        );
        for slip in [
            |p: &mut Published| p.models[0].best_epoch = 5,
            |p: &mut Published| p.models[1].comparison.test_accuracy += 0.01,
            |p: &mut Published| p.models[2].reports.values_mut().for_each(|r| r.covid.support += 1),
            |p: &mut Published| p.models[3].reports.values_mut().for_each(|r| r.macro_average.recall += 0.03),
        ] {
            let mut wrong = published.clone();
            slip(&mut wrong);
            wrong.check().expect_err("a slip");
        }
    }
}
