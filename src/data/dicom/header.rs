//! What a DICOM file says before its pixels.

use super::dataset::Dataset;
use super::element_source::Source;
use super::identity::identity;
use super::start::{Start, read_start};
use crate::data::decode::DecodeError;
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use flate2::bufread::DeflateDecoder;
use std::io::{BufReader, Read};

/// Bytes read from the file at a time. A CT header has about 4 KB.
const BUFFER: usize = 8 << 10;

/// What a DICOM file says before its pixels.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct DicomHeader {
    /// UID of the transfer syntax.
    pub(crate) syntax: String,
    pub(crate) sop_class: Option<String>,
    pub(crate) modality: Option<String>,
    /// Values of Image Type, upper case, for example ORIGINAL, PRIMARY, AXIAL.
    pub(crate) image_type: Vec<String>,
    pub(crate) patient_id: Option<String>,
    /// What names the patient in words or by a day, which themselves are kept nowhere.
    pub(crate) identity: Option<&'static str>,
    pub(crate) study: Option<String>,
    pub(crate) series: Option<String>,
    pub(crate) instance: Option<String>,
    pub(crate) instance_number: Option<i64>,
    pub(crate) acquisition_number: Option<i64>,
    /// Whether a contrast agent is named.
    pub(crate) has_contrast: bool,
    pub(crate) rows: Option<u32>,
    pub(crate) columns: Option<u32>,
    pub(crate) samples_per_pixel: Option<u32>,
    pub(crate) photometric: Option<String>,
    /// 1 where the file does not say.
    pub(crate) frames: u32,
    /// Distance of the rows and of the columns' pixels, mm: (between rows, between columns).
    pub(crate) pixel_spacing: Option<[f64; 2]>,
    /// Slice Thickness, mm.
    pub(crate) thickness: Option<f64>,
    /// Image Position (Patient) of each frame, mm; one for an ordinary file, empty where absent.
    pub(crate) positions: Vec<[f64; 3]>,
    /// Image Orientation (Patient): direction of a row, then of a column. That of the first frame in a multi-frame file.
    pub(crate) orientation: Option<[f64; 6]>,
    /// Gantry/Detector Tilt, degrees.
    pub(crate) tilt: Option<f64>,
    /// Convolution Kernel, manufacturer and model, as the file says.
    pub(crate) kernel: Option<String>,
    pub(crate) manufacturer: Option<String>,
    pub(crate) model: Option<String>,
    /// Windows: centre and width.
    pub(crate) windows: Vec<(f64, f64)>,
    /// Whether the file holds pixel data (7FE0,0010).
    pub(crate) has_pixels: bool,
}

impl DicomHeader {
    /// Reads the header of a DICOM file and stops before the pixels. Of the file no more is read than the header and up
    /// to 8 KB after it.
    ///
    /// # Errors
    ///
    /// `NotAnImage` for another format, `Truncated` where the file ends inside the header, `Corrupt` for one that
    /// contradicts itself or cannot be read.
    pub(crate) fn read(reader: impl Read) -> Result<Self, DecodeError> {
        let mut source = Source::new(BufReader::with_capacity(BUFFER, reader));
        let start = read_start(&mut source)?;
        let (dataset, pixels) = if start.deflated {
            let inflated = DeflateDecoder::new(BufReader::with_capacity(BUFFER, source));
            Dataset::read(&mut Source::new(inflated), start.encoding)?
        } else {
            Dataset::read(&mut source, start.encoding)?
        };
        Ok(Self::new(&start, &dataset, pixels.is_some()))
    }

