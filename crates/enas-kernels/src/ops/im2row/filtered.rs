//! Rows that are filtered per channel: the depthwise half of separable convolutions.
//!
//! # Method outline
//! 1. The outer loop goes over input channels. Per channel, all work stays on the bordered input rows of one tile in
//!    the cache.
//! 2. Forward: copy the input rows with their border, normalised; correlate it with the filter (see `depthwise`).
//! 3. Backward: copy and correlate again to get the rows for the weight gradient; then sum the filter's gradient over
//!    the bordered rows.
//! 4. The gradient of the input is a correlation of the bordered gradient with the filter turned by 180°. With stride 2
//!    the gradient is dilated by zeros first.
//! 5. A tile writes the input rows that no later tile contributes to. So it needs the gradients of `halo` earlier
//!    output rows, and each input row is written exactly once.

use super::depthwise::{BorderedRows, Correlate, FilterGradient, LaneSums, Pad, bordered_width};
use super::{BackwardOutputs, Gather, GradientRows, Plane, Source};
use enas_simd::{self as simd, Lane};

impl Gather<'_> {
    /// Lanes of bordered input that `rows` output rows read.
    pub(super) fn input_tile(&self, rows: usize) -> usize {
        ((rows - 1) * self.y.stride + self.y.k).min(self.y.size) * bordered_width(self.x)
    }

    /// Lanes of bordered, dilated gradient that propagating `rows` output rows reads.
    pub(super) fn gradient_tile(&self, rows: usize) -> usize {
        (rows + self.halo()) * (self.x.size + self.x.k - 1)
    }

    /// The part of [`fill`](Self::fill) for filtered rows.
    pub(super) fn filter(
        &self,
        source: Source<'_>,
        y: (usize, usize),
        out: &mut [Lane],
        stride: usize,
        bordered: &mut [Lane],
    ) {
        let pixels = (y.1 - y.0) * self.x.out;
        for (c, plane) in source.planes().enumerate() {
            let rows = self.border(plane, y, bordered);
            self.correlate(c, rows, y, &mut out[c * stride..][..pixels]);
        }
    }

    /// Filters output rows `y` of channel `c` from their bordered input.
    fn correlate(&self, c: usize, rows: BorderedRows, y: (usize, usize), out: &mut [Lane]) {
        let taps = self.y.k * self.x.k;
        assert_eq!(out.len(), (y.1 - y.0) * self.x.out, "one lane per output pixel");
        // SAFETY: the rows of `border` cover every column read; `out` has room for the output rows.
        unsafe {
            simd::run(Correlate {
                rows,
                w: self.filters[c * taps..][..taps].as_ptr(),
                k: self.y.k,
                out: out.as_mut_ptr(),
                n_rows: y.1 - y.0,
                width: self.x.out,
                mask: None,
                accumulate: false,
            });
        }
    }

    /// Copies the input rows that output rows `y` read into `bordered`, with zeros left and right.
    fn border(&self, plane: Plane<'_>, y: (usize, usize), bordered: &mut [Lane]) -> BorderedRows {
        let (first, end) = self.y.inputs(y);
        let width = bordered_width(self.x);
        let rows = &plane.lanes[first * self.x.size..end * self.x.size];
        assert!(bordered.len() >= (end - first) * width, "room for the bordered tile");
        // SAFETY: the extents were just checked.
        unsafe {
            simd::run(Pad {
                rows: rows.as_ptr(),
                bordered: bordered.as_mut_ptr(),
                n_rows: end - first,
                width: self.x.size,
                bordered_width: width,
                before: self.x.before,
                dilation: 1,
                scale: plane.scale,
                shift: plane.shift,
                relu: plane.relu,
            });
        }
        let top = (y.0 * self.y.stride) as isize - self.y.before as isize;
        let bordered = bordered.as_ptr();
        let stride = self.y.stride;
        BorderedRows { bordered, width, first, n_rows: end - first, top, stride, dilation: 1 }
    }

    /// The part of [`propagate`](Self::propagate) for filtered rows. The targets receive the input rows that no later
    /// tile contributes to.
    pub(super) fn filter_backward(
        &self,
        source: Source<'_>,
        grad: &GradientRows<'_>,
        BackwardOutputs { targets, mut sums, taps }: BackwardOutputs<'_, '_>,
        (out, stride): (&mut [Lane], usize),
        scratch: &mut [Lane],
    ) {
        let finished = self.y.first_unfinished(grad.y.1) * self.x.size;
        let taps_per_channel = self.y.k * self.x.k;
        let halo = grad.halo * self.x.out;
        let len = (grad.y.1 - grad.y.0) * self.x.out;
        let (bordered, scratch) = scratch.split_at_mut(self.input_tile(grad.y.1 - grad.y.0));
        let mut targets = targets.map(|targets| source.target_planes(targets));
        for (c, plane) in source.planes().enumerate() {
            let rows = self.border(plane, grad.y, bordered);
            self.correlate(c, rows, grad.y, &mut out[c * stride..][..len]);
            let channel = &grad.lanes[c * grad.stride..][..halo + len];
            let gradient = FilterGradient {
                rows,
                g: channel[halo..].as_ptr(),
                n_rows: grad.y.1 - grad.y.0,
                width: self.x.out,
                k: self.y.k,
                taps: taps[c * taps_per_channel..][..taps_per_channel].as_mut_ptr(),
            };
            // SAFETY: the bordered rows were just filled and cover every column read; the gradient rows and the taps
            // are slices of the extents that the kernel states.
            unsafe { simd::run(gradient) };
            if let Some((target, accumulate)) = targets.as_mut().and_then(Iterator::next) {
                self.input_gradient(c, channel, grad, plane, target, accumulate, scratch);
                if let Some(sums) = &mut sums {
                    sums.take(c, plane.lanes, target, finished);
                }
            }
        }
    }

    /// Propagates channel `c` to the input rows that are complete after this row tile.
    #[allow(clippy::too_many_arguments)] // One call; a struct would only repeat the names.
    fn input_gradient(
        &self,
        c: usize,
        channel: &[Lane],
        grad: &GradientRows<'_>,
        plane: Plane<'_>,
        target: &mut [Lane],
        accumulate: bool,
        scratch: &mut [Lane],
    ) {
        let y = self.y;
        let x = self.x;
        let k = self.y.k;
        // Input rows that become complete with this row tile; there may be none yet.
        let first = y.first_unfinished(grad.y.0);
        let end = y.first_unfinished(grad.y.1);
        if first == end {
            return;
        }
        // The row that tap row 0 of the turned filter reads for input row `first`, in rows of the dilated gradient.
        let top = (first + y.before) as isize - (k as isize - 1);
        let last = end - 1 + y.before;
        // Rows of the gradient before dilation that lie under the windows; those outside the plane count as zero.
        let from = usize::try_from(top).unwrap_or(0).div_ceil(y.stride);
        let to = (last / y.stride + 1).min(grad.y.1);
        // Channel rows begin `halo` rows before row `y.0`.
        let rows = &channel[(from + grad.halo - grad.y.0) * x.out..(to + grad.halo - grad.y.0) * x.out];
        let width = x.size + k - 1;
        // The filter turned by 180°: the input gradient of a correlation is the correlation with the turned filter.
        let mut flipped = [0.0; 25];
        for (t, w) in self.filters[c * k * k..][..k * k].iter().enumerate() {
            flipped[k * k - 1 - t] = *w;
        }
        let (mask, target) =
            (&plane.lanes[first * x.size..end * x.size], &mut target[first * x.size..end * x.size]);
        assert!(scratch.len() >= (to - from) * width, "room for the bordered gradient");
        // SAFETY: the scratch has room for the dilated gradient and its border; the correlation then reads k − 1
        // lanes beyond each output pixel, which the border covers; mask and target hold the finished rows.
        unsafe {
            simd::run(Pad {
                rows: rows.as_ptr(),
                bordered: scratch.as_mut_ptr(),
                n_rows: to - from,
                width: x.out,
                bordered_width: width,
                before: k - 1 - x.before,
                dilation: x.stride,
                scale: 1.0,
                shift: 0.0,
                relu: false,
            });
            let bordered = scratch.as_ptr();
            simd::run(Correlate {
                rows: BorderedRows {
                    bordered,
                    width,
                    first: from,
                    n_rows: to - from,
                    top,
                    stride: 1,
                    dilation: y.stride,
                },
                w: flipped.as_ptr(),
                k,
                out: target.as_mut_ptr(),
                n_rows: end - first,
                width: x.size,
                mask: plane.relu.then_some((mask.as_ptr(), plane.scale, plane.shift)),
                accumulate,
            });
        }
    }

    /// Returns the gradient of the filters, `[k, k, c]`, from the lanes that [`propagate`](Self::propagate) summed.
    pub(crate) fn filter_gradient(&self, taps: &[Lane]) -> Vec<f32> {
        let mut sums = vec![0.0; taps.len()];
        // SAFETY: both hold `len` elements.
        unsafe { simd::run(LaneSums { lanes: taps.as_ptr(), out: sums.as_mut_ptr(), len: taps.len() }) };
        let per_channel = self.y.k * self.x.k;
        let mut filters = vec![0.0; sums.len()];
        for (c, sums) in sums.chunks_exact(per_channel).enumerate() {
            sums.iter().enumerate().for_each(|(t, sum)| filters[t * self.channels + c] = *sum);
        }
        filters
    }
}
