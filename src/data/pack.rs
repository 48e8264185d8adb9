//! Lossless compression of slices.
//!
//! Each row of pixels is stored as the difference to the row above it, compressed with Zstandard at its fastest level:
//! CT slices shrink to about half, and are unpacked faster than a network trains on them.

use crate::base::errors::{Context, Result, ensure};
use std::cell::RefCell;

const LEVEL: i32 = 1;

thread_local! {
    /// One per thread, so that their tables are reused.
    static PACKER: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    static UNPACKER: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Packs pixels that lie in rows of `width`.
pub(crate) fn pack(pixels: &[u8], width: usize) -> Result<Vec<u8>> {
    let mut differences = pixels.to_vec();
    for (difference, above) in differences.iter_mut().skip(width).zip(pixels) {
        *difference = difference.wrapping_sub(*above);
    }
    PACKER.with_borrow_mut(|kept| {
        let packer = match kept {
            Some(packer) => packer,
            None => kept.insert(zstd::bulk::Compressor::new(LEVEL)?),
        };
        packer.compress(&differences).context("packing a slice")
    })
}

/// Unpacks into `pixels`, which lie in rows of `width`.
///
/// # Errors
/// Bytes that are no packed slice, or one of another size.
pub(crate) fn unpack(packed: &[u8], width: usize, pixels: &mut [u8]) -> Result<()> {
    let found = UNPACKER.with_borrow_mut(|kept| {
        let unpacker = match kept {
            Some(unpacker) => unpacker,
            None => kept.insert(zstd::bulk::Decompressor::new()?),
        };
        unpacker.decompress_to_buffer(packed, pixels).context("unpacking a slice")
    })?;
    ensure!(found == pixels.len(), "unpacking a slice: expected {} pixels, found {found}", pixels.len());
    for row in 1..pixels.len() / width.max(1) {
        let (above, below) = pixels.split_at_mut(row * width);
        let above = &above[(row - 1) * width..];
        below.iter_mut().zip(above).for_each(|(pixel, above)| *pixel = pixel.wrapping_add(*above));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_come_back_and_broken_bytes_are_errors() {
        let pixels: Vec<u8> = (0..64_u32 * 48).map(|i| (i * i / 7 + i % 48) as u8).collect();
        let packed = pack(&pixels, 48).expect("packs");
        let mut back = vec![0; pixels.len()];
        unpack(&packed, 48, &mut back).expect("unpacks");
        assert_eq!(back, pixels);
        assert!(unpack(&packed, 48, &mut [0; 47]).is_err(), "too short a target");
        assert!(unpack(&packed, 48, &mut vec![0; pixels.len() + 1]).is_err(), "too long a target");
        for cut in 0..packed.len() {
            assert!(unpack(&packed[..cut], 48, &mut back).is_err(), "cut at {cut}");
        }
        assert!(unpack(b"no packed slice", 48, &mut back).is_err());
    }
}
