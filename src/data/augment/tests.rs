use super::variation::Rectangle;
use super::*;
use crate::data::cache::SliceCache;
use crate::data::manifest::Manifest;
use crate::data::phantom::{PhantomConfig, draw_phantom};
use crate::data::preprocess::Preprocess;
use crate::data::split::{Split, SplitConfig, Subset};

/// A picture with no two equal neighbours and no symmetry.
fn picture(width: u32, height: u32) -> GreyImage {
    let pixels = (0..width * height).map(|at| (at % width * 7 + at / width * 13 + 3) as u8).collect();
    GreyImage { width, height, pixels }
}

fn warped(image: &GreyImage, flip: bool, angle: f64, shift: (f64, f64), scale: f64) -> Vec<u8> {
    Augmentation::warped(image, flip, angle, shift, scale).expect("warps").pixels
}

/// The picture whose pixel x, y is that of the source that `place` names; black without one.
fn rearranged(image: &GreyImage, place: impl Fn(i64, i64) -> (i64, i64)) -> Vec<u8> {
    let (width, height) = (i64::from(image.width), i64::from(image.height));
    let pixel = |at: i64| {
        let (x, y) = place(at % width, at / width);
        let is_inside = (0..width).contains(&x) && (0..height).contains(&y);
        if is_inside { image.pixels[(y * width + x) as usize] } else { 0 }
    };
    (0..width * height).map(pixel).collect()
}

#[test]
fn moves_onto_whole_pixels_are_exact() {
    for image in [picture(9, 9), picture(12, 7), picture(224, 224), picture(1, 1), picture(1, 5)] {
        let (width, height) = (i64::from(image.width), i64::from(image.height));
        assert_eq!(warped(&image, false, 0.0, (0.0, 0.0), 1.0), image.pixels);
        assert_eq!(warped(&image, false, 360.0, (0.0, 0.0), 1.0), image.pixels);
        let flipped = rearranged(&image, |x, y| (width - 1 - x, y));
        assert_eq!(warped(&image, true, 0.0, (0.0, 0.0), 1.0), flipped);
        assert_eq!(warped(&image, true, -360.0, (0.0, 0.0), 1.0), flipped);
        let half_turn = rearranged(&image, |x, y| (width - 1 - x, height - 1 - y));
        assert_eq!(warped(&image, false, 180.0, (0.0, 0.0), 1.0), half_turn);
        for (right, down) in [(3, 0), (0, -2), (-4, 5), (width, 0), (0, -height), (400, 400)] {
            let moved = warped(&image, false, 0.0, (right as f64, down as f64), 1.0);
            assert_eq!(moved, rearranged(&image, |x, y| (x - right, y - down)), "{width}x{height} by {right}, {down}");
            let both = warped(&image, true, 0.0, (right as f64, down as f64), 1.0);
            assert_eq!(both, rearranged(&image, |x, y| (width - 1 - (x - right), y - down)), "mirrored first");
        }
    }
    // A quarter turn clockwise: the left column becomes the top row, from its lower end.
    let square = picture(9, 9);
    assert_eq!(warped(&square, false, 90.0, (0.0, 0.0), 1.0), rearranged(&square, |x, y| (y, 8 - x)));
}

#[test]
fn pixels_between_others_are_bilinear_means_and_black_outside() {
    let image = GreyImage { width: 3, height: 2, pixels: vec![100, 200, 40, 20, 60, 80] };
    // Half a pixel to the right: 100/2, 300/2, 240/2 and so on.
    assert_eq!(warped(&image, false, 0.0, (0.5, 0.0), 1.0), [50, 150, 120, 10, 40, 70]);
    // Half a pixel up: the rows' means, then half of the lower row.
    assert_eq!(warped(&image, false, 0.0, (0.0, -0.5), 1.0), [60, 130, 60, 10, 30, 40]);
    // Twice as large: from -1, -0.5, … about the centre (1, 0.5): x 0.5, 1, 1.5; y 0.25, 0.75.
    assert_eq!(warped(&image, false, 0.0, (0.0, 0.0), 2.0), [123, 165, 108, 68, 95, 83]);
}

