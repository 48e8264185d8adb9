//! What is no JPEG of grey levels in the place of a slice, and JPEGs without their end.

use super::{CaseDrawing, SLICES};
use crate::base::errors::{Context, Result};
use image::{ExtendedColorType, ImageEncoder};
use turbojpeg::{Image, PixelFormat, Subsamp};

/// Slices that are files of another kind: their number among the slices is their place here.
const KINDS: usize = 10;

pub(super) fn draw(drawing: &mut CaseDrawing) -> Result<()> {
    let (patient, class) = (drawing.new_patient(), 1);
    let slices = drawing.slices(patient, class, SLICES + KINDS, 0);
    let folder = drawing.scan(patient, class, &slices[..SLICES])?;
    let size = drawing.size();
    let (tiff, inks) = (tiff(&slices[SLICES], size)?, inks(&slices[SLICES + 1], size)?);
    let plain = drawing.jpeg(&slices[SLICES + 2])?;
    let labels = png(&labels(&slices[SLICES], size), size)?;
    let files = [
        (tiff, "wrong-format", "a TIFF"),
        (inks, "unsupported", "a JPEG of four inks"),
        (height_left_open(&plain, size), "unsupported", "a JPEG whose height follows its data"),
        (jpeg_ls_header(size), "unsupported", "the header of a JPEG-LS file"),
        (dicom_header(), "not-an-image", "the beginning of a DICOM file, without its preamble"),
        (video_header(), "not-an-image", "the beginning of an MP4 video"),
        (b"P1\tcase 12, export at 10:31, 64 slices\n".to_vec(), "not-an-image", "a text"),
        (without_end(&plain), "no-end-marker", "a whole JPEG without its last two bytes"),
        (pages(&slices[SLICES], size)?, "unsupported", "a TIFF of two pages"),
        (labels, "mask-picture", "a PNG of four levels, as a map of labels"),
    ];
    for (number, (bytes, check, what)) in (SLICES..).zip(files) {
        let path = format!("{folder}/{number}.jpg");
        drawing.slice_file(path.clone(), patient, bytes);
        drawing.note(check, &[&path], what);
        // What is read is also said to be named wrongly.
        if check == "mask-picture" {
            drawing.note("wrong-format", &[&path], "a PNG");
        }
    }
    Ok(())
}

fn tiff(grey: &[u8], size: usize) -> Result<Vec<u8>> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let encoder = image::codecs::tiff::TiffEncoder::new(&mut bytes);
    encoder.write_image(grey, size as u32, size as u32, ExtendedColorType::L8).context("writing a TIFF")?;
    Ok(bytes.into_inner())
}

/// The TIFF with its only directory (TIFF 6.0, section 2) once more, as a second page.
fn pages(grey: &[u8], size: usize) -> Result<Vec<u8>> {
    let mut bytes = tiff(grey, size)?;
    let number =
        |at: usize, length: usize| bytes[at..at + length].iter().rev().fold(0, |n, byte| n << 8 | usize::from(*byte));
    let directory = number(4, 4);
    let next = directory + 2 + 12 * number(directory, 2);
    let copy = bytes[directory..next + 4].to_vec();
    // Directories begin at even places.
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    let second = bytes.len() as u32;
    bytes[next..next + 4].copy_from_slice(&second.to_le_bytes());
    bytes.extend(copy);
    Ok(bytes)
}

/// Air, lung, tissue and bone by the mean levels of fields of 8×8 pixels.
fn labels(grey: &[u8], size: usize) -> Vec<u8> {
    const FIELD: usize = 8;
    let mean = |x: usize, y: usize| {
        let rows = grey.chunks_exact(size).skip(y - y % FIELD).take(FIELD);
        let fields = rows.flat_map(|row| row.iter().skip(x - x % FIELD).take(FIELD));
        let (sum, count) = fields.fold((0, 0), |(sum, count), level| (sum + usize::from(*level), count + 1));
        sum / count.max(1)
    };
    let label = |level: usize| [20, 90, 200].iter().filter(|above| level > **above).count();
    (0..size * size).map(|at| [0, 85, 170, 255][label(mean(at % size, at / size))]).collect()
}

pub(super) fn png(grey: &[u8], size: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    encoder.write_image(grey, size as u32, size as u32, ExtendedColorType::L8).context("writing a PNG")?;
    Ok(bytes)
}

/// As programs for printing save grey: the same of each ink.
fn inks(grey: &[u8], size: usize) -> Result<Vec<u8>> {
    let pixels: Vec<u8> = grey.iter().flat_map(|level| [*level; 4]).collect();
    let image =
        Image { pixels: pixels.as_slice(), width: size, pitch: 4 * size, height: size, format: PixelFormat::CMYK };
    Ok(turbojpeg::compress(image, 90, Subsamp::None).context("writing a CMYK JPEG")?.to_vec())
}

/// Without its end-of-image marker.
fn without_end(jpeg: &[u8]) -> Vec<u8> {
    jpeg[..jpeg.len() - 2].to_vec()
}

/// With a height of 0 in its header, and the true one in a DNL segment (ITU T.81, B.2.5).
fn height_left_open(jpeg: &[u8], height: usize) -> Vec<u8> {
    let mut bytes = without_end(jpeg);
    bytes.extend([0xFF, 0xDC, 0, 4]);
    bytes.extend((height as u16).to_be_bytes());
    bytes.extend([0xFF, 0xD9]);
    if let Some(frame) = bytes.windows(2).position(|two| two == [0xFF, 0xC0]) {
        bytes[frame + 5..frame + 7].fill(0);
    }
    bytes
}

/// Start of image, start of frame (ITU T.87, C.2.2), end of image.
fn jpeg_ls_header(size: usize) -> Vec<u8> {
    let [high, low] = (size as u16).to_be_bytes();
    vec![0xFF, 0xD8, 0xFF, 0xF7, 0, 11, 8, high, low, high, low, 1, 1, 0x11, 0, 0xFF, 0xD9]
}

/// Character set and modality of a data set in explicit little endian (DICOM PS3.5, 7.1.2).
fn dicom_header() -> Vec<u8> {
    b"\x08\0\x05\0CS\x0A\0ISO_IR 100\x08\0\x60\0CS\x02\0CT".to_vec()
}

/// A box `ftyp` and an empty one (ISO/IEC 14496-12, 4.3).
fn video_header() -> Vec<u8> {
    b"\0\0\0\x18ftypisom\0\0\x02\0isommp41\0\0\0\x08free".to_vec()
}
