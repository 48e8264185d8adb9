//! From a bucket to a folder: fetches and verifies every object; optionally unpacks zip archives while they arrive.

use super::archive::{Archive, ArchiveLimits};
use super::bucket::{Bucket, Object, Remote};
use super::fetch::{Fetching, JOURNAL, PARTIAL, in_parallel};
use super::folder::{self, Folder, RESERVED, fault_in_name, parent_and_leaf};
use super::ledger::{self, JournalPosition, Ledger};
use super::name_conflicts::{Names, check};
use super::own_source::must_lie_apart;
use super::part_of_archive::must_name_its_part;
use super::staged::{Staged, StagedObject};
use super::unpack::Unpacking;
use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::parallel::locked;
use crate::base::progress::{Meter, Progress, human_bytes};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How [`stage`] works.
#[derive(Debug, Clone, PartialEq)]
pub struct StageOptions {
    /// Unpack zip archives while they arrive, without storing the archives.
    pub stream: bool,
    /// Bytes per request, at least 64 KiB.
    pub part_bytes: u64,
    /// Requests at a time.
    pub connections: usize,
    /// How long a part is retried while no data arrive.
    pub patience: Duration,
    /// Write no more than this, in bytes; existing files do not count. The disk's free space is a limit as well.
    pub max_disk: Option<u64>,
    /// Limits for all archives of one run together.
    pub limits: ArchiveLimits,
    /// Address of an emulator of Google's buckets, such as `http://127.0.0.1:4443`; used without credentials.
    pub emulator: Option<String>,
}

impl Default for StageOptions {
    /// Four requests of 8 MiB at a time, a minute of patience, archives kept as they are.
    fn default() -> Self {
        let patience = Duration::from_secs(60);
        let limits = ArchiveLimits::default();
        Self { stream: false, part_bytes: 8 << 20, connections: 4, patience, max_disk: None, limits, emulator: None }
    }
}

/// Fetches what `url` names (see [`Bucket::open`]) into the folder `target`. Files that an earlier run finished are
/// kept, unfinished ones are resumed: objects at the part, archives unpacked while they arrive at the entry. A file
/// that staging did not write is never replaced.
///
/// # Errors
/// Before anything is written: a folder of this machine that is, holds or lies in `target`, no access, no network, too little disk space, an existing file that differs from the
/// object, one path in two archives, names or archives that would write outside of `target`, another process staging to
/// the same folder. Later: bytes that differ from the checksum that the store or the archive states, a lost network.
pub fn stage(
    url: &str,
    target: impl AsRef<Path>,
    options: &StageOptions,
    progress: impl Fn(&Progress) + Sync,
) -> Result<Staged> {
    run(url, target.as_ref(), options, &progress)
}

fn run(url: &str, target: &Path, options: &StageOptions, progress: &(dyn Fn(&Progress) + Sync)) -> Result<Staged> {
    let doing = || format!("staging {url} to {}", target.display());
    must_lie_apart(url, target, options.stream).with_context(doing)?;
    let bucket = Bucket::open_at(url, options.emulator.as_deref())?;
    let objects = bucket.objects()?;
    check_keys(&objects).with_context(doing)?;
    let folder = Folder::open(target)?;
    let state = target.join(format!("{RESERVED}stage"));
    let lock = ledger::lock(&state).with_context(doing)?;
    let options = StageOptions { part_bytes: options.part_bytes.max(1 << 16), ..options.clone() };
    let ledger = Ledger::read(&state).with_context(doing)?;
    let staging = Staging { bucket: &bucket, folder: &folder, state, ledger, options, progress };
    let staged = staging.run(&objects).with_context(doing);
    drop(lock);
    Ok(Staged { url: url.to_owned(), folder: target.to_owned(), objects: staged? })
}

pub(super) fn check_keys(objects: &[Object]) -> Result<()> {
    for Object { key, name, .. } in objects {
        if let Some(fault) = fault_in_name(name) {
            bail!("object {key:?}: {fault}");
        }
        let ours = name.ends_with(PARTIAL) || name.ends_with(JOURNAL);
        ensure!(!ours, "object {key:?}: names that end in {PARTIAL} or {JOURNAL} are reserved for unfinished files");
    }
    Ok(())
}

struct Staging<'a> {
    bucket: &'a Bucket,
    folder: &'a Folder,
    state: PathBuf,
    ledger: Ledger,
    options: StageOptions,
    progress: &'a (dyn Fn(&Progress) + Sync),
}

