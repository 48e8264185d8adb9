//! Tables as text and HTML, and the display protocol of notebooks.

use crate::base::errors::Result;
use crate::base::escape::{visible, visible_lines};
use crate::base::files::write_text;
use crate::base::output::{say_as_it_is, terminal_columns};
use maud::{PreEscaped, html};
use serde::Serialize;
use std::fmt;
use std::path::Path;

mod frame;
mod markdown;
mod markup;
mod numbers;
#[cfg(test)]
mod tests;
mod wrapped;

pub use frame::ShowInNotebook;
use markup::{caption, column_name, heading, table_cell};
pub(crate) use markup::{document, preformatted};
use numbers::{at_the_point, is_number};
use wrapped::{broken, fitted};

/// Sends HTML, and text for front ends without HTML, to the notebook.
///
/// evcxr reads these blocks from the output of a cell; of several blocks of one kind it shows the last.
pub(crate) fn display(html: &str, text: &str) {
    say_as_it_is(&blocks(html, text));
}

/// What the notebook reads: nothing inside begins or ends a block.
fn blocks(html: &str, text: &str) -> String {
    let block = |kind: &str, content: &str| {
        format!("EVCXR_BEGIN_CONTENT {kind}\n{}\nEVCXR_END_CONTENT", visible_lines(content))
    };
    block("text/html", html) + "\n" + &block("text/plain", text)
}

/// Several tables and figures in one output cell; evcxr shows only one result per cell.
#[derive(Debug, Clone, Default)]
pub struct Page {
    html: String,
    text: String,
}

impl Page {
    /// An empty page.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a table, a figure or anything else that can be shown.
    pub fn with(mut self, part: &impl Show) -> Self {
        self.html.push_str(&part.html());
        self.text.push_str(&visible_lines(&part.text()));
        self.text.push('\n');
        self
    }

    /// Adds a part without a title, under a title.
    pub(crate) fn titled(mut self, title: &str, part: &impl Show) -> Self {
        let title = visible(title);
        self.html.push_str(&heading(&title).into_string());
        self.text.push_str(&format!("{title}\n"));
        self.with(part)
    }

    /// Adds several parts next to each other, as far as the width allows.
    pub fn with_row(mut self, parts: &[impl Show]) -> Self {
        let row = html! {
            div style="display:flex;flex-wrap:wrap;gap:1em" {
                @for part in parts { div style="flex:1 1 320px;max-width:480px" { (PreEscaped(part.html())) } }
            }
        };
        self.html.push_str(&row.into_string());
        parts.iter().for_each(|part| self.text.push_str(&(visible_lines(&part.text()) + "\n")));
        self
    }

    /// How a page of its own looks, in light and dark.
    pub(crate) const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:15px/1.5 system-ui,sans-serif;max-width:1160px;margin:2em auto;padding:0 1.2em;background:Canvas;color:CanvasText}\
h1{font-size:1.5em}figure{margin:.6em 0}figure img{border-radius:4px}";

    /// Writes it as an HTML page that can be read offline, atomically.
    pub fn save(&self, path: impl AsRef<Path>, title: &str) -> Result<()> {
        write_text(path.as_ref(), &document(title, Self::STYLE, &PreEscaped(self.html.clone())))
    }

    /// Shows the page in a notebook.
    pub fn evcxr_display(&self) {
        display(&self.html, &self.text);
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Show for Page {
    fn html(&self) -> String {
        self.html.clone()
    }

    fn text(&self) -> String {
        self.text.clone()
    }
}

/// Anything that can be shown: as HTML in notebooks and reports, as text in terminals.
pub trait Show {
    /// A fragment of HTML, complete in itself.
    fn html(&self) -> String;
    /// The same as text, a row in a line.
    fn text(&self) -> String;
    /// The text as `Display` prints it: on a terminal as wide as that.
    fn for_terminal(&self) -> String {
        self.text()
    }
}

/// Implements `Show`, `Display` and notebook display by a method that gives a table or a page.
macro_rules! shown_by {
    ($method:ident, $($type:ty),+ $(,)?) => {$(
        impl $crate::base::table::Show for $type {
            fn html(&self) -> String {
                self.$method().html()
            }

            fn text(&self) -> String {
                self.$method().text()
            }

            fn for_terminal(&self) -> String {
                $crate::base::table::Show::for_terminal(&self.$method())
            }
        }

        impl $type {
            /// Shows it in a notebook.
            pub fn evcxr_display(&self) {
                $crate::base::table::display(&$crate::base::table::Show::html(self), &$crate::base::table::Show::text(self));
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&$crate::base::table::Show::for_terminal(self))
            }
        }
    )+};
}
pub(crate) use shown_by;

/// The same for a type that has a `table()`.
macro_rules! shown_as_table {
    ($($type:ty),+ $(,)?) => { $crate::base::table::shown_by!(table, $($type),+); };
}
pub(crate) use shown_as_table;

/// A titled table with notes under it. Cells are text; columns of numbers are right-aligned. What cannot be seen in them is
/// shown as an escape ([`visible`]), so that each stays on its line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
    /// Rows of one line each, however wide.
    #[serde(skip)]
    is_frame: bool,
}

