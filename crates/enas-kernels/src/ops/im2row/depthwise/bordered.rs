//! Rows with a border: the copy that both directions read.

use crate::geometry::Axis;
use enas_simd::{self as simd, AHEAD, Lane, Simd, SimdKernel};

/// Copies rows into scratch memory with a border: `bordered[r][x] = relu(scale·rows[r][x − before] + shift)`, zero left
/// and right of the row.
///
/// `rows` holds `n_rows · width` lanes, `bordered` holds `n_rows · bordered_width` lanes.
///
/// # Method outline
/// 1. One pass over the rows, one lane per pixel, in order; the input is prefetched [`AHEAD`] lanes ahead.
/// 2. The bordered rows are scratch memory that the following [`Correlate`](super::Correlate) reads from the cache:
///    each pixel is normalised once, not once per tap.
/// 3. With `dilation` 2 (gradient of a convolution with stride 2) a bordered row is zeroed first. Its pixels then go to
///    every second place, so that the transposed convolution becomes a plain correlation.
pub(crate) struct Pad {
    pub(crate) rows: *const Lane,
    pub(crate) bordered: *mut Lane,
    pub(crate) n_rows: usize,
    pub(crate) width: usize,
    pub(crate) bordered_width: usize,
    pub(crate) before: usize,
    /// Distance in pixels between neighbours in the bordered row. Above 1 the gaps are zero (gradient of a strided
    /// convolution).
    pub(crate) dilation: usize,
    pub(crate) scale: f32,
    pub(crate) shift: f32,
    pub(crate) relu: bool,
}

#[allow(unsafe_op_in_unsafe_fn)] // Pointer arithmetic inside the extents of the struct's contract.
impl SimdKernel for Pad {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        if self.dilation == 1 { self.copy::<S>() } else { self.dilate::<S>() }
    }
}

#[allow(unsafe_op_in_unsafe_fn)] // As above.
impl Pad {
    #[inline(always)]
    unsafe fn copy<S: Simd>(&self) {
        let (scale, shift, floor) = self.constants::<S>();
        for r in 0..self.n_rows {
            let out = self.bordered.add(r * self.bordered_width);
            let row = self.rows.add(r * self.width);
            zero::<S>(out, 0, self.before);
            let out = out.add(self.before);
            let mut x = 0;
            while x + 4 <= self.width {
                for i in 0..4 {
                    simd::prefetch(row.wrapping_add(x + i + AHEAD));
                    S::store(out.add(x + i), S::max(floor, S::fma(S::load(row.add(x + i)), scale, shift)));
                }
                x += 4;
            }
            while x < self.width {
                S::store(out.add(x), S::max(floor, S::fma(S::load(row.add(x)), scale, shift)));
                x += 1;
            }
            zero::<S>(out, self.width, self.bordered_width - self.before);
        }
    }

    #[inline(always)]
    unsafe fn dilate<S: Simd>(&self) {
        let (scale, shift, floor) = self.constants::<S>();
        for r in 0..self.n_rows {
            let out = self.bordered.add(r * self.bordered_width);
            let row = self.rows.add(r * self.width);
            // Zeros first: they are the border and the gaps.
            zero::<S>(out, 0, self.bordered_width);
            for x in 0..self.width {
                let value = S::max(floor, S::fma(S::load(row.add(x)), scale, shift));
                S::store(out.add(self.before + x * self.dilation), value);
            }
        }
    }

    #[inline(always)]
    unsafe fn constants<S: Simd>(&self) -> (S::V, S::V, S::V) {
        let floor = if self.relu { 0.0 } else { f32::NEG_INFINITY };
        (S::splat(self.scale), S::splat(self.shift), S::splat(floor))
    }
}

/// Sets `lanes[from..to]` to zero.
#[allow(unsafe_op_in_unsafe_fn)] // The caller's pointer holds `to` lanes.
#[inline(always)]
unsafe fn zero<S: Simd>(lanes: *mut Lane, from: usize, to: usize) {
    let zero = S::splat(0.0);
    for x in from..to {
        S::store(lanes.add(x), zero);
    }
}

/// Bordered rows in memory, and the rule by which window rows find them.
///
/// Tap row `i` of output row `y` reads row `top + y·stride + i` of the dilated plane. Of those rows the memory holds
/// every `dilation`-th: rows `first .. first + n_rows` of the plane before dilation. A row outside the memory counts as
/// zero.
#[derive(Clone, Copy)]
pub(crate) struct BorderedRows {
    pub(crate) bordered: *const Lane,
    pub(crate) width: usize,
    pub(crate) first: usize,
    pub(crate) n_rows: usize,
    pub(crate) top: isize,
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
}

impl BorderedRows {
    /// The bordered row that tap row `i` of output row `y` reads, or `None` if the memory does not hold it.
    #[inline(always)]
    pub(super) fn row(&self, y: usize, i: usize) -> Option<*const Lane> {
        let at = usize::try_from(self.top + (y * self.stride + i) as isize).ok()?;
        let row = (at / self.dilation).checked_sub(self.first)?;
        // SAFETY: rows below `n_rows` lie inside the memory.
        (at % self.dilation == 0 && row < self.n_rows).then(|| unsafe { self.bordered.add(row * self.width) })
    }
}

/// Lanes from the start of one bordered row to the next, for windows of `axis`.
///
/// With SAME padding and stride 2 the windows may not reach the last pixels, but the copy still needs room for them.
pub(crate) fn bordered_width(axis: Axis) -> usize {
    ((axis.out - 1) * axis.stride + axis.k).max(axis.before + axis.size)
}
