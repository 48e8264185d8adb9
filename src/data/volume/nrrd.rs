//! NRRD headers, versions 1 to 5.

use super::text::{TextFields, plain, whole_lines};
use super::volume_axes::{self, Steps};
use super::voxel_layout::{Skip, VolumeGeometry, VoxelEncoding, VoxelLayout};
use super::voxels::{Sample, SampleKind};
use crate::data::decode::DecodeError;

pub(super) fn is_nrrd(first: &[u8]) -> bool {
    first.starts_with(b"NRRD000")
}

/// Splits `key: value`; nothing for comments and for `key:=value`, which is anybody's.
fn split(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':').filter(|_| !line.starts_with('#'))?;
    (!value.starts_with('=')).then_some((key, value))
}

/// The data file's name, of a line that claims one.
fn claim(line: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(line);
    let (key, value) = split(&line)?;
    (plain(key) == "datafile").then(|| value.trim().to_owned())
}

/// Where the header ends: after an empty line, or after the line that names the data file.
pub(super) fn end(bytes: &[u8]) -> Option<usize> {
    whole_lines(bytes).find(|(line, _)| line.is_empty() || claim(line).is_some()).map(|(_, end)| end)
}

/// The data file that a whole header names, and the fields after the name, of which there should be none.
pub(super) fn data_file(header: &[u8]) -> Option<(String, bool)> {
    let mut lines = header.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let name = lines.by_ref().take_while(|line| !line.is_empty()).find_map(claim)?;
    let fields_follow =
        lines.take_while(|line| !line.is_empty()).any(|line| split(&String::from_utf8_lossy(line)).is_some());
    Some((name, fields_follow))
}

/// What a header says.
pub(super) fn layout(header: &[u8]) -> Result<VoxelLayout, DecodeError> {
    let fields = TextFields::new("NRRD", header, split);
    let encoding = encoding(&fields)?;
    let kind = kind(&fields)?;
    let axes = AxisFields::read(&fields)?;
    let big_endian = match fields.get(&["endian"]).map(str::to_ascii_lowercase).as_deref() {
        Some("little") => false,
        Some("big") => true,
        None if kind.size() == 1 || encoding == VoxelEncoding::Text => false,
        None => return Err(fields.wrong("endian", "expected little or big for voxels of several bytes, found nothing")),
        Some(_) => return Err(fields.wrong("endian", "expected little or big, found another word")),
    };
    let skip = match fields.number::<i64>(&["byteskip"])?.unwrap_or(0) {
        -1 => Skip::AllButVoxels,
        bytes => match u64::try_from(bytes) {
            Ok(bytes) => Skip::Bytes(bytes),
            Err(_) => return Err(fields.wrong("byteskip", &format!("expected -1 or more, found {bytes}"))),
        },
    };
    Ok(VoxelLayout {
        sides: axes.sides,
        geometry: axes.geometry(&fields)?,
        sample: Sample { kind, big_endian, rescale: None },
        encoding,
        begin: header.len(),
        skip_lines: fields.number(&["lineskip"])?.unwrap_or(0),
        skip,
        detached: fields.get(&["datafile"]).is_some(),
    })
}

fn encoding(fields: &TextFields) -> Result<VoxelEncoding, DecodeError> {
    let other = match fields.need(&["encoding"])?.to_ascii_lowercase().as_str() {
        "raw" => return Ok(VoxelEncoding::Raw),
        "gzip" | "gz" => return Ok(VoxelEncoding::Gzip),
        "ascii" | "text" | "txt" => return Ok(VoxelEncoding::Text),
        "hex" => "hex",
        "bzip2" | "bz2" => "bzip2",
        "zrl" => "zrl",
        _ => "an unknown",
    };
    Err(DecodeError::Unsupported(format!(
        "NRRD with {other} encoding; expected raw, gzip or ascii: convert it with SimpleITK or `unu save`"
    )))
}

fn kind(fields: &TextFields) -> Result<SampleKind, DecodeError> {
    Ok(match plain(fields.need(&["type"])?).as_str() {
        "signedchar" | "int8" | "int8_t" => SampleKind::I8,
        "uchar" | "unsignedchar" | "uint8" | "uint8_t" => SampleKind::U8,
        "short" | "shortint" | "signedshort" | "signedshortint" | "int16" | "int16_t" => SampleKind::I16,
        "ushort" | "unsignedshort" | "unsignedshortint" | "uint16" | "uint16_t" => SampleKind::U16,
        "int" | "signedint" | "int32" | "int32_t" => SampleKind::I32,
        "uint" | "unsignedint" | "uint32" | "uint32_t" => SampleKind::U32,
        "longlong" | "longlongint" | "signedlonglong" | "signedlonglongint" | "int64" | "int64_t" => SampleKind::I64,
        "ulonglong" | "unsignedlonglong" | "unsignedlonglongint" | "uint64" | "uint64_t" => SampleKind::U64,
        "float" => SampleKind::F32,
        "double" => SampleKind::F64,
        _ => {
            return Err(DecodeError::Unsupported(
                "NRRD with voxels that are no numbers of 8 to 64 bits: convert it with SimpleITK".to_owned(),
            ));
        }
    })
}

