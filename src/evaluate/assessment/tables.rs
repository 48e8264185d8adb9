//! An assessment as tables and figures.

use super::Part;
use super::{Assessed, Assessment, Calibrated, RocCurves};
use crate::base::errors::{Context, Result};
use crate::base::figure::Figure;
use crate::base::progress::thousands;
use crate::base::table::{Page, Table, percent, shown_as_table};
use crate::data::split::{Subset, listed};
use crate::evaluate::decision_rules::Rule;
use crate::stats::calibration::Calibration;
use crate::stats::figures::{Curve, reliability, roc};
use crate::stats::metrics::{DRAWS, Estimate, Interval, Measure, Performance};

/// Fewer patients are too few for reliable figures.
pub(crate) const FEW: usize = 20;

/// The intervals of scans, in words: see [`Performance::with_score_intervals`].
pub(crate) const OF_SCANS: &str = "score intervals with patients as trials (Wilson's, and from those Newcombe's)";
/// The intervals of scans and of slices, in words.
pub(crate) const INTERVALS: &str = "by scan score intervals with patients as trials (Wilson's, and from those Newcombe's), \
                                    by slice a bootstrap over patients";

impl Assessment {
    /// One row for each measure, by scan and by slice, the confidence interval before the value.
    pub fn table(&self) -> Table {
        let mut columns = vec!["Measure".to_owned()];
        for of in &self.subsets {
            let mark = of.subset.leak_mark(&self.leaks);
            columns.extend(["scan", "slice"].map(|unit| format!("{} by {unit}{mark}", of.subset)));
        }
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let mut table = Table::new(format!("{}: 95 % intervals, and values", self.run), &columns);
        for measure in Measure::ALL {
            let cells = self.subsets.iter().flat_map(|subset| [&subset.scans, &subset.slices]);
            table.row(std::iter::once(measure.name().to_owned()).chain(cells.map(|of| marked(of, measure))));
        }
        self.notes().into_iter().fold(table, Table::note)
    }

