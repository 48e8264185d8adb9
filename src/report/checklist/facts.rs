//! The facts of a report that answers to checklists quote.

use std::collections::{BTreeMap, BTreeSet};

/// The names of facts that an answer may quote in braces.
pub(super) const FACTS: [&str; 21] = [
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
    "external",
    "rule",
    "intervals",
    "by-source",
    "temperature",
    "heat",
    "leak",
];

/// A report's sections, and the facts that answers quote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    pub(super) sections: BTreeSet<String>,
    texts: BTreeMap<String, String>,
}

impl Facts {
    /// No facts, of a report that has these sections, given by their anchors.
    pub fn of_sections<S: Into<String>>(anchors: impl IntoIterator<Item = S>) -> Self {
        Self { sections: anchors.into_iter().map(Into::into).collect(), texts: BTreeMap::new() }
    }

    /// Adds a section.
    pub fn section(&mut self, anchor: &str) {
        self.sections.insert(anchor.to_owned());
    }

    /// Adds the text of a fact; nothing if there is none.
    pub fn say(&mut self, fact: &str, text: Option<String>) {
        if let Some(text) = text {
            self.texts.insert(fact.to_owned(), text);
        }
    }

    /// `text` with each `{fact}` replaced.
    ///
    /// # Errors
    /// The name of the first missing fact.
    pub(super) fn fill(&self, text: &str) -> Result<String, String> {
        let mut filled = String::new();
        for (number, part) in text.split('{').enumerate() {
            match part.split_once('}') {
                Some((fact, rest)) if number > 0 => {
                    filled.push_str(self.texts.get(fact).ok_or_else(|| fact.to_owned())?);
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
