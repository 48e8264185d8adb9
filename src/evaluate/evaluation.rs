//! Evaluation of a trained network on train, validation and test, by slice and by scan.

use crate::base::errors::{Context, Result};
use crate::base::figure::Figure;
use crate::base::files::Digest;
use crate::base::progress::thousands;
use crate::base::table::{Page, Table, percent, shown_as_table};
use crate::data::manifest::Label;
use crate::data::split::{Split, Subset, listed};
use crate::evaluate::assessment::Assessment;
use crate::evaluate::out_of_distribution::GreyLevels;
use crate::evaluate::scan_decisions::ScanRule;
use crate::evaluate::shortcuts::CueComparison;
use crate::nn::weights::WeightsFile;
use crate::stats::figures::confusion;
use crate::stats::metrics::{ClassificationReport, ConfusionMatrix};
use crate::train::config::RunConfig;
use crate::train::experiment::Experiment;
use crate::train::run_folder::{Artifact, RunFolder};
use serde::{Deserialize, Serialize};

mod network_summary;

pub use network_summary::{Block, NetworkSummary};

/// Confusion matrices of one subset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubsetEvaluation {
    /// The subset.
    pub subset: Subset,
    /// By slice.
    pub slices: ConfusionMatrix,
    /// By scan, with the run's scan rule.
    pub scans: ConfusionMatrix,
}

/// Numbers of slices and scans of one label in a subset.
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

/// The results of a run's best checkpoint in evaluation mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// The run's settings.
    pub run: RunConfig,
    /// Name of the data set.
    pub data: String,
    /// Hash of the manifest it was trained and evaluated on.
    pub manifest: Digest,
    /// Hash of the split.
    pub split: Digest,
    /// Whether the split leaks.
    pub leaking: bool,
    /// What leaks, in words; `None` if the split does not leak.
    pub warning: Option<String>,
    /// Subsets with patients that were learned from.
    pub leaks: Vec<Subset>,
    /// Numbers of slices and scans of every subset.
    pub counts: Vec<SubsetCount>,
    /// The file of pretrained weights; `None` for random ones.
    pub pretrained: Option<WeightsFile>,
    /// Hash of the frozen backbone; `None` where the whole network was trained.
    pub backbone: Option<Digest>,
    /// The network's blocks and their parameters.
    pub network: NetworkSummary,
    /// The best epoch on the validation set.
    pub best_epoch: usize,
    /// Number of parameters of the network.
    pub parameters: u64,
    /// Hash of the checkpoint.
    pub weights: Digest,
    /// The rule by which a scan is called covid.
    pub rule: ScanRule,
    /// Confusion matrices of train, validation and test, if they have slices.
    pub subsets: Vec<SubsetEvaluation>,
}

impl Evaluation {
    /// Predicts every labelled subset with the run's best checkpoint, and writes predictions, scans, scan rule,
    /// evaluation, assessment and cue comparison into the run's folder. The test subset is read here only.
    pub(crate) fn run(experiment: &Experiment) -> Result<Self> {
        let (folder, split) = (experiment.folder(), experiment.split());
        let classifier = folder.classifier_of_all_ranks()?;
        let validation = classifier.predict(experiment, Subset::Validation)?;
        let rule = ScanRule::choose(&validation, ScanRule::kind_of(experiment.settings()))?;
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
        folder.write(Artifact::GreyLevels, &GreyLevels::of_training(experiment)?)?;
        folder.write(Artifact::CueComparison, &CueComparison::of(experiment, &validation, test.as_ref())?)?;
        Ok(evaluation)
    }

    /// The mark ` (LEAKING)` after a subset's name, or nothing.
    pub(crate) fn leak_mark(&self, subset: Subset) -> &'static str {
        subset.leak_mark(&self.leaks)
    }

    /// The title of figures of a subset's slices.
    fn slices_of(&self, subset: Subset) -> String {
        format!("{}, {subset} slices{}", self.run.name, self.leak_mark(subset))
    }

    /// The initial weights in words: the file with its hash, or the seed of random ones, and the hash of a frozen
    /// backbone.
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

    /// Classification reports of all subsets' slices side by side, each with its subset's name.
    pub fn slice_reports(&self) -> Page {
        let report = |of: &SubsetEvaluation| Page::new().titled(&self.slices_of(of.subset), &of.slices.report());
        Page::new().with_row(&self.subsets.iter().map(report).collect::<Vec<_>>())
    }

    /// scikit-learn's classification report of a subset's scans.
    pub fn scan_report(&self, subset: Subset) -> Result<ClassificationReport> {
        Ok(self.subset(subset)?.scans.report())
    }

    /// The confusion matrix of a subset's slices as a figure.
    pub fn slice_figure(&self, subset: Subset) -> Result<Figure> {
        confusion(&self.slices_of(subset), &self.subset(subset)?.slices)
    }

    /// The confusion matrix of a subset's scans as a figure.
    pub fn scan_figure(&self, subset: Subset) -> Result<Figure> {
        confusion(&format!("{}, {subset} scans{}", self.run.name, self.leak_mark(subset)), &self.subset(subset)?.scans)
    }

    /// The confusion matrices of all subsets' slices side by side.
    pub fn confusion_matrices(&self) -> Result<Page> {
        let figures = self.subsets.iter().map(|of| self.slice_figure(of.subset));
        Ok(Page::new().with_row(&figures.collect::<Result<Vec<_>>>()?))
    }

    /// A subset's confusion matrices and classification reports, of scans and of slices side by side.
    ///
    /// # Errors
    /// The subset has no slices in this split.
    pub fn page(&self, subset: Subset) -> Result<Page> {
        let slices = Page::new().with(&self.slice_figure(subset)?).with(&self.slice_report(subset)?);
        let scans = Page::new().with(&self.scan_figure(subset)?).with(&self.scan_report(subset)?);
        Ok(Page::new().with_row(&[scans, slices]))
    }

    /// Confusion matrices and classification reports of all subsets' slices, as on the slides.
    pub fn overview(&self) -> Result<Page> {
        Ok(Page::new().with(&self.confusion_matrices()?).with(&self.slice_reports()))
    }

    /// Numbers of slices that are left out because they show no lungs, as `4 train, 1 test`; `None` without any.
    pub(crate) fn without_lungs(&self) -> Option<String> {
        let of_subset = |of: &SubsetEvaluation| {
            let all = self.counts.iter().filter(|count| count.subset == of.subset).map(|count| count.slices as u64);
            let out = all.sum::<u64>().checked_sub(of.slices.total()).filter(|out| *out > 0)?;
            Some(format!("{} {}", thousands(out), of.subset))
        };
        let out: Vec<String> = self.subsets.iter().filter_map(of_subset).collect();
        (!out.is_empty()).then(|| out.join(", "))
    }

    /// Accuracy over a subset's slices, 0 to 1, by which the slides compare networks; `None` without slices.
    pub fn slice_accuracy(&self, subset: Subset) -> Option<f64> {
        self.subset(subset).ok()?.slices.accuracy()
    }

    /// Two rows for each subset: by scan and by slice.
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
            for (unit, matrix) in [("scan", &of.scans), ("slice", &of.slices)] {
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
        if let Some(out) = self.without_lungs() {
            table = table.note(format!("Slices without lungs left out: {out}."));
        }
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
    /// The evaluation of the run.
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
