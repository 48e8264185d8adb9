//! The features of a network: where they end, earlier stages' maps that join them, and logits of them.

use super::layer::{Layer, Mode, run};
use super::network::{Network, channels_last};
use crate::base::errors::{Context, Result};
use crate::nn::learn::Learn;
use tch::{Kind, Tensor};

impl Network {
    /// The layer up to which a frozen network gives the same values in every epoch: the first dropout if there is one,
    /// otherwise the head. Without active dropout it could always be the head, but this way VGG19's features serve both
    /// modes.
    pub(crate) fn frozen_until(&self) -> usize {
        self.layers.iter().position(|layer| matches!(layer, Layer::Dropout { .. })).unwrap_or(self.head)
    }

    /// Where the head begins: the number of layers before it.
    pub(crate) fn until_head(&self) -> usize {
        self.head
    }

    /// The layer up to which features of a frozen network are kept: [`frozen_until`](Self::frozen_until), or the head
    /// where it is solved, which is without dropout.
    pub(crate) fn kept_until(&self, learn: Learn) -> usize {
        if learn == Learn::Converged { self.head } else { self.frozen_until() }
    }

    /// Features `[N, F]` f32 of images: the output of the layers before `until`, of maps (before the FCN's head) the mean of
    /// each.
    pub(crate) fn features(&self, images: &Tensor, until: usize, kind: Kind) -> Result<Tensor> {
        if let Some(custom) = &self.custom {
            return custom.features(images, Mode::evaluation(kind));
        }
        let (x, mode) = (channels_last(images, kind)?, Mode::evaluation(kind));
        let x = match self.joined_at() {
            Some(joined) if until >= joined => run(&self.layers[joined..until], &self.with_stages(&x, mode)?, mode)?,
            _ => run(&self.layers[..until], &x, mode)?,
        };
        let x = if x.dim() == 4 { x.f_mean_dim(&[2_i64, 3][..], false, Kind::Float)? } else { x };
        Ok(x.f_to_kind(Kind::Float)?)
    }

    /// The number of features that the layers from `from` on expect.
    pub(crate) fn width_at(&self, from: usize) -> Result<usize> {
        let width = self.layers[from..].iter().find_map(|layer| match layer {
            Layer::Linear { weight, .. } | Layer::Conv { weight, .. } => Some(weight.size()[1] as usize),
            _ => None,
        });
        width.with_context(|| format!("{} has no features to keep", self.architecture))
    }

    /// Logits of features: the layers from `from` on. Of a network whose head sees earlier stages, from maps between the first
    /// layer and the head they lack what those stages add, a constant.
    pub(crate) fn rest(&self, from: usize, features: &Tensor, mode: Mode) -> Result<Tensor> {
        if let Some(custom) = &self.custom {
            return custom.logits(features, mode);
        }
        let logits = match self.joined_at() {
            Some(joined) if from == 0 => run(&self.layers[joined..], &self.with_stages(features, mode)?, mode)?,
            Some(joined) if from < joined => {
                let last = run(&self.layers[from..joined], features, mode)?;
                // The stages before `from` are not known here. The head is linear: what is missing is a constant.
                let more: i64 = self.stages.iter().map(|(_, channels)| channels).sum();
                let unknown = last.f_new_zeros([last.size()[0], more], (last.kind(), last.device()))?;
                run(&self.layers[joined..], &Tensor::f_cat(&[unknown, last], 1)?, mode)?
            }
            _ => run(&self.layers[from - self.before..], features, mode)?,
        };
        Ok(logits.f_to_kind(Kind::Float)?)
    }

    /// The number of layers after which the means of earlier stages' maps join the features; `None` where the head sees the last
    /// maps only.
    pub(super) fn joined_at(&self) -> Option<usize> {
        let flat = self.layers.iter().position(|layer| matches!(layer, Layer::Flatten))?;
        (!self.stages.is_empty()).then_some(flat + 1)
    }

    /// The means of the maps of each stage, and the features of the last maps: `[N, F]`.
    fn with_stages(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        let joined = self.joined_at().context("the head sees the last maps only")?;
        let (mut x, mut at, mut parts) = (images.shallow_clone(), 0, Vec::new());
        for &(end, _) in &self.stages {
            x = run(&self.layers[at..end], &x, mode)?;
            parts.push(x.f_mean_dim(&[2_i64, 3][..], false, mode.kind)?);
            at = end;
        }
        parts.push(run(&self.layers[at..joined], &x, mode)?);
        Ok(Tensor::f_cat(&parts, 1)?)
    }
}
