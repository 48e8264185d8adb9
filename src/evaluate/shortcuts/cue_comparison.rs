//! A network compared with shallow cues, on the same scans.

use super::cues::cue_rows;
use super::{CueClassifier, CueRow};
use crate::base::errors::{Context, Result, ensure};
use crate::base::figure::{Bar, Figure, bars};
use crate::base::files::Digest;
use crate::base::progress::thousands;
use crate::base::table::{Page, Table, shown_as_table};
use crate::data::cache::SliceCache;
use crate::data::split::{Split, Subset};
use crate::evaluate::assessment::{estimated, scored_scans};
use crate::evaluate::decision_rules::Rule;
use crate::evaluate::predict::Predictions;
use crate::stats::metrics::{DRAWS, Difference, Estimate, Measure, Paired, Performance, ScoredSample};
use crate::train::experiment::Experiment;
use crate::train::run_folder::{Artifact, RunFolder};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};

const SEED: u64 = 1;

/// A subset's scans, classified by shallow cues and by the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CueComparisonRow {
    /// Validation or test.
    pub subset: Subset,
    /// How many scans.
    pub scans: usize,
    /// Of how many patients.
    pub patients: usize,
    /// ROC AUC of the cues.
    pub cues: Estimate,
    /// ROC AUC of the network: the mean covid probability of a scan's slices.
    pub network: Estimate,
    /// Network minus cues, with the same patients drawn for both.
    pub difference: Difference,
}

/// A run compared with a classifier of shallow cues that is fitted to the run's training scans and evaluated on the
/// same validation and test scans.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CueComparison {
    /// Name of the run.
    pub run: String,
    /// Hash of its weights.
    pub weights: Digest,
    /// Hash of the manifest.
    pub manifest: Digest,
    /// Subsets whose scans were learned from.
    pub leaks: Vec<Subset>,
    /// Training scans that the cues were learned from.
    pub training: usize,
    /// Validation and test, where they have scans of both labels.
    pub rows: Vec<CueComparisonRow>,
    /// Subsets that are left out, and why.
    pub left_out: Vec<String>,
}

impl CueComparison {
    /// Fits the cues of the training scans, and compares them with a run's predictions of the validation set and, where
    /// it has slices, of the test set.
    ///
    /// # Errors
    /// Predictions of another split than the experiment's. Scans of one label only are no error: see
    /// [`left_out`](Self::left_out).
    pub fn of(experiment: &Experiment, validation: &Predictions, test: Option<&Predictions>) -> Result<Self> {
        let (about, cache) = (&validation.about, experiment.cache());
        let doing = || format!("comparing the run {} with shallow cues", about.run);
        for predictions in std::iter::once(validation).chain(test) {
            let (found, expected) = (predictions.about.split, experiment.split().hash());
            ensure!(
                found == expected,
                "{}: its {} predictions belong to the split {}, this one is {}",
                doing(),
                predictions.about.subset,
                found.short(),
                expected.short()
            );
        }
        let training = scans_of(cache, experiment.split(), Subset::Train);
        let training = cue_rows(cache, &training).with_context(doing)?;
        let mut found = Self {
            run: about.run.clone(),
            weights: about.weights,
            manifest: about.manifest,
            leaks: about.leaks.clone(),
            training: training.len(),
            rows: Vec::new(),
            left_out: Vec::new(),
        };
        match one_label(training.iter().map(|row| row.covid)) {
            Some(counts) => found.left_out.push(format!("the training subset has {counts}: cues cannot be learned")),
            None => {
                let classifier = CueClassifier::fit(&training).with_context(doing)?;
                for predictions in std::iter::once(validation).chain(test) {
                    found.add(predictions, cache, &classifier).with_context(doing)?;
                }
            }
        }
        Ok(found)
    }

