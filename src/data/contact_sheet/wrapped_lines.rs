//! Text cut into lines that fit under a picture.

use crate::base::escape::visible;

/// Lines of at most `fits` characters, cut behind slashes and spaces, else behind other signs, else anywhere; after `most`
/// lines an ellipsis.
pub(super) fn wrapped(text: &str, fits: usize, most: usize) -> Vec<String> {
    let text = visible(text);
    let (mut lines, mut rest) = (Vec::new(), text.trim());
    while !rest.is_empty() {
        let cut = if rest.chars().count() > fits { cut_of(rest, fits.max(1)) } else { rest.len() };
        let (head, tail) = rest.split_at(cut);
        lines.push(head.trim_end().to_owned());
        rest = tail.trim_start();
        if lines.len() == most && !rest.is_empty() {
            if let Some(last) = lines.last_mut() {
                *last = last.chars().take(fits.saturating_sub(1)).chain(['…']).collect();
            }
            break;
        }
    }
    lines
}

/// Where the first of several lines ends.
fn cut_of(text: &str, fits: usize) -> usize {
    // The space that a line ends with takes no room.
    let behind = |signs: &[char], at_most: usize| {
        let places = text.char_indices().take(at_most).filter(|(_, c)| signs.contains(c));
        places.last().map(|(at, _)| at + 1).filter(|cut| *cut > fits / 3)
    };
    let anywhere = text.char_indices().nth(fits).map_or(text.len(), |(at, _)| at);
    behind(&['/', ' '], fits).or_else(|| behind(&['_', '-', '.', ',', ':'], fits)).unwrap_or(anywhere)
}

/// A name on one line: of a long one the end, which tells files of one folder apart.
pub(super) fn shortened_name(name: &str, fits: usize) -> String {
    let name = visible(name);
    let length = name.chars().count();
    if length <= fits {
        return name;
    }
    ['…'].into_iter().chain(name.chars().skip(length + 1 - fits.max(1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_where_they_may_be() {
        let cut = |text| wrapped(text, 25, 5);
        assert_eq!(cut("0.jpg"), ["0.jpg"]);
        assert_eq!(cut("train/non-covid/ct_scan_10/5.jpg"), ["train/non-covid/", "ct_scan_10/5.jpg"]);
        assert_eq!(cut("a_name_without_any_place_to_cut.jpg"), ["a_name_without_any_place_", "to_cut.jpg"]);
        let long = "x".repeat(30);
        assert_eq!(cut(&long), [&long[..25], &long[25..]]);
        assert_eq!(cut("ct\n1/5.jpg"), [r"ct\n1/5.jpg"]);
        assert_eq!(cut(""), [""; 0]);
        let words = wrapped("one two three four five six seven", 9, 2);
        assert_eq!(words, ["one two", "three…"]);
        assert_eq!(wrapped("ééééé ééééé", 6, 3), ["ééééé", "ééééé"]);
    }

    #[test]
    fn of_a_long_name_the_end_stays() {
        assert_eq!(shortened_name("0012.jpg", 8), "0012.jpg");
        assert_eq!(shortened_name("NCP_96_1328_0005.png", 9), "…0005.png");
    }
}
