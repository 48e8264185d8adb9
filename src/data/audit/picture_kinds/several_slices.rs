//! Pages of several slices: at regular places the picture is even, or has a straight edge, from one side to the other,
//! and what lies between repeats.

use super::straight_lines::{StraightLines, stands_out};
use super::{Check, SIDE, correlation, transposed};
use crate::data::audit::thumbnail::Thumbnail;

/// Slices side by side that are looked for.
const MOST: usize = 8;

/// Shorter edges are not looked at.
const LEAST: f32 = 0.3;

/// How a picture divides along one axis.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Division {
    parts: usize,
    /// How much the weakest seam is even or an edge, 0 to 1.
    seam: f32,
    /// How much the weakest seam is an edge, 0 to 1.
    edge: f32,
}

/// A division with a seam below this says nothing.
const SEEN: f32 = 0.6;

/// The reason why a picture is a page of several slices.
pub(super) fn several_slices(thumbnail: &Thumbnail, lines: &StraightLines) -> Option<(Check, String)> {
    let rows = &thumbnail.0;
    let (across, down) = (divided(|x| column(rows, x), &lines.columns), divided(|y| rows[y], &lines.rows));
    let best = across.seam.max(down.seam);
    if best < SEEN {
        return None;
    }
    // In real slices, less than 0.55, and with two seams like these less than 0.15.
    let repeats = || {
        let columns = transposed(rows);
        (2..=6).map(|x| most_repeated(&columns, x)).fold(0.0, f32::max)
    };
    let is_page = across.edge.max(down.edge) >= 0.6
        || (across.parts > 2 && across.seam >= 0.9)
        || (down.parts > 2 && down.seam >= 0.9)
        || is_pair(across, || transposed(rows))
        || is_pair(down, || *rows)
        || repeats()
            >= if across.seam.min(down.seam) >= 0.75 {
                0.15
            } else if best >= 0.75 {
                0.45
            } else {
                0.6
            };
    let parts = |of: Division| if of.seam >= 0.7 { of.parts } else { 1 };
    let (x, y) = (parts(across), parts(down));
    (is_page && (x, y) != (1, 1))
        .then(|| (Check::SeveralSlices, format!("even or straight seams divide it into about {x} x {y} pictures")))
}

/// The best division of lines that lie side by side, with a seam of [`SEEN`] or more; `shares` are the straight edges between
/// lines of the whole picture.
fn divided(line: impl Fn(usize) -> [f32; SIDE], shares: &[f32]) -> Division {
    let mut known = [None; SIDE];
    let mut even = |at: usize| *known[at].get_or_insert_with(|| evenness(&line(at)));
    let mut best = Division { parts: 1, seam: 0.0, edge: 0.0 };
    for parts in 2..=MOST {
        let (mut seam, mut edge) = (1.0_f32, 1.0_f32);
        // From the middle on, where a body is: most pictures have no seam there.
        for step in 1..parts {
            let at = if step % 2 == 1 { (parts - (step - 1)) / 2 } else { (parts + step) / 2 };
            let centre = (SIDE * at) as f32 / parts as f32 - 0.5;
            let near = centre.round() as usize;
            let smooth = (near - 1..=(near + 1).min(SIDE - 1)).map(&mut even).fold(0.0, f32::max);
            let (place, reach) = (shares.len() * at / parts, (shares.len() / 50).max(2));
            let places = place.saturating_sub(reach)..(place + reach + 1).min(shares.len());
            let straight =
                places.filter(|at| shares[*at] >= LEAST).map(|at| stands_out(shares, at)).fold(0.0, f32::max);
            (seam, edge) = (seam.min(smooth.max(1.5 * straight)), edge.min(straight));
            if seam < SEEN.max(best.seam) {
                break;
            }
        }
        // Between the seams something is shown.
        let mut shows = |part: usize| {
            let centre = SIDE as f32 * (part as f32 + 0.5) / parts as f32;
            let reach = (SIDE / parts / 4).max(1) as f32;
            let middle = (centre - reach) as usize..=((centre + reach) as usize).min(SIDE - 1);
            let count = middle.clone().count();
            middle.filter(|at| even(*at) < 0.8).count() * 2 > count
        };
        if seam >= SEEN && seam.min(1.0) > best.seam && (0..parts).all(&mut shows) {
            best = Division { parts, seam: seam.min(1.0), edge };
        }
    }
    best
}

