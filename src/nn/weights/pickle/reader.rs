//! The bytes of a pickle: arguments of opcodes, and the values that stand in it as they are.

use super::Value;
use crate::base::errors::{Context, Result, ensure};

/// The longest line, such as the name of a module; keeps errors that show one short, too.
const MAX_LINE: usize = 1024;

/// Bytes, and how far they are read.
#[derive(Default)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Values that stand in the pickle as they are; `None` for any other opcode.
    pub(super) fn constant(&mut self, opcode: u8) -> Result<Option<Value>> {
        Ok(Some(match opcode {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'J' => Value::Int(i32::from_le_bytes(self.array()?).into()),
            b'K' => Value::Int(u8::from_le_bytes(self.array()?).into()),
            b'M' => Value::Int(u16::from_le_bytes(self.array()?).into()),
            0x8a => integer(self.counted::<1>()?)?,
            0x8b => integer(self.counted::<4>()?)?,
            b'I' => match self.line()? {
                "00" => Value::Bool(false),
                "01" => Value::Bool(true),
                digits => Value::Int(digits.parse().with_context(|| format!("expected an int, found {digits:?}"))?),
            },
            b'L' => {
                let digits = self.line()?.trim_end_matches('L');
                Value::Int(digits.parse().with_context(|| format!("expected an int, found {digits:?}"))?)
            }
            b'F' => {
                let digits = self.line()?;
                Value::Float(digits.parse().with_context(|| format!("expected a float, found {digits:?}"))?)
            }
            b'G' => Value::Float(f64::from_be_bytes(self.array()?)),
            b'S' => text(unescaped(self.line()?)?.trim_matches(['\'', '"']).as_bytes()),
            b'V' => text(unescaped(self.line()?)?.as_bytes()),
            // The str of Python 2, which is text wherever torch.save writes one.
            b'T' => text(self.counted::<4>()?),
            b'U' => text(self.counted::<1>()?),
            b'X' => text(self.counted::<4>()?),
            0x8c => text(self.counted::<1>()?),
            0x8d => text(self.counted::<8>()?),
            b'B' => Value::Bytes(self.counted::<4>()?.to_vec()),
            b'C' => Value::Bytes(self.counted::<1>()?.to_vec()),
            0x8e | 0x96 => Value::Bytes(self.counted::<8>()?.to_vec()),
            _ => return Ok(None),
        }))
    }

    /// What is not read yet.
    pub(super) fn left(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8]> {
        let left = self.left();
        let taken = usize::try_from(count).ok().and_then(|count| left.get(..count));
        let taken = taken.with_context(|| format!("truncated: {count} bytes expected, {} are left", left.len()))?;
        self.at += taken.len();
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N as u64)?.try_into()?)
    }

    /// Bytes behind their count of `N` bytes.
    fn counted<const N: usize>(&mut self) -> Result<&'a [u8]> {
        let mut count = [0; 8];
        count.iter_mut().zip(self.array::<N>()?).for_each(|(to, from)| *to = from);
        self.take(u64::from_le_bytes(count))
    }

    pub(super) fn line(&mut self) -> Result<&'a str> {
        let length = self.left().iter().take(MAX_LINE).position(|&byte| byte == b'\n');
        let length =
            length.with_context(|| format!("expected a line of at most {MAX_LINE} bytes, found no end of it"))?;
        let line = self.take(length as u64)?;
        self.at += 1;
        std::str::from_utf8(line).context("expected a line of text, found other bytes")
    }
}

/// A whole number in as many bytes as it needs, the lowest first, with a sign.
fn integer(bytes: &[u8]) -> Result<Value> {
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut wide = if negative { [0xff; 16] } else { [0; 16] };
    let room = wide.get_mut(..bytes.len());
    room.with_context(|| format!("an int of {} bytes, 16 at most expected", bytes.len()))?.copy_from_slice(bytes);
    Ok(Value::Int(i128::from_le_bytes(wide)))
}

/// A str, or bytes where they are none.
fn text(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::Text(text.to_owned()),
        Err(_) => Value::Bytes(bytes.to_vec()),
    }
}

/// Strings of protocol 0 may hold escapes; names of weights never do.
fn unescaped(line: &str) -> Result<&str> {
    ensure!(!line.contains('\\'), "expected a string without escapes, found {line:?}");
    Ok(line)
}
