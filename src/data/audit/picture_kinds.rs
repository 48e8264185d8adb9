//! What a picture is when it is no axial slice, and what was drawn on one that is: told by its histogram, its thumbnail,
//! and of its full resolution by a few rows, or where that is needed.

use super::Check;
use super::thumbnail::Thumbnail;
use crate::data::pixels::GreyImage;
use multiversion::multiversion;
use several_slices::several_slices;
use straight_lines::StraightLines;

mod cut_out;
mod printed;
mod projection;
mod several_slices;
mod straight_lines;
mod strokes;

const SIDE: usize = Thumbnail::SIDE;

/// What one picture shows beside, or instead of, an axial slice.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PictureKinds {
    /// It is no axial slice; the reason.
    pub(super) other: Option<(Check, String)>,
    /// What lies on the slice or around it.
    pub(super) marks: Vec<(Check, String)>,
    pub(super) quality: Quality,
}

/// What is compared with other slices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Quality {
    /// Energy of second differences per energy of first ones, along rows: 3 for white noise, near 0 for what is blurred.
    pub(super) sharpness: f32,
    /// Share of the pixels at level [`SATURATED`] or brighter.
    pub(super) saturated: f32,
    /// The 5th percentile of the grey levels.
    pub(super) darkest: u8,
}

/// White: the window's upper end, or close to it after JPEG.
const SATURATED: usize = 250;

/// A picture in the sizes that are looked at.
pub(super) struct PictureView<'a> {
    pub(super) image: &'a GreyImage,
    pub(super) histogram: &'a [u32; 256],
    pub(super) thumbnail: &'a Thumbnail,
}

impl PictureKinds {
    pub(super) fn of(view: &PictureView<'_>) -> Self {
        let texture = Texture::of(view.image);
        let lines = StraightLines::of(view.image);
        let other = printed::text_page(view)
            .or_else(|| printed::mask(view, &texture))
            .or_else(|| printed::few_levels(view))
            .or_else(|| several_slices(view.thumbnail, &lines))
            .or_else(|| noise(view))
            .or_else(|| printed::black_and_white(view))
            .or_else(|| projection::projection(view, &texture));
        let mut marks = Vec::new();
        if other.is_none() {
            marks.extend(strokes::annotation(view));
            marks.extend(lines.border());
            marks.extend(texture.wrapped());
            marks.extend(cut_out::cut_out(view));
            marks.extend(printed::posterized(view));
        }
        Self { other, marks, quality: Quality::of(view, &texture) }
    }
}

impl Quality {
    fn of(view: &PictureView<'_>, texture: &Texture) -> Self {
        let saturated: u32 = view.histogram[SATURATED..].iter().sum();
        let all = view.image.pixels.len() as f32;
        Self { sharpness: texture.sharpness(), saturated: saturated as f32 / all, darkest: view.level(0.05) }
    }

    /// The reason why it shows less than it should, by itself.
    pub(super) fn overexposed(self) -> Option<String> {
        // Of 1,968 real slices none has more than 75 % of its pixels in white, or 95 % of them above level 116; a picture
        // below the lungs, cropped to the body, has, yet is not white.
        let is_bright = self.darkest >= 140 && self.saturated >= 0.18;
        (self.saturated >= 0.8 || is_bright).then(|| {
            let saturated = 100.0 * self.saturated;
            format!("{saturated:.0} % of the pixels are white, 95 % are at level {} or brighter", self.darkest)
        })
    }
}

impl PictureView<'_> {
    fn brightest(&self) -> u8 {
        self.histogram.iter().rposition(|n| *n > 0).unwrap_or(0) as u8
    }

    /// The lowest level that a share of the pixels does not exceed.
    fn level(&self, share: f64) -> u8 {
        let (mut seen, wanted) = (0, (share * self.image.pixels.len() as f64) as u64);
        let found = self.histogram.iter().position(|n| {
            seen += u64::from(*n);
            seen > wanted
        });
        found.unwrap_or(255) as u8
    }
}

/// Differences of neighbouring pixels, summed over some rows.
struct Texture {
    /// Mean of squares of p(x−1) − 2p(x) + p(x+1), and of p(x+1) − p(x−1).
    second: f32,
    first: f32,
    /// Variance of the pixels in these rows.
    variance: f32,
    /// Share of neighbours between which the level wraps around.
    wraps: f32,
}

/// Rows in which pixels are compared with their neighbours.
const ROWS: usize = 32;

impl Texture {
    fn of(image: &GreyImage) -> Self {
        let (width, height) = (image.width as usize, image.height as usize);
        let (mut sums, mut wraps) = ([0_u64; 4], 0);
        let rows = (0..height).step_by((height / ROWS).max(1));
        for y in rows.clone() {
            let row = &image.pixels[y * width..(y + 1) * width];
            wraps += wraps_of(row);
            let of_row = row_sums(row);
            sums.iter_mut().zip(of_row).for_each(|(sum, of)| *sum += u64::from(of));
        }
        let count = (rows.len() * width).max(1) as f32;
        let [second, first, sum, square] = sums.map(|sum| sum as f32 / count);
        Self { second, first, variance: square - sum * sum, wraps: wraps as f32 / count }
    }

    fn sharpness(&self) -> f32 {
        self.second / self.first.max(1e-3)
    }

    /// The finding that values were cut to their lowest eight bits. Of 1,968 real slices none has more than 0.9 %, and of windows
    /// eight times as narrow one in a hundred 1.5 %; cut ones have 1.6 % or more.
    fn wrapped(&self) -> Option<(Check, String)> {
        (self.wraps >= 0.015).then(|| {
            let detail = format!(
                "at {:.1} % of the pixels the level jumps by {JUMP} or more against the slope around: values beyond 255 that \
                 began again at 0?",
                100.0 * self.wraps
            );
            (Check::WrappedValues, detail)
        })
    }

