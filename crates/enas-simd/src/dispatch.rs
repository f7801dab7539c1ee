//! Runs a kernel with one of the instruction sets.

use crate::level::{Level, level};
use crate::portable::Portable;
use crate::vector::SimdKernel;
#[cfg(target_arch = "x86_64")]
use crate::x86;

/// Runs a kernel with the instruction set of [`level`].
///
/// # Safety
/// The pointers in `kernel` are valid as the kernel states.
pub unsafe fn run<K: SimdKernel>(kernel: K) -> K::Output {
    // SAFETY: the caller vouches for the kernel's pointers.
    unsafe { run_at(level(), kernel) }
}

/// Runs a kernel with a given instruction set. Tests compare the sets with it.
///
/// # Safety
/// As for [`run`], and `level` is at most the processor's best.
pub unsafe fn run_at<K: SimdKernel>(level: Level, kernel: K) -> K::Output {
    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `level()` found the instructions; the caller vouches for the pointers.
        Level::Avx512 => unsafe { x86::run_avx512(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx2 => unsafe { x86::run_avx2(kernel) },
        // SAFETY: plain Rust needs no instructions; the caller vouches for the pointers.
        _ => unsafe { kernel.run::<Portable>() },
    }
}
