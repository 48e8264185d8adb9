//! What an earlier audit saw of each scan, kept beside it: another audit reads only the scans of which something has changed.

use super::Finding;
use crate::base::errors::{Context, Result};
use crate::base::files::Digest;
use crate::base::interrupt::go_on;
use crate::base::progress::{Meter, Progress, counted};
use crate::data::manifest::{ListedSlice, Manifest, Scan, Slice};
use crate::data::opened::hash_of_slice;
use rayon::prelude::*;
use record_file::{RecordFile, RecordWriting, Unusable, VERSION};
use scan_key::key_of_scan;
use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

mod record_file;
mod scan_key;
mod scan_record;

pub(crate) use scan_key::FileStamp;
pub(super) use scan_record::ScanRecord;

const FILE: &str = "inspected.bin";
/// A killed audit loses what it saw since it last kept it.
const BETWEEN_SAVES: Duration = Duration::from_secs(30);

/// What an earlier audit of a data set saw, in the file `inspected.bin` beside it. A scan is known again by size, inode and
/// times (of the last change, and of the last change of owner, name or mode) of each of its files, by the files' names, and by
/// what was said of its pictures; its folder may be another one. The file is written by every
/// [incremental audit](super::Audit::incremental), also by one that is interrupted; without it, all slices are read.
#[derive(Debug, Clone, PartialEq)]
pub struct EarlierAudit {
    file: PathBuf,
    is_verified: bool,
    /// Of the program: what another version saw is not used.
    version: u64,
}

impl EarlierAudit {
    /// That beside the audit in `folder`, for example `data_manifest/<data set>`.
    pub fn beside(folder: impl AsRef<Path>) -> Self {
        Self { file: folder.as_ref().join(FILE), is_verified: false, version: VERSION }
    }

    /// Every file is hashed, and those that differ although size, inode and times do not are read again. Archives are read
    /// as if for the first time.
    pub fn verified(self) -> Self {
        Self { is_verified: true, ..self }
    }

    pub(crate) fn is_verified(&self) -> bool {
        self.is_verified
    }
}

/// The slices of each scan among those that are listed.
pub(super) fn ranges_of_scans(files: &[ListedSlice], scans: usize) -> Vec<Range<usize>> {
    let begin = |scan: usize| files.partition_point(|file| file.scan < scan);
    (0..scans).map(|scan| begin(scan)..begin(scan + 1)).collect()
}

/// What was found of one scan.
enum Recalled {
    Unknown,
    Damaged,
    /// The earlier audit's file cannot be read there.
    Unreadable(io::Error),
    /// A file's hash is another.
    Differs,
    Known(Box<ScanRecord>),
}

/// The earlier audit, as the present one uses and replaces it.
pub(crate) struct Recall {
    earlier: EarlierAudit,
    known: Option<RecordFile>,
    /// Of each scan, where it is to be known again.
    keys: Vec<Option<Digest>>,
    is_taken: Vec<bool>,
    /// Scans of which what is known is not to be kept: their files are not what they seem, or the record is damaged.
    doubted: HashSet<usize>,
    writing: Option<RecordWriting>,
    written: HashSet<Digest>,
    saved: Instant,
    notes: Vec<String>,
}

impl Recall {
    /// Of listed slices; `stamp` gives by what the file of one of them is known again.
    ///
    /// # Errors
    /// The running cell was asked to end.
    pub(crate) fn of(
        earlier: &EarlierAudit,
        manifest: &Manifest,
        files: &[ListedSlice],
        stamp: impl Fn(usize) -> Option<FileStamp> + Sync,
    ) -> Result<Self> {
        let ranges = ranges_of_scans(files, manifest.scans.len());
        let key = |(range, scan): (&Range<usize>, &Scan)| {
            go_on()?;
            let turn = scan.acquisition.as_ref().map(|of| of.turn).unwrap_or_default();
            Ok(key_of_scan(&files[range.clone()], turn, manifest.said(), |at| stamp(range.start + at)))
        };
        let keys = ranges.par_iter().zip(&manifest.scans).map(key).collect::<Result<Vec<_>>>()?;
        let mut notes = Vec::new();
        let known = RecordFile::open(&earlier.file, earlier.version).unwrap_or_else(|reason| {
            let what = match reason {
                Unusable::Damaged => "is damaged".to_owned(),
                Unusable::OtherVersion => "is of another version of this program".to_owned(),
                Unusable::Unreadable(error) => format!("cannot be read ({error})"),
            };
            notes.push(format!("{} {what}: all slices are read.", earlier.file.display()));
            None
        });
        let is_taken = vec![false; keys.len()];
        let (doubted, written) = (HashSet::new(), HashSet::new());
        let (earlier, saved) = (earlier.clone(), Instant::now());
        Ok(Self { earlier, known, keys, is_taken, doubted, writing: None, written, saved, notes })
    }

