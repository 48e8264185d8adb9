//! Whole scans that are wrong: turned, inverted, of another part of the body, out of order, from two exports.

use super::{CaseDrawing, Grey, SLICES};
use crate::base::errors::Result;
use crate::data::phantom::noise::{Stream, stream};
use crate::data::phantom::patient::Patient;
use crate::data::phantom::{anatomy, defects};

pub(super) fn draw(drawing: &mut CaseDrawing) -> Result<()> {
    orientation(drawing)?;
    contents(drawing)?;
    order(drawing)?;
    exports(drawing)?;
    misfits(drawing)
}

/// Slices at the height of the heart, which lies to the left as most people's does: of a heart in the middle nobody can
/// say which side is which.
fn heart_level(drawing: &CaseDrawing, patient: usize, class: usize) -> Vec<Grey> {
    let seed = drawing.config.seed;
    let mut of = Patient::new(seed, patient, class.is_multiple_of(2));
    of.chest.heart[0] = 0.2;
    of.wall.aspect = of.wall.aspect.min(0.7);
    of.cover = [0.56, 0.74];
    let slice = |slice: usize| {
        let mut noise = stream(seed, patient as u64, slice as u32, 0, Stream::Slice);
        anatomy::draw_slice(&of, drawing.size(), (slice as f32 + 0.5) / SLICES as f32, &mut noise, [0, 0])
    };
    (0..SLICES).map(slice).collect()
}

/// Adds a scan of a new patient whose every slice is changed by `change`, and notes the check that must find it.
fn changed(
    drawing: &mut CaseDrawing,
    class: usize,
    check: &str,
    note: &str,
    change: impl Fn(usize, &[u8]) -> Grey,
) -> Result<()> {
    let patient = drawing.new_patient();
    let slices = heart_level(drawing, patient, class);
    let slices: Vec<Grey> = slices.iter().enumerate().map(|(number, grey)| change(number, grey)).collect();
    let folder = drawing.scan(patient, class, &slices)?;
    drawing.note(check, &[&folder], note);
    Ok(())
}

/// The picture whose pixel at column x and row y is that of `of` at the place that `from` gives.
fn rearranged(of: &[u8], size: usize, from: impl Fn(usize, usize) -> (usize, usize)) -> Grey {
    let pixel = |at: usize| {
        let (x, y) = from(at % size, at / size);
        of[y * size + x]
    };
    (0..size * size).map(pixel).collect()
}

fn orientation(drawing: &mut CaseDrawing) -> Result<()> {
    let size = drawing.size();
    let last = size - 1;
    changed(drawing, 0, "mirrored", "left and right are exchanged", |_, grey| {
        rearranged(grey, size, |x, y| (last - x, y))
    })?;
    changed(drawing, 1, "upside-down", "flipped top to bottom", |_, grey| {
        rearranged(grey, size, |x, y| (x, last - y))
    })?;
    changed(drawing, 2, "upside-down", "turned by 180°", |_, grey| {
        rearranged(grey, size, |x, y| (last - x, last - y))
    })?;
    changed(drawing, 3, "turned", "turned by 90°", |_, grey| rearranged(grey, size, |x, y| (y, last - x)))?;
    changed(drawing, 0, "inverted", "255 minus each grey level", |_, grey| grey.iter().map(|g| 255 - g).collect())
}

/// Another plane, and another part of the body.
fn contents(drawing: &mut CaseDrawing) -> Result<()> {
    let (size, class) = (drawing.size(), 1);
    let patient = drawing.new_patient();
    let axial = drawing.slices(patient, class, 4 * SLICES, 0);
    let coronal = |number: usize| -> Grey {
        let depth = size / 3 + number * size / 3 / SLICES;
        let pixel = |at: usize| axial[at / size * axial.len() / size][depth * size + at % size];
        (0..size * size).map(pixel).collect()
    };
    let slices: Vec<Grey> = (0..SLICES).map(coronal).collect();
    let folder = drawing.scan(patient, class, &slices)?;
    drawing.note("not-axial", &[&folder], "a coronal reformat");
    changed(drawing, 2, "no-lungs", "the lungs are filled with tissue, as in an abdomen", |_, grey| filled(grey, size))
}

/// The slice with everything dark between its first and its last bright pixel of a row made tissue.
fn filled(grey: &[u8], size: usize) -> Grey {
    const TISSUE: u8 = 130;
    let mut filled = grey.to_vec();
    for row in filled.chunks_exact_mut(size) {
        let first = row.windows(3).position(|of| of.iter().all(|g| *g > 60));
        let last = row.windows(3).rposition(|of| of.iter().all(|g| *g > 60));
        if let Some((first, last)) = first.zip(last) {
            row[first..last + 3].iter_mut().filter(|g| **g < TISSUE - 30).for_each(|g| *g = TISSUE - 30 + *g / 4);
        }
    }
    filled
}

