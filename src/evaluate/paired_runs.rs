//! Paired comparison of runs on the same scans.
use crate::base::errors::{Context, Result, ensure};
use crate::base::table::{Table, shown_as_table};
use crate::data::manifest::Manifest;
use crate::data::split::Subset;
use crate::evaluate::assessment::{estimated, scored_scans};
use crate::evaluate::evaluation::Evaluation;
use crate::stats::metrics::{DRAWS, Estimate, Measure, Paired, ScoredSample, holm};
use crate::train::run_folder::RunFolder;
use serde::Serialize;

/// Seed of the bootstrap.
const SEED: u64 = 1;

/// Two runs on the same scans of one split.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairedRun {
    /// Name of the run that the other is compared with.
    pub baseline: String,
    /// Name of the other run.
    pub run: String,
    /// The subset.
    pub subset: Subset,
    /// Whether the subset has patients that were learned from.
    pub leaks: bool,
    /// Differences (run minus baseline) and McNemar's test.
    pub paired: Paired,
    /// McNemar's p-value, adjusted by Holm's method for all pairs of the table.
    pub adjusted: f64,
}

/// Paired comparisons by scan: each run with the first run that has the same split.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairedRuns {
    /// The pairs.
    pub pairs: Vec<PairedRun>,
    /// Runs and subsets that could not be compared, and why.
    pub left_out: Vec<String>,
}

impl PairedRun {
    /// Run minus baseline, with its interval.
    pub fn difference(&self, measure: Measure) -> Estimate {
        let of = self.paired.get(measure);
        let (value, interval, defined) = (of.value, of.interval, of.defined);
        Estimate { measure, value, interval, defined, exact: false }
    }
}

impl PairedRuns {
    /// Compares evaluated runs by scan, on the validation and the test scans. Each run is compared with the first run
    /// in the list that has the same split, if both predicted the same scans.
    ///
    /// # Errors
    /// Fewer than two runs, one that was not evaluated, or one on another manifest than this one (both are named).
    pub fn of(runs: &[RunFolder], manifest: &Manifest) -> Result<Self> {
        ensure!(runs.len() > 1, "comparing runs in pairs: expected two or more, found {}", runs.len());
        let sides = runs.iter().map(|run| Side::read(run, manifest)).collect::<Result<Vec<_>>>()?;
        let mut found = Self { pairs: Vec::new(), left_out: Vec::new() };
        for (number, side) in sides.iter().enumerate() {
            let same_split = |other: &&Side| other.evaluation.split == side.evaluation.split;
            match sides[..number].iter().find(same_split) {
                Some(baseline) => found.compare(baseline, side)?,
                None if sides[number + 1..].iter().any(|other| same_split(&other)) => {}
                None => found.left_out.push(format!(
                    "{}: no other run has its split {}",
                    side.name(),
                    side.evaluation.split.short()
                )),
            }
        }
        let p: Vec<f64> = found.pairs.iter().map(|pair| pair.paired.mcnemar.p).collect();
        found.pairs.iter_mut().zip(holm(&p)).for_each(|(pair, adjusted)| pair.adjusted = adjusted);
        Ok(found)
    }

    fn compare(&mut self, baseline: &Side, other: &Side) -> Result<()> {
        for subset in [Subset::Validation, Subset::Test] {
            let (Some(a), Some(b)) = (baseline.scored(subset), other.scored(subset)) else { continue };
            if a.folders != b.folders {
                self.left_out.push(format!(
                    "{}, {subset}: it predicted other scans ({}) than {} ({}): run `covid-ct evaluate` for both again",
                    other.name(),
                    b.folders.len(),
                    baseline.name(),
                    a.folders.len()
                ));
                continue;
            }
            self.pairs.push(PairedRun {
                baseline: baseline.name().to_owned(),
                run: other.name().to_owned(),
                subset,
                leaks: other.evaluation.leaks.contains(&subset),
                paired: Paired::of(&a.scans, &b.scans, DRAWS, SEED)?,
                adjusted: 1.0,
            });
        }
        Ok(())
    }

