//! Predictions of unlabelled scans, with calibrated probabilities and an out-of-distribution hint.

use crate::base::errors::{Context, Result, ensure};
use crate::base::figure::Figure;
use crate::base::files::Digest;
use crate::base::progress::{counted, counted_of};
use crate::base::table::{Table, percent, shown_as_table};
use crate::data::cache::SliceCache;
use crate::data::contact_sheet::ContactSheet;
use crate::data::manifest::{Label, Set};
use crate::evaluate::assessment::{Assessment, Part};
use crate::evaluate::explain::{Pictured, sheet, slices_by_path};
use crate::evaluate::incomplete::{IncompleteScan, reasons};
use crate::evaluate::out_of_distribution::{GreyLevels, OutOfDistribution};
use crate::evaluate::predict::{About, Classifier, Predictions, SlicePrediction, named};
use crate::evaluate::scan_decisions::ScanRule;
use crate::stats::metrics::Interval;
use crate::train::run_folder::{Artifact, RunFolder};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Scans shown in a table or a figure.
const SHOWN: usize = 60;

/// The prediction of one unlabelled scan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InferredScan {
    /// Scan folder.
    pub scan: String,
    /// Number of slices called covid.
    pub covid_slices: usize,
    /// Number of slices that were judged.
    pub slices: usize,
    /// Number of slices that were left out, by the reason: a check of the audit, or `without-lungs`.
    #[serde(default)]
    pub left_out: BTreeMap<String, usize>,
    /// Mean covid probability of the slices, 0 to 1; not calibrated.
    pub mean: f64,
    /// Calibrated probability that the scan is covid, by the run's [`ScanCalibrator`](crate::ScanCalibrator), 0 to 1;
    /// `None` if none could be fitted.
    pub probability: Option<f64>,
    /// Its 95 % confidence interval: bootstrap over the validation patients that the calibrator was fitted on.
    pub interval: Option<Interval>,
    /// The decision by the run's scan rule.
    pub decision: Label,
    /// Conformal p-value of the scan's grey levels, more than 0 to 1: see
    /// [`OutOfDistribution::share`](crate::OutOfDistribution::share). `None` without a hint.
    pub share: Option<f64>,
    /// Whether the scan's grey levels are out-of-distribution (`share` at most 0.05); `None` without a hint.
    pub unusual: Option<bool>,
    /// The hint in words.
    pub hint: String,
}

/// A run's predictions of the unlabelled scans.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inference {
    /// Run, weights, manifest and split of the predictions.
    pub about: About,
    /// The rule of the decisions.
    pub rule: ScanRule,
    /// What the test set says of the network on new patients.
    #[serde(default)]
    pub on_new_patients: Option<String>,
    /// How probabilities and intervals were calibrated, or why they were not.
    pub calibrated: String,
    /// Why there is no out-of-distribution hint; `None` if there is one.
    pub no_hint: Option<String>,
    /// One entry for each scan that was judged.
    pub scans: Vec<InferredScan>,
    /// Scans of which nothing could be judged.
    #[serde(default)]
    pub not_judged: Vec<IncompleteScan>,
}

/// What an evaluated run judges unlabelled scans by.
pub(crate) struct Basis {
    pub(crate) assessment: Assessment,
    pub(crate) rule: ScanRule,
    pub(crate) grey_levels: GreyLevels,
}

impl Basis {
    /// Reads it from the run's folder.
    ///
    /// # Errors
    /// A run that was not evaluated, or was evaluated with other weights or another split.
    pub(crate) fn read(run: &RunFolder, weights: Digest, split: Digest) -> Result<Self> {
        let basis = Self { assessment: run.assessment()?, rule: run.scan_rule()?, grey_levels: run.grey_levels()? };
        for (what, noun, found, expected) in [
            ("assessment", "weights", basis.assessment.weights, weights),
            ("grey levels", "split", basis.grey_levels.split, split),
        ] {
            ensure!(
                found == expected,
                "judging unlabelled scans: the {what} in {} are of the {noun} {}, the network of {}: run `covid-ct \
                 evaluate` again",
                run.path().display(),
                found.short(),
                expected.short()
            );
        }
        Ok(basis)
    }
}

impl Inference {
    /// Combines predictions of unlabelled slices by scan. `slices` are the numbers of these slices in `cache`.
    ///
    /// # Errors
    /// A cache of slices of another size than the training scans'.
    pub(crate) fn of(basis: &Basis, cache: &SliceCache, slices: &[usize], predictions: &Predictions) -> Result<Self> {
        let Basis { assessment, rule, grey_levels } = basis;
        let hints = OutOfDistribution::of(grey_levels, cache, slices)?;
        let calibrator = assessment.scan_calibrator.as_ref();
        let scans = predictions.by_scan(rule);
        let incomplete = IncompleteScan::all(cache.manifest(), predictions, |scan| scan.set == Set::Prediction);
        let left_out = |folder: &str| incomplete.iter().find(|of| of.scan == folder).map(|of| of.left_out.clone());
        let rows = scans.rows().iter().map(|row| InferredScan {
            left_out: left_out(&row.scan).unwrap_or_default(),
            scan: row.scan.clone(),
            covid_slices: row.covid_slices,
            slices: row.slices,
            mean: row.mean_covid,
            probability: calibrator.map(|calibrator| calibrator.apply(row.mean_covid)),
            interval: calibrator.and_then(|calibrator| calibrator.interval(row.mean_covid)),
            decision: row.decision,
            share: hints.share.get(&row.scan).copied(),
            unusual: hints.is_unusual(&row.scan),
            hint: hints.hint(&row.scan).to_owned(),
        });
        let (about, calibrated, no_hint) = (predictions.about.clone(), calibrated(assessment), hints.why_not.clone());
        let scans = rows.collect();
        let not_judged = incomplete.into_iter().filter(|scan| scan.judged == 0).collect();
        let on_new_patients = Some(assessment.on_new_patients());
        Ok(Self { about, rule: rule.clone(), on_new_patients, calibrated, no_hint, scans, not_judged })
    }

