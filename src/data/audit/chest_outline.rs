//! Body, lungs and the air around in a slice of 64×64: enough to say what a slice shows, and quick enough for every one.
//!
//! The steps are those of [`LungMask`](crate::data::lungs::LungMask), without its corrections of the outline.

use super::fields::{FieldPart, FieldParts, Fields, bits, both, bounds, count};
use super::thumbnail::Thumbnail;

const SIDE: usize = Thumbnail::SIDE;
/// Fields of a slice.
const FIELDS: usize = SIDE * SIDE;
/// The grey levels of a picture with less between air and tissue are noise.
const CONTRAST: f32 = 24.0;
/// A grey level counts for this share of all fields at most when the threshold is chosen: the black around a round field
/// of view must not outweigh the chest.
const COMMON: f32 = 0.1;
/// Smaller dark parts of the body are vessels' or the bowel's.
const SMALL: usize = 12;

/// Where body, lungs and the air around lie.
pub(super) struct ChestOutline {
    /// Mean level of the dark and of the bright fields, and the threshold half way between.
    pub(super) dark: f32,
    pub(super) bright: f32,
    pub(super) threshold: f32,
    /// Dark, and connected to the border by what is dark.
    pub(super) outside: Fields,
    /// The largest part of the rest, with all that it surrounds.
    pub(super) body: Fields,
    /// Dark parts of the body, the smallest left out.
    pub(super) lungs: Fields,
    /// Left, right, top and bottom edge of the body; right and bottom are the first behind it.
    pub(super) around: [usize; 4],
}

impl ChestOutline {
    /// `None` for a picture without contrast.
    pub(super) fn of(thumbnail: &Thumbnail) -> Option<Self> {
        let (dark, bright) = two_levels(thumbnail);
        if bright - dark < CONTRAST {
            return None;
        }
        let threshold = f32::midpoint(dark, bright);
        let is_dark: Fields = thumbnail.0.map(|row| bits(|x| row[x] < threshold));
        let dark_parts = FieldParts::of(&is_dark);
        let outside = dark_parts.fields(|_, part| part.touches_border());
        let rest = FieldParts::of(&outside.map(|row| !row));
        let (largest, &FieldPart { bounds: around, .. }) =
            rest.each().iter().enumerate().max_by_key(|(_, part)| part.area)?;
        let body = rest.fields(|number, _| number == largest);
        let within = dark_parts.fields(|_, part| !part.touches_border() && part.area >= SMALL);
        let lungs = both(&within, &body);
        Some(Self { dark, bright, threshold, outside, body, lungs, around })
    }

    /// Share of the picture that the body covers.
    pub(super) fn body_share(&self) -> f32 {
        count(&self.body) as f32 / FIELDS as f32
    }

    /// Share of the picture that the air around covers.
    pub(super) fn outside_share(&self) -> f32 {
        count(&self.outside) as f32 / FIELDS as f32
    }

    /// Share of the body that the lungs cover.
    pub(super) fn lung_share(&self) -> f32 {
        count(&self.lungs) as f32 / count(&self.body).max(1) as f32
    }

    /// Enough of the lungs to judge their shape.
    pub(super) fn shows_lungs(&self) -> bool {
        self.lung_share() >= 0.08 && self.body_share() >= 0.1
    }

    /// Lungs within a body within air.
    pub(super) fn is_chest_in_air(&self) -> bool {
        self.shows_lungs() && self.outside_share() >= 0.08
    }

    /// Share of the lungs on the side of the body that has less of them, 0 to 0.5.
    pub(super) fn smaller_lung(&self) -> f32 {
        let left = bits(|x| x < usize::midpoint(self.around[0], self.around[1]));
        let (all, left) = (count(&self.lungs), count(&self.lungs.map(|row| row & left)));
        left.min(all - left) as f32 / all.max(1) as f32
    }

    /// Width and height that the lungs take up.
    pub(super) fn lung_extent(&self) -> [usize; 2] {
        bounds(&self.lungs).map_or([0; 2], |[left, right, top, bottom]| [right - left, bottom - top])
    }

    /// Share of dark fields in the middle of the body, where an axial slice of the chest shows lungs.
    pub(super) fn dark_inside(&self, thumbnail: &Thumbnail) -> f32 {
        let [left, right, top, bottom] = self.around;
        let middle = |from: usize, to: usize| from + (to - from) / 5..to - (to - from) / 5;
        let fields = || middle(top, bottom).flat_map(|y| middle(left, right).map(move |x| thumbnail.0[y][x]));
        fields().filter(|level| *level < self.threshold).count() as f32 / fields().count().max(1) as f32
    }