    /// All is read, and kept.
    pub(crate) fn of_nothing(self) -> Self {
        Self { known: None, ..self }
    }

    /// What is known of each scan.
    ///
    /// # Errors
    /// The running cell was asked to end.
    pub(super) fn scans(
        &mut self,
        manifest: &Manifest,
        files: &[ListedSlice],
        progress: &(dyn Fn(&Progress) + Sync),
    ) -> Result<Vec<Option<ScanRecord>>> {
        let Some(known) = &self.known else { return Ok(self.keys.iter().map(|_| None).collect()) };
        let ranges = ranges_of_scans(files, self.keys.len());
        let meter = self.earlier.is_verified.then(|| Meter::new("verify", "slices", files.len(), 0, progress));
        let recall = |(range, key): (&Range<usize>, &Option<Digest>)| {
            go_on()?;
            let Some(key) = key.filter(|key| !range.is_empty() && known.knows(key)) else {
                return Ok(Recalled::Unknown);
            };
            let listed = &files[range.clone()];
            let part = match known.part(&key) {
                Ok(part) => part,
                Err(error) => return Ok(Recalled::Unreadable(error)),
            };
            let Some(record) = part.and_then(|part| ScanRecord::unpacked(&part, manifest, listed)) else {
                return Ok(Recalled::Damaged);
            };
            if let Some(meter) = &meter {
                if !is_as_recorded(manifest, &record)? {
                    return Ok(Recalled::Differs);
                }
                meter.add(listed.len());
            }
            Ok(Recalled::Known(Box::new(record)))
        };
        let found = ranges.par_iter().zip(&self.keys).map(recall).collect::<Result<Vec<_>>>()?;
        meter.inspect(Meter::finish);
        let (mut damaged, mut different, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
        let mut taken = Vec::with_capacity(found.len());
        for (scan, found) in found.into_iter().enumerate() {
            taken.push(None);
            match found {
                Recalled::Known(record) => taken[scan] = Some(*record),
                Recalled::Unknown => {}
                Recalled::Damaged => damaged.push(scan),
                Recalled::Differs => different.push(scan),
                Recalled::Unreadable(error) => unreadable.push((scan, error)),
            }
        }
        self.doubted =
            damaged.iter().chain(&different).chain(unreadable.iter().map(|(scan, _)| scan)).copied().collect();
        let file = self.earlier.file.display();
        let not_known = |scans: usize| {
            format!("{} {} not known from it.", counted(scans as u64, "scan"), if scans == 1 { "is" } else { "are" })
        };
        if !damaged.is_empty() {
            self.notes.push(format!("{file} is damaged: {}", not_known(damaged.len())));
        }
        if let Some((_, error)) = unreadable.first() {
            self.notes.push(format!("{file} cannot be read in places ({error}): {}", not_known(unreadable.len())));
        }
        if !different.is_empty() {
            let scans = counted(different.len() as u64, "scan");
            self.notes.push(format!(
                "The files of {scans} have changed though their sizes and times have not; they are read."
            ));
        }
        Ok(taken)
    }

    /// The scan is used as it was seen.
    pub(super) fn take(&mut self, scan: usize) {
        self.is_taken[scan] = true;
    }

    /// Keeps what was seen of a scan, if it is to be known again.
    pub(super) fn put(&mut self, scan: usize, record: &ScanRecord) -> Result<()> {
        let Some(key) = self.keys[scan] else { return Ok(()) };
        self.begun()?;
        // What was known by this key, and is not doubted, has been copied.
        if self.written.insert(key) {
            self.begun()?.put(key, &record.packed())?;
        }
        if self.saved.elapsed() > BETWEEN_SAVES {
            let version = self.earlier.version;
            self.begun()?.save(version)?;
            self.saved = Instant::now();
        }
        Ok(())
    }

    /// The new file, with all that is known of these scans and not doubted.
    fn begun(&mut self) -> Result<&mut RecordWriting> {
        if self.writing.is_none() {
            let mut writing = RecordWriting::begin(&self.earlier.file)?;
            let scans = (0..self.keys.len()).filter(|scan| !self.doubted.contains(scan));
            let known = self.known.as_ref();
            for key in scans.filter_map(|scan| self.keys[scan]) {
                let known = known.filter(|_| !self.written.contains(&key));
                // What cannot be read any more is not kept.
                if let Some(part) = known.and_then(|known| known.part(&key).ok()?) {
                    writing.put(key, &part)?;
                    self.written.insert(key);
                }
            }
            self.writing = Some(writing);
        }
        self.writing.as_mut().context("no file was begun")
    }

    /// Ends before all was seen: keeps what was seen now, and what is known of the others.
    pub(super) fn keep(mut self) -> Result<()> {
        if !self.doubted.is_empty() {
            self.begun()?;
        }
        self.writing.map_or(Ok(()), |writing| writing.finish(self.earlier.version))
    }

    /// All that the findings are made from, as one digest; `None` where some scan is not to be known again.
    pub(super) fn made_from(&self, manifest: &Manifest) -> Result<Option<Digest>> {
        let Some(keys) = self.keys.iter().copied().collect::<Option<Vec<Digest>>>() else { return Ok(None) };
        let Manifest { name, scans, strays, layout, rejected, sixteen_bit, accepts_no_end, .. } = manifest;
        let listed = serde_json::to_vec(&(name, scans, strays, layout, rejected, sixteen_bit, accepts_no_end))?;
        Ok(Some(Digest::joint(keys.into_iter().chain([Digest::of(&listed)]))))
    }

    /// Findings and grey levels that were made from the same.
    pub(super) fn findings(&self, made_from: Digest) -> Option<(Vec<Finding>, Vec<u64>)> {
        let found: (Vec<Finding>, Vec<u64>) =
            serde_json::from_slice(&self.known.as_ref()?.part(&made_from).ok()??).ok()?;
        // One count a grey level.
        (found.1.len() == 256).then_some(found)
    }

    /// Ends with these findings; gives the notes.
    pub(super) fn finish(
        mut self,
        made_from: Option<Digest>,
        findings: &[Finding],
        histogram: &[u64],
    ) -> Result<Vec<String>> {
        let taken: HashSet<Digest> = self
            .keys
            .iter()
            .zip(&self.is_taken)
            .filter(|(_, is_taken)| **is_taken)
            .filter_map(|(key, _)| *key)
            .collect();
        // Neither more nor less is known.
        let is_kept = self.writing.is_none()
            && self
                .known
                .as_ref()
                .zip(made_from)
                .is_some_and(|(known, made_from)| known.knows(&made_from) && known.len() == taken.len() + 1);
        if !is_kept {
            self.begun()?;
            if let (Some(made_from), Some(writing)) = (made_from, self.writing.as_mut()) {
                writing.put(made_from, &serde_json::to_vec(&(findings, histogram))?)?;
            }
            self.writing.map_or(Ok(()), |writing| writing.finish(self.earlier.version))?;
        }
        Ok(self.notes)
    }
}

/// Whether the files of a scan have the hashes that are recorded.
fn is_as_recorded(manifest: &Manifest, record: &ScanRecord) -> Result<bool> {
    let is_same_file = |a: &Slice, b: &Slice| a.frame.is_some() && manifest.place_of(a) == manifest.place_of(b);
    for of_file in record.slices.chunk_by(is_same_file) {
        go_on()?;
        // What cannot be read any more is an error where it is read.
        let found = hash_of_slice(&manifest.place_of(&of_file[0]), of_file[0].frame.is_some());
        if found.is_err() || found.is_ok_and(|found| of_file.iter().any(|slice| slice.sha256 != found)) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
impl EarlierAudit {
    pub(super) fn of_version(self, version: u64) -> Self {
        Self { version, ..self }
    }

    /// Exchanges what was seen of two scans of as many slices, the first such.
    pub(super) fn exchange_for_test(&self, root: &Path) {
        let (manifest, files) = Manifest::before_reading(root, &|_| ()).expect("lists");
        let later = std::time::SystemTime::now() + Duration::from_secs(10);
        let stamp = |at: usize| FileStamp::of_file(&manifest.place_of_listed(&files[at]), later);
        let recall = Recall::of(self, &manifest, &files, stamp).expect("looks");
        let (known, keys) = (recall.known.expect("is there"), recall.keys);
        let ranges = ranges_of_scans(&files, keys.len());
        let scan = |scan: usize| {
            (keys[scan].expect("a key"), known.part(&keys[scan].expect("a key")).expect("reads").expect("a part"))
        };
        let alike = |a: usize| (a + 1..keys.len()).find(|b| ranges[*b].len() == ranges[a].len()).map(|b| [a, b]);
        let filled = |scan: &usize| !ranges[*scan].is_empty();
        let [one, other] = (0..keys.len()).filter(filled).find_map(alike).expect("two scans of as many slices");
        let mut writing = RecordWriting::begin(&self.file).expect("begins");
        for of in (0..keys.len()).filter(filled) {
            let from = if of == one {
                other
            } else if of == other {
                one
            } else {
                of
            };
            writing.put(scan(of).0, &scan(from).1).expect("writes");
        }
        writing.finish(self.version).expect("finishes");
    }
}