fn order(drawing: &mut CaseDrawing) -> Result<()> {
    const COUNT: usize = 14;
    let orders: [(&str, Vec<usize>); 3] = [
        ("shuffled", (0..COUNT).map(|at| at * 5 % COUNT).collect()),
        ("even slices before the odd ones", (0..COUNT).step_by(2).chain((1..COUNT).step_by(2)).collect()),
        ("numbers begin in the middle", (COUNT / 2..COUNT).chain(0..COUNT / 2).collect()),
    ];
    for (note, order) in orders {
        let patient = drawing.new_patient();
        let slices = drawing.slices(patient, 0, COUNT, 0);
        let slices: Vec<Grey> = order.into_iter().map(|at| slices[at].clone()).collect();
        let folder = drawing.scan(patient, 0, &slices)?;
        drawing.note("unordered", &[&folder], note);
    }
    let patient = drawing.new_patient();
    let mut slices = drawing.slices(patient, 1, 60, 0);
    slices.drain(16..44);
    let folder = drawing.scan(patient, 1, &slices)?;
    drawing.note("gap-in-scan", &[&folder], "28 of 60 slices are missing, and the numbers go on");

    let folder = drawing.healthy_scan(2)?;
    let patient = drawing.patient - 1;
    let again = drawing.slices(patient, 2, SLICES, 0).swap_remove(3);
    let bytes =
        defects::jpeg(&again, drawing.size(), drawing.size(), drawing.config.quality.saturating_sub(20).max(1))?;
    drawing.slice_file(format!("{folder}/{SLICES}.jpg"), patient, bytes);
    drawing.note("repeated-in-scan", &[&folder], "slice 3 again as the last, encoded with lower quality");
    Ok(())
}

/// Two exports in one folder.
fn exports(drawing: &mut CaseDrawing) -> Result<()> {
    let size = drawing.size();
    changed(drawing, 0, "mixed-views", "the second half has three quarters of the field of view", |number, grey| {
        let zoomed = |at: usize| size / 8 + at * 3 / 4;
        if number < SLICES / 2 { grey.to_vec() } else { rearranged(grey, size, |x, y| (zoomed(x), zoomed(y))) }
    })?;
    changed(drawing, 1, "uneven-window", "every other slice is brighter", |number, grey| {
        let gain = if number % 2 == 0 { 0.8 } else { 1.35 };
        grey.iter().map(|g| (f32::from(*g) * gain) as u8).collect()
    })?;
    let patient = drawing.new_patient();
    let slices = drawing.slices(patient, 3, SLICES, 0);
    let (few, many) = slices.split_at(3);
    let folder = drawing.scan(patient, 3, few)?;
    let half = size / 2;
    for (number, grey) in (few.len()..).zip(many.iter().take(2)) {
        let small: Grey = (0..half * half).map(|at| grey[at / half * 2 * size + at % half * 2]).collect();
        let path = format!("{folder}/{number}.jpg");
        let bytes = defects::jpeg(&small, half, half, drawing.config.quality)?;
        drawing.slice_file(path.clone(), patient, bytes);
        drawing.note("odd-size", &[&path], "half the width and height");
    }
    drawing.note("mixed-sizes", &[&folder], "three slices of one size and two of half of it");
    Ok(())
}

/// Slices that do not fit between their neighbours.
/// One folder in which a second patient's slices are numbered on.
pub(super) fn two_patients(drawing: &mut CaseDrawing) -> Result<()> {
    const COUNT: usize = 20;
    let (first, second) = (drawing.new_patient(), drawing.new_patient());
    // Each from the abdomen to the neck.
    let size = drawing.size();
    let whole = |patient| -> Vec<Grey> {
        let slices = drawing.slices(patient, 1, COUNT, 0);
        let is_outside = |at: usize| !(3..COUNT - 3).contains(&at);
        slices
            .into_iter()
            .enumerate()
            .map(|(at, grey)| if is_outside(at) { filled(&grey, size) } else { grey })
            .collect()
    };
    let slices = [first, second].map(whole).concat();
    let folder = drawing.scan(first, 1, &slices)?;
    drawing.note("several-scans", &[&folder], "two patients, numbered on");
    Ok(())
}

fn misfits(drawing: &mut CaseDrawing) -> Result<()> {
    const COUNT: usize = 40;
    let size = drawing.size();
    let last = size - 1;
    let turned = |grey: &[u8]| rearranged(grey, size, |x, y| (y, last - x));
    let flipped = |grey: &[u8]| rearranged(grey, size, |x, y| (x, last - y));
    type Change<'a> = (&'a str, std::ops::Range<usize>, &'a dyn Fn(&[u8]) -> Grey);
    let changes: [Change<'_>; 3] = [
        ("slice 17 is turned by 90°", 17..18, &turned),
        ("slices 30 to 39 are upside down", 30..COUNT, &flipped),
        ("slice 20 is inverted", 20..21, &|grey| grey.iter().map(|level| 255 - level).collect()),
    ];
    for (class, (note, range, change)) in changes.into_iter().enumerate() {
        let patient = drawing.new_patient();
        let mut slices = drawing.slices(patient, class, COUNT, 0);
        slices[range].iter_mut().for_each(|slice| *slice = change(slice));
        let folder = drawing.scan(patient, class, &slices)?;
        drawing.note("turned-slices", &[&folder], note);
        if class == 2 {
            drawing.note(
                "overexposed",
                &[&format!("{folder}/20.jpg")],
                "the air is white where grey levels are inverted",
            );
        }
    }
    let (patient, other) = (drawing.new_patient(), drawing.new_patient());
    let mut slices = drawing.slices(patient, 1, COUNT, 0);
    slices[18] = drawing.slices(other, 1, COUNT, 0).swap_remove(30);
    let folder = drawing.scan(patient, 1, &slices)?;
    drawing.note("unlike-neighbours", &[&folder], "slice 18 is another patient's");
    Ok(())
}
