//! Pictures that are named as made of another slice of their scan: `3_mask.png`, `3_flip.png` beside `3.png`.

use crate::data::manifest::{Manifest, stem};
use std::collections::HashSet;

/// Words by which programs name masks, heat maps and augmented copies, in lower case and without the numbers behind them. Not `lung`,
/// `bone` and the like: these may be windows.
#[rustfmt::skip]
const MADE: [&str; 49] = [
    "mask", "masks", "masked", "seg", "segm", "segmentation", "lungmask", "lungseg", "infection", "contour", "contours", "bbox",
    "annotated", "annotation", "overlay", "cam", "gradcam", "heatmap", "heat", "saliency", "attention",
    "flip", "flipped", "hflip", "vflip", "fliplr", "flipud", "mirror", "mirrored", "rot", "rotate", "rotated",
    "aug", "augmented", "noise", "noisy", "blur", "blurred", "bright", "brightness", "gamma", "zoom", "zoomed", "shifted",
    "clahe", "equalized", "equalised", "inverted", "elastic",
];

/// What separates the parts of a name.
fn separates(c: char) -> bool {
    matches!(c, '_' | '-' | ' ' | '.' | '(' | ')')
}

/// Whether all parts of this are such words or numbers, and one at least is a word.
fn says_made(part: &str) -> bool {
    let is_number = |word: &str| word.trim_end_matches("deg").bytes().all(|byte| byte.is_ascii_digit());
    let is_word = |word: &str| {
        let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
        MADE.iter().any(|made| letters.eq_ignore_ascii_case(made))
    };
    let words = || part.split(separates).filter(|word| !word.is_empty());
    words().all(|word| is_word(word) || is_number(word)) && words().any(is_word)
}

/// The name of the slice that this one is made of, by its own name.
fn original_of(stem: &str, is_there: impl Fn(&str) -> bool) -> Option<&str> {
    stem.char_indices().filter(|(_, c)| separates(*c)).find_map(|(at, c)| {
        let (before, behind) = (&stem[..at], &stem[at + c.len_utf8()..]);
        [(before, behind), (behind, before)]
            .into_iter()
            .find(|(name, made)| says_made(made) && is_there(name))
            .map(|(name, _)| name)
    })
}

/// The slices that are made of another of their scan, with the stem of its name.
pub(super) fn derived(manifest: &Manifest) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for slices in manifest.slices_by_scan() {
        let of = |slice: &usize| stem(&manifest.slices[*slice].file);
        let pictures: Vec<usize> =
            slices.into_iter().filter(|slice| manifest.slices[*slice].number.is_some()).collect();
        // Most names have no part that could be one.
        if !pictures.iter().any(|slice| of(slice).split(separates).any(says_made)) {
            continue;
        }
        let stems: HashSet<&str> = pictures.iter().map(of).collect();
        let made = |slice: usize| Some((slice, original_of(of(&slice), |name| stems.contains(name))?.to_owned()));
        found.extend(pictures.iter().filter_map(|slice| made(*slice)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_masks_heat_maps_and_augmented_copies_lead_to_their_slice() {
        let is_there = |name: &str| ["3", "IM-0001-0003", "a_3"].contains(&name);
        for (stem, original) in [
            ("3_mask", "3"),
            ("3-GradCAM", "3"),
            ("3_rot10", "3"),
            ("3_rot_10_flip", "3"),
            ("3_aug_0", "3"),
            ("3_rot_15deg", "3"),
            ("3.flip", "3"),
            ("aug_3", "3"),
            ("flipped_a_3", "a_3"),
            ("IM-0001-0003_seg", "IM-0001-0003"),
        ] {
            assert_eq!(original_of(stem, is_there), Some(original), "{stem}");
        }
        // Another slice, a window, a second part of a name, a copy of one that is not there.
        for stem in ["3", "3_1", "3_lung", "a_3_x", "4_mask", "mask", "3_", "rot10", "3_bright_lung"] {
            assert_eq!(original_of(stem, is_there), None, "{stem}");
        }
    }
}
