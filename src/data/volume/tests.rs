//! Volumes made in memory, opened again.

mod damaged;
mod formats;
mod values;

use super::*;
use std::io::Write as _;

/// Columns, rows and slices of the picture that every test volume shows.
const SHOWN: [usize; 3] = [5, 4, 3];

/// The picture: column, row and slice can be told from each value.
fn picture(x: usize, y: usize, n: usize) -> i16 {
    (x + 10 * y + 100 * n) as i16 - 150
}

/// Sides of the picture stored along axes of these letters, and its values, the fastest axis first.
fn stored_as(letters: &str) -> ([usize; 3], Vec<i16>) {
    // Which side of the picture an axis runs along, and whether it does so backwards.
    let axis = |letter| match letter {
        'L' => (0, false),
        'R' => (0, true),
        'P' => (1, false),
        'A' => (1, true),
        'S' => (2, false),
        _ => (2, true),
    };
    let axes: Vec<(usize, bool)> = letters.chars().map(axis).collect();
    let sides: [usize; 3] = std::array::from_fn(|k| SHOWN[axes[k].0]);
    let mut values = Vec::new();
    for c in 0..sides[2] {
        for b in 0..sides[1] {
            for a in 0..sides[0] {
                let mut at = [0; 3];
                for (place, (along, backwards)) in [a, b, c].into_iter().zip(&axes) {
                    at[*along] = if *backwards { SHOWN[*along] - 1 - place } else { place };
                }
                values.push(picture(at[0], at[1], at[2]));
            }
        }
    }
    (sides, values)
}

/// Every way to store three axes, by letters.
fn all_letters() -> Vec<String> {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let letters = [['R', 'L'], ['A', 'P'], ['S', 'I']];
    let flipped = |order: [usize; 3]| {
        (0..8_usize).map(move |flips| order.iter().map(|axis| letters[*axis][flips >> axis & 1]).collect())
    };
    orders.into_iter().flat_map(flipped).collect()
}

/// Steps of one axis with this letter, in a space of right, anterior, superior.
fn step(letter: char, mm: f64) -> [f64; 3] {
    match letter {
        'R' => [mm, 0.0, 0.0],
        'L' => [-mm, 0.0, 0.0],
        'A' => [0.0, mm, 0.0],
        'P' => [0.0, -mm, 0.0],
        'S' => [0.0, 0.0, mm],
        _ => [0.0, 0.0, -mm],
    }
}

/// Distances in mm along right–left, anterior–posterior and superior–inferior.
const SPACING: [f64; 3] = [0.75, 0.5, 2.5];

/// Steps of the three axes with these letters.
fn steps(letters: &str) -> Vec<[f64; 3]> {
    let spacing = |letter| SPACING["RLAPSI".find(letter).expect("a letter") / 2];
    letters.chars().map(|letter| step(letter, spacing(letter))).collect()
}

fn little(values: &[i16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("compresses");
    encoder.finish().expect("compresses")
}

/// A NIfTI-1 file with one volume; callers change bytes of it.
fn nifti(letters: &str, datatype: i16, voxels: &[u8]) -> Vec<u8> {
    let (sides, _) = stored_as(letters);
    let mut header = vec![0; 352];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &348_i32.to_le_bytes());
    put(40, &3_i16.to_le_bytes());
    for (axis, side) in sides.iter().enumerate() {
        put(42 + 2 * axis, &(*side as i16).to_le_bytes());
    }
    put(70, &datatype.to_le_bytes());
    for (axis, distance) in [1.0, 1.0, 2.0, 3.0_f32].iter().enumerate() {
        put(76 + 4 * axis, &distance.to_le_bytes());
    }
    put(108, &352_f32.to_le_bytes());
    put(112, &1_f32.to_le_bytes());
    put(254, &1_i16.to_le_bytes());
    for (axis, step) in steps(letters).iter().enumerate() {
        for (row, part) in step.iter().enumerate() {
            put(280 + 16 * row + 4 * axis, &(*part as f32).to_le_bytes());
        }
    }
    put(344, b"n+1\0");
    header.extend_from_slice(voxels);
    header
}

/// The picture as NIfTI-1 with voxels of 16 bits.
fn nifti_picture(letters: &str) -> Vec<u8> {
    nifti(letters, 4, &little(&stored_as(letters).1))
}

/// The picture's NRRD header with these lines added.
fn nrrd_header(letters: &str, lines: &str) -> String {
    let (sides, _) = stored_as(letters);
    let directions: Vec<String> = steps(letters).iter().map(|[x, y, z]| format!("({x},{y},{z})")).collect();
    format!(
        "NRRD0004\ntype: short\ndimension: 3\nspace: right-anterior-superior\nsizes: {} {} {}\n\
         space directions: {}\nendian: little\n{lines}",
        sides[0],
        sides[1],
        sides[2],
        directions.join(" ")
    )
}

