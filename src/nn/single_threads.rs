//! Work on libtorch in several threads, each of which computes on one: sums then round alike on every machine.

use crate::base::errors::Result;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The results of `work` for the jobs `0..jobs`, in their order. As many jobs run side by side as libtorch has threads in the
/// calling thread; inside a job libtorch has one, so that a result does not depend on the number of threads.
///
/// # Errors
/// Those of [`in_threads`].
pub(crate) fn side_by_side<T: Send>(jobs: usize, work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    let threads = jobs.min(tch::get_num_threads().max(1) as usize);
    in_threads(vec![(); threads], jobs, |(), job| work(job))
}

/// The results of `work` for the jobs `0..jobs`, in their order, in as many threads as there are states; each thread has one
/// of them, and libtorch computes on one thread in each. Without states nothing is done.
///
/// # Errors
/// That of the first job, in their order, that failed; jobs that were not begun are skipped after a failure.
pub(crate) fn in_threads<S: Send, T: Send>(
    states: Vec<S>,
    jobs: usize,
    work: impl Fn(&S, usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let before = tch::get_num_threads();
    let (next, started) = (AtomicUsize::new(0), Barrier::new(states.len() + 1));
    let worker = |state: S| {
        // The number is kept for each thread, and a thread takes the process's at its first use of libtorch: asked for it
        // now, it does not take it again.
        tch::get_num_threads();
        tch::set_num_threads(1);
        started.wait();
        taken(&state, &next, jobs, &work)
    };
    let mut results = std::thread::scope(|scope| {
        let workers: Vec<_> = states.into_iter().map(|state| scope.spawn(|| worker(state))).collect();
        started.wait();
        // For threads that begin elsewhere meanwhile, and also where a job panics.
        tch::set_num_threads(before);
        let joined = workers.into_iter().map(|worker| worker.join());
        joined.flat_map(|of| of.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect::<Vec<_>>()
    });
    results.sort_by_key(|(job, _)| *job);
    results.into_iter().map(|(_, result)| result).collect()
}

/// The jobs that one thread takes, one after the other, from `next` on.
fn taken<S, T>(
    state: &S,
    next: &AtomicUsize,
    jobs: usize,
    work: &impl Fn(&S, usize) -> Result<T>,
) -> Vec<(usize, Result<T>)> {
    let mut results = Vec::new();
    loop {
        let job = next.fetch_add(1, Ordering::Relaxed);
        if job >= jobs {
            return results;
        }
        let result = work(state, job);
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
        let failing = |job| if job == 2 { crate::base::errors::bail!("at {job}") } else { Ok(job) };
        assert_eq!(side_by_side(9, failing).expect_err("fails").to_string(), "at 2");
        assert_eq!(side_by_side(0, |_| Ok(())).expect("nothing to do"), []);
    }

    /// In a separate process, because the number of libtorch's threads is process-wide.
    #[test]
    fn a_panic_in_a_job_restores_the_number_of_threads() {
        let name = "nn::single_threads::tests::a_panic_in_a_job_restores_the_number_of_threads";
        if crate::base::parallel::passes_alone(name) {
            return;
        }
        tch::set_num_threads(3);
        let once = |(): &(), repeat: usize| {
            assert_ne!(repeat, 2, "planted");
            Ok(repeat)
        };
        assert_eq!(in_threads(vec![(), ()], 2, once).expect("no panic"), [0, 1]);
        assert_eq!(tch::get_num_threads(), 3);
        let panicked = std::panic::catch_unwind(|| in_threads(vec![(), ()], 7, once)).is_err();
        assert_eq!((panicked, tch::get_num_threads()), (true, 3));
    }
}
