//! Fields of a slice of 64×64 as bits, and their connected parts.

use super::thumbnail::Thumbnail;
use std::ops::Range;

const SIDE: usize = Thumbnail::SIDE;

/// One bit a field: rows from above, the lowest bit at the left.
pub(super) type Fields = [u64; SIDE];

pub(super) fn bits(is: impl Fn(usize) -> bool) -> u64 {
    (0..SIDE).fold(0, |row, x| row | u64::from(is(x)) << x)
}

pub(super) fn both(a: &Fields, b: &Fields) -> Fields {
    std::array::from_fn(|y| a[y] & b[y])
}

pub(super) fn count(fields: &Fields) -> usize {
    fields.iter().map(|row| row.count_ones() as usize).sum()
}

/// Left, right, top and bottom edge.
pub(super) fn bounds(fields: &Fields) -> Option<[usize; 4]> {
    let across = fields.iter().fold(0, |all, row| all | row);
    let (top, bottom) = (fields.iter().position(|row| *row > 0)?, fields.iter().rposition(|row| *row > 0)?);
    Some([across.trailing_zeros() as usize, SIDE - across.leading_zeros() as usize, top, bottom + 1])
}

/// The runs of members in a row that hold a seed.
fn runs(seeds: u64, members: u64) -> u64 {
    let (mut left, mut right) = (seeds & members, seeds & members);
    let (mut free_left, mut free_right) = (members, members);
    for step in [1, 2, 4, 8, 16, 32] {
        left |= free_left & left << step;
        free_left &= free_left << step;
        right |= free_right & right >> step;
        free_right &= free_right >> step;
    }
    left | right
}

/// The members that are connected to a seed; all seeds lie in `rows`.
pub(super) fn connected(seeds: &Fields, members: &Fields, rows: Range<usize>) -> Fields {
    let mut reached = both(seeds, members);
    let (mut top, mut bottom) = (rows.start, rows.end);
    loop {
        let before = reached;
        let touched = top.saturating_sub(1)..(bottom + 1).min(SIDE);
        let mut spread = |y: usize| {
            let beside = y.checked_sub(1).map_or(0, |y| reached[y]) | reached.get(y + 1).copied().unwrap_or(0);
            let from = (beside | reached[y]) & members[y];
            if from != 0 {
                reached[y] = runs(from, members[y]);
                (top, bottom) = (top.min(y), bottom.max(y + 1));
            }
        };
        touched.clone().for_each(&mut spread);
        touched.rev().for_each(&mut spread);
        if reached == before {
            return reached;
        }
    }
}

/// The connected parts, from above.
pub(super) fn parts(mut members: Fields) -> impl Iterator<Item = Fields> {
    let mut from = 0;
    std::iter::from_fn(move || {
        while from < SIDE && members[from] == 0 {
            from += 1;
        }
        let seed = members.get(from)?;
        let mut seeds = [0; SIDE];
        seeds[from] = seed & seed.wrapping_neg();
        let part = connected(&seeds, &members, from..from + 1);
        members.iter_mut().zip(&part).for_each(|(row, of)| *row &= !of);
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_wind_and_are_complete() {
        // A spiral of one part, and a field of its own.
        let mut members = [0_u64; SIDE];
        members[1] = 0x7ffe;
        (2..9).for_each(|y| members[y] = 1 << 14);
        members[9] = 0x7ff0;
        (4..9).for_each(|y| members[y] |= 1 << 4);
        members[40] = 1 << 63;
        let found: Vec<usize> = parts(members).map(|part| count(&part)).collect();
        assert_eq!(found, [14 + 7 + 11 + 5, 1]);
        assert_eq!(runs(1 << 5 | 1 << 63, 0x8000_0000_0000_00f0), 0x8000_0000_0000_00f0);
    }
}