    /// One row for each scan, of the first 60: the confidence interval before the value. Then the scans that were not judged.
    pub fn table(&self) -> Table {
        let mut table = self.headed(self.about.title("scans"));
        self.scans.iter().take(SHOWN).for_each(|scan| table.row(scan.cells()));
        if self.scans.len() > SHOWN {
            table = table.note(format!("The first {SHOWN} of {} scans.", self.scans.len()));
        }
        self.not_judged.iter().take(SHOWN).for_each(|scan| table.row(not_judged_cells(scan)));
        if !self.not_judged.is_empty() {
            let count = counted(self.not_judged.len() as u64, "scan");
            table = table.note(format!("{count} not judged: none of the slices could be used."));
        }
        let covid = self.scans.iter().filter(|row| row.decision == Label::Covid).count();
        let of = self.scans.len();
        let covid = format!(
            "{} called covid ({}): {} ({}).",
            counted_of(covid as u64, of as u64, "scan", ["is", "are"]),
            percent(Some(covid as f64 / of.max(1) as f64)),
            self.rule.text(),
            self.rule.chosen
        );
        self.notes(table.note(covid))
    }

    /// A table without rows that begins with what is known of the network.
    fn headed(&self, title: String) -> Table {
        self.on_new_patients.iter().cloned().fold(Table::new(title, &COLUMNS), Table::note)
    }

    fn notes(&self, table: Table) -> Table {
        let outlying = self.scans.iter().filter(|scan| scan.unusual == Some(true)).count();
        let hint = match &self.no_hint {
            Some(why) => format!("Grey levels: no out-of-distribution hint: {why}."),
            None => format!(
                "Grey levels: {outlying} of {} scans are out-of-distribution (unusual); of in-distribution scans five \
                 in a hundred would be. For an unusual scan the prediction is a guess: the network was trained on none \
                 like it.",
                self.scans.len()
            ),
        };
        table.note(self.calibrated.clone()).note(hint).note("For research, not for diagnosis.")
    }

    /// The table of one scan: its calibrated probability with its confidence interval, the decision, and the
    /// out-of-distribution hint. `scan` is its folder, or the folder's last part if it is unique.
    ///
    /// # Errors
    /// No such scan, or several.
    pub fn patient(&self, scan: &str) -> Result<Table> {
        let folders = self.scans.iter().map(|row| &row.scan).chain(self.not_judged.iter().map(|of| &of.scan));
        let folder = named(folders.map(String::as_str), scan, self.about.subset)?;
        let mut table = self.headed(format!("Scan: {folder}"));
        self.scans.iter().filter(|row| row.scan == folder).for_each(|row| table.row(row.cells()));
        self.not_judged.iter().filter(|of| of.scan == folder).for_each(|of| table.row(not_judged_cells(of)));
        let rule = format!("A scan is {} ({}).", self.rule.text(), self.rule.chosen);
        Ok(self.notes(table.note(rule)))
    }

    /// One slice of each scan with its heat map, the one with the highest probability of the scan's decision, captioned
    /// with the scan's prediction; 60 scans at most.
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
            "{doing}: the scans were predicted with the weights {}, these are {}",
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
            let said = [format!("{file}: {}", scan.decision), scan.probability_text(), scan.hint.clone()];
            let lines = std::iter::once(scan.scan.clone()).chain(said).collect();
            Ok(Pictured { lines, slice: *slice, class: Some(scan.decision) })
        };
        let pictures = self.scans.iter().take(SHOWN).map(picture).collect::<Result<Vec<_>>>()?;
        let caption = "One slice of each scan: the one with the highest probability of the scan's decision, with the \
                       heat for it (Grad-CAM, yellow over orange to red) and the outline of the lungs (blue). Below it the scan's \
                       calibrated covid probability: 95 % interval (value). For research, not for diagnosis.";
        let sheet_of = ContactSheet::new(self.about.title("scans: where the network looks"));
        sheet(classifier, cache, sheet_of, &pictures, caption)
    }
}

impl RunFolder {
    /// The predictions of the unlabelled scans.
    pub fn inference(&self) -> Result<Inference> {
        self.read(Artifact::Inference)
    }
}

shown_as_table!(Inference);

const COLUMNS: [&str; 7] = [
    "Scan",
    "Decision",
    "Covid slices",
    "Mean of the slices, not calibrated",
    "Covid probability, calibrated: 95 % interval (value)",
    "Slices left out",
    "Grey levels",
];

fn not_judged_cells(scan: &IncompleteScan) -> [String; 7] {
    let [decision, covid_slices, mean, probability, hint] = ["not judged", "0/0", "–", "–", "–"].map(str::to_owned);
    [scan.scan.clone(), decision, covid_slices, mean, probability, scan.reasons(), hint]
}

impl InferredScan {
    fn cells(&self) -> [String; 7] {
        [
            self.scan.clone(),
            self.decision.to_string(),
            format!("{}/{}", self.covid_slices, self.slices),
            format!("{:.2}", self.mean),
            self.probability_text(),
            reasons(&self.left_out),
            self.hint.clone(),
        ]
    }

    /// `0.61 to 0.88 (0.77)`.
    fn probability_text(&self) -> String {
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
        "Probabilities are calibrated on {} validation scans of {} patients, {} of them covid, and are valid for data \
         with the same share of covid; they do not decide. Their intervals show the uncertainty of the calibration, not \
         that of the network.",
        of.scans, of.patients, of.covid
    )
}
