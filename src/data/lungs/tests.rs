//! Slices drawn by hand: ellipses of tissue, lung and lesion with known areas.

use super::LungMask;
use crate::data::pixels::GreyImage;

/// Centre and half-axes as shares of the picture's sides.
type TestEllipse = [f64; 4];

const BODY: TestEllipse = [0.5, 0.5, 0.46, 0.36];
const LUNGS: [TestEllipse; 2] = [[0.31, 0.48, 0.13, 0.24], [0.69, 0.48, 0.13, 0.24]];
const TRACHEA: TestEllipse = [0.5, 0.42, 0.022, 0.022];
const SPINE: TestEllipse = [0.5, 0.72, 0.06, 0.06];

fn holds([cx, cy, rx, ry]: TestEllipse, x: f64, y: f64) -> bool {
    ((x - cx) / rx).powi(2) + ((y - cy) / ry).powi(2) <= 1.0
}

/// Calls `level` with the place of each pixel's centre, as shares of the picture's sides.
fn draw(width: u32, height: u32, level: impl Fn(f64, f64) -> u8) -> GreyImage {
    let place = |i: u32, n: u32| (f64::from(i) + 0.5) / f64::from(n);
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    GreyImage { width, height, pixels: pixels.map(|(x, y)| level(place(x, width), place(y, height))).collect() }
}

/// A chest in a lung window: air 10, lung 55, soft tissue 190, bone 240.
fn chest(x: f64, y: f64) -> u8 {
    if !holds(BODY, x, y) || holds(TRACHEA, x, y) {
        10
    } else if in_lungs(x, y) {
        // Vessels.
        if (x * 40.0).sin() * (y * 40.0).sin() > 0.97 { 180 } else { 55 }
    } else if holds(SPINE, x, y) {
        240
    } else {
        190
    }
}

fn in_lungs(x: f64, y: f64) -> bool {
    LUNGS.iter().any(|lung| holds(*lung, x, y))
}

/// Twice the area in common over the sum of both areas (Dice, "Measures of the Amount of Ecologic Association Between
/// Species", Ecology 26, 1945).
fn dice(a: &[bool], b: &[bool]) -> f64 {
    let count = |on: &mut dyn Iterator<Item = bool>| on.filter(|on| *on).count() as f64;
    let both = count(&mut a.iter().zip(b).map(|(a, b)| *a && *b));
    2.0 * both / (count(&mut a.iter().copied()) + count(&mut b.iter().copied()))
}

fn expect(mask: &LungMask, truth: impl Fn(f64, f64) -> bool, at_least: f64) {
    let truth = draw(mask.width, mask.height, |x, y| u8::from(truth(x, y))).pixels;
    let found = dice(&mask.inside, &truth.iter().map(|p| *p == 1).collect::<Vec<_>>());
    assert!(found > at_least, "Dice {found} in {}x{}", mask.width, mask.height);
    assert!(mask.is_plausible());
}

#[test]
fn lungs_drawn_are_lungs_found_in_every_size() {
    for (width, height) in [(512, 512), (630, 630), (392, 261), (1671, 1020), (128, 128), (64, 64)] {
        let mask = LungMask::of(&draw(width, height, chest));
        expect(&mask, in_lungs, if width > 100 { 0.97 } else { 0.93 });
        assert_eq!(mask.lungs(), 2);
    }
    let area = LUNGS.iter().map(|l| std::f64::consts::PI * l[2] * l[3]).sum::<f64>();
    assert!((LungMask::of(&draw(512, 512, chest)).share() / area - 1.0).abs() < 0.02);
}

#[test]
fn the_window_does_not_matter() {
    // A window of the mediastinum (lung black, bone white) and a flat one.
    expect(&LungMask::of(&draw(512, 512, |x, y| chest(x, y).saturating_sub(80).saturating_mul(2))), in_lungs, 0.97);
    expect(&LungMask::of(&draw(512, 512, |x, y| 80 + chest(x, y) / 3)), in_lungs, 0.97);
    // One with bright vessels of contrast agent in it.
    let agent = |x: f64, y: f64| {
        if holds([0.5, 0.45, 0.08, 0.12], x, y) { 255 } else { (chest(x, y).saturating_sub(100)) / 2 }
    };
    expect(&LungMask::of(&draw(512, 512, agent)), in_lungs, 0.97);
}

#[test]
fn a_lesion_at_the_chest_wall_stays_inside() {
    let lesion = [0.205, 0.5, 0.04, 0.06];
    let slice = draw(512, 512, |x, y| if in_lungs(x, y) && holds(lesion, x, y) { 185 } else { chest(x, y) });
    let mask = LungMask::of(&slice);
    expect(&mask, in_lungs, 0.97);
    let lesion = draw(512, 512, |x, y| u8::from(in_lungs(x, y) && holds(lesion, x, y))).pixels;
    let all = lesion.iter().filter(|p| **p == 1).count();
    let found = lesion.iter().zip(&mask.inside).filter(|(p, inside)| **p == 1 && **inside).count();
    assert!(found * 100 > all * 90, "{found} of {all}");
}

