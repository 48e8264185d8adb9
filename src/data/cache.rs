//! A cache of decoded and resized slices in one file.
//!
//! `cache/<key>/slices.bin` holds the slices of a manifest, size × size grey levels each, losslessly compressed or
//! uncompressed ([`Storage`]), each with a checksum that is compared whenever the slice is read. The key is derived from the manifest's hash and the preprocessing, so a cache is only
//! ever used for the data that it was built from.

use crate::base::errors::{Context, Result, ensure};
use crate::base::figure::Figure;
use crate::base::files::Digest;
use crate::base::progress::{Progress, human_bytes, thousands};
use crate::base::table::{Table, shown_as_table};
use crate::data::contact_sheet::ContactSheet;
use crate::data::manifest::Manifest;
use crate::data::pack::unpack;
use crate::data::pixels::{GreyImage, Pixels};
use crate::data::preprocess::{Crop, Preprocess, Storage, Stretch};
use crate::data::rows::{Checking, Filling, Place, Rows};
use crate::data::split::{Split, Subset};
use crate::data::window::Window;
use crate::nn::transfer::{pinned, sent};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

mod cache_build;
mod lungs_found;
#[cfg(test)]
mod tests;

use cache_build::build;

const FILE: &str = "slices.bin";

/// The preprocessed slices of a manifest.
#[derive(Debug)]
pub struct SliceCache {
    manifest: Manifest,
    hash: Digest,
    preprocess: Preprocess,
    folder: PathBuf,
    rows: Arc<Rows>,
}

#[derive(Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct CacheIndex {
    manifest: Digest,
    size: u32,
    storage: Storage,
    window: Window,
    crop: Crop,
    stretch: Stretch,
    slices: usize,
}

impl SliceCache {
    /// Opens the cache of these slices under `folder` and builds it first if necessary. A build that was killed resumes
    /// where it stopped; if another process builds the same cache, this waits for it. A cache of an earlier version is
    /// built again.
    ///
    /// # Errors
    /// A slice that cannot be decoded (run the audit, and cache [`accepted`](crate::Audit::accepted) slices), a full
    /// disk, or a damaged cache.
    pub fn open_or_build(
        folder: impl AsRef<Path>,
        manifest: &Manifest,
        preprocess: &Preprocess,
        progress: impl Fn(&Progress) + Sync,
    ) -> Result<Self> {
        let (place, index) = planned(folder.as_ref(), manifest, preprocess);
        build(&place, manifest, preprocess, &index, &progress)
            .with_context(|| format!("building the slice cache {}", place.folder.display()))?;
        Self::open(place, index, manifest, preprocess)
    }

    fn open(place: Place, index: CacheIndex, manifest: &Manifest, preprocess: &Preprocess) -> Result<Self> {
        let rows = Arc::new(Rows::open(&place, &index, Checking::Always).context("opening the slice cache")?);
        let (manifest, preprocess) = (manifest.clone(), preprocess.clone());
        Ok(Self { manifest, hash: index.manifest, preprocess, folder: place.folder, rows })
    }

    /// The number of slices in it.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Hash of the manifest it was built from.
    pub fn manifest_hash(&self) -> Digest {
        self.hash
    }

    /// The preprocessing of the slices.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The grey levels of a slice, row by row, size × size.
    ///
    /// # Errors
    /// An index beyond the manifest, or a slice that is not as it was written.
    pub fn pixels(&self, slice: usize) -> Result<Vec<u8>> {
        self.bytes_of(&[slice])
    }

    /// The grey levels of slices one after the other.
    pub(crate) fn bytes_of(&self, slices: &[usize]) -> Result<Vec<u8>> {
        let each = slice_bytes(self.preprocess.size);
        let reading = |slice: usize| format!("reading slice {slice} of the cache {}", self.folder.display());
        if self.preprocess.storage == Storage::Raw {
            let mut pixels = Vec::with_capacity(slices.len() * each);
            self.rows.read(slices, &mut pixels)?;
            let (expected, found) = (slices.len() * each, pixels.len());
            ensure!(found == expected, "{}: expected {expected} bytes, found {found}", self.folder.display());
            return Ok(pixels);
        }
        let (mut pixels, mut packed) = (vec![0; slices.len() * each], Vec::new());
        for (&slice, pixels) in slices.iter().zip(pixels.chunks_exact_mut(each)) {
            packed.clear();
            self.rows.read(&[slice], &mut packed)?;
            unpack(&packed, self.preprocess.size as usize, pixels).with_context(|| reading(slice))?;
        }
        Ok(pixels)
    }

    /// A batch `[N, 3, size, size]` f32 on `device`: grey levels divided by 255, minus the mean, divided by the
    /// standard deviation, in three equal channels (a view: one channel is stored). Bytes are copied to the device and
    /// converted there.
    pub fn batch(&self, slices: &[usize], device: Device) -> Result<Tensor> {
        // These slices were not prefetched: asked for together they come faster than one after the other.
        self.rows.read_ahead(slices);
        self.preprocess.normalised(&self.grey(slices)?.f_to_device(device)?)
    }

    /// Slices `[N, 1, size, size]` u8 in main memory.
    pub(crate) fn grey(&self, slices: &[usize]) -> Result<Tensor> {
        let size = i64::from(self.preprocess.size);
        let shape = [slices.len() as i64, 1, size, size];
        Ok(Tensor::f_from_data_size(&self.bytes_of(slices)?, &shape, Kind::Uint8)?)
    }

