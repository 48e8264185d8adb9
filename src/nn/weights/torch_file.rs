//! Reads the weights in files of `torch.save`, without Python and without running anything in them.

use super::container::Container;
use super::pickle::{Id, PARAMETER, Value};
use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::progress::human_bytes;
use crate::base::regular_file::read_regular;
use std::collections::HashSet;
use std::path::Path;

/// A tensor may repeat elements (stride 0), and many may share a storage. The limit is this many times the file's size,
/// plus a constant for small files: far more than weights need, and small enough against hostile files.
const MAX_EXPANSION: u64 = 8;

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ElementType {
    F64,
    F32,
    F16,
    BF16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
}

impl ElementType {
    /// Bytes that an element takes.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// The type that a storage's class stands for, such as `torch.FloatStorage`; weights saved from a GPU may have
    /// `torch.cuda.FloatStorage`.
    pub(super) fn of_storage(class: &str) -> Result<Self> {
        let name = class.strip_prefix("torch.").map(|name| name.strip_prefix("cuda.").unwrap_or(name));
        Ok(match name.and_then(|name| name.strip_suffix("Storage")) {
            Some("Double") => Self::F64,
            Some("Float") => Self::F32,
            Some("Half") => Self::F16,
            Some("BFloat16") => Self::BF16,
            Some("Long") => Self::I64,
            Some("Int") => Self::I32,
            Some("Short") => Self::I16,
            Some("Char") => Self::I8,
            Some("Byte") => Self::U8,
            Some("Bool") => Self::Bool,
            _ => bail!("expected a storage of real numbers, ints or bools, found {class}"),
        })
    }
}

/// A tensor as bytes: row-major, without gaps, little-endian.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RawTensor {
    pub dtype: ElementType,
    pub shape: Vec<usize>,
    pub data: Vec<u8>,
}

/// The longest file of weights that is read, in bytes; VGG19's has 575 million.
const WEIGHTS_AT_MOST: u64 = 8_000_000_000;

/// Reads a state dict, in the file's order: one that stands alone, or under `state_dict` or `model` as in most
/// checkpoints. The prefix `module.` that `DataParallel` gives to all names is taken off.
///
/// # Errors
/// A file that is damaged, is not a state dict, or would run Python code.
pub(crate) fn read_torch_file(path: &Path) -> Result<Vec<(String, RawTensor)>> {
    let doing = || format!("reading the weights in {}", path.display());
    let bytes = read_regular(path, WEIGHTS_AT_MOST).with_context(doing)?;
    ensure!(!bytes.is_empty(), "{}: expected a file of torch.save, found an empty file", doing());
    state_dict(&bytes).with_context(doing)
}

/// The state dict in a file's bytes.
pub(super) fn state_dict(bytes: &[u8]) -> Result<Vec<(String, RawTensor)>> {
    let container = Container::open(bytes)?;
    let pickle = &container.pickle;
    let wrapped = ["state_dict", "model"].into_iter().filter_map(|key| pickle.find(pickle.root, key));
    let dict = wrapped.into_iter().find_map(|inner| pickle.pairs(inner)).or_else(|| pickle.pairs(pickle.root));
    let dict = dict.with_context(|| format!("expected a state dict, found {}", pickle.get(pickle.root).kind()))?;
    let mut room = (bytes.len() as u64).saturating_mul(MAX_EXPANSION).saturating_add(1 << 20);
    let (mut tensors, mut seen) = (Vec::new(), HashSet::new());
    for &(key, value) in dict {
        let kind = || format!("expected a state dict with names as its keys, found {}", pickle.get(key).kind());
        let key = pickle.text(key).with_context(kind)?;
        ensure!(seen.insert(key), "the name {key:?} stands in it twice");
        let tensor = tensor(&container, value, &mut room).with_context(|| format!("the value of {key:?}"))?;
        tensors.push((key.to_owned(), tensor));
    }
    if tensors.iter().all(|(key, _)| key.starts_with("module.")) {
        tensors.iter_mut().for_each(|(key, _)| *key = key.split_off("module.".len()));
    }
    Ok(tensors)
}

