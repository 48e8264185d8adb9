//! The order of a scan's pictures: by the number in their names that changes, or else by the names as a whole.

use super::new_scans::is_picture;
use super::{Manifest, Slice};
use crate::base::natural::numeric_key;
use std::collections::HashMap;

/// Numbers of slices follow each other: where half of the steps are larger than this, and differ, they are something else.
const LARGEST_STEP: u32 = 10;

/// What the order of a scan's slices follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OrderedBy {
    /// The number that changes from name to name.
    Number,
    /// The natural order of the whole names, and why.
    Names(String),
}

/// A number for each picture of a scan, in the given order, and where they are from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SliceOrder {
    pub(crate) numbers: Vec<u32>,
    pub(crate) by: OrderedBy,
}

/// A file's name without its ending.
pub(crate) fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// The words and the numbers of a name, by turns, without its ending.
struct NameParts<'a> {
    words: Vec<&'a str>,
    /// Digits without leading zeros.
    numbers: Vec<&'a str>,
}

impl<'a> NameParts<'a> {
    fn of(name: &'a str) -> Self {
        let mut rest = stem(name);
        let mut parts = Self { words: Vec::new(), numbers: Vec::new() };
        loop {
            let (word, tail) = rest.split_at(rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len()));
            parts.words.push(word);
            if tail.is_empty() {
                return parts;
            }
            let (digits, tail) = tail.split_at(tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len()));
            let number = digits.trim_start_matches('0');
            parts.numbers.push(if number.is_empty() { "0" } else { number });
            rest = tail;
        }
    }

    fn number(&self, field: usize) -> Option<u32> {
        self.numbers.get(field)?.parse().ok()
    }
}

/// The one number of a name as a position along the body: with what is before it but for its sign, and the digits after its point.
fn position(name: &str) -> Option<(&str, f64, usize, bool)> {
    let stem = stem(name);
    let begin = stem.find(|c: char| c.is_ascii_digit())?;
    let end = 1 + stem.rfind(|c: char| c.is_ascii_digit())?;
    let (before, number) = (&stem[..begin], &stem[begin..end]);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(fraction) {
        return None;
    }
    let is_negative = before.ends_with('-');
    let value: f64 = number.parse().ok()?;
    let value = if is_negative { -value } else { value };
    Some((before.strip_suffix(['-', '+']).unwrap_or(before), value, fraction.len(), is_negative))
}

/// The ranks of names that are positions such as `z-97.5` or `-30`: where points or signs say so. One number with a point may as
/// well be two numbers; it is a position where its first part changes, the second one has as many digits throughout, and no step is
/// far from the middle one. A `-` is a sign after one letter at most; in `img-1` it parts the words.
fn ranks_of_positions(names: &[&str]) -> Option<Vec<u32>> {
    let found = names.iter().map(|name| position(name)).collect::<Option<Vec<_>>>()?;
    let (prefix, _, digits, _) = *found.first()?;
    // A `-` after another mark is a sign: `slice_z=-35`, `pos_-35`.
    let is_marked = prefix.ends_with(['=', '_', ' ']);
    let has_words = prefix.chars().count() > 1 && !is_marked && found.iter().any(|(.., is_negative)| *is_negative);
    if found.iter().any(|(other, ..)| *other != prefix) || has_words {
        return None;
    }
    let values: Vec<f64> = found.iter().map(|(_, value, ..)| *value).collect();
    let is_decimal = digits > 0
        && found.iter().all(|(_, _, other, _)| *other == digits)
        && values.iter().any(|value| value.trunc() != values[0].trunc());
    let negative = found.iter().filter(|(.., is_negative)| *is_negative).count();
    let has_both_signs = (1..found.len()).contains(&negative) && found.iter().all(|(_, _, digits, _)| *digits == 0);
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut steps: Vec<f64> = order.windows(2).map(|pair| values[pair[1]] - values[pair[0]]).collect();
    steps.sort_by(f64::total_cmp);
    let middle = steps.get(steps.len() / 2)?;
    let are_even = *steps.first()? > 0.0 && *steps.last()? <= 12.0 * middle;
    if !are_even || !(is_decimal || has_both_signs) {
        return None;
    }
    let mut ranks = vec![0; values.len()];
    (0..).zip(order).for_each(|(rank, at)| ranks[at] = rank);
    Some(ranks)
}

/// Puts the files of a scan in the natural order of their names; pictures whose names are positions in the order of these, and
/// after them what is no picture.
pub(super) fn sort_by_name<T>(files: &mut [T], name: impl Fn(&T) -> &str) {
    files.sort_by_cached_key(|file| (numeric_key(name(file)), name(file).to_owned()));
    let pictures: Vec<&str> = files.iter().map(&name).filter(|name| is_picture(name)).collect();
    if let Some(ranks) = ranks_of_positions(&pictures).filter(|ranks| ranks.len() > 1) {
        let rank: HashMap<String, u32> = pictures.into_iter().map(str::to_owned).zip(ranks).collect();
        files.sort_by_key(|file| rank.get(name(file)).copied().unwrap_or(u32::MAX));
    }
}

