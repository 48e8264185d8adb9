use super::element_source::ElementEncoding;
use super::*;
use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use std::io::Write;

mod compressed;
mod pixels;

/// Writes data elements; lengths of strings are made even.
struct Maker {
    encoding: ElementEncoding,
    bytes: Vec<u8>,
}

impl Maker {
    fn new(encoding: ElementEncoding) -> Self {
        Self { encoding, bytes: Vec::new() }
    }

    fn number(&mut self, number: u32, bytes: usize) {
        let little = &number.to_le_bytes()[..bytes];
        match self.encoding.big {
            true => self.bytes.extend(little.iter().rev()),
            false => self.bytes.extend(little),
        }
    }

    /// Header of an element with any length.
    fn head(&mut self, tag: Tag, vr: &[u8; 2], length: u32) -> &mut Self {
        self.number(tag.group().into(), 2);
        self.number(tag.element().into(), 2);
        if self.encoding.explicit && tag.group() != 0xFFFE {
            self.bytes.extend(vr);
            if !matches!(vr, b"OB" | b"OW" | b"SQ" | b"UN" | b"UT") {
                self.number(length, 2);
                return self;
            }
            self.bytes.extend([0, 0]);
        }
        self.number(length, 4);
        self
    }

    fn raw(&mut self, tag: Tag, vr: &[u8; 2], value: &[u8]) -> &mut Self {
        self.head(tag, vr, value.len() as u32);
        self.bytes.extend(value);
        self
    }

    fn text(&mut self, tag: Tag, vr: &[u8; 2], text: &str) -> &mut Self {
        let padding = ["", " "][text.len() % 2];
        self.raw(tag, vr, format!("{text}{padding}").as_bytes())
    }

    fn words(&mut self, tag: Tag, vr: &[u8; 2], words: &[u16]) -> &mut Self {
        self.head(tag, vr, 2 * words.len() as u32);
        words.iter().for_each(|&word| self.number(word.into(), 2));
        self
    }

    /// A sequence of one item, both of undefined length.
    fn sequence(&mut self, tag: Tag, item: impl Fn(&mut Self)) -> &mut Self {
        self.head(tag, b"SQ", u32::MAX).head(element_source::ITEM, b"  ", u32::MAX);
        item(self);
        self.head(element_source::ITEM_END, b"  ", 0).head(element_source::SEQUENCE_END, b"  ", 0)
    }

    /// The module Image Pixel of a greyscale image.
    fn image(&mut self, (width, height): (u16, u16), bits: [u16; 3], signed: bool) -> &mut Self {
        let [allocated, stored, high] = bits;
        self.words(tags::SAMPLES_PER_PIXEL, b"US", &[1])
            .text(tags::PHOTOMETRIC_INTERPRETATION, b"CS", "MONOCHROME2")
            .words(tags::ROWS, b"US", &[height])
            .words(tags::COLUMNS, b"US", &[width])
            .words(tags::BITS_ALLOCATED, b"US", &[allocated])
            .words(tags::BITS_STORED, b"US", &[stored])
            .words(tags::HIGH_BIT, b"US", &[high])
            .words(tags::PIXEL_REPRESENTATION, b"US", &[signed.into()])
    }

    /// The file, with preamble and meta group.
    fn file(&self, syntax: &str) -> Vec<u8> {
        let mut meta = Maker::new(ElementEncoding::EXPLICIT);
        // Longer than the standard allows.
        meta.text(Tag(2, 0x0010), b"UI", syntax).text(Tag(2, 0x0013), b"SH", "A version name of 30 letters..");
        [&[0; 128], b"DICM".as_slice(), &meta.bytes, &self.bytes].concat()
    }
}

/// A CT slice of 6x4 pixels: value i is 100 i, intercept -1024.
fn slice(encoding: ElementEncoding) -> Maker {
    let mut maker = Maker::new(encoding);
    maker
        .text(tags::IMAGE_TYPE, b"CS", "ORIGINAL\\Primary\\AXIAL")
        .text(tags::SOP_CLASS_UID, b"UI", uids::CT_IMAGE_STORAGE)
        .text(tags::MODALITY, b"CS", "CT")
        .sequence(Tag(0x0008, 0x1140), |item| {
            item.text(tags::INSTANCE_NUMBER, b"IS", "99").sequence(Tag(0x0009, 0x1001), |_| {});
        })
        .text(tags::INSTANCE_NUMBER, b"IS", "+7")
        .text(tags::IMAGE_POSITION_PATIENT, b"DS", "-1.5\\2\\ 3e1")
        .image((6, 4), [16, 16, 15], false)
        .text(tags::PIXEL_SPACING, b"DS", "0.7\\0.8")
        .text(tags::WINDOW_CENTER, b"DS", "-600\\40")
        .text(tags::WINDOW_WIDTH, b"DS", "1500\\350")
        .text(tags::RESCALE_INTERCEPT, b"DS", "-1024")
        .text(tags::RESCALE_SLOPE, b"DS", "1");
    maker
}

