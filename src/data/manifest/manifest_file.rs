//! A manifest on disk, `manifest.parquet` with the slices and `manifest.json` with the rest, and its hash.

use super::{Manifest, MappedFolder, Rejected, RootTables, Scan, parquet};
use crate::base::checksums::Sha256Sums;
use crate::base::errors::{Result, ensure};
use crate::base::files::Digest;
use crate::data::pixels::SixteenBit;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const SUMMARY: &str = "manifest.json";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Summary {
    name: String,
    root: PathBuf,
    hash: Digest,
    /// Of the file `manifest.parquet`.
    parquet: Digest,
    files: usize,
    scans: Vec<Scan>,
    same_patient: Vec<(String, String)>,
    strays: Vec<String>,
    layout: Vec<MappedFolder>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rejected: Vec<Rejected>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sixteen_bit: Option<SixteenBit>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    accepts_no_end: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tables: Option<RootTables>,
}

impl Manifest {
    /// SHA-256 over every path, label, patient and file hash, and over the pairs found to be one patient: split, cache,
    /// checkpoint and predictions refer to it. It does not depend on the path of the root, nor on the key of pseudonyms.
    pub fn hash(&self) -> Digest {
        let mut hash = Sha256::new();
        let patients = self.patients_for_hash();
        for slice in &self.slices {
            let (scan, patient) = (self.scan_of(slice), &patients[slice.scan]);
            hash.update(format!("{}/{}\t{patient}\t{}\n", scan.folder, slice.file, slice.sha256));
        }
        for scan in self.scans.iter().filter(|scan| !scan.is_as_delivered()) {
            hash.update(format!("{}\t{}\t{:?}\n", scan.folder, scan.set, scan.label));
        }
        for (a, b) in &self.same_patient {
            hash.update(format!("{a}\t{b}\n"));
        }
        if let Some(meaning) = self.sixteen_bit {
            hash.update(meaning.name());
        }
        if self.accepts_no_end {
            hash.update("accepts no end marker");
        }
        Digest(hash.finalize().into())
    }

    /// Writes `manifest.parquet` and `manifest.json` into `folder`.
    pub fn write(&self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        let table = folder.join("manifest.parquet");
        parquet::write_frame(&mut self.to_frame()?, &table)?;
        let summary = Summary {
            name: self.name.clone(),
            root: self.root.clone(),
            hash: self.hash(),
            parquet: Digest::of_file(&table)?,
            files: self.slices.len(),
            scans: self.scans.clone(),
            same_patient: self.same_patient.clone(),
            strays: self.strays.clone(),
            layout: self.layout.clone(),
            rejected: self.rejected.clone(),
            sixteen_bit: self.sixteen_bit,
            accepts_no_end: self.accepts_no_end,
            tables: self.tables.clone(),
        };
        Sha256Sums::of(folder).write_json(SUMMARY, &summary)
    }

    /// Reads what [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// A missing or broken file, or two files that do not belong together (rows and hash are compared).
    pub fn read(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let (json, table) = (folder.join(SUMMARY), folder.join("manifest.parquet"));
        let summary: Summary = Sha256Sums::of(folder).read_json(SUMMARY, "a manifest's summary", "audit")?;
        let as_written = Digest::of_file(&table)?;
        ensure!(
            as_written == summary.parquet,
            "reading the manifest {}: {} hashes to {as_written}, {} says {}; one of the two files was changed: run \
             `covid-ct audit` again",
            folder.display(),
            table.display(),
            json.display(),
            summary.parquet
        );
        let slices = parquet::read_slices(&table, &summary.scans)?;
        let Summary { name, root, hash, files, scans, same_patient, strays, rejected, sixteen_bit, .. } = summary;
        let Summary { layout, accepts_no_end, tables, .. } = summary;
        ensure!(
            slices.len() == files,
            "reading the manifest {}: {} lists {files} files, {} holds {}",
            folder.display(),
            json.display(),
            table.display(),
            slices.len()
        );
        let left_out = BTreeMap::new();
        #[rustfmt::skip]
        let manifest =
            Self { name, root, scans, slices, same_patient, strays, layout, rejected, sixteen_bit, accepts_no_end, tables, left_out };
        let found = manifest.hash();
        ensure!(
            found == hash,
            "reading the manifest {}: its rows hash to {found}, {} says {hash}; one of the two files was changed: \
             run `covid-ct audit` again",
            folder.display(),
            json.display()
        );
        Ok(manifest)
    }
}