#[test]
fn grey_levels_follow_the_formulas() {
    let ramp = GreyImage { width: 16, height: 16, pixels: (0..=255).collect() };
    let toned = |b, c, g| Augmentation::toned(&ramp, b, c, g).expect("changes").pixels;
    assert_eq!(toned(0.0, 1.0, 1.0), ramp.pixels);
    for (brightness, contrast, gamma) in
        [(0.1, 1.0, 1.0), (-0.25, 1.0, 1.0), (0.0, 1.3, 1.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.7), (0.07, 1.15, 1.15)]
    {
        let brighter: Vec<f64> = (0..256).map(|p| (f64::from(p) + 255.0 * brightness).clamp(0.0, 255.0)).collect();
        let mean = brighter.iter().sum::<f64>() / 256.0;
        let expected = brighter.iter().map(|level| {
            let level = (contrast * level + (1.0 - contrast) * mean).clamp(0.0, 255.0);
            255.0 * (level / 255.0).powf(gamma)
        });
        for (level, (found, expected)) in toned(brightness, contrast, gamma).iter().zip(expected).enumerate() {
            let off = (f64::from(*found) - expected).abs();
            assert!(off <= 0.5 + 1e-9, "{level} became {found}, not {expected}: {brightness} {contrast} {gamma}");
        }
    }
    // By hand: white times 1.5 about a mean of 127.5 stays white, 100 goes down by half its distance.
    assert_eq!([toned(0.0, 1.5, 1.0)[255], toned(0.0, 1.5, 1.0)[100], toned(0.2, 1.0, 1.0)[100]], [255, 86, 151]);
}

#[test]
fn noise_is_normal_and_has_no_pattern() {
    let side = 224;
    let augmentation = Augmentation { noise: 0.04, ..Augmentation::default() };
    let mut pixels = vec![128; 8 * side * side];
    augmentation.apply_to_batch(&mut pixels, side, &[0, 1, 2, 3, 4, 5, 6, 7], (5, 0)).expect("adds noise");
    let noise: Vec<f64> = pixels.iter().map(|pixel| f64::from(*pixel) - 128.0).collect();
    let mean_of = |products: &mut dyn Iterator<Item = f64>| products.sum::<f64>() / noise.len() as f64;
    let mean = mean_of(&mut noise.iter().copied());
    let variance = mean_of(&mut noise.iter().map(|z| z * z));
    let kurtosis = mean_of(&mut noise.iter().map(|z| z.powi(4))) / variance.powi(2);
    // Rounding adds a variance of 1/12. The mean of 401,408 pixels has a standard deviation of 0.016 grey levels.
    let expected = (0.04 * 255.0_f64).powi(2) + 1.0 / 12.0;
    assert!(mean.abs() < 0.05, "mean {mean}");
    assert!((variance / expected - 1.0).abs() < 0.015, "variance {variance}, expected {expected}");
    assert!((kurtosis - 3.0).abs() < 0.1, "kurtosis {kurtosis}");
    for distance in [1, 2, side, side + 1, 256, 512, side * side] {
        let together = mean_of(&mut noise.iter().zip(&noise[distance..]).map(|(a, b)| a * b)) / variance;
        assert!(together.abs() < 0.01, "pixels {distance} apart have a correlation of {together}");
    }
}

#[test]
fn erased_rectangles_have_the_sizes_of_the_paper_and_lie_everywhere() {
    let (side, area) = (224, 224.0 * 224.0);
    let always = Augmentation { erase: 1.0, ..Augmentation::default() };
    let (mut smallest, mut largest, mut seen) = (f64::MAX, 0.0_f64, vec![false; side * side]);
    for slice in 0..400 {
        let drawn = Variation::drawn(&always, side, Draw { seed: 1, epoch: 0, slice }).erased;
        let Rectangle { left, top, width, height } = drawn.expect("erases");
        assert!(left + width <= side && top + height <= side);
        let share = (width * height) as f64 / area;
        let aspect = height as f64 / width as f64;
        // Sides are rounded to whole pixels.
        assert!(share > 0.95 * Rectangle::AREA.0 && share < 1.02 * Rectangle::AREA.1, "{share}");
        assert!(aspect > 0.95 * Rectangle::ASPECT.0 && aspect < 1.05 * Rectangle::ASPECT.1, "{aspect}");
        (smallest, largest) = (smallest.min(share), largest.max(share));
        (top..top + height).for_each(|y| seen[y * side + left..y * side + left + width].fill(true));
    }
    assert!(smallest < 0.025 && largest > 0.195, "{smallest} to {largest}");
    assert!(seen.iter().filter(|seen| **seen).count() as f64 > 0.95 * area);

    let often = Augmentation { erase: 0.3, ..Augmentation::default() };
    let image = picture(64, 64);
    let mean = image.pixels.iter().map(|pixel| f64::from(*pixel)).sum::<f64>() / 4096.0;
    let mut erased = 0;
    for slice in 0..400 {
        let mut pixels = image.pixels.clone();
        often.apply_to_batch(&mut pixels, 64, &[slice], (1, 0)).expect("erases");
        let changed: Vec<u8> = pixels.iter().zip(&image.pixels).filter(|(a, b)| a != b).map(|(a, _)| *a).collect();
        erased += usize::from(!changed.is_empty());
        assert!(changed.iter().all(|pixel| *pixel == mean.round() as u8));
        assert!(changed.len() < 840, "{} pixels", changed.len());
    }
    assert!((80..160).contains(&erased), "{erased} of 400");
}

