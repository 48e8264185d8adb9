//! Which rows of a batch a process learns from, and in which shares.

use crate::base::errors::{Context, Result};
use crate::base::ranks::{ranks, share};
use std::ops::Range;
use tch::Tensor;

/// One process's rows of a batch that is divided into shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchShare {
    pub(crate) start: usize,
    pub(crate) rows: usize,
    /// Rows of the whole batch.
    pub(crate) of: usize,
    /// The first of its shares, their number, and the number of all; a rank without a number in its settings has one.
    shares: [usize; 3],
    /// Whether sums are added up in the shares' order.
    pub(crate) in_order: bool,
}

impl BatchShare {
    /// This rank's part of a batch of so many rows that is divided into [`shares`](crate::RunConfig::shares); `None` where it is not
    /// divided.
    pub(crate) fn of_batch(of: usize, shares: usize) -> Option<Self> {
        let all = if shares > 1 { shares } else { ranks().count() };
        (all > 1).then(|| Self::of_shares(of, ranks().share(all), all, shares > 1))
    }

    pub(crate) fn of_shares(of: usize, own: Range<usize>, all: usize, in_order: bool) -> Self {
        let rows = share(of, own.start, all).start..share(of, own.end - 1, all).end;
        Self { start: rows.start, rows: rows.len(), of, shares: [own.start, own.len(), all], in_order }
    }

    /// The rows of each of its shares.
    pub(crate) fn rows_of_each(&self) -> Vec<i64> {
        let [first, count, all] = self.shares;
        (first..first + count).map(|number| share(self.of, number, all).len() as i64).collect()
    }
}

/// The sum of values of shares, of which there is a power of two: of pairs, of pairs of pairs, and so on.
pub(crate) fn sum_in_order(mut values: Vec<Tensor>) -> Result<Tensor> {
    while values.len() > 1 {
        let pairs = values.chunks(2).map(|pair| match pair {
            [a, b] => Ok(a.f_add(b)?),
            _ => Ok(pair[0].shallow_clone()),
        });
        values = pairs.collect::<Result<_>>()?;
    }
    values.pop().context("a sum of no shares")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_added_up_in_pairs() {
        let one = 1.0_f32;
        let tiny = one / (1 << 24) as f32;
        let values = |of: &[f32]| of.iter().map(|value| Tensor::from(*value)).collect::<Vec<_>>();
        let sum = |of: &[f32]| f32::try_from(sum_in_order(values(of)).expect("a sum")).expect("a number");
        // One after the other the tiny ones would be lost; in pairs they are added up first.
        assert_eq!((sum(&[one, 0.0, tiny, tiny]), one + tiny + tiny), (one + 2.0 * tiny, one));
        assert!(sum_in_order(Vec::new()).is_err());
        let share = |own: Range<usize>| BatchShare::of_shares(11, own, 4, true);
        let [first, second] = [share(0..2), share(2..4)];
        assert_eq!((first.start, first.rows, first.rows_of_each()), (0, 5, vec![2, 3]));
        assert_eq!((second.start, second.rows, second.rows_of_each()), (5, 6, vec![3, 3]));
        assert_eq!([BatchShare::of_batch(11, 1), BatchShare::of_batch(11, 4)], [None, Some(share(0..4))]);
    }
}
