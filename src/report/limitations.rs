//! The report's sections on comparison, leak, shortcuts and limitations.

use super::html::warning;
use super::{Report, Sources};
use crate::base::errors::Result;
use crate::base::escape::visible;
use crate::base::table::Show;
use crate::evaluate::paired_runs::PairedRuns;
use crate::train::run_folder::RunFolder;
use maud::html;
use serde_json::json;

impl Report {
    pub(super) fn comparison(&mut self, from: &Sources<'_>) -> Result<()> {
        if from.runs.len() < 2 {
            return Ok(());
        }
        let folders: Vec<RunFolder> = from.runs.iter().map(|run| run.folder.clone()).collect();
        // Predictions that do not belong to an evaluation must not prevent the rest of the report.
        match PairedRuns::of(&folders, &from.accepted) {
            Ok(paired) => {
                self.json["paired"] = json!(paired);
                self.section("comparison", "Comparison in pairs", paired.html());
            }
            Err(error) => {
                let why = format!("Left out: {error:#}.");
                self.json["paired"] = json!({ "left_out": [why] });
                self.section("comparison", "Comparison in pairs", warning(&why));
            }
        }
        Ok(())
    }

    pub(super) fn leakage(&mut self, from: &Sources<'_>) -> Result<()> {
        let Some(probe) = &from.leak else { return Ok(()) };
        let mut html = probe.html();
        html.push_str(&self.figure("leakage", &probe.figure()?));
        html.push_str(&self.figure("leakage-gap", &probe.gap_figure()?));
        self.json["leakage"] = json!(probe);
        self.section("leakage", "The leak, measured", html);
        Ok(())
    }

    pub(super) fn shortcuts(&mut self, from: &Sources<'_>) -> Result<()> {
        let Some(found) = &from.shortcuts else { return Ok(()) };
        let mut html = found.html();
        html.push_str(&self.figure("shortcuts", &found.figure()?));
        for run in &from.runs {
            let Some(comparison) = &run.cues else { continue };
            html.push_str(&comparison.html());
            if !comparison.rows.is_empty() {
                html.push_str(&self.figure(&format!("{}-shortcuts", run.name), &comparison.figure()?));
            }
        }
        self.json["shortcuts"] = json!(found);
        self.section("shortcuts", "Shortcuts", html);
        Ok(())
    }

    pub(super) fn limits(&mut self, from: &Sources<'_>) {
        let limits = limits(from);
        let list = html! { ul { @for limit in &limits { li { (visible(limit)) } } } };
        self.section("limits", "Limits", list.into_string());
        self.json["limits"] = json!(limits);
    }
}

fn external(from: &Sources<'_>) -> String {
    let of: Vec<String> = from
        .runs
        .iter()
        .flat_map(|run| run.external.iter().map(|of| format!("{} on {}", run.name, of.title())))
        .collect();
    let sources = super::answers::sources_in_words(&from.accepted);
    let here =
        format!("Training, validation and test scans are all from the data set {}; {sources}.", from.accepted.name);
    match of.is_empty() {
        true => format!("External validation: not done. {here}"),
        false => format!("External validation: {}. {here}", of.join("; ")),
    }
}

fn limits(from: &Sources<'_>) -> Vec<String> {
    let mut limits = vec![
        external(from),
        "Ages, sexes, severity and the reference standard behind the labels are not in the data.".to_owned(),
        "Slices are labelled as their scan is: a covid scan's slices without a lesion count as covid.".to_owned(),
    ];
    let runs = || from.runs.iter().map(|run| &run.evaluation);
    if !from.runs.is_empty() {
        limits.push(
            "Confidence intervals show the uncertainty due to the choice of patients, not that of training: each run \
             was trained once, with one seed."
                .to_owned(),
        );
    }
    if runs().any(|of| of.leaking) {
        limits.push("Runs on a leaking split are included for comparison only; their figures are too high.".to_owned());
    }
    if runs().any(|of| of.pretrained.is_none() && of.run.architecture.has_backbone()) {
        limits.push("Some backbones have random weights and were not pretrained.".to_owned());
    }
    if !from.left_out.is_empty() {
        limits.push("Parts that were made from other data, another split or other weights are left out.".to_owned());
    }
    limits
}