#[test]
fn draws_fill_their_ranges_and_one_setting_does_not_move_another() {
    let all = Augmentation { erase: 0.5, ..Augmentation::gentle() };
    let drawn = |of: &Augmentation, slice| Variation::drawn(of, 200, Draw { seed: 9, epoch: 2, slice });
    let range = |number: &dyn Fn(&Variation) -> f64| {
        let numbers = (0..2_000).map(|slice| number(&drawn(&all, slice)));
        numbers.fold((f64::MAX, f64::MIN), |(low, high), number| (low.min(number), high.max(number)))
    };
    for (name, number, low, high) in [
        ("rotate", &(|v: &Variation| v.affine.angle) as &dyn Fn(&Variation) -> f64, -10.0, 10.0),
        ("shift across", &|v: &Variation| v.affine.shift.0, -12.0, 12.0),
        ("shift down", &|v: &Variation| v.affine.shift.1, -12.0, 12.0),
        ("scale", &|v: &Variation| v.affine.scale, 0.9, 1.1),
        ("brightness", &|v: &Variation| v.tone.brightness, -0.1, 0.1),
        ("contrast", &|v: &Variation| v.tone.contrast, 0.85, 1.15),
        ("gamma", &|v: &Variation| v.tone.gamma, 1.0 / 1.15, 1.15),
    ] {
        let (least, most) = range(number);
        let margin = 0.01 * (high - low);
        assert!(least >= low - 1e-12 && most <= high + 1e-12, "{name}: {least} to {most}");
        assert!(least < low + margin && most > high - margin, "{name}: {least} to {most}");
    }
    let flips = (0..2_000).filter(|slice| drawn(&all, *slice).affine.flip).count();
    assert!((900..1_100).contains(&flips), "{flips} of 2000");
    let rotated = Augmentation { rotate: 10.0, ..Augmentation::default() };
    assert_eq!(drawn(&rotated, 4).affine.angle, drawn(&all, 4).affine.angle);
    assert_eq!(drawn(&Augmentation::default(), 4).tone, Tone::SAME);
}

