//! Cross-validation: every labelled scan is judged by a network that has learned from other patients.

use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::figure::Figure;
use crate::base::files::Digest;
use crate::base::progress::thousands;
use crate::base::table::{Page, Table, shown_by};
use crate::data::manifest::{Manifest, Set};
use crate::data::split::{Fold, SplitConfig, Subset, listed};
use crate::data::workspace::Workspace;
use crate::evaluate::assessment::{
    Assessed, MEAN, OF_SCANS, assessed_scans, counts, estimated, roc_figure, scored_scans,
};
use crate::evaluate::predict::{About, Predictions, SlicePrediction};
use crate::evaluate::scan_decisions::{ScanPrediction, ScanRule};
use crate::evaluate::several_runs::{FinishedRun, common_folder, finish_all, measured, spread};
use crate::stats::metrics::{Measure, Performance, ScoredSample};
use crate::train::config::RunConfig;
use crate::train::event::RunEvent;
use crate::train::run_folder::{Artifact, RunFolder};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};

#[cfg(test)]
mod tests;

/// What the tables state of a fold's scans.
const MEASURES: [Measure; 3] = [Measure::RocAuc, Measure::BalancedAccuracy, Measure::MacroF1];

/// One fold: a run, and what it says of its test scans.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoldResult {
    /// Name of the run.
    pub run: String,
    /// The part that was its test set.
    pub fold: Fold,
    /// Hash of its split.
    pub split: Digest,
    /// Hash of its best checkpoint.
    pub weights: Digest,
    /// The epoch with the highest accuracy on the fold's validation part.
    pub best_epoch: usize,
    /// The rule by which its scans are called covid, chosen on the fold's validation part.
    pub rule: ScanRule,
    /// Its test scans: ranked by the mean probability of their slices, decided by `rule`.
    pub performance: Performance,
    /// Its test scans, one by one.
    pub scans: Vec<ScanPrediction>,
}

/// A cross-validation by patient. Every labelled scan is in the test set of one fold, so that all of them count as test
/// scans (out-of-fold predictions), where a single split has a tenth of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrossValidation {
    /// The settings that the folds share; its name is what their names begin with, its split has no fold.
    pub run: RunConfig,
    /// Name of the data set.
    pub data: String,
    /// Run (`<name>-folds`), manifest, and the joint hashes of the folds' weights and splits, in their order.
    pub about: About,
    /// The folds.
    pub folds: Vec<FoldResult>,
    /// All labelled scans with 95 % intervals over patients, each judged in the fold that tested it: ranked by the mean
    /// probability of their slices, decided by the fold's own rule.
    pub total: Assessed,
}

impl CrossValidation {
    /// Opens, trains and evaluates the runs `<name>-fold1of5`, `<name>-fold2of5`, …, and collects what each says of its
    /// test scans. Each is an ordinary run: a finished one is not repeated, an interrupted one is resumed. Written are
    /// `cross-validation.json` and the out-of-fold predictions, in the folder `runs/<data set>/<name>-folds/`.
    ///
    /// `folds` is 3 to 20. The parts follow from the seed of `config.split`; its fractions are not used. `report` is
    /// called with every event of the runs.
    ///
    /// # Errors
    /// Settings that cannot work, fewer patients of a label than folds, no audit yet, or the error of a run.
    pub fn run(
        work: &Workspace,
        config: &RunConfig,
        folds: usize,
        report: impl Fn(&RunEvent) + Send + Sync + 'static,
    ) -> Result<Self> {
        let doing = || format!("cross-validating {}", config.name);
        run_of(config, Fold { number: 0, of: folds }).split.check().with_context(doing)?;
        let folder = common_folder(work, &config.name, "folds").with_context(doing)?;
        let runs = (0..folds).map(|number| run_of(config, Fold { number, of: folds })).collect();
        let runs = finish_all(work, (&format!("{}-folds", config.name), false), runs, report).with_context(doing)?;
        let (found, predictions) = Self::of(config, &runs, &work.audit()?.accepted()).with_context(doing)?;
        predictions.write(&folder)?;
        folder.write(Artifact::CrossValidation, &found)?;
        Ok(found)
    }

