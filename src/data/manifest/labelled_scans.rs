//! Labelled scans outside of a data set, for external validation.

use super::label_table::{LABELS, LabelTable, Sets};
use super::listing::FolderListing;
use super::new_scans::anywhere_below;
use super::{Label, Manifest, Set};
use crate::base::errors::{Context, Result, ensure};
use crate::base::progress::Progress;
use std::path::Path;

impl Manifest {
    /// Lists labelled scans that are not part of a data set: `path` is a folder of any layout with a `labels.csv`, or one in
    /// which scans lie below folders named `covid` and `non-covid` (or `positive` and `negative`). The set that a table
    /// names is not used. Scans without a label stay, unlabelled.
    ///
    /// # Errors
    /// No such folder, a table that cannot be read, or no scan with a label.
    pub fn of_labelled_scans(path: impl AsRef<Path>, progress: impl Fn(&Progress) + Sync) -> Result<Self> {
        Self::labelled_scans_in(path.as_ref(), &progress)
    }

    fn labelled_scans_in(path: &Path, progress: &(dyn Fn(&Progress) + Sync)) -> Result<Self> {
        let doing = || format!("listing the labelled scans in {}", path.display());
        ensure!(path.is_dir(), "{}: expected a folder", doing());
        let mut listing = anywhere_below(path, progress)?;
        match LabelTable::in_root(path, Sets::Ignored)? {
            Some(table) => listing = table.apply(listing)?,
            None => listing.label_by_folder(),
        }
        for scan in listing.scans.iter_mut().filter(|scan| scan.label.is_some()) {
            scan.set = Set::Val;
        }
        ensure!(
            listing.scans.iter().any(|scan| scan.label.is_some()),
            "{}: expected {LABELS}, or scans below folders named covid and non-covid; found {} scans without a label{}",
            doing(),
            listing.scans.len(),
            listing.scans.first().map_or(String::new(), |scan| format!(", {} first", scan.folder))
        );
        let mut listing = listing.rearranged(|_| false, Vec::new());
        let files = std::mem::take(&mut listing.files);
        let mut manifest = Self::listed(path, listing).with_context(doing)?;
        if let Some((from, bytes)) = Self::patients_in(path)? {
            manifest.read_patients(&from, &bytes)?;
        }
        manifest.read_slices(files, "reading", progress, |_, _, _, _| Ok(()))?;
        Ok(manifest)
    }
}

impl FolderListing {
    /// The label of the deepest folder that names one and nothing else, or else of the highest one that names one.
    fn label_by_folder(&mut self) {
        for scan in &mut self.scans {
            let plain = |name| Label::read(name).filter(|(_, is_loose)| !is_loose).map(|(label, _)| label);
            let label = scan.folder.split('/').rev().find_map(plain);
            scan.label = label.or_else(|| scan.folder.split('/').find_map(Label::named));
        }
    }
}
