//! What a scanner's file says of a scan: geometry, kernel, manufacturer, window.

use super::Manifest;
use crate::base::progress::counted;
use crate::base::table::Table;
use crate::data::decode::Format;
use crate::data::pixels::Turn;
use serde::{Deserialize, Serialize};

/// How a scan was acquired, as its DICOM series or its volume says. Nothing in it names the patient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acquisition {
    /// DICOM, NIfTI, NRRD or MetaImage.
    pub format: Format,
    /// Keyed hash of the PatientID; `None` where there is none, or a placeholder such as `anonymous`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<String>,
    /// Keyed hash of the StudyInstanceUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub study: Option<String>,
    /// Keyed hash of the SeriesInstanceUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// Pixels of a slice as shown: width and height.
    pub size: (u32, u32),
    /// Distances of neighbouring pixels as shown, mm: along a row, and along a column.
    pub pixel_spacing: Option<(f64, f64)>,
    /// Median distance of neighbouring slices along their normal, mm.
    pub slice_distance: Option<f64>,
    /// Slice thickness, mm.
    pub thickness: Option<f64>,
    /// How it is stored: `axial` for a DICOM series, or the directions in which a volume's axes grow, such as `LAS`
    /// (to the left, anterior, superior).
    pub orientation: String,
    /// Gantry tilt or obliqueness, degrees; `None` below half a degree.
    pub tilt: Option<f64>,
    /// Convolution kernel.
    pub kernel: Option<String>,
    /// Manufacturer and model of the scanner.
    pub manufacturer: Option<String>,
    /// The first window in the file, HU: centre and width.
    pub window: Option<(f64, f64)>,
    /// What is irregular in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub irregular: Vec<Irregular>,
    /// From the stored rows and columns to those shown.
    #[serde(default)]
    pub(crate) turn: Turn,
}

/// Something irregular in a scan's geometry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Irregular {
    /// What kind.
    pub kind: IrregularKind,
    /// What was found, as text.
    pub detail: String,
}

/// Kinds of irregular geometry; the audit has a check for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IrregularKind {
    /// Slices are missing between the first and the last.
    MissingSlice,
    /// Distances of neighbouring slices differ.
    UnevenSpacing,
    /// The gantry was tilted, or the volume is oblique.
    Tilt,
    /// No pixel spacing, or no positions: sizes or the order of slices are doubtful.
    NoGeometry,
    /// The same volume as another series of the study.
    RepeatedSeries,
    /// The files say who the patient is.
    NamedPatient,
}

/// What is no slice: a file that looks like a scanner's and is none of a CT scan; what is no file, too long a one, or has no
/// name that can be read; a folder that is not understood; or a row of `labels.csv` or `patients.csv` without a scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejected {
    /// Under the root.
    pub path: String,
    /// Why.
    pub reason: Rejection,
    /// What was found, in the file's own words; never text that may name a patient.
    pub detail: String,
}

/// Why a file is no slice; the audit has a check for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rejection {
    /// Localizer, dose report, secondary capture, segmentation, PET, MR, …
    NotCt,
    /// A coronal or sagittal reformat.
    NotAxial,
    /// No position, in a series whose other slices have one.
    NoPosition,
    /// The position of another slice of its series.
    RepeatedSlice,
    /// Ends early.
    Truncated,
    /// Damaged.
    Corrupt,
    /// Claims more pixels than any slice has.
    Oversized,
    /// Of a kind that is not read.
    Unsupported,
    /// No regular file: a pipe, a socket, a device, a link without an end.
    NotAFile,
    /// Longer than any slice or volume.
    TooLarge,
    /// A row of a table that names no scan.
    UnmatchedRow,
    /// A name that is not UTF-8.
    UnreadableName,
    /// A folder with pictures or scanners' files, of which no part or class is known.
    UnknownFolder,
    /// A folder of a part or class with pictures in no scan's folder.
    LoosePictures,
    /// A set to predict whose folders name classes.
    LabelledTest,
    /// A folder of a class in no part, where others are in one.
    NoPart,
    /// An archive beside scans.
    Archive,
    /// A table beside scans that is not read.
    Table,
    /// Patients by folder that have one name in two parts.
    PatientsAlike,
}

impl Rejection {
    /// Whether it is said of one file.
    pub(crate) fn is_of_a_file(self) -> bool {
        !matches!(
            self,
            Self::UnmatchedRow
                | Self::UnknownFolder
                | Self::LoosePictures
                | Self::LabelledTest
                | Self::NoPart
                | Self::Archive
                | Self::Table
                | Self::PatientsAlike
        )
    }
}

impl Manifest {
    /// How the scans of DICOM series and volumes were acquired, at most `limit` rows: geometry, kernel, scanner, the first
    /// window that the file names (the network sees another: [`Preprocess::window`](crate::Preprocess)), and what is
    /// irregular. Patient and study are keyed hashes.
    pub fn acquisitions(&self, limit: usize) -> Table {
        let columns = [
            "Scan",
            "Format",
            "Slices",
            "Pixels",
            "Pixel, mm",
            "Distance, mm",
            "Thickness, mm",
            "Stored as",
            "Kernel",
            "Scanner",
            "File's window, HU",
            "Patient",
            "Irregular",
        ];
        let mut table = Table::new(format!("How the scans of {} were acquired", self.name), &columns);
        let slices = self.slices_by_scan();
        let known: Vec<_> = self
            .scans
            .iter()
            .zip(&slices)
            .filter_map(|(scan, of)| Some((scan, of, scan.acquisition.as_ref()?)))
            .collect();
        let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.2}"));
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "–".to_owned());
        for (scan, slices, of) in known.iter().take(limit) {
            let irregular: Vec<&str> = of.irregular.iter().map(|of| of.detail.as_str()).collect();
            table.row([
                scan.folder.clone(),
                of.format.to_string(),
                slices.len().to_string(),
                format!("{}×{}", of.size.0, of.size.1),
                of.pixel_spacing
                    .map_or("–".to_owned(), |(x, y)| if x == y { format!("{x:.3}") } else { format!("{x:.3}×{y:.3}") }),
                number(of.slice_distance),
                number(of.thickness),
                of.orientation.clone(),
                text(&of.kernel),
                text(&of.manufacturer),
                of.window.map_or("–".to_owned(), |(centre, width)| format!("{centre}/{width}")),
                text(&of.patient),
                irregular.join("; "),
            ]);
        }
        if known.len() > limit {
            table = table.note(format!("The first {limit} of {} scans.", known.len()));
        }
        match self.scans.len() - known.len() {
            0 => table,
            pictures => {
                table.note(format!("{} of pictures, which say nothing of this.", counted(pictures as u64, "scan")))
            }
        }
    }
}
