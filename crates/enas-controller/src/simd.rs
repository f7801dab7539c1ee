//! Which instruction set the arithmetic runs on.
//!
//! A kernel is plain data plus one generic body ([`WithSimd`]) that is compiled for AVX-512, AVX2 with FMA, and
//! portable Rust; [`run`] picks the widest once per process. The environment variable `ENAS_SIMD` (`avx512`, `avx2`,
//! `portable`) forces a narrower one, for tests and timings. The first two round a product and its sum once, so last
//! bits may differ between instruction sets; on any one of them they are always the same.
//!
//! Bodies, and whatever they call, must be `#[inline(always)]`: only then are they compiled with the instructions of
//! the chosen set.

use std::sync::OnceLock;

use pulp::{Arch, Scalar128b};
pub(crate) use pulp::{Simd, WithSimd};

/// The widest instruction set available, or what `ENAS_SIMD` asks for if the processor has it.
fn arch() -> Arch {
    static ARCH: OnceLock<Arch> = OnceLock::new();
    *ARCH.get_or_init(|| match std::env::var("ENAS_SIMD").as_deref() {
        Ok("portable") => portable(),
        Ok("avx2") => avx2().unwrap_or_else(portable),
        _ => Arch::new(),
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
pub(crate) fn run<K: WithSimd>(kernel: K) -> K::Output {
    run_at(arch(), kernel)
}

/// Runs a kernel on a given instruction set; tests compare them.
#[inline(always)]
pub(crate) fn run_at<K: WithSimd>(arch: Arch, kernel: K) -> K::Output {
    match arch {
        #[cfg(target_arch = "x86_64")]
        Arch::V4(simd) => Simd::vectorize(simd, kernel),
        #[cfg(target_arch = "x86_64")]
        Arch::V3(simd) => Simd::vectorize(simd, kernel),
        _ => Simd::vectorize(Scalar128b, kernel),
    }
}

/// Whether `S` multiplies and adds in one instruction: those of at least eight numbers do.
const fn is_fused<S: Simd>() -> bool {
    S::F32_LANES >= 8
}

/// `a·b + c`, rounded once where the processor can.
///
/// Never a call of a library, which would take longer than the rest of a kernel together.
#[inline(always)]
pub(crate) fn mul_add<S: Simd>(a: f32, b: f32, c: f32) -> f32 {
    if is_fused::<S>() { a.mul_add(b, c) } else { a * b + c }
}

/// [`mul_add`] of whole vectors.
#[inline(always)]
pub(crate) fn mul_adds<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    if is_fused::<S>() { simd.mul_add_f32s(a, b, c) } else { simd.add_f32s(simd.mul_f32s(a, b), c) }
}

/// Every instruction set of this processor.
#[cfg(test)]
pub(crate) fn all() -> Vec<Arch> {
    [Some(portable()), avx2(), Some(Arch::new())].into_iter().flatten().collect()
}
