//! The processes that work together on a task: one, or those that `mpirun` or `srun` have started (MPI calls each a rank).
//!
//! All of them run the same commands in the same order. Where work is divided, each does its share, and the results meet in
//! one of the calls here, which every rank must reach. Only the first rank writes files and speaks.
//!
//! With the feature `mpi` the calls are those of MPI. Without it there is one rank, and none of them does anything.

pub use self::rank_wait::seconds_reducing;
pub(crate) use self::rank_wait::watch;
use self::rank_wait::{reducing, waiting};
use crate::base::errors::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ops::Range;
use std::sync::OnceLock;
use std::time::Duration;

#[cfg(feature = "mpi")]
mod messages;
#[cfg(not(feature = "mpi"))]
#[path = "ranks/no_messages.rs"]
mod messages;
mod rank_wait;

static RANKS: OnceLock<Ranks> = OnceLock::new();
/// Bytes that the first rank takes from all others together, half a gigabyte.
const AT_ONCE: usize = 1 << 29;

/// What ranks add up.
pub(crate) trait Number: messages::Sent + Copy + Default + std::ops::AddAssign {}
impl Number for f32 {}
impl Number for f64 {}

/// This process among those that work together.
#[derive(Debug)]
pub(crate) struct Ranks {
    rank: usize,
    count: usize,
    /// Its number among those on its host.
    on_host: usize,
}

/// This process among those that work together; alone, unless the program has called [`join`].
pub(crate) fn ranks() -> &'static Ranks {
    RANKS.get_or_init(|| Ranks { rank: 0, count: 1, on_host: 0 })
}

/// Whether this process is the one that writes and speaks for all that a launcher has started together.
pub fn speaks() -> bool {
    ranks().is_first()
}

/// Whether no launcher has started others together with this process.
pub fn is_alone() -> bool {
    ranks().is_alone()
}

/// By what this build divides work among processes, for a reader.
pub(crate) fn mpi_in_words() -> String {
    #[cfg(feature = "mpi")]
    return format!("{}: started by mpirun or srun, each does its share", messages::library());
    #[cfg(not(feature = "mpi"))]
    "not by this build; `make setup MPI=1` makes one for mpirun and srun".to_owned()
}

/// The name of this process's host.
pub(crate) fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// A process's membership in the processes that a launcher has started together; kept until the program ends.
pub(crate) struct Joined {
    #[cfg(feature = "mpi")]
    _world: Option<messages::World>,
    /// Ranks on this host.
    pub(crate) on_host: usize,
}

/// How many processes a launcher says it has started, and its name; `None` without a launcher.
fn launched(variable: impl Fn(&str) -> Option<String>) -> Option<(&'static str, usize)> {
    [("OMPI_COMM_WORLD_SIZE", "mpirun"), ("PMI_SIZE", "mpirun"), ("SLURM_STEP_NUM_TASKS", "srun")]
        .into_iter()
        .find_map(|(name, launcher)| Some((launcher, variable(name)?.parse().ok().filter(|count| *count > 1)?)))
}

/// This process's number among those that a launcher has started, as the launcher says; 0 without one. For what is to be said once
/// before the ranks are joined.
pub fn rank_by_launcher() -> usize {
    let said =
        ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"].into_iter().find_map(|name| std::env::var(name).ok());
    said.and_then(|rank| rank.parse().ok()).unwrap_or(0)
}

/// Joins the other processes that a launcher has started with this one. Programs call it first, once; without a launcher
/// nothing happens.
///
/// # Errors
/// A launcher, but a program without MPI, or an MPI that does not see the others; ranks that run different builds.
pub(crate) fn join() -> Result<Joined> {
    let Some((launcher, expected)) = launched(|name| std::env::var(name).ok()) else { return Ok(Joined::alone()) };
    let joined = Joined::with_others(launcher, expected)?;
    let own = std::env::current_exe().and_then(std::fs::read);
    // A rank that stopped here would leave the others waiting.
    let build = own.map_or_else(|error| error.to_string(), |bytes| format!("{:08x}", crc32c::crc32c(&bytes)));
    ranks().agree("the build of covid-ct (CRC-32C)", &build)?;
    Ok(joined)
}

impl Joined {
    fn alone() -> Self {
        Self {
            #[cfg(feature = "mpi")]
            _world: None,
            on_host: 1,
        }
    }

