//! The reporting checklists CLAIM and TRIPOD+AI, and which of their items a report answers.

use anyhow::{Context, Result, bail, ensure};
use facts::{FACTS, quoted};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

mod facts;

pub use facts::Facts;

/// The sections that a report can have, by their anchors.
pub const ANCHORS: [&str; 19] = [
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

/// A reporting checklist: what reviewers want to find in a report.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checklist {
    /// What it is called, and what every [`Item::id`] begins with.
    pub name: String,
    /// The article that defines it.
    pub source: String,
    /// That article's DOI.
    pub doi: String,
    /// The year it appeared in.
    pub date: String,
    /// How the items' numbers were checked.
    pub checked: String,
    /// That the items are paraphrases; the same for all lists.
    #[serde(skip)]
    pub note: String,
    /// The items in order; one with sub-items is there as these.
    pub items: Vec<Item>,
}

/// One item of a checklist, or one sub-item.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// `CLAIM 1`, `TRIPOD+AI 3a`.
    pub id: String,
    /// The part of a paper it belongs to.
    pub section: String,
    /// What it asks for, in our words.
    pub asks: String,
    answer: Answerer,
    /// The answer; `{fact}` stands for what the report holds, and without it there is no answer.
    how: String,
    /// What is said where a fact is missing.
    #[serde(default)]
    missing: Option<String>,
    #[serde(default)]
    left: Option<String>,
}

/// Who answers an item.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answerer {
    /// The report's section with this anchor.
    Section(String),
    /// The author alone; always true.
    Author(bool),
}

/// What a report has to say to an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// A section answers it.
    Answered {
        /// Which one.
        anchor: String,
        /// What it says there.
        how: String,
        /// What remains for the author to say; `None` when nothing does.
        left: Option<String>,
    },
    /// Nothing in the report answers it.
    NotReported {
        /// The section is missing, or the author has to say.
        why: String,
    },
}

