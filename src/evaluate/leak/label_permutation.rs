//! The slices that take part in the probe, and the labels and test set of each repetition (a permutation test).

use crate::base::errors::{Result, ensure};
use crate::data::cache::spread;
use crate::data::manifest::{Label, Manifest, Set};
use crate::data::split::SplitUnit;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// The fewest slices of a scan: with fewer there are no neighbouring slices that could leak.
pub(super) const LEAST_SLICES: usize = 4;
/// The fewest patients of each label: one in five is tested, and balanced accuracy needs both labels in the test set.
const LEAST_PATIENTS: usize = 5;

/// The most patients of each label and slices of each scan: enough for narrow intervals, and minutes on any data.
pub(super) const MOST_PATIENTS: usize = 60;
pub(super) const MOST_SLICES: usize = 24;

/// The slices that take part, the same for both splits and both kinds of labels.
#[derive(Debug)]
pub(super) struct Participants {
    /// Indices of slices in the manifest.
    pub(super) slices: Vec<usize>,
    /// The patient of each of these slices, counted from 0.
    pub(super) patients: Vec<usize>,
    /// The true label of each patient.
    pub(super) covid: Vec<bool>,
    pub(super) scans: usize,
}

/// One repetition: the labels of the patients, and indices into [`Participants::slices`].
#[derive(Debug, PartialEq)]
pub(super) struct Repetition {
    pub(super) covid: Vec<bool>,
    pub(super) training: Vec<usize>,
    pub(super) test: Vec<usize>,
}

impl Participants {
    /// Labelled scans of `train/` with at least [`LEAST_SLICES`] slices, of patients with a single label. At most
    /// [`MOST_PATIENTS`] patients of each label are drawn with `seed`, and of each scan at most [`MOST_SLICES`] slices
    /// are taken at even distances.
    pub(super) fn of(manifest: &Manifest, seed: u64) -> Result<Self> {
        let (of_scans, patient_of) = (manifest.slices_by_scan(), manifest.patient_of_scans());
        let takes_part = |&scan: &usize| manifest.scans[scan].set == Set::Train && of_scans[scan].len() >= LEAST_SLICES;
        let mut of_patients: BTreeMap<u32, Vec<(usize, Label)>> = BTreeMap::new();
        for scan in (0..of_scans.len()).filter(takes_part) {
            if let Some(label) = manifest.scans[scan].label {
                of_patients.entry(patient_of[scan]).or_default().push((scan, label));
            }
        }
        of_patients.retain(|_, scans| scans.iter().all(|scan| scan.1 == scans[0].1));
        for label in Label::ALL {
            let mut all: Vec<u32> = of_patients.iter().filter(|(_, s)| s[0].1 == label).map(|(p, _)| *p).collect();
            all.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
            all.iter().skip(MOST_PATIENTS).for_each(|patient| _ = of_patients.remove(patient));
        }
        let mut participants = Self { slices: Vec::new(), patients: Vec::new(), covid: Vec::new(), scans: 0 };
        for (patient, scans) in of_patients.into_values().enumerate() {
            participants.covid.push(scans[0].1 == Label::Covid);
            participants.scans += scans.len();
            let slices = scans.iter().flat_map(|&(scan, _)| spread(&of_scans[scan], MOST_SLICES));
            participants.slices.extend(slices);
            participants.patients.resize(participants.slices.len(), patient);
        }
        let covid = participants.covid.iter().filter(|&&covid| covid).count();
        let other = participants.covid.len() - covid;
        ensure!(
            covid.min(other) >= LEAST_PATIENTS,
            "expected {LEAST_PATIENTS} patients or more of each label with scans of {LEAST_SLICES} slices in train/, \
             found {covid} covid and {other} non-covid"
        );
        Ok(participants)
    }

    /// The labels of one repetition, true or permuted among the patients (the number of each label stays), and its test
    /// set: a share of each label's slices, or of each label's patients with all their slices. The labels depend on
    /// `seed` and `repeat` only, not on `unit`.
    ///
    /// Because both parts hold the same share of each label, permuted labels of test patients are independent of those
    /// of training patients: the expected balanced accuracy is one half.
    pub(super) fn repetition(&self, unit: SplitUnit, shuffled: bool, share: f64, seed: u64, repeat: u64) -> Repetition {
        let stream = |number: u64| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(3 * repeat + number);
            rng
        };
        let mut covid = self.covid.clone();
        if shuffled {
            covid.shuffle(&mut stream(1));
        }
        let is_test = self.test_set(unit, &covid, share, &mut stream(2));
        let part = |test: bool| (0..is_test.len()).filter(|&i| is_test[i] == test).collect();
        Repetition { covid, training: part(false), test: part(true) }
    }

    /// Whether each slice is in the test set, which is stratified by label.
    fn test_set(&self, unit: SplitUnit, covid: &[bool], share: f64, rng: &mut ChaCha8Rng) -> Vec<bool> {
        let mut is_test = vec![false; self.slices.len()];
        for label in [true, false] {
            match unit {
                SplitUnit::Slice => {
                    let of_label = (0..self.slices.len()).filter(|&i| covid[self.patients[i]] == label).collect();
                    drawn(of_label, share, rng).into_iter().for_each(|i| is_test[i] = true);
                }
                SplitUnit::Patient => {
                    let of_label = (0..covid.len()).filter(|&patient| covid[patient] == label).collect();
                    let tested = drawn(of_label, share, rng);
                    let slices = is_test.iter_mut().zip(&self.patients);
                    slices.for_each(|(test, patient)| *test |= tested.contains(patient));
                }
            }
        }
        is_test
    }
}

