//! The network architectures.

use serde::{Deserialize, Serialize};
use std::fmt;

mod build;
mod cam;
mod describe;
mod layer;
mod network;

pub(crate) use layer::Mode;
pub use network::Network;

/// The architecture. All but the FCN are torchvision's, with the same parameter names and outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// The slides' fully convolutional network: four times convolution 3×3 (padding 1), ReLU and max pooling 2×2, with
    /// 64, 128, 256 and 512 channels, then a convolution 2×2 to two classes and the spatial mean.
    Fcn,
    /// VGG-19 without batch norm (Simonyan and Zisserman, 2015): 139,578,434 parameters at two classes.
    Vgg19,
    /// ResNet-152 (He et al., 2016), stride in the 3×3 convolution: 58,147,906 parameters at two classes.
    ResNet152,
    /// DenseNet-161 (Huang et al., 2017): 26,476,418 parameters at two classes.
    DenseNet161,
}

impl Architecture {
    /// All four, in the order of the slides.
    pub const ALL: [Self; 4] = [Self::Fcn, Self::Vgg19, Self::ResNet152, Self::DenseNet161];

    /// The name in settings and files: torchvision's.
    pub fn key(self) -> &'static str {
        ["fcn", "vgg19", "resnet152", "densenet161"][self as usize]
    }

    /// The smallest input side in pixels that leaves the last layer at least one value.
    pub fn smallest_size(self) -> u32 {
        32
    }

    /// Whether there are ImageNet weights for it, and therefore a backbone that can be frozen.
    pub fn has_backbone(self) -> bool {
        self != Self::Fcn
    }

    /// The name of the classification layer.
    pub(crate) fn head(self) -> &'static str {
        ["classifier", "classifier.6", "fc", "classifier"][self as usize]
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(["FCN", "VGG19", "ResNet-152", "DenseNet-161"][*self as usize])
    }
}

impl std::str::FromStr for Architecture {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = || Self::ALL.map(Self::key).join(", ");
        let found = Self::ALL.into_iter().find(|a| a.key() == name);
        found.ok_or_else(|| anyhow::anyhow!("expected one of {}, found {name:?}", known()))
    }
}
