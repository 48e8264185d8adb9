//! JPEG through libjpeg-turbo: pictures and DICOM frames; lossy ones of 8 and 12 bits, lossless ones of 2 to 16 bits.
//!
//! The safe wrapper around libjpeg-turbo decodes 8 bits only and does not tell warnings from errors, so this module calls the
//! library itself.
#![allow(unsafe_code)]

use super::DecodeError;
use super::coloured::Chroma;
use super::damage::rows_that_look_good;
use super::segments::{StartOfFrame, scans, without_extraneous_bytes};
use std::cell::RefCell;
use std::ffi::{CStr, c_int};
use turbojpeg_sys as sys;

/// Pixels that a byte of a file can stand for at most, but for arithmetic coding: one bit for a block of 64.
const LARGEST_RATIO: usize = 512;

thread_local! {
    /// One per thread, so that its buffers are reused. Dropped after a failure: libjpeg-turbo does not always reset itself,
    /// and would refuse the good pictures that follow.
    static DECOMPRESSOR: RefCell<Option<Decompressor>> = const { RefCell::new(None) };
}

/// Decoded values, row by row; of colour the luma.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum JpegValues {
    /// Of up to 8 bits.
    Bytes(Vec<u8>),
    /// Of more.
    Words(Vec<u16>),
}

impl JpegValues {
    /// A buffer for a frame, every byte of it `ground`.
    fn of(ground: u8, frame: StartOfFrame) -> Self {
        let pixels = frame.pixels();
        match frame.precision {
            0..=8 => Self::Bytes(vec![ground; pixels]),
            _ => Self::Words(vec![u16::from_ne_bytes([ground; 2]); pixels]),
        }
    }

    /// Whether the row is still the ground.
    fn is_bare(&self, row: usize, width: usize, ground: u8) -> bool {
        let range = row * width..(row + 1) * width;
        match self {
            Self::Bytes(values) => values[range].iter().all(|value| *value == ground),
            Self::Words(values) => values[range].iter().all(|value| value.to_ne_bytes() == [ground; 2]),
        }
    }
}

/// Decodes a JPEG whose own start of frame is `frame`. Where something is missing the library fills the pixels and only
/// warns; here a warning is an error. Only what lies between two segments and belongs to none is nobody's loss: without it the
/// file is decoded again.
///
/// # Errors
/// `Truncated` where the data ends early, `Unsupported` where there are more than `most_scans` scans, for all else `Corrupt`
/// with the library's message and the rows that look good.
pub(crate) fn decode(bytes: &[u8], frame: StartOfFrame, most_scans: u32) -> Result<JpegValues, DecodeError> {
    if !frame.is_arithmetic() && bytes.len().saturating_mul(LARGEST_RATIO) < frame.pixels() {
        return Err(DecodeError::Truncated);
    }
    let (values, failure) = attempt(bytes, frame, most_scans, 0)?;
    let Some(failure) = failure else { return Ok(values) };
    let Some(freed) = without_extraneous_bytes(bytes) else {
        return Err(explained(bytes, frame, most_scans, &failure, &values));
    };
    match attempt(&freed, frame, most_scans, 0)? {
        (values, None) => Ok(values),
        (values, Some(failure)) => Err(explained(&freed, frame, most_scans, &failure, &values)),
    }
}

/// The luma and the chroma of a JPEG, decoded once; `None` where [`decode`] is to say what the file is: one that fails or warns,
/// and one that does not hold luma and chroma in whole samples.
pub(super) fn decode_planes(bytes: &[u8], frame: StartOfFrame, most_scans: u32) -> Option<(Vec<u8>, Chroma)> {
    if frame.components != 3 || frame.precision != 8 || bytes.len().saturating_mul(LARGEST_RATIO) < frame.pixels() {
        return None;
    }
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let mut decompressor = kept.take().map_or_else(Decompressor::new, Ok).ok()?;
        let planes = decompressor.decode_planes(bytes, frame, most_scans).ok()?;
        *kept = Some(decompressor);
        planes
    })
}

