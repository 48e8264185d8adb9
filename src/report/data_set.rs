//! The report's sections on the data.

use super::data_flow::{Flow, by_split, names};
use super::first_pages::{best, first_pictures};
use super::html::{heading, small, warning as warning_paragraph};
use super::run_parts::Run;
use super::{Report, Sources};
use crate::base::errors::Result;
use crate::base::progress::thousands;
use crate::base::table::{Show, Table};
use crate::data::audit::{Check, Severity};
use crate::data::manifest::{Label, Manifest};
use crate::data::pixels::SixteenBit;
use crate::data::split::Subset;
use crate::evaluate::compare::Comparison;
use crate::train::run_folder::RunFolder;
use maud::html;
use serde_json::json;
use std::collections::BTreeMap;

/// The intended use; a model card has the same for one network.
pub(super) const INTENDED_USE: &str = "These networks must not be used to diagnose a patient. The results show how \
     well a training method separates the covid from the non-covid slices of this data set, and do not apply to other \
     hospitals, scanners or diseases. Predictive values depend on how common the disease is in the data.";

const NO_RUNS: &str = "This report has no run: train one (covid-ct train), evaluate it (covid-ct evaluate), explain it \
                       (covid-ct explain), then write the report again (covid-ct report). Of a network other than the \
                       recommended one the last two need its name: --name fcn.";

/// Findings of each check that are shown as pictures; `covid-ct pages` shows all.
const SHOWN: usize = 1;

impl Report {
    pub(super) fn intended_use(&mut self) {
        let html = html! { p { b { "Research only." } " " (INTENDED_USE) } }.into_string();
        self.section("intended-use", "Intended use", html);
        self.json["intended_use"] = json!(format!("Research only. {INTENDED_USE}"));
    }

    pub(super) fn summary(&mut self, from: &Sources<'_>) -> Result<()> {
        let mut html = self.first.html();
        if !from.runs.iter().any(Run::is_whole) {
            html.push_str(&warning_paragraph(NO_RUNS));
            self.json["next"] = json!(NO_RUNS);
        }
        if let Some(run) = best(&from.runs) {
            let pictures = first_pictures(run)?;
            html.push_str(&self.row(&pictures));
            for gallery in run.examples() {
                html.push_str(&self.figure(&format!("{}-{}-examples", run.name, Subset::Test), &gallery.figure));
            }
        }
        self.json["first_pages"] = self.first.json();
        self.section("summary", "Results at a glance", html);
        Ok(())
    }

    /// The runs side by side, and the published ones; nothing without runs.
    pub(super) fn compared(&mut self, from: &Sources<'_>) -> Result<String> {
        let whole: Vec<RunFolder> =
            from.runs.iter().filter(|run| run.is_whole()).map(|run| run.folder.clone()).collect();
        if whole.is_empty() {
            return Ok(String::new());
        }
        let comparison = Comparison::of(&whole)?;
        let comparison = match from.published {
            Some(published) => comparison.with_published(published),
            None => comparison,
        };
        self.json["comparison"] = json!(comparison.rows());
        let figures = comparison.figures()?.into_iter().enumerate();
        let figures: Vec<_> = figures.map(|(number, figure)| (format!("comparison-{}", number + 1), figure)).collect();
        Ok(comparison.intervals().html() + &comparison.html() + &self.row(&figures))
    }

