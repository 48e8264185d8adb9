//! NIfTI-1 and NIfTI-2 headers: the same fields at other places and in other widths.

use super::volume_axes::Steps;
use super::voxel_layout::{Skip, VolumeGeometry, VoxelEncoding, VoxelLayout};
use super::voxels::{Sample, SampleKind};
use crate::data::decode::DecodeError;

/// Length of the longer header, NIfTI-2's, in bytes.
pub(super) const HEADER: usize = 540;

/// Whether a NIfTI header begins here: its length and its magic letters, a pair's header included.
pub(super) fn is_nifti(first: &[u8]) -> bool {
    version(first).is_some()
}

/// A version's places, whether its numbers are big-endian, and whether the voxels lie in another file.
fn version(first: &[u8]) -> Option<(&'static Places, bool, bool)> {
    [&NIFTI_1, &NIFTI_2].into_iter().find_map(|places| {
        let length = first.get(..4)?.try_into().ok()?;
        let big = match places.header {
            header if u32::from_le_bytes(length) == header => false,
            header if u32::from_be_bytes(length) == header => true,
            _ => return None,
        };
        let magic = first.get(places.magic..places.magic + 4)?;
        let pair = magic[..2] == *b"ni";
        ((pair || magic[..2] == *b"n+") && magic[2..] == [places.version, 0]).then_some((places, big, pair))
    })
}

/// Where a version has its fields.
struct Places {
    version: u8,
    header: u32,
    magic: usize,
    datatype: usize,
    dim: usize,
    pixdim: usize,
    vox_offset: usize,
    slope: usize,
    units: usize,
    qform: usize,
    quaternion: usize,
    srow: usize,
    /// Bytes of a number in `dim`; of one in `pixdim` and of all later fractions; of `vox_offset`, a fraction in
    /// version 1; of the codes.
    dim_size: usize,
    real_size: usize,
    code_size: usize,
}

const NIFTI_1: Places = Places {
    version: b'1',
    header: 348,
    magic: 344,
    datatype: 70,
    dim: 40,
    pixdim: 76,
    vox_offset: 108,
    slope: 112,
    units: 123,
    qform: 252,
    quaternion: 256,
    srow: 280,
    dim_size: 2,
    real_size: 4,
    code_size: 2,
};

const NIFTI_2: Places = Places {
    version: b'2',
    header: 540,
    magic: 4,
    datatype: 12,
    dim: 16,
    pixdim: 104,
    vox_offset: 168,
    slope: 176,
    units: 500,
    qform: 344,
    quaternion: 352,
    srow: 400,
    dim_size: 8,
    real_size: 8,
    code_size: 4,
};

/// A header's numbers. Reads beyond its end give 0; [`layout`] refuses short headers beforehand.
struct Numbers<'a> {
    bytes: &'a [u8],
    big: bool,
}

impl Numbers<'_> {
    /// The number of `size` bytes at `at`, its bytes at the low end.
    fn bits(&self, at: usize, size: usize) -> u64 {
        let bytes = self.bytes.get(at..at + size).unwrap_or_default();
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if self.big { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
    }

    fn whole(&self, at: usize, size: usize) -> i64 {
        let unused = 64 - 8 * size as u32;
        ((self.bits(at, size) << unused) as i64) >> unused
    }

    fn real(&self, at: usize, size: usize) -> f64 {
        let bits = self.bits(at, size);
        if size == 4 { f64::from(f32::from_bits(bits as u32)) } else { f64::from_bits(bits) }
    }

    fn reals<const N: usize>(&self, at: usize, size: usize) -> [f64; N] {
        std::array::from_fn(|i| self.real(at + i * size, size))
    }
}

