//! Transfer of tensors between memory and device.

use crate::base::errors::Result;
use crate::nn::script;
use tch::{Device, Tensor};

/// Pins memory that will be copied to a GPU.
pub(crate) fn pinned(input: Tensor, device: Device) -> Result<Tensor> {
    if device.is_cuda() { script::pinned(&input) } else { Ok(input) }
}

/// Bytes are copied to the device, not floats, without waiting for the copy.
pub(crate) fn sent(input: &Tensor, device: Device) -> Result<Tensor> {
    Ok(input.f_to_device_(device, input.f_kind()?, true, false)?)
}

/// A tensor's values in row-major order, as bytes.
pub(crate) fn bytes(tensor: &Tensor) -> Result<Vec<u8>> {
    let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
    Ok(bytes)
}
