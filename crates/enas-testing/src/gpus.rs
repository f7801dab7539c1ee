//! The GPUs that tests run on: the emulated one always, a real one where there is one.

use std::io::Write as _;
use std::sync::Once;

use candle_core::Device;
use candle_core::utils::cuda_is_available;
use enas_emulator::EmulatedGpu;
use enas_kernels::gpu::{Error, Gpu, for_device, open};

/// An emulated GPU whose threads and blocks run in the order of `seed`; zero is the natural one.
pub fn emulated(seed: u64) -> Gpu {
    EmulatedGpu::start(seed).expect("the emulator starts")
}

/// The first real GPU, if this was built with the feature `cuda` and there is one. The tests of one thread share it.
pub fn real() -> Option<Gpu> {
    thread_local!(static REAL: Option<Gpu> = first_real());
    REAL.with(Clone::clone)
}

/// At least the emulated GPU.
pub fn all() -> Vec<Gpu> {
    let mut gpus = vec![emulated(0)];
    gpus.extend(real());
    gpus
}

fn first_real() -> Option<Gpu> {
    for_device(&real_device()?).expect("a device that could be opened runs the kernels")
}

/// The first real GPU as a device of candle, if this was built with the feature `cuda` and there is one.
pub fn real_device() -> Option<Device> {
    // Whether candle was built with CUDA.
    if !cuda_is_available() {
        return None;
    }
    match open(0).and_then(|device| for_device(&device).map(|_| device)) {
        Ok(device) => Some(device),
        Err(why) => {
            say_skipped(&why);
            None
        }
    }
}

/// Says once that nothing runs on a real GPU. Straight to standard error: what tests that pass print with macros is
/// not shown.
fn say_skipped(why: &Error) {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        // The message is for people only, so a failure to write it does not matter.
        let _ = writeln!(std::io::stderr(), "skipped: no CUDA device ({why}); the emulated GPU runs alone");
    });
}
