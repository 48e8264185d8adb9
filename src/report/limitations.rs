//! The report's sections on comparison, leak, shortcuts and limitations.

use super::data_flow::{by_split, names};
use super::first_pages::best;
use super::html::{list, warning};
use super::run_parts::Run;
use super::{Report, Sources};
use crate::base::errors::Result;
use crate::base::progress::counted;
use crate::base::table::{Show, percent};
use crate::data::split::Subset;
use crate::evaluate::assessment::estimated;
use crate::evaluate::new_patients::AgainstChance;
use crate::evaluate::paired_runs::PairedRuns;
use crate::train::run_folder::RunFolder;
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
        self.json["shortcuts"] = json!(found);
        self.section_by_run(("shortcuts", "Shortcuts"), html, &from.runs, |report, run| {
            let Some(comparison) = &run.cues else { return Ok(String::new()) };
            let mut html = comparison.html();
            if !comparison.rows.is_empty() {
                html.push_str(&report.figure(&format!("{}-shortcuts", run.name), &comparison.figure()?));
            }
            Ok(html)
        })
    }

    pub(super) fn limits(&mut self, from: &Sources<'_>) {
        self.first.limits = limits(from);
        self.json["limits"] = json!(self.first.limits);
        self.section("limits", "What not to believe, and why", list(&self.first.limits));
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

/// A network that was not shown to be better than chance.
fn by_chance(run: &Run) -> Option<String> {
    let test = run.assessed(Subset::Test)?;
    let is_better = AgainstChance::of(test) == Some(AgainstChance::Better);
    (!is_better).then(|| {
        format!(
            "{} was not shown to be better than chance on the {} of its test set: it is no better, or they are too few to show it.",
            run.name,
            counted(test.scans.patients as u64, "patient")
        )
    })
}

fn limits(from: &Sources<'_>) -> Vec<String> {
    let mut limits: Vec<String> =
        warnings(from).into_iter().map(|(names, warning)| format!("{names}: {warning}")).collect();
    limits.extend(best(&from.runs).and_then(by_chance));
    limits.extend(best(&from.runs).and_then(heat_of));
    limits.push(external(from));
    let shallow = from.shortcuts.as_ref().and_then(|found| found.rows.iter().find(|row| row.name == "all"));
    limits.extend(shallow.map(|row| {
        format!(
            "Shallow cues alone (size of the files, brightness, number of slices and others) order the scans with an area \
             under the ROC curve of {}: a network that is no better may have learned the hospital, not the disease.",
            estimated(&row.auc)
        )
    }));
    limits.push(
        "Ages, sexes, severity and the reference standard behind the labels are not in the data. Slices are labelled as \
         their scan is: a covid scan's slices without a lesion count as covid."
            .to_owned(),
    );
    let runs = || from.runs.iter().map(|run| &run.evaluation);
    if !from.runs.is_empty() {
        limits.push(
            "Confidence intervals show the uncertainty due to the choice of patients, not that of training: each run \
             was trained once, with one seed."
                .to_owned(),
        );
    }
    if runs().any(|of| of.pretrained.is_none() && of.run.architecture.has_backbone()) {
        limits.push("Some backbones have random weights and were not pretrained.".to_owned());
    }
    if !from.left_out.is_empty() {
        limits.push(format!(
            "Left out of this report: {}. Reproducibility says how to make what is missing.",
            from.left_out.iter().map(|of| format!("{} ({})", of.what, of.why)).collect::<Vec<_>>().join("; ")
        ));
    }
    limits
}

/// What a run's heat on test slices says against it.
fn heat_of(run: &Run) -> Option<String> {
    let of = run.explanations.iter().find(|of| of.about.subset == Subset::Test)?;
    Some(format!(
        "{} of the heat that explains the decisions of {} on test slices lies outside the lungs, where there is no sign of \
         the disease; heat spread evenly would have {} there.",
        percent(Some(of.outside()?)),
        run.name,
        percent(of.outside_by_chance())
    ))
}

/// Each leaking split's warning, and one for the runs whose validation set was learned from.
fn warnings(from: &Sources<'_>) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> =
        by_split(&from.runs).into_iter().filter_map(|(split, runs)| Some((names(&runs), split.warning()?))).collect();
    let unproven = from.runs.iter().filter(|run| run.split.is_none());
    found.extend(unproven.filter_map(|run| Some((run.name.clone(), run.evaluation.warning.clone()?))));
    found
        .extend(from.runs.iter().filter_map(|run| Some((run.name.clone(), run.history.as_ref()?.unfinished()? + "."))));
    let learned: Vec<&Run> =
        from.runs.iter().filter(|run| run.evaluation.leaks.contains(&Subset::Validation)).collect();
    if !learned.is_empty() {
        let why = "LEAKING: validation shares scans or patients with training; validation figures, the chosen epoch, \
                   the threshold and the temperature depend on it.";
        found.push((names(&learned), why.to_owned()));
    }
    found
}
