//! Fields of a slice of 64×64 as bits, and their connected parts.

use super::thumbnail::Thumbnail;

const SIDE: usize = Thumbnail::SIDE;

/// One bit a field: rows from above, the lowest bit at the left.
pub(super) type Fields = [u64; SIDE];

/// The bits of a row of fields.
#[inline(always)]
pub(super) fn bits(is: impl Fn(usize) -> bool) -> u64 {
    // A loop is vectorised, `from_fn` calls for each.
    let mut on = [0; SIDE];
    for (x, on) in on.iter_mut().enumerate() {
        *on = u8::from(is(x));
    }
    packed(&on)
}

/// One bit for each byte that is 1 or 0, the lowest for the first.
fn packed(on: &[u8; SIDE]) -> u64 {
    // The product moves the lowest bit of byte i to bit 56 + i.
    let eight = |row: u64, bytes: &[u8; 8]| {
        row >> 8 | u64::from_le_bytes(*bytes).wrapping_mul(0x0102_0408_1020_4080) & 0xff00_0000_0000_0000
    };
    on.as_chunks().0.iter().fold(0, eight)
}

pub(super) fn both(a: &Fields, b: &Fields) -> Fields {
    std::array::from_fn(|y| a[y] & b[y])
}

pub(super) fn count(fields: &Fields) -> usize {
    fields.iter().map(|row| row.count_ones() as usize).sum()
}

/// Left, right, top and bottom edge.
pub(super) fn bounds(fields: &Fields) -> Option<[usize; 4]> {
    let across = fields.iter().fold(0, |all, row| all | row);
    let (top, bottom) = (fields.iter().position(|row| *row > 0)?, fields.iter().rposition(|row| *row > 0)?);
    Some([across.trailing_zeros() as usize, SIDE - across.leading_zeros() as usize, top, bottom + 1])
}

/// Fields beside each other in a row, and the part that they belong to.
struct FieldRun {
    row: usize,
    fields: u64,
    part: usize,
}

/// Fields that are connected along rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FieldPart {
    pub(super) area: usize,
    /// Left, right, top and bottom edge.
    pub(super) bounds: [usize; 4],
}

impl FieldPart {
    pub(super) fn touches_border(&self) -> bool {
        let [left, right, top, bottom] = self.bounds;
        left == 0 || top == 0 || right == SIDE || bottom == SIDE
    }
}

/// All connected parts, from above.
pub(super) struct FieldParts {
    runs: Vec<FieldRun>,
    parts: Vec<FieldPart>,
}

impl FieldParts {
    pub(super) fn of(fields: &Fields) -> Self {
        let mut runs: Vec<FieldRun> = Vec::with_capacity(4 * SIDE);
        // Of each run one before it of the same part, or itself.
        let mut joined: Vec<usize> = Vec::with_capacity(4 * SIDE);
        let mut above = 0;
        for (row, mut rest) in fields.iter().copied().enumerate() {
            let first = runs.len();
            while rest != 0 {
                // The sum carries through the lowest run.
                let sum = rest.wrapping_add(lowest(rest));
                let (number, run) = (runs.len(), rest & !sum);
                rest &= sum;
                joined.push(number);
                // Those of the row above that end before this one begins end before the next ones, too.
                while above < first && runs[above].fields < lowest(run) {
                    above += 1;
                }
                let touching = (above..first).take_while(|other| lowest(runs[*other].fields) <= run);
                touching
                    .filter(|other| runs[*other].fields & run != 0)
                    .for_each(|other| join(&mut joined, other, number));
                runs.push(FieldRun { row, fields: run, part: number });
            }
            above = first;
        }
        let mut parts: Vec<FieldPart> = Vec::new();
        for number in 0..runs.len() {
            let before = joined[number];
            let run = &runs[number];
            let (row, left, right) =
                (run.row, run.fields.trailing_zeros() as usize, SIDE - run.fields.leading_zeros() as usize);
            let part = if before == number { parts.len() } else { runs[before].part };
            if before == number {
                parts.push(FieldPart { area: 0, bounds: [left, right, row, row + 1] });
            }
            let of = &mut parts[part];
            of.area += right - left;
            of.bounds = [of.bounds[0].min(left), of.bounds[1].max(right), of.bounds[2], row + 1];
            runs[number].part = part;
        }
        Self { runs, parts }
    }

    pub(super) fn each(&self) -> &[FieldPart] {
        &self.parts
    }

    /// The fields of those parts for which `is` says so, by their number and what they are.
    pub(super) fn fields(&self, is: impl Fn(usize, &FieldPart) -> bool) -> Fields {
        let chosen: Vec<bool> = self.parts.iter().enumerate().map(|(number, part)| is(number, part)).collect();
        let mut fields = [0; SIDE];
        self.runs.iter().filter(|run| chosen[run.part]).for_each(|run| fields[run.row] |= run.fields);
        fields
    }
}

fn lowest(row: u64) -> u64 {
    row & row.wrapping_neg()
}

/// Joins the parts of two runs: the first run of both stands for them.
fn join(joined: &mut [usize], one: usize, other: usize) {
    let first = |joined: &[usize], mut run: usize| {
        while joined[run] != run {
            run = joined[run];
        }
        run
    };
    let (a, b) = (first(joined, one), first(joined, other));
    joined[a.max(b)] = a.min(b);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_wind_and_are_complete() {
        // A spiral of one part, two hooks that meet below, and a field of its own.
        let mut members = [0_u64; SIDE];
        members[1] = 0x7ffe;
        (2..9).for_each(|y| members[y] = 1 << 14);
        members[9] = 0x7ff0;
        (4..9).for_each(|y| members[y] |= 1 << 4);
        members[20] = 0b1_0000_0001;
        members[21] = 0b1_0001_0001;
        members[22] = 0b1_1111_1111;
        members[40] = 1 << 63;
        let parts = FieldParts::of(&members);
        let found: Vec<FieldPart> = parts.each().to_vec();
        let part = |area, bounds| FieldPart { area, bounds };
        let spiral = part(14 + 7 + 11 + 5, [1, 15, 1, 10]);
        assert_eq!(found, [spiral, part(2 + 3 + 9, [0, 9, 20, 23]), part(1, [63, 64, 40, 41])]);
        let kept = parts.fields(|number, part| number == 1 || part.touches_border());
        assert_eq!((count(&kept), bounds(&kept)), (15, Some([0, 64, 20, 41])));
        assert_eq!(FieldParts::of(&[!0; SIDE]).each(), [part(SIDE * SIDE, [0, SIDE, 0, SIDE])]);
        assert!(FieldParts::of(&[0; SIDE]).each().is_empty());
    }

    #[test]
    fn the_lowest_bit_is_the_first_field() {
        assert_eq!(bits(|x| x == 0 || x == 9 || x == 63), 1 | 1 << 9 | 1 << 63);
        assert_eq!((bits(|_| true), bits(|x| x % 2 == 1)), (!0, 0xaaaa_aaaa_aaaa_aaaa));
    }
}
