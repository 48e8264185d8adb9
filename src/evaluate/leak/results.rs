//! A leak probe as tables and figures.

use super::label_permutation::{LEAST_SLICES, MOST_PATIENTS, MOST_SLICES};
use super::{LeakArm, LeakProbe};
use crate::base::errors::Result;
use crate::base::figure::{Bar, Figure, bars};
use crate::base::progress::thousands;
use crate::base::table::{Page, Table, percent, shown_as_table};
use crate::data::split::SplitUnit;
use crate::evaluate::published::Published;

const SHUFFLED: &str = "shuffled among patients";

impl LeakArm {
    fn names(&self) -> (&'static str, &'static str) {
        let unit = if self.unit == SplitUnit::Slice { "by slice (LEAKING)" } else { "by patient" };
        (unit, if self.shuffled { SHUFFLED } else { "true" })
    }
}

impl LeakProbe {
    /// One row for each arm, and one for each gap.
    pub fn table(&self) -> Table {
        let columns =
            ["Split", "Labels", "Balanced accuracy on test slices: 95 % interval (mean)", "On training slices"];
        let mut table = Table::new(format!("The leak, measured with {}", self.run.architecture), &columns);
        for arm in &self.arms {
            let (unit, labels) = arm.names();
            let interval = self.interval(arm.unit, arm.shuffled);
            let test = match arm.accuracy() {
                None => "–".to_owned(),
                Some(mean) => format!("{} ({:.1})", shares(interval), 100.0 * mean),
            };
            table.row([unit, labels, &test, &percent(Some(arm.training))]);
        }
        for gap in [false, true].into_iter().filter_map(|shuffled| self.gap(shuffled)) {
            let labels = if gap.shuffled { SHUFFLED } else { "true" };
            let points = gap
                .interval
                .map_or("–".to_owned(), |(low, high)| format!("{:+.1} to {:+.1}", 100.0 * low, 100.0 * high));
            let gap = format!("{points} points ({:+.1})", 100.0 * gap.value);
            table.row(["gap: by slice − by patient", labels, &gap, ""]);
        }
        let table = table.note(self.participants()).note(
            "Confidence interval of the mean over the trainings, by Student's t. Labels are shuffled anew for \
             every training; with the true labels trainings share them and most slices, so their variance is corrected \
             (Nadeau and Bengio 2003).",
        );
        let table = table.note(
            "With shuffled labels there is nothing to learn but the patients' identities: chance is 50 %, and what a \
             split scores above it is the leak.",
        );
        match self.compared_with_published() {
            Some(note) => table.note(note),
            None => table,
        }
    }

    fn participants(&self) -> String {
        format!(
            "{} patients of train/ ({} covid) with scans of {LEAST_SLICES} slices or more: {} scans, {} slices, the \
             same for all rows (of a label {MOST_PATIENTS} patients at most, of a scan {MOST_SLICES} slices). Every \
             row is the mean of {} trainings of {} epochs, each with its own draw of {} of the slices or patients of \
             each label as test set.",
            thousands(self.patients as u64),
            thousands(self.covid as u64),
            thousands(self.scans as u64),
            thousands(self.slices as u64),
            self.arms.first().map_or(0, |arm| arm.tests.len()),
            self.run.epochs,
            percent(Some(self.run.split.test_fraction))
        )
    }

    /// The gap compared with the slides' two figures.
    fn compared_with_published(&self) -> Option<String> {
        let slides = Published::slides().ok()?;
        let [_, validation, test] = slides.models.iter().find(|model| model.key == "fcn")?.accuracy();
        let here = self.gap(false)?;
        Some(format!(
            "The slides report for their FCN a test accuracy of {test:.4}, drawn by slice, and {validation:.4} on the \
             validation set, which has other patients: a gap of {:.1} points. Here the gap of {} between the two \
             splits is {:.1} points, with true labels. The slides' gap also contains the difference between the two \
             sets, and is of accuracy, not of balanced accuracy.",
            100.0 * (test - validation),
            self.run.architecture,
            100.0 * here.value
        ))
    }

    /// The figures side by side: all arms, and the gaps.
    pub fn page(&self) -> Result<Page> {
        Ok(Page::new().with_row(&[self.figure()?, self.gap_figure()?]))
    }

    /// Balanced accuracy of each arm, in percent.
    pub fn figure(&self) -> Result<Figure> {
        let bar = |arm: &LeakArm| {
            let (unit, labels) = arm.names();
            let interval = self.interval(arm.unit, arm.shuffled);
            Bar {
                group: format!("split {unit}"),
                series: format!("labels {labels}"),
                value: 100.0 * arm.accuracy().unwrap_or(0.0),
                interval: interval.map(|(low, high)| (100.0 * low, 100.0 * high)),
            }
        };
        bars(
            "What a split lets through",
            "balanced accuracy on test slices (%)",
            (0.0, 100.0),
            Some((50.0, "chance")),
            &self.arms.iter().map(bar).collect::<Vec<_>>(),
            "The same network, the same slices. Labels permuted among patients can be learned only by recognising the \
             patient: a high bar there is the leak itself. Lines: 95 % confidence intervals over the trainings.",
        )
    }

    /// The gaps: split by slice minus split by patient, in points of balanced accuracy.
    pub fn gap_figure(&self) -> Result<Figure> {
        let gaps: Vec<_> = [false, true].into_iter().filter_map(|shuffled| self.gap(shuffled)).collect();
        let bar = |gap: &super::LeakGap| Bar {
            group: format!("labels {}", if gap.shuffled { SHUFFLED } else { "true" }),
            series: "gap".to_owned(),
            value: 100.0 * gap.value,
            interval: gap.interval.map(|(low, high)| (100.0 * low, 100.0 * high)),
        };
        let all: Vec<Bar> = gaps.iter().map(bar).collect();
        let ends = || {
            all.iter().flat_map(|bar| [bar.value, bar.interval.map_or(0.0, |i| i.0), bar.interval.map_or(0.0, |i| i.1)])
        };
        let (least, most) = (ends().fold(0.0, f64::min), ends().fold(60.0, f64::max));
        bars(
            "The gap: split by slice − split by patient",
            "points of balanced accuracy",
            (least, most),
            Some((0.0, "no leak")),
            &all,
            "How much better the same network scores under a slice split. With the true labels it is what a \
             slice-level result owes to knowing the patients; with shuffled labels nothing else can be learned. Lines: \
             95 % confidence intervals over the trainings.",
        )
    }
}

shown_as_table!(LeakProbe);

/// `91.0 to 94.2 %`.
fn shares(interval: Option<(f64, f64)>) -> String {
    interval.map_or("–".to_owned(), |(low, high)| format!("{:.1} to {:.1} %", 100.0 * low, 100.0 * high))
}
