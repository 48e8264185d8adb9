use super::*;

/// A chest with two rectangular lungs in `lungs` (columns and rows, both lungs together), air around the body.
fn chest(width: u32, height: u32, lungs: [std::ops::Range<u32>; 2], grey: impl Fn(u8) -> u8) -> GreyImage {
    let [columns, rows] = lungs;
    let middle = columns.start.midpoint(columns.end);
    let body = |x: u32, y: u32| {
        (columns.start - 24..columns.end + 24).contains(&x) && (rows.start - 24..rows.end + 24).contains(&y)
    };
    let level = |x: u32, y: u32| match (body(x, y), columns.contains(&x) && rows.contains(&y)) {
        (false, _) => 10,
        (true, true) if x.abs_diff(middle) > 12 => 60,
        (true, _) => 190,
    };
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| grey(level(x, y))).collect();
    GreyImage { width, height, pixels }
}

fn lungs_only() -> Preprocess {
    Preprocess { crop: Crop::Lungs { margin: 0.1 }, ..Preprocess::default() }
}

fn stretched() -> Preprocess {
    Preprocess { stretch: Stretch::LungToTissue, ..Preprocess::default() }
}

/// Found lungs lie within this many pixels of the drawn ones: their outline is closed, so corners are round.
const NEAR: i64 = 3;

#[test]
fn the_square_lies_around_the_lungs_and_keeps_the_aspect() {
    // Lungs of 140×80 in a picture of 250×220: a side of 140 · 1.2 = 168, its middle at (115, 110).
    let image = chest(250, 220, [45..185, 70..150], |level| level);
    let square = Square::around(&LungMask::of(&image), 0.1, 250, 220).expect("a square");
    let off = |found: i64, drawn: i64| (found - drawn).abs();
    let Square { left, top, side } = square;
    assert!(off(side as i64, 168) <= 2 * NEAR && off(left, 31) <= NEAR && off(top, 26) <= NEAR, "{square:?}");
    let (framed, found) = lungs_only().framed(image.clone());
    assert_eq!((framed.width, framed.height, found), (side as u32, side as u32, Some(true)));
    // Pixel by pixel the picture's, and nothing of another size.
    for (y, row) in framed.pixels.chunks_exact(side).enumerate() {
        let from = (top as usize + y) * 250 + left as usize;
        assert_eq!(row, &image.pixels[from..from + side], "row {y}");
    }
}

#[test]
fn a_square_that_reaches_over_an_edge_is_moved_and_one_that_does_not_fit_is_padded() {
    let square = |columns, rows, side| Square::placed(columns, rows, side, 100, 60);
    // Fits: in the middle of 40..60 and 20..40.
    assert_eq!(square((40, 60), (20, 40), 30), Square { left: 35, top: 15, side: 30 });
    // Over the left and the lower edge: moved.
    assert_eq!(square((0, 10), (50, 60), 20), Square { left: 0, top: 40, side: 20 });
    // Higher than the picture: 10 black rows above, 10 below.
    assert_eq!(square((20, 80), (5, 55), 80), Square { left: 10, top: -10, side: 80 });
    let image = GreyImage { width: 100, height: 60, pixels: vec![7; 6000] };
    let padded = square((20, 80), (5, 55), 80).area().of_picture(&image);
    let rows: Vec<&[u8]> = padded.pixels.chunks_exact(80).collect();
    assert!(rows[..10].iter().chain(&rows[70..]).all(|row| *row == [0; 80]));
    assert!(rows[10..70].iter().all(|row| *row == [7; 80]));
    // Wide lungs: the side is at most the picture's longer one.
    let mask = LungMask { width: 100, height: 60, inside: vec![true; 6000] };
    assert_eq!(Square::around(&mask, 0.5, 100, 60), Some(Square { left: 0, top: -20, side: 100 }));
    // A mask of half the size, and pixels that it cuts.
    let mut half = LungMask { width: 50, height: 30, inside: vec![false; 1500] };
    half.inside[10 * 50 + 20..10 * 50 + 30].fill(true);
    assert_eq!(Square::around(&half, 0.0, 100, 60), Some(Square { left: 40, top: 11, side: 20 }));
    // Columns 39 to 60 of 99, in which the box's edges lie at 39.6 and 59.4; an odd rest goes below.
    assert_eq!(Square::around(&half, 0.0, 99, 60), Some(Square { left: 39, top: 10, side: 21 }));
}

