//! The GPUs that tests of networks run on: the emulated one always, a real one where there is one.

use candle_core::Device;
use enas_emulator::EmulatedGpu;
use enas_kernels::gpu::{self, Gpu};

/// At least the emulated GPU.
pub(crate) fn all() -> Vec<Gpu> {
    let mut gpus = vec![EmulatedGpu::start(0).expect("the emulator starts")];
    gpus.extend(real());
    gpus
}

fn real() -> Option<Gpu> {
    gpu::for_device(&real_device()?).expect("a device that could be opened runs the kernels")
}

/// The first real GPU as a device of candle, if this was built with the feature `cuda` and there is one.
pub(crate) fn real_device() -> Option<Device> {
    match gpu::open(0).and_then(|device| gpu::for_device(&device).map(|_| device)) {
        Ok(device) => Some(device),
        Err(why) if cfg!(feature = "cuda") => {
            say_skipped(&why);
            None
        }
        Err(_) => None,
    }
}

/// Says once that nothing runs on a real GPU. Straight to standard error: what tests that pass print with macros is
/// not shown.
fn say_skipped(why: &gpu::Error) {
    static SAID: std::sync::Once = std::sync::Once::new();
    SAID.call_once(|| {
        use std::io::Write as _;
        // If nobody can be told, nobody needs to know.
        let _ = writeln!(std::io::stderr(), "skipped: no CUDA device ({why}); the emulated GPU runs alone");
    });
}
