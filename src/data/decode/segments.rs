//! The marker segments of JPEG and JPEG-LS files (ITU T.81, B.1; T.87, C.1).

use memchr::memchr;

/// Start and end of the image, and of a scan.
const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
pub(crate) const SOS: u8 = 0xDA;

/// A marker with what belongs to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment<'a> {
    /// The byte after FF.
    pub(crate) marker: u8,
    /// What follows the two bytes of its length; empty for a marker that stands alone.
    pub(crate) body: &'a [u8],
    /// From the marker's byte on.
    whole: &'a [u8],
}

/// What a start of frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StartOfFrame {
    pub(crate) marker: u8,
    /// Bits of a value.
    pub(crate) precision: u8,
    pub(crate) width: u16,
    pub(crate) height: u16,
    /// Values of a pixel.
    pub(crate) components: u8,
}

impl Segment<'_> {
    /// Whether it starts a frame: SOF0 to SOF15 without DHT (C4), JPG (C8) and DAC (CC); F7 is that of JPEG-LS.
    pub(crate) fn starts_frame(&self) -> bool {
        matches!(self.marker, 0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF | 0xF7)
    }

    /// Reads a start of frame; `None` where it is cut.
    pub(crate) fn frame(&self) -> Option<StartOfFrame> {
        let [precision, y1, y0, x1, x0, components] = *self.body.first_chunk()?;
        let (width, height) = (u16::from_be_bytes([x1, x0]), u16::from_be_bytes([y1, y0]));
        Some(StartOfFrame { marker: self.marker, precision, width, height, components })
    }

    /// Whether the image's data, or the image itself, ends the header here.
    pub(crate) fn ends_header(&self) -> bool {
        matches!(self.marker, EOI | SOS)
    }
}

impl StartOfFrame {
    pub(crate) fn pixels(&self) -> usize {
        usize::from(self.width) * usize::from(self.height)
    }

    /// Progressive: in several scans of increasing detail.
    pub(crate) fn is_progressive(&self) -> bool {
        matches!(self.marker, 0xC2 | 0xC6 | 0xCA | 0xCE)
    }

    /// Of JPEG-LS, another standard.
    pub(crate) fn is_jpeg_ls(&self) -> bool {
        self.marker == 0xF7
    }

    /// Predicted from the neighbours, without loss.
    pub(crate) fn is_lossless(&self) -> bool {
        matches!(self.marker, 0xC3 | 0xC7 | 0xCB | 0xCF)
    }

    /// In a pyramid of pictures of increasing size, each stored as the difference to the one before.
    pub(crate) fn is_hierarchical(&self) -> bool {
        matches!(self.marker, 0xC5..=0xC7 | 0xCD..=0xCF)
    }

    /// Coded by arithmetic, and not by Huffman's codes.
    pub(crate) fn is_arithmetic(&self) -> bool {
        (0xC9..=0xCF).contains(&self.marker)
    }
}

/// The segments of a file in turn, of a header or of all of it.
pub(crate) struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Segments<'a> {
    /// Of a file that begins with SOI, which is passed over.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 2 }
    }

    /// The compressed data from here to the next marker; an FF in it is followed by 00 or a restart marker.
    fn data(&mut self) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let mut length = 0;
        while let Some(found) = rest.get(length..).and_then(|rest| memchr(0xFF, rest)) {
            length += found;
            match rest.get(length + 1) {
                Some(0x00 | 0xD0..=0xD7) => length += 2,
                Some(0xFF) => length += 1,
                Some(_) => return self.taken(length),
                None => break,
            }
        }
        self.taken(rest.len())
    }

    fn taken(&mut self, length: usize) -> &'a [u8] {
        let taken = self.bytes.get(self.at..self.at + length).unwrap_or_default();
        self.at += taken.len();
        taken
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    /// The next segment, past bytes that belong to none. Compressed data is such, too, where [`Segments::data`] did not
    /// take it.
    fn next(&mut self) -> Option<Segment<'a>> {
        loop {
            self.at += memchr(0xFF, self.bytes.get(self.at..)?)?;
            match *self.bytes.get(self.at + 1)? {
                0xFF => self.at += 1,
                0x00 => self.at += 2,
                marker => {
                    let whole = &self.bytes[self.at + 1..];
                    let length = match (marker, whole) {
                        (0x01 | 0xD0..=EOI, _) => 1,
                        (_, [_, high, low, ..]) => 1 + usize::from(u16::from_be_bytes([*high, *low]).max(2)),
                        _ => return None,
                    };
                    let whole = &whole[..length.min(whole.len())];
                    self.at += 1 + whole.len();
                    return Some(Segment { marker, body: whole.get(3..).unwrap_or_default(), whole });
                }
            }
        }
    }
}

