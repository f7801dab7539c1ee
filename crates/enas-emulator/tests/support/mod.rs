//! The GPUs that tests of operations run on: the emulated one always, a real one where there is one.

use enas_emulator::EmulatedGpu;
use enas_kernels::gpu::Gpu;

/// A device whose threads and blocks run in the order of `seed`.
pub(crate) fn gpu(seed: u64) -> Gpu {
    EmulatedGpu::start(seed).expect("the emulator starts")
}

/// The first real GPU, if this was built with the feature `cuda` and there is one. The tests of one thread share it.
#[cfg(feature = "cuda")]
pub(crate) fn real() -> Option<Gpu> {
    thread_local!(static REAL: Option<Gpu> = open());
    REAL.with(Clone::clone)
}

#[cfg(feature = "cuda")]
fn open() -> Option<Gpu> {
    match enas_kernels::gpu::Cuda::open(0) {
        Ok(device) => Some(Gpu::new(Box::new(device))),
        Err(why) => {
            say_skipped(&why);
            None
        }
    }
}

/// Says once that nothing runs on a real GPU. Straight to standard error: what tests that pass print with macros is
/// not shown.
#[cfg(feature = "cuda")]
fn say_skipped(why: &enas_kernels::gpu::Error) {
    static SAID: std::sync::Once = std::sync::Once::new();
    SAID.call_once(|| {
        use std::io::Write as _;
        // If nobody can be told, nobody needs to know.
        let _ = writeln!(std::io::stderr(), "skipped: no CUDA device ({why}); the emulated GPU runs alone");
    });
}

#[cfg(not(feature = "cuda"))]
pub(crate) fn real() -> Option<Gpu> {
    None
}
