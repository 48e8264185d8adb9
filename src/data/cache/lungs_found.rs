//! In which cached slices lungs were found.

use super::SliceCache;
use crate::base::errors::Result;
use crate::data::preprocess::WithoutLungs;
use std::collections::HashSet;

/// What a slice's row is marked with where lungs were found in it.
pub(super) const FOUND: u8 = 1;

impl SliceCache {
    /// Whether plausible lungs were found in a slice when it was cached; `None` where the preprocessing neither crops
    /// nor stretches, so that they were not looked for.
    ///
    /// # Errors
    /// An index beyond the manifest.
    pub fn has_lungs(&self, slice: usize) -> Result<Option<bool>> {
        if !self.preprocess.looks_for_lungs() {
            return Ok(None);
        }
        Ok(Some(self.rows.mark(slice)? == FOUND))
    }

    /// Those of `slices` in which lungs were found, in their order; of a scan without any such slice among them all of
    /// its slices, so that no scan is lost. All of `slices` where lungs were not looked for.
    ///
    /// # Errors
    /// As [`has_lungs`](Self::has_lungs).
    pub fn with_lungs(&self, slices: &[usize]) -> Result<Vec<usize>> {
        if !self.preprocess.looks_for_lungs() {
            return Ok(slices.to_vec());
        }
        let found = slices.iter().map(|slice| Ok(self.rows.mark(*slice)? == FOUND)).collect::<Result<Vec<bool>>>()?;
        let scan = |slice: &usize| self.manifest.slices[*slice].scan;
        let with: HashSet<usize> =
            slices.iter().zip(&found).filter(|(_, found)| **found).map(|(slice, _)| scan(slice)).collect();
        let stays = |(slice, found): &(&usize, bool)| *found || !with.contains(&scan(slice));
        Ok(slices.iter().zip(found).filter(stays).map(|(slice, _)| *slice).collect())
    }

    /// Those of `slices` that take part by [`Preprocess::without_lungs`](crate::Preprocess::without_lungs).
    pub(crate) fn used(&self, slices: &[usize]) -> Result<Vec<usize>> {
        match self.preprocess.without_lungs {
            WithoutLungs::Keep => Ok(slices.to_vec()),
            WithoutLungs::LeaveOut => self.with_lungs(slices),
        }
    }
}
