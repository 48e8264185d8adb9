//! Valid kinds of JPEG that are not read: which each is, and how to convert it.

use super::DecodeError;
use super::segments::{StartOfFrame, height_after_scan, is_ycck, place_of_height, start_of_frame};

/// Why a JPEG is of a kind that is not read; `None` for one that may be read, or for no JPEG.
pub(super) fn not_read(bytes: &[u8]) -> Option<DecodeError> {
    let frame = bytes.starts_with(&[0xFF, 0xD8]).then(|| start_of_frame(bytes))??;
    if frame.height == 0 && frame.width > 0 && !frame.is_jpeg_ls() {
        return Some(height_left_open(bytes));
    }
    unread_kind(bytes, frame).map(DecodeError::Unsupported)
}

fn unread_kind(bytes: &[u8], frame: StartOfFrame) -> Option<String> {
    if frame.is_jpeg_ls() {
        return Some("a JPEG-LS file: convert it, for example by `ffmpeg -i in.jpg out.png` (FFmpeg)".to_owned());
    }
    // Of these no common tool reads any: neither libjpeg-turbo, and what is built on it, nor FFmpeg.
    if frame.is_hierarchical() || (frame.is_lossless() && frame.is_arithmetic()) {
        let kind = if frame.is_hierarchical() { "hierarchical JPEG" } else { "lossless JPEG with arithmetic coding" };
        return Some(format!(
            "a {kind} (frame FF {:02X}), which hardly any program reads: ask whoever exported it for PNG, or for another JPEG",
            frame.marker
        ));
    }
    if frame.components == 4 {
        let kind = if is_ycck(bytes) { "YCCK" } else { "CMYK" };
        return Some(format!(
            "a {kind} JPEG, with four channels for printing: convert it, for example by `convert in.jpg -colorspace Gray \
             out.png` (ImageMagick)"
        ));
    }
    let kind = if frame.is_lossless() { "lossless JPEG" } else { "JPEG" };
    // FFmpeg decodes 16 bits without loss to wrong values (findings/ffmpeg-lossless-jpeg-16-bit.sh).
    let tool = match frame.precision {
        ..16 => "`ffmpeg -i in.jpg out.png` (FFmpeg)",
        _ => "`djpeg in.jpg | pnmtopng > out.png` (libjpeg-turbo 3 and Netpbm)",
    };
    let bits = frame.precision;
    (bits != 8).then(|| format!("a {kind} of {bits} bits a value, 8 are read: convert it, for example by {tool}"))
}

/// A header may leave the height to a DNL segment after the first scan, which no common decoder follows. With the height in
/// the header they pass that segment over.
fn height_left_open(bytes: &[u8]) -> DecodeError {
    let (Some(height), Some(place)) = (height_after_scan(bytes).filter(|height| *height > 0), place_of_height(bytes))
    else {
        return DecodeError::Corrupt("the header says a height of 0, and no DNL segment says another".to_owned());
    };
    let [high, low] = height.to_be_bytes();
    DecodeError::Unsupported(format!(
        "a JPEG whose header leaves its height to a DNL segment after the data, where it is {height}: write it into a copy, by \
         `cp in.jpg out.jpg; printf '\\x{high:02x}\\x{low:02x}' | dd of=out.jpg bs=1 seek={place} conv=notrunc`"
    ))
}
