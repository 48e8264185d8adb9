//! The two formats of `torch.save`, a zip archive and the older one; either holds a pickle and the data of storages.
//!
//! A storage is a flat row of elements of one type; tensors are views of storages. The formats are those of PyTorch's
//! `torch/serialization.py`.

use super::pickle::{Id, Pickle, Value};
use super::torch_file::ElementType;
use crate::base::errors::{Context, Result, bail, ensure};
use std::collections::HashMap;
use std::io::Cursor;
use zip::{CompressionMethod, ZipArchive};

/// The pickled magic number at the beginning of the older format.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;

/// The version of the older format, the only one there is.
const VERSION: usize = 1001;

/// The pickle of the object that was saved, and the data of its storages by their keys.
pub(super) struct Container<'a> {
    pub(super) pickle: Pickle,
    storages: HashMap<String, &'a [u8]>,
}

impl<'a> Container<'a> {
    /// Opens a file of either format.
    ///
    /// # Errors
    /// Anything else; a damaged file, as far as the format shows it: a zip archive has checksums, the older format none.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self> {
        ensure!(!bytes.is_empty(), "expected a file of torch.save, found an empty file");
        if bytes.starts_with(b"PK") { open_zip(bytes) } else { open_legacy(bytes) }
    }

    /// The elements and the element type of a storage, by its identification in the pickle.
    pub(super) fn storage(&self, id: Id) -> Result<(ElementType, &'a [u8])> {
        let storage = StorageId::read(&self.pickle, id)?;
        let (key, size) = (storage.key, storage.dtype.size());
        let data = *self.storages.get(key).with_context(|| format!("its storage {key:?} is not in the file"))?;
        let expected = storage.elements.checked_mul(size);
        ensure!(
            expected == Some(data.len()),
            "its storage {key:?} should have {} elements of {size} bytes, it has {} bytes",
            storage.elements,
            data.len()
        );
        let Some((first, elements)) = storage.view else { return Ok((storage.dtype, data)) };
        let range = first.checked_mul(size).zip(first.checked_add(elements).and_then(|end| end.checked_mul(size)));
        let view = range.and_then(|(start, end)| data.get(start..end));
        let view = view.with_context(|| format!("its storage {key:?} ends before the view of it"))?;
        Ok((storage.dtype, view))
    }
}

/// The identification of a storage in the pickle: `('storage', type, key, device, elements)`, in the older format
/// followed by `(view's key, first, elements)` or `None`.
struct StorageId<'p> {
    dtype: ElementType,
    key: &'p str,
    elements: usize,
    view: Option<(usize, usize)>,
}

impl<'p> StorageId<'p> {
    fn read(pickle: &'p Pickle, id: Id) -> Result<Self> {
        let Some(&[what, ref rest @ ..]) = pickle.items(id) else {
            bail!("expected the tuple that torch.save writes for a storage, found {}", pickle.get(id).kind());
        };
        let what = pickle.text(what);
        ensure!(
            what != Some("module"),
            "expected a state dict, found a whole model, which would have to run Python code"
        );
        let (kind, key, elements, view) = match *rest {
            [kind, key, _device, elements] => (kind, key, elements, None),
            [kind, key, _device, elements, view] => (kind, key, elements, pickle.items(view)),
            _ => bail!("expected 5 or 6 values for a storage, found {}", rest.len() + 1),
        };
        let Value::Global(kind) = pickle.get(kind) else {
            bail!("expected a storage's type, found {}", pickle.get(kind).kind())
        };
        let view = match view {
            Some(&[_key, first, elements]) => Some(pickle.count(first).zip(pickle.count(elements)).context("a view")?),
            _ => None,
        };
        Ok(Self {
            dtype: ElementType::of_storage(kind)?,
            key: pickle.text(key).with_context(|| format!("expected a key, found {}", pickle.get(key).kind()))?,
            elements: pickle.count(elements).context("expected a storage's count of elements, found none")?,
            view,
        })
    }
}

/// `<name>/data.pkl` is the pickle, `<name>/data/<key>` a storage.
fn open_zip(bytes: &[u8]) -> Result<Container<'_>> {
    let damaged = "expected a whole zip archive of torch.save, found a damaged one";
    check_entry_count(bytes).context(damaged)?;
    let archive = ZipArchive::new(Cursor::new(bytes)).context(damaged)?;
    // Both have a data.pkl; only a TorchScript archive has code and constants.
    let script = archive.file_names().any(|entry| entry.ends_with("/constants.pkl") || entry.contains("/code/"));
    ensure!(
        !script,
        "expected a state dict, found a TorchScript program (torch.jit.save): save its state_dict() instead"
    );
    let entries = zip_entries(bytes, archive).context(damaged)?;
    let name = entries.keys().find_map(|entry| entry.strip_suffix("/data.pkl").filter(|name| !name.contains('/')));
    let name = name.context("expected a zip archive of torch.save, found one without data.pkl")?;
    let order = entries.get(&format!("{name}/byteorder")).copied().unwrap_or(b"little");
    ensure!(order == b"little", "expected little-endian data, found {:?}", order.escape_ascii().to_string());
    let pickle = entries.get(&format!("{name}/data.pkl")).copied().unwrap_or_default();
    let folder = format!("{name}/data/");
    let storages = entries.iter().filter_map(|(entry, data)| Some((entry.strip_prefix(&folder)?.to_owned(), *data)));
    Ok(Container { storages: storages.collect(), pickle: Pickle::read(pickle).context("reading data.pkl")? })
}

