//! Checks every file and scan of a data set for defects before training.

use crate::base::checksums::Sha256Sums;
use crate::base::errors::{Context, Result, ensure};
use crate::base::figure::Figure;
use crate::base::files::Digest;
use crate::base::progress::{Meter, Progress};
use crate::base::table::shown_as_table;
use crate::data::decode::room_for;
use crate::data::manifest::{Manifest, Set, Slice};
pub(crate) use inspect::Inspection;
use inspect::{BLACK, usual_size};
use pixel_measures::Levels;
use samples::{SamplePlace, ScanSamples};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

mod audit_tables;
mod check;
mod chest_outline;
mod derived;
mod earlier;
mod expected;
mod fields;
mod file_names;
mod findings;
mod grain;
mod hounsfield;
mod incremental;
mod inspect;
mod kept_together;
mod look_alikes;
mod lung_curve;
mod orientation;
mod page_index;
mod pass;
mod picture_kinds;
mod picture_quality;
mod pixel_measures;
mod recognition;
mod samples;
mod scale;
mod scan_page;
mod sheets;
mod shown_slice;
mod slice_shape;
#[cfg(test)]
mod tests;
mod thumbnail;
mod wrong_scans;

pub use check::{Check, Severity};
use derived::derived;
pub use earlier::EarlierAudit;
pub(crate) use earlier::{FileStamp, Recall};
pub use expected::Expectation;
use findings::{exact_duplicates, folder_findings, said_of_scan_alone, same_patients, without_known};
use hounsfield::without_air;
pub use incremental::Incremental;
pub(crate) use pass::{Pass, WantedCache};
use picture_quality::quality_findings;
pub use recognition::Recognition;
pub use scale::Scale;

const AUDIT: &str = "audit.json";

/// One finding of an audit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The check that it belongs to.
    pub check: Check,
    /// The file or scan folder, under the root.
    pub path: String,
    /// What was found there, as text.
    pub detail: String,
    /// The other file or folder, for checks that compare two.
    pub with: Option<String>,
}

/// A manifest and all findings of its audit.
#[derive(Debug, Clone, PartialEq)]
pub struct Audit {
    manifest: Manifest,
    findings: Vec<Finding>,
    /// Pixels at each grey level, all readable slices together.
    histogram: Vec<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditFile {
    manifest: Digest,
    findings: Vec<Finding>,
    histogram: Vec<u64>,
}

impl Audit {
    /// Decodes every slice once, in parallel, and runs all [checks](Check). Bad files are findings, never errors.
    ///
    /// # Errors
    /// A file that the manifest lists and that can no longer be opened.
    pub fn run(manifest: &Manifest, progress: impl Fn(&Progress) + Sync) -> Result<Self> {
        Self::run_in(manifest, &progress)
    }

    fn run_in(manifest: &Manifest, progress: &(dyn Fn(&Progress) + Sync)) -> Result<Self> {
        let meter = Meter::new("audit", "slices", manifest.slices.len(), 0, progress);
        let (levels, samples) = (Levels::none(), ScanSamples::default());
        let places = SamplePlace::of_all(manifest.slices.iter().map(|of| (of.scan, of.number.is_some())));
        let (looked, _) = manifest.each_slice(|index, slice, contents| {
            slice
                .must_be(&contents)
                .with_context(|| format!("auditing slice {}", manifest.place_of(slice).display()))?;
            let _room = room_for(slice.header);
            let (mut look, _) = Inspection::of(manifest, slice, contents, &levels);
            samples.offer(index, places[index], slice, &mut look);
            meter.add(1);
            Ok((look, ()))
        })?;
        meter.finish();
        Ok(Self::assembled(manifest.clone(), looked, levels.counts().to_vec(), samples))
    }

