//! The GPUs that tests of networks run on: the emulated one always, a real one where there is one.

use enas_emulator::EmulatedGpu;
use enas_kernels::gpu::Gpu;

/// At least the emulated GPU.
pub(crate) fn all() -> Vec<Gpu> {
    let mut gpus = vec![EmulatedGpu::start(0).expect("the emulator starts")];
    gpus.extend(real());
    gpus
}

#[cfg(feature = "cuda")]
fn real() -> Option<Gpu> {
    match enas_kernels::gpu::Cuda::open(0) {
        Ok(device) => Some(Gpu::new(Box::new(device))),
        Err(why) => {
            eprintln!("skipped: no CUDA device ({why})");
            None
        }
    }
}

#[cfg(not(feature = "cuda"))]
fn real() -> Option<Gpu> {
    None
}
