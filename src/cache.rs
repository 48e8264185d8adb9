//! Every slice decoded and resized once, packed into one memory-mapped file.
//!
//! `cache/<key>/slices.u8` holds the slices of a manifest one after the other, size × size grey levels each. The key is
//! made from the manifest's hash and the preprocessing, so a cache can never serve other data than it was built from.

use crate::config::Preprocess;
use crate::decode::{GreyImage, decode_grey};
use crate::figure::{ContactSheet, Figure};
use crate::files::{Digest, read_json};
use crate::manifest::Manifest;
use crate::progress::{Meter, Progress, human_bytes, thousands};
use crate::resize::resize_grey;
use crate::rows::{Building, Place, Rows};
use crate::split::{Split, Subset};
use crate::table::{Table, shown_as_table};
use anyhow::{Context, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

const FILE: &str = "slices.u8";

/// The slices of a manifest as the networks see them.
#[derive(Debug)]
pub struct SliceCache {
    manifest: Manifest,
    hash: Digest,
    preprocess: Preprocess,
    folder: PathBuf,
    pixels: Arc<Rows>,
    /// Where each slice lies in the file, when the file holds others too.
    rows: Option<Arc<Vec<usize>>>,
}

#[derive(Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Index {
    manifest: Digest,
    size: u32,
    slices: usize,
    /// Rows of the file that belong to no slice of the manifest: files that the audit left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<usize>,
}

impl SliceCache {
    /// Opens the cache of these slices under `folder`, building it first if need be. A build that was killed goes on
    /// where it stopped.
    ///
    /// # Errors
    /// A slice that cannot be decoded (run the audit, and cache [`accepted`](crate::Audit::accepted) slices), a full
    /// disk, or another process building the same cache.
    pub fn open_or_build(
        folder: impl AsRef<Path>,
        manifest: &Manifest,
        preprocess: &Preprocess,
        progress: impl Fn(&Progress) + Sync,
    ) -> Result<Self> {
        let hash = manifest.hash();
        let folder = folder.as_ref().join(preprocess.cache_key(&hash));
        let place = Place { folder, file: FILE, rows: manifest.slices.len(), row_bytes: slice_bytes(preprocess.size) };
        if !place.is_built() {
            let index =
                Index { manifest: hash, size: preprocess.size, slices: manifest.slices.len(), left_out: Vec::new() };
            build(&place, manifest, &index, &progress)
                .with_context(|| format!("building the slice cache {}", place.folder.display()))?;
        }
        Self::open(place, manifest, preprocess).context("opening the slice cache")
    }

    fn open(place: Place, manifest: &Manifest, preprocess: &Preprocess) -> Result<Self> {
        let (hash, slices) = (manifest.hash(), manifest.slices.len());
        let found: Index = read_json(&place.folder.join("index.json"), "the index of a cache")?;
        let index = Index { manifest: hash, size: preprocess.size, slices, left_out: found.left_out };
        let place = Place { rows: slices + index.left_out.len(), ..place };
        let pixels = Arc::new(Rows::open(&place, &index)?);
        let left_out: BTreeSet<usize> = index.left_out.into_iter().collect();
        let kept = || (0..place.rows).filter(|row| !left_out.contains(row)).collect();
        let rows = (!left_out.is_empty()).then(|| Arc::new(kept()));
        let Place { folder, .. } = place;
        Ok(Self { manifest: manifest.clone(), hash, preprocess: preprocess.clone(), folder, pixels, rows })
    }

    /// The slices in it.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Hash of the manifest it was built from.
    pub fn manifest_hash(&self) -> Digest {
        self.hash
    }

    /// How the slices were prepared.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The grey levels of a slice, row by row, size × size.
    ///
    /// # Errors
    /// An index beyond the manifest.
    pub fn pixels(&self, slice: usize) -> Result<&[u8]> {
        let row = self.rows.as_ref().map_or(Some(slice), |rows| rows.get(slice).copied());
        self.pixels.row(row.with_context(|| format!("slice {slice} is not in the cache"))?)
    }

    /// A batch `[N, 3, size, size]` f32 on `device`: grey levels / 255, minus mean, by deviation, three equal channels
    /// (a view: one channel is stored). The bytes travel, not the floats.
    pub fn batch(&self, slices: &[usize], device: Device) -> Result<Tensor> {
        let size = i64::from(self.preprocess.size);
        let mut bytes = Vec::with_capacity(slices.len() * slice_bytes(self.preprocess.size));
        for &slice in slices {
            bytes.extend_from_slice(self.pixels(slice)?);
        }
        let shape = [slices.len() as i64, 1, size, size];
        let grey = Tensor::f_from_data_size(&bytes, &shape, Kind::Uint8)?.f_to_device(device)?;
        let scaled = grey.f_to_kind(Kind::Float)?.f_div_scalar(255.0)?;
        let normalised = scaled.f_sub_scalar(self.preprocess.mean)?.f_div_scalar(self.preprocess.std)?;
        Ok(normalised.f_expand([shape[0], 3, size, size], false)?)
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
        Ok(Tensor::f_from_slice(&labels)?.f_to_device(device)?)
    }

