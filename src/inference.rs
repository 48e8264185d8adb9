//! What a network says of unlabelled scans, with everything that speaks for taking care.

use crate::assess::Assessment;
use crate::cache::SliceCache;
use crate::files::{read_json, write_json};
use crate::manifest::Label;
use crate::metrics::Interval;
use crate::predict::{About, Predictions};
use crate::scan::ScanRule;
use crate::split::Split;
use crate::table::{Table, percent, shown_as_table};
use crate::typical::Typical;
use anyhow::{Result, ensure};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Draws of the bootstrap over a scan's slices, and its seed.
const DRAWS: usize = 1_000;
const SEED: u64 = 1;

/// What is said of one unlabelled scan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InferredScan {
    /// Scan folder.
    pub scan: String,
    /// Slices called covid.
    pub covid_slices: usize,
    /// Slices judged.
    pub slices: usize,
    /// Mean covid probability of the slices, temperature-scaled; 0 to 1.
    pub probability: f64,
    /// 95 % interval of that mean: bootstrap over the scan's slices. It says how far they agree, not how far the network
    /// is right. `None` for a scan of one slice.
    pub interval: Option<Interval>,
    /// The decision by the run's scan rule.
    pub decision: Label,
    /// Share of training scans whose grey levels are more unusual than this scan's, 0 to 1.
    pub farther: Option<f64>,
    /// The hint that follows from it.
    pub hint: String,
}

/// The unlabelled scans as a run judges them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inference {
    /// What the predictions were made from.
    pub about: About,
    /// The rule of decision.
    pub rule: ScanRule,
    /// The temperature that probabilities were scaled with; `None` where validation has one label only.
    pub temperature: Option<f64>,
    /// One a scan.
    pub scans: Vec<InferredScan>,
}

impl Inference {
    /// Sums up predictions of unlabelled slices by scan and writes `inference.json` into the run's folder.
    ///
    /// # Errors
    /// A run that was not evaluated, or with other weights than the predictions.
    pub fn of(
        run_folder: impl AsRef<Path>,
        cache: &SliceCache,
        split: &Split,
        predictions: &Predictions,
    ) -> Result<Self> {
        let folder = run_folder.as_ref();
        let (assessment, rule) = (Assessment::read(folder)?, ScanRule::read(folder)?);
        ensure!(
            assessment.weights == predictions.about.weights,
            "judging unlabelled scans: the assessment in {} is of the weights {}, the predictions of {}: run `covid-ct \
             evaluate` again",
            folder.display(),
            assessment.weights.short(),
            predictions.about.weights.short()
        );
        let typical = Typical::of(cache, split, predictions.about.subset).ok();
        let scans = predictions.by_scan(&rule);
        let rows = scans.rows().iter().map(|row| {
            let of_scan = predictions.rows().iter().filter(|slice| slice.scan == row.scan);
            let scaled = |p: f64| assessment.temperature.as_ref().map_or(p, |temperature| temperature.apply(p));
            let slices: Vec<f64> = of_scan.map(|slice| scaled(f64::from(slice.covid))).collect();
            InferredScan {
                scan: row.scan.clone(),
                covid_slices: row.covid_slices,
                slices: row.slices,
                probability: slices.iter().sum::<f64>() / slices.len() as f64,
                interval: interval(&slices),
                decision: row.decision,
                farther: typical.as_ref().and_then(|typical| typical.farther.get(&row.scan).copied()),
                hint: typical.as_ref().map_or("–", |typical| typical.hint(&row.scan)).to_owned(),
            }
        });
        let (about, temperature) = (predictions.about.clone(), assessment.temperature.map(|of| of.value));
        let inference = Self { about, rule: rule.clone(), temperature, scans: rows.collect() };
        write_json(&folder.join("inference.json"), &inference)?;
        Ok(inference)
    }

    /// Reads what [`of`](Self::of) wrote.
    pub fn read(run_folder: impl AsRef<Path>) -> Result<Self> {
        read_json(&run_folder.as_ref().join("inference.json"), "judged scans (written by `covid-ct predict`)")
    }

    /// One row a scan: the interval before the value.
    pub fn table(&self) -> Table {
        let columns = ["Scan", "Covid slices", "Covid probability: 95 % interval (mean)", "Decision", "Grey levels"];
        let mut table = Table::new(self.about.title("scans"), &columns);
        const SHOWN: usize = 60;
        for row in self.scans.iter().take(SHOWN) {
            let mean = format!("{:.2}", row.probability);
            let interval = row.interval.map_or("–".to_owned(), |of| format!("{:.2} to {:.2}", of.low, of.high));
            table.row([
                row.scan.clone(),
                format!("{}/{}", row.covid_slices, row.slices),
                format!("{interval} ({mean})"),
                row.decision.to_string(),
                row.hint.clone(),
            ]);
        }
        let covid = self.scans.iter().filter(|row| row.decision == Label::Covid).count();
        let unusual = self.scans.iter().filter(|row| row.farther.is_some_and(|share| share < 0.01)).count();
        let calibrated = match self.temperature {
            Some(value) => format!("calibrated on the validation slices (temperature {value:.3})"),
            None => "not calibrated".to_owned(),
        };
        table
            .note(format!(
                "{covid} of {} scans ({}) are called covid: {} ({}). Probabilities are {calibrated}; intervals over a scan's \
                 slices say how far they agree.",
                self.scans.len(),
                percent(Some(covid as f64 / self.scans.len().max(1) as f64)),
                self.rule.text(),
                self.rule.chosen
            ))
            .note(format!(
                "{unusual} scans have grey levels that fewer than 1 % of the training scans have: there the network was \
                 asked something it has not learned. For research, not for diagnosis."
            ))
    }
}

shown_as_table!(Inference);

/// Percentile bootstrap of a mean.
fn interval(values: &[f64]) -> Option<Interval> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut mean =
        || (0..values.len()).map(|_| values[rng.gen_range(0..values.len())]).sum::<f64>() / values.len() as f64;
    let mut drawn: Vec<f64> = if values.len() > 1 { (0..DRAWS).map(|_| mean()).collect() } else { return None };
    drawn.sort_by(f64::total_cmp);
    Some(Interval { low: drawn[DRAWS * 25 / 1000], high: drawn[DRAWS * 975 / 1000 - 1] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_holds_the_mean_and_needs_two_slices() {
        assert_eq!(interval(&[0.3]), None);
        assert_eq!(interval(&[0.3; 5]), Some(Interval { low: 0.3, high: 0.3 }));
        let values: Vec<f64> = (0..100).map(|i| f64::from(i) / 99.0).collect();
        let found = interval(&values).expect("an interval");
        // Standard error of the mean: 0.2916 / √100.
        assert!((found.low - (0.5 - 1.96 * 0.029)).abs() < 0.012, "{found:?}");
        assert!((found.high - (0.5 + 1.96 * 0.029)).abs() < 0.012, "{found:?}");
    }
}
