//! The report's sections on each run's results.

use super::first_pages::best;
use super::html::{paragraph, small, warning};
use super::run_parts::{Run, left_out_table};
use super::{Report, Sources};
use crate::base::errors::Result;
use crate::base::escape::{shell_word, visible};
use crate::base::table::{Show, Table};
use crate::data::split::Subset;
use crate::evaluate::assessment::Assessment;
use crate::evaluate::explain::{Explanations, GalleryKind};
use crate::train::provenance::Provenance;
use maud::{PreEscaped, html};
use serde_json::json;

const NO_ASSESSMENT: &str = "Left out: its assessment does not belong to its evaluation; see Reproducibility.";
const VALIDATION_LEAKS: &str = "LEAKING: validation scans or patients were learned from; all of this run's validation \
                                figures, marked or not, are valid for them only.";

fn intervals(assessment: &Assessment) -> String {
    let mut html = assessment.table().html() + &assessment.rules_table().html();
    if assessment.subsets.iter().any(|of| !of.sources.is_empty()) {
        html.push_str(&assessment.sources_table().html());
    }
    html
}

/// The names of pictures that are not on the page.
fn beside(files: Vec<String>) -> String {
    match files.is_empty() {
        true => String::new(),
        false => small(&format!("Pictures beside this page: {}.", files.join(", "))),
    }
}

impl Report {
    pub(super) fn performance(&mut self, from: &Sources<'_>) -> Result<()> {
        let compared = self.compared(from)?;
        self.section_by_run(("performance", "Performance"), compared, &from.runs, |report, run| {
            let mut html = String::new();
            if run.evaluation.leaks.contains(&Subset::Validation) {
                html.push_str(&warning(VALIDATION_LEAKS));
            }
            match &run.assessment {
                Some(assessment) => {
                    html.push_str(&intervals(assessment));
                    let drawn = assessment.subsets.iter().filter(|of| of.roc.is_some());
                    let names = drawn.map(|of| format!("{}-{}-roc", run.name, of.subset));
                    html.push_str(&report.row(&names.zip(assessment.roc_figures()?).collect::<Vec<_>>()));
                }
                None => html.push_str(&warning(NO_ASSESSMENT)),
            }
            // A model of scans that was fitted to these weights; an older one stays out.
            if let Some(model) = &run.scan_model {
                html.push_str(&model.tables().html());
                report.json["scan_models"][&run.name] = json!(model.results());
            }
            html.push_str(&run.evaluation.table().html());
            let subsets = || run.evaluation.subsets.iter().map(|of| of.subset);
            for by_scan in [true, false] {
                let mut cells = Vec::new();
                for subset in subsets() {
                    let of = &run.evaluation;
                    let (unit, figure, scores) = match by_scan {
                        false => ("slices", of.slice_figure(subset)?, of.slice_report(subset)?),
                        true => ("scans", of.scan_figure(subset)?, of.scan_report(subset)?),
                    };
                    let figure = report.figure(&format!("{}-{subset}-{unit}", run.name), &figure);
                    cells.push(figure + &scores.html());
                }
                let row = html! { div.row.three { @for cell in &cells { div { (PreEscaped(cell)) } } } };
                html.push_str(&row.into_string());
            }
            Ok(html)
        })
    }

    pub(super) fn calibration(&mut self, from: &Sources<'_>) -> Result<()> {
        let shared = paragraph(
            "Slices: temperature scaling divides the network's log odds by one number, fitted on the validation \
             slices. Scans: the log odds of covid are a linear function of those of the mean probability, fitted on \
             the validation scans (Platt scaling); it gives the probabilities of the unlabelled scans. Decisions do \
             not change.",
        );
        self.section_by_run(("calibration", "Calibration"), shared, &from.runs, |report, run| {
            let Some(assessment) = &run.assessment else { return Ok(warning(NO_ASSESSMENT)) };
            let mut html = assessment.calibration_table().html();
            let figure = |subset| {
                let name = format!("{}-{subset}-reliability", run.name);
                Ok((name, assessment.reliability_figure(subset)?))
            };
            let of_scans = |subset| {
                let name = format!("{}-{subset}-reliability-scans", run.name);
                Ok((name, assessment.scan_reliability_figure(subset)?))
            };
            let subsets = assessment.calibration.iter().map(|of| of.subset);
            let figures: Vec<_> = subsets.flat_map(|of| [figure(of), of_scans(of)]).collect::<Result<_>>()?;
            html.push_str(&match run.leaks() {
                false => report.row(&figures),
                true => beside(figures.iter().map(|(name, figure)| report.only_file(name, figure)).collect()),
            });
            Ok(html)
        })
    }

    /// Finished networks on labelled scans from elsewhere.
    pub(super) fn external(&mut self, from: &Sources<'_>) -> Result<()> {
        self.section_by_run(("external", "External validation"), String::new(), &from.runs, |report, run| {
            let mut html = String::new();
            for (number, of) in (1..).zip(&run.external) {
                html.push_str(&(of.counts().html() + &of.assessment.table().html()));
                if of.assessment.subsets.iter().any(|of| !of.sources.is_empty()) {
                    html.push_str(&of.assessment.sources_table().html());
                }
                html.push_str(&of.assessment.calibration_table().html());
                let name = |what: &str| format!("{}-external-{number}-{what}", run.name);
                let figures = of.assessment.roc_figures()?.into_iter().map(|figure| (name("roc"), figure));
                let reliability = (name("reliability-scans"), of.assessment.scan_reliability_figure(Subset::External)?);
                let figures: Vec<_> = figures.chain([reliability]).collect();
                html.push_str(&report.row(&figures));
                report.json["external"][&run.name][format!("{}-{}", of.data, of.about.manifest.short())] = json!(of);
            }
            Ok(html)
        })
    }

