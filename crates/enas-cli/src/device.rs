//! Which device the work is computed on.

use anyhow::Result;
use enas_kernels::gpu::{self, Gpu};

use crate::args;

/// The device that was asked for, as candle has it: the CPU, or an NVIDIA GPU with a stream of its own. If nothing was
/// asked for, the first GPU if there is one that works.
///
/// # Errors
/// If the GPU that was asked for cannot be had: there is none, or the program is built without the feature `cuda`.
pub(crate) fn open(device: Option<args::Device>) -> Result<candle_core::Device> {
    match device {
        Some(args::Device::Cpu) => Ok(candle_core::Device::Cpu),
        Some(args::Device::Cuda(number)) => Ok(cuda(number)?),
        None => Ok(any()),
    }
}

/// The kernels on the device that was asked for; `None` for the CPU.
///
/// # Errors
/// As for [`open`].
pub(crate) fn gpu(device: Option<args::Device>) -> Result<Option<Gpu>> {
    Ok(gpu::on(&open(device)?)?)
}

/// A GPU that runs the kernels.
fn cuda(number: usize) -> Result<candle_core::Device, gpu::Error> {
    let device = gpu::open(number)?;
    gpu::on(&device).map(|_| device)
}

fn any() -> candle_core::Device {
    if !cfg!(feature = "cuda") {
        return candle_core::Device::Cpu;
    }
    cuda(0).unwrap_or_else(|why| {
        tracing::info!("computing on the CPU: {why}");
        candle_core::Device::Cpu
    })
}
