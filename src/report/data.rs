//! What the report says of the data.

use super::{Report, Sources};
use crate::audit::{Check, Severity};
use crate::compare::Comparison;
use crate::figure::{Step, flow};
use crate::manifest::{Label, Manifest};
use crate::progress::{counted, thousands};
use crate::split::{Split, Subset};
use crate::table::{Show, Table, escape};
use anyhow::Result;
use serde_json::json;
use std::collections::BTreeMap;

impl Report {
    pub(super) fn intended_use(&mut self) {
        let html = "<p><b>Research only.</b> These networks must not be used to diagnose a patient. They say how well a way of \
                    training separates the covid from the non-covid slices of this data set, and nothing of other hospitals, \
                    scanners or diseases. Predictive values depend on how common the disease is in the data.</p>";
        self.section("intended-use", "Intended use", html.to_owned());
    }

    pub(super) fn summary(&mut self, from: &Sources<'_>) -> Result<()> {
        let names: Vec<&str> = from.runs.iter().map(|run| run.name.as_str()).collect();
        let comparison = Comparison::of(from.workspace.runs_folder(), &names)?;
        let comparison = match from.published {
            Some(published) => comparison.with_published(published),
            None => comparison,
        };
        let warnings: String = by_split(from)
            .into_iter()
            .filter_map(|(split, names)| Some((names.join(", "), split.warning()?)))
            .map(|(names, warning)| format!("<p class=\"warning\">{}: {}</p>", escape(&names), escape(&warning)))
            .collect();
        let mut html = warnings + &comparison.intervals().html() + &comparison.table().html();
        let figures = comparison.figures()?.into_iter().enumerate();
        let figures: Vec<_> = figures.map(|(number, figure)| (format!("comparison-{}", number + 1), figure)).collect();
        html.push_str(&self.row(&figures));
        self.section("summary", "Results at a glance", html);
        self.json["comparison"] = json!(comparison.rows());
        Ok(())
    }

    pub(super) fn data(&mut self, from: &Sources<'_>) -> Result<()> {
        let audit = &from.audit;
        let manifest = audit.manifest();
        let excluded = audit.excluded();
        let mut reasons = Table::new("What was left out, and why", &["Reason", "Files", "First", "Meaning"]);
        let mut leaves = Vec::new();
        for &check in Check::ALL.iter().filter(|check| check.severity() == Severity::Exclude) {
            let mut of_check = excluded.iter().filter(|(_, finding)| finding.check == check);
            if let Some((first, _)) = of_check.next() {
                let count = thousands(1 + of_check.count() as u64);
                leaves.push(format!("{}: {count}", check.name()));
                reasons.row([check.name().to_owned(), count, first.clone(), check.meaning().to_owned()]);
            }
        }
        let (all, out) = (manifest.slices.len(), excluded.len());
        let reasons = reasons.note(format!(
            "{} files read, {} left out, {} used. Patient ages, sexes and scanners are not recorded in this data.",
            thousands(all as u64),
            thousands(out as u64),
            thousands((all - out) as u64)
        ));
        let mut html = self.figure("data-flow", &data_flow(from, leaves)?);
        html.push_str(&(manifest.table().html() + &reasons.html()));
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
            "name": manifest.name, "manifest": manifest.hash(), "accepted": from.accepted.hash(), "files": all,
            "left_out": out, "findings": counts,
        });
        Ok(())
    }

    pub(super) fn audit(&mut self, from: &Sources<'_>) -> Result<()> {
        let mut html = from.audit.table().html();
        for check in [Check::SamePatient, Check::ConflictingLabel, Check::BlackSlice, Check::NearlyBlack] {
            if from.audit.count(check) > 0 {
                html.push_str(&self.figure(check.name(), &from.audit.contact_sheet(check, 6)?));
            }
        }
        self.section("audit", "Audit", html);
        Ok(())
    }

    pub(super) fn partition(&mut self, from: &Sources<'_>) -> Result<()> {
        let mut html = String::new();
        for (split, names) in by_split(from) {
            html.push_str(&format!("<h3>{}</h3>", escape(&names.join(", "))));
            if let Some(warning) = split.warning() {
                html.push_str(&format!("<p class=\"warning\">{}</p>", escape(&warning)));
            }
            html.push_str(&(split.table().html() + &split.overlap_table(10).html()));
            html.push_str(&format!("<p class=\"small\">Split {}.</p>", split.hash()));
        }
        self.section("partition", "Partition", html);
        Ok(())
    }

    pub(super) fn preprocessing(&mut self, from: &Sources<'_>) {
        let mut table = Table::new("From a file to the network", &["Step", "How"]);
        let mut sizes: Vec<String> =
            from.runs.iter().map(|run| format!("{0}×{0}", run.evaluation.run.preprocess.size)).collect();
        sizes.sort();
        sizes.dedup();
        let normal = from.runs.first().map(|run| &run.evaluation.run.preprocess);
        let normal = normal.map_or(String::new(), |of| format!("(grey level / 255 − {}) / {}", of.mean, of.std));
        for (step, how) in [
            (
                "Decode",
                "JPEG or PNG to 8-bit grey (luma of colour files); a file that is cut short is left out".to_owned(),
            ),
            ("Resize", format!("{} pixels, bilinear with antialiasing, aspect ratio not kept", sizes.join(", "))),
            ("Normalise", normal),
            ("Augment", "nothing".to_owned()),
            ("Window", "as the files were exported: Hounsfield units are not in them".to_owned()),
        ] {
            table.row([step.to_owned(), how]);
        }
        self.section("preprocessing", "Preprocessing", table.html());
    }
}

