//! What the three formats' headers have in common.

use super::volume_axes::{AxialView, Steps, VolumeAxes, length};
use super::voxels::{Sample, SampleKind};
use super::{MAX_SLICES, VolumeFormat, VolumeHeader, inflate, metaimage, nifti, nrrd, text};
use crate::data::decode::{DecodeError, MAX_SIDE};
use std::io::Read;

/// The most bytes of voxels that are kept in memory: 2 GiB, or 4096 slices of 512 × 512 voxels of two bytes.
const MAX_BYTES: u64 = 1 << 31;

/// How a volume lies in its file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct VoxelLayout {
    /// Voxels along each stored axis, the fastest first.
    pub(super) sides: [u64; 3],
    pub(super) geometry: VolumeGeometry,
    pub(super) sample: Sample,
    pub(super) encoding: VoxelEncoding,
    /// Bytes of the file before the data, compressed or not.
    pub(super) begin: usize,
    /// Lines of the file to skip after that.
    pub(super) skip_lines: u64,
    /// Bytes to skip then, after decompression.
    pub(super) skip: Skip,
    /// Whether the data come from another file.
    pub(super) detached: bool,
}

/// Where the patient lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct VolumeGeometry {
    steps: Steps,
    axes: VolumeAxes,
    known: bool,
}

impl VolumeGeometry {
    /// Takes `steps` if the file has them and they span space, else `usual`, the format's own assumption.
    pub(super) fn new(steps: Option<Steps>, usual: Steps) -> Result<Self, DecodeError> {
        if let Some(steps) = steps
            && let Some(axes) = VolumeAxes::of(&steps)
        {
            return Ok(Self { steps, axes, known: true });
        }
        Self::assumed(usual, usual)
    }

    /// Takes `steps` without knowing that they are the patient's, or `usual` where they do not span space.
    pub(super) fn assumed(steps: Steps, usual: Steps) -> Result<Self, DecodeError> {
        if let Some(axes) = VolumeAxes::of(&steps) {
            return Ok(Self { steps, axes, known: false });
        }
        let axes = VolumeAxes::of(&usual)
            .ok_or_else(|| DecodeError::Corrupt("expected finite distances between voxels, found others".to_owned()))?;
        Ok(Self { steps: usual, axes, known: false })
    }
}

/// How the voxels are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VoxelEncoding {
    Raw,
    Gzip,
    Zlib,
    /// Numbers in decimal, separated by white space or commas.
    Text,
}

/// Bytes before the first voxel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Skip {
    Bytes(u64),
    /// The voxels are the file's last bytes.
    AllButVoxels,
}

impl VoxelLayout {
    /// Reads the header of the file `name`.
    pub(super) fn read(name: &str, mut reader: impl Read) -> Result<Self, DecodeError> {
        let first = inflate::read_at_most(&mut reader, 4096)?;
        match VolumeFormat::of(name, &first) {
            Some(VolumeFormat::Nifti) if inflate::is_gzip(&first) => {
                let header = inflate::inflated_start(first.as_slice().chain(reader))?;
                Ok(Self { encoding: VoxelEncoding::Gzip, ..nifti::layout(&header)? })
            }
            Some(VolumeFormat::Nifti) => nifti::layout(&first),
            Some(VolumeFormat::Nrrd) => {
                let header = text::header(first, reader, nrrd::end)?;
                nrrd::layout(&header)
            }
            Some(VolumeFormat::MetaImage) => {
                let header = text::header(first, reader, metaimage::end)?;
                metaimage::layout(&header)
            }
            None => Err(DecodeError::NotAnImage(found(&first))),
        }
    }

    /// The header as the caller sees it, once its claims are within the limits.
    pub(super) fn header(&self) -> Result<VolumeHeader, DecodeError> {
        let [x, y, z] = self.sides;
        if self.sides.contains(&0) {
            return Err(DecodeError::Unsupported(format!("a volume of {x}x{y}x{z} voxels, which has no voxels")));
        }
        let axes = &self.geometry.axes;
        let [width, height, slices] = axes.turned(self.sides);
        let shown = |side: u64| u32::try_from(side).unwrap_or(u32::MAX);
        if width.max(height) > u64::from(MAX_SIDE) {
            return Err(DecodeError::Oversized(shown(width), shown(height)));
        }
        if slices > MAX_SLICES {
            return Err(DecodeError::Oversized(shown(width), shown(slices)));
        }
        self.voxel_bytes()?;
        let steps = &self.geometry.steps;
        Ok(VolumeHeader {
            width: shown(width),
            height: shown(height),
            slices: shown(slices),
            spacing: axes.turned([length(&steps[0]), length(&steps[1]), length(&steps[2])]),
            stored_as: axes.letters(),
            oblique_degrees: axes.oblique_degrees(steps),
            has_geometry: self.geometry.known,
        })
    }

    /// How slices are read; only for layouts whose [`header`](Self::header) is within the limits.
    pub(super) fn view(&self) -> AxialView {
        AxialView::of(&self.geometry.axes, self.sides.map(|side| side as usize))
    }

    /// Bytes of all voxels, at most 2 GiB.
    pub(super) fn voxel_bytes(&self) -> Result<usize, DecodeError> {
        // Voxels written as text are kept as numbers of eight bytes.
        let size = if self.encoding == VoxelEncoding::Text { SampleKind::F64.size() } else { self.sample.kind.size() };
        let bytes = self.sides.iter().try_fold(size as u64, |bytes, side| bytes.checked_mul(*side));
        match bytes {
            Some(bytes) if bytes <= MAX_BYTES => Ok(bytes as usize),
            _ => {
                let [x, y, z] = self.sides;
                let gib = self.sides.iter().fold(size as f64, |bytes, side| bytes * *side as f64) / f64::from(1 << 30);
                Err(DecodeError::Unsupported(format!(
                    "a volume of {x}x{y}x{z} voxels of {size} bytes, {gib:.1} GiB; expected 2 GiB at most: crop it"
                )))
            }
        }
    }
}

/// Describes a file by its first bytes, as numbers: text could be a patient's name.
fn found(first: &[u8]) -> String {
    if first.is_empty() {
        return "an empty file".to_owned();
    }
    let bytes: Vec<String> = first.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("a file beginning with the bytes {}, neither NIfTI, NRRD nor MetaImage", bytes.join(" "))
}