/// What a header says; of an uncompressed file, which the caller may correct.
pub(super) fn layout(header: &[u8]) -> Result<VoxelLayout, DecodeError> {
    let Some((places, big_endian, pair)) = version(header) else {
        return Err(match header.len() {
            0..352 => DecodeError::Truncated,
            _ => DecodeError::Corrupt("expected a NIfTI header of 348 or 540 bytes, found another".to_owned()),
        });
    };
    if pair {
        let reason =
            "NIfTI with its voxels in another file (.hdr and .img); expected one file: convert it with nibabel";
        return Err(DecodeError::Unsupported(reason.to_owned()));
    }
    let length = places.header as usize;
    let bytes = header.get(..length).ok_or(DecodeError::Truncated)?;
    let numbers = Numbers { bytes, big: big_endian };
    // Extensions may follow the header; a flag of four bytes says so, even where it says no.
    let begin = match places.dim_size {
        2 => numbers.real(places.vox_offset, 4),
        _ => numbers.whole(places.vox_offset, 8) as f64,
    };
    let least = length + 4;
    let begin = if begin == 0.0 { least as f64 } else { begin };
    if begin.is_nan() || begin < least as f64 {
        return Err(DecodeError::Corrupt(format!("NIfTI vox_offset: expected {least} or more, found {begin}")));
    }
    let kind = kind(numbers.whole(places.datatype, 2))?;
    let (sides, dimensions) = sides(&numbers, places)?;
    Ok(VoxelLayout {
        sides,
        geometry: geometry(&numbers, places, dimensions, sides)?,
        sample: Sample { kind, big_endian, rescale: rescale(numbers.reals(places.slope, places.real_size))? },
        encoding: VoxelEncoding::Raw,
        begin: 0,
        skip_lines: 0,
        skip: Skip::Bytes(begin as u64),
        detached: false,
    })
}

fn kind(datatype: i64) -> Result<SampleKind, DecodeError> {
    let other = match datatype {
        2 => return Ok(SampleKind::U8),
        4 => return Ok(SampleKind::I16),
        8 => return Ok(SampleKind::I32),
        16 => return Ok(SampleKind::F32),
        64 => return Ok(SampleKind::F64),
        256 => return Ok(SampleKind::I8),
        512 => return Ok(SampleKind::U16),
        768 => return Ok(SampleKind::U32),
        1024 => return Ok(SampleKind::I64),
        1280 => return Ok(SampleKind::U64),
        1 => "voxels of one bit",
        32 | 1792 | 2048 => "complex voxels",
        128 | 2304 => "colour voxels",
        1536 => "voxels of 128 bits",
        _ => {
            return Err(DecodeError::Corrupt(format!(
                "NIfTI datatype: expected one of the standard, found {datatype}"
            )));
        }
    };
    Err(DecodeError::Unsupported(format!(
        "NIfTI with {other}; expected integers or fractions of 8 to 64 bits: convert it with nibabel"
    )))
}

/// The sides of the one volume, and how many dimensions the header counts.
fn sides(numbers: &Numbers, places: &Places) -> Result<([u64; 3], usize), DecodeError> {
    let dim: [i64; 8] = std::array::from_fn(|i| numbers.whole(places.dim + i * places.dim_size, places.dim_size));
    let corrupt = |what: &str, found: i64| DecodeError::Corrupt(format!("NIfTI dim: expected {what}, found {found}"));
    let dimensions = usize::try_from(dim[0]).ok().filter(|n| (1..=7).contains(n));
    let dimensions = dimensions.ok_or_else(|| corrupt("1 to 7 dimensions", dim[0]))?;
    if dimensions == 1 {
        return Err(DecodeError::Unsupported("NIfTI with one dimension; expected slices of two".to_owned()));
    }
    let mut all = [1; 7];
    for (side, dim) in all.iter_mut().zip(&dim[1..=dimensions]) {
        *side = u64::try_from(*dim).map_err(|_| corrupt("sides of 1 or more voxels", *dim))?;
    }
    if all[3..].iter().any(|side| *side != 1) {
        let counts: Vec<String> = all[3..dimensions].iter().map(u64::to_string).collect();
        return Err(DecodeError::Unsupported(format!(
            "NIfTI with {} volumes or values to a voxel; expected one volume: split it with nibabel",
            counts.join("x")
        )));
    }
    Ok(([all[0], all[1], all[2]], dimensions))
}

/// Slope and intercept, by nibabel's rule: a slope of 0 or one that is not finite means stored values, and the
/// intercept does not count then either.
fn rescale([slope, intercept]: [f64; 2]) -> Result<Option<(f64, f64)>, DecodeError> {
    if slope == 0.0 || !slope.is_finite() || (slope, intercept) == (1.0, 0.0) {
        return Ok(None);
    }
    if !intercept.is_finite() {
        return Err(DecodeError::Corrupt(format!("NIfTI scl_inter: expected a finite number, found {intercept}")));
    }
    Ok(Some((slope, intercept)))
}

