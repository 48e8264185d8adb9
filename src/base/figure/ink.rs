//! Text on coloured ground that can be read.

use plotters::style::RGBColor;

/// Inks on a ground that is the same in light and dark themes: nearly black and nearly white, so that the dark variant, which
/// turns black and white around, leaves them as they are.
pub(super) const DARK_INK: RGBColor = RGBColor(1, 1, 1);
pub(super) const LIGHT_INK: RGBColor = RGBColor(254, 254, 254);

/// The ink that is read better on this ground.
pub(crate) fn ink_on(ground: RGBColor) -> RGBColor {
    if contrast(DARK_INK, ground) >= contrast(LIGHT_INK, ground) { DARK_INK } else { LIGHT_INK }
}

/// A colour over white, from 0 (white) to 1.
pub(crate) fn tinted(colour: RGBColor, strength: f64) -> RGBColor {
    let over = |of: u8| (255.0 + (f64::from(of) - 255.0) * strength.clamp(0.0, 1.0)).round() as u8;
    RGBColor(over(colour.0), over(colour.1), over(colour.2))
}

/// WCAG 2.2's contrast ratio, 1 to 21.
pub(super) fn contrast(one: RGBColor, other: RGBColor) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

fn luminance(RGBColor(red, green, blue): RGBColor) -> f64 {
    let linear = |of: u8| match f64::from(of) / 255.0 {
        low if low <= 0.04045 => low / 12.92,
        high => ((high + 0.055) / 1.055).powf(2.4),
    };
    0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::figure::PALETTE;

    #[test]
    fn every_tint_of_every_colour_has_an_ink_that_can_be_read() {
        assert!((contrast(RGBColor(0, 0, 0), RGBColor(255, 255, 255)) - 21.0).abs() < 1e-9);
        for colour in PALETTE {
            for step in 0..=100 {
                let ground = tinted(colour, f64::from(step) / 100.0);
                let contrast = contrast(ink_on(ground), ground);
                assert!(contrast >= 4.5, "{colour:?} at {step} %: {contrast}");
            }
        }
        // Where white was chosen before: on the middle tint of the first colour it has a contrast of 2.3.
        assert_eq!(ink_on(tinted(PALETTE[0], 0.53)), DARK_INK);
        assert_eq!(ink_on(PALETTE[0]), LIGHT_INK);
    }
}
