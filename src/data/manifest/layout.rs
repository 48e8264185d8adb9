//! What the names of folders say: the part of the data set, and the class.

use super::degree_folders::{DEGREES, label_degrees, label_of_degree};
use super::folder_word::FolderWord;
use super::{Label, Scan, Set};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// What a data set's folders should be, for messages.
pub(super) const EXPECTED: &str = "train/{covid,non-covid}/SCAN/, val/{covid,non-covid}/SCAN/ and prediction/SCAN/ with pictures \
                                   or scanners' files (training, validation, test, positive, negative, normal and the like \
                                   are understood, and folders around or between them), or a labels.csv, which \
                                   `covid-ct labels FOLDER` writes to be filled in; pictures of several scans in one folder are \
                                   told apart by a row each in it, with the columns path, scan and label";

/// A folder whose scans have one set and label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappedFolder {
    /// Under the root.
    pub folder: String,
    /// The part of the data set that its name says.
    pub set: Set,
    /// The label that it says; `None` in the prediction set.
    pub label: Option<Label>,
    /// Which names said so.
    pub why: String,
}

impl MappedFolder {
    /// Whether it is one of the slides' layout.
    pub(super) fn is_as_delivered(&self) -> bool {
        match self.label {
            Some(label) => self.folder == format!("{}/{label}", self.set),
            None => self.folder == self.set.folder(),
        }
    }
}

/// Why a folder's scans have no set and label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unclear {
    /// No part and no class on the path.
    NoWord,
    /// A part that has classes, and none of them.
    NoClass,
    /// Both classes.
    BothClasses,
    /// A folder on the path that is not to be used.
    LeftOut,
    /// A folder on the path whose pictures are no slices.
    Masks,
    /// In a folder that is a scan itself.
    InAScan,
}

impl Unclear {
    /// What was found, and what is expected.
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::NoWord => {
                "no folder on the way is named as a part or a class; expected a part (train, val, test) and a class (covid, \
                 non-covid) above the scans, or a labels.csv"
            }
            Self::NoClass => {
                "no folder on the way is named as a class; expected covid or non-covid (positive, negative, normal) above the \
                 scans, or a labels.csv"
            }
            Self::BothClasses => "the folders on the way name both classes; expected one of them",
            Self::Masks => {
                "a folder on the way is named as one of masks, segmentations or annotations; expected another name where it \
                 holds slices"
            }
            Self::LeftOut => "a folder on the way is named as not to be used; rename it if it is",
            Self::InAScan => "the folder lies in a scan's; expected the slices of one scan in one folder",
        }
    }
}

/// What the folders on the way to one say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FolderPlace {
    /// How many of them say it: the scans lie below.
    pub(super) anchor: usize,
    pub(super) set: Set,
    pub(super) label: Option<Label>,
    /// The folders that say the part and the class.
    part: Option<usize>,
    pub(super) class: Option<usize>,
}

impl FolderPlace {
    /// By the words of the folders on the way, from the first under the root on.
    ///
    /// # Errors
    /// Why they do not say it.
    pub(super) fn of(words: &[FolderWord]) -> Result<Self, Unclear> {
        let says = |word: &FolderWord| word.label.is_some() || word.says_part();
        let is_masks = |(at, word): (usize, &FolderWord)| {
            word.is_masks && !(word.names_set_of_classes && words[at + 1..].iter().any(says))
        };
        if words.iter().enumerate().any(is_masks) {
            return Err(Unclear::Masks);
        }
        if words.iter().any(|word| word.is_left_out) {
            return Err(Unclear::LeftOut);
        }
        let parts = || words.iter().enumerate().filter_map(|(at, word)| Some((at, word.part?)));
        // Below a class, `control scan` and `2_control` are names of scans.
        let first = words.iter().position(|word| word.label.is_some());
        let is_class = move |(at, word): &(usize, &FolderWord)| !word.is_loose || first == Some(*at);
        let classes = || words.iter().enumerate().filter(is_class).filter_map(|(at, word)| Some((at, word.label?)));
        let last_class = classes().next_back().map(|(at, _)| at);
        // The deepest part above a class; `covid/train` is the other way round.
        let above = parts().rfind(|(at, _)| last_class.is_some_and(|class| *at <= class));
        let first_class = |from: usize| classes().find(|(at, _)| *at >= from);
        let after = above.and_then(|(at, _)| first_class(at + 1).or_else(|| first_class(at)));
        let Some(class) = after.or_else(|| first_class(0)) else {
            return Self::without_class(parts().map(|(at, (set, whole))| (at, set, whole)));
        };
        if classes().any(|(at, label)| at > class.0 && label != class.1) {
            return Err(Unclear::BothClasses);
        }
        let below = parts().find(|(at, (_, whole))| *at > class.0 && *whole).filter(|_| above.is_none());
        let part = above.or(below);
        let set = part.map_or(Set::Train, |(_, (set, _))| set);
        let anchor = 1 + part.map_or(class.0, |(at, _)| at.max(class.0));
        Ok(Self {
            // `covid/images` beside `covid/masks` is the class's own folder.
            anchor: anchor + usize::from(words.get(anchor).is_some_and(|word| word.is_of_images)),
            set,
            label: Some(class.1).filter(|_| set != Set::Prediction),
            part: part.map(|(at, _)| at),
            class: Some(class.0),
        })
    }

