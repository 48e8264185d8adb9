//! An audit that reads only what an earlier one did not see as it is.

use super::Audit;
use super::earlier::{EarlierAudit, FileStamp, Recall};
use super::pass::{AT_ONCE, Pass, WantedCache};
use crate::base::errors::Result;
use crate::base::progress::{Meter, Progress, counted, thousands};
use crate::base::ranks::ranks;
use crate::base::table::{Table, shown_as_table};
use crate::data::cache::SliceCache;
use crate::data::manifest::Manifest;
use crate::data::preprocess::Preprocess;
use std::ops::Deref;
use std::path::Path;
use std::time::SystemTime;

mod in_shares;

/// An audit, used as one, and how much of it is an earlier one's: shown in the last line under the audit.
#[derive(Debug)]
pub struct Incremental {
    /// The audit: the same as if all slices had been read.
    pub audit: Audit,
    /// The cache, where one was asked for.
    pub cache: Option<SliceCache>,
    /// Slices that were not read, since the earlier audit saw them as they are.
    pub taken: usize,
    pub(super) notes: Vec<String>,
}

impl Incremental {
    /// Slices that were read.
    pub fn read(&self) -> usize {
        self.audit.manifest().slices.len() - self.taken
    }

    /// The audit's table, with what was read and what was taken under it.
    pub fn table(&self) -> Table {
        self.notes.iter().fold(self.audit.table(), Table::note).note(self.read_and_taken())
    }

    fn read_and_taken(&self) -> String {
        let [read, taken] = [self.read(), self.taken].map(|slices| counted(slices as u64, "slice"));
        match (self.taken, self.read()) {
            // The ranks have kept what they saw for the first one.
            _ if !ranks().is_alone() => {
                format!(
                    "{taken} seen by {} processes, each at its share, or known from an earlier audit.",
                    ranks().count()
                )
            }
            (0, _) => format!("{read} read."),
            (_, 0) => {
                format!("Nothing audited anew: {taken} taken from the earlier audit, of which no file has changed.")
            }
            _ => format!("{read} read, {} taken from the earlier audit.", thousands(self.taken as u64)),
        }
    }
}

impl Deref for Incremental {
    type Target = Audit;

    fn deref(&self) -> &Audit {
        &self.audit
    }
}

shown_as_table!(Incremental);

impl Audit {
    /// [`Manifest::scan`] and [`run`](Self::run) in one pass, so that each file is read only once. With `cache` (the
    /// folder of the caches, and the preprocessing) the accepted slices are also cached, as by
    /// [`SliceCache::open_or_build`], and each is decoded only once. This helps most where the disk is the bottleneck.
    ///
    /// A pass that is killed starts again from the beginning; [`incremental`](Self::incremental) goes on.
    ///
    /// # Errors
    /// As [`Manifest::scan`], and a full disk.
    pub fn in_one_pass(
        root: impl AsRef<Path>,
        cache: Option<(&Path, &Preprocess)>,
        progress: impl Fn(&Progress) + Sync,
    ) -> Result<(Self, Option<SliceCache>)> {
        let Incremental { audit, cache, .. } =
            Self::one_pass(root.as_ref(), None, cache, SystemTime::now(), &progress)?;
        Ok((audit, cache))
    }

    /// [`in_one_pass`](Self::in_one_pass), but a scan that an earlier audit saw as it is now is not read again; the result is
    /// the same. What this audit sees is kept for the next one, also when it is interrupted, or killed (but for its last half
    /// minute). A scan of which one file came, went or changed is read whole. For a `cache` that is not there all accepted
    /// slices are read.
    ///
    /// # Errors
    /// As [`in_one_pass`](Self::in_one_pass).
    pub fn incremental(
        root: impl AsRef<Path>,
        earlier: &EarlierAudit,
        cache: Option<(&Path, &Preprocess)>,
        progress: impl Fn(&Progress) + Sync,
    ) -> Result<Incremental> {
        Self::one_pass(root.as_ref(), Some(earlier), cache, SystemTime::now(), &progress)
    }

    /// `now`: before anything is looked at.
    pub(super) fn one_pass(
        root: &Path,
        earlier: Option<&EarlierAudit>,
        cache: WantedCache<'_>,
        now: SystemTime,
        progress: &(dyn Fn(&Progress) + Sync),
    ) -> Result<Incremental> {
        let (manifest, files) = Manifest::before_reading(root, progress)?;
        let stamp = |at: usize| FileStamp::of_file(&manifest.place_of_listed(&files[at]), now);
        let recall = earlier.map(|earlier| Recall::of(earlier, &manifest, &files, stamp)).transpose()?;
        let mut pass = Pass::begin(&manifest, &files, recall, cache, true, progress)?;
        let stage = if cache.is_some() { "audit and cache" } else { "audit" };
        let meter = Meter::new(stage, "slices", files.len(), pass.taken(), progress);
        for scans in pass.portions(AT_ONCE) {
            let read = manifest.read_listed(&files, &pass.slices_of(&scans), |index, slice, contents| {
                let look = pass.look(index, &manifest, slice, contents)?;
                meter.add(1);
                Ok(look)
            });
            match read {
                Ok((slices, looked)) => pass.saw(&scans, slices, looked)?,
                Err(error) => {
                    // The first failure is the one to tell.
                    pass.keep().ok();
                    return Err(error);
                }
            }
        }
        meter.finish();
        pass.finish(manifest, progress)
    }
}

#[cfg(test)]
mod tests;
