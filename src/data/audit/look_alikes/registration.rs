//! Whether two reduced slices are one picture, and how one lies in the other.

use super::super::samples::Small;
use super::super::thumbnail::Thumbnail;
use super::common_part::{pearson, whole_correlation};
use super::local_contrast::local_contrast;
use super::symmetry::{SlicePart, Symmetry};
use crate::stats::median::upper_median;

const SIDE: usize = Thumbnail::SIDE;
/// The surroundings that local contrast is relative to, in fields: wide to find a placement, narrow to compare details such as
/// vessels, in which slices of different patients differ although their outlines may agree.
const WIDE: f32 = 4.0;
const NARROW: f32 = 1.5;
/// Both slices show the common part with this share of their area at least, so that half of a chest is not compared.
const COMMON: f32 = 0.4;
/// A copy is not stretched more than this in one direction.
const STRETCHED: f32 = 1.33;
/// From this correlation of every other row on, what both show is compared.
const PROMISING: f32 = 0.75;
/// Steps of a search, in fields: for a rough placement, from there on, and both.
pub(super) const COARSE: [f32; 2] = [2.0, 1.0];
pub(super) const FINE: [f32; 2] = [0.5, 0.25];
pub(super) const ALL_STEPS: [f32; 4] = [2.0, 1.0, 0.5, 0.25];
/// Rounds of the search at one step.
const ROUNDS: usize = 3;
/// The median difference in grey levels from which on two registered slices have another window or contrast.
const OTHER_LEVELS: f32 = 6.0;

/// A reduced slice and its local contrast.
pub(super) struct Prepared {
    levels: Small,
    contrast: Vec<f32>,
}

impl Prepared {
    pub(super) fn of(levels: Small) -> Self {
        let contrast = local_contrast(&levels.0.map(f32::from), SIDE, WIDE);
        Self { levels, contrast }
    }

    pub(super) fn turned(&self, symmetry: Symmetry) -> Self {
        Self { levels: symmetry.picture(&self.levels), contrast: symmetry.contrast(&self.contrast) }
    }

    fn rows(&self) -> Option<&[[f32; SIDE]; SIDE]> {
        self.contrast.as_chunks::<SIDE>().0.first_chunk::<SIDE>()
    }

    pub(super) fn contrast(&self) -> &[f32] {
        &self.contrast
    }
}

/// Where the left, right, upper and lower border of one slice lie in another, in fields.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Placement {
    across: [f32; 2],
    down: [f32; 2],
}

impl Placement {
    pub(super) const WHOLE: Self = Self { across: [0.0, SIDE as f32], down: [0.0, SIDE as f32] };

    /// The one that lays a part of a slice on a part of the other.
    pub(super) fn of(SlicePart(part): SlicePart, SlicePart(on): SlicePart) -> Self {
        let axis = |low: usize| {
            let scale = (on[low + 2] - on[low]) / (part[low + 2] - part[low]);
            let begin = on[low] - scale * part[low];
            [begin, begin + scale * SIDE as f32]
        };
        Self { across: axis(0), down: axis(1) }
    }

    /// Width and height of the slice by those of the other.
    pub(super) fn scale(&self) -> [f32; 2] {
        [self.across, self.down].map(|[begin, end]| (end - begin) / SIDE as f32)
    }

    /// Where the other slice lies in this one.
    fn inverse(self) -> Self {
        let axis = |[begin, end]: [f32; 2]| [-begin, SIDE as f32 - begin].map(|at| at / (end - begin) * SIDE as f32);
        Self { across: axis(self.across), down: axis(self.down) }
    }

    /// Left and right, upper and lower border.
    pub(super) fn borders(&self) -> [[f32; 2]; 2] {
        [self.across, self.down]
    }

    pub(super) fn is_plausible(&self) -> bool {
        let [across, down] = self.scale();
        let common: f32 = [self.across, self.down]
            .map(|[begin, end]| (end.min(SIDE as f32) - begin.max(0.0)).max(0.0) / SIDE as f32)
            .iter()
            .product();
        let own = common / (across * down);
        across > 0.0
            && down > 0.0
            && common >= COMMON
            && own >= COMMON
            && across < STRETCHED * down
            && down < STRETCHED * across
    }

