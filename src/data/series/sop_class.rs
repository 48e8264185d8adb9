//! Names of DICOM's objects.

/// CT image, enhanced CT image, and enhanced CT image converted from ordinary ones.
const CT: [&str; 3] = ["1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"];

/// Secondary captures begin so.
const SECONDARY_CAPTURE: &str = "1.2.840.10008.5.1.4.1.1.7";

/// Most SOP classes of the standard begin so.
const STORAGE: &str = "1.2.840.10008.5.1.4.1.1.";

/// Media Storage Directory, the class of DICOMDIR.
const DIRECTORY: &str = "1.2.840.10008.1.3.10";

/// What the SOP classes that lie around CT scans are, by the end of their UID (DICOM PS3.6, annex A).
const NAMES: [(&str, &str); 62] = [
    ("1", "a computed radiograph"),
    ("1.1", "a radiograph"),
    ("1.1.1", "a radiograph"),
    ("1.2", "a mammogram"),
    ("1.2.1", "a mammogram"),
    ("2", "a CT image"),
    ("2.1", "an enhanced CT image"),
    ("2.2", "an enhanced CT image"),
    ("3.1", "an ultrasound film"),
    ("4", "an MR image"),
    ("4.1", "an MR image"),
    ("4.2", "an MR spectrum"),
    ("4.3", "an MR image"),
    ("4.4", "an MR image"),
    ("6.1", "an ultrasound image"),
    ("6.2", "an ultrasound volume"),
    ("7", "a secondary capture"),
    ("7.1", "a secondary capture"),
    ("7.2", "a secondary capture"),
    ("7.3", "a secondary capture"),
    ("7.4", "a secondary capture"),
    ("9.1.1", "an electrocardiogram"),
    ("9.1.2", "an electrocardiogram"),
    ("9.1.3", "an electrocardiogram"),
    ("11.1", "a presentation state"),
    ("11.2", "a presentation state"),
    ("11.3", "a presentation state"),
    ("11.4", "a presentation state"),
    ("12.1", "an angiogram"),
    ("12.1.1", "an angiogram"),
    ("12.2", "a fluoroscopy"),
    ("13.1.3", "a breast tomosynthesis"),
    ("20", "a nuclear medicine image"),
    ("66", "raw data"),
    ("66.1", "a spatial registration"),
    ("66.2", "spatial fiducials"),
    ("66.3", "a deformable registration"),
    ("66.4", "a segmentation"),
    ("66.5", "a surface segmentation"),
    ("67", "a real world value mapping"),
    ("77.1.4", "a photograph"),
    ("88.11", "a structured report"),
    ("88.22", "a structured report"),
    ("88.33", "a structured report"),
    ("88.34", "a structured report"),
    ("88.40", "a procedure log"),
    ("88.59", "a key object selection"),
    ("88.65", "a chest CAD report"),
    ("88.67", "a radiation dose report"),
    ("88.68", "a radiopharmaceutical dose report"),
    ("88.73", "a patient radiation dose report"),
    ("104.1", "an encapsulated PDF"),
    ("104.2", "an encapsulated clinical document"),
    ("128", "a PET image"),
    ("128.1", "a PET image"),
    ("130", "a PET image"),
    ("481.1", "a radiotherapy image"),
    ("481.2", "a radiotherapy dose"),
    ("481.3", "a radiotherapy structure set"),
    ("481.4", "a radiotherapy treatment record"),
    ("481.5", "a radiotherapy plan"),
    ("481.8", "a radiotherapy plan"),
];

/// What an SOP class is, in plain words; none for private and rare ones.
pub(super) fn name(uid: &str) -> Option<&'static str> {
    if uid == DIRECTORY {
        return Some("a directory of files (DICOMDIR)");
    }
    let ending = uid.strip_prefix(STORAGE)?;
    NAMES.iter().find(|(known, _)| *known == ending).map(|(_, name)| *name)
}

/// Whether an SOP class is a kind of CT image.
pub(super) fn is_ct(uid: &str) -> bool {
    CT.contains(&uid)
}

/// Whether an SOP class is a kind of secondary capture.
pub(super) fn is_secondary_capture(uid: &str) -> bool {
    uid.strip_prefix(SECONDARY_CAPTURE).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_standard() {
        assert_eq!(name("1.2.840.10008.5.1.4.1.1.88.67"), Some("a radiation dose report"));
        assert_eq!(name("1.2.840.10008.5.1.4.1.1.481.3"), Some("a radiotherapy structure set"));
        assert_eq!(name("1.2.840.10008.1.3.10"), Some("a directory of files (DICOMDIR)"));
        assert_eq!(name("1.2.840.10008.5.1.4.1.1.128"), Some("a PET image"));
        assert_eq!(name("1.3.12.2.1107.5.9.1"), None);
        assert!(CT.iter().all(|uid| is_ct(uid) && name(uid).is_some_and(|name| name.ends_with("CT image"))));
    }

    #[test]
    fn secondary_captures_are_a_family() {
        assert!(
            is_secondary_capture("1.2.840.10008.5.1.4.1.1.7") && is_secondary_capture("1.2.840.10008.5.1.4.1.1.7.4")
        );
        assert!(!is_secondary_capture("1.2.840.10008.5.1.4.1.1.77.1.4"));
    }
}
