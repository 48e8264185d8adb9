//! Augmented slices of a cache: the batches of a training, and pictures of them.

use crate::base::errors::{Context, Result};
use crate::base::figure::Figure;
use crate::data::augment::{Augmentation, Draw};
use crate::data::cache::{SliceCache, spread};
use crate::data::contact_sheet::ContactSheet;
use crate::data::pixels::GreyImage;
use crate::data::split::{Split, Subset};
use tch::{Device, Kind, Tensor};

/// How many augmented versions of a slice fill a row of the sheet, together with the slice itself.
const VERSIONS: u64 = 5;

impl SliceCache {
    /// A batch as [`batch`](Self::batch) makes it, `[N, 3, size, size]` f32 on `device`, of slices that were changed before
    /// normalisation: what `augmentation` draws for the run's `seed` and the `epoch` (from 0).
    ///
    /// # Errors
    /// A field of the augmentation that is out of its range, a slice that is not in the cache, or a device that is not there.
    pub fn augmented_batch(
        &self,
        slices: &[usize],
        augmentation: &Augmentation,
        (seed, epoch): (u64, usize),
        device: Device,
    ) -> Result<Tensor> {
        self.rows().read_ahead(slices);
        let grey = self.augmented_grey(slices, augmentation, (seed, epoch))?;
        self.preprocess().normalised(&grey.f_to_device(device)?)
    }

    /// Augmented slices `[N, 1, size, size]` u8 in main memory.
    pub(crate) fn augmented_grey(
        &self,
        slices: &[usize],
        augmentation: &Augmentation,
        (seed, epoch): (u64, usize),
    ) -> Result<Tensor> {
        let size = self.preprocess().size;
        let mut bytes = self.bytes_of(slices)?;
        augmentation.apply_to_batch(&mut bytes, size as usize, slices, (seed, epoch))?;
        let shape = [slices.len() as i64, 1, i64::from(size), i64::from(size)];
        Ok(Tensor::f_from_data_size(&bytes, &shape, Kind::Uint8)?)
    }

    /// Slices at even distances in a subset, a row for each: the slice, and what the first five epochs of a run with this
    /// `seed` make of it.
    ///
    /// # Errors
    /// A field of the augmentation that is out of its range.
    pub fn augmented_sheet(
        &self,
        split: &Split,
        subset: Subset,
        count: usize,
        augmentation: &Augmentation,
        seed: u64,
    ) -> Result<Figure> {
        augmentation.check().context("drawing augmented slices")?;
        let size = self.preprocess().size;
        let mut sheet = ContactSheet::new(format!("{subset}: slices and their augmented versions ({size}×{size})"));
        let mut room = Vec::new();
        for slice in spread(&self.used(&split.slices(subset))?, count) {
            let image = GreyImage { width: size, height: size, pixels: self.pixels(slice)? };
            sheet.add(&[&self.manifest().path(&self.manifest().slices[slice])], Some(&image))?;
            for epoch in 0..VERSIONS {
                let mut version = image.clone();
                augmentation.apply(
                    &mut version.pixels,
                    size as usize,
                    Draw { seed, epoch, slice: slice as u64 },
                    &mut room,
                );
                sheet.add(&[&format!("epoch {}", epoch + 1)], Some(&version))?;
            }
        }
        Ok(sheet.figure(&format!("Augmentation: {}. Before normalisation; shown enlarged.", augmentation.described())))
    }
}
