//! The elements of a data set that are needed here, and their values.

use super::element_source::{Element, ElementEncoding, ITEM, ITEM_END, SEQUENCE_END, Source};
use crate::data::decode::DecodeError;
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use std::collections::BTreeMap;
use std::io::Read;

/// Elements that hold text.
const TEXTS: [Tag; 27] = [
    tags::IMAGE_TYPE,
    tags::SOP_CLASS_UID,
    tags::SOP_INSTANCE_UID,
    tags::MODALITY,
    tags::MANUFACTURER,
    tags::MANUFACTURER_MODEL_NAME,
    tags::PATIENT_ID,
    tags::PATIENT_NAME,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_IDENTITY_REMOVED,
    tags::CONTRAST_BOLUS_AGENT,
    tags::SLICE_THICKNESS,
    tags::GANTRY_DETECTOR_TILT,
    tags::CONVOLUTION_KERNEL,
    tags::STUDY_INSTANCE_UID,
    tags::SERIES_INSTANCE_UID,
    tags::ACQUISITION_NUMBER,
    tags::INSTANCE_NUMBER,
    tags::IMAGE_POSITION_PATIENT,
    tags::IMAGE_ORIENTATION_PATIENT,
    tags::PHOTOMETRIC_INTERPRETATION,
    tags::NUMBER_OF_FRAMES,
    tags::PIXEL_SPACING,
    tags::WINDOW_CENTER,
    tags::WINDOW_WIDTH,
    tags::RESCALE_INTERCEPT,
    tags::RESCALE_SLOPE,
];

/// Elements that hold numbers of 16 bits.
const WORDS: [Tag; 11] = [
    tags::SAMPLES_PER_PIXEL,
    tags::ROWS,
    tags::COLUMNS,
    tags::BITS_ALLOCATED,
    tags::BITS_STORED,
    tags::HIGH_BIT,
    tags::PIXEL_REPRESENTATION,
    tags::PIXEL_PADDING_VALUE,
    tags::PIXEL_PADDING_RANGE_LIMIT,
    tags::LUT_DESCRIPTOR,
    tags::LUT_DATA,
];

/// Elements that hold items with elements that are needed.
const SEQUENCES: [Tag; 10] = [
    tags::MODALITY_LUT_SEQUENCE,
    tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
    tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
    tags::PLANE_POSITION_SEQUENCE,
    tags::PLANE_ORIENTATION_SEQUENCE,
    tags::PIXEL_MEASURES_SEQUENCE,
    tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE,
    tags::FRAME_VOILUT_SEQUENCE,
    tags::CT_RECONSTRUCTION_SEQUENCE,
    tags::CT_ACQUISITION_DETAILS_SEQUENCE,
];

/// The longest value of those elements: look-up tables have up to 65536 entries of 16 bits.
const LONGEST: u32 = 1 << 20;
/// Sequences inside of sequences; the standard's deepest structures have about ten levels.
const DEEPEST: u32 = 64;

/// Elements of a data set or of an item of a sequence: those that are needed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Dataset {
    values: BTreeMap<Tag, Vec<u8>>,
    sequences: BTreeMap<Tag, Vec<Dataset>>,
}

impl Dataset {
    /// Reads up to the pixel data or to the end. Returns the header of the pixel data; its value comes next.
    pub(super) fn read<R: Read>(
        source: &mut Source<R>,
        encoding: ElementEncoding,
    ) -> Result<(Self, Option<Element>), DecodeError> {
        let mut dataset = Self::default();
        while let Some(element) = source.element(encoding)? {
            if element.tag == tags::PIXEL_DATA {
                return Ok((dataset, Some(element)));
            }
            dataset.add(source, encoding, element, 0)?;
        }
        Ok((dataset, None))
    }