    #[cfg(feature = "mpi")]
    fn with_others(launcher: &str, expected: usize) -> Result<Self> {
        let (world, [rank, count], [own, on_host]) = messages::World::begin().context("starting MPI")?;
        crate::base::errors::ensure!(
            count == expected,
            "{launcher} has started {expected} processes, MPI sees {count}; with Slurm: `srun --mpi=pmix` (`srun --mpi=list` \
             shows what there is)"
        );
        crate::base::errors::ensure!(
            RANKS.set(Ranks { rank, count, on_host: own }).is_ok(),
            "the ranks were asked for before they were joined"
        );
        Ok(Self { _world: Some(world), on_host })
    }

    #[cfg(not(feature = "mpi"))]
    fn with_others(launcher: &str, expected: usize) -> Result<Self> {
        bail!(
            "{launcher} has started {expected} processes, but this covid-ct was built without MPI: run `make setup MPI=1`, or \
             start one process"
        )
    }

    /// For a process that fails: `say` is given its name, and then all ranks are ended; alone it only says why.
    pub(crate) fn fail(&self, say: impl FnOnce(&str)) {
        if ranks().is_alone() {
            return say("covid-ct");
        }
        // What fails on every rank is said by the first, which ends the others meanwhile.
        std::thread::sleep(Duration::from_secs(u64::from(!ranks().is_first())));
        say(&format!("covid-ct, rank {} of {}", ranks().rank, ranks().count));
        #[cfg(feature = "mpi")]
        messages::abort();
    }
}

impl Ranks {
    /// The number of this process, from 0.
    pub(crate) fn rank(&self) -> usize {
        self.rank
    }

    /// The number of processes.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The number of this process among those on its host, from 0.
    pub(crate) fn on_host(&self) -> usize {
        self.on_host
    }

    /// Whether this is the rank that writes and speaks.
    pub(crate) fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// Whether there are no others.
    pub(crate) fn is_alone(&self) -> bool {
        self.count == 1
    }

    /// This rank's share of so many items, side by side. Shares differ by one item at most; one can be empty.
    pub(crate) fn share(&self, items: usize) -> Range<usize> {
        share(items, self.rank, self.count)
    }

