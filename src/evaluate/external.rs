//! External validation: a finished network on labelled scans from elsewhere.

use crate::base::errors::{Context, Result};
use crate::base::escape::visible;
use crate::base::files::{Digest, write_text};
use crate::base::progress::{Progress, counted};
use crate::base::table::{Page, Show, Table, document};
use crate::data::audit::Audit;
use crate::data::manifest::{Manifest, Set, Slice};
use crate::data::split::Subset;
use crate::evaluate::assessment::Assessment;
use crate::evaluate::evaluation::SubsetEvaluation;
use crate::evaluate::incomplete::IncompleteScan;
use crate::evaluate::judge::{NewPredictions, STYLE};
use crate::evaluate::predict::{About, Predictions};
use crate::evaluate::scan_decisions::ScanRule;
use crate::stats::figures::confusion;
use crate::train::run_folder::{Artifact, RunFolder};
use maud::{PreEscaped, html};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

/// Scans that are named.
const SHOWN: usize = 60;

/// The results of a finished network on labelled scans that had no part in it (CLAIM 33): nothing was chosen, fitted or
/// calibrated on them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalValidation {
    /// Name of the external data set.
    pub data: String,
    /// Run, weights, and the manifest of the external slices.
    pub about: About,
    /// The run's rule, by which a scan is called covid.
    pub rule: ScanRule,
    /// Confusion matrices by slice and by scan.
    pub matrices: SubsetEvaluation,
    /// Figures with confidence intervals, by source, and calibration with the run's temperature and calibrator.
    pub assessment: Assessment,
    /// Scans with slices of the run's own labelled data; `None` where these are not at hand.
    #[serde(default)]
    pub own_scans: Option<usize>,
    /// Scans without a label, which do not count.
    pub unlabelled: usize,
    /// Files that were left out.
    pub left_out: usize,
    /// Slices without lungs that the run leaves out.
    #[serde(default)]
    pub without_lungs: usize,
    /// Labelled scans of which slices were left out, also those that do not count because all were.
    #[serde(default)]
    pub incomplete: Vec<IncompleteScan>,
}

/// An external validation with all that it was made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Validated {
    /// The results.
    pub external: ExternalValidation,
    /// Each slice.
    pub predictions: Predictions,
    /// What is wrong with the files.
    pub audit: Audit,
}

impl RunFolder {
    /// Validates the run's network on labelled scans from elsewhere: `path` is a folder (or a zip archive) in which scans
    /// lie in folders named `covid` and `non-covid`, or with a `labels.csv` (see [`Manifest::of_labelled_scans`](crate::Manifest::of_labelled_scans)). The
    /// same tables and intervals as of the test set, by the same rule and with the same calibration. Only the files of the
    /// run's folder are needed. The result is not written; see [`Validated::write`].
    ///
    /// # Errors
    /// A run that was not evaluated, no labelled scan, or none that can be read.
    pub fn validate(&self, path: impl AsRef<Path>, progress: impl Fn(&Progress) + Sync) -> Result<Validated> {
        let path = path.as_ref();
        self.validate_in(path, &progress)
            .with_context(|| format!("validating the run {} on {}", self.name(), path.display()))
    }

    fn validate_in(&self, path: &Path, progress: &(dyn Fn(&Progress) + Sync)) -> Result<Validated> {
        let seen = NewPredictions::of(self, path, Subset::External, progress)?;
        let NewPredictions { basis, audit, cache, predictions, .. } = &seen;
        let manifest = cache.manifest();
        let by_scan = predictions.by_scan(&basis.rule);
        let external = ExternalValidation {
            data: manifest.name.clone(),
            about: predictions.about.clone(),
            rule: basis.rule.clone(),
            matrices: SubsetEvaluation {
                subset: Subset::External,
                slices: predictions.confusion_matrix()?,
                scans: by_scan.confusion_matrix()?,
            },
            assessment: basis.assessment.of_external(predictions, manifest, &basis.rule)?,
            own_scans: self.own_scans(manifest),
            unlabelled: manifest.scans.iter().filter(|scan| scan.label.is_none()).count(),
            left_out: audit.left_out(),
            without_lungs: manifest.slices.len() - predictions.rows().len(),
            incomplete: IncompleteScan::all(manifest, predictions, |scan| scan.label.is_some()),
        };
        Ok(Validated { external, predictions: predictions.clone(), audit: audit.clone() })
    }

    /// How many scans hold a slice of the run's own data, equal to the byte; `None` where the audit of these is not beside it, or
    /// is of other data by now.
    fn own_scans(&self, external: &Manifest) -> Option<usize> {
        let data = self.path().parent()?;
        let home = data.parent()?.parent()?;
        let own = Audit::read(home.join("data_manifest").join(data.file_name()?)).ok()?.accepted();
        if own.hash() != self.evaluation().ok()?.manifest {
            return None;
        }
        let is_known = |slice: &&Slice| own.scan_of(slice).label.is_some() && own.scan_of(slice).set != Set::Prediction;
        let known: HashSet<Digest> = own.slices.iter().filter(is_known).map(|slice| slice.sha256).collect();
        let shared = external.slices.iter().filter(|slice| known.contains(&slice.sha256)).map(|slice| slice.scan);
        Some(shared.collect::<BTreeSet<usize>>().len())
    }

