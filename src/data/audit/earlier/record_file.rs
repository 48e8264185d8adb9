//! One file with what an audit saw: a part for each scan, a part for its findings, an index of the parts, and at its end where
//! that begins.
//!
//! Parts are found by digests: a scan's by its key, the findings by all that they were made from. Every part and the index
//! have a checksum (XXH3), so that of a damaged file the whole parts can be used.

use crate::base::errors::{Context, Result};
use crate::base::files::{Digest, begin_partial};
use crate::base::regular_file::open_regular;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: [u8; 8] = *b"CCTAUDIT";
/// Magic, version, place and checksum of the index, eight bytes each.
const END: usize = 40;
/// Bytes of an entry of the index.
const ENTRY: usize = 56;
/// Of the program: the hash of all by which it reads and judges files.
pub(super) const VERSION: u64 = version();

const fn version() -> u64 {
    match u64::from_str_radix(env!("COVID_CT_READING"), 16) {
        Ok(version) => version,
        Err(_) => 0,
    }
}

/// Where a part lies.
#[derive(Debug, Clone, Copy)]
struct PartPlace {
    offset: u64,
    length: u64,
    checksum: u64,
}

/// Why a file cannot be used.
#[derive(Debug)]
pub(super) enum Unusable {
    OtherVersion,
    Damaged,
    /// It is no regular file, or the disk or the rights do not let it be read.
    Unreadable(io::Error),
}

/// A file that was written.
pub(super) struct RecordFile {
    file: File,
    parts: HashMap<Digest, PartPlace>,
}

impl RecordFile {
    /// `None` where there is no file.
    pub(super) fn open(path: &Path, version: u64) -> Result<Option<Self>, Unusable> {
        match open_regular(path).map(|file| Self::read(file, version)) {
            Ok(Ok(read)) => read.map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Ok(Err(error)) | Err(error) => Err(Unusable::Unreadable(error)),
        }
    }

    fn read(mut file: File, version: u64) -> io::Result<Result<Self, Unusable>> {
        let length = file.metadata()?.len();
        let Some(end_at) = length.checked_sub(END as u64) else { return Ok(Err(Unusable::Damaged)) };
        let mut end = [0; END];
        file.read_exact_at(&mut end, end_at)?;
        let number = |at: usize| number_at(&end, at);
        if end[..8] != MAGIC {
            return Ok(Err(Unusable::Damaged));
        }
        if number(8) != version {
            return Ok(Err(Unusable::OtherVersion));
        }
        let index_at = number(16);
        let index_length = end_at.checked_sub(index_at).filter(|length| *length == number(24));
        let Some(index_length) = index_length else { return Ok(Err(Unusable::Damaged)) };
        let mut index = Vec::new();
        file.seek(io::SeekFrom::Start(index_at))?;
        Read::take(&mut file, index_length).read_to_end(&mut index)?;
        let (entries, rest) = index.as_chunks::<ENTRY>();
        if xxh3_64(&index) != number(32) || !rest.is_empty() {
            return Ok(Err(Unusable::Damaged));
        }
        let part = |entry: &[u8; ENTRY]| {
            let (key, place) = entry.split_first_chunk::<32>()?;
            let [offset, length, checksum] = [0, 8, 16].map(|at| number_at(place, at));
            let is_inside = offset.checked_add(length).is_some_and(|end| end <= index_at);
            is_inside.then_some((Digest(*key), PartPlace { offset, length, checksum }))
        };
        let parts = entries.iter().map(part).collect::<Option<HashMap<_, _>>>();
        Ok(parts.map(|parts| Self { file, parts }).ok_or(Unusable::Damaged))
    }

    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether there is a part of this key.
    pub(super) fn knows(&self, key: &Digest) -> bool {
        self.parts.contains_key(key)
    }

    /// A part; `None` where it is not there, or not as it was written. It is not longer than the file.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn part(&self, key: &Digest) -> io::Result<Option<Vec<u8>>> {
        let Some(&PartPlace { offset, length, checksum }) = self.parts.get(key) else { return Ok(None) };
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok((xxh3_64(&bytes) == checksum).then_some(bytes))
    }
}

/// The eight bytes there; zero where there are none.
fn number_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |eight| u64::from_le_bytes(*eight))
}

/// A file that is being written: nobody sees it before it is finished, or saved.
pub(super) struct RecordWriting {
    path: PathBuf,
    partial: NamedTempFile,
    end: u64,
    parts: Vec<(Digest, PartPlace)>,
}

