//! What a report holds, for the answers to quote.

use std::collections::{BTreeMap, BTreeSet};

/// What an answer may be made of: each is the text of a fact that a report holds, in braces in an item's answer.
pub(super) const FACTS: [&str; 20] = [
    "networks",
    "slices",
    "exclusions",
    "sources",
    "gaps",
    "unit",
    "overlap",
    "layers",
    "initial-weights",
    "software",
    "settings",
    "choice",
    "subsets",
    "test",
    "rule",
    "intervals",
    "by-source",
    "temperature",
    "heat",
    "leak",
];

/// What a report holds: its sections, and the facts that answers quote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    pub(super) sections: BTreeSet<String>,
    said: BTreeMap<String, String>,
}

impl Facts {
    /// Those of a report that has these sections, by their anchors.
    pub fn of_sections<S: Into<String>>(anchors: impl IntoIterator<Item = S>) -> Self {
        Self { sections: anchors.into_iter().map(Into::into).collect(), said: BTreeMap::new() }
    }

    /// One more section.
    pub fn section(&mut self, anchor: &str) {
        self.sections.insert(anchor.to_owned());
    }

    /// One more fact, where there is one.
    pub fn say(&mut self, fact: &str, text: Option<String>) {
        if let Some(text) = text {
            self.said.insert(fact.to_owned(), text);
        }
    }

    /// `text` with each `{fact}` said; the first fact that is missing where one is.
    pub(super) fn fill(&self, text: &str) -> Result<String, String> {
        let mut filled = String::new();
        for (number, part) in text.split('{').enumerate() {
            match part.split_once('}') {
                Some((fact, rest)) if number > 0 => {
                    filled.push_str(self.said.get(fact).ok_or_else(|| fact.to_owned())?);
                    filled.push_str(rest);
                }
                _ => filled.push_str(part),
            }
        }
        Ok(filled)
    }
}

/// The names of the facts that a text quotes.
pub(super) fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|part| Some(part.split_once('}')?.0))
}
