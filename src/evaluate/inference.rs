//! What a network says of unlabelled scans, with everything that speaks for taking care.

use crate::base::figure::Figure;
use crate::base::table::{Table, percent, shown_as_table};
use crate::data::cache::SliceCache;
use crate::data::manifest::Label;
use crate::evaluate::assessment::{Assessment, Part};
use crate::evaluate::explain::{Pictured, sheet, slices_by_path};
use crate::evaluate::out_of_distribution::OutOfDistribution;
use crate::evaluate::predict::{About, Classifier, Predictions, SlicePrediction, named};
use crate::evaluate::scan_decisions::ScanRule;
use crate::stats::metrics::Interval;
use crate::train::experiment::Experiment;
use crate::train::run_folder::{Artifact, RunFolder};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// Scans shown in a table or a figure.
const SHOWN: usize = 60;

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
    /// Mean covid probability of the slices as the network gives them, 0 to 1. Not calibrated.
    pub mean: f64,
    /// The probability that the scan is covid, by the run's [`ScanCalibrator`](crate::ScanCalibrator), 0 to 1; `None` where
    /// none could be fitted.
    pub probability: Option<f64>,
    /// Its 95 % interval: bootstrap over the validation patients that the calibrator was fitted on.
    pub interval: Option<Interval>,
    /// The decision by the run's scan rule.
    pub decision: Label,
    /// Share of scans whose grey levels are as unusual or more, of the training scans and this one; `None` without a hint.
    pub share: Option<f64>,
    /// Whether that is few; `None` without a hint.
    pub unusual: Option<bool>,
    /// The hint in words.
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
    /// What probabilities and intervals are, or why there are none.
    pub calibrated: String,
    /// Why there is no hint at unusual scans.
    pub no_hint: Option<String>,
    /// One a scan.
    pub scans: Vec<InferredScan>,
}

impl Inference {
    /// Sums up predictions of unlabelled slices by scan.
    ///
    /// # Errors
    /// A run that was not evaluated, or with other weights than the predictions.
    pub fn of(experiment: &Experiment, predictions: &Predictions) -> Result<Self> {
        let (folder, cache) = (experiment.folder(), experiment.cache());
        let (assessment, rule) = (folder.assessment()?, folder.scan_rule()?);
        ensure!(
            assessment.weights == predictions.about.weights,
            "judging unlabelled scans: the assessment in {} is of the weights {}, the predictions of {}: run `covid-ct \
             evaluate` again",
            folder.path().display(),
            assessment.weights.short(),
            predictions.about.weights.short()
        );
        let typical = OutOfDistribution::of(cache, experiment.split(), predictions.about.subset)?;
        let calibrator = assessment.scan_calibrator.as_ref();
        let scans = predictions.by_scan(&rule);
        let rows = scans.rows().iter().map(|row| InferredScan {
            scan: row.scan.clone(),
            covid_slices: row.covid_slices,
            slices: row.slices,
            mean: row.mean_covid,
            probability: calibrator.map(|calibrator| calibrator.apply(row.mean_covid)),
            interval: calibrator.and_then(|calibrator| calibrator.interval(row.mean_covid)),
            decision: row.decision,
            share: typical.share.get(&row.scan).copied(),
            unusual: typical.is_unusual(&row.scan),
            hint: typical.hint(&row.scan).to_owned(),
        });
        let (about, calibrated) = (predictions.about.clone(), calibrated(&assessment));
        Ok(Self { about, rule: rule.clone(), calibrated, no_hint: typical.why_not.clone(), scans: rows.collect() })
    }

    /// One row a scan: the interval before the value.
    pub fn table(&self) -> Table {
        let mut table = Table::new(self.about.title("scans"), &COLUMNS);
        self.scans.iter().take(SHOWN).for_each(|scan| table.row(scan.cells()));
        if self.scans.len() > SHOWN {
            table = table.note(format!("The first {SHOWN} of {} scans.", self.scans.len()));
        }
        let covid = self.scans.iter().filter(|row| row.decision == Label::Covid).count();
        let covid = format!(
            "{covid} of {} scans ({}) are called covid: {} ({}).",
            self.scans.len(),
            percent(Some(covid as f64 / self.scans.len().max(1) as f64)),
            self.rule.text(),
            self.rule.chosen
        );
        self.notes(table.note(covid))
    }

    fn notes(&self, table: Table) -> Table {
        let unusual = self.scans.iter().filter(|scan| scan.unusual == Some(true)).count();
        let hint = match &self.no_hint {
            Some(why) => format!("Grey levels: no hint at unusual scans: {why}."),
            None => format!(
                "Grey levels: {unusual} of {} scans are called unusual; of scans like the training ones, five in a hundred \
                 would be. There the network was asked something it has not learned.",
                self.scans.len()
            ),
        };
        table.note(self.calibrated.clone()).note(hint).note("For research, not for diagnosis.")
    }

