//! Fitting of a scan model: the reduction of features, and the candidates.

use super::ScanCandidateResult;
use super::scan_slices::ScanSlices;
use crate::base::errors::{Context, Result, ensure};
use crate::base::interrupt::go_on;
use crate::base::parallel::locked;
use crate::base::progress::{Meter, Progress};
use crate::data::cache::spread;
use crate::nn::scan_pooling::{FeatureReduction, SAMPLE, ScanNetwork, ScanSet, ScanTraining, train};
use crate::nn::single_threads::side_by_side;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::sync::Mutex;
use tch::Tensor;

/// Parts in which features are reduced side by side.
const PARTS: usize = 32;

/// A fitted network, what became of every candidate, and which was chosen.
pub(super) struct FittedScanModel {
    pub(super) network: ScanNetwork,
    pub(super) candidates: Vec<ScanCandidateResult>,
    pub(super) chosen: usize,
}

/// Fits to training scans, and chooses candidate and epoch by the validation scans. `features` gives those of slices, `[N, F]`.
///
/// # Errors
/// No validation scans; training or validation scans of one label or without a label.
pub(super) fn fit(
    training: &[ScanSlices],
    validation: &[ScanSlices],
    features: &(dyn Fn(&[usize]) -> Result<Tensor> + Sync),
    settings: &ScanTraining,
    progress: &(dyn Fn(&Progress) + Sync),
) -> Result<FittedScanModel> {
    settings.check()?;
    // Before features are read for minutes.
    for (what, scans) in [("training", training), ("validation", validation)] {
        let labels = scans.iter().map(ScanSlices::is_covid).collect::<Result<Vec<_>>>()?;
        let covid = labels.iter().filter(|&&covid| covid).count();
        ensure!(
            covid > 0 && covid < labels.len(),
            "fitting a scan model: expected {what} scans of both labels, found {covid} covid and {} non-covid",
            labels.len() - covid
        );
    }
    let slices: Vec<usize> = training.iter().flat_map(|scan| scan.slices.iter().copied()).collect();
    let reduction = side_by_side(1, |_| {
        let sample = features(&spread(&slices, SAMPLE))?;
        FeatureReduction::fit(&sample, settings.components, &mut ChaCha8Rng::seed_from_u64(settings.seed))
    })?;
    let reduction = reduction.into_iter().next().context("fitting the reduction of features")?;
    let meter = Meter::new("scan model: features", "scans", training.len() + validation.len(), 0, progress);
    let [learned, judged] = [training, validation].map(|scans| reduced(scans, &reduction, features, &meter));
    let (learned, judged) = (learned?, judged?);
    meter.finish();
    let meter = Meter::new("scan model: training", "networks", settings.candidates.len(), 0, progress);
    let mut trained = side_by_side(settings.candidates.len(), |job| {
        let trained = train(&learned, &judged, settings.candidates[job], settings)?;
        meter.add(1);
        Ok(trained)
    })?;
    meter.finish();
    let better = |best: usize, job: usize| if trained[job].score.better_than(trained[best].score) { job } else { best };
    let chosen = (0..trained.len()).reduce(better).context("fitting a scan model: expected a candidate, found none")?;
    let results = settings.candidates.iter().zip(&trained).map(|(candidate, trained)| ScanCandidateResult {
        candidate: *candidate,
        auc: trained.score.auc,
        loss: trained.score.loss,
        epoch: trained.epoch,
        epochs: trained.epochs,
    });
    let candidates = results.collect();
    let layers = trained.swap_remove(chosen).layers;
    Ok(FittedScanModel {
        network: ScanNetwork::new(settings.candidates[chosen].pooling, reduction, layers),
        candidates,
        chosen,
    })
}

/// Scans with their reduced features.
fn reduced(
    scans: &[ScanSlices],
    reduction: &FeatureReduction,
    features: &(dyn Fn(&[usize]) -> Result<Tensor> + Sync),
    meter: &Meter<'_>,
) -> Result<ScanSet> {
    // A tensor may not be used by two threads at once: each part has its own.
    let copies = (0..PARTS).map(|_| Ok(Mutex::new(reduction.copied()?))).collect::<Result<Vec<_>>>()?;
    let parts: Vec<&[ScanSlices]> = scans.chunks(scans.len().div_ceil(PARTS).max(1)).collect();
    let each = side_by_side(parts.len(), |part| {
        let reduction = locked(&copies[part]);
        let of_scan = |scan: &ScanSlices| -> Result<Vec<f32>> {
            let values = reduction.apply(&features(&scan.slices)?)?;
            meter.add(1);
            go_on()?;
            Ok(Vec::try_from(values.f_reshape([-1])?)?)
        };
        parts[part].iter().map(of_scan).collect::<Result<Vec<_>>>()
    })?;
    let mut set = ScanSet { width: reduction.width(), ..ScanSet::default() };
    for (scan, values) in scans.iter().zip(each.into_iter().flatten()) {
        set.add(&values, scan.is_covid()?, scan.source);
    }
    Ok(set)
}