    pub(super) fn data(&mut self, from: &Sources<'_>, flow: &Flow) -> Result<()> {
        let audit = &from.audit;
        let manifest = audit.manifest();
        let reasons = reasons(from, flow);
        let mut html = String::new();
        for (number, figure) in (1..).zip(flow.figures()?) {
            html.push_str(&self.figure(&format!("data-flow-{number}"), &figure));
        }
        html.push_str(&(flow.table().html() + &manifest.table().html() + &reasons.html()));
        html.push_str(&kinds(&from.accepted).html());
        if let Some(sources) = sources(&from.accepted) {
            html.push_str(&sources.html());
        }
        html.push_str(&self.row(&[
            ("slices-per-scan".to_owned(), audit.slices_per_scan_figure()?),
            ("intensity".to_owned(), audit.intensity_figure()?),
        ]));
        self.section("data", "Data", html);
        let counts: serde_json::Map<_, _> =
            Check::ALL.iter().map(|check| (check.name().to_owned(), json!(audit.count(*check)))).collect();
        self.json["data"] = json!({
            "name": manifest.name, "manifest": manifest.hash(), "accepted": from.accepted.hash(),
            "files": manifest.slices.len(), "left_out": audit.excluded().len(), "findings": counts, "flow": flow,
        });
        Ok(())
    }

    pub(super) fn audit(&mut self, from: &Sources<'_>) -> Result<()> {
        let mut html = from.audit.table().html();
        self.json["audit"] = json!(from.audit.table());
        let found = Check::ALL.iter().filter(|check| from.audit.count(**check) > 0);
        for check in found.filter(|check| check.severity() != Severity::Note) {
            if let Some(pictures) = from.audit.pictures_of(*check, SHOWN)? {
                html.push_str(&self.figure(check.name(), &pictures));
            }
        }
        self.section("audit", "Audit", html);
        Ok(())
    }

    pub(super) fn partition(&mut self, from: &Sources<'_>) -> Result<()> {
        let mut html = String::new();
        let mut partitions = Vec::new();
        for (split, runs) in by_split(&from.runs) {
            html.push_str(&heading(&names(&runs)));
            if let Some(warning) = split.warning() {
                html.push_str(&warning_paragraph(&warning));
            }
            html.push_str(&(split.table().html() + &split.overlap_table(10).html()));
            html.push_str(&small(&format!("Split {}.", split.hash())));
            partitions.push(json!({
                "runs": runs.iter().map(|run| &run.name).collect::<Vec<_>>(), "split": split.hash(),
                "manifest": split.manifest_hash(), "how": split.config(), "leaking": split.is_leaking(),
                "proof": split.table(), "overlaps": split.overlaps(), "left_out": split.left_out(),
            }));
        }
        for run in from.runs.iter().filter(|run| run.split.is_none()) {
            let missing = format!("Its split {} is missing: no proof of it is shown.", run.evaluation.split);
            html.push_str(&(heading(&run.name) + &warning_paragraph(&missing)));
        }
        self.section("partition", "Partition", html);
        self.json["partition"] = json!(partitions);
        Ok(())
    }

    pub(super) fn preprocessing(&mut self, from: &Sources<'_>) {
        let mut table = Table::new("From a file to the network", &["Step", "How"]);
        let distinct = |of: &dyn Fn(&crate::data::preprocess::Preprocess) -> String| {
            let mut each: Vec<String> = from.runs.iter().map(|run| of(&run.evaluation.run.preprocess)).collect();
            each.sort();
            each.dedup();
            each.join("; ")
        };
        let manifest = from.audit.manifest();
        let in_units = manifest.scans.iter().filter(|scan| scan.acquisition.is_some()).count();
        let pictures = "as the files were exported: Hounsfield units are not in them";
        let window = match in_units {
            0 if matches!(manifest.sixteen_bit, None | Some(SixteenBit::Grey)) => pictures.to_owned(),
            0 => distinct(&|of| of.window.described()),
            _ if in_units == manifest.scans.len() => {
                format!("{}, the same for all scans", distinct(&|of| of.window.described()))
            }
            _ => format!(
                "{}, for DICOM and volumes ({in_units} scans); others {pictures}",
                distinct(&|of| of.window.described())
            ),
        };
        let sizes = distinct(&|of| format!("{0}×{0}", of.size));
        for (step, how) in [
            (
                "Decode",
                "pictures to 8-bit grey (luma of colour files); DICOM and volumes to Hounsfield units, seen as radiologists see them; a \
                 file that is cut short is left out"
                    .to_owned(),
            ),
            ("Window", window),
            ("Crop", distinct(&|of| of.crop.described())),
            ("Grey levels", distinct(&|of| of.stretch.described().to_owned())),
            ("Resize", format!("{sizes} pixels, bilinear with antialiasing")),
            ("Normalise", distinct(&|of| format!("(grey level / 255 − {}) / {}", of.mean, of.std))),
            ("Slices without lungs", distinct(&|of| of.described()[2].1.clone())),
            ("Augment", "in training only; see each run's settings".to_owned()),
        ] {
            table.row([step.to_owned(), how]);
        }
        self.json["preprocessing"] = json!({ "steps": table.rows() });
        for run in &from.runs {
            self.json["preprocessing"]["runs"][&run.name] = json!(run.evaluation.run.preprocess);
        }
        self.section("preprocessing", "Preprocessing", table.html());
    }
}

