//! The reporting checklists CLAIM and TRIPOD+AI, and which of their items a report answers.

use crate::base::errors::{Context, Result, bail, ensure};
use facts::{FACTS, quoted};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

mod facts;
#[cfg(test)]
mod tests;

pub use facts::Facts;

/// The sections that a report can have, by their anchors.
pub const ANCHORS: [&str; 20] = [
    "intended-use",
    "summary",
    "data",
    "audit",
    "partition",
    "preprocessing",
    "model",
    "training",
    "performance",
    "calibration",
    "external",
    "comparison",
    "leakage",
    "shortcuts",
    "explanations",
    "failures",
    "prediction",
    "limits",
    "reproducibility",
    "checklist",
];

/// A reporting checklist.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checklist {
    /// Its name, which is the prefix of every [`Item::id`].
    pub name: String,
    /// The article that defines it.
    pub source: String,
    /// That article's DOI.
    pub doi: String,
    /// Its year of publication.
    pub date: String,
    /// How the items' numbers were checked.
    pub checked: String,
    /// A note that the items are paraphrased; the same for all lists.
    #[serde(skip)]
    pub note: String,
    /// The items in order; an item with sub-items is replaced by these.
    pub items: Vec<Item>,
}

/// One item of a checklist, or one sub-item.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// `CLAIM 1`, `TRIPOD+AI 3a`.
    pub id: String,
    /// The section of a paper it belongs to.
    pub section: String,
    /// What it asks for, paraphrased.
    pub asks: String,
    answer: Answerer,
    /// The answer, in which `{fact}` is replaced by a fact of the report; if one is missing there is no answer.
    how: String,
    /// The text if a fact is missing.
    #[serde(default)]
    missing: Option<String>,
    #[serde(default)]
    left: Option<String>,
}

/// What answers an item.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answerer {
    /// The report's section with this anchor.
    Section(String),
    /// The author alone; always true.
    Author(bool),
}

/// A report's answer to an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// A section answers it.
    Answered {
        /// The section's anchor.
        anchor: String,
        /// The answer.
        how: String,
        /// What the author still has to answer; `None` if nothing.
        left: Option<String>,
    },
    /// Nothing in the report answers it.
    NotReported {
        /// The reason: a section is missing, or the author has to answer.
        why: String,
    },
}

/// How many items of a checklist a report answers. An item with sub-items counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Items that are answered completely.
    pub answered: usize,
    /// Items that are answered in part.
    pub in_part: usize,
    /// Number of items.
    pub of: usize,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "answered {} of {}, and {} more in part", self.answered, self.of, self.in_part)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Checklists {
    note: String,
    claim: Checklist,
    tripod: Checklist,
}

impl Checklists {
    /// The checklists that are part of the library.
    fn shipped() -> Result<Self> {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/data_manifest/reporting-checklists.json"));
        Self::parse(text).context("reading the reporting checklists of the library")
    }

    fn parse(text: &str) -> Result<Self> {
        let mut lists: Self = serde_json::from_str(text)?;
        for (list, items) in [(&lists.claim, 44), (&lists.tripod, 27)] {
            list.check(items).with_context(|| format!("the checklist {}", list.name))?;
        }
        (lists.claim.note, lists.tripod.note) = (lists.note.clone(), lists.note.clone());
        Ok(lists)
    }
}

impl Checklist {
    /// CLAIM, the checklist for artificial intelligence in medical imaging, as updated in 2024.
    pub fn claim() -> Result<Self> {
        Ok(Checklists::shipped()?.claim)
    }

    /// TRIPOD+AI of 2024, the checklist for prediction models.
    pub fn tripod() -> Result<Self> {
        Ok(Checklists::shipped()?.tripod)
    }

