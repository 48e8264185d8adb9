//! The look at every slice, divided among the ranks that work together.

use super::super::Audit;
use super::super::earlier::{EarlierAudit, FileStamp, Recall, ScanRecord};
use super::super::pass::Pass;
use crate::base::errors::{Context, Result};
use crate::base::progress::{Meter, Progress};
use crate::base::ranks::ranks;
use crate::data::manifest::{ListedSlice, Manifest};
use std::path::Path;
use std::time::SystemTime;
use xxhash_rust::xxh3::Xxh3Default;

/// Slices that one rank looks at before it takes other scans.
const PORTION: usize = 64;
/// Portions of each rank after which what was seen is kept.
const BETWEEN_SAVES: usize = 32;

impl Audit {
    /// Looks at the scans that are not known from an earlier audit, each rank at its share of them. The first keeps what all
    /// have seen, so that the [incremental](Self::incremental) audit which it makes next reads nothing. Every rank calls it;
    /// where there is one, nothing is done.
    ///
    /// # Errors
    /// Those of [`incremental`](Self::incremental); ranks that see other files.
    pub fn look_in_shares(
        root: impl AsRef<Path>,
        earlier: &EarlierAudit,
        progress: impl Fn(&Progress) + Sync,
    ) -> Result<()> {
        if ranks().is_alone() {
            return Ok(());
        }
        let (now, progress): (_, &(dyn Fn(&Progress) + Sync)) = (SystemTime::now(), &progress);
        let (manifest, files) = Manifest::before_reading(root.as_ref(), progress)?;
        let stamp = |at: usize| FileStamp::of_file(&manifest.place_of_listed(&files[at]), now);
        let recall = Recall::of(earlier, &manifest, &files, stamp)?;
        // What is known is the first rank's question: clocks and caches of hosts differ.
        let recall = if ranks().is_first() { recall } else { recall.of_nothing() };
        let mut pass = Pass::begin(&manifest, &files, Some(recall), None, true, progress)?;
        ranks().agree("the files of the data set (names and sizes)", &listed(&manifest, &files))?;
        let portions = ranks().broadcast(ranks().is_first().then(|| pass.portions(PORTION)))?;
        let meter = Meter::new("audit", "slices", files.len(), pass.taken(), progress);
        for round in portions.chunks(BETWEEN_SAVES * ranks().count()) {
            let own = round.iter().skip(ranks().rank()).step_by(ranks().count());
            let mut seen = Vec::new();
            for scans in own {
                let (slices, looked) =
                    manifest.read_listed(&files, &pass.slices_of(scans), |index, slice, contents| {
                        let look = pass.look(index, &manifest, slice, contents)?;
                        meter.add(ranks().count());
                        Ok(look)
                    })?;
                let records = pass.records(scans, slices, looked);
                seen.extend(records.iter().flat_map(|(scan, record)| entry(*scan, &record.packed())));
            }
            for bytes in ranks().gather_to_first(seen)? {
                for (scan, packed) in entries(&bytes).context("reading what another rank has seen")? {
                    let record = ScanRecord::unpacked(packed, &manifest, &files[pass.range(scan)]);
                    pass.keep_record(scan, &record.context("another rank has seen other slices")?)?;
                }
            }
        }
        meter.finish();
        if ranks().is_first() { pass.keep() } else { Ok(()) }
    }
}

/// How many files, and a hash of their names and sizes: a host may have an older copy.
fn listed(manifest: &Manifest, files: &[ListedSlice]) -> String {
    let mut hash = Xxh3Default::new();
    for file in files {
        let bytes = std::fs::metadata(manifest.place_of_listed(file)).map_or(u64::MAX, |about| about.len());
        for part in [manifest.scans[file.scan].folder.as_bytes(), &[0], file.file.as_bytes(), &bytes.to_le_bytes()] {
            hash.update(part);
        }
    }
    format!("{} files in {} scans, XXH3 {:016x}", files.len(), manifest.scans.len(), hash.digest())
}

/// A scan's number, and its record with the length before it.
fn entry(scan: usize, packed: &[u8]) -> Vec<u8> {
    let numbers = [scan as u64, packed.len() as u64].map(u64::to_le_bytes);
    [&numbers.concat()[..], packed].concat()
}

/// The records of scans in what a rank has sent.
fn entries(mut bytes: &[u8]) -> Option<Vec<(usize, &[u8])>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (scan, rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let [scan, length] = [scan, length].map(|number| usize::try_from(u64::from_le_bytes(*number)).ok());
        let (packed, rest) = rest.split_at_checked(length?)?;
        found.push((scan?, packed));
        bytes = rest;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_they_were_sent() {
        let sent = [entry(7, b"seen"), entry(3, b""), entry(300, &[9; 400])].concat();
        let expected: [(usize, &[u8]); 3] = [(7, b"seen"), (3, b""), (300, &[9; 400])];
        assert_eq!(entries(&sent).expect("whole"), expected);
        assert_eq!((entries(&[]), entries(&sent[..sent.len() - 1])), (Some(Vec::new()), None));
    }
}