/// The axes of the image.
struct AxisFields {
    sides: [u64; 3],
    /// Where among the file's axes they are.
    places: Vec<usize>,
    /// How many axes the file has.
    count: usize,
}

impl AxisFields {
    /// Takes two or three axes; others are passed over where they have one entry and refused where they have more.
    fn read(fields: &TextFields) -> Result<Self, DecodeError> {
        let all: Vec<u64> = fields.numbers(&["sizes"])?.unwrap_or_default();
        let dimension: usize = fields.number(&["dimension"])?.unwrap_or(0);
        if all.len() != dimension || !(1..=16).contains(&dimension) {
            let found = format!("expected as many as dimension says ({dimension}, of 1 to 16), found {}", all.len());
            return Err(fields.wrong("sizes", &found));
        }
        let kinds: Vec<String> = fields.get(&["kinds"]).unwrap_or_default().split_whitespace().map(plain).collect();
        let spatial = |axis: usize| {
            kinds.get(axis).is_none_or(|kind| matches!(kind.as_str(), "domain" | "space" | "none" | "???"))
        };
        let (mut places, others): (Vec<usize>, Vec<usize>) = (0..dimension).partition(|axis| spatial(*axis));
        // Of more than three axes those with one entry can go, the last first.
        while places.len() > 3
            && let Some(single) = places.iter().rposition(|axis| all[*axis] == 1)
        {
            places.remove(single);
        }
        if others.iter().any(|axis| all[*axis] != 1) || !(2..=3).contains(&places.len()) {
            return Err(DecodeError::Unsupported(format!(
                "NRRD with {dimension} axes, {} of them through space; expected two or three, and one value to a \
                 voxel: convert it with SimpleITK",
                places.len()
            )));
        }
        let side = |axis: usize| places.get(axis).map_or(1, |place| all[*place]);
        Ok(Self { sides: [side(0), side(1), side(2)], places, count: dimension })
    }

    fn geometry(&self, fields: &TextFields) -> Result<VolumeGeometry, DecodeError> {
        let directions = self.directions(fields)?;
        let spacings: Vec<f64> = fields.numbers(&["spacings"])?.unwrap_or_default();
        let spacing = |axis: usize| {
            let place = self.places.get(axis).copied().unwrap_or(usize::MAX);
            let step = directions.as_ref().map(|directions| volume_axes::length(&directions[axis]));
            let spacing = step.or_else(|| spacings.get(place).map(|spacing| spacing.abs()));
            spacing.filter(|spacing| spacing.is_finite() && *spacing > 0.0).unwrap_or(1.0)
        };
        let usual = volume_axes::straight([spacing(0), spacing(1), spacing(2)]);
        // Scanners' and other spaces are read as the patient's, as SimpleITK does, but not called so.
        let (signs, known) = match plain(fields.get(&["space"]).unwrap_or_default()).as_str() {
            "left-posterior-superior" | "lps" => ([-1.0, -1.0, 1.0], true),
            "right-anterior-superior" | "ras" => ([1.0, 1.0, 1.0], true),
            "left-anterior-superior" | "las" => ([-1.0, 1.0, 1.0], true),
            _ => ([-1.0, -1.0, 1.0], false),
        };
        let turned = |steps: Steps| steps.map(|step| std::array::from_fn(|axis| signs[axis] * step[axis]));
        match directions.map(turned) {
            Some(steps) if !known => VolumeGeometry::assumed(steps, usual),
            steps => VolumeGeometry::new(steps, usual),
        }
    }

    /// The steps along the three axes, in the file's space; `None` unless there are three in three dimensions.
    fn directions(&self, fields: &TextFields) -> Result<Option<Steps>, DecodeError> {
        let Some(value) = fields.get(&["spacedirections"]) else { return Ok(None) };
        let wrong = |what: &str| fields.wrong("spacedirections", what);
        let mut vectors: Vec<Option<[f64; 3]>> = Vec::new();
        let mut rest = value.trim_start();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix("none") {
                vectors.push(None);
                rest = after.trim_start();
                continue;
            }
            let inside = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'));
            let (vector, after) = inside.ok_or_else(|| wrong("expected vectors in brackets or none, found others"))?;
            let parts: Result<Vec<f64>, _> = vector.split(',').map(|part| part.trim().parse()).collect();
            let parts = parts.map_err(|_| wrong("expected numbers, found another text"))?;
            vectors.push(parts.try_into().ok());
            rest = after.trim_start();
        }
        if vectors.len() != self.count {
            return Err(wrong(&format!("expected {} vectors, found {}", self.count, vectors.len())));
        }
        let step = |axis: usize| self.places.get(axis).and_then(|place| vectors.get(*place).copied()?);
        Ok(step(0).zip(step(1)).zip(step(2)).map(|((x, y), z)| [x, y, z]))
    }
}
