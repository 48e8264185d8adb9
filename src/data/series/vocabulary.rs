//! Words in which the tests speak of files.

use super::{Built, build_series};
use crate::data::dicom::DicomHeader;

/// Files: paths and headers.
pub(super) type Files = Vec<(String, DicomHeader)>;

/// An ordinary axial CT slice at a height, 512x512 pixels of 0.7 mm, 5 mm thick, kernel B40f.
pub(super) fn slice(z: f64) -> DicomHeader {
    let text = |text: &str| Some(text.to_owned());
    DicomHeader {
        syntax: "1.2.840.10008.1.2.1".to_owned(),
        sop_class: text("1.2.840.10008.5.1.4.1.1.2"),
        modality: text("CT"),
        image_type: ["ORIGINAL", "PRIMARY", "AXIAL"].map(str::to_owned).to_vec(),
        patient_id: text("patient"),
        study: text("study"),
        series: text("series"),
        rows: Some(512),
        columns: Some(512),
        samples_per_pixel: Some(1),
        photometric: text("MONOCHROME2"),
        frames: 1,
        pixel_spacing: Some([0.7, 0.7]),
        thickness: Some(5.0),
        positions: vec![[-180.0, -180.0, z]],
        orientation: Some([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
        kernel: text("B40f"),
        has_pixels: true,
        ..DicomHeader::default()
    }
}

/// A series of that UID and folder with slices at some heights: `name/1.dcm` and so on, numbered from 1.
pub(super) fn scan<const N: usize>(name: &str, heights: [f64; N]) -> Files {
    scan_of(name, heights)
}

/// The same for heights that are computed.
pub(super) fn scan_of(name: &str, heights: impl IntoIterator<Item = f64>) -> Files {
    let numbered = heights.into_iter().zip(1..);
    let file = |(z, number): (f64, i64)| {
        let header = slice(z).with(|header| {
            header.series = Some(name.to_owned());
            header.instance = Some(format!("{name}.{number}"));
            header.instance_number = Some(number);
        });
        (format!("{name}/{number}.dcm"), header)
    };
    numbered.map(file).collect()
}

/// A file with frames at some heights.
pub(super) fn frames<const N: usize>(path: &str, heights: [f64; N]) -> (String, DicomHeader) {
    let change = |header: &mut DicomHeader| {
        header.frames = N as u32;
        header.positions = heights.map(|z| [-180.0, -180.0, z]).to_vec();
    };
    (path.to_owned(), slice(0.0).with(change))
}

/// Changes a header in place.
pub(super) trait With {
    fn with(self, change: impl FnOnce(&mut DicomHeader)) -> Self;
}

impl With for DicomHeader {
    fn with(mut self, change: impl FnOnce(&mut DicomHeader)) -> Self {
        change(&mut self);
        self
    }
}

/// Changes files in place.
pub(super) trait Each {
    /// Changes all headers.
    fn each(self, change: impl FnMut(&mut DicomHeader)) -> Self;
    /// Changes the header of one file, counted from 0.
    fn but(self, index: usize, change: impl FnOnce(&mut DicomHeader)) -> Self;
    /// Renames the files' folder.
    fn moved_to(self, folder: &str) -> Self;
}

impl Each for Files {
    fn each(mut self, mut change: impl FnMut(&mut DicomHeader)) -> Self {
        self.iter_mut().for_each(|(_, header)| change(header));
        self
    }

    fn but(mut self, index: usize, change: impl FnOnce(&mut DicomHeader)) -> Self {
        change(&mut self[index].1);
        self
    }

    fn moved_to(self, folder: &str) -> Self {
        let moved = |path: &str| format!("{folder}/{}", path.rsplit('/').next().unwrap_or(path));
        self.into_iter().map(|(path, header)| (moved(&path), header)).collect()
    }
}

/// The files of each series, in the order found.
pub(super) fn orders(built: &Built) -> Vec<Vec<&str>> {
    built.series.iter().map(|series| series.slices.iter().map(|slice| slice.path.as_str()).collect()).collect()
}

/// The only series of some files, none of which may be rejected.
#[track_caller]
pub(super) fn only_series(files: Files) -> super::Series {
    let mut built = build_series(files);
    assert_eq!((built.rejected.as_slice(), built.series.len()), (&[][..], 1));
    built.series.remove(0)
}
