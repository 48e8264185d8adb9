//! Labels of scans, and the parts of the data set.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Words for a label, in lower case and without what separates their parts; several may follow each other.
const POSITIVE: [&str; 10] =
    ["covid19", "covid2019", "covid", "sarscov2", "coronavirus", "ncp", "positive", "posi", "pos", "infected"];
/// The same; the longer ones first, where one begins as another does.
const NEGATIVE: [&str; 24] = [
    "covid19negative",
    "covid19neg",
    "negativecovid19",
    "noncovid19",
    "nocovid19",
    "notcovid19",
    "covidnegative",
    "covidneg",
    "negativecovid",
    "noncovid",
    "nocovid",
    "notcovid",
    "noninfected",
    "uninfected",
    "notinfected",
    "negative",
    "neg",
    "normals",
    "normal",
    "healthy",
    "controls",
    "control",
    "nofindings",
    "nofinding",
];
/// Words that say nothing of a label, before or after it.
const BESIDE: [&str; 28] = [
    "images",
    "image",
    "imgs",
    "img",
    "pictures",
    "slices",
    "slice",
    "scans",
    "scan",
    "cases",
    "case",
    "patients",
    "patient",
    "subjects",
    "subject",
    "persons",
    "people",
    "groups",
    "group",
    "class",
    "cts",
    "ct",
    "lungs",
    "lung",
    "chest",
    "individuals",
    "volunteers",
    "participants",
];
/// Words for the parts of a data set, in lower case.
const PARTS: [(&str, Set); 24] = [
    ("train", Set::Train),
    ("imagestr", Set::Train),
    ("training", Set::Train),
    ("trainset", Set::Train),
    ("trainingset", Set::Train),
    ("val", Set::Val),
    ("imagesval", Set::Val),
    ("valid", Set::Val),
    ("validation", Set::Val),
    ("valset", Set::Val),
    ("validationset", Set::Val),
    ("dev", Set::Val),
    ("devset", Set::Val),
    ("prediction", Set::Prediction),
    ("predictions", Set::Prediction),
    ("predict", Set::Prediction),
    ("unlabelled", Set::Prediction),
    ("unlabeled", Set::Prediction),
    ("test", Set::Prediction),
    ("imagests", Set::Prediction),
    ("tst", Set::Prediction),
    ("testing", Set::Prediction),
    ("testset", Set::Prediction),
    ("holdout", Set::Prediction),
];

/// The label of a scan in the data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Label {
    /// COVID-19; class index 0.
    Covid,
    /// No COVID-19; class index 1.
    NonCovid,
}

impl Label {
    /// Both, in the order of their class index.
    pub const ALL: [Self; 2] = [Self::Covid, Self::NonCovid];
    /// Their names, in the same order.
    pub const NAMES: [&'static str; 2] = ["covid", "non-covid"];

    /// The label that a word stands for in names of folders and in tables: in any case of letters, with `-`, `_`, blanks,
    /// brackets or nothing between its parts, which may be several that say the same; after a number of one or two digits
    /// (`2COVID`); and beside words such as `scans` and `patients`.
    pub(super) fn named(word: &str) -> Option<Self> {
        Self::read(word).map(|(label, _)| label)
    }

    /// The same, and whether the word has a number or another word beside the label: then it may be a scan's or a study's name.
    pub(super) fn read(word: &str) -> Option<(Self, bool)> {
        let word = word.trim().to_lowercase();
        // `COVID-` is said for its absence, `COVID+` for its presence.
        let is_minus = |(at, _): (usize, &str)| !word[at + 1..].starts_with(|c: char| c.is_ascii_alphanumeric());
        if word.match_indices('-').any(is_minus) {
            return None;
        }
        let number = word.chars().take_while(char::is_ascii_digit).count();
        let rest = &word[number..];
        let is_separate = |c: char| c.is_alphabetic() || ['_', '-', ' ', '.'].contains(&c);
        let is_numbered = (1..=2).contains(&number) && rest.starts_with(is_separate);
        let rest = if is_numbered { rest } else { &word };
        let letters: String = rest.chars().filter(|c| !"-_ ()[]+.".contains(*c)).collect();
        let (label, has_others) = said_by(letters.strip_prefix("ct").unwrap_or(&letters))?;
        Some((label, is_numbered || has_others))
    }

    /// 0 for covid, 1 for non-covid: the network's output of that index.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// The label that all words of a name say, of which nothing else may be left, and whether words stand beside it.
fn said_by(name: &str) -> Option<(Label, bool)> {
    said_on(name, None, false)
}

/// The same of the rest of a name, behind words that say `said`. `normalscans` is both `normals` and `cans`, which says nothing, and
/// `normal` and `scans`.
fn said_on(rest: &str, said: Option<Label>, is_behind: bool) -> Option<(Label, bool)> {
    if rest.is_empty() {
        return said.map(|label| (label, false));
    }
    let words = |words: &'static [&'static str], label| words.iter().map(move |word| (*word, label));
    // `negative` before `neg`, and `noncovid` before what is in it.
    let all = words(&NEGATIVE, Some(Label::NonCovid)).chain(words(&POSITIVE, Some(Label::Covid)));
    all.chain(words(&BESIDE, None)).find_map(|(word, label)| {
        let left = rest.strip_prefix(word)?;
        // Cases and controls are a study; healthy controls are none.
        let is_study = word.starts_with("control") && is_behind && said != Some(Label::NonCovid);
        let contradicts = label.is_some() && said.is_some() && label != said;
        let (label, has_others) = said_on(left, said.or(label), true).filter(|_| !is_study && !contradicts)?;
        Some((label, has_others || BESIDE.contains(&word)))
    })
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(Self::NAMES[self.index()])
    }
}

