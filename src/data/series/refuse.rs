//! Why a file is no axial slice of a CT scan.

use super::orient::SliceAxes;
use super::{MOST_FRAMES, Refusal, said, sop_class};
use crate::data::dicom::DicomHeader;

/// Degrees between slice normal and long axis from which on a slice counts as a reformat. Gantries tilt by up to 30.
const NOT_AXIAL: f64 = 45.0;

/// Why a file is no axial slice of a CT scan, if it is none.
pub(super) fn refusal(header: &DicomHeader) -> Option<(Refusal, String)> {
    let checks = [no_pixels, not_ct, not_a_slice, not_axial];
    checks.iter().find_map(|check| check(header))
}

fn no_pixels(header: &DicomHeader) -> Option<(Refusal, String)> {
    let detail = || format!("expected a CT image with pixels, found {}, without pixels", object(header));
    (!header.has_pixels).then(|| (Refusal::NoPixels, detail()))
}

fn not_ct(header: &DicomHeader) -> Option<(Refusal, String)> {
    let class = said(&header.sop_class);
    // Private classes of scanners' makers are CT if they say so by modality.
    let other = class.is_some_and(|uid| {
        !sop_class::is_ct(uid) && !sop_class::is_secondary_capture(uid) && sop_class::name(uid).is_some()
    });
    let ct = match said(&header.modality) {
        Some(modality) => modality.eq_ignore_ascii_case("CT") && !other,
        None => class.is_some_and(|uid| sop_class::is_ct(uid) || sop_class::is_secondary_capture(uid)),
    };
    let claims_both = class.is_some_and(sop_class::is_ct).then(|| said(&header.modality).and_then(modality)).flatten();
    let found = match claims_both {
        Some(other) => format!("modality {other}, in a file of the kind of a CT image"),
        None => object(header),
    };
    (!ct).then(|| (Refusal::NotCt, format!("expected a CT image, found {found}")))
}

fn not_a_slice(header: &DicomHeader) -> Option<(Refusal, String)> {
    let is = |test: fn(&str) -> bool| header.image_type.iter().any(|value| test(value.trim()));
    let dose_page = |v: &str| v.starts_with("DOSE") || v == "CT_SOM5 PROT" || v.replace(['_', ' '], "") == "SCREENSAVE";
    // `CT_SOM5 MIP` and the like.
    let projection = |v: &str| {
        matches!(v.rsplit(' ').next(), Some("MIP" | "MINIP" | "MAX_IP" | "MIN_IP")) || v == "PROJECTION IMAGE"
    };
    let secondary = said(&header.sop_class).is_some_and(sop_class::is_secondary_capture);
    let grey = said(&header.photometric).is_none_or(|text| text.starts_with("MONOCHROME"));
    let samples = header.samples_per_pixel.unwrap_or(1);
    let size = (header.rows.unwrap_or(0), header.columns.unwrap_or(0));
    let found = match () {
        () if is(dose_page) => "a dose page or another screen save (Image Type)".to_owned(),
        () if is(|v| v == "LOCALIZER") => "a localizer (Image Type)".to_owned(),
        () if is(projection) => "a projection of several slices, by maximum or minimum (Image Type)".to_owned(),
        () if secondary => "a secondary capture (SOP class)".to_owned(),
        // Reformats are DERIVED, SECONDARY as well, but have positions.
        () if is(|v| v == "SECONDARY") && header.positions.is_empty() => {
            "a secondary capture (Image Type SECONDARY, no slice position)".to_owned()
        }
        () if samples != 1 => format!("a colour picture ({samples} samples per pixel)"),
        () if !grey => "a colour picture (Photometric Interpretation)".to_owned(),
        () if size.0 == 0 || size.1 == 0 => format!("{} rows and {} columns", size.0, size.1),
        () if header.frames > MOST_FRAMES && header.positions.len() != header.frames as usize => {
            format!("{} frames without positions, more than {MOST_FRAMES}", header.frames)
        }
        () => return None,
    };
    Some((Refusal::NotASlice, format!("expected a CT slice, found {found}")))
}

