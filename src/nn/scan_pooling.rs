//! From the features of a scan's slices to one logit of the scan: gated attention, and simpler ways of pooling.

use crate::base::errors::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use tch::{Kind, Tensor};

mod feature_reduction;
mod scan_set;
mod scan_training;
#[cfg(test)]
mod tests;

pub(crate) use feature_reduction::{FeatureReduction, SAMPLE};
pub(crate) use scan_set::ScanSet;
pub(crate) use scan_training::train;
pub use scan_training::{ScanCandidate, ScanTraining};

/// How the slices of a scan are pooled: the weight that each slice has in the scan. Weights of a scan sum to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// Gated attention (Ilse, Tomczak and Welling 2018, *Attention-based Deep Multiple Instance Learning*, equation 9): slice
    /// `k` of hidden features `h_k` has the weight `softmax_k(w · (tanh(V h_k) ⊙ sigmoid(U h_k)))`.
    Attention,
    /// Every slice has the same weight.
    Mean,
    /// The slice with the largest logit alone.
    Max,
    /// The `k` slices with the largest logits, equally; all slices of a scan that has no more than `k`.
    TopK(usize),
}

impl fmt::Display for Pooling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attention => f.pad("gated attention"),
            Self::Mean => f.pad("mean"),
            Self::Max => f.pad("maximum"),
            Self::TopK(k) => f.pad(&format!("mean of the {k} highest")),
        }
    }
}

/// What a [`ScanNetwork`] says of scans.
#[derive(Debug)]
pub struct PooledScans {
    /// The covid logits of the scans: `[B]`, f32; not calibrated.
    pub logits: Tensor,
    /// The weights of the slices: `[B, L]`, f32, 0 to 1; they sum to 1 over a scan's slices and are 0 where it has none.
    pub weights: Tensor,
}

/// A network that judges a scan by the features of its slices: features are standardised and reduced as the training slices'
/// were, pass a hidden layer (linear, ReLU), and give each slice a logit and a weight; the scan's logit is the weighted sum
/// of its slices' logits. With attention this is a linear layer over the pooled hidden features, because weights sum to 1.
#[derive(Debug)]
pub struct ScanNetwork {
    pooling: Pooling,
    reduction: FeatureReduction,
    layers: PoolingLayers,
}

impl ScanNetwork {
    pub(crate) fn new(pooling: Pooling, reduction: FeatureReduction, layers: PoolingLayers) -> Self {
        Self { pooling, reduction, layers }
    }

    /// A network with these tensors, all f32, for `F` features of a slice: `features.mean` and `features.deviation` `[F]`;
    /// optionally `features.projection` `[F, P]`; optionally the hidden layer `hidden.weight` `[D, P]` and `hidden.bias` `[D]`;
    /// for attention `attention.tanh` (V) and `attention.sigmoid` (U) `[M, D]` and `attention.weight` (w) `[M]`;
    /// `classifier.weight` `[D]` and `classifier.bias` `[1]`.
    ///
    /// # Errors
    /// A tensor that is missing, unknown or of another shape.
    pub fn from_tensors(pooling: Pooling, mut named: BTreeMap<String, Tensor>) -> Result<Self> {
        let doing = || format!("taking the tensors of a scan network with pooling by {pooling}");
        let reduction = FeatureReduction::taken(&mut named).with_context(doing)?;
        let layers = PoolingLayers::taken(pooling, reduction.width(), &mut named).with_context(doing)?;
        if let Some(name) = named.keys().next() {
            bail!("{}: {name} is no part of it", doing());
        }
        Ok(Self::new(pooling, reduction, layers))
    }

