//! How much of a picture is coloured: three channels alone say nothing, since many programs store grey slices so.

use image::DynamicImage;
use turbojpeg::{Decompressor, Image, PixelFormat, ScalingFactor};

/// Side of the fields that are judged, in pixels: one block of a JPEG.
const FIELD: usize = 8;
/// The highest channel of a coloured field exceeds the lowest by more than this; rounding and JPEG's own losses stay below 12.
const APART: f32 = 24.0;

/// The two planes of chroma of a JPEG, of which a sample stands for one pixel or for several.
pub(super) struct Chroma {
    pub(super) blue: Vec<u8>,
    pub(super) red: Vec<u8>,
    pub(super) width: usize,
}

impl Chroma {
    /// The share of the fields of 8×8 pixels whose mean is coloured, 0 to 1; `luma` has rows of `width` pixels, a whole number
    /// for each sample of the chroma but the last ones.
    pub(super) fn coloured_share(&self, luma: &[u8], width: usize) -> f32 {
        let rows = luma.len() / width;
        let (across, down) = (width.div_ceil(self.width), rows.div_ceil(self.blue.len() / self.width));
        let fields = || (0..rows).step_by(FIELD).flat_map(|y| (0..width).step_by(FIELD).map(move |x| (x, y)));
        let is_coloured = |(x, y): &(usize, usize)| {
            let chroma =
                |plane| mean(plane, self.width, (x / across, FIELD / across), (y / down, FIELD / down)) - 128.0;
            let (blue, red) = (chroma(&self.blue), chroma(&self.red));
            // What the conversion to RGB adds to the luma (JFIF 1.02).
            let added = [1.402 * red, -0.344_14 * blue - 0.714_14 * red, 1.772 * blue];
            let (low, high) = added.iter().fold((0.0_f32, 0.0_f32), |(low, high), of| (low.min(*of), high.max(*of)));
            let within_limits = |luma: f32| (luma + high).min(255.0) - (luma + low).max(0.0);
            high - low > APART && within_limits(mean(luma, width, (*x, FIELD), (*y, FIELD))) > APART
        };
        let (coloured, all) = (fields().filter(is_coloured).count(), fields().count());
        coloured as f32 / all.max(1) as f32
    }
}

/// The mean of a part of a plane: first column and number of columns, first row and number of rows, as far as the plane goes.
fn mean(plane: &[u8], width: usize, (x, columns): (usize, usize), (y, rows): (usize, usize)) -> f32 {
    let (mut sum, mut count) = (0_u32, 0);
    for row in plane.chunks_exact(width).skip(y).take(rows) {
        let part = &row[x.min(width)..(x + columns).min(width)];
        sum += part.iter().map(|value| u32::from(*value)).sum::<u32>();
        count += part.len();
    }
    sum as f32 / count.max(1) as f32
}

/// The same share of a JPEG that does not store luma and chroma in whole samples; `None` where it cannot be decoded. At an eighth
/// of the size, which are the means of the blocks.
pub(super) fn coloured_share_of_rgb(bytes: &[u8]) -> Option<f32> {
    let mut decompressor = Decompressor::new().ok()?;
    decompressor.set_scaling_factor(ScalingFactor::ONE_EIGHTH).ok()?;
    let header = decompressor.read_header(bytes).ok()?.scaled(ScalingFactor::ONE_EIGHTH);
    let (width, height) = (header.width, header.height);
    let mut pixels = vec![0; 3 * width * height];
    let image = Image { pixels: pixels.as_mut_slice(), width, pitch: 3 * width, height, format: PixelFormat::RGB };
    decompressor.decompress(bytes, image).ok()?;
    Some(share_of(pixels.as_chunks().0))
}

/// The share of the whole fields of a picture whose mean is coloured, 0 to 1; `None` without three channels of 8 bits.
pub(super) fn coloured_share_of(picture: &DynamicImage) -> Option<f32> {
    let width = picture.width() as usize;
    match picture {
        DynamicImage::ImageRgb8(colour) => Some(share_of(&fields_of::<3>(colour.as_raw(), width))),
        DynamicImage::ImageRgba8(colour) => Some(share_of(&fields_of::<4>(colour.as_raw(), width))),
        _ => None,
    }
}