    pub(super) fn explanations(&mut self, from: &Sources<'_>) -> Result<()> {
        self.section_by_run(("explanations", "Where the network looks"), String::new(), &from.runs, |report, run| {
            let mut html = String::new();
            for of in &run.explanations {
                html.push_str(&of.html());
                html.push_str(&report.galleries(from, run, of, |kind| kind != GalleryKind::ConfidentWrong));
                report.json["explanations"][&run.name][of.about.subset.name()] = json!({
                    "outside_lungs": of.outside(), "outside_by_chance": of.outside_by_chance(), "random_weights": of.random_weights, "by_scan": of.by_scan(),
                });
            }
            Ok(html)
        })
    }

    /// Galleries of some kinds: those of the best run on the page, others only as files, so that a page with many runs is no
    /// larger than a mail may be.
    fn galleries(
        &mut self,
        from: &Sources<'_>,
        run: &Run,
        of: &Explanations,
        is_wanted: impl Fn(GalleryKind) -> bool,
    ) -> String {
        let on_page = best(&from.runs).is_some_and(|best| best.name == run.name);
        let (mut html, mut files) = (String::new(), Vec::new());
        for gallery in of.galleries.iter().filter(|gallery| is_wanted(gallery.kind)) {
            let name = format!("{}-{}-{}", run.name, of.about.subset, gallery.kind.key());
            match on_page {
                true => html.push_str(&self.figure(&name, &gallery.figure)),
                false => files.push(self.only_file(&name, &gallery.figure)),
            }
        }
        html + &beside(files)
    }

    pub(super) fn failures(&mut self, from: &Sources<'_>) -> Result<()> {
        self.section_by_run(("failures", "Failures"), String::new(), &from.runs, |report, run| {
            let mut html = String::new();
            for of in &run.explanations {
                html.push_str(&report.galleries(from, run, of, |kind| kind == GalleryKind::ConfidentWrong));
            }
            Ok(html)
        })
    }

    pub(super) fn prediction(&mut self, from: &Sources<'_>) -> Result<()> {
        self.section_by_run(("prediction", "Unlabelled scans"), String::new(), &from.runs, |report, run| {
            let Some(predictions) = &run.unlabelled else { return Ok(String::new()) };
            let mut html = predictions.summary().html();
            match &run.inference {
                Some(inference) => {
                    html.push_str(&inference.html());
                    report.json["inference"][&run.name] = json!(inference);
                }
                None => html.push_str(&predictions.by_scan(&run.evaluation.rule).html()),
            }
            Ok(html)
        })
    }

    pub(super) fn reproducibility(&mut self, from: &Sources<'_>) {
        let mut table = Table::new("Hashes of data, splits and weights", &["What", "SHA-256"]);
        table.row(["Manifest", &from.accepted.hash().to_string()]);
        for run in &from.runs {
            let of = &run.evaluation;
            table.row([format!("Split of {}", run.name), of.split.to_string()]);
            table.row([format!("Checkpoint of {}", run.name), of.weights.to_string()]);
            if let Some(file) = &of.pretrained {
                table.row([format!("Initial weights of {}: {}", run.name, file.name), file.sha256.to_string()]);
            }
            if let Some(backbone) = of.backbone {
                table.row([format!("Frozen backbone of {}", run.name), backbone.to_string()]);
            }
        }
        let here = Provenance::here();
        self.json["made_by"] = json!(here);
        let settings = visible(format!("runs/{}/<run>/config.json", shell_word(&from.accepted.name)));
        let any = |has: fn(&Run) -> bool| from.runs.iter().any(has);
        let steps = [
            (true, format!("export COVID_CT_DATA={}", shell_word(format!("/path/to/{}", from.accepted.name)))),
            (true, "covid-ct audit".to_owned()),
            (true, format!("covid-ct train --config {settings}")),
            (true, "covid-ct evaluate --name <run>".to_owned()),
            (any(|run| run.scan_model.is_some()), "covid-ct scan-model --name <run>".to_owned()),
            (any(|run| !run.explanations.is_empty()), "covid-ct explain --name <run>".to_owned()),
            (any(|run| run.inference.is_some()), "covid-ct predict --name <run>".to_owned()),
            (any(|run| !run.external.is_empty()), "covid-ct validate <folder> --name <run>".to_owned()),
            (from.shortcuts.is_some(), "covid-ct shortcuts".to_owned()),
            (from.leak.is_some(), "covid-ct leakage".to_owned()),
            (true, "covid-ct report".to_owned()),
        ];
        let commands: Vec<String> = steps.into_iter().filter(|(is_done, _)| *is_done).map(|(_, step)| step).collect();
        let commands = commands.join("\n");
        let html = html! {
            @if !from.left_out.is_empty() { (PreEscaped(left_out_table(&from.left_out).html())) }
            (PreEscaped(table.html()))
            p { "Commands that repeat the results, with the settings of each run (" code { (settings) } "):" }
            pre tabindex="0" { (commands) }
            p { "On a CPU the same seed gives the same bits, on a GPU the same results up to rounding." }
            (PreEscaped(here.table().html()))
        };
        self.section("reproducibility", "Reproducibility", html.into_string());
    }
}
