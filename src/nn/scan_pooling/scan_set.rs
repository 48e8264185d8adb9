//! Scans of unequal lengths, batches of them, and how well they are judged.

use crate::base::errors::{Context, Result, ensure};
use crate::stats::metrics::source_mean_auc;
use tch::Tensor;

/// Scans with the reduced features of their slices.
#[derive(Debug, Default)]
pub(crate) struct ScanSet {
    /// Features of a slice.
    pub(crate) width: usize,
    /// The slices of all scans, one after the other, `width` numbers each.
    pub(crate) values: Vec<f32>,
    pub(crate) scans: Vec<StoredScan>,
}

/// A labelled scan of a [`ScanSet`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct StoredScan {
    /// The place of its first slice.
    pub(crate) first: usize,
    pub(crate) slices: usize,
    pub(crate) covid: bool,
    /// Number of its source: scans of sources with both labels are ranked within them.
    pub(crate) source: u32,
}

impl ScanSet {
    /// Adds a scan, whose features are `[L, width]` in row-major order.
    pub(crate) fn add(&mut self, features: &[f32], covid: bool, source: u32) {
        let first = self.values.len() / self.width.max(1);
        self.values.extend_from_slice(features);
        self.scans.push(StoredScan { first, slices: features.len() / self.width.max(1), covid, source });
    }

    /// The features of one scan, row by row.
    pub(crate) fn features(&self, scan: &StoredScan) -> &[f32] {
        &self.values[scan.first * self.width..(scan.first + scan.slices) * self.width]
    }

    /// The features `[L, width]` of one scan.
    pub(crate) fn tensor(&self, scan: &StoredScan) -> Result<Tensor> {
        let shape = [scan.slices as i64, self.width as i64];
        Ok(Tensor::f_from_slice(self.features(scan))?.f_view(shape)?)
    }

    /// # Errors
    /// Scans of one label only, a scan without slices, or values that are no finite numbers.
    pub(super) fn check(&self, what: &str) -> Result<()> {
        let covid = self.scans.iter().filter(|scan| scan.covid).count();
        ensure!(
            covid > 0 && covid < self.scans.len(),
            "training a scan network: expected {what} scans of both labels, found {covid} covid and {} non-covid",
            self.scans.len() - covid
        );
        let empty = self.scans.iter().position(|scan| scan.slices == 0);
        ensure!(empty.is_none(), "training a scan network: expected slices in every {what} scan, found one without");
        let finite = self.values.iter().all(|value| value.is_finite());
        ensure!(finite, "training a scan network: expected finite features of the {what} scans, found others");
        Ok(())
    }

    /// The weight of each label in the loss, `[non-covid, covid]`: both labels together count equally, and the mean over the
    /// scans is 1.
    pub(super) fn balance(&self) -> [f64; 2] {
        let covid = self.scans.iter().filter(|scan| scan.covid).count() as f64;
        let all = self.scans.len() as f64;
        [all / (2.0 * (all - covid)), all / (2.0 * covid)]
    }
}

/// A batch of scans, padded with zeros.
pub(super) struct PaddedScans {
    /// `[B, L, P]`.
    pub(super) features: Tensor,
    /// `[B, L]`.
    pub(super) mask: Tensor,
    /// Labels, 1 for covid, and their weights: `[B]`.
    pub(super) covid: Tensor,
    pub(super) weights: Tensor,
}

impl PaddedScans {
    pub(super) fn of(set: &ScanSet, batch: &[usize], balance: [f64; 2]) -> Result<Self> {
        let scans: Vec<&StoredScan> = batch.iter().map(|&scan| &set.scans[scan]).collect();
        let longest = scans.iter().map(|scan| scan.slices).max().unwrap_or(0);
        let mut features = vec![0_f32; scans.len() * longest * set.width];
        let mut mask = vec![false; scans.len() * longest];
        for (row, scan) in scans.iter().enumerate() {
            let begin = row * longest * set.width;
            features[begin..begin + scan.slices * set.width].copy_from_slice(set.features(scan));
            mask[row * longest..row * longest + scan.slices].fill(true);
        }
        let covid: Vec<f32> = scans.iter().map(|scan| f32::from(u8::from(scan.covid))).collect();
        let weights: Vec<f32> = scans.iter().map(|scan| balance[usize::from(scan.covid)] as f32).collect();
        let (rows, longest) = (scans.len() as i64, longest as i64);
        Ok(Self {
            features: Tensor::f_from_slice(&features)?.f_view([rows, longest, set.width as i64])?,
            mask: Tensor::f_from_slice(&mask)?.f_view([rows, longest])?,
            covid: Tensor::f_from_slice(&covid)?,
            weights: Tensor::f_from_slice(&weights)?,
        })
    }
}

/// How well validation scans are judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ScanScore {
    /// The area under the ROC curve, 0 to 1: the mean over the sources that have both labels, or that of all scans where none
    /// has.
    pub(crate) auc: f64,
    /// Cross entropy in nats, both labels weighted equally.
    pub(crate) loss: f64,
}

impl ScanScore {
    pub(super) fn of(set: &ScanSet, logits: &[f64]) -> Result<Self> {
        let scored: Vec<(f64, bool, u32)> =
            set.scans.iter().zip(logits).map(|(scan, &logit)| (logit, scan.covid, scan.source)).collect();
        let auc = source_mean_auc(&scored).transpose().context("ranking the validation scans")??;
        let balance = set.balance();
        // ln(1 + exp(-x)) of the logit for the true label.
        let loss = |(scan, &logit): (&StoredScan, &f64)| {
            let right = if scan.covid { logit } else { -logit };
            balance[usize::from(scan.covid)] * ((-right.abs()).exp().ln_1p() + (-right).max(0.0))
        };
        let loss = set.scans.iter().zip(logits).map(loss).sum::<f64>() / set.scans.len() as f64;
        Ok(Self { auc, loss })
    }

    /// Whether scans are ranked better, or as well with a smaller loss.
    pub(crate) fn better_than(self, other: Self) -> bool {
        self.auc > other.auc || (self.auc == other.auc && self.loss < other.loss)
    }
}
