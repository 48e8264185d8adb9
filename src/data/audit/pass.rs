//! Audit and slice cache in one pass over the files, or over those that an earlier audit did not see as they are.

use super::Audit;
use super::earlier::{Recall, ScanRecord, ranges_of_scans};
use super::incremental::Incremental;
use super::inspect::Inspection;
use super::kept_together::kept_together;
use super::pixel_measures::Levels;
use super::samples::{SamplePlace, ScanSamples};
use crate::base::errors::{Context, Result};
use crate::base::progress::Progress;
use crate::data::cache::{CacheFilling, SliceCache};
use crate::data::decode::room_for;
use crate::data::manifest::{ListedSlice, Manifest, Slice};
use crate::data::opened::Contents;
use crate::data::preprocess::Preprocess;
use std::ops::Range;
use std::path::Path;

/// The slices of a scan, and what was seen of each.
type SeenScan = (Vec<Slice>, Vec<Inspection>);
/// The folder of the caches, and the preprocessing of the one that is asked for.
pub(crate) type WantedCache<'a> = Option<(&'a Path, &'a Preprocess)>;

/// Slices that are read before what was seen of them is kept.
pub(super) const AT_ONCE: usize = 2048;

/// Inspects files from a folder or an archive and, on request, caches them in the same pass.
pub(crate) struct Pass<'a> {
    /// The numbers of each scan's slices.
    ranges: Vec<Range<usize>>,
    seen: Vec<Option<SeenScan>>,
    levels: Vec<Levels>,
    samples: ScanSamples,
    places: Vec<SamplePlace>,
    cache: WantedCache<'a>,
    filling: Option<CacheFilling>,
    recall: Option<Recall>,
    taken: usize,
}

impl<'a> Pass<'a> {
    /// Of the listed slices of a manifest. What is recalled needs no other look. For a cache all slices are read, unless
    /// all are recalled and, `later`, the cache can be built of their files.
    pub(crate) fn begin(
        manifest: &Manifest,
        files: &[ListedSlice],
        recall: Option<Recall>,
        cache: WantedCache<'a>,
        later: bool,
        progress: &(dyn Fn(&Progress) + Sync),
    ) -> Result<Self> {
        let ranges = ranges_of_scans(files, manifest.scans.len());
        let levels = ranges.iter().map(|_| Levels::none()).collect();
        let seen = ranges.iter().map(|range| range.is_empty().then(SeenScan::default)).collect();
        let samples = ScanSamples::default();
        let places = SamplePlace::of_all(files.iter().map(|file| (file.scan, file.number.is_some())));
        let mut pass = Self { ranges, seen, levels, samples, places, cache, filling: None, recall, taken: 0 };
        if (cache.is_none() || later)
            && let Some(recall) = &mut pass.recall
        {
            let known = recall.scans(manifest, files, progress)?;
            let is_all = known.iter().zip(&pass.seen).all(|(known, seen)| known.is_some() || seen.is_some());
            if cache.is_none() || is_all {
                known.into_iter().enumerate().for_each(|(scan, known)| pass.take(scan, known));
            }
        }
        if pass.taken < files.len() {
            pass.filling = cache.map(|(folder, preprocess)| CacheFilling::begin(folder, preprocess)).transpose()?;
        }
        Ok(pass)
    }

    /// Uses a scan as it was seen before.
    fn take(&mut self, scan: usize, known: Option<ScanRecord>) {
        let (Some(ScanRecord { slices, looked, samples, levels }), Some(recall)) = (known, &mut self.recall) else {
            return;
        };
        recall.take(scan);
        for (place, small) in samples {
            self.samples.restore(self.ranges[scan].start + place, &slices[place], small);
        }
        self.levels[scan] = Levels::of(levels);
        self.taken += slices.len();
        self.seen[scan] = Some((slices, looked));
    }

    /// Slices that need no other look.
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// Whether a scan needs to be looked at.
    pub(crate) fn wants(&self, scan: usize) -> bool {
        self.seen[scan].is_none()
    }

    /// The scans that need to be looked at, in portions of about so many slices.
    pub(super) fn portions(&self, at_once: usize) -> Vec<Vec<usize>> {
        let mut portions: Vec<(usize, Vec<usize>)> = Vec::new();
        for scan in (0..self.seen.len()).filter(|scan| self.wants(*scan)) {
            let slices = self.ranges[scan].len();
            match portions.last_mut().filter(|(before, _)| *before < at_once) {
                Some((before, portion)) => {
                    *before += slices;
                    portion.push(scan);
                }
                None => portions.push((slices, vec![scan])),
            }
        }
        portions.into_iter().map(|(_, portion)| portion).collect()
    }

