//! Selection of the device that computes.

use anyhow::Result;
use enas_kernels::gpu::{self, Gpu};

use crate::args;

/// The requested device as a candle device: the CPU, or an NVIDIA GPU with its own stream.
///
/// Without a request, this is the first GPU if it works, else the CPU.
///
/// # Errors
/// If the requested GPU is not available, or the program is built without the feature `cuda`.
pub(crate) fn open(device: Option<args::Device>) -> Result<candle_core::Device> {
    match device {
        Some(args::Device::Cpu) => Ok(candle_core::Device::Cpu),
        Some(args::Device::Cuda(number)) => Ok(cuda(number)?),
        None => Ok(any()),
    }
}

/// The kernels on the requested device; `None` for the CPU.
///
/// # Errors
/// As for [`open`].
pub(crate) fn gpu(device: Option<args::Device>) -> Result<Option<Gpu>> {
    Ok(gpu::for_device(&open(device)?)?)
}

/// Opens a GPU and checks that it runs the kernels.
fn cuda(number: usize) -> Result<candle_core::Device, gpu::Error> {
    let device = gpu::open(number)?;
    gpu::for_device(&device).map(|_| device)
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