    /// Its tensors by the names of [`from_tensors`](Self::from_tensors).
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        let layers = self.layers.parameters().into_iter().map(|(name, tensor)| (name, tensor.detach()));
        self.reduction.tensors().into_iter().chain(layers).collect()
    }

    /// How slices are pooled.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// The number of features of a slice.
    pub fn features(&self) -> usize {
        self.reduction.features()
    }

    /// Judges scans of unequal lengths: `features` `[B, L, F]` f32, of which only the slices where `mask` `[B, L]` (bool) is
    /// true count; the others may hold any finite numbers.
    ///
    /// # Errors
    /// Other shapes, or a scan without slices.
    pub fn forward(&self, features: &Tensor, mask: &Tensor) -> Result<PooledScans> {
        let _guard = tch::no_grad_guard();
        let (found, wide) = (features.size(), self.features() as i64);
        ensure!(
            matches!(found[..], [_, _, width] if width == wide) && mask.size()[..] == found[..2],
            "judging scans: expected features [B, L, {wide}] and a mask [B, L], found {found:?} and {:?}",
            mask.size()
        );
        let fewest = i64::try_from(&mask.f_sum_dim_intlist(1, false, Kind::Int64)?.f_min()?)?;
        ensure!(fewest > 0, "judging scans: expected slices in every scan, found none in one");
        let reduced = self.reduction.apply(&features.f_reshape([-1, wide])?)?;
        let reduced = reduced.f_reshape([found[0], found[1], self.reduction.width() as i64])?;
        self.layers.pooled(self.pooling, &reduced, Some(mask), None)
    }

    /// Judges one scan, features `[L, F]`: its logit, and the weight of each slice. What it says does not depend on other
    /// scans to the last bit.
    ///
    /// # Errors
    /// Another number of features, no slices, or features that are no finite numbers.
    pub fn judge(&self, features: &Tensor) -> Result<(f64, Vec<f32>)> {
        let _guard = tch::no_grad_guard();
        self.judge_reduced(&self.reduction.apply(features)?)
    }

    /// The same from features `[L, P]` that are reduced already.
    pub(crate) fn judge_reduced(&self, reduced: &Tensor) -> Result<(f64, Vec<f32>)> {
        self.layers.judge(self.pooling, reduced)
    }
}

/// The layers that are trained, for reduced features `[.., P]`.
#[derive(Debug)]
pub(crate) struct PoolingLayers {
    /// Weight `[D, P]` and bias `[D]`.
    hidden: Option<[Tensor; 2]>,
    /// V `[M, D]`, U `[M, D]` and w `[M]`.
    attention: Option<[Tensor; 3]>,
    /// Weight `[D]` and bias `[1]`.
    classifier: [Tensor; 2],
}

/// Zeroes some hidden features in training: given the number of values, a factor for each.
pub(crate) type Dropout<'a> = &'a mut dyn FnMut(i64) -> Result<Tensor>;

impl PoolingLayers {
    fn taken(pooling: Pooling, width: usize, named: &mut BTreeMap<String, Tensor>) -> Result<Self> {
        let hidden_width = named.get("hidden.weight").and_then(|weight| weight.size().first().copied());
        let gates = named.get("attention.weight").and_then(|weight| weight.size().first().copied()).unwrap_or(0);
        let (inputs, d) = (width as i64, hidden_width.unwrap_or(width as i64));
        let mut take = |name: &str, shape: &[i64]| taken(named, name, shape);
        let hidden = match hidden_width {
            Some(_) => Some([take("hidden.weight", &[d, inputs])?, take("hidden.bias", &[d])?]),
            None => None,
        };
        let attention = match pooling {
            Pooling::Attention => Some([
                take("attention.tanh", &[gates, d])?,
                take("attention.sigmoid", &[gates, d])?,
                take("attention.weight", &[gates])?,
            ]),
            Pooling::Mean | Pooling::Max | Pooling::TopK(_) => None,
        };
        let classifier = [take("classifier.weight", &[d])?, take("classifier.bias", &[1])?];
        Ok(Self { hidden, attention, classifier })
    }

