//! Gathers the rows of a conv block's matrix product (im2row), and scatters their gradients back (row2im).

mod copied;
mod depthwise;
mod filtered;
pub(crate) mod gpu;
pub(crate) mod target;

use self::target::GradientTarget;
use crate::feature_map::Activation;
use crate::geometry::Axis;
use crate::ops::batch_norm::BlockSums;
use crate::ops::gemm::operand::{GradientPlane, InputPlane};
use enas_simd::Lane;

/// How the rows of a [`ConvBranch`](crate::ConvBranch)'s matrix product are gathered from the conv block's inputs, `[n,
/// c, h, w]`.
#[derive(Clone, Copy, Debug)]
pub enum Im2row<'a> {
    /// One row per input channel, every pixel as it is: a 1×1 convolution.
    Pixels,
    /// One row per input channel: pixels `offset, offset + 2, …` of both axes, zero outside the map. One path of a
    /// factorised reduction. Output size `⌈h/2⌉ × ⌈w/2⌉`.
    EverySecond {
        /// 0 or 1.
        offset: usize,
    },
    /// One row per input channel, filtered with the channel's own k×k filter, SAME padding. With the matrix, a
    /// separable convolution. Output size `⌈h/stride⌉ × ⌈w/stride⌉`.
    Depthwise {
        /// The filters, `[k, k, c]`.
        filter: &'a [f32],
        /// 3 or 5.
        k: usize,
        /// 1 or 2.
        stride: usize,
    },
    /// One row per tap and input channel (im2row), ordered `[k, k, c]`, SAME padding: a dense convolution.
    Patches {
        /// Kernel height and width.
        k: usize,
    },
}

impl Im2row<'_> {
    /// Whether the backward pass writes each element of an input gradient exactly once, so that it needs no zeros
    /// first.
    pub(crate) fn writes_whole_gradient(&self) -> bool {
        matches!(self, Im2row::Pixels | Im2row::Depthwise { .. })
    }
}

/// [`Im2row`] for inputs of a known size.
pub(crate) struct Gather<'a> {
    rows: Im2row<'a>,
    /// Number of gathered rows: the depth of the matrix product.
    pub(crate) k: usize,
    pub(crate) y: Axis,
    pub(crate) x: Axis,
    channels: usize,
    /// Depthwise filters, transposed to `[c, k, k]`: each channel's taps are contiguous.
    filters: Vec<f32>,
}

impl<'a> Gather<'a> {
    pub(crate) fn new(rows: Im2row<'a>, channels: usize, h: usize, w: usize) -> Self {
        let axes = |k, stride| (Axis::same(h, k, stride), Axis::same(w, k, stride));
        let ((y, x), k, filters) = match rows {
            Im2row::Pixels => (axes(1, 1), channels, Vec::new()),
            Im2row::EverySecond { .. } => (axes(1, 2), channels, Vec::new()),
            Im2row::Patches { k } => (axes(k, 1), k * k * channels, Vec::new()),
            Im2row::Depthwise { filter, k, stride } => {
                assert!(matches!((k, stride), (3 | 5, 1 | 2)), "depthwise {k}×{k} with stride {stride}");
                assert_eq!(filter.len(), k * k * channels, "depthwise filters are [{k}, {k}, {channels}]");
                let per_channel =
                    (0..channels).flat_map(|c| (0..k * k).map(move |t| filter[t * channels + c]));
                (axes(k, stride), channels, per_channel.collect())
            }
        };
        Self { rows, k, y, x, channels, filters }
    }

    /// Whether the rows are the inputs' channels as they are. Products then read the maps directly.
    pub(crate) fn is_direct(&self) -> bool {
        matches!(self.rows, Im2row::Pixels)
    }

    /// Whether rows are filtered rather than copied.
    fn is_filtered(&self) -> bool {
        matches!(self.rows, Im2row::Depthwise { .. })
    }

    /// Number of earlier output rows whose gradient is still needed when a tile's gradient is propagated: windows
    /// overlap.
    pub(crate) fn halo(&self) -> usize {
        if self.is_filtered() { (self.y.k - 1).div_ceil(self.y.stride) } else { 0 }
    }

    /// Lanes in which the gradients of the filters are summed, image by image.
    pub(crate) fn tap_lanes(&self) -> usize {
        self.filters.len()
    }

    /// Scratch lanes that [`fill`](Self::fill) needs for `rows` output rows.
    pub(crate) fn fill_scratch(&self, rows: usize) -> usize {
        if self.is_filtered() { self.input_tile(rows) } else { 0 }
    }

    /// Scratch lanes that [`propagate`](Self::propagate) needs for `rows` output rows.
    pub(crate) fn propagate_scratch(&self, rows: usize) -> usize {
        if self.is_filtered() { self.input_tile(rows) + self.gradient_tile(rows) } else { 0 }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self.rows {
            Im2row::Pixels => "conv 1x1",
            Im2row::EverySecond { .. } => "factorised reduction",
            Im2row::Depthwise { k: 3, .. } => "sep conv 3x3",
            Im2row::Depthwise { .. } => "sep conv 5x5",
            Im2row::Patches { .. } => "conv kxk",
        }
    }

