//! Opens the files of slices: pictures, DICOM files and volumes. A file of many slices is read once for all of them; two
//! volumes are in memory at a time, however many there are.

use crate::base::errors::{Context, Result, ensure};
use crate::base::files::Digest;
use crate::base::interrupt::go_on;
use crate::base::parallel::in_parallel;
use crate::base::regular_file::{open_regular, read_regular};
use crate::data::decode::{
    DecodeError, DecodeLimits, Format, Header, PictureSettings, decode_coloured, decode_picture, is_jpeg_without_end,
};
use crate::data::dicom::DicomFile;
use crate::data::foreign::Foreign;
use crate::data::pixels::{Pixels, Turn};
use crate::data::volume::{Volume, data_file, joined, may_name_data};
use rayon::prelude::*;
use std::borrow::Cow;
use std::io::Read;
use std::iter::Peekable;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The longest file of one slice that is read, in bytes: a slice of 8192 x 8192 pixels of 16 bits has half of it.
pub(crate) const SLICE_AT_MOST: u64 = 256_000_000;
/// The longest file of many slices: 2,000 of 512 x 512 doubles.
pub(crate) const VOLUME_AT_MOST: u64 = 4_200_000_000;

/// A file of many slices, ready to give any of them.
pub(crate) enum Opened {
    Dicom(Box<DicomFile>),
    Volume(Box<Volume>),
}

impl Opened {
    fn of(path: &Path, bytes: Vec<u8>, format: Format) -> Result<Self, DecodeError> {
        match format {
            Format::Dicom => Ok(Self::Dicom(Box::new(DicomFile::open(bytes)?))),
            _ => Ok(Self::Volume(Box::new(Volume::open(&last_part(path), bytes)?))),
        }
    }

    fn frame(&self, frame: u32, turn: Turn) -> Result<Pixels, DecodeError> {
        Ok(Pixels::Hounsfield(match self {
            Self::Dicom(file) => file.frame(frame, turn)?,
            Self::Volume(volume) => volume.frame(frame)?,
        }))
    }
}

fn last_part(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Where a slice lies in its file, and how it is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameView {
    pub(crate) frame: u32,
    pub(crate) turn: Turn,
    pub(crate) said: PictureSettings,
}

/// The contents of a file: its bytes, or the volume that they hold.
pub(crate) enum Contents<'a> {
    Bytes(Cow<'a, [u8]>),
    /// With the size in bytes and the hash of the whole file.
    Opened(&'a Result<Opened, DecodeError>, u64, Digest),
}

impl Contents<'_> {
    /// Bytes in the file.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Opened(_, bytes, _) => *bytes,
        }
    }

    /// Hash of the whole file, with the data that a header in a file of its own names.
    pub(crate) fn sha256(&self) -> Digest {
        match self {
            Self::Bytes(bytes) => Digest::of(bytes),
            Self::Opened(_, _, sha256) => *sha256,
        }
    }

    /// What a file of one slice holds that is no picture.
    pub(crate) fn foreign(&self, name: &str) -> Option<Foreign> {
        match self {
            Self::Bytes(bytes) => Foreign::of(name, bytes),
            Self::Opened(..) => None,
        }
    }

    /// The same contents, to be decoded while these are kept.
    pub(crate) fn borrowed(&self) -> Contents<'_> {
        match self {
            Self::Bytes(bytes) => Contents::Bytes(Cow::Borrowed(bytes)),
            Self::Opened(opened, bytes, sha256) => Contents::Opened(opened, *bytes, *sha256),
        }
    }

    /// Whether the file is a JPEG of which the end is not marked.
    pub(crate) fn lacks_end_marker(&self) -> bool {
        matches!(self, Self::Bytes(bytes) if is_jpeg_without_end(bytes))
    }

    /// The header of a picture.
    pub(crate) fn picture_header(&self) -> Option<Header> {
        match self {
            Self::Bytes(bytes) => Header::parse(bytes),
            Self::Opened(..) => None,
        }
    }

    /// Decodes one slice; `header` is what the manifest says of the file.
    pub(crate) fn pixels(self, header: Option<Header>, view: FrameView) -> Result<Pixels, DecodeError> {
        match (self, header.map(|header| header.format).filter(|format| !format.is_picture())) {
            (Self::Opened(opened, ..), _) => opened.as_ref().map_err(Clone::clone)?.frame(view.frame, view.turn),
            (Self::Bytes(bytes), Some(format)) => {
                Opened::of(Path::new(""), bytes.into_owned(), format)?.frame(view.frame, view.turn)
            }
            (Self::Bytes(bytes), None) => decode_picture(&bytes, view.said, DecodeLimits::USUAL),
        }
    }

    /// The same, with the share of a picture of three channels that is coloured, 0 to 1.
    pub(crate) fn coloured_pixels(
        self,
        header: Option<Header>,
        view: FrameView,
    ) -> Result<(Pixels, Option<f32>), DecodeError> {
        match self {
            Self::Bytes(bytes) if header.is_none_or(|header| header.format.is_picture()) => {
                decode_coloured(&bytes, view.said, DecodeLimits::USUAL)
            }
            contents => Ok((contents.pixels(header, view)?, None)),
        }
    }
}

