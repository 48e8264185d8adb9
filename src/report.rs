//! One self-contained HTML page (and JSON) for readers who want to check every figure.

use crate::base::errors::{Context, Result, ensure};
use crate::base::escape::{shell_word, visible};
use crate::base::figure::Figure;
use crate::base::files::{Digest, write_json, write_remakable, write_text};
use crate::base::table::Table;
use crate::data::audit::Audit;
use crate::data::manifest::Manifest;
use crate::data::workspace::Workspace;
use crate::evaluate::leak::LeakProbe;
use crate::evaluate::published::Published;
use crate::evaluate::shortcuts::Shortcuts;
use crate::train::run_folder::{Artifact, RunFolder};
use data_flow::Flow;
use first_pages::FirstPages;
use maud::{PreEscaped, html};
use run_parts::{Omission, Run};
use serde_json::json;
use std::path::{Path, PathBuf};

mod answers;
pub(crate) mod checklist;
mod data_flow;
mod data_set;
mod embedded;
mod first_pages;
mod html;
mod leaking_runs;
mod limitations;
mod network_and_training;
mod page;
mod run_parts;
mod runs;
mod summary_text;

/// Everything the workspace holds about some runs. First what decides: the question, the data, the results with their
/// intervals, the leak beside them, and what not to believe. The rest is folded: what reviewers ask, in the order in which
/// CLAIM and TRIPOD+AI ask it, then run by run, the leaking ones last. What the workspace does not hold has no section, and the
/// checklist at the end says so.
#[derive(Debug, Clone)]
pub struct Report {
    title: String,
    first: FirstPages,
    sections: Vec<Section>,
    runs: Vec<RunLine>,
    figures: Vec<(String, Figure)>,
    checklists: Vec<Table>,
    json: serde_json::Value,
    is_full: bool,
}

/// A section: what all runs share, and what each run adds, by its number among the runs.
#[derive(Debug, Clone)]
struct Section {
    anchor: &'static str,
    heading: &'static str,
    shared: String,
    of_runs: Vec<(usize, String)>,
}

/// What stands on a run's fold while it is closed.
#[derive(Debug, Clone)]
struct RunLine {
    name: String,
    line: String,
    leaking: bool,
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
            // It was asked for by name; the report that is there stays.
            ensure!(
                folder.has(Artifact::Evaluation),
                "making a report: the run {name} is not evaluated: run `covid-ct evaluate --name {}` first",
                shell_word(&name)
            );
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
        let flow = Flow::of(&from);
        let mut report = Self {
            title,
            first: FirstPages::of(&from, &flow),
            sections: Vec::new(),
            runs: from.runs.iter().map(Run::line).collect(),
            figures: Vec::new(),
            checklists: Vec::new(),
            json: json!({ "left_out": from.left_out }),
            is_full: false,
        };
        report.intended_use();
        report.summary(&from)?;
        report.limits(&from);
        report.data(&from, &flow)?;
        report.audit(&from)?;
        if !from.runs.is_empty() {
            report.of_runs(&from)?;
        }
        report.leakage(&from)?;
        report.shortcuts(&from)?;
        report.explanations(&from)?;
        report.failures(&from)?;
        report.prediction(&from)?;
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

    fn section(&mut self, anchor: &'static str, heading: &'static str, shared: String) {
        self.sections.push(Section { anchor, heading, shared, of_runs: Vec::new() });
    }

    /// A section with a part of each run, which may be empty; none if there is nothing to say.
    fn section_by_run(
        &mut self,
        (anchor, heading): (&'static str, &'static str),
        shared: String,
        runs: &[Run],
        mut part: impl FnMut(&mut Self, &Run) -> Result<String>,
    ) -> Result<()> {
        let parts = runs.iter().map(|run| part(self, run)).collect::<Result<Vec<_>>>()?;
        let of_runs: Vec<_> = parts.into_iter().enumerate().filter(|(_, part)| !part.is_empty()).collect();
        if !(shared.is_empty() && of_runs.is_empty()) {
            self.sections.push(Section { anchor, heading, shared, of_runs });
        }
        Ok(())
    }

    /// Keeps the figure for files of its own and returns its HTML; of one that is shown already, where that is.
    fn figure(&mut self, name: &str, figure: &Figure) -> String {
        if self.figures.iter().any(|(_, shown)| shown.svg() == figure.svg()) {
            return html::small(&format!("{}: the picture is shown above.", figure.title()));
        }
        self.figures.push((name.to_owned(), figure.clone()));
        embedded::embedded(figure)
    }

    /// Keeps the figure for files of its own, and not for the page; returns the file's name.
    fn only_file(&mut self, name: &str, figure: &Figure) -> String {
        self.figures.push((name.to_owned(), figure.clone()));
        format!("figures/{name}.svg")
    }

    /// Figures side by side.
    fn row(&mut self, figures: &[(String, Figure)]) -> String {
        let each: Vec<String> = figures.iter().map(|(name, figure)| self.figure(name, figure)).collect();
        html! { div.row { @for figure in &each { (PreEscaped(figure)) } } }.into_string()
    }

    /// The same report with everything open, to be printed or searched as a whole.
    pub fn full(mut self) -> Self {
        self.is_full = true;
        self
    }

    /// Writes `report.html` and `report.json` into `folder`, and every figure as SVG, with the numbers behind it as CSV, into
    /// `figures/`; returns the path of the page.
    pub fn write(&self, folder: impl AsRef<Path>) -> Result<PathBuf> {
        self.write_in(folder.as_ref())
    }

    fn write_in(&self, folder: &Path) -> Result<PathBuf> {
        let files = self.figures.iter().flat_map(|(name, figure)| {
            let svg = (format!("{name}.svg"), figure.svg());
            [Some(svg), figure.csv().map(|csv| (format!("{name}.csv"), csv))].into_iter().flatten()
        });
        write_remakable(&folder.join("figures"), files)?;
        write_json(&folder.join("report.json"), &self.json)?;
        let page = folder.join("report.html");
        write_text(&page, &self.page())?;
        Ok(page)
    }

    /// Writes `report.md` into `folder`, a summary for a paper: the first pages' text and tables, and the checklists; returns
    /// its path.
    pub fn write_summary(&self, folder: impl AsRef<Path>) -> Result<PathBuf> {
        let path = folder.as_ref().join("report.md");
        write_text(&path, &self.summary_text())?;
        Ok(path)
    }
}