/// A tensor, or a parameter made of one.
fn tensor(container: &Container, value: Id, room: &mut u64) -> Result<RawTensor> {
    let pickle = &container.pickle;
    let mut value = value;
    // A parameter may wrap a tensor; deeper nesting is not written by any version.
    for _ in 0..3 {
        let Value::Call { function, arguments, state } = pickle.get(value) else { break };
        let arguments = pickle.items(*arguments).unwrap_or_default();
        let state = state.map(|state| pickle.items(state).unwrap_or_default());
        match (*function, arguments, state) {
            // What very old versions set as a parameter's state: data, gradient, hooks, flags; or a view of a storage.
            (PARAMETER, _, Some(&[data, _, _, _, _])) => value = data,
            (PARAMETER, _, Some(&[storage, first, shape, strides])) => {
                return view(container, [storage, first, shape, strides], room);
            }
            ("torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2", arguments, _) => {
                let &[storage, first, shape, strides, ref flags @ ..] = arguments else { bail!("too few arguments") };
                // Behind requires_grad and hooks: marks of a tensor that is the conjugate or negative of its storage.
                let marks = flags.get(2).and_then(|marks| pickle.pairs(*marks)).unwrap_or_default();
                ensure!(marks.is_empty(), "expected a plain tensor, found a conjugate or negative view");
                return view(container, [storage, first, shape, strides], room);
            }
            (_, &[data, ..], _) => value = data,
            _ => break,
        }
    }
    bail!("expected a tensor, found {}", pickle.get(value).kind())
}

/// Copies a view of a storage: its storage, first element, shape and strides, the latter in elements.
fn view(container: &Container, [storage, first, shape, strides]: [Id; 4], room: &mut u64) -> Result<RawTensor> {
    let pickle = &container.pickle;
    let Value::Persistent(storage) = pickle.get(storage) else {
        bail!("expected a tensor's storage, found {}", pickle.get(storage).kind());
    };
    let (dtype, data) = container.storage(*storage)?;
    let counts = |ids| pickle.items(ids)?.iter().map(|&id| pickle.count(id)).collect::<Option<Vec<_>>>();
    let first = pickle.count(first).context("expected where a tensor begins, found no count")?;
    let shape = counts(shape).context("expected a tensor's shape, found something else")?;
    let mut strides = counts(strides).context("expected a tensor's strides, found something else")?;
    ensure!(shape.len() == strides.len(), "{} sides, but {} strides", shape.len(), strides.len());
    // The stride of a side of 1 has no meaning and may be any number.
    strides.iter_mut().zip(&shape).filter(|(_, side)| **side == 1).for_each(|(stride, _)| *stride = 0);
    let elements = element_count(&shape).with_context(|| format!("the shape {shape:?} is too large"))?;
    let size = (elements as u64).saturating_mul(dtype.size() as u64);
    *room = room.checked_sub(size).with_context(|| {
        format!("with its {} the tensors are many times as large as the file that holds them", human_bytes(size))
    })?;
    let data = gather(data, dtype.size(), first, &shape, &strides).with_context(|| {
        let stored = data.len() / dtype.size();
        format!("shape {shape:?} with strides {strides:?} from element {first} leaves its storage of {stored} elements")
    })?;
    Ok(RawTensor { dtype, shape, data })
}

/// The number of elements of a shape; `None` on overflow.
fn element_count(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1_usize, |count, &side| count.checked_mul(side))
}

/// The elements of a view, row by row; `None` where one lies outside of `data`.
fn gather(data: &[u8], size: usize, first: usize, shape: &[usize], strides: &[usize]) -> Option<Vec<u8>> {
    let elements = element_count(shape)?;
    if elements == 0 {
        return Some(Vec::new());
    }
    let reach = shape
        .iter()
        .zip(strides)
        .try_fold(first, |at, (side, stride)| at.checked_add(side.checked_sub(1)?.checked_mul(*stride)?))?;
    data.get(..reach.checked_add(1)?.checked_mul(size)?)?;
    if is_contiguous(shape, strides) {
        return Some(data.get(first * size..(first + elements) * size)?.to_vec());
    }
    let mut gathered = Vec::with_capacity(elements * size);
    let (mut at, mut index) = (first, vec![0; shape.len()]);
    for _ in 0..elements {
        gathered.extend_from_slice(data.get(at * size..(at + 1) * size)?);
        for ((index, side), stride) in index.iter_mut().zip(shape).zip(strides).rev() {
            *index += 1;
            at += stride;
            if *index < *side {
                break;
            }
            at -= side * stride;
            *index = 0;
        }
    }
    Some(gathered)
}

/// Whether the elements lie in the storage as they do in the tensor.
fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(&side, &stride)| {
        let fits = side == 1 || stride == expected;
        expected *= side;
        fits
    })
}