/// The splits, each with the runs that use it.
fn by_split<'a>(from: &'a Sources<'_>) -> Vec<(&'a Split, Vec<&'a str>)> {
    let mut seen: Vec<(&Split, Vec<&str>)> = Vec::new();
    for run in &from.runs {
        match seen.iter_mut().find(|(split, _)| split.hash() == run.split.hash()) {
            Some((_, names)) => names.push(&run.name),
            None => seen.push((&run.split, vec![&run.name])),
        }
    }
    seen
}

fn data_flow(from: &Sources<'_>, leaves: Vec<String>) -> Result<crate::figure::Figure> {
    let manifest = from.audit.manifest();
    let lines_of = |of: &Manifest, name: &str| {
        let scans: std::collections::BTreeSet<usize> = of.slices.iter().map(|slice| slice.scan).collect();
        let patients = of.patient_of_scans();
        let patients: std::collections::BTreeSet<u32> = scans.iter().map(|&scan| patients[scan]).collect();
        vec![
            name.to_owned(),
            format!("{}, {}", counted(of.slices.len() as u64, "slice"), counted(scans.len() as u64, "scan")),
            format!("of {}, as far as known", counted(patients.len() as u64, "patient")),
        ]
    };
    let split = from.runs.first().map(|run| &run.split);
    let ends = split.map_or(Vec::new(), |split| {
        let of_subset = |subset: Subset| {
            let line = |label: Option<Label>| {
                let (slices, scans) = split.count(subset, label);
                let name = label.map_or("unlabelled".to_owned(), |label| label.to_string());
                (slices > 0)
                    .then(|| format!("{name}: {} in {}", thousands(slices as u64), counted(scans as u64, "scan")))
            };
            let lines: Vec<String> =
                [Some(Label::Covid), Some(Label::NonCovid), None].into_iter().filter_map(line).collect();
            (!lines.is_empty()).then(|| [vec![subset.to_string()], lines].concat())
        };
        Subset::ALL.into_iter().filter_map(of_subset).collect()
    });
    let mut second = lines_of(&from.accepted, "Accepted by the audit");
    if let Some(name) = from.runs.first().map(|run| &run.name) {
        second.push(format!("divided as for {name}"));
    }
    let left = split.map_or(0, |split| split.left_out().len());
    let twins = if left > 0 {
        vec![format!("same patient as in validation: {}", counted(left as u64, "scan"))]
    } else {
        Vec::new()
    };
    let leaves =
        if leaves.is_empty() { leaves } else { [vec!["Left out, by reason (files)".to_owned()], leaves].concat() };
    let steps = [Step { stays: lines_of(manifest, "Read"), leaves }, Step { stays: second, leaves: twins }];
    flow("Data flow", &steps, &ends, "Every file that was read, and where it went. Reasons are explained below.")
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
            "{single} of {} sources give one label only: there, knowing the source is knowing the label.",
            counts.len()
        ))
    })
}
