//! Each kind of picture, made here, and slices that are none of them.

use super::*;
use crate::data::audit::inspect::picture_findings;
use crate::data::audit::pixel_measures::{Levels, PixelMeasure};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const SIZE: usize = 256;

fn found(pixels: Vec<u8>) -> Vec<(Check, String)> {
    let size = SIZE as u32;
    let image = GreyImage { width: size, height: pixels.len() as u32 / size, pixels };
    picture_findings(&PixelMeasure::of(&image, &Levels::none()))
}

fn checks(pixels: Vec<u8>) -> Vec<Check> {
    found(pixels).into_iter().map(|(check, _)| check).collect()
}

/// A body with two lungs and a few vessels on air of a level; `wide` of its usual width.
fn slice(seed: u64, air: u8, wide: f32) -> Vec<u8> {
    let mut numbers = ChaCha8Rng::seed_from_u64(seed);
    let vessels: [[f32; 3]; 20] = std::array::from_fn(|_| [numbers.r#gen(), numbers.r#gen(), numbers.r#gen()]);
    let mut level = |place: usize| {
        let (x, y) = ((place % SIZE) as f32 / SIZE as f32, (place / SIZE) as f32 / SIZE as f32);
        let within =
            |cx: f32, cy: f32, rx: f32, ry: f32| ((x - cx) / (rx * wide)).powi(2) + ((y - cy) / ry).powi(2) < 1.0;
        let in_vessel = vessels.iter().any(|[vx, vy, r]| within(*vx, *vy, 0.01 + 0.02 * r, 0.01 + 0.02 * r));
        let in_lung = within(0.5 - 0.19 * wide, 0.5, 0.14, 0.19) || within(0.5 + 0.19 * wide, 0.5, 0.14, 0.19);
        let base = match (within(0.5, 0.5, 0.42, 0.31), in_lung, in_vessel) {
            (false, ..) => f32::from(air),
            (_, true, false) => 35.0,
            (_, true, true) => 150.0,
            _ => 170.0,
        };
        let noise = (0..4).map(|_| numbers.r#gen::<f32>()).sum::<f32>() - 2.0;
        (base + 10.0 * noise).clamp(0.0, 255.0) as u8
    };
    (0..SIZE * SIZE).map(&mut level).collect()
}

#[test]
fn slices_are_no_other_pictures() {
    for (seed, air, wide) in [(1, 0, 1.0), (2, 0, 0.8), (3, 25, 1.1), (4, 60, 1.2), (5, 0, 1.3)] {
        assert_eq!(found(slice(seed, air, wide)), [], "{seed}");
        let inverted = slice(seed, air, wide).into_iter().map(|level| 255 - level).collect();
        assert_eq!(found(inverted), [], "{seed}, inverted");
    }
}

#[test]
fn a_mask_has_two_or_three_levels_and_noise_of_two_is_none() {
    let mask = |wide: f32| -> Vec<u8> { slice(1, 0, wide).into_iter().map(|v| if v > 90 { 255 } else { 0 }).collect() };
    assert_eq!(checks(mask(1.0)), [Check::MaskPicture]);
    let labels = mask(1.0).into_iter().enumerate().map(|(at, v)| if at % SIZE < SIZE / 2 { v / 2 } else { v });
    let said = "100.0 % of the pixels are at the grey levels 0, 127, 255";
    assert_eq!(found(labels.collect()), [(Check::MaskPicture, said.to_owned())]);
    let small = mask(1.0).into_iter().enumerate().map(|(at, v)| if at / SIZE % 99 == 70 { v } else { 0 });
    assert_eq!(checks(small.collect()), [Check::MaskPicture], "less than 1 % is white");
    let mut numbers = ChaCha8Rng::seed_from_u64(2);
    assert_eq!(checks((0..SIZE * SIZE).map(|_| 255 * u8::from(numbers.r#gen::<bool>())).collect()), [Check::Noise]);
}

#[test]
fn noise_may_fill_a_round_field_of_view() {
    let mut numbers = ChaCha8Rng::seed_from_u64(3);
    let pixels: Vec<u8> = (0..SIZE * SIZE).map(|_| numbers.gen_range(20..220)).collect();
    let is_in = |at: usize| (at % SIZE).abs_diff(SIZE / 2).pow(2) + (at / SIZE).abs_diff(SIZE / 2).pow(2) < 126 * 126;
    let round = pixels.iter().enumerate().map(|(at, level)| if is_in(at) { *level } else { 0 }).collect();
    assert_eq!((checks(pixels), checks(round)), (vec![Check::Noise], vec![Check::Noise]));
}

/// Blocks as letters are: `wide` pixels of 9, in lines of 14 rows of which 7 are written.
fn text(ink: u8, ground: u8, wide: usize, lines: usize) -> Vec<u8> {
    let is_ink = |x: usize, y: usize| {
        y >= 20 && (y - 20) % 14 < 7 && (y - 20) / 14 < lines && (20..230).contains(&x) && (x - 20) % 9 < wide
    };
    (0..SIZE * SIZE).map(|at| if is_ink(at % SIZE, at / SIZE) { ink } else { ground }).collect()
}

#[test]
fn text_pages_have_lines() {
    for (ink, ground, wide, lines) in [(0, 255, 5, 15), (255, 0, 3, 4), (200, 64, 2, 8)] {
        assert_eq!(checks(text(ink, ground, wide, lines)), [Check::TextPage], "{ink} on {ground}");
    }
    assert_eq!(found(text(255, 0, 4, 6))[0].1, "94 % even ground of level 0, with 6 lines of short strokes");
    // A table.
    let mut table = text(0, 255, 4, 15);
    (0..SIZE * SIZE).filter(|at| at % SIZE % 40 == 16 || at / SIZE % 42 == 16).for_each(|at| table[at] = 0);
    assert_eq!(checks(table), [Check::TextPage]);
    assert_eq!(checks(text(255, 0, 4, 2)), [Check::MaskPicture], "two lines are no page");
}

/// Slices reduced to `x` × `y`, with gaps.
fn page(x: usize, y: usize, gap: usize, ground: u8) -> Vec<u8> {
    let slices: Vec<Vec<u8>> =
        (0..x * y).map(|at| slice(at as u64, 20, 0.8 + 0.3 * (at as f32 / (x * y) as f32))).collect();
    let (wide, high) = (SIZE / x, SIZE / y);
    let pixel = |at: usize| {
        let (column, row) = (at % SIZE, at / SIZE);
        let (tile, inner) = ((column / wide, row / high), (column % wide, row % high));
        if tile.0 >= x || tile.1 >= y || inner.0 < gap || inner.1 < gap {
            return ground;
        }
        slices[tile.1 * x + tile.0][inner.1 * SIZE / high * SIZE + inner.0 * SIZE / wide]
    };
    (0..SIZE * SIZE).map(pixel).collect()
}

#[test]
fn pages_of_slices_have_seams_or_repeat() {
    for (x, y) in [(2, 2), (3, 3), (4, 5), (5, 4), (6, 6), (1, 3), (2, 3)] {
        for (gap, ground) in [(0, 0), (2, 255), (3, 0)] {
            assert_eq!(checks(page(x, y, gap, ground)), [Check::SeveralSlices], "{x} x {y}, gap {gap} of {ground}");
        }
    }
    // The lungs alone, as a segmentation leaves them, mirror each other.
    let lungs = slice(1, 0, 1.0).into_iter().map(|level| if level < 80 { level.saturating_mul(3) } else { 0 });
    assert!(!checks(lungs.collect()).contains(&Check::SeveralSlices));
}

#[test]
fn a_scout_goes_on_from_border_to_border() {
    let mut numbers = ChaCha8Rng::seed_from_u64(5);
    let mut level = |at: usize| {
        let (x, y) = ((at % SIZE) as f32 / SIZE as f32 - 0.5, (at / SIZE) as f32 / SIZE as f32);
        let (body, spine) = ((1.0 - (x / 0.38).powi(2)).max(0.0).sqrt(), (-(x / 0.04).powi(2)).exp());
        let lung =
            [-0.18, 0.18].map(|cx| (1.0 - ((x - cx) / 0.12).powi(2) - ((y - 0.45) / 0.3).powi(2)).max(0.0).sqrt());
        let noise = 2.0 * numbers.r#gen::<f32>();
        (150.0 * body + 60.0 * spine - 70.0 * (lung[0] + lung[1]) + noise).clamp(0.0, 255.0) as u8
    };
    assert_eq!(checks((0..SIZE * SIZE).map(&mut level).collect()), [Check::LocalizerPicture]);
}

#[test]
fn letters_in_the_air_are_annotations_and_vessels_are_none() {
    // An F of 12 x 8 pixels, its strokes two wide.
    let is_stroke = |x: usize, y: usize| x < 8 && y < 12 && (x < 2 || y < 2 || (5..7).contains(&y) && x < 6);
    let with = |places: &[(usize, usize)]| {
        let mut pixels = slice(1, 0, 1.0);
        for (left, top) in places {
            let strokes = (0..96).map(|at| (at % 8, at / 8)).filter(|(x, y)| is_stroke(*x, *y));
            strokes.for_each(|(x, y)| pixels[(top + y) * SIZE + left + x] = 255);
        }
        found(pixels)
    };
    let marker = "a stroke like a letter close to the border, at column 8, row 20";
    assert_eq!(with(&[(8, 20)]), [(Check::Annotated, marker.to_owned())]);
    let line = "3 strokes like letters in a line, at column 100, row 20";
    assert_eq!(with(&[(100, 20), (112, 20), (124, 20)]), [(Check::Annotated, line.to_owned())]);
    assert_eq!(with(&[(90, 120)]), [], "in the lung it may be a vessel");
}

#[test]
fn borders_are_straight() {
    let bordered = |width: usize, level: u8| -> Vec<u8> {
        let inside = width..SIZE - width;
        let pixels = slice(1, 0, 1.0).into_iter().enumerate();
        pixels
            .map(|(at, v)| if inside.contains(&(at % SIZE)) && inside.contains(&(at / SIZE)) { v } else { level })
            .collect()
    };
    let said = "a straight edge along 94 % of the height, at column 8 of 256";
    assert_eq!(found(bordered(8, 255)), [(Check::Borders, said.to_owned())]);
    assert_eq!(checks(bordered(20, 60)), [Check::Borders]);
}

#[test]
fn a_rectangle_of_one_level_is_cut_out_and_clipped_lungs_are_not() {
    let with = |level: u8, [left, right, top, bottom]: [usize; 4]| {
        let is_in = |at: usize| (left..right).contains(&(at % SIZE)) && (top..bottom).contains(&(at / SIZE));
        let pixels = slice(1, 0, 1.0).into_iter().enumerate();
        found(pixels.map(|(at, v)| if is_in(at) { level } else { v }).collect())
    };
    let said = "a rectangle of level 0 within the body, about 40x32 pixels at 80, 120";
    assert_eq!(with(0, [80, 120, 120, 152]), [(Check::CutOut, said.to_owned())]);
    assert_eq!(with(128, [90, 130, 130, 170]).len(), 1, "of any level, and between fields");
    assert_eq!(with(200, [12, 52, 12, 36]), [], "a label in air");
    assert_eq!(with(0, [80, 92, 120, 160]), [], "too narrow to be told from a vessel or a bone");
    // As even as tissue: by three levels up and down from pixel to pixel.
    let tissue = |at: usize| if (at + at / SIZE).is_multiple_of(2) { 117 } else { 123 };
    let is_in = |at: usize| (90..130).contains(&(at % SIZE)) && (130..170).contains(&(at / SIZE));
    let even = slice(1, 0, 1.0).into_iter().enumerate().map(|(at, v)| if is_in(at) { tissue(at) } else { v });
    assert_eq!(found(even.collect()), []);
    // Everything below 90 is black: lungs are even, and no rectangles.
    let narrow = |at: usize, v: u8| if (60..196).contains(&(at % SIZE)) && v < 90 { 0 } else { v };
    assert_eq!(found(slice(1, 0, 1.0).into_iter().enumerate().map(|(at, v)| narrow(at, v)).collect()), []);
}

#[test]
fn few_levels_are_told_from_those_of_a_slice_and_of_a_mask() {
    let with_bits = |mask: u8| found(slice(1, 0, 1.0).into_iter().map(|level| level & mask).collect());
    let [(check, said)] = &with_bits(0xF0)[..] else { panic!("{:?}", with_bits(0xF0)) };
    assert_eq!((*check, said.as_str()), (Check::FewLevels, "8 grey levels and no others between 0 and 176"));
    assert_eq!(with_bits(0xFE), [], "128 levels");
}

#[test]
fn brightness_and_sharpness_are_measured() {
    let brighter = slice(1, 0, 1.0).into_iter().map(|level| level.saturating_add(150)).collect();
    assert_eq!(checks(brighter), [Check::Overexposed]);
    let sharp = |pixels: Vec<u8>| {
        let image = GreyImage { width: SIZE as u32, height: SIZE as u32, pixels };
        PixelMeasure::of(&image, &Levels::none()).kinds.quality.sharpness
    };
    let mean = |pixels: &[u8], at: usize| {
        let near = |at: usize| {
            pixels[at.saturating_sub(5)..(at + 6).min(pixels.len())].iter().map(|v| u32::from(*v)).sum::<u32>() / 11
        };
        near(at) as u8
    };
    let pixels = slice(1, 0, 1.0);
    let once: Vec<u8> = (0..pixels.len()).map(|at| mean(&pixels, at)).collect();
    let blurred = (0..once.len()).map(|at| mean(&once, at)).collect();
    assert!(sharp(pixels) > 0.5 && sharp(blurred) < 0.1);
}

#[test]
fn lungs_that_were_cut_out_are_no_mask() {
    let mut numbers = ChaCha8Rng::seed_from_u64(9);
    let mut pixel = |at: usize| {
        let (x, y) = ((at % SIZE) as f32 / SIZE as f32, (at / SIZE) as f32 / SIZE as f32);
        let in_lung = |cx: f32| ((x - cx) / 0.12).powi(2) + ((y - 0.5) / 0.17).powi(2) < 1.0;
        let noise = (0..4).map(|_| numbers.r#gen::<f32>()).sum::<f32>() - 2.0;
        if in_lung(0.3) || in_lung(0.7) { (84.0 + 6.0 * noise) as u8 } else { 0 }
    };
    let lungs: Vec<u8> = (0..SIZE * SIZE).map(&mut pixel).collect();
    assert!(!checks(lungs.clone()).contains(&Check::MaskPicture), "{:?}", found(lungs.clone()));
    let mask = lungs.into_iter().map(|level| if level > 0 { 84 } else { 0 }).collect();
    assert_eq!(checks(mask), [Check::MaskPicture]);
}

#[test]
fn a_bright_picture_is_overexposed_where_it_is_also_white() {
    let bright = |corner: usize| -> Vec<u8> {
        let mut numbers = ChaCha8Rng::seed_from_u64(3);
        let mut level = |x: usize, y: usize| match (x * 7 / 5 + y) % (3 * SIZE) < corner {
            true => 255,
            false => {
                (165.0 + 25.0 * (x as f32 / 30.0).sin() * (y as f32 / 9.0).cos() + 8.0 * numbers.r#gen::<f32>()) as u8
            }
        };
        (0..SIZE * SIZE).map(|at| level(at % SIZE, at / SIZE)).collect()
    };
    // Less than a tenth of the picture, and more than a fifth.
    assert!(!checks(bright(SIZE * 45 / 100)).contains(&Check::Overexposed));
    let white = found(bright(SIZE * 80 / 100));
    assert!(white.iter().any(|(check, _)| *check == Check::Overexposed), "{white:?}");
}
