//! Sizes and padding of sliding windows.

/// One axis of a sliding window: sizes in pixels, stride and padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Input size in pixels.
    pub size: usize,
    /// Kernel size in pixels.
    pub k: usize,
    /// Stride: pixels from one window to the next.
    pub stride: usize,
    /// Padding in pixels before the first pixel.
    pub before: usize,
    /// Output size in pixels: the number of windows.
    pub out: usize,
}

impl Axis {
    /// TensorFlow's SAME padding: `out = ⌈size/stride⌉`. If the total padding is odd, the smaller half comes first.
    pub fn same(size: usize, k: usize, stride: usize) -> Self {
        let out = size.div_ceil(stride);
        let total = ((out.max(1) - 1) * stride + k).saturating_sub(size);
        Self { size, k, stride, before: total / 2, out }
    }

    /// TensorFlow's VALID padding: only windows that lie inside.
    pub fn valid(size: usize, k: usize, stride: usize) -> Self {
        let out = if size < k { 0 } else { (size - k) / stride + 1 };
        Self { size, k, stride, before: 0, out }
    }

    /// Whether there is a window and every window holds at least one pixel. Then [`taps`](Self::taps) are real pixels.
    pub(crate) fn is_inside(&self) -> bool {
        self.out > 0 && self.before < self.k && (self.out - 1) * self.stride < self.size + self.before
    }

    /// The range of pixels that the windows of outputs `o.0..o.1` read: `(first, end)`.
    pub(crate) fn inputs(&self, o: (usize, usize)) -> (usize, usize) {
        let end = (o.1 - 1) * self.stride + self.k;
        ((o.0 * self.stride).saturating_sub(self.before), end.saturating_sub(self.before).min(self.size))
    }

    /// The first pixel that the window of output `o` or a later window reads, or `size` if there is none. The gradients
    /// of all pixels before it are complete once the outputs before `o` are done.
    pub(crate) fn first_unfinished(&self, o: usize) -> usize {
        if o == 0 {
            0
        } else if o >= self.out {
            self.size
        } else {
            (o * self.stride).saturating_sub(self.before).min(self.size)
        }
    }

    /// The taps of the window at output `o` that lie on real pixels: `(first tap, end tap, first pixel)`.
    #[inline(always)]
    pub(crate) fn taps(&self, o: usize) -> (usize, usize, usize) {
        let start = o * self.stride;
        let first = self.before.saturating_sub(start);
        let end = self.k.min(self.size + self.before - start);
        (first, end, start + first - self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_is_tensorflows() {
        // (k, stride, size) → (before, after, out), from the table every TensorFlow port needs.
        for (k, s, size, before, after, out) in [
            (3, 1, 8, 1, 1, 8),
            (5, 1, 8, 2, 2, 8),
            (3, 2, 8, 0, 1, 4),
            (5, 2, 8, 1, 2, 4),
            (3, 2, 7, 1, 1, 4),
            (5, 2, 7, 2, 2, 4),
            (2, 1, 8, 0, 1, 8),
            (6, 1, 6, 2, 3, 6),
            (5, 3, 16, 2, 2, 6),
            (3, 2, 1, 1, 1, 1),
        ] {
            let axis = Axis::same(size, k, s);
            let total = ((out - 1) * s + k).saturating_sub(size);
            assert_eq!(
                (axis.before, total - axis.before, axis.out),
                (before, after, out),
                "k {k} s {s} n {size}"
            );
        }
    }

    #[test]
    fn taps_stay_inside() {
        for size in 1..9 {
            for (k, s) in [(3, 1), (3, 2), (5, 1), (5, 2), (5, 3)] {
                let axis = Axis::same(size, k, s);
                assert!(axis.is_inside(), "{axis:?}");
                assert!(
                    !Axis { out: size + k + 1, ..axis }.is_inside()
                        && !Axis { before: k, ..axis }.is_inside()
                );
                for o in 0..axis.out {
                    let (first, end, pixel) = axis.taps(o);
                    assert!(first < end && pixel + (end - first) <= size, "{axis:?} {o}");
                }
            }
        }
    }
}
