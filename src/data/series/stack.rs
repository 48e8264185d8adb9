//! Parts the files of a series into stacks of slices, ordered from feet to head.

use super::close::parted;
use super::orient::{SliceAxes, Vector, dot};
use super::{Refusal, said};
use crate::data::dicom::DicomHeader;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Files that are no slice: by their index, why.
pub(super) type Refusals = Vec<(usize, Refusal, String)>;

/// Slices nearer to each other than this lie in the same place, mm: twice the rounding of positions that scanners write
/// with two decimals, and far below the thinnest slices (0.1 mm).
pub(super) const SAME_PLACE: f64 = 0.02;

/// Directions and pixel spacings nearer than this are equal.
const SAME_DIRECTION: f64 = 1e-3;

/// Coordinates beyond this are damaged, mm.
const FARTHEST: f64 = 1e6;

/// One slice: a file or a frame of it.
#[derive(Debug, Clone)]
pub(super) struct StackSlice<'a> {
    /// Index among all files, in the order of their names.
    file: usize,
    pub(super) path: &'a str,
    pub(super) frame: u32,
    pub(super) header: &'a DicomHeader,
    /// Centre of the first pixel, mm.
    pub(super) place: Option<Vector>,
    /// Distance from the origin along the stack's normal, mm; 0 before it is known.
    pub(super) height: f64,
}

impl<'a> StackSlice<'a> {
    /// The slices of a file. Frames have positions only if all have.
    pub(super) fn each(file: usize, path: &'a str, header: &'a DicomHeader) -> impl Iterator<Item = Self> {
        let sound = |place: &Vector| place.iter().all(|coordinate| coordinate.abs() <= FARTHEST);
        let count = header.frames.max(1);
        let whole = header.positions.len() == count as usize || count == 1;
        let places = if whole && header.positions.iter().all(sound) { header.positions.as_slice() } else { &[] };
        (0..count).map(move |frame| {
            let place = places.get(frame as usize).copied();
            Self { file, path, frame, header, place, height: 0.0 }
        })
    }

    /// Which of two slices in one place stays: the lower.
    fn rank(&self) -> (i64, usize, u32) {
        (self.header.instance_number.unwrap_or(i64::MAX), self.file, self.frame)
    }
}

/// Forgets the positions of slices that all lie at the origin and have numbers of their own: software that removes names has
/// written zeros. Slices in one other place are those of a scanner that waits for the contrast agent.
pub(super) fn forget_zeros(slices: &mut [StackSlice<'_>]) {
    let numbers: BTreeSet<Option<i64>> = slices.iter().map(|slice| slice.header.instance_number).collect();
    let are_zeros = slices.iter().all(|slice| slice.header.frames <= 1 && slice.place == Some([0.0; 3]));
    if slices.len() > 1 && are_zeros && numbers.len() == slices.len() {
        slices.iter_mut().for_each(|slice| slice.place = None);
    }
}

/// Slices of one direction, matrix, pixel spacing and kernel, from feet to head.
#[derive(Debug)]
pub(super) struct Stack<'a> {
    /// Never empty.
    pub(super) slices: Vec<StackSlice<'a>>,
    /// None where the files do not say.
    pub(super) axes: Option<SliceAxes>,
    /// Frames left out because they lie where another one of their file does.
    pub(super) repeated_frames: usize,
}

impl<'a> Stack<'a> {
    /// Orders slices that all have positions, or all have none.
    fn ordered(mut slices: Vec<StackSlice<'a>>) -> Self {
        slices.sort_by_key(|slice| (slice.file, slice.frame));
        let axes = slices.first().and_then(|slice| SliceAxes::of(slice.header.orientation));
        let mut stack = Self { slices, axes, repeated_frames: 0 };
        let normal = stack.normal();
        for slice in &mut stack.slices {
            slice.height = slice.place.map_or(0.0, |place| dot(place, normal));
        }
        stack.slices.sort_by(|a, b| a.height.total_cmp(&b.height).then_with(|| a.rank().cmp(&b.rank())));
        stack
    }

    /// Direction from slice to slice, of length 1. Slices of unknown orientation are taken for axial ones.
    pub(super) fn normal(&self) -> Vector {
        self.axes.map_or([0.0, 0.0, 1.0], |axes| axes.normal)
    }

    /// Whether the slices have positions.
    pub(super) fn placed(&self) -> bool {
        self.slices.iter().all(|slice| slice.place.is_some())
    }

