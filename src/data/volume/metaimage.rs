//! MetaImage headers.

use super::text::{TextFields, plain, whole_lines};
use super::volume_axes::{self, Steps};
use super::voxel_layout::{Skip, VolumeGeometry, VoxelEncoding, VoxelLayout};
use super::voxels::{Sample, SampleKind};
use crate::data::decode::DecodeError;

/// Whether the first line could be a MetaImage field: a word, `=` or `:`, and a value that can be printed.
pub(super) fn is_plausible(first: &[u8]) -> bool {
    let line = first.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let word = |key: &str| !key.trim().is_empty() && key.trim().bytes().all(|byte| byte.is_ascii_alphanumeric());
    line.len() < 1024
        && line.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control())
        && std::str::from_utf8(line).ok().and_then(split).is_some_and(|(key, _)| word(key))
}

fn split(line: &str) -> Option<(&str, &str)> {
    line.split_once(['=', ':'])
}

/// The data file's name or LOCAL, of the line that says where the voxels are.
fn claim(line: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(line);
    let (key, value) = split(&line)?;
    (plain(key) == "elementdatafile").then(|| value.trim().to_owned())
}

/// Where the header ends: after the line that says where the voxels are.
pub(super) fn end(bytes: &[u8]) -> Option<usize> {
    whole_lines(bytes).find(|(line, _)| claim(line).is_some()).map(|(_, end)| end)
}

/// The data file that a whole header names; `None` where the voxels follow in the same file.
pub(super) fn data_file(header: &[u8]) -> Option<String> {
    header.split(|byte| *byte == b'\n').find_map(claim).filter(|name| !is_local(name))
}

fn is_local(name: &str) -> bool {
    name.eq_ignore_ascii_case("local")
}

/// What a header says.
pub(super) fn layout(header: &[u8]) -> Result<VoxelLayout, DecodeError> {
    let fields = TextFields::new("MetaImage", header, split);
    let yes = |keys: &[&str]| fields.get(keys).map(|value| value.starts_with(['T', 't', '1']));
    refuse_others(&fields, yes(&["binarydata"]) == Some(false))?;
    let kind = kind(&fields)?;
    let (sides, dimensions) = sides(&fields)?;
    let local = is_local(fields.need(&["elementdatafile"])?);
    let encoding = if yes(&["compresseddata"]) == Some(true) { VoxelEncoding::Zlib } else { VoxelEncoding::Raw };
    // The bytes to skip count from the beginning of the file that holds the voxels, and are not compressed.
    let (begin, skip) = match fields.number::<i64>(&["headersize"])?.unwrap_or(0) {
        0 => (header.len(), Skip::Bytes(0)),
        -1 => (header.len(), Skip::AllButVoxels),
        size => {
            let size =
                usize::try_from(size).map_err(|_| fields.wrong("headersize", "expected -1 or more, found less"))?;
            (if local { size } else { header.len().saturating_add(size) }, Skip::Bytes(0))
        }
    };
    let big_endian = yes(&["binarydatabyteordermsb", "elementbyteordermsb"]) == Some(true);
    Ok(VoxelLayout {
        sides,
        geometry: geometry(&fields, dimensions)?,
        sample: Sample { kind, big_endian, rescale: None },
        encoding,
        begin,
        skip_lines: 0,
        skip,
        detached: !local,
    })
}

fn refuse_others(fields: &TextFields, text: bool) -> Result<(), DecodeError> {
    let channels: i64 = fields.number(&["elementnumberofchannels"])?.unwrap_or(1);
    let slope: f64 = fields.number(&["elementtointensityfunctionslope"])?.unwrap_or(1.0);
    let offset: f64 = fields.number(&["elementtointensityfunctionoffset"])?.unwrap_or(0.0);
    let other = match fields.get(&["objecttype"]) {
        Some(object) if !object.eq_ignore_ascii_case("image") => "an object that is no image: convert it",
        _ if channels != 1 => "several values to a voxel: convert it",
        _ if text => "voxels written as text: convert it",
        // SimpleITK passes over both: applied or not, the values would be wrong for somebody.
        _ if (slope, offset) != (1.0, 0.0) => "a slope or an intercept: apply it and write the volume again",
        _ => return Ok(()),
    };
    Err(DecodeError::Unsupported(format!("MetaImage with {other} with SimpleITK")))
}