fn with_pixels(encoding: ElementEncoding) -> Maker {
    let mut maker = slice(encoding);
    maker.words(tags::PIXEL_DATA, b"OW", &(0..24).map(|i| i * 100).collect::<Vec<u16>>());
    maker
}

fn expected() -> Vec<f32> {
    (0..24).map(|i| i as f32 * 100.0 - 1024.0).collect()
}

fn decode(bytes: Vec<u8>) -> Result<Hounsfield, DecodeError> {
    DicomFile::open(bytes)?.frame(0, Turn::default())
}

#[test]
fn every_plain_syntax_gives_the_same_slice() {
    let explicit = with_pixels(ElementEncoding::EXPLICIT);
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    deflate.write_all(&explicit.bytes).expect("deflates");
    let deflated = Maker { encoding: ElementEncoding::EXPLICIT, bytes: deflate.finish().expect("deflates") };
    let implicit = with_pixels(ElementEncoding::IMPLICIT);
    for (file, syntax) in [
        (&explicit, uids::EXPLICIT_VR_LITTLE_ENDIAN),
        (&implicit, uids::IMPLICIT_VR_LITTLE_ENDIAN),
        // The name of the implicit syntax over explicit elements occurs.
        (&explicit, uids::IMPLICIT_VR_LITTLE_ENDIAN),
        (&with_pixels(ElementEncoding::EXPLICIT_BIG), start::BIG_ENDIAN),
        (&deflated, uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN),
    ] {
        let bytes = file.file(syntax);
        let header = DicomHeader::read(bytes.as_slice()).expect("a header");
        let opened = DicomFile::open(bytes).expect("opens");
        assert_eq!((opened.header(), opened.frames()), (&header, 1));
        let found = opened.frame(0, Turn::default()).expect("decodes");
        assert_eq!((found.width, found.height, found.own_window), (6, 4, Some((-600.0, 1500.0))), "{syntax}");
        assert_eq!(found.values, expected(), "{syntax}");
    }
    for bare in [explicit.bytes, implicit.bytes] {
        assert_eq!(decode(bare).expect("decodes").values, expected());
    }
}

#[test]
fn the_header_says_what_the_file_says() {
    let file = with_pixels(ElementEncoding::EXPLICIT).file(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let header = DicomHeader::read(file.as_slice()).expect("a header");
    assert_eq!(header.image_type, ["ORIGINAL", "PRIMARY", "AXIAL"]);
    assert_eq!(header.sop_class.as_deref().and_then(sop_class_name), Some("CT Image Storage"));
    assert_eq!((header.instance_number, header.acquisition_number), (Some(7), None));
    assert_eq!((header.rows, header.columns, header.frames), (Some(4), Some(6), 1));
    assert_eq!(header.positions, [[-1.5, 2.0, 30.0]]);
    assert_eq!((header.pixel_spacing, header.orientation), (Some([0.7, 0.8]), None));
    assert_eq!(header.windows, [(-600.0, 1500.0), (40.0, 350.0)]);
    assert!(header.has_pixels && header.modality.as_deref() == Some("CT"));
    let without = slice(ElementEncoding::EXPLICIT).file(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let header = DicomHeader::read(without.as_slice()).expect("a header");
    assert!(!header.has_pixels);
    let text = decode(without).expect_err("no pixels").to_string();
    assert!(text.contains("a DICOM file (CT Image Storage) that holds no pixels"), "{text}");
}

#[test]
fn numbers_that_cannot_be_read_are_absent() {
    let mut maker = Maker::new(ElementEncoding::EXPLICIT);
    maker.text(tags::MODALITY, b"CS", "CT").text(tags::SLICE_THICKNESS, b"DS", "1,5");
    maker.text(tags::GANTRY_DETECTOR_TILT, b"DS", "inf").text(tags::INSTANCE_NUMBER, b"IS", "one");
    maker.text(tags::IMAGE_POSITION_PATIENT, b"DS", "1\\2").text(tags::PIXEL_SPACING, b"DS", "0.5\\NaN");
    let header = DicomHeader::read(maker.file("").as_slice()).expect("a header");
    assert_eq!((header.thickness, header.tilt, header.instance_number), (None, None, None));
    assert_eq!((header.positions, header.pixel_spacing), (vec![], None));
    // Without a transfer syntax the first element decides.
    assert_eq!(header.syntax, uids::EXPLICIT_VR_LITTLE_ENDIAN);
}

/// Counts what is read from it.
struct Counter<'a>(&'a [u8], usize);

impl Read for &mut Counter<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1 += read;
        Ok(read)
    }
}

