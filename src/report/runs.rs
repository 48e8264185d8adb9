//! What the report says of each run.

use super::{Report, Sources};
use crate::assess::Assessment;
use crate::evaluation::Evaluation;
use crate::explain::Explanations;
use crate::history::History;
use crate::inference::Inference;
use crate::manifest::Manifest;
use crate::predict::Predictions;
use crate::progress::thousands;
use crate::provenance::Provenance;
use crate::split::{Split, Subset};
use crate::table::{Show, Table, escape};
use crate::workspace::Workspace;
use anyhow::Result;
use serde_json::json;

/// Everything a run's folder holds.
pub(super) struct Run {
    pub(super) name: String,
    pub(super) evaluation: Evaluation,
    pub(super) assessment: Assessment,
    pub(super) history: History,
    pub(super) split: Split,
    pub(super) provenance: Option<Provenance>,
    pub(super) explanations: Vec<Explanations>,
    pub(super) unlabelled: Option<Predictions>,
    pub(super) inference: Option<Inference>,
}

impl Run {
    pub(super) fn read(workspace: &Workspace, accepted: &Manifest, name: &str) -> Result<Self> {
        let folder = workspace.run_folder(name);
        let evaluation = Evaluation::read(&folder)?;
        let split = Split::read(workspace.split_file(evaluation.run.split.unit), accepted)?;
        let there = |file: String| folder.join(file).is_file();
        let explained = [Subset::Validation, Subset::Test, Subset::Prediction];
        let explained = explained.into_iter().filter(|subset| there(format!("explanations-{subset}.json")));
        let unlabelled = there(format!("predictions-{}.json", Subset::Prediction));
        Ok(Self {
            name: name.to_owned(),
            assessment: Assessment::read(&folder)?,
            history: History::read(&folder)?,
            split,
            provenance: there("provenance.json".to_owned()).then(|| Provenance::read(&folder)).transpose()?,
            explanations: explained.map(|subset| Explanations::read(&folder, subset)).collect::<Result<_>>()?,
            unlabelled: unlabelled.then(|| Predictions::read(&folder, Subset::Prediction)).transpose()?,
            inference: there("inference.json".to_owned()).then(|| Inference::read(&folder)).transpose()?,
            evaluation,
        })
    }

    fn heading(&self) -> String {
        let leaks = if self.evaluation.leaking { " (LEAKING SPLIT)" } else { "" };
        format!("<h3>{}{leaks}</h3>", escape(&self.name))
    }
}

impl Report {
    pub(super) fn model(&mut self, from: &Sources<'_>) {
        let columns = ["Run", "Network", "Parameters", "Learns", "Initial weights", "Kept epoch", "Checkpoint"];
        let mut table = Table::new("Networks", &columns);
        for run in &from.runs {
            let settings = run.evaluation.run.table();
            let setting = |name: &str| {
                settings.rows().iter().find(|row| row[0] == name).map_or("–".to_owned(), |row| row[1].clone())
            };
            table.row([
                run.name.clone(),
                setting("Network"),
                thousands(run.evaluation.parameters),
                setting("Learns"),
                setting("Weights"),
                run.evaluation.best_epoch.to_string(),
                run.evaluation.weights.short(),
            ]);
        }
        let html = table
            .note("Input: one grey slice in three equal channels; output: logits of covid and non-covid, softmax over the two. \
                   A checkpoint is named by the beginning of its SHA-256; see Reproducibility.")
            .html();
        self.section("model", "Model", html);
    }

    pub(super) fn training(&mut self, from: &Sources<'_>) -> Result<()> {
        let tried = from.workspace.evaluated_runs().map_or(from.runs.len(), |names| names.len());
        let mut html = format!(
            "<p>Runs reported: {}; evaluated in this workspace, and so tried: {tried}. Adam on the unweighted cross entropy, \
             no resampling, no augmentation; the epoch with the best validation accuracy is kept.</p>",
            from.runs.len()
        );
        for run in &from.runs {
            html.push_str(&run.heading());
            html.push_str("<div class=\"row\"><div>");
            html.push_str(&run.evaluation.run.table().html());
            html.push_str("</div><div>");
            match &run.provenance {
                Some(provenance) => html.push_str(&provenance.table().html()),
                None => html.push_str("<p>The machine was not recorded.</p>"),
            }
            html.push_str("</div></div>");
            html.push_str(&run.history.table().html());
            let figures = [("accuracy", run.history.figure()?), ("loss", run.history.loss_figure()?)];
            html.push_str(&self.row(&figures.map(|(what, figure)| (format!("{}-{what}", run.name), figure))));
            self.json["runs"][&run.name] = json!({
                "evaluation": run.evaluation, "assessment": run.assessment, "history": run.history,
                "split": run.split.hash(), "leaking": run.split.is_leaking(), "provenance": run.provenance,
            });
        }
        self.section("training", "Training", html);
        Ok(())
    }

