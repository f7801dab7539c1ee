//! The vector instructions in plain Rust.

use crate::lane::{LANES, Lane};
use crate::vector::Simd;

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