    /// One row for each pair and subset.
    pub fn table(&self) -> Table {
        let columns = [
            "Run minus baseline",
            "Scans",
            "Balanced accuracy",
            "ROC AUC",
            "Only run right",
            "Only baseline right",
            "McNemar p",
            "p, Holm",
        ];
        let mut table = Table::new("Runs in pairs: difference by scan, 95 % interval and value", &columns);
        for pair in &self.pairs {
            let mark = if pair.leaks { " (LEAKING)" } else { "" };
            table.row([
                format!("{} − {}", pair.run, pair.baseline),
                format!("{} {}{mark}", pair.paired.samples, pair.subset),
                estimated(&pair.difference(Measure::BalancedAccuracy)),
                estimated(&pair.difference(Measure::RocAuc)),
                pair.paired.mcnemar.only_b.to_string(),
                pair.paired.mcnemar.only_a.to_string(),
                format!("{:.3}", pair.paired.mcnemar.p),
                if self.pairs.len() > 1 { format!("{:.3}", pair.adjusted) } else { "–".to_owned() },
            ]);
        }
        self.notes().into_iter().fold(table, Table::note)
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "Above 0 the run is better than its baseline. Both predicted the same scans of the same split. Bootstrap \
             over patients, the same draws for both; if an interval contains 0, either run may be better. McNemar's \
             exact test assumes independent scans."
                .to_owned(),
        ];
        if self.pairs.iter().any(|pair| pair.subset == Subset::Validation) {
            notes.push(
                "On validation scans each run chose its epoch and its scan threshold: p-values there are no test of \
                 the runs, only a description."
                    .to_owned(),
            );
        }
        if self.pairs.len() > 1 {
            notes.push(format!(
                "{} p-values: Holm's method adjusts them for multiple tests, so that at 0.05 at most one in 20 such \
                 tables has a false positive.",
                self.pairs.len()
            ));
        }
        if self.pairs.iter().any(|pair| pair.leaks) {
            notes.push(
                "LEAKING: those scans were learned from; a better run may only have memorised them better.".to_owned(),
            );
        }
        notes.extend(self.left_out.iter().map(|why| format!("Left out: {why}.")));
        notes
    }
}

shown_as_table!(PairedRuns);

/// One run's predictions of a subset.
struct ScoredSubset {
    /// Folders, in the order of their names.
    folders: Vec<String>,
    /// In the order of their names.
    scans: Vec<ScoredSample>,
}

/// One run of a pair.
struct Side {
    name: String,
    evaluation: Evaluation,
    subsets: Vec<(Subset, ScoredSubset)>,
}

impl Side {
    fn read(folder: &RunFolder, manifest: &Manifest) -> Result<Self> {
        let (name, evaluation) = (folder.name(), folder.evaluation()?);
        let found = manifest.hash();
        ensure!(
            evaluation.manifest == found,
            "comparing runs in pairs: {name} was evaluated on the manifest {} ({}), the one given is {found} ({}): \
             compare runs on the same data",
            evaluation.manifest,
            evaluation.data,
            manifest.name
        );
        let mut subsets = Vec::new();
        for subset in [Subset::Validation, Subset::Test] {
            if evaluation.subset(subset).is_ok() {
                let scored = Self::scored_subset(folder, &evaluation, subset, manifest);
                subsets.push((subset, scored.with_context(|| format!("reading the scans of the run {name}"))?));
            }
        }
        Ok(Self { name, evaluation, subsets })
    }

    fn scored_subset(
        folder: &RunFolder,
        evaluation: &Evaluation,
        subset: Subset,
        manifest: &Manifest,
    ) -> Result<ScoredSubset> {
        let predictions = folder.predictions(subset)?;
        let about = &predictions.about;
        for (noun, found, expected) in [
            ("weights", about.weights, evaluation.weights),
            ("manifest", about.manifest, evaluation.manifest),
            ("split", about.split, evaluation.split),
        ] {
            ensure!(
                found == expected,
                "the {subset} predictions in {} come from the {noun} {found}, the evaluation from {expected}: run \
                 `covid-ct evaluate --name {}` again",
                folder.path().display(),
                folder.name()
            );
        }
        let scans = scored_scans(&predictions, manifest, evaluation.rule.rule)?;
        let (folders, scans) = scans.into_iter().unzip();
        Ok(ScoredSubset { folders, scans })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn scored(&self, subset: Subset) -> Option<&ScoredSubset> {
        self.subsets.iter().find(|of| of.0 == subset).map(|of| &of.1)
    }
}
