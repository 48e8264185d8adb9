//! Columns of numbers: which ones are, and their points under each other.

/// What stands beside the numbers of a cell.
const BESIDE: [&str; 10] = ["to", "no", "error", "none", "right", "points", "LEAKING", "%", "*", "–"];
/// As wide as a digit, and as a point.
const DIGIT: char = '\u{2007}';
const POINT: char = '\u{2008}';

/// Whether a cell is a number, perhaps with unit and interval.
pub(super) fn is_number(cell: &str) -> bool {
    let is_plain = |word: &str| {
        word.trim_start_matches(['-', '+', '−']).starts_with(|c: char| c.is_ascii_digit())
            && word.chars().all(|c| c.is_ascii_digit() || "-+−.,e%".contains(c))
    };
    let mut words = cell.split([' ', '(', ')', '[', ']', ';', '/']).filter(|word| !word.is_empty());
    words.next().is_some_and(|word| is_plain(word) || word == "–")
        && words.all(|word| BESIDE.contains(&word) || is_plain(word))
}

/// The cells of a column with spaces where others have more digits behind the point, so that right-aligned the points are under
/// each other; only where all cells are single numbers.
pub(super) fn at_the_point(cells: &[&str]) -> Vec<String> {
    let places: Option<Vec<Option<usize>>> = cells.iter().map(|cell| places(cell)).collect();
    let most = places.iter().flatten().flatten().copied().max().unwrap_or(0);
    let padded = |(cell, places): (&&str, Option<usize>)| match places {
        Some(places) if places < most => {
            let number = cell.find(' ').unwrap_or(cell.len());
            let point = if places == 0 { Some(POINT) } else { None };
            let room = point.into_iter().chain(std::iter::repeat_n(DIGIT, most - places));
            format!("{}{}{}", &cell[..number], room.collect::<String>(), &cell[number..])
        }
        _ => (*cell).to_owned(),
    };
    match places {
        Some(places) => cells.iter().zip(places).map(padded).collect(),
        None => cells.iter().map(|cell| (*cell).to_owned()).collect(),
    }
}

/// The digits behind the point of a single number, perhaps in percent; `Some(None)` of an empty cell, `None` of anything else.
fn places(cell: &str) -> Option<Option<usize>> {
    if matches!(cell, "" | "–") {
        return Some(None);
    }
    let number = cell.strip_suffix(" %").unwrap_or(cell);
    let digits = number.trim_start_matches(['-', '+', '−']);
    let plain = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ',')
        && digits.matches('.').count() < 2;
    plain.then(|| Some(digits.split_once('.').map_or(0, |(_, behind)| behind.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_points_under_each_other() {
        assert_eq!(
            at_the_point(&["0.5", "12", "–", "1,234.25"]),
            ["0.5\u{2007}", "12\u{2008}\u{2007}\u{2007}", "–", "1,234.25"]
        );
        assert_eq!(at_the_point(&["5 %", "12.5 %"]), ["5\u{2008}\u{2007} %", "12.5 %"]);
        assert_eq!(at_the_point(&["1 to 2", "0.5"]), ["1 to 2", "0.5"]);
    }

    #[test]
    fn intervals_are_numbers_and_names_are_not() {
        for cell in [
            "0.812 to 0.953 (0.900)",
            "73.5 to 100.0 % (100.0; no error)",
            "1,234",
            "-1.5",
            "1e-5",
            "9/10",
            "+3.0 to +4.0 points (+3.5)",
        ] {
            assert!(is_number(cell), "{cell}");
        }
        for cell in ["2 scans", "fcn", "3.jpg", "512×512, rgb", "4 epochs of 12"] {
            assert!(!is_number(cell), "{cell}");
        }
    }
}
