//! Straight edges along rows and columns: frames, windows of a screen, gaps between pictures. Nothing in a chest is
//! straight over most of a picture's width or height.

use super::Check;
use crate::data::pixels::GreyImage;
use multiversion::multiversion;

/// A step between neighbouring pixels.
const STEP: u8 = 16;
/// Pixels of a row that are counted together.
const PIECE: usize = 32;
/// Positions on either side that an edge must stand out from.
const AROUND: usize = 12;

/// How much of each boundary between two columns, and between two rows, is a step; 0 to 1.
pub(super) struct StraightLines {
    pub(super) columns: Vec<f32>,
    pub(super) rows: Vec<f32>,
}

impl StraightLines {
    pub(super) fn of(image: &GreyImage) -> Self {
        let (width, height) = (image.width as usize, image.height as usize);
        let (mut columns, mut rows) = (vec![0; width - 1], vec![0; height - 1]);
        count_steps(&image.pixels, width, &mut columns, &mut rows);
        let shares = |counts: Vec<u32>, of: usize| counts.into_iter().map(|n| n as f32 / of.max(1) as f32).collect();
        // Of those that were counted.
        let pieces = (width / PIECE).div_ceil(2);
        Self { columns: shares(columns, height.div_ceil(2)), rows: shares(rows, PIECE * pieces) }
    }

    /// An edge of a frame, a window or padding. In real slices without one, columns stand out by 0.35 and rows, by flat
    /// couches, by 0.63 at most.
    pub(super) fn border(&self) -> Option<(Check, String)> {
        let side = |shares: &[f32], least: f32, what: &str, length: &str| {
            let at = (0..shares.len()).rev().filter(|at| shares[*at] >= least);
            let best = at.max_by(|a, b| shares[*a].total_cmp(&shares[*b]))?;
            let detail = || {
                let share = 100.0 * shares[best];
                format!(
                    "a straight edge along {share:.0} % of the {length}, at {what} {} of {}",
                    best + 1,
                    shares.len() + 1
                )
            };
            (stands_out(shares, best) >= least).then(|| (Check::Borders, detail()))
        };
        side(&self.columns, 0.5, "column", "height").or_else(|| side(&self.rows, 0.7, "row", "width"))
    }
}

/// By how much a share is above the mean around it.
pub(super) fn stands_out(shares: &[f32], at: usize) -> f32 {
    let around = &shares[at.saturating_sub(AROUND)..(at + AROUND + 1).min(shares.len())];
    shares[at] - (around.iter().sum::<f32>() - shares[at]) / (around.len() - 1).max(1) as f32
}

/// 1 for a step, else 0. What is left above a step's height, at most 1: bytes throughout, as a comparison would be computed
/// in four bytes for each pixel.
#[inline(always)]
fn step(one: u8, other: u8) -> u8 {
    (one.max(other) - one.min(other)).saturating_sub(STEP - 1).min(1)
}

/// Counts steps across the boundaries of columns, in every second row, and of rows, in every second piece of them.
#[multiversion(targets("x86_64+avx2", "x86_64+avx2+avx512f+avx512bw"))]
fn count_steps(pixels: &[u8], width: usize, columns: &mut [u32], rows: &mut [u32]) {
    // Counts in bytes are added up before they could run over.
    const ROWS: usize = 128;
    let mut counts = vec![0_u8; columns.len()];
    for part in pixels.chunks(2 * width * ROWS) {
        counts.fill(0);
        for row in part.chunks_exact(width).step_by(2) {
            let (left, right) = (&row[..counts.len()], &row[1..]);
            for ((count, left), right) in counts.iter_mut().zip(left).zip(right) {
                *count = count.wrapping_add(step(*left, *right));
            }
        }
        columns.iter_mut().zip(&counts).for_each(|(sum, count)| *sum += u32::from(*count));
    }
    let below = pixels[width..].chunks_exact(width);
    for (sum, (upper, lower)) in rows.iter_mut().zip(pixels.chunks_exact(width).zip(below)) {
        let mut counts = [0_u8; PIECE];
        // A row has 8192 pixels at most: 128 pieces.
        for (upper, lower) in upper.chunks_exact(PIECE).zip(lower.chunks_exact(PIECE)).step_by(2) {
            for ((count, upper), lower) in counts.iter_mut().zip(upper).zip(lower) {
                *count = count.wrapping_add(step(*upper, *lower));
            }
        }
        *sum = counts.iter().fold(0, |sum: u32, count| sum.wrapping_add(u32::from(*count)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_in_every_second_row_and_piece() {
        let all = || (0..=255_u8).flat_map(|one| (0..=255_u8).map(move |other| (one, other)));
        assert!(all().all(|(one, other)| step(one, other) == u8::from(one.abs_diff(other) >= STEP)));
        // 70 columns, the last six in no piece; from column 3 on 16 levels brighter, and from row 2 on.
        let (width, height) = (70, 5);
        let level = |at: usize| 16 * u8::from(at % width >= 3) + 16 * u8::from(at / width >= 2);
        let image = GreyImage { width: 70, height: 5, pixels: (0..width * height).map(level).collect() };
        let lines = StraightLines::of(&image);
        let share = |at: usize, of: usize| f32::from(u8::from(at == of));
        assert_eq!(lines.columns, (0..width - 1).map(|at| share(at, 2)).collect::<Vec<_>>());
        assert_eq!(lines.rows, (0..height - 1).map(|at| share(at, 1)).collect::<Vec<_>>());
    }
}
