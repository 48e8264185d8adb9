//! The sixteen ways in which a picture can be mirrored, turned by right angles and inverted.

use super::super::pixel_measures::{DESCRIPTOR, Descriptor, zigzag};
use super::super::samples::Small;
use super::super::thumbnail::Thumbnail;
use std::sync::LazyLock;

const SIDE: usize = Thumbnail::SIDE;

/// A rectangle in a reduced slice: left, top, right, bottom, in fields from its upper left corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SlicePart(pub(super) [f32; 4]);

/// Rows become columns, then their order is reversed, then dark becomes bright.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::data::audit) struct Symmetry {
    transposed: bool,
    rows_reversed: bool,
    columns_reversed: bool,
    inverted: bool,
}

/// For each symmetry the frequency that comes to each place, and its factor.
static ORIGINS: LazyLock<[[(usize, f32); DESCRIPTOR]; Symmetry::COUNT]> =
    LazyLock::new(|| std::array::from_fn(|number| Symmetry::number(number).origins()));

impl Symmetry {
    pub(in crate::data::audit) const ORIGINAL: Self = Self::number(0);

    pub(in crate::data::audit) const COUNT: usize = 16;

    pub(in crate::data::audit) const fn number(number: usize) -> Self {
        Self {
            transposed: number & 8 != 0,
            rows_reversed: number & 4 != 0,
            columns_reversed: number & 2 != 0,
            inverted: number & 1 != 0,
        }
    }

    /// Width and height of a picture that was turned.
    pub(super) fn size(self, (width, height): (u32, u32)) -> (u32, u32) {
        if self.transposed { (height, width) } else { (width, height) }
    }

    /// The one that leads back.
    pub(in crate::data::audit) fn inverse(self) -> Self {
        let [rows_reversed, columns_reversed] = if self.transposed {
            [self.columns_reversed, self.rows_reversed]
        } else {
            [self.rows_reversed, self.columns_reversed]
        };
        Self { rows_reversed, columns_reversed, ..self }
    }

    /// This one after another.
    pub(in crate::data::audit) fn after(self, first: Self) -> Self {
        let [rows, columns] = if self.transposed {
            [first.columns_reversed, first.rows_reversed]
        } else {
            [first.rows_reversed, first.columns_reversed]
        };
        Self {
            transposed: self.transposed ^ first.transposed,
            rows_reversed: self.rows_reversed ^ rows,
            columns_reversed: self.columns_reversed ^ columns,
            inverted: self.inverted ^ first.inverted,
        }
    }

    pub(super) fn picture(self, of: &Small) -> Small {
        let mut turned = of.clone();
        for (at, level) in turned.0.iter_mut().enumerate() {
            let from = of.0[self.origin::<SIDE>(at)];
            *level = if self.inverted { 255 - from } else { from };
        }
        turned
    }

    /// Local contrast, which changes its sign where dark becomes bright.
    pub(super) fn contrast(self, of: &[f32]) -> Vec<f32> {
        (0..of.len()).map(|at| self.sign() * of[self.origin::<SIDE>(at)]).collect()
    }

    /// By which local contrast is multiplied.
    pub(super) fn sign(self) -> f32 {
        if self.inverted { -1.0 } else { 1.0 }
    }

    /// The field that comes to this place, of `SIDE` × `SIDE`.
    pub(super) fn origin<const SIDE: usize>(self, at: usize) -> usize {
        let (y, x) = (at / SIDE, at % SIDE);
        let y = if self.rows_reversed { SIDE - 1 - y } else { y };
        let x = if self.columns_reversed { SIDE - 1 - x } else { x };
        if self.transposed { x * SIDE + y } else { y * SIDE + x }
    }

    /// Where a part lies after this.
    pub(super) fn part(self, SlicePart([left, top, right, bottom]): SlicePart) -> SlicePart {
        let [mut left, mut top, mut right, mut bottom] =
            if self.transposed { [top, left, bottom, right] } else { [left, top, right, bottom] };
        let side = SIDE as f32;
        if self.rows_reversed {
            (top, bottom) = (side - bottom, side - top);
        }
        if self.columns_reversed {
            (left, right) = (side - right, side - left);
        }
        SlicePart([left, top, right, bottom])
    }

    /// The frequencies of a picture after this; the few whose counterparts are not kept become 0.
    pub(in crate::data::audit) fn frequencies(self, of: &[f32; DESCRIPTOR]) -> [f32; DESCRIPTOR] {
        let mut turned = [0.0; DESCRIPTOR];
        let origins = &ORIGINS[self.place()];
        turned.iter_mut().zip(origins).for_each(|(value, (from, factor))| *value = factor * of[*from]);
        turned
    }

    /// The signs of a picture's frequencies after each symmetry, in their order, by what says of a descriptor which signs it
    /// has: each symmetry turns some frequencies into their opposites.
    pub(super) fn all_signs(of: &Descriptor, signs: impl Fn(&Descriptor) -> u128) -> [u128; Self::COUNT] {
        static TURNED: LazyLock<[u128; Symmetry::COUNT]> = LazyLock::new(|| {
            let mask = |bits, (_, factor): &(usize, f32)| bits << 1 | u128::from(*factor < 0.0);
            std::array::from_fn(|number| ORIGINS[number].iter().fold(0, mask))
        });
        let transposed = &ORIGINS[Self { transposed: true, ..Self::ORIGINAL }.place()];
        let mut exchanged = Descriptor([0; DESCRIPTOR]);
        let kept = exchanged.0.iter_mut().zip(transposed).filter(|(_, (_, factor))| *factor != 0.0);
        kept.for_each(|(byte, (from, _))| *byte = of.0[*from]);
        let both = [of, &exchanged].map(|of| [signs(of), signs(&of.inverted())]);
        std::array::from_fn(|number| {
            let [same, opposite] = both[usize::from(Self::number(number).transposed)];
            same & !TURNED[number] | opposite & TURNED[number]
        })
    }

