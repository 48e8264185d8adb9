//! Decisions by scan: a score of its slices, compared with a threshold chosen on the validation set.

use crate::base::errors::{Context, Result, ensure};
use crate::base::escape::csv_text;
use crate::base::figure::Figure;
use crate::base::files::write_whole;
use crate::base::progress::{counted_of, thousands};
use crate::base::table::{Table, percent, shown_as_table};
use crate::data::manifest::Label;
use crate::data::split::Subset;
use crate::evaluate::decision_rules::{Rule, RuleKind};
use crate::evaluate::predict::{About, Predictions, SlicePrediction, decided, named};
use crate::stats::figures::confusion;
use crate::stats::metrics::{ClassificationReport, ConfusionMatrix};
use crate::train::config::RunConfig;
use crate::train::recipe::Selection;
use crate::train::run_folder::{Artifact, RunFolder};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The rule by which a scan is called covid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScanRule {
    /// The rule with its threshold.
    pub rule: Rule,
    /// How it was chosen, in words.
    pub chosen: String,
}

impl ScanRule {
    /// The score that a run's scans are decided by: of a network chosen by the ranking of scans the mean probability, by which
    /// they were ranked; else, as on the slides, the share of covid slices.
    pub(crate) fn kind_of(run: &RunConfig) -> RuleKind {
        match run.recipe.selection {
            Selection::ScanAuc => RuleKind::MeanProbability,
            Selection::SliceAccuracy => RuleKind::ShareOfSlices,
        }
    }

    /// Covid if half of the slices or more are called covid.
    pub fn majority() -> Self {
        Self { rule: Rule::ShareOfSlices(0.5), chosen: "fixed: half of the slices".to_owned() }
    }

    /// The rule of this kind with the best balanced accuracy over the validation scans; see [`Rule::choose`]. If all
    /// validation scans have the same label, it is the [`majority`](Self::majority), and `chosen` gives this reason.
    ///
    /// # Errors
    /// Predictions of another subset (a threshold must not be chosen on the test set), or without labels.
    pub fn choose(validation: &Predictions, kind: RuleKind) -> Result<Self> {
        ensure!(
            validation.about.subset == Subset::Validation,
            "choosing a scan threshold: expected predictions of the validation subset, found {}",
            validation.about.subset
        );
        let scans = validation.labelled_scans()?;
        let covid = scans.iter().filter(|scan| scan.covid).count();
        if covid == 0 || covid == scans.len() {
            let chosen = format!(
                "fixed: half of the slices, because no threshold can be chosen on {covid} covid and {} non-covid \
                 validation scans",
                scans.len() - covid
            );
            return Ok(Self { chosen, ..Self::majority() });
        }
        let choice = Rule::choose(kind, &scans)?;
        let chosen = format!(
            "best balanced accuracy on {} validation scans: {}",
            thousands(choice.scans as u64),
            percent(Some(choice.balanced_accuracy))
        );
        Ok(Self { rule: choice.rule, chosen })
    }

    /// `covid where at least 41.2 % of its slices are`.
    pub(crate) fn text(&self) -> String {
        match self.rule {
            Rule::ShareOfSlices(share) => format!("covid where at least {} of its slices are", percent(Some(share))),
            Rule::MeanProbability(mean) => {
                format!("covid where the mean covid probability of its slices is {mean:.3} or more")
            }
            Rule::AnyOf(count) => {
                format!("covid where at least {} of its slices {}", count, if count == 1 { "is" } else { "are" })
            }
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::new("When a scan is called covid", &["Rule", "Chosen"]);
        table.row([self.text(), self.chosen.clone()]);
        table
    }
}

impl RunFolder {
    /// The rule by which a scan is called covid.
    pub fn scan_rule(&self) -> Result<ScanRule> {
        self.read(Artifact::ScanRule)
    }
}

shown_as_table!(ScanRule);

/// The prediction of one scan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanPrediction {
    /// Scan folder.
    pub scan: String,
    /// The label, where known.
    pub label: Option<Label>,
    /// Number of slices called covid.
    pub covid_slices: usize,
    /// Number of slices.
    pub slices: usize,
    /// Mean covid probability of the slices, 0 to 1; not calibrated.
    pub mean_covid: f64,
    /// The decision.
    pub decision: Label,
}

impl ScanPrediction {
    /// The mean probability of the decision, 0 to 1.
    pub(crate) fn confidence(&self) -> f64 {
        if self.decision == Label::Covid { self.mean_covid } else { 1.0 - self.mean_covid }
    }

    /// Share of slices called covid, 0 to 1.
    pub fn share(&self) -> f64 {
        self.covid_slices as f64 / self.slices as f64
    }
}

/// The predictions of a subset's scans.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanPredictions {
    /// Run, weights, manifest and split they were made from.
    pub about: About,
    /// The rule of the decisions.
    pub rule: ScanRule,
    rows: Vec<ScanPrediction>,
}

