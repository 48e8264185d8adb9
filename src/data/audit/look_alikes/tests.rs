//! Groups of scans that look alike, planted among descriptors.

use super::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

type Frequencies = [f32; DESCRIPTOR];

fn drawn(rng: &mut ChaCha8Rng) -> Frequencies {
    std::array::from_fn(|k| (0..12).map(|_| rng.r#gen::<f32>() - 0.5).sum::<f32>() / (1.0 + k as f32 / 4.0))
}

/// A slice between the patient's lowest (height 0) and highest (1), with some noise.
fn descriptor([low, high]: &[Frequencies; 2], height: f32, noise: f32, rng: &mut ChaCha8Rng) -> Descriptor {
    let noise = drawn(rng).map(|value| noise * value);
    let (sin, cos) = (std::f32::consts::FRAC_PI_2 * height).sin_cos();
    let mixed: Frequencies = std::array::from_fn(|k| low[k] * cos + high[k] * sin + noise[k]);
    let length = mixed.iter().map(|value| value * value).sum::<f32>().sqrt();
    Descriptor::packed(&mixed.map(|value| value / length))
}

/// Scans of `slices` slices each, of the patients and with the labels that are given.
fn pairs_of(scans: &[(usize, Option<Label>)], slices: usize, noise: f32) -> Vec<ScanPair> {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let patients = 1 + scans.iter().map(|(patient, _)| *patient).max().unwrap_or_default();
    let patients: Vec<[Frequencies; 2]> = (0..patients).map(|_| [drawn(&mut rng), drawn(&mut rng)]).collect();
    let descriptors: Vec<Descriptor> = scans
        .iter()
        .flat_map(|(patient, _)| (0..slices).map(|slice| (*patient, slice as f32 / slices as f32)))
        .map(|(patient, height)| descriptor(&patients[patient], height, noise, &mut rng))
        .collect();
    let labels: Vec<Option<Label>> = scans.iter().map(|scan| scan.1).collect();
    pairs_of_slices(&labels, &descriptors)
}

/// The pairs of scans with these labels, each with as many of the slices, in their order.
fn pairs_of_slices(labels: &[Option<Label>], descriptors: &[Descriptor]) -> Vec<ScanPair> {
    let candidate = |(index, descriptor): (usize, _)| {
        let scan = index * labels.len() / descriptors.len();
        Candidate { slice: index as u32, scan: scan as u32, label: labels[scan], descriptor }
    };
    pairs_of_scans(&descriptors.iter().enumerate().map(candidate).collect::<Vec<_>>(), &[])
}

/// The groups that pairs join, without scans of no pair.
fn groups(pairs: &[ScanPair]) -> BTreeSet<BTreeSet<usize>> {
    let mut groups: Vec<BTreeSet<usize>> = Vec::new();
    for pair in pairs {
        let both = BTreeSet::from([pair.first, pair.second]);
        let (touched, rest): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| !group.is_disjoint(&both));
        groups = rest;
        groups.push(touched.into_iter().flatten().chain(both).collect());
    }
    groups.into_iter().collect()
}

#[test]
fn every_group_is_joined_and_every_doubtful_label_is_named() {
    let labels = [Some(Label::Covid), Some(Label::NonCovid), None];
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    // Up to six scans of a patient, and of some patients but one label.
    let mut scans: Vec<(usize, Option<Label>)> = Vec::new();
    for patient in 0..40 {
        let label = |scan: usize| if patient % 3 == 0 { labels[0] } else { labels[(patient + scan) % 3] };
        scans.extend((0..1 + patient % 6).map(|scan| (patient, label(scan))));
        let at = rng.gen_range(0..scans.len());
        scans.swap(at, patient);
    }
    let pairs = pairs_of(&scans, 5, 0.02);
    let of_patient = |patient| (0..scans.len()).filter(|&scan| scans[scan].0 == patient).collect::<BTreeSet<usize>>();
    let planted: BTreeSet<_> = (0..40).map(of_patient).filter(|scans| scans.len() > 1).collect();
    assert_eq!(groups(&pairs), planted);
    let in_doubt =
        |group: &&BTreeSet<usize>| labels[..2].iter().all(|label| group.iter().any(|&s| scans[s].1 == *label));
    let expected: BTreeSet<usize> =
        planted.iter().filter(in_doubt).flatten().copied().filter(|&scan| scans[scan].1.is_some()).collect();
    let conflicts = || pairs.iter().filter(|pair| pair.in_conflict);
    assert_eq!(conflicts().flat_map(|pair| [pair.first, pair.second]).collect::<BTreeSet<_>>(), expected);
    for pair in &pairs {
        let (a, b) = (scans[pair.first].1, scans[pair.second].1);
        assert_eq!(pair.in_conflict, a.is_some() && b.is_some() && a != b);
        assert_eq!(pair.group, of_patient(scans[pair.first].0).len());
        assert!(pair.first < pair.second && pair.matched * 5 >= 2 * pair.of && pair.of == 5, "{pair:?}");
    }
}

#[test]
fn findings_grow_with_the_scans_and_not_with_their_pairs() {
    let label = |scan: usize| Some(if scan < 600 { Label::Covid } else { Label::NonCovid });
    let mixed: Vec<_> = (0..1200).map(|scan| (0, label(scan))).collect();
    let pairs = pairs_of(&mixed, 2, 0.02);
    assert_eq!(groups(&pairs), BTreeSet::from([(0..1200).collect()]));
    assert!(pairs.len() < 2 * 1200 && pairs.iter().all(|pair| pair.group == 1200), "{}", pairs.len());
    let doubted = pairs.iter().filter(|pair| pair.in_conflict).flat_map(|pair| [pair.first, pair.second]);
    assert_eq!(doubted.collect::<BTreeSet<_>>().len(), 1200);
    // Of one label and all equal, the first is enough for each.
    let equal: Vec<_> = (0..1200).map(|_| (0, Some(Label::Covid))).collect();
    let pairs = pairs_of(&equal, 2, 0.0);
    let expected: Vec<(usize, usize)> = (1..1200).map(|scan| (0, scan)).collect();
    assert_eq!(pairs.iter().map(|pair| (pair.first, pair.second)).collect::<Vec<_>>(), expected);
}

#[test]
fn inverted_scans_of_different_patients_are_not_alike_because_both_are_inverted() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let usual = drawn(&mut rng);
    let mut patient = || {
        let of_patient = |own: Frequencies| std::array::from_fn(|k| usual[k] + 0.5 * own[k]);
        [drawn(&mut rng), drawn(&mut rng)].map(of_patient)
    };
    let mut patients: Vec<[Frequencies; 2]> = (0..300).map(|_| patient()).collect();
    // The last ten are inverted, and the last of them comes again.
    patients[290..].iter_mut().flatten().flatten().for_each(|value| *value = -*value);
    patients.push(patients[299]);
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let slices = |patient| [0.0, 0.2, 0.4, 0.6, 0.8].map(|height| descriptor(patient, height, 0.02, &mut rng));
    let descriptors: Vec<Descriptor> = patients.iter().flat_map(slices).collect();
    let pairs = pairs_of_slices(&vec![None; patients.len()], &descriptors);
    assert_eq!(pairs.iter().map(|pair| (pair.first, pair.second)).collect::<Vec<_>>(), [(299, 300)]);
}

