//! Polars frames as tables.

use super::{Show, Table, display};
use polars::prelude::{AnyValue, DataFrame};

impl Table {
    /// The first `max_rows` rows of a polars frame, with a note when there are more. Hashes are shown by their beginning.
    pub fn from_frame(title: impl Into<String>, frame: &DataFrame, max_rows: usize) -> Self {
        let names: Vec<String> = frame.get_column_names().iter().map(|n| n.to_string()).collect();
        let columns: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut table = Self { is_frame: true, ..Self::new(title, &columns) };
        for row in 0..frame.height().min(max_rows) {
            table.row(frame.columns().iter().map(|column| cell(column.get(row))));
        }
        if frame.height() > max_rows {
            return table.note(format!("The first {max_rows} of {} rows.", frame.height()));
        }
        table
    }
}

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

fn cell(value: polars::prelude::PolarsResult<AnyValue<'_>>) -> String {
    match value {
        Ok(AnyValue::Null) => "–".to_owned(),
        Ok(AnyValue::String(text)) => short_hash(text),
        Ok(AnyValue::Float32(x)) => format!("{x:.4}"),
        Ok(AnyValue::Float64(x)) => format!("{x:.4}"),
        Ok(other) => other.to_string(),
        Err(error) => format!("({error})"),
    }
}

/// A hash of 64 digits by its first 12, other text as it is.
fn short_hash(text: &str) -> String {
    match text.len() == 64 && text.bytes().all(|c| c.is_ascii_hexdigit()) {
        true => format!("{}…", &text[..12]),
        false => text.to_owned(),
    }
}
