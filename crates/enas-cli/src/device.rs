//! Which device the work is computed on.

use anyhow::Result;
use enas_kernels::gpu::Gpu;

use crate::args::Device;

/// The GPU that was asked for, or the first one if nothing was asked for and there is one; `None` for the CPU.
///
/// # Errors
/// If the GPU that was asked for cannot be had.
pub(crate) fn open(device: Option<Device>) -> Result<Option<Gpu>> {
    match device {
        Some(Device::Cpu) => Ok(None),
        Some(Device::Cuda(number)) => cuda(number).map(Some),
        None => Ok(any()),
    }
}

#[cfg(feature = "cuda")]
fn cuda(number: usize) -> Result<Gpu> {
    Ok(Gpu::new(Box::new(enas_kernels::gpu::Cuda::open(number)?)))
}

#[cfg(not(feature = "cuda"))]
fn cuda(_: usize) -> Result<Gpu> {
    unreachable!("refused while the arguments were parsed")
}

#[cfg(feature = "cuda")]
fn any() -> Option<Gpu> {
    match cuda(0) {
        Ok(gpu) => Some(gpu),
        Err(why) => {
            tracing::info!("computing on the CPU: {why}");
            None
        }
    }
}

#[cfg(not(feature = "cuda"))]
fn any() -> Option<Gpu> {
    None
}