#[test]
fn a_turned_copy_of_some_slices_is_found() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    // A chest's left half is much like its right one.
    let one_half = drawn(&mut rng);
    let mirrored = symmetry::Symmetry::number(2).frequencies(&one_half);
    let usual: Frequencies = std::array::from_fn(|k| one_half[k] + mirrored[k]);
    let mut patient = || {
        let of_patient = |own: Frequencies| std::array::from_fn(|k| usual[k] + 0.5 * own[k]);
        [drawn(&mut rng), drawn(&mut rng)].map(of_patient)
    };
    let patients: Vec<[Frequencies; 2]> = (0..100).map(|_| patient()).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let heights = |step: usize| (0..30).step_by(step).map(|slice| slice as f32 / 30.0);
    let mut labels = vec![Some(Label::Covid); 100];
    let mut slices: Vec<(usize, Descriptor)> = Vec::new();
    for (scan, patient) in patients.iter().enumerate() {
        slices.extend(heights(1).map(|height| (scan, descriptor(patient, height, 0.02, &mut rng))));
    }
    // Every third slice of patient 40, mirrored and inverted, in reverse, with the other label; two of patient 50, too few to say.
    let mirrored_and_inverted = symmetry::Symmetry::number(3);
    let mut copy = |scan: usize, of: usize, heights: &[f32]| {
        let turned = |height: &f32| {
            let values = descriptor(&patients[of], *height, 0.02, &mut rng).values();
            (scan, Descriptor::packed(&mirrored_and_inverted.frequencies(&values)))
        };
        slices.extend(heights.iter().map(turned));
    };
    copy(100, 40, &heights(3).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>());
    copy(101, 50, &[0.2, 0.5]);
    labels.extend([Some(Label::NonCovid); 2]);
    let mut candidates = Vec::new();
    for (slice, (scan, descriptor)) in (0..).zip(&slices) {
        candidates.push(Candidate { slice, scan: *scan as u32, label: labels[*scan], descriptor });
    }
    let pairs = pairs_of_scans(&candidates, &[]);
    let found: Vec<_> =
        pairs.iter().map(|pair| (pair.first, pair.second, pair.in_conflict, pair.how.join("; "))).collect();
    assert_eq!(found, [(40, 100, true, "mirrored, inverted".to_owned())]);
}
