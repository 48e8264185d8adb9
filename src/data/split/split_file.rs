//! A split on disk, as JSON.

use super::{ExcludedScan, Overlap, Split, SplitConfig, SplitUnit, Subset, draw};
use crate::base::errors::{Result, bail, ensure};
use crate::base::files::{Digest, read_json, write_json};
use crate::data::manifest::Manifest;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SplitFile {
    config: SplitConfig,
    manifest: Digest,
    leaking: bool,
    /// Scan folders of each subset; in a slice-level split a scan may stand in two.
    scans: BTreeMap<Subset, Vec<String>>,
    /// Slices that a slice-level split drew out of `train/`, by the subset they were drawn for.
    #[serde(default)]
    drawn: BTreeMap<Subset, Vec<String>>,
    left_out: Vec<ExcludedScan>,
    overlaps: Vec<Overlap>,
}

impl Split {
    /// Writes the split as JSON.
    ///
    /// # Errors
    /// The split belongs to another manifest (both hashes are named), or the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>, manifest: &Manifest) -> Result<()> {
        self.write_in(path.as_ref(), manifest)
    }

    fn write_in(&self, path: &Path, manifest: &Manifest) -> Result<()> {
        ensure!(
            manifest.hash() == self.manifest,
            "writing a split: it was made for the manifest {}, this one is {}",
            self.manifest,
            manifest.hash()
        );
        let file = SplitFile {
            config: self.config.clone(),
            manifest: self.manifest,
            leaking: self.is_leaking(),
            scans: self.folders_by_subset(manifest),
            drawn: self.drawn_slices(manifest),
            left_out: self.left_out.clone(),
            overlaps: self.overlaps.clone(),
        };
        write_json(path, &file)
    }

    fn folders_by_subset(&self, manifest: &Manifest) -> BTreeMap<Subset, Vec<String>> {
        let mut scans: BTreeMap<Subset, BTreeSet<usize>> = BTreeMap::new();
        for (slice, subset) in manifest.slices.iter().zip(&self.subsets) {
            if let Some(subset) = subset {
                scans.entry(*subset).or_default().insert(slice.scan);
            }
        }
        let folders = |of: BTreeSet<usize>| of.into_iter().map(|scan| manifest.scans[scan].folder.clone()).collect();
        scans.into_iter().map(|(subset, of)| (subset, folders(of))).collect()
    }

    /// Paths of the slices that are not in the subset they were delivered for; none in a split by patient, where the
    /// scan folders say it all.
    fn drawn_slices(&self, manifest: &Manifest) -> BTreeMap<Subset, Vec<String>> {
        let mut drawn: BTreeMap<Subset, Vec<String>> = BTreeMap::new();
        if self.config.unit == SplitUnit::Patient {
            return drawn;
        }
        let delivered = draw::delivered(manifest);
        for (index, slice) in manifest.slices.iter().enumerate() {
            if let Some(subset) = self.subsets[index]
                && Some(subset) != delivered[index]
            {
                drawn.entry(subset).or_default().push(manifest.path(slice));
            }
        }
        drawn
    }

    /// Reads a split for this manifest.
    ///
    /// # Errors
    /// A file that is no split, or one of another manifest (both hashes are named).
    pub fn read(path: impl AsRef<Path>, manifest: &Manifest) -> Result<Self> {
        Self::read_in(path.as_ref(), manifest)
    }

    fn read_in(path: &Path, manifest: &Manifest) -> Result<Self> {
        let file: SplitFile = read_json(path, "a split (written by `covid-ct train`)")?;
        let found = manifest.hash();
        ensure!(
            file.manifest == found,
            "reading the split {}: it belongs to the manifest {}, the present one is {found}: train again under another name",
            path.display(),
            file.manifest
        );
        let subsets = file.subsets(manifest);
        let split = Self::assembled(manifest, file.config, subsets, file.left_out);
        if split.overlaps != file.overlaps {
            bail!(
                "reading the split {}: its proof of overlaps does not follow from its scans; the file was changed",
                path.display()
            );
        }
        Ok(split)
    }
}

impl SplitFile {
    /// The subset of every slice of the manifest.
    fn subsets(&self, manifest: &Manifest) -> Vec<Option<Subset>> {
        match self.config.unit {
            SplitUnit::Patient => {
                let of_scan = subset_by_name(&self.scans);
                let subset = |slice| of_scan.get(manifest.scan_of(slice).folder.as_str()).copied();
                manifest.slices.iter().map(subset).collect()
            }
            SplitUnit::Slice => {
                let drawn = subset_by_name(&self.drawn);
                let subset = |(slice, delivered)| drawn.get(manifest.path(slice).as_str()).copied().or(delivered);
                manifest.slices.iter().zip(draw::delivered(manifest)).map(subset).collect()
            }
        }
    }
}

fn subset_by_name(names: &BTreeMap<Subset, Vec<String>>) -> HashMap<&str, Subset> {
    names.iter().flat_map(|(subset, of)| of.iter().map(|name| (name.as_str(), *subset))).collect()
}