    fn add(&mut self, predictions: &Predictions, cache: &SliceCache, classifier: &CueClassifier) -> Result<()> {
        let subset = predictions.about.subset;
        let manifest = cache.manifest();
        let scans = scored_scans(predictions, manifest, Rule::MeanProbability(0.5))?;
        if let Some(counts) = one_label(scans.iter().map(|scan| scan.1.covid)) {
            self.left_out.push(format!("the {subset} subset has {counts}: there is no ROC curve"));
            return Ok(());
        }
        let number: HashMap<&str, usize> =
            manifest.scans.iter().enumerate().map(|(index, scan)| (scan.folder.as_str(), index)).collect();
        let indices = scans.iter().map(|(scan, _)| number.get(scan.as_str()).copied());
        let indices: Vec<usize> = indices.collect::<Option<_>>().context("a predicted scan is not in the cache")?;
        let cues: Vec<CueRow> = cue_rows(cache, &indices)?;
        ensure!(cues.len() == scans.len(), "expected cues of {} {subset} scans, found {}", scans.len(), cues.len());
        let network: Vec<ScoredSample> = scans.into_iter().map(|scan| scan.1).collect();
        let by_cues = |(scan, row): (&ScoredSample, &CueRow)| classified(scan, row, classifier);
        let cues: Vec<ScoredSample> = network.iter().zip(&cues).map(by_cues).collect();
        let area = |scans: &[ScoredSample]| {
            Ok::<_, crate::base::errors::Error>(*Performance::with_score_intervals(scans)?.get(Measure::RocAuc))
        };
        let paired = Paired::of(&cues, &network, DRAWS, SEED)?;
        self.rows.push(CueComparisonRow {
            subset,
            scans: paired.samples,
            patients: paired.patients,
            cues: area(&cues)?,
            network: area(&network)?,
            difference: *paired.get(Measure::RocAuc),
        });
        Ok(())
    }

    /// One row for each subset, confidence intervals before values.
    pub fn table(&self) -> Table {
        let columns = ["Scans", "Shallow cues alone", "Network", "Network minus cues"];
        let title = format!("{} compared with shallow cues: ROC AUC by scan, 95 % intervals, and values", self.run);
        let mut table = Table::new(title, &columns);
        for row in &self.rows {
            let Difference { measure, value, interval, defined, .. } = row.difference;
            let mark = row.subset.leak_mark(&self.leaks);
            table.row([
                format!("{} {}{mark}, {} patients", thousands(row.scans as u64), row.subset, row.patients),
                estimated(&row.cues),
                estimated(&row.network),
                estimated(&Estimate { measure, value, interval, defined, exact: false }),
            ]);
        }
        let table = table.note(format!(
            "File size, dimensions, colour mode, brightness, black, border and number of slices, learned from the {} \
             training scans of the network. A network that is hardly better than the cues may have learned the \
             hospital, not the disease.",
            thousands(self.training as u64)
        ));
        self.left_out.iter().fold(table, |table, why| table.note(format!("Left out: {why}.")))
    }

    /// The table over the figure.
    pub fn page(&self) -> Result<Page> {
        Ok(Page::new().with(self).with(&self.figure()?))
    }

    /// The areas side by side.
    ///
    /// # Errors
    /// No subset with scans of both labels.
    pub fn figure(&self) -> Result<Figure> {
        let bar = |row: &CueComparisonRow, series: &str, of: &Estimate| Bar {
            group: format!("{}{}", row.subset, row.subset.leak_mark(&self.leaks)),
            series: series.to_owned(),
            value: of.value.unwrap_or(0.0),
            interval: of.interval.map(|interval| (interval.low, interval.high)),
        };
        let of_row = |row: &CueComparisonRow| [bar(row, "shallow cues", &row.cues), bar(row, "network", &row.network)];
        bars(
            &format!("{} compared with shallow cues", self.run),
            "ROC AUC over scans",
            (0.0, 1.0),
            Some((0.5, "chance")),
            &self.rows.iter().flat_map(of_row).collect::<Vec<_>>(),
            "The same scans, classified by cues that need no lung, and by the network. Lines: 95 % confidence \
             intervals over patients.",
        )
    }
}

impl RunFolder {
    /// The network compared with shallow cues.
    pub fn cue_comparison(&self) -> Result<CueComparison> {
        self.read(Artifact::CueComparison)
    }
}

shown_as_table!(CueComparison);

/// The scans of a subset, each once.
fn scans_of(cache: &SliceCache, split: &Split, subset: Subset) -> Vec<usize> {
    let slices = &cache.manifest().slices;
    let scans: BTreeSet<usize> = split.slices(subset).into_iter().map(|slice| slices[slice].scan).collect();
    scans.into_iter().collect()
}

fn classified(scan: &ScoredSample, row: &CueRow, classifier: &CueClassifier) -> ScoredSample {
    let score = classifier.probability(&row.cues);
    ScoredSample { score, decision: score >= 0.5, ..*scan }
}

/// `3 covid and 0 non-covid scans`, unless there are some of both.
fn one_label(covid: impl Iterator<Item = bool>) -> Option<String> {
    let (covid, other) = covid.fold((0, 0), |(a, b), covid| if covid { (a + 1, b) } else { (a, b + 1) });
    (covid == 0 || other == 0).then(|| format!("{covid} covid and {other} non-covid scans"))
}
