//! Which parameters are trained, and the precision of computations.

use serde::{Deserialize, Serialize};
use std::fmt;
use tch::Kind;

/// Which parameters are trained, and the mode of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Learn {
    /// All parameters; batch norm and dropout as in PyTorch's `train()`. The only choice for networks without ImageNet weights, as
    /// the FCN.
    Whole,
    /// Only the head. The backbone is frozen and in evaluation mode, so the features of a slice are the same in every
    /// epoch: they are computed once and stored, up to the first dropout where there is one.
    Head,
    /// Only the head, with dropout active in training: our reading of the slides (their VGG19 is 3.7 points better on
    /// the test set than in training, which dropout explains). Networks without dropout are trained as under
    /// [`Head`](Self::Head).
    HeadWithDropout,
    /// The head, solved to convergence over the frozen backbone's standardised features: L2-regularised logistic
    /// regression. An epoch is a strength of regularisation, from strong to weak; the learning rate is not used.
    Converged,
}

impl fmt::Display for Learn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Whole => "the whole network",
            Self::Head => "the head; the backbone is frozen, in evaluation mode",
            Self::HeadWithDropout => "the head, dropout live; the backbone is frozen",
            Self::Converged => "the head, solved to convergence over the frozen backbone's standardised features",
        })
    }
}

/// The precision of convolutions and matrix products. Parameters, sums and losses are always f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    F32,
    /// 16 bits with 8 of mantissa: faster on CPUs and GPUs that have it (not a T4).
    Bf16,
    /// 16 bits with 11 of mantissa; gradients are scaled so that small ones do not vanish. CUDA only.
    F16,
}

impl Precision {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
            Self::F16 => Kind::Half,
        }
    }
}
