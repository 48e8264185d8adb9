//! The lungs of a slice, from its file where that is at hand.

use crate::data::cache::SliceCache;
use crate::data::decode::{GreyImage, decode_grey};
use crate::data::lungs::LungMask;
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// Cached slices of a smaller side are too coarse for a mask: two lungs are then a few pixels apart.
const LEAST_SIDE: u32 = 64;

/// The pixels that a lung mask was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LungsFrom {
    /// The slice's file, in its own size.
    File,
    /// The cached slice, for the file is not there or has changed since the audit.
    Cache,
    /// None: neither the file that was audited is there, nor a cached slice of 64×64 or more.
    Nothing,
}

/// The slice as the network sees it.
pub(super) fn picture(cache: &SliceCache, slice: usize) -> Result<GreyImage> {
    let size = cache.preprocess().size;
    Ok(GreyImage { width: size, height: size, pixels: cache.pixels(slice)?.to_vec() })
}

/// The lungs of a slice, and what they were found in. The cached slice is the whole file made square, so the mask is
/// resized as the slice was.
pub(super) fn lungs(cache: &SliceCache, slice: usize) -> Result<(LungMask, LungsFrom)> {
    let manifest = cache.manifest();
    // A file that is gone, or no longer the one that was audited, is no reason to explain nothing.
    if let Some(image) = manifest.bytes_of(&manifest.slices[slice]).ok().and_then(|bytes| decode_grey(&bytes).ok()) {
        return Ok((LungMask::of(&image), LungsFrom::File));
    }
    let size = cache.preprocess().size;
    if size >= LEAST_SIDE {
        return Ok((LungMask::of(&picture(cache, slice)?), LungsFrom::Cache));
    }
    let inside = vec![false; (size * size) as usize];
    Ok((LungMask { width: size, height: size, inside }, LungsFrom::Nothing))
}
