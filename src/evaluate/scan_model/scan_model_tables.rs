//! A scan model as tables and figures.

use super::scan_slices::{features_of, scans_in, slice_predictions};
use super::{ModelAndVote, ModelledScan, ScanModel, ScanModelResults, ScanVerdict};
use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::figure::{Figure, ScaledLine, two_scales};
use crate::base::progress::{Progress, counted_of, thousands};
use crate::base::table::{Page, Table, percent, shown_by};
use crate::data::manifest::Label;
use crate::data::split::Subset;
use crate::evaluate::assessment::{FEW, OF_SCANS, estimated};
use crate::stats::figures::reliability;
use crate::stats::metrics::{DRAWS, Estimate, Measure, Performance};
use crate::train::experiment::Experiment;
use tch::Kind;

/// Scans of a subset that are shown in a table.
const SHOWN: usize = 40;
/// What is shown of a subset.
const MEASURES: [Measure; 3] = [Measure::RocAuc, Measure::BalancedAccuracy, Measure::MacroF1];

impl ScanModel {
    /// The figures by scan: model, slice vote and their difference, 95 % intervals and values.
    pub fn table(&self) -> Table {
        self.results.table()
    }

    /// The same for each source; `None` where there are fewer than two.
    pub fn sources_table(&self) -> Option<Table> {
        self.results.sources_table()
    }

    /// The tables: figures by scan, by source, and the candidates.
    pub fn tables(&self) -> Page {
        let page = Page::new().with(&self.table());
        let page = self.sources_table().map_or(page.clone(), |table| page.with(&table));
        page.with(&self.results.candidates_table())
    }

    /// All of it, figures by scan first: tables, reliability diagrams, calibration and the first scans.
    ///
    /// # Errors
    /// A figure that cannot be drawn.
    pub fn page(&self) -> Result<Page> {
        let subsets = self.results.subsets.iter().map(|of| of.subset);
        let reliability = subsets.map(|subset| self.reliability_figure(subset)).collect::<Result<Vec<_>>>()?;
        let page = self.tables().with(&self.calibration_table()).with_row(&reliability);
        Ok(page.with(&self.scans_table()))
    }

    /// Calibration of the scores on validation and test scans, before and after the calibrator.
    pub fn calibration_table(&self) -> Table {
        self.results.calibration_table()
    }

    /// The first 40 scans of each subset: the calibrated probability, the interval before the value.
    pub fn scans_table(&self) -> Table {
        self.results.scans_table()
    }

    /// Reliability diagram of a subset's scans, before and after the calibrator.
    ///
    /// # Errors
    /// A subset without figures.
    pub fn reliability_figure(&self, subset: Subset) -> Result<Figure> {
        let results = &self.results;
        let of = results.subsets.iter().find(|of| of.subset == subset);
        let of = of.with_context(|| format!("the scan model of {} has no figures of {subset} scans", results.run))?;
        let before = ("uncalibrated", &of.calibration.before);
        let series: Vec<_> =
            std::iter::once(before).chain(of.calibration.after.as_ref().map(|of| ("calibrated", of))).collect();
        let title = format!("{subset} scans{}, scan model: calibration", subset.leak_mark(&results.leaks));
        let caption = "Each point is one of ten bins of the predicted probability, at its mean and the observed share \
                       of covid; on the diagonal, 80 % means 80 %. Bars: Wilson's 95 % intervals.";
        reliability(&title, &series, caption)
    }

    /// The weights of a scan's slices along the scan, times their number, so that 1 is an even share; and the covid
    /// probability of each slice alone, by the run's network. `scan` is its folder, or the folder's last part if it is unique.
    ///
    /// # Errors
    /// No such scan among validation, test and prediction; an experiment with other weights or another split.
    pub fn curve(&self, experiment: &Experiment, scan: &str) -> Result<Figure> {
        let row = self.results.scan(scan)?;
        let doing = || format!("drawing the slices' weights in {}", row.scan);
        let classifier = experiment.classifier()?;
        self.check(&classifier).with_context(doing)?;
        let (split, fitted) = (experiment.split().hash(), self.results.split);
        ensure!(split == fitted, "{}: fitted on the split {}, this one is {}", doing(), fitted.short(), split.short());
        let scans = scans_in(experiment, row.subset)?;
        let slices = scans.into_iter().find(|of| of.folder == row.scan).with_context(doing)?.slices;
        let show = |progress: &Progress| experiment.progress(progress);
        let features = features_of(&classifier, experiment.cache(), &show)?.of(&slices)?.f_to_kind(Kind::Float)?;
        let verdict = self.of_new(&features).with_context(doing)?;
        let predictions = slice_predictions(experiment, &classifier, row.subset)?;
        let alone: Vec<f64> =
            predictions.rows().iter().filter(|of| of.scan == row.scan).map(|of| f64::from(of.covid)).collect();
        self.curve_of(&row.scan, &verdict, &alone).with_context(doing)
    }

