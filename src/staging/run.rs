//! From a bucket to a folder: every object fetched and verified, zip archives unpacked while they arrive if wished.

use super::archive::{Archive, ArchiveLimits, Unpacked, Unpacking};
use super::fetch::{Fetching, JOURNAL, PARTIAL, in_parallel};
use super::folder::{self, Folder, RESERVED, fault_in_name, parent_and_leaf};
use super::store::{Bucket, Object, Remote};
use crate::files::{Digest, read_json, write_json};
use crate::progress::{Meter, Progress, human_bytes};
use crate::table::{Table, shown_as_table};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How [`stage`] works.
#[derive(Debug, Clone, PartialEq)]
pub struct StageOptions {
    /// Unpack zip archives while they arrive, so that archive and contents never lie on the disk together.
    pub stream: bool,
    /// Bytes of one request, 64 KiB at least.
    pub part_bytes: u64,
    /// Requests at a time.
    pub connections: usize,
    /// How long a part is tried again while nothing comes.
    pub patience: Duration,
    /// Write no more than this, in bytes. The disk's free space counts as well.
    pub max_disk: Option<u64>,
    /// What an archive may ask for.
    pub limits: ArchiveLimits,
}

impl Default for StageOptions {
    /// Four requests of 8 MiB at a time, a minute of patience, archives kept as they are.
    fn default() -> Self {
        let patience = Duration::from_secs(60);
        let limits = ArchiveLimits::default();
        Self { stream: false, part_bytes: 8 << 20, connections: 4, patience, max_disk: None, limits }
    }
}

/// What became of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct StagedObject {
    /// Its name below the target folder.
    pub name: String,
    /// Bytes in the bucket.
    pub size: u64,
    /// What was unpacked from it.
    pub unpacked: Option<Unpacked>,
    /// It was there already, whole.
    pub kept: bool,
}

/// What became of all.
#[derive(Debug, Clone, PartialEq)]
pub struct Staged {
    /// Where from.
    pub url: String,
    /// Where to.
    pub folder: PathBuf,
    /// The objects, by name.
    pub objects: Vec<StagedObject>,
}

impl Staged {
    /// Name, size and what became of it, in words: one row an object.
    pub fn rows(&self) -> Vec<[String; 3]> {
        let row = |object: &StagedObject| {
            let now = match object.unpacked {
                Some(unpacked) => unpacked.to_string(),
                None if object.kept => "was there".to_owned(),
                None => "fetched, verified".to_owned(),
            };
            [object.name.clone(), human_bytes(object.size), now]
        };
        self.objects.iter().map(row).collect()
    }

    fn table(&self) -> Table {
        let mut table = Table::new(format!("{} in {}", self.url, self.folder.display()), &["Name", "Size", "Now"]);
        for row in self.rows() {
            table.row(row);
        }
        table
    }
}

shown_as_table!(Staged);

/// Brings what `url` names (see [`Bucket::open`]) into the folder `target`. What an earlier run finished is kept, what
/// it left unfinished goes on: objects at the part, archives that are unpacked on the way at the entry.
///
/// # Errors
/// No access, a network that stays away, a disk too small (before anything is written), bytes that differ from the
/// checksum that the store or the archive states, a file in the way that differs from its object, names or archives
/// that would write outside of `target`, another process at the same folder.
pub fn stage(
    url: &str,
    target: impl AsRef<Path>,
    options: &StageOptions,
    progress: impl Fn(&Progress) + Sync,
) -> Result<Staged> {
    let target = target.as_ref();
    let doing = || format!("staging {url} to {}", target.display());
    let bucket = Bucket::open(url)?;
    let objects = bucket.objects()?;
    check_names(&objects).with_context(doing)?;
    let folder = Folder::open(target)?;
    let state = target.join(format!("{RESERVED}stage"));
    let lock = begin(&state).with_context(doing)?;
    let options = StageOptions { part_bytes: options.part_bytes.max(1 << 16), ..options.clone() };
    let staging = Staging { bucket: &bucket, folder: &folder, state, options, progress: &progress };
    let staged = staging.run(&objects).with_context(doing);
    drop(lock);
    Ok(Staged { url: url.to_owned(), folder: target.to_owned(), objects: staged? })
}

fn begin(state: &Path) -> Result<File> {
    fs::create_dir_all(state)?;
    ensure!(!state.symlink_metadata()?.is_symlink(), "{} is a link", state.display());
    let lock = File::create(state.join("lock"))?;
    ensure!(lock.try_lock().is_ok(), "another process is staging to this folder");
    Ok(lock)
}

