//! A rectangle of one grey level within the body: cut out as augmentations do, or covered.

use super::{Check, PictureView, SIDE};
use crate::data::audit::fields::{FieldPart, FieldParts, Fields, bits};

/// Neighbouring fields of one level differ by this much at most: noise of JPEG within it, less than any tissue's.
const EVEN: f32 = 1.0;
/// Fields along each side, of 64 along the picture.
const FEWEST: usize = 4;
/// Share of its bounds that is even. What a window clips, lungs or contrast agent, has the outline of an organ.
const FILLED: f32 = 0.97;
/// Share of the fields around it that differ from it by [`OTHER`] levels or more.
const AROUND: f32 = 0.75;
const OTHER: f32 = 12.0;
/// Share of them at least that differ from their median: the body around it is not of one level, as air is.
const UNEVEN: f32 = 0.25;

pub(super) fn cut_out(view: &PictureView<'_>) -> Option<(Check, String)> {
    let levels = &view.thumbnail.0;
    // Equal to the fields at its right and below, so that each part lacks its last row and column.
    let is_even: Fields = std::array::from_fn(|y| {
        let below = levels.get(y + 1).unwrap_or(&levels[y]);
        let near = |a: f32, b: f32| (a - b).abs() <= EVEN;
        bits(|x| near(levels[y][x], levels[y][(x + 1).min(SIDE - 1)]) && near(levels[y][x], below[x]))
    });
    let is_found = |part: &FieldPart| is_cut_out(levels, part) && is_one_level(view, part);
    let part = FieldParts::of(&is_even).each().iter().copied().find(is_found)?;
    let [left, right, top, bottom] = part.bounds;
    let of = |fields: usize, pixels: u32| fields * pixels as usize / SIDE;
    let (width, height) = (view.image.width, view.image.height);
    let detail = format!(
        "a rectangle of level {:.0} within the body, about {}x{} pixels at {}, {}",
        levels[top][left],
        of(right - left + 1, width),
        of(bottom - top + 1, height),
        of(left, width),
        of(top, height)
    );
    Some((Check::CutOut, detail))
}

fn is_cut_out(levels: &[[f32; SIDE]; SIDE], part: &FieldPart) -> bool {
    let [left, right, top, bottom] = part.bounds;
    let (width, height) = (right - left, bottom - top);
    // One field more at the right and below is even, and the next ones are partly covered.
    let is_within = left >= 2 && top >= 2 && right + 3 <= SIDE && bottom + 3 <= SIDE;
    if !is_within || width.min(height) < FEWEST || (part.area as f32) < FILLED * (width * height) as f32 {
        return false;
    }
    let level = levels[top][left];
    let sides = (top..bottom).flat_map(|y| [levels[y][left - 2], levels[y][right + 2]]);
    let ends = (left..right).flat_map(|x| [levels[top - 2][x], levels[bottom + 2][x]]);
    let mut around: Vec<f32> = sides.chain(ends).collect();
    let others = around.iter().filter(|around| (**around - level).abs() >= OTHER).count();
    // A label in air has one level all around it.
    around.sort_by(f32::total_cmp);
    let middle = around[around.len() / 2];
    let uneven = around.iter().filter(|around| (**around - middle).abs() > 3.0 * EVEN).count();
    others as f32 >= AROUND * around.len() as f32 && uneven as f32 >= UNEVEN * around.len() as f32
}

/// Whether the pixels within are of one level, but for JPEG's errors: tissue without vessels may be even in the mean of a field, and
/// has the scan's noise.
fn is_one_level(view: &PictureView<'_>, part: &FieldPart) -> bool {
    const NEAR: u8 = 2;
    let [width, height] = [view.image.width, view.image.height].map(|side| side as usize);
    let [left, right, top, bottom] = part.bounds;
    // Without the fields along its edges.
    let within = |from: usize, to: usize, side: usize| {
        (from + 1) * side / SIDE..(to * side / SIDE).max((from + 1) * side / SIDE + 1)
    };
    let (columns, rows) = (within(left, right - 1, width), within(top, bottom - 1, height));
    let pixels = || rows.clone().flat_map(|y| &view.image.pixels[y * width..][..width][columns.clone()]);
    let level = (view.thumbnail.0[top + 1][left + 1] + 0.5) as u8;
    let equal = pixels().filter(|pixel| pixel.abs_diff(level) <= NEAR).count();
    20 * equal >= 19 * pixels().count()
}
