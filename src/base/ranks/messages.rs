//! What ranks exchange, by MPI.

use super::Number;
use crate::base::errors::{Context, Result, ensure};
use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::datatype::PartitionMut;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
pub(crate) use mpi::traits::Equivalence as Sent;
use mpi::traits::{Communicator, CommunicatorCollectives, Root};

/// MPI, until it is dropped.
pub(super) struct World(#[allow(dead_code)] Universe);

impl World {
    /// Starts MPI. Returns also this process's rank and the number of ranks, and both among those on this host.
    pub(super) fn begin() -> Result<(Self, [usize; 2], [usize; 2])> {
        // Gradients are differentiated in threads of libtorch's.
        let started = mpi::initialize_with_threading(Threading::Serialized);
        let (universe, threading) = started.context("it was started before")?;
        ensure!(threading >= Threading::Serialized, "it allows no threads ({threading:?})");
        let world = universe.world();
        let of = |of: &SimpleCommunicator| [of.rank() as usize, of.size() as usize];
        let (all, on_host) = (of(&world), of(&world.split_shared(world.rank())));
        Ok((Self(universe), all, on_host))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Otherwise MPI would wait here for ranks that still compute.
        if std::thread::panicking() {
            abort();
        }
    }
}

fn world() -> SimpleCommunicator {
    SimpleCommunicator::world()
}

/// The name and version of the library, the first part of what it says of itself.
pub(super) fn library() -> String {
    name_in(&mpi::environment::library_version().unwrap_or_default())
}

/// `Open MPI v4.1.4, package: …`, or `MPICH Version: 4.0.2` and many lines more.
fn name_in(said: &str) -> String {
    let first = said.split([',', '\n', '\0']).next().unwrap_or_default();
    first.replace("Version:", "").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Ends all ranks.
pub(super) fn abort() -> ! {
    world().abort(1)
}

/// Values in one message: a megabyte or two, which stay in a core's cache while they are added up.
const AT_ONCE: usize = 1 << 18;

pub(super) fn all_reduce<T: Number>(values: &mut [T]) {
    let (world, mut own) = (world(), Vec::new());
    for part in values.chunks_mut(AT_ONCE) {
        own.clear();
        own.extend_from_slice(part);
        world.all_reduce_into(&own[..], part, SystemOperation::sum());
    }
}

/// Exchanges values with another rank, and adds its to these.
pub(super) fn add_from<T: Number>(other: usize, values: &mut [T]) {
    let (world, mut theirs) = (world(), vec![T::default(); values.len().min(AT_ONCE)]);
    let other = world.process_at_rank(other as i32);
    for part in values.chunks_mut(AT_ONCE) {
        let theirs = &mut theirs[..part.len()];
        mpi::point_to_point::send_receive_into(&*part, &other, theirs, &other);
        part.iter_mut().zip(theirs).for_each(|(own, theirs)| *own += *theirs);
    }
}

pub(super) fn all_gather(own: &[u8]) -> Result<Vec<Vec<u8>>> {
    let own = ended(own.to_vec());
    let mut parts = RankParts::of_ranks(&own)?;
    world().all_gather_varcount_into(&own[..], &mut parts.partition());
    Ok(parts.each())
}

/// The bytes and one more: Rust's pointer to no bytes is 1, which for Open MPI is `MPI_IN_PLACE`.
fn ended(mut own: Vec<u8>) -> Vec<u8> {
    own.push(0);
    own
}

/// On all ranks but the first nothing is returned.
pub(super) fn gather(own: Vec<u8>) -> Result<Vec<Vec<u8>>> {
    let own = ended(own);
    let mut parts = RankParts::of_ranks(&own)?;
    let world = world();
    let first = world.process_at_rank(0);
    if world.rank() == 0 {
        first.gather_varcount_into_root(&own[..], &mut parts.partition());
        return Ok(parts.each());
    }
    first.gather_varcount_into(&own[..]);
    Ok(Vec::new())
}

/// Room for the bytes of all ranks, one after the other.
struct RankParts {
    bytes: Vec<u8>,
    lengths: Vec<i32>,
    begins: Vec<i32>,
}

impl RankParts {
    fn of_ranks(own: &[u8]) -> Result<Self> {
        let mut lengths = vec![0_u64; world().size() as usize];
        world().all_gather_into(&(own.len() as u64), &mut lengths[..]);
        let all: u64 = lengths.iter().sum();
        ensure!(all <= i32::MAX as u64, "expected less than 2 GiB from all ranks, found {all} bytes");
        let lengths: Vec<i32> = lengths.iter().map(|length| *length as i32).collect();
        let begins = lengths.iter().scan(0, |at, length| Some(std::mem::replace(at, *at + length))).collect();
        Ok(Self { bytes: vec![0; all as usize], lengths, begins })
    }

    fn partition(&mut self) -> PartitionMut<'_, [u8], &[i32], &[i32]> {
        PartitionMut::new(&mut self.bytes[..], &self.lengths[..], &self.begins[..])
    }

    fn each(&self) -> Vec<Vec<u8>> {
        // Without the byte that each ends with.
        let part = |(begin, length): (&i32, &i32)| self.bytes[*begin as usize..][..*length as usize - 1].to_vec();
        self.begins.iter().zip(&self.lengths).map(part).collect()
    }
}

pub(super) fn barrier() {
    world().barrier();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_known_by_its_first_words() {
        assert_eq!(name_in("Open MPI v4.1.4, package: Debian OpenMPI, ident: 4.1.4"), "Open MPI v4.1.4");
        assert_eq!(name_in("MPICH Version:\t4.0.2\nMPICH Release date:\tThu Apr  7\n"), "MPICH 4.0.2");
    }
}
