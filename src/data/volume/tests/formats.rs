//! What is particular to one format: compression, skips, data in another file, kinds that are not read.

use super::*;

#[test]
fn gzip_is_read_under_any_name_and_through_several_members() {
    let file = nifti_picture("LAS");
    let (first, second) = file.split_at(360);
    let mut members = [gzip(first), gzip(second)].concat();
    assert_eq!(values("v.nii.gz", &members), expected());
    assert_eq!(values("v.nii", &members), expected());
    members.extend([0; 512]);
    assert_eq!(values("padded.nii.gz", &members), expected());
    assert_eq!(header("v.nii.gz", &members), header("v.nii", &file));
}

fn header(name: &str, bytes: &[u8]) -> VolumeHeader {
    VolumeHeader::read(name, bytes).expect("a header")
}

#[test]
fn kinds_of_nifti_that_are_not_read_are_named() {
    let voxels = little(&stored_as("LAS").1);
    for (datatype, what) in [(128, "colour"), (2304, "colour"), (32, "complex"), (1, "one bit"), (1536, "128 bits")] {
        let error = refused("v.nii", &nifti("LAS", datatype, &voxels));
        assert!(unsupported(&error, what) && unsupported(&error, "nibabel"), "{error:?}");
    }
    assert!(matches!(refused("v.nii", &nifti("LAS", 77, &voxels)), DecodeError::Corrupt(_)));
    let with = |at: usize, number: i16| {
        let mut file = nifti("LAS", 4, &voxels);
        file[at..at + 2].copy_from_slice(&number.to_le_bytes());
        file
    };
    assert!(unsupported(&refused("v.nii", &with(42, 0)), "no voxels"));
    assert!(matches!(refused("v.nii", &with(42, -5)), DecodeError::Corrupt(_)));
    assert!(matches!(refused("v.nii", &with(40, 8)), DecodeError::Corrupt(_)));
    let mut series = with(40, 4);
    series[48] = 20;
    assert!(unsupported(&refused("v.nii", &series), "20 volumes"));
    series[48] = 1;
    assert_eq!(values("v.nii", &series), expected());
    let mut pair = nifti("LAS", 4, &[]);
    pair[344..347].copy_from_slice(b"ni1");
    assert!(unsupported(&refused("v.hdr", &pair), "nibabel"));
    // One slice is a volume.
    assert_eq!(values("v.nii", &with(40, 2)).len(), 20);
}

/// The picture as NRRD with these lines, from `data`.
fn nrrd(lines: &str, data: &[u8]) -> Vec<u8> {
    [nrrd_header("PIR", lines).as_bytes(), data].concat()
}

#[test]
fn nrrd_encodings_and_skips() {
    let raw = little(&stored_as("PIR").1);
    let text: Vec<String> = stored_as("PIR").1.iter().map(i16::to_string).collect();
    let files = [
        nrrd("encoding: raw\n# a: comment\nkey:=value: v\n\n", &raw),
        nrrd("Encoding: RAW\r\n\r\n", &raw),
        nrrd("encoding: raw\nbyte skip: -1\n\n", &[&b"xxx"[..], &raw].concat()),
        nrrd("encoding: raw\nbyteskip: 2\nline skip: 1\n\n", &[&b"a line\nxx"[..], &raw].concat()),
        nrrd("encoding: gz\n\n", &[gzip(&raw[..11]), gzip(&raw[11..])].concat()),
        nrrd(
            "encoding: gzip\nline skip: 1\nbyte skip: 2\n\n",
            &[b"a line\n", &gzip(&[b"xx", &raw[..]].concat())[..]].concat(),
        ),
        nrrd("encoding: ascii\n\n", text.join(" ").as_bytes()),
        nrrd("encoding: text\n\n", text.join(",\n").as_bytes()),
    ];
    for file in files {
        assert_eq!(values("v.nrrd", &file), expected(), "{}", String::from_utf8_lossy(&file[..280]));
    }
    let bzip2 = refused("v.nrrd", &nrrd("encoding: bzip2\n\n", &raw));
    assert!(unsupported(&bzip2, "bzip2") && unsupported(&bzip2, "SimpleITK"), "{bzip2:?}");
    let gzip_from_the_end = nrrd("encoding: gzip\nbyte skip: -1\n\n", &gzip(&raw));
    assert!(matches!(refused("v.nrrd", &gzip_from_the_end), DecodeError::Corrupt(_)));
}

