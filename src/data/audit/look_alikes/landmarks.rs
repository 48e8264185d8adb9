//! Parts of a slice that are found again in a cropped or enlarged copy: the lungs, the body, and others that are darker or
//! brighter than what surrounds them.

use super::super::fields::{FieldPart, FieldParts, Fields, bits};
use super::super::samples::Small;
use super::super::thumbnail::Thumbnail;
use super::symmetry::SlicePart;

const SIDE: usize = Thumbnail::SIDE;
/// Grey levels at which a slice is divided into dark and bright, evenly spaced between its darkest and brightest.
const LEVELS: usize = 5;
/// Most parts of a slice, with the whole.
const MOST: usize = 10;
/// The smallest area of a part, and of a piece of parts that are taken together, in fields.
const PART: usize = 100;
const PIECE: usize = 30;
/// The smallest side of a part, in fields.
const NARROWEST: usize = 10;
/// Two parts of which this share is common to both are one.
const SAME: f32 = 0.85;

/// The whole slice, and the boxes of its large dark and bright parts that do not touch the border: each alone, and all at
/// one level together.
pub(super) fn landmarks(of: &Small) -> Vec<SlicePart> {
    let mut found = vec![SlicePart([0.0, 0.0, SIDE as f32, SIDE as f32])];
    let (low, high) = extremes(of);
    for level in 1..=LEVELS {
        let level = low + (high - low) * level as f32 / (LEVELS + 1) as f32;
        // Levels are whole numbers.
        let level = level.ceil() as u8;
        let rows = of.0.as_chunks::<SIDE>().0;
        let bright: Fields = std::array::from_fn(|y| bits(|x| rows[y][x] >= level));
        for inside in [pieces(&bright.map(|row| !row)), pieces(&bright)] {
            inside.iter().filter(|piece| piece.area >= PART).for_each(|piece| add(&mut found, piece.bounds));
            if let Some(all) = inside.iter().map(|piece| piece.bounds).reduce(joined).filter(|_| inside.len() > 1) {
                add(&mut found, all);
            }
        }
    }
    found.truncate(MOST);
    found
}

/// The bounds of both; left, right, top and bottom edge.
fn joined(a: [usize; 4], b: [usize; 4]) -> [usize; 4] {
    [a[0].min(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].max(b[3])]
}

fn add(found: &mut Vec<SlicePart>, [left, right, top, bottom]: [usize; 4]) {
    if right - left < NARROWEST || bottom - top < NARROWEST {
        return;
    }
    let part = [left, top, right, bottom].map(|bound| bound as f32);
    let area = |[left, top, right, bottom]: [f32; 4]| (right - left).max(0.0) * (bottom - top).max(0.0);
    let is_same = |SlicePart(other): &SlicePart| {
        let common = [part[0].max(other[0]), part[1].max(other[1]), part[2].min(other[2]), part[3].min(other[3])];
        area(common) > SAME * (area(part) + area(*other) - area(common))
    };
    if !found.iter().any(is_same) {
        found.push(SlicePart(part));
    }
}

/// Grey levels that 2 % of the fields do not exceed, and 98 %.
fn extremes(of: &Small) -> (f32, f32) {
    let mut counts = [0_usize; 256];
    of.0.iter().for_each(|&level| counts[usize::from(level)] += 1);
    let level = |fields: usize| {
        let mut seen = 0;
        let reached = |count: &usize| {
            seen += count;
            seen > fields
        };
        counts.iter().position(reached).unwrap_or(255) as f32
    };
    (level(SIDE * SIDE / 50), level(SIDE * SIDE * 49 / 50))
}

/// Connected pieces of fields that do not touch the border.
fn pieces(fields: &Fields) -> Vec<FieldPart> {
    let is_piece = |part: &&FieldPart| part.area >= PIECE && !part.touches_border();
    FieldParts::of(fields).each().iter().filter(is_piece).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_and_lungs_are_found_whatever_the_contrast() {
        // A body of 50 x 40 fields with two dark lungs of 14 x 20.
        let draw = |[air, body, lung]: [u8; 3]| {
            let level = |at: usize| match (at % SIDE, at / SIDE) {
                (14..28 | 36..50, 22..42) => lung,
                (7..57, 12..52) => body,
                _ => air,
            };
            Small(Box::new(std::array::from_fn(level)))
        };
        let found = |levels| landmarks(&draw(levels)).into_iter().map(|part| part.0).collect::<Vec<_>>();
        let expected = [
            [0.0, 0.0, 64.0, 64.0],
            [14.0, 22.0, 28.0, 42.0],
            [36.0, 22.0, 50.0, 42.0],
            [14.0, 22.0, 50.0, 42.0],
            [7.0, 12.0, 57.0, 52.0],
        ];
        for levels in [[0, 180, 20], [0, 90, 10], [255, 70, 240]] {
            let mut parts = found(levels);
            parts.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
            let mut expected = expected.to_vec();
            expected.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
            assert_eq!(parts, expected, "{levels:?}");
        }
        assert_eq!(found([90, 90, 90]).len(), 1);
    }
}
