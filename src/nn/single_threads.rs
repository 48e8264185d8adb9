//! Work on libtorch in several threads, each of which computes on one: sums then round alike on every machine.

use anyhow::Result;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The results of `work` for the jobs `0..jobs`, in their order. As many jobs run side by side as libtorch has threads in the
/// calling thread; inside a job libtorch has one, so that a result does not depend on the number of threads.
///
/// # Errors
/// That of the first job, in their order, that failed; jobs that were not begun are skipped after a failure.
pub(crate) fn side_by_side<T: Send>(jobs: usize, work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    let before = tch::get_num_threads();
    let threads = jobs.min(before.max(1) as usize).max(1);
    let (next, started) = (AtomicUsize::new(0), Barrier::new(threads + 1));
    let worker = || {
        // The number is kept for each thread, and a thread takes the process's at its first use of libtorch: asked for it
        // now, it does not take it again.
        tch::get_num_threads();
        tch::set_num_threads(1);
        started.wait();
        taken(&next, jobs, &work)
    };
    let mut results = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        started.wait();
        // For threads that begin elsewhere meanwhile.
        tch::set_num_threads(before);
        let joined = workers.into_iter().map(|worker| worker.join());
        joined.flat_map(|of| of.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect::<Vec<_>>()
    });
    results.sort_by_key(|(job, _)| *job);
    results.into_iter().map(|(_, result)| result).collect()
}

/// The jobs that one thread takes, one after the other, from `next` on.
fn taken<T>(next: &AtomicUsize, jobs: usize, work: &impl Fn(usize) -> Result<T>) -> Vec<(usize, Result<T>)> {
    let mut results = Vec::new();
    loop {
        let job = next.fetch_add(1, Ordering::Relaxed);
        if job >= jobs {
            return results;
        }
        let result = work(job);
        if result.is_err() {
            next.store(jobs, Ordering::Relaxed);
        }
        results.push((job, result));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a separate process, because the number of threads is the process's.
    #[test]
    fn jobs_compute_on_one_thread_and_the_number_is_as_before() {
        let name = "nn::single_threads::tests::jobs_compute_on_one_thread_and_the_number_is_as_before";
        if crate::base::parallel::passes_alone(name) {
            return;
        }
        tch::set_num_threads(3);
        let squares = side_by_side(7, |job| Ok((job * job, tch::get_num_threads()))).expect("works");
        assert_eq!(squares, (0..7).map(|job| (job * job, 1)).collect::<Vec<_>>());
        assert_eq!(tch::get_num_threads(), 3);
        assert_eq!(std::thread::spawn(tch::get_num_threads).join().expect("joins"), 3);
        let failing = |job| if job == 2 { anyhow::bail!("at {job}") } else { Ok(job) };
        assert_eq!(side_by_side(9, failing).expect_err("fails").to_string(), "at 2");
        assert_eq!(side_by_side(0, |_| Ok(())).expect("nothing to do"), []);
    }
}
