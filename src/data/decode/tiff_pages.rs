//! What the directories of a TIFF say (TIFF 6.0, section 2): how many pictures there are, and of how many bits.

use std::collections::HashSet;

/// Directories that are counted; a chain of more ends here.
const AT_MOST: usize = 4096;
/// More entries than any directory has: some sixty tags are known.
const ENTRIES_AT_MOST: usize = 512;
const NEW_SUBFILE_TYPE: u16 = 254;
const BITS_PER_SAMPLE: u16 = 258;
const PHOTOMETRIC: u16 = 262;
const SAMPLE_FORMAT: u16 = 339;
/// Values with a sign.
const SIGNED: u16 = 2;
/// The values are numbers of colours.
const PALETTE: u16 = 3;

/// The pictures of a TIFF file.
pub(super) struct TiffPages {
    /// Without reduced copies of others.
    pages: usize,
    /// Bits of a value in the first one, where it says so.
    bits: Option<u16>,
    has_palette: bool,
    is_signed: bool,
}

impl TiffPages {
    /// `None` where the first directory does not lie in the file.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let is_little = bytes.starts_with(b"II");
        let short = |at: usize| {
            let two = *bytes.get(at..)?.first_chunk()?;
            Some(if is_little { u16::from_le_bytes(two) } else { u16::from_be_bytes(two) })
        };
        let long = |at: usize| {
            let four = *bytes.get(at..)?.first_chunk()?;
            Some(if is_little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) } as usize)
        };
        let mut directory = long(4)?;
        let mut seen = HashSet::new();
        let mut found = Self { pages: 0, bits: None, has_palette: false, is_signed: false };
        for number in 0..AT_MOST {
            // A chain that runs in a circle.
            if !seen.insert(directory) {
                break;
            }
            let Some(entries) =
                short(directory).map(usize::from).filter(|entries| (1..=ENTRIES_AT_MOST).contains(entries))
            else {
                break;
            };
            let entry = |tag| (0..entries).map(|entry| directory + 2 + 12 * entry).find(|at| short(*at) == Some(tag));
            let is_reduced = entry(NEW_SUBFILE_TYPE).and_then(|at| long(at + 8)).is_some_and(|kind| kind & 1 == 1);
            found.pages += usize::from(!is_reduced);
            if number == 0 {
                found.is_signed = entry(SAMPLE_FORMAT).and_then(|at| short(at + 8)) == Some(SIGNED);
                found.has_palette = entry(PHOTOMETRIC).and_then(|at| short(at + 8)) == Some(PALETTE);
                found.bits = entry(BITS_PER_SAMPLE).and_then(|at| match long(at + 4)? {
                    // Up to two values lie in the entry itself, of more where it points to.
                    1 | 2 => short(at + 8),
                    _ => short(long(at + 8)?),
                });
            }
            match long(directory + 2 + 12 * entries) {
                Some(next) if next > 0 => directory = next,
                _ => break,
            }
        }
        (found.pages > 0).then_some(found)
    }

    /// Why the file is not read, and what to do.
    pub(super) fn not_read(&self) -> Option<String> {
        match self {
            Self { pages: 2.., .. } => Some(format!(
                "a TIFF of {} pages, of which the first alone would be read: save each page as a file of its own, for example by \
                 `tiffsplit`, or the whole as NIfTI",
                self.pages
            )),
            Self { bits: Some(bits @ 17..), .. } => {
                Some(format!("a TIFF of {bits} bits a value, which is not read: save it with 16 bits, or as NIfTI"))
            }
            Self { is_signed: true, .. } => Some(
                "a TIFF of values with a sign, probably Hounsfield units, which is not read: save the scan as NIfTI, or add 1024 \
                 and save it without a sign"
                    .to_owned(),
            ),
            Self { has_palette: true, .. } => {
                Some("a TIFF with a palette, which is not read: save it as PNG, or in grey levels".to_owned())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Directories of these entries (tag, one short), one after the other.
    fn tiff(directories: &[&[(u16, u16)]]) -> Vec<u8> {
        let mut bytes = b"II\x2a\0\x08\0\0\0".to_vec();
        for (number, entries) in directories.iter().enumerate() {
            bytes.extend((entries.len() as u16).to_le_bytes());
            for (tag, value) in *entries {
                bytes.extend([&tag.to_le_bytes()[..], &[3, 0, 1, 0, 0, 0], &value.to_le_bytes(), &[0, 0]].concat());
            }
            let next = if number + 1 < directories.len() { bytes.len() as u32 + 4 } else { 0 };
            bytes.extend(next.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn pages_are_counted_and_bits_are_read() {
        let of = |directories: &[&[(u16, u16)]]| {
            let found = TiffPages::of(&tiff(directories)).expect("a directory");
            (found.pages, found.bits, found.not_read().is_some())
        };
        let (page, reduced) = ([(256, 8), (258, 8)], [(254, 1), (256, 8)]);
        assert_eq!(of(&[&page]), (1, Some(8), false));
        assert_eq!(of(&[&page, &reduced]), (1, Some(8), false));
        assert_eq!(of(&[&page, &page, &page]), (3, Some(8), true));
        assert_eq!(of(&[&[(256, 8), (258, 32)]]), (1, Some(32), true));
        assert_eq!(of(&[&[(256, 8), (258, 8), (262, 3)]]), (1, Some(8), true));
        assert_eq!(of(&[&[(256, 8), (258, 16), (339, 2)]]), (1, Some(16), true), "signed");
        assert_eq!(of(&[&[(256, 8), (258, 16), (339, 1)]]), (1, Some(16), false));
        assert_eq!(of(&[&[(256, 8)]]), (1, None, false));
    }

    #[test]
    fn a_circle_of_directories_ends() {
        let mut bytes = tiff(&[&[(256, 8)]]);
        let end = bytes.len() - 4;
        bytes[end] = 8;
        assert_eq!(TiffPages::of(&bytes).map(|found| found.pages), Some(1));
        assert!(TiffPages::of(b"II\x2a\0\xff\xff\0\0").is_none());
        assert!(TiffPages::of(b"II\x2a\0").is_none());
    }
}
