//! New scans, judged by a run: whatever comes after the data set that it was trained on.

use crate::base::errors::{Context, Result, ensure};
use crate::base::escape::visible;
use crate::base::figure::Figure;
use crate::base::files::write_text;
use crate::base::progress::{Progress, counted};
use crate::base::table::{Page, Show, Table, document};
use crate::data::audit::{Audit, Finding};
use crate::data::cache::SliceCache;
use crate::data::manifest::{Manifest, unzipped};
use crate::data::split::Subset;
use crate::evaluate::inference::{Basis, Inference};
use crate::evaluate::predict::{Classifier, Predictions};
use crate::train::run_folder::{Artifact, RunFolder};
use maud::{PreEscaped, html};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub(super) const STYLE: &str = ":root{color-scheme:light dark}\
    body{font:15px/1.5 system-ui,sans-serif;max-width:1160px;margin:2em auto;padding:0 1.2em}";
/// Findings shown.
const SHOWN: usize = 40;
/// Scans that have a page of their own, and slices on it.
const PAGES: usize = 60;
const PICTURES: usize = 12;

/// Scans that are not part of a run's data set, judged by its network.
#[derive(Debug, Clone, PartialEq)]
pub struct NewScans {
    /// Each scan: calibrated probability with interval, decision, out-of-distribution hint.
    pub inference: Inference,
    /// Each slice.
    pub predictions: Predictions,
    /// What is wrong with the files.
    pub audit: Audit,
    /// One slice of each scan with its heat map.
    pub heat: Figure,
    /// Slices of each of the first 60 scans, at even distances, with their heat maps.
    pub scan_heats: Vec<Figure>,
    /// The fewest slices of a training scan.
    pub fewest_slices: usize,
    /// The judged folder, file or archive.
    pub read_from: PathBuf,
}

impl RunFolder {
    /// Judges scans that are not part of the run's data set: `path` is a picture, a DICOM series, a volume, a folder of
    /// scans, or a zip archive of them (see [`Manifest::of_new_scans`]). Nothing of the training data is needed, only the
    /// files of this folder. Slices that an audit excludes are left out and listed. The result is not written; see
    /// [`NewScans::write`].
    ///
    /// # Errors
    /// A run that was not trained and evaluated, no pictures at `path`, or none that can be used.
    pub fn judge(&self, path: impl AsRef<Path>, progress: impl Fn(&Progress) + Sync) -> Result<NewScans> {
        let path = path.as_ref();
        self.judge_in(path, &progress)
            .with_context(|| format!("judging {} with the run {}", path.display(), self.name()))
    }

    fn judge_in(&self, path: &Path, progress: &(dyn Fn(&Progress) + Sync)) -> Result<NewScans> {
        let seen = NewPredictions::of(self, path, Subset::Prediction, progress)?;
        let NewPredictions { classifier, basis, audit, cache, predictions, .. } = &seen;
        let all: Vec<usize> = (0..cache.manifest().slices.len()).collect();
        let inference = Inference::of(basis, cache, &cache.used(&all)?, predictions)?;
        let heat = inference.heat_figure(classifier, cache, predictions)?;
        let shown = inference.scans.iter().take(PAGES);
        let scan_heats = shown.map(|scan| classifier.scan_heat(cache, predictions, &scan.scan, PICTURES));
        let scan_heats = scan_heats.collect::<Result<_>>()?;
        let fewest_slices = basis.grey_levels.fewest_slices;
        let (predictions, audit) = (predictions.clone(), audit.clone());
        let read_from = path.to_owned();
        Ok(NewScans { inference, predictions, audit, heat, scan_heats, fewest_slices, read_from })
    }
}

/// Scans from elsewhere, as a run's network sees them.
pub(super) struct NewPredictions {
    pub(super) classifier: Classifier,
    pub(super) basis: Basis,
    pub(super) audit: Audit,
    pub(super) cache: SliceCache,
    pub(super) predictions: Predictions,
    /// Slices and features of new scans are needed once.
    _folder: TempDir,
}

impl NewPredictions {
    /// Lists, audits, caches and predicts what lies at `path`, which may be an archive: any scans as the prediction subset, or
    /// labelled ones as the external, of which others take no part.
    ///
    /// # Errors
    /// A run that was not evaluated; no slice that can be used.
    pub(super) fn of(
        run: &RunFolder,
        path: &Path,
        subset: Subset,
        progress: &(dyn Fn(&Progress) + Sync),
    ) -> Result<Self> {
        let classifier = run.classifier()?;
        // Before hours of work: what the scans will be judged by.
        let basis = Basis::read(run, classifier.weights(), classifier.info().split)?;
        let preprocess = &classifier.info().run.preprocess;
        // Read while the slices are cached, and not later.
        let unpacked = unzipped(path)?;
        let at = unpacked.as_ref().map_or(path, |unpacked| unpacked.scans.as_path());
        let mut manifest = match subset {
            Subset::External => Manifest::of_labelled_scans(at, progress)?,
            _ => Manifest::of_new_scans(at, progress)?,
        };
        manifest.sixteen_bit = manifest.sixteen_bit.or(preprocess.sixteen_bit);
        manifest.accepts_no_end |= preprocess.accepts_no_end;
        let audit = Audit::run(&manifest, progress)?;
        let mut accepted = audit.accepted();
        if subset == Subset::External {
            let labelled: Vec<bool> = accepted.slices.iter().map(|s| accepted.scan_of(s).label.is_some()).collect();
            accepted = accepted.filtered(&labelled);
        }
        let first = audit.findings().first().map_or(String::new(), |of| format!(", first {}: {}", of.path, of.detail));
        ensure!(
            !accepted.slices.is_empty(),
            "expected slices that can be used, found none among {} files{first}",
            manifest.slices.len()
        );
        let folder = tempfile::tempdir().context("making a temporary folder for the slices")?;
        let cache = SliceCache::open_or_build(folder.path(), &accepted, preprocess, progress)?;
        let predictions = classifier.predict_new(&cache, subset, progress)?;
        Ok(Self { classifier, basis, audit, cache, predictions, _folder: folder })
    }
}

