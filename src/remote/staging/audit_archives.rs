//! Audit and slice cache directly from archives, without unpacking them.

use super::archive::Archive;
use super::bucket::{Bucket, Object, Remote};
use super::name_conflicts::below;
use super::stage_objects::{StageOptions, above, check_keys, check_names, open_archives};
use crate::base::errors::{Context, Result, ensure};
use crate::base::file_kind::FileKind;
use crate::base::files::Digest;
use crate::base::parallel::locked;
use crate::base::progress::{Progress, counted};
use crate::data::audit::{Audit, EarlierAudit, FileStamp, Incremental, Inspection, Pass, Recall, WantedCache};
use crate::data::cache::SliceCache;
use crate::data::manifest::{ListedSlice, Manifest, PATIENTS, RootTables, Set, Slice, listing_of};
use crate::data::opened::Contents;
use crate::data::preprocess::Preprocess;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// [`Audit::in_one_pass`] over the zip archives that `url` names (see [`Bucket::open`]), as if they were unpacked into
/// `root`; nothing is written there. Each byte is read once and each slice decoded once. The results do not depend on
/// where the files are: if they are unpacked later, audit and cache remain valid. `patients.csv` is read from `root`,
/// from the bucket next to the archives, and from the archives. Of the options, part size, connections, patience,
/// limits and emulator are used.
///
/// # Errors
/// As [`stage`](super::stage()) and [`Audit::in_one_pass`]; slices next to the archives in the bucket; a `root` that
/// is not a folder.
pub fn audit_archives(
    url: &str,
    root: impl AsRef<Path>,
    cache: Option<(&Path, &Preprocess)>,
    options: &StageOptions,
    progress: impl Fn(&Progress) + Sync,
) -> Result<(Audit, Option<SliceCache>)> {
    let Incremental { audit, cache, .. } = audit(url, root.as_ref(), None, cache, options, &progress)?;
    Ok((audit, cache))
}

/// The same, but scans that an earlier audit saw as they are now are not read again ([`Audit::incremental`]): those of an
/// archive that has not changed, and whose entries have the same CRC-32, size and place. For a `cache` all is read.
///
/// # Errors
/// As [`audit_archives`].
pub fn audit_archives_again(
    url: &str,
    root: impl AsRef<Path>,
    earlier: &EarlierAudit,
    cache: Option<(&Path, &Preprocess)>,
    options: &StageOptions,
    progress: impl Fn(&Progress) + Sync,
) -> Result<Incremental> {
    audit(url, root.as_ref(), Some(earlier), cache, options, &progress)
}

fn audit(
    url: &str,
    root: &Path,
    earlier: Option<&EarlierAudit>,
    cache: WantedCache<'_>,
    options: &StageOptions,
    progress: &(dyn Fn(&Progress) + Sync),
) -> Result<Incremental> {
    let doing = || format!("auditing the archives {url}");
    ensure!(root.is_dir(), "{}: {} is no folder; it gives the data set its name", doing(), root.display());
    let bucket = Bucket::open_at(url, options.emulator.as_deref())?;
    let objects = bucket.objects()?;
    check_keys(&objects).with_context(doing)?;
    let (archives, beside): (Vec<Object>, Vec<Object>) =
        objects.into_iter().partition(|object| object.name.to_ascii_lowercase().ends_with(".zip"));
    if archives.is_empty() {
        beside.iter().try_for_each(|object| must_be_read(&object.name)).with_context(doing)?;
        crate::base::errors::bail!("{}: there is no zip archive", doing());
    }
    let of_set = |object: &&Object| Set::ALL.iter().any(|set| object.name.starts_with(&format!("{}/", set.folder())));
    if let Some(loose) = beside.iter().find(of_set) {
        crate::base::errors::bail!(
            "{}: {} is not in an archive; fetch everything with `covid-ct stage --stream` instead",
            doing(),
            loose.name
        );
    }
    let archives = archives.iter().map(|object| bucket.described(object)).collect::<Result<Vec<_>>>()?;
    let options = StageOptions { part_bytes: options.part_bytes.max(1 << 16), ..options.clone() };
    let (part, patience) = (options.part_bytes as usize, options.patience);
    let remotes: Vec<_> = archives.iter().map(|object| Remote { bucket: &bucket, object, part, patience }).collect();
    let opened = open_archives(&remotes, &options).with_context(doing)?;
    check_names(&[], &opened, options.limits.entries).with_context(doing)?;
    beside.iter().try_for_each(|object| must_not_be_misnamed(&object.name)).with_context(doing)?;
    beside.iter().try_for_each(|object| must_be_read(&object.name)).with_context(doing)?;
    let mut tables: Vec<(String, Vec<u8>)> = Manifest::patients_in(root)?.into_iter().collect();
    for object in beside.iter().filter(|object| object.name == PATIENTS) {
        let mut bytes = Vec::new();
        let mut take = |_, piece: &[u8]| {
            bytes.extend_from_slice(piece);
            Ok(())
        };
        bucket.read(object, 0..object.size, patience, &mut take).with_context(doing)?;
        tables.push((object.key.clone(), bytes));
    }
    let reading = Reading { archives: &opened, connections: options.connections, earlier, progress };
    reading.audit(root, cache, &tables).with_context(doing)
}

/// # Errors
/// A table of patients in other letters, which would not be read.
fn must_not_be_misnamed(name: &str) -> Result<()> {
    let misnamed = name != PATIENTS && name.eq_ignore_ascii_case(PATIENTS);
    ensure!(!misnamed, "expected {PATIENTS} in lower case, found {name}: rename or remove it");
    Ok(())
}

