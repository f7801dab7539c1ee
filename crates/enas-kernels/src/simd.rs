//! SIMD dispatch: vectors of sixteen `f32`, in the widest instruction set of the processor.
//!
//! A kernel is a [`Kernel`]: plain data and one generic body, `run::<S>()`. The compiler makes three copies of each
//! body: AVX-512, AVX2 + FMA, and portable Rust. [`run`] chooses the instruction set once per process. The environment
//! variable `ENAS_SIMD` (`avx512`, `avx2`, `portable`) can force a narrower one, for tests and timings.
//!
//! This file holds no arithmetic of any operation.

use std::sync::OnceLock;

/// Images per vector: the length of the innermost axis of every [`FeatureMap`](crate::FeatureMap).
pub const LANES: usize = 16;

/// One number for each of sixteen images. It fills one cache line of 64 bytes and is aligned to it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub struct Lane(pub [f32; LANES]);

impl Lane {
    /// Sixteen zeros.
    pub const ZERO: Self = Self([0.0; LANES]);
}

/// The vector instructions that kernels are written in.
///
/// Safety contract of every method: the processor has the instruction set that the type is named after, which holds
/// inside [`run`]. Pointers must be valid for one [`Lane`].
pub(crate) trait Simd: Copy {
    /// Sixteen numbers in registers.
    type V: Copy;
    /// Whether about thirty vectors fit into the registers (AVX-512); otherwise it is eight. Kernels choose their
    /// register tiles by it.
    const MANY: bool;

    unsafe fn load(p: *const Lane) -> Self::V;
    unsafe fn store(p: *mut Lane, v: Self::V);
    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
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
pub(crate) trait Kernel {
    /// The result type.
    type Output;

    /// The body. It must be `#[inline(always)]`, and so must every generic function that it calls. Only then does the
    /// compiler use the caller's instruction set.
    ///
    /// # Safety
    /// The processor has the instructions of `S`; the pointers in `self` are valid as the kernel states.
    unsafe fn run<S: Simd>(self) -> Self::Output;
}

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Plain Rust, for any processor.
    Portable,
    /// AVX2 with fused multiply-add: two registers of eight numbers.
    Avx2,
    /// AVX-512 F: one register of sixteen numbers.
    Avx512,
}

/// The instruction set in use: the widest one that the processor has and `ENAS_SIMD` allows.
pub fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        let best = best_level();
        let wanted = match std::env::var("ENAS_SIMD").as_deref() {
            Ok("portable") => Level::Portable,
            Ok("avx2") => Level::Avx2,
            _ => Level::Avx512,
        };
        wanted.min(best)
    })
}