impl RecordWriting {
    pub(super) fn begin(path: &Path) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let partial = begin_partial(folder).with_context(|| format!("writing {}", path.display()))?;
        Ok(Self { path: path.to_owned(), partial, end: 0, parts: Vec::new() })
    }

    pub(super) fn put(&mut self, key: Digest, bytes: &[u8]) -> Result<()> {
        self.partial.as_file_mut().write_all(bytes).with_context(|| format!("writing {}", self.path.display()))?;
        let place = PartPlace { offset: self.end, length: bytes.len() as u64, checksum: xxh3_64(bytes) };
        self.end += place.length;
        self.parts.push((key, place));
        Ok(())
    }

    /// Puts what there is in the place of the former file, and goes on.
    pub(super) fn save(&mut self, version: u64) -> Result<()> {
        let mut next = Self::begin(&self.path)?;
        let doing = || format!("writing {}", self.path.display());
        let mut so_far = self.partial.reopen().with_context(doing)?;
        io::copy(&mut so_far, next.partial.as_file_mut()).with_context(doing)?;
        (next.end, next.parts) = (self.end, self.parts.clone());
        std::mem::replace(self, next).finish(version)
    }

    /// Puts it in the place of the former file.
    pub(super) fn finish(mut self, version: u64) -> Result<()> {
        let mut index = Vec::with_capacity(ENTRY * self.parts.len() + END);
        for (key, PartPlace { offset, length, checksum }) in &self.parts {
            index.extend(key.0);
            index.extend([*offset, *length, *checksum].map(u64::to_le_bytes).as_flattened());
        }
        let end = [version, self.end, index.len() as u64, xxh3_64(&index)];
        index.extend(MAGIC);
        index.extend(end.map(u64::to_le_bytes).as_flattened());
        let written = (|| {
            self.partial.as_file_mut().write_all(&index)?;
            self.partial.as_file().sync_all()?;
            self.partial.persist(&self.path)?;
            crate::base::errors::Ok(())
        })();
        written.with_context(|| format!("writing {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const PARTS: [&[u8]; 3] = [b"one", b"", b"the third part"];

    fn written(path: &Path) {
        let mut writing = RecordWriting::begin(path).expect("begins");
        for part in PARTS {
            writing.put(Digest::of(part), part).expect("writes");
        }
        writing.finish(7).expect("finishes");
    }

    #[test]
    fn parts_come_back_and_of_a_damaged_file_the_whole_ones() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("inside/inspected.bin");
        assert!(RecordFile::open(&path, 7).expect("none").is_none());
        written(&path);
        let parts = || {
            let file = RecordFile::open(&path, 7).ok().flatten()?;
            let is_found = |part: &&[u8]| file.part(&Digest::of(part)).expect("reads").as_deref() == Some(*part);
            Some(PARTS.each_ref().map(is_found))
        };
        assert_eq!(parts(), Some([true; 3]));
        assert!(matches!(RecordFile::open(&path, 8), Err(Unusable::OtherVersion)));
        let whole = fs::read(&path).expect("reads");
        // Every byte: a part, or the index, is never taken for what it is not.
        let at_end = whole.len() - END;
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            fs::write(&path, bytes).expect("writes");
            let expected = match at {
                0..3 => Some([false, true, true]),
                3..17 => Some([true, true, false]),
                _ => None,
            };
            assert_eq!(parts(), expected, "byte {at}, the end begins at {at_end}");
        }
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).expect("writes");
            assert!(matches!(RecordFile::open(&path, 7), Err(Unusable::Damaged)), "{length} bytes");
        }
        fs::remove_file(&path).expect("removes");
        fs::create_dir(&path).expect("a folder");
        let Err(Unusable::Unreadable(error)) = RecordFile::open(&path, 7) else { panic!("a folder was read") };
        assert_eq!(error.to_string(), "expected a regular file, found a folder");
    }

    #[test]
    fn a_part_beyond_the_parts_is_damage_and_takes_no_memory() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("inspected.bin");
        let key = Digest::of(b"one");
        let open_with = |offset: u64, length: u64| {
            let mut writing = RecordWriting::begin(&path).expect("begins");
            writing.put(key, b"one").expect("writes");
            writing.parts[0].1 = PartPlace { offset, length, checksum: writing.parts[0].1.checksum };
            writing.finish(7).expect("finishes");
            RecordFile::open(&path, 7)
        };
        let whole = open_with(0, 3).expect("opens").expect("is there");
        assert_eq!(whole.part(&key).expect("reads").as_deref(), Some(&b"one"[..]));
        for (offset, length) in [(0, 4), (1, 3), (0, u64::MAX), (u64::MAX, 3), (1 << 62, 1 << 62)] {
            let damaged = matches!(open_with(offset, length), Err(Unusable::Damaged));
            assert!(damaged, "{length} bytes at {offset}");
        }
    }

    #[test]
    fn what_cannot_be_read_any_more_is_an_error_and_no_damage() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("inspected.bin");
        written(&path);
        let file = RecordFile::open(&path, 7).expect("whole").expect("is there");
        let of = |part: &[u8]| file.part(&Digest::of(part));
        assert_eq!(of(b"another").expect("is not there"), None);
        fs::File::options().write(true).open(&path).expect("opens").set_len(5).expect("cuts");
        assert_eq!(of(PARTS[0]).expect("reads").as_deref(), Some(PARTS[0]));
        assert_eq!(of(PARTS[2]).expect_err("is gone").kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_was_saved_on_the_way_is_there_after_a_kill() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("inspected.bin");
        let known = || {
            let file = RecordFile::open(&path, 7).expect("whole").expect("is there");
            PARTS.map(|part| file.part(&Digest::of(part)).expect("reads").as_deref() == Some(part))
        };
        let mut writing = RecordWriting::begin(&path).expect("begins");
        writing.put(Digest::of(PARTS[0]), PARTS[0]).expect("writes");
        writing.save(7).expect("saves");
        assert_eq!(known(), [true, false, false]);
        writing.put(Digest::of(PARTS[2]), PARTS[2]).expect("writes");
        assert_eq!(known(), [true, false, false]);
        writing.save(7).expect("saves");
        assert_eq!(known(), [true, false, true]);
        drop(writing);
        assert_eq!(known(), [true, false, true]);
        assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), 1, "nothing else is left");
    }
}