#[test]
fn table_disc_page_and_arrow_do_not_count() {
    let table = |x: f64, y: f64| holds([0.5, 0.5, 0.6, 0.372], x, y) && !holds([0.5, 0.5, 0.6, 0.365], x, y) && y > 0.7;
    expect(&LungMask::of(&draw(512, 512, |x, y| if table(x, y) { 220 } else { chest(x, y) })), in_lungs, 0.97);
    // Grey air inside a disc, black corners around it.
    let disc = |x: f64, y: f64| if holds([0.5, 0.5, 0.5, 0.5], x, y) { chest(x, y).max(60) } else { 0 };
    expect(&LungMask::of(&draw(512, 512, disc)), in_lungs, 0.97);
    let page = |x: f64, y: f64| if (0.04..0.96).contains(&x) && y > 0.1 { chest(x, y) } else { 255 };
    expect(&LungMask::of(&draw(512, 512, page)), in_lungs, 0.97);
    let arrow = |x: f64, y: f64| if (0.27..0.33).contains(&x) && (0.4..0.42).contains(&y) { 255 } else { chest(x, y) };
    expect(&LungMask::of(&draw(512, 512, arrow)), in_lungs, 0.97);
}

#[test]
fn a_tight_crop_cuts_through_the_lungs() {
    let crop = |x: f64, y: f64| (0.22 + 0.56 * x, 0.26 + 0.44 * y);
    let slice = draw(360, 240, |x, y| chest(crop(x, y).0, crop(x, y).1));
    expect(&LungMask::of(&slice), |x, y| in_lungs(crop(x, y).0, crop(x, y).1), 0.97);
}

#[test]
fn lungs_that_touch_are_one_part_and_whole() {
    let bridge = [0.5, 0.32, 0.12, 0.012];
    let joined = |x: f64, y: f64| in_lungs(x, y) || holds(bridge, x, y);
    let mask = LungMask::of(&draw(512, 512, |x, y| if joined(x, y) { 55 } else { chest(x, y) }));
    expect(&mask, joined, 0.97);
}

#[test]
fn without_lungs_nothing_is_plausible() {
    let black = |x: f64, y: f64| ((x * 1e4 + y * 7e4) as u32 % 7) as u8;
    let abdomen = |x: f64, y: f64| if in_lungs(x, y) { 190 } else { chest(x, y) };
    for slice in [draw(512, 512, black), draw(512, 512, |_, _| 255), draw(512, 512, abdomen), draw(512, 512, |_, _| 0)]
    {
        let mask = LungMask::of(&slice);
        assert!(!mask.is_plausible(), "{} in {}", mask.share(), mask.lungs());
        assert_eq!(mask.share_outside(&vec![1.0; mask.inside.len()]), None);
    }
    for (width, height, count) in [(0, 0, 0), (1, 1, 1), (1, 40, 40), (40, 1, 40), (3, 2, 5)] {
        let mask = LungMask::of(&GreyImage { width, height, pixels: vec![9; count] });
        assert_eq!((mask.inside.len(), mask.is_plausible()), ((width * height) as usize, false));
    }
}

#[test]
fn turned_and_resized_pictures_have_the_same_lungs() {
    let upright = LungMask::of(&draw(512, 512, chest));
    expect(&LungMask::of(&draw(512, 512, |x, y| chest(y, 1.0 - x))), |x, y| in_lungs(y, 1.0 - x), 0.97);
    let tilted =
        |x: f64, y: f64| (0.5 + (x - 0.5) * 0.95 + (y - 0.5) * 0.31, 0.5 + (y - 0.5) * 0.95 - (x - 0.5) * 0.31);
    let slice = draw(512, 512, |x, y| chest(tilted(x, y).0, tilted(x, y).1));
    expect(&LungMask::of(&slice), |x, y| in_lungs(tilted(x, y).0, tilted(x, y).1), 0.97);
    let small = LungMask::of(&draw(224, 224, chest));
    assert!(dice(&small.inside, &upright.resized(224, 224).inside) > 0.97);
    assert!(dice(&upright.inside, &small.resized(512, 512).inside) > 0.97);
}

#[test]
fn heat_is_shared_out() {
    let mask = LungMask::of(&draw(512, 512, chest)).resized(16, 16);
    let heat = |inside: f32, outside: f32| -> Vec<f32> {
        mask.inside.iter().map(|on| if *on { inside } else { outside }).collect()
    };
    assert_eq!(mask.share_outside(&heat(1.0, 0.0)), Some(0.0));
    assert_eq!(mask.share_outside(&heat(0.0, 0.5)), Some(1.0));
    let share = mask.share_outside(&heat(1.0, 1.0)).expect("heat");
    assert!((share - (1.0 - mask.share())).abs() < 1e-12);
    assert_eq!(mask.share_outside(&heat(0.0, 0.0)), None);
    assert_eq!(mask.share_outside(&heat(1.0, f32::NAN)), None);
    assert_eq!(mask.share_outside(&heat(1.0, -1.0)), None);
    assert_eq!(mask.share_outside(&[1.0]), None);
}
