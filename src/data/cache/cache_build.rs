//! Builds a slice cache from the files of a manifest.

use super::CacheIndex;
use super::lungs_found::FOUND;
use crate::base::errors::{Context, Result};
use crate::base::interrupt::go_on;
use crate::base::parallel::locked;
use crate::base::progress::{Meter, Progress};
use crate::base::ranks::{ranks, speaks};
use crate::data::decode::room_for;
use crate::data::manifest::Manifest;
use crate::data::opened::{Contents, Loaded, VolumePairs, runs};
use crate::data::pack::pack;
use crate::data::pixels::Pixels;
use crate::data::preprocess::{Preprocess, Storage};
use crate::data::resize::resize_grey;
use crate::data::rows::{BLOCK, Building, CachedRow, Place};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Mutex;

impl Preprocess {
    /// A slice as the cache stores it, marked where lungs are looked for and were found.
    pub(super) fn stored(&self, pixels: Pixels) -> Result<CachedRow> {
        let (framed, has_lungs) = self.framed(pixels.into_grey(self.window));
        let pixels = resize_grey(&framed, self.size)?;
        let bytes = match self.storage {
            Storage::Packed => pack(&pixels, self.size as usize)?,
            Storage::Raw => pixels,
        };
        Ok(CachedRow { bytes, mark: if has_lungs == Some(true) { FOUND } else { 0 } })
    }
}

/// What is given the rows of each block.
type Put<'a> = &'a (dyn Fn(&Range<usize>, &[CachedRow]) -> Result<()> + Sync);

/// A build of missing rows.
struct CacheBuild<'a> {
    manifest: &'a Manifest,
    preprocess: &'a Preprocess,
    put: Put<'a>,
    meter: Meter<'a>,
    /// Ranks that make rows side by side, about as fast as this one.
    ranks: usize,
}

/// Builds the rows that are missing. Each rank makes its share of the blocks; the first writes them.
pub(super) fn build(
    place: &Place,
    manifest: &Manifest,
    preprocess: &Preprocess,
    index: &CacheIndex,
    progress: &(dyn Fn(&Progress) + Sync),
) -> Result<()> {
    const STAGE: &str = "slice cache";
    let say = |note: &str| progress(&Progress::noted(STAGE, "slices", index.slices, note));
    let building = if speaks() { Building::begin(place, say)? } else { None };
    let missing = ranks().broadcast(speaks().then(|| building.as_ref().map(Building::missing)))?;
    let Some(missing) = missing else { return Ok(()) };
    let already = index.slices - missing.iter().map(ExactSizeIterator::len).sum::<usize>();
    let meter = Meter::new(STAGE, "slices", index.slices, already, progress);
    let write = |block: &Range<usize>, rows: &[CachedRow]| {
        let rows = rows.iter().map(|row| (row.bytes.as_slice(), row.mark));
        building.as_ref().map_or(Ok(()), |building| building.put(block, rows))
    };
    if ranks().is_alone() {
        let rows = CacheBuild { manifest, preprocess, put: &write, meter, ranks: 1 };
        rows.build(&missing)?;
        rows.meter.finish();
    } else {
        let made = Mutex::new(Vec::new());
        let send = |block: &Range<usize>, rows: &[CachedRow]| {
            locked(&made).extend(sent_block(block, rows));
            Ok(())
        };
        let rows = CacheBuild { manifest, preprocess, put: &send, meter, ranks: ranks().count() };
        let bytes = BLOCK * (preprocess.size as usize).pow(2);
        let make = |blocks: &[Range<usize>], _| {
            rows.build(blocks)?;
            Ok(std::mem::take(&mut *locked(&made)))
        };
        let take = |_: &[Range<usize>], sent: Vec<u8>| {
            let received = received_blocks(&sent).context("reading another rank's rows of the cache")?;
            received.iter().try_for_each(|(block, rows)| write(block, rows))
        };
        ranks().in_rounds(&missing, (4 * rayon::current_num_threads(), bytes), make, take)?;
        rows.meter.finish();
    }
    building.map_or(Ok(()), |building| building.finish(index))?;
    ranks().barrier();
    Ok(())
}

