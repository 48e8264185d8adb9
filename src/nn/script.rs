//! Operators of libtorch that tch does not expose, called through a small TorchScript program: those that change lists
//! of tensors, and pinning memory without a warning on each call.

use crate::base::errors::{Context, Result};
use std::io::{Cursor, Write};
use std::sync::OnceLock;
use tch::{CModule, IValue, Tensor};
use zip::write::FileOptions;
use zip::{CompressionMethod, ZipWriter};

/// In the form of TorchScript files. Adam's state changes in place; a gradient that overflowed only changes the scale.
const CODE: &str = "\
class Missing(Module):
  __parameters__ = []
  __buffers__ = []
  def adam_step(self: __torch__.Missing,
    parameters: List[Tensor],
    gradients: List[Tensor],
    first: List[Tensor],
    second: List[Tensor],
    steps: List[Tensor],
    lr: float,
    weight_decay: float) -> NoneType:
    _0 = torch.add_(steps[0], 1)
    torch._fused_adamw_(parameters, gradients, first, second, annotate(List[Tensor], []), steps, lr=lr, beta1=0.9, \
beta2=0.999, weight_decay=weight_decay, eps=1e-08, amsgrad=False, maximize=False)
    return None
  def adam_step_scaled(self: __torch__.Missing,
    parameters: List[Tensor],
    gradients: List[Tensor],
    first: List[Tensor],
    second: List[Tensor],
    steps: List[Tensor],
    lr: float,
    weight_decay: float,
    scale: Tensor,
    good_steps: Tensor,
    skipped: Tensor,
    overflow: Tensor) -> NoneType:
    _0 = torch.zero_(overflow)
    torch._amp_foreach_non_finite_check_and_unscale_(gradients, overflow, torch.reciprocal(scale))
    _1 = torch.add_(steps[0], 1)
    torch._fused_adamw_(parameters, gradients, first, second, annotate(List[Tensor], []), steps, lr=lr, beta1=0.9, \
beta2=0.999, weight_decay=weight_decay, eps=1e-08, amsgrad=False, maximize=False, grad_scale=None, found_inf=overflow)
    _2 = torch.sub_(steps[0], overflow)
    _3 = torch.add_(skipped, overflow)
    _4 = torch._amp_update_scale_(scale, good_steps, overflow, 2., 0.5, 2000)
    return None
  def pinned(self: __torch__.Missing,
    input: Tensor) -> Tensor:
    return torch.pin_memory(input)
";

/// One step of Adam over vectors `[P]`, with what [`Adam`](crate::Adam) gives it; `adam_step` or `adam_step_scaled`.
pub(crate) fn adam(step: &str, arguments: &[IValue]) -> Result<()> {
    let _guard = tch::no_grad_guard();
    program()?.method_is(step, arguments).context("a step of Adam")?;
    Ok(())
}

/// A copy in pinned memory.
///
/// # Errors
/// There is no GPU.
pub(crate) fn pinned(input: &Tensor) -> Result<Tensor> {
    program()?.method_ts("pinned", &[input]).context("pinning memory for the GPU")
}

/// The program, loaded once.
fn program() -> Result<&'static CModule> {
    static PROGRAM: OnceLock<CModule> = OnceLock::new();
    if let Some(program) = PROGRAM.get() {
        return Ok(program);
    }
    let loaded = loaded("Missing", CODE)?;
    Ok(PROGRAM.get_or_init(|| loaded))
}

/// A program: the methods of a class without attributes, in the form of TorchScript files.
pub(crate) fn loaded(class: &str, code: &str) -> Result<CModule> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    // Pickles: an object of the class without attributes, and an empty tuple.
    let object = [&b"\x80\x02c__torch__\n"[..], class.as_bytes(), b"\n)\x81}b."].concat();
    let files: [(&str, &[u8]); 4] = [
        ("data.pkl", &object),
        ("constants.pkl", b"\x80\x02)."),
        ("code/__torch__.py", code.as_bytes()),
        ("version", b"3\n"),
    ];
    for (name, content) in files {
        let stored = FileOptions::default().compression_method(CompressionMethod::Stored);
        archive.start_file(format!("missing/{name}"), stored)?;
        archive.write_all(content)?;
    }
    let bytes = archive.finish()?.into_inner();
    CModule::load_data(&mut bytes.as_slice()).context("loading our TorchScript into libtorch")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_pinned_where_there_is_a_gpu_and_nowhere_else() {
        let bytes = Tensor::from_slice(&[1_u8, 2, 255]);
        match pinned(&bytes) {
            Ok(pinned) => assert!(tch::Cuda::is_available() && pinned == bytes),
            Err(error) => {
                assert!(!tch::Cuda::is_available(), "{error:#}");
                assert_eq!(error.to_string(), "pinning memory for the GPU");
            }
        }
    }
}