impl Table {
    /// An empty table.
    pub fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        let columns = columns.iter().map(visible).collect();
        Self { title: visible(title.into()), columns, rows: Vec::new(), notes: Vec::new(), is_frame: false }
    }

    /// Adds a row; missing cells are empty, and cells beyond the last column are dropped.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let mut row: Vec<String> = cells.into_iter().map(|cell| visible(cell.into())).collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
    }

    /// Adds a line under the table.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(visible(note.into()));
        self
    }

    /// The rows, as shown.
    pub fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }

    /// The headings.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Shows the table in a notebook.
    pub fn evcxr_display(&self) {
        display(&self.html(), &self.text());
    }

    fn is_numeric(&self, column: usize) -> bool {
        let mut filled =
            self.rows.iter().map(|row| row[column].as_str()).filter(|c| !matches!(*c, "" | "–")).peekable();
        filled.peek().is_some() && filled.all(is_number)
    }

    fn alignment(&self) -> Vec<bool> {
        (0..self.columns.len()).map(|column| self.is_numeric(column)).collect()
    }

    /// As text, with rows of at most so many characters where that can be.
    fn text_within(&self, at_most: Option<usize>) -> String {
        let right = self.alignment();
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.chain([self.columns[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let widths = fitted(widths, &right, at_most.unwrap_or(usize::MAX));
        let padded = |column: usize, cell: &str| match (right[column], widths[column]) {
            (true, width) => format!("{cell:>width$}"),
            (false, width) => format!("{cell:<width$}"),
        };
        let lines = |cells: &[String]| -> Vec<String> {
            let cells: Vec<_> = cells.iter().zip(&widths).map(|(cell, width)| broken(cell, *width)).collect();
            let line = |number: usize| {
                let of_cell =
                    |(column, cell): (usize, &Vec<String>)| padded(column, cell.get(number).map_or("", |s| s));
                cells.iter().enumerate().map(of_cell).collect::<Vec<_>>().join("  ").trim_end().to_owned()
            };
            (0..cells.iter().map(Vec::len).max().unwrap_or(1)).map(line).collect()
        };
        let rule = widths.iter().map(|w| "─".repeat(*w)).collect::<Vec<_>>().join("  ");
        let head = [self.title.clone()].into_iter().chain(lines(&self.columns)).chain([rule]);
        let body = self.rows.iter().flat_map(|row| lines(row));
        head.chain(body).chain(self.notes.iter().cloned()).collect::<Vec<_>>().join("\n")
    }
}

impl Show for Table {
    fn html(&self) -> String {
        let numeric = self.alignment();
        let cells = |column: usize| self.rows.iter().map(|row| row[column].as_str()).collect::<Vec<_>>();
        let columns: Vec<Vec<String>> = (0..self.columns.len()).map(|column| at_the_point(&cells(column))).collect();
        // What is wide by itself is scrolled, and not broken into many lines.
        let layout = if self.is_frame {
            "border-collapse:collapse;font-size:13px;line-height:1.3;white-space:nowrap"
        } else {
            "border-collapse:collapse;font-size:13px"
        };
        html! {
            // What can be scrolled can be reached by the keyboard.
            div.covid-ct tabindex="0" style="overflow-x:auto;margin:.5em 0" {
                table style=(layout) {
                    (caption(&self.title))
                    thead { tr {
                        @for (name, is_numeric) in self.columns.iter().zip(&numeric) { (column_name(name, *is_numeric)) }
                    } }
                    tbody {
                        @for row in 0..self.rows.len() { tr {
                            @for (column, is_numeric) in numeric.iter().enumerate() {
                                (table_cell(&columns[column][row], *is_numeric, column == 0))
                            }
                        } }
                    }
                }
                @for note in &self.notes {
                    div style="font-size:12px;opacity:.75;padding:2px 8px;max-width:60em" { (note) }
                }
            }
        }
        .into_string()
    }

    fn text(&self) -> String {
        self.text_within(None)
    }

    /// On a terminal its widest columns of text are broken into lines.
    fn for_terminal(&self) -> String {
        self.text_within(terminal_columns())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.for_terminal())
    }
}

/// The same for a type whose `Display` is already laid out, such as scikit-learn's report: HTML shows it preformatted.
macro_rules! shown_as_text {
    ($($type:ty),+ $(,)?) => {$(
        impl $crate::base::table::Show for $type {
            fn html(&self) -> String {
                $crate::base::table::preformatted(&$crate::base::table::Show::text(self))
            }

            fn text(&self) -> String {
                $crate::base::escape::visible_lines(&self.to_string())
            }
        }

        impl $type {
            /// Shows the text in a notebook.
            pub fn evcxr_display(&self) {
                $crate::base::table::display(
                    &$crate::base::table::Show::html(self),
                    &$crate::base::table::Show::text(self),
                );
            }
        }
    )+};
}
pub(crate) use shown_as_text;

/// `0.8108` as `"81.1 %"`; absent as `"–"`.
pub(crate) fn percent(ratio: Option<f64>) -> String {
    ratio.map_or("–".to_owned(), |r| format!("{:.1} %", 100.0 * r))
}
