//! Scouts: pictures of the body from the front or the side.

use super::{Check, PictureView, SIDE, Texture, transposed};

/// The fields of the thumbnail without those at its border.
const INNER: std::ops::Range<usize> = 6..SIDE - 6;

/// A scout: rows far from each other are alike, for the body goes on from the upper to the lower border. An axial
/// slice's rows are not: it is widest in the middle.
pub(super) fn projection(view: &PictureView<'_>, texture: &Texture) -> Option<(Check, String)> {
    let within = without_margins(view);
    let rows = within.as_deref().unwrap_or(&view.thumbnail.0);
    // Real slices reach 0.76.
    const LONG: f32 = 0.8;
    const SMOOTH: f32 = 0.72;
    let along_body = rows_alike(rows, SMOOTH);
    let is_long = along_body >= LONG;
    // Sums along rays are smooth, and both borders cut the body.
    let is_smooth = || {
        along_body >= SMOOTH
            && texture.second <= 25.0
            && along_body - rows_alike(&transposed(rows), 0.0) >= 0.2
            && cut_by_border(rows).is_some_and(|(top, bottom)| top >= 0.3 && bottom >= 0.3)
    };
    (is_long || is_smooth()).then(|| {
        let rows = format!("rows an eighth of the height apart correlate by {along_body:.2}");
        (Check::LocalizerPicture, format!("{rows}: no axial slice, but a scout or a coronal or sagittal view"))
    })
}

/// What lies within black margins above and below, which a body that goes on does not have, or beside a picture that was put on
/// a wider one: enlarged to all fields. `None` without such margins.
fn without_margins(view: &PictureView<'_>) -> Option<Box<[[f32; SIDE]; SIDE]>> {
    const BLACK: f32 = 8.0;
    let rows = &view.thumbnail.0;
    let ends = |is_shown: &dyn Fn(usize) -> bool| {
        Some([(0..SIDE).find(|at| is_shown(*at))?, 1 + (0..SIDE).rfind(|at| is_shown(*at))?])
    };
    let [top, bottom] = ends(&|y| rows[y].iter().any(|mean| *mean > BLACK))?;
    let [left, right] = ends(&|x| rows.iter().any(|row| row[x] > BLACK))?;
    let is_wide = 10 * view.image.width > 11 * view.image.height;
    let is_padded = top > 0 && bottom < SIDE || is_wide && left > 2 && right + 2 < SIDE;
    let is_enough = bottom - top >= SIDE / 4 && right - left >= SIDE / 4;
    (is_padded && is_enough).then(|| {
        let place = |at: usize, [begin, end]: [usize; 2]| begin + at * (end - begin) / SIDE;
        let mut within = Box::new([[0.0; SIDE]; SIDE]);
        for (y, row) in within.iter_mut().enumerate() {
            let from = &rows[place(y, [top, bottom])];
            row.iter_mut().enumerate().for_each(|(x, value)| *value = from[place(x, [left, right])]);
        }
        within
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

/// Mean correlation of rows of the thumbnail with those an eighth of the height below them, or a little less: pages of
/// many slices repeat at one distance. Borders would be alike, and are not compared. Where it is less than `at_least`,
/// it may be less than what is returned.
fn rows_alike(rows: &[[f32; SIDE]; SIDE], at_least: f32) -> f32 {
    let alike = |apart: usize| {
        let pairs = (INNER.start..INNER.end - apart).step_by(4);
        let count = pairs.len() as f32;
        let within = |y: usize| &rows[y][INNER];
        pairs.map(|y| correlation_of_rows(within(y), within(y + apart))).sum::<f32>() / count
    };
    let far = alike(8);
    if far < at_least { far } else { far.min(alike(5)) }
}

/// Pearson's correlation of two rows; 1 where one does not vary.
fn correlation_of_rows(one: &[f32], other: &[f32]) -> f32 {
    const PLACES: usize = 4;
    let (one, other) = (one.as_chunks::<PLACES>().0, other.as_chunks::<PLACES>().0);
    let count = (PLACES * one.len()).max(1) as f32;
    let mean = |of: &[[f32; PLACES]]| {
        let mut sums = [0.0; PLACES];
        of.iter().for_each(|some| sums.iter_mut().zip(some).for_each(|(sum, value)| *sum += value));
        sums.iter().sum::<f32>() / count
    };
    let (a, b) = (mean(one), mean(other));
    let mut sums = [[0.0; PLACES]; 3];
    for (one, other) in one.iter().zip(other) {
        for at in 0..PLACES {
            let (x, y) = (one[at] - a, other[at] - b);
            sums[0][at] += x * x;
            sums[1][at] += y * y;
            sums[2][at] += x * y;
        }
    }
    let [aa, bb, ab] = sums.map(|sums| sums.iter().sum::<f32>());
    if aa * bb > 1e-3 { ab / (aa * bb).sqrt() } else { 1.0 }
}