/// A block's numbers and rows, as ranks send them.
fn sent_block(block: &Range<usize>, rows: &[CachedRow]) -> Vec<u8> {
    let mut bytes = [block.start, block.end].map(|number| (number as u64).to_le_bytes()).concat();
    for row in rows {
        bytes.push(row.mark);
        bytes.extend((row.bytes.len() as u64).to_le_bytes());
        bytes.extend(&row.bytes);
    }
    bytes
}

fn received_blocks(mut bytes: &[u8]) -> Option<Vec<(Range<usize>, Vec<CachedRow>)>> {
    let number = |bytes: &mut &[u8]| {
        let (number, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        usize::try_from(u64::from_le_bytes(*number)).ok()
    };
    let mut blocks = Vec::new();
    while !bytes.is_empty() {
        let block = number(&mut bytes)?..number(&mut bytes)?;
        let mut rows = Vec::new();
        for _ in block.clone() {
            let (&mark, rest) = bytes.split_first()?;
            bytes = rest;
            let length = number(&mut bytes)?;
            let (row, rest) = bytes.split_at_checked(length)?;
            rows.push(CachedRow { bytes: row.to_vec(), mark });
            bytes = rest;
        }
        blocks.push((block, rows));
    }
    Some(blocks)
}

impl CacheBuild<'_> {
    fn build(&self, missing: &[Range<usize>]) -> Result<()> {
        let slices = &self.manifest.slices;
        if missing.iter().any(|block| block.clone().any(|slice| slices[slice].frame.is_some())) {
            return self.build_in_order(missing);
        }
        // Few blocks are built at a time, so that they are written roughly in order and can be read in one piece later.
        missing.par_iter().by_uniform_blocks(4 * rayon::current_num_threads()).try_for_each(|block| {
            let made = block.clone().map(|slice| self.row_of_file(slice)).collect::<Result<Vec<_>>>()?;
            (self.put)(block, &made)
        })
    }

    /// One block after the other, its slices in parallel, so that each volume is read once.
    fn build_in_order(&self, missing: &[Range<usize>]) -> Result<()> {
        let volume = |slice: usize| self.manifest.volume_of(&self.manifest.slices[slice]);
        let mut volumes = VolumePairs::of(missing.iter().cloned().flatten().filter_map(volume));
        for block in missing {
            let mut made = Vec::with_capacity(block.len());
            for (range, volume) in runs(block.clone(), volume) {
                let part: Vec<CachedRow> = match volume {
                    None => range.into_par_iter().map(|slice| self.row_of_file(slice)).collect::<Result<_>>()?,
                    Some((path, _)) => {
                        let loaded = volumes.get(&path)?;
                        let row = |slice| self.row(slice, loaded.contents());
                        range.into_par_iter().map(row).collect::<Result<_>>()?
                    }
                };
                made.extend(part);
            }
            (self.put)(block, &made)?;
        }
        Ok(())
    }

    fn row_of_file(&self, slice: usize) -> Result<CachedRow> {
        let path = self.manifest.place_of(&self.manifest.slices[slice]);
        let loaded = Loaded::read(&path, None).with_context(|| match path.exists() {
            true => "building a slice cache".to_owned(),
            false => "building a slice cache (archives can only be cached by `covid-ct audit --cache`)".to_owned(),
        })?;
        self.row(slice, loaded.into_contents())
    }

    fn row(&self, slice: usize, contents: Contents<'_>) -> Result<CachedRow> {
        let listed = &self.manifest.slices[slice];
        let path = || self.manifest.place_of(listed).display().to_string();
        listed.must_be(&contents).with_context(|| format!("reading slice {}", path()))?;
        let _room = room_for(listed.header);
        let pixels = self.manifest.decoded(listed, contents).with_context(|| format!("decoding slice {}", path()))?;
        let row = self.preprocess.stored(pixels)?;
        self.meter.add(self.ranks);
        go_on()?;
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_arrive_as_they_were_sent() {
        let row = |bytes: &[u8], mark| CachedRow { bytes: bytes.to_vec(), mark };
        let blocks = [(3..5, vec![row(b"packed", 1), row(b"", 0)]), (9..10, vec![row(&[7; 300], 0)])];
        let sent: Vec<u8> = blocks.iter().flat_map(|(block, rows)| sent_block(block, rows)).collect();
        assert_eq!(received_blocks(&sent).expect("whole"), blocks);
        assert_eq!((received_blocks(&[]), received_blocks(&sent[..sent.len() - 1])), (Some(Vec::new()), None));
    }
}
