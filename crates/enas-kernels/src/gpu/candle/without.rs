//! Without the feature `cuda`: candle knows no GPU, so these functions return errors.

use candle_core::{CudaDevice, CudaStorage, Device, Layout, Tensor};

use crate::gpu::buffer::Buffer;
use crate::gpu::cuda::Native;
use crate::gpu::device::Error;
use crate::gpu::memory::Gpu;

pub(super) fn open(_: usize) -> Result<Device, Error> {
    Err(not_built())
}

pub(super) fn on(_: &CudaDevice) -> Result<Gpu, Error> {
    Err(not_built())
}

pub(super) fn device(native: &Native) -> Device {
    match *native {}
}

pub(super) fn of(tensor: &Tensor) -> Result<Buffer, Error> {
    Err(Error::Failed(format!("a tensor on {:?} has no memory of a GPU", tensor.device())))
}

pub(super) fn borrowed(_: &CudaStorage, _: &Layout) -> Result<Buffer, Error> {
    Err(not_built())
}

pub(super) fn into_storage(native: &Native, _: Buffer, _: usize) -> Result<CudaStorage, Error> {
    match *native {}
}

fn not_built() -> Error {
    let remedy = "build it with `--features cuda`, or use the CPU (--device cpu)";
    Error::Unavailable(format!("CUDA is not built into this program; {remedy}"))
}
