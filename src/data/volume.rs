//! Reads CT volumes, many slices in one file, as NIfTI, NRRD and MetaImage hold them.
//!
//! Whichever way the voxels are stored, slices come out axial, from the feet up and as radiologists see them. No
//! resampling takes place: an oblique volume keeps its own axes, each named after the patient's axis it is nearest to.

mod detached;
mod inflate;
mod metaimage;
mod nifti;
mod nrrd;
#[cfg(test)]
mod tests;
mod text;
mod volume_axes;
mod voxel_layout;
mod voxels;

pub(crate) use detached::{data_file, joined, may_name_data};

use crate::data::decode::DecodeError;
use crate::data::pixels::Hounsfield;
use std::io::Read;
use volume_axes::AxialView;
use voxel_layout::VoxelLayout;

/// The most slices of one volume: a whole body at 0.1 mm.
const MAX_SLICES: u64 = 20_000;

/// The file format of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VolumeFormat {
    /// NIfTI-1 or NIfTI-2, gzipped or not.
    Nifti,
    /// NRRD, with its data inside or beside it.
    Nrrd,
    /// MetaImage (.mha), with its data inside or beside it (.mhd).
    MetaImage,
}

impl VolumeFormat {
    /// The format of the file `name` that begins with `first`, of which 4096 bytes are enough. `None` for all else.
    ///
    /// Contents decide for NIfTI and NRRD. MetaImage has no magic number, so its name and its first line do; a gzipped
    /// file is NIfTI if it is named `.nii.gz` or holds a NIfTI header.
    pub(crate) fn of(name: &str, first: &[u8]) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        if inflate::is_gzip(first) {
            let holds = |first| inflate::inflated_start(first).is_ok_and(|start| nifti::is_nifti(&start));
            let nifti = name.ends_with(".nii.gz") || holds(first);
            return nifti.then_some(Self::Nifti);
        }
        if nifti::is_nifti(first) {
            return Some(Self::Nifti);
        }
        if nrrd::is_nrrd(first) {
            return Some(Self::Nrrd);
        }
        let named = name.ends_with(".mha") || name.ends_with(".mhd");
        (named && metaimage::is_plausible(first)).then_some(Self::MetaImage)
    }
}

/// What a volume's header says, turned to axial slices.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct VolumeHeader {
    /// Width of a slice in pixels, 1 to [`MAX_SIDE`](crate::data::decode::MAX_SIDE).
    pub(crate) width: u32,
    /// Height of a slice in pixels, 1 to [`MAX_SIDE`](crate::data::decode::MAX_SIDE).
    pub(crate) height: u32,
    /// Number of slices, 1 to 20,000.
    pub(crate) slices: u32,
    /// Distance in mm between columns, between rows and between slices, each along the volume's own axis: after a tilt
    /// of the gantry the slices' planes lie closer together.
    pub(crate) spacing: [f64; 3],
    /// Where the stored axes point, fastest first: one of R or L, A or P, S or I each, for example `LAS`. The same as
    /// nibabel's `aff2axcodes`.
    pub(crate) stored_as: String,
    /// The largest angle in degrees between an axis of the voxels and the patient's axis that it stands for.
    pub(crate) oblique_degrees: f64,
    /// Whether the file says how the patient lies in it. Where not, the format's usual orientation is taken: left,
    /// anterior, superior for NIfTI and left, posterior, superior for NRRD and MetaImage.
    pub(crate) has_geometry: bool,
}

impl VolumeHeader {
    /// Reads the header of the file `name`, and of the file no more than that; of a compressed one no more than needed
    /// is inflated.
    ///
    /// # Errors
    /// `NotAnImage` for another format, `Oversized` for more than 8192 pixels on a side (width and height follow) or
    /// more than 20,000 slices (width and number of slices follow), `Unsupported` for colours, complex numbers, several
    /// volumes and other kinds that are not read, `Truncated` and `Corrupt` for damaged headers.
    pub(crate) fn read(name: &str, reader: impl Read) -> Result<Self, DecodeError> {
        VoxelLayout::read(name, reader)?.header()
    }
}

/// A volume in memory: its voxels are kept as stored and become Hounsfield units slice by slice.
pub(crate) struct Volume {
    header: VolumeHeader,
    view: AxialView,
    layout: VoxelLayout,
    bytes: Vec<u8>,
    /// Where in `bytes` the voxels begin.
    start: usize,
}

impl Volume {
    /// Opens the file `name` with the contents `bytes`; for a header with its data beside it (see [`data_file`]) `bytes`
    /// are what [`joined`] makes of both. Takes memory for `bytes` and, where they are compressed, for the voxels once.
    ///
    /// # Errors
    /// Those of [`VolumeHeader::read`]; `Unsupported` for more than 2 GiB of voxels, `Truncated` where the file or its
    /// compressed part ends before the last voxel.
    pub(crate) fn open(name: &str, bytes: Vec<u8>) -> Result<Self, DecodeError> {
        let mut layout = VoxelLayout::read(name, bytes.as_slice())?;
        let header = layout.header()?;
        let view = layout.view();
        let (bytes, start) = inflate::voxels(bytes, &mut layout)?;
        Ok(Self { header, view, layout, bytes, start })
    }

    /// What the file's header says.
    #[cfg(test)]
    pub(crate) fn header(&self) -> &VolumeHeader {
        &self.header
    }

    /// Axial slice `n`, counted from the feet up: the image's left is the patient's right, anterior is on top.
    ///
    /// Slope and intercept are applied in double precision. Voxels that are NaN become −1024, the value of air outside
    /// of the field of view; they are not named as padding, because real air has that value, too. Infinite values stay.
    ///
    /// # Errors
    /// `Corrupt` for a slice that the volume does not have.
    pub(crate) fn frame(&self, n: u32) -> Result<Hounsfield, DecodeError> {
        let (width, height, slices) = (self.header.width, self.header.height, self.header.slices);
        if n >= slices {
            return Err(DecodeError::Corrupt(format!("expected a slice from 0 to {}, found {n}", slices - 1)));
        }
        let voxels = self.bytes.get(self.start..).ok_or(DecodeError::Truncated)?;
        let values = voxels::slice(voxels, &self.layout.sample, &self.view, n as usize);
        Ok(Hounsfield { width, height, values, padding: None, own_window: None })
    }
}