    fn assembled(
        mut manifest: Manifest,
        mut looked: Vec<Inspection>,
        histogram: Vec<u64>,
        samples: ScanSamples,
    ) -> Self {
        let usual = usual_size(&manifest);
        for (look, slice) in looked.iter_mut().zip(&manifest.slices) {
            look.compare(&manifest, slice, usual);
        }
        for (slice, of) in derived(&manifest) {
            let path = manifest.path(&manifest.slices[slice]);
            let detail = format!("named as made of {of}");
            looked[slice].findings.push(Finding { check: Check::DerivedPicture, path, detail, with: None });
        }
        let of_scans = wrong_scans::wrong_scans(&manifest, &mut looked);
        let mut findings: Vec<Finding> = looked.iter().flat_map(|look| look.findings.iter().cloned()).collect();
        findings.extend(of_scans);
        findings.extend(folder_findings(&manifest));
        let without_air = without_air(&manifest, &looked);
        findings.extend(quality_findings(&manifest, &looked));
        findings.extend(exact_duplicates(&manifest, &looked));
        findings.extend(without_known(&manifest, same_patients(&manifest, &looked, samples)));
        said_of_scan_alone(&mut findings, &without_air);
        findings.extend(without_air);
        findings.sort_by(|a, b| (a.check, &a.path).cmp(&(b.check, &b.path)));
        manifest.same_patient = kept_together::kept_together(&findings);
        Self { manifest, findings, histogram }
    }

    /// The manifest that was audited, with the pairs of scans that look like one patient.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// All findings, sorted by check, then by path.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Number of findings of a check.
    pub fn count(&self, check: Check) -> usize {
        self.findings.iter().filter(|f| f.check == check).count()
    }

    /// The manifest without the files that must not be used, and with their number in each scan;
    /// [`excluded`](Self::excluded) gives the reason for each file.
    pub fn accepted(&self) -> Manifest {
        let (excluded, slices) = (self.excluded(), &self.manifest.slices);
        let reasons: Vec<_> = slices.iter().map(|slice| excluded.get(&self.manifest.path(slice))).collect();
        let keep: Vec<bool> = reasons.iter().map(Option::is_none).collect();
        let mut accepted = self.manifest.filtered(&keep);
        for (slice, reason) in slices.iter().zip(reasons) {
            let Some(finding) = reason else { continue };
            let of_scan = accepted.left_out.entry(self.manifest.scan_of(slice).folder.clone()).or_default();
            *of_scan.entry(finding.check.name().to_owned()).or_default() += 1;
        }
        accepted
    }

    /// Every excluded file with its first (most severe) finding. Slices of the prediction set, and of
    /// [new scans](Manifest::of_new_scans), are excluded as all others are: a network that was trained on none like them cannot
    /// judge them.
    pub fn excluded(&self) -> BTreeMap<String, &Finding> {
        let mut reasons = BTreeMap::new();
        // Those were never slices of a scan.
        let rejected: HashSet<&str> = self.manifest.rejected.iter().map(|file| file.path.as_str()).collect();
        let folders: HashSet<&str> = self.manifest.scans.iter().map(|scan| scan.folder.as_str()).collect();
        let is_out = |finding: &&Finding| {
            finding.check.severity() == Severity::Exclude && !rejected.contains(finding.path.as_str())
        };
        for finding in self.findings.iter().filter(is_out) {
            if folders.contains(finding.path.as_str()) {
                let folders = [Some(&finding.path), finding.with.as_ref()].into_iter().flatten();
                for slice in folders.flat_map(|folder| self.slices_of(folder).unwrap_or_default()) {
                    reasons.entry(self.manifest.path(slice)).or_insert(finding);
                }
            } else {
                reasons.entry(finding.path.clone()).or_insert(finding);
            }
        }
        reasons
    }

    /// The slices of the scan in this folder, in order; `None` where there is no such scan.
    fn slices_of(&self, folder: &str) -> Option<&[Slice]> {
        let scan = self.manifest.scans.iter().position(|scan| scan.folder == folder)?;
        // Slices are sorted by scan.
        let slices = &self.manifest.slices;
        Some(&slices[slices.partition_point(|s| s.scan < scan)..slices.partition_point(|s| s.scan <= scan)])
    }

