//! Lung masks of slices, from the file or else from the cached slice.

use crate::base::errors::Result;
use crate::data::cache::SliceCache;
use crate::data::lungs::LungMask;
use crate::data::pixels::GreyImage;
use serde::{Deserialize, Serialize};

/// The smallest side of a cached slice for a mask: in smaller ones the two lungs are only a few pixels apart.
const LEAST_SIDE: u32 = 64;

/// The image that a lung mask was computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LungsFrom {
    /// The slice's file, in its own size.
    File,
    /// The cached slice, because the file is missing, has changed since the audit, or holds a whole volume.
    Cache,
    /// None: the audited file is missing, and the cached slice is smaller than 64×64.
    Nothing,
}

/// The preprocessed slice.
pub(super) fn picture(cache: &SliceCache, slice: usize) -> Result<GreyImage> {
    let size = cache.preprocess().size;
    Ok(GreyImage { width: size, height: size, pixels: cache.pixels(slice)?.to_vec() })
}

/// The lung mask of a slice, and the image it was computed from. The mask of a file is cropped as the cached slice was;
/// that is this part resized to a square, so the mask is to be resized in the same way.
pub(super) fn lungs(cache: &SliceCache, slice: usize) -> Result<(LungMask, LungsFrom)> {
    let manifest = cache.manifest();
    // Without the audited file the cached slice is used, as for a volume, which would be read whole for each slice.
    let listed = &manifest.slices[slice];
    let pixels = (listed.frame.is_none()).then(|| manifest.pixels_of(listed).ok()).flatten();
    if let Some(image) = pixels.map(|pixels| pixels.into_grey(cache.preprocess().window)) {
        return Ok((cache.preprocess().framed_lungs(&image), LungsFrom::File));
    }
    let size = cache.preprocess().size;
    if size >= LEAST_SIDE {
        return Ok((LungMask::of(&picture(cache, slice)?), LungsFrom::Cache));
    }
    let inside = vec![false; (size * size) as usize];
    Ok((LungMask { width: size, height: size, inside }, LungsFrom::Nothing))
}
