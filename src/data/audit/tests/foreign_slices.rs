//! Audits of scans in which files of other kinds lie among the slices, and JPEGs without their end.

use super::found;
use crate::data::audit::{Audit, Check};
use crate::data::decode::decode_grey;
use crate::data::manifest::Manifest;
use crate::data::phantom::{PhantomConfig, draw_phantom};
use crate::data::window::Window;
use image::ImageEncoder as _;
use std::fs;

#[test]
fn a_file_among_the_slices_is_named_as_what_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("data");
    draw_phantom(&root, &PhantomConfig::tiny(), |_| ()).expect("draws");
    let scan = root.join("train/covid/ct_scan_0");
    let slice = fs::read(scan.join("0.jpg")).expect("reads");
    let tiff = {
        let grey = decode_grey(&slice).expect("decodes");
        let mut bytes = std::io::Cursor::new(Vec::new());
        // Upside down, so that it is no duplicate.
        let pixels: Vec<u8> = grey.pixels.iter().rev().copied().collect();
        let encoder = image::codecs::tiff::TiffEncoder::new(&mut bytes);
        encoder.write_image(&pixels, grey.width, grey.height, image::ExtendedColorType::L8).expect("encodes");
        bytes.into_inner()
    };
    let dicom = [&[0; 128][..], b"DICM", &[0; 64]].concat();
    let files: [(&str, &[u8]); 11] = [
        ("90.jpg", &dicom),
        ("91.jpg", &tiff),
        ("92.jpg", b"\0\0\0\x18ftypisom\0\0\x02\0"),
        ("93.jpg", b"<!DOCTYPE html><title>404</title>"),
        ("94.jpg", &[0; 300]),
        ("95.jpg", &[0xD7, 3, 0xC3, 0x7F]),
        ("96.bmp", b"BM\x36\x04\0\0\0\0\0\0\x36"),
        ("97.mp4", b"\0\0\0\x18ftypisom\0\0\x02\0"),
        ("notes.txt", b"read by AB"),
        ("Thumbs.db", b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1\0\0"),
        ("._0.jpg", b"\0\x05\x16\x07\0\x02\0\0"),
    ];
    for (name, bytes) in files {
        fs::write(scan.join(name), bytes).expect("writes");
    }
    let audit = Audit::in_one_pass(&root, None, |_| ()).expect("audits").0;
    let at = |name: &str| format!("train/covid/ct_scan_0/{name}");
    let video = |name: &str| {
        format!(
            "holds a video (MP4 or QuickTime): if its pictures are slices, take them out by `ffmpeg -i {name} \
             slice-%03d.png`"
        )
    };
    let expected = [
        (at("90.jpg"), "holds DICOM data: give it the ending .dcm, or none, and it is read as a slice of its series".to_owned()),
        (at("92.jpg"), video("92.jpg")),
        (
            at("93.jpg"),
            "holds an HTML page: often an error of the server in the place of a download: fetch it again".to_owned(),
        ),
        (at("94.jpg"), "holds nothing but zeros: a copy or a download that broke off: fetch it again".to_owned()),
        (
            at("95.jpg"),
            "expected a JPEG, PNG, TIFF, DICOM, NIfTI, NRRD or MetaImage file, found 4 bytes beginning \"�\\u{3}�\\u{7f}\""
                .to_owned(),
        ),
        (at("96.bmp"), "holds a BMP picture: convert it, for example by `ffmpeg -i 96.bmp out.png`".to_owned()),
        (at("97.mp4"), video("97.mp4")),
    ];
    let told = |check| -> Vec<(String, String)> {
        found(&audit, check).into_iter().map(|(path, detail)| (path.to_owned(), detail.to_owned())).collect()
    };
    assert_eq!(told(Check::NotAnImage), expected);
    let leftovers = [
        (
            at("._0.jpg"),
            "8 bytes; holds macOS' companion of a file (AppleDouble): it is no slice: move it away".to_owned(),
        ),
        (
            at("Thumbs.db"),
            "10 bytes; holds an OLE2 file, such as Windows' Thumbs.db: it is no slice: move it away".to_owned(),
        ),
        (at("notes.txt"), "10 bytes; holds a text: it is no slice: move it away".to_owned()),
    ];
    let mut junk = told(Check::JunkFile);
    junk.sort();
    assert_eq!(junk, leftovers);
    assert_eq!(told(Check::WrongFormat), [(at("91.jpg"), "named JPEG, holds TIFF data".to_owned())]);
    assert_eq!(audit.excluded().len(), expected.len() + leftovers.len());
}

#[test]
fn jpegs_without_their_end_are_left_out_until_they_are_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("data");
    draw_phantom(&root, &PhantomConfig::tiny(), |_| ()).expect("draws");
    let at = root.join("val/covid/ct_scan_1/1.jpg");
    let whole = fs::read(&at).expect("reads");
    fs::write(&at, &whole[..whole.len() - 2]).expect("writes");
    let other = root.join("val/covid/ct_scan_1/2.jpg");
    let cut = fs::read(&other).expect("reads");
    fs::write(&other, &cut[..cut.len() - 20]).expect("writes");
    let mut manifest = Manifest::scan(&root, |_| ()).expect("scans");
    assert!(!manifest.accepts_no_end);
    let refusing = Audit::run(&manifest, |_| ()).expect("audits");
    let path = "val/covid/ct_scan_1/1.jpg";
    let said = "all of the picture is there, only the two bytes FF D9 that mark a JPEG's end are missing: to use such files, \
                set COVID_CT_NO_END_MARKER=accept and run the audit again";
    assert_eq!(found(&refusing, Check::NoEndMarker), [(path, said)]);
    let cut = [("val/covid/ct_scan_1/2.jpg", "expected a whole image, the file ends before its last pixels")];
    assert_eq!(found(&refusing, Check::Truncated), cut);
    assert_eq!((refusing.findings().len(), refusing.excluded().len()), (2, 2));

    let hash = manifest.hash();
    manifest.accepts_no_end = true;
    assert_ne!(manifest.hash(), hash, "caches and runs differ");
    let accepting = Audit::run(&manifest, |_| ()).expect("audits");
    let note = "used, as COVID_CT_NO_END_MARKER=accept said";
    assert_eq!(found(&accepting, Check::NoEndAccepted), [(path, note)]);
    assert_eq!(found(&accepting, Check::Truncated), cut);
    assert_eq!((accepting.findings().len(), accepting.excluded().len()), (2, 1));
    let accepted = accepting.accepted();
    let slice = accepted.slice_at(path).expect("is accepted");
    assert_eq!(accepted.grey(slice, Window::LUNG).expect("reads"), decode_grey(&whole).expect("decodes"));

    let written = folder.path().join("audit");
    accepting.write(&written).expect("writes");
    assert_eq!(Audit::read(&written).expect("reads"), accepting);
}