    /// Moved, or enlarged around its middle, by `step` fields: one of eight directions.
    pub(super) fn changed(mut self, direction: usize, step: f32) -> Self {
        let step = if direction.is_multiple_of(2) { step } else { -step };
        let axis = if direction & 2 == 0 { &mut self.across } else { &mut self.down };
        let other = if direction & 4 == 0 { step } else { -step };
        *axis = [axis[0] + step, axis[1] + other];
        self
    }
}

/// How two slices fit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fit {
    pub(super) placement: Placement,
    /// Correlation of the local contrast, -1 to 1.
    pub(super) correlation: f32,
    /// The same of details alone.
    pub(super) detail: f32,
}

/// Looks for the placement of `one` in `other` with the highest correlation near `start`, by these steps.
pub(super) fn registered(one: &Prepared, other: &Prepared, start: Placement, steps: &[f32]) -> Option<Fit> {
    let (placement, _) = searched(start, f32::NEG_INFINITY, steps, |placement| correlation(one, other, placement))
        .filter(|(_, correlation)| *correlation >= PROMISING)?;
    let [correlation, detail] = finally(one, other, placement);
    Some(Fit { placement, correlation, detail })
}

/// The placement near `start` where what `correlation` says is highest, and that; `None` where it is less than `at_least` at
/// the start.
pub(super) fn searched(
    start: Placement,
    at_least: f32,
    steps: &[f32],
    correlation: impl Fn(Placement) -> f32,
) -> Option<(Placement, f32)> {
    let fit = |placement: Placement| placement.is_plausible().then(|| (placement, correlation(placement)));
    let mut best = fit(start).filter(|start| start.1 >= at_least)?;
    // None of these is better than the best; the way back from a step leads to one.
    let mut tried = vec![start];
    for &step in steps {
        for _ in 0..ROUNDS {
            let before = best.1;
            for direction in 0..8 {
                let next = best.0.changed(direction, step);
                if tried.contains(&next) {
                    continue;
                }
                tried.push(next);
                best = fit(next).filter(|next| next.1 > best.1).unwrap_or(best);
            }
            if best.1 < before + 1e-3 {
                break;
            }
        }
    }
    Some(best)
}

/// The correlation where they overlap at a placement, of every second row; `None` where they overlap too little.
pub(super) fn correlation_at(one: &Prepared, other: &Prepared, placement: Placement) -> Option<f32> {
    placement.is_plausible().then(|| correlation(one, other, placement))
}

/// Of every second row.
fn correlation(one: &Prepared, other: &Prepared, placement: Placement) -> f32 {
    one.rows().zip(other.rows()).map_or(0.0, |(one, other)| whole_correlation(one, other, placement.borders()))
}

/// A row or column of the coarser of two slices, and what the finer one shows there: its first row or column, and the weights of
/// that and of those after it.
struct SharedLine {
    coarse: usize,
    first: usize,
    weights: Vec<f32>,
}

/// The rows or columns of the coarser slice that lie wholly in the finer one; `begin` and `end`: where the finer one's borders lie in the
/// coarser.
fn shared_lines([begin, end]: [f32; 2]) -> Vec<SharedLine> {
    let place = |border: usize| (border as f32 - begin) / (end - begin) * SIDE as f32;
    let line = |coarse: usize| {
        let (from, to) = (place(coarse), place(coarse + 1));
        if from < -1e-3 || to > SIDE as f32 + 1e-3 {
            return None;
        }
        let (from, to) = (from.max(0.0), to.min(SIDE as f32));
        let (first, behind) = (from as usize, (to.ceil() as usize).min(SIDE));
        let weight = |field: usize| ((field + 1) as f32).min(to) - (field as f32).max(from);
        Some(SharedLine { coarse, first, weights: (first..behind).map(|field| weight(field) / (to - from)).collect() })
    };
    (0..SIDE).filter_map(line).collect()
}

