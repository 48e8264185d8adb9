//! Pieces of a table as HTML.

use super::escape::breakable;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The title of a table or another part.
pub(super) fn heading(title: &str) -> Markup {
    html! { div style="font-weight:600;padding:4px 8px;max-width:60em" { (title) } }
}

// The structure is shown by borders instead of colours: readable in light and dark themes and on paper.
const HEAD: &str = "padding:4px 10px;border-bottom:2px solid #888";
const CELL: &str = "padding:3px 10px;border-bottom:1px solid #8884;vertical-align:top";

/// A column's name.
pub(super) fn column_name(name: &str, is_numeric: bool) -> Markup {
    let align = if is_numeric { "right" } else { "left" };
    html! { th style={ "text-align:" (align) ";" (HEAD) } { (name) } }
}

/// A cell; numbers stand right, with digits of equal width.
pub(super) fn table_cell(text: &str, is_numeric: bool) -> Markup {
    let align = if is_numeric { "right;font-variant-numeric:tabular-nums;white-space:nowrap" } else { "left" };
    html! { td style={ "text-align:" (align) ";" (CELL) } { (PreEscaped(breakable(text))) } }
}

/// Text whose layout is kept.
pub(crate) fn preformatted(text: &str) -> String {
    html! { pre style="line-height:1.35;font-family:monospace" { (text) } }.into_string()
}

/// A whole page that can be read offline, with this style and body.
pub(crate) fn document(title: &str, style: &str, body: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                title { (title) }
                style { (PreEscaped(style)) }
            }
            body { (body) }
        }
    }
    .into_string()
}
