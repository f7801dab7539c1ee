//! Gathering the rows of a unit's matrix product, and the way back.

use crate::depthwise::{Correlate, FilterGradient, Pad, Strip};
use crate::geometry::Axis;
use crate::map::Value;
use crate::simd::{self, Kernel, Lane, Simd};
use crate::unit::Target;

/// How the rows of a [`Branch`](crate::Branch)'s matrix product are gathered from the unit's inputs.
#[derive(Clone, Copy, Debug)]
pub enum Rows<'a> {
    /// One row per input channel, every pixel as it is: a 1×1 convolution.
    Pixels,
    /// One row per input channel, pixels `offset, offset + 2, …` of both axes, zero outside: one path of a
    /// factorised reduction. Output `⌈h/2⌉ × ⌈w/2⌉`.
    EverySecond {
        /// 0 or 1.
        offset: usize,
    },
    /// One row per input channel, filtered with the channel's own k×k filter, SAME padding: with the matrix a
    /// separable convolution.
    Depthwise {
        /// The filters, `[k, k, c]`.
        filter: &'a [f32],
        /// 3 or 5.
        k: usize,
        /// 1 or 2.
        stride: usize,
    },
    /// One row per tap and input channel, ordered `[k, k, c]`, SAME padding: a dense convolution.
    Patches {
        /// Kernel height and width.
        k: usize,
    },
}

impl Rows<'_> {
    /// Whether the backward pass writes each element of an input gradient exactly once.
    pub(crate) fn writes_whole_gradient(&self) -> bool {
        matches!(self, Rows::Pixels | Rows::Depthwise { .. })
    }
}

/// [`Rows`] with the sizes worked out.
pub(crate) struct Gather<'a> {
    rows: Rows<'a>,
    /// Rows of the matrix product.
    pub(crate) k: usize,
    pub(crate) y: Axis,
    pub(crate) x: Axis,
    channels: usize,
    /// Depthwise filters, one channel after another.
    filters: Vec<f32>,
}

impl<'a> Gather<'a> {
    pub(crate) fn new(rows: Rows<'a>, channels: usize, h: usize, w: usize) -> Self {
        let axes = |k, stride| (Axis::same(h, k, stride), Axis::same(w, k, stride));
        let ((y, x), k, filters) = match rows {
            Rows::Pixels => (axes(1, 1), channels, Vec::new()),
            Rows::EverySecond { .. } => (axes(1, 2), channels, Vec::new()),
            Rows::Patches { k } => (axes(k, 1), k * k * channels, Vec::new()),
            Rows::Depthwise { filter, k, stride } => {
                assert!(matches!((k, stride), (3 | 5, 1 | 2)), "depthwise {k}×{k} with stride {stride}");
                assert_eq!(filter.len(), k * k * channels, "depthwise filters are [{k}, {k}, {channels}]");
                let per_channel =
                    (0..channels).flat_map(|c| (0..k * k).map(move |t| filter[t * channels + c]));
                (axes(k, stride), channels, per_channel.collect())
            }
        };
        Self { rows, k, y, x, channels, filters }
    }

    /// Whether the gradient of the rows is needed for the whole plane before it can be propagated.
    pub(crate) fn needs_whole_gradient(&self) -> bool {
        matches!(self.rows, Rows::Depthwise { .. })
    }

    /// Scratch lanes that [`fill`](Self::fill) needs for `rows` output rows.
    pub(crate) fn pad_len(&self, rows: usize) -> usize {
        if self.needs_whole_gradient() { Strip::new(rows, self.y, self.x).len() } else { 0 }
    }

    /// Scratch lanes that [`filter_backward`](Self::filter_backward) needs.
    pub(crate) fn backward_pad_len(&self) -> usize {
        if !self.needs_whole_gradient() {
            return 0;
        }
        Strip::new(self.y.out, self.y, self.x).len().max(self.gradient_strip().len())
    }

    /// The zero-padded, dilated gradient plane whose correlation with the flipped filter is the input gradient.
    fn gradient_strip(&self) -> Strip {
        Strip { n_rows: self.y.size + self.y.k - 1, width: self.x.size + self.x.k - 1 }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self.rows {
            Rows::Pixels => "conv 1x1",
            Rows::EverySecond { .. } => "factorised reduction",
            Rows::Depthwise { k: 3, .. } => "sep conv 3x3",
            Rows::Depthwise { .. } => "sep conv 5x5",
            Rows::Patches { .. } => "conv kxk",
        }
    }

