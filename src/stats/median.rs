//! The value in the middle.

use std::cmp::Ordering;

/// The median; of an even number of values the larger of the two in the middle. `None` of no value.
pub(crate) fn upper_median<T: Copy>(mut values: Vec<T>, order: impl FnMut(&T, &T) -> Ordering) -> Option<T> {
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable_by(middle, order).1)
}

#[cfg(test)]
mod tests {
    use super::upper_median;

    #[test]
    fn of_two_in_the_middle_it_is_the_larger() {
        assert_eq!(upper_median(vec![4.0, 1.0, 3.0, 2.0], f32::total_cmp), Some(3.0));
        assert_eq!(upper_median(vec![7_u8, 9, 8], u8::cmp), Some(8));
        assert_eq!(upper_median(Vec::new(), u8::cmp), None);
    }
}
