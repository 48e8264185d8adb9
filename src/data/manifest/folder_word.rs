//! What one folder's name says: a part of the data set, a class, masks, or what is not to be used.

use super::{Label, Set};

/// Words by which a folder is none of a part, whatever else its name says.
const OTHER_CONTENTS: [&str; 8] = ["label", "labels", "result", "results", "figure", "figures", "plot", "plots"];
/// Words by which the pictures in a folder are no slices.
const MASKS: [&str; 8] = ["mask", "masks", "labelstr", "labelsts", "labelsval", "groundtruth", "msks", "segs"];
/// The same, but around classes in the name of a whole data set: `Infection Segmentation Data`.
const SEGMENTATIONS: [&str; 4] = ["segmentation", "segmentations", "annotation", "annotations"];
/// The same as the last word, or the first one before another word: `rp_msk`, `seg-lungs`, but not `COVID-19-CT-Seg_20cases` or
/// `SEG_001`, which may be a patient's initials.
const MASKS_AT_ENDS: [&str; 2] = ["msk", "seg"];
/// The same as the whole name.
const GROUND_TRUTH: &str = "gt";
/// Words by which a folder is that of a whole data set, whatever else its name says.
const DATA_SET: [&str; 4] = ["data", "dataset", "database", "challenge"];
/// Names of a folder that holds the pictures of the class around it.
const IMAGES: [&str; 9] = ["images", "image", "imgs", "img", "pictures", "slices", "scans", "frames", "ct_images"];
/// Words by which what is in a folder is not to be used.
const LEFT_OUT: [&str; 7] = ["excluded", "exclude", "unused", "discarded", "discard", "trash", "derivatives"];
/// Radiographs in data sets named as BIDS has them: no CT.
const RADIOGRAPHS: &str = "mod-rx";

/// What a folder's name may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct FolderWord {
    /// The part, and whether the name says nothing else.
    pub(super) part: Option<(Set, bool)>,
    pub(super) label: Option<Label>,
    /// The label stands beside a number or another word: `COVID images`.
    pub(super) is_loose: bool,
    pub(super) is_masks: bool,
    /// It is masks only where no class and no part follow: `segmentation data`.
    pub(super) names_set_of_classes: bool,
    /// It is masks unless it lies around the whole data set: `COVID-CT-Seg`.
    names_set_around_all: bool,
    pub(super) is_left_out: bool,
    /// It says no more than that pictures lie in it.
    pub(super) is_of_images: bool,
}

impl FolderWord {
    pub(super) fn of(name: &str) -> Self {
        let words: Vec<&str> = name.split(['_', '-', ' ', '.']).filter(|word| !word.is_empty()).collect();
        let has =
            |others: &[&str]| words.iter().any(|word| others.iter().any(|other| word.eq_ignore_ascii_case(other)));
        let is_data_set = words.len() > 1
            && words.last().is_some_and(|last| DATA_SET.iter().any(|word| last.eq_ignore_ascii_case(word)));
        let is_at_end = |word: &str| MASKS_AT_ENDS.iter().any(|end| word.eq_ignore_ascii_case(end));
        let has_at_ends = match words[..] {
            [.., last] if is_at_end(last) => true,
            [first, next, ..] => is_at_end(first) && next.starts_with(|c: char| c.is_alphabetic()),
            _ => false,
        };
        let names_set = has(&SEGMENTATIONS) || has_at_ends;
        let is_always_masks = has(&MASKS) || name.eq_ignore_ascii_case(GROUND_TRUTH);
        let is_masks = is_always_masks || names_set;
        // `do not use`, `not for training`.
        let is_not_for = |pair: &[&str]| {
            pair[0].eq_ignore_ascii_case("not") && ["use", "for"].iter().any(|word| pair[1].eq_ignore_ascii_case(word))
        };
        let is_left_out = has(&LEFT_OUT)
            || words.windows(2).any(is_not_for)
            || name.eq_ignore_ascii_case(RADIOGRAPHS)
            || matches!(words[..], [only] if only.eq_ignore_ascii_case("bad"));
        let label = Label::read(name);
        let said = |word| Set::named(word).or(Set::named_with_number(word));
        // `covid_train` and `train_covid` say both.
        let (part, rest) = match words[..] {
            [only] => (said(only).map(|set| (set, Set::named(only).is_some())), ""),
            [first, .., last] if !is_masks && !has(&OTHER_CONTENTS) => match (said(first), said(last)) {
                (Some(set), _) => (Some((set, false)), name.get(first.len() + 1..).unwrap_or("")),
                (None, Some(set)) => (Some((set, false)), name.get(..name.len() - last.len() - 1).unwrap_or("")),
                (None, None) => (None, ""),
            },
            _ => (None, ""),
        };
        let label = label.or(Label::read(rest));
        Self {
            part,
            label: label.map(|(label, _)| label),
            is_loose: label.is_some_and(|(_, is_loose)| is_loose),
            is_masks,
            names_set_of_classes: names_set && !is_always_masks && is_data_set,
            names_set_around_all: names_set && !is_always_masks && words.len() > 1,
            is_left_out,
            is_of_images: IMAGES.iter().any(|word| name.eq_ignore_ascii_case(word)),
        }
    }