    /// Median level of the tissue away from its edges.
    pub(super) fn tissue(&self, thumbnail: &Thumbnail) -> Option<u8> {
        let tissue: Fields = std::array::from_fn(|y| self.body[y] & bits(|x| thumbnail.0[y][x] >= self.threshold));
        // What lies at the picture's border counts as within.
        let row = |y: Option<usize>| y.and_then(|y| tissue.get(y)).copied().unwrap_or(!0);
        let within: Fields = std::array::from_fn(|y| {
            let beside = (tissue[y] << 1 | 1) & (tissue[y] >> 1 | 1 << (SIDE - 1));
            tissue[y] & beside & row(y.checked_sub(1)) & row(Some(y + 1))
        });
        median(thumbnail, &within)
    }

    /// Median level of the lungs.
    pub(super) fn lung_level(&self, thumbnail: &Thumbnail) -> Option<u8> {
        median(thumbnail, &self.lungs)
    }

    /// The body is cut off straight above and below, and air is beside it: how a coronal or sagittal slice ends where
    /// the scan ended. An axial slice that is cropped is cut off at the sides, too.
    pub(super) fn is_cut_above_and_below(&self) -> bool {
        let [left, right, top, bottom] = self.around;
        if self.body_share() < 0.12 || (right - left) as f32 >= 0.97 * SIDE as f32 {
            return false;
        }
        let extent = |row: u64| (SIDE as u32 - row.leading_zeros()).saturating_sub(row.trailing_zeros()) as f32;
        let across = |y: usize| extent(self.body[y]);
        let down = |x: usize| extent(bits(|y| self.body[y] >> x & 1 == 1));
        let widest = (top..bottom).map(across).fold(0.0, f32::max);
        let highest = (left..right).map(down).fold(0.0, f32::max);
        let ends = [across(top), across(bottom - 1)];
        ends[0].min(ends[1]) > 0.3 * widest
            && ends[0].max(ends[1]) > 0.6 * widest
            && down(left).min(down(right - 1)) < 0.6 * highest
    }
}

/// A grey level as a place in 256. By way of a byte, since a float becomes one in fewer instructions than a `usize`.
fn rounded(level: f32) -> usize {
    usize::from((level + 0.5) as u8)
}

/// `None` of fewer than 60 fields: too few to stand for a tissue.
fn median(thumbnail: &Thumbnail, of: &Fields) -> Option<u8> {
    let all = count(of);
    if all < 60 {
        return None;
    }
    let mut counts = [0_usize; 256];
    for (levels, row) in thumbnail.0.iter().zip(of) {
        let mut rest = *row;
        while rest != 0 {
            counts[rounded(levels[rest.trailing_zeros() as usize])] += 1;
            rest &= rest - 1;
        }
    }
    let mut seen = 0;
    let reaches_half = |n: &usize| {
        seen += n;
        2 * seen > all
    };
    counts.iter().position(reaches_half).map(|level| level as u8)
}

/// Levels by which fields of the padding differ, and by which air is brighter at the least.
const PADDING: f32 = 3.0;
const AIR_ABOVE_PADDING: f32 = 8.0;

/// The level of what lies around a round field of view, where it is darker than anything within, as in exports of all of a scanner's
/// values: many of MosMed's.
fn padding_around_disc(thumbnail: &Thumbnail) -> Option<f32> {
    const LAST: usize = SIDE - 1;
    let (levels, middle) = (&thumbnail.0, LAST as f32 / 2.0);
    let padding = levels[0][0];
    let is_padding = |level: f32| (level - padding).abs() <= PADDING;
    if ![levels[0][LAST], levels[LAST][0], levels[LAST][LAST]].into_iter().all(is_padding) {
        return None;
    }
    // Fields around the disc and in it, and of each those that are not as they should be.
    let (mut around, mut within) = ([0; 2], [0; 2]);
    for (y, row) in levels.iter().enumerate() {
        for (x, level) in row.iter().enumerate() {
            let from_middle = (x as f32 - middle).hypot(y as f32 - middle);
            if from_middle > middle + 2.0 {
                around = [around[0] + 1, around[1] + usize::from(!is_padding(*level))];
            } else if from_middle < middle - 0.5 {
                within = [within[0] + 1, within[1] + usize::from(*level <= padding + AIR_ABOVE_PADDING)];
            }
        }
    }
    (20 * around[1] <= around[0] && 50 * within[1] <= within[0]).then_some(padding)
}

