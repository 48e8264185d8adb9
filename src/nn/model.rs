//! The network architectures.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

mod batch_shares;
mod build;
mod cam;
mod custom;
mod describe;
mod layer;
mod network;
mod packed_conv;
mod prepared;
mod scale_and_shift;
mod stage_features;
#[cfg(test)]
mod tests;

pub use custom::{SliceNetwork, register_network};
pub(crate) use layer::Mode;
use layer::NormStatistics;
pub use network::Network;
pub(crate) use prepared::PreparedNetwork;

/// The architecture. VGG19, the ResNets and DenseNet-161 are torchvision's, with the same parameter names and outputs;
/// the EfficientNets have the names of the PyPI package `efficientnet_lite_pytorch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// A narrow network for machines without a GPU, trained from random weights: convolutions 3×3 with batch norm, of 16
    /// to 128 channels, then the spatial mean, dropout of 0.2 and a linear layer: 291,922 parameters at two classes.
    Compact,
    /// EfficientNet-Lite0 (Tan and Le, 2019; Liu, 2020): ReLU6 in the place of Swish, no squeeze and excitation: 3,373,570
    /// parameters at two classes. Its weights expect grey levels from -1 to 1: (x − 127) / 128.
    EfficientNetLite0,
    /// EfficientNet-Lite2, 1.1 times as wide and 1.2 times as deep as Lite0: 4,813,634 parameters at two classes.
    EfficientNetLite2,
    /// ResNet-18 (He et al., 2016): 11,177,538 parameters at two classes.
    ResNet18,
    /// ResNet-50 (He et al., 2016), stride in the 3×3 convolution: 23,512,130 parameters at two classes.
    ResNet50,
    /// A network of the user's by its name: see [`register_network`].
    Custom(&'static str),
}

impl Architecture {
    /// Every one of the library's, those of the slides first.
    pub const ALL: [Self; 9] = [
        Self::Fcn,
        Self::Vgg19,
        Self::ResNet152,
        Self::DenseNet161,
        Self::Compact,
        Self::EfficientNetLite0,
        Self::EfficientNetLite2,
        Self::ResNet18,
        Self::ResNet50,
    ];

    /// The slides' four, in their order.
    pub const SLIDES: [Self; 4] = [Self::Fcn, Self::Vgg19, Self::ResNet152, Self::DenseNet161];

    /// The name in settings and files: torchvision's where it has one; `custom:NAME` of a network of the user's.
    pub fn key(self) -> &'static str {
        match self {
            Self::Fcn => "fcn",
            Self::Vgg19 => "vgg19",
            Self::ResNet152 => "resnet152",
            Self::DenseNet161 => "densenet161",
            Self::Compact => "compact",
            Self::EfficientNetLite0 => "efficientnet_lite0",
            Self::EfficientNetLite2 => "efficientnet_lite2",
            Self::ResNet18 => "resnet18",
            Self::ResNet50 => "resnet50",
            Self::Custom(name) => custom::interned(&format!("{}{name}", Self::CUSTOM)),
        }
    }

    /// The smallest input side in pixels that leaves the last layer at least one value; of a network of the user's the
    /// smallest that settings allow.
    pub fn smallest_size(self) -> u32 {
        if self.is_custom() { 16 } else { 32 }
    }

    /// Whether it is a network of the user's.
    pub(crate) fn is_custom(self) -> bool {
        matches!(self, Self::Custom(_))
    }

    /// Whether there are ImageNet weights for it, and therefore a backbone that can be frozen.
    pub fn has_backbone(self) -> bool {
        !matches!(self, Self::Fcn | Self::Compact | Self::Custom(_))
    }

    /// Whether a head can also see the maps of earlier stages; see [`RunConfig::stages`](crate::RunConfig::stages).
    pub fn has_stages(self) -> bool {
        matches!(
            self,
            Self::EfficientNetLite0 | Self::EfficientNetLite2 | Self::ResNet18 | Self::ResNet50 | Self::ResNet152
        )
    }

    /// The name of the classification layer; that of a network of the user's is not known.
    pub(crate) fn head(self) -> &'static str {
        match self {
            Self::Fcn | Self::DenseNet161 => "classifier",
            Self::Vgg19 => "classifier.6",
            Self::ResNet152 | Self::ResNet18 | Self::ResNet50 | Self::Compact => "fc",
            Self::EfficientNetLite0 | Self::EfficientNetLite2 => "_fc",
            Self::Custom(_) => "",
        }
    }

    /// The number of values that a linear head is given; `None` for the FCN's, which is a convolution, and where it is not
    /// known.
    pub(crate) fn head_inputs(self) -> Option<i64> {
        match self {
            Self::Fcn | Self::Custom(_) => None,
            Self::Vgg19 => Some(4096),
            Self::ResNet152 | Self::ResNet50 => Some(2048),
            Self::DenseNet161 => Some(2208),
            Self::Compact => Some(128),
            Self::EfficientNetLite0 | Self::EfficientNetLite2 => Some(1280),
            Self::ResNet18 => Some(512),
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Custom(name) => name,
            Self::Fcn => "FCN",
            Self::Vgg19 => "VGG19",
            Self::ResNet152 => "ResNet-152",
            Self::DenseNet161 => "DenseNet-161",
            Self::Compact => "Compact CNN",
            Self::EfficientNetLite0 => "EfficientNet-Lite0",
            Self::EfficientNetLite2 => "EfficientNet-Lite2",
            Self::ResNet18 => "ResNet-18",
            Self::ResNet50 => "ResNet-50",
        })
    }
}

impl std::str::FromStr for Architecture {
    type Err = crate::base::errors::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if let Some(name) = name.strip_prefix(Self::CUSTOM) {
            return Self::custom(name);
        }
        let known = || Self::ALL.map(Self::key).join(", ");
        let found = Self::ALL.into_iter().find(|a| a.key() == name);
        found.ok_or_else(|| crate::base::errors::anyhow!("expected one of {} or custom:NAME, found {name:?}", known()))
    }
}

impl Serialize for Architecture {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.key())
    }
}

impl<'de> Deserialize<'de> for Architecture {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