    /// The same of a verdict on any scan, whose slices alone have these covid probabilities, 0 to 1.
    ///
    /// # Errors
    /// Another number of probabilities than of weights.
    pub fn curve_of(&self, scan: &str, verdict: &ScanVerdict, slices: &[f64]) -> Result<Figure> {
        let count = verdict.weights.len();
        ensure!(
            slices.len() == count,
            "drawing the weights of {scan}: expected a probability for each of {count} slices, found {}",
            slices.len()
        );
        let at = |values: &mut dyn Iterator<Item = f64>| (1..).map(f64::from).zip(values).collect::<Vec<(f64, f64)>>();
        let shares = at(&mut verdict.weights.iter().map(|&weight| f64::from(weight) * count as f64));
        let top = shares.iter().map(|share| share.1).fold(2.0, f64::max);
        let weight =
            ScaledLine { name: "weight", y_label: "weight × number of slices (1 = even share)", top, points: shares };
        let probability = ScaledLine {
            name: "covid probability of the slice alone",
            y_label: "covid probability of the slice (0 to 1)",
            top: 1.0,
            points: at(&mut slices.iter().copied()),
        };
        let caption = format!(
            "{scan}: {} by the scan model, covid probability {} (pooling: {}). Left scale: the weight of each of {count} slices in \
             this decision, times their number; right scale: the covid probability of each slice by the run's network, not \
             calibrated. A weight says what the decision rests on, not that the slice shows covid. For research, not for \
             diagnosis.",
            verdict.decision,
            probability_text(verdict.probability, verdict.interval.map(|of| [of.low, of.high]), verdict.score),
            self.network.pooling(),
        );
        let title = format!("Where the scan model looks: {}", scan.rsplit('/').next().unwrap_or(scan));
        two_scales(&title, "slice, counted along the scan from 1", &weight, &probability, &caption)
    }
}

shown_by!(tables, ScanModel);

impl ScanModelResults {
    fn table(&self) -> Table {
        let columns = ["Scans", "By", "ROC AUC", "Balanced accuracy", "Macro F1"];
        let title = format!("Scan model of {}: 95 % intervals, and values", self.run);
        let mut table = Table::new(title, &columns);
        for of in &self.subsets {
            let name =
                format!("{} {}{}", thousands(of.all.model.samples as u64), of.subset, of.subset.leak_mark(&self.leaks));
            of.all.rows().into_iter().for_each(|cells| table.row([name.clone()].into_iter().chain(cells)));
        }
        self.notes().into_iter().fold(table, Table::note)
    }

    fn notes(&self) -> Vec<String> {
        let rule = format!(
            "Scan model: covid where the score is {:.3} or more (best balanced accuracy on {} validation scans: {}). Slice vote: {} ({}).",
            self.threshold,
            self.validation_scans,
            percent(Some(self.balanced_accuracy)),
            self.vote.text(),
            self.vote.chosen
        );
        let mut notes = vec![
            rule,
            format!(
                "95 % intervals: {OF_SCANS}; of the difference by bootstrap over patients, {} draws for both, above 0 the scan \
                 model is better. –: undefined, one patient only, or all draws alike.",
                thousands(u64::from(DRAWS))
            ),
            "Validation figures are optimistic: epoch, pooling, threshold and calibration were chosen on these scans."
                .to_owned(),
        ];
        for of in self.subsets.iter().filter(|of| of.all.model.patients < FEW) {
            notes.push(format!(
                "WARNING: {} {} patients: too few for more than an indication.",
                of.all.model.patients, of.subset
            ));
        }
        if !self.leaks.is_empty() {
            notes.push("LEAKING SPLIT: figures so marked hold for patients that were learned from.".to_owned());
        }
        notes
    }

    fn sources_table(&self) -> Option<Table> {
        let columns = ["Scans", "Source", "By", "ROC AUC", "Balanced accuracy", "Macro F1"];
        let mut table = Table::new(format!("Scan model of {}, by source", self.run), &columns);
        for of in &self.subsets {
            for (source, both) in &of.sources {
                let name = format!("{} {}{}", both.model.samples, of.subset, of.subset.leak_mark(&self.leaks));
                let row = |cells: [String; 4]| [name.clone(), source.clone()].into_iter().chain(cells);
                both.rows().into_iter().for_each(|cells| table.row(row(cells)));
            }
        }
        (!table.rows().is_empty()).then(|| table.note("A source with a single label has no ROC AUC."))
    }

    pub(super) fn candidates_table(&self) -> Table {
        let columns = ["Pooling", "Weight decay", "Validation AUC", "Validation loss", "Best epoch", "Chosen"];
        let mut table = Table::new("Scan networks that were trained", &columns);
        for (index, of) in self.candidates.iter().enumerate() {
            table.row([
                of.candidate.pooling.to_string(),
                of.candidate.weight_decay.to_string(),
                format!("{:.4}", of.auc),
                format!("{:.4}", of.loss),
                format!("{} of {}", of.epoch, of.epochs),
                if index == self.chosen { "chosen" } else { "" }.to_owned(),
            ]);
        }
        table.note(
            "AUC: mean over the sources with both labels, if there are any. The highest is chosen, of equal ones that with the \
             smallest loss.",
        )
    }