    /// Reads the value of an element if it is needed and passes over it otherwise.
    fn add<R: Read>(
        &mut self,
        source: &mut Source<R>,
        encoding: ElementEncoding,
        element: Element,
        depth: u32,
    ) -> Result<(), DecodeError> {
        let tag = element.tag;
        match element.length {
            _ if SEQUENCES.contains(&tag) && element.may_be_sequence() => {
                let items = read_items(source, encoding, element, depth)?;
                self.sequences.insert(tag, items);
            }
            None => skip_items(source, encoding, element, depth)?,
            Some(length) if length <= LONGEST && TEXTS.contains(&tag) => {
                self.values.insert(tag, source.value(length)?);
            }
            Some(length) if length <= LONGEST && WORDS.contains(&tag) => {
                let mut value = source.value(length)?;
                if encoding.big {
                    value.as_chunks_mut::<2>().0.iter_mut().for_each(|word| word.reverse());
                }
                self.values.insert(tag, value);
            }
            Some(length) => source.skip(length)?,
        }
        Ok(())
    }

    /// The value as it stands in the file (numbers of 16 bits in little endian); `None` where absent or empty.
    pub(super) fn bytes(&self, tag: Tag) -> Option<&[u8]> {
        self.values.get(&tag).map(Vec::as_slice).filter(|value| !value.is_empty())
    }

    /// The items of a sequence; none where it is absent.
    pub(super) fn items(&self, tag: Tag) -> &[Self] {
        self.sequences.get(&tag).map(Vec::as_slice).unwrap_or_default()
    }
}

/// How items are written: those of an element that does not say it is a sequence are implicit (PS3.5, 6.2.2).
fn inner(encoding: ElementEncoding, element: Element) -> ElementEncoding {
    if &element.vr == b"UN" { ElementEncoding::IMPLICIT } else { encoding }
}

fn deeper(depth: u32) -> Result<u32, DecodeError> {
    match depth < DEEPEST {
        true => Ok(depth + 1),
        false => Err(DecodeError::Corrupt(format!("expected sequences at most {DEEPEST} deep, found deeper ones"))),
    }
}

/// The header of the next item of a sequence that ends at `end` or with a delimiter; `None` at its end.
fn next_item<R: Read>(
    source: &mut Source<R>,
    encoding: ElementEncoding,
    end: Option<u64>,
) -> Result<Option<Element>, DecodeError> {
    if end.is_some_and(|end| source.position() >= end) {
        return Ok(None);
    }
    match source.element(encoding)?.ok_or(DecodeError::Truncated)? {
        element if element.tag == ITEM => Ok(Some(element)),
        element if element.tag == SEQUENCE_END => Ok(None),
        element => {
            Err(DecodeError::Corrupt(format!("expected an item of a sequence, found the element {}", element.tag)))
        }
    }
}

fn end_of<R: Read>(source: &Source<R>, element: Element) -> Option<u64> {
    element.length.map(|length| source.position().saturating_add(length.into()))
}

/// Reads the items of a sequence.
fn read_items<R: Read>(
    source: &mut Source<R>,
    encoding: ElementEncoding,
    sequence: Element,
    depth: u32,
) -> Result<Vec<Dataset>, DecodeError> {
    let (encoding, depth) = (inner(encoding, sequence), deeper(depth)?);
    let end = end_of(source, sequence);
    let mut items = Vec::new();
    while let Some(item) = next_item(source, encoding, end)? {
        let end = end_of(source, item);
        let mut dataset = Dataset::default();
        while end.is_none_or(|end| source.position() < end) {
            let element = source.element(encoding)?.ok_or(DecodeError::Truncated)?;
            if element.tag == ITEM_END {
                break;
            }
            dataset.add(source, encoding, element, depth)?;
        }
        items.push(dataset);
    }
    Ok(items)
}

/// Passes over a value of undefined length: a sequence of items, or fragments of pixels.
fn skip_items<R: Read>(
    source: &mut Source<R>,
    encoding: ElementEncoding,
    sequence: Element,
    depth: u32,
) -> Result<(), DecodeError> {
    let (encoding, depth) = (inner(encoding, sequence), deeper(depth)?);
    while let Some(item) = next_item(source, encoding, None)? {
        match item.length {
            Some(length) => source.skip(length)?,
            None => loop {
                let element = source.element(encoding)?.ok_or(DecodeError::Truncated)?;
                match element.length {
                    _ if element.tag == ITEM_END => break,
                    Some(length) => source.skip(length)?,
                    None => skip_items(source, encoding, element, depth)?,
                }
            },
        }
    }
    Ok(())
}