/// A file that has been read whole; a volume is opened, too.
pub(crate) struct Loaded {
    bytes: Vec<u8>,
    volume: Option<(Result<Opened, DecodeError>, u64, Digest)>,
}

impl Loaded {
    /// # Errors
    /// A file that cannot be read, is no regular file, or longer than a slice or a volume.
    pub(crate) fn read(path: &Path, volume: Option<Format>) -> Result<Self> {
        let at_most = if volume.is_some() { VOLUME_AT_MOST } else { SLICE_AT_MOST };
        let bytes = read_file(path, at_most).with_context(|| format!("reading slice {}", path.display()))?;
        Ok(match volume {
            None => Self { bytes, volume: None },
            Some(format) => {
                let (length, sha256) = (bytes.len() as u64, Digest::of(&bytes));
                Self { bytes: Vec::new(), volume: Some((Opened::of(path, bytes, format), length, sha256)) }
            }
        })
    }

    pub(crate) fn contents(&self) -> Contents<'_> {
        match &self.volume {
            Some((opened, bytes, sha256)) => Contents::Opened(opened, *bytes, *sha256),
            None => Contents::Bytes(Cow::Borrowed(&self.bytes)),
        }
    }

    pub(crate) fn into_contents(self) -> Contents<'static> {
        Contents::Bytes(Cow::Owned(self.bytes))
    }
}

/// The bytes of a file, followed by those of the data file that an NRRD or MetaImage header names.
fn read_file(path: &Path, at_most: u64) -> std::io::Result<Vec<u8>> {
    let bytes = read_regular(path, at_most)?;
    let name = last_part(path);
    // A header that names none, or a missing file, is found when the volume is opened.
    let Some(Ok(Some(data))) = may_name_data(&name).then(|| data_file(&name, &bytes)) else { return Ok(bytes) };
    let mut joined = joined(&name, &bytes, &[]);
    let data = path.with_file_name(data);
    if data.is_file() {
        joined.extend(read_regular(&data, at_most)?);
    }
    Ok(joined)
}

/// The hash of the whole file of a slice, as a manifest has it.
///
/// # Errors
/// Those of [`Loaded::read`].
pub(crate) fn hash_of_slice(path: &Path, is_volume: bool) -> Result<Digest> {
    let doing = || format!("reading slice {}", path.display());
    if data_beside(path).with_context(doing)?.is_none() {
        // Whole volumes at once on every thread would fill the memory.
        return Digest::of_file(path);
    }
    let at_most = if is_volume { VOLUME_AT_MOST } else { SLICE_AT_MOST };
    Ok(Digest::of(&read_file(path, at_most).with_context(doing)?))
}

/// The longest header that names the file of its data.
const HEADER_AT_MOST: u64 = 1 << 20;

/// The file in which the data of an NRRD or MetaImage header lie, where that is another one.
///
/// # Errors
/// A header that cannot be read.
pub(crate) fn data_beside(path: &Path) -> std::io::Result<Option<PathBuf>> {
    let name = last_part(path);
    if !may_name_data(&name) {
        return Ok(None);
    }
    let mut first = Vec::new();
    open_regular(path)?.take(HEADER_AT_MOST).read_to_end(&mut first)?;
    Ok(data_file(&name, &first).ok().flatten().map(|data| path.with_file_name(data)))
}