/// Draws a share of `all` without replacement: at least one, and at least one is left.
fn drawn(mut all: Vec<usize>, share: f64, rng: &mut ChaCha8Rng) -> Vec<usize> {
    all.shuffle(rng);
    let most = all.len().saturating_sub(1);
    all.truncate(((share * all.len() as f64).round() as usize).clamp(1.min(most), most));
    all
}

/// Balanced accuracy, 0 to 1: the mean over the two labels of their recall; 0.5 for a constant or random decision.
/// `None` unless both labels occur in `truth`.
pub(super) fn balanced(truth: &[bool], decided: &[bool]) -> Option<f64> {
    let recall = |label: bool| {
        let of_label = || truth.iter().zip(decided).filter(move |(truth, _)| **truth == label);
        let (right, all) = (of_label().filter(|(truth, decided)| truth == decided).count(), of_label().count());
        (all > 0).then(|| right as f64 / all as f64)
    };
    Some((recall(true)? + recall(false)?) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `covid` and `other` patients with 5 to 9 slices each.
    fn eligible(covid: usize, other: usize) -> Participants {
        let patients: Vec<usize> = (0..covid + other).flat_map(|patient| vec![patient; 5 + patient % 5]).collect();
        let labels = (0..covid + other).map(|patient| patient < covid).collect();
        Participants { slices: (0..patients.len()).collect(), patients, covid: labels, scans: covid + other }
    }

    #[test]
    fn both_parts_hold_their_share_and_patients_stay_whole() {
        let eligible = eligible(15, 25);
        for (shuffled, repeat) in [(false, 0), (true, 0), (true, 7)] {
            let of_patients = eligible.repetition(SplitUnit::Patient, shuffled, 0.2, 1, repeat);
            let of_slices = eligible.repetition(SplitUnit::Slice, shuffled, 0.2, 1, repeat);
            assert_eq!(of_patients.covid, of_slices.covid, "the same labels in both");
            assert_eq!(of_patients.covid == eligible.covid, !shuffled);
            assert_eq!(of_patients.covid.iter().filter(|&&covid| covid).count(), 15);
            let tested: std::collections::BTreeSet<usize> =
                of_patients.test.iter().map(|&i| eligible.patients[i]).collect();
            assert_eq!(tested.iter().filter(|&&p| of_patients.covid[p]).count(), 3);
            assert_eq!(tested.len(), 3 + 5);
            assert!(of_patients.training.iter().all(|&i| !tested.contains(&eligible.patients[i])));
            for repetition in [&of_patients, &of_slices] {
                let mut all = [&repetition.training[..], &repetition.test].concat();
                all.sort_unstable();
                assert_eq!(all, (0..eligible.slices.len()).collect::<Vec<_>>(), "every slice, once");
            }
        }
        let repetition = |repeat| eligible.repetition(SplitUnit::Slice, true, 0.2, 1, repeat);
        assert_eq!(repetition(3), repetition(3));
        assert_ne!(repetition(3).covid, repetition(4).covid);
    }

    /// A nearest-neighbour classifier over the patients' numbers, as similar images are neighbours: its expected
    /// balanced accuracy is one half by patient, and one by slice.
    #[test]
    fn the_label_of_the_nearest_neighbour_is_chance_by_patient_and_certain_by_slice() {
        let eligible = eligible(6, 6);
        let score = |unit| {
            let repeats = 4_000;
            let one = |repeat| {
                let repetition = eligible.repetition(unit, true, 0.2, 5, repeat);
                let of = |i: &usize| eligible.patients[*i];
                let nearest = |i: &usize| repetition.training.iter().map(of).min_by_key(|p| (p.abs_diff(of(i)), *p));
                let truth: Vec<bool> = repetition.test.iter().map(|i| repetition.covid[of(i)]).collect();
                let decided: Vec<bool> =
                    repetition.test.iter().map(|i| nearest(i).is_some_and(|p| repetition.covid[p])).collect();
                balanced(&truth, &decided).expect("both labels are tested")
            };
            (0..repeats).map(one).sum::<f64>() / repeats as f64
        };
        let (by_patient, by_slice) = (score(SplitUnit::Patient), score(SplitUnit::Slice));
        // Two patients a test: a standard deviation of at most 0.5, of the mean of 4,000 at most 0.008.
        assert!((by_patient - 0.5).abs() < 0.025, "{by_patient}");
        assert!(by_slice > 0.99, "{by_slice}");
    }

    #[test]
    fn balanced_accuracy_by_hand() {
        assert_eq!(balanced(&[true, true, true, false], &[true, true, false, false]), Some((2.0 / 3.0 + 1.0) / 2.0));
        assert_eq!(balanced(&[true; 3], &[true; 3]), None);
        assert_eq!(balanced(&[true, false, false], &[true; 3]), Some(0.5));
    }
}
