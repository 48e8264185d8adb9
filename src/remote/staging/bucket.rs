//! A bucket (or folder): lists its objects and reads ranges of them.

use super::connect::{Connection, connect, is_refused, watch};
use super::fetch::in_parallel;
use super::source::ByteSource;
use crate::base::errors::{Context, Error, Result, anyhow, ensure};
use crate::base::parallel::locked;
use crate::base::progress::human_bytes;
use crate::base::table::{Table, shown_as_table};
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{Attribute, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt};
use std::collections::BTreeSet;
use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// With more objects than this, a listing does not ask for the type of each.
const ASK_TYPES_UP_TO: usize = 100;

/// An object as its store describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Its key in the bucket.
    pub key: String,
    /// Its name below the URL that was opened; the last part of the key if the URL names the object itself.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// When it was created, in UTC, to the minute. Objects do not change, they are replaced.
    pub created: String,
    /// Its media type, if the store states it.
    pub content_type: Option<String>,
    /// CRC-32C of the whole object, if the store states it: Google Cloud Storage does, when asked for the object.
    pub crc32c: Option<u32>,
    /// Distinguishes this content from an earlier one under the same key.
    pub tag: String,
}

/// An open bucket.
pub struct Bucket {
    url: String,
    path: Path,
    access: String,
    store: Arc<dyn ObjectStore>,
    runtime: Runtime,
}

/// The objects below a URL.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// What was listed.
    pub url: String,
    /// The objects, by name.
    pub objects: Vec<Object>,
}

impl Listing {
    /// Bytes of all objects.
    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.size).sum()
    }

    fn table(&self) -> Table {
        let mut table = Table::new(self.url.clone(), &["Name", "Size", "Type", "Created"]);
        for object in &self.objects {
            let content_type = object.content_type.clone().unwrap_or_else(|| "–".to_owned());
            table.row([object.name.clone(), human_bytes(object.size), content_type, object.created.clone()]);
        }
        table.note(format!("{} objects, {}; times are UTC.", self.objects.len(), human_bytes(self.bytes())))
    }
}

shown_as_table!(Listing);

/// Why an attempt failed.
enum Failure {
    /// A retry may succeed.
    Passing(Error),
    /// A retry is useless.
    Final(Error),
}

impl Bucket {
    /// Opens `gs://bucket/path`, `s3://bucket/path`, `file:///path` or a local path; the store is not contacted yet.
    ///
    /// Google's credentials are those that the environment names (`GOOGLE_APPLICATION_CREDENTIALS`), gcloud's
    /// application default ones, or those of the VM; without any, requests are unsigned, which public buckets allow.
    /// `GOOGLE_BASE_URL` selects another server, such as an emulator.
    pub fn open(url: &str) -> Result<Self> {
        Self::open_at(url, None)
    }

    /// The same, with Google's buckets emulated at this address.
    pub(super) fn open_at(url: &str, emulator: Option<&str>) -> Result<Self> {
        let doing = || format!("opening {url}");
        let Connection { store, path, access } = connect(url, emulator).with_context(doing)?;
        let path = Path::parse(path.trim_end_matches('/')).with_context(doing)?;
        // Two threads: one decrypts while the other waits, and the caller's threads do the rest.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.context("starting the network's threads")?;
        Ok(Self { url: url.to_owned(), path, access, store, runtime })
    }