impl Predictions {
    /// Decisions by scan with the given rule.
    pub fn by_scan(&self, rule: &ScanRule) -> ScanPredictions {
        ScanPredictions::new(self, rule)
    }
}

impl ScanPredictions {
    pub(crate) fn new(slices: &Predictions, rule: &ScanRule) -> Self {
        let mut order: BTreeMap<&str, usize> = BTreeMap::new();
        let mut scans: Vec<(&SlicePrediction, Vec<f64>)> = Vec::new();
        for slice in slices.rows() {
            let index = *order.entry(&slice.scan).or_insert_with(|| {
                scans.push((slice, Vec::new()));
                scans.len() - 1
            });
            scans[index].1.push(f64::from(slice.covid));
        }
        let row = |(first, probabilities): (&SlicePrediction, Vec<f64>)| ScanPrediction {
            scan: first.scan.clone(),
            label: first.label,
            covid_slices: probabilities.iter().filter(|&&p| p >= 0.5).count(),
            slices: probabilities.len(),
            mean_covid: probabilities.iter().sum::<f64>() / probabilities.len() as f64,
            decision: if rule.rule.decide(&probabilities) { Label::Covid } else { Label::NonCovid },
        };
        Self { about: slices.about.clone(), rule: rule.clone(), rows: scans.into_iter().map(row).collect() }
    }

    /// One row for each scan, in the manifest's order.
    pub fn rows(&self) -> &[ScanPrediction] {
        &self.rows
    }

    /// The confusion matrix of decisions and labels.
    ///
    /// # Errors
    /// A subset without labels.
    pub fn confusion_matrix(&self) -> Result<ConfusionMatrix> {
        decided(self.rows.iter().map(|row| (row.scan.as_str(), row.label, row.decision)))
    }

    /// scikit-learn's classification report, per scan.
    pub fn report(&self) -> Result<ClassificationReport> {
        Ok(self.confusion_matrix()?.report())
    }

    /// The confusion matrix as a figure.
    pub fn figure(&self) -> Result<Figure> {
        confusion(&self.about.title("scans"), &self.confusion_matrix()?)
    }

    /// The table of one scan in the slides' words. `scan` is its folder, or the folder's last part if it is unique.
    pub fn patient(&self, scan: &str) -> Result<Table> {
        let scan = named(self.rows.iter().map(|row| row.scan.as_str()), scan, self.about.subset)?;
        let row = self.rows.iter().find(|row| row.scan == scan).with_context(|| format!("showing {scan}"))?;
        let mut table = Table::new(
            format!("Scan: {scan}"),
            &["Number of Covid slices", "Number of Non-Covid slices", "Decision", "Mean covid probability"],
        );
        table.row([
            format!("{}/{}", row.covid_slices, row.slices),
            format!("{}/{}", row.slices - row.covid_slices, row.slices),
            row.decision.to_string(),
            format!("{:.2}", row.mean_covid),
        ]);
        Ok(table.note(format!(
            "A scan is {} ({}). For research, not for diagnosis.",
            self.rule.text(),
            self.rule.chosen
        )))
    }

    /// One row for each scan, of the first 60.
    pub fn table(&self) -> Table {
        let mut table = Table::new(
            format!("Scans of the {} subset, {}", self.about.subset, self.about.run),
            &["Scan", "Truth", "Covid slices", "Share", "Mean probability", "Decision"],
        );
        const SHOWN: usize = 60;
        for row in self.rows.iter().take(SHOWN) {
            table.row([
                csv_text(&row.scan),
                row.label.map_or("–".to_owned(), |l| l.to_string()),
                format!("{}/{}", row.covid_slices, row.slices),
                percent(Some(row.share())),
                format!("{:.2}", row.mean_covid),
                row.decision.to_string(),
            ]);
        }
        let covid = self.rows.iter().filter(|r| r.decision == Label::Covid).count();
        if self.rows.len() > SHOWN {
            table = table.note(format!("The first {SHOWN} of {} scans.", self.rows.len()));
        }
        table.note(format!(
            "{} called covid: {} ({}).",
            counted_of(covid as u64, self.rows.len() as u64, "scan", ["is", "are"]),
            self.rule.text(),
            self.rule.chosen
        ))
    }

    /// Writes them as CSV, for spreadsheets.
    pub(crate) fn write(&self, folder: &RunFolder) -> Result<()> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record(["scan", "label", "covid_slices", "slices", "share", "mean_covid", "decision"])?;
        for row in &self.rows {
            csv.write_record([
                csv_text(&row.scan),
                row.label.map_or(String::new(), |l| l.to_string()),
                row.covid_slices.to_string(),
                row.slices.to_string(),
                row.share().to_string(),
                row.mean_covid.to_string(),
                row.decision.to_string(),
            ])?;
        }
        let csv = csv.into_inner()?;
        folder.write_by(Artifact::Scans(self.about.subset), |path| write_whole(path, &csv))
    }
}

shown_as_table!(ScanPredictions);
