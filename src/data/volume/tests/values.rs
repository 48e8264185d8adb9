//! Types of voxels, slopes, and where patients lie.

use super::*;

/// The same five values in each type that has them, padded with zeros to a whole volume.
fn typed<const N: usize>(bytes: [[u8; N]; 5]) -> Vec<u8> {
    let mut voxels = bytes.concat();
    voxels.resize(SHOWN.iter().product::<usize>() * N, 0);
    voxels
}

/// Bytes of a file with numbers of the other endianness: the header's numbers are swapped, not its letters.
fn swapped(file: &[u8], size: usize) -> Vec<u8> {
    let mut file = file.to_vec();
    let mut swap = |from: usize, to: usize, size: usize| {
        file[from..to].chunks_exact_mut(size).for_each(<[u8]>::reverse);
    };
    swap(0, 4, 4);
    swap(40, 56, 2);
    swap(70, 74, 2);
    swap(76, 120, 4);
    swap(252, 256, 2);
    swap(256, 328, 4);
    let end = 352 + SHOWN.iter().product::<usize>() * size;
    swap(352, end, size);
    file
}

#[test]
fn every_type_and_byte_order_gives_its_values() {
    macro_rules! check {
        ($($kind:ty, $code:literal, $values:expr;)*) => {$({
            let stored: [$kind; 5] = $values;
            let file = nifti("LPS", $code, &typed(stored.map(<$kind>::to_le_bytes)));
            let expected = stored.map(|value| value as f64 as f32);
            assert_eq!(values("v.nii", &file)[..5], expected, stringify!($kind));
            let swapped = swapped(&file, size_of::<$kind>());
            assert_eq!(values("v.nii", &swapped)[..5], expected, "big-endian {}", stringify!($kind));
        })*};
    }
    check! {
        u8, 2, [0, 1, 127, 128, 255];
        i8, 256, [0, 1, 127, -128, -1];
        i16, 4, [0, -1024, i16::MIN, i16::MAX, 1];
        u16, 512, [0, 1024, 32768, u16::MAX, 1];
        i32, 8, [0, -1024, i32::MIN, i32::MAX, 16_777_217];
        u32, 768, [0, 1024, 1 << 31, u32::MAX, 16_777_217];
        i64, 1024, [0, -1024, i64::MIN, i64::MAX, 9_007_200_328_482_817];
        u64, 1280, [0, 1024, 1 << 63, u64::MAX, 1];
        f32, 16, [0.0, -1024.5, f32::INFINITY, f32::MIN_POSITIVE, 1e30];
        f64, 64, [0.0, -1024.5, f64::NEG_INFINITY, 1e-320, 1e300];
    }
}

#[test]
fn voxels_that_are_no_number_become_air() {
    let file = nifti("RPI", 16, &typed([f32::NAN, 1.0, -f32::NAN, 2.0, 3.0].map(f32::to_le_bytes)));
    let last = values("v.nii", &file).split_off(2 * 20);
    assert_eq!(last[..5], [3.0, 2.0, -1024.0, 1.0, -1024.0]);
}

/// The picture with these bytes at some places of its header.
fn changed(changes: &[(usize, &[u8])]) -> Vec<u8> {
    let mut file = nifti_picture("LAS");
    changes.iter().for_each(|(at, bytes)| file[*at..at + bytes.len()].copy_from_slice(bytes));
    file
}

#[test]
fn a_slope_of_zero_or_none_means_stored_values() {
    let sloped = |slope: f32, intercept: f32| changed(&[(112, &slope.to_le_bytes()), (116, &intercept.to_le_bytes())]);
    for slope in [0.0, f32::NAN, f32::INFINITY] {
        assert_eq!(values("v.nii", &sloped(slope, -1024.0)), expected(), "{slope}");
    }
    let halved: Vec<f32> = expected().iter().map(|value| value * 0.5 - 1024.0).collect();
    assert_eq!(values("v.nii", &sloped(0.5, -1024.0)), halved);
    assert!(matches!(refused("v.nii", &sloped(1.0, f32::NAN)), DecodeError::Corrupt(_)));
}

fn header(file: &[u8]) -> VolumeHeader {
    VolumeHeader::read("v.nii", file).expect("a header")
}

#[test]
fn without_sform_the_qform_counts_and_without_both_the_distances() {
    let none = [0; 2];
    let bare = header(&changed(&[(254, &none)]));
    assert_eq!((bare.stored_as.as_str(), bare.has_geometry, bare.spacing), ("LAS", false, [1.0, 2.0, 3.0]));
    // A half turn about the first axis, rounded to a length just over 1, and slices the other way round.
    let (code, half, minus) = (1_i16.to_le_bytes(), 1.000_000_1_f32.to_le_bytes(), (-1_f32).to_le_bytes());
    let turned = header(&changed(&[(254, &none), (252, &code), (256, &half), (76, &minus)]));
    assert_eq!((turned.stored_as.as_str(), turned.has_geometry), ("RPS", true));
    let long = 1.5_f32.to_le_bytes();
    let error = refused("v.nii", &changed(&[(254, &none), (252, &code), (256, &long)]));
    assert!(matches!(error, DecodeError::Corrupt(_)), "{error:?}");
    // Codes that the standard does not have count as none, and so does a matrix that leaves out an axis.
    assert!(!header(&changed(&[(254, &9_i16.to_le_bytes())])).has_geometry);
    assert!(!header(&changed(&[(312, &[0; 16])])).has_geometry);
}

#[test]
fn lengths_in_other_units_become_millimetres() {
    assert_eq!(header(&changed(&[(123, &[3])])).spacing, SPACING.map(|mm| mm * 1e-3));
    assert_eq!(header(&changed(&[(123, &[1 | 8])])).spacing, SPACING.map(|mm| mm * 1e3));
}

#[test]
fn version_2_reads_the_same() {
    let mut file = vec![0; 544];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &540_i32.to_be_bytes());
    put(4, b"n+2\0\r\n\x1A\n");
    put(12, &4_i16.to_be_bytes());
    for (i, side) in [3, 5, 4, 3_i64].iter().enumerate() {
        put(16 + 8 * i, &side.to_be_bytes());
    }
    put(176, &1_f64.to_be_bytes());
    put(348, &1_i32.to_be_bytes());
    for (axis, step) in steps("LAS").iter().enumerate() {
        for (row, part) in step.iter().enumerate() {
            put(400 + 32 * row + 8 * axis, &part.to_be_bytes());
        }
    }
    file.extend(stored_as("LAS").1.iter().flat_map(|value| value.to_be_bytes()));
    assert_eq!(values("v.nii", &file), expected());
    assert_eq!(header(&file), header(&nifti_picture("LAS")));
    assert_eq!(values("v.nii.gz", &gzip(&file)), expected());
}
