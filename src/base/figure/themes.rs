//! The dark variant of a figure, inside its SVG: shown where the reader's system or page is dark.

use crate::base::figure::PALETTE;
use plotters::style::RGBColor;

/// The ground of a dark figure, and what is black in a light one.
const GROUND: RGBColor = RGBColor(28, 28, 28);
const INK: RGBColor = RGBColor(232, 232, 232);

/// Colours of the light variant and of the dark one: black and white change places, dark colours become lighter. What lies on a
/// picture or a tint has other colours and stays.
const CHANGED: [(RGBColor, RGBColor); 6] = [
    (RGBColor(255, 255, 255), GROUND),
    (RGBColor(0, 0, 0), INK),
    (PALETTE[0], RGBColor(74, 163, 223)),
    // Of contact sheets: the ground of a strip, and the words of marks.
    (RGBColor(242, 242, 242), RGBColor(44, 44, 44)),
    (RGBColor(168, 0, 21), RGBColor(255, 138, 144)),
    (RGBColor(122, 85, 0), RGBColor(240, 184, 64)),
];

/// The SVG with a style for dark themes as its first child.
pub(super) fn with_dark_variant(svg: &str) -> String {
    let Some(inside) = svg.find("<svg").and_then(|at| Some(at + svg[at..].find('>')? + 1)) else {
        return svg.to_owned();
    };
    let lower = svg.to_ascii_lowercase();
    let used = |of: &str, light: RGBColor| lower.contains(&format!("{of}=\"{}\"", hex(light)));
    let rules = CHANGED.into_iter().flat_map(|(light, dark)| {
        let rule = |of: &str| used(of, light).then(|| format!("[{of}=\"{}\" i]{{{of}:{}}}", hex(light), hex(dark)));
        ["fill", "stroke"].map(rule)
    });
    let rules: String = rules.flatten().collect();
    format!("{}<style>@media (prefers-color-scheme:dark){{{rules}}}</style>{}", &svg[..inside], &svg[inside..])
}

fn hex(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::figure::ink::{DARK_INK, LIGHT_INK, contrast};

    #[test]
    fn the_dark_variant_can_be_read_and_leaves_ink_on_tints_alone() {
        let svg = with_dark_variant("<?xml?><svg width=\"5\"><text fill=\"#000000\"/><path stroke=\"#0072B2\"/></svg>");
        assert!(svg.starts_with("<?xml?><svg width=\"5\"><style>@media (prefers-color-scheme:dark){"), "{svg}");
        assert!(
            svg.contains("[fill=\"#000000\" i]{fill:#e8e8e8}")
                && svg.contains("[stroke=\"#0072b2\" i]{stroke:#4aa3df}")
        );
        assert_eq!(svg.matches(" i]{").count(), 2, "no rule for what is not there");
        assert!(contrast(INK, GROUND) >= 4.5);
        for (light, dark) in &CHANGED[2..] {
            assert!(contrast(*dark, GROUND) >= 3.0 || *light == RGBColor(242, 242, 242), "{light:?}");
        }
        for colour in &PALETTE[1..] {
            assert!(contrast(*colour, GROUND) >= 3.0, "{colour:?}");
        }
        let changed: Vec<String> = CHANGED.iter().map(|of| hex(of.0)).collect();
        assert!([DARK_INK, LIGHT_INK].iter().all(|ink| !changed.contains(&hex(*ink))));
    }
}