    /// Tensors by name; shared, not copied.
    fn parameters(&self) -> Vec<(String, Tensor)> {
        let hidden = ["hidden.weight", "hidden.bias"].into_iter().zip(self.hidden.iter().flatten());
        let gates = ["attention.tanh", "attention.sigmoid", "attention.weight"];
        let attention = gates.into_iter().zip(self.attention.iter().flatten());
        let classifier = ["classifier.weight", "classifier.bias"].into_iter().zip(&self.classifier);
        let all = hidden.chain(attention).chain(classifier);
        all.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone())).collect()
    }

    /// Logits and weights of scans `[B, L, P]`; without a mask every slice counts.
    fn pooled(
        &self,
        pooling: Pooling,
        reduced: &Tensor,
        mask: Option<&Tensor>,
        dropout: Option<Dropout<'_>>,
    ) -> Result<PooledScans> {
        let mut h = match &self.hidden {
            Some([weight, bias]) => reduced.f_linear(weight, Some(bias))?.f_relu()?,
            None => reduced.shallow_clone(),
        };
        if let Some(dropout) = dropout {
            h = h.f_mul(&dropout(h.numel() as i64)?.f_view_as(&h)?)?;
        }
        let [weight, bias] = &self.classifier;
        let logits = h.f_matmul(weight)?.f_add(bias)?;
        let scores = match &self.attention {
            Some([v, u, w]) => {
                let gated =
                    h.f_linear::<Tensor>(v, None)?.f_tanh()?.f_mul(&h.f_linear::<Tensor>(u, None)?.f_sigmoid()?)?;
                gated.f_matmul(w)?
            }
            None => logits.f_detach()?,
        };
        let weights = weights(pooling, &scores, mask)?;
        let logits = weights.f_mul(&logits)?.f_sum_dim_intlist(1, false, Kind::Float)?;
        Ok(PooledScans { logits, weights })
    }

    fn judge(&self, pooling: Pooling, reduced: &Tensor) -> Result<(f64, Vec<f32>)> {
        let _guard = tch::no_grad_guard();
        ensure!(reduced.size()[0] > 0, "judging a scan: expected slices, found none");
        let PooledScans { logits, weights } = self.pooled(pooling, &reduced.f_unsqueeze(0)?, None, None)?;
        let logit = logits.f_double_value(&[0])?;
        ensure!(logit.is_finite(), "judging a scan: expected finite features, found the logit {logit}");
        Ok((logit, Vec::try_from(weights.f_reshape([-1])?)?))
    }
}

/// The weights `[B, L]` of slices by their scores, which are attention's or their logits.
fn weights(pooling: Pooling, scores: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    let scores = match mask {
        Some(mask) => scores.f_masked_fill(&mask.f_logical_not()?, f64::NEG_INFINITY)?,
        None => scores.shallow_clone(),
    };
    let highest = |k: usize| -> Result<Tensor> {
        let k = (k.max(1) as i64).min(scores.size()[1]);
        let (_, places) = scores.f_topk(k, 1, true, false)?;
        let chosen = scores.f_zeros_like()?.f_scatter_value(1, &places, 1.0)?;
        // Of a scan with fewer slices, padding was chosen too.
        shared(&match mask {
            Some(mask) => chosen.f_mul(&mask.f_to_kind(Kind::Float)?)?,
            None => chosen,
        })
    };
    match pooling {
        Pooling::Attention => Ok(scores.f_softmax(1, Kind::Float)?),
        Pooling::Mean => shared(&match mask {
            Some(mask) => mask.f_to_kind(Kind::Float)?,
            None => scores.f_ones_like()?,
        }),
        Pooling::Max => highest(1),
        Pooling::TopK(k) => highest(k),
    }
}

/// Each row divided by its sum.
fn shared(chosen: &Tensor) -> Result<Tensor> {
    Ok(chosen.f_div(&chosen.f_sum_dim_intlist(1, true, Kind::Float)?)?)
}

/// Removes a tensor of this shape.
fn taken(named: &mut BTreeMap<String, Tensor>, name: &str, shape: &[i64]) -> Result<Tensor> {
    let tensor = named.remove(name).with_context(|| format!("{name} is missing"))?;
    ensure!(
        tensor.size() == shape && tensor.kind() == Kind::Float,
        "{name}: expected {shape:?} in f32, found {:?} in {:?}",
        tensor.size(),
        tensor.kind()
    );
    Ok(tensor)
}