    /// Floating-point operations per output pixel of filtering and of the matrix product with `outputs` columns.
    pub(crate) fn flops_per_pixel(&self, outputs: usize) -> f64 {
        let taps = if self.needs_whole_gradient() { self.y.k * self.x.k } else { 0 };
        2.0 * (self.k * (outputs + taps)) as f64
    }

    /// Numbers that must move per output pixel: inputs read once, `outputs` written.
    pub(crate) fn floats_per_pixel(&self, outputs: usize) -> f64 {
        let inputs = (self.channels * self.y.size * self.x.size) as f64 / (self.y.out * self.x.out) as f64;
        inputs + outputs as f64
    }

    /// Gathers output rows `y.0..y.1` of `block` into `out`, `[k, pixels]`.
    pub(crate) fn fill(
        &self,
        inputs: &[Value],
        relu: bool,
        block: usize,
        y: (usize, usize),
        out: &mut [Lane],
        pad: &mut [Lane],
    ) {
        let pixels = (y.1 - y.0) * self.x.out;
        assert!(out.len() >= self.k * pixels, "room for the gathered rows");
        for (c, (plane, scale, shift)) in planes(inputs, block).enumerate() {
            match self.rows {
                Rows::Depthwise { k, stride, .. } => {
                    let strip = Strip::new(y.1 - y.0, self.y, self.x);
                    self.pad(
                        plane,
                        scale,
                        shift,
                        relu,
                        (y.0 * stride) as isize - self.y.before as isize,
                        strip,
                        pad,
                    );
                    // SAFETY: the strip was filled just now and covers every tap; `out` has room for row c.
                    unsafe {
                        simd::run(Correlate {
                            strip: pad.as_ptr(),
                            strip_width: strip.width,
                            w: self.filters[c * k * k..].as_ptr(),
                            k,
                            stride,
                            out: out[c * pixels..][..pixels].as_mut_ptr(),
                            rows: y.1 - y.0,
                            width: self.x.out,
                            mask: None,
                            accumulate: false,
                        });
                    }
                }
                _ => self.for_each_segment(c, y, |row, segment| {
                    let out = &mut out[row * pixels + segment.out..][..segment.len];
                    match segment.input {
                        None => out.fill(Lane::ZERO),
                        Some(at) => {
                            let last = at + (segment.len - 1) * segment.stride;
                            let from = plane[at..=last].as_ptr();
                            let stride = segment.stride;
                            // SAFETY: the input run ends at `last`, inside the plane; `out` holds `len` lanes.
                            unsafe {
                                simd::run(Copy {
                                    from,
                                    stride,
                                    to: out.as_mut_ptr(),
                                    len: segment.len,
                                    scale,
                                    shift,
                                    relu,
                                });
                            }
                        }
                    }
                }),
            }
        }
    }

    /// Adds the gradient of gathered rows, `[k, pixels]` for output rows `y.0..y.1`, to the input gradients.
    pub(crate) fn scatter(
        &self,
        inputs: &[Value],
        relu: bool,
        block: usize,
        y: (usize, usize),
        grad: &[Lane],
        targets: &[Target],
    ) {
        let pixels = (y.1 - y.0) * self.x.out;
        for (c, ((plane, scale, shift), (target, accumulate))) in
            planes(inputs, block).zip(target_planes(inputs, block, targets)).enumerate()
        {
            self.for_each_segment(c, y, |row, segment| {
                let Some(at) = segment.input else { return };
                let last = at + (segment.len - 1) * segment.stride;
                let back = Back {
                    grad: grad[row * pixels + segment.out..][..segment.len].as_ptr(),
                    input: plane[at..=last].as_ptr(),
                    to: target[at..=last].as_mut_ptr(),
                    stride: segment.stride,
                    len: segment.len,
                    scale,
                    shift,
                    relu,
                    accumulate,
                };
                // SAFETY: the three slices above have the extents that the kernel touches.
                unsafe { simd::run(back) };
            });
        }
    }

