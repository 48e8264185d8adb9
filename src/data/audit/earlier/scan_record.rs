//! What an audit saw of one scan, as bytes: all that the checks across files need of it, and nothing that they do not.
//!
//! Some 300 bytes for each slice, and 35 KB for each scan (its samples and its grey levels). A slice without its scan is not
//! kept: which slices are samples depends on all of them.

use super::super::grain::Grain;
use super::super::inspect::Inspection;
use super::super::orientation::Orientation;
use super::super::picture_kinds::Quality;
use super::super::pixel_measures::{Descriptor, Picture};
use super::super::samples::Small;
use super::super::slice_shape::SliceShape;
use super::super::{Check, Finding};
use crate::base::files::Digest;
use crate::data::decode::{ColourMode, Format, Header};
use crate::data::manifest::{ListedSlice, Manifest, Slice};

/// What was seen of a scan.
pub(in super::super) struct ScanRecord {
    pub(in super::super) slices: Vec<Slice>,
    pub(in super::super) looked: Vec<Inspection>,
    /// Those of its slices that are samples, by their place in it.
    pub(in super::super) samples: Vec<(usize, Small)>,
    /// Pixels at each grey level.
    pub(in super::super) levels: [u64; 256],
}

impl ScanRecord {
    pub(in super::super) fn packed(&self) -> Vec<u8> {
        let mut bytes = FieldWriter(Vec::new());
        self.levels.iter().for_each(|count| bytes.number(*count));
        bytes.number(self.slices.len() as u64);
        for (slice, look) in self.slices.iter().zip(&self.looked) {
            bytes.slice(slice);
            bytes.look(look);
        }
        bytes.number(self.samples.len() as u64);
        for (place, Small(levels)) in &self.samples {
            bytes.number(*place as u64);
            bytes.0.extend(levels.iter());
        }
        bytes.0
    }

    /// `None` where the bytes are not those of these slices.
    pub(in super::super) fn unpacked(bytes: &[u8], manifest: &Manifest, listed: &[ListedSlice]) -> Option<Self> {
        let mut bytes = FieldReader(bytes);
        let mut levels = [0; 256];
        for count in &mut levels {
            *count = bytes.number()?;
        }
        if bytes.number()? != listed.len() as u64 {
            return None;
        }
        let (mut slices, mut looked) = (Vec::with_capacity(listed.len()), Vec::with_capacity(listed.len()));
        for listed in listed {
            let slice = bytes.slice(listed)?;
            looked.push(bytes.look(|| manifest.path(&slice))?);
            slices.push(slice);
        }
        let mut samples = Vec::new();
        for _ in 0..bytes.number()? {
            let place = usize::try_from(bytes.number()?).ok().filter(|place| *place < slices.len())?;
            samples.push((place, Small(Box::new(bytes.take()?))));
        }
        bytes.0.is_empty().then_some(Self { slices, looked, samples, levels })
    }
}

/// In the order of their numbers in a record.
const FORMATS: [Format; 8] = [
    Format::Jpeg,
    Format::ProgressiveJpeg,
    Format::Png,
    Format::Tiff,
    Format::Dicom,
    Format::Nifti,
    Format::Nrrd,
    Format::MetaImage,
];

/// Fields one after the other, numbers with their lowest byte first; what may be missing begins with a byte that says so.
struct FieldWriter(Vec<u8>);

impl FieldWriter {
    fn number(&mut self, number: u64) {
        self.0.extend(number.to_le_bytes());
    }

    fn reals<const N: usize>(&mut self, reals: [f32; N]) {
        reals.iter().for_each(|real| self.0.extend(real.to_le_bytes()));
    }

    fn if_any<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.0.push(u8::from(value.is_some()));
        if let Some(value) = value {
            put(self, value);
        }
    }

    fn slice(&mut self, slice: &Slice) {
        let Slice { scan: _, file: _, at: _, frame: _, number: _, bytes, header, sha256 } = slice;
        self.number(*bytes);
        self.0.extend(sha256.0);
        self.if_any(*header, |to, Header { format, width, height, colour }| {
            to.0.extend([format as u8, u8::from(colour == ColourMode::Colour)]);
            to.0.extend([width, height].map(u32::to_le_bytes).as_flattened());
        });
    }

    fn look(&mut self, look: &Inspection) {
        // Those of a reduced slice are among the samples.
        let Inspection { findings, picture, shape, range, thumbnail: _, quality } = look;
        self.0.push(findings.len() as u8);
        for Finding { check, path: _, detail, with: _ } in findings {
            self.0.push(Check::ALL.iter().position(|known| known == check).unwrap_or_default() as u8);
            self.number(detail.len() as u64);
            self.0.extend(detail.bytes());
        }
        self.if_any(picture.as_ref(), |to, Picture { pixels, descriptor }| {
            to.0.extend(pixels);
            to.0.extend(descriptor.0.map(i8::cast_unsigned));
        });
        self.if_any(shape.as_ref(), Self::shape);
        self.if_any(*range, |to, (low, high)| to.reals([low, high]));
        self.if_any(*quality, |to, Quality { sharpness, saturated, darkest }| {
            to.reals([sharpness, saturated]);
            to.0.push(darkest);
        });
    }

    fn shape(&mut self, shape: &SliceShape) {
        let &SliceShape { body, lungs, lung_extent, dark_inside, tissue, lung_level, .. } = shape;
        let &SliceShape { is_chest, is_inverted_chest, is_cut, orientation, ref grain, .. } = shape;
        self.reals([body, lungs, dark_inside]);
        self.0.extend(lung_extent);
        self.if_any(tissue, |to, level| to.0.push(level));
        self.if_any(lung_level, |to, level| to.0.push(level));
        self.0.extend([is_chest, is_inverted_chest, is_cut].map(u8::from));
        self.if_any(orientation, |to, Orientation { upright, sides, lying, front_left }| {
            to.reals([upright, sides, lying, front_left]);
        });
        grain.words().iter().for_each(|word| self.number(*word));
    }
}

