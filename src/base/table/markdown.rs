//! A table in Markdown.

use super::Table;
use crate::base::escape::markdown;

impl Table {
    /// The table as GitHub and Pandoc read it, the title above and the notes below.
    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| markdown(cell)).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let ruler: Vec<&str> = self.alignment().into_iter().map(|right| if right { "---:" } else { "---" }).collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        let notes: String = self.notes.iter().map(|note| format!("\n{}\n", markdown(note))).collect();
        format!("**{}**\n\n{}| {} |\n{rows}{notes}", markdown(&self.title), line(&self.columns), ruler.join(" | "))
    }
}
