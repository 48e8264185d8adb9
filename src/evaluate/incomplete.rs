//! Scans of which slices were left out, and why.

use crate::base::table::Table;
use crate::data::manifest::{Manifest, Scan};
use crate::evaluate::predict::Predictions;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A scan of which slices were left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IncompleteScan {
    /// Scan folder.
    pub scan: String,
    /// Number of slices that were judged; where there are none, the scan was not.
    pub judged: usize,
    /// Number of slices that were left out, by the reason: a check of the audit, or `without-lungs`.
    pub left_out: BTreeMap<String, usize>,
}

impl IncompleteScan {
    /// Those among the chosen scans of an audit's accepted slices, also the ones that have no slices.
    pub(crate) fn all(
        accepted: &Manifest,
        predictions: &Predictions,
        is_chosen: impl Fn(&Scan) -> bool,
    ) -> Vec<IncompleteScan> {
        let mut judged: BTreeMap<&str, usize> = BTreeMap::new();
        predictions.rows().iter().for_each(|row| *judged.entry(&row.scan).or_default() += 1);
        let scans = accepted.scans.iter().zip(accepted.slices_by_scan()).filter(|(scan, _)| is_chosen(scan));
        let incomplete = scans.map(|(scan, slices)| {
            let judged = judged.get(scan.folder.as_str()).copied().unwrap_or(0);
            let mut left_out = accepted.left_out.get(&scan.folder).cloned().unwrap_or_default();
            if slices.len() > judged {
                left_out.insert("without-lungs".to_owned(), slices.len() - judged);
            }
            IncompleteScan { scan: scan.folder.clone(), judged, left_out }
        });
        incomplete.filter(|scan| scan.judged == 0 || !scan.left_out.is_empty()).collect()
    }

    /// `2 black-slice, 1 truncated`, or that the scan has no slices.
    pub(crate) fn reasons(&self) -> String {
        if self.left_out.is_empty() { "no slices".to_owned() } else { reasons(&self.left_out) }
    }

    /// One row for each scan, of the first `most`; `None` where there are none.
    pub(crate) fn table(scans: &[IncompleteScan], most: usize) -> Option<Table> {
        if scans.is_empty() {
            return None;
        }
        let mut table = Table::new("Slices left out", &["Scan", "Slices judged", "Left out"]);
        scans.iter().take(most).for_each(|of| table.row([of.scan.clone(), of.judged.to_string(), of.reasons()]));
        Some(match scans.len() > most {
            true => table.note(format!("The first {most} of {} scans.", scans.len())),
            false => table,
        })
    }
}

/// `2 black-slice, 1 truncated`; `–` where nothing was left out.
pub(crate) fn reasons(left_out: &BTreeMap<String, usize>) -> String {
    match left_out.is_empty() {
        true => "–".to_owned(),
        false => left_out.iter().map(|(reason, count)| format!("{count} {reason}")).collect::<Vec<_>>().join(", "),
    }
}