    /// How many items a report with these facts answers.
    pub fn count(&self, facts: &Facts) -> Count {
        // For each item: whether all of it is answered, and whether anything is.
        let mut items: BTreeMap<&str, (bool, bool)> = BTreeMap::new();
        for item in &self.items {
            let (all, any) = items.entry(item.main()).or_insert((true, false));
            let answer = item.answered(facts);
            *all &= matches!(answer, Answer::Answered { left: None, .. });
            *any |= matches!(answer, Answer::Answered { .. });
        }
        let answered = items.values().filter(|(all, _)| *all).count();
        let in_part = items.values().filter(|(all, any)| *any && !*all).count();
        Count { answered, in_part, of: items.len() }
    }

    /// Checks that every item occurs once and in order, and that a report can have every section.
    fn check(&self, items: usize) -> Result<()> {
        let (mut main, mut sub) = (0, None);
        for item in &self.items {
            let number = item.id.strip_prefix(&self.name).and_then(|rest| rest.strip_prefix(' '));
            let number = number.with_context(|| format!("{:?} does not begin with {}", item.id, self.name))?;
            (main, sub) = match sub {
                Some(letter) if number == format!("{main}{}", next(letter)) => (main, Some(next(letter))),
                _ if number == format!("{}", main + 1) => (main + 1, None),
                _ if number == format!("{}a", main + 1) => (main + 1, Some('a')),
                _ => bail!("{} does not follow upon item {main}{}", item.id, sub.map_or(String::new(), String::from)),
            };
            item.check().with_context(|| item.id.clone())?;
        }
        ensure!(main == items, "there are {main} items, not {items}");
        Ok(())
    }
}

fn next(letter: char) -> char {
    char::from_u32(letter as u32 + 1).unwrap_or(letter)
}

impl Item {
    /// The answer of a report with these facts.
    pub fn answered(&self, facts: &Facts) -> Answer {
        let anchor = match &self.answer {
            Answerer::Section(anchor) if facts.sections.contains(anchor) => anchor,
            Answerer::Section(anchor) => return self.missing(facts, &format!("section \"{anchor}\"")),
            Answerer::Author(_) => {
                return Answer::NotReported { why: facts.fill(&self.how).unwrap_or(self.how.clone()) };
            }
        };
        match facts.fill(&self.how) {
            Ok(how) => Answer::Answered { anchor: anchor.clone(), how, left: self.left.clone() },
            Err(fact) => self.missing(facts, &fact.replace('-', " ")),
        }
    }

    fn missing(&self, facts: &Facts, what: &str) -> Answer {
        let why = self.missing.as_ref().and_then(|text| facts.fill(text).ok());
        Answer::NotReported { why: why.unwrap_or_else(|| format!("Not reported: this report has no {what}.")) }
    }

    /// Its id without the name of its checklist.
    pub fn number(&self, checklist: &str) -> &str {
        self.id.strip_prefix(checklist).map_or(&self.id, str::trim_start)
    }

    /// Its id; of a sub-item the id of its item.
    pub fn main(&self) -> &str {
        self.id.trim_end_matches(|c: char| c.is_ascii_lowercase())
    }

    fn check(&self) -> Result<()> {
        for (field, text) in [("section", &self.section), ("asks", &self.asks), ("how", &self.how)] {
            ensure!(!text.trim().is_empty(), "{field} is empty");
        }
        let unknown = quoted(&self.how).chain(self.missing.iter().flat_map(|text| quoted(text)));
        for fact in unknown {
            ensure!(FACTS.contains(&fact), "no report holds a fact {fact:?}");
        }
        match &self.answer {
            Answerer::Section(anchor) => {
                ensure!(ANCHORS.contains(&anchor.as_str()), "no report has a section {anchor:?}");
                ensure!(self.left.as_ref().is_none_or(|left| !left.trim().is_empty()), "left is empty");
            }
            Answerer::Author(author) => {
                ensure!(*author, "author: expected true, or a section");
                ensure!(self.left.is_none() && self.missing.is_none(), "left, missing: the author has all of it");
            }
        }
        Ok(())
    }
}