    fn of(config: &RunConfig, runs: &[FinishedRun], manifest: &Manifest) -> Result<(Self, Predictions)> {
        let (mut folds, mut tested, mut scans) = (Vec::new(), Vec::new(), Vec::new());
        for run in runs {
            let (test, evaluation) = (run.predictions(Subset::Test)?, &run.evaluation);
            let test = test.with_context(|| format!("{} has no test predictions", run.folder.name()))?;
            let scored = scored_by(&test, manifest, &evaluation.rule)?;
            let samples: Vec<ScoredSample> = scored.iter().map(|(_, sample)| *sample).collect();
            folds.push(FoldResult {
                run: run.folder.name(),
                fold: evaluation.run.split.fold.context("a run of a cross-validation without a fold")?,
                split: evaluation.split,
                weights: evaluation.weights,
                best_epoch: evaluation.best_epoch,
                rule: evaluation.rule.clone(),
                performance: Performance::with_score_intervals(&samples)?,
                scans: test.by_scan(&evaluation.rule).rows().to_vec(),
            });
            scans.extend(scored);
            tested.push(test);
        }
        let predictions = out_of_fold(&format!("{}-folds", config.name), &tested, manifest)?;
        scans.sort_by(|a, b| a.0.cmp(&b.0));
        let found = Self {
            run: RunConfig { split: SplitConfig { fold: None, ..config.split.clone() }, ..config.clone() },
            data: manifest.name.clone(),
            about: predictions.about.clone(),
            folds,
            total: assessed_scans(&predictions, manifest, scans)?,
        };
        Ok((found, predictions))
    }

    /// The prediction of every labelled scan by the fold that tested it, in the order of their folders.
    pub fn scans(&self) -> Vec<&ScanPrediction> {
        let mut scans: Vec<&ScanPrediction> = self.folds.iter().flat_map(|fold| &fold.scans).collect();
        scans.sort_by(|a, b| a.scan.cmp(&b.scan));
        scans
    }

    /// One row for each fold, their mean and standard deviation, and all out-of-fold predictions with 95 % intervals; by
    /// scan.
    pub fn table(&self) -> Table {
        let columns = ["Fold", "Scans", "Patients", "ROC AUC", "Balanced accuracy", "Macro F1", "A scan is"];
        let title = format!("Cross-validation of {} on {}: test scans", self.run.name, self.data);
        let mut table = Table::new(title, &columns);
        let row = |name: String, of: Option<&Performance>, values: [String; 3], rule: String| {
            let count = |count: fn(&Performance) -> usize| of.map_or("–".into(), |of| thousands(count(of) as u64));
            let counts = [count(|of| of.samples), count(|of| of.patients)];
            [name].into_iter().chain(counts).chain(values).chain([rule])
        };
        for fold in &self.folds {
            let values = MEASURES.map(|measure| measured(measure, fold.performance.get(measure).value));
            table.row(row(fold.fold.to_string(), Some(&fold.performance), values, fold.rule.text()));
        }
        let each = |measure| self.folds.iter().map(move |fold| fold.performance.get(measure).value);
        let means = MEASURES.map(|measure| spread(measure, each(measure)));
        table.row(row("Mean of the folds".to_owned(), None, means, "–".to_owned()));
        let values = MEASURES.map(|measure| estimated(self.total.scans.get(measure)));
        let mark = Subset::Test.leak_mark(&self.about.leaks);
        table.row(row(format!("Out of fold{mark}"), Some(&self.total.scans), values, "as in its fold".to_owned()));
        self.notes().into_iter().fold(table, Table::note)
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            format!("Out of fold, {}", counts(&self.total)),
            format!(
                "Every labelled scan is judged once, by the network of the fold whose test part its patient is in; that \
                 fold's epoch and rule were chosen on its own validation part. Ranked by the mean probability of the \
                 slices. 95 % intervals: {OF_SCANS}, before the value; they do not hold the \
                 variation between trainings, which the standard deviation of the folds shows together with that of \
                 their patients. The networks' probabilities are not calibrated to each other, so the area out of fold \
                 can be below the mean of the folds."
            ),
        ];
        if !self.about.leaks.is_empty() {
            notes.push(format!("LEAKING SPLIT: {} scans were learned from.", listed(&self.about.leaks)));
        }
        notes
    }

    /// Out-of-fold figures of each source's scans; empty where no patient table names two sources or more.
    pub fn sources_table(&self) -> Table {
        let columns = ["Source", "Scans", "Patients", "ROC AUC", "Balanced accuracy", "Macro F1"];
        let mut table = Table::new(format!("Cross-validation of {}: scans by source", self.run.name), &columns);
        for (source, of) in &self.total.sources {
            let counts = [source.clone(), thousands(of.samples as u64), thousands(of.patients as u64)];
            table.row(counts.into_iter().chain(MEASURES.map(|measure| estimated(of.get(measure)))));
        }
        table.note("Out of fold, 95 % interval and value. A source with a single label shows nothing about the other.")
    }

    /// ROC curves of all out-of-fold slices and scans.
    ///
    /// # Errors
    /// Drawing failed.
    pub fn roc_figure(&self) -> Result<Figure> {
        let curves = self.total.roc.as_ref().context("drawing a ROC curve needs scans of both labels")?;
        let title = format!("{}, out of {} folds{}: ROC", self.run.name, self.folds.len(), self.leak_mark());
        let dots = "Scans are ranked by the mean probability of their slices. Dots: the decisions, of slices at a \
                    probability of 0.5, of scans by the rule of their fold, which may lie off the curve.";
        roc_figure(&title, &self.total, curves, dots)
    }

    fn leak_mark(&self) -> &'static str {
        Subset::Test.leak_mark(&self.about.leaks)
    }

    /// The tables, and the ROC curves.
    fn page(&self) -> Page {
        let page = Page::new().with(&self.table());
        let page = if self.total.sources.is_empty() { page } else { page.with(&self.sources_table()) };
        match self.roc_figure() {
            Ok(figure) => page.with(&figure),
            Err(error) => page.with(&Table::new(format!("No ROC curve: {error:#}"), &[])),
        }
    }
}

