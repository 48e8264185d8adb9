//! The flow of data from the files that were read to the slices that each split uses.

use super::Sources;
use super::run_parts::Run;
use crate::base::errors::Result;
use crate::base::figure::{Figure, FlowStep, flow};
use crate::base::progress::{counted, thousands};
use crate::base::table::Table;
use crate::data::audit::{Audit, Check, Severity};
use crate::data::manifest::Manifest;
use crate::data::split::{Split, Subset};
use crate::evaluate::evaluation::NetworkSummary;
use serde::Serialize;
use std::collections::BTreeSet;

/// Numbers of slices, scans and patients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Many {
    pub(super) slices: usize,
    pub(super) scans: usize,
    /// As far as known.
    pub(super) patients: usize,
}

impl Many {
    /// The numbers for the slices of which `takes_part` is true.
    fn of(manifest: &Manifest, takes_part: impl Fn(usize) -> bool) -> Self {
        let indices: Vec<usize> = (0..manifest.slices.len()).filter(|index| takes_part(*index)).collect();
        let scans: BTreeSet<usize> = indices.iter().map(|&index| manifest.slices[index].scan).collect();
        let of_scan = manifest.patient_of_scans();
        let patients: BTreeSet<u32> = scans.iter().map(|&scan| of_scan[scan]).collect();
        Self { slices: indices.len(), scans: scans.len(), patients: patients.len() }
    }

    fn lines(&self, name: String) -> Vec<String> {
        vec![
            name,
            format!("{}, {}", counted(self.slices as u64, "slice"), counted(self.scans as u64, "scan")),
            format!("of {}, as far as known", counted(self.patients as u64, "patient")),
        ]
    }
}

/// The slices that a split uses and leaves out.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SplitFlow {
    pub(super) runs: Vec<String>,
    pub(super) split: crate::base::files::Digest,
    /// Scans that are left out because their patient is in the validation set, and their slices.
    pub(super) left_out: Many,
    pub(super) used: Many,
    pub(super) subsets: Vec<crate::evaluate::evaluation::SubsetCount>,
}

/// The whole flow of data.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Flow {
    pub(super) read: Many,
    /// Files left out, by reason.
    pub(super) excluded: Vec<(String, usize)>,
    pub(super) accepted: Many,
    pub(super) splits: Vec<SplitFlow>,
}

/// Numbers of files left out under their first reason.
fn excluded(audit: &Audit) -> Vec<(String, usize)> {
    let all = audit.excluded();
    let of = |check: &Check| (check.name().to_owned(), all.iter().filter(|(_, found)| found.check == *check).count());
    let reasons = Check::ALL.iter().filter(|check| check.severity() == Severity::Exclude).map(of);
    reasons.filter(|(_, count)| *count > 0).collect()
}

/// The splits, each with the runs that use it.
pub(super) fn by_split(runs: &[Run]) -> Vec<(&Split, Vec<&Run>)> {
    sharing(runs, |run| run.split.as_ref().map(|split| (split.hash(), split)))
}

/// The networks, each with the runs that have it.
pub(super) fn by_network(runs: &[Run]) -> Vec<(&NetworkSummary, Vec<&Run>)> {
    sharing(runs, |run| Some((&run.evaluation.network, &run.evaluation.network)))
}

/// Groups runs by what they share, compared by a key; in the runs' order.
fn sharing<'a, T, K: PartialEq>(
    runs: &'a [Run],
    of: impl Fn(&'a Run) -> Option<(K, &'a T)>,
) -> Vec<(&'a T, Vec<&'a Run>)> {
    let mut seen: Vec<(K, &T, Vec<&Run>)> = Vec::new();
    for run in runs {
        let Some((key, shared)) = of(run) else { continue };
        match seen.iter_mut().find(|(other, ..)| *other == key) {
            Some((.., sharers)) => sharers.push(run),
            None => seen.push((key, shared, vec![run])),
        }
    }
    seen.into_iter().map(|(_, shared, sharers)| (shared, sharers)).collect()
}

pub(super) fn names(runs: &[&Run]) -> String {
    runs.iter().map(|run| run.name.as_str()).collect::<Vec<_>>().join(", ")
}

impl Flow {
    pub(super) fn of(from: &Sources<'_>) -> Self {
        let (read, accepted, runs) = (from.audit.manifest(), &from.accepted, &from.runs);
        let of_split = |(split, runs): (&Split, Vec<&Run>)| {
            let used: BTreeSet<usize> = Subset::ALL.into_iter().flat_map(|subset| split.slices(subset)).collect();
            SplitFlow {
                runs: runs.iter().map(|run| run.name.clone()).collect(),
                split: split.hash(),
                left_out: Many::of(accepted, |slice| !used.contains(&slice)),
                used: Many::of(accepted, |slice| used.contains(&slice)),
                subsets: runs.first().map_or(Vec::new(), |run| run.evaluation.counts.clone()),
            }
        };
        Self {
            read: Many::of(read, |_| true),
            excluded: excluded(&from.audit),
            accepted: Many::of(accepted, |_| true),
            splits: by_split(runs).into_iter().map(of_split).collect(),
        }
    }

