//! Files in the place of a slice that hold something else: which it is, and what to do with it.

use crate::base::file_kind::{FileKind, FileUse};
use crate::data::dicom::is_dicom;
use crate::data::volume::VolumeFormat;

/// Enough of a file to tell what it is.
const FIRST: usize = 4096;

/// Endings of DICOM files, and of volumes.
const DICOM: [&str; 4] = [".dcm", ".dicom", ".ima", ".acr"];
const VOLUMES: [&str; 6] = [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"];

/// Whether a name ends as those of scanners' files do.
pub(crate) fn ends_as_scanners(name: &str) -> bool {
    let lower = name.to_lowercase();
    ends_as_volume(name) || DICOM.iter().any(|ending| lower.ends_with(ending))
}

/// Whether a name ends as that of a volume, which holds all slices of a scan.
pub(crate) fn ends_as_volume(name: &str) -> bool {
    let lower = name.to_lowercase();
    VOLUMES.iter().any(|ending| lower.ends_with(ending))
}

/// What the file `name` holds in the place of a slice.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Foreign {
    /// What it holds, and what to do.
    pub(crate) told: String,
    /// Whether it holds pictures, and not a leftover of some system or program.
    pub(crate) is_pictures: bool,
}

impl Foreign {
    /// Of a file that is no JPEG, PNG or TIFF; `None` where nothing is known of it.
    pub(crate) fn of(name: &str, bytes: &[u8]) -> Option<Self> {
        let first = &bytes[..bytes.len().min(FIRST)];
        let scanners = |kind: &str, ending: &str, read: &str| {
            let is_named = ends_as_scanners(name);
            let told = if is_named {
                // In a folder it would have been read.
                format!(
                    "holds {kind}, which is not read from within an archive of pictures: unpack it, and it is read {read}"
                )
            } else {
                format!("holds {kind}: give it the ending {ending}, and it is read {read}")
            };
            Some(Self { told, is_pictures: true })
        };
        if is_dicom(first) {
            return scanners("DICOM data", ".dcm, or none", "as a slice of its series");
        }
        match VolumeFormat::of("", first) {
            Some(VolumeFormat::Nifti) if first.starts_with(&[0x1F, 0x8B]) => {
                return scanners("a compressed NIfTI volume", ".nii.gz", "as a scan");
            }
            Some(VolumeFormat::Nifti) => return scanners("a NIfTI volume", ".nii", "as a scan"),
            Some(VolumeFormat::Nrrd) => return scanners("an NRRD volume", ".nrrd", "as a scan"),
            // By its name only.
            Some(VolumeFormat::MetaImage) | None => {}
        }
        // The tags that MetaImage's documentation has first.
        if [b"ObjectType".as_slice(), b"NDims"].iter().any(|tag| first.starts_with(tag)) {
            return scanners("a MetaImage volume", ".mha (.mhd, where the data lie in another file)", "as a scan");
        }
        let kind = FileKind::of(first)?;
        Some(Self { told: format!("holds {}", kind.told(name)), is_pictures: kind.is == FileUse::Picture })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: &[u8]) -> String {
        Foreign::of("7.jpg", bytes).expect("is known").told
    }

    #[test]
    fn scanners_files_are_named_with_the_ending_by_which_they_are_read() {
        let dicom = [&[0; 128][..], b"DICM", &[0; 64]].concat();
        let read = "holds DICOM data: give it the ending .dcm, or none, and it is read as a slice of its series";
        assert_eq!(told(&dicom), read);
        let in_archive = "holds DICOM data, which is not read from within an archive of pictures: unpack it, and it is read as \
                          a slice of its series";
        assert_eq!(Foreign::of("a/7.DCM", &dicom).expect("is known").told, in_archive);
        // Without a preamble: two elements of group 8, explicit.
        let bare = b"\x08\0\x05\0CS\x0A\0ISO_IR 100\x08\0\x60\0CS\x02\0CT";
        assert_eq!(told(bare), read);
        let mut nifti = vec![0; 352];
        nifti[..4].copy_from_slice(&348_u32.to_le_bytes());
        nifti[344..348].copy_from_slice(b"n+1\0");
        assert_eq!(told(&nifti), "holds a NIfTI volume: give it the ending .nii, and it is read as a scan");
        assert_eq!(told(b"NRRD0004\n"), "holds an NRRD volume: give it the ending .nrrd, and it is read as a scan");
        let meta = "holds a MetaImage volume: give it the ending .mha (.mhd, where the data lie in another file), and it is \
                    read as a scan";
        assert_eq!(told(b"ObjectType = Image\nNDims = 3\n"), meta);
    }

    #[test]
    fn other_files_are_named_with_what_to_do() {
        let video = "holds a video (MP4 or QuickTime): if its pictures are slices, take them out by `ffmpeg -i 7.jpg \
                     slice-%03d.png`";
        assert_eq!(told(b"\0\0\0\x18ftypisom\0\0\0\0"), video);
        assert_eq!(told(b"GIF87a"), "holds a GIF picture: convert it, for example by `ffmpeg -i 7.jpg out.png`");
        assert_eq!(told(b"log line"), "holds a text: it is no slice: move it away");
        assert_eq!(Foreign::of("7.jpg", &[0xD7, 3, 0xC3, 0x7F]), None);
        assert!(Foreign::of("a", b"GIF87a").is_some_and(|of| of.is_pictures));
        assert!(Foreign::of("a", b"text").is_some_and(|of| !of.is_pictures));
    }
}
