//! The slides' table of scans and slices.

use super::{Label, Manifest, Set, Slice};
use crate::base::progress::{human_bytes, thousands};
use crate::base::table::Table;

impl Manifest {
    /// Counts for one row of the slides' table: scans that hold a numbered slice, and numbered slices.
    pub fn counts(&self, set: Set, label: Option<Label>) -> (usize, usize) {
        let mut slices = vec![0_usize; self.scans.len()];
        for slice in self.slices.iter().filter(|s| s.number.is_some()) {
            slices[slice.scan] += 1;
        }
        let chosen = || self.scans.iter().zip(&slices).filter(|(s, n)| (s.set, s.label) == (set, label) && **n > 0);
        (chosen().count(), chosen().map(|(_, n)| n).sum())
    }

    /// The slides' table: Set, Class, Number of Patients (which counts scans), Number of slices, Average number of slices.
    pub fn table(&self) -> Table {
        let mut table = Table::new(
            format!("The analysis of the dataset: {}", self.name),
            &["Set", "Class", "Number of Patients (scans)", "Number of slices", "Average number of slices"],
        );
        let labelled = [Set::Train, Set::Val].into_iter().flat_map(|set| Label::ALL.map(|label| (set, Some(label))));
        for (set, label) in labelled.chain([(Set::Prediction, None)]) {
            let (scans, slices) = self.counts(set, label);
            if scans > 0 {
                let average = format!("{:.0}", slices as f64 / scans as f64);
                let label = label.map_or("–".to_owned(), |l| l.to_string());
                table.row([set.to_string(), label, thousands(scans as u64), thousands(slices as u64), average]);
            }
        }
        // Slices of one volume are listed one after the other.
        let is_first = |(index, slice): &(usize, &Slice)| {
            let before = index.checked_sub(1).map(|before| &self.slices[before]);
            slice.frame.is_none() || before.is_none_or(|before| before.scan != slice.scan || before.at != slice.at)
        };
        let files: Vec<u64> = self.slices.iter().enumerate().filter(is_first).map(|(_, slice)| slice.bytes).collect();
        table.note(format!(
            "{} files, {}. {} Manifest {}.",
            thousands(files.len() as u64),
            human_bytes(files.iter().sum()),
            self.who_is_a_patient(),
            self.hash().short()
        ))
    }
}
