//! Pieces of HTML that several sections have; text in them is escaped by the template macro, and on one line.

use crate::base::escape::visible;
use maud::{PreEscaped, html};

/// A heading inside a section.
pub(super) fn heading(text: &str) -> String {
    html! { h3 { (visible(text)) } }.into_string()
}

/// A paragraph.
pub(super) fn paragraph(text: &str) -> String {
    html! { p { (visible(text)) } }.into_string()
}

/// A paragraph that warns.
pub(super) fn warning(text: &str) -> String {
    html! { p.warning { (visible(text)) } }.into_string()
}

/// A paragraph in small letters.
pub(super) fn small(text: &str) -> String {
    html! { p.small { (visible(text)) } }.into_string()
}

/// A list of sentences.
pub(super) fn list(items: &[String]) -> String {
    html! { ul { @for item in items { li { (visible(item)) } } } }.into_string()
}

/// Pieces of HTML side by side.
pub(super) fn side_by_side(pieces: &[String]) -> String {
    html! { div.row { @for piece in pieces { div { (PreEscaped(piece)) } } } }.into_string()
}
