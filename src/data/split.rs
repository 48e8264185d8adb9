//! Who trains, who validates, who tests; and the proof that they are different people.

use crate::base::files::{Digest, read_json, write_json};
use crate::base::progress::{counted, thousands};
use crate::base::table::{Table, shown_as_table};
use crate::data::manifest::{Label, Manifest, Set};
use anyhow::{Context, Result, bail, ensure};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::Path;

mod draw;
mod overlap;
mod settings;

pub use overlap::Overlap;
use overlap::{PAIR, PATIENT, SCAN};
pub use settings::{SplitConfig, SplitUnit};

/// The role of a slice in an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subset {
    /// Learned from.
    Train,
    /// Used to choose: the best epoch, the threshold of a scan.
    Validation,
    /// Held back for the final figure.
    Test,
    /// Unlabelled.
    Prediction,
}

impl Subset {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Train, Self::Validation, Self::Test, Self::Prediction];

    /// The name in tables and files.
    pub fn name(self) -> &'static str {
        ["train", "validation", "test", "prediction"][self as usize]
    }

    /// What must stand behind the name where a leaking split's figures are shown.
    pub(crate) fn leak_mark(self, leaks: &[Self]) -> &'static str {
        if leaks.contains(&self) { " (LEAKING)" } else { "" }
    }
}

/// `validation and test`.
pub(crate) fn listed(subsets: &[Subset]) -> String {
    subsets.iter().map(|subset| subset.name()).collect::<Vec<_>>().join(" and ")
}

impl fmt::Display for Subset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Files that take no part, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExcludedScan {
    /// Scan folder.
    pub folder: String,
    /// Why.
    pub reason: String,
}

