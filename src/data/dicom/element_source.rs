//! Data elements of a DICOM stream (PS3.5, chapter 7): their headers and values, read one after the other.

use crate::data::decode::DecodeError;
use dicom_core::Tag;
use std::io::{ErrorKind, Read};

/// Start of an item.
pub(super) const ITEM: Tag = Tag(0xFFFE, 0xE000);
/// End of an item of undefined length.
pub(super) const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
/// End of a sequence of undefined length.
pub(super) const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);

/// Value representations whose length is written in two bytes; that of all others, future ones included, takes four.
const SHORT: [&[u8; 2]; 21] = [
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
    b"ST", b"TM", b"UI", b"UL", b"US",
];

/// How data elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ElementEncoding {
    /// Whether each element names its value representation.
    pub(super) explicit: bool,
    /// Big endian.
    pub(super) big: bool,
}

impl ElementEncoding {
    pub(super) const IMPLICIT: Self = Self { explicit: false, big: false };
    pub(super) const EXPLICIT: Self = Self { explicit: true, big: false };
    pub(super) const EXPLICIT_BIG: Self = Self { explicit: true, big: true };

    fn word(self, bytes: [u8; 2]) -> u16 {
        if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    fn long(self, bytes: [u8; 4]) -> u32 {
        if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }
}

/// The header of a data element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) tag: Tag,
    /// Value representation; zeros where the stream does not name it.
    pub(super) vr: [u8; 2],
    /// Length of the value in bytes; `None` where it is undefined and a delimiter ends the value.
    pub(super) length: Option<u32>,
}

impl Element {
    /// Whether the value can be a sequence of items: it says so, or it does not say what it is.
    pub(super) fn may_be_sequence(&self) -> bool {
        matches!(&self.vr, b"SQ" | b"UN" | [0, 0])
    }
}

/// A reader that knows its position and takes back bytes that were read to look ahead.
pub(super) struct Source<R> {
    reader: R,
    /// Bytes before those of the reader, from `at` on.
    back: Vec<u8>,
    at: usize,
    position: u64,
}

impl<R: Read> Source<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, back: Vec::new(), at: 0, position: 0 }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Reads up to `buffer.len()` bytes; fewer only where the stream ends.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, DecodeError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(read_error(&error)),
            }
        }
        Ok(filled)
    }

    /// Returns bytes to the front of the stream.
    pub(super) fn unread(&mut self, bytes: &[u8]) {
        self.back.splice(..self.at, bytes.iter().copied());
        self.at = 0;
        self.position = self.position.saturating_sub(bytes.len() as u64);
    }

    /// The first bytes of what follows, at most `N`, which stay in the stream.
    pub(super) fn peek<const N: usize>(&mut self) -> Result<Vec<u8>, DecodeError> {
        let mut buffer = [0; N];
        let filled = self.fill(&mut buffer)?;
        self.unread(&buffer[..filled]);
        Ok(buffer[..filled].to_vec())
    }

    /// Reads a value of `length` bytes. Memory grows with the bytes that arrive.
    pub(super) fn value(&mut self, length: u32) -> Result<Vec<u8>, DecodeError> {
        let mut value = Vec::with_capacity(length.min(4096) as usize);
        let read = self.take(length.into()).read_to_end(&mut value).map_err(|error| read_error(&error))?;
        if read == length as usize { Ok(value) } else { Err(DecodeError::Truncated) }
    }

    /// Passes over `length` bytes.
    pub(super) fn skip(&mut self, length: u32) -> Result<(), DecodeError> {
        let wanted = u64::from(length);
        let passed = std::io::copy(&mut self.take(wanted), &mut std::io::sink()).map_err(|error| read_error(&error))?;
        if passed == wanted { Ok(()) } else { Err(DecodeError::Truncated) }
    }

    /// Reads the header of the next element; `None` where the stream ends before it.
    pub(super) fn element(&mut self, encoding: ElementEncoding) -> Result<Option<Element>, DecodeError> {
        let mut head = [0; 8];
        match self.fill(&mut head)? {
            8 => {}
            0 => return Ok(None),
            _ => return Err(DecodeError::Truncated),
        }
        let [g0, g1, e0, e1, v0, v1, l0, l1] = head;
        let tag = Tag(encoding.word([g0, g1]), encoding.word([e0, e1]));
        // Some writers leave out single representations; their elements are then written as in implicit encoding.
        let item = tag.group() == ITEM.group();
        let named = encoding.explicit && !item && v0.is_ascii_uppercase() && v1.is_ascii_uppercase();
        let (vr, length) = match named {
            false => ([0, 0], encoding.long([v0, v1, l0, l1])),
            true if is_short([v0, v1]) => ([v0, v1], encoding.word([l0, l1]).into()),
            true => {
                let mut length = [0; 4];
                if self.fill(&mut length)? < 4 {
                    return Err(DecodeError::Truncated);
                }
                ([v0, v1], encoding.long(length))
            }
        };
        Ok(Some(Element { tag, vr, length: (length != u32::MAX).then_some(length) }))
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let back = &self.back[self.at..];
        let read = if back.is_empty() {
            self.reader.read(buffer)?
        } else {
            let n = back.len().min(buffer.len());
            buffer[..n].copy_from_slice(&back[..n]);
            self.at += n;
            n
        };
        self.position += read as u64;
        Ok(read)
    }
}

/// Whether a value representation has a length of two bytes.
fn is_short(vr: [u8; 2]) -> bool {
    SHORT.contains(&&vr)
}

/// Names the kind of an error only: its text may hold a path.
pub(super) fn read_error(error: &std::io::Error) -> DecodeError {
    match error.kind() {
        ErrorKind::UnexpectedEof => DecodeError::Truncated,
        kind => DecodeError::Corrupt(format!("expected readable DICOM data, found: {kind}")),
    }
}