    /// Divides blocks of work, in rounds: each rank makes `at_once` of them side by side with the others and packs what they give,
    /// which the first rank then takes in their order. `make` is told how many ranks are at work in its round.
    ///
    /// `at_once` is what suits one rank; it is less where `bytes` of that many blocks do not fit into a message, or where other ranks
    /// would have nothing to do.
    pub(crate) fn in_rounds<T>(
        &self,
        blocks: &[T],
        (at_once, bytes): (usize, usize),
        mut make: impl FnMut(&[T], usize) -> Result<Vec<u8>>,
        mut take: impl FnMut(&[T], Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let fitting = AT_ONCE / bytes.saturating_mul(self.count).max(1);
        let own = match self.is_alone() {
            true => at_once,
            false => at_once.min(fitting).min(blocks.len().div_ceil(self.count)),
        };
        // Hosts have different numbers of cores.
        let at_once = self.broadcast(self.is_first().then_some(own.max(1)))?;
        let parts: Vec<&[T]> = blocks.chunks(at_once).collect();
        for round in parts.chunks(self.count) {
            let made = make(round.get(self.rank).copied().unwrap_or_default(), round.len())?;
            for (part, made) in round.iter().zip(self.gather_to_first(made)?) {
                take(part, made)?;
            }
        }
        Ok(())
    }

    /// Replaces each value, f32 or f64, by its sum over the ranks (all-reduce). MPI's implementations give all ranks the same bits;
    /// weights are compared after every epoch.
    pub(crate) fn all_reduce<T: Number>(&self, values: &mut [T]) {
        match self.count {
            1 => {}
            2 => self.all_reduce_in_order(values),
            _ => reducing(|| messages::all_reduce(values)),
        }
    }

    /// The same in a fixed order, for a number of ranks that is a power of two: neighbours exchange their values and add them up,
    /// then neighbouring pairs, and so on (recursive doubling). Two numbers have the same sum in either order: all ranks have the
    /// same bits, those of one process that adds up pairs, pairs of pairs, and so on.
    pub(crate) fn all_reduce_in_order<T: Number>(&self, values: &mut [T]) {
        let mut apart = 1;
        while apart < self.count {
            reducing(|| messages::add_from(self.rank ^ apart, values));
            apart *= 2;
        }
    }

    /// The bytes of every rank, in their order.
    ///
    /// # Errors
    /// More than 2 GiB in all.
    pub(crate) fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>> {
        if self.is_alone() { Ok(vec![own.to_vec()]) } else { waiting(|| messages::all_gather(own)) }
    }

    /// The bytes of every rank, in their order, on the first rank; on the others nothing.
    ///
    /// # Errors
    /// More than 2 GiB in all.
    pub(crate) fn gather_to_first(&self, own: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        if self.is_alone() { Ok(vec![own]) } else { waiting(|| messages::gather(own)) }
    }

    /// The first rank's value, which alone gives one.
    pub(crate) fn broadcast<T: Serialize + DeserializeOwned>(&self, own: Option<T>) -> Result<T> {
        if self.is_alone() {
            return own.context("the first rank has no value to send");
        }
        let json = own.map_or(Ok(Vec::new()), |value| serde_json::to_vec(&value))?;
        let all = self.all_gather(&json)?;
        serde_json::from_slice(&all[0]).context("reading what the first rank has sent")
    }

    /// Waits until every rank is here.
    pub(crate) fn barrier(&self) {
        if !self.is_alone() {
            waiting(messages::barrier);
        }
    }

    /// # Errors
    /// Something that should be the same on all ranks is not; the ranks and what they have are named.
    pub(crate) fn agree(&self, what: &str, own: &str) -> Result<()> {
        if self.is_alone() {
            return Ok(());
        }
        let all = self.all_gather(own.as_bytes())?;
        if let Some((rank, other)) = all.iter().enumerate().find(|(_, other)| **other != all[0]) {
            let [first, other] = [&all[0], other].map(|said| String::from_utf8_lossy(said));
            bail!(
                "{what}: rank 0 has {first}, rank {rank} has {other}; all hosts must run the same program on the same files"
            );
        }
        Ok(())
    }

    /// The results of all `jobs`, in their order, on all ranks: of those that were dealt out in turn, this rank has its `own`.
    ///
    /// # Errors
    /// Those of [`all_gather`](Self::all_gather).
    pub(crate) fn collected<T: Serialize + DeserializeOwned>(&self, own: Vec<T>, jobs: usize) -> Result<Vec<T>> {
        if self.is_alone() {
            return Ok(own);
        }
        let all = self.all_gather(&serde_json::to_vec(&own)?)?;
        let read = |bytes: &Vec<u8>| serde_json::from_slice::<Vec<T>>(bytes).context("reading another rank's results");
        let mut each: Vec<_> = all.iter().map(|bytes| Ok(read(bytes)?.into_iter())).collect::<Result<_>>()?;
        let results = (0..jobs).map(|job| each[job % self.count].next());
        results.collect::<Option<_>>().context("another rank has sent too few results")
    }
}

/// The share of one of `count` ranks.
pub(crate) fn share(items: usize, rank: usize, count: usize) -> Range<usize> {
    items * rank / count..items * (rank + 1) / count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_whole_and_even() {
        for (items, count) in [(16, 4), (10, 4), (3, 4), (0, 2), (7, 1)] {
            let shares: Vec<Range<usize>> = (0..count).map(|rank| share(items, rank, count)).collect();
            assert_eq!(shares.iter().cloned().flatten().collect::<Vec<_>>(), (0..items).collect::<Vec<_>>());
            let sizes = shares.iter().map(ExactSizeIterator::len);
            assert!(sizes.clone().max().expect("shares") - sizes.min().expect("shares") <= 1, "{shares:?}");
        }
    }

    #[test]
    fn a_launcher_is_known_by_its_variable() {
        let of = |set: &'static [(&str, &str)]| {
            launched(|name| set.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(of(&[("OMPI_COMM_WORLD_SIZE", "4")]), Some(("mpirun", 4)));
        assert_eq!(of(&[("SLURM_STEP_NUM_TASKS", "2")]), Some(("srun", 2)));
        // One process, or a batch script that srun has not started.
        assert_eq!(of(&[("OMPI_COMM_WORLD_SIZE", "1"), ("SLURM_NTASKS", "8")]), None);
    }

    #[test]
    fn alone_everything_is_ones_own() {
        let alone = Ranks { rank: 0, count: 1, on_host: 0 };
        let mut values = [1.0, 2.0];
        alone.all_reduce(&mut values);
        assert_eq!((values, alone.share(5)), ([1.0, 2.0], 0..5));
        assert_eq!(alone.collected(vec![0, 1, 4], 3).expect("works"), [0, 1, 4]);
        assert_eq!(alone.broadcast(Some(7)).expect("its own"), 7);
        let mut rounds = Vec::new();
        let make = |part: &[u8], ranks| Ok([part, &[ranks as u8]].concat());
        let take = |part: &[u8], made| {
            rounds.push((part.to_vec(), made));
            Ok(())
        };
        alone.in_rounds(&[1, 2, 3], (2, 1 << 40), make, take).expect("works");
        assert_eq!(rounds, [(vec![1, 2], vec![1, 2, 1]), (vec![3], vec![3, 1])]);
        alone.agree("a hash", "1").expect("with itself");
    }
}
