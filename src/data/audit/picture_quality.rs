//! Slices that are less sharp, or brighter, than the others.

use super::picture_kinds::Quality;
use super::{Check, Finding, Inspection};
use crate::data::manifest::Manifest;
use crate::stats::median::upper_median;

/// A slice is compared with its scan where that has this many, else with the data set.
const ENOUGH: usize = 5;
/// Blurred: below this, and below half of the others' median. Of 1,968 real slices none is below 0.106; blurred by a
/// Gaussian of 3 pixels, they are at 0.016 to 0.098.
const BLURRED: f32 = 0.1;

/// Blurred slices, and those with much more white than their scan.
pub(super) fn quality_findings(manifest: &Manifest, looked: &[Inspection]) -> Vec<Finding> {
    let of_slice = |slice: &usize| looked[*slice].quality.filter(|_| looked[*slice].shows_something());
    let usual = medians((0..looked.len()).filter_map(|slice| of_slice(&slice)).collect());
    let mut found = Vec::new();
    for (scan, slices) in manifest.scans.iter().zip(manifest.slices_by_scan()) {
        let of_scan: Vec<Quality> = slices.iter().filter_map(of_slice).collect();
        let is_enough = of_scan.len() >= ENOUGH;
        let count = of_scan.len();
        let others = if is_enough { medians(of_scan) } else { usual };
        let whole = others.zip(usual).filter(|((own, _), (usual, _))| *own < BLURRED && *own < usual / 2.0);
        if let Some(((own, _), (usual, _))) = whole {
            let detail = format!(
                "the whole scan: sharpness {own:.3} (median of {count} slices), the data set's median is {usual:.3}"
            );
            found.push(Finding { check: Check::Blurred, path: scan.folder.clone(), detail, with: None });
        }
        for slice in slices {
            let Some((quality, (sharpness, saturated))) = of_slice(&slice).zip(others) else { continue };
            let mut add = |check, detail| {
                let path = manifest.path(&manifest.slices[slice]);
                found.push(Finding { check, path, detail, with: None });
            };
            if whole.is_none() && quality.sharpness < BLURRED && quality.sharpness < sharpness / 2.0 {
                add(
                    Check::Blurred,
                    format!("sharpness {:.3}, the others' median is {sharpness:.3}", quality.sharpness),
                );
            }
            // In some windows much of every slice is white.
            let is_white = is_enough && saturated <= 0.05 && quality.saturated >= 0.35;
            if is_white && quality.overexposed().is_none() {
                let [white, others] = [quality.saturated, saturated].map(|share| 100.0 * share);
                add(Check::Overexposed, format!("{white:.0} % of the pixels are white, in its scan {others:.0} %"));
            }
        }
    }
    found
}

/// Medians of sharpness and of the white share; `None` of nothing.
fn medians(of: Vec<Quality>) -> Option<(f32, f32)> {
    let median = |value: fn(&Quality) -> f32| upper_median(of.iter().map(value).collect(), f32::total_cmp);
    median(|of| of.sharpness).zip(median(|of| of.saturated))
}
