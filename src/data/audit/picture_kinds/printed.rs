//! Pictures of few grey levels: pages of text, and masks.

use super::{Check, PictureView, Texture};
use crate::data::pixels::GreyImage;

/// Half the width of a band of levels that counts as one level, since JPEG blurs them.
const BAND: usize = 6;

/// The levels that hold the most pixels, and the share of pixels within [`BAND`] of each.
fn bands(histogram: &[u32; 256]) -> [(usize, f32); 3] {
    let mut left = *histogram;
    let all = histogram.iter().map(|n| u64::from(*n)).sum::<u64>().max(1) as f32;
    std::array::from_fn(|_| {
        let mut below = [0_u64; 257];
        left.iter().enumerate().for_each(|(level, n)| below[level + 1] = below[level] + u64::from(*n));
        let around = |level: usize| level.saturating_sub(BAND)..(level + BAND + 1).min(256);
        let held = |level: usize| below[around(level).end] - below[around(level).start];
        let level = (0..256).max_by_key(|level| (held(*level), left[*level])).unwrap_or(0);
        left[around(level)].fill(0);
        (level, held(level) as f32 / all)
    })
}

/// A mask or a map of labels: two or three levels hold nearly all pixels. In real slices two bands hold 83 % at most, and
/// three 98 %.
pub(super) fn mask(view: &PictureView<'_>, texture: &Texture) -> Option<(Check, String)> {
    let [first, second, third] = bands(view.histogram);
    let (two, three) = (first.1 + second.1, first.1 + second.1 + third.1);
    let rest = (1.0 - first.1).max(1e-6);
    let is_two = two >= 0.92 && second.1 >= 0.5 * rest;
    let is_three = three >= 0.99 && second.1 + third.1 >= 0.9 * rest;
    let is_apart = first.0.abs_diff(second.0) >= 64;
    if !is_apart || second.1 < 0.0005 || !(is_two || is_three) || texture.is_uncorrelated() {
        return None;
    }
    // Lungs that were cut out of their surroundings are of levels that noise spreads; a label is one, that JPEG spreads at its
    // edges alone.
    let band = second.0.saturating_sub(BAND)..(second.0 + BAND + 1).min(256);
    let held = |levels: std::ops::Range<usize>| view.histogram[levels].iter().map(|n| u64::from(*n)).sum::<u64>();
    let peak = band.clone().map(|level| held(level.saturating_sub(1)..(level + 2).min(256))).max().unwrap_or(0);
    if 2 * peak < held(band) {
        return None;
    }
    let mut levels = if is_two { vec![first.0, second.0] } else { vec![first.0, second.0, third.0] };
    levels.sort_unstable();
    let levels: Vec<String> = levels.iter().map(usize::to_string).collect();
    let share = 100.0 * if is_two { two } else { three };
    Some((Check::MaskPicture, format!("{share:.1} % of the pixels are at the grey levels {}", levels.join(", "))))
}

/// All levels of a picture that has so few at most.
fn only_levels(view: &PictureView<'_>, at_most: usize) -> Option<Vec<usize>> {
    let levels: Vec<usize> = (0..256).filter(|level| view.histogram[*level] > 0).take(at_most + 1).collect();
    (2..=at_most).contains(&levels.len()).then_some(levels)
}

fn no_other_levels(levels: &[usize]) -> (Check, String) {
    let levels: Vec<String> = levels.iter().map(usize::to_string).collect();
    (Check::MaskPicture, format!("no other grey levels than {}", levels.join(", ")))
}

/// A map of labels that was not saved as JPEG: a few levels and no others, in even regions.
pub(super) fn few_levels(view: &PictureView<'_>) -> Option<(Check, String)> {
    const LEVELS: usize = 8;
    /// Pixels in a row at one level, on average without the most common one: of a slice in eight levels 2 to 5.
    const EVEN: usize = 10;
    let levels = only_levels(view, LEVELS)?;
    let ground = (0..256).max_by_key(|level| view.histogram[*level])? as u8;
    let (mut runs, mut pixels) = (0, 0);
    let (width, height) = (view.image.width as usize, view.image.height as usize);
    for row in view.image.pixels.chunks_exact(width).step_by((height / 128).max(1)) {
        for run in row.chunk_by(|a, b| a == b).filter(|run| run[0] != ground) {
            (runs, pixels) = (runs + 1, pixels + run.len());
        }
    }
    (runs > 0 && pixels >= EVEN * runs).then(|| no_other_levels(&levels))
}