/// The whole assignment: one subset for every slice of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    config: SplitConfig,
    manifest: Digest,
    subsets: Vec<Option<Subset>>,
    left_out: Vec<ExcludedScan>,
    overlaps: Vec<Overlap>,
    counts: Vec<Row>,
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    subset: Subset,
    label: Option<Label>,
    scans: usize,
    slices: usize,
}

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
    /// Draws a test set from `train/`; `val/` stays the validation set and `prediction/` the prediction set, as
    /// delivered. By patient, whole units are drawn: scans of one patient, and scans the audit found alike, stay
    /// together, and a training scan whose patient is in the validation set is left out. By slice,
    /// ceil(fraction × N) slices are drawn, as the slides did.
    ///
    /// # Errors
    /// No labelled training slices, or too few units for every subset to get one.
    pub fn new(manifest: &Manifest, config: &SplitConfig) -> Result<Self> {
        let trainable = manifest.slices.iter().filter(|s| manifest.scan_of(s).set == Set::Train).count();
        ensure!(trainable > 0, "splitting {}: expected slices under train/, found none", manifest.name);
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let (subsets, left_out) = match config.unit {
            SplitUnit::Patient => draw::by_patient(manifest, config, &mut rng)?,
            SplitUnit::Slice => (draw::by_slice(manifest, config, &mut rng), Vec::new()),
        };
        let split = Self::assembled(manifest, config.clone(), subsets, left_out);
        for subset in [Subset::Train, Subset::Validation] {
            ensure!(
                !split.slices(subset).is_empty(),
                "splitting {}: no slices are left for {subset}; expected more scans under train/ and val/",
                manifest.name
            );
        }
        Ok(split)
    }

    fn assembled(
        manifest: &Manifest,
        config: SplitConfig,
        subsets: Vec<Option<Subset>>,
        left_out: Vec<ExcludedScan>,
    ) -> Self {
        let overlaps = overlap::overlaps(manifest, &subsets);
        let mut rows: BTreeMap<(Subset, Option<Label>), (BTreeSet<usize>, usize)> = BTreeMap::new();
        for (slice, subset) in manifest.slices.iter().zip(&subsets) {
            if let Some(subset) = subset {
                let row = rows.entry((*subset, manifest.scan_of(slice).label)).or_default();
                row.0.insert(slice.scan);
                row.1 += 1;
            }
        }
        let counts = rows
            .into_iter()
            .map(|((subset, label), (scans, slices))| Row { subset, label, scans: scans.len(), slices })
            .collect();
        Self { config, manifest: manifest.hash(), subsets, left_out, overlaps, counts }
    }

    /// How it was made.
    pub fn config(&self) -> &SplitConfig {
        &self.config
    }

    /// Hash of the manifest it belongs to.
    pub fn manifest_hash(&self) -> Digest {
        self.manifest
    }

    /// Hash of the assignment.
    pub fn hash(&self) -> Digest {
        let letters: Vec<u8> = self.subsets.iter().map(|s| s.map_or(b'-', |s| b'0' + s as u8)).collect();
        Digest::of(&[self.manifest.0.as_slice(), &letters].concat())
    }

    /// Indices (into the manifest's slices) of a subset, in the manifest's order.
    pub fn slices(&self, subset: Subset) -> Vec<usize> {
        self.subsets.iter().enumerate().filter(|(_, s)| **s == Some(subset)).map(|(index, _)| index).collect()
    }

    /// Slices and scans of a subset and label.
    pub fn count(&self, subset: Subset, label: Option<Label>) -> (usize, usize) {
        let rows = self.counts.iter().filter(|r| r.subset == subset && r.label == label);
        rows.fold((0, 0), |(slices, scans), row| (slices + row.slices, scans + row.scans))
    }

    /// Everything that two subsets share; empty for a sound split.
    pub fn overlaps(&self) -> &[Overlap] {
        &self.overlaps
    }

    /// Scans that take no part.
    pub fn left_out(&self) -> &[ExcludedScan] {
        &self.left_out
    }

    /// Whether results on the test set can be trusted: false means that train and test share scans or patients.
    pub fn is_leaking(&self) -> bool {
        self.config.unit == SplitUnit::Slice || !self.overlaps.is_empty()
    }

    /// Whether this subset's figures are those of patients that were learned from: the test set of a leaking split, and
    /// a validation set that shares scans or patients with training (a slice split of data without `val/` has one).
    pub fn leaks(&self, subset: Subset) -> bool {
        match subset {
            Subset::Test => self.is_leaking(),
            Subset::Validation => self.overlaps.iter().any(|of| of.between == (Subset::Train, Subset::Validation)),
            Subset::Train | Subset::Prediction => false,
        }
    }

    /// The subsets that [leak](Self::leaks).
    pub fn leaking_subsets(&self) -> Vec<Subset> {
        Subset::ALL.into_iter().filter(|subset| self.leaks(*subset)).collect()
    }

    /// `LEAKING: …` where it is, for the head of everything made from it.
    pub fn warning(&self) -> Option<String> {
        self.is_leaking().then(|| {
            format!(
                "LEAKING SPLIT: {}. Test figures show what the network remembers of these patients, not what it would \
                 say of new ones.",
                self.shared_in_words()
            )
        })
    }

    fn shared_in_words(&self) -> String {
        let count = |kind: &str| self.overlaps.iter().filter(|o| o.kind == kind).count() as u64;
        format!(
            "{}, {} and {} of scans that look like one patient are shared between subsets",
            counted(count(SCAN), "scan"),
            counted(count(PATIENT), "patient"),
            counted(count(PAIR), "pair")
        )
    }

    /// One row a subset and label, with the proof below.
    pub fn table(&self) -> Table {
        let unit = match self.config.unit {
            SplitUnit::Patient => "by patient",
            SplitUnit::Slice => "by slice, as the slides",
        };
        let mut table = Table::new(format!("Split {unit}"), &["Subset", "Class", "Scans", "Slices", "Share of slices"]);
        let all: usize = self.counts.iter().filter(|r| r.label.is_some()).map(|r| r.slices).sum();
        for row in &self.counts {
            let label = row.label.map_or("–".to_owned(), |l| l.to_string());
            let share =
                row.label.map_or("–".to_owned(), |_| format!("{:.1} %", 100.0 * row.slices as f64 / all as f64));
            let (scans, slices) = (thousands(row.scans as u64), thousands(row.slices as u64));
            table.row([row.subset.to_string(), label, scans, slices, share]);
        }
        table = table.note(match self.warning() {
            Some(warning) => warning,
            None => format!("Proof of no overlap: {}.", self.shared_in_words()),
        });
        if !self.left_out.is_empty() {
            table = table.note(format!(
                "Left out: {}, for example {}: {}.",
                counted(self.left_out.len() as u64, "training scan"),
                self.left_out[0].folder,
                self.left_out[0].reason
            ));
        }
        table
    }

    /// What subsets share, one row each, `limit` at most.
    pub fn overlap_table(&self, limit: usize) -> Table {
        let mut table = Table::new("Shared between subsets", &["Kind", "What", "Between"]);
        for overlap in self.overlaps.iter().take(limit) {
            let between = format!("{} and {}", overlap.between.0, overlap.between.1);
            table.row([overlap.kind.clone(), overlap.what.clone(), between]);
        }
        match self.overlaps.len() {
            0 => table.note("Nothing: no scan, no patient and no pair of look-alikes stands in two subsets."),
            n => table.note(format!("{} in all.", thousands(n as u64))),
        }
    }

    /// Writes the split as JSON.
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
        let mut scans: BTreeMap<Subset, BTreeSet<usize>> = BTreeMap::new();
        for (slice, subset) in manifest.slices.iter().zip(&self.subsets) {
            if let Some(subset) = subset {
                scans.entry(*subset).or_default().insert(slice.scan);
            }
        }
        let folders = |of: BTreeSet<usize>| of.into_iter().map(|s| manifest.scans[s].folder.clone()).collect();
        let mut drawn: BTreeMap<Subset, Vec<String>> = BTreeMap::new();
        if self.config.unit == SplitUnit::Slice {
            for (slice, (subset, delivered)) in
                manifest.slices.iter().zip(self.subsets.iter().zip(draw::delivered(manifest)))
            {
                if let Some(subset) = subset.filter(|subset| Some(*subset) != delivered) {
                    drawn.entry(subset).or_default().push(manifest.path(slice));
                }
            }
        }
        let file = SplitFile {
            config: self.config.clone(),
            manifest: self.manifest,
            leaking: self.is_leaking(),
            scans: scans.into_iter().map(|(subset, of)| (subset, folders(of))).collect(),
            drawn,
            left_out: self.left_out.clone(),
            overlaps: self.overlaps.clone(),
        };
        write_json(path, &file)
    }

    /// Reads a split for this manifest.
    ///
    /// # Errors
    /// A file that is no split, or one of another manifest (both hashes are named).
    pub fn read(path: impl AsRef<Path>, manifest: &Manifest) -> Result<Self> {
        Self::read_in(path.as_ref(), manifest)
    }

    fn read_in(path: &Path, manifest: &Manifest) -> Result<Self> {
        let file: SplitFile = read_json(path, "a split (written by `covid-ct split`)")?;
        let found = manifest.hash();
        ensure!(
            file.manifest == found,
            "reading the split {}: it belongs to the manifest {}, the present one is {found}: split again",
            path.display(),
            file.manifest
        );
        let subsets = match file.config.unit {
            SplitUnit::Patient => {
                let of_scan = by_name(&file.scans);
                let subset = |slice| of_scan.get(manifest.scan_of(slice).folder.as_str()).copied();
                manifest.slices.iter().map(subset).collect()
            }
            SplitUnit::Slice => {
                let drawn = by_name(&file.drawn);
                let subset = |(slice, delivered)| drawn.get(manifest.path(slice).as_str()).copied().or(delivered);
                manifest.slices.iter().zip(draw::delivered(manifest)).map(subset).collect()
            }
        };
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

shown_as_table!(Split);

fn by_name(names: &BTreeMap<Subset, Vec<String>>) -> HashMap<&str, Subset> {
    names.iter().flat_map(|(subset, of)| of.iter().map(|name| (name.as_str(), *subset))).collect()
}

/// A subset's name, for the command line.
impl std::str::FromStr for Subset {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|subset| subset.name() == name)
            .with_context(|| format!("expected train, validation, test or prediction, found {name:?}"))
    }
}
