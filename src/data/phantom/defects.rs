//! The planted defects: where they go, and how their files differ from a plain slice.

use crate::base::errors::{Context, Result, bail};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};

use super::PhantomConfig;
use super::scan_plan::{File, PhantomPlan};

/// What is stored in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Black,
    Junk,
    Empty,
    Truncated,
    Text,
    Png,
    Progressive,
    Colour,
    OddSize,
    Oversized,
    LowContrast,
    NearlyBlack,
}

/// Defects that take the place of a slice: kind, class folder, check, note.
const REPLACED: [(Kind, usize, &str, &str); 10] = [
    (Kind::Black, 2, "black-slice", "all pixels are zero"),
    (Kind::Empty, 0, "empty-file", "zero bytes"),
    (Kind::Truncated, 2, "truncated", "cut at 40 % of its bytes"),
    (Kind::Text, 3, "not-an-image", "a text file"),
    (Kind::Png, 1, "wrong-format", "PNG bytes"),
    (Kind::Progressive, 3, "progressive-jpeg", "progressive JPEG of a good slice"),
    (Kind::Colour, 0, "colour", "colour JPEG with a red arrow"),
    (Kind::OddSize, 2, "odd-size", "cropped to 25/32 of the width"),
    (Kind::LowContrast, 3, "low-contrast", "squeezed to grey levels of about 100 to 112"),
    (Kind::NearlyBlack, 2, "nearly-black", "scaled to grey levels below 20, mean below 4"),
];

/// Changes the plan: every defect once, on scans that are not part of a repeated pair.
pub(super) fn plant(plan: &mut PhantomPlan, config: &PhantomConfig) {
    let (train, val) = (config.train_scans, config.val_scans);
    // The last scans of train/covid, train/non-covid (two) and val/non-covid belong to the pairs.
    let free = [train - 1, train - 2, val, val - 1];
    let mut used = [0usize; 4];

    // The middle slice of the first free scan of train/covid goes; the others keep off its scan where they can.
    let scan = plan.scan(0, 0);
    let middle = plan.scans[scan].slices / 2;
    let path = slice_path(plan, scan, middle);
    plan.files.retain(|f| f.path != path);
    plan.note("missing-slice", vec![path], "this slice number does not exist");
    used[0] = 1;

    for (kind, class, check, note) in REPLACED {
        let k = used[class];
        used[class] += 1;
        let scan = plan.scan(class, k % free[class]);
        // Second and later defects of a scan step away from the middle: never the first slice, never one twice.
        let count = plan.scans[scan].slices;
        let slice = 1 + (count / 2 - 1 + k / free[class]) % (count - 1);
        let path = slice_path(plan, scan, slice);
        if let Some(f) = plan.files.iter_mut().find(|f| f.path == path) {
            f.kind = kind;
        }
        if kind == Kind::Colour {
            plan.note("coloured", vec![path.clone()], "a red arrow");
        }
        plan.note(check, vec![path], note);
    }
    extras(plan, free);
}

/// The defects that add a file or a folder.
fn extras(plan: &mut PhantomPlan, free: [usize; 4]) {
    let junk = plan.scan(3, 0);
    let path = format!("{}/._0.jpg", plan.scans[junk].folder);
    plan.files.push(File { path: path.clone(), scan: junk, slice: 0, kind: Kind::Junk });
    plan.note("junk-file", vec![path], "AppleDouble companion of slice 0");

    // The first slice of a scan is never replaced, so the original is a clean one.
    let (from, to) = (plan.scan(2, free[2] - 2), plan.scan(2, free[2] - 1));
    let paths = vec![slice_path(plan, from, 0), slice_path(plan, to, plan.scans[to].slices)];
    plan.files.push(File { path: paths[1].clone(), scan: from, slice: 0, kind: Kind::Plain });
    plan.note("exact-duplicate", paths, "a slice of one patient again as the last slice of another");

    let scan = plan.scan(1, free[1] - 1);
    let path = slice_path(plan, scan, plan.scans[scan].slices);
    plan.files.push(File { path: path.clone(), scan, slice: 0, kind: Kind::Oversized });
    plan.note("oversized-header", vec![path], "the header claims 65000 x 65000 pixels");

    let folder = format!("train/non-covid/ct_scan_{}", free[1] + 2);
    plan.empty.push(folder.clone());
    plan.note("empty-scan", vec![folder], "a scan folder without files");
}

fn slice_path(plan: &PhantomPlan, scan: usize, slice: usize) -> String {
    format!("{}/{slice}.jpg", plan.scans[scan].folder)
}

