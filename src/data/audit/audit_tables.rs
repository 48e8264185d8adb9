//! What an audit found, as tables.

use super::file_names::fold_of;
use super::{Audit, Check, Finding, Severity};
use crate::base::progress::{counted, thousands};
use crate::base::table::Table;
use crate::data::manifest::{Label, Scan, Set, Slice};
use std::collections::BTreeMap;

impl Audit {
    /// Every excluded file with its reason, one row each, at most `limit` rows.
    pub fn excluded_table(&self, limit: usize) -> Table {
        let excluded = self.excluded();
        let mut table = Table::new("Left out", &["File", "Check", "Found"]);
        for (path, finding) in excluded.iter().take(limit) {
            table.row([path.clone(), finding.check.name().to_owned(), finding.detail.clone()]);
        }
        match excluded.len() {
            0 => table.note("Nothing is left out."),
            n if n > limit => table.note(format!("{} in all.", thousands(n as u64))),
            _ => table,
        }
    }

    /// One row for each check that found something: severity, count, an example and its meaning.
    pub fn table(&self) -> Table {
        let mut table =
            Table::new(format!("Audit of {}", self.manifest.name), &["Check", "Severity", "Count", "First", "Meaning"]);
        let mut silent = 0_u64;
        for &check in Check::ALL {
            let Some(first) = self.findings.iter().find(|f| f.check == check) else {
                silent += 1;
                continue;
            };
            let example = match &first.with {
                Some(with) => format!("{} and {with}", first.path),
                None => first.path.clone(),
            };
            let count = thousands(self.count(check) as u64);
            table.row([check.name().to_owned(), check.severity().to_string(), count, example, check.meaning().into()]);
        }
        let table = match silent {
            0 => table,
            n => table.note(format!(
                "{} found nothing.",
                counted(n, if self.findings.is_empty() { "check" } else { "other check" })
            )),
        };
        let excluded = self.excluded();
        let (out, all) = (excluded.len() as u64, self.manifest.slices.len() as u64);
        let severe = self.findings.iter().filter(|of| of.check.severity() == Severity::Exclude).count() as u64;
        let table = table.note(format!(
            "{} of severity exclude: {} of {} slices are left out, {} stay.",
            counted(severe, "finding"),
            thousands(out),
            thousands(all),
            thousands(all - out)
        ));
        let others = self.other_files() as u64;
        let table = match others {
            0 => table,
            _ => table.note(format!("{} besides, which are no slices of a scan.", counted(others, "other file"))),
        };
        self.not_usable(&excluded).into_iter().fold(table, Table::note)
    }

    /// Every finding of a check: path, what was found, and the other file for checks that compare two.
    pub fn details(&self, check: Check) -> Table {
        let mut table = Table::new(format!("{check}: {}", check.meaning()), &["Path", "Found", "With"]);
        for finding in self.findings.iter().filter(|f| f.check == check) {
            table.row([finding.path.clone(), finding.detail.clone(), finding.with.clone().unwrap_or_default()]);
        }
        table
    }

    /// What of the data set cannot be used as a whole: folders that are not read, and a class of which training has no scan.
    fn not_usable(&self, excluded: &BTreeMap<String, &Finding>) -> Vec<String> {
        let kinds =
            [(Check::UnknownFolder, "folder"), (Check::LoosePictures, "folder"), (Check::PackedFiles, "archive")];
        let unread: Vec<(Check, String)> = kinds
            .into_iter()
            .filter(|(check, _)| self.count(*check) > 0)
            .map(|(check, what)| (check, format!("{} ({check})", counted(self.count(check) as u64, what))))
            .collect();
        let folders = unread.first().map(|(first, _)| {
            let all: Vec<&str> = unread.iter().map(|(_, text)| text.as_str()).collect();
            format!(
                "Not read, and not counted here: what lies in {}. What was found, and what is expected, is listed by \
                 `covid-ct audit --details {first}`.",
                all.join(", ")
            )
        });
        let manifest = &self.manifest;
        let is_used = |slice: &Slice| slice.number.is_some() && !excluded.contains_key(&manifest.path(slice));
        let is_of = |scan: &Scan, set, label| scan.set == set && scan.label == Some(label);
        let has = |set, label| manifest.slices.iter().any(|of| is_of(manifest.scan_of(of), set, label) && is_used(of));
        let lacking = |set| -> Option<String> {
            let lacking = Label::ALL.into_iter().filter(|label| !has(set, *label));
            let lacking: Vec<String> = lacking.map(|label| label.to_string()).collect();
            (!lacking.is_empty()).then(|| lacking.join(" or of "))
        };
        let classes = match (lacking(Set::Train), lacking(Set::Val)) {
            (Some(classes), _) => Some(format!(
                "The training set has no scan of {classes}: nothing can be trained on this data set alone."
            )),
            // Without a validation scan a part of the training set is taken.
            (None, Some(classes)) if Label::ALL.iter().any(|label| has(Set::Val, *label)) => {
                Some(format!("The validation set has no scan of {classes}, and by both classes a network is chosen."))
            }
            (None, _) => None,
        };
        folders.into_iter().chain(classes).chain(self.folds_that_hold_all()).collect()
    }

    /// What to do with the folds of a cross-validation that hold the same slices; `None` where a few of them are copies.
    fn folds_that_hold_all(&self) -> Option<String> {
        let mut copies: BTreeMap<&str, usize> = BTreeMap::new();
        for of in self.findings.iter().filter(|of| of.check == Check::ExactDuplicate) {
            let fold = of.with.as_ref().and_then(|with| fold_of(&of.path, with));
            fold.into_iter().for_each(|fold| *copies.entry(fold).or_default() += 1);
        }
        let manifest = &self.manifest;
        let lies_in =
            |scan: &Scan, fold: &str| scan.folder.strip_prefix(fold).is_some_and(|rest| rest.starts_with('/'));
        let slices = |fold: &str| manifest.slices.iter().filter(|of| lies_in(manifest.scan_of(of), fold)).count();
        let (fold, _) = copies.into_iter().find(|(fold, copies)| 2 * copies > slices(fold))?;
        Some(format!(
            "These are the folds of a cross-validation, each of which holds the slices of others: use one of them alone, such as \
             {fold}, or make the folds here by `covid-ct train --folds N`."
        ))
    }
}
