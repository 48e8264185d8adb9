//! A trained network judged on train, validation and test, per slice and per scan.

use crate::base::figure::Figure;
use crate::base::files::Digest;
use crate::base::progress::thousands;
use crate::base::table::{Page, Table, percent, shown_as_table};
use crate::data::manifest::Label;
use crate::data::split::{Split, Subset, listed};
use crate::evaluate::assessment::Assessment;
use crate::evaluate::scan_decisions::ScanRule;
use crate::evaluate::shortcuts::CueComparison;
use crate::nn::weights::WeightsFile;
use crate::stats::figures::confusion;
use crate::stats::metrics::{ClassificationReport, ConfusionMatrix};
use crate::train::config::RunConfig;
use crate::train::experiment::Experiment;
use crate::train::run_folder::{Artifact, RunFolder};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

mod network_summary;

pub use network_summary::{Block, NetworkSummary};

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
    /// Judges every labelled subset with the run's best checkpoint, and writes predictions, scans, scan rule, evaluation,
    /// assessment and cue comparison into the run's folder. The test subset is read here, once.
    pub(crate) fn run(experiment: &Experiment) -> Result<Self> {
        let (folder, split) = (experiment.folder(), experiment.split());
        let classifier = folder.classifier()?;
        let validation = classifier.predict(experiment, Subset::Validation)?;
        let rule = ScanRule::choose(&validation)?;
        folder.write(Artifact::ScanRule, &rule)?;
        let predict = |subset| {
            let has_slices = !split.slices(subset).is_empty();
            has_slices.then(|| classifier.predict(experiment, subset)).transpose()
        };
        let (train, test) = (predict(Subset::Train)?, predict(Subset::Test)?);
        let mut subsets = Vec::new();
        for predictions in train.iter().chain([&validation]).chain(&test) {
            predictions.write(folder)?;
            let scans = predictions.by_scan(&rule);
            scans.write(folder)?;
            let (slices, scans) = (predictions.confusion_matrix()?, scans.confusion_matrix()?);
            subsets.push(SubsetEvaluation { subset: predictions.about.subset, slices, scans });
        }
        let info = classifier.info();
        let evaluation = Self {
            run: info.run.clone(),
            data: experiment.manifest().name.clone(),
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
        folder.write(Artifact::Evaluation, &evaluation)?;
        let assessment = Assessment::of(&validation, test.as_ref(), experiment.manifest(), &evaluation.rule)?;
        folder.write(Artifact::Assessment, &assessment)?;
        folder.write(Artifact::CueComparison, &CueComparison::of(experiment, &validation, test.as_ref())?)?;
        Ok(evaluation)
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

    /// A subset's confusion matrices beside their reports, of slices and of scans.
    ///
    /// # Errors
    /// The subset has no slices in this split.
    pub fn page(&self, subset: Subset) -> Result<Page> {
        let beside = |name: String, figure: &Figure, report: &ClassificationReport| {
            Page::new().titled(&name, figure).with(report)
        };
        let slices = beside(self.slices_of(subset), &self.slice_figure(subset)?, &self.slice_report(subset)?);
        let scans = format!("{subset} scans{}", self.leak_mark(subset));
        let scans = beside(scans, &self.scan_figure(subset)?, &self.scan_report(subset)?);
        Ok(Page::new().with_row(&[slices, scans]))
    }

    /// The slides' figures: confusion matrices and reports of all subsets' slices.
    pub fn overview(&self) -> Result<Page> {
        Ok(Page::new().with(&self.confusion_matrices()?).with(&self.slice_reports()))
    }

    /// Accuracy over slices, as the slides compare networks.
    pub fn slice_accuracy(&self, subset: Subset) -> Option<f64> {
        self.subset(subset).ok()?.slices.accuracy()
    }

    /// Two rows a subset: by slice and by scan.
    pub fn table(&self) -> Table {
        let columns = [
            "Subset",
            "Decision by",
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

impl RunFolder {
    /// Confusion matrices, the network, the hashes.
    pub fn evaluation(&self) -> Result<Evaluation> {
        self.read(Artifact::Evaluation)
    }
}

shown_as_table!(Evaluation);

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
