//! One self-contained HTML page (and JSON) that someone else can read and doubt.

use crate::audit::Audit;
use crate::figure::Figure;
use crate::files::{write_json, write_text};
use crate::manifest::Manifest;
use crate::published::Published;
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::path::{Path, PathBuf};

mod data;
mod doubts;
mod page;
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
    runs: Vec<runs::Run>,
    published: Option<&'a Published>,
}

impl Report {
    /// Gathers audit, splits, settings, results, predictions and what was found about the leak, shortcuts and explanations,
    /// for the runs with these names; the first is the one that others are held against.
    ///
    /// # Errors
    /// A run that was not evaluated, or a file of the chain that is missing or belongs to other data.
    pub fn new(workspace: &Workspace, runs: &[impl AsRef<str>], published: Option<&Published>) -> Result<Self> {
        ensure!(!runs.is_empty(), "making a report: expected the name of at least one run");
        let audit = Audit::read(workspace.manifest_folder())?;
        let accepted = audit.accepted();
        let read = |name: &str| {
            runs::Run::read(workspace, &accepted, name).with_context(|| format!("reporting the run {name}"))
        };
        let runs = runs.iter().map(|name| read(name.as_ref())).collect::<Result<Vec<_>>>()?;
        let title = format!("covid-ct: {}", audit.manifest().name);
        let mut report = Self { title, sections: Vec::new(), figures: Vec::new(), json: json!({}) };
        let from = Sources { workspace, audit, accepted, runs, published };
        report.intended_use();
        report.summary(&from)?;
        report.data(&from)?;
        report.audit(&from)?;
        report.partition(&from)?;
        report.preprocessing(&from);
        report.model(&from);
        report.training(&from)?;
        report.performance(&from)?;
        report.calibration(&from)?;
        report.comparison(&from)?;
        report.leakage(&from)?;
        report.shortcuts(&from)?;
        report.explanations(&from);
        report.failures(&from);
        report.prediction(&from);
        report.limits(&from);
        report.reproducibility(&from);
        report.checklist()?;
        Ok(report)
    }

    fn section(&mut self, anchor: &'static str, heading: &'static str, html: String) {
        self.sections.push(Section { anchor, heading, html });
    }

    /// Keeps the SVG for a file of its own and returns the figure's HTML.
    fn figure(&mut self, name: &str, figure: &Figure) -> String {
        use crate::table::Show;
        self.figures.push((format!("{name}.svg"), figure.svg().to_owned()));
        figure.html()
    }

    /// Figures beside each other.
    fn row(&mut self, figures: &[(String, Figure)]) -> String {
        let each: String = figures.iter().map(|(name, figure)| self.figure(name, figure)).collect();
        format!("<div class=\"row\">{each}</div>")
    }

    /// Writes `report.html`, `report.json` and `figures/*.svg` into `folder`; returns the path of the page.
    pub fn write(&self, folder: impl AsRef<Path>) -> Result<PathBuf> {
        let folder = folder.as_ref();
        for (name, svg) in &self.figures {
            write_text(&folder.join("figures").join(name), svg)?;
        }
        write_json(&folder.join("report.json"), &self.json)?;
        let page = folder.join("report.html");
        write_text(&page, &self.page())?;
        Ok(page)
    }
}
