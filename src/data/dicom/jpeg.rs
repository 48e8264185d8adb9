//! JPEG frames through libjpeg-turbo: lossy ones of 8 and 12 bits, lossless ones of 2 to 16 bits.
//!
//! The safe wrapper around libjpeg-turbo decodes 8 bits only, so this module calls the library itself.
#![allow(unsafe_code)]

use super::convert::Samples;
use super::markers::FrameHeader;
use crate::data::decode::DecodeError;
use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::{CStr, c_int};
use turbojpeg_sys as sys;

/// Pixels that a byte of a DCT-coded or lossless frame can stand for at most: two bits for a block of 64.
const LARGEST_RATIO: usize = 256;

thread_local! {
    /// One per thread, so that its buffers are reused.
    static DECOMPRESSOR: RefCell<Option<Decompressor>> = const { RefCell::new(None) };
}

/// Decodes a frame whose JPEG header, `expected`, has been compared with that of the DICOM file.
///
/// # Errors
///
/// `Truncated` where the data ends early, `Corrupt` with libjpeg-turbo's message for all else.
pub(super) fn decode(bytes: &[u8], expected: FrameHeader) -> Result<Samples<'static>, DecodeError> {
    if bytes.len().saturating_mul(LARGEST_RATIO) < expected.pixels() {
        return Err(DecodeError::Truncated);
    }
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let mut decompressor = kept.take().map_or_else(Decompressor::new, Ok)?;
        let samples = decompressor.decode(bytes, expected)?;
        // Only now: after an error inside a header, libjpeg-turbo goes on in the middle of it with the next image.
        *kept = Some(decompressor);
        Ok(samples)
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
        Ok(Self(handle))
    }

    fn decode(&mut self, bytes: &[u8], expected: FrameHeader) -> Result<Samples<'static>, DecodeError> {
        // SAFETY: the handle is valid as long as `self`, and `bytes` as long as the call.
        let result = unsafe { sys::tj3DecompressHeader(self.0, bytes.as_ptr(), bytes.len() as _) };
        self.check(result)?;
        // Both were parsed from the same bytes. Whether they agree decides how much the library writes, so that it is
        // the library's numbers that count.
        let found = [sys::TJPARAM_TJPARAM_JPEGWIDTH, sys::TJPARAM_TJPARAM_JPEGHEIGHT, sys::TJPARAM_TJPARAM_PRECISION]
            .map(|name| self.parameter(name as c_int));
        let wanted = [expected.width, expected.height, expected.precision].map(|number| number as c_int);
        if found != wanted {
            let text = format!("expected a JPEG of width, height and precision {wanted:?}, found {found:?}");
            return Err(DecodeError::Corrupt(text));
        }
        let (pitch, grey) = (wanted[0], sys::TJPF_TJPF_GRAY as c_int);
        let (handle, input, length) = (self.0, bytes.as_ptr(), bytes.len() as _);
        if expected.precision <= 8 {
            let mut pixels = vec![0_u8; expected.pixels()];
            // SAFETY: handle and input are valid for the call. The library writes `height` rows of `pitch` values of 8
            // bits; `pixels` has `width * height` of them, and width and height were compared with the library's.
            let result = unsafe { sys::tj3Decompress8(handle, input, length, pixels.as_mut_ptr(), pitch, grey) };
            self.check(result)?;
            return Ok(Samples::Bytes { bytes: Cow::Owned(pixels), value_bytes: 1, big: false });
        }
        let mut pixels = vec![0_u16; expected.pixels()];
        let output = pixels.as_mut_ptr();
        let result = if expected.precision <= 12 {
            // SAFETY: as above, with values of 16 bits; `i16` and `u16` have the same size and alignment, and all bit
            // patterns of both are valid.
            unsafe { sys::tj3Decompress12(handle, input, length, output.cast(), pitch, grey) }
        } else {
            // SAFETY: as above, with values of 16 bits.
            unsafe { sys::tj3Decompress16(handle, input, length, output, pitch, grey) }
        };
        self.check(result)?;
        Ok(Samples::Words(pixels))
    }

    fn parameter(&self, name: c_int) -> c_int {
        // SAFETY: the handle is valid as long as `self`; the function only reads a number.
        unsafe { sys::tj3Get(self.0, name) }
    }

    /// Translates the library's messages. Where pixels are missing it fills them and only warns; here that is an error.
    fn check(&self, result: c_int) -> Result<(), DecodeError> {
        if result == 0 {
            return Ok(());
        }
        // SAFETY: the handle is valid; the library returns a text that ends with a zero, lies in the handle or is
        // static, and is copied before the next call.
        let text = unsafe {
            let text = sys::tj3GetErrorStr(self.0);
            if text.is_null() { Cow::Borrowed("no message") } else { CStr::from_ptr(text).to_string_lossy() }
        };
        // SAFETY: the handle is valid; the function only reads a number.
        let warning = unsafe { sys::tj3GetErrorCode(self.0) } == sys::TJERR_TJERR_WARNING as c_int;
        match text.to_lowercase() {
            // Bytes between two markers that belong to neither: nothing is lost.
            text if warning && text.contains("extraneous bytes") => Ok(()),
            text if text.contains("premature end") => Err(DecodeError::Truncated),
            _ => Err(DecodeError::Corrupt(text.into_owned())),
        }
    }
}

impl Drop for Decompressor {
    fn drop(&mut self) {
        // SAFETY: the handle is valid and not used after this.
        unsafe { sys::tj3Destroy(self.0) }
    }
}
