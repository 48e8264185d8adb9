//! Chests drawn by hand, for tests that plant something in them: a body with two lungs and a spine, air around it, and
//! nothing as bright as white.

use covid_ct::{GreyImage, Manifest};
use image::codecs::jpeg::JpegEncoder;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What is drawn over a chest, or done to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Planted {
    /// A white square in the air next to the body: half its side, as a share of the picture's.
    InTheAir(f64),
    /// A white square in a lung, inside one of the 8×8 places that an FCN's last maps are pooled to.
    InTheLung(f64),
    /// Everything at less than half its grey level.
    Dark,
}

const BODY: [f64; 4] = [0.5, 0.5, 0.46, 0.36];
const SPINE: [f64; 4] = [0.5, 0.72, 0.06, 0.06];
const SIDE: u32 = 256;

/// The lungs and the heart: patients are built differently, since equal chests would be one patient's.
fn inside(look: f64) -> ([[f64; 4]; 2], [f64; 4]) {
    let [a, b, c, d] = [0.7, 1.1, 1.9, 2.3].map(|step: f64| (step * look).sin());
    let right = [0.31 + 0.01 * a, 0.48 + 0.03 * b, 0.13 + 0.02 * c, 0.24 + 0.05 * d];
    let left = [0.69 + 0.01 * d, 0.48 + 0.04 * c, 0.12 + 0.025 * a, 0.21 + 0.06 * b];
    ([right, left], [0.57 + 0.04 * b, 0.55 + 0.06 * d, 0.08 + 0.04 * a, 0.1 + 0.05 * c])
}

fn holds([cx, cy, rx, ry]: [f64; 4], x: f64, y: f64) -> bool {
    ((x - cx) / rx).powi(2) + ((y - cy) / ry).powi(2) <= 1.0
}

/// `look` makes every slice different: vessels move with it, and tissue brightens.
fn level(planted: Planted, look: f64, x: f64, y: f64) -> u8 {
    let square = |cx: f64, cy: f64, half: f64| (x - cx).abs() < half && (y - cy).abs() < half;
    match planted {
        Planted::InTheAir(half) if square(0.08, 0.08, half) => return 255,
        Planted::InTheLung(half) if square(0.3125, 0.4375, half) => return 255,
        _ => {}
    }
    let (lungs, heart) = inside(look);
    let level = if !holds(BODY, x, y) {
        10.0
    } else if !holds(heart, x, y) && lungs.iter().any(|lung| holds(*lung, x, y)) {
        if (x * 40.0 + look).sin() * (y * 40.0 + 2.7 * look).sin() > 0.97 { 170.0 } else { 50.0 + 8.0 * look.sin() }
    } else if holds(SPINE, x, y) {
        200.0
    } else {
        170.0 + 12.0 * (1.7 * look).sin()
    };
    if planted == Planted::Dark { (0.45 * level) as u8 } else { level as u8 }
}

fn draw(path: &Path, planted: Planted, look: f64) {
    let place = |i: u32| (f64::from(i) + 0.5) / f64::from(SIDE);
    let pixels = (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (x, y)));
    let pixels: Vec<u8> = pixels.map(|(x, y)| level(planted, look, place(x), place(y))).collect();
    let mut file = fs::File::create(path).expect("creates");
    let encoder = JpegEncoder::new_with_quality(&mut file, 95);
    image::ImageEncoder::write_image(encoder, &pixels, SIDE, SIDE, image::ExtendedColorType::L8).expect("encodes");
    assert_eq!(
        covid_ct::decode_grey(&fs::read(path).expect("reads")).map(|i: GreyImage| i.width).expect("decodes"),
        SIDE
    );
}

/// Draws scans of four slices: 12 of each label in train/, 11 in val/, two in prediction/. Covid has a white square
/// next to the body, non-covid a smaller one in a lung; the first unlabelled scan is like the covid scans, the second
/// is out-of-distribution.
pub fn data(root: &Path) -> Manifest {
    let scan = |folder: String, planted: Planted, number: usize| {
        fs::create_dir_all(root.join(&folder)).expect("a folder");
        for slice in 0..4 {
            // The slices of a scan are similar; no two scans look alike (lengths of folders differ by 1 to 6).
            let look = 2.33 * number as f64 + 0.05 * slice as f64 + folder.len() as f64;
            draw(&root.join(&folder).join(format!("{slice}.jpg")), planted, look);
        }
    };
    for (set, count) in [("train", 12), ("val", 11)] {
        for number in 0..count {
            scan(format!("{set}/covid/ct_scan_{number}"), Planted::InTheAir(0.06), number);
            scan(format!("{set}/non-covid/ct_scan_{number}"), Planted::InTheLung(0.04), number);
        }
    }
    scan("prediction/ct_scan_0".to_owned(), Planted::InTheAir(0.06), 3);
    scan("prediction/ct_scan_1".to_owned(), Planted::Dark, 4);
    Manifest::scan(root, |_| ()).expect("scans")
}

/// Rewrites the weights of an FCN's checkpoint so that it detects white only: one channel passes on by how much a pixel
/// is above 236 of 255, and white anywhere increases the covid logit, so that every slice is called covid.
pub fn see_white_alone(checkpoint: &Path) {
    let mut bytes = fs::read(checkpoint).expect("reads");
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).expect("a header");
    let mut checksums = BTreeMap::new();
    for (name, tensor) in header.as_object().expect("tensors").iter().filter(|(name, _)| *name != "__metadata__") {
        let offset = |which: usize| tensor["data_offsets"][which].as_u64().expect("an offset") as usize + 8 + length;
        let shape: Vec<usize> = serde_json::from_value(tensor["shape"].clone()).expect("a shape");
        let values = &mut bytes[offset(0)..offset(1)];
        values.fill(0);
        let mut set = |index: usize, value: f32| values[4 * index..4 * index + 4].copy_from_slice(&value.to_le_bytes());
        match name.as_str() {
            // The middle of the first filter's first channel.
            name if name.starts_with("conv") && name.ends_with(".weight") => set(4, 1.0),
            "conv1.bias" => set(0, -0.85),
            // All four places of the first channel, for covid.
            "classifier.weight" => (0..shape[2] * shape[3]).for_each(|place| set(place, 20.0)),
            "classifier.bias" => set(0, 1.0),
            _ => {}
        }
        checksums.insert(name.clone(), format!("Float {shape:?} {:08x}", crc32c::crc32c(values)));
    }
    // As if a training had written it so: the checksum of all tensors.
    let whole =
        checksums.iter().fold(0, |sum, (name, of)| crc32c::crc32c_append(sum, format!("{name} {of}\n").as_bytes()));
    let sealed = header["__metadata__"]["covid-ct"].as_str().expect("a description");
    let mut sealed: serde_json::Value = serde_json::from_str(sealed).expect("JSON");
    sealed["tensors_crc32c"] = whole.into();
    header["__metadata__"]["covid-ct"] = sealed.to_string().into();
    let header = header.to_string();
    let parts = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes[8 + length..]];
    fs::write(checkpoint, parts.concat()).expect("writes");
}
