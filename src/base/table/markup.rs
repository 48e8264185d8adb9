//! Pieces of a table as HTML.

use crate::base::escape::{markup, visible, visible_lines};
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

/// The longest word, in characters, that is never broken.
const WORD: usize = 20;

/// [`markup`] with line-break opportunities inside words that are too long for a narrow column, such as paths and
/// hashes; other words are never broken.
fn breakable(text: &str) -> String {
    let word = |word: &str| {
        if word.chars().count() <= WORD {
            return markup(word);
        }
        let (mut html, mut piece) = (String::new(), String::new());
        for letter in word.chars() {
            piece.push(letter);
            if "/_,=.-".contains(letter) || piece.chars().count() == WORD {
                html += &markup(&piece);
                html += "<wbr>";
                piece.clear();
            }
        }
        html + &markup(&piece)
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Text whose layout is kept.
pub(crate) fn preformatted(text: &str) -> String {
    html! { pre style="line-height:1.35;font-family:monospace" { (text) } }.into_string()
}

/// A whole page that can be read offline, with this style and body.
pub(crate) fn document(title: &str, style: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                title { (visible(title)) }
                style { (PreEscaped(style)) }
            }
            body { (body) }
        }
    };
    visible_lines(&page.into_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_words_may_be_broken_and_never_inside_an_entity() {
        assert_eq!(breakable("imagenet weights <pinned>"), "imagenet weights &lt;pinned&gt;");
        assert_eq!(
            breakable("train/covid/ct_scan_0/3.jpg"),
            "train/<wbr>covid/<wbr>ct_<wbr>scan_<wbr>0/<wbr>3.<wbr>jpg"
        );
        assert_eq!(breakable(&"&".repeat(21)), "&amp;".repeat(20) + "<wbr>&amp;");
    }
}
