//! Parallel work on many items.

use anyhow::Result;
use rayon::prelude::*;
use std::sync::{Mutex, MutexGuard, OnceLock};

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

    #[test]
    fn results_come_in_order_and_a_failure_ends_the_work() {
        let (squares, halves) = in_parallel((0..1000_u32).into_par_iter(), |n| Ok((n * n, n / 2))).expect("works");
        assert_eq!((squares[999], halves[999], squares.len(), halves.len()), (998_001, 499, 1000, 1000));
        let failing = |n: u32| if n == 7 { anyhow::bail!("at {n}") } else { Ok((n, ())) };
        assert_eq!(in_parallel((0..1000_u32).into_par_iter(), failing).expect_err("fails").to_string(), "at 7");
    }
}
