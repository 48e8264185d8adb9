//! Evaluation, prediction and explanation, as methods of an experiment.

use crate::base::errors::{Result, ensure};
use crate::base::figure::Figure;
use crate::base::files::Digest;
use crate::base::table::Page;
use crate::data::split::Subset;
use crate::evaluate::assessment::Assessment;
use crate::evaluate::evaluation::Evaluation;
use crate::evaluate::explain::Explanations;
use crate::evaluate::external::Validated;
use crate::evaluate::inference::{Basis, Inference};
use crate::evaluate::judge::NewScans;
use crate::evaluate::predict::{Classifier, Predictions};
use crate::train::checkpoint::CheckpointInfo;
use crate::train::experiment::Experiment;
use crate::train::run_folder::Artifact;
use std::path::Path;

impl Experiment {
    /// Evaluates the best checkpoint on train, validation and test, by slice and by scan, and writes predictions, scan
    /// rule, evaluation, assessment and the comparison with shallow cues into the run's folder. The test subset is read
    /// here only.
    ///
    /// # Errors
    /// A run that was not trained, or a checkpoint of another split.
    pub fn evaluate(&self) -> Result<Evaluation> {
        Evaluation::run(self)
    }

    /// Trains and evaluates what is not trained and evaluated yet: an evaluation of the present best checkpoint is kept.
    ///
    /// # Errors
    /// Those of [`train`](Self::train) and [`evaluate`](Self::evaluate).
    pub fn train_and_evaluate(&self) -> Result<Evaluation> {
        self.train()?;
        let kept = self.current_evaluation().ok().filter(|kept| self.is_whole(kept));
        kept.map_or_else(|| self.evaluate(), Ok)
    }

    /// Whether everything that [`evaluate`](Self::evaluate) writes is there, made with the weights of the checkpoint: it may
    /// have been killed between two files. The comparison with shallow cues is the last.
    fn is_whole(&self, evaluation: &Evaluation) -> bool {
        let folder = self.folder();
        let weights = Digest::of_file(&folder.path_of(Artifact::BestCheckpoint));
        weights.is_ok_and(|weights| weights == evaluation.weights)
            && self.assessment().is_ok()
            && folder.has(Artifact::GreyLevels)
            && folder.cue_comparison().is_ok_and(|of| of.weights == evaluation.weights)
    }

    /// Confusion matrices and classification reports of a subset, by slice and by scan, as computed by
    /// [`evaluate`](Self::evaluate).
    ///
    /// # Errors
    /// A run that was not evaluated, or a subset without labels or slices.
    pub fn show(&self, subset: Subset) -> Result<Page> {
        self.current_evaluation()?.page(subset)
    }

    /// Confidence intervals, scan rules and calibration, as computed by [`evaluate`](Self::evaluate).
    ///
    /// # Errors
    /// A run that was not evaluated.
    pub fn assessment(&self) -> Result<Assessment> {
        let (assessment, evaluation) = (self.folder().assessment()?, self.current_evaluation()?);
        ensure!(
            assessment.weights == evaluation.weights,
            "the assessment in {} is of the weights {}, the evaluation of {}: evaluate the run again",
            self.folder().path().display(),
            assessment.weights.short(),
            evaluation.weights.short()
        );
        Ok(assessment)
    }

    /// The evaluation, if it is that of the present best checkpoint: a training that went on may have found a better one.
    fn current_evaluation(&self) -> Result<Evaluation> {
        let evaluation = self.folder().evaluation()?;
        let best = CheckpointInfo::read(&self.folder().path_of(Artifact::BestCheckpoint))?;
        let of_best = (best.position.epoch, best.split, best.manifest, best.backbone, best.run.decisive());
        let of_evaluation = (
            evaluation.best_epoch,
            evaluation.split,
            evaluation.manifest,
            evaluation.backbone,
            evaluation.run.decisive(),
        );
        ensure!(
            of_evaluation == of_best,
            "the evaluation in {} is of epoch {}, the best checkpoint of epoch {}, or of other settings, data or weights: \
             evaluate the run again",
            self.folder().path().display(),
            evaluation.best_epoch,
            best.position.epoch
        );
        Ok(evaluation)
    }

