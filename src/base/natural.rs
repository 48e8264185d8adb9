//! The natural order of names: `2.jpg` before `10.jpg`.

/// A name as runs of digits and of other letters.
pub(crate) type NumericKey = Vec<(u64, String)>;

/// Orders `2.jpg` before `10.jpg`: runs of digits compare as numbers.
pub(crate) fn numeric_key(name: &str) -> NumericKey {
    let mut key = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let text = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (text, tail) = tail.split_at(text);
        // Text before the first digit sorts by itself: a missing number counts as the largest.
        key.push((number.parse().unwrap_or(u64::MAX), text.to_owned()));
        rest = tail;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_numbers() {
        let mut names = ["10.jpg", "2.jpg", "ct_scan_10", "ct_scan_9", "0.jpg", "._9.jpg"];
        names.sort_by_cached_key(|name| numeric_key(name));
        assert_eq!(names, ["0.jpg", "2.jpg", "10.jpg", "._9.jpg", "ct_scan_9", "ct_scan_10"]);
    }
}
