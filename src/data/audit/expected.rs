//! An audit held against what is known of a data base in advance.

use super::{Audit, Check};
use crate::base::files::read_json;
use crate::base::progress::thousands;
use crate::base::table::Table;
use crate::data::manifest::{Label, Set};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::path::Path;

/// What a data base should hold: `data_manifest/cov19-ct-db.json` is one.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Name of the data base.
    pub dataset: String,
    /// Where the figures come from.
    pub source: String,
    /// Scans and slices by set and label.
    counts: Vec<ExpectedCount>,
    /// Defects someone has already found.
    known_defects: Vec<KnownDefect>,
    /// Anything else worth knowing.
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
                // A pair may be told in either order.
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
    /// What the slides tell of COV19-CT-DB, as it ships with the library.
    pub fn cov19_ct_db() -> Result<Self> {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/data_manifest/cov19-ct-db.json"));
        serde_json::from_str(text).context("reading the expectation that ships with the library")
    }

    /// Reads an expectation.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        read_json(path.as_ref(), "a list of expected counts and known defects")
    }
}

impl Audit {
    /// Expected against found, one row a count or known defect.
    pub fn against(&self, expected: &Expectation) -> Table {
        let mut table = Table::new(
            format!("{} held against {}", self.manifest().name, expected.dataset),
            &["What", "Expected", "Found", "Verdict"],
        );
        for (what, expected, found) in self.beside(expected) {
            let verdict = if expected == found { "as expected" } else { "differs" };
            table.row([what, thousands(expected as u64), thousands(found as u64), verdict.to_owned()]);
        }
        table.note(format!("Expected figures: {}.", expected.source))
    }

    /// Whether every count and known defect is as expected.
    pub fn fits(&self, expected: &Expectation) -> bool {
        self.beside(expected).iter().all(|(_, expected, found)| expected == found)
    }

    /// What is counted, how many are expected, and how many were found.
    fn beside(&self, expected: &Expectation) -> Vec<(String, usize, usize)> {
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
