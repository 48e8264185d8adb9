//! Parallel work on many items.

use crate::base::errors::Result;
use rayon::prelude::*;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// Locks a mutex, even after a thread panicked while holding it.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Two results for every item, in the items' order. Each is written directly to its place: `collect` into a `Result`
/// would first gather lists and then copy them, which takes twice the memory.
///
/// # Errors
/// The first failure; items that were not started are skipped.
pub(crate) fn in_parallel<I, A, B>(
    items: I,
    work: impl Fn(I::Item) -> Result<(A, B)> + Sync + Send,
) -> Result<(Vec<A>, Vec<B>)>
where
    I: IndexedParallelIterator,
    A: Send,
    B: Send,
{
    let failure = OnceLock::new();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    items
        .map(|item| {
            if failure.get().is_some() {
                return (None, None);
            }
            match work(item) {
                Ok((a, b)) => (Some(a), Some(b)),
                Err(error) => {
                    failure.set(error).ok();
                    (None, None)
                }
            }
        })
        .unzip_into_vecs(&mut first, &mut second);
    match failure.into_inner() {
        Some(error) => Err(error),
        None => Ok((first.into_iter().flatten().collect(), second.into_iter().flatten().collect())),
    }
}

/// Memory that threads share. Who needs more than is left waits.
pub(crate) struct MemoryBudget {
    bytes: u64,
    claimed: Mutex<u64>,
    freed: Condvar,
}

/// A part of a [`MemoryBudget`], given back when it is dropped.
pub(crate) struct Claim<'a> {
    budget: &'a MemoryBudget,
    bytes: u64,
}

impl MemoryBudget {
    pub(crate) const fn of(bytes: u64) -> Self {
        Self { bytes, claimed: Mutex::new(0), freed: Condvar::new() }
    }

    /// Waits until this much is left. Who needs more than there is gets all of it.
    pub(crate) fn claim(&self, bytes: u64) -> Claim<'_> {
        let bytes = bytes.min(self.bytes);
        let mut claimed = locked(&self.claimed);
        while *claimed + bytes > self.bytes {
            claimed = self.freed.wait(claimed).unwrap_or_else(PoisonError::into_inner);
        }
        *claimed += bytes;
        Claim { budget: self, bytes }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        *locked(&self.budget.claimed) -= self.bytes;
        self.budget.freed.notify_all();
    }
}

/// For tests of process-wide state: runs the test of this name in a separate process and returns true when it passed
/// there. In that process it returns false, and the test itself runs.
#[cfg(test)]
pub(crate) fn passes_alone(name: &str) -> bool {
    const ALONE: &str = "COVID_CT_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return false;
    }
    let program = std::env::current_exe().expect("this program");
    let output = std::process::Command::new(program).args(["--exact", name]).env(ALONE, "1").output().expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    #[test]
    fn threads_together_never_take_more_than_the_budget() {
        let budget = MemoryBudget::of(10);
        let (now, most) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (budget, now, most) = (&budget, &now, &most);
                scope.spawn(move || {
                    for round in 0..50 {
                        let bytes = [3, 4, 100][(thread + round) % 3];
                        let claim = budget.claim(bytes);
                        most.fetch_max(now.fetch_add(bytes.min(10), SeqCst) + bytes.min(10), SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(bytes.min(10), SeqCst);
                        drop(claim);
                    }
                });
            }
        });
        assert!((4..=10).contains(&most.load(SeqCst)), "{most:?}");
        assert_eq!(*locked(&budget.claimed), 0);
        // What is not needed at once is not waited for.
        let held = [budget.claim(4), budget.claim(4)];
        assert_eq!(*locked(&budget.claimed), 8);
        drop(held);
    }

    #[test]
    fn results_come_in_order_and_a_failure_ends_the_work() {
        let (squares, halves) = in_parallel((0..1000_u32).into_par_iter(), |n| Ok((n * n, n / 2))).expect("works");
        assert_eq!((squares[999], halves[999], squares.len(), halves.len()), (998_001, 499, 1000, 1000));
        let failing = |n: u32| if n == 7 { crate::base::errors::bail!("at {n}") } else { Ok((n, ())) };
        assert_eq!(in_parallel((0..1000_u32).into_par_iter(), failing).expect_err("fails").to_string(), "at 7");
    }
}
