//! What the slices of a stack are like and how they lie.

use super::orient::{Vector, degrees_between};
use super::said;
use super::stack::{SAME_PLACE, Stack, spacing};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// How the slices of a series are made and how they lie. Lengths in mm, angles in degrees.
#[derive(Serialize, Deserialize, PartialEq, Clone, Debug, Default)]
#[serde(default)]
pub(crate) struct SeriesGeometry {
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    /// Between rows, between columns.
    pub(crate) pixel_spacing: Option<[f64; 2]>,
    /// Median distance of neighbouring slices along the slice normal.
    pub(crate) slice_distance: Option<f64>,
    /// Median Slice Thickness.
    pub(crate) thickness: Option<f64>,
    /// `axial`, or `unknown` where the files give no orientation.
    pub(crate) orientation: String,
    /// Angle between slice normal and long axis, over 0.5. Without an orientation, Gantry/Detector Tilt.
    pub(crate) tilt: Option<f64>,
    /// Angle between slice normal and the direction from slice to slice, over 0.5: a tilted gantry's slices are stacked
    /// along the table and not along their normal, so that the volume is a leaning block.
    pub(crate) shear: Option<f64>,
    /// Where slices are missing.
    pub(crate) gaps: Vec<Gap>,
    /// Smallest and largest distance of neighbouring slices, gaps aside, where they differ.
    pub(crate) uneven: Option<(f64, f64)>,
    /// No slice has a position: the order is that of Instance Number or of names, and may run from head to feet.
    pub(crate) doubtful_order: bool,
    pub(crate) kernel: Option<String>,
    pub(crate) manufacturer: Option<String>,
    pub(crate) model: Option<String>,
    /// The files' own first window, centre and width, where all slices have the same.
    pub(crate) window: Option<(f64, f64)>,
    /// What else is unusual, as sentences.
    pub(crate) notes: Vec<String>,
}

/// Slices that are missing.
#[derive(Serialize, Deserialize, PartialEq, Eq, Clone, Copy, Debug)]
pub(crate) struct Gap {
    /// They are missing between this slice, counted from 0, and the next.
    pub(crate) after: u32,
    /// How many, judged by the usual distance.
    pub(crate) missing: u32,
}

/// Distances that differ from the median by more than this share of it are uneven.
const UNEVEN: f64 = 0.1;

/// Degrees up to which a tilt is rounding.
const NO_TILT: f64 = 0.5;

/// So many equal wide distances in a row are a change of the spacing. Lost slices leave no such pattern.
const NO_LOSS: usize = 3;

impl SeriesGeometry {
    pub(super) fn of(stack: &Stack) -> Self {
        let header = stack.header();
        let text = |attribute| said(attribute).map(str::to_owned);
        let mut geometry = Self {
            rows: header.rows.unwrap_or(0),
            columns: header.columns.unwrap_or(0),
            pixel_spacing: spacing(header),
            orientation: if stack.axes.is_some() { "axial" } else { "unknown" }.to_owned(),
            kernel: text(&header.kernel),
            manufacturer: text(&header.manufacturer),
            model: text(&header.model),
            window: common_window(stack),
            doubtful_order: !stack.placed(),
            ..Self::default()
        };
        geometry.measure_thickness(stack);
        geometry.measure_tilt(stack);
        if stack.placed() {
            let heights = stack.slices.windows(2).map(|pair| pair[1].height - pair[0].height);
            geometry.measure_distances(&heights.collect::<Vec<_>>());
        }
        geometry.note(stack);
        geometry
    }

    fn measure_thickness(&mut self, stack: &Stack) {
        let all = stack.slices.iter().filter_map(|slice| slice.header.thickness);
        let all: Vec<f64> = all.filter(|mm| *mm > 0.0 && mm.is_finite()).collect();
        self.thickness = median(all.clone());
        let (smallest, largest) = extremes(&all);
        if largest - smallest > UNEVEN * smallest {
            self.notes.push(format!("Slice Thickness differs within the series: {smallest} to {largest} mm"));
        }
    }

