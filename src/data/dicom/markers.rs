//! Headers inside of compressed frames, which are compared with the DICOM file's before anything is decoded.

use super::pixel_layout::PixelLayout;
use crate::data::decode::DecodeError;
use crate::data::decode::segments::Segments;

/// What a compressed frame says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Bits per value.
    pub(super) precision: u32,
    /// Values per pixel.
    pub(super) components: u32,
}

impl FrameHeader {
    /// Compares the frame with the file's header.
    pub(super) fn check(self, layout: &PixelLayout) -> Result<Self, DecodeError> {
        let Self { width, height, precision, components } = self;
        if (width, height) != (layout.width, layout.height) {
            let (w, h) = (layout.width, layout.height);
            return Err(DecodeError::Corrupt(format!(
                "expected compressed pixels of {w}x{h} as the header says, found {width}x{height}"
            )));
        }
        if components != 1 || !(2..=layout.allocated.min(16)).contains(&precision) {
            let most = layout.allocated.min(16);
            return Err(DecodeError::Corrupt(format!(
                "expected compressed pixels of one component with 2 to {most} bits, found {components} of {precision} bits"
            )));
        }
        Ok(self)
    }
}

/// Reads the start of frame of JPEG and JPEG-LS (ITU T.81, B.2.2; T.87, C.2.2).
pub(super) fn jpeg(bytes: &[u8]) -> Result<FrameHeader, DecodeError> {
    if !bytes.starts_with(&[0xFF, 0xD8]) {
        return Err(DecodeError::Corrupt("expected a JPEG frame, found other bytes".to_owned()));
    }
    for segment in Segments::of(bytes) {
        if segment.ends_header() {
            return Err(DecodeError::Corrupt("expected a start of frame, found a scan".to_owned()));
        }
        if segment.starts_frame() {
            let frame = segment.frame().ok_or(DecodeError::Truncated)?;
            return Ok(FrameHeader {
                precision: frame.precision.into(),
                height: frame.height.into(),
                width: frame.width.into(),
                components: frame.components.into(),
            });
        }
    }
    Err(DecodeError::Truncated)
}

/// Start of a JPEG 2000 codestream, SOC and SIZ.
const CODESTREAM: [u8; 4] = [0xFF, 0x4F, 0xFF, 0x51];
/// A JP2 file has boxes before the codestream; in DICOM they are forbidden and occur.
const LONGEST_BOXES: usize = 1 << 16;
/// Bytes of the shortest tile-part: SOT and SOD.
const SHORTEST_TILE: u64 = 14;

/// Reads the image size of a JPEG 2000 codestream (ITU T.800, A.5.1), and whether its last tile-part is there: the
/// decoder fills what is missing without a word.
pub(super) fn jpeg_2000(bytes: &[u8]) -> Result<FrameHeader, DecodeError> {
    let head = &bytes[..bytes.len().min(LONGEST_BOXES)];
    let start = head.windows(4).position(|window| window == CODESTREAM);
    let start = start.ok_or_else(|| DecodeError::Corrupt("expected JPEG 2000, found other bytes".to_owned()))?;
    let stream = &bytes[start..];
    let long = |at: usize| Ok(u32::from_be_bytes(chunk(stream, at)?));
    let [right, bottom, left, top, tile_width, tile_height, tile_left, tile_top] = {
        let mut sizes = [0; 8];
        for (index, size) in sizes.iter_mut().enumerate() {
            *size = long(8 + 4 * index)?;
        }
        sizes
    };
    let [components_high, components_low, depth, step_x, step_y] = chunk(stream, 40)?;
    let tiles = |end: u32, start: u32, side: u32| u64::from(end.saturating_sub(start)).div_ceil(u64::from(side.max(1)));
    let tiles = tiles(right, tile_left, tile_width).saturating_mul(tiles(bottom, tile_top, tile_height));
    if tiles.saturating_mul(SHORTEST_TILE) > bytes.len() as u64 {
        return Err(DecodeError::Truncated);
    }
    if (step_x, step_y) != (1, 1) {
        return Err(DecodeError::Corrupt("expected JPEG 2000 without subsampling, found subsampling".to_owned()));
    }
    check_tiles(stream)?;
    Ok(FrameHeader {
        width: right.saturating_sub(left),
        height: bottom.saturating_sub(top),
        // The highest bit says whether values are signed; the file's own header counts instead.
        precision: u32::from(depth & 0x7F) + 1,
        components: u16::from_be_bytes([components_high, components_low]).into(),
    })
}

/// Walks over the main header and the tile-parts (ITU T.800, A.4.2).
fn check_tiles(stream: &[u8]) -> Result<(), DecodeError> {
    let mut at = 2;
    loop {
        match chunk(stream, at)? {
            [0xFF, 0xD9] => return Ok(()),
            [0xFF, 0x90] => match u32::from_be_bytes(chunk(stream, at + 6)?) {
                // The last tile-part may reach up to the end.
                0 => return Ok(()),
                length if (length as usize) < SHORTEST_TILE as usize - 2 => {
                    return Err(DecodeError::Corrupt(
                        "expected whole JPEG 2000 tile-parts, found shorter ones".to_owned(),
                    ));
                }
                length => {
                    at += length as usize;
                    match stream.len() {
                        // Some writers leave out the end mark.
                        end if at == end => return Ok(()),
                        end if at > end => return Err(DecodeError::Truncated),
                        _ => {}
                    }
                }
            },
            [0xFF, _] => at += 2 + usize::from(u16::from_be_bytes(chunk(stream, at + 2)?).max(2)),
            // Padding after the last tile-part.
            _ => return Ok(()),
        }
    }
}

fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], DecodeError> {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(DecodeError::Truncated)
}
