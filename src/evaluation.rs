//! A trained network judged on train, validation and test, per slice and per scan.

use crate::assess::Assessment;
use crate::cache::SliceCache;
use crate::config::RunConfig;
use crate::figure::{Figure, confusion};
use crate::files::{Digest, read_json, write_json};
use crate::manifest::Label;
use crate::metrics::{ClassificationReport, ConfusionMatrix};
use crate::predict::Classifier;
use crate::progress::{Progress, thousands};
use crate::scan::ScanRule;
use crate::shortcuts::BesideCues;
use crate::split::{Split, Subset, listed};
use crate::table::{Page, Table, percent, shown_as_table};
use crate::weights::WeightsFile;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::Path;

mod network;

pub use network::{Block, NetworkSummary};

/// Confusion matrices of one subset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubsetEvaluation {
    /// The subset.
    pub subset: Subset,
    /// Each slice for itself.
    pub slices: ConfusionMatrix,
    /// Each scan by the share of its covid slices.
    pub scans: ConfusionMatrix,
}

/// How many slices and scans of one label a subset has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubsetCount {
    /// The subset.
    pub subset: Subset,
    /// `None` in the prediction set.
    pub label: Option<Label>,
    /// Slices.
    pub slices: usize,
    /// Scans.
    pub scans: usize,
}

/// A run's figures, made by its best checkpoint in evaluation mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// The run's settings.
    pub run: RunConfig,
    /// Name of the data set.
    pub data: String,
    /// Hash of the manifest it was trained and judged on.
    pub manifest: Digest,
    /// Hash of the split.
    pub split: Digest,
    /// Whether the split leaks.
    pub leaking: bool,
    /// What leaks, in words.
    pub warning: Option<String>,
    /// Subsets whose figures are those of patients that were learned from.
    pub leaks: Vec<Subset>,
    /// What every subset holds.
    pub counts: Vec<SubsetCount>,
    /// The file of pretrained weights it began from; `None` for random ones.
    pub pretrained: Option<WeightsFile>,
    /// Hash of the frozen backbone; `None` where the whole network learned.
    pub backbone: Option<Digest>,
    /// What the network consists of.
    pub network: NetworkSummary,
    /// The epoch that was chosen.
    pub best_epoch: usize,
    /// Parameters of the network.
    pub parameters: u64,
    /// Hash of the checkpoint.
    pub weights: Digest,
    /// When a scan is called covid.
    pub rule: ScanRule,
    /// Train, validation and test, where they have slices.
    pub subsets: Vec<SubsetEvaluation>,
}

impl Evaluation {
    /// Judges every labelled subset with `best.safetensors` of a run and writes `predictions-*`, `scans-*`,
    /// `scan-rule.json`, `evaluation.json`, [`assessment.json`](Assessment) and [`shortcuts-beside.json`](BesideCues) into
    /// the run's folder. The test subset is read here, once.
    pub fn run(
        run_folder: impl AsRef<Path>,
        cache: &SliceCache,
        split: &Split,
        progress: impl Fn(&Progress) + Sync,
    ) -> Result<Self> {
        Self::run_in(run_folder.as_ref(), cache, split, &progress)
    }

    fn run_in(folder: &Path, cache: &SliceCache, split: &Split, progress: &(dyn Fn(&Progress) + Sync)) -> Result<Self> {
        let classifier = Classifier::load(folder.join("best.safetensors"))?;
        belongs(&classifier, split)?;
        let validation = classifier.predict(cache, split, Subset::Validation, progress)?;
        let rule = ScanRule::choose(&validation)?;
        rule.write(folder)?;
        let mut subsets = Vec::new();
        for subset in [Subset::Train, Subset::Validation, Subset::Test] {
            if split.slices(subset).is_empty() {
                continue;
            }
            let predictions = match subset {
                Subset::Validation => validation.clone(),
                _ => classifier.predict(cache, split, subset, progress)?,
            };
            predictions.write(folder)?;
            let scans = predictions.by_scan(&rule);
            scans.write(folder)?;
            let (slices, scans) = (predictions.confusion_matrix()?, scans.confusion_matrix()?);
            subsets.push(SubsetEvaluation { subset, slices, scans });
        }
        let info = classifier.info();
        let evaluation = Self {
            run: info.run.clone(),
            data: cache.manifest().name.clone(),
            manifest: split.manifest_hash(),
            split: split.hash(),
            leaking: split.is_leaking(),
            warning: split.warning(),
            leaks: split.leaking_subsets(),
            counts: counts(split),
            pretrained: info.pretrained.clone(),
            backbone: info.backbone,
            network: NetworkSummary::of(classifier.network(), info.run.learn),
            best_epoch: info.position.epoch,
            parameters: classifier.network().parameter_count(),
            weights: validation.about.weights,
            rule,
            subsets,
        };
        write_json(&folder.join("evaluation.json"), &evaluation)?;
        Assessment::of(folder, cache.manifest(), &evaluation.rule)?;
        BesideCues::of(folder, cache, split)?;
        Ok(evaluation)
    }

    /// Reads `evaluation.json` of a run's folder.
    pub fn read(run_folder: impl AsRef<Path>) -> Result<Self> {
        let path = run_folder.as_ref().join("evaluation.json");
        read_json(&path, "an evaluation of this version (written by `covid-ct evaluate`)")
    }

