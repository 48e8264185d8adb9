//! Values of elements as text and numbers.

use super::dataset::Dataset;
use dicom_core::Tag;

impl Dataset {
    /// The first value as text without padding; `None` where there is none.
    pub(super) fn text(&self, tag: Tag) -> Option<String> {
        self.texts(tag).into_iter().next().filter(|text| !text.is_empty())
    }

    /// All values as text without padding.
    pub(super) fn texts(&self, tag: Tag) -> Vec<String> {
        let Some(value) = self.bytes(tag) else { return Vec::new() };
        // Identifiers and numbers are ASCII. Of the other character sets Latin-1 is most common among those that are
        // not UTF-8; a wrong letter does no harm in names of kernels and machines.
        let text = match std::str::from_utf8(value) {
            Ok(text) => text.to_owned(),
            Err(_) => value.iter().map(|&byte| char::from(byte)).collect(),
        };
        text.split('\\').map(|part| part.trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_owned()).collect()
    }

    /// All values as numbers; what is not a finite number becomes `None`. The text is read whatever representation the
    /// file names: archives write UN.
    pub(super) fn numbers(&self, tag: Tag) -> Vec<Option<f64>> {
        let parse = |text: String| text.parse().ok().filter(|number: &f64| number.is_finite());
        self.texts(tag).into_iter().map(parse).collect()
    }

    /// The first value as number.
    pub(super) fn number(&self, tag: Tag) -> Option<f64> {
        self.numbers(tag).into_iter().next().flatten()
    }

    /// `N` numbers; `None` unless there are exactly so many.
    pub(super) fn array<const N: usize>(&self, tag: Tag) -> Option<[f64; N]> {
        self.numbers(tag).into_iter().collect::<Option<Vec<f64>>>()?.try_into().ok()
    }

    /// The first value as whole number in text form.
    pub(super) fn integer(&self, tag: Tag) -> Option<i64> {
        self.text(tag)?.parse().ok()
    }

    /// The value number `index` of those of 16 bits.
    pub(super) fn word(&self, tag: Tag, index: usize) -> Option<u16> {
        self.bytes(tag)?.as_chunks::<2>().0.get(index).map(|&word| u16::from_le_bytes(word))
    }

    /// Pairs of window centre and width, in their order; pairs with a width that is not positive are left out.
    pub(super) fn windows(&self, centre: Tag, width: Tag) -> Vec<(f64, f64)> {
        let pairs = self.numbers(centre).into_iter().zip(self.numbers(width));
        pairs.filter_map(|(centre, width)| Some((centre?, width?))).filter(|&(_, width)| width > 0.0).collect()
    }
}