    /// The way to the scans that a run was trained and tested on, in few rows.
    pub(super) fn in_short(&self, from: &Sources<'_>, run: Option<&Run>) -> Table {
        let mut table =
            Table::new("From the files to the test scans", &["Stage", "Slices", "Scans", "Patients, as far as known"]);
        let mut row = |stage: String, of: &Many| {
            let numbers = [of.slices, of.scans, of.patients].map(|count| thousands(count as u64));
            table.row(std::iter::once(stage).chain(numbers));
        };
        row("Read".to_owned(), &self.read);
        row("Accepted by the audit".to_owned(), &self.accepted);
        let of = run.and_then(|run| self.splits.iter().find(|of| of.runs.contains(&run.name)));
        if let Some((of, split)) = of.zip(run.and_then(|run| run.split.as_ref())) {
            if of.left_out.slices > 0 {
                row("Not used: a patient of the validation set".to_owned(), &of.left_out);
            }
            for subset in Subset::ALL {
                let slices: BTreeSet<usize> = split.slices(subset).iter().copied().collect();
                let many = Many::of(&from.accepted, |slice| slices.contains(&slice));
                if many.slices > 0 {
                    row(format!("{subset} set"), &many);
                }
            }
        }
        let split = of.map_or(String::new(), |of| format!("The split is that of {}. ", of.runs.join(", ")));
        let reasons: Vec<String> =
            self.excluded.iter().map(|(reason, count)| format!("{reason} {}", thousands(*count as u64))).collect();
        let out = if reasons.is_empty() { "nothing".to_owned() } else { reasons.join(", ") };
        let also = match of.is_some_and(|of| of.left_out.patients > 0) {
            true => "Patients not used are counted in the validation set, too. ",
            false => "",
        };
        let lungs = run.and_then(|run| Some((&run.name, run.evaluation.without_lungs()?)));
        let lungs = lungs.map_or(String::new(), |(name, out)| {
            format!(" Of these slices {name} also leaves out those without lungs: {out}.")
        });
        table.note(format!("{split}{also}Left out by the audit (files): {out}.{lungs}"))
    }

    /// The numbers of the figures.
    pub(super) fn table(&self) -> Table {
        let mut table =
            Table::new("From files to slices used", &["Stage", "Slices", "Scans", "Patients, as far as known"]);
        let mut row = |stage: String, of: &Many| {
            table.row([stage, thousands(of.slices as u64), thousands(of.scans as u64), thousands(of.patients as u64)]);
        };
        row("Read".to_owned(), &self.read);
        row("Accepted by the audit".to_owned(), &self.accepted);
        for of in &self.splits {
            row(format!("Left out of the split of {}", of.runs.join(", ")), &of.left_out);
            row(format!("Used by {}", of.runs.join(", ")), &of.used);
        }
        table
    }

    /// One figure for each split; if there is none, one of the audit alone.
    pub(super) fn figures(&self) -> Result<Vec<Figure>> {
        let caption = "Every file that was read, and where it went. Reasons are explained below.";
        let reasons = self.excluded.iter().map(|(reason, count)| format!("{reason}: {}", thousands(*count as u64)));
        let reasons: Vec<String> = reasons.collect();
        let leaves = match reasons.is_empty() {
            true => Vec::new(),
            false => [vec!["Left out, by reason (files)".to_owned()], reasons].concat(),
        };
        let first = || FlowStep { stays: self.read.lines("Read".to_owned()), leaves: leaves.clone() };
        let accepted = || self.accepted.lines("Accepted by the audit".to_owned());
        if self.splits.is_empty() {
            let steps = [first(), FlowStep { stays: accepted(), leaves: Vec::new() }];
            return Ok(vec![flow("Data flow", &steps, &[], caption)?]);
        }
        let of_split = |of: &SplitFlow| {
            let mut stays = accepted();
            stays.push(format!("divided for {}", shortened(&of.runs)));
            let steps = [first(), FlowStep { stays, leaves: of.leaves() }];
            flow(&format!("Data flow: {}", of.runs.join(", ")), &steps, &of.ends(), caption)
        };
        self.splits.iter().map(of_split).collect()
    }
}

impl SplitFlow {
    fn leaves(&self) -> Vec<String> {
        if self.left_out.slices == 0 {
            return Vec::new();
        }
        let (slices, scans) = (self.left_out.slices as u64, self.left_out.scans as u64);
        vec![
            "Same patient as in validation".to_owned(),
            format!("{} in {}", counted(slices, "slice"), counted(scans, "scan")),
        ]
    }

    fn ends(&self) -> Vec<Vec<String>> {
        let of_subset = |subset: Subset| {
            let of = self.subsets.iter().filter(|count| count.subset == subset);
            let line = |count: &crate::evaluate::evaluation::SubsetCount| {
                let name = count.label.map_or("unlabelled".to_owned(), |label| label.to_string());
                let (slices, scans) = (thousands(count.slices as u64), counted(count.scans as u64, "scan"));
                format!("{name}: {slices} in {scans}")
            };
            let lines: Vec<String> = of.map(line).collect();
            (!lines.is_empty()).then(|| [vec![subset.to_string()], lines].concat())
        };
        Subset::ALL.into_iter().filter_map(of_subset).collect()
    }
}

/// What fits into a box.
fn shortened(runs: &[String]) -> String {
    match runs {
        [] => String::new(),
        [one] => one.clone(),
        [first, others @ ..] => format!("{first} and {} more", others.len()),
    }
}
