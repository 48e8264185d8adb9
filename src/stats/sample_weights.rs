//! Weights of samples that make patients, labels and sources count alike.

use crate::base::errors::{Result, ensure};
use std::collections::BTreeMap;

/// A weight for each sample (slice), with mean 1:
///
/// - each patient counts once: its samples share 1;
/// - within a source the two labels count alike, so that the source says nothing about the label and is no shortcut to it;
/// - each source counts as much as it has patients. Sources that counted alike would give a few patients of a small source
///   the weight of all those of a large one.
///
/// Of a source with one label its patients count once each: labels are then not balanced over all, and the source does tell
/// the label; no weights can change that.
///
/// Samples without a source are one more source. A patient with samples of both labels or of several sources has a part
/// in each, by the number of samples there.
///
/// # Errors
/// Lists of different lengths.
pub(crate) fn balanced_weights<P: Ord, S: Ord>(
    covid: &[bool],
    patients: &[P],
    sources: &[Option<S>],
) -> Result<Vec<f64>> {
    let samples = covid.len();
    ensure!(
        patients.len() == samples && sources.len() == samples,
        "weighting samples: {samples} labels but {} patients and {} sources",
        patients.len(),
        sources.len()
    );
    let mut of_patient: BTreeMap<&P, f64> = BTreeMap::new();
    patients.iter().for_each(|patient| *of_patient.entry(patient).or_default() += 1.0);
    let cells: Vec<(&Option<S>, bool)> = sources.iter().zip(covid).map(|(source, covid)| (source, *covid)).collect();
    // How many patients a label of a source has.
    let mut held: BTreeMap<(&Option<S>, bool), f64> = BTreeMap::new();
    for (cell, patient) in cells.iter().zip(patients) {
        *held.entry(*cell).or_default() += 1.0 / of_patient[patient];
    }
    // Patients and labels of a source.
    let mut of_source: BTreeMap<&Option<S>, (f64, f64)> = BTreeMap::new();
    for ((source, _), patients) in &held {
        let (sum, labels) = of_source.entry(source).or_default();
        (*sum, *labels) = (*sum + patients, *labels + 1.0);
    }
    // The mean is 1.
    let each = samples as f64 / of_patient.len().max(1) as f64;
    let weight = |(cell, patient): (&(&Option<S>, bool), &P)| {
        let (of_all, labels) = of_source[cell.0];
        each * of_all / labels / held[cell] / of_patient[patient]
    };
    Ok(cells.iter().zip(patients).map(weight).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: &[f64], expected: &[f64]) {
        let same = found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(same, "found {found:?}, expected {expected:?}");
    }

    #[test]
    fn patients_and_the_labels_of_a_source_count_alike() {
        // Source a: covid patients 1 (two slices) and 2 (one), other patient 3 (one). Source b: covid patient 4 (one),
        // other patient 5 (three). 8 slices of 5 patients, 1.6 each: the labels of a share 4.8, those of b 3.2.
        let covid = [true, true, true, false, true, false, false, false];
        let patients = [1, 1, 2, 3, 4, 5, 5, 5];
        let sources = ["a", "a", "a", "a", "b", "b", "b", "b"].map(Some);
        let weights = balanced_weights(&covid, &patients, &sources).expect("weights");
        let third = 1.6 / 3.0;
        close(&weights, &[0.6, 0.6, 1.2, 2.4, 1.6, third, third, third]);
    }

    #[test]
    fn patients_of_a_source_with_one_label_count_once_each() {
        let (covid, sources) = ([true, false, true, true, true], ["a", "a", "b", "b", "b"].map(Some));
        let weights = balanced_weights(&covid, &[1, 2, 3, 4, 4], &sources).expect("weights");
        close(&weights, &[1.25, 1.25, 1.25, 0.625, 0.625]);
    }

    #[test]
    fn without_sources_labels_are_balanced_and_a_patient_of_both_labels_counts_once() {
        // Patient 1 is half covid, half not: 1 1/2 covid patients and 1/2 other.
        let weights = balanced_weights(&[true, false, true], &["1", "1", "2"], &[None::<&str>; 3]).expect("weights");
        close(&weights, &[0.5, 1.5, 1.0]);
        close(&balanced_weights::<u32, u32>(&[], &[], &[]).expect("none"), &[]);
        let error = balanced_weights(&[true], &[1, 2], &[None::<u32>]).expect_err("lengths").to_string();
        assert_eq!(error, "weighting samples: 1 labels but 2 patients and 1 sources");
    }
}
