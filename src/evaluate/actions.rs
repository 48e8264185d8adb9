//! What an experiment does with its trained network.

use crate::base::figure::Figure;
use crate::base::table::Page;
use crate::data::split::Subset;
use crate::evaluate::assessment::Assessment;
use crate::evaluate::evaluation::Evaluation;
use crate::evaluate::explain::Explanations;
use crate::evaluate::inference::Inference;
use crate::evaluate::predict::{Classifier, Predictions};
use crate::train::experiment::Experiment;
use crate::train::run_folder::Artifact;
use anyhow::Result;

impl Experiment {
    /// Judges train, validation and test with the best checkpoint, slice by slice and scan by scan, and writes
    /// predictions, scan rule, evaluation, assessment and the comparison with shallow cues into the run's folder. The test
    /// subset is read here, once.
    ///
    /// # Errors
    /// A run that was not trained, or a checkpoint of another split.
    pub fn evaluate(&self) -> Result<Evaluation> {
        Evaluation::run(self)
    }

    /// The figures of a subset as [`evaluate`](Self::evaluate) found them: confusion matrices and classification reports,
    /// of slices and of scans.
    ///
    /// # Errors
    /// A run that was not evaluated, or a subset without labels or slices.
    pub fn show(&self, subset: Subset) -> Result<Page> {
        self.folder().evaluation()?.page(subset)
    }

    /// Confidence intervals, scan rules and calibration, as [`evaluate`](Self::evaluate) found them.
    ///
    /// # Errors
    /// A run that was not evaluated.
    pub fn assessment(&self) -> Result<Assessment> {
        self.folder().assessment()
    }

    /// Judges the unlabelled scans, and writes predictions, scans and [`Inference`] into the run's folder.
    ///
    /// # Errors
    /// A run that was not evaluated, or data without unlabelled scans.
    pub fn predict(&self) -> Result<Inference> {
        let folder = self.folder();
        let rule = folder.scan_rule()?;
        let predictions = folder.classifier()?.predict(self, Subset::Prediction)?;
        predictions.write(folder)?;
        predictions.by_scan(&rule).write(folder)?;
        let inference = Inference::of(self, &predictions)?;
        folder.write(Artifact::Inference, &inference)?;
        Ok(inference)
    }

    /// One slice of each unlabelled scan with its heat, beside what was said of the scan. Written into the run's folder.
    ///
    /// # Errors
    /// Scans that were not judged yet, or not with the present checkpoint.
    pub fn heat_by_scan(&self) -> Result<Figure> {
        let (classifier, predictions) = (self.classifier()?, self.predictions(Subset::Prediction)?);
        let figure = self.folder().inference()?.heat_figure(&classifier, self.cache(), &predictions)?;
        figure.save(self.folder().path_of(Artifact::HeatByScan))?;
        Ok(figure)
    }

    /// One unlabelled scan: what was said of it, and its slices with their heat; `count` at most, at even distances. `scan`
    /// is a folder, or its last part where one scan alone has it.
    ///
    /// # Errors
    /// No such scan, or scans that were not judged yet.
    pub fn scan_page(&self, scan: &str, count: usize) -> Result<Page> {
        let (classifier, predictions) = (self.classifier()?, self.predictions(Subset::Prediction)?);
        let heat = classifier.scan_heat(self.cache(), &predictions, scan, count)?;
        Ok(Page::new().with(&self.folder().inference()?.patient(scan)?).with(&heat))
    }

    /// The judgements of a subset's slices, as [`evaluate`](Self::evaluate) or [`predict`](Self::predict) left them.
    ///
    /// # Errors
    /// No predictions yet, or damaged ones.
    pub fn predictions(&self, subset: Subset) -> Result<Predictions> {
        self.folder().predictions(subset)
    }

    /// Shows where the network looks in the slices of a subset: heat maps, and how much of the heat lies outside the lungs.
    /// Written into the run's folder, the galleries as SVG too.
    ///
    /// # Errors
    /// A subset that was not judged yet.
    pub fn explain(&self, subset: Subset) -> Result<Explanations> {
        let explanations = Explanations::run(self, subset)?;
        for (number, gallery) in (1..).zip(&explanations.galleries) {
            gallery.figure.save(self.folder().path_of(Artifact::Gallery(subset, number)))?;
        }
        Ok(explanations)
    }

    /// The network of the epoch with the highest validation accuracy.
    ///
    /// # Errors
    /// A run that was not trained to its end, or a damaged file.
    pub fn classifier(&self) -> Result<Classifier> {
        self.folder().classifier()
    }
}