    pub(super) fn performance(&mut self, from: &Sources<'_>) -> Result<()> {
        let mut html = String::new();
        for run in &from.runs {
            html.push_str(&run.heading());
            html.push_str(&run.assessment.table().html());
            html.push_str(&run.assessment.rules_table().html());
            if run.assessment.subsets.iter().any(|of| !of.sources.is_empty()) {
                html.push_str(&run.assessment.sources_table().html());
            }
            html.push_str(&run.evaluation.table().html());
            let subsets = || run.evaluation.subsets.iter().map(|of| of.subset);
            for by_scan in [false, true] {
                let mut cells = String::new();
                for subset in subsets() {
                    let of = &run.evaluation;
                    let (unit, figure, report) = match by_scan {
                        false => ("slices", of.slice_figure(subset)?, of.slice_report(subset)?),
                        true => ("scans", of.scan_figure(subset)?, of.scan_report(subset)?),
                    };
                    let figure = self.figure(&format!("{}-{subset}-{unit}", run.name), &figure);
                    cells.push_str(&format!("<div>{figure}{}</div>", report.html()));
                }
                html.push_str(&format!("<div class=\"row three\">{cells}</div>"));
            }
        }
        self.section("performance", "Performance", html);
        Ok(())
    }

    pub(super) fn calibration(&mut self, from: &Sources<'_>) -> Result<()> {
        let mut html = String::from(
            "<p>Slices: temperature scaling divides the network's log odds by one number, fitted on the validation slices. \
             Scans: the log odds of covid are a line over those of the mean probability, fitted on the validation scans; the \
             unlabelled scans' probabilities come from it. Decisions do not change.</p>",
        );
        for run in &from.runs {
            html.push_str(&run.heading());
            html.push_str(&run.assessment.calibration_table().html());
            let figure = |subset| {
                let name = format!("{}-{subset}-reliability", run.name);
                Ok((name, run.assessment.reliability_figure(subset)?))
            };
            let of_scans = |subset| {
                let name = format!("{}-{subset}-reliability-scans", run.name);
                Ok((name, run.assessment.scan_reliability_figure(subset)?))
            };
            let subsets = run.assessment.calibration.iter().map(|of| of.subset);
            let figures: Vec<_> = subsets.flat_map(|of| [figure(of), of_scans(of)]).collect::<Result<_>>()?;
            html.push_str(&self.row(&figures));
        }
        self.section("calibration", "Calibration", html);
        Ok(())
    }

    pub(super) fn explanations(&mut self, from: &Sources<'_>) {
        let mut html = String::new();
        for run in from.runs.iter().filter(|run| !run.explanations.is_empty()) {
            html.push_str(&run.heading());
            for of in &run.explanations {
                html.push_str(&of.html());
                let galleries = of.galleries.iter().enumerate().filter(|(_, figure)| !figure.title().contains("wrong"));
                for (number, figure) in galleries {
                    html.push_str(
                        &self.figure(&format!("{}-{}-heat-{}", run.name, of.about.subset, number + 1), figure),
                    );
                }
                self.json["explanations"][&run.name][of.about.subset.name()] = json!({ "outside_lungs": of.outside(), "random_weights": of.random_weights, "by_scan": of.by_scan() });
            }
        }
        if !html.is_empty() {
            self.section("explanations", "Where the network looks", html);
        }
    }

    pub(super) fn failures(&mut self, from: &Sources<'_>) {
        let mut html = String::new();
        for run in &from.runs {
            for of in &run.explanations {
                let galleries = of.galleries.iter().filter(|figure| figure.title().contains("wrong"));
                for figure in galleries {
                    html.push_str(&run.heading());
                    html.push_str(&self.figure(&format!("{}-{}-wrong", run.name, of.about.subset), figure));
                }
            }
        }
        if !html.is_empty() {
            self.section("failures", "Failures", html);
        }
    }

    pub(super) fn prediction(&mut self, from: &Sources<'_>) {
        let mut html = String::new();
        for run in &from.runs {
            let Some(predictions) = &run.unlabelled else { continue };
            html.push_str(&run.heading());
            html.push_str(&predictions.summary().html());
            match &run.inference {
                Some(inference) => html.push_str(&inference.html()),
                None => html.push_str(&predictions.by_scan(&run.evaluation.rule).html()),
            }
        }
        if !html.is_empty() {
            self.section("prediction", "Unlabelled scans", html);
        }
    }

    pub(super) fn reproducibility(&mut self, from: &Sources<'_>) {
        let mut table = Table::new("What the results are bound to", &["What", "SHA-256"]);
        table.row(["Manifest", &from.accepted.hash().to_string()]);
        for run in &from.runs {
            table.row([format!("Split of {}", run.name), run.split.hash().to_string()]);
            table.row([format!("Weights of {}", run.name), run.evaluation.weights.to_string()]);
        }
        let here = Provenance::here();
        self.json["made_by"] = json!(here);
        let html = table.html()
            + "<p>The same again, with the settings of each run (<code>runs/&lt;run&gt;/config.json</code>):</p><pre>\
               covid-ct audit\ncovid-ct train --config runs/&lt;run&gt;/config.json\ncovid-ct evaluate --name &lt;run&gt;\n\
               covid-ct explain --name &lt;run&gt;\ncovid-ct predict --name &lt;run&gt;\ncovid-ct leakage\ncovid-ct \
               report</pre><p>On a CPU the same seed gives the same bits; on a GPU, up to rounding.</p>"
            + &here.table().html();
        self.section("reproducibility", "Reproducibility", html);
    }
}