    /// Whether neighbouring pixels have little to do with each other: half the squared differences of the next but one
    /// are as large as the variance.
    fn is_uncorrelated(&self) -> bool {
        self.first > 1.2 * self.variance
    }
}

/// What a level falls or rises by where it wraps around.
const JUMP: i32 = 200;

/// Pixels of a row after which the level jumps, and beside the jump goes the other way.
fn wraps_of(row: &[u8]) -> usize {
    let wraps = |four: &[u8]| {
        let [a, b, c, d] = [four[0], four[1], four[2], four[3]].map(i32::from);
        let jump = c - b;
        jump.abs() >= JUMP
            && (b - a) * jump.signum() + (d - c) * jump.signum() < 0
            && (b - a).abs() + (d - c).abs() >= 8
    };
    row.windows(4).filter(|four| wraps(four)).count()
}

/// Squares of second and of first differences of a row, its pixels and their squares, each summed up. A row has 8192 pixels
/// at most, and a square is below 2^18.
#[multiversion(targets("x86_64+avx2"))]
fn row_sums(row: &[u8]) -> [u32; 4] {
    let (mut second, mut first, mut sum, mut square) = (0_u32, 0_u32, 0_u32, 0_u32);
    let shifted = |by: usize| row.get(by..).unwrap_or_default();
    for ((before, here), after) in row.iter().zip(shifted(1)).zip(shifted(2)) {
        let [before, here, after] = [*before, *here, *after].map(i32::from);
        let bend = before.wrapping_sub(2 * here).wrapping_add(after);
        let slope = after.wrapping_sub(before);
        second = second.wrapping_add(bend.wrapping_mul(bend).cast_unsigned());
        first = first.wrapping_add(slope.wrapping_mul(slope).cast_unsigned());
    }
    for pixel in row.iter().map(|pixel| u32::from(*pixel)) {
        sum = sum.wrapping_add(pixel);
        square = square.wrapping_add(pixel.wrapping_mul(pixel));
    }
    [second, first, sum, square]
}

/// Pearson's correlation; 1 where one side does not vary.
fn correlation(pairs: impl Iterator<Item = (f32, f32)> + Clone) -> f32 {
    let (mut n, mut a, mut b) = (0.0, 0.0, 0.0);
    for (x, y) in pairs.clone() {
        (n, a, b) = (n + 1.0, a + x, b + y);
    }
    let (a, b) = (a / f32::max(n, 1.0), b / f32::max(n, 1.0));
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (x, y) in pairs {
        let (x, y) = (x - a, y - b);
        (aa, bb, ab) = (aa + x * x, bb + y * y, ab + x * y);
    }
    if aa * bb > 1e-3 { ab / (aa * bb).sqrt() } else { 1.0 }
}

/// The same of lines, in place by place of which sums are kept, so that none waits for another; without pairs of which one
/// is not above `black`.
fn correlation_of_lines<'a>(lines: impl Iterator<Item = (&'a [f32], &'a [f32])>, black: f32) -> f32 {
    let mut sums = [[0.0_f32; SIDE]; 6];
    for (one, other) in lines {
        for (x, (a, b)) in one.iter().zip(other).enumerate().take(SIDE) {
            let weight = f32::from(u8::from(*a > black) & u8::from(*b > black));
            // Around the middle of the levels, so that little is lost.
            let (a, b) = (weight * (a - 128.0), weight * (b - 128.0));
            let terms = [weight, a, b, a * a, b * b, a * b];
            sums.iter_mut().zip(terms).for_each(|(sums, term)| sums[x] += term);
        }
    }
    let [n, a, b, aa, bb, ab] = sums.map(|sums| sums.iter().sum::<f32>());
    let n = n.max(1.0);
    let (aa, bb, ab) = (aa - a * a / n, bb - b * b / n, ab - a * b / n);
    if aa * bb > 1e-3 { ab / (aa * bb).sqrt() } else { 1.0 }
}

/// Means of 64 × 64 fields say nothing of the fields beside them. Black fields are not compared, so that it may be noise
/// in a round field of view.
fn noise(view: &PictureView<'_>) -> Option<(Check, String)> {
    const BLACK: f32 = 8.0;
    // Less is an even picture.
    if view.level(0.99) - view.level(0.01) < 24 {
        return None;
    }
    let rows = &view.thumbnail.0;
    let shown = rows.iter().flatten().filter(|mean| **mean > BLACK).count();
    if shown < SIDE * SIDE / 2 {
        return None;
    }
    let along =
        |step| correlation_of_lines((0..SIDE).step_by(step).map(|y| (&rows[y][..SIDE - 1], &rows[y][1..])), BLACK);
    // Every fourth row tells most slices from what may be noise: real ones have 0.53 or more in all rows.
    if along(4) >= 0.6 {
        return None;
    }
    let down = (0..SIDE - 1).map(|y| (&rows[y][..], &rows[y + 1][..]));
    let alike = along(1).max(correlation_of_lines(down, BLACK));
    let said = || format!("neighbouring fields of 64 x 64 correlate by {alike:.2}, in a slice by 0.5 to 1");
    (alike < 0.4).then(|| (Check::Noise, said()))
}

fn transposed(rows: &[[f32; SIDE]; SIDE]) -> [[f32; SIDE]; SIDE] {
    let mut columns = [[0.0; SIDE]; SIDE];
    for (x, column) in columns.iter_mut().enumerate() {
        column.iter_mut().zip(rows).for_each(|(value, row)| *value = row[x]);
    }
    columns
}

#[cfg(test)]
mod tests;