/// The data of all entries by name, their checksums compared. Nothing is copied: torch.save does not compress.
fn zip_entries<'a>(bytes: &'a [u8], mut archive: ZipArchive<Cursor<&[u8]>>) -> Result<HashMap<String, &'a [u8]>> {
    let mut entries = HashMap::new();
    for index in 0..archive.len() {
        // Raw: asked for contents, this version of the crate panics at certain entries that claim to be encrypted.
        let entry = archive.by_index_raw(index)?;
        let name = entry.name().to_owned();
        let stored = entry.compression() == CompressionMethod::Stored;
        ensure!(stored, "the entry {name:?} is compressed, which torch.save never does");
        let start = usize::try_from(entry.data_start())?;
        let end = start.checked_add(usize::try_from(entry.size())?);
        let data = end.and_then(|end| bytes.get(start..end));
        let data = data.with_context(|| format!("the entry {name:?} goes beyond the end of the file"))?;
        let (expected, found) = (entry.crc32(), crc32fast::hash(data));
        ensure!(found == expected, "the entry {name:?} should have the CRC-32 {expected:08x}, it has {found:08x}");
        ensure!(entries.insert(name, data).is_none(), "two entries have the name {:?}", entry.name());
    }
    Ok(entries)
}

/// The crate makes room for as many entries as the archive's end claims, some hundred bytes each, before it looks for
/// them. An entry takes 46 bytes at least; an archive that claims more entries than fit is refused.
fn check_entry_count(bytes: &[u8]) -> Result<()> {
    const END: usize = 22;
    const LOCATOR: usize = 20;
    let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?));
    let signed = |at: usize, signature: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(signature));
    let end = bytes.len().checked_sub(END).filter(|&end| signed(end, b"PK\x05\x06"));
    let end = end.context("the file does not end as a zip archive ends: it is truncated")?;
    let Some(locator) = end.checked_sub(LOCATOR).filter(|&locator| signed(locator, b"PK\x06\x07")) else {
        return Ok(()); // Not Zip64, so 65,535 entries at most.
    };
    let record = number(locator + 8).and_then(|at| usize::try_from(at).ok());
    let record = record.filter(|&record| signed(record, b"PK\x06\x06")).context("its Zip64 record is not there")?;
    let fits = |count: u64| count <= bytes.len() as u64 / 46;
    let counts = [record.checked_add(24).and_then(number), record.checked_add(32).and_then(number)];
    ensure!(counts.into_iter().all(|count| count.is_some_and(fits)), "it claims more entries than it has room for");
    Ok(())
}

/// Pickles of the magic number, the version, the system, the object and the storages' keys; then storage by storage the
/// count of elements, an i64, and the elements.
fn open_legacy(bytes: &[u8]) -> Result<Container<'_>> {
    let magic = Pickle::read(bytes).ok().filter(|magic| *magic.get(magic.root) == Value::Int(MAGIC));
    let magic = magic.with_context(|| format!("expected a file of torch.save, found {}", looks_like(bytes)))?;
    let mut at = magic.length;
    let mut next = |what: &str| -> Result<Pickle> {
        let rest = bytes.get(at..).unwrap_or_default();
        let pickle = Pickle::read(rest).with_context(|| format!("reading {what}, at byte {at}"))?;
        at += pickle.length;
        Ok(pickle)
    };
    let version = next("the format's version")?;
    let version = version.count(version.root);
    ensure!(version == Some(VERSION), "expected version {VERSION} of torch.save's older format, found {version:?}");
    let system = next("the description of the system")?;
    let little = system.find(system.root, "little_endian").map(|little| system.get(little));
    ensure!(little == Some(&Value::Bool(true)), "expected little-endian data, found big-endian or unknown");
    let pickle = next("the state dict")?;
    let keys = next("the keys of the storages")?;
    let storages = legacy_storages(bytes.get(at..).unwrap_or_default(), &pickle, &keys)?;
    Ok(Container { pickle, storages })
}

fn legacy_storages<'a>(mut rest: &'a [u8], pickle: &Pickle, keys: &Pickle) -> Result<HashMap<String, &'a [u8]>> {
    let declared = pickle.persistent_ids().map(|id| StorageId::read(pickle, id));
    let declared = declared.map(|storage| storage.map(|storage| (storage.key, storage)));
    let declared: HashMap<_, _> = declared.collect::<Result<_>>()?;
    let mut storages = HashMap::new();
    for &key in keys.items(keys.root).context("expected a list of the storages' keys, found none")? {
        let key = keys.text(key).context("expected a storage's key, found something else")?;
        let storage = declared.get(key).with_context(|| format!("nothing in the file uses the storage {key:?}"))?;
        let truncated = || format!("the file ends within the storage {key:?}: it is truncated");
        let (count, data) = rest.split_first_chunk().with_context(truncated)?;
        let count = usize::try_from(i64::from_le_bytes(*count)).ok();
        ensure!(
            count == Some(storage.elements),
            "the storage {key:?} should have {} elements, it has {count:?}",
            storage.elements
        );
        let length = storage.elements.checked_mul(storage.dtype.size());
        let (data, left) = length.and_then(|length| data.split_at_checked(length)).with_context(truncated)?;
        storages.insert(key.to_owned(), data);
        rest = left;
    }
    Ok(storages)
}

fn looks_like(bytes: &[u8]) -> String {
    let start = bytes.trim_ascii_start();
    if start.starts_with(b"<") {
        return "a web page, such as a server's error message saved under the file's name".to_owned();
    }
    format!("a file that begins with \"{}\"", bytes.get(..24).unwrap_or(bytes).escape_ascii())
}
