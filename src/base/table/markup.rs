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

/// A table's title, which belongs to it for those who hear the page.
pub(super) fn caption(title: &str) -> Markup {
    html! { caption style="font-weight:600;padding:4px 8px;max-width:60em;text-align:left" { (title) } }
}

/// A column's name.
pub(super) fn column_name(name: &str, is_numeric: bool) -> Markup {
    let align = if is_numeric { "right" } else { "left" };
    html! { th scope="col" style={ "text-align:" (align) ";" (HEAD) } { (name) } }
}

/// A cell; numbers stand right, with digits of equal width. The first of a row names the row.
pub(super) fn table_cell(text: &str, is_numeric: bool, is_first: bool) -> Markup {
    let align = if is_numeric { "right;font-variant-numeric:tabular-nums;white-space:nowrap" } else { "left" };
    let text = PreEscaped(breakable(text));
    html! {
        @if is_first { th scope="row" style={ "font-weight:400;text-align:" (align) ";" (CELL) } { (text) } }
        @else { td style={ "text-align:" (align) ";" (CELL) } { (text) } }
    }
}

/// The longest piece of a word, in characters, that is never broken.
const PIECE: usize = 20;

/// [`markup`] with line-break opportunities inside words that are too long for a narrow column: paths behind a slash, and pieces
/// that are themselves too long, such as hashes, at another sign or anywhere. Other words are never broken.
fn breakable(text: &str) -> String {
    let length = |text: &str| text.chars().count();
    let word = |word: &str| {
        if length(word) <= PIECE {
            return markup(word);
        }
        let pieces: Vec<String> = word
            .split_inclusive('/')
            .map(|piece| if length(piece) > PIECE { cut(piece) } else { markup(piece) })
            .collect();
        pieces.join("<wbr>")
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// A long piece, cut behind signs and after [`PIECE`] characters.
fn cut(piece: &str) -> String {
    let (mut html, mut part) = (String::new(), String::new());
    for letter in piece.chars() {
        if part.ends_with(['_', ',', '=', '.', '-']) || part.chars().count() == PIECE {
            html += &(markup(&part) + "<wbr>");
            part.clear();
        }
        part.push(letter);
    }
    html + &markup(&part)
}

/// Text whose layout is kept.
pub(crate) fn preformatted(text: &str) -> String {
    html! { pre tabindex="0" style="line-height:1.35;font-family:monospace" { (text) } }.into_string()
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
        assert_eq!(breakable("train/covid/ct_scan_0/3.jpg"), "train/<wbr>covid/<wbr>ct_scan_0/<wbr>3.jpg");
        assert_eq!(
            breakable("a/name_of_more_than_20_letters.jpg"),
            "a/<wbr>name_<wbr>of_<wbr>more_<wbr>than_<wbr>20_<wbr>letters.<wbr>jpg"
        );
        assert_eq!(breakable(&"&".repeat(21)), "&amp;".repeat(20) + "<wbr>&amp;");
    }
}
