//! Listing, audit and slice cache in one pass over the files.

use super::Audit;
use super::inspect::Inspection;
use super::pixel_measures::Levels;
use super::samples::ScanSamples;
use crate::base::errors::{Context, Result};
use crate::base::progress::Progress;
use crate::data::cache::{CacheFilling, SliceCache};
use crate::data::decode::room_for;
use crate::data::manifest::{Manifest, Slice};
use crate::data::opened::Contents;
use crate::data::preprocess::Preprocess;
use std::path::Path;

/// Inspects files from a folder or an archive and, on request, caches them in the same pass.
pub(crate) struct Pass {
    levels: Levels,
    samples: ScanSamples,
    filling: Option<CacheFilling>,
}

impl Pass {
    /// `cache`: the folder of the caches, and the preprocessing.
    pub(crate) fn begin(cache: Option<(&Path, &Preprocess)>) -> Result<Self> {
        let filling = cache.map(|(folder, preprocess)| CacheFilling::begin(folder, preprocess)).transpose()?;
        Ok(Self { levels: Levels::none(), samples: ScanSamples::default(), filling })
    }

    /// Inspects file number `index` of the manifest that is being made.
    pub(crate) fn look(
        &self,
        index: usize,
        manifest: &Manifest,
        slice: &Slice,
        contents: Contents<'_>,
    ) -> Result<Inspection> {
        let _room = room_for(slice.header);
        let (mut look, pixels) = Inspection::of(manifest, slice, contents, &self.levels);
        self.samples.offer(index, slice, &mut look);
        if let (Some(filling), Some(pixels)) = (&self.filling, pixels) {
            let caching = || format!("caching slice {}", manifest.place_of(slice).display());
            filling.put(index, pixels.0, pixels.1).with_context(caching)?;
        }
        Ok(look)
    }

    /// The audit; `looked` is in the order of the manifest's slices.
    pub(crate) fn finish(self, manifest: Manifest, looked: Vec<Inspection>) -> Result<(Audit, Option<SliceCache>)> {
        let audit = Audit::assembled(manifest, looked, self.levels.counts(), self.samples);
        let cache = self.filling.map(|filling| filling.finish(&audit.manifest, &audit.accepted())).transpose()?;
        Ok((audit, cache))
    }
}

impl Audit {
    /// [`Manifest::scan`] and [`run`](Self::run) in one pass, so that each file is read only once. With `cache` (the
    /// folder of the caches, and the preprocessing) the accepted slices are also cached, as by
    /// [`SliceCache::open_or_build`], and each is decoded only once. This helps most where the disk is the bottleneck.
    ///
    /// A pass that is killed starts again from the beginning; [`SliceCache::open_or_build`] can resume.
    ///
    /// # Errors
    /// As [`Manifest::scan`], and a full disk.
    pub fn in_one_pass(
        root: impl AsRef<Path>,
        cache: Option<(&Path, &Preprocess)>,
        progress: impl Fn(&Progress) + Sync,
    ) -> Result<(Self, Option<SliceCache>)> {
        Self::one_pass(root.as_ref(), cache, &progress)
    }

    fn one_pass(
        root: &Path,
        cache: Option<(&Path, &Preprocess)>,
        progress: &(dyn Fn(&Progress) + Sync),
    ) -> Result<(Self, Option<SliceCache>)> {
        let pass = Pass::begin(cache)?;
        let stage = if cache.is_some() { "audit and cache" } else { "audit" };
        let (manifest, looked) = Manifest::scan_with(root, stage, progress, |index, manifest, slice, contents| {
            pass.look(index, manifest, slice, contents)
        })?;
        pass.finish(manifest, looked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::phantom::{PhantomConfig, draw_phantom};
    use crate::data::preprocess::{Crop, Stretch};

    #[test]
    fn cropped_slices_of_one_pass_are_those_of_two() {
        let folder = tempfile::tempdir().expect("a folder");
        let (root, one) = (folder.path().join("data"), folder.path().join("one"));
        let config = PhantomConfig { size: 96, train_scans: 4, val_scans: 3, slices: 4, ..PhantomConfig::default() };
        draw_phantom(&root, &config, |_| ()).expect("draws");
        let audit = Audit::run(&Manifest::scan(&root, |_| ()).expect("scans"), |_| ()).expect("audits");
        let (crop, stretch) = (Crop::LUNGS, Stretch::LungToTissue);
        let preprocess = Preprocess { size: 48, crop, stretch, ..Preprocess::default() };
        let accepted = audit.accepted();
        let two = SliceCache::open_or_build(folder.path(), &accepted, &preprocess, |_| ()).expect("builds");
        let (again, cache) = Audit::in_one_pass(&root, Some((&one, &preprocess)), |_| ()).expect("one pass");
        let cache = cache.expect("a cache");
        assert_eq!(again, audit);
        assert!(accepted.slices.len() < audit.manifest().slices.len(), "files were left out");
        let all: Vec<usize> = (0..accepted.slices.len()).collect();
        for slice in &all {
            assert_eq!(cache.pixels(*slice).expect("a row"), two.pixels(*slice).expect("a row"), "slice {slice}");
        }
        assert_eq!(cache.with_lungs(&all).expect("rows"), two.with_lungs(&all).expect("rows"));
    }
}