/// How much of a checklist a report answers. An item with sub-items counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Items answered with nothing left to the author.
    pub answered: usize,
    /// Items of which something is answered and something is not.
    pub in_part: usize,
    /// All items.
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
    /// The checklists as they ship with the library.
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

    /// How much of it a report that holds this answers.
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

    /// Refuses items that are out of order, said twice or not at all, and anchors that no report has.
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
    /// What a report that holds this has to say to it.
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
        let said = self.missing.as_ref().and_then(|text| facts.fill(text).ok());
        Answer::NotReported { why: said.unwrap_or_else(|| format!("Not reported: this report has no {what}.")) }
    }

    /// Its id without the name of its checklist.
    pub fn number(&self, checklist: &str) -> &str {
        self.id.strip_prefix(checklist).map_or(&self.id, str::trim_start)
    }

    /// Its id, or that of the item that it is a sub-item of.
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
                ensure!(author, "author: expected true, or a section");
                ensure!(self.left.is_none() && self.missing.is_none(), "left, missing: the author has all of it");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn both() -> [Checklist; 2] {
        [Checklist::claim().expect("CLAIM"), Checklist::tripod().expect("TRIPOD+AI")]
    }

    #[test]
    fn every_item_is_there_once_and_points_to_a_section_that_a_report_can_have() {
        for (list, (items, rows)) in both().iter().zip([(44, 44), (27, 52)]) {
            let ids: BTreeSet<&str> = list.items.iter().map(|item| item.id.as_str()).collect();
            let mains: BTreeSet<&str> = list.items.iter().map(Item::main).collect();
            assert_eq!((list.items.len(), ids.len(), mains.len()), (rows, rows, items), "{}", list.name);
            for item in &list.items {
                assert!(item.id.starts_with(&list.name), "{}", item.id);
                match &item.answer {
                    Answerer::Section(anchor) => assert!(ANCHORS.contains(&anchor.as_str()), "{}", item.id),
                    Answerer::Author(author) => {
                        assert!(*author && item.how.starts_with("Not reported: "), "{}", item.id)
                    }
                }
            }
        }
    }

    fn holding(sections: impl IntoIterator<Item = &'static str>) -> Facts {
        let mut facts = Facts::of_sections(sections);
        FACTS.iter().for_each(|fact| facts.say(fact, Some(format!("<{fact}>"))));
        facts
    }

    #[test]
    fn a_missing_section_turns_its_items_into_not_reported() {
        let all = holding(ANCHORS);
        let without = holding(ANCHORS.into_iter().filter(|anchor| *anchor != "performance"));
        for list in both() {
            let mut turned = 0;
            for item in &list.items {
                match (item.answered(&all), item.answered(&without)) {
                    (Answer::Answered { anchor, .. }, Answer::NotReported { why }) => {
                        assert!(anchor == "performance" && why.starts_with("Not reported"), "{why}");
                        turned += 1;
                    }
                    (full, fewer) => assert_eq!(full, fewer, "{}", item.id),
                }
            }
            assert!(turned > 3, "{}: {turned}", list.name);
            let (full, fewer, none) = (list.count(&all), list.count(&without), list.count(&Facts::default()));
            assert!(full.answered > fewer.answered && full.answered + full.in_part < full.of, "{full}, {fewer}");
            assert_eq!((none.answered, none.in_part, none.of), (0, 0, full.of));
        }
        let count = Checklist::claim().expect("CLAIM").count(&holding(["preprocessing", "partition"]));
        assert_eq!(count.to_string(), "answered 2 of 44, and 1 more in part");
    }

    #[test]
    fn an_answer_quotes_what_the_report_holds_and_is_none_without_it() {
        let list = Checklist::claim().expect("CLAIM");
        let item = list.items.iter().find(|item| item.id == "CLAIM 32").expect("internal testing");
        let mut facts = Facts::of_sections(["performance"]);
        let expected = Answer::NotReported { why: "Not reported: some run has no test subset.".to_owned() };
        assert_eq!(item.answered(&facts), expected);
        facts.say("test", Some("fcn: 7 test slices of 2 scans".to_owned()));
        let Answer::Answered { how, .. } = item.answered(&facts) else { panic!("{:?}", item.answered(&facts)) };
        assert!(how.contains("fcn: 7 test slices of 2 scans") && !how.contains('{'), "{how}");
    }

    #[test]
    fn an_item_with_sub_items_is_answered_when_all_of_these_are() {
        let mut list = Checklist::tripod().expect("TRIPOD+AI");
        list.items.retain(|item| item.main() == "TRIPOD+AI 9");
        let ids: Vec<&str> = list.items.iter().map(|item| item.id.as_str()).collect();
        assert_eq!(ids, ["TRIPOD+AI 9a", "TRIPOD+AI 9b", "TRIPOD+AI 9c"]);
        let facts = holding(["preprocessing"]);
        assert_eq!(list.count(&facts), Count { answered: 0, in_part: 1, of: 1 });
        list.items.retain(|item| item.left.is_none());
        assert_eq!(list.count(&facts), Count { answered: 1, in_part: 0, of: 1 });
    }

    #[test]
    fn slips_of_the_hand_are_errors() {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/data_manifest/reporting-checklists.json"));
        for (from, to, says) in [
            (r#""id": "CLAIM 2","#, r#""id": "CLAIM 1","#, "CLAIM 1 does not follow upon item 1"),
            (r#""id": "TRIPOD+AI 3b","#, r#""id": "TRIPOD+AI 3c","#, "TRIPOD+AI 3c does not follow upon item 3a"),
            (r#""id": "CLAIM 44","#, r#""id": "44","#, "does not begin with CLAIM"),
            (r#"{"section": "failures"}"#, r#"{"section": "failure"}"#, "no report has a section \"failure\""),
            (r#"{"author": true}"#, r#"{"author": false}"#, "author: expected true"),
            (r#"{"author": true}"#, r#"{"editor": true}"#, "unknown variant `editor`"),
            (r#""asks": "Prospective or"#, r#""ask": "Prospective or"#, "unknown field `ask`"),
            ("({heat})", "({heet})", "no report holds a fact \"heet\""),
            (r#""asks": "Prospective or retrospective""#, r#""asks": """#, "asks is empty"),
        ] {
            let wrong = text.replacen(from, to, 1);
            assert_ne!(wrong, text, "{from} is not in the file");
            let error = Checklists::parse(&wrong).err().map(|error| format!("{error:#}"));
            assert!(error.as_ref().is_some_and(|error| error.contains(says)), "{says}: {error:?}");
        }
    }
}
