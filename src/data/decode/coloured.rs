//! How much of a picture is coloured: three channels alone say nothing, since many programs store grey slices so.

use super::lossless::picture;
use super::{Format, Header};
use turbojpeg::{Decompressor, Image, PixelFormat, ScalingFactor};

/// Side of the fields that are judged, in pixels: one block of a JPEG.
const FIELD: usize = 8;
/// The highest channel of a coloured field exceeds the lowest by more than this; rounding and JPEG's own losses stay below 12.
const APART: u8 = 24;

/// The share of the fields of 8×8 pixels whose mean is coloured, 0 to 1; `None` where the picture cannot be decoded.
pub(crate) fn coloured_share(bytes: &[u8], header: Header) -> Option<f32> {
    let fields = match header.format {
        Format::Jpeg | Format::ProgressiveJpeg => jpeg_fields(bytes)?,
        format => {
            let colour = picture(bytes, format).ok()?.into_rgb8();
            fields_of(colour.as_raw(), colour.width() as usize)
        }
    };
    let is_coloured = |field: &&[u8; 3]| {
        let [r, g, b] = **field;
        r.max(g).max(b) - r.min(g).min(b) > APART
    };
    Some(fields.iter().filter(is_coloured).count() as f32 / fields.len().max(1) as f32)
}

/// At an eighth of the size, which are the means of the blocks.
fn jpeg_fields(bytes: &[u8]) -> Option<Vec<[u8; 3]>> {
    let mut decompressor = Decompressor::new().ok()?;
    decompressor.set_scaling_factor(ScalingFactor::ONE_EIGHTH).ok()?;
    let header = decompressor.read_header(bytes).ok()?.scaled(ScalingFactor::ONE_EIGHTH);
    let (width, height) = (header.width, header.height);
    let mut pixels = vec![0; 3 * width * height];
    let image = Image { pixels: pixels.as_mut_slice(), width, pitch: 3 * width, height, format: PixelFormat::RGB };
    decompressor.decompress(bytes, image).ok()?;
    Some(pixels.as_chunks().0.to_vec())
}

/// The means of whole fields.
fn fields_of(pixels: &[u8], width: usize) -> Vec<[u8; 3]> {
    let mut fields = Vec::new();
    for rows in pixels.chunks_exact((3 * width * FIELD).max(1)) {
        let mut sums = vec![[0_u32; 3]; width / FIELD];
        for row in rows.chunks_exact(3 * width) {
            for (sum, field) in sums.iter_mut().zip(row.chunks_exact(3 * FIELD)) {
                field.as_chunks::<3>().0.iter().for_each(|pixel| {
                    sum.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += u32::from(*value));
                });
            }
        }
        fields.extend(sums.iter().map(|sum| sum.map(|sum| (sum / (FIELD * FIELD) as u32) as u8)));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageFormat, RgbImage};
    use std::io::Cursor;

    /// Grey waves, with a coloured rectangle of these sides.
    fn drawn(coloured: (u32, u32), format: ImageFormat) -> Vec<u8> {
        let picture = RgbImage::from_fn(128, 96, |x, y| {
            let level = (128.0 + 100.0 * (x as f32 / 7.0).sin() * (y as f32 / 5.0).cos()) as u8;
            let is_coloured = (40..40 + coloured.0).contains(&x) && (16..16 + coloured.1).contains(&y);
            image::Rgb(if is_coloured { [220, level / 2, level / 2] } else { [level; 3] })
        });
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).expect("writes");
        bytes.into_inner()
    }

    #[test]
    fn fields_are_coloured_where_something_coloured_was_drawn() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Tiff] {
            let share = |coloured| {
                let bytes = drawn(coloured, format);
                coloured_share(&bytes, Header::parse(&bytes).expect("a header")).expect("a share")
            };
            assert_eq!(share((0, 0)), 0.0, "{format:?}");
            // 2 × 4 fields of 16 × 12.
            assert_eq!(share((16, 32)), 8.0 / 192.0, "{format:?}");
        }
    }

    #[test]
    fn what_cannot_be_decoded_has_no_share() {
        let bytes = drawn((0, 0), ImageFormat::Png);
        let header = Header::parse(&bytes).expect("a header");
        assert_eq!(coloured_share(&bytes[..bytes.len() / 2], header), None);
    }
}