fn check_names(objects: &[Object]) -> Result<()> {
    let mut names = BTreeSet::new();
    for Object { key, name, .. } in objects {
        if let Some(fault) = fault_in_name(name) {
            bail!("object {key:?}: {fault}");
        }
        let ours = name.ends_with(PARTIAL) || name.ends_with(JOURNAL);
        ensure!(!ours, "object {key:?}: names that end in {PARTIAL} or {JOURNAL} are for files in the making");
        names.insert(name.as_str());
    }
    for name in &names {
        let mut above = *name;
        while let Some((folder, _)) = above.rsplit_once('/') {
            ensure!(!names.contains(folder), "object {name:?}: its folder {folder:?} is an object as well");
            above = folder;
        }
    }
    Ok(())
}

struct Staging<'a> {
    bucket: &'a Bucket,
    folder: &'a Folder,
    state: PathBuf,
    options: StageOptions,
    progress: &'a (dyn Fn(&Progress) + Sync),
}

/// A file that a run finished: as long as size and time are those, it need not be read to be known.
#[derive(Serialize, Deserialize)]
struct Finished {
    name: String,
    tag: String,
    size: u64,
    modified: u128,
}

/// How far an archive is unpacked.
#[derive(Serialize, Deserialize)]
struct Position {
    key: String,
    tag: String,
    size: u64,
    entries: usize,
}

