//! Warps, contrast and gamma of the augmentation compared with torchvision's, which `reference_augment.py` runs once.

use crate::support::{folder, run_python};
use covid_ct::tch::{Kind, Tensor};
use covid_ct::{Augmentation, GreyImage};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use std::collections::BTreeMap;

/// Flip, angle, shift, scale.
type Warp = (bool, f64, (f64, f64), f64);

const FIXED: [Warp; 8] = [
    (false, 0.0, (0.0, 0.0), 1.0),
    (true, 0.0, (0.0, 0.0), 1.0),
    (false, 0.0, (7.0, -3.0), 1.0),
    (false, 0.0, (0.25, -40.5), 1.0),
    (false, 90.0, (0.0, 0.0), 1.0),
    (true, 10.0, (13.44, -13.44), 1.1),
    (true, -180.0, (2.0, 1.0), 0.5),
    (false, 33.0, (300.0, 0.0), 1.5),
];

/// Smooth with some noise, as a slice is.
fn picture(width: u32, height: u32, random: &mut ChaCha8Rng) -> GreyImage {
    let level = |at: u32| {
        let (x, y) = (f64::from(at % width), f64::from(at / width));
        120.0 + 100.0 * (x / 9.0).sin() * (y / 14.0).cos()
    };
    let pixels = (0..width * height).map(|at| (level(at) + random.gen_range(-12.0..12.0)) as u8).collect();
    GreyImage { width, height, pixels }
}

fn tensor(image: &GreyImage) -> Tensor {
    Tensor::from_slice(&image.pixels).view([1, i64::from(image.height), i64::from(image.width)])
}

/// The largest and the mean difference in grey levels.
fn off(ours: &GreyImage, theirs: &Tensor) -> (f64, f64) {
    let difference = (tensor(ours).to_kind(Kind::Double) - theirs.to_kind(Kind::Double)).abs();
    let number = |tensor: Tensor| f64::try_from(tensor).expect("a number");
    (number(difference.max()), number(difference.mean(Kind::Double)))
}

#[test]
fn warps_and_tones_are_torchvisions() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let images = [picture(224, 224, &mut random), picture(97, 64, &mut random), picture(300, 310, &mut random)];
    let mut warps = FIXED.to_vec();
    for _ in 0..40 {
        let mut within = |most: f64| random.gen_range(-most..most);
        warps.push((within(1.0) > 0.0, within(180.0), (within(60.0), within(60.0)), 1.0 + within(0.5)));
    }
    let contrasts = [0.0, 0.5, 0.85, 1.0, 1.15, 2.0];
    let gammas = [0.5, 1.0 / 1.15, 1.0, 1.15, 2.2];
    let brightness = [-0.3, -0.1, 0.0, 0.1, 0.3];

    let folder = folder();
    let named: Vec<(String, Tensor)> = images.iter().enumerate().map(|(at, i)| (at.to_string(), tensor(i))).collect();
    Tensor::write_safetensors(&named, folder.path().join("images.safetensors")).expect("writes");
    let cases = json!({ "warps": warps, "contrasts": contrasts, "gammas": gammas, "brightness": brightness });
    std::fs::write(folder.path().join("cases.json"), cases.to_string()).expect("writes");
    run_python("reference_augment.py", &[folder.path().to_str().expect("UTF-8")]);
    let answers = Tensor::read_safetensors(folder.path().join("answers.safetensors")).expect("reads");
    let answers: BTreeMap<String, Tensor> = answers.into_iter().collect();

    for (number, image) in images.iter().enumerate() {
        for (case, &(flip, angle, shift, scale)) in warps.iter().enumerate() {
            let ours = Augmentation::warped(image, flip, angle, shift, scale).expect("warps");
            let (most, mean) = off(&ours, &answers[&format!("{number}.warp.{case}")]);
            // Both round bilinear means, which they compute in another precision; torchvision rounds halves to even.
            assert!(most <= 1.0 && mean < 0.1, "image {number}, {:?}: {most} off, {mean} in the mean", warps[case]);
            assert!(case > 2 || most == 0.0, "image {number}, {:?} is exact in both", warps[case]);
        }
        let tone =
            |brightness, contrast, gamma| Augmentation::toned(image, brightness, contrast, gamma).expect("changes");
        let tones = brightness.iter().enumerate().map(|(case, b)| ("brightness", case, tone(*b, 1.0, 1.0)));
        let tones = tones.chain(contrasts.iter().enumerate().map(|(case, c)| ("contrast", case, tone(0.0, *c, 1.0))));
        let tones = tones.chain(gammas.iter().enumerate().map(|(case, g)| ("gamma", case, tone(0.0, 1.0, *g))));
        for (what, case, ours) in tones {
            let (most, _) = off(&ours, &answers[&format!("{number}.{what}.{case}")]);
            // torchvision cuts fractions off, here they are rounded.
            assert!(most <= 1.0, "image {number}, {what} {case}: {most} off");
        }
    }
}