impl NewScans {
    /// Writes predictions of slices and scans, the inference, the audit, the heat maps, a page to read and one for each scan
    /// (`scan-1.html`, …) into `<run>/judged/<name>-<hash>/`; returns the path of the first. The name is that of the judged
    /// file or folder, the hash that of its contents: scans of one name that differ have folders of their own.
    pub fn write(&self, run: &RunFolder) -> Result<PathBuf> {
        let manifest = self.audit.manifest();
        let folder = run.judged(&format!("{}-{}", manifest.name, manifest.hash().short()));
        self.audit.write(folder.path())?;
        self.predictions.write(&folder)?;
        self.predictions.by_scan(&self.inference.rule).write(&folder)?;
        folder.write(Artifact::Inference, &self.inference)?;
        folder.write_by(Artifact::HeatByScan, |path| self.heat.save(path))?;
        for (number, (scan, heat)) in (1..).zip(self.inference.scans.iter().zip(&self.scan_heats)) {
            let body = Page::new().with(&self.inference.patient(&scan.scan)?).with(heat).html();
            let body =
                html! { h1 { (visible(&scan.scan)) } p { a href="judged.html" { "all scans" } } (PreEscaped(body)) };
            let page = folder.path().join(format!("scan-{number}.html"));
            write_text(&page, &document(&scan.scan, STYLE, &body))?;
        }
        folder.write_by(Artifact::JudgedPage, |path| write_text(path, &self.document()))?;
        Ok(folder.path_of(Artifact::JudgedPage))
    }

    /// What was left out, and what else is wrong with the files.
    pub fn findings(&self) -> Table {
        let (excluded, manifest) = (self.audit.excluded(), self.audit.manifest());
        let rejected: BTreeSet<&str> = manifest.rejected.iter().map(|of| of.path.as_str()).collect();
        let strays: BTreeSet<&str> = manifest.strays.iter().map(String::as_str).collect();
        // A finding on a scan leaves out all of its slices.
        let is_out = |of: &Finding| excluded.values().any(|reason| reason.path == of.path && reason.check == of.check);
        let mut table = Table::new("Findings in the files", &["File", "Check", "Found", "Judged"]);
        let findings = self.audit.findings();
        for of in findings.iter().take(SHOWN) {
            let judged = match of.path.as_str() {
                path if strays.contains(path) => "no: not a picture",
                path if rejected.contains(path) => "no: no slice of a scan",
                path if excluded.contains_key(path) || is_out(of) => "no: left out",
                _ => "yes",
            };
            table.row([of.path.clone(), of.check.name().to_owned(), of.detail.clone(), judged.to_owned()]);
        }
        table = match findings.len() {
            0 => table.note("None."),
            count if count > SHOWN => table.note(format!("The first {SHOWN} of {count}.")),
            _ => table,
        };
        self.notes().into_iter().fold(table, Table::note)
    }

    fn notes(&self) -> Vec<String> {
        let short = self.inference.scans.iter().filter(|scan| scan.slices < self.fewest_slices).count();
        let mut notes = vec![format!("Read from {}.", self.read_from.display())];
        let without_lungs = self.audit.accepted().slices.len().saturating_sub(self.predictions.rows().len());
        if without_lungs > 0 {
            notes.push(format!("{} without lungs left out.", counted(without_lungs as u64, "slice")));
        }
        if !self.inference.not_judged.is_empty() {
            let lost = self.inference.not_judged.iter().map(|of| format!("{} ({})", of.scan, of.reasons()));
            notes.push(format!(
                "Not judged, for none of their slices can be used: {}.",
                lost.collect::<Vec<_>>().join(", ")
            ));
        }
        if short > 0 {
            notes.push(format!(
                "{short} of {} scans have fewer slices than any training scan ({}): decision and calibrated probability were \
                 fitted on whole scans, and there is no out-of-distribution hint.",
                self.inference.scans.len(),
                self.fewest_slices
            ));
        }
        notes
    }

    fn page(&self) -> Page {
        Page::new().with(&self.inference).with(&self.findings()).with(&self.heat)
    }

    fn document(&self) -> String {
        let title = visible(format!("{}, judged by {}", self.audit.manifest().name, self.inference.about.run));
        let scans = (1..).zip(self.inference.scans.iter().take(self.scan_heats.len()));
        let links = html! { ul { @for (number, of) in scans { li { a href={ "scan-" (number) ".html" } { (visible(&of.scan)) } } } } };
        document(&title, STYLE, &html! { h1 { (title) } (PreEscaped(self.html())) h2 { "Each scan" } (links) })
    }
}

crate::base::table::shown_by!(page, NewScans);