impl SliceOrder {
    /// Of the names of a scan's pictures, which are in natural order.
    pub(crate) fn of(names: &[&str]) -> Self {
        if names.len() > 1
            && let Some(numbers) = ranks_of_positions(names)
        {
            return Self { numbers, by: OrderedBy::Number };
        }
        let parts: Vec<NameParts<'_>> = names.iter().map(|name| NameParts::of(name)).collect();
        let by_names = |why: String| Self { numbers: (0..names.len() as u32).collect(), by: OrderedBy::Names(why) };
        let Some(first) = parts.first() else { return Self { numbers: Vec::new(), by: OrderedBy::Number } };
        let fields = first.numbers.len();
        if names.len() == 1 {
            let number = fields.checked_sub(1).and_then(|last| first.number(last)).unwrap_or(0);
            return Self { numbers: vec![number], by: OrderedBy::Number };
        }
        if let Some(other) = parts.iter().position(|of| of.words != first.words) {
            return by_names(format!("{} and {} differ in more than a number", names[0], names[other]));
        }
        if fields == 0 {
            return by_names(format!("there is no number in {}", names[0]));
        }
        let changes = |field: &usize| parts.iter().any(|of| of.numbers[*field] != first.numbers[*field]);
        let changing: Vec<usize> = (0..fields).filter(changes).collect();
        let numbers = |field: usize| parts.iter().map(|of| of.number(field)).collect::<Option<Vec<u32>>>();
        let chosen = match changing[..] {
            [] => numbers(fields - 1),
            [only] => numbers(only),
            // Several that grow together say the same of the order: of these the one with the smallest steps.
            _ => changing
                .iter()
                .filter_map(|&field| numbers(field))
                .filter(|numbers| numbers.windows(2).all(|pair| pair[0] < pair[1]))
                .min_by_key(|numbers| numbers[numbers.len() - 1] - numbers[0]),
        };
        match chosen {
            Some(numbers) => match large_steps(&numbers) {
                Some(step) => by_names(format!("its numbers lie {step} apart and more: others than those of slices?")),
                None => Self { numbers, by: OrderedBy::Number },
            },
            None if changing.len() > 1 => {
                let last = names[names.len() - 1];
                by_names(format!("{} numbers change from {} to {last}", changing.len(), names[0]))
            }
            None => by_names(format!("the number in {} is too long", names[0])),
        }
    }
}

/// The middle one of the steps, where they are not those from slice to slice.
fn large_steps(numbers: &[u32]) -> Option<u32> {
    let mut steps: Vec<u32> = numbers.windows(2).filter_map(|pair| pair[1].checked_sub(pair[0])).collect();
    steps.sort_unstable();
    let middle = *steps.get(steps.len() / 2)?;
    // Equal steps are a choice of slices.
    (middle > LARGEST_STEP && steps.first() != steps.last()).then_some(middle)
}

/// The number of a picture by its name alone; `None` for all else, `._42.jpg` included.
pub(super) fn number_alone(file: &str) -> Option<u32> {
    is_picture(file).then(|| SliceOrder::of(&[file]).numbers[0])
}

/// A scan's order as its pictures' names give it, and the numbers that several of them have, with their names.
pub(crate) struct NamedOrder {
    /// Of the scan.
    pub(crate) scan: usize,
    pub(crate) by: OrderedBy,
    pub(crate) repeated: Vec<(u32, Vec<String>)>,
}

