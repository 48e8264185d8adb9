//! How long each of the ranks that train together computes: every step takes as long as the slowest.

use crate::base::errors::Result;
use crate::base::ranks::{host, ranks, seconds_reducing};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// How many times as long as the fastest a rank must compute to be named.
const SLOW: f64 = 1.5;
/// Seconds more that it must take: epochs of a second are noise.
const WORTH_A_WORD: f64 = 1.0;

/// Measures what this rank computes in the steps of an epoch.
pub(crate) struct RankClock {
    begun: Instant,
    reducing: f64,
}

/// What one rank has computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct RankTime {
    host: String,
    /// Without the waiting in all-reduces, of which that on GPUs is not known. Writing checkpoints counts.
    seconds: f64,
}

impl RankClock {
    pub(crate) fn start() -> Self {
        Self { begun: Instant::now(), reducing: seconds_reducing() }
    }

    /// A line about the slowest rank, where it computed much longer than the fastest. Every rank calls it.
    pub(crate) fn slow_rank(&self) -> Result<Option<String>> {
        let seconds = self.begun.elapsed().as_secs_f64() - (seconds_reducing() - self.reducing);
        let all = ranks().collected(vec![RankTime { host: host(), seconds }], ranks().count())?;
        Ok(slowest(&all))
    }
}

fn slowest(all: &[RankTime]) -> Option<String> {
    let by_time = |(_, a): &(usize, &RankTime), (_, b): &(usize, &RankTime)| a.seconds.total_cmp(&b.seconds);
    let (fast, fastest) = all.iter().enumerate().min_by(by_time)?;
    let (slow, slowest) = all.iter().enumerate().max_by(by_time)?;
    let is_slow = slowest.seconds > SLOW * fastest.seconds && slowest.seconds - fastest.seconds > WORTH_A_WORD;
    is_slow.then(|| {
        format!(
            "rank {slow} on {} computed for {:.1} s in this epoch, rank {fast} on {} for {:.1} s: every step takes as long as the \
             slowest rank",
            slowest.host, slowest.seconds, fastest.host, fastest.seconds
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_rank_that_is_much_slower_is_named() {
        let times = |seconds: &[f64]| {
            let of = |(rank, &seconds): (usize, &f64)| RankTime { host: format!("node{rank}"), seconds };
            slowest(&seconds.iter().enumerate().map(of).collect::<Vec<_>>())
        };
        assert_eq!((times(&[5.0]), times(&[4.0, 5.9, 5.0]), times(&[0.1, 1.0])), (None, None, None));
        let said = times(&[6.1, 5.0, 9.04]).expect("a slow one");
        assert!(
            said.starts_with("rank 2 on node2 computed for 9.0 s in this epoch, rank 1 on node1 for 5.0 s"),
            "{said}"
        );
    }

    #[test]
    fn alone_no_rank_is_slow() {
        assert_eq!(RankClock::start().slow_rank().expect("no other"), None);
    }
}