    fn measure_tilt(&mut self, stack: &Stack) {
        let counts = |degrees: &f64| *degrees > NO_TILT;
        match &stack.axes {
            Some(axes) => self.tilt = Some(axes.degrees_from_z()).filter(counts).map(tidy),
            None => {
                self.tilt = stack.header().tilt.map(f64::abs).filter(|degrees| counts(degrees) && *degrees < 90.0);
                if self.tilt.is_some() {
                    self.notes.push("the tilt is that of Gantry/Detector Tilt".to_owned());
                }
            }
        }
        self.shear = shear(stack).filter(counts).map(tidy);
    }

    /// Measures the distances between neighbouring slices, ascending.
    fn measure_distances(&mut self, distances: &[f64]) {
        let Some(usual) = median(distances.to_vec()) else { return };
        self.slice_distance = Some(tidy(usual));
        let tolerance = (UNEVEN * usual).max(SAME_PLACE);
        // How often the usual distance fits into one; 0 where it does not.
        let times = |distance: f64| {
            let times = (distance / usual).round();
            if (distance - times * usual).abs() <= tolerance { times as u32 } else { 0 }
        };
        let mut after = 0;
        let mut others = Vec::new();
        for run in distances.chunk_by(|a, b| times(*a) == times(*b)) {
            match times(run[0]) {
                times if times >= 2 && run.len() < NO_LOSS => {
                    let numbers = after..after + run.len() as u32;
                    self.gaps.extend(numbers.map(|after| Gap { after, missing: times - 1 }));
                }
                _ => others.extend_from_slice(run),
            }
            after += run.len() as u32;
        }
        let (smallest, largest) = extremes(&others);
        if largest - usual > tolerance || usual - smallest > tolerance {
            self.uneven = Some((tidy(smallest), tidy(largest)));
        }
    }

    fn note(&mut self, stack: &Stack) {
        if stack.axes.is_none() {
            self.notes.push("no Image Orientation (Patient): slices are shown as stored, sides are unknown".to_owned());
        }
        if self.doubtful_order {
            let frames = "no frame positions: frames stay in stored order; may run from head to feet";
            let files =
                "no Image Position (Patient): ordered by Instance Number, then by name; may run from head to feet";
            let zeros = "0, 0, 0 is the Image Position (Patient) of every file: ordered by Instance Number; may run from head to feet";
            let header = stack.header();
            self.notes.push(
                match header.frames > 1 {
                    true => frames,
                    false if header.positions == [[0.0; 3]] => zeros,
                    false => files,
                }
                .to_owned(),
            );
        }
        let series: HashSet<_> = stack.slices.iter().map(|slice| &slice.header.series).collect();
        if series.len() > 1 {
            self.notes
                .push(format!("{} series of one file each in one folder and study, read as one scan", series.len()));
        }
        if stack.repeated_frames > 0 {
            let frames = stack.repeated_frames;
            self.notes.push(format!("{frames} frames were left out: they lie where an earlier one does"));
        }
    }
}

/// The first window, centre and width, where all slices have the same.
fn common_window(stack: &Stack) -> Option<(f64, f64)> {
    let mut windows = stack.slices.iter().map(|slice| slice.header.windows.first());
    let first = *windows.next()??;
    let sound = first.0.is_finite() && first.1.is_finite();
    (sound && windows.all(|window| window == Some(&first))).then_some(first)
}

/// Degrees between the slice normal and the direction from slice to slice: over the whole stack or in the median from
/// one to the next, whichever is less. Rounded positions mislead the second, a stack that jumps once the first.
fn shear(stack: &Stack) -> Option<f64> {
    let normal = stack.normal();
    let places: Vec<Vector> = stack.slices.iter().filter_map(|slice| slice.place).collect();
    let angle = |from: &Vector, to: &Vector| degrees_between([0, 1, 2].map(|axis| to[axis] - from[axis]), normal);
    let steps = median(places.windows(2).map(|pair| angle(&pair[0], &pair[1])).collect())?;
    Some(steps.min(angle(places.first()?, places.last()?)))
}

/// The lower median: a distance that occurs, also where there are but two.
fn median(mut numbers: Vec<f64>) -> Option<f64> {
    let middle = numbers.len().checked_sub(1)? / 2;
    Some(*numbers.select_nth_unstable_by(middle, f64::total_cmp).1)
}

/// Smallest and largest.
fn extremes(numbers: &[f64]) -> (f64, f64) {
    numbers.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), number| (low.min(*number), high.max(*number)))
}

/// Without the digits that computing has left behind the sixth.
fn tidy(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests;
