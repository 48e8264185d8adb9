//! Our parsers, each on any bytes, for the fuzz targets in fuzz/. Built with the feature `fuzzing` only.
//!
//! A function returns whatever the parser says of the bytes; it panics where a parser does, and where two things that it says
//! contradict each other.

use crate::base::natural::numeric_key;
use crate::data::dicom::DicomHeader;
use crate::data::manifest::fuzzed_names;
use crate::data::rows::fuzzed_rows;
use crate::data::volume::VolumeHeader;
use crate::data::window::Window;
use crate::nn::weights::fuzzed_weights;
use crate::remote::staging::fuzzed_directory;
use crate::train::checkpoint::CheckpointInfo;
use std::cmp::Ordering;
use std::io::Write;

/// The text of bytes, and its lines.
fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
}

/// Names of files and folders, one a line: their natural order, the layout, windows.
pub fn names(bytes: &[u8]) {
    let names = lines(bytes);
    for pair in names.windows(2) {
        let [a, b] = [&pair[0], &pair[1]].map(|name| numeric_key(name));
        assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        assert!(a != b || a.cmp(&b) == Ordering::Equal);
    }
    for name in &names {
        let _ = name.parse::<Window>().map(|window| window.to_string());
    }
    fuzzed_names::listed(&names);
}

/// A `labels.csv`, over scans of a few names.
pub fn labels(bytes: &[u8]) {
    fuzzed_names::labels(bytes);
}

/// A `patients.csv`, over scans of a few names.
pub fn patients(bytes: &[u8]) {
    fuzzed_names::patients(bytes);
}

/// A zip archive's directory.
pub fn zip_directory(bytes: &[u8]) {
    fuzzed_directory::read(bytes);
}

/// A pickle.
pub fn pickle(bytes: &[u8]) {
    fuzzed_weights::pickle(bytes);
}

/// A file of `torch.save`, of either format.
pub fn torch_file(bytes: &[u8]) {
    fuzzed_weights::torch_file(bytes);
}

/// The header of a checkpoint.
pub fn safetensors(bytes: &[u8]) {
    // In memory: a disk would be the slowest part.
    let Ok(mut file) = tempfile::NamedTempFile::new_in("/dev/shm") else { return };
    if file.write_all(bytes).is_ok() {
        let _ = CheckpointInfo::read(file.path());
    }
}

/// The table of a cache's rows, and the journal of one that is built.
pub fn cache(bytes: &[u8]) {
    fuzzed_rows::opened(bytes);
    fuzzed_rows::resumed(bytes);
}

/// The header of a DICOM file.
pub fn dicom(bytes: &[u8]) {
    let _ = DicomHeader::read(bytes);
}

/// The header of a NIfTI, NRRD or MetaImage file.
pub fn volume(bytes: &[u8]) {
    for name in ["a.nii", "a.nii.gz", "a.nrrd", "a.nhdr", "a.mha", "a.mhd"] {
        if let Ok(header) = VolumeHeader::read(name, bytes) {
            assert!(header.width > 0 && header.height > 0, "{name}: a slice without pixels");
        }
    }
}
