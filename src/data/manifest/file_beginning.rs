//! What the beginning of a file says: a DICOM file, a volume, or neither.

use super::acquisition::{Rejected, Rejection};
use crate::base::regular_file::{Lies, open_regular};
use crate::data::decode::{DecodeError, Format};
use crate::data::dicom::{DicomHeader, is_dicom};
use crate::data::volume::{VolumeFormat, VolumeHeader, data_file, may_name_data};
use std::io::{BufReader, Read, Seek};
use std::path::Path;

/// Enough of a file to tell what it is.
const FIRST: usize = 4096;
/// The longest header whose data lies in a file of its own.
const HEADER: u64 = 1 << 20;

/// What a file's beginning says.
pub(super) enum Beginning {
    Dicom(Box<DicomHeader>),
    Volume(Format, VolumeHeader, Option<String>),
    Broken(DecodeError),
    /// Of more bytes than the second.
    TooLarge(u64, u64),
    /// A header whose data are no file: what they are.
    NoData(String),
    Other,
}

impl Beginning {
    /// Of a regular file; `at_most` bytes are read of one with a single slice, and of one with many.
    pub(super) fn read(path: &Path, at_most: [u64; 2]) -> std::io::Result<Self> {
        let mut file = open_regular(path)?;
        let length = file.metadata()?.len();
        let or_too_large =
            |found: Self, at_most| if length > at_most { Self::TooLarge(length, at_most) } else { found };
        let mut first = Vec::with_capacity(FIRST);
        file.by_ref().take(FIRST as u64).read_to_end(&mut first)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let volume = VolumeFormat::of(&name, &first);
        if volume.is_none() && !is_dicom(&first) {
            return Ok(Self::Other);
        }
        file.rewind()?;
        let reader = BufReader::with_capacity(16 << 10, file);
        let Some(format) = volume else {
            return Ok(DicomHeader::read(reader).map_or_else(Self::Broken, |header| {
                let at_most = at_most[usize::from(header.frames > 1)];
                or_too_large(Self::Dicom(Box::new(header)), at_most)
            }));
        };
        let format = match format {
            VolumeFormat::Nifti => Format::Nifti,
            VolumeFormat::Nrrd => Format::Nrrd,
            VolumeFormat::MetaImage => Format::MetaImage,
        };
        // A header of its own is short, and the name of its data file its last line.
        if may_name_data(&name) && first.len() == FIRST {
            first.clear();
            open_regular(path)?.take(HEADER).read_to_end(&mut first)?;
        }
        let detached = data_file(&name, &first);
        if let Ok(Some(data)) = &detached {
            match Lies::at(&path.with_file_name(data)) {
                Lies::File(length) if length > at_most[1] => return Ok(Self::TooLarge(length, at_most[1])),
                Lies::Neither(what) => return Ok(Self::NoData(format!("its data file {data} is {what}"))),
                // What is not there is found when the volume is opened.
                Lies::File(_) | Lies::Folder(_) | Lies::Nothing => {}
            }
        }
        Ok(match (VolumeHeader::read(&name, reader), detached) {
            (Ok(header), Ok(data)) => or_too_large(Self::Volume(format, header, data), at_most[1]),
            (Err(error), _) | (_, Err(error)) => Self::Broken(error),
        })
    }
}

impl Rejected {
    pub(super) fn unreadable(path: String, error: &DecodeError) -> Self {
        let reason = match error {
            DecodeError::Truncated | DecodeError::NoEndMarker => Rejection::Truncated,
            DecodeError::Oversized(..) => Rejection::Oversized,
            DecodeError::Unsupported(_) | DecodeError::UnknownValues(_) => Rejection::Unsupported,
            DecodeError::Corrupt(_) | DecodeError::NotAnImage(_) => Rejection::Corrupt,
        };
        Self { path, reason, detail: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn headers_of_too_much_and_of_what_is_no_file_are_told_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let header = |data: &str| {
            format!(
                "ObjectType = Image\nNDims = 3\nBinaryData = True\nTransformMatrix = 1 0 0 0 1 0 0 0 1\n\
                 ElementSpacing = 1 1 1\nDimSize = 2 2 2\nElementType = MET_SHORT\nElementDataFile = {data}\n"
            )
        };
        fs::write(at("v.mhd"), header("v.raw")).expect("writes");
        fs::write(at("v.raw"), [0; 16]).expect("writes");
        fs::write(at("w.mha"), [header("LOCAL").as_bytes(), &[0; 16]].concat()).expect("writes");
        let read = |name: &str, limit| Beginning::read(&at(name), [0, limit]).expect("reads");
        assert!(matches!(read("v.mhd", 1000), Beginning::Volume(Format::MetaImage, _, Some(data)) if data == "v.raw"));
        assert!(matches!(read("v.mhd", 15), Beginning::TooLarge(16, 15)));
        let length = fs::metadata(at("w.mha")).expect("is there").len();
        assert!(matches!(read("w.mha", length), Beginning::Volume(Format::MetaImage, _, None)));
        assert!(matches!(read("w.mha", length - 1), Beginning::TooLarge(found, _) if found == length));
        fs::remove_file(at("v.raw")).expect("removes");
        rustix::fs::mkfifoat(rustix::fs::CWD, at("v.raw"), rustix::fs::Mode::from_raw_mode(0o600)).expect("a pipe");
        assert!(
            matches!(read("v.mhd", 1000), Beginning::NoData(what) if what == "its data file v.raw is a named pipe")
        );
    }
}
