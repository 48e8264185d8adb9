//! Compressed pixel data: its fragments, and which of them belong to a frame (PS3.5, A.4).

use super::element_source::{Element, ElementEncoding, ITEM, SEQUENCE_END, Source};
use crate::data::decode::DecodeError;
use std::borrow::Cow;
use std::ops::Range;

/// The fragments of compressed pixel data.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fragments {
    /// Basic Offset Table: place of each frame's first fragment, counted from that of the first one; may be empty.
    offsets: Vec<u32>,
    /// Where each fragment's bytes lie in the file.
    ranges: Vec<Range<usize>>,
    /// The file ends inside of a fragment, which is left out.
    cut: bool,
}

impl Fragments {
    /// Lists the fragments from `start` on; `bytes` are those of the whole file. Compressed pixel data is always little
    /// endian.
    pub(super) fn list(bytes: &[u8], start: usize) -> Self {
        let mut found = Self::default();
        let mut source = Source::new(bytes.get(start..).unwrap_or_default());
        let mut table = true;
        loop {
            let item = match source.element(ElementEncoding::IMPLICIT) {
                Ok(Some(item)) if item.tag == ITEM => item,
                // A file that ends between two fragments lacks the delimiter, or whole fragments, which will be missed.
                Ok(Some(Element { tag: SEQUENCE_END, .. }) | None) => break,
                _ => {
                    found.cut = true;
                    break;
                }
            };
            let at = start.saturating_add(source.position() as usize);
            let Some(length) = item.length.filter(|&length| source.skip(length).is_ok()) else {
                found.cut = true;
                break;
            };
            let range = at..at + length as usize;
            match std::mem::take(&mut table) {
                true => {
                    found.offsets =
                        bytes[range].as_chunks().0.iter().map(|&offset| u32::from_le_bytes(offset)).collect();
                }
                false => found.ranges.push(range),
            }
        }
        found
    }

    /// The compressed bytes of a frame, joined if they lie in several fragments.
    ///
    /// The Extended Offset Table is not needed: it demands one fragment per frame (PS3.3, C.7.6.3.1.8).
    pub(super) fn frame<'a>(&self, bytes: &'a [u8], frame: u32, frames: u32) -> Result<Cow<'a, [u8]>, DecodeError> {
        let (frame, frames, count) = (frame as usize, frames as usize, self.ranges.len());
        let range = if frames == 1 {
            // The end of a cut file is missing from the only frame.
            if self.cut { 0..0 } else { 0..count }
        } else if frames == count {
            frame..frame + 1
        } else if self.offsets.len() == frames {
            self.listed(frame)?
        } else if self.cut {
            return Err(DecodeError::Truncated);
        } else {
            return Err(DecodeError::Corrupt(format!(
                "expected an offset table or one fragment for each of {frames} frames, found {count} fragments and {} offsets",
                self.offsets.len()
            )));
        };
        match self.ranges.get(range).unwrap_or_default() {
            [] if self.cut => Err(DecodeError::Truncated),
            [] => Err(DecodeError::Corrupt("expected compressed pixels, found no fragment of them".to_owned())),
            [one] => Ok(Cow::Borrowed(&bytes[one.clone()])),
            several => Ok(Cow::Owned(several.iter().flat_map(|range| &bytes[range.clone()]).copied().collect())),
        }
    }

    /// The fragments of a frame by the offset table.
    fn listed(&self, frame: usize) -> Result<Range<usize>, DecodeError> {
        let first = self.ranges.first().map_or(0, |range| range.start);
        // An offset is that of the item's header, which takes eight bytes.
        let index = |offset: u32| self.ranges.iter().position(|range| range.start - first == offset as usize);
        let start = index(self.offsets[frame]);
        let end = match self.offsets.get(frame + 1) {
            Some(&offset) => index(offset),
            // The last frame may be the one that a cut file lacks a part of.
            None => (!self.cut).then_some(self.ranges.len()),
        };
        match (start, end) {
            (Some(start), Some(end)) if start < end => Ok(start..end),
            _ if self.cut => Err(DecodeError::Truncated),
            _ => Err(DecodeError::Corrupt("expected offsets of fragments, found others".to_owned())),
        }
    }
}
