//! Two runs on the same scans.

use crate::assess::{estimated, judged_scans};
use crate::evaluation::Evaluation;
use crate::manifest::Manifest;
use crate::metrics::{Judged, Measure, Paired};
use crate::predict::Predictions;
use crate::split::Subset;
use crate::table::{Table, shown_as_table};
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::path::Path;

/// Draws of the bootstrap, and its seed.
const DRAWS: u32 = 2_000;
const SEED: u64 = 1;

/// Runs against the first one, each on the scans that both have judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairedRuns {
    /// The run that the others are held against.
    pub baseline: String,
    /// The others: name, subset, differences (other minus baseline) and McNemar's test.
    pub others: Vec<(String, Subset, Paired)>,
    /// Pairs that cannot be compared, and why.
    pub left_out: Vec<String>,
}

impl PairedRuns {
    /// Compares evaluated runs by scan: on the validation scans, and on the test scans where two runs have the same ones.
    ///
    /// # Errors
    /// Fewer than two runs, or one that was not evaluated.
    pub fn of(runs: impl AsRef<Path>, names: &[impl AsRef<str>], manifest: &Manifest) -> Result<Self> {
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        ensure!(names.len() > 1, "comparing runs in pairs: expected two or more, found {}", names.len());
        let judged = |name: &str, subset: Subset| -> Result<Option<Vec<(String, Judged)>>> {
            let folder = runs.as_ref().join(name);
            let rule = Evaluation::read(&folder)?.rule;
            let file = folder.join(format!("predictions-{subset}.json"));
            let read = || judged_scans(&Predictions::read(&folder, subset)?, manifest, rule.rule);
            file.is_file().then(read).transpose().with_context(|| format!("reading the scans of the run {name}"))
        };
        let (mut others, mut left_out) = (Vec::new(), Vec::new());
        for subset in [Subset::Validation, Subset::Test] {
            let Some(first) = judged(names[0], subset)? else { continue };
            for name in &names[1..] {
                let Some(other) = judged(name, subset)? else { continue };
                if first.iter().map(|s| &s.0).ne(other.iter().map(|s| &s.0)) {
                    left_out
                        .push(format!("{name}, {subset}: its {subset} scans are others than those of {}", names[0]));
                    continue;
                }
                let judged = |of: &[(String, Judged)]| of.iter().map(|s| s.1).collect::<Vec<_>>();
                others.push((name.to_string(), subset, Paired::of(&judged(&first), &judged(&other), DRAWS, SEED)?));
            }
        }
        Ok(Self { baseline: names[0].to_owned(), others, left_out })
    }

    /// One row a pair and subset.
    pub fn table(&self) -> Table {
        let columns =
            ["Run", "Scans", "Balanced accuracy", "ROC AUC", "Only it is right", "Only baseline", "McNemar p"];
        let mut table =
            Table::new(format!("Against {}: difference by scan, 95 % interval and value", self.baseline), &columns);
        for (name, subset, paired) in &self.others {
            table.row([
                name.clone(),
                format!("{} {subset}", paired.samples),
                difference(paired, Measure::BalancedAccuracy),
                difference(paired, Measure::RocAuc),
                paired.mcnemar.only_b.to_string(),
                paired.mcnemar.only_a.to_string(),
                format!("{:.3}", paired.mcnemar.p),
            ]);
        }
        let table = table.note(
            "Above 0 the run is better than the baseline. Bootstrap over patients, the same draws for both; an interval that \
             holds 0 leaves open which is better. McNemar's exact test takes scans as independent.",
        );
        self.left_out.iter().fold(table, |table, why| table.note(format!("Left out: {why}.")))
    }
}

shown_as_table!(PairedRuns);

fn difference(paired: &Paired, measure: Measure) -> String {
    let of = paired.get(measure);
    let (value, interval, defined) = (of.value, of.interval, of.defined);
    estimated(&crate::metrics::Estimate { measure, value, interval, defined, exact: false })
}
