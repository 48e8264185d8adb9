//! One self-contained HTML page (and JSON) that someone else can read and doubt.

use crate::audit::{Audit, Check, Severity};
use crate::compare::Comparison;
use crate::evaluation::Evaluation;
use crate::files::{write_json, write_text};
use crate::history::History;
use crate::predict::Predictions;
use crate::progress::thousands;
use crate::published::Published;
use crate::scan::ScanPredictions;
use crate::split::{Split, Subset};
use crate::table::{Show, Table, escape};
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Everything the workspace holds about some runs, put in order.
#[derive(Debug, Clone)]
pub struct Report {
    title: String,
    sections: Vec<(String, String)>,
    figures: Vec<(String, String)>,
    json: serde_json::Value,
}

impl Report {
    /// Gathers audit, splits, settings, results and predictions of the runs with these names.
    ///
    /// # Errors
    /// A run that was not evaluated, or a file of the chain that is missing or belongs to other data.
    pub fn new(workspace: &Workspace, runs: &[impl AsRef<str>], published: Option<&Published>) -> Result<Self> {
        ensure!(!runs.is_empty(), "making a report: expected the name of at least one run");
        let audit = Audit::read(workspace.manifest_folder())?;
        let title = format!("covid-ct: {}", audit.manifest().name);
        let mut report = Self { title, sections: Vec::new(), figures: Vec::new(), json: json!({}) };
        report.data(&audit)?;
        let comparison = Comparison::of(workspace.runs_folder(), runs)?;
        let comparison = match published {
            Some(published) => comparison.with_published(published),
            None => comparison,
        };
        let mut html = comparison.table().html() + "<div class=\"row\">";
        for (number, figure) in comparison.figures()?.iter().enumerate() {
            html.push_str(&report.figure(&format!("comparison-{}", number + 1), figure));
        }
        html.push_str("</div>");
        report.section("Results at a glance", html);
        report.json["comparison"] = json!(comparison.rows());
        for name in runs.iter().map(AsRef::as_ref) {
            report.run(workspace, &audit, name).with_context(|| format!("reporting the run {name}"))?;
        }
        report.limits();
        Ok(report)
    }

    fn section(&mut self, heading: &str, html: String) {
        self.sections.push((heading.to_owned(), html));
    }

    /// Keeps the SVG for a file of its own and returns the figure's HTML.
    fn figure(&mut self, name: &str, figure: &crate::figure::Figure) -> String {
        self.figures.push((format!("{name}.svg"), figure.svg().to_owned()));
        figure.html()
    }

    fn data(&mut self, audit: &Audit) -> Result<()> {
        let manifest = audit.manifest();
        let excluded = audit.excluded();
        let mut flow = Table::new("What was left out, and why", &["Reason", "Files", "First"]);
        for &check in Check::ALL.iter().filter(|check| check.severity() == Severity::Exclude) {
            let mut of_check = excluded.iter().filter(|(_, finding)| finding.check == check);
            if let Some((first, _)) = of_check.next() {
                flow.row([check.name().to_owned(), thousands(1 + of_check.count() as u64), first.clone()]);
            }
        }
        let (all, out) = (manifest.slices.len(), excluded.len());
        let flow = flow.note(format!(
            "{} files read, {} left out, {} used. Patient ages, sexes and scanners are not recorded in this data.",
            thousands(all as u64),
            thousands(out as u64),
            thousands((all - out) as u64)
        ));
        let mut html = manifest.table().html() + &flow.html();
        html.push_str(&self.figure("slices-per-scan", &audit.slices_per_scan_figure()?));
        html.push_str(&self.figure("intensity", &audit.intensity_figure()?));
        self.section("Data", html);
        let mut html = audit.table().html();
        for check in [Check::SamePatient, Check::ConflictingLabel, Check::BlackSlice, Check::NearlyBlack] {
            if audit.count(check) > 0 {
                html.push_str(&self.figure(check.name(), &audit.contact_sheet(check, 6)?));
            }
        }
        self.section("Audit", html);
        let counts: serde_json::Map<_, _> =
            Check::ALL.iter().map(|check| (check.name().to_owned(), json!(audit.count(*check)))).collect();
        self.json["data"] = json!({
            "name": manifest.name, "manifest": manifest.hash(), "files": all, "left_out": out, "findings": counts,
        });
        Ok(())
    }

