//! The GPUs that tests of operations run on: the emulated one always, a real one where there is one. What maps in
//! bfloat16 do to numbers.

use enas_emulator::EmulatedGpu;
use enas_kernels::gpu::{Gpu, Precision};

/// Orders of threads for maps of each precision; zero is the natural one.
pub(crate) fn orders(precision: Precision) -> [u64; 2] {
    match precision {
        Precision::F32 => [0, 1],
        Precision::Bf16 => [0, 7],
    }
}

/// What storing a number in a map may change, as a share of it: with the eight bits of significand of bfloat16, half
/// of a unit in the last place is at most 2⁻⁸ of the number. Cutting the lower bits off would change up to twice that.
pub(crate) fn rounding(precision: Precision) -> f32 {
    match precision {
        Precision::F32 => 0.0,
        Precision::Bf16 => 1.0 / 256.0,
    }
}

/// The numbers that maps can hold which are nearest to `numbers`, ties to even: what both sides of a comparison begin
/// with. The numbers are finite.
pub(crate) fn stored(precision: Precision, mut numbers: Vec<f32>) -> Vec<f32> {
    if precision == Precision::Bf16 {
        for x in &mut numbers {
            let bits = x.to_bits();
            *x = f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000);
        }
    }
    numbers
}

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
pub(crate) fn real() -> Option<Gpu> {
    None
}
