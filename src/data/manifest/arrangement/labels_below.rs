//! What lies below each folder, and the labels that are said there.

use super::Arrangement;
use crate::data::foreign::ends_as_volume;
use crate::data::manifest::Label;
use crate::data::manifest::degree_folders::{FoldersBeside, label_of_degree, say_degrees};
use crate::data::manifest::folder_tree::is_hidden;
use crate::data::manifest::new_scans::is_picture;
use crate::data::manifest::scanner_files::is_named_as_scanners;

impl Arrangement<'_> {
    /// The folders in one, hidden ones left out.
    fn folders_in(&self, at: usize) -> Vec<usize> {
        let folders = self.folders[at].folders.iter().filter(|(name, _)| !is_hidden(name));
        folders.map(|(_, folder)| *folder).collect()
    }

    /// How many pictures and possible slices lie below each folder.
    pub(super) fn count(&mut self, at: usize, is_scanners: &dyn Fn(&str) -> bool) {
        let of = &self.folders[at];
        let names = || of.files.iter().map(|file| self.name(*file));
        let pictures = names().filter(|name| is_picture(name)).count();
        let mut own = pictures + names().filter(|name| is_named_as_scanners(name)).count();
        if own == 0 && of.files.iter().take(3).any(|file| is_scanners(self.files[*file])) {
            own = of.files.len();
        }
        let mut counts = [pictures, own];
        for folder in self.folders_in(at) {
            self.count(folder, is_scanners);
            let below = &self.folders[folder];
            counts = [counts[0] + below.pictures, counts[1] + below.slices];
        }
        let of = &mut self.folders[at];
        (of.pictures, of.slices, of.own_slices) = (counts[0], counts[1], own);
    }

    /// Gives folders that are named for degrees of a pneumonia their label.
    pub(super) fn label_degrees(&mut self) {
        let (mut beside, mut rest) = (Vec::new(), vec![0]);
        while let Some(at) = rest.pop() {
            let mut folders = self.folders_in(at);
            folders.retain(|folder| self.folders[*folder].slices > 0 && !self.folders[*folder].word.is_closed());
            let open = folders.iter().filter(|folder| self.folders[**folder].word.leaves_class_open());
            rest.extend(open);
            beside.push((at, folders));
        }
        let of = |(at, folders): &(usize, Vec<usize>)| FoldersBeside {
            names: folders.iter().map(|folder| self.folders[*folder].name).collect(),
            in_part: self.folders[*at].word.says_part(),
            all_are_scans: folders.iter().all(|folder| self.is_one_scan(*folder)),
        };
        let say = say_degrees(&beside.iter().map(of).collect::<Vec<_>>());
        for ((_, folders), _) in beside.into_iter().zip(say).filter(|(_, say)| *say) {
            for folder in folders {
                self.folders[folder].word.label = label_of_degree(self.folders[folder].name);
            }
        }
    }

    /// Whether a folder holds slices of one scan, and not several volumes.
    fn is_one_scan(&self, at: usize) -> bool {
        let of = &self.folders[at];
        let volumes = of.files.iter().filter(|file| ends_as_volume(self.name(**file))).count();
        of.own_slices > volumes || volumes == 1 && of.slices == 1
    }

    /// The labels that folders below each one say, and which of its own it keeps.
    pub(super) fn take_labels(&mut self, at: usize) {
        let (mut labels, mut of_slices) = ([false; 2], [false; 2]);
        for folder in self.folders_in(at) {
            self.take_labels(folder);
            let below = &self.folders[folder];
            let named = Label::ALL.map(|label| below.labels_below[label.index()] || below.word.label == Some(label));
            labels = [labels[0] || named[0], labels[1] || named[1]];
            // `sars-cov-2` with tables alone says nothing of what is around it.
            let says = |label: usize| of_slices[label] || named[label] && below.slices > 0;
            of_slices = [says(0), says(1)];
        }
        let of = &mut self.folders[at];
        of.labels_below = labels;
        of.word = of.word.around(of_slices);
    }

    /// A folder that lies around all slices and has classes in it is the data set's, also where its name would say masks.
    pub(super) fn open_folders_around_all(&mut self) {
        let mut at = 0;
        loop {
            let folders = self.folders_in(at).into_iter().filter(|folder| self.folders[*folder].slices > 0);
            let [only] = folders.collect::<Vec<_>>()[..] else { return };
            let of = &mut self.folders[only];
            if of.own_slices > 0 || of.labels_below == [false; 2] {
                return;
            }
            of.word = of.word.around_all();
            at = only;
        }
    }
}
