//! How a DICOM file begins: preamble, mark and file meta group (PS3.10, chapter 7), or bare data elements.

use super::element_source::{ElementEncoding, Source};
use crate::data::decode::DecodeError;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags, uids};
use std::io::Read;

/// Length of the preamble, which holds anything.
const PREAMBLE: usize = 128;
const MARK: &[u8; 4] = b"DICM";
/// Explicit VR Big Endian, retired.
pub(super) const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
/// Values longer than this do not stand at the start of a data set.
const LONGEST_START: u32 = 1024;

/// What the file says before its data set.
pub(super) struct Start {
    /// UID of the transfer syntax. Where the file has none it is guessed from the first element.
    pub(super) syntax: String,
    /// UID of the SOP class as the meta group names it: directories name it nowhere else.
    pub(super) sop_class: Option<String>,
    pub(super) encoding: ElementEncoding,
    /// The data set is a raw deflate stream.
    pub(super) deflated: bool,
}

/// What is needed of the file meta group.
#[derive(Default)]
struct Meta {
    syntax: Option<String>,
    sop_class: Option<String>,
}

/// Whether a file that begins with these bytes is DICOM. 132 bytes suffice for a file with preamble; without one, those
/// of the first two elements do.
pub(crate) fn is_dicom(first: &[u8]) -> bool {
    first.get(PREAMBLE..PREAMBLE + 4) == Some(MARK) || bare_encoding(first).is_some()
}

/// Reads up to the first element of the data set.
///
/// # Errors
///
/// `NotAnImage` for bytes that are not DICOM, `Truncated` where the file ends inside the meta group.
pub(super) fn read_start<R: Read>(source: &mut Source<R>) -> Result<Start, DecodeError> {
    let head = source.peek::<1024>()?;
    if head.get(PREAMBLE..PREAMBLE + 4) == Some(MARK) {
        source.skip(PREAMBLE as u32 + 4)?;
    } else if bare_encoding(&head).is_none() {
        return Err(DecodeError::NotAnImage("bytes that do not begin as DICOM".to_owned()));
    }
    let Meta { syntax, sop_class } = read_meta(source)?;
    let first = source.peek::<8>()?;
    let guessed = guess(&first);
    let (syntax, encoding) = match syntax {
        None => (String::from(name(guessed)), guessed),
        // Some writers name the implicit syntax and write the explicit one.
        Some(syntax) if syntax == uids::IMPLICIT_VR_LITTLE_ENDIAN => (syntax, guessed),
        Some(syntax) if syntax == BIG_ENDIAN => (syntax, ElementEncoding::EXPLICIT_BIG),
        Some(syntax) => (syntax, ElementEncoding::EXPLICIT),
    };
    let deflated = matches!(
        syntax.as_str(),
        uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN | uids::JPIP_REFERENCED_DEFLATE | uids::JPIPHTJ2K_REFERENCED_DEFLATE
    );
    Ok(Start { syntax, sop_class, encoding, deflated })
}

/// Reads the elements of group 2, which are always explicit little endian, and returns those that are needed. Their own
/// total length is not used: files disagree with it.
fn read_meta<R: Read>(source: &mut Source<R>) -> Result<Meta, DecodeError> {
    let mut meta = Meta::default();
    while source.peek::<2>()? == [2, 0] {
        let element = source.element(ElementEncoding::EXPLICIT)?.ok_or(DecodeError::Truncated)?;
        let length = element
            .length
            .ok_or_else(|| DecodeError::Corrupt("expected lengths in the file meta group, found none".to_owned()))?;
        let found = match element.tag {
            tags::TRANSFER_SYNTAX_UID => &mut meta.syntax,
            tags::MEDIA_STORAGE_SOP_CLASS_UID => &mut meta.sop_class,
            _ => {
                source.skip(length)?;
                continue;
            }
        };
        let value = source.value(length.min(LONGEST_START))?;
        source.skip(length.saturating_sub(LONGEST_START))?;
        let uid = String::from_utf8_lossy(&value);
        *found = Some(uid.trim_matches(['\0', ' ']).to_owned()).filter(|uid| !uid.is_empty());
    }
    Ok(meta)
}

/// The encoding of a data set whose first eight bytes are given.
fn guess(first: &[u8]) -> ElementEncoding {
    let named = first.get(4..6).is_some_and(|vr| vr.iter().all(u8::is_ascii_uppercase));
    match named {
        false => ElementEncoding::IMPLICIT,
        // The first groups are small numbers: a zero comes first in big endian.
        true if first.starts_with(&[0]) => ElementEncoding::EXPLICIT_BIG,
        true => ElementEncoding::EXPLICIT,
    }
}

fn name(encoding: ElementEncoding) -> &'static str {
    match encoding {
        ElementEncoding::EXPLICIT => uids::EXPLICIT_VR_LITTLE_ENDIAN,
        ElementEncoding { big: true, .. } => BIG_ENDIAN,
        _ => uids::IMPLICIT_VR_LITTLE_ENDIAN,
    }
}

/// The encoding of bytes that begin with elements and without preamble; `None` unless the first two are elements of the
/// standard with fitting representations and lengths, the first one in group 2 or 8.
fn bare_encoding(first: &[u8]) -> Option<ElementEncoding> {
    let encoding = guess(first);
    let mut source = Source::new(first);
    let one = plausible(&mut source, encoding)?;
    source.skip(one.1).ok()?;
    let two = plausible(&mut source, encoding)?;
    (matches!(one.0.group(), 2 | 8) && one.0 < two.0).then_some(encoding)
}

/// Tag and length of the next element, if it can stand at the start of a data set.
fn plausible(source: &mut Source<&[u8]>, encoding: ElementEncoding) -> Option<(Tag, u32)> {
    let element = source.element(encoding).ok()??;
    let length = element.length.filter(|&length| length <= LONGEST_START && length % 2 == 0)?;
    let known = StandardDataDictionary.by_tag(element.tag)?.vr().relaxed();
    let fits = !encoding.explicit || known == VR::from_binary(element.vr)?;
    fits.then_some((element.tag, length))
}
