//! Settings that are made for you: recommended ones, and the slides'.

use super::{AccuracyRule, RunConfig};
use crate::data::preprocess::Preprocess;
use crate::data::split::{SplitConfig, SplitUnit};
use crate::data::window::Window;
use crate::nn::learn::{Learn, Precision};
use crate::nn::model::Architecture;
use crate::nn::weights::{Weights, WeightsLookup};
use crate::train::recipe::Recipe;

/// Strengths of regularisation of a converged head, in half powers of ten from 10 to 1e-3.
const STRENGTHS: usize = 9;

/// What a network's run is called: `tiny` for `custom:tiny`.
fn run_name(architecture: Architecture) -> &'static str {
    architecture.key().rsplit(':').next().unwrap_or_default()
}

impl RunConfig {
    /// The recommended settings: split by patient, slices [cropped to the lungs](Preprocess::lungs), patients balanced, chosen by
    /// the ROC AUC of validation scans. Over a frozen ImageNet backbone the head is [solved to convergence](Learn::Converged);
    /// a network without one is trained whole, by [`Recipe::sound`].
    pub fn of(architecture: Architecture) -> Self {
        let name = run_name(architecture).to_owned();
        let run = Self { name, preprocess: Preprocess::lungs(), ..Self::published(architecture).by_patient() };
        let source = run.pretrained.clone();
        match architecture.has_backbone() {
            true => Self {
                learn: Learn::Converged,
                stages: architecture.has_stages(),
                recipe: Recipe::converged(),
                epochs: STRENGTHS,
                ..run
            },
            false => Self { recipe: Recipe::sound(), learning_rate: 1e-3, epochs: 30, ..run },
        }
        .with_pretrained(source)
    }

    /// The slides' procedure, leak included: a slice-level random test set of 10 %, not stratified, scored after every
    /// epoch; an epoch's accuracy is the mean of its batches' accuracies; Adam at a fixed rate for five epochs. The whole FCN
    /// is trained; of the other networks the head, over a frozen ImageNet backbone, with dropout active.
    pub fn published(architecture: Architecture) -> Self {
        let frozen = architecture.has_backbone();
        Self {
            name: format!("{}-published", run_name(architecture)),
            part_of: None,
            architecture,
            pretrained: frozen.then(|| "imagenet".to_owned()),
            learn: if frozen { Learn::HeadWithDropout } else { Learn::Whole },
            stages: false,
            precision: Precision::F32,
            device: "auto".to_owned(),
            split: SplitConfig { unit: SplitUnit::Slice, stratified: false, ..SplitConfig::default() },
            preprocess: Preprocess::default(),
            batch_size: if frozen { 64 } else { 32 },
            shares: 1,
            learning_rate: 1e-4,
            epochs: 5,
            seed: 1,
            test_every_epoch: true,
            accuracy: AccuracyRule::MeanOfBatches,
            recipe: Recipe::default(),
            checkpoint_minutes: 5.0,
        }
    }

    /// The same network trained by the same optimizer, but soundly: split by patient, the test set read once, exact counts, no
    /// dropout over a frozen backbone. With [`published`](Self::published): the slides' procedure without its leak.
    pub fn by_patient(self) -> Self {
        Self {
            name: format!("{}-by-patient", self.name),
            learn: if self.learn == Learn::HeadWithDropout { Learn::Head } else { self.learn },
            split: SplitConfig::default(),
            test_every_epoch: false,
            accuracy: AccuracyRule::Exact,
            ..self
        }
    }

    /// The same run with the weights that were found. See [`with_pretrained`](Self::with_pretrained).
    pub fn with_weights(self, weights: &WeightsLookup) -> Self {
        self.with_pretrained(weights.setting())
    }

    /// The same run with other weights: `imagenet`, `ct`, a file, or `None` for random ones, and the mean, standard deviation
    /// and window that they expect (see [`Weights::normalisation_of`]). The name of a run with a random backbone ends in
    /// `-random`, that of one with `ct` in `-ct`: `vgg19` becomes `vgg19-random`.
    pub fn with_pretrained(self, source: Option<String>) -> Self {
        let ending = match source.as_deref() {
            None => "-random",
            Some("ct") => "-ct",
            Some(_) => "",
        };
        let plain =
            ["-random", "-ct"].into_iter().find_map(|known| self.name.strip_suffix(known)).unwrap_or(&self.name);
        let name = match self.architecture.has_backbone() {
            true => format!("{plain}{ending}"),
            false => self.name.clone(),
        };
        let before = self.pretrained.as_deref().and_then(|source| Weights::window_of(self.architecture, source));
        let mut preprocess = self.preprocess;
        // DICOM's rule: black at centre - 0.5 - (width - 1) / 2, white at centre - 0.5 + (width - 1) / 2.
        let window = |(black, white): (f64, f64)| Window::Fixed {
            centre: (black + white) / 2.0 + 0.5,
            width: white - black + 1.0,
        };
        let expected = |source: &str| Weights::window_of(self.architecture, source).map(window);
        if before.is_some_and(|before| preprocess.window == window(before)) {
            preprocess.window = Window::LUNG;
        }
        let slides = Preprocess::default();
        (preprocess.mean, preprocess.std) = match &source {
            Some(source) => Weights::normalisation_of(self.architecture, source),
            None => (slides.mean, slides.std),
        };
        preprocess.window = source.as_deref().and_then(expected).unwrap_or(preprocess.window);
        Self { name, preprocess, pretrained: source, ..self }
    }

    /// The same run with all parameters trained, starting from the pretrained weights.
    pub fn fine_tune(self) -> Self {
        let is_converged = self.learn == Learn::Converged;
        let run = Self { learn: Learn::Whole, batch_size: 32, ..self };
        match is_converged {
            true => Self { recipe: Recipe::sound(), epochs: 10, ..run },
            false => run,
        }
    }

    /// Small images and small batches, for a first training without a GPU: minutes on two cores. A head over frozen features
    /// sees 64 pixels, of a light backbone (EfficientNet-Lite, ResNet-18) 160; the compact network 96; the FCN 48. The
    /// slides' procedures have batches of 8, because a small data set needs many steps before their loss falls.
    pub fn small(self) -> Self {
        let is_light = matches!(
            self.architecture,
            Architecture::EfficientNetLite0 | Architecture::EfficientNetLite2 | Architecture::ResNet18
        );
        let is_slides = self.recipe == Recipe::default();
        let size = match self.learn {
            Learn::Whole if is_slides || self.architecture == Architecture::Fcn => 48,
            Learn::Whole => 96,
            _ if is_light && !is_slides => 160,
            _ => 64,
        };
        let preprocess = Preprocess { size, ..self.preprocess };
        let run = Self { preprocess, batch_size: 8, ..self };
        match (run.learn, is_slides) {
            (Learn::Converged, _) => run,
            (Learn::Whole, true) => Self { learning_rate: 5e-4, epochs: 8, ..run },
            (Learn::Whole, false) => Self { batch_size: 16, epochs: 15, ..run },
            _ => Self { learning_rate: 1e-3, epochs: 8, ..run },
        }
    }

    /// `self` if a GPU is available, otherwise [`small`](Self::small).
    pub fn fitting_this_machine(self) -> Self {
        if tch::Cuda::is_available() { self } else { self.small() }
    }
}
