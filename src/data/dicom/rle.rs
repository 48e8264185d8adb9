//! RLE Lossless (PS3.5, annex G): each byte of the values is compressed for itself by PackBits.

use super::convert::Samples;
use crate::data::decode::DecodeError;
use std::borrow::Cow;

/// Number of segments and their 15 offsets, 4 bytes each.
const HEADER: usize = 64;
/// Two bytes of PackBits become at most 128.
const LARGEST_RATIO: usize = 64;

/// Decodes a frame with `pixels` values of 1, 2 or 4 bytes each.
pub(super) fn decode(frame: &[u8], pixels: usize, value_bytes: usize) -> Result<Samples<'static>, DecodeError> {
    let header = frame.get(..HEADER).ok_or(DecodeError::Truncated)?.as_chunks::<4>().0;
    let number = |index: usize| u32::from_le_bytes(header[index]) as usize;
    if number(0) != value_bytes {
        let found = number(0);
        return Err(DecodeError::Corrupt(format!("expected {value_bytes} RLE segments, found {found}")));
    }
    if frame.len() < pixels.saturating_mul(value_bytes) / LARGEST_RATIO {
        return Err(DecodeError::Truncated);
    }
    let mut planes = Vec::with_capacity(value_bytes);
    for segment in 1..=value_bytes {
        let end = if segment == value_bytes { frame.len() } else { number(segment + 1) };
        let packed = frame.get(number(segment)..end).ok_or(DecodeError::Truncated)?;
        planes.push(unpack(packed, pixels)?);
    }
    // The first segment holds the highest bytes.
    Ok(match planes.as_slice() {
        [high, low] => {
            Samples::Words(high.iter().zip(low).map(|(&high, &low)| u16::from_be_bytes([high, low])).collect())
        }
        [_] => Samples::Bytes { bytes: Cow::Owned(planes.remove(0)), value_bytes, big: false },
        _ => {
            let bytes = (0..pixels).flat_map(|at| planes.iter().map(move |plane| plane[at])).collect();
            Samples::Bytes { bytes: Cow::Owned(bytes), value_bytes, big: true }
        }
    })
}

/// Unpacks `length` bytes; what follows them is padding.
fn unpack(packed: &[u8], length: usize) -> Result<Vec<u8>, DecodeError> {
    let mut bytes = Vec::with_capacity(length + 128);
    let mut rest = packed;
    while bytes.len() < length {
        let (&control, tail) = rest.split_first().ok_or(DecodeError::Truncated)?;
        match control {
            0..=127 => {
                let (literal, tail) = tail.split_at_checked(usize::from(control) + 1).ok_or(DecodeError::Truncated)?;
                bytes.extend_from_slice(literal);
                rest = tail;
            }
            128 => rest = tail,
            129..=255 => {
                let (&byte, tail) = tail.split_first().ok_or(DecodeError::Truncated)?;
                bytes.resize(bytes.len() + 257 - usize::from(control), byte);
                rest = tail;
            }
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}