    /// The same of a folder below which others name these labels: one around both names none, and neither does `COVID images`
    /// around another class.
    pub(super) fn around(self, labels: [bool; 2]) -> Self {
        let names_none = labels == [true; 2] || self.is_loose && labels != [false; 2];
        Self { label: self.label.filter(|_| !names_none), ..self }
    }

    /// The same of a folder around all that is read, in which others name classes.
    pub(super) fn around_all(self) -> Self {
        Self { is_masks: self.is_masks && !self.names_set_around_all, ..self }
    }

    /// Whether what lies in it is not to be read.
    pub(super) fn is_closed(&self) -> bool {
        self.is_masks || self.is_left_out
    }

    /// Whether the class of what lies below may still be said there.
    pub(super) fn leaves_class_open(&self) -> bool {
        self.label.is_none() || self.is_loose
    }

    pub(super) fn says_part(self) -> bool {
        self.part.is_some()
    }
}

/// Whether a folder's name says a part of the data set: `Some(true)` where it says nothing else.
pub(crate) fn part_said(name: &str) -> Option<bool> {
    FolderWord::of(name).part.map(|(_, is_all)| is_all)
}

/// Whether a name says a part other than train, which is what scans in no part are.
pub(crate) fn says_other_part(name: &str) -> bool {
    FolderWord::of(name).part.is_some_and(|(set, _)| set != Set::Train)
}

/// Whether a folder's name says a class.
pub(crate) fn says_class(name: &str) -> bool {
    FolderWord::of(name).label.is_some()
}

/// Whether a file's name says that it is a mask.
pub(super) fn is_named_as_mask(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let stem = name.split('.').next().unwrap_or_default();
    let mut words = stem.rsplit(['_', '-', ' ']);
    let is_mask = |word: &str| {
        let of_folders = [&MASKS[..], &SEGMENTATIONS, &MASKS_AT_ENDS, &[GROUND_TRUTH]];
        of_folders.iter().any(|words| words.contains(&word)) || ["segm", "label", "labels", "lungmask"].contains(&word)
    };
    words.next().is_some_and(is_mask) && !words.next().is_some_and(|word| ["no", "without"].contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_masks_are_known_and_initials_and_data_sets_are_none() {
        for name in ["masks", "Lung_Mask", "rp_msk", "GT", "masks data"] {
            let word = FolderWord::of(name);
            assert!(word.is_masks && !word.names_set_of_classes, "{name}");
        }
        for name in ["seg-lungs-LUNA16", "covid_seg", "COVID-CT-Seg", "Infection Segmentation Data"] {
            let word = FolderWord::of(name);
            assert!(word.is_masks && !word.around_all().is_masks, "{name}");
        }
        for name in ["masks", "seg", "Segmentations", "masks data"] {
            assert!(FolderWord::of(name).around_all().is_masks, "{name}");
        }
        for name in ["GT_01", "SEG_001", "COVID-19-CT-Seg_20cases", "images", "segmented"] {
            assert!(!FolderWord::of(name).is_masks, "{name}");
        }
    }

    #[test]
    fn masks_are_known_by_the_last_word_of_their_names() {
        for name in [
            "train/covid/1/lung_mask.nii.gz",
            "x-seg.nrrd",
            "case_0_label.mha",
            "Mask.nii",
            "a_segmentation.nii.gz",
            "GT.nii",
        ] {
            assert!(is_named_as_mask(name), "{name}");
        }
        for name in [
            "ct.nii.gz",
            "masks/ct.nii",
            "patient1_no_seg.nii.gz",
            "ct_without_mask.nii",
            "case_label-1.nii",
            "segura.nii",
        ] {
            assert!(!is_named_as_mask(name), "{name}");
        }
    }
}
