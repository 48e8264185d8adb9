//! Pictures that are no axial slices of a CT scan, or not only that, among the slices of scans.

use super::foreign_files::png;
use super::{CaseDrawing, Grey};
use crate::base::errors::Result;
use crate::data::phantom::noise::{Stream, lerp, stream};
use rand::Rng as _;

/// Slices of which the pages and the projection are made.
const STACK: usize = 24;

pub(super) fn draw(drawing: &mut CaseDrawing) -> Result<()> {
    // A data set in which most scans are as they should be.
    for class in [0, 0, 1, 1, 2, 3] {
        drawing.healthy_scan(class)?;
    }
    let size = drawing.size();
    let of_patient = |drawing: &CaseDrawing, class| drawing.slices(drawing.patient, class, STACK, 1);
    type Case = (&'static str, &'static str, fn(&[Grey], usize, u64) -> Grey);
    let cases: [Case; 15] = [
        ("black-slice", "all pixels are zero", |_, size, _| vec![0; size * size]),
        ("text-page", "dark text on white", |_, size, seed| text_page(size, seed, 0, 255)),
        ("text-page", "light text on black", |_, size, seed| text_page(size, seed, 230, 0)),
        ("mask-picture", "what is brighter than lung", |stack, _, _| mask(&stack[STACK / 2])),
        ("noise", "every level as often", |_, size, seed| noise(size, seed)),
        ("several-slices", "2 x 2 slices", |stack, size, _| page(stack, size, 2, 2)),
        ("several-slices", "4 x 5 slices", |stack, size, _| page(stack, size, 4, 5)),
        ("localizer-picture", "the means of the slices' columns", |stack, size, _| projection(stack, size)),
        ("annotated", "a line of text in the upper left corner", |stack, size, _| {
            annotated(&stack[12], size, "THE HILL")
        }),
        ("annotated", "a marker in the upper left corner", |stack, size, _| annotated(&stack[12], size, "R")),
        ("borders", "a white border of 12 pixels", |stack, size, _| bordered(&stack[12], size, 12, 255)),
        ("borders", "a grey border of 20 pixels", |stack, size, _| bordered(&stack[12], size, 20, 128)),
        ("blurred", "by a Gaussian of 3 pixels", |stack, size, _| blurred(&stack[12], size)),
        (
            "wrapped-values",
            "four times as bright, and brighter to the right, of which the lowest 8 bits stay",
            |stack, size, _| {
                // Aslant, since straight edges along a side are borders.
                let brighter = |at: usize| (1536 * (at % size + at / size / 3) / size) as u8;
                stack[12]
                    .iter()
                    .enumerate()
                    .map(|(at, level)| level.wrapping_mul(4).wrapping_add(brighter(at)))
                    .collect()
            },
        ),
        ("overexposed", "150 levels brighter", |stack, _, _| brighter(&stack[12], |level| level + 150)),
    ];
    for (at, (check, note, picture)) in cases.into_iter().enumerate() {
        let class = at % 4;
        let stack = of_patient(drawing, class);
        let grey = picture(&stack, size, drawing.config.seed + at as u64);
        let folder = drawing.healthy_scan(class)?;
        let path = format!("{folder}/{}.jpg", super::SLICES);
        let bytes = drawing.jpeg(&grey)?;
        drawing.slice_file(path.clone(), drawing.patient - 1, bytes);
        drawing.note(check, &[&path], note);
    }
    Ok(())
}

/// A slice with a square cut out of it, and one of three bits.
pub(super) fn altered(drawing: &mut CaseDrawing) -> Result<()> {
    let (size, class) = (drawing.size(), 0);
    let patient = drawing.new_patient();
    let mut slices = drawing.slices(patient, class, super::SLICES, 0);
    let square = size * 2 / 5..size * 3 / 5;
    // The first one: between two neighbours it would be unlike them as well.
    for (at, level) in slices[0].iter_mut().enumerate() {
        if square.contains(&(at % size)) && square.contains(&(at / size)) {
            *level = 0;
        }
    }
    let folder = drawing.scan(patient, class, &slices)?;
    drawing.note("cut-out", &[&format!("{folder}/0.jpg")], "a fifth of width and height is black");
    let bits: Grey = drawing.slices(patient, class, super::SLICES + 1, 1)[8].iter().map(|level| level & 0xE0).collect();
    let path = format!("{folder}/8.png");
    let bytes = png(&bits, size)?;
    drawing.slice_file(path.clone(), patient, bytes);
    drawing.note("few-levels", &[&path], "the upper three bits alone");
    Ok(())
}

/// The pixel at a fraction of width and height.
fn at(grey: &[u8], size: usize, x: f32, y: f32) -> u8 {
    let place = |t: f32| ((t * size as f32) as usize).min(size - 1);
    grey[place(y) * size + place(x)]
}

fn mask(slice: &[u8]) -> Grey {
    slice.iter().map(|level| if *level > 90 { 255 } else { 0 }).collect()
}