    fn run(&mut self, workspace: &Workspace, audit: &Audit, name: &str) -> Result<()> {
        let folder = workspace.run_folder(name);
        let (evaluation, history) = (Evaluation::read(&folder)?, History::read(&folder)?);
        let accepted = audit.accepted();
        let split = Split::read(workspace.split_file(evaluation.run.split.unit), &accepted)?;
        let warning = split.warning().map_or(String::new(), |w| format!("<p class=\"warning\">{}</p>", escape(&w)));
        let mut html = warning + &evaluation.table().html();
        html.push_str("<h3>Partition</h3>");
        html.push_str(&(split.table().html() + &split.overlap_table(10).html()));
        html.push_str("<h3>Settings</h3>");
        let parameters = format!("{} parameters.", thousands(evaluation.parameters));
        html.push_str(&evaluation.run.table().note(parameters).html());
        html.push_str("<h3>Training</h3>");
        html.push_str(&history.table().html());
        html.push_str("<div class=\"row\">");
        html.push_str(&self.figure(&format!("{name}-accuracy"), &history.figure()?));
        html.push_str(&self.figure(&format!("{name}-loss"), &history.loss_figure()?));
        html.push_str("</div>");
        for of in evaluation.subsets.clone() {
            let subset = of.subset;
            html.push_str(&format!("<h3>{subset}</h3><div class=\"row\">"));
            html.push_str(&self.figure(&format!("{name}-{subset}-slices"), &evaluation.slice_figure(subset)?));
            html.push_str(&self.figure(&format!("{name}-{subset}-scans"), &evaluation.scan_figure(subset)?));
            html.push_str("</div><div class=\"row\">");
            for (unit, report) in
                [("slices", evaluation.slice_report(subset)?), ("scans", evaluation.scan_report(subset)?)]
            {
                html.push_str(&format!("<div><b>By {unit}</b>{}</div>", report.html()));
            }
            html.push_str("</div>");
        }
        if folder.join("predictions-prediction.json").is_file() {
            let predictions = Predictions::read(&folder, Subset::Prediction)?;
            let scans: ScanPredictions = predictions.by_scan(&evaluation.rule);
            html.push_str("<h3>Inference on the unlabelled set</h3>");
            html.push_str(&(predictions.summary().html() + &scans.table().html()));
        }
        html.push_str(&format!(
            "<p class=\"small\">Weights {}, manifest {}, split {}.</p>",
            evaluation.weights,
            accepted.hash(),
            split.hash()
        ));
        self.section(&format!("Run {name}"), html);
        self.json["runs"][name] = json!({
            "evaluation": evaluation, "history": history, "split": split.hash(), "leaking": split.is_leaking(),
        });
        Ok(())
    }

    fn limits(&mut self) {
        let mut table = Table::new("What this report does not show", &["Asked for", "Here"]);
        for (asked, here) in [
            ("Confidence intervals", "not reported"),
            ("Calibration of the probabilities", "not reported: they are softmax outputs as they come"),
            ("Explanations (heat maps)", "not reported"),
            ("External validation on another hospital's data", "not done"),
            ("Patient demographics", "not in the data"),
        ] {
            table.row([asked, here]);
        }
        let html = table.html()
            + "<p>Research only. These networks must not be used to diagnose a patient; their figures depend on how \
               common the disease is in the data.</p>";
        self.section("Limits and intended use", html);
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

    fn page(&self) -> String {
        let anchor = |heading: &str| heading.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let contents: String = self
            .sections
            .iter()
            .map(|(heading, _)| format!("<li><a href=\"#{}\">{}</a></li>", anchor(heading), escape(heading)))
            .collect();
        let body: String = self
            .sections
            .iter()
            .map(|(heading, html)| {
                format!("<section id=\"{}\"><h2>{}</h2>{html}</section>", anchor(heading), escape(heading))
            })
            .collect();
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"/>\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>\
             <title>{title}</title><style>{STYLE}</style></head><body><header><h1>{title}</h1>\
             <p class=\"small\">Made by covid-ct {version} with tch 0.24 (libtorch {torch}). For research, not for \
             diagnosis.</p><nav><ul>{contents}</ul></nav></header><main>{body}</main></body></html>\n",
            title = escape(&self.title),
            version = env!("CARGO_PKG_VERSION"),
            torch = escape(&crate::doctor::libtorch_version()),
        )
    }
}

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:15px/1.5 system-ui,sans-serif;max-width:1160px;margin:2em auto;padding:0 1.2em;background:Canvas;color:CanvasText}\
h1{font-size:1.7em;margin-bottom:.1em}h2{margin-top:2em;border-bottom:1px solid #8886;padding-bottom:.2em}h3{margin-top:1.6em}\
nav ul{padding-left:1.2em;columns:2}.small{font-size:12px;opacity:.75;overflow-wrap:anywhere}\
.warning{border-left:5px solid #d55e00;padding:.5em 1em;background:#d55e0022;font-weight:600}\
.row{display:flex;flex-wrap:wrap;gap:1.2em;align-items:flex-start}.row>*{flex:1 1 400px;max-width:640px}\
figure{margin:.6em 0}figure img{background:#fff;border-radius:4px}pre{font-size:13px;overflow-x:auto}\
@media print{body{max-width:none;margin:0}section{break-inside:auto}figure,table{break-inside:avoid}nav{display:none}}";