/// The start of the frame, which the header ends with.
pub(crate) fn start_of_frame(bytes: &[u8]) -> Option<StartOfFrame> {
    Segments::of(bytes).take_while(|segment| !segment.ends_header()).find(Segment::starts_frame)?.frame()
}

/// What follows the header of the first scan.
pub(crate) fn after_header(bytes: &[u8]) -> Option<&[u8]> {
    let mut segments = Segments::of(bytes);
    segments.find(|segment| segment.marker == SOS)?;
    bytes.get(segments.at..)
}

/// Whether Adobe's segment says that four channels are YCCK and not CMYK.
pub(crate) fn is_ycck(bytes: &[u8]) -> bool {
    let mut header = Segments::of(bytes).take_while(|segment| !segment.ends_header());
    header.any(|of| of.marker == 0xEE && of.body.starts_with(b"Adobe") && of.body.get(11) == Some(&2))
}

/// Whether the image's end is marked. In compressed data every FF is followed by 00 or a restart marker, so that an end is
/// nothing else.
pub(crate) fn has_end(bytes: &[u8]) -> bool {
    bytes.ends_with(&[0xFF, EOI]) || Segments::of(bytes).any(|segment| segment.marker == EOI)
}

/// The file with its end marked.
pub(crate) fn with_end(bytes: &[u8]) -> Vec<u8> {
    [bytes, &[0xFF, EOI]].concat()
}

/// Whether the headers of the scans promise every bit of every coefficient of every channel (T.81, B.2.3 and G.1.1.1): a
/// progressive file that ends between two scans decodes without a warning, to a picture that is less sharp.
pub(crate) fn has_all_scans(bytes: &[u8]) -> bool {
    const COEFFICIENTS: usize = 64;
    let (mut channels, mut is_lossless): (Vec<(u8, [bool; COEFFICIENTS])>, bool) = (Vec::new(), false);
    for segment in Segments::of(bytes) {
        match (segment.marker, segment.body) {
            (SOS, [count, rest @ ..]) => {
                let Some((of, [first, last, bits, ..])) = rest.split_at_checked(2 * usize::from(*count)) else {
                    return false;
                };
                // Without loss these numbers are of the prediction (T.81, H.1.1): one scan holds all.
                let (first, last, bits) = if is_lossless { (&0, &63, &0) } else { (first, last, bits) };
                let whole = usize::from(*first)..usize::from(*last).saturating_add(1).min(COEFFICIENTS);
                for id in of.iter().step_by(2).filter(|_| bits & 0x0F == 0) {
                    let channel = channels.iter_mut().find(|(known, _)| known == id);
                    let Some((_, known)) = channel else { return false };
                    known.get_mut(whole.clone()).unwrap_or_default().fill(true);
                }
            }
            (_, [_, _, _, _, _, _, of @ ..]) if segment.starts_frame() => {
                is_lossless = segment.frame().is_some_and(|frame| frame.is_lossless());
                channels = of.chunks_exact(3).map(|channel| (channel[0], [false; COEFFICIENTS])).collect();
            }
            _ => {}
        }
    }
    !channels.is_empty() && channels.iter().all(|(_, known)| known.iter().all(|known| *known))
}

/// The height that a DNL segment after the first scan states (T.81, B.2.5), for a header that leaves it open.
pub(crate) fn height_after_scan(bytes: &[u8]) -> Option<u16> {
    const DNL: u8 = 0xDC;
    let segment = Segments::of(bytes).find(|segment| segment.marker == DNL)?;
    segment.body.first_chunk().map(|height| u16::from_be_bytes(*height))
}

/// Where in the file the start of frame holds the height: two bytes, the higher one first.
pub(crate) fn place_of_height(bytes: &[u8]) -> Option<usize> {
    let frame = Segments::of(bytes).take_while(|of| !of.ends_header()).find(Segment::starts_frame)?;
    // After the bits of a value.
    Some(frame.body.as_ptr() as usize - bytes.as_ptr() as usize + 1)
}

/// Scans up to the end of the image.
pub(crate) fn scans(bytes: &[u8]) -> usize {
    Segments::of(bytes).take_while(|segment| segment.marker != EOI).filter(|segment| segment.marker == SOS).count()
}

/// The file without the bytes that belong to no segment and to no scan; `None` where there are no such bytes.
pub(crate) fn without_extraneous_bytes(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut kept = vec![0xFF, SOI];
    let mut segments = Segments::of(bytes);
    while let Some(segment) = segments.next() {
        kept.push(0xFF);
        kept.extend(segment.whole);
        match segment.marker {
            EOI => break,
            SOS => kept.extend(segments.data()),
            _ => {}
        }
    }
    (kept.len() < segments.at).then_some(kept)
}
