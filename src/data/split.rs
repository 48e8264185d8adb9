//! Splits a data set into training, validation and test set, and checks that they share no patients.

use crate::base::errors::{Context, Result, ensure};
use crate::base::files::Digest;
use crate::base::progress::{counted, thousands};
use crate::base::table::{Table, shown_as_table};
use crate::data::manifest::{Label, Manifest, Set};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

mod draw;
mod overlap;
mod settings;
mod split_file;
#[cfg(test)]
mod tests;

pub use overlap::Overlap;
use overlap::{PAIR, PATIENT, SCAN};
pub use settings::{Fold, SplitConfig, SplitUnit};

/// The subset of a split that a slice belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subset {
    /// Used for training.
    Train,
    /// Used for model selection: the best epoch, the threshold for scans.
    Validation,
    /// Used only for the final evaluation.
    Test,
    /// Unlabelled.
    Prediction,
    /// Labelled scans from elsewhere, on which a finished network is validated; no part of any split.
    External,
}

impl Subset {
    /// The four that a split assigns.
    pub const ALL: [Self; 4] = [Self::Train, Self::Validation, Self::Test, Self::Prediction];

    /// The name in tables and files.
    pub fn name(self) -> &'static str {
        ["train", "validation", "test", "prediction", "external"][self as usize]
    }

    /// The suffix of the name wherever figures of a leaking split are shown.
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

/// A scan that is excluded from the split, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExcludedScan {
    /// Scan folder.
    pub folder: String,
    /// The reason.
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

impl Split {
    /// Draws a test set from `train/`; `val/` stays the validation set and `prediction/` the prediction set, as
    /// delivered. By patient, whole units are drawn: scans of one patient, and pairs of scans that the audit found,
    /// stay together, and a training scan whose patient is in the validation set is left out. By slice, ceil(fraction ×
    /// N) slices are drawn, as the slides did.
    ///
    /// With a [`Fold`] the scans under `train/` and `val/` alike are dealt into parts by patient, stratified by label and,
    /// where known, source; the parts depend on seed and number of parts alone.
    ///
    /// # Errors
    /// Settings that cannot work, no labelled training slices, or too few units for every subset (with a fold: fewer
    /// patients of a label than parts).
    pub fn new(manifest: &Manifest, config: &SplitConfig) -> Result<Self> {
        config.check()?;
        let trainable = manifest.slices.iter().filter(|s| manifest.scan_of(s).set == Set::Train).count();
        ensure!(
            trainable > 0 || config.fold.is_some(),
            "splitting {}: expected labelled scans to train on (under train/, or with a label in labels.csv), found none",
            manifest.name
        );
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let (subsets, left_out) = match (config.unit, config.fold) {
            (SplitUnit::Patient, Some(fold)) => draw::by_fold(manifest, config, fold, &mut rng)?,
            (SplitUnit::Patient, None) => draw::by_patient(manifest, config, &mut rng)?,
            (SplitUnit::Slice, _) => (draw::by_slice(manifest, config, &mut rng), Vec::new()),
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

    /// The configuration of the split.
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

    /// Everything that two subsets share; empty for a split without leakage.
    pub fn overlaps(&self) -> &[Overlap] {
        &self.overlaps
    }

    /// Scans that are excluded.
    pub fn left_out(&self) -> &[ExcludedScan] {
        &self.left_out
    }

    /// Whether results on the test set can be trusted: false means that train and test share scans or patients.
    pub fn is_leaking(&self) -> bool {
        self.config.unit == SplitUnit::Slice || !self.overlaps.is_empty()
    }

    /// Whether this subset shares patients with training: the test set of a leaking split, and a validation set that
    /// shares scans or patients with the training set (as in a slice split of data without `val/`).
    pub fn leaks(&self, subset: Subset) -> bool {
        match subset {
            Subset::Test => self.is_leaking(),
            Subset::Validation => self.overlaps.iter().any(|of| of.between == (Subset::Train, Subset::Validation)),
            Subset::Train | Subset::Prediction | Subset::External => false,
        }
    }

    /// The subsets that [leak](Self::leaks).
    pub fn leaking_subsets(&self) -> Vec<Subset> {
        Subset::ALL.into_iter().filter(|subset| self.leaks(*subset)).collect()
    }

    /// The warning to show with every result of a leaking split; `None` without leakage.
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
        let pairs = format!("{} of scans that look like one patient", counted(count(PAIR), "pair"));
        let (scans, patients) = (counted(count(SCAN), "scan"), counted(count(PATIENT), "named patient"));
        let what = match (count(PATIENT), count(PAIR)) {
            (0, pair) if pair > 0 => format!("{scans} and {pairs}"),
            (patient, 0) if patient > 0 => format!("{scans} and {patients}"),
            _ if count(SCAN) > 0 && count(PATIENT) + count(PAIR) == 0 => scans,
            _ => format!("{scans}, {patients} and {pairs}"),
        };
        format!("{what} are shared between subsets")
    }

    /// One row for each subset and label, with the result of the overlap check as a note.
    pub fn table(&self) -> Table {
        let unit = match (self.config.unit, self.config.fold) {
            (SplitUnit::Patient, Some(fold)) => format!("by patient, {fold}"),
            (SplitUnit::Patient, None) => "by patient".to_owned(),
            (SplitUnit::Slice, _) => "by slice, as the slides".to_owned(),
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
                counted(self.left_out.len() as u64, if self.config.fold.is_some() { "scan" } else { "training scan" }),
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
}

shown_as_table!(Split);

/// A subset's name, for the command line.
impl std::str::FromStr for Subset {
    type Err = crate::base::errors::Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|subset| subset.name() == name)
            .with_context(|| format!("expected train, validation, test or prediction, found {name:?}"))
    }
}