#[test]
fn the_box_of_the_lungs_ends_at_the_picture_and_becomes_the_networks_square() {
    let mut mask = LungMask { width: 50, height: 30, inside: vec![false; 1500] };
    (10..20).for_each(|y| mask.inside[y * 50 + 20..y * 50 + 49].fill(true));
    // Columns 40 to 98 and rows 20 to 40 of a picture of twice the size; a tenth more at each end, but not beyond its edge.
    assert_eq!(Area::boxed(&mask, 0.1, 100, 60), Some(Area { left: 34, top: 18, width: 66, height: 24 }));
    assert_eq!(Area::boxed(&LungMask { inside: vec![false; 1500], ..mask }, 0.1, 100, 60), None);
    let image = chest(250, 220, [45..185, 70..150], |level| level);
    let boxed = Preprocess { crop: Crop::LungBox { margin: 0.0 }, ..Preprocess::default() };
    let (framed, found) = boxed.framed(image.clone());
    let off = |found: u32, drawn: u32| found.abs_diff(drawn);
    assert!(off(framed.width, 140) <= 2 * NEAR as u32 && off(framed.height, 80) <= 2 * NEAR as u32, "{framed:?}");
    assert_eq!(found, Some(true));
    // Without lungs the picture stays as it is.
    let abdomen = chest(200, 120, [30..170, 30..90], |level| if level == 60 { 190 } else { level });
    assert_eq!(boxed.framed(abdomen.clone()), (abdomen, Some(false)));
}

#[test]
fn without_plausible_lungs_the_whole_picture_is_kept_and_made_square() {
    let abdomen = chest(200, 120, [30..170, 30..90], |level| if level == 60 { 190 } else { level });
    let (framed, found) = lungs_only().framed(abdomen.clone());
    assert_eq!((framed.width, framed.height, found), (200, 200, Some(false)));
    assert_eq!(framed.pixels[40 * 200..160 * 200], abdomen.pixels);
    assert!(framed.pixels[..40 * 200].iter().chain(&framed.pixels[160 * 200..]).all(|level| *level == 0));
    // Lungs that fill the picture are in a crop already.
    let tight =
        GreyImage { width: 90, height: 90, pixels: (0..8100).map(|at| if at % 90 == 45 { 200 } else { 40 }).collect() };
    assert_eq!(lungs_only().framed(tight.clone()), (tight, Some(false)));
    let nothing = GreyImage { width: 0, height: 0, pixels: Vec::new() };
    assert_eq!(lungs_only().framed(nothing.clone()), (nothing, Some(false)));
}

#[test]
fn the_mask_of_a_cropped_picture_lies_on_its_lungs() {
    let image = chest(250, 220, [45..185, 70..150], |level| level);
    let (framed, _) = lungs_only().framed(image.clone());
    let mask = lungs_only().framed_lungs(&image);
    assert_eq!((mask.width, mask.height), (framed.width, framed.height));
    let agree = mask.inside.iter().zip(&framed.pixels).filter(|(inside, level)| **inside == (**level == 60)).count();
    assert!(agree as f64 > 0.97 * mask.inside.len() as f64, "{agree} of {}", mask.inside.len());
    assert_eq!(Preprocess::default().framed_lungs(&image), LungMask::of(&image));
}

#[test]
fn lung_and_tissue_come_to_the_stated_levels_whatever_the_window_was() {
    let lungs = || [45..185, 70..150];
    // As drawn, in a window of a quarter of the contrast ("nearly black"), and a bright one.
    for grey in [|level: u8| level, |level: u8| level / 4, |level: u8| 100 + level / 2] {
        let (framed, found) = stretched().framed(chest(250, 220, lungs(), grey));
        let level = |drawn: u8| {
            let at = chest(250, 220, lungs(), |level| level).pixels.iter().position(|level| *level == drawn);
            framed.pixels[at.expect("drawn")]
        };
        assert_eq!((level(60), level(190), found), (20, 220, Some(true)));
    }
    // By hand: 60 to 20 and 190 to 220, so 10 to 20 − 50 · 200/130 < 0.
    let (framed, _) = stretched().framed(chest(250, 220, lungs(), |level| level));
    assert_eq!(framed.pixels[0], 0);
    // Bone moves neither level: a twentieth of the body.
    let mut bone = chest(250, 220, lungs(), |level| level);
    (160..170).for_each(|y| bone.pixels[y * 250 + 60..y * 250 + 170].fill(255));
    let (framed, _) = stretched().framed(bone);
    assert_eq!(
        (framed.pixels[80 * 250 + 60], framed.pixels[155 * 250 + 60], framed.pixels[165 * 250 + 100]),
        (20, 220, 255)
    );
}

