//! An emulated GPU for the tests of operations.

use enas_emulator::EmulatedGpu;
use enas_kernels::gpu::Gpu;

/// A device whose threads and blocks run in the order of `seed`.
pub(crate) fn gpu(seed: u64) -> Gpu {
    EmulatedGpu::start(seed).expect("the emulator starts")
}
