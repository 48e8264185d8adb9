//! Headers made of lines, and voxels written as text.

use super::inflate;
use crate::data::decode::DecodeError;
use std::io::Read;

/// The longest header in lines. Converters from DICOM add one line for each of some hundred attributes.
const LONGEST: usize = 1 << 20;

/// Reads on from `first` until `end` finds the header's end, and cuts there. A file that ends earlier is all header.
pub(super) fn header(
    first: Vec<u8>,
    mut reader: impl Read,
    end: fn(&[u8]) -> Option<usize>,
) -> Result<Vec<u8>, DecodeError> {
    let mut bytes = first;
    loop {
        if let Some(end) = end(&bytes) {
            bytes.truncate(end);
            return Ok(bytes);
        }
        if bytes.len() >= LONGEST {
            return Err(DecodeError::Corrupt(format!("expected a header of {LONGEST} bytes at most, found no end")));
        }
        let more = inflate::read_at_most(&mut reader, bytes.len())?;
        if more.is_empty() {
            return Ok(bytes);
        }
        bytes.extend_from_slice(&more);
    }
}

/// The lines that end in a line feed, without it and a carriage return, each with where the next one begins.
pub(super) fn whole_lines(bytes: &[u8]) -> impl Iterator<Item = (&[u8], usize)> {
    let mut at = 0;
    bytes.split_inclusive(|byte| *byte == b'\n').filter_map(move |line| {
        at += line.len();
        let line = line.strip_suffix(b"\n")?;
        Some((line.strip_suffix(b"\r").unwrap_or(line), at))
    })
}

/// A header's fields: keys in lower case and without spaces, values trimmed.
pub(super) struct TextFields {
    format: &'static str,
    fields: Vec<(String, String)>,
}

impl TextFields {
    /// Splits each line; `split` gives the key and the value, or nothing for lines of another kind.
    pub(super) fn new(format: &'static str, bytes: &[u8], split: fn(&str) -> Option<(&str, &str)>) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let field = |line: &str| split(line).map(|(key, value)| (plain(key), value.trim().to_owned()));
        Self { format, fields: text.lines().filter_map(field).collect() }
    }

    /// The value of the first field with one of these keys.
    pub(super) fn get(&self, keys: &[&str]) -> Option<&str> {
        self.fields.iter().find(|(key, _)| keys.contains(&key.as_str())).map(|(_, value)| value.as_str())
    }

    /// The value of a field that has to be there.
    pub(super) fn need(&self, keys: &[&str]) -> Result<&str, DecodeError> {
        self.get(keys).ok_or_else(|| self.wrong(keys[0], "expected once, found nowhere"))
    }

    /// The numbers of a field, separated by white space; `None` where there is no such field.
    pub(super) fn numbers<T: std::str::FromStr>(&self, keys: &[&str]) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(value) = self.get(keys) else { return Ok(None) };
        let numbers: Result<Vec<T>, _> = value.split_whitespace().map(str::parse).collect();
        numbers.map(Some).map_err(|_| self.wrong(keys[0], "expected numbers, found another text"))
    }

    /// The number of a field; `None` where there is no such field.
    pub(super) fn number<T: std::str::FromStr + Copy>(&self, keys: &[&str]) -> Result<Option<T>, DecodeError> {
        match self.numbers(keys)?.as_deref() {
            None => Ok(None),
            Some([number]) => Ok(Some(*number)),
            Some(more) => Err(self.wrong(keys[0], &format!("expected one number, found {}", more.len()))),
        }
    }

    /// An error about a field. Its value stays out of the message, since it could be anything.
    pub(super) fn wrong(&self, key: &str, what: &str) -> DecodeError {
        DecodeError::Corrupt(format!("{} field {key}: {what}", self.format))
    }
}

/// Writers do not agree on spaces and capitals in keys.
pub(super) fn plain(key: &str) -> String {
    key.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect()
}

/// The first `count` numbers of a text, as eight bytes each, the lowest first.
pub(super) fn voxels(text: &[u8], count: usize) -> Result<Vec<u8>, DecodeError> {
    let separates = |byte: &u8| byte.is_ascii_whitespace() || *byte == b',';
    let mut bytes = Vec::new();
    for word in text.split(separates).filter(|word| !word.is_empty()).take(count) {
        let number = std::str::from_utf8(word).ok().and_then(|word| word.parse::<f64>().ok());
        let number = number
            .ok_or_else(|| DecodeError::Corrupt("voxels as text: expected numbers, found another text".to_owned()))?;
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    if bytes.len() < count * size_of::<f64>() { Err(DecodeError::Truncated) } else { Ok(bytes) }
}