/// Whole objects: existing ones, and those to be fetched.
#[derive(Default)]
struct Files {
    kept: Vec<StagedObject>,
    /// Of one part each.
    small: Vec<Object>,
    large: Vec<Object>,
    /// Bytes of all that are missing.
    missing: u64,
    /// Bytes of those that an earlier run left unfinished.
    already: u64,
}

impl Staging<'_> {
    /// Checks everything that can be checked before writing, then writes.
    fn run(&self, objects: &[Object]) -> Result<Vec<StagedObject>> {
        let is_archive = |object: &&Object| self.options.stream && object.name.to_ascii_lowercase().ends_with(".zip");
        let (archives, whole): (Vec<_>, Vec<_>) = objects.iter().partition(is_archive);
        let archives = archives.into_iter().map(|object| self.bucket.described(object)).collect::<Result<Vec<_>>>()?;
        let remotes: Vec<_> = archives.iter().map(|object| self.remote(object)).collect();
        let opened = open_archives(&remotes, &self.options)?;
        check_names(&whole, &opened, self.options.limits.entries)?;
        let files = self.look(&whole)?;
        let mut missing = files.missing - files.already.min(files.missing);
        for (object, archive) in &opened {
            missing += archive.survey(self.folder, above(object))?;
        }
        self.check_space(missing)?;
        let mut staged = self.fetch(files)?;
        for (object, archive) in &opened {
            staged.push(self.unpack(object, archive)?);
        }
        staged.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(staged)
    }

    fn remote<'b>(&'b self, object: &'b Object) -> Remote<'b> {
        let (part, patience) = (self.options.part_bytes as usize, self.options.patience);
        Remote { bucket: self.bucket, object, part, patience }
    }

    /// Checks which objects are there already.
    fn look(&self, objects: &[&Object]) -> Result<Files> {
        let mut files = Files::default();
        let silent = |_| ();
        for object in objects {
            let Object { name, size, .. } = (*object).clone();
            if let Some(verified) = self.is_there(object)? {
                files.kept.push(StagedObject { name, size, unpacked: None, left_away: None, kept: true, verified });
                continue;
            }
            files.missing += size;
            if size <= self.options.part_bytes {
                files.small.push((*object).clone());
            } else {
                let object = self.bucket.described(object)?;
                files.already += self.fetching(&silent, &silent).already(&object);
                files.large.push(object);
            }
        }
        Ok(files)
    }

    /// Whether an object's file exists already, and if so, whether its checksum was compared. A different file in its
    /// place is an error.
    fn is_there(&self, object: &Object) -> Result<Option<bool>> {
        let (above, leaf) = parent_and_leaf(&object.name);
        let Some(parent) = self.folder.find(above) else { return Ok(None) };
        let path = self.folder.path().join(&object.name);
        let doing = || format!("checking {}", path.display());
        let Some(found) = folder::glance(&parent, leaf).with_context(doing)? else { return Ok(None) };
        if let Some(known) = self.ledger.get(&object.name).filter(|known| known.is(found)) {
            // Written by staging and unchanged. If the object has a new content, the file is fetched again.
            return Ok(known.came_from(object).then_some(false));
        }
        let (expected, stated) = self.crc32c_if_size(object, found.size).with_context(doing)?;
        let mut crc32c = 0;
        if expected.is_some() {
            let digest = |piece: &[u8]| crc32c = crc32c::crc32c_append(crc32c, piece);
            folder::read_through(&parent, leaf, digest).with_context(doing)?;
        }
        ensure!(
            expected == Some(crc32c),
            "{}: expected the object's {} bytes{}, found a file of {} that differs and that staging did not write; move \
             it away",
            doing(),
            object.size,
            expected.map_or(String::new(), |crc| format!(" with CRC-32C {crc:08x}")),
            found.size
        );
        Ok(Some(stated))
    }

    /// The CRC-32C of an object of this size, and whether the store states it. If it does not, the object is read,
    /// which costs no more than fetching it.
    fn crc32c_if_size(&self, object: &Object, size: u64) -> Result<(Option<u32>, bool)> {
        if size != object.size {
            return Ok((None, false));
        }
        let object = self.bucket.described(object)?;
        if object.crc32c.is_some() {
            return Ok((object.crc32c, true));
        }
        let mut crc32c = 0;
        if size > 0 {
            self.bucket.read(&object, 0..size, self.options.patience, &mut |_, piece| {
                crc32c = crc32c::crc32c_append(crc32c, piece);
                Ok(())
            })?;
        }
        Ok((Some(crc32c), false))
    }

    fn check_space(&self, missing: u64) -> Result<()> {
        let (free, folder) = (self.folder.free_bytes()?, self.folder.path().display());
        let needed = human_bytes(missing);
        ensure!(
            missing <= free,
            "the disk of {folder} has {} free; expected {needed} for the missing files",
            human_bytes(free)
        );
        let most = self.options.max_disk.unwrap_or(u64::MAX);
        ensure!(missing <= most, "{needed} are still to be written; the limit is {}", human_bytes(most));
        Ok(())
    }

    /// Fetches whole objects: small ones in parallel, large ones one after another with their parts in parallel.
    fn fetch(&self, files: Files) -> Result<Vec<StagedObject>> {
        let Files { kept, small, large, missing, already } = files;
        if missing == 0 && small.is_empty() {
            return Ok(kept);
        }
        let megabytes = |bytes: u64| (bytes / 1_000_000) as usize;
        let counting = |meter: &Meter, bytes: &AtomicU64, count: u64| {
            let before = bytes.fetch_add(count, Ordering::Relaxed);
            meter.add(megabytes(before + count) - megabytes(before));
        };
        let again = (Meter::new("read again", "MB", megabytes(already), 0, self.progress), AtomicU64::new(0));
        let meter = Meter::new("stage", "MB", megabytes(missing), megabytes(already), self.progress);
        let meter = (meter, AtomicU64::new(already));
        let (came, reread) = (|count| counting(&meter.0, &meter.1, count), |count| counting(&again.0, &again.1, count));
        let fetching = self.fetching(&came, &reread);
        let staged = Mutex::new(kept);
        let finish = |object: &Object, fetched: super::fetch::FetchedObject| {
            let (verified, Object { name, size, .. }) = (fetched.verified, object.clone());
            self.ledger.finish(object, fetched)?;
            let mut staged = locked(&staged);
            staged.push(StagedObject { name, size, unpacked: None, left_away: None, kept: false, verified });
            Ok(())
        };
        in_parallel(self.options.connections, &small, |object| finish(object, fetching.small(object)?))?;
        for object in &large {
            finish(object, fetching.large(object)?)?;
        }
        self.folder.sync()?;
        meter.0.finish();
        Ok(staged.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    fn fetching<'b>(&'b self, came: &'b (dyn Fn(u64) + Sync), reread: &'b (dyn Fn(u64) + Sync)) -> Fetching<'b> {
        let StageOptions { part_bytes, connections, patience, .. } = self.options;
        Fetching { bucket: self.bucket, folder: self.folder, part_bytes, connections, patience, came, reread }
    }

    /// Unpacks an archive into the folder of its object, reading it by ranges in order.
    fn unpack(&self, object: &Object, archive: &Archive) -> Result<StagedObject> {
        let file = JournalPosition::file(&self.state, object);
        let how = Unpacking {
            above: above(object),
            trusted: JournalPosition::read(&file, object)?,
            threads: self.options.connections,
            synced: Some(&|entries| JournalPosition::write(&file, object, entries)),
            progress: self.progress,
        };
        let unpacked = archive.unpack_into(self.folder, &how)?;
        let Object { name, size, .. } = object.clone();
        let left_away = Some(archive.directory.top.clone()).filter(|top| !top.is_empty());
        let kept = unpacked.files == 0;
        Ok(StagedObject { name, size, unpacked: Some(unpacked), left_away, kept, verified: false })
    }
}

