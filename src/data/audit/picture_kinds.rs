//! What a picture is when it is no axial slice, and what was drawn on one that is: told by its histogram, its thumbnail,
//! and of its full resolution by a few rows, or where that is needed.

use super::Check;
use super::thumbnail::Thumbnail;
use crate::data::pixels::GreyImage;
use several_slices::several_slices;
use straight_lines::StraightLines;

mod printed;
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
            .or_else(|| several_slices(view.thumbnail, &lines))
            .or_else(|| noise(view))
            .or_else(|| projection(view.thumbnail, &texture));
        let mut marks = Vec::new();
        if other.is_none() {
            marks.extend(strokes::annotation(view));
            marks.extend(lines.border());
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
        // Of 1,968 real slices none has more than 75 % of its pixels in white, or 95 % of them above level 116.
        (self.saturated >= 0.8 || self.darkest >= 140).then(|| {
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
}

/// Rows in which pixels are compared with their neighbours.
const ROWS: usize = 32;

impl Texture {
    fn of(image: &GreyImage) -> Self {
        let (width, height) = (image.width as usize, image.height as usize);
        let (mut second, mut first, mut sum, mut square) = (0_u64, 0_u64, 0_u64, 0_u64);
        let rows = (0..height).step_by((height / ROWS).max(1));
        for y in rows.clone() {
            let row = &image.pixels[y * width..(y + 1) * width];
            // A row has 8192 pixels at most, and a square is below 2^18.
            let (mut row_second, mut row_first) = (0_u32, 0_u32);
            for three in row.windows(3) {
                let [before, here, after] = [three[0], three[1], three[2]].map(i32::from);
                let (bend, slope) = (before - 2 * here + after, after - before);
                row_second = row_second.wrapping_add((bend * bend).cast_unsigned());
                row_first = row_first.wrapping_add((slope * slope).cast_unsigned());
            }
            second += u64::from(row_second);
            first += u64::from(row_first);
            sum += u64::from(row.iter().map(|p| u32::from(*p)).sum::<u32>());
            square += u64::from(row.iter().map(|p| u32::from(*p) * u32::from(*p)).sum::<u32>());
        }
        let count = (rows.len() * width).max(1) as f32;
        let mean = sum as f32 / count;
        Self {
            second: second as f32 / count,
            first: first as f32 / count,
            variance: square as f32 / count - mean * mean,
        }
    }

    fn sharpness(&self) -> f32 {
        self.second / self.first.max(1e-3)
    }

    /// Whether neighbouring pixels have little to do with each other: half the squared differences of the next but one
    /// are as large as the variance.
    fn is_uncorrelated(&self) -> bool {
        self.first > 1.2 * self.variance
    }
}

/// The fields of the thumbnail without those at its border.
const INNER: std::ops::Range<usize> = 6..SIDE - 6;

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

/// Mean correlation of rows of the thumbnail with those an eighth of the height below them, or a little less: pages of
/// many slices repeat at one distance. Borders would be alike, and are not compared.
fn rows_alike(rows: &[[f32; SIDE]; SIDE]) -> f32 {
    let alike = |apart: usize| {
        let pairs = (INNER.start..INNER.end - apart).step_by(4);
        let count = pairs.len() as f32;
        let within = |y: usize| rows[y][INNER].iter().copied();
        pairs.map(|y| correlation(within(y).zip(within(y + apart)))).sum::<f32>() / count
    };
    alike(8).min(alike(5))
}

fn transposed(rows: &[[f32; SIDE]; SIDE]) -> [[f32; SIDE]; SIDE] {
    std::array::from_fn(|y| std::array::from_fn(|x| rows[x][y]))
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
    let both = |pair: &(f32, f32)| pair.0 > BLACK && pair.1 > BLACK;
    let along = |step| {
        let pairs = (0..SIDE).step_by(step).flat_map(|y| (0..SIDE - 1).map(move |x| (rows[y][x], rows[y][x + 1])));
        correlation(pairs.filter(both))
    };
    // Every fourth row tells most slices from what may be noise: real ones have 0.53 or more in all rows.
    if along(4) >= 0.6 {
        return None;
    }
    let down = (0..SIDE - 1).flat_map(|y| (0..SIDE).map(move |x| (rows[y][x], rows[y + 1][x])));
    let alike = along(1).max(correlation(down.filter(both)));
    let said = || format!("neighbouring fields of 64 x 64 correlate by {alike:.2}, in a slice by 0.5 to 1");
    (alike < 0.4).then(|| (Check::Noise, said()))
}

/// A scout: rows far from each other are alike, for the body goes on from the upper to the lower border. An axial
/// slice's rows are not: it is widest in the middle.
fn projection(thumbnail: &Thumbnail, texture: &Texture) -> Option<(Check, String)> {
    let rows = &thumbnail.0;
    let along_body = rows_alike(rows);
    // Real slices reach 0.76.
    let is_long = along_body >= 0.8;
    // Sums along rays are smooth, and both borders cut the body.
    let is_smooth = || {
        along_body >= 0.72
            && texture.second <= 25.0
            && along_body - rows_alike(&transposed(rows)) >= 0.2
            && cut_by_border(rows).is_some_and(|(top, bottom)| top >= 0.3 && bottom >= 0.3)
    };
    (is_long || is_smooth()).then(|| {
        let rows = format!("rows an eighth of the height apart correlate by {along_body:.2}");
        (Check::LocalizerPicture, format!("{rows}: no axial slice, but a scout or a coronal or sagittal view"))
    })
}

/// Which share of the upper and of the lower border shows body.
fn cut_by_border(rows: &[[f32; SIDE]; SIDE]) -> Option<(f32, f32)> {
    let mut sorted: Vec<f32> = rows.iter().flatten().copied().collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let (low, high) = (*sorted.get(SIDE * SIDE / 50)?, *sorted.get(SIDE * SIDE * 49 / 50)?);
    let body = low + 0.35 * (high - low);
    let share = |rows: &[[f32; SIDE]]| {
        rows.iter().flatten().filter(|mean| **mean > body).count() as f32 / (rows.len() * SIDE) as f32
    };
    Some((share(&rows[..2]), share(&rows[SIDE - 2..])))
}

#[cfg(test)]
mod tests;
