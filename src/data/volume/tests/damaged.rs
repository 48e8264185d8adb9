//! Cuts, flipped bytes and huge claims.

use super::*;
use std::io::Read;

/// One small file of each format and compression.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let raw = little(&stored_as("PIR").1);
    let gzipped = [nrrd_header("PIR", "encoding: gzip\n\n").as_bytes(), &gzip(&raw)].concat();
    vec![
        ("v.nii", nifti_picture("LAS")),
        ("v.nii.gz", gzip(&nifti_picture("LAS"))),
        ("v.nrrd", nrrd_picture("RAS")),
        ("z.nrrd", gzipped),
        ("v.mha", metaimage_picture("SAR")),
    ]
}

#[test]
fn every_cut_is_an_error_and_none_panics() {
    for (name, bytes) in files() {
        for cut in 0..bytes.len() {
            assert!(Volume::open(name, bytes[..cut].to_vec()).is_err(), "{name} cut at {cut} of {}", bytes.len());
            VolumeHeader::read(name, &bytes[..cut]).ok();
        }
        assert_eq!(refused(name, &bytes[..bytes.len() - 1]), DecodeError::Truncated, "{name}");
    }
}

#[test]
fn every_flipped_byte_gives_slices_or_an_error() {
    for (name, bytes) in files() {
        for at in 0..bytes.len() {
            for flip in [1, 0x80, 0xFF] {
                let mut broken = bytes.clone();
                broken[at] ^= flip;
                data_file(name, &broken).ok();
                if let Ok(volume) = Volume::open(name, broken) {
                    volume.frame(0).expect("a slice");
                    volume.frame(volume.header().slices - 1).expect("a slice");
                }
            }
        }
    }
}

#[test]
fn a_changed_checksum_is_an_error() {
    let mut bytes = gzip(&nifti_picture("LAS"));
    let crc = bytes.len() - 8;
    bytes[crc] ^= 1;
    assert!(matches!(refused("v.nii.gz", &bytes), DecodeError::Corrupt(_)));
}

/// A NIfTI file that claims these sides.
fn claiming(sides: [i16; 3], datatype: i16) -> Vec<u8> {
    let mut file = nifti("LAS", datatype, &[0; 64]);
    for (axis, side) in sides.iter().enumerate() {
        file[42 + 2 * axis..44 + 2 * axis].copy_from_slice(&side.to_le_bytes());
    }
    file
}

#[test]
fn huge_claims_are_refused_before_memory_is_taken() {
    assert_eq!(refused("v.nii", &claiming([8193, 10, 10], 4)), DecodeError::Oversized(8193, 10));
    assert_eq!(refused("v.nii", &claiming([10, 10, 20_001], 4)), DecodeError::Oversized(10, 20_001));
    assert!(unsupported(&refused("v.nii", &claiming([8192, 8192, 20_000], 64)), "10000.0 GiB"));
    assert_eq!(refused("v.nii", &claiming([8192, 8192, 16], 4)), DecodeError::Truncated);
    assert_eq!(refused("v.nii.gz", &gzip(&claiming([8192, 8192, 16], 4))), DecodeError::Truncated);
    let nrrd = "NRRD0004\ntype: double\ndimension: 3\nsizes: 18446744073709551615 9 9\nencoding: raw\nendian: big\n\n";
    assert_eq!(refused("v.nrrd", nrrd.as_bytes()), DecodeError::Oversized(u32::MAX, 9));
    let endless = [b"NRRD0004\n", "# comment\n".repeat(200_000).as_bytes()].concat();
    assert!(matches!(refused("v.nrrd", &endless), DecodeError::Corrupt(_)));
}

/// Fails the test when more is read than `left` bytes.
struct Limited {
    bytes: Vec<u8>,
    at: usize,
    left: usize,
}

impl Read for Limited {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = (&self.bytes[self.at..]).read(into)?;
        self.at += read;
        assert!(self.at <= self.left, "{} bytes read", self.at);
        Ok(read)
    }
}

#[test]
fn of_a_file_no_more_than_the_beginning_is_read() {
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let mut file = claiming([512, 512, 2], 4);
    file.extend((0..1 << 20).map(|_| noise()));
    for (name, bytes) in [("v.nii", file.clone()), ("v.nii.gz", gzip(&file))] {
        let header = VolumeHeader::read(name, Limited { bytes, at: 0, left: 100_000 }).expect("a header");
        assert_eq!((header.width, header.height, header.slices), (512, 512, 2));
    }
}

#[test]
fn a_stream_that_holds_more_than_is_claimed_is_not_inflated_to_its_end() {
    // 64 MiB of zeros after the voxels; memory is bounded by the claim, which this only shows by its result.
    let mut file = nifti_picture("LAS");
    file.resize(64 << 20, 0);
    let volume = Volume::open("v.nii.gz", gzip(&file)).expect("opens");
    assert_eq!(volume.bytes.len(), SHOWN.iter().product::<usize>() * 2);
    assert!(volume.bytes.capacity() < 1 << 20, "{}", volume.bytes.capacity());
}
