//! What a file becomes before a network sees it.

use crate::base::files::Digest;
use crate::data::pixels::SixteenBit;
use crate::data::window::Window;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// How the slice cache stores pixels; the pixel values are the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// Losslessly compressed to about half: for a slow disk or little memory.
    #[default]
    Packed,
    /// Uncompressed: half the work of reading, twice the bytes.
    Raw,
}

/// What a file becomes before a network sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Side of the square to which slices are resized, in pixels.
    pub size: u32,
    /// Subtracted from the grey level divided by 255.
    pub mean: f64,
    /// Standard deviation by which the difference is divided.
    pub std: f64,
    /// How the cache stores the slices.
    #[serde(default)]
    pub storage: Storage,
    /// From Hounsfield units to grey levels; 8-bit pictures are taken as they are.
    #[serde(default)]
    pub window: Window,
    /// What the values of 16-bit pictures in the data set meant; taken from the manifest when a run is opened, and used for
    /// new scans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sixteen_bit: Option<SixteenBit>,
}

impl Default for Preprocess {
    /// 224×224, mean and standard deviation 0.5: the slides' settings. The result lies between -1 and 1.
    fn default() -> Self {
        Self { size: 224, mean: 0.5, std: 0.5, storage: Storage::Packed, window: Window::LUNG, sixteen_bit: None }
    }
}

impl Preprocess {
    /// Identifies the cached pixels: size, storage and window, since normalisation happens later.
    pub(crate) fn cache_key(&self, manifest: &Digest) -> String {
        let Self { size, storage, window, .. } = self;
        let text = format!("{manifest} luma-u8 bilinear-antialiased {size} {storage:?} window {window}");
        Digest::of(text.as_bytes()).short()
    }
}

impl Preprocess {
    /// The network's input `[N, 3, size, size]` f32 from grey levels `[N, 1, size, size]` u8, on the same device.
    pub(crate) fn normalised(&self, grey: &Tensor) -> Result<Tensor> {
        let (n, _, height, width) = grey.size4()?;
        // In place, since new memory costs more than the arithmetic.
        let mut images = grey.f_to_kind(Kind::Float)?.f_div_scalar_(255.0)?;
        let images = images.f_sub_scalar_(self.mean)?.f_div_scalar_(self.std)?;
        Ok(images.f_expand([n, 3, height, width], false)?)
    }
}
