//! Which decoder reads which transfer syntax.

use super::convert::Samples;
use super::markers::{self, FrameHeader};
use super::pixel_layout::PixelLayout;
use super::rle;
use super::start::BIG_ENDIAN;
use crate::data::decode::libjpeg::{self, JpegValues};
use crate::data::decode::segments::start_of_frame;
use crate::data::decode::{DecodeError, DecodeLimits};
use dicom_dictionary_std::uids;
use dicom_encoding::TransferSyntaxIndex;
use dicom_encoding::adapters::{PixelDataObject, RawPixelData};
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How the pixels of a file are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    /// One frame after the other.
    Native {
        big: bool,
    },
    /// The same in fragments.
    Encapsulated,
    Rle,
    /// Lossy and lossless JPEG.
    Jpeg,
    JpegLs,
    /// JPEG 2000 and High-Throughput JPEG 2000.
    Jpeg2000,
}

impl Codec {
    /// The decoder of a transfer syntax.
    ///
    /// # Errors
    ///
    /// `Unsupported`, naming the syntax and a way to convert the file.
    pub(super) fn new(syntax: &str) -> Result<Self, DecodeError> {
        Ok(match syntax {
            uids::IMPLICIT_VR_LITTLE_ENDIAN
            | uids::EXPLICIT_VR_LITTLE_ENDIAN
            | uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN => Self::Native { big: false },
            BIG_ENDIAN => Self::Native { big: true },
            uids::ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN => Self::Encapsulated,
            uids::RLE_LOSSLESS => Self::Rle,
            uids::JPEG_BASELINE8_BIT | uids::JPEG_EXTENDED12_BIT | uids::JPEG_LOSSLESS | uids::JPEG_LOSSLESS_SV1 => {
                Self::Jpeg
            }
            uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS => Self::JpegLs,
            uids::JPEG2000_LOSSLESS
            | uids::JPEG2000
            | uids::HTJ2K_LOSSLESS
            | uids::HTJ2K_LOSSLESS_RPCL
            | uids::HTJ2K => Self::Jpeg2000,
            _ => {
                let name = super::names::syntax_name(syntax).map(|name| format!(" ({name})")).unwrap_or_default();
                return Err(DecodeError::Unsupported(format!(
                    "transfer syntax {syntax}{name}: not decoded; convert the file first, for example by `gdcmconv --raw`"
                )));
            }
        })
    }

    /// Decodes the bytes of one frame. `bits` of the layout returned are those of the decoded values.
    pub(super) fn decode<'a>(
        self,
        frame: Cow<'a, [u8]>,
        layout: &mut PixelLayout,
        syntax: &str,
    ) -> Result<Samples<'a>, DecodeError> {
        let value_bytes = layout.value_bytes();
        match self {
            Self::Native { big } => Ok(Samples::Bytes { bytes: frame, value_bytes, big }),
            Self::Encapsulated => Ok(Samples::Bytes { bytes: frame, value_bytes, big: false }),
            Self::Rle => rle::decode(&frame, layout.pixels(), value_bytes),
            Self::Jpeg => {
                markers::jpeg(&frame)?.check(layout)?;
                jpeg(&frame)
            }
            Self::JpegLs | Self::Jpeg2000 => {
                let header = if self == Self::JpegLs { markers::jpeg } else { markers::jpeg_2000 };
                let header = header(&frame)?.check(layout)?;
                // These code the values themselves, without the bits around them, and JPEG-LS knows no sign: the highest
                // bit of the code is the highest bit of the value.
                layout.bits.stored = header.precision;
                layout.bits.high = header.precision - 1;
                registered(&frame, header, syntax)
            }
        }
    }
}

/// Decodes a JPEG frame whose header has been compared with that of the DICOM file.
fn jpeg(bytes: &[u8]) -> Result<Samples<'static>, DecodeError> {
    let frame = start_of_frame(bytes).ok_or(DecodeError::Truncated)?;
    Ok(match libjpeg::decode(bytes, frame, DecodeLimits::USUAL.scans)? {
        JpegValues::Bytes(bytes) => Samples::Bytes { bytes: Cow::Owned(bytes), value_bytes: 1, big: false },
        JpegValues::Words(words) => Samples::Words(words),
    })
}

/// A frame for the decoders of the registry.
struct CodecFrame<'a> {
    bytes: &'a [u8],
    header: FrameHeader,
    syntax: &'a str,
}

impl CodecFrame<'_> {
    fn value_bytes(&self) -> usize {
        if self.header.precision <= 8 { 1 } else { 2 }
    }
}

impl PixelDataObject for CodecFrame<'_> {
    fn transfer_syntax_uid(&self) -> &str {
        self.syntax
    }
    fn rows(&self) -> Option<u16> {
        self.header.height.try_into().ok()
    }
    fn cols(&self) -> Option<u16> {
        self.header.width.try_into().ok()
    }
    fn samples_per_pixel(&self) -> Option<u16> {
        Some(1)
    }
    fn bits_allocated(&self) -> Option<u16> {
        Some(8 * self.value_bytes() as u16)
    }
    fn bits_stored(&self) -> Option<u16> {
        self.header.precision.try_into().ok()
    }
    fn photometric_interpretation(&self) -> Option<&str> {
        Some("MONOCHROME2")
    }
    fn number_of_frames(&self) -> Option<u32> {
        Some(1)
    }
    fn number_of_fragments(&self) -> Option<u32> {
        Some(1)
    }
    fn fragment(&self, fragment: usize) -> Option<Cow<'_, [u8]>> {
        (fragment == 0).then_some(Cow::Borrowed(self.bytes))
    }
    fn offset_table(&self) -> Option<Cow<'_, [u32]>> {
        None
    }
    fn raw_pixel_data(&self) -> Option<RawPixelData> {
        None
    }
}

/// Decodes JPEG-LS or JPEG 2000 through the transfer syntax registry.
fn registered(bytes: &[u8], header: FrameHeader, syntax: &str) -> Result<Samples<'static>, DecodeError> {
    let decoder = TransferSyntaxRegistry.get(syntax).and_then(|found| found.pixel_data_reader());
    let decoder = decoder.ok_or_else(|| DecodeError::Unsupported(format!("transfer syntax {syntax}: no decoder")))?;
    let frame = CodecFrame { bytes, header, syntax };
    let mut decoded = Vec::new();
    // Both decoders are large bodies of foreign code, one of them translated from C by a machine.
    let result = catch_unwind(AssertUnwindSafe(|| decoder.decode_frame(&frame, 0, &mut decoded)));
    match result {
        Ok(Ok(())) => Ok(Samples::Bytes { bytes: Cow::Owned(decoded), value_bytes: frame.value_bytes(), big: false }),
        Ok(Err(error)) => Err(DecodeError::Corrupt(error.to_string())),
        Err(_) => Err(DecodeError::Corrupt("the decoder gave up on the compressed pixels".to_owned())),
    }
}
