//! Headers whose voxels lie in another file of the same folder: `.nhdr` and `.mhd`.

use super::{VolumeFormat, metaimage, nrrd};
use crate::data::decode::DecodeError;

/// Whether a file of this name may be a header whose voxels lie in another one.
pub(crate) fn may_name_data(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".mhd", ".nhdr", ".mha", ".nrrd"].iter().any(|ending| name.ends_with(ending))
}

/// The name of the data file in the same folder that a header names; `None` where its voxels are in the file itself.
///
/// # Errors
/// `Unsupported` for names that lead out of the folder, for lists of files and patterns of file names, and for NRRD
/// headers that go on after the name.
pub(crate) fn data_file(name: &str, header_bytes: &[u8]) -> Result<Option<String>, DecodeError> {
    let claimed = match VolumeFormat::of(name, header_bytes) {
        Some(VolumeFormat::Nrrd) => match nrrd::data_file(header_bytes) {
            Some((_, true)) => {
                return Err(refused("an NRRD header with more fields after the data file's name"));
            }
            claimed => claimed.map(|(file, _)| file),
        },
        Some(VolumeFormat::MetaImage) => metaimage::data_file(header_bytes),
        Some(VolumeFormat::Nifti) | None => None,
    };
    claimed.map(plain_name).transpose()
}

/// The bytes that [`Volume::open`](super::Volume::open) takes: the header up to the data file's name, then the data.
/// What follows the name goes, be it nothing, empty lines or the lines of another program (SimpleITK writes a volume's
/// DICOM attributes there).
pub(crate) fn joined(name: &str, header_bytes: &[u8], data: &[u8]) -> Vec<u8> {
    let end = match VolumeFormat::of(name, header_bytes) {
        Some(VolumeFormat::Nrrd) => nrrd::end(header_bytes),
        Some(VolumeFormat::MetaImage) => metaimage::end(header_bytes),
        Some(VolumeFormat::Nifti) | None => None,
    };
    let header = &header_bytes[..end.unwrap_or(header_bytes.len())];
    let mut bytes = Vec::with_capacity(header.len() + 1 + data.len());
    bytes.extend_from_slice(header);
    // Written by hand, the last line may lack its end.
    if !header.ends_with(b"\n") {
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(data);
    bytes
}

fn plain_name(name: String) -> Result<String, DecodeError> {
    let list = name.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("list"));
    if list || name.contains('%') {
        return Err(refused("voxels in several files"));
    }
    let control = name.chars().any(char::is_control);
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\\', ':']) || control {
        return Err(refused("voxels outside of the header's folder"));
    }
    Ok(name)
}

fn refused(what: &str) -> DecodeError {
    DecodeError::Unsupported(format!(
        "{what}; expected the name of one file beside the header: convert it with SimpleITK"
    ))
}
