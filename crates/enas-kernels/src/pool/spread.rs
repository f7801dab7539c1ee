//! Handing the gradients of windows of three back to the pixels of a row.

use crate::geometry::Axis;
use crate::simd::{Lane, Simd};

/// What the windows of a row have for the pixels under them.
pub(super) trait Windows {
    /// The gradients for the three pixels of window `o`, padding included.
    ///
    /// # Safety
    /// As for [`Kernel::run`](crate::simd::Kernel::run), and there is a window `o`.
    unsafe fn parts<S: Simd>(&self, o: usize) -> [S::V; 3];
}

/// A row of `axis.size` pixels at `to`, which windows of three over `axis` give gradients to.
///
/// With `add`, they are added to what is there; otherwise every pixel of the row is overwritten.
pub(super) struct Spread {
    pub(super) axis: Axis,
    pub(super) to: *mut Lane,
    pub(super) add: bool,
}

#[allow(unsafe_op_in_unsafe_fn)] // Accesses inside the row of the struct's contract.
impl Spread {
    /// Sums in registers what overlapping windows have for each pixel; `STRIDE` is that of the axis.
    ///
    /// # Safety
    /// As for [`Windows::parts`]; `to` is valid for `axis.size` lanes.
    #[inline(always)]
    pub(super) unsafe fn run<S: Simd, const STRIDE: usize>(&self, windows: &impl Windows) {
        let zero = S::splat(0.0);
        // What the windows so far have for the first two pixels that the next one shares with them.
        let (mut first, mut second) = (zero, zero);
        // Pixels are counted with the padding before them.
        for o in 0..self.axis.out {
            let [a, b, c] = windows.parts::<S>(o);
            self.give::<S>(o * STRIDE, S::add(first, a));
            if STRIDE == 1 {
                (first, second) = (S::add(second, b), c);
            } else {
                self.give::<S>(o * STRIDE + 1, b);
                first = c;
            }
        }
        let end = self.axis.out * STRIDE;
        self.give::<S>(end, first);
        self.give::<S>(end + 1, second);
        for pixel in end + 2..self.axis.before + self.axis.size {
            self.give::<S>(pixel, zero);
        }
    }

    /// Gives to a pixel unless it is padding.
    #[inline(always)]
    unsafe fn give<S: Simd>(&self, pixel: usize, value: S::V) {
        let x = pixel.wrapping_sub(self.axis.before);
        if x < self.axis.size {
            let to = self.to.add(x);
            S::store(to, if self.add { S::add(S::load(to), value) } else { value });
        }
    }
}