#[cfg(target_arch = "x86_64")]
fn best_level() -> Level {
    if is_x86_feature_detected!("avx512f") {
        Level::Avx512
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        Level::Avx2
    } else {
        Level::Portable
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn best_level() -> Level {
    Level::Portable
}

/// Runs a kernel with the instruction set of [`level`].
///
/// # Safety
/// The pointers in `kernel` are valid as the kernel states.
pub(crate) unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the caller vouches for the kernel's pointers.
    unsafe { run_at(level(), kernel) }
}

/// Runs a kernel with a given instruction set. Tests compare the sets with it.
///
/// # Safety
/// As for [`run`], and `level` is at most the processor's best.
pub(crate) unsafe fn run_at<K: Kernel>(level: Level, kernel: K) -> K::Output {
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

/// Prefetch distance of a pass over memory, in lanes (128 lanes are 8 KiB). It covers the latency of main memory.
/// Behind the end of a tile of rows lies the next tile of the same plane, so these prefetches are useful too.
pub(crate) const AHEAD: usize = 128;

/// Prefetches the cache line at `p` into the second-level cache. Only a hint: any address is allowed.
#[inline(always)]
pub(crate) fn prefetch(p: *const Lane) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch neither faults nor changes anything.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// Prefetches the cache line at `p` into the first-level cache, for writing. Only a hint: any address is allowed.
#[inline(always)]
pub(crate) fn prefetch_for_writing(p: *mut Lane) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch neither faults nor changes anything.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_ET0 }>(p.cast_const().cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// A vector in plain Rust: an array of sixteen numbers.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

macro_rules! each {
    ($i:ident => $value:expr) => {{
        let mut out = [0.0f32; LANES];
        for $i in 0..LANES {
            out[$i] = $value;
        }
        out
    }};
}

#[allow(unsafe_op_in_unsafe_fn)] // One-line bodies under the trait's own contract.
impl Simd for Portable {
    type V = [f32; LANES];
    const MANY: bool = false;

    #[inline(always)]
    unsafe fn load(p: *const Lane) -> Self::V {
        (*p).0
    }
    #[inline(always)]
    unsafe fn store(p: *mut Lane, v: Self::V) {
        (*p).0 = v;
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        [x; LANES]
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        each!(i => a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        each!(i => a[i] - b[i])
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        each!(i => a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        each!(i => a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        each!(i => if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn select_gt(a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V {
        each!(i => if a[i] > b[i] { x[i] } else { y[i] })
    }
    #[inline(always)]
    unsafe fn sum(v: Self::V) -> f32 {
        let mut v = v;
        // A tree of halves, so that the compiler can vectorise the additions.
        let mut half = LANES / 2;
        while half > 0 {
            for i in 0..half {
                v[i] += v[i + half];
            }
            half /= 2;
        }
        v[0]
    }
    #[inline(always)]
    unsafe fn sums(v: [Self::V; LANES]) -> Self::V {
        v.map(|v| Self::sum(v))
    }
    #[inline(always)]
    unsafe fn select_eq(a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V {
        each!(i => if a[i] == b[i] { x[i] } else { y[i] })
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_op_in_unsafe_fn)] // One-line bodies under the trait's own contract.
mod x86 {
    use std::arch::x86_64::*;

    use super::{Kernel, Lane, Simd};

    /// # Safety
    /// The processor has AVX-512 F.
    #[target_feature(enable = "avx512f,avx2,fma")]
    pub(super) unsafe fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
        kernel.run::<Avx512>()
    }

    /// # Safety
    /// The processor has AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
        kernel.run::<Avx2>()
    }

    // Horizontal sums of several vectors at once. `unpack` interleaves the halves of two vectors; one addition then
    // leaves half as many partial sums. These are functions because closures would be compiled without the caller's
    // instructions.

    /// Quarter `q` of the result holds four sums: those of quarter `q` of `a`, `b`, `c` and `d`.
    #[inline(always)]
    unsafe fn fours_avx512(a: __m512, b: __m512, c: __m512, d: __m512) -> __m512 {
        let ab = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
        let cd = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)));
        _mm512_add_ps(
            _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)),
            _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)),
        )
    }

    /// Adds neighbouring quarters. The sums of `a` become the low half, those of `b` the high half.
    #[inline(always)]
    unsafe fn quarters(a: __m512, b: __m512) -> __m512 {
        _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b))
    }

    /// Half `h` of the result holds four sums: those of half `h` of `a`, `b`, `c` and `d`. The two registers of each
    /// vector are added first.
    #[inline(always)]
    unsafe fn fours_avx2(
        a: (__m256, __m256),
        b: (__m256, __m256),
        c: (__m256, __m256),
        d: (__m256, __m256),
    ) -> __m256 {
        let (a, b) = (_mm256_add_ps(a.0, a.1), _mm256_add_ps(b.0, b.1));
        let (c, d) = (_mm256_add_ps(c.0, c.1), _mm256_add_ps(d.0, d.1));
        let ab = _mm256_castps_pd(_mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)));
        let cd = _mm256_castps_pd(_mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d)));
        _mm256_add_ps(
            _mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd)),
            _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd)),
        )
    }

    /// Adds the two halves of each register. The sums of `a` become the low half, those of `b` the high half.
    #[inline(always)]
    unsafe fn halves(a: __m256, b: __m256) -> __m256 {
        _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b))
    }

    #[derive(Clone, Copy)]
    pub(super) struct Avx512;

    impl Simd for Avx512 {
        type V = __m512;
        const MANY: bool = true;

        #[inline(always)]
        unsafe fn load(p: *const Lane) -> __m512 {
            _mm512_load_ps(p.cast())
        }
        #[inline(always)]
        unsafe fn store(p: *mut Lane, v: __m512) {
            _mm512_store_ps(p.cast(), v);
        }
        #[inline(always)]
        unsafe fn splat(x: f32) -> __m512 {
            _mm512_set1_ps(x)
        }
        #[inline(always)]
        unsafe fn add(a: __m512, b: __m512) -> __m512 {
            _mm512_add_ps(a, b)
        }
        #[inline(always)]
        unsafe fn sub(a: __m512, b: __m512) -> __m512 {
            _mm512_sub_ps(a, b)
        }
        #[inline(always)]
        unsafe fn mul(a: __m512, b: __m512) -> __m512 {
            _mm512_mul_ps(a, b)
        }
        #[inline(always)]
        unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
            _mm512_fmadd_ps(a, b, c)
        }
        #[inline(always)]
        unsafe fn max(a: __m512, b: __m512) -> __m512 {
            _mm512_max_ps(a, b)
        }
        #[inline(always)]
        unsafe fn select_gt(a: __m512, b: __m512, x: __m512, y: __m512) -> __m512 {
            _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b), y, x)
        }
        #[inline(always)]
        unsafe fn sum(v: __m512) -> f32 {
            _mm512_reduce_add_ps(v)
        }
        #[inline(always)]
        unsafe fn sums(v: [__m512; 16]) -> __m512 {
            let a = quarters(fours_avx512(v[0], v[1], v[2], v[3]), fours_avx512(v[4], v[5], v[6], v[7]));
            let b =
                quarters(fours_avx512(v[8], v[9], v[10], v[11]), fours_avx512(v[12], v[13], v[14], v[15]));
            quarters(a, b)
        }
        #[inline(always)]
        unsafe fn select_eq(a: __m512, b: __m512, x: __m512, y: __m512) -> __m512 {
            _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b), y, x)
        }
    }

    /// AVX2: a vector is two registers of eight numbers.
    #[derive(Clone, Copy)]
    pub(super) struct Avx2;

    impl Simd for Avx2 {
        type V = (__m256, __m256);
        const MANY: bool = false;

        #[inline(always)]
        unsafe fn load(p: *const Lane) -> Self::V {
            let p: *const f32 = p.cast();
            (_mm256_load_ps(p), _mm256_load_ps(p.add(8)))
        }
        #[inline(always)]
        unsafe fn store(p: *mut Lane, v: Self::V) {
            let p: *mut f32 = p.cast();
            _mm256_store_ps(p, v.0);
            _mm256_store_ps(p.add(8), v.1);
        }
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self::V {
            (_mm256_set1_ps(x), _mm256_set1_ps(x))
        }
        #[inline(always)]
        unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
            (_mm256_add_ps(a.0, b.0), _mm256_add_ps(a.1, b.1))
        }
        #[inline(always)]
        unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
            (_mm256_sub_ps(a.0, b.0), _mm256_sub_ps(a.1, b.1))
        }
        #[inline(always)]
        unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
            (_mm256_mul_ps(a.0, b.0), _mm256_mul_ps(a.1, b.1))
        }
        #[inline(always)]
        unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            (_mm256_fmadd_ps(a.0, b.0, c.0), _mm256_fmadd_ps(a.1, b.1, c.1))
        }
        #[inline(always)]
        unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
            (_mm256_max_ps(a.0, b.0), _mm256_max_ps(a.1, b.1))
        }
        #[inline(always)]
        unsafe fn select_gt(a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V {
            (
                _mm256_blendv_ps(y.0, x.0, _mm256_cmp_ps::<_CMP_GT_OQ>(a.0, b.0)),
                _mm256_blendv_ps(y.1, x.1, _mm256_cmp_ps::<_CMP_GT_OQ>(a.1, b.1)),
            )
        }
        #[inline(always)]
        unsafe fn sum(v: Self::V) -> f32 {
            let v = _mm256_add_ps(v.0, v.1);
            let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
            _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps::<1>(v, v)))
        }
        #[inline(always)]
        unsafe fn sums(v: [Self::V; 16]) -> Self::V {
            let low = halves(fours_avx2(v[0], v[1], v[2], v[3]), fours_avx2(v[4], v[5], v[6], v[7]));
            let high = halves(fours_avx2(v[8], v[9], v[10], v[11]), fours_avx2(v[12], v[13], v[14], v[15]));
            (low, high)
        }
        #[inline(always)]
        unsafe fn select_eq(a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V {
            (
                _mm256_blendv_ps(y.0, x.0, _mm256_cmp_ps::<_CMP_EQ_OQ>(a.0, b.0)),
                _mm256_blendv_ps(y.1, x.1, _mm256_cmp_ps::<_CMP_EQ_OQ>(a.1, b.1)),
            )
        }
    }
}
