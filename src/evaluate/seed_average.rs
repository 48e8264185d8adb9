//! Several seeds: how much results vary between trainings, and the networks' averaged predictions.

use crate::base::errors::{Context, Result, ensure};
use crate::base::files::Digest;
use crate::base::table::{Page, Table, shown_by};
use crate::data::manifest::Manifest;
use crate::data::split::{Subset, listed};
use crate::data::workspace::Workspace;
use crate::evaluate::assessment::{Assessment, OF_SCANS, SEED, estimated, scored_scans};
use crate::evaluate::predict::Predictions;
use crate::evaluate::scan_decisions::ScanRule;
use crate::evaluate::several_runs::{FinishedRun, common_folder, finish_all, measured, spread};
use crate::stats::metrics::{DRAWS, Estimate, Measure, Paired, Performance, ScoredSample};
use crate::train::config::RunConfig;
use crate::train::event::RunEvent;
use crate::train::run_folder::{Artifact, RunFolder};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

#[cfg(test)]
mod tests;

/// What the tables state of scans.
const MEASURES: [Measure; 2] = [Measure::RocAuc, Measure::BalancedAccuracy];

/// One seed's scans of a subset, next to those of the averaged network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedSubset {
    /// Validation or test.
    pub subset: Subset,
    /// By scan, with the run's own rule.
    pub scans: Performance,
    /// The averaged network minus this one, with the same patients drawn for both.
    pub averaged_minus_this: Paired,
}

/// One seed: a run and its figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedResult {
    /// Seed of the initial weights and of the sampler.
    pub seed: u64,
    /// Name of the run.
    pub run: String,
    /// Hash of its best checkpoint.
    pub weights: Digest,
    /// The best epoch on the validation set, by the run's selection.
    pub best_epoch: usize,
    /// Its rule by which a scan is called covid, chosen on its own validation predictions.
    pub rule: ScanRule,
    /// Validation and, where it has slices, test.
    pub subsets: Vec<SeedSubset>,
}

/// Trainings that differ in their seed alone, and their networks averaged: the mean of the networks' probabilities of each
/// slice. The split is the same for all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedAverage {
    /// The settings that the runs share; its name is what their names begin with, its seed is not used.
    pub run: RunConfig,
    /// Name of the data set.
    pub data: String,
    /// The seeds.
    pub seeds: Vec<SeedResult>,
    /// The averaged network's rule by which a scan is called covid, chosen on its validation predictions.
    pub rule: ScanRule,
    /// The averaged network with 95 % intervals over patients; its hash of weights is the joint one of the runs.
    pub averaged: Assessment,
}

impl SeedAverage {
    /// How many seeds may be averaged.
    pub const SEEDS: RangeInclusive<usize> = 2..=100;

    /// Opens, trains and evaluates the runs `<name>-seed1`, `<name>-seed2`, …, one for each of `seeds`, and averages their
    /// predictions of validation and test. Each is an ordinary run: a finished one is not repeated, an interrupted one is
    /// resumed. Written are `seed-average.json`, the averaged predictions by slice and by scan, the scan rule and the
    /// assessment, in the folder `runs/<data set>/<name>-seeds/`.
    ///
    /// 2 to 100 different seeds; the seed of the split is that of `config.split` for all. `report` is called with every
    /// event of the runs.
    ///
    /// # Errors
    /// Settings that cannot work, another number of seeds or one twice, no audit yet, or the error of a run.
    pub fn run(
        work: &Workspace,
        config: &RunConfig,
        seeds: &[u64],
        report: impl Fn(&RunEvent) + Send + Sync + 'static,
    ) -> Result<Self> {
        let doing = || format!("averaging several seeds of {}", config.name);
        ensure!(Self::SEEDS.contains(&seeds.len()), "{}: expected 2 to 100 seeds, found {}", doing(), seeds.len());
        let different: BTreeSet<u64> = seeds.iter().copied().collect();
        ensure!(different.len() == seeds.len(), "{}: expected different seeds, found {seeds:?}", doing());
        let folder = common_folder(work, &config.name, "seeds").with_context(doing)?;
        let run = |&seed| RunConfig { name: format!("{}-seed{seed}", config.name), seed, ..config.clone() };
        let runs =
            finish_all(work, (&format!("{}-seeds", config.name), false), seeds.iter().map(run).collect(), report)
                .with_context(doing)?;
        let manifest = work.audit()?.accepted();
        let (found, subsets) = Self::of(config, &runs, &folder.name(), &manifest).with_context(doing)?;
        for predictions in &subsets {
            predictions.write(&folder)?;
            predictions.by_scan(&found.rule).write(&folder)?;
        }
        folder.write(Artifact::ScanRule, &found.rule)?;
        folder.write(Artifact::Assessment, &found.averaged)?;
        folder.write(Artifact::SeedAverage, &found)?;
        Ok(found)
    }

    /// The results, and the averaged predictions of validation and test.
    fn of(
        config: &RunConfig,
        runs: &[FinishedRun],
        name: &str,
        manifest: &Manifest,
    ) -> Result<(Self, Vec<Predictions>)> {
        let (validation, of_validation) =
            averaged(runs, Subset::Validation, name)?.context("no validation predictions")?;
        let rule = ScanRule::choose(&validation, ScanRule::kind_of(config))?;
        let test = averaged(runs, Subset::Test, name)?;
        let assessment = Assessment::of(&validation, test.as_ref().map(|(test, _)| test), manifest, &rule)?;
        let mut seeds: Vec<SeedResult> = runs.iter().map(SeedResult::without_subsets).collect();
        let mut subsets = Vec::new();
        for (averaged, singles) in [(validation, of_validation)].into_iter().chain(test) {
            let of_averaged = samples(&averaged, manifest, &rule)?;
            for (seed, single) in seeds.iter_mut().zip(&singles) {
                let of_single = samples(single, manifest, &seed.rule)?;
                seed.subsets.push(SeedSubset {
                    subset: averaged.about.subset,
                    scans: Performance::with_score_intervals(&of_single)?,
                    averaged_minus_this: Paired::of(&of_single, &of_averaged, DRAWS, SEED)?,
                });
            }
            subsets.push(averaged);
        }
        let data = manifest.name.clone();
        Ok((Self { run: config.clone(), data, seeds, rule, averaged: assessment }, subsets))
    }