    /// Notes on how the intervals are to be read.
    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self.subsets.iter().map(counts).collect();
        notes.push(format!(
            "Confidence intervals: {INTERVALS}, {} draws. Where all draws are alike, as without a single error, it would \
             have a length of 0: it is then Clopper and Pearson's, with patients as trials. –: undefined, one patient \
             only, or all draws alike.",
            thousands(u64::from(DRAWS))
        ));
        if self.subsets.iter().any(|of| [&of.slices, &of.scans].into_iter().any(drops_draws)) {
            notes.push(
                "*: draws in which the measure is undefined, up to 5 %, are left out of its interval.".to_owned(),
            );
        }
        for of in self.subsets.iter().filter(|of| of.scans.patients < FEW) {
            notes.push(format!(
                "WARNING: {} {} patients: too few for more than an indication, and intervals by slice are too narrow.",
                of.scans.patients, of.subset
            ));
        }
        if self.subset(Subset::Validation).is_some() {
            notes.push(
                "Validation figures are optimistic: epoch, thresholds and calibration were chosen on these scans."
                    .to_owned(),
            );
        }
        if !self.leaks.is_empty() {
            let leaks = listed(&self.leaks);
            notes.push(format!("LEAKING SPLIT: the {leaks} intervals hold for patients that were learned from."));
        }
        notes.extend(self.omitted.iter().map(|of| format!("No {}: {}.", of.part, of.why)));
        notes
    }

    /// ROC curves of slices and scans, one figure for each subset with both labels.
    pub fn roc_figures(&self) -> Result<Vec<Figure>> {
        self.subsets.iter().filter_map(|of| Some(self.roc_figure(of, of.roc.as_ref()?))).collect()
    }

    fn roc_figure(&self, of: &Assessed, curves: &RocCurves) -> Result<Figure> {
        let title = format!("{}, {}{}: ROC", self.run, of.subset, of.subset.leak_mark(&self.leaks));
        roc_figure(
            &title,
            of,
            curves,
            "Dots: the decisions, of slices at a probability of 0.5, of scans by their rule.",
        )
    }

    /// Balanced accuracy of the best scan rule of each kind.
    pub fn rules_table(&self) -> Table {
        let test = format!("Test{}, 95 % interval and value", Subset::Test.leak_mark(&self.leaks));
        let columns = ["Rule", "Covid from", "Validation (chosen here)", &test];
        let mut table = Table::new("From slices to a scan: balanced accuracy", &columns);
        for of in &self.rules {
            let (name, from) = rule_text(of.rule);
            let test = of.test.as_ref().map_or("–".to_owned(), estimated);
            table.row([name.to_owned(), from, percent(Some(of.validation)), test]);
        }
        let table = table.note(
            "Every threshold is chosen on the validation scans, so the validation column is optimistic; the test scans \
             are not used for it.",
        );
        self.omissions(&[Part::ScanRules], table)
    }

    /// Adds to a table why these parts are left out.
    fn omissions(&self, parts: &[Part], table: Table) -> Table {
        let about = self.omitted.iter().filter(|of| parts.contains(&of.part));
        about.fold(table, |table, of| table.note(format!("No {}: {}.", of.part, of.why)))
    }

    /// The calibration table, followed by the reliability diagrams of slices and of scans for validation and test.
    pub fn calibration_page(&self) -> Result<Page> {
        let subsets = || self.calibration.iter().map(|of| of.subset);
        let slices = subsets().map(|subset| self.reliability_figure(subset)).collect::<Result<Vec<_>>>()?;
        let scans = subsets().map(|subset| self.scan_reliability_figure(subset)).collect::<Result<Vec<_>>>()?;
        Ok(Page::new().with(&self.calibration_table()).with_row(&slices).with_row(&scans))
    }

    /// Expected calibration error, Brier score, slope and intercept: of slices before and after temperature scaling,
    /// and of scans before and after their calibrator.
    pub fn calibration_table(&self) -> Table {
        let columns =
            ["Of", "Probabilities", "Expected calibration error", "Brier score", "Slope", "Intercept", "In the large"];
        let mut table = Table::new("Calibration: does 80 % mean 80 %?", &columns);
        let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.3}"));
        for of in &self.calibration {
            let mark = of.subset.leak_mark(&self.leaks);
            for (unit, how, calibration) in of.each() {
                table.row([
                    format!("{} {unit}{mark}", of.subset),
                    how.to_owned(),
                    number(Some(calibration.expected_error)),
                    number(Some(calibration.brier)),
                    number(calibration.line.map(|line| line.slope)),
                    number(calibration.line.map(|line| line.intercept)),
                    number(calibration.in_the_large),
                ]);
            }
        }
        table = table
            .note("Perfect: error 0, slope 1, intercept 0; a slope below 1 means that probabilities are too extreme.");
        if self.calibration.iter().any(|of| of.subset == Subset::Validation) {
            table = table.note("The validation rows are optimistic, because temperature and line were fitted there.");
        }
        if let Some(temperature) = &self.temperature {
            table = table.note(format!(
                "Slices: temperature {:.3}{}, fitted on {} validation slices.",
                temperature.value,
                if temperature.at_bound { " (the end of its range)" } else { "" },
                thousands(temperature.samples as u64)
            ));
        }
        if let Some(of) = &self.scan_calibrator {
            table = table.note(format!(
                "Scans: log odds = {:.3} + {:.3} × logit of the mean probability (Platt scaling), fitted on {} \
                 validation scans of {} patients, {} of them covid.",
                of.line.intercept,
                of.line.slope,
                thousands(of.scans as u64),
                thousands(of.patients as u64),
                thousands(of.covid as u64)
            ));
        }
        self.omissions(&[Part::Temperature, Part::ScanCalibrator], table)
    }

    /// Reliability diagrams of a subset's slices, before and after temperature scaling.
    pub fn reliability_figure(&self, subset: Subset) -> Result<Figure> {
        self.reliability(
            subset,
            "slices",
            "Wilson's 95 % intervals, too narrow because slices of one patient are not independent",
        )
    }

    /// Reliability diagrams of a subset's scans: the mean probability of their slices, before and after the calibrator
    /// of scans.
    pub fn scan_reliability_figure(&self, subset: Subset) -> Result<Figure> {
        self.reliability(subset, "scans", "Wilson's 95 % intervals")
    }

    fn reliability(&self, subset: Subset, unit: &str, intervals: &str) -> Result<Figure> {
        let of = self.calibration.iter().find(|of| of.subset == subset);
        let of = of.with_context(|| format!("the run {} has no calibration of its {subset} subset", self.run))?;
        let title = format!("{}, {subset} {unit}{}: calibration", self.run, subset.leak_mark(&self.leaks));
        let series = of.each().into_iter().filter(|of| of.0 == unit).map(|(_, how, calibration)| (how, calibration));
        let caption = format!(
            "Each point is one of ten bins of the predicted probability, at its mean and the observed share of covid; \
             on the diagonal, 80 % means 80 %. Bars: {intervals}."
        );
        reliability(&title, &series.collect::<Vec<_>>(), &caption)
    }

    /// Balanced accuracy of each source's scans; empty where no patient table names sources.
    pub fn sources_table(&self) -> Table {
        let columns = [
            "Subset",
            "Source",
            "Scans",
            "Patients",
            "ROC AUC",
            "Balanced accuracy",
            "Macro F1",
            "Sensitivity",
            "Specificity",
        ];
        let mut table = Table::new("Scans by source", &columns);
        for of in &self.subsets {
            for (source, performance) in &of.sources {
                let cell = |measure| marked(performance, measure);
                table.row([
                    format!("{}{}", of.subset, of.subset.leak_mark(&self.leaks)),
                    source.clone(),
                    thousands(performance.samples as u64),
                    thousands(performance.patients as u64),
                    cell(Measure::RocAuc),
                    cell(Measure::BalancedAccuracy),
                    cell(Measure::MacroF1),
                    cell(Measure::Sensitivity),
                    cell(Measure::Specificity),
                ]);
            }
        }
        let few = self.subsets.iter().flat_map(|of| &of.sources).filter(|of| of.1.patients < FEW).count();
        let table = match few {
            0 => table,
            _ => table.note(format!("{few} rows have fewer than {FEW} patients: too few for more than an indication.")),
        };
        table.note(
            "A source with a single label shows nothing about the other: a network that recognises the source is right there.",
        )
    }
}

