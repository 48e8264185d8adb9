//! Prefetching: the next batch is made in a thread, and the system is asked to read ahead.

use crate::base::errors::{Context, Result, ensure};
use crate::data::cache::SliceCache;
use crate::data::rows::Rows;
use crate::data::sampler::{WINDOW, shuffled};
use crate::nn::transfer::{pinned, sent};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::Instant;
use tch::{Device, Tensor};

/// A batch that has been made.
pub(crate) struct Batch<'a> {
    /// Its place among the batches, from 0.
    pub(crate) number: usize,
    pub(crate) slices: &'a [usize],
    /// The batch.
    pub(crate) input: Tensor,
    /// Seconds spent waiting for it.
    pub(crate) waited: f64,
}

/// Calls `work` for each batch in turn, while a thread makes the next one with `make` and asks the system to read ahead
/// the `rows` of later batches.
pub(crate) fn prefetch(
    rows: &Rows,
    batches: &[&[usize]],
    make: impl Fn(&[usize]) -> Result<Tensor> + Send,
    mut work: impl FnMut(Batch<'_>) -> Result<()>,
) -> Result<()> {
    std::thread::scope(|scope| {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        scope.spawn(move || {
            let mut read_ahead = ReadAhead::of(rows, batches);
            for (number, batch) in batches.iter().enumerate() {
                read_ahead.advise(number);
                // After an error the receiver is gone.
                if sender.send(make(batch)).is_err() {
                    return;
                }
            }
        });
        for (number, slices) in batches.iter().enumerate() {
            let begun = Instant::now();
            let input = receiver.recv().context("the thread that reads slices ended")??;
            work(Batch { number, slices, input, waited: begun.elapsed().as_secs_f64() })?;
        }
        Ok(())
    })
}

/// Advice to the system: which rows to read ahead.
struct ReadAhead<'a> {
    rows: &'a Rows,
    batches: &'a [&'a [usize]],
    /// Batches in a window.
    window: usize,
    /// Batches whose rows were requested.
    requested: usize,
}

impl<'a> ReadAhead<'a> {
    fn of(rows: &'a Rows, batches: &'a [&'a [usize]]) -> Self {
        let size = batches.first().map_or(1, |batch| batch.len().max(1));
        Self { rows, batches, window: (WINDOW / size).max(1), requested: 0 }
    }

    /// Called before batch `now` is made. Requests one window of slices beyond the current one as soon as half a window
    /// is left of what was requested. Used slices need no advice: of what was read once, the system drops the oldest first.
    fn advise(&mut self, now: usize) {
        if now + self.window / 2 >= self.requested && self.requested < self.batches.len() {
            let end = (self.requested + self.window).min(self.batches.len());
            self.rows.read_ahead(&self.batches[self.requested..end].concat());
            self.requested = end;
        }
    }
}

impl SliceCache {
    /// A random order of the slices for one epoch that still reads the disk about once from beginning to end.
    pub fn shuffled(&self, slices: &[usize], seed: u64) -> Vec<usize> {
        shuffled(slices.to_vec(), &mut ChaCha8Rng::seed_from_u64(seed))
    }

    /// Calls `work` with the slices in this order, `batch_size` at a time, as [`batch`](Self::batch) makes them, while
    /// a thread prefetches the next batch. Returns the seconds spent waiting for slices.
    ///
    /// # Errors
    /// A batch size of 0, a slice that is not in the cache, a device that is not there, and what `work` returns.
    pub fn each_batch(
        &self,
        slices: &[usize],
        batch_size: usize,
        device: Device,
        mut work: impl FnMut(&[usize], &Tensor) -> Result<()>,
    ) -> Result<f64> {
        ensure!(batch_size > 0, "reading batches from the cache: expected 1 slice or more in each, found 0");
        let batches: Vec<&[usize]> = slices.chunks(batch_size).collect();
        let mut waited = 0.0;
        let make = |batch: &[usize]| pinned(self.grey(batch)?, device);
        prefetch(self.rows(), &batches, make, |batch| {
            waited += batch.waited;
            work(batch.slices, &self.preprocess().normalised(&sent(&batch.input, device)?)?)
        })?;
        Ok(waited)
    }
}
