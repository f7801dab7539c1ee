//! The vector instructions that kernels are written in.

use crate::lane::{LANES, Lane};

/// The vector instructions that kernels are written in.
///
/// Safety contract of every method: the processor has the instruction set that the type is named after, which holds
/// inside [`run`](crate::run). Pointers must be valid for one [`Lane`].
#[allow(clippy::missing_safety_doc)] // One contract for all methods, stated above.
pub trait Simd: Copy {
    /// Sixteen numbers in registers.
    type V: Copy;
    /// Whether about thirty vectors fit into the registers (AVX-512); otherwise it is eight. Kernels choose their
    /// register tiles by it.
    const MANY: bool;

    /// The lane at `p`.
    unsafe fn load(p: *const Lane) -> Self::V;
    /// Writes `v` to the lane at `p`.
    unsafe fn store(p: *mut Lane, v: Self::V);
    /// Sixteen times `x`.
    unsafe fn splat(x: f32) -> Self::V;
    /// `a + b`.
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// `a − b`.
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    /// `a·b`.
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// `a·b + c`, rounded once if the processor has fused multiply-add.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger number, or `b` if either is NaN. So `max(bound, x)` keeps a NaN in `x`.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// Elements of `x` where `a > b`, of `y` elsewhere.
    unsafe fn select_gt(a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V;
    /// The sum of the sixteen numbers. The instruction set fixes the order of additions.
    unsafe fn sum(v: Self::V) -> f32;
    /// Sums of sixteen vectors: element `i` of the result is the sum of `v[i]`. The vectors are transposed and added in
    /// one go, with far fewer instructions than sixteen [`sum`](Self::sum)s.
    unsafe fn sums(v: [Self::V; LANES]) -> Self::V;
    /// Elements of `x` where `a = b`, of `y` elsewhere.
    unsafe fn select_eq(a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V;
}

/// A computation that is written once and compiled for every instruction set.
pub trait SimdKernel {
    /// The result type.
    type Output;

    /// The body. It must be `#[inline(always)]`, and so must every generic function that it calls. Only then does the
    /// compiler use the caller's instruction set.
    ///
    /// # Safety
    /// The processor has the instructions of `S`; the pointers in `self` are valid as the kernel states.
    unsafe fn run<S: Simd>(self) -> Self::Output;
}