    /// Lists the object that the URL names, or else those below it.
    ///
    /// # Errors
    /// Nothing there, no permission, no connection.
    pub fn list(&self) -> Result<Listing> {
        let mut objects = self.objects()?;
        if objects.len() <= ASK_TYPES_UP_TO {
            let asked = Mutex::new(Vec::new());
            in_parallel(4, &objects, |object| {
                let described = self.describe(object)?;
                locked(&asked).push(described);
                Ok(())
            })?;
            objects = asked.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
            objects.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(Listing { url: self.url.clone(), objects })
    }

    /// The objects as the store lists them: without type and CRC-32C.
    pub(super) fn objects(&self) -> Result<Vec<Object>> {
        let doing = || format!("listing {}", self.url);
        if !self.path.as_ref().is_empty() && !self.url.ends_with('/') {
            match self.wait(self.store.head(&self.path)) {
                (Ok(meta), crc32c) => {
                    let name = self.path.filename().unwrap_or_default().to_owned();
                    return Ok(vec![Object { crc32c, ..object(meta, name) }]);
                }
                (Err(object_store::Error::NotFound { .. }), _) => {}
                (Err(error), _) => return Err(self.told(error)).with_context(doing),
            }
        }
        let prefix = Some(&self.path).filter(|path| !path.as_ref().is_empty());
        let metas: Vec<ObjectMeta> =
            self.wait(self.store.list(prefix).try_collect()).0.map_err(|e| self.told(e)).with_context(doing)?;
        let skip = prefix.map_or(0, |prefix| prefix.as_ref().len() + 1);
        let name = |meta: &ObjectMeta| meta.location.as_ref().get(skip..).unwrap_or_default().to_owned();
        let mut objects: Vec<_> = metas
            .into_iter()
            .map(|meta| {
                let name = name(&meta);
                object(meta, name)
            })
            .collect();
        drop_folders(&mut objects);
        objects.sort_by(|a, b| a.name.cmp(&b.name));
        ensure!(!objects.is_empty(), "{}: there is nothing (asked {})", doing(), self.access);
        Ok(objects)
    }

    /// [`describe`](Self::describe), unless the object was asked for already.
    pub(super) fn described(&self, object: &Object) -> Result<Object> {
        if object.crc32c.is_some() { Ok(object.clone()) } else { self.describe(object) }
    }

    /// Asks for one object: type, CRC-32C, and the tag that its pieces will carry.
    pub(super) fn describe(&self, object: &Object) -> Result<Object> {
        let doing = || format!("asking for {}", object.key);
        let key = Path::parse(&object.key).with_context(doing)?;
        let head = GetOptions { head: true, ..GetOptions::default() };
        let (result, crc32c) = self.wait(self.store.get_opts(&key, head));
        let result = result.map_err(|error| self.told(error)).with_context(doing)?;
        let content_type = result.attributes.get(&Attribute::ContentType).map(|value| value.to_string());
        Ok(Object { content_type, crc32c, tag: tag(&result.meta), size: result.meta.size, ..object.clone() })
    }

    /// Reads a range piece by piece: `sink` gets each piece with its offset. After a temporary failure it continues
    /// from the byte where it happened, until no data have arrived for `patience`.
    ///
    /// Returns the CRC-32C of the whole object, if the store states it.
    pub(super) fn read(
        &self,
        object: &Object,
        range: Range<u64>,
        patience: Duration,
        sink: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<Option<u32>> {
        let doing = || format!("reading bytes {} to {} of {}", range.start, range.end, object.key);
        let (mut at, mut alive, mut pause) = (range.start, Instant::now(), Duration::from_millis(250));
        loop {
            let before = at;
            let (result, crc32c) = self.wait(self.attempt(object, &mut at, range.end, sink));
            match result {
                Ok(()) => return Ok(crc32c),
                Err(Failure::Final(error)) => return Err(error).with_context(doing),
                Err(Failure::Passing(error)) => {
                    if at > before {
                        (alive, pause) = (Instant::now(), Duration::from_millis(250));
                    }
                    if alive.elapsed() + pause > patience {
                        let waited = format!("given up after {} s without a byte", alive.elapsed().as_secs());
                        return Err(error.context(waited)).with_context(doing);
                    }
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_secs(8));
                }
            }
        }
    }

    async fn attempt(
        &self,
        object: &Object,
        at: &mut u64,
        end: u64,
        sink: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<(), Failure> {
        let key = Path::parse(&object.key).map_err(|error| Failure::Final(error.into()))?;
        let options = GetOptions { range: Some(GetRange::Bounded(*at..end)), ..GetOptions::default() };
        let result = self.store.get_opts(&key, options).await.map_err(|error| self.failure(error))?;
        check(&result, object, *at..end).map_err(Failure::Final)?;
        let mut pieces = result.into_stream();
        while let Some(piece) = pieces.try_next().await.map_err(|error| self.failure(error))? {
            let fits = piece.len() as u64 <= end - *at;
            let too_long = || Failure::Final(anyhow!("the store sent more than was asked for"));
            fits.then_some(()).ok_or_else(too_long)?;
            sink(*at, &piece).map_err(Failure::Final)?;
            *at += piece.len() as u64;
        }
        if *at < end { Err(Failure::Passing(anyhow!("the store sent no more after byte {at}"))) } else { Ok(()) }
    }

    fn wait<T>(&self, requests: impl Future<Output = T>) -> (T, Option<u32>) {
        self.runtime.block_on(watch(requests))
    }

    fn failure(&self, error: object_store::Error) -> Failure {
        let passing = matches!(error, object_store::Error::Generic { .. } | object_store::Error::JoinError { .. });
        let passing = passing && !is_refused();
        let error = self.told(error);
        if passing { Failure::Passing(error) } else { Failure::Final(error) }
    }

    /// The error without object_store's repeated causes.
    fn told(&self, error: object_store::Error) -> Error {
        use object_store::Error as E;
        // Servers answer with pages of several lines.
        let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        match error {
            E::NotFound { path, .. } => anyhow!("{path} is not there (asked {})", self.access),
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
                anyhow!("the store allows no access (asked {}): {text}", self.access)
            }
            E::InvalidPath { source } => anyhow!(
                "{source}: an object has a key that no folder can hold; rename it in the bucket, or name a path that does \
                 not begin it"
            ),
            _ => anyhow!("{text} (asked {})", self.access),
        }
    }
}

/// Some tools mark folders with empty objects of the folder's name.
fn drop_folders(objects: &mut Vec<Object>) {
    let mut folders = BTreeSet::new();
    for object in objects.iter() {
        let mut name = object.name.as_str();
        while let Some((above, _)) = name.rsplit_once('/') {
            if !folders.insert(above.to_owned()) {
                break;
            }
            name = above;
        }
    }
    objects.retain(|object| object.size > 0 || !folders.contains(&object.name));
}

fn object(meta: ObjectMeta, name: String) -> Object {
    let created = meta.last_modified.format("%Y-%m-%d %H:%M").to_string();
    let tag = tag(&meta);
    Object { key: meta.location.to_string(), name, size: meta.size, created, content_type: None, crc32c: None, tag }
}

fn tag(meta: &ObjectMeta) -> String {
    let tag = meta.e_tag.as_deref().or(meta.version.as_deref()).unwrap_or_default();
    tag.trim_matches('"').to_owned()
}

fn check(result: &GetResult, object: &Object, range: Range<u64>) -> Result<()> {
    let found = tag(&result.meta);
    let same = result.meta.size == object.size && (object.tag.is_empty() || found == object.tag);
    ensure!(
        same,
        "the object has changed meanwhile: expected {} bytes (tag {}), found {} (tag {found})",
        object.size,
        object.tag,
        result.meta.size
    );
    ensure!(result.range == range, "asked for bytes {range:?}, the store sent {:?}", result.range);
    Ok(())
}

/// An object read by ranges.
pub(super) struct Remote<'a> {
    pub(super) bucket: &'a Bucket,
    pub(super) object: &'a Object,
    pub(super) part: usize,
    pub(super) patience: Duration,
}

impl ByteSource for Remote<'_> {
    fn size(&self) -> u64 {
        self.object.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let range = offset..offset + into.len() as u64;
        if range.is_empty() {
            return Ok(());
        }
        let mut copy = |at: u64, piece: &[u8]| {
            let start = (at - offset) as usize;
            into.get_mut(start..start + piece.len()).context("more came than was asked for")?.copy_from_slice(piece);
            Ok(())
        };
        self.bucket.read(self.object, range, self.patience, &mut copy).map(|_| ())
    }

    fn part(&self) -> usize {
        self.part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_no_folder_holds_is_named() {
        let bucket = Bucket::open("gs://ct").expect("opens");
        let source = Path::parse("train//1.jpg").expect_err("has an empty part");
        let told = bucket.told(object_store::Error::InvalidPath { source }).to_string();
        assert!(told.contains("train//1.jpg") && told.contains("rename it in the bucket"), "{told}");
    }
}