#[test]
fn a_slice_gets_the_same_in_every_batch_and_something_else_in_every_epoch() {
    let (side, each) = (40, 1_600);
    let augmentation = Augmentation { erase: 0.5, ..Augmentation::gentle() };
    let batch = |slices: &[usize], seed, epoch| {
        let mut pixels = slices.iter().flat_map(|_| picture(40, 40).pixels).collect::<Vec<u8>>();
        augmentation.apply_to_batch(&mut pixels, side, slices, (seed, epoch)).expect("augments");
        pixels
    };
    let together = batch(&[3, 8, 1, 70_000], 1, 4);
    assert_eq!(together[each..2 * each], batch(&[8], 1, 4));
    assert_eq!(together[3 * each..], batch(&[0, 70_000], 1, 4)[each..]);
    let one = batch(&[8], 1, 4);
    for other in [batch(&[8], 1, 5), batch(&[8], 2, 4), batch(&[9], 1, 4), picture(40, 40).pixels] {
        let same = one.iter().zip(&other).filter(|(a, b)| a == b).count();
        assert!(same < each / 2, "{same} of {each} pixels are equal");
    }
    let mut untouched = picture(40, 40).pixels;
    Augmentation::default().apply_to_batch(&mut untouched, side, &[8], (1, 4)).expect("does nothing");
    assert_eq!(untouched, picture(40, 40).pixels);
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let refused = |augmentation: Augmentation| augmentation.check().expect_err("refuses").to_string();
    let none = Augmentation::default;
    assert_eq!(refused(Augmentation { flip: 1.5, ..none() }), "augmentation.flip: expected 0 to 1, found 1.5");
    assert_eq!(refused(Augmentation { gamma: -1.0, ..none() }), "augmentation.gamma: expected 0 to 4, found -1");
    assert_eq!(refused(Augmentation { scale: 0.6, ..none() }), "augmentation.scale: expected 0 to 0.5, found 0.6");
    assert!(refused(Augmentation { noise: f64::NAN, ..none() }).contains("noise: expected 0 to 0.5, found NaN"));
    assert!(Augmentation::gentle().check().is_ok() && !Augmentation::gentle().is_none() && none().is_none());

    let read = |text: &str| serde_json::from_str::<Augmentation>(text);
    assert_eq!(read(r#"{"flip": 0.5}"#).expect("reads"), Augmentation { flip: 0.5, ..none() });
    assert!(read(r#"{"mirror": 0.5}"#).expect_err("refuses").to_string().contains("mirror"));

    let short = none().apply_to_batch(&mut [0; 31], 4, &[0, 1], (1, 0)).expect_err("refuses").to_string();
    assert_eq!(short, "augmenting 2 slices of 4x4 pixels: expected 32 grey levels, found 31");
    assert!(none().apply_to_batch(&mut [], 0, &[], (1, 0)).is_err());
    let image = picture(4, 4);
    assert!(Augmentation::warped(&image, false, f64::NAN, (0.0, 0.0), 1.0).is_err());
    assert!(Augmentation::warped(&image, false, 0.0, (0.0, 0.0), 0.0).is_err());
    assert!(
        Augmentation::toned(&image, 2.0, 1.0, 1.0).is_err() && Augmentation::toned(&image, 0.0, -1.0, 1.0).is_err()
    );
    let wrong = GreyImage { width: 5, ..image };
    assert!(Augmentation::warped(&wrong, false, 0.0, (0.0, 0.0), 1.0).is_err());
}

#[test]
fn settings_are_put_in_words() {
    assert_eq!(Augmentation::default().described(), "none");
    assert_eq!(
        Augmentation { erase: 0.25, ..Augmentation::gentle() }.described(),
        "flip 50 %, rotate ±10°, shift ±6 %, scale ±10 %, brightness ±10 %, contrast ±15 %, gamma 1/1.15 to 1.15, noise \
         2 %, erase 25 %"
    );
}

#[test]
fn a_cache_gives_augmented_batches_and_shows_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = PhantomConfig::tiny();
    draw_phantom(&folder.path().join("data"), &config, |_| ()).expect("draws");
    let manifest = Manifest::scan(folder.path().join("data"), |_| ()).expect("scans");
    let preprocess = Preprocess { size: 48, ..Preprocess::default() };
    let cache = SliceCache::open_or_build(folder.path(), &manifest, &preprocess, |_| ()).expect("caches");
    let augmentation = Augmentation::gentle();
    let batch = cache.augmented_grey(&[5, 2], &augmentation, (7, 1)).expect("a batch");
    assert_eq!((batch.size(), batch.kind()), (vec![2, 1, 48, 48], tch::Kind::Uint8));
    let mut alone = cache.pixels(2).expect("pixels");
    augmentation.apply_to_batch(&mut alone, 48, &[2], (7, 1)).expect("augments");
    assert_eq!(crate::nn::transfer::bytes(&batch.get(1)).expect("bytes"), alone);

    let images = cache.augmented_batch(&[5, 2], &augmentation, (7, 1), tch::Device::Cpu).expect("a batch");
    let expected = (batch.to_kind(tch::Kind::Float) / 255.0 - 0.5) / 0.5;
    assert_eq!(images.size(), [2, 3, 48, 48]);
    assert!(f64::try_from((images - expected).abs().max()).expect("a number") < 1e-6);

    let split = Split::new(&manifest, &SplitConfig::default()).expect("splits");
    let sheet = cache.augmented_sheet(&split, Subset::Train, 3, &augmentation, 7).expect("draws");
    let svg = sheet.svg();
    assert_eq!((svg.matches("<image ").count(), svg.matches("epoch 5").count()), (18, 3));
    let wrong = Augmentation { flip: 2.0, ..augmentation };
    assert!(cache.augmented_sheet(&split, Subset::Train, 3, &wrong, 7).is_err());
}
