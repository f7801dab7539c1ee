//! Distributes the gradients of windows of three to the pixels of a row.

use crate::geometry::Axis;
use enas_simd::{Lane, Simd};

/// The gradients that the windows of a row contribute to the pixels under them.
pub(super) trait WindowGradients {
    /// The contributions to the three pixels of window `o`, padding included.
    ///
    /// # Safety
    /// As for [`SimdKernel::run`](enas_simd::SimdKernel::run), and there is a window `o`.
    unsafe fn contributions<S: Simd>(&self, o: usize) -> [S::V; 3];
}

/// A row of `axis.size` pixels at `to` that receives gradients from windows of three over `axis`.
///
/// With `add`, they are added to the content of the row; otherwise every pixel of the row is overwritten.
///
/// # Method outline
/// One pass over the windows from left to right. A window contributes to three pixels; the sums of those that the next
/// window shares wait in two registers. So each pixel is written once, although up to three windows contribute to it.
pub(super) struct RowScatter {
    pub(super) axis: Axis,
    pub(super) to: *mut Lane,
    pub(super) add: bool,
}

#[allow(unsafe_op_in_unsafe_fn)] // Accesses inside the row of the struct's contract.
impl RowScatter {
    /// Adds the contributions of all windows; `STRIDE` is the stride of the axis.
    ///
    /// # Safety
    /// As for [`WindowGradients::contributions`]; `to` is valid for `axis.size` lanes.
    #[inline(always)]
    pub(super) unsafe fn run<S: Simd, const STRIDE: usize>(&self, windows: &impl WindowGradients) {
        let zero = S::splat(0.0);
        // Sums so far for the first two pixels that the next window shares.
        let mut first = zero;
        let mut second = zero;
        // Pixel numbers include the padding before the row.
        for o in 0..self.axis.out {
            let [a, b, c] = windows.contributions::<S>(o);
            self.add_gradient::<S>(o * STRIDE, S::add(first, a));
            if STRIDE == 1 {
                (first, second) = (S::add(second, b), c);
            } else {
                self.add_gradient::<S>(o * STRIDE + 1, b);
                first = c;
            }
        }
        let end = self.axis.out * STRIDE;
        self.add_gradient::<S>(end, first);
        self.add_gradient::<S>(end + 1, second);
        for pixel in end + 2..self.axis.before + self.axis.size {
            self.add_gradient::<S>(pixel, zero);
        }
    }

    /// Writes or adds the gradient of a pixel, unless it is padding.
    #[inline(always)]
    unsafe fn add_gradient<S: Simd>(&self, pixel: usize, value: S::V) {
        let x = pixel.wrapping_sub(self.axis.before);
        if x < self.axis.size {
            let to = self.to.add(x);
            S::store(to, if self.add { S::add(S::load(to), value) } else { value });
        }
    }
}
