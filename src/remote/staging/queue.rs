//! Distributes an archive's entries over several threads, in the archive's order, and tracks up to which entry all are
//! finished.

use super::directory::Directory;
use crate::base::errors::{Result, anyhow};
use crate::base::interrupt::go_on;
use crate::base::parallel::locked;
use crate::base::progress::Meter;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

const MEGABYTE: u64 = 1_000_000;

pub(super) struct Queue<'a> {
    directory: &'a Directory,
    /// Bytes of the archive that a thread processes at a time.
    part: u64,
    meter: &'a Meter<'a>,
    failed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: usize,
    /// All entries before this one are finished.
    finished: usize,
    /// Ranges of finished entries beyond: first, and the one after the last.
    ahead: BTreeMap<usize, usize>,
    /// The megabytes reported to the meter.
    megabytes: u64,
}

impl<'a> Queue<'a> {
    /// `already` bytes of the archive count as done before.
    pub(super) fn new(directory: &'a Directory, part: u64, meter: &'a Meter<'a>, already: u64) -> Self {
        let state = Mutex::new(State { megabytes: already / MEGABYTE, ..State::default() });
        Self { directory, part, meter, failed: AtomicBool::new(false), state }
    }

    /// Each thread processes entries with its own `work` (made by `begin`) until none is left or one has failed.
    /// `after` is called whenever some are finished.
    pub(super) fn each<W: FnMut(Range<usize>) -> Result<()>>(
        &self,
        threads: usize,
        begin: impl Fn() -> W + Sync,
        after: impl Fn() -> Result<()> + Sync,
    ) -> Result<()> {
        let run = || {
            let mut work = begin();
            while let Some(entries) = self.take() {
                let done = go_on().and_then(|()| work(entries.clone())).and_then(|()| {
                    self.finish(entries);
                    after()
                });
                if done.is_err() {
                    self.failed.store(true, Ordering::Relaxed);
                    return done;
                }
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(run)).collect();
            let results = workers.into_iter().map(|w| w.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked"))));
            results.collect::<Vec<_>>().into_iter().collect()
        })
    }

    /// All entries before this one are finished.
    pub(super) fn finished(&self) -> usize {
        self.state().finished
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change to the state is whole, so a panic elsewhere leaves it usable.
        locked(&self.state)
    }

    /// The next entries that together fill one part.
    fn take(&self) -> Option<Range<usize>> {
        let mut state = self.state();
        let first = state.next;
        if first == self.directory.len() || self.failed.load(Ordering::Relaxed) {
            return None;
        }
        let end = self.directory.offset(first).saturating_add(self.part);
        let mut next = first + 1;
        while next < self.directory.len() && self.directory.offset(next + 1) <= end {
            next += 1;
        }
        state.next = next;
        Some(first..next)
    }

    fn finish(&self, entries: Range<usize>) {
        let mut state = self.state();
        state.ahead.insert(entries.start, entries.end);
        let mut finished = state.finished;
        while let Some(end) = state.ahead.remove(&finished) {
            finished = end;
        }
        state.finished = finished;
        let megabytes = (self.directory.offset(finished) / MEGABYTE).max(state.megabytes);
        let fresh = megabytes - state.megabytes;
        state.megabytes = megabytes;
        drop(state);
        self.meter.add(fresh as usize);
    }
}
