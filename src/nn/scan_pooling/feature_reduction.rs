//! Features of slices, standardised and reduced to their principal components.

use super::taken;
use crate::base::errors::{Context, Result, ensure};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use tch::{Kind, Tensor};

/// The most slices that a reduction is fitted on: more hardly change means and the leading components.
pub(crate) const SAMPLE: usize = 8_192;
/// Further directions that are followed, so that the last components wanted are exact enough.
const MORE: usize = 32;
/// Steps of the iteration; the error falls with the fourth power of the ratio of variances at each pair of steps.
const STEPS: usize = 8;

/// `(x - mean) / deviation` of each feature, then the projection, if there is one.
#[derive(Debug)]
pub(crate) struct FeatureReduction {
    mean: Tensor,
    deviation: Tensor,
    projection: Option<Tensor>,
}

impl FeatureReduction {
    /// Mean and standard deviation of each feature over slices `[N, F]`, f32, and, where there are more than `width` features,
    /// the projection onto the `width` leading principal components, found by subspace iteration (Halko, Martinsson and Tropp
    /// 2011, algorithm 4.4). Components keep their relative variances; their mean variance is made 1, so that a learning rate
    /// suits every backbone. A feature that is the same in every slice becomes 0.
    ///
    /// # Errors
    /// No slices, or values that are no finite numbers.
    pub(crate) fn fit(slices: &Tensor, width: usize, random: &mut ChaCha8Rng) -> Result<Self> {
        let _guard = tch::no_grad_guard();
        let doing = "fitting the reduction of features";
        let [count, features] = slices.size()[..] else {
            crate::base::errors::bail!("{doing}: expected slices [N, F], found {:?}", slices.size())
        };
        ensure!(count > 0, "{doing}: expected slices, found none");
        let mean = slices.f_mean_dim(0, false, Kind::Float)?;
        let deviation = slices.f_sub(&mean)?.f_square()?.f_mean_dim(0, false, Kind::Float)?.f_sqrt()?;
        let sum = f64::try_from(&deviation.f_sum(Kind::Double)?)?;
        ensure!(sum.is_finite(), "{doing}: expected finite features, found others among {count} slices");
        // The rounded mean of equal numbers differs from them.
        let differs = deviation.f_gt_tensor(&mean.f_abs()?.f_mul_scalar(1e-5)?.f_add_scalar(1e-12)?)?;
        let deviation = deviation.f_where_self(&differs, &deviation.f_ones_like()?)?;
        let alone = Self { mean, deviation, projection: None };
        if features as usize <= width {
            return Ok(alone);
        }
        let standard = alone.apply(slices)?;
        let covariance = standard.f_tr()?.f_matmul(&standard)?.f_div_scalar(count as f64)?;
        let projection = leading(&covariance, width, random).context(doing)?;
        Ok(Self { projection: Some(projection), ..alone })
    }

    /// `[N, P]` of features `[N, F]`.
    ///
    /// # Errors
    /// Another number of features.
    pub(crate) fn apply(&self, features: &Tensor) -> Result<Tensor> {
        let (found, expected) = (features.size(), self.features() as i64);
        ensure!(
            matches!(found[..], [_, width] if width == expected),
            "reducing features: expected slices [N, {expected}], found {found:?}"
        );
        let standard = features.f_to_kind(Kind::Float)?.f_sub(&self.mean)?.f_div(&self.deviation)?;
        match &self.projection {
            Some(projection) => Ok(standard.f_matmul(projection)?),
            None => Ok(standard),
        }
    }

    /// A copy that shares nothing.
    pub(crate) fn copied(&self) -> Result<Self> {
        Ok(Self {
            mean: self.mean.f_detach_copy()?,
            deviation: self.deviation.f_detach_copy()?,
            projection: self.projection.as_ref().map(Tensor::f_detach_copy).transpose()?,
        })
    }

    /// The number of features of a slice.
    pub(crate) fn features(&self) -> usize {
        self.mean.numel()
    }

    /// How many are left.
    pub(crate) fn width(&self) -> usize {
        self.projection.as_ref().map_or(self.features(), |projection| projection.size()[1] as usize)
    }

    /// Its tensors by name; shared, not copied.
    pub(crate) fn tensors(&self) -> Vec<(String, Tensor)> {
        let projection = self.projection.iter().map(|of| ("features.projection", of));
        let all =
            [("features.mean", &self.mean), ("features.deviation", &self.deviation)].into_iter().chain(projection);
        all.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone())).collect()
    }

    pub(super) fn taken(named: &mut BTreeMap<String, Tensor>) -> Result<Self> {
        let features = named.get("features.mean").context("features.mean is missing")?.numel() as i64;
        let width = named.get("features.projection").and_then(|of| of.size().get(1).copied());
        let projection = width.map(|width| taken(named, "features.projection", &[features, width])).transpose()?;
        let [mean, deviation] = ["features.mean", "features.deviation"].map(|name| taken(named, name, &[features]));
        Ok(Self { mean: mean?, deviation: deviation?, projection })
    }
}

/// The eigenvectors `[F, width]` of the largest eigenvalues of a covariance `[F, F]`, scaled so that the mean variance of the
/// components is 1.
fn leading(covariance: &Tensor, width: usize, random: &mut ChaCha8Rng) -> Result<Tensor> {
    let features = covariance.size()[0] as usize;
    let followed = (width + MORE).min(features);
    let start: Vec<f32> = (0..features * followed).map(|_| random.gen_range(-1.0..1.0)).collect();
    let mut basis = Tensor::f_from_slice(&start)?.f_view([features as i64, followed as i64])?;
    for _ in 0..STEPS {
        basis = Tensor::f_linalg_qr(&covariance.f_matmul(&basis)?, "reduced")?.0;
    }
    let small = basis.f_tr()?.f_matmul(&covariance.f_matmul(&basis)?)?.f_to_kind(Kind::Double)?;
    // Ascending.
    let (variances, vectors) = small.f_linalg_eigh("L")?;
    let (first, wide) = ((followed - width) as i64, width as i64);
    let vectors = vectors.f_narrow(1, first, wide)?.f_flip([1])?.f_to_kind(Kind::Float)?;
    let mean = f64::try_from(&variances.f_narrow(0, first, wide)?.f_mean(Kind::Double)?)?;
    ensure!(mean > 0.0, "expected features that differ between slices, found none");
    Ok(basis.f_matmul(&vectors)?.f_div_scalar(mean.sqrt())?.f_contiguous()?)
}