fn kind(fields: &TextFields) -> Result<SampleKind, DecodeError> {
    Ok(match fields.need(&["elementtype"])? {
        "MET_CHAR" => SampleKind::I8,
        "MET_UCHAR" => SampleKind::U8,
        "MET_SHORT" => SampleKind::I16,
        "MET_USHORT" => SampleKind::U16,
        "MET_INT" | "MET_LONG" => SampleKind::I32,
        "MET_UINT" | "MET_ULONG" => SampleKind::U32,
        "MET_LONG_LONG" => SampleKind::I64,
        "MET_ULONG_LONG" => SampleKind::U64,
        "MET_FLOAT" => SampleKind::F32,
        "MET_DOUBLE" => SampleKind::F64,
        _ => {
            return Err(DecodeError::Unsupported(
                "MetaImage with voxels that are no numbers of 8 to 64 bits: convert it with SimpleITK".to_owned(),
            ));
        }
    })
}

/// The sides of the one volume, and how many dimensions the header counts.
fn sides(fields: &TextFields) -> Result<([u64; 3], usize), DecodeError> {
    let all: Vec<u64> = fields.numbers(&["dimsize"])?.unwrap_or_default();
    let dimensions: usize = fields.number(&["ndims"])?.unwrap_or(0);
    if all.len() != dimensions || dimensions == 0 {
        let found = format!("expected as many as NDims says ({dimensions}), found {}", all.len());
        return Err(fields.wrong("dimsize", &found));
    }
    if dimensions == 1 || all.iter().skip(3).any(|side| *side != 1) {
        let found = format!("MetaImage with {dimensions} dimensions; expected one volume of two or three");
        return Err(DecodeError::Unsupported(format!("{found}: convert it with SimpleITK")));
    }
    let side = |axis: usize| all.get(axis).copied().unwrap_or(1);
    Ok(([side(0), side(1), side(2)], dimensions))
}

/// The patient's space is left, posterior, superior.
fn geometry(fields: &TextFields, dimensions: usize) -> Result<VolumeGeometry, DecodeError> {
    let spacing: Vec<f64> =
        fields.numbers(&["elementspacing"])?.or(fields.numbers(&["elementsize"])?).unwrap_or_default();
    let spacing: [f64; 3] = std::array::from_fn(|axis| spacing.get(axis).copied().unwrap_or(1.0));
    let matrix: Option<Vec<f64>> = fields.numbers(&["transformmatrix", "rotation", "orientation"])?;
    let usual = volume_axes::straight(spacing.map(f64::abs));
    // A slice by itself has no third axis to turn.
    if dimensions < 3 {
        return VolumeGeometry::new(None, usual);
    }
    let directions = match &matrix {
        Some(matrix) if matrix.len() != dimensions.saturating_mul(dimensions) => {
            let found = format!("expected {dimensions}x{dimensions} numbers, found {}", matrix.len());
            return Err(fields.wrong("transformmatrix", &found));
        }
        Some(matrix) => Some(std::array::from_fn(|axis| {
            let row = &matrix[axis * dimensions..];
            [-row[0], -row[1], row[2]]
        })),
        // Without a matrix the axes run straight, as for SimpleITK; other letters have been read both as the sides that
        // axes come from and as those they lead to.
        None => (fields.get(&["anatomicalorientation"]) == Some("RAI")).then_some(volume_axes::straight([1.0; 3])),
    };
    let steps = directions
        .map(|directions: Steps| std::array::from_fn(|axis| directions[axis].map(|part| part * spacing[axis])));
    VolumeGeometry::new(steps, usual)
}
