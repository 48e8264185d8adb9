//! One self-contained HTML page (and JSON) for readers who want to check every figure.

use crate::base::errors::{Context, Result, ensure};
use crate::base::escape::{shell_word, visible};
use crate::base::figure::Figure;
use crate::base::files::{Digest, write_json, write_text};
use crate::data::audit::Audit;
use crate::data::manifest::Manifest;
use crate::data::workspace::Workspace;
use crate::evaluate::leak::LeakProbe;
use crate::evaluate::published::Published;
use crate::evaluate::shortcuts::Shortcuts;
use crate::train::run_folder::{Artifact, RunFolder};
use maud::{PreEscaped, html};
use run_parts::{Omission, Run};
use serde_json::json;
use std::path::{Path, PathBuf};

mod answers;
pub(crate) mod checklist;
mod data_flow;
mod data_set;
mod html;
mod limitations;
mod network_and_training;
mod page;
mod run_parts;
mod runs;

/// Everything the workspace holds about some runs, put in order: what a reviewer asks, in the order in which CLAIM and
/// TRIPOD+AI ask it. What the workspace does not hold has no section, and the checklist at the end says so.
#[derive(Debug, Clone)]
pub struct Report {
    title: String,
    sections: Vec<Section>,
    figures: Vec<(String, String)>,
    json: serde_json::Value,
}

#[derive(Debug, Clone)]
struct Section {
    anchor: &'static str,
    heading: &'static str,
    html: String,
}

/// What every section is made from.
struct Sources<'a> {
    workspace: &'a Workspace,
    audit: Audit,
    accepted: Manifest,
    runs: Vec<Run>,
    left_out: Vec<Omission>,
    leak: Option<LeakProbe>,
    shortcuts: Option<Shortcuts>,
    published: Option<&'a Published>,
}

impl<'a> Sources<'a> {
    /// Reads everything, and keeps what belongs to the audited data.
    fn read(workspace: &'a Workspace, folders: &[RunFolder], published: Option<&'a Published>) -> Result<Self> {
        let audit = workspace.audit().context("making a report")?;
        let accepted = audit.accepted();
        let (mut runs, mut left_out) = (Vec::new(), Vec::new());
        for folder in folders {
            let (name, path) = (folder.name(), folder.path());
            ensure!(path.is_dir(), "making a report: there is no run {name:?}: {} is no folder", path.display());
            match Run::read(folder, &accepted, &mut left_out) {
                Ok(run) => runs.push(run),
                Err(error) => left_out.push(Omission {
                    what: format!("the run {name}, all of it"),
                    why: format!("{error:#}"),
                    repeat: format!(
                        "covid-ct train --config {} --name NEW, or covid-ct evaluate --name {}",
                        shell_word(folder.path_of(Artifact::Config)),
                        shell_word(&name)
                    ),
                }),
            }
        }
        let unfinished = workspace.runs()?.into_iter().filter(|folder| !folder.has(Artifact::Evaluation));
        left_out.extend(unfinished.filter(|folder| !folders.contains(folder)).map(|folder| Omission {
            what: format!("the run {}", folder.name()),
            why: "it is not evaluated".to_owned(),
            repeat: format!("covid-ct evaluate --name {}", folder.name()),
        }));
        let (folder, hash) = (workspace.manifest_folder(), accepted.hash());
        let leak =
            probe(&folder, "leakage.json", hash, |at| LeakProbe::read(at), |of| of.manifest, "leakage", &mut left_out);
        let shortcuts = probe(
            &folder,
            "shortcuts.json",
            hash,
            |at| Shortcuts::read(at),
            |of| of.manifest,
            "shortcuts",
            &mut left_out,
        );
        Ok(Self { workspace, audit, accepted, runs, left_out, leak, shortcuts, published })
    }
}

/// What was found about the data, where it was found about this data.
fn probe<T>(
    folder: &Path,
    file: &str,
    manifest: Digest,
    read: impl Fn(&Path) -> Result<T>,
    manifest_of: impl Fn(&T) -> Digest,
    stage: &str,
    left_out: &mut Vec<Omission>,
) -> Option<T> {
    if !folder.join(file).is_file() {
        return None;
    }
    let why = match read(folder) {
        Ok(found) if manifest_of(&found) == manifest => return Some(found),
        Ok(found) => {
            format!("it is of the manifest {}, the audit's accepted slices are {manifest}", manifest_of(&found))
        }
        Err(error) => format!("{error:#}"),
    };
    left_out.push(Omission { what: file.to_owned(), why, repeat: format!("covid-ct {stage}") });
    None
}

impl Report {
    /// Gathers audit, splits, settings, results, predictions and what was found about the leak, shortcuts and explanations,
    /// for these runs; the first is the baseline that others are compared with. Parts of a run that were made
    /// from other data, another split or other weights are left out, and the report says which and why. Without runs the
    /// report holds the data, and says what to do next.
    ///
    /// # Errors
    /// No audit, or a run that is not there.
    pub fn new(workspace: &Workspace, runs: &[RunFolder], published: Option<&Published>) -> Result<Self> {
        let from = Sources::read(workspace, runs, published)?;
        let title = visible(format!("covid-ct: {}", from.audit.manifest().name));
        let mut report =
            Self { title, sections: Vec::new(), figures: Vec::new(), json: json!({ "left_out": from.left_out }) };
        report.intended_use();
        report.summary(&from)?;
        report.data(&from)?;
        report.audit(&from)?;
        if !from.runs.is_empty() {
            report.of_runs(&from)?;
        }
        report.leakage(&from)?;
        report.shortcuts(&from)?;
        report.explanations(&from);
        report.failures(&from);
        report.prediction(&from);
        report.limits(&from);
        report.reproducibility(&from);
        report.checklist(&from)?;
        Ok(report)
    }

    fn of_runs(&mut self, from: &Sources<'_>) -> Result<()> {
        self.partition(from)?;
        self.preprocessing(from);
        self.model(from);
        self.training(from)?;
        self.performance(from)?;
        self.calibration(from)?;
        self.external(from)?;
        self.comparison(from)
    }

    fn section(&mut self, anchor: &'static str, heading: &'static str, html: String) {
        self.sections.push(Section { anchor, heading, html });
    }

    /// Keeps the SVG for a file of its own and returns the figure's HTML.
    fn figure(&mut self, name: &str, figure: &Figure) -> String {
        use crate::base::table::Show;
        self.figures.push((format!("{name}.svg"), figure.svg().to_owned()));
        figure.html()
    }

    /// Figures side by side.
    fn row(&mut self, figures: &[(String, Figure)]) -> String {
        let each: Vec<String> = figures.iter().map(|(name, figure)| self.figure(name, figure)).collect();
        html! { div.row { @for figure in &each { (PreEscaped(figure)) } } }.into_string()
    }

    /// Writes `report.html`, `report.json` and `figures/*.svg` into `folder`; returns the path of the page.
    pub fn write(&self, folder: impl AsRef<Path>) -> Result<PathBuf> {
        self.write_in(folder.as_ref())
    }

    fn write_in(&self, folder: &Path) -> Result<PathBuf> {
        for (name, svg) in &self.figures {
            write_text(&folder.join("figures").join(name), svg)?;
        }
        write_json(&folder.join("report.json"), &self.json)?;
        let page = folder.join("report.html");
        write_text(&page, &self.page())?;
        Ok(page)
    }
}