    /// The numbers of the slices of these scans.
    pub(super) fn slices_of(&self, scans: &[usize]) -> Vec<usize> {
        scans.iter().flat_map(|scan| self.ranges[*scan].clone()).collect()
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
        let (mut look, pixels) = Inspection::of(manifest, slice, contents, &self.levels[slice.scan]);
        self.samples.offer(index, self.places[index], slice, &mut look);
        if let (Some(filling), Some(pixels)) = (&self.filling, pixels) {
            let caching = || format!("caching slice {}", manifest.place_of(slice).display());
            filling.put(index, pixels.0, pixels.1).with_context(caching)?;
        }
        Ok(look)
    }

    /// Takes what was seen of all slices of these scans, in their order, and keeps it for another audit.
    pub(crate) fn saw(&mut self, scans: &[usize], slices: Vec<Slice>, looked: Vec<Inspection>) -> Result<()> {
        for (scan, record) in self.records(scans, slices, looked) {
            self.keep_record(scan, &record)?;
            self.seen[scan] = Some((record.slices, record.looked));
        }
        Ok(())
    }

    /// The same as a record of each scan.
    pub(super) fn records(
        &self,
        scans: &[usize],
        slices: Vec<Slice>,
        looked: Vec<Inspection>,
    ) -> Vec<(usize, ScanRecord)> {
        let (mut slices, mut looked) = (slices.into_iter(), looked.into_iter());
        let record = |&scan: &usize| {
            let range = &self.ranges[scan];
            let slices: Vec<Slice> = slices.by_ref().take(range.len()).collect();
            let looked: Vec<Inspection> = looked.by_ref().take(range.len()).collect();
            // Only what is kept needs them by themselves.
            let samples = if self.recall.is_some() { self.samples.of_scan(scan) } else { Vec::new() };
            let samples = samples.into_iter().map(|(index, small)| (index - range.start, small)).collect();
            (scan, ScanRecord { slices, looked, samples, levels: self.levels[scan].counts() })
        };
        scans.iter().map(record).collect()
    }

    /// Keeps a record for another audit.
    pub(super) fn keep_record(&mut self, scan: usize, record: &ScanRecord) -> Result<()> {
        self.recall.as_mut().map_or(Ok(()), |recall| recall.put(scan, record))
    }

    /// The numbers of a scan's slices.
    pub(super) fn range(&self, scan: usize) -> Range<usize> {
        self.ranges[scan].clone()
    }

    /// The same of those scans of which all slices were seen; in the order of the manifest's slices.
    pub(crate) fn saw_whole_scans(&mut self, seen: Vec<Option<(Slice, Inspection)>>) -> Result<()> {
        let mut seen = seen.into_iter();
        for scan in 0..self.ranges.len() {
            let of_scan: Option<Vec<_>> =
                seen.by_ref().take(self.ranges[scan].len()).collect::<Vec<_>>().into_iter().collect();
            if let Some(of_scan) = of_scan.filter(|_| self.wants(scan)) {
                let (slices, looked) = of_scan.into_iter().unzip();
                self.saw(&[scan], slices, looked)?;
            }
        }
        Ok(())
    }

    /// Keeps what was seen when the rest cannot be.
    pub(crate) fn keep(self) -> Result<()> {
        self.recall.map_or(Ok(()), Recall::keep)
    }

    /// The audit of the manifest, whose slices have all been seen.
    pub(crate) fn finish(self, mut manifest: Manifest, progress: &(dyn Fn(&Progress) + Sync)) -> Result<Incremental> {
        let (mut slices, mut looked) = (Vec::new(), Vec::new());
        for seen in self.seen {
            let (of_scan, seen) = seen.context("a scan was passed over")?;
            slices.extend(of_scan);
            looked.extend(seen);
        }
        manifest.slices = slices;
        let made_from = self.recall.as_ref().map(|recall| recall.made_from(&manifest)).transpose()?.flatten();
        let known = made_from.filter(|_| self.taken == manifest.slices.len());
        let known = known.zip(self.recall.as_ref()).and_then(|(made_from, recall)| recall.findings(made_from));
        let audit = match known {
            Some((findings, histogram)) => {
                manifest.same_patient = kept_together(&findings);
                Audit { manifest, findings, histogram }
            }
            None => {
                let mut histogram = vec![0_u64; 256];
                for of_scan in &self.levels {
                    histogram
                        .iter_mut()
                        .zip(of_scan.counts())
                        .for_each(|(sum, count)| *sum = sum.saturating_add(count));
                }
                Audit::assembled(manifest, looked, histogram, self.samples)
            }
        };
        let finished = self.recall.map(|recall| recall.finish(made_from, &audit.findings, &audit.histogram));
        let notes = finished.transpose()?.unwrap_or_default();
        let cache = match (self.filling, self.cache) {
            (Some(filling), _) => Some(filling.finish(&audit.manifest, &audit.accepted())?),
            (None, Some((folder, preprocess))) => {
                Some(SliceCache::open_or_build(folder, &audit.accepted(), preprocess, progress)?)
            }
            (None, None) => None,
        };
        Ok(Incremental { audit, cache, taken: self.taken, notes })
    }
}
