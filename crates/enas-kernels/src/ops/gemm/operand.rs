//! Operands and results of the products of [`gemm`](crate::ops::gemm): rows in scratch memory, or feature maps in
//! place.
//!
//! A 1×1 convolution needs no gathered copy of its input. Its product packs a few pixels of every channel at a time,
//! normalised, into a panel in the first-level cache. Its gradients go from registers straight to the input's gradient.

use enas_simd::{self as simd, AHEAD, Lane, Simd};

/// One channel of sixteen images, read as `max(scale·x + shift, floor)`: pending batch norm and ReLU.
#[derive(Clone, Copy)]
pub(crate) struct InputPlane {
    pub(crate) from: *const Lane,
    pub(crate) scale: f32,
    pub(crate) shift: f32,
    /// 0 for a ReLU, −∞ without one.
    pub(crate) floor: f32,
}

#[allow(unsafe_op_in_unsafe_fn)] // Pointer arithmetic inside the extents that callers vouch for.
impl InputPlane {
    /// Packs the `len` lanes from `at` on into `to`, with normalisation and ReLU applied.
    #[inline(always)]
    pub(crate) unsafe fn copy<S: Simd>(&self, at: usize, len: usize, to: *mut Lane) {
        let from = self.from.add(at);
        let scale = S::splat(self.scale);
        let shift = S::splat(self.shift);
        let floor = S::splat(self.floor);
        for i in 0..len {
            simd::prefetch(from.wrapping_add(i + AHEAD));
            S::store(to.add(i), S::max(floor, S::fma(S::load(from.add(i)), scale, shift)));
        }
    }
}

/// The left factor of a product: rows of one lane per pixel.
#[derive(Clone, Copy)]
pub(crate) enum LeftOperand<'a> {
    /// Rows in memory, `stride` lanes apart.
    Rows { from: *const Lane, stride: usize },
    /// Channels of feature maps, from pixel `first` on. `panel` is scratch memory that the product packs pixels into.
    Planes { planes: &'a [InputPlane], first: usize, panel: *mut Lane },
}

/// GradientTarget for the gradient of one channel of sixteen images: `to (+)= g` where the ReLU of `plane` let the
/// value pass.
#[derive(Clone, Copy)]
pub(crate) struct GradientPlane {
    pub(crate) plane: InputPlane,
    pub(crate) to: *mut Lane,
    /// Whether gradients are added to the content of `to` or overwrite it.
    pub(crate) accumulate: bool,
}

/// GradientTarget of a product's results: one row per column of the matrix.
#[derive(Clone, Copy)]
pub(crate) enum ProductOutput<'a> {
    /// Rows in memory, `stride` lanes apart.
    Rows { to: *mut Lane, stride: usize },
    /// Gradients of channels of feature maps, from pixel `first` on.
    Gradients { planes: &'a [GradientPlane], first: usize },
}

#[allow(unsafe_op_in_unsafe_fn)] // As above.
impl ProductOutput<'_> {
    /// Address of pixel `p` of row `o`.
    #[inline(always)]
    unsafe fn at(&self, o: usize, p: usize) -> *mut Lane {
        match self {
            Self::Rows { to, stride } => to.wrapping_add(o * stride + p),
            Self::Gradients { planes, first } => planes.get_unchecked(o).to.wrapping_add(first + p),
        }
    }

    /// Prefetches what [`put`](Self::put) will write for `P` pixels of row `o`.
    #[inline(always)]
    pub(crate) unsafe fn prefetch<const P: usize>(&self, o: usize, p: usize) {
        let at = self.at(o, p);
        (0..P).for_each(|i| simd::prefetch_for_writing(at.wrapping_add(i)));
    }

    /// Writes the results of `P` pixels of row `o`; for gradients, applies the ReLU's derivative and accumulates.
    #[inline(always)]
    pub(crate) unsafe fn put<S: Simd, const P: usize>(&self, o: usize, p: usize, mut values: [S::V; P]) {
        let to = self.at(o, p);
        if let Self::Gradients { planes, first } = self {
            let GradientPlane { plane, accumulate, .. } = planes.get_unchecked(o);
            // The ReLU's derivative needs the input again: recomputed from the raw map, which saves storing a mask.
            if plane.floor == 0.0 {
                let from = plane.from.add(first + p);
                let scale = S::splat(plane.scale);
                let shift = S::splat(plane.shift);
                let zero = S::splat(0.0);
                for (i, value) in values.iter_mut().enumerate() {
                    let input = S::fma(S::load(from.add(i)), scale, shift);
                    *value = S::select_gt(input, zero, *value, zero);
                }
            }
            if *accumulate {
                for (i, value) in values.iter_mut().enumerate() {
                    *value = S::add(S::load(to.add(i)), *value);
                }
            }
        }
        for (i, value) in values.iter().enumerate() {
            S::store(to.add(i), *value);
        }
    }
}