    /// Floating-point operations per output pixel: those of the matrix product with `outputs` columns, and those of
    /// filtering.
    pub(crate) fn flops_per_pixel(&self, outputs: usize) -> (f64, f64) {
        let taps = if self.is_filtered() { self.y.k * self.x.k } else { 0 };
        (2.0 * (self.k * outputs) as f64, 2.0 * (self.k * taps) as f64)
    }

    /// Lower bound on the numbers moved per output pixel: inputs read once, `outputs` written.
    pub(crate) fn floats_per_pixel(&self, outputs: usize) -> f64 {
        let inputs = (self.channels * self.y.size * self.x.size) as f64 / (self.y.out * self.x.out) as f64;
        inputs + outputs as f64
    }

    /// Gathers output rows `y.0..y.1` into `out`: `k` rows of one lane per pixel, `stride` lanes apart.
    pub(crate) fn fill(
        &self,
        source: Source<'_>,
        y: (usize, usize),
        out: &mut [Lane],
        stride: usize,
        scratch: &mut [Lane],
    ) {
        if self.is_filtered() {
            self.filter(source, y, out, stride, scratch);
        } else {
            self.copy(source, y, out, stride);
        }
    }

    /// Gathers rows as [`fill`](Self::fill) does, and propagates their gradient to the inputs and filters. Strips must
    /// come in order, because windows overlap.
    pub(crate) fn propagate(
        &self,
        source: Source<'_>,
        grad: &GradientRows<'_>,
        into: BackwardOutputs<'_, '_>,
        (rows, stride): (&mut [Lane], usize),
        scratch: &mut [Lane],
    ) {
        if self.is_filtered() {
            self.filter_backward(source, grad, into, (rows, stride), scratch);
        } else {
            self.copy(source, grad.y, rows, stride);
            if let Some(targets) = into.targets {
                self.copy_backward(source, grad, targets);
            }
        }
    }
}

/// The inputs of a conv block for one group of sixteen images.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) inputs: &'a [Activation],
    /// Whether a ReLU is applied to the inputs.
    pub(crate) relu: bool,
    /// Index of the group.
    pub(crate) block: usize,
}

impl<'a> Source<'a> {
    /// Every input plane with its pending normalisation, in the order of channels.
    fn planes(self) -> impl Iterator<Item = Plane<'a>> {
        self.inputs.iter().flat_map(move |input| {
            let plane = input.map.h() * input.map.w();
            input.map.block(self.block).chunks_exact(plane).enumerate().map(move |(c, lanes)| {
                let (scale, shift) = input.affine_of(c);
                Plane { lanes, scale, shift, relu: self.relu }
            })
        })
    }

    /// Every input plane in the form that products read.
    pub(crate) fn input_planes(self) -> Vec<InputPlane> {
        self.planes()
            .map(|plane| InputPlane {
                from: plane.lanes.as_ptr(),
                scale: plane.scale,
                shift: plane.shift,
                floor: if plane.relu { 0.0 } else { f32::NEG_INFINITY },
            })
            .collect()
    }

    /// The gradient target of every input plane, in the form that products write.
    pub(crate) fn gradient_planes(
        self,
        inputs: &[InputPlane],
        targets: &[GradientTarget],
    ) -> Vec<GradientPlane> {
        let targets = self.target_planes(targets);
        inputs
            .iter()
            .zip(targets)
            .map(|(plane, (to, accumulate))| GradientPlane { plane: *plane, to: to.as_mut_ptr(), accumulate })
            .collect()
    }

    /// Every gradient plane and whether gradients are added to it, in the order of channels.
    fn target_planes<'t>(self, targets: &'t [GradientTarget]) -> impl Iterator<Item = (&'t mut [Lane], bool)>
    where
        'a: 't,
    {
        self.inputs.iter().zip(targets).flat_map(move |(input, target)| {
            let plane = input.map.h() * input.map.w();
            // SAFETY: the backward pass gives every block to one task, which calls this once at a time.
            let lanes = unsafe { target.block(self.block) };
            lanes.chunks_exact_mut(plane).map(|lanes| (lanes, target.accumulate))
        })
    }
}

/// One channel of sixteen images, read as `max(scale·x + shift, 0)`, or without the maximum.
#[derive(Clone, Copy)]
struct Plane<'a> {
    lanes: &'a [Lane],
    scale: f32,
    shift: f32,
    relu: bool,
}

/// Results of a backward pass over one group of images.
pub(crate) struct BackwardOutputs<'a, 'm> {
    /// The gradients of the inputs, if requested.
    pub(crate) targets: Option<&'a [GradientTarget]>,
    /// The batch-norm sums of the finished gradients, if requested; for filtered rows only.
    pub(crate) sums: Option<&'a mut BlockSums<'m>>,
    /// The sums of the filters' gradients, `[c, k·k]` lanes; empty for other rows.
    pub(crate) taps: &'a mut [Lane],
}

/// The gradient of output rows `y.0..y.1` of every gathered row, with some rows before them.
pub(crate) struct GradientRows<'a> {
    /// Channel `c` begins at `c·stride`.
    pub(crate) lanes: &'a [Lane],
    pub(crate) stride: usize,
    pub(crate) y: (usize, usize),
    /// Number of rows in front of row `y.0`. Those above the plane are not read.
    pub(crate) halo: usize,
}