#[test]
fn nrrd_spaces_and_axes() {
    let file = |lines: &str| {
        let head = format!("NRRD0005\ntype: uchar\nencoding: raw\n{lines}\n\n");
        [head.as_bytes(), &[7; 24]].concat()
    };
    let read = |lines: &str| VolumeHeader::read("v.nrrd", file(lines).as_slice());
    let directions = "space directions: (0.5,0,0) (0,0.5,0) (0,0,2)";
    for (space, letters, known) in [
        ("space: LPS", "LPS", true),
        ("space: left-anterior-superior", "LAS", true),
        ("space: RAS", "RAS", true),
        ("space: scanner-xyz", "LPS", false),
        ("space dimension: 3", "LPS", false),
    ] {
        let header = read(&format!("dimension: 3\nsizes: 2 3 4\n{space}\n{directions}")).expect("a header");
        assert_eq!((header.stored_as.as_str(), header.has_geometry), (letters, known), "{space}");
        assert_eq!(header.spacing, [0.5, 0.5, 2.0]);
    }
    let bare = read("dimension: 3\nsizes: 2 3 4\nspacings: 0.5 nan 2").expect("a header");
    assert_eq!((bare.spacing, bare.has_geometry), ([0.5, 1.0, 2.0], false));
    let single =
        read(&format!("dimension: 4\nsizes: 1 2 3 4\nspace: RAS\nspace directions: none {}", &directions[18..]));
    assert_eq!(single.map(|header| header.stored_as), Ok("RAS".to_owned()));
    let flat = read("dimension: 2\nsizes: 6 4").expect("a header");
    assert_eq!((flat.width, flat.height, flat.slices), (6, 4, 1));
    for many in ["dimension: 3\nsizes: 3 2 4\nkinds: RGB-color domain domain", "dimension: 4\nsizes: 2 3 2 2"] {
        assert!(unsupported(&read(many).expect_err("refused"), "one value to a voxel"), "{many}");
    }
    for broken in ["dimension: 3\nsizes: 2 3", "dimension: 3\nsizes: 2 3 x", "dimension: 99\nsizes: 2"] {
        assert!(matches!(read(broken), Err(DecodeError::Corrupt(_))), "{broken}");
    }
    let wide = format!("NRRD0005\ntype: short\ndimension: 3\nsizes: 2 3 2\nencoding: raw\n\n{}", "x".repeat(24));
    assert!(matches!(refused("v.nrrd", wide.as_bytes()), DecodeError::Corrupt(found) if found.contains("endian")));
}

/// The picture as MetaImage with these lines, from `data`.
fn metaimage(lines: &str, data: &[u8]) -> Vec<u8> {
    [metaimage_header("SAR", lines, "LOCAL").as_bytes(), data].concat()
}

#[test]
fn metaimage_compression_byte_order_and_skips() {
    let picture = stored_as("SAR").1;
    let raw = little(&picture);
    let big: Vec<u8> = picture.iter().flat_map(|value| value.to_be_bytes()).collect();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    zlib.write_all(&raw).expect("compresses");
    let zlib = zlib.finish().expect("compresses");
    let begin = metaimage_header("SAR", "HeaderSize = 123\n", "LOCAL").len() + 3;
    for file in [
        metaimage("", &raw),
        metaimage("BinaryDataByteOrderMSB = True\n", &big),
        metaimage("CompressedData = True\n", &zlib),
        metaimage("HeaderSize = -1\n", &[b"xxx", &raw[..]].concat()),
        metaimage(&format!("HeaderSize = {begin}\n"), &[b"xxx", &raw[..]].concat()),
    ] {
        assert_eq!(values("v.mha", &file), expected(), "{}", String::from_utf8_lossy(&file[..280]));
    }
    for (line, what) in
        [("ElementNumberOfChannels = 3\n", "several values"), ("ElementToIntensityFunctionSlope = 2\n", "slope")]
    {
        assert!(unsupported(&refused("v.mha", &metaimage(line, &raw)), what), "{line}");
    }
}

#[test]
fn data_beside_the_header_are_joined_to_it() {
    let raw = little(&stored_as("PIR").1);
    let nrrd = nrrd_header("PIR", "encoding: raw\ndata file: v.raw\n");
    let meta = metaimage_header("PIR", "", "v.raw");
    for (name, head) in [("v.nhdr", nrrd.as_str()), ("v.mhd", meta.as_str())] {
        for after in ["", "\n\n", "key:=value\n", "\r\n"] {
            let head = format!("{head}{after}");
            assert_eq!(data_file(name, head.as_bytes()), Ok(Some("v.raw".to_owned())), "{name}");
            assert_eq!(values(name, &joined(name, head.as_bytes(), &raw)), expected(), "{name} {after:?}");
        }
        let unfinished = head.trim_end().as_bytes();
        assert_eq!(values(name, &joined(name, unfinished, &raw)), expected(), "{name} without a last line feed");
        let shifted = [head.as_bytes(), b"\n", &raw].concat();
        assert!(matches!(refused(name, &shifted), DecodeError::Corrupt(_)), "{name}");
    }
    assert_eq!(data_file("v.mha", &metaimage("", &raw)), Ok(None));
    assert_eq!(data_file("v.nii", &nifti_picture("LAS")), Ok(None));
    let early = "NRRD0004\ndata file: v.raw\ntype: short\n";
    assert!(data_file("v.nhdr", early.as_bytes()).is_err_and(|error| unsupported(&error, "more fields")));
}

#[test]
fn data_files_outside_of_the_folder_and_lists_are_refused() {
    for file in
        ["/etc/v.raw", "../v.raw", "a/v.raw", "a\\v.raw", "C:v.raw", "..", "", "LIST", "list 2", "v%03d.raw 1 9 1"]
    {
        for (name, head) in [
            ("v.nhdr", nrrd_header("LAS", &format!("encoding: raw\ndata file: {file}\n"))),
            ("v.mhd", metaimage_header("LAS", "", file)),
        ] {
            let found = data_file(name, head.as_bytes());
            assert!(found.as_ref().is_err_and(|error| unsupported(error, "SimpleITK")), "{file}: {found:?}");
        }
    }
}
