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

/// The reason why a picture is a page of several slices.
pub(super) fn several_slices(thumbnail: &Thumbnail, lines: &StraightLines) -> Option<(Check, String)> {
    let rows = &thumbnail.0;
    let columns = transposed(rows);
    let (across, down) = (divided(&columns, &lines.columns), divided(rows, &lines.rows));
    let best = across.seam.max(down.seam);
    if best < 0.6 {
        return None;
    }
    // In real slices, less than 0.55, and with two seams like these less than 0.15.
    let repeats =
        || (2..=6).flat_map(|x| (2..=6).map(move |y| (x, y))).map(|(x, y)| repetition(rows, x, y)).fold(0.0, f32::max);
    let is_page = across.edge.max(down.edge) >= 0.6
        || (across.parts > 2 && across.seam >= 0.9)
        || (down.parts > 2 && down.seam >= 0.9)
        || is_pair(across, &columns)
        || is_pair(down, rows)
        || repeats()
            >= if across.seam.min(down.seam) >= 0.75 {
                0.15
            } else if best >= 0.75 {
                0.45
            } else {
                0.6
            };
    is_page.then(|| {
        let parts = |of: Division| if of.seam >= 0.7 { of.parts } else { 1 };
        let (x, y) = (parts(across), parts(down));
        (Check::SeveralSlices, format!("even or straight seams divide it into about {x} x {y} pictures"))
    })
}

/// The best division of lines that lie side by side; `shares` are the straight edges between lines of the whole picture.
fn divided(lines: &[[f32; SIDE]; SIDE], shares: &[f32]) -> Division {
    let even = lines.each_ref().map(evenness);
    let mut best = Division { parts: 1, seam: 0.0, edge: 0.0 };
    for parts in 2..=MOST {
        let (mut seam, mut edge) = (1.0_f32, 1.0_f32);
        for at in 1..parts {
            let centre = (SIDE * at) as f32 / parts as f32 - 0.5;
            let near = centre.round() as usize;
            let smooth = even[near - 1..=(near + 1).min(SIDE - 1)].iter().copied().fold(0.0, f32::max);
            let (place, reach) = (shares.len() * at / parts, (shares.len() / 50).max(2));
            let places = place.saturating_sub(reach)..(place + reach + 1).min(shares.len());
            let straight =
                places.filter(|at| shares[*at] >= LEAST).map(|at| stands_out(shares, at)).fold(0.0, f32::max);
            (seam, edge) = (seam.min(smooth.max(1.5 * straight)), edge.min(straight));
        }
        // Between the seams something is shown.
        let shows = |part: usize| {
            let centre = SIDE as f32 * (part as f32 + 0.5) / parts as f32;
            let reach = (SIDE / parts / 4).max(1) as f32;
            let middle = &even[(centre - reach) as usize..=((centre + reach) as usize).min(SIDE - 1)];
            middle.iter().filter(|even| **even < 0.8).count() * 2 > middle.len()
        };
        if seam.min(1.0) > best.seam && (0..parts).all(shows) {
            best = Division { parts, seam: seam.min(1.0), edge };
        }
    }
    best
}

/// The largest share of a line within 24 grey levels.
fn evenness(line: &[f32; SIDE]) -> f32 {
    let levels = line.map(|mean| mean as u8 / 8);
    let mut counts = [0_u8; 32];
    levels.iter().for_each(|level| counts[usize::from(*level & 31)] += 1);
    let most = (1..31).map(|level| counts[level - 1] + counts[level] + counts[level + 1]).max();
    f32::from(most.unwrap_or(0)) / SIDE as f32
}

/// Two pictures beside each other repeat; the two lungs of one slice mirror each other.
fn is_pair(division: Division, lines: &[[f32; SIDE]; SIDE]) -> bool {
    if division.parts != 2 || division.seam < 0.7 {
        return false;
    }
    let (first, second) = lines.split_at(SIDE / 2);
    let shifted = first.iter().flatten().copied().zip(second.iter().flatten().copied());
    let mirrored = first.iter().flatten().copied().zip(second.iter().rev().flatten().copied());
    let alike = correlation(shifted);
    alike >= 0.5 && alike > correlation(mirrored)
}

/// Which part of the variance do `x` × `y` parts have in common, without what they would share by chance.
fn repetition(rows: &[[f32; SIDE]; SIDE], x: usize, y: usize) -> f32 {
    // Every second field is enough, of parts that need not be whole fields.
    let (wide, high) = (SIDE / 2 / x, SIDE / 2 / y);
    let parts = (x * y) as f32;
    let place = |part: usize, of: usize, at: usize, fields: usize| {
        ((part as f32 + (at as f32 + 0.5) / fields as f32) * SIDE as f32 / of as f32) as usize
    };
    let xs: Vec<usize> = (0..x).flat_map(|part| (0..wide).map(move |at| place(part, x, at, wide))).collect();
    let ys: Vec<usize> = (0..y).flat_map(|part| (0..high).map(move |at| place(part, y, at, high))).collect();
    let (mut sum, mut square) = (0.0, 0.0);
    let mut total_of = [0.0_f32; SIDE * SIDE / 16];
    for (line, row) in ys.iter().enumerate() {
        let values: [f32; SIDE / 2] = std::array::from_fn(|column| xs.get(column).map_or(0.0, |x| rows[*row][*x]));
        let kept = &mut total_of[line % high * wide..][..wide];
        for part in values[..xs.len()].chunks_exact(wide) {
            for (total, value) in kept.iter_mut().zip(part) {
                (sum, square) = (sum + value, square + value * value);
                *total += value;
            }
        }
    }
    let all = (xs.len() * ys.len()) as f32;
    let total = square - sum * sum / all;
    let within = square - total_of.iter().map(|total| total * total).sum::<f32>() / parts;
    if total < 1.0 { 0.0 } else { 1.0 - within * parts / (parts - 1.0) / total }
}