/// What both show where `one` lies in `other`, in the fields of the coarser of the two (by area), row by row; and its width. The finer
/// one is averaged over these fields: with its own details it would differ from the same picture.
fn common(one: &Prepared, other: &Prepared, placement: Placement) -> ([Vec<f32>; 2], usize) {
    let [across, down] = placement.scale();
    let is_finer = across * down <= 1.0;
    let placement = if is_finer { placement } else { placement.inverse() };
    let (columns, rows) = (shared_lines(placement.across), shared_lines(placement.down));
    let (finer, coarser) = if is_finer { (one, other) } else { (other, one) };
    let mut of_both = [Vec::new(), Vec::new()];
    for row in &rows {
        let mut line = [0.0; SIDE];
        for (weight, from) in row.weights.iter().zip(finer.levels.0.as_chunks::<SIDE>().0[row.first..].iter()) {
            line.iter_mut().zip(from).for_each(|(mean, level)| *mean += weight * f32::from(*level));
        }
        for column in &columns {
            let mean = column.weights.iter().zip(&line[column.first..]).map(|(weight, value)| weight * value).sum();
            let level = f32::from(coarser.levels.0[row.coarse * SIDE + column.coarse]);
            let [of_one, of_other] = if is_finer { [mean, level] } else { [level, mean] };
            of_both[0].push(of_one);
            of_both[1].push(of_other);
        }
    }
    (of_both, columns.len())
}

/// The correlation with the local contrast of the common part alone, of all and of details: near a border that one was
/// cropped at, the other's is another.
fn finally(one: &Prepared, other: &Prepared, placement: Placement) -> [f32; 2] {
    let ([one, other], width) = common(one, other, placement);
    [WIDE, NARROW].map(|spread| {
        let [one, other] = [&one, &other].map(|levels| local_contrast(levels, width, spread));
        let add =
            |[a, b, aa, bb, ab]: [f32; 5], (x, y): (&f32, &f32)| [a + x, b + y, aa + x * x, bb + y * y, ab + x * y];
        pearson(one.len() as f32, one.iter().zip(&other).fold([0.0; 5], add))
    })
}

