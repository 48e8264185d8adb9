//! Compares an audit with what is known about a data set in advance.

use super::{Audit, Check};
use crate::base::errors::{Context, Result};
use crate::base::files::read_json;
use crate::base::progress::thousands;
use crate::base::table::Table;
use crate::data::manifest::{Label, Set};
use serde::Deserialize;
use std::path::Path;

/// The expected contents of a data set: `data_manifest/cov19-ct-db.json` is one.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Name of the data set.
    pub dataset: String,
    /// Source of the figures.
    pub source: String,
    /// Scans and slices by set and label.
    counts: Vec<ExpectedCount>,
    /// Known defects.
    known_defects: Vec<KnownDefect>,
    /// Further remarks.
    notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedCount {
    set: Set,
    label: Option<Label>,
    scans: usize,
    slices: usize,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownDefect {
    check: Check,
    set: Set,
    label: Option<Label>,
    scan: String,
    count: usize,
    files: Vec<String>,
    #[serde(default)]
    with: Option<String>,
}

impl KnownDefect {
    fn folder(&self, scan: &str) -> String {
        match self.label {
            Some(label) => format!("{}/{label}/{scan}", self.set),
            None => format!("{}/{scan}", self.set),
        }
    }

    /// Findings of the audit that are this defect.
    fn found(&self, audit: &Audit) -> usize {
        let folder = self.folder(&self.scan);
        let with = self.with.as_deref().map(|scan| self.folder(scan));
        let here = |path: &str| match &self.files[..] {
            [] => path == folder || path.starts_with(&format!("{folder}/")),
            files => files.iter().any(|file| path == format!("{folder}/{file}")),
        };
        audit
            .findings()
            .iter()
            .filter(|f| f.check == self.check)
            .filter(|f| match &with {
                // A pair may be listed in either order.
                Some(with) => {
                    let pair = [Some(&f.path), f.with.as_ref()];
                    pair.contains(&Some(&folder)) && pair.contains(&Some(with))
                }
                None => here(&f.path),
            })
            .count()
    }
}

impl Expectation {
    /// The figures for COV19-CT-DB in the slides, which ship with the library.
    pub fn cov19_ct_db() -> Result<Self> {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/data_manifest/cov19-ct-db.json"));
        serde_json::from_str(text).context("reading the expectation that ships with the library")
    }

    /// Reads an expectation from a JSON file.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        read_json(path.as_ref(), "a list of expected counts and known defects")
    }
}

impl Audit {
    /// Expected and found, one row for each count and known defect.
    pub fn against(&self, expected: &Expectation) -> Table {
        let mut table = Table::new(
            format!("{} compared with {}", self.manifest().name, expected.dataset),
            &["What", "Expected", "Found", "Verdict"],
        );
        for (what, expected, found) in self.comparisons(expected) {
            let verdict = if expected == found { "as expected" } else { "differs" };
            table.row([what, thousands(expected as u64), thousands(found as u64), verdict.to_owned()]);
        }
        table.note(format!("Expected figures: {}.", expected.source))
    }

    /// Whether every count and known defect is as expected.
    pub fn fits(&self, expected: &Expectation) -> bool {
        self.comparisons(expected).iter().all(|(_, expected, found)| expected == found)
    }

    /// What is counted, how many are expected, and how many were found.
    fn comparisons(&self, expected: &Expectation) -> Vec<(String, usize, usize)> {
        let mut rows = Vec::new();
        for count in &expected.counts {
            let (scans, slices) = self.manifest().counts(count.set, count.label);
            let label = count.label.map_or(String::new(), |label| format!(" {label}"));
            rows.push((format!("{}{label}: scans", count.set), count.scans, scans));
            rows.push((format!("{}{label}: slices", count.set), count.slices, slices));
        }
        for defect in &expected.known_defects {
            let with = defect.with.as_ref().map_or(String::new(), |with| format!(" and {with}"));
            let what = format!("{} in {}{with}", defect.check, defect.folder(&defect.scan));
            rows.push((what, defect.count, defect.found(self)));
        }
        rows
    }
}
