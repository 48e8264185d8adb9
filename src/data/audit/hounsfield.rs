//! Volumes and series whose values cannot be those of a chest CT in Hounsfield units, and what they probably are.

use super::{Check, Finding, Inspection};
use crate::data::manifest::{Manifest, Scan};
use crate::stats::median::upper_median;

/// The lowest value of a chest CT in HU lies well below this: there is air around and in the patient.
const AIR: f32 = -300.0;

/// Soft tissue is brighter than this level of the window of the lungs, in which it is seen at 235.
const TISSUE: u8 = 110;
/// Padding outside of the field of view may be lower than air; this is what air becomes when 1024 are taken off once more.
const BELOW_AIR: f32 = -1500.0;

/// The share of a slice that is white in the window of the lungs, where all of a body is 1024 too high; of one whose values below 0
/// were cut off only bone is.
const BODY: f32 = 0.2;

/// The highest value of a chest CT with a body in it, 1024 too high, is above this: water is at 1024.
const WATER: f32 = 1040.0;
/// Where the sign of values of 13 to 16 bits was lost, the highest lies this near below a power of two: it is a value just below 0.
const NEAR_A_POWER: f32 = 64.0;

/// Values of 13 to 16 bits of which those below 0 were read as very high ones. Of 12 bits 4095 is the usual highest value.
fn sign_is_lost((low, high): (f32, f32)) -> bool {
    low >= 0.0 && (13..=16).map(|bits| 2_f32.powi(bits)).any(|end| high < end && end - high <= NEAR_A_POWER)
}

/// Why values cannot be those of a chest CT in HU, and what they probably are; with the tissue's level and the white share in the
/// window of the lungs.
fn not_in_hounsfield((low, high): (f32, f32), tissue: Option<u8>, white: Option<f32>) -> Option<&'static str> {
    Some(match () {
        () if low < BELOW_AIR && tissue.is_some_and(|level| level < TISSUE) => {
            "soft tissue as dark as air, so 1024 were probably taken off twice (an intercept applied to Hounsfield units): add 1024"
        }
        () if low <= AIR => return None,
        () if low >= 0.0 && high <= 1.0 => {
            "scaled to 0 to 1, or a mask, so not Hounsfield units: save the scan before it was scaled, or its slices as PNG"
        }
        () if low.abs() < 20.0 && high < 20.0 && low < 0.0 => {
            "standardised, so not Hounsfield units: save the scan before that, or its slices as PNG"
        }
        () if low >= 0.0 && high <= 255.0 && high > 100.0 => {
            "8 bits, through a window that is not known, so not Hounsfield units: save the scan before that, or its slices as PNG"
        }
        () if low == 0.0 && high > 300.0 && high < 8000.0 && white.is_some_and(|share| share < BODY) => {
            "all below 0 was probably cut off, so air, lungs and fat cannot be told apart: export the scan again with negative values"
        }
        () if sign_is_lost((low, high)) => {
            "no air, and values up to a power of two: those below 0 probably lost their sign in a conversion (or were scaled to all \
             values of so many bits); convert the scanner's files again by another program"
        }
        () if low >= 0.0 && high > WATER && high < 8000.0 => {
            "no air: Hounsfield units + 1024 whose intercept was lost (take 1024 off), or another modality"
        }
        () if low < -20.0 && high > 20.0 => {
            "probably cut off at the lowest value, so air, lungs and perhaps fat cannot be told apart: export the scan again with all values"
        }
        () => "no air, so no chest CT in Hounsfield units (a mask, or another modality?)",
    })
}

/// Volumes and series without air: no chest CT, or not in Hounsfield units.
pub(super) fn without_air(manifest: &Manifest, looked: &[Inspection]) -> Vec<Finding> {
    let finding = |(scan, slices): (&Scan, Vec<usize>)| {
        let mut range = (f32::INFINITY, f32::NEG_INFINITY);
        for (low, high) in slices.iter().filter_map(|&slice| looked[slice].range) {
            range = (range.0.min(low), range.1.max(high));
        }
        let tissue = slices.iter().filter_map(|&slice| looked[slice].shape.as_ref()?.tissue).collect();
        let white = slices.iter().filter_map(|&slice| Some(looked[slice].quality?.saturated)).collect();
        let why = not_in_hounsfield(range, upper_median(tissue, u8::cmp), upper_median(white, f32::total_cmp))?;
        let detail = format!("values from {} to {}: {why}", range.0, range.1);
        range.0.is_finite().then(|| Finding { check: Check::NotCt, path: scan.folder.clone(), detail, with: None })
    };
    manifest.scans.iter().zip(manifest.slices_by_scan()).filter_map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_not_hounsfield_units_are_told_by_their_range() {
        let told = |low: f32, high: f32, tissue: u8| {
            let why = not_in_hounsfield((low, high), Some(tissue), None).unwrap_or("");
            why.split([',', ':']).next().unwrap_or_default()
        };
        // Air, with and without padding.
        assert_eq!([told(-1024.0, 3071.0, 235), told(-3024.0, 1500.0, 235)], [""; 2]);
        assert_eq!(told(-2048.0, 1952.0, 60), "soft tissue as dark as air");
        assert_eq!(told(0.0, 1.0, 230), "scaled to 0 to 1");
        assert_eq!(told(-0.7, 7.6, 230), "standardised");
        assert_eq!(told(0.0, 255.0, 240), "8 bits");
        assert_eq!(told(0.0, 4095.0, 255), "no air");
        let said = |range, white| not_in_hounsfield(range, None, white).unwrap_or("");
        assert!(said((0.0, 4095.0), None).contains("take 1024 off") && said((0.0, 4095.0), Some(0.6)).contains("1024"));
        assert!(said((0.0, 3071.0), Some(0.04)).contains("below 0 was probably cut off"));
        assert!(said((0.0, 30_000.0), Some(0.04)).contains("another modality"));
        for (low, high) in [(2.0, 65533.0), (0.0, 8191.0), (0.0, 16380.0), (7.0, 32767.0)] {
            assert!(said((low, high), None).contains("lost their sign"), "{high}");
        }
        assert!(said((-200.0, 150.0), None).contains("probably cut off at the lowest value"));
        assert!(said((0.0, 1174.0), Some(0.6)).contains("take 1024 off"));
        assert!(!said((0.0, 4095.0), None).contains("sign") && !said((0.0, 8000.0), None).contains("sign"));
        assert!(said((100.0, 900.0), None).contains("another modality"));
    }
}
