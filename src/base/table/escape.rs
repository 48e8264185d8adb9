//! Text made safe for HTML.

/// Text made safe inside HTML and SVG.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The longest word, in characters, that is never broken.
const WORD: usize = 20;

/// [`escape`]d, with line-break opportunities inside words that are too long for a narrow column, such as paths and
/// hashes; other words are never broken.
pub(super) fn breakable(text: &str) -> String {
    let word = |word: &str| {
        if word.chars().count() <= WORD {
            return escape(word);
        }
        let (mut html, mut piece) = (String::new(), String::new());
        for letter in word.chars() {
            piece.push(letter);
            if "/_,=.-".contains(letter) || piece.chars().count() == WORD {
                html += &escape(&piece);
                html += "<wbr>";
                piece.clear();
            }
        }
        html + &escape(&piece)
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
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