impl Staging<'_> {
    fn run(&self, objects: &[Object]) -> Result<Vec<StagedObject>> {
        let is_archive = |object: &&Object| self.options.stream && object.name.to_ascii_lowercase().ends_with(".zip");
        let (archives, files): (Vec<_>, Vec<_>) = objects.iter().partition(is_archive);
        let mut staged = self.fetch(&files)?;
        let mut room = self.options.max_disk.map(|most| most.saturating_sub(files.iter().map(|file| file.size).sum()));
        for archive in archives {
            staged.push(self.unpack(archive, &mut room)?);
        }
        staged.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(staged)
    }

    /// Fetches whole objects: small ones side by side, large ones one after another with parts side by side.
    fn fetch(&self, objects: &[&Object]) -> Result<Vec<StagedObject>> {
        let ledger = self.state.join("finished.jsonl");
        let finished = read_ledger(&ledger)?;
        let mut staged = Vec::new();
        let mut missing = Vec::new();
        for object in objects {
            let kept = self.is_there(object, finished.get(&object.name))?;
            let Object { name, size, .. } = (*object).clone();
            staged.push(StagedObject { name, size, unpacked: None, kept });
            if !kept {
                missing.push(*object);
            }
        }
        if missing.is_empty() {
            return Ok(staged);
        }
        let ledger = Mutex::new(OpenOptions::new().create(true).append(true).open(ledger)?);
        let (small, large): (Vec<_>, Vec<_>) =
            missing.iter().partition(|object| object.size <= self.options.part_bytes);
        let large = large.into_iter().map(|object| self.bucket.describe(object)).collect::<Result<Vec<_>>>()?;
        let total: u64 = missing.iter().map(|object| object.size).sum();
        let silent = |_| ();
        let already = large.iter().map(|object| self.fetching(&silent).already(object)).sum();
        self.check_space(total, already)?;
        let megabytes = |bytes: u64| (bytes / 1_000_000) as usize;
        let (meter, bytes) =
            (Meter::new("stage", "MB", megabytes(total), megabytes(already), self.progress), AtomicU64::new(already));
        let came = |count: u64| {
            let before = bytes.fetch_add(count, Ordering::Relaxed);
            meter.add(megabytes(before + count) - megabytes(before));
        };
        let fetching = self.fetching(&came);
        in_parallel(self.options.connections, &small, |object| note(&ledger, object, fetching.small(object)?))?;
        for object in &large {
            note(&ledger, object, fetching.large(object)?)?;
        }
        self.folder.sync()?;
        meter.finish();
        Ok(staged)
    }

    fn fetching<'b>(&'b self, came: &'b (dyn Fn(u64) + Sync)) -> Fetching<'b> {
        let StageOptions { part_bytes, connections, patience, .. } = self.options;
        Fetching { bucket: self.bucket, folder: self.folder, part_bytes, connections, patience, came }
    }

    /// Whether an object's file is there already; one in its place that is another is an error.
    fn is_there(&self, object: &Object, finished: Option<&Finished>) -> Result<bool> {
        let (above, leaf) = parent_and_leaf(&object.name);
        let Some(parent) = self.folder.find(above) else { return Ok(false) };
        let path = self.folder.path().join(&object.name);
        let doing = || format!("looking at {}", path.display());
        let Some(size) = folder::size_of(&parent, leaf).with_context(doing)? else { return Ok(false) };
        let modified = fs::metadata(&path).with_context(doing)?;
        let modified = modified.mtime() as u128 * 1_000_000_000 + modified.mtime_nsec() as u128;
        if let Some(known) = finished
            && known.size == size
            && known.modified == modified
        {
            // Ours, untouched. If the object has got a new content since, so will the file.
            return Ok(known.tag == object.tag && size == object.size);
        }
        let expected = self.bucket.describe(object)?.crc32c.filter(|_| size == object.size);
        let mut found = 0;
        if expected.is_some() {
            let digest = |piece: &[u8]| found = crc32c::crc32c_append(found, piece);
            folder::read_through(&parent, leaf, digest).with_context(doing)?;
        }
        ensure!(
            expected == Some(found),
            "{}: expected the object's {} bytes{}, found a file of {size} that did not come from it; move it away",
            doing(),
            object.size,
            expected.map_or(String::new(), |crc| format!(" with CRC-32C {crc:08x}")),
        );
        Ok(true)
    }

    fn check_space(&self, total: u64, already: u64) -> Result<()> {
        let (free, folder) = (self.folder.free_bytes()?, self.folder.path().display());
        ensure!(
            total - already.min(total) <= free,
            "the disk of {folder} has {} free; expected {} for what is still to come",
            human_bytes(free),
            human_bytes(total - already.min(total))
        );
        if let Some(most) = self.options.max_disk {
            ensure!(total <= most, "{} are to be written; allowed are {}", human_bytes(total), human_bytes(most));
        }
        Ok(())
    }

    /// Unpacks an archive beside the place where it would have come to lie, reading it by ranges in order.
    fn unpack(&self, object: &Object, room: &mut Option<u64>) -> Result<StagedObject> {
        let object = self.bucket.describe(object)?;
        let (part, patience) = (self.options.part_bytes as usize, self.options.patience);
        let remote = Remote { bucket: self.bucket, object: &object, part, patience };
        let archive = Archive::open(&object.key, &remote, &self.options.limits)?;
        if let Some(room) = room {
            let (needed, left) = (human_bytes(archive.bytes()), human_bytes(*room));
            *room = room.checked_sub(archive.bytes()).with_context(|| {
                format!("{}: its contents are {needed}; {left} are left of what may be written", object.key)
            })?;
        }
        let (above, _) = parent_and_leaf(&object.name);
        let below;
        let folder = if above.is_empty() {
            self.folder
        } else {
            self.folder.enter(above)?;
            below = Folder::open(&self.folder.path().join(above))?;
            &below
        };
        let file = self.state.join(format!("{}.json", Digest::of(object.key.as_bytes()).short()));
        let position = |entries| {
            let Object { key, tag, size, .. } = object.clone();
            write_json(&file, &Position { key, tag, size, entries })
        };
        let before: Option<Position> =
            file.is_file().then(|| read_json(&file, "the state of an archive")).transpose()?;
        let same = before.filter(|b| b.key == object.key && b.tag == object.tag && b.size == object.size);
        let trusted = same.map_or(0, |position| position.entries);
        let how =
            Unpacking { trusted, threads: self.options.connections, synced: Some(&position), progress: self.progress };
        let unpacked = archive.unpack_into(folder, &how)?;
        let Object { name, size, .. } = object.clone();
        Ok(StagedObject { name, size, unpacked: Some(unpacked), kept: unpacked.files == 0 })
    }
}

fn read_ledger(path: &Path) -> Result<BTreeMap<String, Finished>> {
    let text = if path.is_file() { fs::read_to_string(path)? } else { String::new() };
    // A line that a kill cut off is none; its file is looked at again.
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Finished>(line).ok());
    Ok(lines.map(|finished| (finished.name.clone(), finished)).collect())
}

/// Writes down that a file is finished, and then gives it its name: so every file of ours is known as ours.
fn note(ledger: &Mutex<File>, object: &Object, fetched: super::fetch::Fetched) -> Result<()> {
    let doing = || format!("finishing {}", object.key);
    let Object { name, tag, size, .. } = object.clone();
    let modified = fetched.modified().with_context(doing)?;
    // With a line's end before it, so that one that was cut off spoils none but itself.
    let line = format!("\n{}\n", serde_json::to_string(&Finished { name, tag, size, modified })?);
    let mut ledger = ledger.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    ledger.write_all(line.as_bytes()).with_context(doing)?;
    fetched.finish().with_context(doing)
}
