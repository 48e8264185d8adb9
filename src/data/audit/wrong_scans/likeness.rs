//! How alike the slices of a scan are in the order of their numbers: out of order, numbered from the middle on, a gap.
//!
//! Neighbours of a scan are alike, and the more alike the closer they are. The test compares each step from a slice to
//! the next with the distances to all other slices, so that neither the number of slices nor their noise matters.
//! Where no order makes the steps small, as among pictures from papers, nothing is said.

use crate::data::audit::pixel_measures::{DESCRIPTOR, Descriptor};
use crate::stats::median::upper_median;

/// Fewer slices have too few distances.
const FEWEST: usize = 8;
/// More are thinned out: enough for any scan, and little work.
const MOST: usize = 512;
/// The mean step of the best order, as a share of the median distance of all pairs, above which there is no order.
/// Measured: 0.04 to 0.21 in whole scans, 0.51 to 0.68 in eight slices of a whole scan.
const ORDERED: f32 = 0.72;
/// Another slice is closer where its distance is below this share of the step.
const CLOSER: f32 = 0.8;
/// Steps below this say more of the noise than of the body.
const NOISE: f32 = 0.05;

/// What is wrong with the order; positions are those in `slices`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Disorder {
    /// So many of all steps lead away from closer slices; one of them starts here.
    Unordered { steps: usize, of: usize, example: usize },
    /// The first slice and the last are neighbours, and the scan's end lies between this slice and the next.
    BeginsWithin { last: usize },
    /// Slices are missing between this slice and the next, by how many times the step is longer than those around.
    Gap { before: usize, times: f32 },
}

/// `None` where the order is as it should be, or cannot be told.
pub(super) fn disorder(slices: &[&Descriptor]) -> Option<Disorder> {
    if slices.len() < FEWEST {
        return None;
    }
    let stride = slices.len().div_ceil(MOST);
    let distances = Distances::of(&slices.iter().step_by(stride).map(|of| unpacked(of)).collect::<Vec<_>>());
    let found = distances.disorder()?;
    Some(match found {
        Disorder::Unordered { steps, of, example } => Disorder::Unordered { steps, of, example: example * stride },
        Disorder::BeginsWithin { last } => Disorder::BeginsWithin { last: last * stride },
        Disorder::Gap { before, times } => Disorder::Gap { before: before * stride, times },
    })
}

fn unpacked(descriptor: &Descriptor) -> [f32; DESCRIPTOR] {
    let values = descriptor.values();
    // Packing changes the length a little.
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    values.map(|value| value / length)
}

/// Euclidean distances of all pairs.
struct Distances {
    count: usize,
    all: Vec<f32>,
}

impl Distances {
    fn of(slices: &[[f32; DESCRIPTOR]]) -> Self {
        let count = slices.len();
        let mut all = vec![0.0; count * count];
        for a in 0..count {
            for b in 0..a {
                let dot: f32 = slices[a].iter().zip(&slices[b]).map(|(x, y)| x * y).sum();
                let distance = (2.0 - 2.0 * dot).max(0.0).sqrt();
                all[a * count + b] = distance;
                all[b * count + a] = distance;
            }
        }
        Self { count, all }
    }

    fn row(&self, slice: usize) -> &[f32] {
        &self.all[slice * self.count..(slice + 1) * self.count]
    }

    fn step(&self, slice: usize) -> f32 {
        self.row(slice)[slice + 1]
    }

    fn disorder(&self) -> Option<Disorder> {
        let n = self.count;
        let steps: Vec<f32> = (0..n - 1).map(|slice| self.step(slice)).collect();
        if self.best_step() > ORDERED * self.usual() {
            return None;
        }
        let away: Vec<f32> = (0..n - 1).map(|slice| self.closer(slice)).collect();
        let longest = (0..n - 1).max_by(|a, b| steps[*a].total_cmp(&steps[*b]))?;
        let usual = median(steps.clone()).max(0.5 * NOISE);
        let mean_away = away.iter().sum::<f32>() / away.len() as f32;
        let far = away.iter().filter(|share| **share >= 0.25).count();
        let is_mixed = mean_away >= 0.12 || n >= 12 && far >= 2;
        // Every other slice first and then the rest: one long way back in the middle.
        let is_back = longest.abs_diff(n / 2 - 1) <= 1 && steps[longest] >= 2.5 * usual;
        let is_interleaved = n >= 16 && is_back && self.neighbours_elsewhere() >= 0.45;
        if is_mixed || is_interleaved {
            let steps = away.iter().filter(|share| **share > 0.0).count();
            let example = (0..n - 1).max_by(|a, b| away[*a].total_cmp(&away[*b]))?;
            return Some(Disorder::Unordered { steps, of: n - 1, example });
        }
        let around = self.row(0)[n - 1];
        let begins_within = if n >= 12 {
            let is_jump = steps[longest] >= 3.0 * usual && steps[longest] >= 2.0 * around;
            is_jump && around <= 2.5 * usual && away[longest] >= 0.06
        } else {
            around <= usual && steps[longest] - around >= 0.8 * usual
        };
        if begins_within {
            return Some(Disorder::BeginsWithin { last: longest });
        }
        gap(&steps)
    }

    /// The share of other slices that are closer to both ends of a step than these are to each other.
    fn closer(&self, slice: usize) -> f32 {
        let limit = CLOSER * self.step(slice);
        if self.step(slice) < NOISE {
            return 0.0;
        }
        let closer = |of: usize| self.row(of).iter().filter(|distance| **distance < limit).count().saturating_sub(1);
        closer(slice).min(closer(slice + 1)) as f32 / (self.count - 2) as f32
    }