    /// Its number.
    fn place(self) -> usize {
        let number = [self.transposed, self.rows_reversed, self.columns_reversed, self.inverted];
        number.iter().fold(0, |number, &bit| number << 1 | usize::from(bit))
    }

    fn origins(self) -> [(usize, f32); DESCRIPTOR] {
        let all = &zigzag()[..DESCRIPTOR];
        std::array::from_fn(|at| {
            let (across, down) = all[at];
            let exchanged = || all.iter().position(|other| *other == (down, across));
            let from = if self.transposed { exchanged() } else { Some(at) };
            let turns = [self.columns_reversed && across % 2 == 1, self.rows_reversed && down % 2 == 1, self.inverted];
            let is_negative = turns.into_iter().filter(|turn| *turn).count() % 2 == 1;
            from.map_or((0, 0.0), |from| (from, if is_negative { -1.0 } else { 1.0 }))
        })
    }

    /// What happened, in words; `None` for the original.
    pub(in crate::data::audit) fn words(self) -> Option<String> {
        let turned = match (self.transposed, self.rows_reversed, self.columns_reversed) {
            (false, false, false) => None,
            (false, false, true) => Some("mirrored"),
            (false, true, false) => Some("upside down"),
            (false, true, true) => Some("turned by 180°"),
            (true, true, false) => Some("turned by 90° to the left"),
            (true, false, true) => Some("turned by 90° to the right"),
            (true, false, false) | (true, true, true) => Some("mirrored and turned by 90°"),
        };
        let words: Vec<&str> = turned.into_iter().chain(self.inverted.then_some("inverted")).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::pixel_measures::descriptor;
    use super::*;

    fn picture() -> Small {
        let level = |at: usize| ((at % SIDE) * (at % SIDE) / 40 + (at / SIDE) * 3 / 2 + (at % 7)) as u8;
        Small(Box::new(std::array::from_fn(level)))
    }

    fn frequencies(of: &Small) -> [f32; DESCRIPTOR] {
        let rows = std::array::from_fn(|y| std::array::from_fn(|x| f32::from(of.0[y * SIDE + x])));
        descriptor(&Thumbnail(rows).halved()).values()
    }

    #[test]
    fn frequencies_and_parts_turn_with_the_picture() {
        let original = picture();
        for symmetry in (0..Symmetry::COUNT).map(Symmetry::number) {
            let turned = symmetry.picture(&original);
            assert_eq!(symmetry.inverse().picture(&turned), original, "{symmetry:?}");
            let expected = frequencies(&turned);
            for (at, value) in symmetry.frequencies(&frequencies(&original)).iter().enumerate() {
                let is_kept = !symmetry.transposed || zigzag()[at] != (2, 11) && zigzag()[at] != (3, 10);
                assert!(!is_kept || (value - expected[at]).abs() < 0.02, "{symmetry:?}: {:?}", zigzag()[at]);
            }
            let part = SlicePart([3.0, 10.0, 20.0, 60.0]);
            assert_eq!(symmetry.inverse().part(symmetry.part(part)), part);
            let corner = original.0[10 * SIDE + 3];
            let SlicePart([left, top, right, bottom]) = symmetry.part(SlicePart([3.0, 10.0, 4.0, 11.0]));
            assert_eq!((right - left, bottom - top), (1.0, 1.0));
            let found = turned.0[top as usize * SIDE + left as usize];
            assert_eq!(found, if symmetry.inverted { 255 - corner } else { corner }, "{symmetry:?}");
        }
    }

    #[test]
    fn one_after_another_is_one_of_the_sixteen() {
        let original = picture();
        for (a, b) in (0..Symmetry::COUNT).flat_map(|a| (0..Symmetry::COUNT).map(move |b| (a, b))) {
            let (a, b) = (Symmetry::number(a), Symmetry::number(b));
            assert_eq!(a.after(b).picture(&original), a.picture(&b.picture(&original)), "{a:?} after {b:?}");
        }
    }

    #[test]
    fn signs_turn_as_the_frequencies_do() {
        let values: [f32; DESCRIPTOR] = std::array::from_fn(|at| ((at * 37 % 101) as f32 - 50.0) / 60.0);
        let of = Descriptor::packed(&values);
        let medians: [f32; DESCRIPTOR] = std::array::from_fn(|at| ((at * 53 % 89) as f32 - 44.0) / 50.0);
        let signs = |of: &[f32; DESCRIPTOR]| {
            of.iter().zip(&medians).fold(0, |bits, (value, median)| bits << 1 | u128::from(value > median))
        };
        let expected = |number| signs(&Symmetry::number(number).frequencies(&of.values()));
        assert_eq!(Symmetry::all_signs(&of, |of| signs(&of.values())), std::array::from_fn(expected));
    }

    #[test]
    fn each_is_named() {
        let words = |number| Symmetry::number(number).words();
        assert_eq!((words(0), words(1).as_deref()), (None, Some("inverted")));
        assert_eq!((words(2).as_deref(), words(4).as_deref()), (Some("mirrored"), Some("upside down")));
        // A turn to the left brings what was right to the top.
        assert_eq!(words(12).as_deref(), Some("turned by 90° to the left"));
        let original = picture();
        assert_eq!(Symmetry::number(12).picture(&original).0[0], original.0[SIDE - 1]);
        assert_eq!(words(7).as_deref(), Some("turned by 180°, inverted"));
    }
}
