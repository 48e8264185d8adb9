//! An assessment as tables and figures.

use super::{Assessment, DRAWS};
use crate::figure::{Figure, reliability};
use crate::metrics::{Estimate, Interval, Measure, Performance};
use crate::progress::thousands;
use crate::rules::Rule;
use crate::split::Subset;
use crate::table::{Table, percent, shown_as_table};
use anyhow::{Context, Result};

impl Assessment {
    /// One row a measure, by slice and by scan, the interval first.
    pub fn table(&self) -> Table {
        let mut columns = vec!["Measure".to_owned()];
        for of in &self.subsets {
            let mark = of.subset.leak_mark(self.leaking);
            columns.extend(["slice", "scan"].map(|unit| format!("{} by {unit}{mark}", of.subset)));
        }
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let mut table = Table::new(format!("{}: 95 % intervals, and values", self.run), &columns);
        for measure in Measure::ALL {
            let of = |performance: &Performance| estimated(performance.get(measure));
            let cells = self.subsets.iter().flat_map(|subset| [of(&subset.slices), of(&subset.scans)]);
            table.row(std::iter::once(measure.name().to_owned()).chain(cells));
        }
        let counts = self.subsets.iter().map(|of| {
            format!(
                "{}: {} slices, {} scans, {} patients",
                of.subset,
                thousands(of.slices.samples as u64),
                thousands(of.scans.samples as u64),
                thousands(of.scans.patients as u64)
            )
        });
        let table = table.note(format!(
            "{}. Intervals: bootstrap over patients, {} draws; – where undefined.",
            counts.collect::<Vec<_>>().join("; "),
            thousands(u64::from(DRAWS))
        ));
        match self.leaking {
            true => table.note("LEAKING SPLIT: the test intervals hold for patients that were learned from."),
            false => table,
        }
    }

    /// Scan rules beside each other.
    pub fn rules_table(&self) -> Table {
        let columns = ["Rule", "Covid from", "Validation (chosen here)", "Test, 95 % interval and value"];
        let mut table = Table::new("From slices to a scan: balanced accuracy", &columns);
        for of in &self.rules {
            let (name, from) = rule_text(of.rule);
            let test = of.test.as_ref().map_or("–".to_owned(), estimated);
            table.row([name.to_owned(), from, percent(Some(of.validation)), test]);
        }
        table.note("Every threshold is chosen on the validation scans alone; the test scans are only read.")
    }

    /// Error, Brier score, slope and intercept, before and after temperature scaling.
    pub fn calibration_table(&self) -> Table {
        let columns =
            ["Slices", "Probabilities", "Expected error", "Brier score", "Slope", "Intercept", "In the large"];
        let mut table = Table::new("Calibration: does 80 % mean 80 %?", &columns);
        let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.3}"));
        for of in &self.calibration {
            for (how, calibration) in [("as they come", &of.before), ("temperature-scaled", &of.after)] {
                table.row([
                    format!("{}{}", of.subset, of.subset.leak_mark(self.leaking)),
                    how.to_owned(),
                    number(Some(calibration.expected_error)),
                    number(Some(calibration.brier)),
                    number(calibration.line.map(|line| line.slope)),
                    number(calibration.line.map(|line| line.intercept)),
                    number(calibration.in_the_large),
                ]);
            }
        }
        match &self.temperature {
            Some(temperature) => table.note(format!(
                "Temperature {:.3}{}, fitted on {} validation slices. Perfect: error 0, slope 1, intercept 0; a slope \
                 below 1 says that probabilities are too extreme.",
                temperature.value,
                if temperature.at_bound { " (the end of its range)" } else { "" },
                thousands(temperature.samples as u64)
            )),
            None => table.note("Not fitted: the validation slices are of one label only."),
        }
    }

    /// Reliability diagrams of a subset, before and after temperature scaling.
    pub fn reliability_figure(&self, subset: Subset) -> Result<Figure> {
        let of = self.calibration.iter().find(|of| of.subset == subset);
        let of = of.with_context(|| format!("the run {} has no calibration of its {subset} subset", self.run))?;
        let title = format!("{subset} slices{}: how often it is covid", subset.leak_mark(self.leaking));
        let series = [("as the network says", &of.before), ("temperature-scaled", &of.after)];
        reliability(
            &title,
            &series,
            "A point stands for the slices of one tenth of the probabilities; on the diagonal, 80 % means 80 %. Bars: \
             Wilson's 95 % intervals, too narrow, for slices of one patient are alike.",
        )
    }

    /// Balanced accuracy of each source's scans; empty where no patient table names sources.
    pub fn sources_table(&self) -> Table {
        let columns = ["Subset", "Source", "Scans", "Patients", "Accuracy", "Sensitivity", "Specificity"];
        let mut table = Table::new("Scans by source", &columns);
        for of in &self.subsets {
            for (source, performance) in &of.sources {
                let cell = |measure| estimated(performance.get(measure));
                table.row([
                    of.subset.to_string(),
                    source.clone(),
                    thousands(performance.samples as u64),
                    thousands(performance.patients as u64),
                    cell(Measure::Accuracy),
                    cell(Measure::Sensitivity),
                    cell(Measure::Specificity),
                ]);
            }
        }
        table.note(
            "A source with one label only tells nothing of the other: a network that knows the source is right there.",
        )
    }
}

shown_as_table!(Assessment);

/// `62.5 to 81.0 % (72.4)`: the interval before the value.
pub(crate) fn estimated(estimate: &Estimate) -> String {
    let scale = |value: f64| match estimate.measure {
        Measure::Matthews | Measure::RocAuc | Measure::PrAuc => format!("{value:.3}"),
        _ => format!("{:.1}", 100.0 * value),
    };
    let unit = if matches!(estimate.measure, Measure::Matthews | Measure::RocAuc | Measure::PrAuc) { "" } else { " %" };
    match (estimate.value, estimate.interval) {
        (None, _) => "–".to_owned(),
        (Some(value), None) => format!("– ({}{unit})", scale(value)),
        (Some(value), Some(Interval { low, high })) => {
            format!("{} to {}{unit} ({})", scale(low), scale(high), scale(value))
        }
    }
}

/// A rule in words: what it looks at, and from where on it says covid.
pub(crate) fn rule_text(rule: Rule) -> (&'static str, String) {
    match rule {
        Rule::ShareOfSlices(share) => ("Share of covid slices", percent(Some(share))),
        Rule::MeanProbability(mean) => ("Mean probability", format!("{mean:.3}")),
        Rule::AnyOf(1) => ("Any of k slices", "1 covid slice".to_owned()),
        Rule::AnyOf(count) => ("Any of k slices", format!("{count} covid slices")),
    }
}
