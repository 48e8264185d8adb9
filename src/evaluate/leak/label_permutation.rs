//! What takes part, and how labels and subsets are repetition.

use crate::data::cache::spread;
use crate::data::manifest::{Label, Manifest, Set};
use crate::data::split::SplitUnit;
use anyhow::{Result, ensure};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// Scans with fewer slices have no neighbours that could leak.
pub(super) const LEAST_SLICES: usize = 4;
/// Patients of each label, at the least: one in five is tested, and chance needs some of both.
const LEAST_PATIENTS: usize = 5;

/// Patients of each label, and slices of each scan, at the most: enough to measure with, and minutes on any data.
pub(super) const MOST_PATIENTS: usize = 60;
pub(super) const MOST_SLICES: usize = 24;

/// The slices that take part, the same in all ways to train and test.
#[derive(Debug)]
pub(super) struct Participants {
    /// Their numbers in the manifest.
    pub(super) slices: Vec<usize>,
    /// For each of them its patient, counted from 0.
    pub(super) patients: Vec<usize>,
    /// For each patient the true label.
    pub(super) covid: Vec<bool>,
    pub(super) scans: usize,
}

/// One repetition: labels of patients, and places in [`Participants::slices`].
#[derive(Debug, PartialEq)]
pub(super) struct Repetition {
    pub(super) covid: Vec<bool>,
    pub(super) training: Vec<usize>,
    pub(super) test: Vec<usize>,
}

impl Participants {
    /// Labelled scans of `train/` with four slices or more, of patients with one label: of many patients some, drawn with
    /// `seed`, and of many slices some at even distances.
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
        let mut found = Self { slices: Vec::new(), patients: Vec::new(), covid: Vec::new(), scans: 0 };
        for (patient, scans) in of_patients.into_values().enumerate() {
            found.covid.push(scans[0].1 == Label::Covid);
            found.scans += scans.len();
            let slices = scans.iter().flat_map(|&(scan, _)| spread(&of_scans[scan], MOST_SLICES));
            found.slices.extend(slices);
            found.patients.resize(found.slices.len(), patient);
        }
        let covid = found.covid.iter().filter(|&&covid| covid).count();
        let other = found.covid.len() - covid;
        ensure!(
            covid.min(other) >= LEAST_PATIENTS,
            "expected {LEAST_PATIENTS} patients or more of each label with scans of {LEAST_SLICES} slices in train/, found \
             {covid} covid and {other} non-covid"
        );
        Ok(found)
    }

    /// Labels, true or dealt out anew among the patients (as many of each as before), and a test set: a share of each
    /// label's slices, or of each label's patients with all their slices. Seed and repetition decide the labels, whatever is
    /// kept together.
    ///
    /// Given that both parts hold their share of each label, shuffled labels of test patients are independent of those of
    /// training patients. That makes chance one half.
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
        let mut rng = stream(2);
        let mut is_test = vec![false; self.slices.len()];
        for label in [true, false] {
            match unit {
                SplitUnit::Slice => {
                    let of_label = (0..self.slices.len()).filter(|&i| covid[self.patients[i]] == label).collect();
                    drawn(of_label, share, &mut rng).into_iter().for_each(|i| is_test[i] = true);
                }
                SplitUnit::Patient => {
                    let of_label = (0..covid.len()).filter(|&patient| covid[patient] == label).collect();
                    let tested = drawn(of_label, share, &mut rng);
                    let mut all = is_test.iter_mut().zip(&self.patients);
                    all.by_ref().for_each(|(test, patient)| *test |= tested.contains(patient));
                }
            }
        }
        let part = |test: bool| (0..is_test.len()).filter(|&i| is_test[i] == test).collect();
        Repetition { covid, training: part(false), test: part(true) }
    }
}

/// A share of them, at least one, and at least one is left.
fn drawn(mut all: Vec<usize>, share: f64, rng: &mut ChaCha8Rng) -> Vec<usize> {
    all.shuffle(rng);
    let most = all.len().saturating_sub(1);
    all.truncate(((share * all.len() as f64).round() as usize).clamp(1.min(most), most));
    all
}

/// The mean over the two labels of the share of decisions that are right: 0.5 for a guess, whatever the shares. `None`
/// without decisions of both labels.
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
        let deal = |repeat| eligible.repetition(SplitUnit::Slice, true, 0.2, 1, repeat);
        assert_eq!(deal(3), deal(3));
        assert_ne!(deal(3).covid, deal(4).covid);
    }

    /// A learner that knows no patient but the nearest in number, as an image knows its neighbours in looks, must come
    /// out at one half by patient, and at one by slice.
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