/// Mean level of the dark and of the bright fields, divided as Otsu does (IEEE Trans. SMC 9, 1979).
fn two_levels(thumbnail: &Thumbnail) -> (f32, f32) {
    let mut counts = [0.0_f32; 256];
    // Neighbours are mostly equal: counted in different tables, they need not wait for each other.
    let mut tables = [[0_u32; 256]; 4];
    for four in thumbnail.0.as_flattened().as_chunks::<4>().0 {
        for (table, level) in tables.iter_mut().zip(four) {
            table[rounded(*level)] += 1;
        }
    }
    for (level, count) in counts.iter_mut().enumerate() {
        let all: u32 = tables.iter().map(|table| table[level]).sum();
        *count = (all as f32).min(COMMON * FIELDS as f32);
    }
    if let Some(padding) = padding_around_disc(thumbnail) {
        // Else the greatest step may be that from the padding to air.
        counts[..=rounded(padding + PADDING).min(255)].fill(0.0);
    }
    let weighted = |(level, count): (usize, &f32)| level as f32 * count;
    let (all, sum) = (counts.iter().sum::<f32>(), counts.iter().enumerate().map(weighted).sum::<f32>());
    let (mut below, mut sum_below) = (0.0, 0.0);
    let (mut best, mut levels) = (0.0, (0.0, 0.0));
    for (level, count) in counts.iter().enumerate() {
        (below, sum_below) = (below + count, sum_below + level as f32 * count);
        let above = all - below;
        if below <= 0.0 || above <= 0.0 {
            continue;
        }
        let (dark, bright) = (sum_below / below, (sum - sum_below) / above);
        let between = below / all * (above / all) * (bright - dark).powi(2);
        if between > best {
            (best, levels) = (between, (dark, bright));
        }
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(level: impl Fn(usize, usize) -> f32) -> ChestOutline {
        let thumbnail = Thumbnail(std::array::from_fn(|y| std::array::from_fn(|x| level(x, y))));
        ChestOutline::of(&thumbnail).expect("contrast")
    }

    #[test]
    fn air_in_a_round_field_of_view_is_no_body() {
        // Padding, air, a body with two lungs: levels of an export of -2048 to 1000 HU.
        let outline = drawn(|x, y| {
            let from = |cx: f32, cy: f32, rx: f32, ry: f32| ((x as f32 - cx) / rx).hypot((y as f32 - cy) / ry);
            match () {
                () if from(31.5, 31.5, 32.0, 32.0) > 1.0 => 0.0,
                () if from(22.0, 32.0, 6.0, 9.0) < 1.0 || from(42.0, 32.0, 6.0, 9.0) < 1.0 => 100.0,
                () if from(32.0, 32.0, 25.0, 18.0) < 1.0 => 174.0,
                () => 92.0,
            }
        });
        assert!((100.0..170.0).contains(&outline.threshold), "{}", outline.threshold);
        assert!(outline.is_chest_in_air() && (0.2..0.3).contains(&outline.lung_share()), "{}", outline.lung_share());
    }

    #[test]
    fn air_body_and_lungs_are_told_apart() {
        // A ring around two squares, one of them with a way out to the right.
        let is_in = |x: usize, y: usize, [left, right, top, bottom]: [usize; 4]| {
            (left..right).contains(&x) && (top..bottom).contains(&y)
        };
        let outline = drawn(|x, y| match () {
            () if is_in(x, y, [14, 24, 20, 40]) || is_in(x, y, [40, 64, 30, 32]) => 30.0,
            () if is_in(x, y, [4, 60, 10, 50]) => 200.0,
            () => 0.0,
        });
        assert_eq!(outline.around, [4, 60, 10, 50]);
        assert_eq!((count(&outline.lungs), outline.lung_extent()), (200, [10, 20]));
        assert_eq!(count(&outline.body), 56 * 40 - 20 * 2);
        assert_eq!(count(&outline.outside), 64 * 64 - 56 * 40 + 20 * 2);
        assert_eq!(outline.smaller_lung(), 0.0);
        assert!(outline.is_chest_in_air() && !outline.is_cut_above_and_below());
        assert!(ChestOutline::of(&Thumbnail([[7.0; SIDE]; SIDE])).is_none());
    }
}
