//! What a file becomes before a network sees it.

use crate::base::files::Digest;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// How the slice cache keeps pixels; the pixels are the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// Packed without loss, to about half: what fits a slow disk and a small memory.
    #[default]
    Packed,
    /// As they are: half the work of reading, twice the bytes.
    Raw,
}

/// What a file becomes before a network sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Side of the square the slice is resized to, in pixels.
    pub size: u32,
    /// Subtracted from the grey level divided by 255.
    pub mean: f64,
    /// What the difference is then divided by.
    pub std: f64,
    /// How the cache keeps the slices.
    #[serde(default)]
    pub storage: Storage,
}

impl Default for Preprocess {
    /// 224×224, mean and deviation 0.5: the slides' settings. Grey levels come out between -1 and 1.
    fn default() -> Self {
        Self { size: 224, mean: 0.5, std: 0.5, storage: Storage::Packed }
    }
}

impl Preprocess {
    /// Identifies the cached pixels: size and storage alone, since normalisation happens later.
    pub(crate) fn cache_key(&self, manifest: &Digest) -> String {
        let text = format!("{manifest} luma-u8 bilinear-antialiased {} {:?}", self.size, self.storage);
        Digest::of(text.as_bytes()).short()
    }
}

impl Preprocess {
    /// What a network is fed, of grey levels `[N, 1, size, size]` u8: `[N, 3, size, size]` f32, on the device where they are.
    pub(crate) fn normalised(&self, grey: &Tensor) -> Result<Tensor> {
        let (n, _, height, width) = grey.size4()?;
        // In place: fresh memory costs more than the arithmetic.
        let mut images = grey.f_to_kind(Kind::Float)?.f_div_scalar_(255.0)?;
        let images = images.f_sub_scalar_(self.mean)?.f_div_scalar_(self.std)?;
        Ok(images.f_expand([n, 3, height, width], false)?)
    }
}
