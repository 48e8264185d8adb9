//! From DICOM series and volumes to scans.

use super::acquisition::{Acquisition, Irregular, IrregularKind, Rejected, Rejection};
use super::scanner_files::FoundScan;
use crate::data::decode::Format;
use crate::data::dicom::DicomHeader;
use crate::data::series::{Refusal, Series, SeriesGeometry, build_series};
use crate::data::volume::VolumeHeader;

/// The scans in DICOM files of one part of a data set, and the files that are no slices. `pseudonym` hides a value of
/// this kind (`patient`, `study` or `series`).
pub(super) fn scans(
    files: Vec<(String, DicomHeader)>,
    pseudonym: impl Fn(&str, &str) -> Option<String>,
) -> (Vec<FoundScan>, Vec<Rejected>) {
    let several: std::collections::HashSet<String> =
        files.iter().filter(|(_, header)| header.frames > 1).map(|(path, _)| path.clone()).collect();
    let built = build_series(files);
    let mut scans: Vec<FoundScan> = built
        .series
        .into_iter()
        .map(|series| {
            let paths = series.slices.iter().map(|slice| slice.path.clone()).collect();
            let acquisition = Acquisition::of_series(&series, &pseudonym);
            let frame = |path: &String, frame: u32| several.contains(path).then_some(frame);
            let slices = series.slices.into_iter().map(|slice| (slice.path.clone(), frame(&slice.path, slice.frame)));
            FoundScan { paths, slices: slices.collect(), acquisition }
        })
        .collect();
    for pair in built.repeated {
        scans[pair.second].acquisition.irregular.push(Irregular::new(IrregularKind::RepeatedSeries, pair.detail));
    }
    let rejected = built.rejected.into_iter().map(|file| Rejected {
        path: file.path,
        reason: match file.kind {
            Refusal::NoPixels | Refusal::NotCt | Refusal::NotASlice => Rejection::NotCt,
            Refusal::NotAxial => Rejection::NotAxial,
            Refusal::NoPosition => Rejection::NoPosition,
            Refusal::RepeatedSlice => Rejection::RepeatedSlice,
        },
        detail: file.detail,
    });
    (scans, rejected.collect())
}

impl Irregular {
    fn new(kind: IrregularKind, detail: String) -> Self {
        Self { kind, detail }
    }
}

impl Acquisition {
    fn of_series(series: &Series, pseudonym: impl Fn(&str, &str) -> Option<String>) -> Self {
        let hidden = |kind: &str, value: &Option<String>| value.as_deref().and_then(|value| pseudonym(kind, value));
        let geometry = series.geometry.clone();
        let mut irregular = irregular(&geometry);
        if let Some(what) = series.identity {
            let detail = format!("its files hold {what}: remove it before you pass data on");
            irregular.push(Irregular::new(IrregularKind::NamedPatient, detail));
        }
        let maker = [geometry.manufacturer, geometry.model].into_iter().flatten().collect::<Vec<_>>().join(" ");
        Self {
            format: Format::Dicom,
            patient: hidden("patient", &series.patient_id),
            study: hidden("study", &series.study),
            series: hidden("series", &series.uid),
            size: (geometry.columns, geometry.rows),
            pixel_spacing: geometry.pixel_spacing.map(|[rows, columns]| (columns, rows)),
            slice_distance: geometry.slice_distance,
            thickness: geometry.thickness,
            orientation: geometry.orientation,
            tilt: geometry.tilt.or(geometry.shear),
            kernel: geometry.kernel,
            manufacturer: Some(maker).filter(|maker| !maker.is_empty()),
            window: geometry.window,
            irregular,
            turn: series.slices.first().map(|slice| slice.turn).unwrap_or_default(),
        }
    }

    /// Of a volume's header.
    pub(super) fn of_volume(format: Format, header: &VolumeHeader) -> Self {
        let [along_row, along_column, between] = header.spacing;
        let mut irregular = Vec::new();
        if !header.has_geometry {
            let detail = "no orientation is stated: slices are shown as arrays and files usually lie".to_owned();
            irregular.push(Irregular::new(IrregularKind::NoGeometry, detail));
        }
        let tilt = (header.oblique_degrees > 0.5).then_some(header.oblique_degrees);
        if let Some(degrees) = tilt {
            let detail = format!("oblique by {degrees:.1}°: slices are those stored, not resampled");
            irregular.push(Irregular::new(IrregularKind::Tilt, detail));
        }
        Self {
            format,
            patient: None,
            study: None,
            series: None,
            size: (header.width, header.height),
            pixel_spacing: header.has_geometry.then_some((along_row, along_column)),
            slice_distance: header.has_geometry.then_some(between),
            thickness: None,
            orientation: header.stored_as.clone(),
            tilt,
            kernel: None,
            manufacturer: None,
            window: None,
            irregular,
            turn: Default::default(),
        }
    }
}

fn irregular(geometry: &SeriesGeometry) -> Vec<Irregular> {
    let mut found = Vec::new();
    let mut add = |kind, detail: String| found.push(Irregular::new(kind, detail));
    if !geometry.gaps.is_empty() {
        let missing: u32 = geometry.gaps.iter().map(|gap| gap.missing).sum();
        let places: Vec<String> =
            geometry.gaps.iter().take(5).map(|gap| format!("{} after slice {}", gap.missing, gap.after)).collect();
        let more = if geometry.gaps.len() > 5 { ", …" } else { "" };
        add(IrregularKind::MissingSlice, format!("{missing} missing by position: {}{more}", places.join(", ")));
    }
    if let Some((least, most)) = geometry.uneven {
        add(IrregularKind::UnevenSpacing, format!("slices {least:.2} to {most:.2} mm apart"));
    }
    if let Some(degrees) = geometry.tilt.or(geometry.shear) {
        add(IrregularKind::Tilt, format!("tilted by {degrees:.1}°: slices are those stored, not resampled"));
    }
    if geometry.doubtful_order {
        add(IrregularKind::NoGeometry, "no slice positions: ordered by Instance Number or by name".to_owned());
    }
    if geometry.pixel_spacing.is_none() {
        add(IrregularKind::NoGeometry, "no pixel spacing: sizes are unknown".to_owned());
    }
    geometry.notes.iter().for_each(|note| add(IrregularKind::NoGeometry, note.clone()));
    found
}