/// Reads what [`FieldWriter`] wrote; `None` where it ends early or says what cannot be.
struct FieldReader<'a>(&'a [u8]);

impl FieldReader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn reals<const N: usize>(&mut self) -> Option<[f32; N]> {
        let mut reals = [0.0; N];
        for real in &mut reals {
            *real = f32::from_le_bytes(self.take()?);
        }
        Some(reals)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take().map(|[byte]| byte)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn if_any<T>(&mut self, take: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? { take(self).map(Some) } else { Some(None) }
    }

    fn slice(&mut self, listed: &ListedSlice) -> Option<Slice> {
        let (bytes, sha256) = (self.number()?, Digest(self.take()?));
        let header = self.if_any(|of| {
            let format = *FORMATS.get(usize::from(of.byte()?))?;
            let colour = if of.flag()? { ColourMode::Colour } else { ColourMode::Grey };
            let [width, height] = [of.take()?, of.take()?].map(u32::from_le_bytes);
            Some(Header { format, width, height, colour })
        })?;
        let ListedSlice { scan, file, at, frame, number, header: _ } = listed.clone();
        Some(Slice { scan, file, at, frame, number, bytes, header, sha256 })
    }

    fn look(&mut self, path: impl Fn() -> String) -> Option<Inspection> {
        let mut findings = Vec::new();
        for _ in 0..self.byte()? {
            let check = *Check::ALL.get(usize::from(self.byte()?))?;
            let length = usize::try_from(self.number()?).ok()?;
            let (detail, rest) = self.0.split_at_checked(length)?;
            self.0 = rest;
            let detail = String::from_utf8(detail.to_vec()).ok()?;
            findings.push(Finding { check, path: path(), detail, with: None });
        }
        let picture = self.if_any(|of| {
            Some(Picture { pixels: of.take()?, descriptor: Descriptor(of.take()?.map(u8::cast_signed)) })
        })?;
        let shape = self.if_any(Self::shape)?;
        let range = self.if_any(|of| of.reals().map(|[low, high]| (low, high)))?;
        let quality = self.if_any(|of| {
            let [sharpness, saturated] = of.reals()?;
            Some(Quality { sharpness, saturated, darkest: of.byte()? })
        })?;
        Some(Inspection { findings, picture, shape, range, thumbnail: None, quality })
    }

