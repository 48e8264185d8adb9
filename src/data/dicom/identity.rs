//! Whether a DICOM file still says who the patient is.

/// Words that removing software writes in the place of a name, in lower case: no person has one of these in the name.
const NOBODY: [&str; 10] = [
    "anon",
    "anonym",
    "anonymous",
    "anonymized",
    "anonymised",
    "phantom",
    "unknown",
    "deidentified",
    "removed",
    "redacted",
];
/// Words that name nobody where there is no other: a person may be called Case or No.
const PLACEHOLDERS: [&str; 25] = [
    "patient",
    "subject",
    "case",
    "study",
    "test",
    "name",
    "none",
    "no",
    "not",
    "qa",
    "available",
    "hidden",
    "de",
    "identified",
    "private",
    "deleted",
    "blank",
    "empty",
    "lung",
    "chest",
    "thorax",
    "ct",
    "covid",
    "scan",
    "image",
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

/// Two parts or more (PS3.5, 6.2.1: family name, given name, …) of letters alone, of which one may be a single letter.
fn is_of_a_person(name: &str) -> bool {
    // The first group of characters; ideographs and how they are spoken follow it.
    let parts = name.split('=').next().unwrap_or_default().split(['^', ' ', ',']);
    let parts: Vec<&str> = parts.map(str::trim).filter(|part| !part.is_empty()).collect();
    // Letters of other character sets are not known here by what they are, only as no ASCII.
    let is_word = |part: &str| part.chars().all(|c| c.is_alphabetic() || !c.is_ascii() || "-'.".contains(c));
    let is_long = |part: &&&str| part.chars().count() > 1 || !part.is_ascii();
    let is_one_of = |part: &str, words: &[&str]| words.contains(&part.to_lowercase().as_str());
    let is_filler = |part: &str| {
        let mut letters = part.chars();
        let first = letters.next();
        is_one_of(part, &PLACEHOLDERS) || part.chars().count() > 1 && letters.all(|letter| Some(letter) == first)
    };
    parts.iter().filter(|part| is_word(part)).count() >= 2
        && parts.iter().any(|part| is_word(part) && is_long(&part))
        && !parts.iter().any(|part| is_one_of(part, &NOBODY))
        && !parts.iter().filter(is_long).all(|part| is_filler(part) || !is_word(part))
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
        for name in [
            "Doe^Jane",
            "Doe^Jane^Q^Dr",
            "van der Berg^Eva",
            "O'Neil^Sean",
            "Doe Jane",
            "Doe^J",
            "DOE^JANE 4711",
            "No^Minsoo",
            "Case^Mary",
        ] {
            assert!(named(name), "{name}");
        }
        // A family name of one ideograph; Cyrillic letters of ISO_IR 144, read as those of Latin-1.
        for name in ["王^小明", "Петрова^Анна", "\u{bf}\u{d5}\u{e2}^\u{b0}\u{dd}"] {
            assert!(named(name), "{name}");
        }
        for nobody in
            ["XXXX^XXXX", "HIDDEN^HIDDEN", "Not^Available", "DE^IDENTIFIED", "LUNG^CT", "Test^Patient", "Case^A"]
        {
            assert!(!named(nobody), "{nobody}");
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