fn not_axial(header: &DicomHeader) -> Option<(Refusal, String)> {
    let axes = SliceAxes::of(header.orientation)?;
    let degrees = axes.degrees_from_z();
    // Rounded directions of a slice at exactly the limit.
    if degrees <= NOT_AXIAL + 0.01 {
        return None;
    }
    let [x, y, _] = axes.normal.map(f64::abs);
    let name = match () {
        () if x.max(y) < 30_f64.to_radians().cos() => "an oblique",
        () if x > y => "a sagittal",
        () => "a coronal",
    };
    let detail = format!(
        "expected an axial slice, found {name} reformat: its normal is {degrees:.0} degrees from the long axis"
    );
    Some((Refusal::NotAxial, detail))
}

/// What a file is, in words that the standard lists.
fn object(header: &DicomHeader) -> String {
    let class = said(&header.sop_class).and_then(sop_class::name);
    match (class, said(&header.modality).and_then(modality)) {
        (Some(class), Some(modality)) => format!("{class} (modality {modality})"),
        (Some(class), None) => class.to_owned(),
        (None, Some(modality)) => format!("an object of modality {modality}"),
        (None, None) => "an object that names no known kind and modality".to_owned(),
    }
}

/// A modality of the standard (PS3.3, C.7.3.1.1.1). Others are not shown: anything may stand there.
fn modality(found: &str) -> Option<&'static str> {
    const KNOWN: [&str; 34] = [
        "CT", "PT", "MR", "NM", "CR", "DX", "MG", "US", "XA", "RF", "RG", "OT", "SC", "SEG", "SR", "KO", "PR", "REG",
        "DOC", "RTIMAGE", "RTDOSE", "RTSTRUCT", "RTPLAN", "RTRECORD", "ECG", "ES", "XC", "SM", "GM", "IO", "PX", "RWV",
        "FID", "PLAN",
    ];
    KNOWN.into_iter().find(|known| known.eq_ignore_ascii_case(found))
}

#[cfg(test)]
mod tests {
    use super::super::vocabulary::*;
    use super::*;

    const CLASS: &str = "1.2.840.10008.5.1.4.1.1.";

    fn refused(change: impl Fn(&mut DicomHeader)) -> Option<(Refusal, String)> {
        refusal(&slice(0.0).with(change))
    }

    fn of_class(ending: &str, modality: &str) -> impl Fn(&mut DicomHeader) {
        move |header| {
            header.sop_class = Some(format!("{CLASS}{ending}"));
            header.modality = Some(modality.to_owned());
        }
    }

    #[track_caller]
    fn assert_refused(change: impl Fn(&mut DicomHeader), kind: Refusal, detail: &str) {
        assert_eq!(refused(change), Some((kind, detail.to_owned())));
    }

    #[test]
    fn files_without_pixels_say_what_they_are() {
        let bare = |ending: &'static str, modality: &'static str| {
            move |header: &mut DicomHeader| {
                of_class(ending, modality)(header);
                header.has_pixels = false;
            }
        };
        let found = |text: &str| format!("expected a CT image with pixels, found {text}, without pixels");
        assert_refused(bare("88.67", "SR"), Refusal::NoPixels, &found("a radiation dose report (modality SR)"));
        assert_refused(
            bare("481.3", "RTSTRUCT"),
            Refusal::NoPixels,
            &found("a radiotherapy structure set (modality RTSTRUCT)"),
        );
        assert_refused(bare("2", "CT"), Refusal::NoPixels, &found("a CT image (modality CT)"));
        let directory = |header: &mut DicomHeader| {
            *header = DicomHeader { sop_class: Some("1.2.840.10008.1.3.10".to_owned()), ..DicomHeader::default() }
        };
        assert_refused(directory, Refusal::NoPixels, &found("a directory of files (DICOMDIR)"));
    }

    #[test]
    fn other_modalities_are_not_ct() {
        assert_refused(of_class("128", "PT"), Refusal::NotCt, "expected a CT image, found a PET image (modality PT)");
        let claims_both = "expected a CT image, found modality MR, in a file of the kind of a CT image";
        assert_refused(of_class("2", "MR"), Refusal::NotCt, claims_both);
        assert_refused(of_class("4", "MR"), Refusal::NotCt, "expected a CT image, found an MR image (modality MR)");
        assert_refused(
            of_class("66.4", "SEG"),
            Refusal::NotCt,
            "expected a CT image, found a segmentation (modality SEG)",
        );
        let nothing = |header: &mut DicomHeader| (header.modality, header.sop_class) = (None, None);
        assert_refused(
            nothing,
            Refusal::NotCt,
            "expected a CT image, found an object that names no known kind and modality",
        );
    }

