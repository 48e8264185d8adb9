//! The report's sections on each run's network and training.

use super::data_flow::{by_network, names};
use super::html::{heading, paragraph, side_by_side, small};
use super::run_parts::Run;
use super::{Report, Sources};
use crate::base::errors::Result;
use crate::base::progress::thousands;
use crate::base::table::{Show, Table};
use serde_json::json;

impl Report {
    pub(super) fn model(&mut self, from: &Sources<'_>) {
        let columns = [
            "Run",
            "Network",
            "Layers",
            "Parameters",
            "Learned",
            "What learns",
            "Initial weights",
            "Kept epoch",
            "Checkpoint",
        ];
        let mut table = Table::new("Networks", &columns);
        for run in &from.runs {
            let of = &run.evaluation;
            table.row([
                run.name.clone(),
                of.run.architecture.to_string(),
                of.network.weighted_layers().to_string(),
                thousands(of.network.parameters),
                thousands(of.network.learned),
                of.run.learn.to_string(),
                of.initial_weights(),
                of.best_epoch.to_string(),
                of.weights.short(),
            ]);
        }
        let mut html = table
            .note(
                "Input: one grey slice in three equal channels; output: logits of covid and non-covid, softmax over \
                   the two. A checkpoint is named by the beginning of its SHA-256; see Reproducibility. Layers: \
                   convolutions and fully connected ones.",
            )
            .html();
        for (network, runs) in by_network(&from.runs) {
            html.push_str(&(heading(&names(&runs)) + &network.table().html()));
        }
        self.section("model", "Model", html);
    }

    pub(super) fn training(&mut self, from: &Sources<'_>) -> Result<()> {
        let evaluated = from.workspace.evaluated_runs()?.len();
        let shared = paragraph(&format!(
            "Runs reported: {}; evaluated in this workspace: {evaluated}. Runs that were not evaluated, were deleted, \
             or are in other workspaces are not counted. Loss, optimizer, weights of slices, augmentation and how the best epoch is chosen \
             are in each run's settings.",
            from.runs.len()
        ));
        let losses = from.runs.iter().filter_map(|run| run.history.as_ref()).map(|of| of.highest_loss());
        let top = losses.fold(0.0, f64::max);
        self.section_by_run(("training", "Training"), shared, &from.runs, |report, run| {
            let mut html = settings_and_machine(run);
            if let Some(history) = &run.history {
                html.push_str(&history.table().html());
                let figures = [("accuracy", history.figure()?), ("loss", history.loss_figure_to(top)?)];
                html.push_str(&report.row(&figures.map(|(what, figure)| (format!("{}-{what}", run.name), figure))));
            }
            report.json["runs"][&run.name] = json!({
                "evaluation": run.evaluation, "assessment": run.assessment, "history": run.history,
                "split": run.evaluation.split, "leaking": run.evaluation.leaking, "provenance": run.provenance,
            });
            Ok(html)
        })
    }
}

/// The settings, next to the machines that the training ran on.
fn settings_and_machine(run: &Run) -> String {
    let machines: String = match run.provenance.is_empty() {
        true => paragraph("The machine was not recorded."),
        false => run.provenance.iter().map(|of| of.table().html()).collect(),
    };
    let resumed = match run.provenance.len() {
        0 | 1 => String::new(),
        _ => small("The training was resumed with another version or on another machine: all are shown."),
    };
    let settings = run.evaluation.run.table().html();
    side_by_side(&[settings, machines + &resumed])
}
