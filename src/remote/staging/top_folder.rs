//! The folder around everything in an archive, which is left away where a data set lies in it.

use crate::data::manifest::part_said;

/// How many folders around a data set are left away.
const DEEPEST: usize = 4;
/// What macOS adds beside the folder.
const ADDED: [&str; 2] = ["__MACOSX", ".DS_Store"];

/// What the names of an archive have in common.
#[derive(Default)]
pub(super) struct TopFolder {
    /// The folders above the first name.
    first: Option<Vec<String>>,
    /// How many of them are above all names.
    shared: usize,
    /// What the folders of all names, below that many others, say at most of a part of a data set: that they are one
    /// (`train` and other words for it), or that and more (`train_cov19d`).
    said: [Option<bool>; DEEPEST + 1],
}

impl TopFolder {
    pub(super) fn add(&mut self, name: &str) {
        let (above, leaf) = name.rsplit_once('/').unwrap_or(("", name));
        let folders: Vec<&str> = above.split('/').filter(|part| !part.is_empty()).take(DEEPEST + 1).collect();
        if ADDED.iter().any(|added| folders.first().unwrap_or(&leaf) == added) {
            return;
        }
        for (depth, folder) in folders.iter().enumerate() {
            self.said[depth] = self.said[depth].max(part_said(folder));
        }
        match &self.first {
            None => {
                self.shared = folders.len();
                self.first = Some(folders.into_iter().map(str::to_owned).collect());
            }
            Some(first) => {
                let shared = first.iter().zip(&folders).take_while(|(one, other)| one == *other).count();
                self.shared = self.shared.min(shared);
            }
        }
    }

    /// The folders around all that hold a data set; ends in `/`, or is empty.
    pub(super) fn left_away(&self) -> String {
        let mut depths = 0..=self.shared.min(DEEPEST);
        // A folder around all may be called `test data`.
        let is_part = depths.clone().find(|depth| self.said[*depth] == Some(true));
        let depth = is_part.or_else(|| depths.find(|depth| self.said[*depth].is_some())).unwrap_or(0);
        self.first.iter().flatten().take(depth).map(|folder| format!("{folder}/")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_away(names: &[&str]) -> String {
        let mut top = TopFolder::default();
        names.iter().for_each(|name| top.add(name));
        top.left_away()
    }

    #[test]
    fn only_folders_around_a_whole_data_set_are_left_away() {
        let (covid, val) = ("COV19/train/covid/ct_scan_0/0.jpg", "COV19/val/covid/ct_scan_0/0.jpg");
        assert_eq!(left_away(&["COV19/", covid, "COV19/readme.txt", val]), "COV19/");
        assert_eq!(left_away(&[covid]), "COV19/");
        assert_eq!(left_away(&["a/b/train/1.jpg", "__MACOSX/a/b/train/._1.jpg", ".DS_Store", "a/b/x"]), "a/b/");
        // Other words for the parts, and names that say more.
        assert_eq!(left_away(&["COV19/Validation/0.jpg", "COV19/training/0.jpg"]), "COV19/");
        assert_eq!(left_away(&["COV19/train_cov19d/0.jpg", "COV19/validation_cov19d/0.jpg"]), "COV19/");
        assert_eq!(left_away(&["test data/train/0.jpg", "test data/val/0.jpg"]), "test data/");
        // Nothing is around these, or no data set in it.
        for names in [
            &["train/covid/ct_scan_0/0.jpg"][..],
            &["train/", "val/"],
            &[covid, "other/notes.txt"],
            &[covid, "readme.txt"],
            &["ct_scan_0/0.jpg", "ct_scan_0/1.jpg"],
            &["a/b/c/d/e/train/1.jpg"],
            &["train/train/1.jpg"],
            &[],
        ] {
            assert_eq!(left_away(names), "", "{names:?}");
        }
    }
}
