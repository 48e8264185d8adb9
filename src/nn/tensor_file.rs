//! Safetensors files: written whole, read tensor by tensor, with a checksum of all tensors.
//!
//! The file is not mapped into memory: a mapped file that is cut would end the program by a signal.

use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::files::write_atomic_at;
use crate::base::progress::thousands;
use crate::base::regular_file::open_regular;
use crate::nn::transfer::bytes;
use safetensors::tensor::{Dtype, Metadata, TensorInfo, View};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use tch::{Kind, Tensor};

/// The longest header that the format allows, in bytes.
const MAX_HEADER: u64 = 100_000_000;

/// Writes a safetensors file of f32 and i64 tensors, atomically: if the process is killed, the former file stays.
pub(crate) fn write_tensors(
    path: &Path,
    tensors: &[(String, Tensor)],
    metadata: HashMap<String, String>,
) -> Result<()> {
    let failed = RefCell::new(None);
    let stored = tensors.iter().map(|(name, tensor)| (name.as_str(), Stored::of(tensor, &failed)));
    write_atomic_at(path, |partial| {
        safetensors::serialize_to_file(stored, &Some(metadata), partial)?;
        failed.take().map_or(Ok(()), Err)
    })
}

/// A tensor that is copied when it is written, so that only one tensor of a checkpoint is in memory twice.
struct Stored<'a> {
    tensor: &'a Tensor,
    shape: Vec<usize>,
    /// The first error of a copy, because [`View::data`] cannot return one.
    failed: &'a RefCell<Option<crate::base::errors::Error>>,
}

impl<'a> Stored<'a> {
    fn of(tensor: &'a Tensor, failed: &'a RefCell<Option<crate::base::errors::Error>>) -> Self {
        Self { tensor, shape: shape_of(tensor), failed }
    }
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        if self.tensor.kind() == Kind::Int64 { Dtype::I64 } else { Dtype::F32 }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(bytes(self.tensor).unwrap_or_else(|error| {
            self.failed.borrow_mut().get_or_insert(error);
            vec![0; self.data_len()]
        }))
    }

    fn data_len(&self) -> usize {
        self.tensor.numel() * self.dtype().size()
    }
}

fn shape_of(tensor: &Tensor) -> Vec<usize> {
    tensor.size().iter().map(|&side| side as usize).collect()
}

/// The CRC-32C of names, shapes, types and values of tensors, whatever their order.
pub(crate) fn checksum(tensors: &[(String, Tensor)]) -> Result<u32> {
    let one = |(name, tensor): &(String, Tensor)| {
        Ok((name.clone(), described(tensor.kind(), &shape_of(tensor), &bytes(tensor)?)))
    };
    Ok(of_all(&tensors.iter().map(one).collect::<Result<_>>()?))
}

fn described(kind: Kind, shape: &[usize], bytes: &[u8]) -> String {
    format!("{kind:?} {shape:?} {:08x}", crc32c::crc32c(bytes))
}

fn of_all(tensors: &BTreeMap<String, String>) -> u32 {
    tensors.iter().fold(0, |sum, (name, is)| crc32c::crc32c_append(sum, format!("{name} {is}\n").as_bytes()))
}

/// A safetensors file whose header was read.
pub(crate) struct TensorFile {
    file: File,
    header: Metadata,
    /// Where the tensors begin.
    begin: u64,
}

impl TensorFile {
    /// # Errors
    /// Anything but a whole safetensors file.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut file = open_regular(path)?;
        let foreign = "expected a safetensors file, found damaged or foreign contents";
        let (header, begin) = read_header(&mut file).context(foreign)?;
        Ok(Self { file, header, begin })
    }

    /// What its writer wrote under this key.
    pub(crate) fn metadata(&self, key: &str) -> Option<&str> {
        self.header.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// The tensors by name, and their [`checksum`].
    ///
    /// # Errors
    /// A tensor that is neither f32 nor i64, or a file that was cut meanwhile.
    pub(crate) fn read(&self) -> Result<(BTreeMap<String, Tensor>, u32)> {
        let (mut tensors, mut descriptions) = (BTreeMap::new(), BTreeMap::new());
        for (name, info) in self.header.tensors() {
            let kind = match info.dtype {
                Dtype::F32 => Kind::Float,
                Dtype::I64 => Kind::Int64,
                other => bail!("{name} should be F32 or I64, it is {other:?}"),
            };
            let (begin, end) = info.data_offsets;
            let mut bytes = vec![0; end - begin];
            let reading = || format!("reading {name}");
            self.file.read_exact_at(&mut bytes, self.begin + begin as u64).with_context(reading)?;
            let shape: Vec<i64> = info.shape.iter().map(|&side| side as i64).collect();
            descriptions.insert(name.clone(), described(kind, &info.shape, &bytes));
            tensors.insert(name, Tensor::f_from_data_size(&bytes, &shape, kind)?);
        }
        Ok((tensors, of_all(&descriptions)))
    }
}

