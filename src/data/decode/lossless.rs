//! PNG and TIFF through the crate `image`.

use super::{DecodeError, Format};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::borrow::Cow;
use std::io::Cursor;

/// What a decoder may take besides the picture: a row, a palette, tables of where the rows lie.
const BESIDES: u64 = 1 << 20;

/// Values as they are stored.
pub(super) enum StoredValues {
    /// Grey levels.
    Bytes(Vec<u8>),
    /// One channel of 16 bits.
    Words(Vec<u16>),
}

/// The values of a picture; of colour the luma.
///
/// # Errors
/// `Unsupported`: neither grey of 8 or 16 bits nor colour of 8.
pub(super) fn values(picture: DynamicImage) -> Result<StoredValues, DecodeError> {
    Ok(match picture {
        DynamicImage::ImageLuma8(grey) => StoredValues::Bytes(grey.into_raw()),
        DynamicImage::ImageLuma16(grey) => StoredValues::Words(grey.into_raw()),
        DynamicImage::ImageLumaA8(grey) => StoredValues::Bytes(levels(grey.into_raw(), |&[grey, _]| grey)),
        DynamicImage::ImageRgb8(colour) => StoredValues::Bytes(levels(colour.into_raw(), |&[r, g, b]| luma(r, g, b))),
        DynamicImage::ImageRgba8(colour) => {
            StoredValues::Bytes(levels(colour.into_raw(), |&[r, g, b, _]| luma(r, g, b)))
        }
        other => return Err(DecodeError::Unsupported(format!("a picture of {:?}, which is not read", other.color()))),
    })
}

/// Decodes a PNG or a TIFF of one picture, with all of its channels. A picture that is not read is refused before memory is
/// taken for it.
///
/// # Errors
/// `Unsupported` also for colour of more than 8 bits a channel.
pub(super) fn picture(bytes: &[u8], format: Format) -> Result<DynamicImage, DecodeError> {
    let (bytes, format) = match format {
        Format::Tiff => (Cow::Borrowed(bytes), ImageFormat::Tiff),
        _ => (pixel_chunks(bytes), ImageFormat::Png),
    };
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(BESIDES);
    let mut reader = ImageReader::with_format(Cursor::new(bytes.as_ref()), format);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(refused)?;
    let colour = decoder.color_type();
    if colour.bytes_per_pixel() > colour.channel_count() && colour != image::ColorType::L16 {
        return Err(DecodeError::Unsupported(
            "a colour picture with more than 8 bits a channel is no CT slice: expected 8 bits, or one grey channel of 16"
                .to_owned(),
        ));
    }
    let whole = decoder.total_bytes();
    // TIFF's buffer of compressed bytes may be longer than the picture, but not than the file.
    limits.max_alloc = Some(2 * whole + bytes.len() as u64 + BESIDES);
    decoder.set_limits(limits).map_err(refused)?;
    DynamicImage::from_decoder(decoder).map_err(refused)
}

fn refused(error: image::ImageError) -> DecodeError {
    match error {
        image::ImageError::Unsupported(what) => DecodeError::Unsupported(what.to_string()),
        image::ImageError::Limits(what) => DecodeError::Unsupported(format!("a picture beyond the limits: {what}")),
        error
            if ["unexpected end", "failed to fill whole buffer"].iter().any(|end| error.to_string().contains(end)) =>
        {
            DecodeError::Truncated
        }
        error => DecodeError::Corrupt(error.to_string()),
    }
}

/// One level for each pixel of `N` channels, in the place of the channels: a second buffer would be as large again.
fn levels<const N: usize>(mut values: Vec<u8>, level: impl Fn(&[u8; N]) -> u8) -> Vec<u8> {
    let pixels = values.len() / N;
    for pixel in 0..pixels {
        values[pixel] = values[pixel * N..].first_chunk().map_or(0, &level);
    }
    values.truncate(pixels);
    values.shrink_to_fit();
    values
}

/// As Pillow's `convert("L")`.
fn luma(r: u8, g: u8, b: u8) -> u8 {
    ((19595 * u32::from(r) + 38470 * u32::from(g) + 7471 * u32::from(b) + 0x8000) >> 16) as u8
}

/// A PNG's critical chunks: palette and pixels. Texts, colour profiles and animations, which a decoder would keep or even
/// inflate, do not change what is read; a chunk's name begins with a small letter where that is so.
fn pixel_chunks(png: &[u8]) -> Cow<'_, [u8]> {
    const SIGNATURE: usize = 8;
    let (mut kept, mut rest) = (png[..SIGNATURE].to_vec(), &png[SIGNATURE..]);
    let mut all_critical = true;
    while let Some((&[l3, l2, l1, l0, name, ..], _)) = rest.split_first_chunk::<8>() {
        // Length, name, contents, CRC.
        let length = (u32::from_be_bytes([l3, l2, l1, l0]) as usize).saturating_add(12).min(rest.len());
        let (chunk, following) = rest.split_at(length);
        if name.is_ascii_lowercase() {
            all_critical = false;
        } else {
            kept.extend(chunk);
        }
        rest = following;
    }
    kept.extend(rest);
    if all_critical { Cow::Borrowed(png) } else { Cow::Owned(kept) }
}