    /// What must stand behind a subset's name where its figures are shown.
    pub(crate) fn leak_mark(&self, subset: Subset) -> &'static str {
        subset.leak_mark(&self.leaks)
    }

    /// What a subset's slices are called over their figures.
    fn slices_of(&self, subset: Subset) -> String {
        format!("{subset} slices{}", self.leak_mark(subset))
    }

    /// Where its weights began, with the hashes: a file, or the seed of random ones.
    pub fn initial_weights(&self) -> String {
        let first = match &self.pretrained {
            Some(file) => format!("{}, SHA-256 {}", file.name, file.sha256),
            None => format!("random, seed {}", self.run.seed),
        };
        match self.backbone {
            Some(backbone) => format!("{first}; frozen backbone {backbone}"),
            None => first,
        }
    }

    /// The confusion matrices of a subset.
    ///
    /// # Errors
    /// The subset has no slices in this split.
    pub fn subset(&self, subset: Subset) -> Result<&SubsetEvaluation> {
        let found = self.subsets.iter().find(|s| s.subset == subset);
        found.with_context(|| format!("the run {} has no figures for the {subset} subset", self.run.name))
    }

    /// scikit-learn's classification report of a subset's slices.
    pub fn slice_report(&self, subset: Subset) -> Result<ClassificationReport> {
        Ok(self.subset(subset)?.slices.report())
    }

    /// The reports of all subsets' slices beside each other, each under its name.
    pub fn slice_reports(&self) -> Page {
        let report = |of: &SubsetEvaluation| Page::new().titled(&self.slices_of(of.subset), &of.slices.report());
        Page::new().with_row(&self.subsets.iter().map(report).collect::<Vec<_>>())
    }

    /// scikit-learn's classification report of a subset's scans.
    pub fn scan_report(&self, subset: Subset) -> Result<ClassificationReport> {
        Ok(self.subset(subset)?.scans.report())
    }

    /// The confusion matrix of a subset's slices as a picture.
    pub fn slice_figure(&self, subset: Subset) -> Result<Figure> {
        confusion(&self.slices_of(subset), &self.subset(subset)?.slices)
    }

    /// The confusion matrix of a subset's scans as a picture.
    pub fn scan_figure(&self, subset: Subset) -> Result<Figure> {
        confusion(&format!("{subset} scans{}", self.leak_mark(subset)), &self.subset(subset)?.scans)
    }

    /// The confusion matrices of all subsets' slices side by side.
    pub fn confusion_matrices(&self) -> Result<Page> {
        let figures = self.subsets.iter().map(|of| self.slice_figure(of.subset));
        Ok(Page::new().with_row(&figures.collect::<Result<Vec<_>>>()?))
    }

    /// Accuracy over slices, as the slides compare networks.
    pub fn slice_accuracy(&self, subset: Subset) -> Option<f64> {
        self.subset(subset).ok()?.slices.accuracy()
    }

    /// Two rows a subset: by slice and by scan.
    pub fn table(&self) -> Table {
        let columns = [
            "Subset",
            "Judged by",
            "Correct",
            "Accuracy",
            "Sensitivity",
            "Specificity",
            "PPV",
            "NPV",
            "Balanced accuracy",
            "Macro F1",
            "MCC",
        ];
        let mut table = Table::new(format!("Evaluation of {}, epoch {}", self.run.name, self.best_epoch), &columns);
        for of in &self.subsets {
            for (unit, matrix) in [("slice", &of.slices), ("scan", &of.scans)] {
                let mcc = matrix.matthews().map_or("–".to_owned(), |m| format!("{m:.3}"));
                table.row([
                    format!("{}{}", of.subset, self.leak_mark(of.subset)),
                    unit.to_owned(),
                    format!("{}/{}", thousands(matrix.correct()), thousands(matrix.total())),
                    percent(matrix.accuracy()),
                    percent(matrix.sensitivity()),
                    percent(matrix.specificity()),
                    percent(matrix.ppv()),
                    percent(matrix.npv()),
                    percent(matrix.balanced_accuracy()),
                    percent(matrix.macro_f1()),
                    mcc,
                ]);
            }
        }
        table = table.note(format!("A scan is {} ({}).", self.rule.text(), self.rule.chosen));
        if self.leaking {
            let leaks = listed(&self.leaks);
            table = table.note(format!(
                "LEAKING SPLIT: {leaks} slices come in part from scans or patients that the network has learned from."
            ));
        }
        table
    }
}

shown_as_table!(Evaluation);

/// Refuses to judge by a split that the network was not trained with: its test slices may have been learned from.
fn belongs(classifier: &Classifier, split: &Split) -> Result<()> {
    let info = classifier.info();
    for (noun, trained, given) in
        [("manifest", info.manifest, split.manifest_hash()), ("split", info.split, split.hash())]
    {
        ensure!(
            trained == given,
            "evaluating {}: it was trained with the {noun} {trained}, this one is {given}: train the run again under \
             another name, or evaluate it with the data it was trained on",
            classifier.path().display()
        );
    }
    Ok(())
}

fn counts(split: &Split) -> Vec<SubsetCount> {
    let labels = [Some(Label::Covid), Some(Label::NonCovid), None];
    let each = Subset::ALL.into_iter().flat_map(|subset| labels.map(|label| (subset, label)));
    each.map(|(subset, label)| {
        let (slices, scans) = split.count(subset, label);
        SubsetCount { subset, label, slices, scans }
    })
    .filter(|count| count.slices > 0)
    .collect()
}