/// Whether the grey levels differ in what both show.
pub(super) fn has_other_levels(one: &Prepared, other: &Prepared, placement: Placement) -> bool {
    let ([one, other], _) = common(one, other, placement);
    let shown = one.iter().zip(&other).filter(|(a, b)| a.max(**b) > 8.0);
    let differences = shown.map(|(a, b)| (a - b).abs()).collect();
    upper_median(differences, f32::total_cmp).is_some_and(|median| median > OTHER_LEVELS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture with something everywhere, seen through a part of it.
    fn seen(seed: f32, SlicePart([left, top, right, bottom]): SlicePart, tone: impl Fn(f32) -> f32) -> Prepared {
        let level = |at: usize| {
            let x = left + (right - left) * ((at % SIDE) as f32 + 0.5) / SIDE as f32;
            let y = top + (bottom - top) * ((at / SIDE) as f32 + 0.5) / SIDE as f32;
            let waves = (0..12).map(|k| {
                let (a, b) = ((seed + k as f32 * 1.7).sin(), (seed * 1.3 + k as f32 * 2.9).cos());
                (0.45 * (a * x + b * y) + seed * k as f32).sin()
            });
            tone(128.0 + 25.0 * waves.sum::<f32>()).clamp(0.0, 255.0) as u8
        };
        Prepared::of(Small(Box::new(std::array::from_fn(level))))
    }

    const ALL: SlicePart = SlicePart([0.0, 0.0, 64.0, 64.0]);

    #[test]
    fn a_cropped_copy_in_another_contrast_is_laid_where_it_belongs() {
        let part = SlicePart([6.0, 4.0, 56.0, 60.0]);
        let (whole, copy) = (seen(1.0, ALL, |level| level), seen(1.0, part, |level| 0.6 * level + 50.0));
        let near = Placement::of(ALL, SlicePart([8.0, 3.0, 57.0, 62.0]));
        let fit = registered(&copy, &whole, near, &ALL_STEPS).expect("a fit");
        assert!(fit.correlation > 0.95, "{fit:?}");
        for (found, expected) in [(fit.placement.across, [6.0, 56.0]), (fit.placement.down, [4.0, 60.0])] {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.6), "{fit:?}");
        }
        assert!(has_other_levels(&copy, &whole, fit.placement));
        let same = seen(1.0, part, |level| level);
        assert!(!has_other_levels(&same, &whole, fit.placement));
    }

    #[test]
    fn a_search_asks_for_no_placement_twice_and_begins_only_where_it_may_lead_somewhere() {
        let (begin, end) = (7.0, 58.0);
        let asked = std::cell::RefCell::new(Vec::new());
        let correlation = |placement: Placement| {
            asked.borrow_mut().push(placement);
            let [[left, right], [top, bottom]] = placement.borders();
            let squares = [left - begin, right - end, top - begin, bottom - end].map(|off| off * off);
            1.0 - 0.004 * squares.iter().sum::<f32>()
        };
        let start = Placement::of(ALL, SlicePart([10.0, 4.0, 60.0, 57.0]));
        let (found, highest) = searched(start, 0.9, &ALL_STEPS, correlation).expect("a placement");
        assert!(highest > 0.999, "{found:?}, {highest}");
        let asked = asked.into_inner();
        assert!(asked.len() > 20 && (0..asked.len()).all(|at| !asked[..at].contains(&asked[at])));
        assert!(searched(start, 0.95, &ALL_STEPS, |_| 0.94).is_none());
    }

    #[test]
    fn the_finer_picture_is_averaged_over_the_fields_of_the_coarser() {
        // Of a part of half the side each field is half as wide; its details are gone in the mean of four.
        let half = SlicePart([16.0, 16.0, 48.0, 48.0]);
        let picture = |side: usize, SlicePart([left, top, ..]): SlicePart| {
            let level = |at: usize| {
                let (x, y) = (at % SIDE, at / SIDE);
                let level = (left as usize + x / side) * 5 + (top as usize + y / side) * 3;
                let detail = if side == 1 { 10 } else { 20 * ((x + y) % 2) };
                (level % 200 + 10 + detail) as u8
            };
            Prepared::of(Small(Box::new(std::array::from_fn(level))))
        };
        let (part, whole) = (picture(2, half), picture(1, ALL));
        let lies = Placement::of(ALL, half);
        let (of_both, width) = common(&part, &whole, lies);
        let ([of_whole, of_part], same_width) = common(&whole, &part, lies.inverse());
        assert_eq!((width, same_width, of_whole.len()), (32, 32, 32 * 32));
        assert!(of_both[0].iter().zip(&of_both[1]).all(|(a, b)| (a - b).abs() < 1e-3));
        assert!(of_whole.iter().zip(&of_part).all(|(a, b)| (a - b).abs() < 1e-3));
        let ([one, same], width) = common(&whole, &whole, Placement::WHOLE);
        assert_eq!((one.len(), width), (SIDE * SIDE, SIDE));
        assert_eq!(one, same);
    }

    #[test]
    fn a_field_counts_by_the_part_of_it_that_is_covered() {
        // Half as wide, and moved by a quarter of a field: row 6 of the coarser covers 1.5 to 3.5 of the finer.
        let lines = shared_lines([5.25, 37.25]);
        assert_eq!((lines.len(), lines[0].coarse, lines[0].first), (31, 6, 1));
        assert_eq!(lines[0].weights, [0.25, 0.5, 0.25]);
        // A field of the coarser that the finer one shows in part only is left out.
        assert!(lines.iter().all(|line| line.coarse < 37));
    }

    #[test]
    fn another_picture_does_not_fit() {
        let (one, other) = (seen(1.0, ALL, |level| level), seen(2.0, ALL, |level| level));
        assert!(registered(&one, &other, Placement::WHOLE, &ALL_STEPS).is_none_or(|fit| fit.correlation < 0.6));
    }

    #[test]
    fn a_small_corner_in_common_is_no_fit() {
        let one = seen(1.0, ALL, |level| level);
        assert!(registered(&one, &one, Placement::of(ALL, SlicePart([40.0, 40.0, 104.0, 104.0])), &FINE).is_none());
        assert!(registered(&one, &one, Placement::of(ALL, SlicePart([0.0, 0.0, 64.0, 40.0])), &FINE).is_none());
        assert_eq!(
            Placement::of(SlicePart([8.0, 8.0, 24.0, 40.0]), SlicePart([4.0, 4.0, 12.0, 20.0])).scale(),
            [0.5, 0.5]
        );
    }
}