/// A file that holds many slices, and its format.
pub(crate) type VolumeFile = (PathBuf, Format);

/// Volumes in a fixed order, two in memory at a time: inflating one takes one processor, so that two are read at once.
pub(crate) struct VolumePairs<'a> {
    coming: Peekable<Box<dyn Iterator<Item = VolumeFile> + 'a>>,
    loaded: Vec<(PathBuf, Loaded)>,
}

impl<'a> VolumePairs<'a> {
    /// Of these volumes; one that is repeated in a row is read once. Nothing is read yet.
    pub(crate) fn of(volumes: impl Iterator<Item = VolumeFile> + 'a) -> Self {
        let volumes: Box<dyn Iterator<Item = VolumeFile> + 'a> = Box::new(volumes);
        Self { coming: volumes.peekable(), loaded: Vec::new() }
    }

    /// The volume at this path, one of the present two or of the next.
    pub(crate) fn get(&mut self, path: &Path) -> Result<&Loaded> {
        while !self.loaded.iter().any(|(loaded, _)| loaded == path) {
            self.loaded.clear();
            let next: Vec<VolumeFile> = [self.next(), self.next()].into_iter().flatten().collect();
            ensure!(!next.is_empty(), "{} was passed over", path.display());
            let read = |(path, format): VolumeFile| Ok((path.clone(), Loaded::read(&path, Some(format))?));
            self.loaded = next.into_par_iter().map(read).collect::<Result<_>>()?;
        }
        let found = self.loaded.iter().find(|(loaded, _)| loaded == path);
        found.map(|(_, loaded)| loaded).context("a volume that was read is gone")
    }

    fn next(&mut self) -> Option<VolumeFile> {
        let next = self.coming.next()?;
        while self.coming.next_if(|following| following.0 == next.0).is_some() {}
        Some(next)
    }
}

/// Ranges of items that are either all files of their own, or all slices of one volume.
pub(crate) fn runs(
    items: Range<usize>,
    volume: impl Fn(usize) -> Option<VolumeFile>,
) -> Vec<(Range<usize>, Option<VolumeFile>)> {
    let mut runs: Vec<(Range<usize>, Option<VolumeFile>)> = Vec::new();
    for item in items {
        let volume = volume(item);
        match runs.last_mut() {
            Some((range, of)) if *of == volume => range.end = item + 1,
            _ => runs.push((item..item + 1, volume)),
        }
    }
    runs
}

/// Two results for every item, in the items' order; each file is read once. Files of one slice are read in parallel,
/// volumes two at a time and their slices in parallel. `volume` is an item's file if that holds many slices.
///
/// # Errors
/// The first failure.
pub(crate) fn each_slice<A: Send, B: Send>(
    count: usize,
    path: impl Fn(usize) -> PathBuf + Sync + Send,
    volume: impl Fn(usize) -> Option<VolumeFile> + Sync + Send,
    work: impl Fn(usize, Contents<'_>) -> Result<(A, B)> + Sync + Send,
) -> Result<(Vec<A>, Vec<B>)> {
    let work = |item, contents: Contents<'_>| {
        go_on()?;
        work(item, contents)
    };
    let mut volumes = VolumePairs::of((0..count).filter_map(&volume));
    let mut all: Option<(Vec<A>, Vec<B>)> = None;
    for (range, volume) in runs(0..count, &volume) {
        let part = match volume {
            None => {
                in_parallel(range.into_par_iter(), |item| work(item, Loaded::read(&path(item), None)?.into_contents()))?
            }
            Some((path, _)) => {
                let loaded = volumes.get(&path)?;
                in_parallel(range.into_par_iter(), |item| work(item, loaded.contents()))?
            }
        };
        match &mut all {
            None => all = Some(part),
            Some((first, second)) => {
                first.extend(part.0);
                second.extend(part.1);
            }
        }
    }
    Ok(all.unwrap_or_default())
}