    /// One row for each seed, their mean and standard deviation, and the averaged network with 95 % intervals; by scan.
    pub fn table(&self) -> Table {
        let mut columns = vec!["Network".to_owned()];
        for of in &self.averaged.subsets {
            let mark = of.subset.leak_mark(&self.averaged.leaks);
            columns.extend(MEASURES.map(|measure| format!("{}, {}{mark}", measure.name(), of.subset)));
        }
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let title = format!("{} seeds of {} on {}: scans", self.seeds.len(), self.run.name, self.data);
        let mut table = Table::new(title, &columns);
        for seed in &self.seeds {
            let cells = seed
                .subsets
                .iter()
                .flat_map(|of| MEASURES.map(|measure| measured(measure, of.scans.get(measure).value)));
            table.row([format!("Seed {}", seed.seed)].into_iter().chain(cells));
        }
        let of_all = |subset: usize, measure| {
            self.seeds.iter().map(move |seed| seed.subsets.get(subset)?.scans.get(measure).value)
        };
        let spreads = (0..self.averaged.subsets.len())
            .flat_map(|subset| MEASURES.map(|measure| spread(measure, of_all(subset, measure))));
        table.row(["Mean of the seeds".to_owned()].into_iter().chain(spreads));
        let cells =
            self.averaged.subsets.iter().flat_map(|of| MEASURES.map(|measure| estimated(of.scans.get(measure))));
        table.row(["Averaged network".to_owned()].into_iter().chain(cells));
        self.notes().into_iter().fold(table, Table::note)
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            format!(
                "The averaged network: the mean of the {} probabilities of each slice; a scan is {} ({}). Scans are \
                 ranked by the score of their network's rule.",
                self.seeds.len(),
                self.rule.text(),
                self.rule.chosen
            ),
            format!(
                "SD: standard deviation between trainings on one split. 95 % intervals, before the value: {OF_SCANS}; the \
                 networks are fixed."
            ),
            "Validation figures are optimistic: epochs and thresholds were chosen on these scans.".to_owned(),
        ];
        if !self.averaged.leaks.is_empty() {
            let leaks = listed(&self.averaged.leaks);
            notes.push(format!("LEAKING SPLIT: the {leaks} figures hold for patients that were learned from."));
        }
        notes
    }

    /// One row for each seed and subset: the averaged network minus the single one, by scan.
    pub fn paired_table(&self) -> Table {
        let columns =
            ["Averaged minus", "Scans", "ROC AUC", "Balanced accuracy", "Only averaged right", "Only seed right"];
        let mut table =
            Table::new("The averaged network and each seed's: 95 % interval of the difference, and value", &columns);
        for (seed, of) in self.seeds.iter().flat_map(|seed| seed.subsets.iter().map(move |of| (seed, of))) {
            let paired = &of.averaged_minus_this;
            let [area, balanced] = MEASURES.map(|measure| {
                let difference = paired.get(measure);
                let (value, interval, defined) = (difference.value, difference.interval, difference.defined);
                estimated(&Estimate { measure, value, interval, defined, exact: false })
            });
            table.row([
                format!("Seed {}", seed.seed),
                format!("{} {}{}", paired.samples, of.subset, of.subset.leak_mark(&self.averaged.leaks)),
                area,
                balanced,
                paired.mcnemar.only_b.to_string(),
                paired.mcnemar.only_a.to_string(),
            ]);
        }
        table.note(
            "Above 0 the averaged network is better. Bootstrap over patients, the same draws for both; if an interval \
             contains 0, either may be better. Each network is part of the average it is compared with.",
        )
    }

    fn page(&self) -> Page {
        Page::new().with(&self.table()).with(&self.paired_table())
    }
}

shown_by!(page, SeedAverage);

impl SeedResult {
    fn without_subsets(run: &FinishedRun) -> Self {
        let evaluation = &run.evaluation;
        Self {
            seed: evaluation.run.seed,
            run: run.folder.name(),
            weights: evaluation.weights,
            best_epoch: evaluation.best_epoch,
            rule: evaluation.rule.clone(),
            subsets: Vec::new(),
        }
    }
}

impl RunFolder {
    /// The averaged seeds whose results are in this folder, `<name>-seeds`.
    ///
    /// # Errors
    /// No averaged seeds here, or damaged ones.
    pub fn seed_average(&self) -> Result<SeedAverage> {
        self.read(Artifact::SeedAverage)
    }
}

/// The averaged predictions of a subset and those of every run; `None` where the split gives the subset no slices.
fn averaged(runs: &[FinishedRun], subset: Subset, name: &str) -> Result<Option<(Predictions, Vec<Predictions>)>> {
    let singles = runs.iter().map(|run| run.predictions(subset)).collect::<Result<Option<Vec<_>>>>()?;
    singles.map(|singles| Ok((Predictions::averaged(name, &singles)?, singles))).transpose()
}

fn samples(predictions: &Predictions, manifest: &Manifest, rule: &ScanRule) -> Result<Vec<ScoredSample>> {
    Ok(scored_scans(predictions, manifest, rule.rule)?.into_iter().map(|scan| scan.1).collect())
}