    /// Predicts the unlabelled scans, and writes the predictions by slice and by scan and [`Inference`] into the run's
    /// folder.
    ///
    /// # Errors
    /// A run that was not evaluated, or data without unlabelled scans.
    pub fn predict(&self) -> Result<Inference> {
        let folder = self.folder();
        let classifier = folder.classifier_of_all_ranks()?;
        let basis = Basis::read(folder, classifier.weights(), classifier.info().split)?;
        ensure!(
            classifier.info().split == self.split().hash(),
            "predicting in {}: the network was trained with the split {}, this one is {}",
            folder.path().display(),
            classifier.info().split.short(),
            self.split().hash().short()
        );
        let predictions = classifier.predict(self, Subset::Prediction)?;
        predictions.write(folder)?;
        predictions.by_scan(&basis.rule).write(folder)?;
        let slices = self.slices(Subset::Prediction)?;
        let inference = Inference::of(&basis, self.cache(), &slices, &predictions)?;
        folder.write(Artifact::Inference, &inference)?;
        Ok(inference)
    }

    /// One slice of each unlabelled scan with its heat map and the scan's prediction; also written into the run's
    /// folder.
    ///
    /// # Errors
    /// Scans that were not predicted yet, or were predicted with another checkpoint.
    pub fn heat_by_scan(&self) -> Result<Figure> {
        let (classifier, predictions) = (self.classifier()?, self.predictions(Subset::Prediction)?);
        let figure = self.folder().inference()?.heat_figure(&classifier, self.cache(), &predictions)?;
        self.folder().write_by(Artifact::HeatByScan, |path| figure.save(path))?;
        Ok(figure)
    }

    /// The prediction of one unlabelled scan, and at most `count` of its slices, at even distances, with their heat
    /// maps. `scan` is its folder, or the folder's last part if it is unique.
    ///
    /// # Errors
    /// No such scan, or scans that were not predicted yet.
    pub fn scan_page(&self, scan: &str, count: usize) -> Result<Page> {
        let (classifier, predictions) = (self.classifier()?, self.predictions(Subset::Prediction)?);
        let inference = self.folder().inference()?;
        ensure!(
            inference.about == predictions.about,
            "the scans in {} and the predictions of their slices were not made together: predict again",
            self.folder().path().display()
        );
        ensure!(
            classifier.weights() == predictions.about.weights,
            "the scans in {} were judged with the weights {}, the best checkpoint has {}: predict again",
            self.folder().path().display(),
            predictions.about.weights.short(),
            classifier.weights().short()
        );
        let heat = classifier.scan_heat(self.cache(), &predictions, scan, count)?;
        Ok(Page::new().with(&inference.patient(scan)?).with(&heat))
    }

    /// The predictions of a subset's slices, as written by [`evaluate`](Self::evaluate) or [`predict`](Self::predict).
    ///
    /// # Errors
    /// No predictions yet, or damaged ones.
    pub fn predictions(&self, subset: Subset) -> Result<Predictions> {
        self.folder().predictions(subset)
    }

    /// Explains the predictions of a subset by Grad-CAM heat maps, and measures the share of heat outside the lungs.
    /// Written into the run's folder, the galleries as SVG too.
    ///
    /// # Errors
    /// A subset that was not predicted yet.
    pub fn explain(&self, subset: Subset) -> Result<Explanations> {
        let explanations = Explanations::run(self, subset)?;
        for (number, gallery) in (1..).zip(&explanations.galleries) {
            self.folder().write_by(Artifact::Gallery(subset, number), |path| gallery.figure.save(path))?;
        }
        Ok(explanations)
    }

    /// Judges scans that are not part of the data set: see [`RunFolder::judge`](crate::RunFolder::judge).
    ///
    /// # Errors
    /// Those of [`RunFolder::judge`](crate::RunFolder::judge).
    pub fn judge(&self, path: impl AsRef<Path>) -> Result<NewScans> {
        self.folder().judge(path, |progress| self.progress(progress))
    }

    /// Validates the network on labelled scans from elsewhere: see [`RunFolder::validate`](crate::RunFolder::validate).
    ///
    /// # Errors
    /// Those of [`RunFolder::validate`](crate::RunFolder::validate).
    pub fn validate(&self, path: impl AsRef<Path>) -> Result<Validated> {
        self.folder().validate(path, |progress| self.progress(progress))
    }

    /// The network of the best epoch on the validation set, by the run's selection.
    ///
    /// # Errors
    /// A run that was not trained to its end, or a damaged file.
    pub fn classifier(&self) -> Result<Classifier> {
        self.folder().classifier()
    }
}