    fn without_class(mut parts: impl Iterator<Item = (usize, Set, bool)>) -> Result<Self, Unclear> {
        let Some((at, set, _)) = parts.next() else { return Err(Unclear::NoWord) };
        let here = |at| Self { anchor: at + 1, set: Set::Prediction, label: None, part: Some(at), class: None };
        if set == Set::Prediction {
            return Ok(here(at));
        }
        parts.find(|(_, set, whole)| *set == Set::Prediction && *whole).map(|(at, ..)| here(at)).ok_or(Unclear::NoClass)
    }

    /// A set to predict whose folders name classes.
    pub(super) fn is_labelled_test(&self) -> bool {
        self.set == Set::Prediction && self.class.is_some()
    }

    /// The folder that says it, and how.
    pub(super) fn mapped(&self, folders: &[&str]) -> MappedFolder {
        let degrees = |name| if label_of_degree(name).is_some() { format!(" ({DEGREES})") } else { String::new() };
        let class = self.class.map(|at| format!("“{}” is the class{}", folders[at], degrees(folders[at])));
        let why = match (self.part.map(|at| folders[at]), class) {
            (Some(part), Some(_)) if self.is_labelled_test() => {
                format!("“{part}” is a test set: predicted, the labels of its folders are not used")
            }
            (Some(part), Some(class)) => format!("“{part}” is the part, {class}"),
            (Some(part), None) => format!("“{part}” is to be predicted"),
            (None, class) => {
                format!(
                    "{}, no folder names a part: train, from which the test set is drawn",
                    class.unwrap_or_default()
                )
            }
        };
        MappedFolder { folder: folders.join("/"), set: self.set, label: self.label, why }
    }
}

/// What the folders on the way to each of these say, as the audit reads them.
pub(super) fn words_on_the_way<'a>(folders: impl Iterator<Item = &'a str>) -> Vec<Vec<FolderWord>> {
    let ways: Vec<Vec<&str>> = folders.map(|folder| folder.split('/').collect()).collect();
    let mut below: HashMap<&[&str], [bool; 2]> = HashMap::new();
    for way in &ways {
        for (depth, name) in way.iter().enumerate() {
            let Some(label) = Label::named(name) else { continue };
            (0..depth).for_each(|above| below.entry(&way[..=above]).or_default()[label.index()] = true);
        }
    }
    let word = |way: &[&str], depth: usize| {
        FolderWord::of(way[depth]).around(below.get(&way[..=depth]).copied().unwrap_or_default())
    };
    let mut words: Vec<Vec<FolderWord>> =
        ways.iter().map(|way| (0..way.len()).map(|depth| word(way, depth)).collect()).collect();
    let is_around_all =
        |depth: usize| ways.iter().all(|way| way.len() > depth + 1 && way[..=depth] == ways[0][..=depth]);
    for depth in (0..).take_while(|depth| !ways.is_empty() && is_around_all(*depth)) {
        if words.iter().any(|words| words[depth + 1..].iter().any(|word| word.label.is_some())) {
            words.iter_mut().for_each(|words| words[depth] = words[depth].around_all());
        }
    }
    label_degrees(&ways, &mut words);
    words
}

/// The folder above a scan that says a part, by its place among these words on the way to the scan, and which part.
pub(super) fn part_on_the_way(words: &[FolderWord]) -> Option<(usize, Set)> {
    if let Ok(FolderPlace { part: Some(at), set, class: Some(_), .. }) = FolderPlace::of(words) {
        return (at + 1 < words.len()).then_some((at, set));
    }
    // Without a class only a name that says nothing else.
    let (_, above) = words.split_last()?;
    let whole = |(at, word): (usize, &FolderWord)| word.part.filter(|(_, is_all)| *is_all).map(|(set, _)| (at, set));
    above.iter().enumerate().rev().find_map(whole)
}

/// The class that a folder above a scan says.
pub(super) fn class_on_the_way(words: &[FolderWord]) -> Option<Label> {
    let class = FolderPlace::of(words).ok()?.class?;
    words[..words.len() - 1].get(class)?.label
}

/// Whether a folder with these words on the way may be a scan's: not a class's or a part's own, and not one of masks.
pub(super) fn may_be_a_scan(words: &[FolderWord]) -> bool {
    let is_other = |word: &FolderWord| word.says_part() || word.is_closed();
    !lies_in_class(words) && !words.last().is_none_or(is_other)
}

/// Whether a folder with these words on the way is a class's own, whose pictures are many patients'.
pub(super) fn lies_in_class(words: &[FolderWord]) -> bool {
    FolderPlace::of(words).is_ok_and(|place| place.class.is_some() && place.anchor == words.len())
}