shown_as_table!(Assessment);

impl Calibrated {
    /// For slices and scans, before and after recalibration: unit, name of the probabilities, calibration.
    fn each(&self) -> Vec<(&'static str, &'static str, &Calibration)> {
        let kinds = [
            ("slices", "uncalibrated", Some(&self.slices.before)),
            ("slices", "temperature-scaled", self.slices.after.as_ref()),
            ("scans", "mean of the slices", Some(&self.scans.before)),
            ("scans", "calibrated", self.scans.after.as_ref()),
        ];
        kinds.into_iter().filter_map(|(unit, how, calibration)| Some((unit, how, calibration?))).collect()
    }
}

/// ROC curves of slices and scans; `dots` says what the operating points are.
pub(crate) fn roc_figure(title: &str, of: &Assessed, curves: &RocCurves, dots: &str) -> Result<Figure> {
    let curve = |name: &str, of: &Performance, points| -> Curve<'_> {
        let value = |measure| of.get(measure).value;
        let interval = of.get(Measure::RocAuc).interval.map(|of| format!(" ({:.3} to {:.3})", of.low, of.high));
        let area = value(Measure::RocAuc).map_or("–".to_owned(), |area| format!("{area:.3}"));
        let area = area + &interval.unwrap_or_default();
        let decided = value(Measure::Specificity).zip(value(Measure::Sensitivity)).map(|(tn, tp)| [1.0 - tn, tp]);
        (format!("{} {name}: area {area}", thousands(of.samples as u64)), points, decided)
    };
    let curves = [curve("slices", &of.slices, &curves.slices), curve("scans", &of.scans, &curves.scans)];
    let caption = format!(
        "Sensitivity and false positive rate of every threshold; the area, with its 95 % interval over patients, is the probability \
         that a covid sample scores above a non-covid one, 0.5 on the diagonal. {dots}"
    );
    roc(title, &curves, &caption)
}

/// Numbers of slices, scans and patients of a subset, and for how many scans the patient is not known.
pub(crate) fn counts(of: &Assessed) -> String {
    let patients = match of.scans.samples - of.named {
        0 => format!("{} patients", thousands(of.scans.patients as u64)),
        _ if of.named == 0 => format!(
            "{} patients: no table names them, so each scan counts as one (scans that look alike are joined)",
            thousands(of.scans.patients as u64)
        ),
        unnamed => format!(
            "{} patients, {} of them scans whose patient no table names",
            thousands(of.scans.patients as u64),
            thousands(unnamed as u64)
        ),
    };
    format!(
        "{}: {} slices, {} scans, {patients}.",
        of.subset,
        thousands(of.slices.samples as u64),
        thousands(of.scans.samples as u64)
    )
}

fn drops_draws(of: &Performance) -> bool {
    of.estimates().iter().any(|estimate| estimate.interval.is_some() && estimate.defined < of.draws)
}

/// A measure with its interval; `*` if draws are left out of the interval.
fn marked(of: &Performance, measure: Measure) -> String {
    let estimate = of.get(measure);
    let star = if estimate.interval.is_some() && estimate.defined < of.draws { " *" } else { "" };
    estimated(estimate) + star
}

/// `62.5 to 81.0 % (72.4)`: the interval before the value.
pub(crate) fn estimated(estimate: &Estimate) -> String {
    let scale = |value: f64| match estimate.measure {
        Measure::Matthews | Measure::RocAuc | Measure::PrAuc => format!("{value:.3}"),
        _ => format!("{:.1}", 100.0 * value),
    };
    let unit = if matches!(estimate.measure, Measure::Matthews | Measure::RocAuc | Measure::PrAuc) { "" } else { " %" };
    match (estimate.value, estimate.interval) {
        (None, _) => "–".to_owned(),
        (Some(value), Some(Interval { low, high })) if estimate.exact || low < high => {
            let alike = match (estimate.exact, value) {
                (true, 1.0) => "; no error",
                (true, 0.0) => "; none right",
                _ => "",
            };
            format!("{} to {}{unit} ({}{alike})", scale(low), scale(high), scale(value))
        }
        // Draws that are all alike say nothing of the uncertainty.
        (Some(value), _) => format!("– ({}{unit})", scale(value)),
    }
}

/// A rule in words: its score, and its threshold.
pub(crate) fn rule_text(rule: Rule) -> (&'static str, String) {
    match rule {
        Rule::ShareOfSlices(share) => ("Share of covid slices", percent(Some(share))),
        Rule::MeanProbability(mean) => ("Mean probability", format!("{mean:.3}")),
        Rule::AnyOf(1) => ("Any of k slices", "1 covid slice".to_owned()),
        Rule::AnyOf(count) => ("Any of k slices", format!("{count} covid slices")),
    }
}