fn nrrd_picture(letters: &str) -> Vec<u8> {
    let mut bytes = nrrd_header(letters, "encoding: raw\n\n").into_bytes();
    bytes.extend(little(&stored_as(letters).1));
    bytes
}

/// The picture's MetaImage header with these lines added before the last.
fn metaimage_header(letters: &str, lines: &str, file: &str) -> String {
    let (sides, _) = stored_as(letters);
    let (mut matrix, mut spacing) = (String::new(), String::new());
    for step in steps(letters) {
        let length = step.iter().fold(0.0_f64, |length, part| length.max(part.abs()));
        spacing += &format!(" {length}");
        matrix += &format!(" {} {} {}", -step[0] / length, -step[1] / length, step[2] / length);
    }
    format!(
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nTransformMatrix ={matrix}\nElementSpacing ={spacing}\n\
         DimSize = {} {} {}\nElementType = MET_SHORT\n{lines}ElementDataFile = {file}\n",
        sides[0], sides[1], sides[2]
    )
}

fn metaimage_picture(letters: &str) -> Vec<u8> {
    let mut bytes = metaimage_header(letters, "", "LOCAL").into_bytes();
    bytes.extend(little(&stored_as(letters).1));
    bytes
}

/// All values of a volume that opens.
fn values(name: &str, bytes: &[u8]) -> Vec<f32> {
    let volume = Volume::open(name, bytes.to_vec()).expect("opens");
    (0..volume.header().slices).flat_map(|n| volume.frame(n).expect("a slice").values).collect()
}

/// The error of a volume that does not open.
fn refused(name: &str, bytes: &[u8]) -> DecodeError {
    Volume::open(name, bytes.to_vec()).err().expect("an error")
}

/// Whether the error is `Unsupported` and says so.
fn unsupported(error: &DecodeError, what: &str) -> bool {
    matches!(error, DecodeError::Unsupported(found) if found.contains(what))
}

fn expected() -> Vec<f32> {
    let [width, height, slices] = SHOWN;
    let row = |n, y| (0..width).map(move |x| f32::from(picture(x, y, n)));
    (0..slices).flat_map(|n| (0..height).flat_map(move |y| row(n, y))).collect()
}

#[test]
fn all_48_ways_to_store_a_volume_show_the_same_picture() {
    let letters = all_letters();
    assert_eq!(letters.iter().collect::<std::collections::BTreeSet<_>>().len(), 48);
    for letters in &letters {
        let files = [("v.nii", nifti_picture(letters)), ("v.nrrd", nrrd_picture(letters))];
        for (name, bytes) in files.into_iter().chain([("v.mha", metaimage_picture(letters))]) {
            assert_eq!(values(name, &bytes), expected(), "{name} {letters}");
            let header = VolumeHeader::read(name, bytes.as_slice()).expect("a header");
            let sides = [header.width, header.height, header.slices].map(|side| side as usize);
            assert_eq!((sides, header.spacing), (SHOWN, SPACING), "{name} {letters}");
            assert_eq!((header.stored_as.as_str(), header.has_geometry), (letters.as_str(), true), "{name}");
            assert_eq!(header.oblique_degrees, 0.0);
        }
    }
}

#[test]
fn a_slice_that_is_not_there_is_an_error() {
    let volume = Volume::open("v.nii", nifti_picture("LAS")).expect("opens");
    let slice = volume.frame(2).expect("a slice");
    assert_eq!((slice.width, slice.height, slice.padding, slice.own_window), (5, 4, None, None));
    assert!(volume.frame(3).is_err());
}

#[test]
fn formats_are_told_by_contents_and_by_names_where_they_have_to_be() {
    let nifti = nifti_picture("LAS");
    let of = VolumeFormat::of;
    assert_eq!(of("x", &nifti[..352]), Some(VolumeFormat::Nifti));
    assert_eq!(of("x.nii", &gzip(&nifti)), Some(VolumeFormat::Nifti));
    assert_eq!(of("X.NII.GZ", &[0x1F, 0x8B, 8]), Some(VolumeFormat::Nifti));
    assert_eq!(of("x.tar.gz", &gzip(&[b'a'; 600])), None);
    assert_eq!(of("x", b"NRRD0004\n"), Some(VolumeFormat::Nrrd));
    assert_eq!(of("x.mhd", b"ObjectType = Image\r\n"), Some(VolumeFormat::MetaImage));
    for junk in [&b""[..], b"\x00\x01\x02", b"no field\n", b"= 3\n", b"\xFF = 3\n"] {
        assert_eq!(of("x.mha", junk), None, "{junk:?}");
    }
    assert_eq!(of("x.txt", b"ObjectType = Image\n"), None);
    let secret = refused("x.mha", b"Doe^Jane 1970").to_string();
    assert!(!secret.contains("Doe"), "{secret}");
}