shown_by!(page, CrossValidation);

impl RunFolder {
    /// The cross-validation whose results are in this folder, `<name>-folds`.
    ///
    /// # Errors
    /// No cross-validation here, or a damaged one.
    pub fn cross_validation(&self) -> Result<CrossValidation> {
        self.read(Artifact::CrossValidation)
    }
}

/// The run of a fold: `<name>-fold1of5`.
fn run_of(config: &RunConfig, fold: Fold) -> RunConfig {
    let name = format!("{}-fold{}of{}", config.name, fold.number + 1, fold.of);
    RunConfig { name, split: SplitConfig { fold: Some(fold), ..config.split.clone() }, ..config.clone() }
}

/// Scans with their mean probability as score, decided by a rule; with their folders.
fn scored_by(predictions: &Predictions, manifest: &Manifest, rule: &ScanRule) -> Result<Vec<(String, ScoredSample)>> {
    let (scores, decisions) =
        (scored_scans(predictions, manifest, MEAN)?, scored_scans(predictions, manifest, rule.rule)?);
    let each = scores.into_iter().zip(decisions);
    Ok(each.map(|((scan, of), (_, decided))| (scan, ScoredSample { decision: decided.decision, ..of })).collect())
}

/// The test predictions of all folds as one, in the manifest's order.
///
/// # Errors
/// A labelled scan that no fold tested, a slice that two did, or predictions of another subset or manifest.
fn out_of_fold(name: &str, folds: &[Predictions], manifest: &Manifest) -> Result<Predictions> {
    let mut by_path: HashMap<&str, &SlicePrediction> = HashMap::new();
    for Predictions { about, .. } in folds {
        ensure!(about.subset == Subset::Test, "{}: expected test predictions, found {}", about.run, about.subset);
        ensure!(
            about.manifest == manifest.hash(),
            "the predictions of {} are of the manifest {}, the others of {}",
            about.run,
            about.manifest,
            manifest.hash()
        );
    }
    for (fold, row) in folds.iter().flat_map(|fold| fold.rows().iter().map(move |row| (fold, row))) {
        let before = by_path.insert(&row.path, row);
        ensure!(before.is_none(), "{} is in two test parts, one of them that of {}", row.path, fold.about.run);
    }
    // Slices without lungs may be left out, but no scan.
    let (mut rows, mut untested): (Vec<SlicePrediction>, BTreeSet<&String>) = (Vec::new(), BTreeSet::new());
    for slice in &manifest.slices {
        let scan = manifest.scan_of(slice);
        if scan.set != Set::Prediction && scan.label.is_some() {
            match by_path.remove(manifest.path(slice).as_str()) {
                Some(row) => rows.push(row.clone()),
                None => {
                    untested.insert(&scan.folder);
                }
            }
        }
    }
    for row in &rows {
        untested.remove(&row.scan);
    }
    if let Some(scan) = untested.first() {
        bail!("the scan {scan} has a label, but is in no test part");
    }
    if let Some(path) = by_path.keys().min() {
        bail!("{path} was tested, but is no labelled slice of the data set");
    }
    let leaks: BTreeSet<Subset> = folds.iter().flat_map(|fold| &fold.about.leaks).copied().collect();
    let about = About {
        run: name.to_owned(),
        subset: Subset::Test,
        leaks: leaks.into_iter().collect(),
        weights: Digest::joint(folds.iter().map(|fold| fold.about.weights)),
        manifest: manifest.hash(),
        split: Digest::joint(folds.iter().map(|fold| fold.about.split)),
    };
    Ok(Predictions::new(about, rows))
}
