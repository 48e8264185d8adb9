//! Reads and decodes the slices of a manifest.

use super::{ListedSlice, Manifest, Slice};
use crate::base::errors::{Context, Result, bail};
use crate::base::progress::{Meter, Progress};
use crate::data::decode::{DecodeError, PictureSettings};
use crate::data::opened::{Contents, FrameView, Loaded, VolumeFile, each_slice};
use crate::data::pixels::{GreyImage, Pixels};
use crate::data::window::Window;
use std::path::PathBuf;

impl Manifest {
    /// Reads all of the listed slices, and adds their records.
    pub(super) fn read_slices<T: Send>(
        &mut self,
        files: Vec<ListedSlice>,
        stage: &str,
        progress: &(dyn Fn(&Progress) + Sync),
        look: impl Fn(usize, &Self, &Slice, Contents<'_>) -> Result<T> + Sync + Send,
    ) -> Result<Vec<T>> {
        let meter = Meter::new(stage, "slices", files.len(), 0, progress);
        let all: Vec<usize> = (0..files.len()).collect();
        let (slices, seen) = self.read_listed(&files, &all, |index, slice, contents| {
            let seen = look(index, self, slice, contents)?;
            meter.add(1);
            Ok(seen)
        })?;
        meter.finish();
        self.slices = slices;
        Ok(seen)
    }

    /// Reads those of the listed slices whose numbers are `wanted`, each file once: their records, and what `look` saw.
    pub(crate) fn read_listed<T: Send>(
        &self,
        files: &[ListedSlice],
        wanted: &[usize],
        look: impl Fn(usize, &Slice, Contents<'_>) -> Result<T> + Sync + Send,
    ) -> Result<(Vec<Slice>, Vec<T>)> {
        let place = |at: usize| self.place_of_listed(&files[wanted[at]]);
        let volume = |at: usize| {
            let file = &files[wanted[at]];
            let of = file.header.filter(|_| file.frame.is_some())?;
            Some((place(at), of.format))
        };
        each_slice(wanted.len(), place, volume, |at, contents| {
            let slice = Slice::of(files[wanted[at]].clone(), &contents);
            let seen = look(wanted[at], &slice, contents)?;
            Ok((slice, seen))
        })
    }

    /// Where a listed slice's file lies.
    pub(crate) fn place_of_listed(&self, file: &ListedSlice) -> PathBuf {
        self.place(file.scan, &file.file, file.at.as_deref())
    }

    /// Where a slice's file lies.
    pub fn place_of(&self, slice: &Slice) -> PathBuf {
        self.place(slice.scan, &slice.file, slice.at.as_deref())
    }

    fn place(&self, scan: usize, file: &str, at: Option<&str>) -> PathBuf {
        match at {
            Some(at) => self.root.join(at),
            None => self.root.join(format!("{}/{file}", self.scans[scan].folder)),
        }
    }

    /// The file and format of a slice whose file holds many.
    pub(crate) fn volume_of(&self, slice: &Slice) -> Option<VolumeFile> {
        let header = slice.header.filter(|_| slice.frame.is_some())?;
        Some((self.place_of(slice), header.format))
    }

    /// How a slice is read from its file.
    pub(crate) fn view(&self, slice: &Slice) -> FrameView {
        let turn = self.scan_of(slice).acquisition.as_ref().map(|of| of.turn).unwrap_or_default();
        FrameView { frame: slice.frame.unwrap_or(0), turn, said: self.said() }
    }

    /// What was said of its pictures.
    pub(crate) fn said(&self) -> PictureSettings {
        PictureSettings { sixteen_bit: self.sixteen_bit, accepts_no_end: self.accepts_no_end }
    }

    /// A slice's pixels from the contents of its file.
    pub(crate) fn decoded(&self, slice: &Slice, contents: Contents<'_>) -> Result<Pixels, DecodeError> {
        contents.pixels(slice.header, self.view(slice))
    }

    /// Reads and decodes one slice. Of a volume the whole file is read: see [`each_slice`] for many.
    ///
    /// # Errors
    /// A file that cannot be read or decoded, or has changed since it was listed.
    pub(crate) fn pixels_of(&self, slice: &Slice) -> Result<Pixels> {
        let path = self.place_of(slice);
        let doing = || format!("reading slice {}", path.display());
        let loaded = Loaded::read(&path, self.volume_of(slice).map(|(_, format)| format))?;
        slice.must_be(&loaded.contents()).with_context(doing)?;
        self.decoded(slice, loaded.contents()).with_context(doing)
    }

    /// A slice in its own size, in grey levels through a window.
    ///
    /// # Errors
    /// A file that cannot be read or decoded.
    pub fn grey(&self, slice: &Slice, window: Window) -> Result<GreyImage> {
        Ok(self.pixels_of(slice)?.into_grey(window))
    }

    /// Reads and decodes slices, each file once.
    ///
    /// # Errors
    /// Those of [`pixels_of`](Self::pixels_of).
    pub(crate) fn pixels_of_each(&self, slices: &[&Slice]) -> Result<Vec<Pixels>> {
        let (place, volume) =
            (|index: usize| self.place_of(slices[index]), |index: usize| self.volume_of(slices[index]));
        let decoded = |index: usize, contents: Contents<'_>| {
            let doing = || format!("reading slice {}", place(index).display());
            slices[index].must_be(&contents).with_context(doing)?;
            Ok((self.decoded(slices[index], contents).with_context(doing)?, ()))
        };
        Ok(each_slice(slices.len(), place, volume, decoded)?.0)
    }

    /// A slice's width, height and values in Hounsfield units, row by row, as radiologists see it.
    ///
    /// # Errors
    /// A file that cannot be read or decoded, or a picture of grey levels.
    pub fn hounsfield(&self, slice: &Slice) -> Result<(u32, u32, Vec<f32>)> {
        match self.pixels_of(slice)? {
            Pixels::Hounsfield(of) => Ok((of.width, of.height, of.values)),
            Pixels::Grey(_) => bail!("{} holds grey levels, not Hounsfield units", self.path(slice)),
        }
    }

    /// Two results for every slice, in order; each file is read once.
    pub(crate) fn each_slice<A: Send, B: Send>(
        &self,
        work: impl Fn(usize, &Slice, Contents<'_>) -> Result<(A, B)> + Sync + Send,
    ) -> Result<(Vec<A>, Vec<B>)> {
        let slice = |index: usize| &self.slices[index];
        let (place, volume) = (|index| self.place_of(slice(index)), |index| self.volume_of(slice(index)));
        each_slice(self.slices.len(), place, volume, |index, contents| work(index, slice(index), contents))
    }
}
