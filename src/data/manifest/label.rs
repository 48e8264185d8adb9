//! Labels of scans, and the parts of the data set.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Words for a label, in lower case and without what separates their parts.
const POSITIVE: [&str; 8] =
    ["covid", "covid19", "sarscov2", "positive", "pos", "covidpositive", "covid19positive", "positivecovid"];
const NEGATIVE: [&str; 14] = [
    "noncovid",
    "noncovid19",
    "nocovid",
    "notcovid",
    "negative",
    "neg",
    "covidnegative",
    "covid19negative",
    "negativecovid",
    "normal",
    "normals",
    "healthy",
    "control",
    "controls",
];
/// Words for the parts of a data set, in lower case.
const PARTS: [(&str, Set); 13] = [
    ("train", Set::Train),
    ("training", Set::Train),
    ("val", Set::Val),
    ("valid", Set::Val),
    ("validation", Set::Val),
    ("dev", Set::Val),
    ("prediction", Set::Prediction),
    ("predictions", Set::Prediction),
    ("predict", Set::Prediction),
    ("unlabelled", Set::Prediction),
    ("unlabeled", Set::Prediction),
    ("test", Set::Prediction),
    ("testing", Set::Prediction),
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

    /// The label that a word stands for in names of folders and in tables: in any case of letters, with `-`, `_`, blanks or
    /// nothing between its parts.
    pub(super) fn named(word: &str) -> Option<Self> {
        // `COVID-` is said for its absence, `COVID+` for its presence.
        let word: String = match word.trim_end().ends_with('-') {
            true => return None,
            false => word.to_lowercase().replace(['-', '_', ' '], ""),
        };
        let is = |names: &[&str]| names.contains(&word.strip_prefix("ct").unwrap_or(&word));
        is(&POSITIVE).then_some(Self::Covid).or(is(&NEGATIVE).then_some(Self::NonCovid))
    }

    /// 0 for covid, 1 for non-covid: the network's output of that index.
    pub fn index(self) -> usize {
        self as usize
    }
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
        for word in
            ["covid", "COVID-19", "Covid19", "ct_covid", "CT-COVID", "positive", "POS", "covid positive", "COVID"]
        {
            assert_eq!(Label::named(word), Some(Label::Covid), "{word}");
        }
        for word in ["non-covid", "Non_COVID", "NonCOVID", "no covid", "CT_NonCOVID", "normal", "Healthy", "neg"] {
            assert_eq!(Label::named(word), Some(Label::NonCovid), "{word}");
        }
        for word in ["COVID-", "covid1", "covid_scans", "COVID-CT", "cov19d", "ct", "", "pneumonia", "1"] {
            assert_eq!(Label::named(word), None, "{word}");
        }
        assert_eq!(Set::named("Validation"), Some(Set::Val));
        assert_eq!((Set::named("test"), Set::named("tests")), (Some(Set::Prediction), None));
    }
}
