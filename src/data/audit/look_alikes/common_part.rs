//! The correlation of two reduced slices of which one lies in the other.

use super::super::thumbnail::Thumbnail;
use multiversion::multiversion;

const SIDE: usize = Thumbnail::SIDE;
/// Side of a halved slice.
pub(super) const HALF: usize = SIDE / 2;
/// Local contrast of a halved slice.
pub(super) type HalfContrast = [[f32; HALF]; HALF];

/// Of halved slices; the borders are in fields of whole ones.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn halved_correlation(one: &HalfContrast, other: &HalfContrast, borders: [[f32; 2]; 2]) -> f32 {
    correlation(one, other, borders, 1)
}

/// Of every second row.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn whole_correlation(one: &[[f32; SIDE]; SIDE], other: &[[f32; SIDE]; SIDE], borders: [[f32; 2]; 2]) -> f32 {
    correlation(one, other, borders, 2)
}

/// Pearson's correlation of `one` with what `other` shows at the same places, where they overlap.
#[inline(always)]
fn correlation<const N: usize>(
    one: &[[f32; N]; N],
    other: &[[f32; N]; N],
    [across, down]: [[f32; 2]; 2],
    every: usize,
) -> f32 {
    // Columns of `one` outside `other` have no weight.
    let (mut firsts, mut shares, mut weights) = ([0_u32; N], [0.0_f32; N], [0.0_f32; N]);
    for own in 0..N {
        let at = place::<N>(across, own);
        if at > 0.0 && at < (N - 1) as f32 {
            (firsts[own], weights[own]) = (at as u32, 1.0);
            shares[own] = at - at.trunc();
        }
    }
    let (mut sums, mut rows) = ([[0.0_f32; N]; 5], 0.0);
    for row in (0..N).step_by(every) {
        let at = place::<N>(down, row);
        if at <= 0.0 || at >= (N - 1) as f32 {
            continue;
        }
        rows += 1.0;
        let (first, share) = (at as usize, at - at.trunc());
        let (upper, lower) = (&other[first], &other[first + 1]);
        // One more, so that the last has a next one.
        let mut between = [0.0_f32; N];
        for x in 0..N {
            between[x] = upper[x] + share * (lower[x] - upper[x]);
        }
        let own = &one[row];
        let mut found = [0.0_f32; N];
        for x in 0..N {
            let first = firsts[x] as usize;
            let (left, right) = (between[first & (N - 1)], between[first.wrapping_add(1) & (N - 1)]);
            found[x] = left + shares[x] * (right - left);
        }
        for x in 0..N {
            let (a, b) = (weights[x] * own[x], weights[x] * found[x]);
            sums[0][x] += a;
            sums[1][x] += b;
            sums[2][x] += a * a;
            sums[3][x] += b * b;
            sums[4][x] += a * b;
        }
    }
    pearson(rows * weights.iter().sum::<f32>(), sums.map(|sum| sum.iter().sum::<f32>()))
}

/// Pearson's correlation of so many pairs, by the sums of both, of their squares, and of the products; 0 without contrast.
#[inline(always)]
pub(super) fn pearson(count: f32, [a, b, aa, bb, ab]: [f32; 5]) -> f32 {
    let count = count.max(1.0);
    let spread = ((aa - a * a / count) * (bb - b * b / count)).max(0.0).sqrt();
    if spread > 1e-3 * count { (ab - a * b / count) / spread } else { 0.0 }
}

/// Where a row or column lies in the other slice.
#[inline(always)]
pub(super) fn place<const N: usize>([begin, end]: [f32; 2], own: usize) -> f32 {
    let fields = (SIDE / N) as f32;
    (begin + (end - begin) / SIDE as f32 * (own as f32 + 0.5) * fields) / fields - 0.5
}
