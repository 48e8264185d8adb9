//! Finds volumes that a data set holds twice.

use super::close::parted;
use super::said;
use super::stack::{Common, LIKENESS, SAME_PLACE, Stack, likeness};
use crate::data::dicom::DicomHeader;
use std::collections::BTreeMap;

/// Two series of one study that show the same volume. Of three, the second and third are each paired with the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Repeated {
    /// Index of the series.
    pub(crate) first: usize,
    /// Index of the later one.
    pub(crate) second: usize,
    /// Whether it is a copy or another reconstruction.
    pub(crate) detail: String,
}

/// The pairs of stacks with the same positions, direction, matrix and pixel spacing in one study, ascending.
///
/// Stacks without positions or without a study are left out: nothing tells whether they are the same.
pub(super) fn repeated(stacks: &[Stack]) -> Vec<Repeated> {
    let mut alike: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (index, stack) in stacks.iter().enumerate().filter(|(_, stack)| stack.placed()) {
        let header = stack.header();
        if let Some(study) = said(&header.study) {
            let key = (study, said(&header.patient_id), Common::but_kernel(header), stack.slices.len());
            alike.entry(key).or_default().push(index);
        }
    }
    let mut pairs = Vec::new();
    for ((.., slices), group) in alike {
        for mut same in parted(group, LIKENESS + 3 + slices, |&index, number| coordinate(&stacks[index], number)) {
            same.sort_unstable();
            let later = same.iter().skip(1);
            pairs.extend(later.map(|&second| pair(stacks, same[0], second)));
        }
    }
    pairs.sort_by_key(|pair| (pair.first, pair.second));
    pairs
}

/// All numbers that are equal in equal volumes, in units of their tolerance.
fn coordinate(stack: &Stack, number: usize) -> f64 {
    match number.checked_sub(LIKENESS) {
        None => likeness(stack.header())[number],
        Some(axis) if axis < 3 => stack.slices[0].place.unwrap_or_default()[axis] / SAME_PLACE,
        Some(number) => stack.slices[number - 3].height / SAME_PLACE,
    }
}

fn pair(stacks: &[Stack], first: usize, second: usize) -> Repeated {
    let kernel = |index: usize| said(&stacks[index].header().kernel);
    let detail = match (kernel(first), kernel(second)) {
        (None, None) => "the same positions, no kernel given: a copy or two reconstructions of one scan".to_owned(),
        (Some(a), Some(b)) if a == b => match phases(stacks[first].header(), stacks[second].header()) {
            Some(phases) => format!("the same positions and kernel {a}, {phases}"),
            None => format!("the same positions and kernel {a}: a copy"),
        },
        (a, b) => {
            let [a, b] = [a, b].map(|kernel| kernel.unwrap_or("(not given)"));
            format!("the same positions, kernels {a} and {b}: two reconstructions of one scan")
        }
    };
    Repeated { first, second, detail }
}

/// Why two series of the same positions and kernel are not copies.
fn phases(first: &DicomHeader, second: &DicomHeader) -> Option<String> {
    if first.has_contrast != second.has_contrast {
        return Some("of which one names a contrast agent: probably two phases of one examination".to_owned());
    }
    let (a, b) = first.acquisition_number.zip(second.acquisition_number).filter(|(a, b)| a != b)?;
    Some(format!("acquisitions {a} and {b}: probably two phases of one examination, or a scan that was repeated"))
}

#[cfg(test)]
mod tests {
    use super::super::build_series;
    use super::super::vocabulary::*;
    use crate::data::dicom::DicomHeader;

    #[test]
    fn two_kernels_are_two_reconstructions() {
        let sharp = scan("sharp", [0.0, 5.0, 10.0]).each(|h| h.kernel = Some("B70f".to_owned()));
        let soft = scan("soft", [0.0, 5.0, 10.0]).each(|h| h.kernel = Some("B40f".to_owned()));
        let built = build_series([sharp, soft].concat());
        assert_eq!(built.series.len(), 2);
        let [pair] = &built.repeated[..] else { panic!("{:?}", built.repeated) };
        assert_eq!((pair.first, pair.second), (0, 1));
        assert_eq!(pair.detail, "the same positions, kernels B70f and B40f: two reconstructions of one scan");
    }

    #[test]
    fn two_phases_are_no_copies() {
        let said = |change: fn(&mut DicomHeader)| {
            let built = build_series(
                [scan("native", [0.0, 5.0, 10.0]), scan("second", [0.0, 5.0, 10.0]).each(change)].concat(),
            );
            built.repeated[0].detail.clone()
        };
        let contrast = said(|h| h.has_contrast = true);
        assert!(contrast.contains("one names a contrast agent: probably two phases"), "{contrast}");
        let number = |h: &mut DicomHeader, number| h.acquisition_number = Some(number);
        let (first, second) =
            (scan("a", [0.0, 5.0]).each(|h| number(h, 1)), scan("b", [0.0, 5.0]).each(|h| number(h, 2)));
        let acquired = build_series([first, second].concat()).repeated[0].detail.clone();
        assert!(acquired.contains("acquisitions 1 and 2: probably two phases"), "{acquired}");
    }

    #[test]
    fn an_exported_copy_is_found_despite_rounding() {
        let copy = scan("copy", [0.004, 4.996, 10.0]).each(|h| h.orientation = Some([1.0, 1e-6, 0.0, 0.0, 1.0, 0.0]));
        let other = scan("other", [0.0, 5.0, 10.1]);
        let third = scan("third", [0.0, 5.0, 10.0]);
        let built = build_series([copy, other, third, scan("z", [0.0, 5.0])].concat());
        let pairs: Vec<_> = built.repeated.iter().map(|pair| (pair.first, pair.second)).collect();
        assert_eq!(pairs, [(0, 2)]);
        assert_eq!(built.repeated[0].detail, "the same positions and kernel B40f: a copy");
    }

    #[test]
    fn other_studies_fields_of_view_and_unplaced_series_are_no_repeats() {
        let one = scan("1", [0.0, 5.0]);
        let study = scan("2", [0.0, 5.0]).each(|h| h.study = Some("other".to_owned()));
        let zoomed = scan("3", [0.0, 5.0]).each(|h| h.pixel_spacing = Some([0.4, 0.4]));
        let shifted = scan("4", [0.0, 5.0]).each(|h| h.positions[0][0] += 30.0);
        let unplaced = ["5", "6"].map(|name| scan(name, [0.0, 5.0]).each(|h| h.positions.clear())).concat();
        let built = build_series([one, study, zoomed, shifted, unplaced].concat());
        assert_eq!((built.series.len(), built.repeated.len()), (6, 0));
    }
}