/// Reads and checks the directories of all archives, which share the limits.
pub(super) fn open_archives<'b>(
    remotes: &'b [Remote<'b>],
    options: &StageOptions,
) -> Result<Vec<(&'b Object, Archive<'b>)>> {
    let mut limits = options.limits.clone();
    let mut opened = Vec::new();
    for remote in remotes {
        let archive = Archive::open(&remote.object.key, remote, &limits)?;
        must_name_its_part(remote.object, &archive)?;
        limits.bytes -= archive.bytes().min(limits.bytes);
        limits.entries -= (archive.entries() as u64).min(limits.entries);
        opened.push((remote.object, archive));
    }
    Ok(opened)
}

/// An object's folder below the target.
pub(super) fn above(object: &Object) -> &str {
    parent_and_leaf(&object.name).0
}

/// Refuses paths that occur twice among all sources of the folder.
pub(super) fn check_names(whole: &[&Object], archives: &[(&Object, Archive)], most: u64) -> Result<()> {
    let mut sources = vec![Names::Objects(whole)];
    for (object, archive) in archives {
        sources.push(Names::Archive { key: &object.key, above: above(object), directory: &archive.directory });
    }
    // A single archive was checked when it was opened.
    if whole.is_empty() && archives.len() == 1 {
        return Ok(());
    }
    // The limit is for entries of archives: objects, each with up to 32 folders above it, do not count.
    check(&sources, most.saturating_add(33 * whole.len() as u64))
}