    /// The first slices of a subset, spread over it, as the network sees them.
    pub fn contact_sheet(&self, split: &Split, subset: Subset, count: usize) -> Result<Figure> {
        let of_subset = split.slices(subset);
        let size = self.preprocess.size;
        let mut sheet = ContactSheet::new(format!("{subset}: slices as the network sees them ({size}×{size})"));
        for slice in spread(&of_subset, count) {
            let image = GreyImage { width: size, height: size, pixels: self.pixels(slice)?.to_vec() };
            let record = &self.manifest.slices[slice];
            sheet.add(&self.manifest.path(record), Some(&image))?;
        }
        Ok(sheet.figure("Image sample after the preprocessing, before normalisation; shown enlarged."))
    }

    fn table(&self) -> Table {
        let mut table = Table::new("Slice cache", &["Slices", "Size", "On disk", "Folder"]);
        let bytes = self.manifest.slices.len() as u64 * slice_bytes(self.preprocess.size) as u64;
        let size = format!("{0}×{0}, 8 bit grey", self.preprocess.size);
        let count = thousands(self.manifest.slices.len() as u64);
        table.row([count, size, human_bytes(bytes), self.folder.display().to_string()]);
        table.note(format!("Bound to the manifest {}.", self.hash.short()))
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

fn build(place: &Place, manifest: &Manifest, index: &Index, progress: &(dyn Fn(&Progress) + Sync)) -> Result<()> {
    let building = Building::begin(place)?;
    let meter = Meter::new("slice cache", "slices", index.slices, building.already(), progress);
    building.missing().into_par_iter().try_for_each(|block| -> Result<()> {
        let mut bytes = Vec::with_capacity(block.len() * place.row_bytes);
        for slice in block.clone() {
            let path = manifest.root.join(manifest.path(&manifest.slices[slice]));
            let read = fs::read(&path).with_context(|| format!("reading slice {}", path.display()))?;
            let image = decode_grey(&read).with_context(|| format!("decoding slice {}", path.display()))?;
            bytes.extend(resize_grey(&image, index.size)?);
            meter.add(1);
        }
        building.put(&block, &bytes)
    })?;
    meter.finish();
    building.finish(index)
}

/// A cache that is filled while an audit passes over the files: a row for every file, in the order of the files. Which of
/// them belong to a manifest is known at the end.
pub(crate) struct Filling {
    folder: PathBuf,
    preprocess: Preprocess,
    making: tempfile::TempDir,
    rows: File,
}

impl Filling {
    pub(crate) fn begin(folder: &Path, preprocess: &Preprocess) -> Result<Self> {
        let doing = || format!("beginning a slice cache in {}", folder.display());
        fs::create_dir_all(folder).with_context(doing)?;
        let making = tempfile::Builder::new().prefix("making-").tempdir_in(folder).with_context(doing)?;
        let rows = File::create(making.path().join(FILE)).with_context(doing)?;
        Ok(Self { folder: folder.to_owned(), preprocess: preprocess.clone(), making, rows })
    }

    pub(crate) fn put(&self, row: usize, image: &GreyImage) -> Result<()> {
        let pixels = resize_grey(image, self.preprocess.size)?;
        Ok(self.rows.write_all_at(&pixels, row as u64 * pixels.len() as u64)?)
    }

    /// Names the file after the accepted slices; those of `all` that are not among them stay unused in it.
    pub(crate) fn finish(self, all: &Manifest, accepted: &Manifest) -> Result<SliceCache> {
        let (hash, size) = (accepted.hash(), self.preprocess.size);
        let folder = self.folder.join(self.preprocess.cache_key(&hash));
        let doing = || format!("finishing the slice cache {}", folder.display());
        let mut kept = accepted.slices.iter().peekable();
        let mut is_kept = |slice| kept.next_if(|next| *next == slice).is_some();
        let left_out: Vec<usize> = (0..all.slices.len()).filter(|&row| !is_kept(&all.slices[row])).collect();
        let row_bytes = slice_bytes(size);
        let place = Place { folder: folder.clone(), file: FILE, rows: all.slices.len(), row_bytes };
        if !place.is_built() {
            self.rows.set_len(place.rows as u64 * row_bytes as u64).with_context(doing)?;
            self.rows.sync_all().with_context(doing)?;
            fs::create_dir_all(&folder).with_context(doing)?;
            fs::rename(self.making.path().join(FILE), folder.join(FILE)).with_context(doing)?;
            let index = Index { manifest: hash, size, slices: accepted.slices.len(), left_out };
            crate::files::write_json(&folder.join("index.json"), &index)?;
        }
        SliceCache::open(place, accepted, &self.preprocess).with_context(doing)
    }
}
