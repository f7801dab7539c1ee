//! The vector instructions of x86-64 processors: AVX-512, and AVX2 with FMA.
#![allow(unsafe_op_in_unsafe_fn)] // One-line bodies under the trait's own contract.

use std::arch::x86_64::*;

use crate::lane::Lane;
use crate::vector::{Simd, SimdKernel};

/// # Safety
/// The processor has AVX-512 F.
#[target_feature(enable = "avx512f,avx2,fma")]
pub(crate) unsafe fn run_avx512<K: SimdKernel>(kernel: K) -> K::Output {
    kernel.run::<Avx512>()
}

/// # Safety
/// The processor has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn run_avx2<K: SimdKernel>(kernel: K) -> K::Output {
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
    _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)), _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)))
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
    let a = _mm256_add_ps(a.0, a.1);
    let b = _mm256_add_ps(b.0, b.1);
    let c = _mm256_add_ps(c.0, c.1);
    let d = _mm256_add_ps(d.0, d.1);
    let ab = _mm256_castps_pd(_mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)));
    let cd = _mm256_castps_pd(_mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d)));
    _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd)), _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd)))
}

/// Adds the two halves of each register. The sums of `a` become the low half, those of `b` the high half.
#[inline(always)]
unsafe fn halves(a: __m256, b: __m256) -> __m256 {
    _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b))
}

#[derive(Clone, Copy)]
pub(crate) struct Avx512;

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
        let b = quarters(fours_avx512(v[8], v[9], v[10], v[11]), fours_avx512(v[12], v[13], v[14], v[15]));
        quarters(a, b)
    }
    #[inline(always)]
    unsafe fn select_eq(a: __m512, b: __m512, x: __m512, y: __m512) -> __m512 {
        _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b), y, x)
    }
}

/// AVX2: a vector is two registers of eight numbers.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

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