    /// Number of slices that stay.
    pub fn slices_left(&self) -> usize {
        self.manifest.slices.len() - self.excluded().len()
    }

    /// Files that take no part: excluded slices, and scanners' files that are no slices.
    pub fn left_out(&self) -> usize {
        self.excluded().len() + self.other_files()
    }

    /// Scanners' files that are no slices, and others that are said to be none.
    fn other_files(&self) -> usize {
        self.manifest.rejected.iter().filter(|of| of.reason.is_of_a_file()).count()
    }

    /// Histogram of the number of slices per scan, by set.
    pub fn slices_per_scan_figure(&self) -> Result<Figure> {
        let by_scan = self.manifest.slices_by_scan();
        let counts = |set: Set| -> Vec<f64> {
            let scans = self.manifest.scans.iter().zip(&by_scan);
            scans.filter(|(s, n)| s.set == set && !n.is_empty()).map(|(_, n)| n.len() as f64).collect()
        };
        let series: Vec<(String, Vec<f64>)> =
            Set::ALL.iter().map(|set| (set.to_string(), counts(*set))).filter(|(_, c)| !c.is_empty()).collect();
        crate::base::figure::histogram(
            "Slices per scan",
            "slices in a scan",
            "scans",
            &series,
            "Very short scans are single pictures from the literature; very long ones thin-section series.",
        )
    }

    /// Histogram of the grey levels of all readable slices.
    pub fn intensity_figure(&self) -> Result<Figure> {
        let total = self.histogram.iter().sum::<u64>().max(1) as f64;
        let dark = self.histogram[..=usize::from(BLACK)].iter().sum::<u64>() as f64;
        let shares = self.histogram.iter().enumerate().skip(1 + usize::from(BLACK));
        let shares: Vec<(f64, f64)> = shares.map(|(level, n)| (level as f64, 100.0 * *n as f64 / total)).collect();
        let caption = format!(
            "All readable slices together. Not drawn: {:.1} % of the pixels are air and padding, at level {BLACK} or \
             darker. Lung is dark, soft tissue and bone are bright.",
            100.0 * dark / total
        );
        crate::base::figure::lines(
            "Intensity",
            "grey level (0 to 255)",
            ("share of all pixels (%)", None),
            &[("all readable slices".to_owned(), shares)],
            &caption,
        )
    }

    /// Writes the manifest and `audit.json` into `folder`, for example `data_manifest/<data set>`.
    pub fn write(&self, folder: impl AsRef<Path>) -> Result<()> {
        self.write_in(folder.as_ref())
    }

    fn write_in(&self, folder: &Path) -> Result<()> {
        self.manifest.write(folder)?;
        let file = AuditFile {
            manifest: self.manifest.hash(),
            findings: self.findings.clone(),
            histogram: self.histogram.clone(),
        };
        Sha256Sums::of(folder).write_json(AUDIT, &file)
    }

    /// Reads what [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// A missing or damaged file, or one that was changed since, by its SHA-256 in `SHA256SUMS`.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self> {
        Self::read_in(folder.as_ref())
    }

    fn read_in(folder: &Path) -> Result<Self> {
        let manifest = Manifest::read(folder)?;
        let path = folder.join(AUDIT);
        let AuditFile { manifest: hash, findings, histogram } =
            Sha256Sums::of(folder).read_json(AUDIT, "an audit", "audit")?;
        let found = manifest.hash();
        ensure!(
            found == hash,
            "{} is the audit of the manifest {hash}, the manifest next to it is {found}: run `covid-ct audit` again",
            path.display()
        );
        ensure!(histogram.len() == 256, "{}: expected 256 grey levels, found {}", path.display(), histogram.len());
        Ok(Self { manifest, findings, histogram })
    }
}

shown_as_table!(Audit);
