//! What decoding a file may cost.

use super::{ColourMode, DecodeError, Format, Header};
use crate::base::parallel::{Claim, MemoryBudget};
use crate::base::progress::human_bytes;

/// Limits of decoding one file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DecodeLimits {
    /// Bytes of memory.
    pub(crate) memory: u64,
    /// Scans of a JPEG. Progressive ones have about ten, and each takes as long as a whole baseline JPEG.
    pub(crate) scans: u32,
}

impl DecodeLimits {
    pub(crate) const USUAL: Self = Self { memory: 1 << 30, scans: 100 };

    /// # Errors
    /// `Unsupported`: a header of a picture that takes more memory.
    pub(super) fn check(self, header: Header) -> Result<(), DecodeError> {
        let needed = header.memory();
        if needed <= self.memory {
            return Ok(());
        }
        let (found, most) = (human_bytes(needed), human_bytes(self.memory));
        Err(DecodeError::Unsupported(format!(
            "decoding {}x{} pixels takes up to {found} of memory, {most} are the most: save it smaller",
            header.width, header.height
        )))
    }
}

/// Of all threads together: two pictures of the longest sides are decoded at a time.
static SHARED: MemoryBudget = MemoryBudget::of(DecodeLimits::USUAL.memory);
/// Slices that take less than this (1448 x 1448 pixels) do not wait for each other.
const SMALL: u64 = 16 << 20;

/// Waits until there is memory for a slice, which is then decoded and prepared while the claim lives. Only one claim at a
/// time in a thread, and no other parallel work inside of it: that might wait for this claim.
pub(crate) fn room_for(header: Option<Header>) -> Option<Claim<'static>> {
    header.map(Header::memory).filter(|needed| *needed >= SMALL).map(|needed| SHARED.claim(needed))
}

impl Header {
    /// Bytes at most that a slice takes while it is decoded and prepared: what the decoder keeps, values of 4 bytes where
    /// they are Hounsfield units, and grey levels.
    fn memory(self) -> u64 {
        let bytes_per_pixel = match (self.format, self.colour) {
            (Format::Jpeg, ColourMode::Grey) => 2,
            _ => 8,
        };
        u64::from(self.width) * u64::from(self.height) * bytes_per_pixel
    }
}