    /// Propagates the gradient of a whole depthwise-filtered plane `[c, out pixels]`: returns the gradient of the
    /// filters, `[k, k, c]`, and adds to the input gradients where there are targets.
    pub(crate) fn filter_backward(
        &self,
        inputs: &[Value],
        relu: bool,
        block: usize,
        grad: &[Lane],
        targets: Option<&[Target]>,
        scratch: &mut [Lane],
    ) -> Vec<f32> {
        let (k, stride) = (self.y.k, self.y.stride);
        let out_plane = self.y.out * self.x.out;
        let mut filters = vec![0.0; self.channels * k * k];
        let strip = Strip::new(self.y.out, self.y, self.x);
        for (c, (plane, scale, shift)) in planes(inputs, block).enumerate() {
            let grad = &grad[c * out_plane..][..out_plane];
            self.pad(plane, scale, shift, relu, -(self.y.before as isize), strip, scratch);
            let mut taps = [0.0; 25];
            // SAFETY: the strip was just filled and covers every tap, `grad` is one output plane, k·k ≤ 25.
            unsafe {
                simd::run(FilterGradient {
                    strip: scratch.as_ptr(),
                    strip_width: strip.width,
                    g: grad.as_ptr(),
                    rows: self.y.out,
                    width: self.x.out,
                    k,
                    stride,
                    w: taps.as_mut_ptr(),
                });
            }
            taps[..k * k].iter().enumerate().for_each(|(t, v)| filters[t * self.channels + c] = *v);
        }
        if let Some(targets) = targets {
            let all = planes(inputs, block).zip(target_planes(inputs, block, targets));
            for (c, (source, (target, accumulate))) in all.enumerate() {
                let grad = &grad[c * out_plane..][..out_plane];
                self.input_gradient(c, grad, source, relu, target, accumulate, scratch);
            }
        }
        filters
    }

    #[allow(clippy::too_many_arguments)] // One call; a struct would only repeat the names.
    fn input_gradient(
        &self,
        c: usize,
        grad: &[Lane],
        (plane, scale, shift): (&[Lane], f32, f32),
        relu: bool,
        target: &mut [Lane],
        accumulate: bool,
        scratch: &mut [Lane],
    ) {
        let (k, stride) = (self.y.k, self.y.stride);
        let strip = self.gradient_strip();
        let before = (k - 1 - self.y.before, k - 1 - self.x.before);
        let mut flipped = [0.0; 25];
        for (t, w) in self.filters[c * k * k..][..k * k].iter().enumerate() {
            flipped[k * k - 1 - t] = *w;
        }
        assert!(scratch.len() >= strip.len() && target.len() == self.y.size * self.x.size);
        // SAFETY: the strip has room for the dilated gradient and its border; the correlation then reads k − 1
        // lanes beyond each output pixel, which the strip covers; plane and target hold one input plane each.
        unsafe {
            simd::run(Pad {
                plane: grad.as_ptr(),
                strip: scratch.as_mut_ptr(),
                height: self.y.out,
                width: self.x.out,
                first: -(before.0 as isize),
                n_rows: strip.n_rows,
                strip_width: strip.width,
                before: before.1,
                dilation: stride,
                scale: 1.0,
                shift: 0.0,
                relu: false,
            });
            simd::run(Correlate {
                strip: scratch.as_ptr(),
                strip_width: strip.width,
                w: flipped.as_ptr(),
                k,
                stride: 1,
                out: target.as_mut_ptr(),
                rows: self.y.size,
                width: self.x.size,
                mask: relu.then_some((plane.as_ptr(), scale, shift)),
                accumulate,
            });
        }
    }

    /// Copies the input rows of a strip with their border; `first` is the input row of strip row 0.
    #[allow(clippy::too_many_arguments)] // As above.
    fn pad(
        &self,
        plane: &[Lane],
        scale: f32,
        shift: f32,
        relu: bool,
        first: isize,
        strip: Strip,
        out: &mut [Lane],
    ) {
        assert!(
            out.len() >= strip.len() && plane.len() == self.y.size * self.x.size,
            "room for the padded strip"
        );
        // SAFETY: the extents were just checked.
        unsafe {
            simd::run(Pad {
                plane: plane.as_ptr(),
                strip: out.as_mut_ptr(),
                height: self.y.size,
                width: self.x.size,
                first,
                n_rows: strip.n_rows,
                strip_width: strip.width,
                before: self.x.before,
                dilation: 1,
                scale,
                shift,
                relu,
            });
        }
    }

    /// Calls `body(row, segment)` for the runs of pixels that input channel `c` contributes to output rows
    /// `y.0..y.1`; together they cover the channel's rows.
    fn for_each_segment(&self, c: usize, y: (usize, usize), mut body: impl FnMut(usize, Segment)) {
        let (width, out_width) = (self.x.size, self.x.out);
        match self.rows {
            Rows::Pixels => {
                let len = (y.1 - y.0) * width;
                body(c, Segment { out: 0, len, input: Some(y.0 * width), stride: 1 });
            }
            Rows::EverySecond { offset } => {
                for (r, row) in (y.0..y.1).enumerate() {
                    let out = r * out_width;
                    // Pixels past the edge read as zero: the last row or column of an odd size.
                    let inside =
                        if 2 * row + offset < self.y.size { (width - offset).div_ceil(2) } else { 0 };
                    if inside > 0 {
                        let input = Some((2 * row + offset) * width + offset);
                        body(c, Segment { out, len: inside, input, stride: 2 });
                    }
                    if inside < out_width {
                        body(
                            c,
                            Segment { out: out + inside, len: out_width - inside, input: None, stride: 1 },
                        );
                    }
                }
            }
            Rows::Patches { k } => {
                for i in 0..k {
                    for j in 0..k {
                        let row = (i * k + j) * self.channels + c;
                        for (r, out_y) in (y.0..y.1).enumerate() {
                            self.patch_row(i, j, out_y, r * out_width, |segment| body(row, segment));
                        }
                    }
                }
            }
            Rows::Depthwise { .. } => unreachable!("depthwise rows are filtered, not copied"),
        }
    }

