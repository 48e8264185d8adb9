//! Builds a slice cache from the files of a manifest.

use super::CacheIndex;
use super::lungs_found::FOUND;
use crate::base::errors::{Context, Result};
use crate::base::interrupt::go_on;
use crate::base::progress::{Meter, Progress};
use crate::data::decode::room_for;
use crate::data::manifest::Manifest;
use crate::data::opened::{Contents, Loaded, VolumePairs, runs};
use crate::data::pack::pack;
use crate::data::pixels::Pixels;
use crate::data::preprocess::{Preprocess, Storage};
use crate::data::resize::resize_grey;
use crate::data::rows::{Building, CachedRow, Place};
use rayon::prelude::*;
use std::ops::Range;

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

/// A build of missing rows.
struct CacheBuild<'a> {
    manifest: &'a Manifest,
    preprocess: &'a Preprocess,
    building: &'a Building,
    meter: Meter<'a>,
}

/// Builds the rows that are missing.
pub(super) fn build(
    place: &Place,
    manifest: &Manifest,
    preprocess: &Preprocess,
    index: &CacheIndex,
    progress: &(dyn Fn(&Progress) + Sync),
) -> Result<()> {
    const STAGE: &str = "slice cache";
    let say = |note: &str| progress(&Progress::noted(STAGE, "slices", index.slices, note));
    let Some(building) = Building::begin(place, say)? else { return Ok(()) };
    let meter = Meter::new(STAGE, "slices", index.slices, building.already(), progress);
    let missing = building.missing();
    let rows = CacheBuild { manifest, preprocess, building: &building, meter };
    let has_volumes = missing.iter().any(|block| block.clone().any(|slice| manifest.slices[slice].frame.is_some()));
    match has_volumes {
        true => rows.build_in_order(&missing)?,
        // Few blocks are built at a time, so that they are written roughly in order and can be read in one piece later.
        false => missing.par_iter().by_uniform_blocks(4 * rayon::current_num_threads()).try_for_each(|block| {
            let made = block.clone().map(|slice| rows.row_of_file(slice)).collect::<Result<Vec<_>>>()?;
            rows.put(block, &made)
        })?,
    }
    rows.meter.finish();
    building.finish(index)
}

impl CacheBuild<'_> {
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
            self.put(block, &made)?;
        }
        Ok(())
    }

    fn put(&self, block: &Range<usize>, rows: &[CachedRow]) -> Result<()> {
        self.building.put(block, rows.iter().map(|row| (row.bytes.as_slice(), row.mark)))
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
        self.meter.add(1);
        go_on()?;
        Ok(row)
    }
}