/// Why a file is not decoded, of which `values` were written on a ground of 0.
fn explained(bytes: &[u8], frame: StartOfFrame, most_scans: u32, failure: &str, values: &JpegValues) -> DecodeError {
    let unsupported = |what: &str| {
        DecodeError::Unsupported(format!(
            "{what}: save it as PNG, for example by `convert in.jpg out.png` (ImageMagick)"
        ))
    };
    match scans(bytes) {
        found if found > most_scans as usize => {
            return unsupported(&format!("a JPEG of {found} scans, {most_scans} are the most that are read"));
        }
        _ if failure.starts_with("Unsupported") => return unsupported(failure),
        _ => {}
    }
    // Not the "premature end of data segment", after which there is more of the file.
    if failure.starts_with("Premature end") {
        return DecodeError::Truncated;
    }
    match rows_written(bytes, frame, most_scans, values) {
        Ok(written) => DecodeError::Corrupt(format!("{failure}; {}", good_part(frame, values, written))),
        Err(error) => error,
    }
}

/// Which rows may be good, of those that were written before the failure.
fn good_part(frame: StartOfFrame, values: &JpegValues, written: usize) -> String {
    let (width, height) = (usize::from(frame.width), usize::from(frame.height));
    let good = match values {
        JpegValues::Bytes(pixels) => rows_that_look_good(&pixels[..written * width], width),
        JpegValues::Words(_) => written,
    };
    match good {
        _ if written == 0 => format!("it comes before the first of {height} rows"),
        0 => format!("none of its {height} rows looks good"),
        _ if good == height => format!("it comes after the last of {height} rows, and none shows where they are wrong"),
        _ => format!("rows 0 to {} of {height} look good ({} %)", good - 1, 100 * good / height),
    }
}

/// Rows that were written before the failure: those that a second attempt, on another ground, does not leave bare as the
/// first did.
fn rows_written(bytes: &[u8], frame: StartOfFrame, most_scans: u32, values: &JpegValues) -> Result<usize, DecodeError> {
    const OTHER: u8 = 0xFF;
    let (others, _) = attempt(bytes, frame, most_scans, OTHER)?;
    let (width, height) = (usize::from(frame.width), usize::from(frame.height));
    let is_bare = |row: &usize| values.is_bare(*row, width, 0) && others.is_bare(*row, width, OTHER);
    Ok((0..height).find(is_bare).unwrap_or(height))
}

/// Decodes once, on a ground of this byte; with the library's message where it fails or warns, which ends it.
fn attempt(
    bytes: &[u8],
    frame: StartOfFrame,
    most_scans: u32,
    ground: u8,
) -> Result<(JpegValues, Option<String>), DecodeError> {
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let mut decompressor = kept.take().map_or_else(Decompressor::new, Ok)?;
        let mut values = JpegValues::of(ground, frame);
        let result = decompressor.decode(bytes, frame, most_scans, &mut values);
        if result.is_ok() {
            *kept = Some(decompressor);
        }
        Ok((values, result.err()))
    })
}

/// A decompressor of libjpeg-turbo.
struct Decompressor(sys::tjhandle);

impl Decompressor {
    fn new() -> Result<Self, DecodeError> {
        // SAFETY: the function takes a number only; the handle that it returns is checked.
        let handle = unsafe { sys::tj3Init(sys::TJINIT_TJINIT_DECOMPRESS as c_int) };
        if handle.is_null() {
            return Err(DecodeError::Corrupt("libjpeg-turbo cannot be set up".to_owned()));
        }
        let decompressor = Self(handle);
        decompressor.set(sys::TJPARAM_TJPARAM_STOPONWARNING, 1);
        // Colour profiles and comments are not kept.
        decompressor.set(sys::TJPARAM_TJPARAM_SAVEMARKERS, 0);
        Ok(decompressor)
    }

    /// Decodes into a buffer for `frame`.
    fn decode(
        &mut self,
        bytes: &[u8],
        frame: StartOfFrame,
        most_scans: u32,
        values: &mut JpegValues,
    ) -> Result<(), String> {
        self.begin(bytes, frame, most_scans)?;
        let (handle, input, length) = (self.0, bytes.as_ptr(), bytes.len() as _);
        let (pitch, grey) = (c_int::from(frame.width), sys::TJPF_TJPF_GRAY as c_int);
        self.check(match values {
            // SAFETY: handle and input are valid for the call. The library writes `height` rows of `pitch` values of 8
            // bits; there are `width * height` of them, and width and height were compared with the library's.
            JpegValues::Bytes(bytes) => unsafe {
                sys::tj3Decompress8(handle, input, length, bytes.as_mut_ptr(), pitch, grey)
            },
            // SAFETY: as above, with values of 16 bits; `i16` and `u16` have the same size and alignment, and all bit
            // patterns of both are valid.
            JpegValues::Words(words) if frame.precision <= 12 => unsafe {
                sys::tj3Decompress12(handle, input, length, words.as_mut_ptr().cast(), pitch, grey)
            },
            // SAFETY: as above, with values of 16 bits.
            JpegValues::Words(words) => unsafe {
                sys::tj3Decompress16(handle, input, length, words.as_mut_ptr(), pitch, grey)
            },
        })
    }

