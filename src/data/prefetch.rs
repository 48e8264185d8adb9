//! Batches made while the one before is worked on, and disks asked in time.

use crate::data::cache::SliceCache;
use crate::data::rows::Rows;
use crate::data::sampler::{WINDOW, shuffled};
use crate::nn::transfer::{pinned, sent};
use anyhow::{Context, Result, ensure};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::Instant;
use tch::{Device, Tensor};

/// Slices that have come.
pub(crate) struct Batch<'a> {
    pub(crate) slices: &'a [usize],
    /// What was made of them.
    pub(crate) input: Tensor,
    /// Seconds that were waited for it.
    pub(crate) waited: f64,
}

/// Has `work` do each batch in turn, while a thread makes the next one with `make` and has the system read the `rows` that
/// come after.
pub(crate) fn prefetch(
    rows: &Rows,
    batches: &[&[usize]],
    make: impl Fn(&[usize]) -> Result<Tensor> + Send,
    mut work: impl FnMut(Batch<'_>) -> Result<()>,
) -> Result<()> {
    std::thread::scope(|scope| {
        let (made, coming) = std::sync::mpsc::sync_channel(1);
        scope.spawn(move || {
            let mut asked = ReadAhead::of(rows, batches);
            for (number, batch) in batches.iter().enumerate() {
                asked.ask(number);
                // Nobody waits any more after an error.
                if made.send(make(batch)).is_err() {
                    return;
                }
            }
        });
        for slices in batches {
            let begun = Instant::now();
            let input = coming.recv().context("the thread that reads slices ended")??;
            work(Batch { slices, input, waited: begun.elapsed().as_secs_f64() })?;
        }
        Ok(())
    })
}

/// What the system was asked to read, and told that it can spare.
struct ReadAhead<'a> {
    rows: &'a Rows,
    batches: &'a [&'a [usize]],
    /// Batches in a window.
    window: usize,
    /// Up to which batch it was asked.
    wanted: usize,
    /// Up to which batch it was told.
    spared: usize,
}

impl<'a> ReadAhead<'a> {
    fn of(rows: &'a Rows, batches: &'a [&'a [usize]]) -> Self {
        let size = batches.first().map_or(1, |batch| batch.len().max(1));
        Self { rows, batches, window: (WINDOW / size).max(1), wanted: 0, spared: 0 }
    }

    /// Before batch `now` is made. Asks for one window of slices beyond the one at hand, as soon as half a window is left of
    /// what was asked for. Of more than a window, slices that were used are marked as what memory can spare: the system
    /// would keep those, and drop what it has read ahead and nobody has looked at yet.
    fn ask(&mut self, now: usize) {
        if now + self.window / 2 >= self.wanted && self.wanted < self.batches.len() {
            let end = (self.wanted + self.window).min(self.batches.len());
            self.rows.read_ahead(&self.batches[self.wanted..end].concat());
            self.wanted = end;
        }
        if self.batches.len() > self.window && now >= self.spared + (self.window / 16).max(1) {
            self.rows.spare(&self.batches[self.spared..now].concat());
            self.spared = now;
        }
    }
}

impl SliceCache {
    /// Slices in the order in which an epoch of a training sees them: random, and yet so that a disk is passed about once.
    pub fn shuffled(&self, slices: &[usize], seed: u64) -> Vec<usize> {
        shuffled(slices.to_vec(), &mut ChaCha8Rng::seed_from_u64(seed))
    }

    /// Gives `work` the slices in this order, `batch_size` at a time, as [`batch`](Self::batch) does; a thread reads and
    /// unpacks the next ones meanwhile. Returns the seconds that were waited for slices.
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
