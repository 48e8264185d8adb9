//! Names of scans, pictures and folders that say another class or part than the one they have.

use super::label_table::LABELS;
use super::layout::{class_on_the_way, part_on_the_way, words_on_the_way};
use super::{Label, Manifest, Set};
use crate::base::progress::counted;

impl Manifest {
    /// Scans whose own name, or the names of half of their pictures and more, say the other class, or whose table of labels says
    /// another one than their folder: the scan's index, and what says so.
    pub(crate) fn contradicting_names(&self) -> Vec<(usize, String)> {
        let mut found = self.named_otherwise();
        if self.tables.as_ref().is_some_and(|tables| tables.labels.is_some()) {
            found.extend(self.in_other_folders());
        }
        found
    }

    /// Scans that lie in a folder of the other class; and, once for each, parts of the data set that a table moves scans out of, into
    /// what is learned from.
    fn in_other_folders(&self) -> Vec<(usize, String)> {
        let words = words_on_the_way(self.scans.iter().map(|scan| scan.folder.as_str()));
        let other_class = |index: usize| {
            let (label, said) = (self.scans[index].label?, class_on_the_way(&words[index])?);
            (label != said).then(|| (index, format!("in a folder of {said}, and {label} by {LABELS}")))
        };
        let moved = |(from, to): (Set, Set)| {
            let said = |index: &usize| part_on_the_way(&words[*index]).filter(|(_, set)| *set == from);
            let is_moved = |index: &usize| self.scans[*index].set == to && said(index).is_some();
            let scans: Vec<usize> = (0..self.scans.len()).filter(is_moved).collect();
            let first = *scans.first()?;
            let folder = self.scans[first].folder.split('/').nth(said(&first)?.0)?;
            let others = match scans.len() - 1 {
                0 => String::new(),
                others => format!("; {} more", counted(others as u64, "scan")),
            };
            let why = format!("{LABELS} says so, or labels it and says no set");
            Some((first, format!("below “{folder}”, and used as {to}: {why}{others}")))
        };
        let into_what_is_learned = [(Set::Val, Set::Train), (Set::Prediction, Set::Train), (Set::Prediction, Set::Val)];
        (0..self.scans.len())
            .filter_map(other_class)
            .chain(into_what_is_learned.into_iter().filter_map(moved))
            .collect()
    }

    fn named_otherwise(&self) -> Vec<(usize, String)> {
        let slices = self.slices_by_scan();
        let contradicts = |(index, slices): (usize, &Vec<usize>)| {
            let scan = &self.scans[index];
            let label = scan.label?;
            let says_other = |name: &str| said_by(name).is_some_and(|said| said != label);
            if says_other(scan.id()) {
                return Some((index, format!("named {}, and labelled {label}", scan.id())));
            }
            let pictures = || slices.iter().map(|slice| self.slices[*slice].file.as_str());
            let others: Vec<&str> = pictures().filter(|name| says_other(name)).collect();
            let first = others.first().filter(|_| 2 * others.len() >= slices.len())?;
            Some((
                index,
                format!("{} of {} pictures, {first} the first, and labelled {label}", others.len(), slices.len()),
            ))
        };
        slices.iter().enumerate().filter_map(contradicts).collect()
    }
}

/// The class that a name says before its first number: `Covid (3).png`, `NCP_96_1328_0005.png`.
fn said_by(name: &str) -> Option<Label> {
    let before = name.split(|c: char| c.is_ascii_digit()).next()?;
    let word = before.trim_matches([' ', '_', '-', '(', '.', '=']);
    // `pos_-35` is a position, `control 2` a second examination.
    let means_others =
        ["pos", "posi", "neg", "control", "controls"].iter().any(|other| word.eq_ignore_ascii_case(other));
    Label::named(word).filter(|_| !means_others)
}

#[cfg(test)]
mod tests {
    use super::super::Slice;
    use super::*;

    #[test]
    fn names_of_the_other_class_are_seen() {
        let folders = ["train/covid/Normal_7", "train/covid/ct_scan_1", "train/covid/ct_scan_2", "val/non-covid/1"];
        let files = ["0.jpg", "Normal (1).png", "Normal (2).png", "NCP_96_1328_0005.png", "NCP_96_1328_0006.png"];
        let of_scan = [0, 1, 1, 2, 2];
        let mut slices: Vec<Slice> =
            of_scan.into_iter().zip(files).map(|(scan, file)| Slice::of_bytes(scan, file.to_owned(), b"")).collect();
        slices.push(Slice::of_bytes(3, "Normal-3.png".to_owned(), b""));
        assert_eq!(["pos_-35.png", "control_2.png", "Covid (1).png"].map(said_by), [None, None, Some(Label::Covid)]);
        let manifest = Manifest::of_folders("names", folders.map(str::to_owned).to_vec(), slices);
        let found = manifest.contradicting_names();
        let expected = [
            (0, "named Normal_7, and labelled covid".to_owned()),
            (1, "2 of 2 pictures, Normal (1).png the first, and labelled covid".to_owned()),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_table_that_contradicts_folders_is_seen() {
        let folders = ["test/1", "train/covid/1", "train/covid/2", "train/non-covid/3", "val/covid/4", "val/covid/5"];
        let mut manifest = Manifest::of_folders("names", folders.map(str::to_owned).to_vec(), Vec::new());
        let (covid, non) = (Some(Label::Covid), Some(Label::NonCovid));
        let said = [(Set::Train, non), (Set::Train, covid), (Set::Train, non), (Set::Val, non)];
        for (scan, (set, label)) in manifest.scans.iter_mut().zip(said.into_iter().chain([(Set::Train, covid); 2])) {
            (scan.set, scan.label) = (set, label);
        }
        assert_eq!(manifest.contradicting_names(), [], "no table");
        manifest.tables.get_or_insert_default().labels = Some(crate::base::files::Digest::of(b""));
        let used = "and used as train: labels.csv says so, or labels it and says no set";
        let expected = [
            (2, "in a folder of covid, and non-covid by labels.csv".to_owned()),
            (4, format!("below “val”, {used}; 1 scan more")),
            (0, format!("below “test”, {used}")),
        ];
        assert_eq!(manifest.contradicting_names(), expected);
    }
}
