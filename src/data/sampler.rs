//! The sampler: the random order of slices in an epoch.

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Size of the shuffling window, in slices.
pub(crate) const WINDOW: usize = 16_384;
/// Consecutive slices that are read from disk in one piece.
const RUN: usize = 64;

/// The slices in a random order. Up to 16,384 slices are shuffled completely. With more, a complete shuffle would need
/// a disk seek for every slice. Instead, runs of 64 neighbouring slices are drawn from the whole data, 256 runs form a
/// window, and the slices of a window are shuffled. Each epoch then reads the disk once, in large pieces, and every
/// batch still holds slices of scans from everywhere.
pub(crate) fn shuffled(mut slices: Vec<usize>, rng: &mut ChaCha8Rng) -> Vec<usize> {
    if slices.len() <= WINDOW {
        slices.shuffle(rng);
        return slices;
    }
    let mut runs: Vec<&[usize]> = slices.chunks(RUN).collect();
    runs.shuffle(rng);
    let mut order = Vec::with_capacity(slices.len());
    for window in runs.chunks(WINDOW / RUN) {
        let begin = order.len();
        order.extend(window.iter().flat_map(|run| run.iter()));
        order[begin..].shuffle(rng);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::collections::BTreeSet;

    #[test]
    fn every_slice_comes_once_and_a_window_holds_few_runs_from_everywhere() {
        let all: Vec<usize> = (0..302_103).collect();
        let order = shuffled(all.clone(), &mut ChaCha8Rng::seed_from_u64(3));
        assert_eq!(order.iter().copied().collect::<BTreeSet<_>>().len(), all.len());
        for window in order.chunks(WINDOW) {
            let runs: BTreeSet<usize> = window.iter().map(|slice| slice / RUN).collect();
            // The last run of all is short, so windows are cut up to a run later than they were made.
            assert!(runs.len() <= WINDOW / RUN + RUN, "{} runs", runs.len());
            let mean = window.iter().sum::<usize>() as f64 / window.len() as f64;
            // The mean of 256 draws from 0 to 302,103 has a standard deviation of 5,500 and is rarely three of them
            // off; the last window is short.
            assert!(window.len() < WINDOW || (mean - 151_051.0).abs() < 16_000.0, "{mean}");
            let batch: BTreeSet<usize> = window.iter().take(32).map(|slice| slice / RUN).collect();
            assert!(batch.len() > 24, "a batch of {} runs", batch.len());
        }
    }

    #[test]
    fn few_slices_come_in_any_order() {
        let order = |seed| shuffled((0..1_000).collect(), &mut ChaCha8Rng::seed_from_u64(seed));
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        let mut plain: Vec<usize> = (0..1_000).collect();
        plain.shuffle(&mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!(order(1), plain);
    }
}
