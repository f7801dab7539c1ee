//! Kernels in safe Rust over slices of any length, by the crate `pulp`.
//!
//! A kernel is plain data plus one generic body ([`WithSimd`]). The body is compiled for AVX-512, for AVX2 with FMA,
//! and for portable Rust; [`run`] picks the widest one that the processor has and `ENAS_SIMD` allows, once per process.
//! AVX-512 and AVX2 round a product and its sum once (FMA). So last bits may differ between instruction sets; each one
//! always gives the same bits.
//!
//! Bodies, and all functions they call, must be `#[inline(always)]`. Only then are they compiled for the chosen
//! instruction set.

use std::sync::OnceLock;

use pulp::Arch;
pub use pulp::{Scalar128b, Simd, WithSimd};

use crate::level::{Level, allowed_level};

/// The widest instruction set of the processor, or the one in `ENAS_SIMD` if the processor has it. For `pulp` AVX-512
/// is more than the F subset, so this may be a narrower one than [`level`](crate::level()).
fn arch() -> Arch {
    static ARCH: OnceLock<Arch> = OnceLock::new();
    *ARCH.get_or_init(|| match allowed_level() {
        Level::Portable => portable(),
        Level::Avx2 => avx2().unwrap_or_else(portable),
        Level::Avx512 => Arch::new(),
    })
}

#[cfg(target_arch = "x86_64")]
fn portable() -> Arch {
    Arch::Scalar
}

#[cfg(not(target_arch = "x86_64"))]
fn portable() -> Arch {
    Arch::new()
}

#[cfg(target_arch = "x86_64")]
fn avx2() -> Option<Arch> {
    pulp::x86::V3::try_new().map(Arch::V3)
}

#[cfg(not(target_arch = "x86_64"))]
fn avx2() -> Option<Arch> {
    None
}

/// Runs a kernel.
#[inline(always)]
pub fn run<K: WithSimd>(kernel: K) -> K::Output {
    run_at(arch(), kernel)
}

/// Runs a kernel on a given instruction set. Tests compare them.
#[inline(always)]
pub fn run_at<K: WithSimd>(arch: Arch, kernel: K) -> K::Output {
    match arch {
        #[cfg(target_arch = "x86_64")]
        Arch::V4(simd) => Simd::vectorize(simd, kernel),
        #[cfg(target_arch = "x86_64")]
        Arch::V3(simd) => Simd::vectorize(simd, kernel),
        _ => Simd::vectorize(Scalar128b, kernel),
    }
}

/// Whether `S` has fused multiply-add: vectors of eight or more values do.
const fn is_fused<S: Simd>() -> bool {
    S::F32_LANES >= 8
}

/// `a·b + c`, rounded once if the processor has FMA.
///
/// Without FMA it is a product and a sum: `f32::mul_add` would be a slow library call.
#[inline(always)]
pub fn mul_add<S: Simd>(a: f32, b: f32, c: f32) -> f32 {
    if is_fused::<S>() { a.mul_add(b, c) } else { a * b + c }
}

/// [`mul_add`] of whole vectors.
#[inline(always)]
pub fn mul_adds<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    if is_fused::<S>() { simd.mul_add_f32s(a, b, c) } else { simd.add_f32s(simd.mul_f32s(a, b), c) }
}

/// Every instruction set of this processor, for tests that compare them.
pub fn all() -> Vec<Arch> {
    [Some(portable()), avx2(), Some(Arch::new())].into_iter().flatten().collect()
}