fn column(rows: &[[f32; SIDE]; SIDE], x: usize) -> [f32; SIDE] {
    let mut column = [0.0; SIDE];
    column.iter_mut().zip(rows).for_each(|(value, row)| *value = row[x]);
    column
}

/// The largest share of a line within 24 grey levels.
fn evenness(line: &[f32; SIDE]) -> f32 {
    let mut counts = [0_u8; 32];
    line.iter().for_each(|mean| counts[usize::from(*mean as u8 / 8)] += 1);
    let most = (1..31).map(|level| counts[level - 1] + counts[level] + counts[level + 1]).max();
    f32::from(most.unwrap_or(0)) / SIDE as f32
}

/// Two pictures beside each other repeat; the two lungs of one slice mirror each other.
fn is_pair(division: Division, lines: impl Fn() -> [[f32; SIDE]; SIDE]) -> bool {
    if division.parts != 2 || division.seam < 0.7 {
        return false;
    }
    let lines = lines();
    let (first, second) = lines.split_at(SIDE / 2);
    let shifted = first.iter().flatten().copied().zip(second.iter().flatten().copied());
    let mirrored = first.iter().flatten().copied().zip(second.iter().rev().flatten().copied());
    let alike = correlation(shifted);
    alike >= 0.5 && alike > correlation(mirrored)
}

/// Which part of the variance `x` × 2 to 6 parts have in common, without what they would share by chance; the largest.
fn most_repeated(columns: &[[f32; SIDE]; SIDE], x: usize) -> f32 {
    // Every second field is enough, of parts that need not be whole fields.
    const HALF: usize = SIDE / 2;
    let places = |parts: usize| -> Vec<usize> {
        let fields = HALF / parts;
        let place = move |part: usize, at: usize| {
            ((part as f32 + (at as f32 + 0.5) / fields as f32) * SIDE as f32 / parts as f32) as usize
        };
        (0..parts).flat_map(|part| (0..fields).map(move |at| place(part, at))).collect()
    };
    let (xs, wide) = (places(x), HALF / x);
    // Of all rows side by side the sum of their parts, field by field, and that of the squares.
    let (mut totals, mut squares) = ([[0.0_f32; SIDE]; HALF / 2], [0.0_f32; SIDE]);
    for part in xs.chunks_exact(wide) {
        for (totals, x) in totals.iter_mut().zip(part) {
            for ((total, square), level) in totals.iter_mut().zip(&mut squares).zip(&columns[*x]) {
                *total += level;
                *square += level * level;
            }
        }
    }
    // Of each row, with the sum of all fields.
    let mut across = [([0.0_f32; HALF / 2], 0.0, 0.0); SIDE];
    for (y, (of_row, sum, square)) in across.iter_mut().enumerate() {
        of_row.iter_mut().zip(&totals).for_each(|(total, totals)| *total = totals[y]);
        (*sum, *square) = (of_row.iter().sum(), squares[y]);
    }
    let repeated = |y: usize| {
        let (ys, high, parts) = (places(y), HALF / y, (x * y) as f32);
        let (mut sum, mut square, mut common) = (0.0, 0.0, 0.0);
        for line in 0..high {
            let mut totals = [0.0; HALF / 2];
            for part in 0..y {
                let (of_row, all, squares) = &across[ys[part * high + line]];
                totals.iter_mut().zip(of_row).for_each(|(total, of)| *total += of);
                (sum, square) = (sum + all, square + squares);
            }
            common += totals.iter().map(|total| total * total).sum::<f32>();
        }
        let total = square - sum * sum / (xs.len() * ys.len()) as f32;
        let within = square - common / parts;
        if total < 1.0 { 0.0 } else { 1.0 - within * parts / (parts - 1.0) / total }
    };
    (2..=6).map(repeated).fold(0.0, f32::max)
}