#[test]
fn without_lungs_air_and_tissue_are_stretched_and_flat_pictures_stay() {
    let abdomen = chest(200, 160, [30..170, 40..120], |level| if level == 60 { 190 } else { level });
    let (framed, found) = stretched().framed(abdomen.clone());
    assert_eq!((framed.pixels[0], framed.pixels[80 * 200 + 100], found), (20, 220, Some(false)));
    assert_eq!((framed.width, framed.height), (200, 160), "not cropped");
    for level in [0, 7, 128, 255] {
        let flat = GreyImage { width: 40, height: 30, pixels: vec![level; 1200] };
        assert_eq!(stretched().framed(flat.clone()).0, flat);
    }
    let noise = GreyImage { width: 64, height: 64, pixels: (0..4096_u32).map(|at| 90 + (at * at % 7) as u8).collect() };
    assert_eq!(stretched().framed(noise.clone()).0, noise, "7 levels are noise");
}

#[test]
fn crop_and_stretch_change_the_key_and_what_they_are_not_asked_for_does_not() {
    let manifest = Digest::of(b"a manifest");
    let base = Preprocess::default();
    let text = format!("{manifest} luma-u8 bilinear-antialiased 224 Packed window lung");
    assert_eq!(base.cache_key(&manifest), Digest::of(text.as_bytes()).short(), "caches from before stay valid");
    let with = |crop, stretch| Preprocess { crop, stretch, ..base.clone() };
    let keys: std::collections::BTreeSet<String> = [
        base.clone(),
        with(Crop::LUNGS, Stretch::AsIs),
        with(Crop::Lungs { margin: 0.1 }, Stretch::AsIs),
        with(Crop::Whole, Stretch::LungToTissue),
        with(Crop::LUNGS, Stretch::LungToTissue),
    ]
    .iter()
    .map(|preprocess| preprocess.cache_key(&manifest))
    .collect();
    assert_eq!(keys.len(), 5);
    let left_out = Preprocess { without_lungs: WithoutLungs::LeaveOut, ..lungs_only() };
    assert_eq!(left_out.cache_key(&manifest), lungs_only().cache_key(&manifest), "a choice of slices, not of pixels");
}

#[test]
fn settings_are_written_and_read_and_old_files_have_the_defaults() {
    let old = r#"{ "size": 224, "mean": 0.5, "std": 0.5, "storage": "packed", "window": "lung" }"#;
    assert_eq!(serde_json::from_str::<Preprocess>(old).expect("reads"), Preprocess::default());
    let written = serde_json::to_string(&Preprocess::default()).expect("writes");
    assert!(!written.contains("crop") && !written.contains("stretch") && !written.contains("without"), "{written}");
    let all = Preprocess {
        crop: Crop::Lungs { margin: 0.125 },
        stretch: Stretch::LungToTissue,
        without_lungs: WithoutLungs::LeaveOut,
        ..Preprocess::default()
    };
    let text = serde_json::to_string(&all).expect("writes");
    assert_eq!(serde_json::from_str::<Preprocess>(&text).expect("reads"), all);
    for crop in [Crop::Whole, Crop::LUNGS, Crop::Lungs { margin: 0.125 }] {
        assert_eq!(crop.to_string().parse::<Crop>().expect("reads"), crop);
    }
    for stretch in Stretch::ALL {
        assert_eq!(stretch.to_string().parse::<Stretch>().expect("reads"), stretch);
        assert_eq!(serde_json::to_string(&stretch).expect("writes"), format!("\"{stretch}\""));
    }
    for wrong in ["lung", "lungs:2", "lungs:x", "lungs:-0.1", "lungs:NaN", ""] {
        assert!(wrong.parse::<Crop>().is_err(), "{wrong}");
    }
    assert!("percent".parse::<Stretch>().is_err());
}

#[test]
fn values_that_cannot_work_are_named() {
    let base = Preprocess::default();
    for (wrong, field) in [
        (Preprocess { crop: Crop::Lungs { margin: -0.1 }, ..base.clone() }, "preprocess.crop"),
        (Preprocess { crop: Crop::Lungs { margin: f64::NAN }, ..base.clone() }, "preprocess.crop"),
        (Preprocess { without_lungs: WithoutLungs::LeaveOut, ..base.clone() }, "preprocess.without_lungs"),
        (Preprocess { size: 8, ..base.clone() }, "preprocess.size"),
        (Preprocess { std: 0.0, ..base.clone() }, "preprocess.std"),
    ] {
        let error = wrong.check().expect_err(field).to_string();
        assert!(error.starts_with(field), "{error}");
    }
    let left_out = |of: Preprocess| Preprocess { without_lungs: WithoutLungs::LeaveOut, ..of };
    for right in [base, lungs_only(), stretched(), left_out(lungs_only()), left_out(stretched())] {
        right.check().expect("works");
    }
}