    /// The slices in the order on disk.
    pub(crate) fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Class indices `[N]` i64 of labelled slices.
    ///
    /// # Errors
    /// A slice without a label.
    pub fn labels(&self, slices: &[usize], device: Device) -> Result<Tensor> {
        let label = |&slice: &usize| {
            let slice = self.manifest.slices.get(slice).with_context(|| format!("no slice {slice} in the cache"))?;
            let label = self.manifest.scan_of(slice).label;
            label.map(|l| l.index() as i64).with_context(|| format!("{} has no label", self.manifest.path(slice)))
        };
        let labels = slices.iter().map(label).collect::<Result<Vec<i64>>>()?;
        // Copies from memory that is not pinned would wait until the GPU has finished its work.
        sent(&pinned(Tensor::f_from_slice(&labels)?, device)?, device)
    }

    /// Slices at even distances in a subset, after preprocessing.
    pub fn contact_sheet(&self, split: &Split, subset: Subset, count: usize) -> Result<Figure> {
        let of_subset = self.used(&split.slices(subset))?;
        let size = self.preprocess.size;
        let mut sheet = ContactSheet::new(format!("{subset}: slices as the network sees them ({size}×{size})"));
        for slice in spread(&of_subset, count) {
            let image = GreyImage { width: size, height: size, pixels: self.pixels(slice)? };
            let record = &self.manifest.slices[slice];
            let mark = match (self.has_lungs(slice)?, self.preprocess.crop) {
                (Some(false), Crop::Lungs { .. } | Crop::LungBox { .. }) => "no lungs found: whole picture",
                (Some(false), Crop::Whole) => "no lungs found",
                _ => "",
            };
            sheet.add(&[&self.manifest.path(record), mark], Some(&image))?;
        }
        let Preprocess { crop, stretch, .. } = &self.preprocess;
        Ok(sheet.figure(&format!(
            "Image sample after the preprocessing, before normalisation; shown enlarged. Crop: {}. Grey levels: {}.",
            crop.described(),
            stretch.described()
        )))
    }

    fn table(&self) -> Table {
        let mut table = Table::new("Slice cache", &["Slices", "Size", "On disk", "Folder"]);
        let raw = self.manifest.slices.len() as u64 * slice_bytes(self.preprocess.size) as u64;
        let bytes = self.rows.bytes();
        let size = format!("{0}×{0}, 8 bit grey", self.preprocess.size);
        let count = thousands(self.manifest.slices.len() as u64);
        table.row([count, size, human_bytes(bytes), self.folder.display().to_string()]);
        let packed = match self.preprocess.storage {
            Storage::Packed => format!("Packed without loss to {:.0} %. ", 100.0 * bytes as f64 / raw.max(1) as f64),
            Storage::Raw => String::new(),
        };
        table.note(format!("{packed}Bound to the manifest {}.", self.hash.short()))
    }
}

shown_as_table!(SliceCache);

/// `count` of the items at even distances.
pub(crate) fn spread(items: &[usize], count: usize) -> Vec<usize> {
    let count = count.min(items.len());
    (0..count).map(|i| items[i * items.len() / count.max(1)]).collect()
}

fn slice_bytes(size: u32) -> usize {
    size as usize * size as usize
}

/// The folder of the cache of these slices, and the key that it is made from.
fn planned(folder: &Path, manifest: &Manifest, preprocess: &Preprocess) -> (Place, CacheIndex) {
    let (hash, slices) = (manifest.hash(), manifest.slices.len());
    let place = Place { folder: folder.join(preprocess.cache_key(&hash)), file: FILE, rows: slices };
    let Preprocess { size, storage, window, crop, stretch, .. } = *preprocess;
    (place, CacheIndex { manifest: hash, size, storage, window, crop, stretch, slices })
}

/// A cache that is filled while an audit passes over the files.
pub(crate) struct CacheFilling {
    filling: Filling,
    preprocess: Preprocess,
}

impl CacheFilling {
    pub(crate) fn begin(folder: &Path, preprocess: &Preprocess) -> Result<Self> {
        let doing = || format!("beginning a slice cache in {}", folder.display());
        Ok(Self { filling: Filling::begin(folder).with_context(doing)?, preprocess: preprocess.clone() })
    }

    /// Stores the slice of file number `row`.
    /// `lung` is what the lung window shows of them.
    pub(crate) fn put(&self, row: usize, pixels: Pixels, lung: Option<GreyImage>) -> Result<()> {
        let lung = lung.filter(|_| self.preprocess.window == Window::LUNG);
        self.filling.put(row, &self.preprocess.stored(lung.map_or(pixels, Pixels::Grey))?)
    }

    /// The cache of the accepted slices; others of `all` that were put stay unused in its file.
    pub(crate) fn finish(self, all: &Manifest, accepted: &Manifest) -> Result<SliceCache> {
        let (place, index) = planned(self.filling.folder(), accepted, &self.preprocess);
        let doing = || format!("finishing the slice cache {}", place.folder.display());
        if !place.is_built() {
            let mut following = accepted.slices.iter().peekable();
            let mut is_kept = |row: &usize| following.next_if(|next| **next == all.slices[*row]).is_some();
            let kept: Vec<usize> = (0..all.slices.len()).filter(|row| is_kept(row)).collect();
            self.filling.finish(&place, &kept, &index).with_context(doing)?;
        }
        SliceCache::open(place, index, accepted, &self.preprocess)
    }
}