    fn scan(&self, scan: &str) -> Result<&InferredScan> {
        let scan = named(self.scans.iter().map(|row| row.scan.as_str()), scan, self.about.subset)?;
        self.scans.iter().find(|row| row.scan == scan).with_context(|| format!("showing {scan}"))
    }

    /// One scan: its calibrated probability with its interval, the decision, and whether it is unusual. `scan` is a folder,
    /// or its last part where one scan alone has it.
    pub fn patient(&self, scan: &str) -> Result<Table> {
        let scan = self.scan(scan)?;
        let mut table = Table::new(format!("Patient: {}", scan.scan), &COLUMNS);
        table.row(scan.cells());
        let rule = format!("A scan is {} ({}).", self.rule.text(), self.rule.chosen);
        Ok(self.notes(table.note(rule)))
    }

    /// One slice of each scan with its heat: the one that speaks most for the scan's decision, and beside it what was said
    /// of the scan; 60 scans at most.
    ///
    /// # Errors
    /// Predictions of other slices than the cache's or of other weights than the classifier's.
    pub fn heat_figure(
        &self,
        classifier: &Classifier,
        cache: &SliceCache,
        predictions: &Predictions,
    ) -> Result<Figure> {
        let doing = "drawing the heat of every scan";
        ensure!(
            classifier.weights() == self.about.weights && predictions.about == self.about,
            "{doing}: the scans were judged with the weights {}, these are {}",
            self.about.weights.short(),
            classifier.weights().short()
        );
        let number = slices_by_path(cache);
        let picture = |scan: &InferredScan| -> Result<Pictured> {
            let for_decision = |row: &&SlicePrediction| match scan.decision {
                Label::Covid => row.covid,
                Label::NonCovid => 1.0 - row.covid,
            };
            let rows = predictions.rows().iter().filter(|row| row.scan == scan.scan);
            let row = rows.max_by(|a, b| for_decision(a).total_cmp(&for_decision(b)));
            let row = row.with_context(|| format!("{doing}: {} has no slices", scan.scan))?;
            let slice = number.get(&row.path).with_context(|| format!("{doing}: {} is not in the cache", row.path))?;
            let file = row.path.rsplit('/').next().unwrap_or(&row.path);
            let said = format!("{}\n{file}: {}\n{}\n{}", scan.scan, scan.decision, scan.sure(), scan.hint);
            Ok(Pictured { name: said, slice: *slice, class: Some(scan.decision) })
        };
        let pictures = self.scans.iter().take(SHOWN).map(picture).collect::<Result<Vec<_>>>()?;
        let caption = "One slice a scan: the one that speaks most for the scan's decision, with the heat for it (Grad-CAM, \
                       yellow to red) and the outline of the lungs (blue). Under it the scan's calibrated covid probability: \
                       95 % interval (value). For research, not for diagnosis.";
        sheet(classifier, cache, &self.about.title("scans: where the network looks"), &pictures, caption)
    }
}

impl RunFolder {
    /// The unlabelled scans, judged.
    pub fn inference(&self) -> Result<Inference> {
        self.read(Artifact::Inference)
    }
}

shown_as_table!(Inference);

const COLUMNS: [&str; 6] = [
    "Scan",
    "Covid probability, calibrated: 95 % interval (value)",
    "Decision",
    "Covid slices",
    "Mean of the slices, not calibrated",
    "Grey levels",
];

impl InferredScan {
    fn cells(&self) -> [String; 6] {
        [
            self.scan.clone(),
            self.sure(),
            self.decision.to_string(),
            format!("{}/{}", self.covid_slices, self.slices),
            format!("{:.2}", self.mean),
            self.hint.clone(),
        ]
    }

    /// `0.61 to 0.88 (0.77)`.
    fn sure(&self) -> String {
        let value = self.probability.map_or("–".to_owned(), |value| format!("{value:.2}"));
        match (self.probability, self.interval) {
            (None, _) => value,
            (_, None) => format!("– ({value})"),
            (_, Some(interval)) => format!("{:.2} to {:.2} ({value})", interval.low, interval.high),
        }
    }
}

fn calibrated(assessment: &Assessment) -> String {
    let Some(of) = &assessment.scan_calibrator else {
        let why = assessment.omitted.iter().find(|of| of.part == Part::ScanCalibrator);
        return format!(
            "Probabilities are not calibrated: {}.",
            why.map_or("no calibrator was fitted".to_owned(), ToString::to_string)
        );
    };
    format!(
        "Probabilities are calibrated on {} validation scans of {} patients, {} of them covid, and hold where that share is \
         covid. Their intervals say how far these patients fix the calibration; not how far the network is right.",
        of.scans, of.patients, of.covid
    )
}
