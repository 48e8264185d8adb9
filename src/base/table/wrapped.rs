//! Tables as wide as a terminal.

/// The narrowest a column is made, in characters.
const NARROWEST: usize = 24;

/// Widths of columns, of which the widest of text are made narrower until a row fits; `fixed`: those that are not.
pub(super) fn fitted(mut widths: Vec<usize>, fixed: &[bool], at_most: usize) -> Vec<usize> {
    let between = 2 * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + between > at_most {
        let can_shrink = |column: &usize| !fixed[*column] && widths[*column] > NARROWEST;
        let Some(widest) = (0..widths.len()).filter(can_shrink).max_by_key(|column| widths[*column]) else { break };
        widths[widest] -= 1;
    }
    widths
}

/// A cell in lines of at most this many characters, broken at blanks and behind slashes; a longer piece stays in one.
pub(super) fn broken(cell: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut length = 0;
    for piece in cell.split_inclusive([' ', '/']) {
        let (whole, seen) = (piece.chars().count(), piece.trim_end().chars().count());
        if length > 0 && length + seen > width {
            lines.push(String::new());
            length = 0;
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(piece);
        }
        length += whole;
    }
    lines.iter_mut().for_each(|line| line.truncate(line.trim_end().len()));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_columns_of_text_give_way() {
        let fixed = [false, true, false, false];
        assert_eq!(fitted(vec![10, 40, 30, 100], &fixed, 200), [10, 40, 30, 100]);
        assert_eq!(fitted(vec![10, 40, 30, 100], &fixed, 160), [10, 40, 30, 74]);
        assert_eq!(fitted(vec![10, 40, 60, 100], &fixed, 150), [10, 40, 47, 47]);
        assert_eq!(fitted(vec![10, 40, 60, 100], &fixed, 50), [10, 40, 24, 24]);
        assert_eq!(fitted(Vec::new(), &[], 50), [0_usize; 0]);
    }

    #[test]
    fn cells_are_broken_at_blanks_and_slashes_and_lose_nothing() {
        assert_eq!(broken("a picture of ten", 10), ["a picture", "of ten"]);
        assert_eq!(broken("train/covid/ct_scan_1", 12), ["train/covid/", "ct_scan_1"]);
        assert_eq!(broken("é".repeat(30).as_str(), 10), ["é".repeat(30)]);
        assert_eq!(broken("", 10), [""]);
    }
}
