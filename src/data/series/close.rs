//! Parts things by numbers that are equal but for rounding.

/// Parts `items` where one of the `counted` numbers of each jumps by more than 1, so that all steps of a part are
/// smaller. Numbers are to be given in units of their tolerance.
///
/// Sorts by one number after another rather than comparing all pairs: a data set may hold thousands of stacks.
pub(super) fn parted<T>(items: Vec<T>, counted: usize, number: impl Fn(&T, usize) -> f64) -> Vec<Vec<T>> {
    let cut = |parts: Vec<Vec<T>>, index| {
        let parts = parts.into_iter();
        parts.flat_map(|part| parted_by_one(part, |item| number(item, index))).collect()
    };
    (0..counted).fold(vec![items], cut)
}

fn parted_by_one<T>(mut items: Vec<T>, number: impl Fn(&T) -> f64) -> Vec<Vec<T>> {
    let smallest = items.iter().map(&number).fold(f64::INFINITY, f64::min);
    let largest = items.iter().map(&number).fold(f64::NEG_INFINITY, f64::max);
    // Mostly all are alike, and need not be sorted.
    if largest - smallest <= 1.0 {
        return vec![items];
    }
    items.sort_by(|a, b| number(a).total_cmp(&number(b)));
    let mut parts: Vec<Vec<T>> = Vec::new();
    let mut last = f64::NEG_INFINITY;
    for item in items {
        let here = number(&item);
        match parts.last_mut() {
            Some(part) if here - last <= 1.0 => part.push(item),
            _ => parts.push(vec![item]),
        }
        last = here;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_where_any_number_jumps() {
        let items = vec![[0.0, 5.0], [0.9, 9.0], [7.0, 5.0], [0.5, 5.5]];
        let parts = parted(items, 2, |item, index| item[index]);
        assert_eq!(parts, [vec![[0.0, 5.0], [0.5, 5.5]], vec![[0.9, 9.0]], vec![[7.0, 5.0]]]);
        assert!(parted(Vec::<f64>::new(), 1, |item, _| *item).concat().is_empty());
    }
}