    /// Reads the header, and makes sure that the library found the frame that was parsed: whether they agree decides how
    /// much the library writes, so that it is its numbers that count.
    fn begin(&mut self, bytes: &[u8], frame: StartOfFrame, most_scans: u32) -> Result<(), String> {
        self.set(sys::TJPARAM_TJPARAM_SCANLIMIT, most_scans as c_int);
        // SAFETY: the handle is valid as long as `self`, and `bytes` as long as the call.
        self.check(unsafe { sys::tj3DecompressHeader(self.0, bytes.as_ptr(), bytes.len() as _) })?;
        let found = [sys::TJPARAM_TJPARAM_JPEGWIDTH, sys::TJPARAM_TJPARAM_JPEGHEIGHT, sys::TJPARAM_TJPARAM_PRECISION];
        let found = found.map(|name| self.parameter(name));
        let wanted = [c_int::from(frame.width), c_int::from(frame.height), c_int::from(frame.precision)];
        if found != wanted {
            return Err(format!("expected a JPEG of width, height and precision {wanted:?}, found {found:?}"));
        }
        Ok(())
    }

    /// Decodes luma and chroma as they are stored, of the sizes that the library gives them; `None` of other colours, and where
    /// the luma would be padded.
    fn decode_planes(
        &mut self,
        bytes: &[u8],
        frame: StartOfFrame,
        most_scans: u32,
    ) -> Result<Option<(Vec<u8>, Chroma)>, String> {
        self.begin(bytes, frame, most_scans)?;
        let sampling = self.parameter(sys::TJPARAM_TJPARAM_SUBSAMP);
        if self.parameter(sys::TJPARAM_TJPARAM_COLORSPACE) != sys::TJCS_TJCS_YCbCr as c_int || sampling < 0 {
            return Ok(None);
        }
        let (width, height) = (c_int::from(frame.width), c_int::from(frame.height));
        // SAFETY: these functions take and return numbers only.
        let size = |plane| unsafe {
            (sys::tj3YUVPlaneWidth(plane, width, sampling), sys::tj3YUVPlaneHeight(plane, height, sampling))
        };
        let (whole, (across, down)) = (size(0), size(1));
        if whole != (width, height) || size(2) != (across, down) || across < 1 || down < 1 {
            return Ok(None);
        }
        let mut planes =
            [frame.pixels(), across as usize * down as usize, across as usize * down as usize].map(|n| vec![0; n]);
        let mut places = planes.each_mut().map(|plane: &mut Vec<u8>| plane.as_mut_ptr());
        let mut pitches = [width, across, across];
        // SAFETY: handle and input are valid for the call. The library writes three planes of the sizes that it gave for
        // this width, height and sampling, which are those of the header it has just read.
        let result = unsafe {
            let (to, pitches) = (places.as_mut_ptr(), pitches.as_mut_ptr());
            sys::tj3DecompressToYUVPlanes8(self.0, bytes.as_ptr(), bytes.len() as _, to, pitches)
        };
        self.check(result)?;
        let [luma, blue, red] = planes;
        Ok(Some((luma, Chroma { blue, red, width: across as usize })))
    }

    fn set(&self, name: sys::TJPARAM, value: c_int) {
        // SAFETY: the handle is valid as long as `self`; the function only keeps a number, and each of those above is in
        // its range.
        unsafe { sys::tj3Set(self.0, name as c_int, value) };
    }

    fn parameter(&self, name: sys::TJPARAM) -> c_int {
        // SAFETY: the handle is valid as long as `self`; the function only reads a number.
        unsafe { sys::tj3Get(self.0, name as c_int) }
    }

    /// The library's message where it failed or warned.
    fn check(&self, result: c_int) -> Result<(), String> {
        if result == 0 {
            return Ok(());
        }
        // SAFETY: the handle is valid; the library returns a text that ends with a zero, lies in the handle or is
        // static, and is copied before the next call.
        let text = unsafe {
            let text = sys::tj3GetErrorStr(self.0);
            if text.is_null() { "no message".into() } else { CStr::from_ptr(text).to_string_lossy() }
        };
        Err(text.into_owned())
    }
}

impl Drop for Decompressor {
    fn drop(&mut self) {
        // SAFETY: the handle is valid and not used after this.
        unsafe { sys::tj3Destroy(self.0) }
    }
}