#[test]
fn a_header_takes_no_more_of_the_file_than_it_needs() {
    let mut maker = slice(ElementEncoding::EXPLICIT);
    maker.raw(tags::PIXEL_DATA, b"OW", &vec![0; 1 << 20]);
    let file = maker.file(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let mut counter = Counter(&file, 0);
    DicomHeader::read(&mut counter).expect("a header");
    assert_eq!(counter.1, 8192);
}

#[test]
fn functional_groups_belong_to_their_frames() {
    let mut maker = Maker::new(ElementEncoding::EXPLICIT);
    maker.text(tags::MODALITY, b"CS", "CT").text(tags::NUMBER_OF_FRAMES, b"IS", "2").image((6, 2), [16, 16, 15], true);
    maker.sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, |shared| {
        shared.sequence(tags::PIXEL_MEASURES_SEQUENCE, |group| {
            group.text(tags::SLICE_THICKNESS, b"DS", "2.5").text(tags::PIXEL_SPACING, b"DS", "0.6\\0.6");
        });
        shared.sequence(tags::FRAME_VOILUT_SEQUENCE, |group| {
            group.text(tags::WINDOW_CENTER, b"DS", "50").text(tags::WINDOW_WIDTH, b"DS", "400");
        });
    });
    maker.head(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, b"SQ", u32::MAX);
    for (position, slope) in [("0\\0\\5", "1"), ("0\\0\\7", "2")] {
        maker.head(element_source::ITEM, b"  ", u32::MAX);
        maker.sequence(tags::PLANE_POSITION_SEQUENCE, |group| {
            group.text(tags::IMAGE_POSITION_PATIENT, b"DS", position);
        });
        maker.sequence(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, |group| {
            group.text(tags::RESCALE_INTERCEPT, b"DS", "-10").text(tags::RESCALE_SLOPE, b"DS", slope);
        });
        maker.head(element_source::ITEM_END, b"  ", 0);
    }
    maker.head(element_source::SEQUENCE_END, b"  ", 0).words(tags::PIXEL_DATA, b"OW", &[3; 24]);
    let file = DicomFile::open(maker.file(uids::EXPLICIT_VR_LITTLE_ENDIAN)).expect("opens");
    assert_eq!(file.header().positions, [[0.0, 0.0, 5.0], [0.0, 0.0, 7.0]]);
    assert_eq!((file.header().thickness, file.header().pixel_spacing), (Some(2.5), Some([0.6, 0.6])));
    for (frame, value) in [(0, -7.0), (1, -4.0)] {
        let slice = file.frame(frame, Turn::default()).expect("decodes");
        assert_eq!((slice.values, slice.own_window), (vec![value; 12], Some((50.0, 400.0))));
    }
    assert!(matches!(file.frame(2, Turn::default()), Err(DecodeError::Corrupt(_))));
}

#[test]
fn other_files_are_not_dicom() {
    let mut noise = vec![0_u8; 4096];
    let mut state = 1_u32;
    noise.iter_mut().for_each(|byte| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    });
    let mut nifti = vec![0; 352];
    nifti[..4].copy_from_slice(&348_u32.to_le_bytes());
    let text = "slice,label\n".repeat(50);
    for other in [
        b"".as_slice(),
        b"\x08",
        b"\x08\0\x08\0CS",
        text.as_bytes(),
        &nifti,
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        &[0; 400],
    ]
    .into_iter()
    .chain([b"PK\x03\x04\x14\0\0\0\x08\0".as_slice(), b"\xFF\xD8\xFF\xE0\0\x10JFIF\0"])
    .chain(noise.windows(300))
    {
        assert!(!is_dicom(other), "{:?}", &other[..other.len().min(20)]);
        assert!(matches!(DicomHeader::read(other), Err(DecodeError::NotAnImage(_))));
    }
    for encoding in [ElementEncoding::EXPLICIT, ElementEncoding::IMPLICIT] {
        let maker = slice(encoding);
        assert!(is_dicom(&maker.file("")[..132]) && is_dicom(&maker.bytes));
    }
}
