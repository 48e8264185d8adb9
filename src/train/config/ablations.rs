//! A run with one part of its recipe left out in turn.

use super::RunConfig;
use crate::data::preprocess::{Crop, Preprocess, Stretch, WithoutLungs};
use crate::nn::learn::Learn;
use crate::nn::model::Architecture;
use crate::train::recipe::{Recipe, Schedule, Selection, Weighting};

impl RunConfig {
    /// This run with each main part of its recipe left out in turn, in words, for an [`Ablation`](crate::Ablation); parts that
    /// it does not have are passed over. The last is the slides' procedure for the FCN, or for the same frozen network, split by
    /// patient, with the slides' number of epochs. Split, seed, device and the size of pictures are this run's throughout.
    pub fn without_each_part(&self) -> Vec<(&'static str, Self)> {
        let Self { preprocess, recipe, .. } = self;
        let named = |ending: &str| format!("{}-without-{ending}", self.name);
        let with = |ending: &str, recipe: Recipe| Self { name: named(ending), recipe, ..self.clone() };
        let mut parts = Vec::new();
        let mut add = |has_it: bool, what, run: Self| parts.extend((has_it && run != *self).then_some((what, run)));
        let seen = |ending: &str, crop, stretch| {
            let looks = crop != Crop::Whole || stretch != Stretch::AsIs;
            let without_lungs = if looks { preprocess.without_lungs } else { WithoutLungs::Keep };
            let preprocess = Preprocess { crop, stretch, without_lungs, ..preprocess.clone() };
            Self { name: named(ending), preprocess, ..self.clone() }
        };
        add(preprocess.crop != Crop::Whole, "the crop to the lungs", seen("crop", Crop::Whole, preprocess.stretch));
        let unstretched = seen("stretch", preprocess.crop, Stretch::AsIs);
        add(preprocess.stretch != Stretch::AsIs, "one scale of grey levels", unstretched);
        let plain = Recipe { augmentation: Recipe::default().augmentation, ..recipe.clone() };
        add(!recipe.augmentation.is_none(), "augmentation", with("augmentation", plain));
        let fixed = Recipe { schedule: Schedule::Constant, weight_decay: 0.0, clip_norm: None, ..recipe.clone() };
        let is_fixed = recipe.schedule == Schedule::Constant || self.learn == Learn::Converged;
        add(!is_fixed, "schedule, weight decay and clipping", with("schedule", fixed));
        let plain = Recipe { weighting: Weighting::Slices, selection: Selection::SliceAccuracy, ..recipe.clone() };
        add(recipe.weighting != Weighting::Slices, "balanced patients, choice by scans", with("balance", plain));
        let last = Self { name: named("stages"), stages: false, ..self.clone() };
        add(self.stages, "earlier stages' maps", last);
        // As long as this run is small, so are the slides' procedures: their pictures, batches and rates go together.
        let is_small = preprocess.size < Preprocess::default().size;
        let like_this = |run: Self, ending: &str| {
            let run = if is_small { run.small() } else { run };
            let Self { split, device, precision, seed, checkpoint_minutes, .. } = self.clone();
            Self { name: named(ending), split, device, precision, seed, checkpoint_minutes, ..run }
        };
        let slides = Self { preprocess: preprocess.clone(), ..Self::published(self.architecture).by_patient() };
        let head = like_this(Self { learn: Learn::Head, recipe: recipe.clone(), ..slides }, "convergence");
        let head =
            Self { preprocess: preprocess.clone(), stages: self.stages, pretrained: self.pretrained.clone(), ..head };
        add(self.learn == Learn::Converged, "convergence of the head", head);
        let fcn = Self { name: named("network"), architecture: Architecture::Fcn, learning_rate: 5e-4, ..self.clone() };
        add(self.architecture == Architecture::Compact, "the network (the FCN instead)", fcn);
        let frozen = self.architecture.has_backbone();
        let slides = Self::published(if frozen { self.architecture } else { Architecture::Fcn }).by_patient();
        let slides = if frozen { slides.with_pretrained(self.pretrained.clone()) } else { slides };
        let mut slides = like_this(slides, "all");
        slides.preprocess.size = preprocess.size;
        add(true, "all of it: the slides' procedure, by patient", slides);
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::split::SplitConfig;
    use std::collections::BTreeSet;

    #[test]
    fn each_part_is_left_out_once_and_every_run_can_work() {
        for (architecture, count) in
            [(Architecture::Compact, 7), (Architecture::Fcn, 6), (Architecture::EfficientNetLite0, 6)]
        {
            let split = SplitConfig { seed: 3, ..SplitConfig::default() };
            let complete =
                RunConfig { seed: 7, device: "cpu".to_owned(), split, ..RunConfig::of(architecture).small() };
            let parts = complete.without_each_part();
            assert_eq!(parts.len(), count, "{architecture}: {:?}", parts.iter().map(|part| part.0).collect::<Vec<_>>());
            let names: BTreeSet<&str> = parts.iter().map(|(_, run)| run.name.as_str()).collect();
            assert_eq!(names.len(), parts.len());
            for (what, run) in &parts {
                run.check().expect(what);
                assert_eq!((&run.split, run.preprocess.size), (&complete.split, complete.preprocess.size), "{what}");
                assert_eq!((run.seed, run.device.as_str()), (7, "cpu"), "{what}");
            }
        }
        let ct = RunConfig::of(Architecture::ResNet152).with_pretrained(Some("ct".to_owned()));
        let parts = ct.without_each_part();
        let (_, all) = parts.last().expect("the slides' procedure");
        assert_eq!((all.preprocess.mean, all.preprocess.window), (ct.preprocess.mean, ct.preprocess.window));
        assert_eq!(RunConfig::published(Architecture::Fcn).by_patient().without_each_part().len(), 1);
    }
}