/// The places of folders that have one.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) places: HashMap<String, Option<FolderPlace>>,
    /// In the order in which they were found.
    pub(super) mapped: Vec<MappedFolder>,
}

impl Layout {
    /// The place of a folder, or of the nearest known one above it.
    fn place(&self, mut path: &str) -> Option<FolderPlace> {
        loop {
            match self.places.get(path) {
                Some(place) => return *place,
                None => path = path.rsplit_once('/')?.0,
            }
        }
    }

    /// Whether a folder on the way to this one is named as a part.
    pub(super) fn says_part(&self, folder: &str) -> bool {
        self.places.get(folder).is_some_and(|place| place.is_some_and(|place| place.part.is_some()))
    }

    /// The folder within which a file's series may lie.
    pub(super) fn group_of(&self, file: &str) -> Option<String> {
        let (folder, _) = file.rsplit_once('/')?;
        let place = self.place(folder)?;
        Some(folder.split('/').take(place.anchor).collect::<Vec<_>>().join("/"))
    }

    /// Gives a scan the set and label of its place; whether they change.
    pub(super) fn set_on(&self, scan: &mut Scan) -> bool {
        let Some(place) = self.place(&scan.folder) else { return false };
        let before = (scan.set, scan.label);
        (scan.set, scan.label) = (place.set, place.label);
        before != (scan.set, scan.label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str) -> Result<(Set, Option<Label>, usize), Unclear> {
        let words: Vec<FolderWord> = path.split('/').map(FolderWord::of).collect();
        FolderPlace::of(&words).map(|place| (place.set, place.label, place.anchor))
    }

    #[test]
    fn parts_and_classes_are_found_on_the_way() {
        let (covid, non) = (Some(Label::Covid), Some(Label::NonCovid));
        for (path, expected) in [
            ("train/covid/ct_scan_1", (Set::Train, covid, 2)),
            ("train_cov19d/non-covid/ct_scan_1", (Set::Train, non, 2)),
            ("validation_cov19d/Covid/x", (Set::Val, covid, 2)),
            ("valid/positive/x", (Set::Val, covid, 2)),
            ("Data set/Training/site 1/NORMAL/P1/x", (Set::Train, non, 4)),
            ("covid/train/x", (Set::Train, covid, 2)),
            ("val_non-covid/x", (Set::Val, non, 1)),
            ("covid_train/x", (Set::Train, covid, 1)),
            ("covid/x", (Set::Train, covid, 1)),
            ("covid/test_3", (Set::Train, covid, 1)),
            ("covid/val/non-covid/x", (Set::Val, non, 3)),
            ("train/covid/test_3", (Set::Train, covid, 2)),
            ("test/train/covid/x", (Set::Train, covid, 3)),
            ("test_cov19d/0a4e7be0", (Set::Prediction, None, 1)),
            ("test/covid/x", (Set::Prediction, None, 2)),
            ("train_data/test/x", (Set::Prediction, None, 2)),
            ("covid/P3/control scan", (Set::Train, covid, 1)),
            ("testset/covid/x", (Set::Prediction, None, 2)),
            ("test1/covid/x", (Set::Prediction, None, 2)),
            ("covid/test1", (Set::Train, covid, 1)),
            ("1_train/1_covid/x", (Set::Train, covid, 2)),
            ("Training/COVID-19 (positive)/x", (Set::Train, covid, 2)),
            ("train/covid_scans/ct_scan_1", (Set::Train, covid, 2)),
            ("imagesTr/covid/x", (Set::Train, covid, 2)),
            ("train_not_covid/x", (Set::Train, non, 1)),
            ("Bad Aibling/covid/x", (Set::Train, covid, 2)),
            ("imagesTs/covid/x", (Set::Prediction, None, 2)),
            ("Infection Segmentation Data/Train/COVID-19/images", (Set::Train, covid, 4)),
            ("covid/P1/images", (Set::Train, covid, 1)),
        ] {
            assert_eq!(place(path), Ok(expected), "{path}");
        }
    }

    #[test]
    fn what_names_do_not_say_is_not_guessed() {
        for (path, why) in [
            ("images/ct_scan_1", Unclear::NoWord),
            ("COVID-CT-Dataset/x", Unclear::NoWord),
            ("train/ct_scan_1", Unclear::NoClass),
            ("train/covid_pneumonia/ct_scan_1", Unclear::NoClass),
            ("val/pneumonia/test_1", Unclear::NoClass),
            ("test_results/x", Unclear::NoWord),
            ("train/covid/normal/x", Unclear::BothClasses),
            ("train_masks/covid/x", Unclear::Masks),
            ("train/covid/masks", Unclear::Masks),
            ("labelsTr/covid/x", Unclear::Masks),
            ("excluded/covid/x", Unclear::LeftOut),
            ("covid/do not use/x", Unclear::LeftOut),
            ("bad/covid/x", Unclear::LeftOut),
        ] {
            assert_eq!(place(path), Err(why), "{path}");
        }
    }
}