    fn shape(&mut self) -> Option<SliceShape> {
        let [body, lungs, dark_inside] = self.reals()?;
        let lung_extent = self.take()?;
        let (tissue, lung_level) = (self.if_any(Self::byte)?, self.if_any(Self::byte)?);
        let (is_chest, is_inverted_chest, is_cut) = (self.flag()?, self.flag()?, self.flag()?);
        let orientation = self.if_any(|of| {
            let [upright, sides, lying, front_left] = of.reals()?;
            Some(Orientation { upright, sides, lying, front_left })
        })?;
        let mut words = [0; 8];
        for word in &mut words {
            *word = self.number()?;
        }
        let grain = Grain::of_words(&words);
        #[rustfmt::skip]
        let shape = SliceShape {
            body, lungs, lung_extent, dark_inside, tissue, lung_level, is_chest, is_inverted_chest, is_cut, orientation, grain,
        };
        Some(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::pixel_measures::{Levels, PixelMeasure};
    use super::super::super::samples::{SamplePlace, ScanSamples};
    use super::*;
    use crate::data::opened::Contents;
    use crate::data::phantom::{PhantomConfig, draw_phantom};

    /// The scans of a drawn data set with every defect, as an audit sees them.
    fn seen(root: &std::path::Path) -> (Manifest, Vec<ListedSlice>, Vec<ScanRecord>) {
        draw_phantom(root, &PhantomConfig { size: 96, ..PhantomConfig::tiny() }, |_| ()).expect("draws");
        std::fs::write(root.join("train/covid/ct_scan_0/90.jpg"), "no picture").expect("writes");
        std::fs::write(root.join("train/covid/ct_scan_0/91.jpg"), "").expect("writes");
        let (manifest, files) = Manifest::before_reading(root, &|_| ()).expect("lists");
        let mut scans = Vec::new();
        for of_scan in files.chunk_by(|a, b| a.scan == b.scan) {
            let (levels, samples) = (Levels::of([0; 256]), ScanSamples::default());
            let (mut slices, mut looked) = (Vec::new(), Vec::new());
            for (index, listed) in of_scan.iter().enumerate() {
                let contents = std::fs::read(manifest.place_of_listed(listed)).expect("reads");
                let slice = Slice::of(listed.clone(), &Contents::Bytes((&contents[..]).into()));
                let (mut look, _) = Inspection::of(&manifest, &slice, Contents::Bytes(contents.into()), &levels);
                samples.offer(index, SamplePlace::of(index, of_scan.len()), &slice, &mut look);
                looked.push(look);
                slices.push(slice);
            }
            let samples = samples.of_scan(of_scan[0].scan);
            scans.push(ScanRecord { slices, looked, samples, levels: levels.counts() });
        }
        (manifest, files, scans)
    }

    #[test]
    fn what_was_seen_of_a_scan_comes_back_bit_for_bit() {
        let folder = tempfile::tempdir().expect("a folder");
        let (manifest, files, scans) = seen(&folder.path().join("data"));
        let mut findings = 0;
        for (listed, scan) in files.chunk_by(|a, b| a.scan == b.scan).zip(&scans) {
            let bytes = scan.packed();
            let back = ScanRecord::unpacked(&bytes, &manifest, listed).expect("unpacks");
            assert_eq!(back.slices, scan.slices);
            assert_eq!((&back.samples, back.levels), (&scan.samples, scan.levels));
            assert!(!scan.samples.is_empty() && scan.levels.iter().sum::<u64>() > 0);
            for (back, look) in back.looked.iter().zip(&scan.looked) {
                assert_eq!((&back.findings, back.shape, back.range), (&look.findings, look.shape, look.range));
                assert_eq!(back.quality, look.quality);
                let parts = |of: &Inspection| of.picture.as_ref().map(|of| (of.pixels, of.descriptor));
                assert_eq!(parts(back), parts(look));
                findings += look.findings.len();
            }
            // One byte less, one more, and those of another scan.
            assert!(ScanRecord::unpacked(&bytes[..bytes.len() - 1], &manifest, listed).is_none());
            assert!(ScanRecord::unpacked(&[&bytes[..], &[0]].concat(), &manifest, listed).is_none());
            assert!(ScanRecord::unpacked(&bytes, &manifest, &listed[1..]).is_none());
        }
        assert!(findings >= 2, "{findings}");
    }

    #[test]
    fn every_field_that_may_be_missing_is_kept() {
        let image = crate::data::pixels::GreyImage { width: 4, height: 4, pixels: vec![90; 16] };
        let PixelMeasure { picture, .. } = PixelMeasure::of(&image, &Levels::none());
        let orientation = Some(Orientation { upright: 0.1, sides: -0.2, lying: f32::MIN_POSITIVE, front_left: 1.5 });
        let shape = SliceShape {
            body: 0.1,
            lungs: 0.2,
            lung_extent: [3, 4],
            dark_inside: 0.5,
            tissue: Some(6),
            lung_level: None,
            is_chest: true,
            is_inverted_chest: false,
            is_cut: true,
            orientation,
            grain: Grain::of_words(&[1, 2, 3, 4, 5, 6, 7, u64::MAX]),
        };
        let quality = Some(Quality { sharpness: 1.25, saturated: 0.75, darkest: 9 });
        let detail = "as it is in its file: „ü”".to_owned();
        let check = *Check::ALL.last().expect("some");
        let findings = vec![Finding { check, path: "train/covid/a/1.jpg".into(), detail, with: None }];
        let slice = Slice::of_bytes(0, "1.jpg".into(), b"");
        let header = |format| Some(Header { format, width: 7, height: 70_000, colour: ColourMode::Colour });
        let manifest = Manifest::of_folders("x", vec!["train/covid/a".into()], Vec::new());
        let listed = [ListedSlice::picture(0, "1.jpg".into())];
        for format in FORMATS {
            assert_eq!(FORMATS[format as usize], format);
            let look = Inspection {
                findings: findings.clone(),
                picture: Some(picture.clone()),
                shape: Some(shape),
                range: Some((-1024.5, 3071.0)),
                thumbnail: None,
                quality,
            };
            let slices = vec![Slice { header: header(format), bytes: u64::MAX, ..slice.clone() }];
            let scan = ScanRecord { slices, looked: vec![look], samples: Vec::new(), levels: [1; 256] };
            let back = ScanRecord::unpacked(&scan.packed(), &manifest, &listed).expect("unpacks");
            assert_eq!(back.slices, scan.slices);
            let look = &back.looked[0];
            assert_eq!((&look.findings, look.shape, look.quality), (&findings, Some(shape), quality));
            assert_eq!(look.range, Some((-1024.5, 3071.0)));
        }
    }
}
