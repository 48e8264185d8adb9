//! Polars frames in notebooks, where they show themselves as our own values do.

use super::{Show, Table, display};
use polars::prelude::DataFrame;

/// How a notebook shows a value of another crate: with `use covid_ct::*;`, by itself.
pub trait ShowInNotebook {
    /// Shows it in a notebook.
    fn evcxr_display(&self);
}

impl ShowInNotebook for DataFrame {
    fn evcxr_display(&self) {
        display(&self.html(), &self.text());
    }
}

/// The first 20 rows.
impl Show for DataFrame {
    fn html(&self) -> String {
        table(self).html()
    }

    fn text(&self) -> String {
        table(self).text()
    }
}

fn table(frame: &DataFrame) -> Table {
    let types: Vec<String> = frame.dtypes().iter().map(ToString::to_string).collect();
    Table::from_frame(format!("{} rows × {} columns", frame.height(), frame.width()), frame, 20)
        .note(format!("Types: {}.", types.join(", ")))
}