/// Files left out under their first reason.
fn reasons(from: &Sources<'_>, flow: &Flow) -> Table {
    let excluded = from.audit.excluded();
    let mut table = Table::new("What was left out, and why", &["Reason", "Files", "First", "Meaning"]);
    for (reason, count) in &flow.excluded {
        if let Some((first, finding)) = excluded.iter().find(|(_, finding)| finding.check.name() == reason) {
            let meaning = finding.check.meaning().to_owned();
            table.row([reason.clone(), thousands(*count as u64), first.clone(), meaning]);
        }
    }
    let (all, out) = (from.audit.manifest().slices.len() as u64, excluded.len() as u64);
    table.note(format!(
        "{} files read, {} left out by the audit, {} accepted; the slices that each split uses are shown above. \
         Patients' ages and sexes are not recorded in this data; {}.",
        thousands(all),
        thousands(out),
        thousands(all - out),
        super::answers::sources_in_words(&from.accepted)
    ))
}

/// Sizes and colour modes of the accepted files.
fn kinds(accepted: &Manifest) -> Table {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for header in accepted.slices.iter().filter_map(|slice| slice.header) {
        let colour = format!("{:?}", header.colour).to_lowercase();
        let kind = format!("{}×{}, {colour}, {}", header.width, header.height, header.format);
        *counts.entry(kind).or_default() += 1;
    }
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    const SHOWN: usize = 8;
    let mut table = Table::new("Sizes, colour modes and formats of the accepted files", &["Kind", "Files"]);
    for (kind, count) in counts.iter().take(SHOWN) {
        table.row([kind.clone(), thousands(*count)]);
    }
    let others: u64 = counts.iter().skip(SHOWN).map(|of| of.1).sum();
    if others > 0 {
        table.row([format!("{} other kinds", counts.len() - SHOWN), thousands(others)]);
    }
    table
}

/// Scans by source and label, where the patient table names sources.
fn sources(accepted: &Manifest) -> Option<Table> {
    let mut counts: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
    let filled: std::collections::BTreeSet<usize> = accepted.slices.iter().map(|slice| slice.scan).collect();
    for scan in filled.into_iter().map(|scan| &accepted.scans[scan]) {
        let column = scan.label.map_or(2, Label::index);
        counts.entry(scan.source.as_deref()?).or_default()[column] += 1;
    }
    let mut table = Table::new("Scans by source", &["Source", "covid", "non-covid", "unlabelled"]);
    for (source, of) in &counts {
        table.row(std::iter::once((*source).to_owned()).chain(of.iter().map(|&count| thousands(count))));
    }
    let single = counts.values().filter(|of| (of[0] == 0) != (of[1] == 0)).count();
    (!counts.is_empty()).then(|| {
        table.note(format!(
            "{single} of {} sources have a single label: for them the source predicts the label.",
            counts.len()
        ))
    })
}
