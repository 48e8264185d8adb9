//! Which parameters learn, and in which precision a network computes.

use serde::{Deserialize, Serialize};
use std::fmt;
use tch::Kind;

/// Which parameters learn, and how the rest behaves meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Learn {
    /// All of them; batch norm and dropout as in PyTorch's `train()`. The only way for the FCN.
    Whole,
    /// The head alone. The backbone is frozen and in evaluation mode, so each slice's features are the same in every
    /// epoch: they are computed once and kept, those of VGG19 up to its first dropout.
    Head,
    /// The head alone, with dropout live while it learns: how we read the slides (their VGG19 is 3.7 points better on
    /// the test set than in training, as dropout makes it). Networks without dropout learn as under [`Head`](Self::Head).
    HeadWithDropout,
}

impl fmt::Display for Learn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Whole => "the whole network",
            Self::Head => "the head; the backbone is frozen, in evaluation mode",
            Self::HeadWithDropout => "the head, dropout live; the backbone is frozen",
        })
    }
}

/// In what numbers convolutions and matrix products are computed. Parameters, sums and losses are f32 always.
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
