//! The gradient of 3×3 average pooling: each pixel receives its share of every window that holds it.

use super::backward::Backward;
use super::scatter::{RowScatter, WindowGradients};
use super::shape::windows_holding;
use enas_simd::{Lane, Simd, SimdKernel};

/// [`Backward`] for 3×3 average pools with stride 1 or 2, without ReLU.
///
/// `shares` holds the share that a pixel has in each window along `y` and along `x`.
///
/// # Method outline
/// 1. The gather form of the scatter: the outer loop goes over rows of pixels, and each row sums the windows that hold
///    it.
/// 2. Per window column, up to three gradients (rows of windows) are weighted by their shares along `y` and summed.
/// 3. [`RowScatter`] adds overlapping windows along the row in registers, so each pixel is written once, in memory
///    order.
pub(super) struct Average3x3<'a> {
    pub(super) plane: Backward,
    pub(super) shares: (&'a [f32], &'a [f32]),
}

#[allow(unsafe_op_in_unsafe_fn)] // Accesses inside the extents of the contract of `Backward`.
impl SimdKernel for Average3x3<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        if self.plane.pool.x.stride == 1 { self.rows::<S, 1>() } else { self.rows::<S, 2>() }
    }
}

#[allow(unsafe_op_in_unsafe_fn)] // As above.
impl Average3x3<'_> {
    #[inline(always)]
    unsafe fn rows<S: Simd, const STRIDE: usize>(mut self) {
        self.plane.pool = self.plane.pool.as_3x3(STRIDE);
        for y in 0..self.plane.pool.y.size {
            let windows = windows_holding(self.plane.pool.y, y);
            // The number of rows of windows is a constant of `row`, so that its loop unrolls.
            match windows.len() {
                0 => self.row::<S, STRIDE, 0>(y, windows.start),
                1 => self.row::<S, STRIDE, 1>(y, windows.start),
                2 => self.row::<S, STRIDE, 2>(y, windows.start),
                _ => self.row::<S, STRIDE, 3>(y, windows.start),
            }
        }
    }

    /// Writes row `y` of the gradient; `ROWS` rows of windows from `oy` on hold it.
    #[inline(always)]
    unsafe fn row<S: Simd, const STRIDE: usize, const ROWS: usize>(&self, y: usize, oy: usize) {
        let Backward { pool, grad, to, add, .. } = self.plane;
        let rows: [_; ROWS] =
            std::array::from_fn(|r| (grad.wrapping_add((oy + r) * pool.x.out), self.shares.0[oy + r]));
        let to = to.add(y * pool.x.size);
        let scatter = RowScatter { axis: pool.x, to, add };
        scatter.run::<S, STRIDE>(&AverageGradients { rows, shares: self.shares.1 });
    }
}

/// Rows of gradients with the share of a pixel in each, and the shares along a row.
struct AverageGradients<'a, const ROWS: usize> {
    rows: [(*const Lane, f32); ROWS],
    shares: &'a [f32],
}

#[allow(unsafe_op_in_unsafe_fn)] // There is a gradient for every window.
impl<const ROWS: usize> WindowGradients for AverageGradients<'_, ROWS> {
    #[inline(always)]
    unsafe fn contributions<S: Simd>(&self, o: usize) -> [S::V; 3] {
        let mut sum = S::splat(0.0);
        for (grad, share) in self.rows {
            sum = S::fma(S::load(grad.add(o)), S::splat(share), sum);
        }
        [S::mul(sum, S::splat(*self.shares.get_unchecked(o))); 3]
    }
}
