//! Whether a DICOM file still says who the patient is.

/// Words of names that removing software writes in the place of a name, in lower case.
const NOBODY: [&str; 18] = [
    "anon",
    "anonym",
    "anonymous",
    "anonymized",
    "anonymised",
    "patient",
    "subject",
    "case",
    "study",
    "test",
    "phantom",
    "unknown",
    "deidentified",
    "removed",
    "name",
    "none",
    "no",
    "qa",
];

/// What of Patient's Name (0010,0010) and Patient's Birth Date (0010,0030) names a person; `None` where Patient Identity Removed
/// (0012,0062) says that they do not, and of numbers, single words and the first of January, which stand for nobody in public
/// data sets.
pub(super) fn identity(name: Option<&str>, birth: Option<&str>, removed: Option<&str>) -> Option<&'static str> {
    if removed.is_some_and(|removed| removed.trim().eq_ignore_ascii_case("yes")) {
        return None;
    }
    match (name.is_some_and(is_of_a_person), birth.is_some_and(is_a_birthday)) {
        (true, true) => Some("the patient's name and birth date"),
        (true, false) => Some("the patient's name"),
        (false, true) => Some("the patient's birth date"),
        (false, false) => None,
    }
}

/// Two parts or more (PS3.5, 6.2.1: family name, given name, …) of letters alone.
fn is_of_a_person(name: &str) -> bool {
    // The first group of characters; ideographs and how they are spoken follow it.
    let parts: Vec<&str> = name.split('=').next().unwrap_or_default().split(['^', ' ', ',']).collect();
    let parts = || parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty());
    let is_word = |part: &str| part.chars().count() > 1 && part.chars().all(|c| c.is_alphabetic() || "-'.".contains(c));
    parts().filter(|part| is_word(part)).count() >= 2
        && parts().all(|part| !part.chars().any(|c| c.is_ascii_digit()))
        && !parts().any(|part| NOBODY.contains(&part.to_lowercase().as_str()))
}

fn is_a_birthday(date: &str) -> bool {
    let digits: String = date.chars().filter(char::is_ascii_digit).collect();
    digits.len() == 8 && !digits.ends_with("0101") && !digits.ends_with("0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn persons_are_named_by_two_words_or_a_day() {
        let named = |name| identity(Some(name), None, None).is_some();
        for name in ["Doe^Jane", "Doe^Jane^Q^Dr", "van der Berg^Eva", "O'Neil^Sean", "Doe Jane"] {
            assert!(named(name), "{name}");
        }
        for nobody in
            ["", "A0001", "Lung_Dx-A0001", "Anonymous^Patient", "Case^12", "P001^", "Jane", "COVID-19-AR-16406488^1"]
        {
            assert!(!named(nobody), "{nobody}");
        }
        let born = |date| identity(None, Some(date), None);
        assert_eq!(born("19510317"), Some("the patient's birth date"));
        assert_eq!(["", "1951", "19510101", "19000101"].map(born), [None; 4]);
        assert_eq!(identity(Some("Doe^Jane"), Some("19510317"), Some("NO")), Some("the patient's name and birth date"));
        assert_eq!(identity(Some("Doe^Jane"), Some("19510317"), Some("YES")), None);
    }
}