/// The part of the data base a folder belongs to, as delivered; see [`Subset`](crate::Subset) for what a split makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Set {
    /// `train/`
    Train,
    /// `val/`
    Val,
    /// `prediction/`: no labels.
    Prediction,
}

impl Set {
    /// All three, in the order of the tables.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Prediction];

    /// The part that a word stands for, in any case of letters. A test set is one to predict: nothing may be chosen by it.
    pub(super) fn named(word: &str) -> Option<Self> {
        PARTS.iter().find(|(known, _)| word.eq_ignore_ascii_case(known)).map(|(_, set)| *set)
    }

    /// The same of a word with a number behind it: `test2`.
    pub(super) fn named_with_number(word: &str) -> Option<Self> {
        Self::named(word.trim_end_matches(|c: char| c.is_ascii_digit())).filter(|_| Self::named(word).is_none())
    }

    /// The folder's name.
    pub fn folder(self) -> &'static str {
        ["train", "val", "prediction"][self as usize]
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.folder())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_labels_are_known_in_all_their_spellings() {
        for word in [
            "covid",
            "COVID-19",
            "Covid19",
            "ct_covid",
            "CT-COVID",
            "positive",
            "POS",
            "covid positive",
            "COVID",
            "COVID-19 (positive)",
            "1_covid",
            "COVID patients",
            "covid_scans",
            "COVID-19 Cases",
            "COVIDPOS",
            "NCP",
            "COVID+",
            "SARS-CoV-2",
            "covid_images",
            "covid19_posi",
            "2COVID",
            "covid_ct",
            "COVID-19 lungs",
        ] {
            assert_eq!(Label::named(word), Some(Label::Covid), "{word}");
        }
        for word in [
            "non-covid",
            "Non_COVID",
            "NonCOVID",
            "no covid",
            "CT_NonCOVID",
            "normal",
            "Healthy",
            "neg",
            "Non-COVID (normal)",
            "0_normal",
            "Normal Cases",
            "Healthy patients",
            "Negative cases",
            "Control group",
            "No Finding",
            "no findings",
            "covid-19 negative",
            "COVID (negative)",
            "uninfected",
            "notinfected",
            "covid19_neg",
            "COVIDNeg",
            "1NonCOVID",
            "Normal scans",
            "normal_slices",
            "Normal subjects",
            "control_subjects",
            "normal_ct",
            "Healthy controls",
            "Not infected",
            "Non-COVID-19 CT",
            "healthy volunteers",
            "Controls",
        ] {
            assert_eq!(Label::named(word), Some(Label::NonCovid), "{word}");
        }
        for word in [
            "COVID-",
            "COVID(-)",
            "COVID- cases",
            "case-control",
            "patients_controls",
            "covid1",
            "covid_12",
            "COVID-CT-master",
            "cov19d",
            "ct",
            "",
            "pneumonia",
            "1",
            "scans",
            "2020_covid x",
            "2020_covid",
            "covid normal",
            "CP",
        ] {
            assert_eq!(Label::named(word), None, "{word}");
        }
        assert_eq!(Set::named("Validation"), Some(Set::Val));
        assert_eq!((Set::named("test"), Set::named("tests")), (Some(Set::Prediction), None));
        assert_eq!((Set::named_with_number("Test2"), Set::named_with_number("12")), (Some(Set::Prediction), None));
    }
}
