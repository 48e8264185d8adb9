//! The correlation of two reduced slices of which one lies in the other.

use super::super::thumbnail::Thumbnail;

#[cfg(target_arch = "x86_64")]
mod with_avx2;

const SIDE: usize = Thumbnail::SIDE;
/// Side of a halved slice.
pub(super) const HALF: usize = SIDE / 2;
/// Local contrast of a halved slice.
pub(super) type HalfContrast = [[f32; HALF]; HALF];

/// Rows of a slice that are compared.
const ROWS: usize = 32;
/// Columns that are summed up at a time.
const LANES: usize = 8;

/// Of halved slices; the borders are in fields of whole ones.
pub(super) fn halved_correlation(one: &HalfContrast, other: &HalfContrast, borders: [[f32; 2]; 2]) -> f32 {
    correlation(one, other, borders)
}

/// Of every second row.
pub(super) fn whole_correlation(one: &[[f32; SIDE]; SIDE], other: &[[f32; SIDE]; SIDE], borders: [[f32; 2]; 2]) -> f32 {
    correlation(one, other, borders)
}

/// Pearson's correlation of [`ROWS`] rows of `one` with what `other` shows at the same places, where they overlap.
fn correlation<const N: usize>(one: &[[f32; N]; N], other: &[[f32; N]; N], borders: [[f32; 2]; 2]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        #[allow(unsafe_code)]
        return unsafe { with_avx2::correlation(one, other, borders) };
    }
    correlation_by(one, other, borders, sums_of_columns)
}

/// Columns of `one` beside each other, and where they lie in `other`.
struct SomeColumns {
    first: usize,
    /// Of each, the column of `other` before it, and how far it is from there to the next, 0 to 1.
    befores: [i32; LANES],
    shares: [f32; LANES],
    /// 1, or 0 for a column outside `other`.
    weights: [f32; LANES],
}

/// A row's number, and what `other` shows there, column by column.
type RowOfOther<const N: usize> = (usize, [f32; N]);
/// Sums of both, of their squares, and of the products, for each column.
type ColumnSums = [[f32; LANES]; 5];

/// The correlation by what sums up some columns.
#[inline(always)]
fn correlation_by<const N: usize>(
    one: &[[f32; N]; N],
    other: &[[f32; N]; N],
    [across, down]: [[f32; 2]; 2],
    sums_of: impl Fn(&SomeColumns, &[[f32; N]; N], &[RowOfOther<N>]) -> ColumnSums,
) -> f32 {
    let mut shown = [(0, [0.0_f32; N]); ROWS];
    let mut rows = 0;
    for row in (0..N).step_by(N / ROWS) {
        let at = place::<N>(down, row);
        if at <= 0.0 || at >= (N - 1) as f32 {
            continue;
        }
        let (first, share) = (at as usize, at - at.trunc());
        let (upper, lower) = (&other[first], &other[first + 1]);
        let (number, values) = &mut shown[rows];
        *number = row;
        for x in 0..N {
            values[x] = upper[x] + share * (lower[x] - upper[x]);
        }
        rows += 1;
    }
    let (mut befores, mut shares, mut weights) = ([0_i32; N], [0.0_f32; N], [0.0_f32; N]);
    for own in 0..N {
        let at = place::<N>(across, own);
        let is_in = at > 0.0 && at < (N - 1) as f32;
        let at = if is_in { at } else { 0.0 };
        (befores[own], shares[own], weights[own]) = (at as i32, at - at.trunc(), f32::from(u8::from(is_in)));
    }
    let columns = befores.as_chunks().0.iter().zip(shares.as_chunks().0).zip(weights.as_chunks().0);
    let mut sums = [[0.0_f32; N]; 5];
    for (((befores, shares), weights), first) in columns.zip((0..).step_by(LANES)) {
        let some = SomeColumns { first, befores: *befores, shares: *shares, weights: *weights };
        for (sums, of) in sums.iter_mut().zip(sums_of(&some, one, &shown[..rows])) {
            sums[first..first + LANES].copy_from_slice(&of);
        }
    }
    pearson(rows as f32 * weights.iter().sum::<f32>(), sums.map(|sum| sum.iter().sum::<f32>()))
}

/// On any processor.
fn sums_of_columns<const N: usize>(columns: &SomeColumns, one: &[[f32; N]; N], rows: &[RowOfOther<N>]) -> ColumnSums {
    let mut sums = [[0.0; LANES]; 5];
    for (row, shown) in rows {
        let own = &one[*row][columns.first..][..LANES];
        for x in 0..LANES {
            let before = columns.befores[x] as usize;
            let (left, right) = (shown[before], shown[before + 1]);
            let found = left + columns.shares[x] * (right - left);
            let (a, b) = (columns.weights[x] * own[x], columns.weights[x] * found);
            let terms = [a, b, a * a, b * b, a * b];
            sums.iter_mut().zip(terms).for_each(|(sums, term)| sums[x] += term);
        }
    }
    sums
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
fn place<const N: usize>([begin, end]: [f32; 2], own: usize) -> f32 {
    let fields = (SIDE / N) as f32;
    (begin + (end - begin) / SIDE as f32 * (own as f32 + 0.5) * fields) / fields - 0.5
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pictures<const N: usize>() -> [[[f32; N]; N]; 2] {
        let level = |seed: usize, x: usize, y: usize| ((x * 37 + y * 101 + seed * x * y) % 211) as f32 / 100.0 - 1.0;
        [1, 5].map(|seed| std::array::from_fn(|y| std::array::from_fn(|x| level(seed, x, y))))
    }

    fn is_the_same_on_any_processor<const N: usize>() {
        // Columns are outside at the left, the right, or both; the last ones are wider and narrower than any that is tried.
        let across = [[0.0, 64.0], [-20.3, 50.1], [9.7, 70.9], [-30.0, 90.0], [-100.0, 190.0], [20.0, 41.0]];
        let [one, other] = pictures::<N>();
        for borders in across.map(|across| [across, [-7.1, 60.2]]) {
            let (fast, plain) =
                (correlation(&one, &other, borders), correlation_by(&one, &other, borders, sums_of_columns));
            assert_eq!(fast.to_bits(), plain.to_bits(), "{borders:?}: {fast} and {plain}");
        }
    }

    #[test]
    fn every_processor_computes_the_same_bits() {
        is_the_same_on_any_processor::<HALF>();
        is_the_same_on_any_processor::<SIDE>();
    }

    #[test]
    fn a_picture_lies_in_itself_and_its_enlarged_middle_where_it_was() {
        let [one, _] = pictures::<SIDE>();
        assert!((whole_correlation(&one, &one, [[0.0, 64.0]; 2]) - 1.0).abs() < 1e-6);
        let wave = |scale: f32, at: usize| (scale * (at as f32 - 31.5)).sin();
        let [whole, middle] = [0.2, 0.1]
            .map(|scale| std::array::from_fn(|y| std::array::from_fn(|x| wave(scale, x) + wave(1.5 * scale, y))));
        assert!(whole_correlation(&middle, &whole, [[16.0, 48.0]; 2]) > 0.99);
        assert!(whole_correlation(&middle, &whole, [[0.0, 64.0]; 2]) < 0.9);
    }
}
