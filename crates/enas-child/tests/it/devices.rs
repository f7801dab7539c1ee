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
    match enas_kernels::gpu::open(0).and_then(|device| enas_kernels::gpu::for_device(&device)) {
        Ok(gpu) => gpu,
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
fn real() -> Option<Gpu> {
    None
}
