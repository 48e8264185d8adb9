//! Gets voxels out of a file's bytes: where they begin, and out of compression, with no more memory than is claimed and
//! no more than the stream gives.

use super::voxel_layout::{Skip, VoxelEncoding, VoxelLayout};
use super::{nifti, text, voxels};
use crate::data::decode::DecodeError;
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use std::io::{BufReader, ErrorKind, Read};

/// Memory is reserved for this many times the compressed bytes, so that CT volumes (2 to 5 times smaller when
/// compressed) fit at once; more is taken only as more comes out.
const USUAL_RATIO: usize = 8;

/// Whether `bytes` begin as a gzip stream (RFC 1952).
pub(super) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1F, 0x8B, 8])
}

/// What the beginning of a gzip stream holds, up to the longest NIfTI header's length.
///
/// # Errors
/// Those of the stream before the end of the shortest header: what follows a short file is no concern.
pub(super) fn inflated_start(gzip: impl Read) -> Result<Vec<u8>, DecodeError> {
    let mut start = Vec::new();
    match MultiGzDecoder::new(BufReader::new(gzip)).take(nifti::HEADER as u64).read_to_end(&mut start) {
        Err(error) if start.len() < 352 => Err(failed(&error)),
        _ => Ok(start),
    }
}

/// Up to `most` bytes, fewer only at the end.
pub(super) fn read_at_most(reader: &mut impl Read, most: usize) -> Result<Vec<u8>, DecodeError> {
    let mut bytes = Vec::new();
    reader.take(most as u64).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    Ok(bytes)
}

fn failed(error: &std::io::Error) -> DecodeError {
    match error.kind() {
        ErrorKind::UnexpectedEof => DecodeError::Truncated,
        _ => DecodeError::Corrupt(error.to_string()),
    }
}

/// The bytes that hold the voxels, and where in them those begin. Stored voxels stay where they are; voxels written as
/// text become numbers, and `layout` says so from then on.
pub(super) fn voxels(bytes: Vec<u8>, layout: &mut VoxelLayout) -> Result<(Vec<u8>, usize), DecodeError> {
    let size = layout.voxel_bytes()?;
    let begin = after_lines(&bytes, layout.begin, layout.skip_lines)?;
    let data = bytes.get(begin..).ok_or(DecodeError::Truncated)?;
    match layout.encoding {
        VoxelEncoding::Raw => {
            let start = begin + raw_start(data.len(), size, layout)?;
            Ok((bytes, start))
        }
        VoxelEncoding::Gzip => Ok((inflated(MultiGzDecoder::new(data), data.len(), size, layout.skip)?, 0)),
        VoxelEncoding::Zlib => Ok((inflated(ZlibDecoder::new(data), data.len(), size, layout.skip)?, 0)),
        VoxelEncoding::Text => {
            let Skip::Bytes(skip) = layout.skip else { return Err(from_the_end()) };
            let data = data.get(usize::try_from(skip).unwrap_or(usize::MAX)..).ok_or(DecodeError::Truncated)?;
            let numbers = text::voxels(data, size / voxels::SampleKind::F64.size())?;
            layout.sample.kind = voxels::SampleKind::F64;
            layout.sample.big_endian = false;
            Ok((numbers, 0))
        }
    }
}

/// Where the line after `lines` more of them begins.
fn after_lines(bytes: &[u8], begin: usize, lines: u64) -> Result<usize, DecodeError> {
    let mut at = begin;
    for _ in 0..lines {
        let rest = bytes.get(at..).ok_or(DecodeError::Truncated)?;
        at += 1 + rest.iter().position(|byte| *byte == b'\n').ok_or(DecodeError::Truncated)?;
    }
    Ok(at)
}

/// Where in `available` bytes `size` bytes of voxels begin.
fn raw_start(available: usize, size: usize, layout: &VoxelLayout) -> Result<usize, DecodeError> {
    let spare = available.checked_sub(size).ok_or(DecodeError::Truncated)?;
    let skip = match layout.skip {
        Skip::AllButVoxels => spare,
        Skip::Bytes(skip) => usize::try_from(skip).unwrap_or(usize::MAX),
    };
    if skip > spare {
        return Err(DecodeError::Truncated);
    }
    // A header that was joined to its data at the wrong byte would shift all voxels without another sign.
    if layout.detached && skip != spare {
        let found = available - skip;
        return Err(DecodeError::Corrupt(format!("expected a data file of {size} bytes, found {found}")));
    }
    Ok(skip)
}

/// Inflates `size` bytes after `skip`, and one more at most.
fn inflated(mut stream: impl Read, compressed: usize, size: usize, skip: Skip) -> Result<Vec<u8>, DecodeError> {
    let Skip::Bytes(skip) = skip else { return Err(from_the_end()) };
    let skipped = std::io::copy(&mut stream.by_ref().take(skip), &mut std::io::sink());
    if skipped.map_err(|error| failed(&error))? < skip {
        return Err(DecodeError::Truncated);
    }
    let mut voxels = Vec::with_capacity(size.min(compressed.saturating_mul(USUAL_RATIO)));
    stream.by_ref().take(size as u64).read_to_end(&mut voxels).map_err(|error| failed(&error))?;
    if voxels.len() < size {
        return Err(DecodeError::Truncated);
    }
    // The checksum is compared when the stream ends, which reading exactly all voxels does not reach. What follows the
    // stream is no concern: archives on tape pad files with zeros.
    match stream.read(&mut [0]) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(DecodeError::Truncated),
        Err(error) if error.to_string().contains("checksum") => Err(failed(&error)),
        _ => Ok(voxels),
    }
}

fn from_the_end() -> DecodeError {
    DecodeError::Corrupt("expected a count of bytes to skip, found -1, which only raw data can have".to_owned())
}