    /// The share of slices that have one more alike elsewhere than among the four next to them.
    fn neighbours_elsewhere(&self) -> f32 {
        let elsewhere = |slice: &usize| {
            let (mut near, mut far) = (f32::INFINITY, f32::INFINITY);
            for (other, distance) in self.row(*slice).iter().enumerate().filter(|(other, _)| other != slice) {
                let least = if other.abs_diff(*slice) <= 2 { &mut near } else { &mut far };
                *least = least.min(*distance);
            }
            far < CLOSER * near
        };
        (0..self.count).filter(elsewhere).count() as f32 / self.count as f32
    }

    /// Mean step of the shortest tree over all slices, which no order can be shorter than (Prim).
    fn best_step(&self) -> f32 {
        let mut nearest = self.row(0).to_vec();
        let mut joined = vec![false; self.count];
        joined[0] = true;
        let mut sum = 0.0;
        for _ in 1..self.count {
            let open = (0..self.count).filter(|slice| !joined[*slice]);
            let Some(next) = open.min_by(|a, b| nearest[*a].total_cmp(&nearest[*b])) else { break };
            sum += nearest[next];
            joined[next] = true;
            nearest.iter_mut().zip(self.row(next)).for_each(|(least, distance)| *least = least.min(*distance));
        }
        sum / (self.count - 1) as f32
    }

    /// Median distance of all pairs.
    fn usual(&self) -> f32 {
        let pairs: Vec<f32> = (1..self.count).flat_map(|slice| self.row(slice)[..slice].iter().copied()).collect();
        median(pairs)
    }
}

/// A step that is three times as long as each of the three before and after it. The first and the last slices, where
/// the body ends or the lungs begin, have no steps on both sides.
fn gap(steps: &[f32]) -> Option<Disorder> {
    const AROUND: usize = 3;
    (AROUND..steps.len().saturating_sub(AROUND)).find_map(|at| {
        let others = steps[at - AROUND..at].iter().chain(&steps[at + 1..=at + AROUND]);
        let times = steps[at] / others.fold(NOISE, |most, step| most.max(*step));
        (steps[at] >= 0.18 && times >= 3.0).then_some(Disorder::Gap { before: at, times })
    })
}

fn median(values: Vec<f32>) -> f32 {
    upper_median(values, f32::total_cmp).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slices along a curve whose points are the farther apart the farther their numbers are, up to a quarter turn.
    fn scan(count: usize) -> Vec<Descriptor> {
        let at = |number: usize| {
            let mut values = [0.0; DESCRIPTOR];
            let turn = number as f32 / (count - 1) as f32 * 10.0;
            for (k, value) in values.iter_mut().enumerate().take(12) {
                *value = (-(turn - k as f32).powi(2) / 4.0).exp();
            }
            let length = values.iter().map(|v| v * v).sum::<f32>().sqrt();
            Descriptor::packed(&values.map(|v| v / length))
        };
        (0..count).map(at).collect()
    }

    fn judged(slices: &[Descriptor], order: impl IntoIterator<Item = usize>) -> Option<Disorder> {
        disorder(&order.into_iter().map(|slice| &slices[slice]).collect::<Vec<_>>())
    }

    #[test]
    fn numbers_in_order_and_in_reverse_are_fine() {
        for count in [5, 8, 12, 40, 1300] {
            let slices = scan(count);
            assert_eq!(judged(&slices, 0..count), None, "{count}");
            assert_eq!(judged(&slices, (0..count).rev()), None, "{count} in reverse");
        }
    }

    #[test]
    fn shuffled_interleaved_and_sorted_by_text_are_unordered() {
        for count in [8, 12, 40, 100] {
            let slices = scan(count);
            let shuffled =
                (0..count).map(|at| at * 7 % count.next_multiple_of(2).next_power_of_two()).filter(|at| *at < count);
            let mut order: Vec<usize> = shuffled.collect();
            order.sort_unstable_by_key(|at| at * 7919 % 211);
            assert!(matches!(judged(&slices, order), Some(Disorder::Unordered { .. })), "{count} shuffled");
            let interleaved = (0..count).step_by(2).chain((1..count).step_by(2));
            assert!(matches!(judged(&slices, interleaved), Some(Disorder::Unordered { .. })), "{count} interleaved");
        }
        let slices = scan(60);
        let mut by_text: Vec<usize> = (0..60).collect();
        by_text.sort_by_key(ToString::to_string);
        assert!(matches!(judged(&slices, by_text), Some(Disorder::Unordered { of: 59, .. })));
    }

    #[test]
    fn a_scan_that_begins_within_and_one_with_a_gap_are_told_apart() {
        let slices = scan(40);
        assert_eq!(judged(&slices, (18..40).chain(0..18)), Some(Disorder::BeginsWithin { last: 21 }));
        let gap = judged(&slices, (0..15).chain(25..40));
        assert!(matches!(gap, Some(Disorder::Gap { before: 14, times }) if times > 3.0), "{gap:?}");
    }

    #[test]
    fn pictures_without_any_order_are_not_called_unordered() {
        let apart = |number: usize| {
            let mut values = [0.0; DESCRIPTOR];
            values[number * 5] = 1.0;
            Descriptor::packed(&values)
        };
        let slices: Vec<Descriptor> = (0..12).map(apart).collect();
        assert_eq!(judged(&slices, 0..12), None);
    }
}
