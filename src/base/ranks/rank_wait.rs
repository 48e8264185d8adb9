//! The time that this rank waits for the others, and a word where they do not come.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Milliseconds after which the first rank says that it waits.
const PATIENCE: u64 = 30_000;

/// Nanoseconds spent in all-reduces.
static REDUCING: AtomicU64 = AtomicU64::new(0);
/// When the present exchange began, by [`now`]; 0 between exchanges.
static SINCE: AtomicU64 = AtomicU64::new(0);

/// Milliseconds since the first call, from 1.
fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_millis() as u64 + 1
}

/// Does an exchange with the other ranks, which is watched.
pub(super) fn waiting<T>(exchange: impl FnOnce() -> T) -> T {
    SINCE.store(now(), Ordering::Relaxed);
    let given = exchange();
    SINCE.store(0, Ordering::Relaxed);
    given
}

/// Does an all-reduce.
pub(super) fn reducing(exchange: impl FnOnce()) {
    let begun = Instant::now();
    waiting(exchange);
    REDUCING.fetch_add(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
}

/// Seconds this process has spent in all-reduces, waiting for the other ranks included.
pub fn seconds_reducing() -> f64 {
    REDUCING.load(Ordering::Relaxed) as f64 / 1e9
}

/// Watches this rank until the program ends, and says once of each exchange that it takes long: it may be that another rank
/// computes, or that its host has stopped, and only who started them can know.
pub(crate) fn watch(say: fn(std::fmt::Arguments<'_>)) {
    std::thread::spawn(move || {
        let mut said = 0;
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let since = SINCE.load(Ordering::Relaxed);
            if is_overdue(since, now()) && since != said {
                said = since;
                say(format_args!(
                    "covid-ct: rank 0 has waited {} s for the others: one is slow, or its host cannot be reached. It goes on \
                     waiting; Ctrl-C ends all, and a run goes on from its last checkpoint",
                    PATIENCE / 1000
                ));
            }
        }
    });
}

/// Whether an exchange that began at `since` takes long at `now`.
fn is_overdue(since: u64, now: u64) -> bool {
    since > 0 && now.saturating_sub(since) >= PATIENCE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_is_overdue_after_half_a_minute() {
        assert!(!is_overdue(0, 90_000) && !is_overdue(5, 30_004) && is_overdue(5, 30_005));
        // A clock that is read before the exchange begins.
        assert!(!is_overdue(7, 6));
    }

    #[test]
    fn exchanges_are_timed() {
        let before = seconds_reducing();
        reducing(|| std::thread::sleep(Duration::from_millis(20)));
        assert!(seconds_reducing() - before >= 0.02);
        assert_eq!((waiting(|| 7), SINCE.load(Ordering::Relaxed)), (7, 0));
    }
}