/// The sform if there is one, else the qform, else the voxels' distances alone; the world is right, anterior, superior. The unit
/// matrix without an origin is what arrays are saved with whose place nobody knows: it states nothing.
fn geometry(
    numbers: &Numbers,
    places: &Places,
    dimensions: usize,
    sides: [u64; 3],
) -> Result<VolumeGeometry, DecodeError> {
    let size = places.real_size;
    let mut pixdim: [f64; 4] = numbers.reals(places.pixdim, size);
    for (axis, distance) in pixdim.iter_mut().enumerate().skip(1) {
        *distance = if *distance == 0.0 || axis > dimensions { 1.0 } else { distance.abs() };
    }
    let millimetres = match numbers.whole(places.units, 1) & 7 {
        1 => 1e3,
        3 => 1e-3,
        _ => 1.0,
    };
    let scaled = |steps: Steps| steps.map(|step| step.map(|part| part * millimetres));
    let known = |code: i64| (1..=5).contains(&code);
    let [x, y, z] = [pixdim[1], pixdim[2], pixdim[3]];
    let usual = scaled([[-x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, z]]);
    let sform = numbers.whole(places.qform + places.code_size, places.code_size);
    let steps = if known(sform) {
        let srow: [f64; 12] = numbers.reals(places.srow, size);
        if srow == UNIT {
            return VolumeGeometry::assumed(scaled(of_array(sides)), usual);
        }
        Some(std::array::from_fn(|axis| [srow[axis], srow[4 + axis], srow[8 + axis]]))
    } else if known(numbers.whole(places.qform, places.code_size)) {
        let precision = if size == 4 { f64::from(f32::EPSILON) } else { f64::EPSILON };
        let rotation = rotation(numbers.reals(places.quaternion, size), precision)?;
        let z = if pixdim[0] == -1.0 { -z } else { z };
        Some(std::array::from_fn(|axis| rotation[axis].map(|part| part * [x, y, z][axis])))
    } else {
        None
    };
    VolumeGeometry::new(steps.map(scaled), usual)
}

/// The unit matrix as an sform.
const UNIT: [f64; 12] = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0];

/// Steps along an array's axes, the first of which is stored the fastest: slices are square, and the other axis is that of the
/// body, the last one where no two sides are equal. Rows come before columns, as arrays of pictures have them; nothing is known
/// where all sides are equal.
fn of_array([first, second, third]: [u64; 3]) -> Steps {
    let (left, back, up) = ([-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]);
    match (first == second, second == third, first == third) {
        (true, true, true) => [left, back, up],
        (false, true, _) => [up, back, left],
        (_, _, true) => [back, up, left],
        _ => [back, left, up],
    }
}

/// The columns of the rotation by the unit quaternion with these last three parts and a first part of 0 or more.
fn rotation([b, c, d]: [f64; 3], precision: f64) -> Result<Steps, DecodeError> {
    let square = 1.0 - (b * b + c * c + d * d);
    // Rounded parts of a half turn may have a length just over 1.
    let a = if square.abs() < 3.0 * precision { 0.0 } else { square.sqrt() };
    if !a.is_finite() {
        let length = (1.0 - square).sqrt();
        return Err(DecodeError::Corrupt(format!("NIfTI quaternion: expected a length of 1 at most, found {length}")));
    }
    let whole = a * a + b * b + c * c + d * d;
    let s = 2.0 / whole;
    Ok([
        [1.0 - s * (c * c + d * d), s * (b * c + a * d), s * (b * d - a * c)],
        [s * (b * c - a * d), 1.0 - s * (b * b + d * d), s * (c * d + a * b)],
        [s * (b * d + a * c), s * (c * d - a * b), 1.0 - s * (b * b + c * c)],
    ])
}

#[cfg(test)]
mod tests {
    use super::super::volume_axes::VolumeAxes;
    use super::*;

    #[test]
    fn an_array_is_cut_across_the_axis_whose_length_differs() {
        let letters = |sides| VolumeAxes::of(&of_array(sides)).expect("axes").letters();
        assert_eq!(letters([40, 512, 512]), "SPL");
        assert_eq!(letters([512, 512, 40]), "PLS");
        assert_eq!(letters([512, 40, 512]), "PSL");
        assert_eq!(letters([400, 512, 100]), "PLS");
        assert_eq!(letters([512, 512, 512]), "LPS");
    }
}