fn share_of(fields: &[[u8; 3]]) -> f32 {
    let is_coloured = |field: &&[u8; 3]| {
        let [r, g, b] = **field;
        f32::from(r.max(g).max(b) - r.min(g).min(b)) > APART
    };
    fields.iter().filter(is_coloured).count() as f32 / fields.len().max(1) as f32
}

/// The means of whole fields of a picture of `N` channels, the first three of them.
fn fields_of<const N: usize>(pixels: &[u8], width: usize) -> Vec<[u8; 3]> {
    let mut fields = Vec::new();
    for rows in pixels.chunks_exact((N * width * FIELD).max(1)) {
        let mut sums = vec![[0_u32; 3]; width / FIELD];
        for row in rows.chunks_exact(N * width) {
            for (sum, field) in sums.iter_mut().zip(row.chunks_exact(N * FIELD)) {
                field.as_chunks::<N>().0.iter().for_each(|pixel| {
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
    use crate::data::decode::{DecodeLimits, PictureSettings, decode_coloured, decode_grey};
    use crate::data::pixels::Pixels;
    use image::{ImageFormat, RgbImage};
    use std::io::Cursor;
    use turbojpeg::{Image, PixelFormat, Subsamp};

    /// Grey waves of 128×96 pixels or more, with a coloured rectangle of these sides.
    fn drawn(coloured: (u32, u32), (width, height): (u32, u32)) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let level = (128.0 + 100.0 * (x as f32 / 7.0).sin() * (y as f32 / 5.0).cos()) as u8;
            let is_coloured = (32..32 + coloured.0).contains(&x) && (16..16 + coloured.1).contains(&y);
            image::Rgb(if is_coloured { [220, level / 2, level / 2] } else { [level; 3] })
        })
    }

    fn written(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).expect("writes");
        bytes.into_inner()
    }

    fn jpeg(picture: &RgbImage, sampling: Subsamp) -> Vec<u8> {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let image =
            Image { pixels: picture.as_raw().as_slice(), width, pitch: 3 * width, height, format: PixelFormat::RGB };
        turbojpeg::compress(image, 90, sampling).expect("encodes").to_vec()
    }

    fn share(bytes: &[u8]) -> Option<f32> {
        decode_coloured(bytes, PictureSettings::default(), DecodeLimits::USUAL).expect("decodes").1
    }

    #[test]
    fn fields_are_coloured_where_something_coloured_was_drawn() {
        for format in [ImageFormat::Png, ImageFormat::Tiff, ImageFormat::Jpeg] {
            let share = |coloured| share(&written(&drawn(coloured, (128, 96)), format)).expect("a share");
            assert_eq!(share((0, 0)), 0.0, "{format:?}");
            // 2 × 4 fields of 16 × 12.
            assert_eq!(share((16, 32)), 8.0 / 192.0, "{format:?}");
        }
        let grey = image::DynamicImage::ImageRgb8(drawn((16, 32), (128, 96))).into_luma8();
        let mut bytes = Cursor::new(Vec::new());
        grey.write_to(&mut bytes, ImageFormat::Png).expect("writes");
        assert_eq!(share(&bytes.into_inner()), None, "one channel has no colour");
    }

    #[test]
    fn one_decoding_gives_the_luma_and_the_share_for_each_sampling_and_size() {
        for sampling in [Subsamp::None, Subsamp::Sub2x1, Subsamp::Sub2x2, Subsamp::Sub1x2, Subsamp::Sub4x1] {
            for size in [(128, 96), (131, 97), (128, 97), (130, 100)] {
                let bytes = jpeg(&drawn((32, 32), size), sampling);
                let (pixels, share) =
                    decode_coloured(&bytes, PictureSettings::default(), DecodeLimits::USUAL).expect("decodes");
                assert_eq!(pixels, Pixels::Grey(decode_grey(&bytes).expect("decodes")), "{sampling:?} {size:?}");
                let fields = (size.0.div_ceil(8) * size.1.div_ceil(8)) as f32;
                let found = (share.expect("three channels") * fields).round();
                assert_eq!(found, 16.0, "fields of 4 × 4 are coloured: {sampling:?} {size:?}");
            }
        }
    }
}