    #[test]
    fn free_text_in_place_of_a_modality_is_not_shown() {
        let (_, detail) = refused(|h| h.modality = Some("DOE^JANE".to_owned())).expect("not CT");
        assert_eq!(detail, "expected a CT image, found a CT image");
    }

    #[test]
    fn what_the_scanner_makes_besides_slices_is_rejected() {
        let typed = |values: &'static [&'static str]| {
            move |header: &mut DicomHeader| header.image_type = values.iter().map(|v| (*v).to_owned()).collect()
        };
        let is = |text: &str| format!("expected a CT slice, found {text}");
        let localizer = is("a localizer (Image Type)");
        assert_refused(typed(&["ORIGINAL", "PRIMARY", "LOCALIZER"]), Refusal::NotASlice, &localizer);
        let projection = is("a projection of several slices, by maximum or minimum (Image Type)");
        assert_refused(typed(&["DERIVED", "SECONDARY", "AXIAL", "MIP"]), Refusal::NotASlice, &projection);
        assert_refused(typed(&["DERIVED", "SECONDARY", "AXIAL", "CT_SOM5 MIP"]), Refusal::NotASlice, &projection);
        let dose = is("a dose page or another screen save (Image Type)");
        for name in ["DOSE_INFO", "SCREEN SAVE"] {
            let page = |header: &mut DicomHeader| {
                header.image_type = ["DERIVED", "SECONDARY", name].map(str::to_owned).to_vec();
            };
            assert_refused(page, Refusal::NotASlice, &dose);
        }
        assert_refused(of_class("7", "CT"), Refusal::NotASlice, &is("a secondary capture (SOP class)"));
        assert_refused(
            |h| h.samples_per_pixel = Some(3),
            Refusal::NotASlice,
            &is("a colour picture (3 samples per pixel)"),
        );
        let unplaced = |header: &mut DicomHeader| {
            typed(&["DERIVED", "SECONDARY"])(header);
            header.positions.clear();
        };
        let secondary = is("a secondary capture (Image Type SECONDARY, no slice position)");
        assert_refused(unplaced, Refusal::NotASlice, &secondary);
        assert_refused(|h| h.rows = None, Refusal::NotASlice, &is("0 rows and 512 columns"));
        let endless = is("4294967295 frames without positions, more than 10000");
        assert_refused(|h| h.frames = u32::MAX, Refusal::NotASlice, &endless);
    }

    #[test]
    fn ct_slices_of_all_kinds_pass() {
        assert_eq!(refused(|_| ()), None);
        assert_eq!(refused(|h| h.sop_class = None), None);
        assert_eq!(refused(|h| h.modality = None), None);
        assert_eq!(refused(of_class("2.1", "CT")), None);
        assert_eq!(refused(|h| h.sop_class = Some("1.3.12.2.1107.5.9.1".to_owned())), None, "a private class");
        let reformat = |h: &mut DicomHeader| h.image_type = ["DERIVED", "SECONDARY", "MPR"].map(str::to_owned).to_vec();
        assert_eq!(refused(reformat), None);
        assert_eq!(refused(|h| h.orientation = None), None);
    }

    #[test]
    fn reformats_in_other_planes_are_not_axial() {
        let found = |name: &str, degrees: u32| {
            format!(
                "expected an axial slice, found {name} reformat: its normal is {degrees} degrees from the long axis"
            )
        };
        let lies = |orientation: [f64; 6]| move |header: &mut DicomHeader| header.orientation = Some(orientation);
        assert_refused(lies([1.0, 0.0, 0.0, 0.0, 0.0, -1.0]), Refusal::NotAxial, &found("a coronal", 90));
        assert_refused(lies([0.0, 1.0, 0.0, 0.0, 0.0, -1.0]), Refusal::NotAxial, &found("a sagittal", 90));
        let tilted = |degrees: f64| {
            let (sin, cos) = degrees.to_radians().sin_cos();
            lies([1.0, 0.0, 0.0, 0.0, cos, -sin])
        };
        assert_refused(tilted(50.0), Refusal::NotAxial, &found("an oblique", 50));
        assert_eq!(refused(tilted(45.0)), None);
        assert_eq!(refused(tilted(30.0)), None);
    }
}