    /// The header of the lowest slice.
    pub(super) fn header(&self) -> &'a DicomHeader {
        self.slices[0].header
    }

    /// The first of the files in the order of their names, with its lowest frame.
    pub(super) fn first_file(&self) -> (usize, u32) {
        self.slices.iter().map(|slice| (slice.file, slice.frame)).min().unwrap_or_default()
    }

    /// The slices of each place.
    fn places(&self) -> impl Iterator<Item = &[StackSlice<'a>]> {
        let placed = self.placed();
        self.slices.chunk_by(move |a, b| placed && b.height - a.height <= SAME_PLACE)
    }

    /// The stack parted by Acquisition Number, where that leaves no two slices in one place.
    ///
    /// Only if there are no more acquisitions than slices in one place: a scan may be acquired in many steps, and must
    /// not fall into pieces for one repeated slice.
    fn by_acquisition(self) -> Vec<Self> {
        let most = self.places().map(<[_]>::len).max().unwrap_or(1);
        let mut acquisitions: BTreeMap<Option<i64>, Vec<StackSlice>> = BTreeMap::new();
        for slice in self.slices.iter().filter(|_| most > 1) {
            acquisitions.entry(slice.header.acquisition_number).or_default().push(slice.clone());
        }
        if acquisitions.len() < 2 || acquisitions.len() > most {
            return vec![self];
        }
        let parts: Vec<Self> = acquisitions.into_values().map(Self::ordered).collect();
        let single = |part: &Self| part.places().all(|place| place.len() == 1);
        if parts.iter().all(single) { parts } else { vec![self] }
    }

    /// The stack with one slice in each place: the first by Instance Number, then by name.
    fn without_repeats(mut self, refusals: &mut Refusals) -> Self {
        let (mut kept, mut repeated_frames) = (Vec::with_capacity(self.slices.len()), 0);
        for place in self.places() {
            let Some(stays) = place.iter().min_by_key(|slice| slice.rank()) else { continue };
            for slice in place.iter().filter(|slice| slice.rank() != stays.rank()) {
                match slice.file == stays.file {
                    true => repeated_frames += 1,
                    false => refusals.push((slice.file, Refusal::RepeatedSlice, repeats(stays))),
                }
            }
            kept.push(stays.clone());
        }
        (self.slices, self.repeated_frames) = (kept, repeated_frames);
        self
    }
}

fn repeats(stays: &StackSlice) -> String {
    let at = format!("expected one slice in each place, found this one where {} lies", stays.path);
    format!("{at} ({:.2} mm along the slice normal)", stays.height)
}

/// The stacks of one series.
pub(super) fn stacks<'a>(group: Vec<StackSlice<'a>>, refusals: &mut Refusals) -> Vec<Stack<'a>> {
    let group = once(placed(group, refusals), refusals);
    let mut stacks = Vec::new();
    for alike in alike(group) {
        let parts = Stack::ordered(alike).by_acquisition();
        stacks.extend(parts.into_iter().map(|stack| stack.without_repeats(refusals)));
    }
    stacks
}

/// Slices without position are left out where others have one.
fn placed<'a>(group: Vec<StackSlice<'a>>, refusals: &mut Refusals) -> Vec<StackSlice<'a>> {
    let all = group.len();
    let (placed, lost): (Vec<_>, Vec<_>) = group.into_iter().partition(|slice| slice.place.is_some());
    if placed.is_empty() {
        return lost;
    }
    let detail = format!(
        "expected Image Position (Patient), found none; {} of the {all} slices of its series have one",
        placed.len()
    );
    refusals.extend(lost.iter().map(|slice| (slice.file, Refusal::NoPosition, detail.clone())));
    placed
}

/// Each image once. Copies are told by SOP Instance UID, but not by that alone: some anonymisers give all files one.
fn once<'a>(group: Vec<StackSlice<'a>>, refusals: &mut Refusals) -> Vec<StackSlice<'a>> {
    let mut seen: HashMap<_, &str> = HashMap::new();
    let mut images = Vec::with_capacity(group.len());
    for slice in group {
        let Some(instance) = said(&slice.header.instance) else {
            images.push(slice);
            continue;
        };
        let place = slice.place.map(|place| place.map(f64::to_bits));
        let image = (instance, slice.header.instance_number, slice.frame, place);
        match seen.get(&image) {
            None => {
                seen.insert(image, slice.path);
                images.push(slice);
            }
            Some(path) => {
                let detail = format!("expected each image once, found this one again: a copy of {path}");
                refusals.push((slice.file, Refusal::RepeatedSlice, detail));
            }
        }
    }
    images
}

/// Slices parted by what a stack has in common.
fn alike(group: Vec<StackSlice>) -> Vec<Vec<StackSlice>> {
    let mut equal: BTreeMap<_, Vec<StackSlice>> = BTreeMap::new();
    for slice in group {
        equal.entry(Common::of(slice.header)).or_default().push(slice);
    }
    let parts = equal.into_values();
    parts.flat_map(|slices| parted(slices, LIKENESS, |slice, index| likeness(slice.header)[index])).collect()
}

/// What is equal in all slices of a stack.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Common<'a> {
    rows: Option<u32>,
    columns: Option<u32>,
    kernel: Option<&'a str>,
    oriented: bool,
    spaced: bool,
}

impl<'a> Common<'a> {
    fn of(header: &'a DicomHeader) -> Self {
        Self { kernel: said(&header.kernel), ..Self::but_kernel(header) }
    }

    /// The same for all kernels.
    pub(super) fn but_kernel(header: &DicomHeader) -> Self {
        Self {
            rows: header.rows,
            columns: header.columns,
            kernel: None,
            oriented: SliceAxes::of(header.orientation).is_some(),
            spaced: spacing(header).is_some(),
        }
    }
}

/// Pixel spacing, if it can be one.
pub(super) fn spacing(header: &DicomHeader) -> Option<[f64; 2]> {
    header.pixel_spacing.filter(|spacing| spacing.iter().all(|mm| *mm > 0.0 && mm.is_finite()))
}

/// How many numbers [`likeness`] has.
pub(super) const LIKENESS: usize = 8;

/// What is equal but for rounding in all slices of a stack: directions and pixel spacing, in units of their tolerance.
pub(super) fn likeness(header: &DicomHeader) -> [f64; LIKENESS] {
    let [a, b, c, d, e, f] =
        header.orientation.filter(|orientation| SliceAxes::of(Some(*orientation)).is_some()).unwrap_or_default();
    let [rows, columns] = spacing(header).unwrap_or_default();
    [a, b, c, d, e, f, rows, columns].map(|number| number / SAME_DIRECTION)
}

#[cfg(test)]
mod tests;