/// The header, and where it ends.
fn read_header(file: &mut File) -> Result<(Metadata, u64)> {
    let length = file.metadata()?.len();
    let mut header = [0; 8];
    file.read_exact(&mut header).context("it is too short for a header")?;
    let header = u64::from_le_bytes(header);
    ensure!(header <= MAX_HEADER && 8 + header <= length, "its {length} bytes cannot hold a header of {header}");
    let mut json = vec![0; header as usize];
    file.read_exact(&mut json)?;
    let (begin, header) = (8 + header, serde_json::from_slice::<Metadata>(&json)?);
    let expected = covered(&header).and_then(|covered| covered.checked_add(begin));
    let expected = expected.context("its tensors overlap, leave gaps, or have other lengths than shapes")?;
    ensure!(length == expected, "it should have {expected} bytes, it has {length}");
    Ok((header, begin))
}

/// Bytes of all tensors, if they lie one after the other and each has the length that its shape asks for.
fn covered(header: &Metadata) -> Option<u64> {
    let tensors = header.tensors();
    let mut tensors: Vec<&TensorInfo> = tensors.into_values().collect();
    tensors.sort_by_key(|info| info.data_offsets);
    let end = tensors.into_iter().try_fold(0, |next, info| {
        let (begin, end) = info.data_offsets;
        let length = info.shape.iter().try_fold(info.dtype.size(), |length, &side| length.checked_mul(side))?;
        (begin == next && begin.checked_add(length) == Some(end)).then_some(end)
    });
    end.map(|end| end as u64)
}

/// Checks that all values are finite numbers; the error names the first that is not.
pub(crate) fn all_finite<'a>(tensors: impl IntoIterator<Item = (&'a String, &'a Tensor)>) -> Result<()> {
    for (name, tensor) in tensors.into_iter().filter(|(_, tensor)| tensor.is_floating_point()) {
        if tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? == 1 {
            continue;
        }
        let values = Vec::<f64>::try_from(tensor.f_to_kind(Kind::Double)?.f_reshape([-1])?)?;
        let others = values.iter().enumerate().filter(|(_, value)| !value.is_finite());
        let (at, value) = others.clone().next().context("a value that was not finite is gone")?;
        let (count, all) = (thousands(others.count() as u64), thousands(values.len() as u64));
        bail!(
            "expected finite numbers, found {value} at {name}[{at}]; values of {name} that are not finite: {count} of {all}"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn written(folder: &Path) -> (std::path::PathBuf, Vec<(String, Tensor)>) {
        let path = folder.join("a.safetensors");
        let weight = Tensor::from_slice(&[1.5_f32, -2.0, 0.0, 4.0, 5.0, 6.0]).reshape([2, 3]);
        let tensors = vec![("weight".to_owned(), weight), ("count".to_owned(), Tensor::from_slice(&[7_i64]))];
        write_tensors(&path, &tensors, HashMap::from([("key".to_owned(), "value".to_owned())])).expect("writes");
        (path, tensors)
    }

    #[test]
    fn tensors_come_back_with_the_checksum_of_what_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, mut tensors) = written(folder.path());
        let file = TensorFile::open(&path).expect("opens");
        let (read, sum) = file.read().expect("reads");
        assert_eq!((file.metadata("key"), file.metadata("other")), (Some("value"), None));
        assert_eq!(sum, checksum(&tensors).expect("sums"));
        for (name, tensor) in &tensors {
            assert!(read[name].equal(tensor) && read[name].kind() == tensor.kind(), "{name}");
        }
        assert_eq!(tch::Tensor::read_safetensors(&path).expect("as the format says").len(), 2);
        tensors.reverse();
        assert_eq!(sum, checksum(&tensors).expect("sums"), "the order does not matter");
        tensors[0].0 = "mount".to_owned();
        assert_ne!(sum, checksum(&tensors).expect("sums"), "names do");
    }

    #[test]
    fn a_file_that_is_cut_after_it_was_opened_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, _) = written(folder.path());
        let file = TensorFile::open(&path).expect("opens");
        let whole = fs::File::options().write(true).open(&path).expect("opens");
        whole.set_len(whole.metadata().expect("a length").len() - 4).expect("cuts");
        assert!(format!("{:#}", file.read().expect_err("cut")).starts_with("reading "));
        let error = format!("{:#}", TensorFile::open(&path).err().expect("cut"));
        assert!(error.starts_with("expected a safetensors file, found damaged or foreign contents: "), "{error}");
    }

    #[test]
    fn values_that_are_no_numbers_are_named() {
        let mut values = vec![0.5_f32; 1_200];
        (values[7], values[9], values[1_000]) = (f32::NAN, f32::INFINITY, f32::NAN);
        let tensors: BTreeMap<String, Tensor> = [
            ("a.count".to_owned(), Tensor::from_slice(&[3_i64])),
            ("a.weight".to_owned(), Tensor::from_slice(&[1.0_f32])),
            ("b.weight".to_owned(), Tensor::from_slice(&values).reshape([3, 400])),
        ]
        .into();
        let error = all_finite(&tensors).expect_err("NaN").to_string();
        assert_eq!(
            error,
            "expected finite numbers, found NaN at b.weight[7]; values of b.weight that are not finite: 3 of 1,200"
        );
    }
}
