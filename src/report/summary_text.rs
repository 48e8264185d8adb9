//! The report's summary for a paper, in Markdown.

use super::Report;
use super::data_set::INTENDED_USE;
use crate::base::escape::markdown;

impl Report {
    /// The first pages' text and tables, and the checklists.
    pub(super) fn summary_text(&self) -> String {
        let of = &self.first;
        let list = |items: &[String]| items.iter().map(|item| format!("- {}\n", markdown(item))).collect::<String>();
        let mut parts = vec![
            format!("# {}\n\n{}\n\n**Research only.** {INTENDED_USE}\n", markdown(&self.title), markdown(&of.question)),
            format!(
                "## Results\n\n{}",
                list(&of.answers.iter().map(|(what, answer)| format!("{what} {answer}")).collect::<Vec<_>>())
            ),
        ];
        parts.extend(
            [of.results.as_ref(), of.leaking.as_ref(), of.flow.as_ref()].into_iter().flatten().map(|of| of.markdown()),
        );
        parts.push(format!("## What not to believe, and why\n\n{}", list(&of.limits)));
        parts.push("## Checklists\n".to_owned());
        parts.extend(self.checklists.iter().map(|of| of.markdown()));
        parts.join("\n")
    }
}
