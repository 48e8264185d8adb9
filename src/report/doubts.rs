//! What the report says to a reader who doubts it.

use super::{Report, Sources};
use crate::checklist::{Answer, Checklist};
use crate::leak::LeakProbe;
use crate::paired::PairedRuns;
use crate::shortcuts::{BesideCues, Shortcuts};
use crate::table::{Show, Table, escape};
use anyhow::Result;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

impl Report {
    pub(super) fn comparison(&mut self, from: &Sources<'_>) -> Result<()> {
        if from.runs.len() < 2 {
            return Ok(());
        }
        let names: Vec<&str> = from.runs.iter().map(|run| run.name.as_str()).collect();
        let paired = PairedRuns::of(from.workspace.runs_folder(), &names, &from.accepted)?;
        self.json["paired"] = json!(paired);
        self.section("comparison", "Comparison in pairs", paired.html());
        Ok(())
    }

    pub(super) fn leakage(&mut self, from: &Sources<'_>) -> Result<()> {
        let folder = from.workspace.manifest_folder();
        if !folder.join("leak.json").is_file() {
            return Ok(());
        }
        let probe = LeakProbe::read(folder)?;
        if probe.manifest != from.accepted.hash() {
            return Ok(());
        }
        let mut html = probe.html();
        html.push_str(&self.figure("leakage", &probe.figure()?));
        html.push_str(&self.figure("leakage-gap", &probe.gap_figure()?));
        self.json["leakage"] = json!(probe);
        self.section("leakage", "The leak, measured", html);
        Ok(())
    }

    pub(super) fn shortcuts(&mut self, from: &Sources<'_>) -> Result<()> {
        let folder = from.workspace.manifest_folder();
        if !folder.join("shortcuts.json").is_file() {
            return Ok(());
        }
        let found = Shortcuts::read(folder)?;
        if found.manifest != from.accepted.hash() {
            return Ok(());
        }
        let mut html = found.html();
        html.push_str(&self.figure("shortcuts", &found.figure()?));
        for run in &from.runs {
            let beside = BesideCues::read(from.workspace.run_folder(&run.name))?;
            html.push_str(&beside.html());
            if !beside.rows.is_empty() {
                html.push_str(&self.figure(&format!("{}-shortcuts", run.name), &beside.figure()?));
            }
        }
        self.json["shortcuts"] = json!(found);
        self.section("shortcuts", "Shortcuts", html);
        Ok(())
    }

    pub(super) fn limits(&mut self, from: &Sources<'_>) {
        let mut limits = vec![
            "External validation: not done. Test and validation scans come from the same collections as the training scans."
                .to_owned(),
            "Ages, sexes, scanners, severity and the reference standard behind the labels are not in the data.".to_owned(),
            "Slices are labelled as their scan is: a covid scan's slices without a lesion count as covid.".to_owned(),
            "Intervals say how much figures depend on which patients were tested, not on how training went: each network was \
             trained once, from one seed."
                .to_owned(),
        ];
        if from.runs.iter().any(|run| run.evaluation.leaking) {
            limits.push("Runs on a leaking split are here to be seen through, not to be believed.".to_owned());
        }
        if from
            .runs
            .iter()
            .any(|run| run.evaluation.run.pretrained.is_none() && run.evaluation.run.architecture.has_backbone())
        {
            limits.push("Some backbones have random weights, for the pretrained ones were not at hand.".to_owned());
        }
        let items: String = limits.iter().map(|limit| format!("<li>{}</li>", escape(limit))).collect();
        self.section("limits", "Limits", format!("<ul>{items}</ul>"));
    }

    /// Last, for it tells which sections there are.
    pub(super) fn checklist(&mut self) -> Result<()> {
        let headings: BTreeMap<&str, &str> =
            self.sections.iter().map(|section| (section.anchor, section.heading)).collect();
        let section = |anchor: &str| headings.get(anchor).map_or(anchor.to_owned(), |heading| (*heading).to_owned());
        let mut present: BTreeSet<&str> = self.sections.iter().map(|section| section.anchor).collect();
        present.insert("checklist");
        let mut html = String::new();
        let mut counted = serde_json::Map::new();
        for list in [Checklist::claim()?, Checklist::tripod()?] {
            let mut table = Table::new(format!("{} ({})", list.name, list.source), &["Item", "Asks for", "Here"]);
            for item in &list.items {
                let here = match item.answered(&present) {
                    Answer::Answered { anchor, how, left: None } => format!("{}: {how}", section(anchor)),
                    Answer::Answered { anchor, how, left: Some(left) } => {
                        format!("{}: {how} Not reported, the author has to say: {left}", section(anchor))
                    }
                    Answer::NotReported { why } => why,
                };
                table.row([item.number(&list.name).to_owned(), item.asks.clone(), here]);
            }
            let count = list.count(&present);
            counted.insert(list.name.clone(), json!(count));
            html.push_str(&table.note(format!("{}: {count}. doi:{}", list.name, list.doi)).html());
        }
        self.json["checklists"] = serde_json::Value::Object(counted);
        self.section("checklist", "Checklists", html);
        Ok(())
    }
}
