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

/// HTML with the styles of cells, which every table repeats, as classes; and the rules of these.
pub(super) fn with_classes(html: &str) -> (String, String) {
    let (mut classed, mut styles) = (String::with_capacity(html.len()), Vec::<&str>::new());
    let mut parts = html.split(" style=\"");
    classed.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let tag = &classed[classed.rfind('<').unwrap_or(0)..];
        match part.split_once('"') {
            Some((style, rest)) if tag.starts_with("<td") || tag.starts_with("<th") => {
                let number = styles.iter().position(|of| *of == style).unwrap_or_else(|| {
                    styles.push(style);
                    styles.len() - 1
                });
                classed.push_str(&format!(" class=\"c{number}\"{rest}"));
            }
            _ => classed.push_str(&format!(" style=\"{part}")),
        }
    }
    let rules = styles.iter().enumerate().map(|(number, style)| format!(".c{number}{{{style}}}")).collect();
    (classed, rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_of_cells_become_classes_and_others_stay() {
        let html = "<p style=\"x\"><td style=\"a:b\">style=\"c\"</td><th scope=\"col\" style=\"d\">2</th><td style=\"a:b\">3</td>";
        let (classed, rules) = with_classes(html);
        let expected = "<p style=\"x\"><td class=\"c0\">style=\"c\"</td><th scope=\"col\" class=\"c1\">2</th><td class=\"c0\">3</td>";
        assert_eq!((classed.as_str(), rules.as_str()), (expected, ".c0{a:b}.c1{d}"));
    }
}