fn noise(size: usize, seed: u64) -> Grey {
    let mut numbers = stream(seed, 0, 0, 0, Stream::Slice);
    (0..size * size).map(|_| numbers.r#gen()).collect()
}

/// `columns` × `rows` slices, one after the other along the scan.
fn page(stack: &[Grey], size: usize, columns: usize, rows: usize) -> Grey {
    let pixel = |place: usize| {
        let (x, y) = (place % size * columns, place / size * rows);
        let slice = (y / size * columns + x / size) * stack.len() / (columns * rows);
        let within = |t: usize| (t % size) as f32 / size as f32;
        at(&stack[slice], size, within(x), within(y))
    };
    (0..size * size).map(pixel).collect()
}

/// From the head to the feet: each row is the mean of a slice along its columns.
fn projection(stack: &[Grey], size: usize) -> Grey {
    let mean =
        |slice: &Grey, x: usize| slice.iter().skip(x).step_by(size).map(|v| f32::from(*v)).sum::<f32>() / size as f32;
    let rows: Vec<Vec<f32>> = stack.iter().map(|slice| (0..size).map(|x| mean(slice, x)).collect()).collect();
    let pixel = |place: usize| {
        let along = (place / size) as f32 / size as f32 * (rows.len() - 1) as f32;
        let (before, x) = (along as usize, place % size);
        let level = lerp(rows[before][x], rows[(before + 1).min(rows.len() - 1)][x], along.fract());
        (1.4 * level).min(255.0) as u8
    };
    (0..size * size).map(pixel).collect()
}

fn bordered(slice: &[u8], size: usize, width: usize, level: u8) -> Grey {
    let inside = width..size - width;
    let pixel = |place: usize| {
        let (x, y) = (place % size, place / size);
        if inside.contains(&x) && inside.contains(&y) { slice[place] } else { level }
    };
    (0..size * size).map(pixel).collect()
}

fn brighter(slice: &[u8], level: fn(u16) -> u16) -> Grey {
    slice.iter().map(|v| level(u16::from(*v)).min(255) as u8).collect()
}

fn blurred(slice: &[u8], size: usize) -> Grey {
    const REACH: usize = 9;
    let weight = |offset: usize| (-0.5 * ((offset as f32 - REACH as f32) / 3.0).powi(2)).exp();
    let weights: [f32; 2 * REACH + 1] = std::array::from_fn(weight);
    let sum: f32 = weights.iter().sum();
    let along = |from: &[f32], step: usize| -> Vec<f32> {
        let mean = |place: usize| {
            let position = if step == 1 { place % size } else { place / size };
            let value = |offset: usize| {
                let moved = (position + offset).saturating_sub(REACH).min(size - 1);
                from[place + moved * step - position * step]
            };
            weights.iter().enumerate().map(|(offset, weight)| weight * value(offset)).sum::<f32>() / sum
        };
        (0..size * size).map(mean).collect()
    };
    let grey: Vec<f32> = slice.iter().map(|v| f32::from(*v)).collect();
    along(&along(&grey, 1), size).into_iter().map(|v| v as u8).collect()
}

/// Letters of 5 × 7 dots, the highest bit of each row on the left.
const LETTERS: [(char, [u8; 7]); 6] = [
    ('T', [31, 4, 4, 4, 4, 4, 4]),
    ('H', [17, 17, 17, 31, 17, 17, 17]),
    ('E', [31, 16, 16, 30, 16, 16, 31]),
    ('I', [14, 4, 4, 4, 4, 4, 14]),
    ('L', [16, 16, 16, 16, 16, 16, 31]),
    ('R', [30, 17, 17, 30, 20, 18, 17]),
];

/// Writes a text, its dots `dot` pixels wide.
fn write(grey: &mut [u8], size: usize, (left, top): (usize, usize), dot: usize, text: &str, level: u8) {
    for (number, letter) in text.chars().enumerate() {
        let Some((_, rows)) = LETTERS.iter().find(|(known, _)| *known == letter) else { continue };
        for place in 0..5 * 7 * dot * dot {
            let (x, y) = (place % (5 * dot), place / (5 * dot));
            let (column, row) = (left + 6 * dot * number + x, top + y);
            if rows[y / dot] >> (4 - x / dot) & 1 == 1 && column < size && row < size {
                grey[row * size + column] = level;
            }
        }
    }
}

fn annotated(slice: &[u8], size: usize, text: &str) -> Grey {
    let mut grey = slice.to_vec();
    write(&mut grey, size, (6, 6), (size / 200).max(1) + 1, text, 255);
    grey
}

fn text_page(size: usize, seed: u64, ink: u8, ground: u8) -> Grey {
    let mut grey = vec![ground; size * size];
    let mut numbers = stream(seed, 0, 1, 0, Stream::Slice);
    let dot = (size / 300).max(1);
    for line in 0..(size - 20) / (14 * dot) {
        let count = numbers.gen_range(8..(size - 20) / (6 * dot));
        let letters: String = (0..count).map(|_| LETTERS.get(numbers.gen_range(0..8)).map_or(' ', |of| of.0)).collect();
        write(&mut grey, size, (10, 10 + 14 * dot * line), dot, &letters, ink);
    }
    grey
}
