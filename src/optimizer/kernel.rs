//! A step of Adam in one pass over the parameters: libtorch has it (`_fused_adam_`), tch hands no operator on that changes
//! lists of tensors. TorchScript calls every operator, so the step is a little program in it.

use anyhow::{Context, Result};
use std::io::{Cursor, Write};
use tch::{CModule, IValue};
use zip::write::FileOptions;
use zip::{CompressionMethod, ZipWriter};

/// In the form in which TorchScript is kept in files. Found to have overflowed, a gradient changes nothing but the scale.
const CODE: &str = "\
class Adam(Module):
  __parameters__ = []
  __buffers__ = []
  def step(self: __torch__.Adam,
    parameters: List[Tensor],
    gradients: List[Tensor],
    first: List[Tensor],
    second: List[Tensor],
    steps: List[Tensor],
    lr: float) -> NoneType:
    _0 = torch.add_(steps[0], 1)
    torch._fused_adam_(parameters, gradients, first, second, annotate(List[Tensor], []), steps, lr=lr, beta1=0.9, \
beta2=0.999, weight_decay=0., eps=1e-08, amsgrad=False, maximize=False)
    return None
  def step_scaled(self: __torch__.Adam,
    parameters: List[Tensor],
    gradients: List[Tensor],
    first: List[Tensor],
    second: List[Tensor],
    steps: List[Tensor],
    lr: float,
    scale: Tensor,
    good_steps: Tensor,
    skipped: Tensor,
    overflow: Tensor) -> NoneType:
    _0 = torch.zero_(overflow)
    torch._amp_foreach_non_finite_check_and_unscale_(gradients, overflow, torch.reciprocal(scale))
    _1 = torch.add_(steps[0], 1)
    torch._fused_adam_(parameters, gradients, first, second, annotate(List[Tensor], []), steps, lr=lr, beta1=0.9, \
beta2=0.999, weight_decay=0., eps=1e-08, amsgrad=False, maximize=False, grad_scale=None, found_inf=overflow)
    _2 = torch.sub_(steps[0], overflow)
    _3 = torch.add_(skipped, overflow)
    _4 = torch._amp_update_scale_(scale, good_steps, overflow, 2., 0.5, 2000)
    return None
";

/// The program, loaded.
#[derive(Debug)]
pub(super) struct Kernel(CModule);

impl Kernel {
    pub(super) fn load() -> Result<Self> {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        let files: [(&str, &[u8]); 4] = [
            // Pickles: an object of the class without attributes, and an empty tuple.
            ("data.pkl", b"\x80\x02c__torch__\nAdam\n)\x81}b."),
            ("constants.pkl", b"\x80\x02)."),
            ("code/__torch__.py", CODE.as_bytes()),
            ("version", b"3\n"),
        ];
        for (name, content) in files {
            let stored = FileOptions::default().compression_method(CompressionMethod::Stored);
            archive.start_file(format!("adam/{name}"), stored)?;
            archive.write_all(content)?;
        }
        let bytes = archive.finish()?.into_inner();
        Ok(Self(CModule::load_data(&mut bytes.as_slice()).context("loading Adam's step into libtorch")?))
    }

    pub(super) fn step(&self, method: &str, arguments: Vec<IValue>) -> Result<()> {
        let _guard = tch::no_grad_guard();
        self.0.method_is(method, &arguments).context("a step of Adam")?;
        Ok(())
    }
}