impl Manifest {
    /// The order of every scan of pictures. Slices of scanners' files are ordered by position.
    pub(crate) fn orders(&self) -> Vec<NamedOrder> {
        let of_scan = |slices: &[Slice]| {
            let pictures: Vec<&str> =
                slices.iter().filter(|slice| slice.number.is_some()).map(|slice| slice.file.as_str()).collect();
            let order = SliceOrder::of(&pictures);
            let mut repeated: Vec<(u32, Vec<String>)> = Vec::new();
            for (at, pair) in order.numbers.windows(2).enumerate().filter(|(_, pair)| pair[0] == pair[1]) {
                match repeated.last_mut() {
                    Some((number, names)) if *number == pair[0] => names.push(pictures[at + 1].to_owned()),
                    _ => repeated.push((pair[0], vec![pictures[at].to_owned(), pictures[at + 1].to_owned()])),
                }
            }
            NamedOrder { scan: slices[0].scan, by: order.by, repeated }
        };
        let of_scans = self.slices.chunk_by(|a, b| a.scan == b.scan);
        of_scans.filter(|slices| self.scan_of(&slices[0]).acquisition.is_none()).map(of_scan).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of these names, which must be in natural order, and why they are doubtful.
    fn ordered(names: &[&str]) -> (Vec<u32>, String) {
        let mut sorted = names.to_vec();
        sort_by_name(&mut sorted, |name| name);
        assert_eq!(sorted, names);
        let order = SliceOrder::of(names);
        let why = match order.by {
            OrderedBy::Number => String::new(),
            OrderedBy::Names(why) => why,
        };
        (order.numbers, why)
    }

    #[test]
    fn the_number_that_changes_is_that_of_the_slice() {
        let numbers = |names: &[&str]| {
            let (numbers, why) = ordered(names);
            assert_eq!(why, "", "{names:?}");
            numbers
        };
        assert_eq!(numbers(&["0.jpg", "1.JPEG", "002.png"]), [0, 1, 2]);
        assert_eq!(numbers(&["IM-0001-0001.jpg", "IM-0001-0002.jpg", "IM-0001-0010.jpg"]), [1, 2, 10]);
        assert_eq!(numbers(&["Covid (3).png", "Covid (12).png"]), [3, 12]);
        assert_eq!(numbers(&["1-004.jpg", "1-005.jpg"]), [4, 5]);
        assert_eq!(numbers(&["NCP_96_1328_0005.png", "NCP_96_1328_0006.png"]), [5, 6]);
        assert_eq!(numbers(&["3_of_40.jpg", "4_of_40.jpg"]), [3, 4]);
        // Positions along the body.
        assert_eq!(numbers(&["-30.png", "-5.png", "0.png", "25.png"]), [0, 1, 2, 3]);
        assert_eq!(numbers(&["z-98.5.png", "z-96.0.png", "z2.5.png", "z12.0.png"]), [0, 1, 2, 3]);
        assert_eq!(numbers(&["z-5.0.png", "z+0.0.png", "z+5.0.png"]), [0, 1, 2]);
        assert_eq!(numbers(&["002.5.png", "005.0.png", "007.5.png"]), [0, 1, 2]);
        let series: Vec<String> =
            (1..3).flat_map(|of| (1..31).map(move |image| format!("{of}.{image:02}.png"))).collect();
        assert!(ranks_of_positions(&series.iter().map(String::as_str).collect::<Vec<_>>()).is_none());
        assert_eq!(ranks_of_positions(&["img-1.png", "img-2.png", "img3.png"]), None);
        // Two numbers, not one with a point.
        assert_eq!(numbers(&["3.1.png", "3.2.png", "3.10.png"]), [1, 2, 10]);
        // Both numbers say the same.
        assert_eq!(numbers(&["1_z105.png", "2_z110.png", "3_z115.png"]), [1, 2, 3]);
        assert_eq!(numbers(&["01.jpg", "1.jpg", "1.png", "2.png"]), [1, 1, 1, 2]);
        assert_eq!(numbers(&["slice-1.2.840.10008.99999999999999999999.7.jpg"]), [7]);
        assert_eq!(numbers(&["axial.jpg"]), [0]);
        // Every twentieth slice.
        assert_eq!(numbers(&["0.jpg", "20.jpg", "40.jpg"]), [0, 20, 40]);
        assert_eq!(numbers(&[]), Vec::<u32>::new());
    }

    #[test]
    fn a_doubtful_order_says_why() {
        let (numbers, why) = ordered(&["1-004.jpg", "7.JPG", "8.jpeg", "slice_002.jpg"]);
        assert_eq!((numbers, why.as_str()), (vec![0, 1, 2, 3], "1-004.jpg and 7.JPG differ in more than a number"));
        let two = ordered(&["IM-0001-0001.jpg", "IM-0001-0002.jpg", "IM-0002-0001.jpg"]);
        assert_eq!(two, (vec![0, 1, 2], "2 numbers change from IM-0001-0001.jpg to IM-0002-0001.jpg".to_owned()));
        assert_eq!(ordered(&["a.jpg", "a.png"]).1, "there is no number in a.jpg");
        let random = ["p101.png", "p350.png", "p390.png", "p1203.png"];
        assert_eq!(
            ordered(&random),
            (vec![0, 1, 2, 3], "its numbers lie 249 apart and more: others than those of slices?".to_owned())
        );
        assert_eq!(ordered(&["99999999998.jpg", "99999999999.jpg"]).1, "the number in 99999999998.jpg is too long");
    }

    #[test]
    fn only_pictures_have_a_number() {
        assert_eq!(
            (number_alone("42.jpg"), number_alone("a9.JPEG"), number_alone("x.tiff")),
            (Some(42), Some(9), Some(0))
        );
        for junk in ["._9.jpg", "9.txt", ".jpg", "jpg", "Thumbs.db"] {
            assert_eq!(number_alone(junk), None, "{junk}");
        }
    }
}