    /// The runs of one output row that tap `(i, j)` of a dense convolution reads.
    fn patch_row(&self, i: usize, j: usize, out_y: usize, out: usize, mut body: impl FnMut(Segment)) {
        let (width, zeros) = (self.x.size, |out, len| Segment { out, len, input: None, stride: 1 });
        let y = (out_y + i).checked_sub(self.y.before).filter(|y| *y < self.y.size);
        let start = self.x.before.saturating_sub(j);
        let end = (width + self.x.before).saturating_sub(j).min(width);
        let Some(y) = y.filter(|_| start < end) else {
            return body(zeros(out, width));
        };
        if start > 0 {
            body(zeros(out, start));
        }
        body(Segment {
            out: out + start,
            len: end - start,
            input: Some(y * width + start + j - self.x.before),
            stride: 1,
        });
        if end < width {
            body(zeros(out + end, width - end));
        }
    }
}

/// A run of `len` output pixels from `out` on, read from input pixel `input` on, `stride` apart; zeros if `None`.
struct Segment {
    out: usize,
    len: usize,
    input: Option<usize>,
    stride: usize,
}

/// Every input plane of a block with its pending normalisation, in channel order.
fn planes(inputs: &[Value], block: usize) -> impl Iterator<Item = (&[Lane], f32, f32)> {
    inputs.iter().flat_map(move |input| {
        let plane = input.map.h() * input.map.w();
        input.map.block(block).chunks_exact(plane).enumerate().map(move |(c, lanes)| {
            let (scale, shift) = input.affine_of(c);
            (lanes, scale, shift)
        })
    })
}

/// Every gradient plane of a block and whether it is added to, in channel order.
fn target_planes<'t>(
    inputs: &'t [Value],
    block: usize,
    targets: &'t [Target],
) -> impl Iterator<Item = (&'t mut [Lane], bool)> {
    inputs.iter().zip(targets).flat_map(move |(input, target)| {
        let plane = input.map.h() * input.map.w();
        // SAFETY: the backward pass gives every block to one task, which calls this once at a time.
        let lanes = unsafe { target.block(block) };
        lanes.chunks_exact_mut(plane).map(|lanes| (lanes, target.accumulate))
    })
}

/// `to[i] = f(scale·from[i·stride] + shift)` for `len` lanes, `f` the ReLU or nothing.
struct Copy {
    from: *const Lane,
    stride: usize,
    to: *mut Lane,
    len: usize,
    scale: f32,
    shift: f32,
    relu: bool,
}

#[allow(unsafe_op_in_unsafe_fn)] // Accesses inside the extents of the struct's contract.
impl Kernel for Copy {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (scale, shift) = (S::splat(self.scale), S::splat(self.shift));
        let floor = S::splat(if self.relu { 0.0 } else { f32::NEG_INFINITY });
        for i in 0..self.len {
            let value = S::fma(S::load(self.from.add(i * self.stride)), scale, shift);
            S::store(self.to.add(i), S::max(floor, value));
        }
    }
}

/// `to[i·stride] (+)= grad[i]` where `scale·input[i·stride] + shift > 0` or there is no ReLU, for `len` lanes.
struct Back {
    grad: *const Lane,
    input: *const Lane,
    to: *mut Lane,
    stride: usize,
    len: usize,
    scale: f32,
    shift: f32,
    relu: bool,
    accumulate: bool,
}

#[allow(unsafe_op_in_unsafe_fn)] // Accesses inside the extents of the struct's contract.
impl Kernel for Back {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (scale, shift, zero) = (S::splat(self.scale), S::splat(self.shift), S::splat(0.0));
        for i in 0..self.len {
            let mut value = S::load(self.grad.add(i));
            if self.relu {
                let input = S::fma(S::load(self.input.add(i * self.stride)), scale, shift);
                value = S::select_gt(input, zero, value, zero);
            }
            let to = self.to.add(i * self.stride);
            S::store(to, if self.accumulate { S::add(S::load(to), value) } else { value });
        }
    }
}
