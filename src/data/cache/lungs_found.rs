//! In which cached slices lungs were found.

use super::SliceCache;
use crate::data::preprocess::WithoutLungs;
use anyhow::{Context, Result};
use rayon::prelude::*;
use std::collections::HashSet;

/// The last byte of a row where lungs were looked for: 1 if they were found, else 0. Returns the slice before it.
pub(super) fn without_flag(row: &[u8]) -> Result<(&[u8], bool)> {
    match row.split_last() {
        Some((1, slice)) => Ok((slice, true)),
        Some((0, slice)) => Ok((slice, false)),
        found => {
            let found = found.map_or("an empty row".to_owned(), |(last, _)| last.to_string());
            Err(anyhow::anyhow!("expected 0 or 1 as the last byte of a slice, found {found}"))
        }
    }
}

impl SliceCache {
    /// Whether plausible lungs were found in a slice when it was cached; `None` where the preprocessing neither crops
    /// nor stretches, so that they were not looked for.
    ///
    /// # Errors
    /// An index beyond the manifest, or a damaged row.
    pub fn has_lungs(&self, slice: usize) -> Result<Option<bool>> {
        if !self.preprocess.looks_for_lungs() {
            return Ok(None);
        }
        let reading = || format!("reading slice {slice} of the cache {}", self.folder.display());
        Ok(Some(without_flag(self.rows.row(slice)?).with_context(reading)?.1))
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
        let flags = self.flags()?;
        let flag = |slice: &usize| {
            let known = flags.get(*slice).copied();
            known.with_context(|| format!("slice {slice} is not in the cache {}", self.folder.display()))
        };
        let found = slices.iter().map(flag).collect::<Result<Vec<bool>>>()?;
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

    /// Of every slice, read once: they lie all over the file.
    fn flags(&self) -> Result<&[bool]> {
        if let Some(flags) = self.flags.get() {
            return Ok(flags);
        }
        let slices = (0..self.manifest.slices.len()).into_par_iter();
        let flags = slices.map(|slice| Ok(self.has_lungs(slice)? == Some(true))).collect::<Result<Vec<bool>>>()?;
        Ok(self.flags.get_or_init(|| flags))
    }
}
