//! From files to slices: decoding, the manifest, the audit, splits, the slice cache and its batches; and the phantom.

pub(crate) mod alteration;
pub(crate) mod audit;
pub(crate) mod augment;
pub(crate) mod cache;
pub(crate) mod contact_sheet;
pub(crate) mod decode;
pub(crate) mod dicom;
pub(crate) mod foreign;
pub(crate) mod lungs;
pub(crate) mod manifest;
pub(crate) mod opened;
pub(crate) mod pack;
pub(crate) mod phantom;
pub(crate) mod pixels;
pub(crate) mod prefetch;
pub(crate) mod preprocess;
pub(crate) mod resize;
pub(crate) mod rows;
pub(crate) mod sampler;
pub(crate) mod series;
pub(crate) mod split;
pub(crate) mod volume;
pub(crate) mod window;
pub(crate) mod workspace;