/// # Errors
/// An archive of a kind that is not read: what is in it would be missed.
fn must_be_read(name: &str) -> Result<()> {
    match FileKind::archive_named(name) {
        Some(kind) => Err(crate::base::errors::anyhow!("{name} is {}", kind.told(name))),
        None => Ok(()),
    }
}

/// What to say where there is no slice: that archives lie in the archives.
fn packed_twice(names: &[String]) -> Option<String> {
    let is_archive = |name: &&String| name.to_ascii_lowercase().ends_with(".zip") || must_be_read(name).is_err();
    let first = names.iter().find(is_archive)?;
    let count = names.iter().filter(is_archive).count();
    Some(format!(
        "the archives hold {}, {first} the first, which {} not opened: unpack what is in the archives and audit the folder",
        counted(count as u64, "archive"),
        if count == 1 { "is" } else { "are" }
    ))
}

/// The slices in archives that have been opened.
struct Reading<'a> {
    archives: &'a [(&'a Object, Archive<'a>)],
    connections: usize,
    earlier: Option<&'a EarlierAudit>,
    progress: &'a (dyn Fn(&Progress) + Sync),
}

impl Reading<'_> {
    fn audit(&self, root: &Path, cache: WantedCache<'_>, tables: &[(String, Vec<u8>)]) -> Result<Incremental> {
        let mut names = Vec::new();
        for (object, archive) in self.archives {
            names.extend(archive.names()?.iter().map(|name| below(above(object), name)));
        }
        names.iter().try_for_each(|name| must_not_be_misnamed(name))?;
        let listed = listing_of(&names).ok().filter(|(listing, _)| !listing.files.is_empty());
        if let (None, Some(reason)) = (&listed, packed_twice(&names)) {
            crate::base::errors::bail!("{reason}");
        }
        let (mut listing, numbers) = listed.map_or_else(|| listing_of(&names), Ok)?;
        let files = std::mem::take(&mut listing.files);
        let mut manifest = Manifest::listed(root, listing)?;
        tables.iter().try_for_each(|(from, bytes)| manifest.read_patients(from, bytes))?;
        let recall = self.recall(&manifest, &files, &numbers)?;
        let mut pass = Pass::begin(&manifest, &files, recall, cache, false, self.progress)?;
        let patients = Mutex::new(None);
        let mut seen: Vec<Option<(Slice, Inspection)>> = Vec::new();
        seen.resize_with(files.len(), || None);
        let seen = Mutex::new(seen);
        let visit = |entry: usize, from: String, bytes: &[u8]| {
            let Some(number) = numbers[entry] else {
                *locked(&patients) = Some((from, bytes.to_vec()));
                return Ok(());
            };
            let slice = Slice::of(files[number].clone(), &Contents::Bytes(bytes.into()));
            let look = pass.look(number, &manifest, &slice, Contents::Bytes(bytes.into()))?;
            locked(&seen)[number] = Some((slice, look));
            Ok(())
        };
        let is_wanted =
            |entry: usize| numbers[entry].map_or(names[entry] == PATIENTS, |number| pass.wants(files[number].scan));
        let read = self.each_entry(is_wanted, visit);
        let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        let kept = pass.saw_whole_scans(seen);
        if let Err(error) = read {
            // The first failure is the one to tell.
            pass.keep().ok();
            return Err(error);
        }
        kept?;
        let mut read: Vec<Digest> = tables.iter().map(|(_, bytes)| Digest::of(bytes)).collect();
        if let Some((from, bytes)) = patients.into_inner().unwrap_or_else(PoisonError::into_inner) {
            manifest.read_patients(&from, &bytes)?;
            read.push(Digest::of(&bytes));
        }
        manifest.name_patients_by_folder();
        manifest.tables = Some(RootTables { patients: read, in_archives: true, ..RootTables::default() });
        pass.finish(manifest, self.progress)
    }

    /// Reads the wanted entries, which are counted through all archives.
    fn each_entry(
        &self,
        is_wanted: impl Fn(usize) -> bool + Sync,
        visit: impl Fn(usize, String, &[u8]) -> Result<()> + Sync,
    ) -> Result<()> {
        // Decoding keeps the processors busy; more requests than processors keep the network busy.
        let threads = self.connections.max(rayon::current_num_threads());
        let mut before = 0;
        for (object, archive) in self.archives {
            let visit = |entry: usize, name: &str, bytes: &[u8]| {
                visit(before + entry, format!("{name} in {}", object.key), bytes)
            };
            let wanted = |entry: usize| is_wanted(before + entry);
            if (0..archive.entries()).any(wanted) {
                archive.each_entry(threads, wanted, visit, self.progress)?;
            }
            before += archive.entries();
        }
        Ok(())
    }

    /// The earlier audit; one that is to be verified is not used, since what is in an archive is not told without reading it.
    fn recall(&self, manifest: &Manifest, files: &[ListedSlice], numbers: &[Option<usize>]) -> Result<Option<Recall>> {
        let Some(earlier) = self.earlier else { return Ok(None) };
        let entries = self
            .archives
            .iter()
            .flat_map(|(object, archive)| (0..archive.entries()).map(move |entry| (*object, archive, entry)));
        let mut stamps: Vec<Option<FileStamp>> = vec![None; files.len()];
        for ((object, archive, entry), number) in entries.zip(numbers) {
            // An object without a tag cannot be told from another of its size.
            if let Some(number) = number.filter(|_| !object.tag.is_empty()) {
                let contents = archive.contents_of(entry).ok();
                let archive = format!("{} {} {}", object.key, object.size, object.tag);
                stamps[number] = contents.map(|contents| FileStamp::of_entry(&archive, contents));
            }
        }
        let recall = Recall::of(earlier, manifest, files, |at| stamps[at].clone())?;
        Ok(Some(if earlier.is_verified() { recall.of_nothing() } else { recall }))
    }
}