/// The bytes of a file of this kind that shows `grey` (`size` x `size` pixels) at a JPEG quality.
pub(super) fn encode(kind: Kind, mut grey: Vec<u8>, size: usize, quality: u8) -> Result<Vec<u8>> {
    match kind {
        Kind::Plain => jpeg(&grey, size, size, quality),
        Kind::Black => jpeg(&vec![0; size * size], size, size, quality),
        Kind::Junk => Ok(apple_double()),
        Kind::Empty => Ok(Vec::new()),
        Kind::Text => Ok(b"This file is not an image: an export script wrote its log line here.\n".to_vec()),
        Kind::Progressive => progressive_jpeg(&grey, size, size, quality),
        Kind::Truncated => {
            let mut bytes = jpeg(&grey, size, size, quality)?;
            bytes.truncate(bytes.len() * 2 / 5);
            Ok(bytes)
        }
        Kind::Png => {
            let mut bytes = Vec::new();
            let side = size as u32;
            PngEncoder::new(&mut bytes)
                .write_image(&grey, side, side, ExtendedColorType::L8)
                .context("writing a PNG")?;
            Ok(bytes)
        }
        Kind::Colour => colour(&grey, size, quality),
        Kind::OddSize => {
            let width = size * 25 / 32;
            let left = (size - width) / 2;
            let rows: Vec<u8> = grey.chunks_exact(size).flat_map(|row| &row[left..left + width]).copied().collect();
            jpeg(&rows, width, size, quality)
        }
        Kind::Oversized => oversized(&jpeg(&grey[..256], 16, 16, quality)?),
        Kind::LowContrast => {
            grey.iter_mut().for_each(|g| *g = 100 + (u16::from(*g) * 12 / 255) as u8);
            jpeg(&grey, size, size, quality)
        }
        Kind::NearlyBlack => {
            darken(&mut grey);
            jpeg(&grey, size, size, quality)
        }
    }
}

pub(super) fn jpeg(grey: &[u8], width: usize, height: usize, quality: u8) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(width * height / 3);
    JpegEncoder::new_with_quality(&mut bytes, quality)
        .encode(grey, width as u32, height as u32, ExtendedColorType::L8)
        .context("writing a JPEG")?;
    Ok(bytes)
}

/// Written by turbojpeg, since the `image` crate only writes baseline files.
pub(super) fn progressive_jpeg(grey: &[u8], width: usize, height: usize, quality: u8) -> Result<Vec<u8>> {
    let image = Image { pixels: grey, width, pitch: width, height, format: PixelFormat::GRAY };
    let mut compressor = Compressor::new()?;
    compressor.set_progressive(true)?;
    compressor.set_subsamp(Subsamp::Gray)?;
    compressor.set_quality(i32::from(quality))?;
    compressor.compress_to_vec(image).context("writing a progressive JPEG")
}

/// Scales to a maximum of 18 and a mean of at most 3, whichever needs more.
fn darken(grey: &mut [u8]) {
    let max = f32::from(grey.iter().copied().max().unwrap_or(0)).max(1.0);
    let mean = grey.iter().map(|&g| f64::from(g)).sum::<f64>() as f32 / grey.len().max(1) as f32;
    let scale = (18.0 / max).min(3.0 / mean.max(0.1));
    grey.iter_mut().for_each(|g| *g = (f32::from(*g) * scale + 0.5) as u8);
}

/// A colour JPEG with a red arrow that points at the middle of the image.
fn colour(grey: &[u8], size: usize, quality: u8) -> Result<Vec<u8>> {
    let s = size as f32 / 512.0;
    let mut rgb = Vec::with_capacity(3 * grey.len());
    for (i, &g) in grey.iter().enumerate() {
        // Coordinates along and across the arrow, which comes from the lower right at 45 degrees.
        let (x, y) = ((i % size) as f32 / s - 300.0, (i / size) as f32 / s - 290.0);
        let (along, across) = ((x + y) * 0.707, ((x - y) * 0.707).abs());
        let head = (0.0..26.0).contains(&along) && across < along * 0.6;
        let shaft = (26.0..90.0).contains(&along) && across < 6.0;
        rgb.extend(if head || shaft { [235, 25, 20] } else { [g; 3] });
    }
    let mut bytes = Vec::new();
    let side = size as u32;
    JpegEncoder::new_with_quality(&mut bytes, quality)
        .encode(&rgb, side, side, ExtendedColorType::Rgb8)
        .context("writing a colour JPEG")?;
    Ok(bytes)
}

/// The JPEG with a frame header that claims 65000 x 65000 pixels.
fn oversized(jpeg: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = jpeg.to_vec();
    let mut at = 2;
    while let Some(&[0xff, marker, high, low]) = bytes.get(at..at + 4) {
        if marker == 0xc0 {
            let side = 65_000u16.to_be_bytes();
            // Marker, length and precision come first, then height and width.
            bytes[at + 5..at + 9].copy_from_slice(&[side, side].concat());
            return Ok(bytes);
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
    bail!("the encoder wrote a JPEG without a baseline frame header (SOF0)")
}

/// What macOS writes next to files on foreign disks: an AppleDouble header and padding, 4096 bytes.
fn apple_double() -> Vec<u8> {
    let mut bytes = vec![0x00, 0x05, 0x16, 0x07, 0x00, 0x02, 0x00, 0x00];
    bytes.extend(b"Mac OS X        ");
    // Two entries: Finder info, and the resource fork.
    bytes.extend([0, 2, 0, 0, 0, 9, 0, 0, 0, 0x32, 0, 0, 0x0e, 0xb0, 0, 0, 0, 2, 0, 0, 0x0e, 0xe2, 0, 0, 1, 0x1e]);
    bytes.resize(4096, 0);
    bytes
}