/// A slice in so few grey levels that differences within tissue are lost. Of 1,968 real slices none has fewer than 102.
pub(super) fn posterized(view: &PictureView<'_>) -> Option<(Check, String)> {
    const LEVELS: usize = 40;
    let levels = only_levels(view, LEVELS)?;
    let (darkest, brightest) = (levels.first()?, levels.last()?);
    let detail = format!("{} grey levels and no others between {darkest} and {brightest}", levels.len());
    (brightest - darkest > 64).then_some((Check::FewLevels, detail))
}

/// Black and white alone, also where dots stand for grey.
pub(super) fn black_and_white(view: &PictureView<'_>) -> Option<(Check, String)> {
    let levels = only_levels(view, 2)?;
    (levels[1] - levels[0] > 64).then(|| no_other_levels(&levels))
}

/// A page of text: an even ground, and on it many short runs of pixels in lines with gaps between them. Runs in a slice
/// are as long as the body.
pub(super) fn text_page(view: &PictureView<'_>) -> Option<(Check, String)> {
    const NEAR: usize = 4;
    let around = |level: usize| level.saturating_sub(NEAR)..(level + NEAR + 1).min(256);
    let ground = (0..256).max_by_key(|level| view.histogram[*level])?;
    let share = view.histogram[around(ground)].iter().sum::<u32>() as f32 / view.image.pixels.len() as f32;
    // Real slices have 75 % at most.
    if share < 0.6 {
        return None;
    }
    let (width, height) = (view.image.width as usize, view.image.height as usize);
    let step = (height / 256).max(1);
    // In most slices a few rows show that there is a body.
    if Ink::of(view.image, ground as u8, 16 * step).is_mostly_long() {
        return None;
    }
    let Ink { ink, in_long, rules, runs_of_rows } = Ink::of(view.image, ground as u8, step);
    let (lines, gaps) = lines_and_gaps(&runs_of_rows);
    let rows = runs_of_rows.len();
    let is_text =
        ink * 300 >= rows * width && in_long * 5 < ink && lines >= 3 && gaps * 10 >= rows && rules * 6 <= rows;
    is_text.then(|| {
        let detail =
            format!("{:.0} % even ground of level {ground}, with {lines} lines of short strokes", 100.0 * share);
        (Check::TextPage, detail)
    })
}

/// Runs of pixels that differ from the ground, in every few rows.
struct Ink {
    ink: usize,
    in_long: usize,
    rules: usize,
    runs_of_rows: Vec<usize>,
}

impl Ink {
    fn of(image: &GreyImage, ground: u8, step: usize) -> Self {
        const DIFFERS: u8 = 24;
        let width = image.width as usize;
        let long = (width / 24).max(8);
        let mut found = Self { ink: 0, in_long: 0, rules: 0, runs_of_rows: Vec::new() };
        for row in image.pixels.chunks_exact(width).step_by(step) {
            let runs =
                || row.split(|pixel| pixel.abs_diff(ground) <= DIFFERS).map(<[u8]>::len).filter(|length| *length > 0);
            let (mut count, mut ink, mut in_long, mut is_rule) = (0, 0, 0, false);
            for length in runs() {
                // A rule of a table, or a frame.
                is_rule |= length > width / 2;
                (count, ink) = (count + 1, ink + length);
                in_long += if length > long { length } else { 0 };
            }
            if is_rule {
                found.rules += 1;
                continue;
            }
            (found.ink, found.in_long) = (found.ink + ink, found.in_long + in_long);
            found.runs_of_rows.push(count);
        }
        found
    }

    fn is_mostly_long(&self) -> bool {
        self.ink > 0 && 2 * self.in_long > self.ink
    }
}

/// Lines of text, and rows between them, by the number of runs in each row.
fn lines_and_gaps(runs: &[usize]) -> (usize, usize) {
    let mut sorted = runs.to_vec();
    sorted.sort_unstable();
    // In a table, the rules between its columns.
    let always = sorted.get(runs.len() / 10).copied().unwrap_or(0).min(12);
    let (mut lines, mut in_line) = (0, false);
    for count in runs.iter().map(|count| count.saturating_sub(always)) {
        lines += usize::from(!in_line && count >= 6);
        in_line = count >= 6 || in_line && count >= 2;
    }
    (lines, runs.iter().filter(|count| **count < always + 2).count())
}
