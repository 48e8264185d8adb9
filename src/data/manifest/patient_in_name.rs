//! The patient that the name of a scan begins with.

use super::Label;
use super::patient_folders::is_named_as_patient;

/// Words before the number of one of a patient's scans, as in `P001_scan2` and `sub-12_ses-1`.
pub(super) const WORDS_FOR_SCANS: [&str; 12] =
    ["scan", "ct", "series", "exam", "study", "visit", "session", "ses", "run", "time", "timepoint", "t"];
/// Pneumonia that is no COVID-19, beside words for the two classes: CC-CCII's names, which COVIDx CT has as well.
const OTHER_CLASS: &str = "cp";

/// The patient in `P001_scan2`, `NCP_96_1328` (class, patient, scan), `137covid_patient1_SR_3` and `sub-12_ses-2_run-1_ct` (BIDS).
pub(super) fn patient_before(name: &str) -> Option<&str> {
    let of_bids = name.split_once('_').filter(|(of, _)| of.starts_with("sub-") && is_named_as_patient(of));
    of_bids
        .map(|(subject, _)| subject)
        .or_else(|| after_word(name))
        .or_else(|| of_class(name))
        .or_else(|| of_scan(name))
}

/// Up to a part such as `patient1`, behind which others follow.
fn after_word(name: &str) -> Option<&str> {
    let ends = name.match_indices('_').map(|(end, _)| end);
    ends.into_iter().map(|end| &name[..end]).find(|before| {
        let part = before.rsplit('_').next().unwrap_or(before);
        part.starts_with(|c: char| c.is_alphabetic()) && !part.contains('-') && is_named_as_patient(part)
    })
}

/// The class and the number in a name of three parts, of which the last is a scan's number.
fn of_class(name: &str) -> Option<&str> {
    let (before, scan) = name.rsplit_once('_')?;
    (is_number(scan) && is_class_and_number(before)).then_some(before)
}

/// Whether a name is that of a class and a number: `NCP_96`.
pub(super) fn is_class_and_number(name: &str) -> bool {
    name.split_once('_').is_some_and(|(class, number)| {
        is_number(number) && (Label::named(class).is_some() || class.eq_ignore_ascii_case(OTHER_CLASS))
    })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What stands before the word for a scan and its number, and holds a number itself.
fn of_scan(name: &str) -> Option<&str> {
    let number = &name[name.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1)..];
    let before = name.strip_suffix(number).filter(|_| !number.is_empty())?;
    let (patient, word) = before.trim_end_matches(['_', '-']).rsplit_once(['_', '-'])?;
    let is_word = WORDS_FOR_SCANS.iter().any(|known| word.eq_ignore_ascii_case(known));
    (is_word && patient.chars().any(|c| c.is_ascii_digit())).then_some(patient)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_begin_with_patients_in_the_forms_of_known_data_sets() {
        for (name, patient) in [
            ("P001_scan2", "P001"),
            ("NCP_96_1328", "NCP_96"),
            ("CP_1781_3570", "CP_1781"),
            ("Normal_1_12", "Normal_1"),
            ("137covid_patient1_SR_3", "137covid_patient1"),
            ("sub-12_ses-1", "sub-12"),
            ("sub-S03068_ses-E0_run-1_bp-chest_ct.nii.gz", "sub-S03068"),
        ] {
            assert_eq!(patient_before(name), Some(patient), "{name}");
        }
        for name in
            ["scan2", "12", "", "NCP_96", "ct_scan_1", "IMG_2020_12", "covid_1_2_3", "patient1", "x_1_2", "NCP__3"]
        {
            assert_eq!(patient_before(name), None, "{name}");
        }
    }
}
