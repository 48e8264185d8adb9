//! The same sums by permutations: values are chosen from sixteen beside each other and not read one by one, which takes a
//! fraction of the time. The operations and their order are the same, and so is every bit of the result.

use super::{ColumnSums, LANES, RowOfOther, SomeColumns, correlation_by, sums_of_columns};
use std::arch::x86_64::*;

/// Values that permutations choose from.
const WINDOW: usize = 2 * LANES;

#[target_feature(enable = "avx2")]
pub(super) fn correlation<const N: usize>(one: &[[f32; N]; N], other: &[[f32; N]; N], borders: [[f32; 2]; 2]) -> f32 {
    correlation_by(one, other, borders, |columns, one, rows| sums(columns, one, rows))
}

#[target_feature(enable = "avx2")]
fn sums<const N: usize>(columns: &SomeColumns, one: &[[f32; N]; N], rows: &[RowOfOther<N>]) -> ColumnSums {
    let inside = columns.befores.iter().zip(&columns.weights).filter(|(_, weight)| **weight > 0.0);
    let (least, most) = inside.fold((i32::MAX, 0), |(least, most), (at, _)| (least.min(*at), most.max(*at)));
    let begin = least.min((N - WINDOW) as i32);
    if most + 1 - begin >= WINDOW as i32 {
        return sums_of_columns(columns, one, rows);
    }
    // Where those outside are does not matter.
    let [a, b, c, d, e, f, g, h] = columns.befores.map(|before| (before - begin).max(0));
    let left = _mm256_setr_epi32(a, b, c, d, e, f, g, h);
    let right = _mm256_add_epi32(left, _mm256_set1_epi32(1));
    let (shares, weights) = (eight(&columns.shares), eight(&columns.weights));
    let mut sums = [_mm256_setzero_ps(); 5];
    for (row, shown) in rows {
        let (window, own) = (shown[begin as usize..].first_chunk::<WINDOW>(), one[*row][columns.first..].first_chunk());
        let (Some(window), Some(own)) = (window, own) else { break };
        let [low, high] = [eight(&window.as_chunks().0[0]), eight(&window.as_chunks().0[1])];
        // The fourth bit of a place says in which eight it lies: moved to the highest, it chooses between them.
        let at = |places: __m256i| {
            let is_high = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(places));
            let [low, high] = [low, high].map(|eight| _mm256_permutevar8x32_ps(eight, places));
            _mm256_blendv_ps(low, high, is_high)
        };
        let (left, right) = (at(left), at(right));
        let found = _mm256_add_ps(left, _mm256_mul_ps(shares, _mm256_sub_ps(right, left)));
        let (a, b) = (_mm256_mul_ps(weights, eight(own)), _mm256_mul_ps(weights, found));
        let terms = [a, b, _mm256_mul_ps(a, a), _mm256_mul_ps(b, b), _mm256_mul_ps(a, b)];
        sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum = _mm256_add_ps(*sum, term));
    }
    sums.map(|sum| {
        let mut values = [0.0; LANES];
        // SAFETY: there is room for eight values.
        #[allow(unsafe_code)]
        unsafe {
            _mm256_storeu_ps(values.as_mut_ptr(), sum);
        }
        values
    })
}

#[target_feature(enable = "avx2")]
fn eight(values: &[f32; LANES]) -> __m256 {
    // SAFETY: eight values are there.
    #[allow(unsafe_code)]
    unsafe {
        _mm256_loadu_ps(values.as_ptr())
    }
}