    /// The external validations of the present weights, and the names of those that are of other ones.
    ///
    /// # Errors
    /// A damaged file.
    pub fn external_validations(&self, weights: Digest) -> Result<(Vec<ExternalValidation>, Vec<String>)> {
        let folders = self.externals();
        let all = folders.iter().map(|folder| folder.read::<ExternalValidation>(Artifact::External));
        let all = all.collect::<Result<Vec<_>>>()?;
        let (present, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|of| of.about.weights == weights);
        Ok((present, others.into_iter().map(|of| of.data).collect()))
    }
}

impl Validated {
    /// Writes results, predictions of slices and scans, the audit and a page to read into `<run>/external/<name>-<hash>/`;
    /// returns the page's path. The report shows it.
    pub fn write(&self, run: &RunFolder) -> Result<PathBuf> {
        let manifest = self.audit.manifest();
        let folder = run.external(&format!("{}-{}", manifest.name, manifest.hash().short()));
        self.audit.write(folder.path())?;
        self.predictions.write(&folder)?;
        self.predictions.by_scan(&self.external.rule).write(&folder)?;
        folder.write(Artifact::External, &self.external)?;
        folder.write_by(Artifact::ExternalPage, |path| write_text(path, &self.document()))?;
        Ok(folder.path_of(Artifact::ExternalPage))
    }

    fn page(&self) -> Page {
        self.external.page().unwrap_or_default().with(&self.audit)
    }

    fn document(&self) -> String {
        let title = visible(format!("{}: external validation of {}", self.external.data, self.external.about.run));
        document(&title, STYLE, &html! { h1 { (title) } (PreEscaped(self.html())) })
    }
}

impl ExternalValidation {
    /// Numbers of scans and slices, and what does not count.
    pub fn counts(&self) -> Table {
        let columns = ["External data", "Scans", "Slices", "Scans without a label", "Files left out"];
        let mut table = Table::new(format!("External validation of {}", self.about.run), &columns);
        let number = |count: usize| count.to_string();
        let (scans, slices) = (self.matrices.scans.total(), self.matrices.slices.total());
        let cells = [scans.to_string(), slices.to_string(), number(self.unlabelled), number(self.left_out)];
        table.row(std::iter::once(self.data.clone()).chain(cells));
        if self.without_lungs > 0 {
            table = table.note(format!("{} without lungs left out.", counted(self.without_lungs as u64, "slice")));
        }
        let lost: Vec<&str> = self.incomplete.iter().filter(|of| of.judged == 0).map(|of| of.scan.as_str()).collect();
        if !lost.is_empty() {
            let count = counted(lost.len() as u64, "scan");
            let scans = lost.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
            table = table.note(format!("{count} not judged, for none of the slices can be used: {scans}."));
        }
        table.note(format!(
            "A scan is {} ({}), as in the test set: no threshold, weight or calibration was chosen on scans from elsewhere. \
             Weights {}, manifest {}. {}",
            self.rule.text(),
            self.rule.chosen,
            self.about.weights.short(),
            self.about.manifest.short(),
            self.is_elsewhere()
        ))
    }

    /// Whether the scans are from elsewhere, as far as files tell.
    fn is_elsewhere(&self) -> String {
        match self.own_scans {
            None => "Whether one of the patients was also in the training set is not known here.".to_owned(),
            Some(0) => {
                "None of the slices is in the data that the run was split from; the same patients may be in both."
                    .to_owned()
            }
            Some(own) => format!(
                "LEAK: {} the data that the run was split from, so that this is no external validation.",
                match own {
                    1 => "1 scan is of".to_owned(),
                    own => format!("{} are of", counted(own as u64, "scan")),
                }
            ),
        }
    }

    /// Whether scans of the run's own data are among these.
    pub(crate) fn leaks(&self) -> bool {
        self.own_scans.is_some_and(|own| own > 0)
    }

    /// Counts, figures with intervals, matrices, ROC curves, calibration, and sources where there are several.
    ///
    /// # Errors
    /// A figure that cannot be drawn.
    pub fn page(&self) -> Result<Page> {
        let (slices, scans) = (&self.matrices.slices, &self.matrices.scans);
        let of = |unit: &str| format!("external {unit}: {}", self.data);
        let by_slice = Page::new().with(&confusion(&of("slices"), slices)?).with(&slices.report());
        let by_scan = Page::new().with(&confusion(&of("scans"), scans)?).with(&scans.report());
        let mut page = Page::new().with(&self.counts());
        if let Some(table) = IncompleteScan::table(&self.incomplete, SHOWN) {
            page = page.with(&table);
        }
        page = page.with(&self.assessment).with_row(&[by_slice, by_scan]);
        page = page.with_row(&self.assessment.roc_figures()?).with(&self.assessment.calibration_page()?);
        if self.assessment.subsets.iter().any(|of| !of.sources.is_empty()) {
            page = page.with(&self.assessment.sources_table());
        }
        Ok(page)
    }

    /// One line: `clinic: 12 scans, 240 slices`.
    pub fn title(&self) -> String {
        let (scans, slices) = (self.matrices.scans.total(), self.matrices.slices.total());
        let leak = if self.leaks() { " (LEAK: scans of the run's own data)" } else { "" };
        format!("{}: {}, {}{leak}", self.data, counted(scans, "scan"), counted(slices, "slice"))
    }
}

crate::base::table::shown_by!(page, Validated);