    fn calibration_table(&self) -> Table {
        let columns = ["Scans", "Probabilities", "Expected error", "Brier score", "Slope", "Intercept"];
        let mut table = Table::new("Scan model: does 80 % mean 80 %?", &columns);
        let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.3}"));
        for of in &self.subsets {
            let after = of.calibration.after.as_ref().map(|after| ("calibrated", after));
            for (how, calibration) in std::iter::once(("uncalibrated", &of.calibration.before)).chain(after) {
                table.row([
                    format!("{}{}", of.subset, of.subset.leak_mark(&self.leaks)),
                    how.to_owned(),
                    number(Some(calibration.expected_error)),
                    number(Some(calibration.brier)),
                    number(calibration.line.map(|line| line.slope)),
                    number(calibration.line.map(|line| line.intercept)),
                ]);
            }
        }
        match (&self.calibrator, &self.not_calibrated) {
            (Some(of), _) => table.note(format!(
                "Platt scaling, fitted on {} validation scans of {} patients, {} of them covid: the validation rows are \
                 optimistic.",
                of.scans, of.patients, of.covid
            )),
            (None, why) => table.note(format!("Not calibrated: {}.", why.as_deref().unwrap_or("no calibrator was fitted"))),
        }
    }

    fn scans_table(&self) -> Table {
        let columns = ["Scan", "Subset", "Truth", "Covid probability: 95 % interval (value)", "Decision", "Slices"];
        let mut table = Table::new(format!("Scans, by the scan model of {}", self.run), &columns);
        let of_subset = |subset: Subset| self.scans.iter().filter(move |of| of.subset == subset);
        let subsets = [Subset::Prediction, Subset::Test, Subset::Validation];
        for of in subsets.into_iter().flat_map(|subset| of_subset(subset).take(SHOWN)) {
            table.row([
                of.scan.clone(),
                format!("{}{}", of.subset, of.subset.leak_mark(&self.leaks)),
                of.label.map_or("–".to_owned(), |label| label.to_string()),
                probability_text(of.probability, of.interval.map(|of| [of.low, of.high]), of.score),
                of.decision.to_string(),
                of.slices.to_string(),
            ]);
        }
        for (subset, count) in subsets.map(|subset| (subset, of_subset(subset).count())) {
            if count > SHOWN {
                table = table.note(format!("The first {SHOWN} of {} {subset} scans.", thousands(count as u64)));
            }
        }
        let covid = self.scans.iter().filter(|of| of.decision == Label::Covid).count();
        let covid = counted_of(covid as u64, self.scans.len() as u64, "scan", ["is", "are"]);
        table.note(format!("{covid} called covid. For research, not for diagnosis."))
    }

    /// A judged scan by its folder, or the folder's last part if that is unique.
    fn scan(&self, name: &str) -> Result<&ModelledScan> {
        let exact = self.scans.iter().find(|of| of.scan == name);
        let ends: Vec<&ModelledScan> =
            self.scans.iter().filter(|of| of.scan.rsplit('/').next() == Some(name)).collect();
        match (exact, &ends[..]) {
            (Some(of), _) => Ok(of),
            (None, [of]) => Ok(of),
            (None, []) => {
                bail!("showing {name}: expected a validation, test or prediction scan, found none of that name")
            }
            (None, [first, second, ..]) => {
                bail!("showing {name}: several scans have that name, {} and {} among them", first.scan, second.scan)
            }
        }
    }
}

impl ModelAndVote {
    /// Name and measures of scan model, vote and difference.
    fn rows(&self) -> [[String; 4]; 3] {
        let of = |name: &str, performance: &Performance| {
            let [auc, balanced, f1] = MEASURES.map(|measure| estimated(performance.get(measure)));
            [name.to_owned(), auc, balanced, f1]
        };
        let [auc, balanced, f1] = MEASURES.map(|measure| {
            let of = self.difference.get(measure);
            let (value, interval, defined) = (of.value, of.interval, of.defined);
            estimated(&Estimate { measure, value, interval, defined, exact: false })
        });
        let difference = ["model − vote".to_owned(), auc, balanced, f1];
        [of("scan model", &self.model), of("slice vote", &self.vote), difference]
    }
}

/// `0.61 to 0.88 (0.77)`; the score where it is not calibrated.
fn probability_text(probability: Option<f64>, interval: Option<[f64; 2]>, score: f64) -> String {
    match (probability, interval) {
        (Some(value), Some([low, high])) => format!("{low:.2} to {high:.2} ({value:.2})"),
        (Some(value), None) => format!("– ({value:.2})"),
        (None, _) => format!("– ({score:.2}, not calibrated)"),
    }
}