    /// Picks the header out of a data set.
    pub(super) fn new(start: &Start, dataset: &Dataset, has_pixels: bool) -> Self {
        let word = |tag| dataset.word(tag, 0).map(u32::from);
        let frames = dataset.integer(tags::NUMBER_OF_FRAMES).and_then(|frames| u32::try_from(frames).ok());
        let measures = dataset.group(0, tags::PIXEL_MEASURES_SEQUENCE);
        let acquisition = dataset.group(0, tags::CT_ACQUISITION_DETAILS_SEQUENCE);
        Self {
            syntax: start.syntax.clone(),
            sop_class: dataset.text(tags::SOP_CLASS_UID).or_else(|| start.sop_class.clone()),
            modality: dataset.text(tags::MODALITY),
            image_type: dataset.texts(tags::IMAGE_TYPE).iter().map(|value| value.to_uppercase()).collect(),
            patient_id: dataset.text(tags::PATIENT_ID),
            identity: dataset.identity(),
            study: dataset.text(tags::STUDY_INSTANCE_UID),
            series: dataset.text(tags::SERIES_INSTANCE_UID),
            instance: dataset.text(tags::SOP_INSTANCE_UID),
            instance_number: dataset.integer(tags::INSTANCE_NUMBER),
            acquisition_number: dataset.integer(tags::ACQUISITION_NUMBER),
            has_contrast: dataset.text(tags::CONTRAST_BOLUS_AGENT).is_some_and(|agent| names_an_agent(&agent)),
            rows: word(tags::ROWS),
            columns: word(tags::COLUMNS),
            samples_per_pixel: word(tags::SAMPLES_PER_PIXEL),
            photometric: dataset.text(tags::PHOTOMETRIC_INTERPRETATION),
            frames: frames.unwrap_or(1).max(1),
            pixel_spacing: dataset.array(tags::PIXEL_SPACING).or_else(|| measures?.array(tags::PIXEL_SPACING)),
            thickness: dataset.number(tags::SLICE_THICKNESS).or_else(|| measures?.number(tags::SLICE_THICKNESS)),
            positions: dataset.positions(),
            orientation: dataset.orientation(),
            tilt: dataset
                .number(tags::GANTRY_DETECTOR_TILT)
                .or_else(|| acquisition?.number(tags::GANTRY_DETECTOR_TILT)),
            kernel: dataset.kernel(),
            manufacturer: dataset.text(tags::MANUFACTURER),
            model: dataset.text(tags::MANUFACTURER_MODEL_NAME),
            windows: dataset.frame_windows(0),
            has_pixels,
        }
    }
}

/// Whether the text is more than a word for none.
fn names_an_agent(agent: &str) -> bool {
    const NONE: [&str; 9] = ["", "-", "0", "NONE", "NO", "N", "NA", "N/A", "WITHOUT"];
    !NONE.contains(&agent.trim().to_uppercase().as_str())
}

/// Values that stand in the data set itself in ordinary files, and in functional groups in multi-frame ones (PS3.3,
/// C.7.6.16).
impl Dataset {
    fn identity(&self) -> Option<&'static str> {
        let [name, birth, removed] =
            [tags::PATIENT_NAME, tags::PATIENT_BIRTH_DATE, tags::PATIENT_IDENTITY_REMOVED].map(|tag| self.text(tag));
        identity(name.as_deref(), birth.as_deref(), removed.as_deref())
    }

    /// The functional group `tag` of a frame: its own one, or else that of all frames.
    pub(super) fn group(&self, frame: u32, tag: Tag) -> Option<&Self> {
        let own = self.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).get(frame as usize);
        let shared = self.items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).first();
        own.into_iter().chain(shared).find_map(|groups| groups.items(tag).first())
    }

    /// Windows that the file names for a frame: centre and width.
    pub(super) fn frame_windows(&self, frame: u32) -> Vec<(f64, f64)> {
        match self.windows(tags::WINDOW_CENTER, tags::WINDOW_WIDTH) {
            windows if windows.is_empty() => self
                .group(frame, tags::FRAME_VOILUT_SEQUENCE)
                .map(|group| group.windows(tags::WINDOW_CENTER, tags::WINDOW_WIDTH))
                .unwrap_or_default(),
            windows => windows,
        }
    }

    /// Positions of the frames; none unless every frame has one.
    fn positions(&self) -> Vec<[f64; 3]> {
        if let Some(position) = self.array(tags::IMAGE_POSITION_PATIENT) {
            return vec![position];
        }
        let frames = self.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).len() as u32;
        let position = |frame| self.group(frame, tags::PLANE_POSITION_SEQUENCE)?.array(tags::IMAGE_POSITION_PATIENT);
        (0..frames).map(position).collect::<Option<Vec<_>>>().unwrap_or_default()
    }

    fn orientation(&self) -> Option<[f64; 6]> {
        let group = || self.group(0, tags::PLANE_ORIENTATION_SEQUENCE)?.array(tags::IMAGE_ORIENTATION_PATIENT);
        self.array(tags::IMAGE_ORIENTATION_PATIENT).or_else(group)
    }

    fn kernel(&self) -> Option<String> {
        let own = self.texts(tags::CONVOLUTION_KERNEL);
        let group = || Some(self.group(0, tags::CT_RECONSTRUCTION_SEQUENCE)?.texts(tags::CONVOLUTION_KERNEL));
        let values = if own.is_empty() { group()? } else { own };
        // Siemens writes kernel and filter, for example I31f and 3.
        Some(values.join("\\")).filter(|kernel| !kernel.is_empty())
    }
}
