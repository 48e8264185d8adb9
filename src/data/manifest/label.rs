//! Labels of scans, and the parts of the data set.

use serde::{Deserialize, Serialize};
use std::fmt;

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
