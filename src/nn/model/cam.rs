//! Grad-CAM: class activation maps of the last convolutional layer.

use super::layer::{Layer, Mode, run};
use super::network::{Network, channels_last};
use crate::base::errors::{Context, Result};
use tch::{Kind, Tensor};

impl Network {
    /// The layer after which the rectified maps of the last convolutional layer are available, as in the Grad-CAM
    /// paper: VGG19's `features.35` and the FCN's fourth block before they are pooled, the last block of `layer4` of a
    /// ResNet, and `features.norm5` of DenseNet-161, `_bn1` of an EfficientNet-Lite and `layer3.bn2` of the compact
    /// network with the ReLU after it.
    fn last_maps(&self) -> Result<usize> {
        let end = self.layers[..self.head]
            .iter()
            .position(|layer| matches!(layer, Layer::AdaptiveAvgPool { .. } | Layer::Flatten))
            .unwrap_or(self.head);
        let last = self.layers[..end].iter().rposition(|layer| !matches!(layer, Layer::MaxPool { .. }));
        last.map(|last| last + 1).with_context(|| format!("{} has no convolutional layer", self.architecture))
    }

    /// Why there are no class activation maps; `None` where there are.
    pub(crate) fn no_heat(&self) -> Option<String> {
        self.architecture.is_custom().then(|| {
            format!("the custom network {} gives features and logits, and no maps to draw heat from", self.architecture)
        })
    }

    /// Class activation maps `[N, h, w]` f32, 0 and above, of images `[N, 3, H, W]` for one class each (Selvaraju et al.
    /// 2017, equations 1 and 2): `relu(Σ_k α_k A_k)`, where `A_k` are the rectified maps of the last convolutional layer
    /// and `α_k` the mean of the class's gradient over `A_k`. Classes are counted from 0: covid, non-covid.
    ///
    /// # Errors
    /// A network of the user's: it gives no maps.
    pub fn class_activation(&self, images: &Tensor, classes: &[i64]) -> Result<Tensor> {
        if let Some(why) = self.no_heat() {
            crate::base::errors::bail!("class activation: {why}");
        }
        let (mode, at) = (Mode::evaluation(Kind::Float), self.last_maps()?);
        let maps = tch::no_grad(|| run(&self.layers[..at], &channels_last(images, mode.kind)?, mode))?;
        let maps = maps.f_detach()?.f_set_requires_grad(true)?;
        let classes = Tensor::f_from_slice(classes)?.f_to_device(images.device())?.f_unsqueeze(1)?;
        let scores = self.rest(at, &maps, mode)?.f_gather(1, &classes, false)?.f_sum(Kind::Float)?;
        let gradients = Tensor::f_run_backward(&[scores], &[&maps], false, false)?;
        let gradient = gradients.first().context("libtorch gave no gradient")?;
        let weights = gradient.f_mean_dim([2_i64, 3].as_slice(), true, Kind::Float)?;
        Ok(maps.f_detach()?.f_mul(&weights)?.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Float)?.f_relu()?)
    }
}
